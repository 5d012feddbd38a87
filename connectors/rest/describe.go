package rest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Describe lists the described fields, what else the records of the first page show, and live choices. The schema is
// open unless the description says that it is closed and something showed what it leaves to the site.
func (c *collection) Describe(ctx context.Context) (*connectors.Schema, error) {
	s := &connectors.Schema{Key: c.b.keyPath, Label: c.b.labelPath, Open: true}
	found := map[string]bool{}
	add := func(f connectors.Field) {
		if !found[f.Path] {
			found[f.Path] = true
			s.Fields = append(s.Fields, f)
		}
	}
	for _, f := range c.b.fields {
		d := f.Field
		if f.options != nil && !f.options.path.has("key") {
			list, err := c.offered(ctx, f, "", true)
			switch {
			case errors.Is(err, connectors.ErrDenied), errors.Is(err, connectors.ErrConfig):
				c.conn.env.Log.Debug("choices are not shown to this user", "field", f.Path, "err", err)
			case err != nil:
				return nil, err
			}
			for _, o := range list {
				d.Choices = append(d.Choices, connectors.Choice{Value: record.OfText(o.label)})
			}
			d.Closed = len(d.Choices) > 0
		}
		add(d)
	}
	add(connectors.Field{Path: c.b.keyPath, ReadOnly: true})
	seen := map[string]string{}
	n, _, err := c.sample(ctx, func(item any) {
		m, _ := item.(map[string]any)
		for name, v := range m {
			if !slices.ContainsFunc(c.b.named, func(n *named) bool { return n.in == name }) {
				members(seen, name, v, 0)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	shown := n > 0
	for _, fam := range c.b.named {
		if err := c.ask(ctx, fam); err != nil {
			return nil, err
		}
		shown = shown || fam.known != nil
	}
	c.mu.Lock()
	for _, fam := range c.b.named {
		for name := range c.ids[fam.path] {
			seen[fam.path+"."+name] = ""
		}
	}
	c.mu.Unlock()
	for _, path := range slices.Sorted(maps.Keys(seen)) {
		add(connectors.Field{Path: path, Native: seen[path]})
	}
	if c.b.labelPath != "" {
		add(connectors.Field{Path: c.b.labelPath})
	}
	s.Open = !c.b.closed || !shown
	for _, t := range c.b.threads {
		s.Threads = append(s.Threads, connectors.Thread{Path: t.name, Label: t.label, Readers: t.readers, Editable: t.edit != nil, ReadOnly: t.add == nil})
	}
	for _, t := range c.b.cabinets {
		s.Files = append(s.Files, connectors.Thread{Path: t.name, Label: t.label, Readers: t.readers, ReadOnly: t.add == nil})
	}
	return s, nil
}

// members notes the paths of a JSON value and what they hold: objects by their members, two levels deep.
func members(into map[string]string, path string, v any, depth int) {
	m, ok := v.(map[string]any)
	if !ok || depth == 2 || len(m) == 0 {
		kind := ""
		if rv, err := record.Of(v); err == nil && !rv.Empty() {
			kind = rv.Kind().String()
		}
		if into[path] == "" {
			into[path] = kind
		}
		return
	}
	for name, e := range m {
		members(into, path+"."+name, e, depth+1)
	}
}

// lists are where in an answer lists stand, three levels deep.
func lists(path string, v any, depth int) []string {
	switch v := v.(type) {
	case []any:
		return []string{path}
	case map[string]any:
		var found []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if depth < 3 {
				found = append(found, lists(path+"."+name, v[name], depth+1)...)
			}
		}
		return found
	}
	return nil
}

// plainly lists the paths of an item that hold a text or a number, for whoever looks for its key.
func plainly(item any) string {
	seen := map[string]string{}
	m, _ := item.(map[string]any)
	for name, v := range m {
		members(seen, name, v, 0)
	}
	var paths []string
	for _, path := range slices.Sorted(maps.Keys(seen)) {
		if kind := seen[path]; kind == "text" || kind == "int" {
			paths = append(paths, "item."+path)
		}
	}
	const some = 12
	if len(paths) > some {
		paths = append(paths[:some], "…")
	}
	return strings.Join(paths, ", ")
}
