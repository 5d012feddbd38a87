package rest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Create sends a new record and shows what is stored.
func (c *collection) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	op := "create " + c.b.name
	f, late := c.split(f)
	body, steps, err := c.body(ctx, op, c.b.create, f, true)
	if err != nil {
		return record.Record{}, err
	}
	w := c.b.create
	w.constants(body, nil, nil)
	a, err := c.client().do(ctx, &call{op: op, method: w.method, path: w.path.fill(nil, nil), query: query(w.query, nil), body: body})
	if err != nil {
		return record.Record{}, err
	}
	var key string
	if w.key != nil {
		key, err = w.key.text(a.view())
	} else if item, ierr := itemOf(w.item, a); ierr != nil {
		err = ierr
	} else {
		key, err = c.keyOf(item)
	}
	if err != nil || key == "" {
		e := &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "the answer does not say which record was made", Err: err}
		if said := c.client().says(a, nil); said != "" {
			e.Detail += "; it says: " + said
		}
		return record.Record{}, e
	}
	for _, s := range steps {
		if err := c.step(ctx, op, key, s); err != nil {
			c.conn.env.Log.Warn("the new record was not finished", "op", op, "record", key, "field", s.field.Path, "err", err)
		}
	}
	if len(late) > 0 {
		return c.finish(ctx, op, key, paths, late)
	}
	if w.item != nil && len(steps) == 0 {
		if item, err := itemOf(w.item, a); err == nil {
			if r, in, err := c.record(item, paths); err == nil && in {
				return r, nil
			}
		}
	}
	return c.stored(ctx, op, key, paths)
}

// split takes out of f what new records do not take.
func (c *collection) split(f record.Fields) (first, late record.Fields) {
	first, late = record.Fields{}, record.Fields{}
	for p, v := range f {
		if d := c.b.field(p); d == nil || !d.updateOnly {
			first[p] = v
		} else if v.Known() && !v.Empty() {
			late[p] = v
		}
	}
	return first, late
}

// finish writes what new records do not take, where this one does not show it by itself. A tool that refuses has made
// the record all the same; the caller sees what it shows.
func (c *collection) finish(ctx context.Context, op, key string, paths []string, late record.Fields) (record.Record, error) {
	wanted := slices.Sorted(maps.Keys(late))
	r, err := c.stored(ctx, op, key, slices.Concat(paths, wanted))
	if err != nil {
		return r, err
	}
	for i, p := range wanted {
		if r.Values[len(paths)+i] == late[p] {
			delete(late, p)
		}
	}
	r.Values = r.Values[:len(paths)]
	if len(late) == 0 {
		return r, nil
	}
	now, err := c.Update(ctx, paths, key, "", late)
	if err != nil {
		c.conn.env.Log.Warn("the new record was not finished", "op", op, "record", key, "err", err)
		return r, nil
	}
	return now, nil
}

// Update changes fields of a record and shows what is stored afterwards. Some tools take a write, store a part of it
// and say so with a success; the caller sees it in the record.
func (c *collection) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	op := "update " + c.b.name + " " + key
	w := c.b.update
	body, steps, err := c.body(ctx, op, w, f, false)
	if err != nil {
		return record.Record{}, err
	}
	now, err := c.condition(ctx, op, w, key, version)
	if err != nil {
		return record.Record{}, err
	}
	// What takes a request of its own goes first: where it is refused nothing has happened yet.
	for i, s := range steps {
		if err := c.step(ctx, op, key, s); err != nil {
			return record.Record{}, half(op, err, i > 0)
		}
	}
	if body == nil {
		return c.stored(ctx, op, key, paths)
	}
	if len(steps) > 0 { // they moved it
		if now, err = c.condition(ctx, op, w, key, ""); err != nil {
			return record.Record{}, half(op, err, true)
		}
	}
	values := map[string]string{"key": key, "version": fmt.Sprint(now.version)}
	w.constants(body, values, now.version)
	a, err := c.client().do(ctx, &call{op: op, method: w.method, path: w.path.fill(values, url.PathEscape), query: query(w.query, values), body: body, match: now.tag, versioned: w.given, one: true})
	if err != nil {
		return record.Record{}, half(op, err, len(steps) > 0)
	}
	if said := sentence(a.body); said != "" && isSentences(a.body) {
		c.conn.env.Log.Debug("the tool says", "op", op, "says", shorten(said))
	}
	if w.item != nil {
		if item, err := itemOf(w.item, a); err == nil {
			if r, in, err := c.record(item, paths); err == nil && in && r.Key == key {
				return r, nil
			}
		}
	}
	return c.stored(ctx, op, key, paths)
}

func isSentences(body any) bool { _, list := body.([]any); return list }

// half is an error of a write that has happened in part already: nobody may take it for one that did nothing.
func half(op string, err error, begun bool) error {
	e, ok := errors.AsType[*connectors.Error](err)
	if !begun || !ok {
		return err
	}
	return &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "a part of the change was made, the rest not: " + e.Error(), Hint: e.Hint, Err: e}
}

// Delete removes a record, or does what the tool has in its place.
func (c *collection) Delete(ctx context.Context, key, version string) error {
	op := "delete " + c.b.name + " " + key
	w := c.b.remove
	now, err := c.condition(ctx, op, w, key, version)
	if errors.Is(err, connectors.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	values := map[string]string{"key": key, "version": fmt.Sprint(now.version)}
	cl := &call{op: op, method: w.method, path: w.path.fill(values, url.PathEscape), query: query(w.query, values), match: now.tag, versioned: w.given, one: true}
	if len(w.set) > 0 {
		body := map[string]any{}
		w.constants(body, values, now.version)
		cl.body = body
	}
	_, err = c.client().do(ctx, cl)
	switch {
	case err == nil, errors.Is(err, connectors.ErrNotFound):
		return nil
	case errors.Is(err, connectors.ErrOutcome), errors.Is(err, connectors.ErrRefused):
		// Some tools fail over a record that is deleted already; whether it is there decides.
		if _, gone := c.there(ctx, key); errors.Is(gone, connectors.ErrNotFound) {
			return nil
		}
	}
	return err
}

// A condition is what a write says about the record that it is for.
type condition struct {
	tag     string // for If-Match
	version any    // for {version}, as the record shows it
}

// condition is that of a write which is to happen only if the record is still the one of this version. What goes with
// the write is taken first and the record compared then, so that no change fits between.
func (c *collection) condition(ctx context.Context, op string, w *write, key, version string) (condition, error) {
	var shown condition
	if !w.given && (!w.etag || version == "") {
		return shown, nil
	}
	item, header, err := c.one(ctx, op, key)
	if err != nil {
		return shown, unwritten(op, err)
	}
	if w.etag && version != "" {
		if shown.tag = header.Get("ETag"); shown.tag == "" {
			return shown, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: "the tool gave no ETag for the record", Hint: "take etag out of the description, or look at the proxies in between"}
		}
	}
	if w.given {
		if shown.version, err = c.b.version.raw(&view{item: item}); err != nil || shown.version == nil {
			return shown, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: "the record shows no version where the description says: version", Err: err}
		}
	}
	if version == "" {
		return shown, nil
	}
	var now record.Record
	if c.b.many == nil {
		if now, _, err = c.record(item, nil); err != nil {
			return shown, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: err.Error()}
		}
	} else if err := c.Read(ctx, nil, []string{key}, func(r record.Record) error { now = r; return nil }); err != nil {
		return shown, unwritten(op, err)
	}
	switch {
	case now.Key != key:
		return shown, &connectors.Error{Kind: connectors.ErrNotFound, Op: op}
	case now.Version != version:
		return shown, &connectors.Error{Kind: connectors.ErrStale, Op: op}
	}
	return shown, nil
}

// unwritten is an error of a read before a write: nothing was sent.
func unwritten(op string, err error) error {
	if e, ok := errors.AsType[*connectors.Error](err); ok && errors.Is(e.Kind, connectors.ErrProtocol) {
		return &connectors.Error{Kind: connectors.ErrBusy, Op: op, Detail: e.Error(), Hint: e.Hint, Err: e}
	}
	return err
}

// stored reads a record after a write.
func (c *collection) stored(ctx context.Context, op, key string, paths []string) (record.Record, error) {
	var r record.Record
	err := c.Read(ctx, paths, []string{key}, func(got record.Record) error { r = got; return nil })
	switch {
	case err != nil:
		return r, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "it was written and could not be read back: " + err.Error(), Hint: connectors.Hint(err)}
	case r.Key == "":
		return r, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "it was written and is not there any more", Hint: "a rule of the tool may have moved it away, or this user may not see it"}
	}
	return r, nil
}

// A sending is a field that takes a request of its own.
type sending struct {
	field *field
	value record.Value
}

// body is what a write sends beside its constants, nil when no field is left for it, and the fields that take requests
// of their own.
func (c *collection) body(ctx context.Context, op string, w *write, f record.Fields, creating bool) (map[string]any, []sending, error) {
	body := map[string]any{}
	var steps []sending
	paths := make([]string, 0, len(f))
	for p, v := range f {
		if v.Known() {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	n := 0
	for _, p := range paths {
		refuse := func(detail string) error {
			return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: p + ": " + detail, Fields: []string{p}}
		}
		d := c.b.field(p)
		if d != nil && d.step != nil {
			steps = append(steps, sending{d, f[p]})
			continue
		}
		switch {
		case d != nil && d.ReadOnly, p == c.b.keyPath:
			return nil, nil, refuse("the tool sets it by itself")
		case d != nil && d.createOnly && !creating:
			return nil, nil, refuse("it can be set on new records only")
		}
		if err := c.put(ctx, w, body, p, d, f[p], refuse); err != nil {
			return nil, nil, err
		}
		n++
	}
	if n == 0 && !creating {
		return nil, steps, nil
	}
	return body, steps, nil
}

// put places one value in a body.
func (c *collection) put(ctx context.Context, w *write, body map[string]any, path string, d *field, v record.Value, refuse func(string) error) error {
	target := strings.Split(path, ".")
	var sent any
	switch {
	case v.Empty() && d != nil:
		sent = d.clear
	case v.Empty():
	case d != nil && d.options != nil:
		value, err := c.valueOf(ctx, d, "", v)
		if err != nil {
			return err
		}
		sent = value
	case d != nil && d.send != nil:
		out, err := d.send.run(&view{value: v})
		if err != nil {
			return refuse(err.Error())
		}
		sent = wire(out, d.layout)
	case d != nil:
		sent = wire(v, d.layout)
	default:
		sent = wire(v, "")
	}
	n, name := c.b.family(path)
	if n == nil || d != nil && strings.Join(d.write, ".") != path {
		if d != nil {
			target = d.write
		}
		target = append(slices.Clone(w.wrap), target...)
		return set(body, target, beside(d, body, target, sent), refuse)
	}
	if v.Empty() && sent == nil {
		sent = n.clear
	}
	id, err := c.idOf(ctx, n, name)
	if err != nil {
		return err
	}
	in := append(slices.Clone(w.wrap), strings.Split(n.in, ".")...)
	if n.object {
		return set(body, append(in, fmt.Sprint(id)), sent, refuse)
	}
	return add(body, in, map[string]any{n.id: id, n.member: sent}, refuse)
}

// beside is v with what another path has put in the same place: lists are appended, texts joined where the description
// says with what.
func beside(d *field, body map[string]any, path []string, v any) any {
	for _, name := range path[:len(path)-1] {
		body, _ = body[name].(map[string]any)
	}
	switch old := body[path[len(path)-1]].(type) {
	case []any:
		if more, ok := v.([]any); ok {
			return append(slices.Clone(old), more...)
		}
	case string:
		if more, ok := v.(string); ok && d != nil && d.join != "" {
			return old + d.join + more
		}
	}
	return v
}

// extends reports whether v has all of old in it, as beside makes it.
func extends(v, old any) bool {
	switch v := v.(type) {
	case []any:
		o, ok := old.([]any)
		return ok && len(v) > len(o)
	case string:
		o, ok := old.(string)
		return ok && len(v) > len(o) && strings.HasPrefix(v, o)
	}
	return false
}

// constants puts what every body of this write has into it. version stands for {version}, as the record shows it.
func (w *write) constants(body map[string]any, values map[string]string, version any) {
	constants(w.set, w.wrap, body, func(text string) any {
		if text == "{version}" && version != nil {
			return version
		}
		return template(text).fill(values, nil)
	})
}

func constants(list []constant, wrap []string, body map[string]any, fill func(text string) any) {
	for _, s := range list {
		// A value that a rule writes is not replaced by a constant.
		if at := append(slices.Clone(wrap), s.at...); !has(body, at) {
			_ = set(body, at, filled(s.value, fill), func(string) error { return nil })
		}
	}
}

func has(object map[string]any, path []string) bool {
	for _, name := range path[:len(path)-1] {
		object, _ = object[name].(map[string]any)
	}
	_, ok := object[path[len(path)-1]]
	return ok
}

// set puts v into object under path, making the objects in between.
func set(object map[string]any, path []string, v any, refuse func(string) error) error {
	for _, name := range path[:len(path)-1] {
		inner, ok := object[name].(map[string]any)
		if !ok {
			if object[name] != nil {
				return refuse(fmt.Sprintf("%s is written whole by another rule", name))
			}
			inner = map[string]any{}
			object[name] = inner
		}
		object = inner
	}
	last := path[len(path)-1]
	if old, twice := object[last]; twice && !extends(v, old) {
		return refuse("another path is written to the same place")
	}
	object[last] = v
	return nil
}

// add puts v at the end of a list.
func add(object map[string]any, path []string, v any, refuse func(string) error) error {
	var list []any
	for _, name := range path[:len(path)-1] {
		inner, ok := object[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			object[name] = inner
		}
		object = inner
	}
	last := path[len(path)-1]
	if there, ok := object[last]; ok {
		if list, ok = there.([]any); !ok {
			return refuse(fmt.Sprintf("%s is written whole by another rule", last))
		}
	}
	object[last] = append(list, v)
	return nil
}

// step sends a field that takes a request of its own.
func (c *collection) step(ctx context.Context, op, key string, s sending) error {
	w := s.field.step
	values := map[string]string{"key": key, "value": s.value.Plain()}
	if s.field.options != nil {
		v, err := c.valueOf(ctx, s.field, key, s.value)
		if err != nil {
			return err
		}
		values["value"] = fmt.Sprint(v)
	}
	body := map[string]any{}
	w.constants(body, values, nil)
	_, err := c.client().do(ctx, &call{op: op, method: w.method, path: w.path.fill(values, url.PathEscape), query: query(w.query, values), body: body, one: true})
	return err
}
