package dataminer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// webProperty is DMAProperty. How Type is spelled is not published, and it is not needed.
type webProperty struct{ Name, Value string }

// valuesOf are properties by name.
func valuesOf(properties []webProperty) map[string]string {
	m := make(map[string]string, len(properties))
	for _, p := range properties {
		m[p.Name] = p.Value
	}
	return m
}

// propertyName is a name, by itself or in an object: the form in which defined properties are listed is not published.
type propertyName string

// UnmarshalJSON reads either form.
func (n *propertyName) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*n = propertyName(s)
		return nil
	}
	var o struct{ Name string }
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	*n = propertyName(o.Name)
	return nil
}

// object is DMAElement and DMAView as far as they are read.
type object struct {
	Agent           int64 `json:"DataMinerID"`
	ID              int64
	ParentID        int64
	HasChilds       bool
	Name            string
	Description     string
	Severity        string `json:"AlarmState"`
	State           string
	Type            string
	Protocol        string `json:"ProtocolName"`
	ProtocolVersion string
	PollingIP       string
}

// A field is a path that every object of a kind has. All others are properties.
type field struct {
	path, label string
	value       func(*object) record.Value
}

// A kind is what elements, services and views have each for themselves.
type kind struct {
	collection string
	noun       string // as SetPropertyValue calls it
	properties string // the method that reads them
	parts      int    // numbers in a key: agent and id, or the id alone
	fields     []field
	all        func(ctx context.Context, w *web, op string) ([]object, error)
	one        func(ctx context.Context, w *web, op string, id []int64) (*object, error)
}

func text(path, label string, value func(*object) string) field {
	return field{path, label, func(o *object) record.Value { return textOrNull(value(o)) }}
}

var (
	nameField     = text(pathName, "Name", func(o *object) string { return o.Name })
	severityField = text(pathSeverity, "Severity", func(o *object) string { return o.Severity })
	describing    = text("description", "Description", func(o *object) string { return o.Description })
	stateField    = text("state", "State", func(o *object) string { return o.State })
)

// allViews is the root view.
const allViews = -1

var kinds = []*kind{
	{
		collection: "elements", noun: "element", properties: "GetPropertiesForElement", parts: 2,
		fields: []field{nameField, describing, severityField, stateField,
			text("protocol", "Protocol", func(o *object) string { return o.Protocol }),
			text("protocol_version", "Protocol version", func(o *object) string { return o.ProtocolVersion }),
			text("address", "Polling address", func(o *object) string { return o.PollingIP })},
		all: func(ctx context.Context, w *web, op string) ([]object, error) {
			return list[object](ctx, w, op, "GetElementsForView", params{"viewID": allViews, "includeSubViews": true, "includeServices": false})
		},
		one: func(ctx context.Context, w *web, op string, id []int64) (o *object, err error) {
			return o, w.read(ctx, op, "GetElement", params{"dmaID": id[0], "elementID": id[1]}, &o)
		},
	},
	{
		collection: "services", noun: "service", properties: "GetPropertiesForService", parts: 2,
		fields: []field{nameField, describing, severityField, stateField},
		all: func(ctx context.Context, w *web, op string) ([]object, error) {
			return list[object](ctx, w, op, "GetServicesForView", params{"viewID": allViews, "includeSubViews": true})
		},
		one: func(ctx context.Context, w *web, op string, id []int64) (o *object, err error) {
			return o, w.read(ctx, op, "GetService", params{"dmaID": id[0], "serviceID": id[1]}, &o)
		},
	},
	{
		collection: "views", noun: "view", properties: "GetPropertiesForView", parts: 1,
		fields: []field{nameField, severityField, text("parent", "Parent view", func(o *object) string { return fmt.Sprint(o.ParentID) })},
		all:    views,
		one: func(ctx context.Context, w *web, op string, id []int64) (o *object, err error) {
			return o, w.read(ctx, op, "GetView", params{"viewID": id[0]}, &o)
		},
	},
}

// views walks down from the root, which has no properties that anybody sees and is left out.
func views(ctx context.Context, w *web, op string) ([]object, error) {
	var out []object
	seen := map[int64]bool{allViews: true}
	for open := []int64{allViews}; len(open) > 0; open = open[1:] {
		below, err := list[object](ctx, w, op, "GetViewsForParent", params{"viewID": open[0]})
		if err != nil {
			return nil, err
		}
		for _, v := range below {
			if seen[v.ID] {
				continue
			}
			seen[v.ID] = true
			out = append(out, v)
			if v.HasChilds {
				open = append(open, v.ID)
			}
		}
	}
	return out, nil
}

func (k *kind) key(o *object) string {
	if k.parts == 1 {
		return fmt.Sprint(o.ID)
	}
	return fmt.Sprintf("%d/%d", o.Agent, o.ID)
}

func (k *kind) field(path string) (field, bool) {
	i := slices.IndexFunc(k.fields, func(f field) bool { return f.path == path })
	if i < 0 {
		return field{}, false
	}
	return k.fields[i], true
}

// property reports whether a path is one.
func (k *kind) property(path string) bool {
	_, built := k.field(path)
	return !built && path != pathID
}

// Objects are the elements, services or views of a system, keyed by "agent/id" or, for views, the id. What is written is
// their properties. They have no version: it is not said that a property which changes moves an object's time of last change.
type Objects struct {
	web  *web
	kind *kind
}

// Scan reads all objects, and where properties are asked for those of each in a call of its own. Nothing tells what
// changed: Window.Next is empty.
func (c *Objects) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	op := "scan " + c.kind.collection
	if err := noQuery(op, q.Native); err != nil {
		return connectors.Window{}, err
	}
	clock, err := c.web.clock(ctx)
	if err != nil {
		return connectors.Window{}, err
	}
	all, err := c.all(ctx, op)
	if err != nil {
		return connectors.Window{}, err
	}
	err = c.deliver(ctx, op, all, q.Paths, emit)
	if err != nil {
		return connectors.Window{}, err
	}
	return connectors.Window{Clock: clock}, nil
}

// all are the objects, each once: an element is in as many views as people like.
func (c *Objects) all(ctx context.Context, op string) ([]object, error) {
	found, err := c.kind.all(ctx, c.web, op)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(found))
	out := found[:0]
	for i := range found {
		if found[i].ID == 0 {
			return nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: "one of the " + c.kind.collection + " comes without ID", Hint: "this release of DataMiner answers in a form that is not known"}
		}
		if key := c.kind.key(&found[i]); !seen[key] {
			seen[key] = true
			out = append(out, found[i])
		}
	}
	return out, nil
}

func (c *Objects) deliver(ctx context.Context, op string, all []object, paths []string, emit func(record.Record) error) error {
	own := slices.ContainsFunc(paths, c.kind.property)
	return together(ctx, len(all), func(ctx context.Context, i int) (record.Record, error) {
		var properties map[string]string
		if own {
			var err error
			properties, err = c.properties(ctx, op, &all[i])
			if errors.Is(err, connectors.ErrRefused) {
				return c.hidden(ctx, op, &all[i], paths, err)
			}
			if err != nil {
				return record.Record{}, err
			}
		}
		return c.record(&all[i], paths, properties), nil
	}, emit)
}

// hidden is an object whose properties are refused. It may have been removed since it was listed, and is not there then; else
// its properties are not known, which holds what depends on them and nothing more.
func (c *Objects) hidden(ctx context.Context, op string, listed *object, paths []string, refused error) (record.Record, error) {
	o, err := c.object(ctx, op, c.kind.key(listed))
	if err != nil || o == nil {
		return record.Record{}, err
	}
	c.web.log.Warn("properties are not shown", "op", op, c.kind.noun, c.kind.key(o), "err", refused)
	r := c.record(o, paths, nil)
	for i, p := range paths {
		if c.kind.property(p) {
			r.Values[i] = record.UnknownValue
		}
	}
	return r, nil
}

func (c *Objects) record(o *object, paths []string, properties map[string]string) record.Record {
	r := record.Record{Key: c.kind.key(o), Label: o.Name, Values: make([]record.Value, len(paths))}
	for i, p := range paths {
		f, built := c.kind.field(p)
		v, there := properties[p]
		switch {
		case p == pathID:
			r.Values[i] = record.OfText(r.Key)
		case built:
			r.Values[i] = f.value(o)
		case there:
			r.Values[i] = textOrNull(v)
		}
	}
	return r
}

// address is how methods name an object.
func (c *Objects) address(o *object) params {
	if c.kind.parts == 1 {
		return params{"viewID": o.ID}
	}
	return params{"dmaID": o.Agent, c.kind.noun + "ID": o.ID}
}

func (c *Objects) properties(ctx context.Context, op string, o *object) (map[string]string, error) {
	found, err := list[webProperty](ctx, c.web, op, c.kind.properties, c.address(o))
	if err != nil {
		return nil, err
	}
	return valuesOf(found), nil
}

// object reads one; nil if it is not there.
func (c *Objects) object(ctx context.Context, op, key string) (*object, error) {
	id, ok := parts(key, c.kind.parts)
	if !ok {
		return nil, nil // none can have such a key
	}
	o, err := c.kind.one(ctx, c.web, op, id)
	if errors.Is(err, connectors.ErrRefused) {
		// What is answered for an id that is not there is not published. Only the list as well proves that it is gone.
		all, err := c.all(ctx, op)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(all, func(o object) bool { return c.kind.key(&o) == key }); i >= 0 {
			return &all[i], nil
		}
		return nil, nil
	}
	if err != nil || o == nil || c.kind.key(o) != key {
		return nil, err
	}
	return o, nil
}

// Read asks for each object by its id.
func (c *Objects) Read(ctx context.Context, paths []string, keys []string, emit func(record.Record) error) error {
	op := "read " + c.kind.collection
	found, err := gathered(ctx, keys, func(ctx context.Context, key string) (*object, error) { return c.object(ctx, op, key) })
	if err != nil {
		return err
	}
	return c.deliver(ctx, op, found, paths, emit)
}

// Find looks through all objects: there is no method that searches for a property.
func (c *Objects) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	op := "find " + c.kind.collection
	return among(ctx, op, c, paths, path, values, func(emit func(record.Record) error) error {
		all, err := c.all(ctx, op)
		if err != nil {
			return err
		}
		return c.deliver(ctx, op, all, paths, emit)
	}, emit)
}
