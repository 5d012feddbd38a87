package project

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

// TestText is what people read on a test record that could not be taken away.
const TestText = "fieldsync test record, please delete"

// A testRecord is a record that is made and taken away again, to see whether a sync will be able to make records.
type testRecord struct {
	p      *Project
	sync   *mapping.Sync
	side   record.Side
	end    engine.End
	path   string // of the marker
	marker record.Value
	what   string
	list   []report.Finding
}

// TryCreates makes a test record wherever a sync may create records on c.
func (p *Project) TryCreates(ctx context.Context, c *mapping.Connection, set map[string]string) []report.Finding {
	var list []report.Finding
	for _, s := range p.Syncs {
		for _, side := range record.Sides {
			if s.Sides[side].Connection == c && s.Sides[side].Create {
				t := &testRecord{p: p, sync: s, side: side, what: "test record, sync " + s.Name}
				t.run(ctx, set)
				list = append(list, t.list...)
			}
		}
	}
	if len(list) == 0 {
		list = append(list, report.Finding{Connection: c.Name, OK: true, What: "test record", Detail: "not made: no sync creates records here"})
	}
	return list
}

func (t *testRecord) say(ok bool, detail, hint string) {
	t.list = append(t.list, report.Finding{Connection: t.sync.Sides[t.side].Connection.Name, OK: ok, What: t.what, Detail: detail, Hint: hint})
}

func (t *testRecord) bad(doing string, err error) {
	t.say(false, fmt.Sprintf("%s: %v", doing, err), WayOut(err))
}

func (t *testRecord) run(ctx context.Context, set map[string]string) {
	job, err := t.p.Job(ctx, t.sync, JobOptions{Trigger: "check"})
	if err != nil {
		t.bad("open", err)
		return
	}
	t.end = job.Ends[t.side]
	for _, m := range job.Rules.Match {
		if m.Marker[t.side] {
			t.path = job.Rules.Sides[t.side].Paths[m.Slots[t.side]]
			break
		}
	}
	finder, finds := connectors.As[connectors.Finder](t.end.Handle)
	if t.path == "" || !finds {
		t.say(false, "not made: a test record could not be told from others", "add a match block whose path on this side can be searched: its marker keeps test records out of every sync")
		return
	}
	fields, err := t.fields(inRuleOrder(job.Rules, t.side), set)
	if err != nil {
		t.bad("not made", err)
		return
	}
	paths := []string{t.path}
	creator, ok := connectors.As[connectors.Creator](t.end.Handle)
	if !ok { // the sync asks for creates, so that opening it has said so
		t.say(false, "not made: no records can be created through this connector", "")
		return
	}
	made, err := creator.Create(ctx, paths, fields)
	if err != nil && !errors.Is(err, connectors.ErrOutcome) {
		t.bad("refused", err)
		return
	}
	// Found again by its marker it is seen as a run would see it, also when the answer to the create was lost.
	var found []record.Record
	ferr := finder.Find(ctx, paths, t.path, []record.Value{t.marker}, func(rec record.Record) error {
		found = append(found, rec.Clone())
		return nil
	})
	switch {
	case ferr != nil:
		t.bad("made, and not found by its marker", ferr)
	case len(found) == 0 && err != nil:
		t.bad("not made", err)
		return
	case len(found) != 1:
		t.say(false, fmt.Sprintf("%d records are found by the marker of the one that was made (%s = %s)", len(found), t.path, t.marker), "a lost answer could not be settled: match on another path")
	default:
		made = found[0]
		name := called(made)
		if l, ok := connectors.As[connectors.Locator](t.end.Handle); ok {
			name += " (" + l.Locate(made.Key) + ")"
		}
		t.say(true, name+" was made, and found by its marker", "")
	}
	t.remove(ctx, made)
}

// remove takes the record away again, or says that it stays.
func (t *testRecord) remove(ctx context.Context, rec record.Record) {
	if rec.Key == "" {
		t.say(false, fmt.Sprintf("it may be left behind, with %s = %s", t.path, t.marker), "look for it and delete it; no sync takes it for its own")
		return
	}
	d, ok := connectors.As[connectors.Deleter](t.end.Handle)
	if r, retires := connectors.As[connectors.Retirer](t.end.Handle); !ok && retires {
		t.retire(ctx, r, rec)
		return
	}
	if !ok {
		t.say(false, called(rec)+" stays: records cannot be deleted through this connector", "delete it by hand; no sync takes it for its own")
		return
	}
	if err := d.Delete(ctx, rec.Key, ""); err != nil {
		t.say(false, fmt.Sprintf("%s stays: %v", called(rec), err), "delete it by hand; no sync takes it for its own. Syncs need no right to delete unless on_gone says so")
		return
	}
	t.say(true, called(rec)+" was taken away again", "")
}

// retire ends a record that stays, since its system deletes none.
func (t *testRecord) retire(ctx context.Context, r connectors.Retirer, rec record.Record) {
	became, err := r.Retire(ctx, rec.Key)
	if err != nil {
		t.say(false, fmt.Sprintf("%s stays as it is: %v", called(rec), err), "end it by hand; no sync takes it for its own")
		return
	}
	t.say(true, fmt.Sprintf("%s was %s: the system deletes no records, and no sync takes it for its own", called(rec), became), "")
}

// called is what people find a record by: not the line that every test record has.
func called(rec record.Record) string {
	if rec.Label == TestText {
		return rec.Key
	}
	return rec.Name()
}

// inRuleOrder are the paths that rules write on a side in the order of the rules, those of rules that always do first: the
// title comes before what is only said when a record is closed.
func inRuleOrder(r *reconcile.Rules, side record.Side) []string {
	var always, sometimes []string
	for _, f := range r.Fields {
		if f.To[side] == nil {
			continue
		}
		for _, slot := range f.Paths[side] {
			if path := r.Sides[side].Paths[slot]; f.When == nil {
				always = append(always, path)
			} else {
				sometimes = append(sometimes, path)
			}
		}
	}
	return append(always, sometimes...)
}

// fields are the marker, what the system requires, and a line for people.
func (t *testRecord) fields(writes []string, set map[string]string) (record.Fields, error) {
	mark := make([]byte, 6)
	if _, err := rand.Read(mark); err != nil {
		return nil, err
	}
	t.marker = record.OfText(connectors.TestMark + hex.EncodeToString(mark))
	f := record.Fields{t.path: t.marker}
	schema := t.end.Schema
	if schema == nil {
		schema = &connectors.Schema{}
	}
	if m, ok := schema.Field(t.path); ok {
		if m.MaxLength > 0 && m.MaxLength < len(t.marker.Text()) {
			return nil, Hinted(fmt.Errorf("%s holds %d characters, and the marker of a test record has %d", t.path, m.MaxLength, len(t.marker.Text())), "match on a path that holds more")
		}
		if _, err := m.Type.Coerce(t.marker); err != nil {
			return nil, Hinted(fmt.Errorf("%s cannot hold the marker of a test record: %w", t.path, err), "match on a path that holds text")
		}
	}
	for _, path := range writes {
		if m, ok := schema.Field(path); ok && path != t.path && path != schema.Key && speaks(m) {
			f[path] = record.OfText(TestText)
			break
		}
	}
	for _, m := range schema.Fields {
		if _, has := f[m.Path]; has || !m.Required || m.ReadOnly || set[m.Path] != "" {
			continue
		}
		v, ok := anyValue(m, t.p.Now())
		if !ok {
			return nil, Hinted(fmt.Errorf("%s is required, and what could stand there is not known", m.Path), "add --set "+m.Path+"=VALUE")
		}
		f[m.Path] = v
	}
	for path, text := range set {
		m, ok := schema.Field(path)
		if !ok && !schema.Open && len(schema.Fields) > 0 {
			continue // another collection's
		}
		v, err := m.Type.Coerce(record.OfText(text))
		if err != nil {
			return nil, fmt.Errorf("--set %s: %w", path, err)
		}
		f[path] = v
	}
	return f, nil
}

// speaks reports whether people would read text in a field.
func speaks(f connectors.Field) bool {
	return f.Type.Kind == record.Text && f.Type.Layout == "" && !f.ReadOnly && !f.Append && f.Reference == "" && len(f.Choices) == 0 &&
		(f.MaxLength == 0 || f.MaxLength >= utf8.RuneCountInString(TestText))
}

// anyValue is something that a required field takes.
func anyValue(f connectors.Field, now time.Time) (record.Value, bool) {
	switch {
	case len(f.Choices) > 0:
		return f.Choices[0].Value, true
	case f.Reference != "":
		return record.Value{}, false
	}
	switch f.Type.Kind {
	case record.Text:
		if f.Type.Layout != "" {
			v, err := f.Type.Coerce(record.OfTime(now))
			return v, err == nil
		}
		if f.MaxLength > 0 && f.MaxLength < len(TestText) {
			return record.OfText(TestText[:f.MaxLength]), true
		}
		return record.OfText(TestText), true
	case record.Int, record.Float:
		return record.OfInt(0), true
	case record.Bool:
		return record.OfBool(false), true
	case record.Time:
		return record.OfTime(now.Truncate(time.Second)), true
	}
	return record.Value{}, false
}
