package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Settings are the settings block.
type Settings struct {
	Folder string `hcl:"folder"`
}

// New returns empty settings.
func New() connectors.Config { return &Settings{} }

// Open looks at nothing yet.
func (s *Settings) Open(env connectors.Env) (connectors.Connection, error) {
	folder := s.Folder
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(env.Dir, folder)
	}
	return &shelf{folder: folder, now: env.Now}, nil
}

type shelf struct {
	folder string
	now    func() time.Time
}

var nameOf = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Collection is a folder on the shelf.
func (s *shelf) Collection(_ context.Context, name string) (connectors.Collection, error) {
	folder := filepath.Join(s.folder, name)
	if info, err := os.Stat(folder); nameOf.MatchString(name) && err == nil && info.IsDir() {
		return &tickets{shelf: s, folder: folder}, nil
	}
	e := &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + name, Detail: fmt.Sprintf("there is no folder %q in %s", name, s.folder)}
	if entries, err := os.ReadDir(s.folder); err == nil {
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if near := connectors.Nearest(name, names); near != "" {
			e.Hint = fmt.Sprintf("did you mean %q?", near)
		}
	}
	return nil, e
}

// Check says whether files can be made.
func (s *shelf) Check(context.Context) ([]connectors.Finding, error) {
	f, err := os.CreateTemp(s.folder, ".check-*")
	if err != nil {
		return []connectors.Finding{{What: "rights", Detail: err.Error(), Hint: "let the user that runs fieldsync write " + s.folder}}, nil
	}
	return []connectors.Finding{{OK: true, What: "rights", Detail: "files can be written in " + s.folder}}, errors.Join(f.Close(), os.Remove(f.Name()))
}

// Close has nothing to let go of.
func (s *shelf) Close() error { return nil }

var schema = connectors.Schema{Key: "key", Label: "ref", Fields: []connectors.Field{
	{Path: "key", Type: record.Type{Kind: record.Text}, ReadOnly: true},
	{Path: "title", Label: "Title", Type: record.Type{Kind: record.Text}},
	{Path: "ref", Label: "Reference", Type: record.Type{Kind: record.Text}},
	{Path: "state", Label: "State", Type: record.Type{Kind: record.Text}, Closed: true, Choices: []connectors.Choice{{Value: record.OfText("open")}, {Value: record.OfText("closed")}}},
	{Path: "priority", Label: "Priority", Type: record.Type{Kind: record.Int}},
	{Path: "hours", Label: "Hours spent", Type: record.Type{Kind: record.Float}},
	{Path: "urgent", Label: "Urgent", Type: record.Type{Kind: record.Bool}},
	{Path: "due", Label: "Due", Type: record.Type{Kind: record.Time}},
	{Path: "tags", Label: "Tags", Type: record.Type{Kind: record.List}},
}}

// refused is an error that says which path is to blame, and that nothing happened.
func refused(op, path, detail string) error {
	return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: path + ": " + detail, Fields: []string{path}}
}

// put gives values what f says, by the rules of the fields.
func put(op string, values map[string]record.Value, f record.Fields) error {
	for path, v := range f {
		d, ok := schema.Field(path)
		switch {
		case !v.Known():
			continue
		case !ok:
			return refused(op, path, "there is no such field")
		case d.ReadOnly:
			return refused(op, path, "it never changes")
		}
		v, err := d.Type.Coerce(v)
		if err != nil {
			return refused(op, path, err.Error())
		}
		if d.Closed && !v.Empty() && v != d.Choices[0].Value && v != d.Choices[1].Value {
			return refused(op, path, fmt.Sprintf("%s is none of its choices", v))
		}
		values[path] = v
	}
	return nil
}

// broken is an error of the file system: of a read, or of a write before which nothing happened.
func broken(op string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: err.Error(), Hint: "let the user that runs fieldsync read and write the folder", Err: err}
	default:
		return &connectors.Error{Kind: connectors.ErrOffline, Op: op, Detail: err.Error(), Err: err}
	}
}
