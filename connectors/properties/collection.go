package properties

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
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
