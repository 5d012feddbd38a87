package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors/all"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/verify"
)

// savedName is the file in the mapping folder that gets the stories.
const savedName = "verified.hcl"

// A savedView is what became of the stories with --save.
type savedView struct {
	File  string   `json:"file"`
	Tests []string `json:"tests"`           // written now
	There []string `json:"there,omitempty"` // from an earlier time
	Not   []string `json:"not_saved,omitempty"`
}

// save adds a test block for each finding to the file beside the mapping. What is in the file stays as it is. A story is
// saved only if its test fails now: otherwise it would prove nothing.
func (v *verification) save(reports []*verify.Report) (*savedView, error) {
	file := filepath.Join(v.Dir, savedName)
	view := &savedView{File: filepath.ToSlash(file), Tests: []string{}}
	src, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, r := range reports {
		for _, f := range r.Findings {
			if f.Case == nil {
				view.Not = append(view.Not, f.What+": "+whyNoTest(r))
				continue
			}
			s, _ := v.Sync(r.Syncs[0])
			name := testName(f)
			if slices.ContainsFunc(v.Tests, func(t *mapping.Test) bool { return t.Name == name }) || slices.Contains(view.Tests, name) {
				view.There = append(view.There, name)
				continue
			}
			block := s.TestSource(name, *f.Case)
			fails, err := v.fails(file, src, block, name)
			if err != nil {
				return nil, err
			}
			if !fails {
				view.Not = append(view.Not, f.What+": it turns on what the systems say of their fields, and a test does not ask them")
				continue
			}
			if len(src) > 0 {
				src = append(bytes.TrimRight(src, "\n"), "\n\n"...)
			} else {
				src = []byte("# Stories that broke a promise, found by fieldsync verify. Run them with: fieldsync test\n\n")
			}
			src = append(src, block...)
			view.Tests = append(view.Tests, name)
		}
	}
	if len(view.Tests) == 0 {
		return view, nil
	}
	return view, replaceFile(file, func(w io.Writer) error {
		_, err := w.Write(src)
		return err
	})
}

func whyNoTest(r *verify.Report) string {
	if len(r.Syncs) > 1 {
		return "a test is about one sync, and this takes two"
	}
	return "a test is about one edit, and this takes several, with runs in between"
}

func testName(f verify.Finding) string {
	name := "verify " + string(f.Kind)
	for _, c := range f.Culprits {
		if c.Field == "" {
			name += " " + c.Sync
		} else {
			name += " " + c.Field
		}
	}
	for _, r := range f.Story.Rounds {
		for _, e := range r.Edits {
			name += ": " + changeLine(e)
		}
	}
	return name
}

// fails reports whether the mapping as it is, with one more test, fails that test.
func (v *verification) fails(file string, src, block []byte, name string) (bool, error) {
	files := map[string][]byte{}
	for f, parsed := range v.Files {
		files[f] = parsed.Bytes
	}
	files[file] = slices.Concat(src, []byte("\n"), block)
	vars, err := v.app.variables()
	if err != nil {
		return false, err
	}
	cfg, diags := mapping.Parse(files, v.Dir, mapping.Options{Registry: all.Registry(), Vars: vars, Getenv: v.app.getenv})
	if diags.HasErrors() {
		return false, fmt.Errorf("the test of a story cannot be read back: %w", diags)
	}
	n := slices.IndexFunc(cfg.Tests, func(t *mapping.Test) bool { return t.Name == name })
	if n < 0 {
		return false, nil
	}
	res := cfg.RunTest(cfg.Tests[n])
	return res.Err == nil && !res.OK, nil
}

func (a *app) printSaved(v *savedView) {
	if len(v.Tests) > 0 {
		a.say("Saved in %s: %s. fieldsync test fails with it until the mapping is mended.", v.File, project.Plural(len(v.Tests), "test"))
	}
	for _, name := range v.There {
		a.say("Saved before: %s", name)
	}
	for _, why := range v.Not {
		a.say("Not saved: %s", why)
	}
}
