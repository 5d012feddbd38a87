package dataminer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// inFlight is how many calls a scan makes at once where each record needs one of its own.
const inFlight = 4

// Alarms are the active alarms, keyed by tree, through the Web Services. They are read alone: no method of DataMiner's sets
// anything of them that a rule would want to write. Properties of alarms are among the paths, at the price of one call for
// each alarm that has changed since it was last asked for.
type Alarms struct {
	web  *web
	kept bool

	mu      sync.Mutex
	details map[string]detail // by tree
}

// A detail is the properties of an alarm as of one of its records, which never change.
type detail struct {
	version    string
	properties map[string]string
}

// webAlarm is DMAAlarm as far as it is read. Times as text are left out: they are in the Agent's own zone.
type webAlarm struct {
	Agent      int64 `json:"DataMinerID"`
	ID         int64
	Root       int64 `json:"RootAlarmID"`
	ElementID  int64
	Element    string   `json:"ElementName"`
	Parameter  string   `json:"ParameterName"`
	Index      string   `json:"TableIndex"`
	Value      string   `json:"DisplayValue"`
	Severity   string   `json:"AlarmState"`
	Type       string   `json:"Type"`
	Owner      string   `json:"OwnerName"`
	Services   []string `json:"Services"`
	Masked     bool     `json:"IsMasked"`
	Cleared    bool     `json:"IsCleared"`
	RootTime   int64    `json:"RootTimeUTC"`
	LastChange int64    `json:"LastChangeUTC"`
}

func (a *webAlarm) key() string { return treeKey(a.Agent, a.ElementID, a.Root) }

// version moves with every record of the tree.
func (a *webAlarm) version() string { return fmt.Sprintf("%d.%d", a.ID, a.LastChange) }

func (a *webAlarm) label() string {
	name := a.Parameter
	if a.Index != "" {
		name += " " + a.Index
	}
	return strings.TrimSpace(a.Element + " " + name)
}

// An alarmPath is a path that every alarm has.
type alarmPath struct {
	path, label string
	kind        record.Kind
	value       func(*webAlarm) record.Value
}

var alarmPaths = []alarmPath{
	{pathID, "Alarm", record.Text, func(a *webAlarm) record.Value { return record.OfText(a.key()) }},
	{pathName, "Name", record.Text, func(a *webAlarm) record.Value { return textOrNull(a.label()) }},
	{"element_id", "Element id", record.Text, func(a *webAlarm) record.Value { return record.OfText(fmt.Sprintf("%d/%d", a.Agent, a.ElementID)) }},
	{pathElement, "Element", record.Text, func(a *webAlarm) record.Value { return textOrNull(a.Element) }},
	{"parameter", "Parameter", record.Text, func(a *webAlarm) record.Value { return textOrNull(a.Parameter) }},
	{"index", "Table index", record.Text, func(a *webAlarm) record.Value { return textOrNull(a.Index) }},
	{"value", "Value", record.Text, func(a *webAlarm) record.Value { return textOrNull(a.Value) }},
	{pathSeverity, "Severity", record.Text, func(a *webAlarm) record.Value { return textOrNull(a.Severity) }},
	{"type", "Type of the newest record", record.Text, func(a *webAlarm) record.Value { return textOrNull(a.Type) }},
	{"owner", "Owner", record.Text, func(a *webAlarm) record.Value { return textOrNull(a.Owner) }},
	{"services", "Services", record.List, func(a *webAlarm) record.Value { return listOf(a.Services) }},
	{"masked", "Masked", record.Bool, func(a *webAlarm) record.Value { return record.OfBool(a.Masked) }},
	{pathCleared, "Cleared", record.Bool, func(a *webAlarm) record.Value { return record.OfBool(a.Cleared) }},
	{"raised", "Raised", record.Time, func(a *webAlarm) record.Value { return timeOrNull(a.RootTime) }},
	{"changed", "Last change", record.Time, func(a *webAlarm) record.Value { return timeOrNull(a.LastChange) }},
}

// listOf sorts: the order of the system's means nothing.
func listOf(names []string) record.Value {
	names = distinct(names)
	vs := make([]record.Value, len(names))
	for i, n := range names {
		vs[i] = record.OfText(n)
	}
	return record.OfList(vs)
}

func timeOrNull(ms int64) record.Value {
	t := instant(ms)
	if t.IsZero() {
		return record.NullValue
	}
	return record.OfTime(t)
}

func alarmPathOf(path string) (alarmPath, bool) {
	i := slices.IndexFunc(alarmPaths, func(p alarmPath) bool { return p.path == path })
	if i < 0 {
		return alarmPath{}, false
	}
	return alarmPaths[i], true
}

// Scan reads all active alarms in one call, and those whose properties are asked for and not known yet one by one.
// No method tells of alarms by their last change: Window.Next is empty.
func (c *Alarms) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	const op = "scan alarms"
	if err := noQuery(op, q.Native); err != nil {
		return connectors.Window{}, err
	}
	clock, err := c.web.clock(ctx)
	if err != nil {
		return connectors.Window{}, err
	}
	all, err := c.active(ctx, op)
	if err != nil {
		return connectors.Window{}, err
	}
	if err := c.deliver(ctx, op, all, q.Paths, emit); err != nil {
		return connectors.Window{}, err
	}
	c.forget(all)
	return connectors.Window{Clock: clock}, nil
}

// active are the active alarms, each tree once, by its newest record.
func (c *Alarms) active(ctx context.Context, op string) ([]webAlarm, error) {
	found, err := list[webAlarm](ctx, c.web, op, "GetActiveAlarms", nil)
	if err != nil {
		return nil, err
	}
	newest := make(map[string]webAlarm, len(found))
	for _, a := range found {
		if a.ElementID == 0 && a.Root == 0 {
			return nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: "an alarm comes without ElementID and RootAlarmID", Hint: "this release of DataMiner answers in a form that is not known"}
		}
		if b, twice := newest[a.key()]; !twice || newer(&a, &b) {
			newest[a.key()] = a
		}
	}
	out := make([]webAlarm, 0, len(newest))
	for _, key := range sortedKeys(newest) {
		if a := newest[key]; !a.Cleared || c.kept {
			out = append(out, a)
		}
	}
	return out, nil
}

func newer(a, b *webAlarm) bool {
	return cmp.Or(cmp.Compare(a.LastChange, b.LastChange), cmp.Compare(a.ID, b.ID)) > 0
}

// deliver emits alarms, with their properties where paths ask for any.
func (c *Alarms) deliver(ctx context.Context, op string, all []webAlarm, paths []string, emit func(record.Record) error) error {
	own := len(all) > 0 && slices.ContainsFunc(paths, func(p string) bool { _, known := alarmPathOf(p); return !known })
	var defined map[string]bool
	if own {
		var err error
		if defined, err = c.available(ctx, op); err != nil {
			return err
		}
	}
	return together(ctx, len(all), func(ctx context.Context, i int) (record.Record, error) {
		if !own {
			return all[i].record(paths, nil, nil), nil
		}
		return c.detailed(ctx, op, &all[i], paths, defined)
	}, emit)
}

// detailed is an alarm with its properties. The record that was listed may be gone from under us, because the alarm has changed
// meanwhile: then the newest one is asked. Properties that are refused all the same are not known, which holds what depends on
// them and nothing more.
func (c *Alarms) detailed(ctx context.Context, op string, a *webAlarm, paths []string, defined map[string]bool) (record.Record, error) {
	properties, err := c.properties(ctx, op, a)
	if errors.Is(err, connectors.ErrRefused) || errors.Is(err, errNoDetails) {
		listed := a.version()
		if a, err = c.current(ctx, op, a.key()); err != nil || a == nil {
			return record.Record{}, err // gone in between
		}
		if properties, err = c.properties(ctx, op, a); err != nil && a.version() == listed {
			c.web.log.Warn("properties are not shown", "op", op, "alarm", a.key(), "err", err)
			r := a.record(paths, nil, nil)
			for i, p := range paths {
				if _, known := alarmPathOf(p); !known {
					r.Values[i] = record.UnknownValue
				}
			}
			return r, nil
		}
	}
	if err != nil {
		return record.Record{}, err
	}
	return a.record(paths, properties, defined), nil
}

// errNoDetails is the cause where the details of an alarm have no properties, also none that are not set.
var errNoDetails = errors.New("no details")

// record reads paths. A property that is not set is null, also where an alarm's details leave it out; one that does not exist
// is absent.
func (a *webAlarm) record(paths []string, properties map[string]string, defined map[string]bool) record.Record {
	r := record.Record{Key: a.key(), Label: a.label(), Version: a.version(), Modified: instant(a.LastChange), Values: make([]record.Value, len(paths))}
	for i, path := range paths {
		if p, known := alarmPathOf(path); known {
			r.Values[i] = p.value(a)
		} else if v, there := properties[path]; there || defined[path] {
			r.Values[i] = textOrNull(v)
		}
	}
	return r
}

// properties returns those of an alarm, from what was asked before if the alarm has not changed since.
func (c *Alarms) properties(ctx context.Context, op string, a *webAlarm) (map[string]string, error) {
	key, version := a.key(), a.version()
	c.mu.Lock()
	known := c.details[key]
	c.mu.Unlock()
	if known.version == version {
		return known.properties, nil
	}
	var d *struct{ PropertiesAlarm []webProperty }
	if err := c.web.read(ctx, op, "GetAlarmDetailsV2", params{"dmaID": a.Agent, "elementID": a.ElementID, "alarmID": a.ID}, &d); err != nil {
		return nil, err
	}
	if d == nil || d.PropertiesAlarm == nil {
		return nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Err: errNoDetails, Detail: "the details of alarm " + key + " have no properties",
			Hint: "GetAlarmDetailsV2 needs DataMiner 10.3.0 CU20, 10.4.0 CU8 or 10.4.11"}
	}
	known = detail{version, valuesOf(d.PropertiesAlarm)}
	c.mu.Lock()
	c.details[key] = known
	c.mu.Unlock()
	return known.properties, nil
}

// forget drops what is known of alarms that are no longer there.
func (c *Alarms) forget(all []webAlarm) {
	there := make(map[string]bool, len(all))
	for i := range all {
		there[all[i].key()] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.details {
		if !there[key] {
			delete(c.details, key)
		}
	}
}

// parts splits a key of n numbers.
func parts(key string, n int) ([]int64, bool) {
	texts := strings.Split(key, "/")
	if len(texts) != n {
		return nil, false
	}
	out := make([]int64, n)
	for i, t := range texts {
		v, err := strconv.ParseInt(t, 10, 64)
		if err != nil || strconv.FormatInt(v, 10) != t {
			return nil, false
		}
		out[i] = v
	}
	return out, true
}

// Read asks for each alarm by its tree. One that has cleared is gone, or not, as the settings say.
func (c *Alarms) Read(ctx context.Context, paths []string, keys []string, emit func(record.Record) error) error {
	const op = "read alarms"
	found, err := gathered(ctx, keys, func(ctx context.Context, key string) (*webAlarm, error) { return c.current(ctx, op, key) })
	if err != nil {
		return err
	}
	return c.deliver(ctx, op, found, paths, emit)
}

// current is the newest record of a tree; nil if it is gone.
func (c *Alarms) current(ctx context.Context, op, key string) (*webAlarm, error) {
	id, ok := parts(key, 3)
	if !ok {
		return nil, nil // no alarm can have such a key
	}
	var a *webAlarm
	err := c.web.read(ctx, op, "GetCurrentAlarmByRootIDV3", params{"dmaID": id[0], "elementID": id[1], "rootAlarmID": id[2]}, &a)
	if errors.Is(err, connectors.ErrRefused) {
		// What is answered for a tree that is not there is not published. Only both together prove that it is gone.
		return c.listed(ctx, op, key)
	}
	if err != nil || a == nil || a.key() != key || a.Cleared && !c.kept {
		return nil, err
	}
	return a, nil
}

func (c *Alarms) listed(ctx context.Context, op, key string) (*webAlarm, error) {
	all, err := c.active(ctx, op)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(a webAlarm) bool { return a.key() == key }); i >= 0 {
		return &all[i], nil
	}
	return nil, nil
}

// Find looks through all active alarms: there is no method that searches for a property.
func (c *Alarms) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	const op = "find alarms"
	texts := wanted(values)
	if path == pathID {
		return c.Read(ctx, paths, texts, emit)
	}
	if len(texts) == 0 {
		return nil
	}
	if err := c.Require(ctx, []string{path}); err != nil {
		return err
	}
	at := slices.Index(paths, path)
	if at < 0 {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "the path is not among those asked for", Fields: []string{path}}
	}
	all, err := c.active(ctx, op)
	if err != nil {
		return err
	}
	return c.deliver(ctx, op, all, paths, func(r record.Record) error {
		if v := r.Values[at]; !v.Known() || v.Empty() || !slices.Contains(texts, v.Plain()) {
			return nil
		}
		return emit(r)
	})
}

// available are the properties of alarms that are defined.
func (c *Alarms) available(ctx context.Context, op string) (map[string]bool, error) {
	raw, err := list[propertyName](ctx, c.web, op, "GetAvailableAlarmProperties", nil)
	if err != nil {
		return nil, err
	}
	defined := make(map[string]bool, len(raw))
	for _, p := range raw {
		defined[string(p)] = true
	}
	return defined, nil
}

// Describe lists what every alarm has and the properties that are defined.
func (c *Alarms) Describe(ctx context.Context) (*connectors.Schema, error) {
	defined, err := c.available(ctx, "describe alarms")
	if err != nil {
		return nil, err
	}
	s := &connectors.Schema{Key: pathID, Label: pathName}
	for _, p := range alarmPaths {
		t := record.Type{Kind: p.kind}
		s.Fields = append(s.Fields, connectors.Field{Path: p.path, Label: p.label, Type: t, Native: "alarm", ReadOnly: true})
		delete(defined, p.path)
	}
	for _, name := range sortedKeys(defined) {
		s.Fields = append(s.Fields, connectors.Field{Path: name, Label: name, Type: record.Type{Kind: record.Text}, Native: "property", ReadOnly: true})
	}
	return s, nil
}

// Require says which of the paths do not exist.
func (c *Alarms) Require(ctx context.Context, paths []string) error {
	const op = "check alarms"
	defined, err := c.available(ctx, op)
	if err != nil {
		return err
	}
	gone := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { _, known := alarmPathOf(p); return known || defined[p] })
	if len(gone) > 0 {
		return missing(op, connectors.ErrConfig, gone, defined)
	}
	return nil
}
