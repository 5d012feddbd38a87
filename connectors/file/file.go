// Package file makes a CSV, NDJSON or JSON file a collection.
//
// Files are read as a stream, so their size does not matter; a record may have up to 16 MiB. A write rewrites the
// file beside itself and renames it into place, with every byte kept that was not asked to change; writes that
// arrive together share one rewrite. A file has no change stamps that could be trusted and no index: every
// scan reads it whole, and so does every list of keys.
//
// In JSON, a path leads into nested objects with dots, and a member that a record lacks is null if other records
// have it and absent if none does. In CSV, every value is text and an empty one is null. There are neither comments nor
// attachments. Start with [Config].
// All failures are *connectors.Error or the context's own error; those about a record name its line.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/fieldsync/fieldsync/connectors"
)

// Config is the body of a connection "file" block.
type Config struct {
	Path      string `hcl:"path,optional"`      // a file, or a folder whose files are the collections
	Format    string `hcl:"format,optional"`    // csv, ndjson or json; default: by the file's extension
	Separator string `hcl:"separator,optional"` // of CSV; default a comma
	Files     []File `hcl:"collection,block"`
}

// File is a collection block.
type File struct {
	Name      string `hcl:"name,label"`
	Path      string `hcl:"path,optional"` // default: the connection's
	Format    string `hcl:"format,optional"`
	Separator string `hcl:"separator,optional"`
	Key       string `hcl:"key,optional"`      // path of the key; default id
	Modified  string `hcl:"modified,optional"` // path of the last change's time: shown, and used by conflict = "newest"
	Label     string `hcl:"label,optional"`
	Author    string `hcl:"author,optional"`
}

// New returns empty settings.
func New() connectors.Config { return &Config{} }

var extensions = map[string]string{".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "json"}

// Open checks the settings.
func (c *Config) Open(env connectors.Env) (connectors.Connection, error) {
	wrong := func(detail, hint string) error {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + env.Name, Detail: detail, Hint: hint}
	}
	if c.Path == "" && len(c.Files) == 0 {
		return nil, wrong("neither path nor a collection block is there", `write path = "tickets.csv"`)
	}
	check := func(format, separator string) error {
		if format != "" && format != "csv" && format != "ndjson" && format != "json" {
			return wrong(fmt.Sprintf("there is no format %q", format), `write "csv", "ndjson" or "json"`)
		}
		if len(separator) > 1 || strings.ContainsAny(separator, "\"\r\n") {
			return wrong(fmt.Sprintf("separator %q is not one character", separator), `write "," or ";" or "\t"`)
		}
		return nil
	}
	if err := check(c.Format, c.Separator); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, f := range c.Files {
		if err := check(f.Format, f.Separator); err != nil {
			return nil, err
		}
		if seen[f.Name] {
			return nil, wrong(fmt.Sprintf("collection %q is declared twice", f.Name), "give each collection block a name of its own")
		}
		seen[f.Name] = true
		if f.Path == "" && c.Path == "" {
			return nil, wrong(fmt.Sprintf("collection %q has no path", f.Name), `write path = "tickets.csv" in the collection block`)
		}
	}
	return &connection{env: env, config: *c, queues: map[string]*queue{}}, nil
}

type connection struct {
	env    connectors.Env
	config Config

	mu     sync.Mutex
	queues map[string]*queue // by path: two collections of one file share its writes
}

// Collection finds the file and learns from its beginning which paths there are.
func (c *connection) Collection(_ context.Context, name string) (connectors.Collection, error) {
	op := "open " + name
	f, err := c.locate(op, name)
	if err != nil {
		return nil, err
	}
	if f.Key == "" {
		f.Key = "id"
	}
	if f.Format == "" {
		f.Format = c.config.Format
	}
	if f.Format == "" {
		f.Format = extensions[strings.ToLower(filepath.Ext(f.Path))]
	}
	if f.Format == "" {
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("the format of %s cannot be told by its name", f.Path), Hint: `write format = "csv", "ndjson" or "json"`}
	}
	if f.Separator == "" {
		f.Separator = c.config.Separator
	}
	if f.Separator == "" {
		f.Separator = ","
	}
	// A link is followed now, so that a rewrite replaces the file and not the link.
	real, err := filepath.EvalSymlinks(f.Path)
	if err != nil {
		return nil, fail(op, f.Path, err)
	}
	f.Path = real
	c.mu.Lock()
	q := c.queues[f.Path]
	if q == nil {
		q = &queue{}
		c.queues[f.Path] = q
	}
	c.mu.Unlock()
	col := &collection{File: f, queue: q}
	if err := col.learn(); err != nil {
		return nil, err
	}
	return col, nil
}

// locate finds the settings and the file of a collection.
func (c *connection) locate(op, name string) (File, error) {
	at := func(path string) string {
		if !filepath.IsAbs(path) {
			return filepath.Join(c.env.Dir, path)
		}
		return path
	}
	names := make([]string, 0, len(c.config.Files))
	f := File{Name: name, Path: c.config.Path}
	declared := slices.IndexFunc(c.config.Files, func(f File) bool { return f.Name == name })
	for _, d := range c.config.Files {
		names = append(names, d.Name)
	}
	if declared >= 0 {
		if f = c.config.Files[declared]; f.Path != "" {
			f.Path = at(f.Path)
			return f, nil
		}
		f.Path = c.config.Path
	}
	if f.Path != "" {
		f.Path = at(f.Path)
		info, err := os.Stat(f.Path)
		if err != nil {
			return File{}, fail(op, f.Path, err)
		}
		if !info.IsDir() {
			own := strings.TrimSuffix(filepath.Base(f.Path), filepath.Ext(f.Path))
			if declared >= 0 || name == own {
				return f, nil
			}
			names = append(names, own)
		} else {
			entries, err := os.ReadDir(f.Path)
			if err != nil {
				return File{}, fail(op, f.Path, err)
			}
			for _, e := range entries {
				ext := filepath.Ext(e.Name())
				if extensions[strings.ToLower(ext)] == "" || e.IsDir() {
					continue
				}
				own := strings.TrimSuffix(e.Name(), ext)
				if own == name {
					f.Path = filepath.Join(f.Path, e.Name())
					return f, nil
				}
				names = append(names, own)
			}
		}
	}
	hint := "its collections are " + strings.Join(names, ", ")
	if near := connectors.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if len(names) == 0 {
		hint = "the folder has no .csv, .ndjson or .json file"
	}
	return File{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "there is no such collection", Hint: hint}
}

// Close has nothing to let go of: files are open only while they are read or written.
func (c *connection) Close() error { return nil }

// Check looks at every file that is declared.
func (c *connection) Check(ctx context.Context) ([]connectors.Finding, error) {
	files := slices.Clone(c.config.Files)
	if len(files) == 0 {
		path := c.config.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.env.Dir, path)
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fail("check "+c.env.Name, path, err)
		}
		if info.IsDir() {
			return []connectors.Finding{{OK: true, What: "folder", Detail: path}}, nil
		}
		files = []File{{Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))}}
	}
	var found []connectors.Finding
	for _, f := range files {
		what := "collection " + f.Name
		col, err := c.Collection(ctx, f.Name)
		if err != nil {
			found = append(found, connectors.Finding{What: what, Detail: err.Error(), Hint: connectors.Hint(err)})
			continue
		}
		path := col.(*collection).Path
		found = append(found, connectors.Finding{OK: true, What: what, Detail: path + ", " + col.(*collection).Format})
		if err := writable(path); err != nil {
			found = append(found, connectors.Finding{What: "rights", Detail: err.Error(), Hint: "let the user that runs fieldsync write the folder of the file, or only sync away from it"})
		}
	}
	return found, nil
}

// writable tries what a rewrite does first.
func writable(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// fail says what an error of the file system means.
func fail(op, path string, err error) error {
	if _, ok := errors.AsType[*connectors.Error](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", op, err)
	}
	out := &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: err.Error(), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		out.Kind, out.Detail = connectors.ErrConfig, "there is no file "+path
		out.Hint = "check path; a relative one starts at the folder of the mapping file, and the file is not created"
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		out.Kind, out.Hint = connectors.ErrDenied, "let the user that runs fieldsync read and write the file and its folder"
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		out.Kind, out.Hint = connectors.ErrBusy, "free space on the disk of the file; it is as it was before"
	case errors.Is(err, syscall.EISDIR):
		out.Kind, out.Hint = connectors.ErrConfig, "path is a folder; write the path of a file"
	}
	return out
}
