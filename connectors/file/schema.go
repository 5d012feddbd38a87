package file

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"

	"github.com/valyala/fastjson"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// sampled is how many records learn looks at.
const sampled = 1000

// learn looks at the beginning of the file for its paths and their kinds.
func (c *collection) learn() error {
	op := "open " + c.Name
	p, err := c.open(op, nil)
	if err != nil {
		return err
	}
	defer p.file.Close()
	if s, ok := p.src.(*table); ok {
		if !slices.Contains(s.columns, c.Key) {
			return located(op, c.Path, p.dec.(*csvDecoder).missing(c.Key))
		}
		c.columns = s.columns
		return nil
	}
	dec := p.dec.(*jsonDecoder)
	seen := map[string]connectors.Field{}
	for range sampled {
		at, err := p.src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return located(op, c.Path, err)
		}
		v, err := dec.parse(at)
		if err != nil {
			return located(op, c.Path, err)
		}
		note(seen, "", v, dec, 0)
	}
	c.seen = seen
	return nil
}

// note adds the members of an object to what was seen. Paths whose kinds differ have none.
func note(seen map[string]connectors.Field, prefix string, v *fastjson.Value, dec *jsonDecoder, depth int) {
	o, err := v.Object()
	if err != nil || depth > 8 {
		return
	}
	o.Visit(func(name []byte, m *fastjson.Value) {
		if bytes.IndexByte(name, '.') >= 0 {
			return // a path could not say it
		}
		path := prefix + string(name)
		if m.Type() == fastjson.TypeObject {
			note(seen, path+".", m, dec, depth+1)
			return
		}
		val, err := dec.value(m)
		if err != nil {
			return
		}
		f, before := seen[path]
		switch k := val.Kind(); {
		case !val.Known() || val.Empty():
		case !before || f.Native == "null":
			f.Type.Kind, f.Native = k, k.String()
		case f.Type.Kind == k || f.Type.Kind == record.Float && k == record.Int:
		case f.Type.Kind == record.Int && k == record.Float:
			f.Type.Kind, f.Native = k, k.String()
		default:
			f.Type.Kind, f.Native = record.Absent, "mixed"
		}
		if f.Path = path; f.Native == "" {
			f.Native = "null"
		}
		seen[path] = f
	})
}

// knows reports whether records of the file have this path.
func (c *collection) knows(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.seen[path]
	return ok
}

// typeOf is the kind that a path has in the file; the zero Type where that is not known.
func (c *collection) typeOf(path string) record.Type {
	if c.Format == "csv" {
		return record.Type{Kind: record.Text}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[path].Type
}

// wrote makes paths known that a write brought into the file.
func (c *collection) wrote(f record.Fields) {
	if c.Format == "csv" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, v := range f {
		if _, ok := c.seen[path]; !ok && v.Known() {
			c.seen[path] = connectors.Field{Path: path, Native: "null"}
		}
	}
}

// Describe says what learn saw. A JSON file may hold more than that.
func (c *collection) Describe(context.Context) (*connectors.Schema, error) {
	s := &connectors.Schema{Key: c.Key, Label: c.Label, Open: c.Format != "csv"}
	for _, name := range c.columns {
		s.Fields = append(s.Fields, connectors.Field{Path: name, Type: record.Type{Kind: record.Text}, Native: "text"})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, path := range slices.Sorted(maps.Keys(c.seen)) {
		s.Fields = append(s.Fields, c.seen[path])
	}
	if _, ok := s.Field(c.Key); !ok {
		s.Fields = append(s.Fields, connectors.Field{Path: c.Key})
	}
	for i := range s.Fields {
		if f := &s.Fields[i]; f.Path == c.Key {
			f.ReadOnly = true // given once, by a create
		}
	}
	return s, nil
}
