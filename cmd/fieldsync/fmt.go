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

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) fmtCmd() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "fmt [FILE…]",
		Short: "lay mapping files out in the canonical way",
		Long: `Rewrites files in the canonical layout and prints the names of those that changed.
Without arguments it takes every *.hcl file of the folder; "-" reads standard input
and writes standard output. Only spaces and line ends move.`,
		Example: `  fieldsync fmt
  fieldsync fmt --check          exit 1 if a file is not in the canonical layout
  fieldsync fmt - < tickets.hcl`,
		RunE: func(_ *cobra.Command, args []string) error {
			if slices.Equal(args, []string{"-"}) {
				return a.formatStdin()
			}
			if len(args) == 0 {
				var err error
				if args, err = a.mappingFiles(); err != nil {
					return err
				}
			}
			changed := []string{}
			for _, name := range args {
				moved, err := formatFile(name, !check)
				if err != nil {
					return err
				}
				if moved {
					changed = append(changed, filepath.ToSlash(name))
					a.say("%s", filepath.ToSlash(name))
				}
			}
			if a.json {
				if err := report.JSON(a.out, map[string]any{"changed": changed}); err != nil {
					return err
				}
			}
			if check && len(changed) > 0 {
				return exit(exitError)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing; exit 1 if a file would change")
	return c
}

func (a *app) mappingFiles() ([]string, error) {
	dir := a.mappings()
	names, err := filepath.Glob(filepath.Join(dir, "*.hcl"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, project.Hinted(fmt.Errorf("no *.hcl files in %s", dir), "name the folder with -d DIR")
	}
	return names, nil
}

func (a *app) formatStdin() error {
	src, err := io.ReadAll(a.in)
	if err != nil {
		return err
	}
	if err := parses("standard input", src); err != nil {
		return err
	}
	_, err = a.out.Write(mapping.Format(src))
	return err
}

// parses keeps a file that is not HCL from being moved about.
func parses(name string, src []byte) error {
	f, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		return project.Diagnosed{Files: map[string]*hcl.File{name: f}, Diags: diags}
	}
	return nil
}

// formatFile reports whether name is not laid out canonically, and, if write is set, rewrites it whole or not at all.
func formatFile(name string, write bool) (bool, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, project.Hinted(err, "name a mapping file, or no file for all of the folder")
		}
		return false, err
	}
	if err := parses(name, src); err != nil {
		return false, err
	}
	formatted := mapping.Format(src)
	if bytes.Equal(src, formatted) || !write {
		return !bytes.Equal(src, formatted), nil
	}
	return true, replaceFile(name, func(w io.Writer) error {
		_, err := w.Write(formatted)
		return err
	})
}

// replaceFile writes a file beside name and moves it into its place, so that name is never half written. It keeps
// the mode of a file that is there; a new one is for its owner alone. A link to a file stays one.
func replaceFile(name string, fill func(io.Writer) error) (err error) {
	if to, err := filepath.EvalSymlinks(name); err == nil {
		name = to
	}
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(name); err == nil {
		if !info.Mode().IsRegular() {
			return project.Hinted(fmt.Errorf("write %s: it is there and is not a file", name), "name a file; one that is there is replaced")
		}
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err // the name in it is one of ours
		}
		return project.Hinted(fmt.Errorf("write %s: %w", name, err), "name a file in a folder that is there and that you may write to")
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(fill(f), f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}
