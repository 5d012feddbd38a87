package service

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/console"
	"github.com/fieldsync/fieldsync/engine/mapping"
)

// toShow are diagnostics as pages show them: files by their bare names, as a mapping is one folder.
func toShow(diags hcl.Diagnostics) []console.Diagnostic {
	list := []console.Diagnostic{}
	for _, d := range project.DiagnosticsOf(diags) {
		v := console.Diagnostic{Severity: d.Severity, Summary: d.Summary, Detail: d.Detail, Line: d.Line, Column: d.Column, EndLine: d.EndLine, EndCol: d.EndColumn}
		if d.File != "" {
			v.File = filepath.Base(d.File)
		}
		list = append(list, v)
	}
	return list
}

func (b *backend) Mappings() (console.Mappings, error) {
	b.mu.Lock()
	v := console.Mappings{State: b.mappingState(), Files: []console.FileInfo{}, Reload: b.edit}
	inForce := b.rules.Config
	b.mu.Unlock()
	entries, err := mappingFiles(b.dir)
	if err != nil {
		return v, err
	}
	now := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(b.dir, e.Name()))
		info, ierr := e.Info()
		if err != nil || ierr != nil {
			continue // it went away this moment
		}
		now[e.Name()] = string(text)
		f := console.FileInfo{Name: e.Name(), Lines: strings.Count(string(text), "\n"), Edited: info.ModTime()}
		for _, d := range v.State.Diagnostics {
			switch {
			case d.File != f.Name:
			case d.Severity == "error":
				f.Errors++
			default:
				f.Warnings++
			}
		}
		v.Files = append(v.Files, f)
	}
	if !v.State.Good {
		v.Reload = &console.Reload{At: v.State.Since, Files: compare(texts(inForce), now, hider(inForce))}
	}
	return v, nil
}

// mappingFiles lists the files of a mapping.
func mappingFiles(dir string) ([]os.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	return slices.DeleteFunc(entries, func(e os.DirEntry) bool { return e.IsDir() || filepath.Ext(e.Name()) != ".hcl" }), err
}

func (b *backend) File(name string) (console.File, error) {
	entries, err := mappingFiles(b.dir)
	if err != nil {
		return console.File{}, err
	}
	if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == name }) {
		return console.File{}, fmt.Errorf("%w: the mapping has no file %q", console.ErrNotFound, name)
	}
	text, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		return console.File{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	v := console.File{Name: name, Text: hider(b.rules.Config)(string(text)), Diagnostics: []console.Diagnostic{}}
	for _, d := range toShow(b.broken) {
		if d.File == name {
			v.Diagnostics = append(v.Diagnostics, d)
		}
	}
	return v, nil
}

// texts are the files of a mapping that was loaded, by bare name.
func texts(c *mapping.Config) map[string]string {
	m := map[string]string{}
	for name, f := range c.Files {
		m[filepath.Base(name)] = string(f.Bytes)
	}
	return m
}

// edited says what an edit that is taken over changed.
func (s *service) edited(old, now *mapping.Config) *console.Reload {
	before, after := hider(old), hider(now)
	return &console.Reload{At: s.now(), Taken: true, Files: compare(texts(old), texts(now), func(t string) string { return after(before(t)) })}
}

func compare(old, now map[string]string, hide func(string) string) []console.Diff {
	list := []console.Diff{}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, there := now[name]; !there {
			now[name] = ""
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if lines := console.Compare(hide(old[name]), hide(now[name])); lines != nil {
			list = append(list, console.Diff{Name: name, Lines: lines})
		}
	}
	return list
}

// Texts in a mapping file that are credentials, or may be: what stands behind a name that says so, and a password in an
// address.
var (
	secretSetting = regexp.MustCompile(`(?i)(\b\w*(?:password|passwd|passphrase|secret|token|credential|api_key|private_key|authorization)\w*\s*=\s*)"(?:[^"\\\n]|\\.)*"?`)
	secretAddress = regexp.MustCompile(`(://[^:/@\s"]*:)[^@/\s"]+@`)
	secretDSN     = regexp.MustCompile(`(?i)(\bpassword=)[^\s"&;]+|("[^:"/@\s]+:)[^@"\s]+(@(?:tcp|unix)?\()`)
)

// hider takes credentials out of the text of a mapping file: those that the mapping is known to have, and whatever looks
// like one, as a broken file cannot say what it means.
func hider(c *mapping.Config) func(string) string {
	var known []string
	for _, conn := range c.Connections {
		for _, s := range conn.Secrets {
			if s != "" {
				known = append(known, `"`+s+`"`, `"(sensitive)"`)
			}
		}
	}
	words := strings.NewReplacer(known...)
	return func(text string) string {
		text = words.Replace(text)
		text = secretSetting.ReplaceAllString(text, `${1}"(sensitive)"`)
		text = secretAddress.ReplaceAllString(text, "${1}(sensitive)@")
		return secretDSN.ReplaceAllString(text, "${1}${2}(sensitive)${3}")
	}
}

// at is where a range begins.
func at(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }
