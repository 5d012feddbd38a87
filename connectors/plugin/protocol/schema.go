package protocol

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// types are in the order of Kind.
var types = []record.Kind{record.Absent, record.Bool, record.Int, record.Float, record.Text, record.Time, record.List, record.Object}

// OfSchema is s for the wire; nil for nil.
func OfSchema(s *connectors.Schema) *Schema {
	if s == nil {
		return nil
	}
	x := &Schema{Key: s.Key, Label: s.Label, Open: s.Open, Hidden: s.Hidden, Rest: ofKind(s.Rest.Kind), Threads: ofThreads(s.Threads), Files: ofThreads(s.Files)}
	for _, f := range s.Fields {
		field := &Field{Path: f.Path, Label: f.Label, Native: f.Native, MaxLength: int32(f.MaxLength), ReadOnly: f.ReadOnly, Once: f.Once,
			Required: f.Required, Append: f.Append, Reference: f.Reference, Closed: f.Closed, Kind: ofKind(f.Type.Kind), Layout: f.Type.Layout, Loose: f.Type.Loose}
		for _, c := range f.Choices {
			field.Choices = append(field.Choices, &Choice{Value: OfValue(c.Value), Label: c.Label})
		}
		x.Fields = append(x.Fields, field)
	}
	return x
}

func ofKind(k record.Kind) Kind { return Kind(max(0, slices.Index(types, k))) }

func ofThreads(ts []connectors.Thread) []*Thread {
	var list []*Thread
	for _, t := range ts {
		list = append(list, &Thread{Path: t.Path, Label: t.Label, Readers: Thread_Readers(t.Readers), Editable: t.Editable})
	}
	return list
}

// ToSchema is what the wire says, if it makes sense.
func ToSchema(x *Schema) (*connectors.Schema, error) {
	if x == nil {
		return nil, errors.New("no schema")
	}
	s := &connectors.Schema{Key: x.Key, Label: x.Label, Open: x.Open, Hidden: x.Hidden}
	if s.Key == "" && !s.Hidden {
		return nil, errors.New("a schema without the path of its key")
	}
	if x.Rest < 0 || int(x.Rest) >= len(types) {
		return nil, fmt.Errorf("the rest of the fields of a kind that this version does not know (%d)", x.Rest)
	}
	s.Rest.Kind = types[x.Rest]
	seen := map[string]bool{}
	for _, f := range x.Fields {
		switch {
		case f.GetPath() == "":
			return nil, errors.New("a field without a path")
		case seen[f.Path]:
			return nil, fmt.Errorf("field %q twice", f.Path)
		case f.Kind < 0 || int(f.Kind) >= len(types):
			return nil, fmt.Errorf("field %q of a kind that this version does not know (%d)", f.Path, f.Kind)
		case f.MaxLength < 0:
			return nil, fmt.Errorf("field %q of at most %d characters", f.Path, f.MaxLength)
		}
		seen[f.Path] = true
		field := connectors.Field{Path: f.Path, Label: f.Label, Type: record.Type{Kind: types[f.Kind], Layout: f.Layout, Loose: f.Loose}, Native: f.Native, MaxLength: int(f.MaxLength),
			ReadOnly: f.ReadOnly, Once: f.Once, Required: f.Required, Append: f.Append, Reference: f.Reference, Closed: f.Closed}
		for _, c := range f.Choices {
			v, err := ToValue(c.GetValue())
			if err != nil {
				return nil, fmt.Errorf("field %q: a choice: %w", f.Path, err)
			}
			field.Choices = append(field.Choices, connectors.Choice{Value: v, Label: c.Label})
		}
		s.Fields = append(s.Fields, field)
	}
	for _, path := range []string{s.Key, s.Label} {
		if path != "" && !seen[path] && !s.Open && !s.Hidden {
			return nil, fmt.Errorf("no field %q, which is to be the key or the label", path)
		}
	}
	var err error
	if s.Threads, err = toThreads(x.Threads); err == nil {
		s.Files, err = toThreads(x.Files)
	}
	return s, err
}

func toThreads(list []*Thread) ([]connectors.Thread, error) {
	var ts []connectors.Thread
	seen := map[string]bool{}
	for _, t := range list {
		if t.GetPath() == "" || seen[t.Path] {
			return nil, fmt.Errorf("the path %q of comments or files, which is none or was there before", t.GetPath())
		}
		seen[t.Path] = true
		readers := connectors.SomeReaders
		switch t.Readers {
		case Thread_STAFF:
			readers = connectors.Staff
		case Thread_PUBLIC:
			readers = connectors.Public
		}
		ts = append(ts, connectors.Thread{Path: t.Path, Label: t.Label, Readers: readers, Editable: t.Editable})
	}
	return ts, nil
}
