package properties

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// The paths that every alarm has. All others are properties.
const (
	pathID       = "id" // the key: agent/element/root alarm
	pathName     = "name"
	pathSeverity = "severity"
	pathElement  = "element"
)

var builtin = []string{pathID, pathName, pathSeverity, pathElement}

const howToDefine = "create them in DataMiner Cube, as properties of the kind Alarm, spelled exactly like this"

// A Collection is the properties of all alarms, keyed by "agent/element/root".
type Collection struct {
	client   *client
	pageSize int

	mu      sync.Mutex
	defined map[string]bool // as last asked; nil before
}

// alarm is the wire form.
type alarm struct {
	DMA        int64             `json:"dma"`
	Element    int64             `json:"element"`
	Root       int64             `json:"root"`
	Name       string            `json:"name"`
	Source     string            `json:"elementName"`
	Severity   string            `json:"severity"`
	Modified   int64             `json:"modifiedAt"`
	Author     string            `json:"modifiedBy"`
	Revision   int64             `json:"revision"`
	Properties map[string]string `json:"properties"`
}

func (a *alarm) key() string { return fmt.Sprintf("%d/%d/%d", a.DMA, a.Element, a.Root) }

// version is the revision, or the time of the last change where the system counts none.
func (a *alarm) version() string {
	if a.Revision == 0 {
		return strconv.FormatInt(a.Modified, 10)
	}
	return strconv.FormatInt(a.Revision, 10)
}

// value reads a path. A property that is not set is null; one that does not exist is absent.
func (a *alarm) value(path string, defined map[string]bool) record.Value {
	switch path {
	case pathID:
		return record.OfText(a.key())
	case pathName:
		return textOrNull(a.Name)
	case pathSeverity:
		return textOrNull(a.Severity)
	case pathElement:
		return textOrNull(a.Source)
	}
	v, there := a.Properties[path]
	if !there && !defined[path] {
		return record.Value{}
	}
	return textOrNull(v)
}

func textOrNull(s string) record.Value {
	if s == "" {
		return record.NullValue
	}
	return record.OfText(s)
}

func (a *alarm) record(paths []string, defined map[string]bool) record.Record {
	r := record.Record{Key: a.key(), Label: a.Name, Version: a.version(), Author: a.Author, Values: make([]record.Value, len(paths))}
	if a.Modified > 0 {
		r.Modified = time.UnixMilli(a.Modified).UTC()
	}
	for i, p := range paths {
		r.Values[i] = a.value(p, defined)
	}
	return r
}

// ask refreshes what is known of the defined properties.
func (c *Collection) ask(ctx context.Context) (map[string]bool, error) {
	i, err := c.client.info(ctx)
	if err != nil {
		return nil, err
	}
	defined := make(map[string]bool, len(i.Properties))
	for _, p := range i.Properties {
		defined[p] = true
	}
	c.mu.Lock()
	c.defined = defined
	c.mu.Unlock()
	return defined, nil
}

// knowing returns the defined properties, asking again when one of paths is not among those known: somebody
// may have made it meanwhile.
func (c *Collection) knowing(ctx context.Context, paths []string) (map[string]bool, error) {
	c.mu.Lock()
	defined := c.defined
	c.mu.Unlock()
	if defined == nil || len(unknown(paths, defined)) > 0 {
		return c.ask(ctx)
	}
	return defined, nil
}

// unknown lists the paths that do not exist.
func unknown(paths []string, defined map[string]bool) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return defined[p] || slices.Contains(builtin, p) })
}

// page is one answer with alarms.
type page struct {
	Alarms []alarm `json:"alarms"`
	Next   string  `json:"next"`
	AsOf   int64   `json:"asOf"`
}

// Scan reads the alarms by their last change, so that one that changes meanwhile moves to the end and is seen
// again, never missed. The next scan starts, inclusively, at the time the system had when this one began.
func (c *Collection) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	const op = "scan " + CollectionName
	if q.Native != "" {
		return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "there is no query language of its own", Hint: "take query out and write the scope as where"}
	}
	if _, err := strconv.ParseInt(q.Since, 10, 64); q.Since != "" && err != nil {
		return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%q is no point of an earlier scan", q.Since), Hint: "run a full scan"}
	}
	defined, err := c.ask(ctx)
	if err != nil {
		return connectors.Window{}, err
	}
	query := url.Values{"limit": {strconv.Itoa(c.pageSize)}}
	if q.Since != "" {
		query.Set("since", q.Since)
	}
	var window connectors.Window
	for first := true; ; first = false {
		var p page
		began := c.client.now()
		if err := c.client.do(ctx, op, "/fieldsync/alarms", query, nil, &p); err != nil {
			return connectors.Window{}, err
		}
		if p.Alarms == nil || p.AsOf == 0 || p.Next != "" && p.Next == query.Get("after") {
			return connectors.Window{}, broken(op)
		}
		if first {
			window = connectors.Window{Next: strconv.FormatInt(p.AsOf, 10), Clock: clockOf(p.AsOf, began, c.client.now())}
		}
		for i := range p.Alarms {
			if err := emit(p.Alarms[i].record(q.Paths, defined)); err != nil {
				return connectors.Window{}, err
			}
		}
		if p.Next == "" {
			return window, nil
		}
		query.Set("after", p.Next)
	}
}

func broken(op string) error {
	return &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: "the answer has no alarms, or pages that go in a circle", Hint: "check url and the version of the system's script"}
}

// chunk is how many ids or values go into one request: their addresses stay short enough for any proxy.
const (
	chunk      = 50
	chunkBytes = 4000
)

// chunks cuts values into parts that fit into a request.
func chunks(values []string) [][]string {
	var out [][]string
	for len(values) > 0 {
		n, size := 0, 0
		for n < len(values) && n < chunk && (n == 0 || size+len(url.QueryEscape(values[n])) < chunkBytes) {
			size += len(url.QueryEscape(values[n])) + len("value=&")
			n++
		}
		out, values = append(out, values[:n]), values[n:]
	}
	return out
}

// Read emits the alarms with these keys.
func (c *Collection) Read(ctx context.Context, paths []string, keys []string, emit func(record.Record) error) error {
	defined, err := c.knowing(ctx, paths)
	if err != nil {
		return err
	}
	return c.some(ctx, "read "+CollectionName, url.Values{}, "id", distinct(keys), func(a *alarm) error {
		if !slices.Contains(keys, a.key()) {
			return nil
		}
		return emit(a.record(paths, defined))
	})
}

// Find emits the alarms that carry one of the values in a property.
func (c *Collection) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	const op = "find " + CollectionName
	var texts []string
	for _, v := range values {
		if v.Known() && !v.Empty() {
			texts = append(texts, v.Plain())
		}
	}
	if path == pathID {
		return c.Read(ctx, paths, texts, emit)
	}
	if slices.Contains(builtin, path) {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Fields: []string{path}, Detail: fmt.Sprintf("alarms cannot be searched by %s", path), Hint: "match by id or by a property"}
	}
	defined, err := c.knowing(ctx, append(slices.Clone(paths), path))
	if err != nil {
		return err
	}
	if !defined[path] {
		return missing(op, connectors.ErrConfig, []string{path}, defined)
	}
	seen := map[string]bool{}
	return c.some(ctx, op, url.Values{"property": {path}}, "value", distinct(texts), func(a *alarm) error {
		// What the system takes for equal is its business; only the very value counts here.
		if seen[a.key()] || !slices.Contains(texts, a.Properties[path]) {
			return nil
		}
		seen[a.key()] = true
		return emit(a.record(paths, defined))
	})
}

func distinct(values []string) []string {
	values = slices.Clone(values)
	slices.Sort(values)
	return slices.Compact(values)
}

// some reads the alarms that have one of the values in a parameter, part by part and page by page.
func (c *Collection) some(ctx context.Context, op string, query url.Values, parameter string, values []string, emit func(*alarm) error) error {
	for _, part := range chunks(values) {
		query[parameter] = part
		query.Set("limit", strconv.Itoa(c.pageSize))
		query.Del("after")
		for {
			var p page
			if err := c.client.do(ctx, op, "/fieldsync/alarms", query, nil, &p); err != nil {
				return err
			}
			if p.Alarms == nil || p.Next != "" && p.Next == query.Get("after") {
				return broken(op)
			}
			for i := range p.Alarms {
				if err := emit(&p.Alarms[i]); err != nil {
					return err
				}
			}
			if p.Next == "" {
				break
			}
			query.Set("after", p.Next)
		}
	}
	return nil
}

// Update sets the properties that differ. Each write makes a record in the alarm's tree, so that what is there
// already is not sent. The version is not used: the protocol has no conditional write.
func (c *Collection) Update(ctx context.Context, paths []string, key, _ string, f record.Fields) (record.Record, error) {
	op := "update alarm " + key
	var names []string
	for p := range f {
		if slices.Contains(builtin, p) {
			return record.Record{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{p}, Detail: p + " is set by the system", Hint: "write to a property"}
		}
		names = append(names, p)
	}
	slices.Sort(names)
	defined, err := c.knowing(ctx, append(slices.Clone(paths), names...))
	if err != nil {
		return record.Record{}, err
	}
	if gone := unknown(names, defined); len(gone) > 0 {
		return record.Record{}, missing(op, connectors.ErrRefused, gone, defined)
	}
	now, err := c.one(ctx, op, key)
	if err != nil {
		return record.Record{}, err
	}
	set := map[string]string{}
	for p, v := range f {
		text := ""
		if v.Known() && !v.Empty() {
			text = v.Plain()
		}
		if now.Properties[p] != text {
			set[p] = text
		}
	}
	if len(set) == 0 {
		return now.record(paths, defined), nil
	}
	if err := c.set(ctx, op, now, set); err != nil {
		return record.Record{}, err
	}
	after, err := c.one(ctx, op, key)
	if err != nil {
		// The write has happened; what it left is not known.
		return record.Record{}, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "written, but it could not be read back", Err: err}
	}
	return after.record(paths, defined), nil
}

// one reads a single alarm.
func (c *Collection) one(ctx context.Context, op, key string) (*alarm, error) {
	var found *alarm
	err := c.some(ctx, op, url.Values{}, "id", []string{key}, func(a *alarm) error {
		if a.key() == key {
			found = a
		}
		return nil
	})
	if err == nil && found == nil {
		err = &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Detail: "the alarm is gone"}
	}
	return found, err
}

// set writes properties of one alarm.
func (c *Collection) set(ctx context.Context, op string, a *alarm, values map[string]string) error {
	body, err := json.Marshal(map[string]any{"alarms": []any{map[string]any{"dma": a.DMA, "element": a.Element, "root": a.Root, "set": values}}})
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	var out struct {
		Alarms []struct {
			OK    bool   `json:"ok"`
			Error string `json:"error"`
		} `json:"alarms"`
	}
	if err := c.client.do(ctx, op, "/fieldsync/alarm-properties", nil, body, &out); err != nil {
		if errors.Is(err, connectors.ErrNotFound) {
			// The alarm was there a moment ago: it is the address that is unknown.
			return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Err: err, Detail: "the system cannot set alarm properties", Hint: "check url and the version of the system's script"}
		}
		return err
	}
	switch {
	case len(out.Alarms) != 1:
		return &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: fmt.Sprintf("one alarm was written and %d are answered for", len(out.Alarms))}
	case out.Alarms[0].OK:
		return nil
	case strings.Contains(out.Alarms[0].Error, "alarm not found"):
		return &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Detail: "the alarm is gone"}
	case strings.Contains(out.Alarms[0].Error, "property not defined"):
		// It was there when last asked; the next call asks again.
		c.mu.Lock()
		c.defined = nil
		c.mu.Unlock()
		var names []string
		for p := range values {
			if strings.Contains(out.Alarms[0].Error, p) {
				names = append(names, p)
			}
		}
		return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: names, Detail: out.Alarms[0].Error, Hint: howToDefine}
	}
	return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: out.Alarms[0].Error, Hint: "a property may allow certain values only; look at its definition"}
}

// Describe lists the paths of every alarm and the defined properties.
func (c *Collection) Describe(ctx context.Context) (*connectors.Schema, error) {
	defined, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	text := record.Type{Kind: record.Text}
	s := &connectors.Schema{Key: pathID, Label: pathName, Fields: []connectors.Field{
		{Path: pathID, Label: "Alarm", Type: text, Native: "alarm id", ReadOnly: true},
		{Path: pathName, Label: "Name", Type: text, Native: "alarm", ReadOnly: true},
		{Path: pathSeverity, Label: "Severity", Type: text, Native: "alarm", ReadOnly: true},
		{Path: pathElement, Label: "Element", Type: text, Native: "alarm", ReadOnly: true},
	}}
	for _, name := range names(defined) {
		if !slices.Contains(builtin, name) {
			s.Fields = append(s.Fields, connectors.Field{Path: name, Label: name, Type: text, Native: "property"})
		}
	}
	return s, nil
}

// Require says which of the paths do not exist.
func (c *Collection) Require(ctx context.Context, paths []string) error {
	defined, err := c.ask(ctx)
	if err != nil {
		return err
	}
	if gone := unknown(paths, defined); len(gone) > 0 {
		return missing("check "+CollectionName, connectors.ErrConfig, gone, defined)
	}
	return nil
}

// missing names every property that does not exist, and the ones that may have been meant.
func missing(op string, kind error, gone []string, defined map[string]bool) error {
	quoted := make([]string, len(gone))
	hint := howToDefine
	for i, p := range gone {
		quoted[i] = strconv.Quote(p)
		if near := connectors.Nearest(p, names(defined)); near != "" {
			hint += fmt.Sprintf("; there is %q, did you mean that instead of %q?", near, p)
		}
	}
	detail := "alarm properties " + strings.Join(quoted, ", ") + " do not exist"
	if len(gone) == 1 {
		detail = "alarm property " + quoted[0] + " does not exist"
	}
	return &connectors.Error{Kind: kind, Op: op, Fields: gone, Detail: detail, Hint: hint}
}

func names(defined map[string]bool) []string {
	out := make([]string, 0, len(defined))
	for n := range defined {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}
