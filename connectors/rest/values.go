package rest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// value is what an item shows at a path. A described field that is not there is empty, as most tools leave out what
// is; a path of which nothing is known is absent then.
func (c *collection) value(item any, path string) record.Value {
	if f := c.b.field(path); f != nil {
		return f.value(item, c.b)
	}
	if path == c.b.keyPath {
		v, err := c.b.key.get(&view{item: item})
		if err != nil {
			return record.UnknownValue
		}
		return v
	}
	if n, name := c.b.family(path); n != nil {
		return n.value(item, name)
	}
	return member(item, path)
}

func member(item any, path string) record.Value {
	a, there := at(item, path)
	if !there {
		return record.Value{}
	}
	v, err := valueOf(a)
	if err != nil {
		return record.UnknownValue
	}
	return v
}

func (f *field) value(item any, b *blueprint) record.Value {
	var v record.Value
	if f.read != nil {
		var err error
		if v, err = f.read.get(&view{item: item}); err != nil {
			return record.UnknownValue
		}
	} else if n, name := b.family(f.Path); n != nil {
		v = n.value(item, name)
	} else {
		v = member(item, f.Path)
	}
	switch {
	case v.Kind() == record.Absent && f.unknown, v.Kind() == record.Unknown:
		return record.UnknownValue
	case v.Kind() == record.Absent:
		return record.NullValue
	}
	if f.Type.Kind == record.Time {
		if t := instant(v); !t.IsZero() {
			v = record.OfTime(t)
		}
	}
	typed, err := f.Type.Coerce(v)
	if err != nil {
		return record.UnknownValue // not of its type: it may take part in no decision
	}
	return typed
}

// element finds the one of a named list that is called name, or has it as what writes call it.
func (n *named) element(item any, name string) (map[string]any, bool) {
	a, _ := at(item, n.in)
	list, _ := a.([]any)
	for _, member := range []string{n.name, n.id} {
		for _, e := range list {
			m, _ := e.(map[string]any)
			if v, ok := m[member]; ok && fmt.Sprint(v) == name {
				return m, true
			}
		}
	}
	return nil, false
}

func (n *named) value(item any, name string) record.Value {
	m, ok := n.element(item, name)
	if !ok {
		return record.Value{}
	}
	a := m[n.member]
	if list, ok := a.([]any); ok && n.single {
		switch {
		case len(list) == 0 || len(list) == 1 && list[0] == nil:
			return record.NullValue
		case len(list) == 1:
			a = list[0]
		}
	}
	v, err := valueOf(a)
	if err != nil {
		return record.UnknownValue
	}
	return v
}

// learn keeps what writes call the elements of named lists.
func (c *collection) learn(item any) {
	for _, n := range c.b.named {
		a, _ := at(item, n.in)
		list, _ := a.([]any)
		c.note(n, list)
	}
}

func (c *collection) note(n *named, elements []any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids[n.path] == nil {
		c.ids[n.path] = map[string]any{}
	}
	for _, e := range elements {
		if m, ok := e.(map[string]any); ok && m[n.name] != nil && m[n.id] != nil {
			c.ids[n.path][fmt.Sprint(m[n.name])] = m[n.id]
		}
	}
}

// ask notes the elements that the tool lists. That it does not show the list to this user is no failure.
func (c *collection) ask(ctx context.Context, n *named) error {
	if n.known == nil {
		return nil
	}
	op := "ask for the fields of " + n.path
	a, err := c.client().do(ctx, &call{op: op, path: n.known.path.fill(nil, nil), query: query(n.known.query, nil)})
	if errors.Is(err, connectors.ErrDenied) || errors.Is(err, connectors.ErrConfig) {
		c.conn.env.Log.Debug("the list of fields is not shown", "named", n.path, "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	w := walk{op: op, list: n.known}
	items, err := w.items(a)
	if err == nil {
		c.note(n, items)
	}
	return err
}

// idOf is what writes and searches call an element of a named list: as the tool lists them, or as a record showed it,
// since such lists are for administrators in many tools. A number may be written as it is.
func (c *collection) idOf(ctx context.Context, n *named, name string) (any, error) {
	var id any
	look := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		found, ok := c.ids[n.path][name]
		id = found
		return ok
	}
	if look() {
		return id, nil
	}
	if n.id == n.name {
		if number, err := strconv.ParseInt(name, 10, 64); err == nil {
			return number, nil
		}
		return name, nil
	}
	if err := c.ask(ctx, n); err != nil {
		return nil, err
	}
	if look() {
		return id, nil
	}
	if id, err := strconv.ParseInt(name, 10, 64); err == nil {
		return id, nil
	}
	if _, _, err := c.sample(ctx, func(any) {}); err != nil {
		return nil, err
	}
	if look() {
		return id, nil
	}
	c.mu.Lock()
	known := slices.Sorted(maps.Keys(c.ids[n.path]))
	c.mu.Unlock()
	hint := fmt.Sprintf("no record shows what fields there are; write the number of the field instead of its name, as in %s.1", n.path)
	switch near := connectors.Nearest(name, known); {
	case near != "":
		hint = fmt.Sprintf("did you mean %q?", n.path+"."+near)
	case len(known) > 0:
		hint = fmt.Sprintf("there are %q", known)
	}
	return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: "look up " + n.path + "." + name, Detail: fmt.Sprintf("there is no field %q", name), Hint: hint, Fields: []string{n.path + "." + name}}
}

// wire is a value as it is sent.
func wire(v record.Value, layout string) any {
	switch v.Kind() {
	case record.Time:
		switch layout {
		case "unix":
			return v.Time().Unix()
		case "unix_ms":
			return v.Time().UnixMilli()
		}
		if layout == "" {
			layout = time.RFC3339
		}
		return v.Time().Format(layout)
	case record.Int:
		return v.Int()
	}
	return v.Any()
}
