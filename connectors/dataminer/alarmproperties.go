package dataminer

import (
	"cmp"
	"context"
	"fmt"
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
	pathCleared  = "cleared"
)

// builtin are those of alarm_properties.
var builtin = []string{pathID, pathName, pathSeverity, pathElement, pathCleared}

const howToDefine = "create them in DataMiner Cube, as properties of the kind Alarm, spelled exactly like this"

// overlap is how far a scan reaches back before the last one: each Agent of a cluster stamps alarms by its own clock.
const overlap = 2 * time.Minute

// AlarmProperties are the properties of all alarms, keyed by tree, "agent/element/root", through the bridge. Alarms come
// and go by themselves: there is neither create nor delete. An alarm that has changed its severity has the tree it had, and is
// written like any other. One that has cleared is gone, or goes on to be written where the settings say so.
type AlarmProperties struct {
	bridge   *bridge
	pageSize int
	kept     bool

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
	Cleared    bool              `json:"cleared"`
	Modified   int64             `json:"modifiedAt"`
	Author     string            `json:"modifiedBy"`
	Revision   int64             `json:"revision"`
	Properties map[string]string `json:"properties"`
}

func (a *alarm) key() string { return treeKey(a.DMA, a.Element, a.Root) }

// treeKey is the identity of an alarm. The id of its newest record is not: every change makes another one.
func treeKey(agent, element, root int64) string { return fmt.Sprintf("%d/%d/%d", agent, element, root) }

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
	case pathCleared:
		return record.OfBool(a.Cleared)
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
	r := record.Record{Key: a.key(), Label: a.Name, Version: a.version(), Author: a.Author, Modified: instant(a.Modified), Values: make([]record.Value, len(paths))}
	for i, p := range paths {
		r.Values[i] = a.value(p, defined)
	}
	return r
}

// page is one answer with alarms.
type page struct {
	Alarms []alarm `json:"alarms"`
	Next   string  `json:"next"`
	AsOf   int64   `json:"asOf"`
}

// Scan reads the alarms by their last change, so that one that changes meanwhile moves to the end and is seen
// again, never missed. The next scan starts, inclusively, at the time the system had when this one began, less the overlap.
func (c *AlarmProperties) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	const op = "scan alarm_properties"
	if err := noQuery(op, q.Native); err != nil {
		return connectors.Window{}, err
	}
	since, err := strconv.ParseInt(cmp.Or(q.Since, "0"), 10, 64)
	if err != nil {
		return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%q is no point of an earlier scan", q.Since), Hint: "run a full scan"}
	}
	defined, err := c.ask(ctx)
	if err != nil {
		return connectors.Window{}, err
	}
	query := c.query()
	query.Since = since
	var window connectors.Window
	for first := true; ; first = false {
		var p page
		began := c.bridge.now()
		if err := c.bridge.ask(ctx, op, "alarms", query, &p); err != nil {
			return connectors.Window{}, err
		}
		if p.Alarms == nil || p.AsOf == 0 || p.Next != "" && p.Next == query.After {
			return connectors.Window{}, broken(op)
		}
		if first {
			window = connectors.Window{Next: strconv.FormatInt(p.AsOf-overlap.Milliseconds(), 10), Clock: clockOf(p.AsOf, began, c.bridge.now())}
		}
		for i := range p.Alarms {
			if err := c.emit(&p.Alarms[i], q.Paths, defined, emit); err != nil {
				return connectors.Window{}, err
			}
		}
		if p.Next == "" {
			return window, nil
		}
		query.After = p.Next
	}
}

// emit leaves alarms out that have cleared where those are gone.
func (c *AlarmProperties) emit(a *alarm, paths []string, defined map[string]bool, emit func(record.Record) error) error {
	if a.Cleared && !c.kept {
		return nil
	}
	return emit(a.record(paths, defined))
}

// A question is what the bridge is asked about alarms: all, those that changed since a time, those with one of some ids, or
// those with one of some values in a property. It is sent as a body, since the address of a User-Defined API is short.
type question struct {
	Since    int64    `json:"since,omitempty"`
	IDs      []string `json:"ids,omitempty"`
	Property string   `json:"property,omitempty"`
	Values   []string `json:"values,omitempty"`
	Cleared  bool     `json:"cleared,omitempty"`
	After    string   `json:"after,omitempty"`
	Limit    int      `json:"limit"`
}

// query asks for pages, of alarms that have cleared too where those are kept.
func (c *AlarmProperties) query() question { return question{Limit: c.pageSize, Cleared: c.kept} }

// noQuery refuses a scope in a language that there is not.
func noQuery(op, native string) error {
	if native == "" {
		return nil
	}
	return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "there is no query language of its own", Hint: "take query out and write the scope as where"}
}

func broken(op string) error {
	return &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: "the answer has no records, or pages that go in a circle", Hint: "check url and the version of the script"}
}

// chunk is how many ids or values go into one question: the bridge has 29 s for an answer.
const chunk = 200

// Read emits the alarms with these keys.
func (c *AlarmProperties) Read(ctx context.Context, paths []string, keys []string, emit func(record.Record) error) error {
	defined, err := c.knowing(ctx, paths)
	if err != nil {
		return err
	}
	return c.some(ctx, "read alarm_properties", c.query(), distinct(keys), func(a *alarm) error {
		if !slices.Contains(keys, a.key()) {
			return nil
		}
		return c.emit(a, paths, defined, emit)
	})
}

// Find emits the alarms that carry one of the values in a property.
func (c *AlarmProperties) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	const op = "find alarm_properties"
	texts := wanted(values)
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
	query := c.query()
	query.Property = path
	seen := map[string]bool{}
	return c.some(ctx, op, query, texts, func(a *alarm) error {
		// What the system takes for equal is its business; only the very value counts here.
		if seen[a.key()] || !slices.Contains(texts, a.Properties[path]) {
			return nil
		}
		seen[a.key()] = true
		return c.emit(a, paths, defined, emit)
	})
}

// wanted are the values that can be searched for, each once.
func wanted(values []record.Value) []string {
	var texts []string
	for _, v := range values {
		if v.Known() && !v.Empty() {
			texts = append(texts, v.Plain())
		}
	}
	return distinct(texts)
}

func distinct(values []string) []string {
	values = slices.Clone(values)
	slices.Sort(values)
	return slices.Compact(values)
}

// some reads the alarms that have one of the ids, or of the values in the property of query, part by part and page by page.
func (c *AlarmProperties) some(ctx context.Context, op string, query question, values []string, emit func(*alarm) error) error {
	for part := range slices.Chunk(values, chunk) {
		query.IDs, query.Values, query.After = part, nil, ""
		if query.Property != "" {
			query.IDs, query.Values = nil, part
		}
		for {
			var p page
			if err := c.bridge.ask(ctx, op, "alarms", query, &p); err != nil {
				return err
			}
			if p.Alarms == nil || p.Next != "" && p.Next == query.After {
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
			query.After = p.Next
		}
	}
	return nil
}

// ask refreshes what is known of the defined properties.
func (c *AlarmProperties) ask(ctx context.Context) (map[string]bool, error) {
	i, err := c.bridge.info(ctx)
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
func (c *AlarmProperties) knowing(ctx context.Context, paths []string) (map[string]bool, error) {
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
