package rest

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// choices are what a tool offered for a field, and when.
type choices struct {
	list []offer
	at   time.Time
}

// An offer is one value of a field: people read the label, writes send the value.
type offer struct {
	label string
	value any
}

// choiceLife is how long a tool's list of choices is believed. A label that is not in it is looked for again.
const choiceLife = 10 * time.Minute

// offered asks for the choices of a field. Those that depend on a record are asked for each time.
func (c *collection) offered(ctx context.Context, f *field, key string, again bool) ([]offer, error) {
	c.mu.Lock()
	known, ok := c.choices[f.Path]
	c.mu.Unlock()
	if ok && key == "" && !again && c.conn.env.Now().Sub(known.at) < choiceLife {
		return known.list, nil
	}
	op := "ask for the choices of " + f.Path
	values := map[string]string{"key": key}
	a, err := c.client().do(ctx, &call{op: op, path: f.options.path.fill(values, url.PathEscape), query: query(f.options.query, values), one: key != ""})
	if err != nil {
		return nil, err
	}
	w := walk{op: op, list: &list{items: f.options.items}}
	items, err := w.items(a)
	if err != nil {
		return nil, err
	}
	var list []offer
	for _, item := range items {
		v := &view{item: item}
		label, err := f.options.label.text(v)
		if err != nil {
			return nil, w.broken(err.Error())
		}
		value, err := f.options.value.raw(v)
		if err != nil {
			return nil, w.broken(err.Error())
		}
		if label != "" && value != nil {
			list = append(list, offer{label, value})
		}
	}
	if key == "" {
		c.mu.Lock()
		c.choices[f.Path] = choices{list, c.conn.env.Now()}
		c.mu.Unlock()
	}
	return list, nil
}

// valueOf is what is sent for a label.
func (c *collection) valueOf(ctx context.Context, f *field, key string, v record.Value) (any, error) {
	label := v.Plain()
	if !f.options.path.has("key") {
		key = ""
	}
	var list []offer
	for _, again := range []bool{false, true} {
		var err error
		if list, err = c.offered(ctx, f, key, again); err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(list, func(o offer) bool { return o.label == label }); i >= 0 {
			return list[i].value, nil
		}
		if key != "" {
			break
		}
	}
	var labels []string
	for _, o := range list {
		labels = append(labels, o.label)
	}
	e := &connectors.Error{Kind: connectors.ErrRefused, Op: "write " + f.Path, Fields: []string{f.Path}, Detail: fmt.Sprintf("%q is not one of its choices", label),
		Hint: fmt.Sprintf("the tool offers %q", labels)}
	if key != "" {
		e.Detail = fmt.Sprintf("%s cannot become %q now", key, label)
		e.Hint = fmt.Sprintf("its workflow leads to %q from where it is", labels)
	}
	return nil, e
}
