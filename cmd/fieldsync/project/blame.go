package project

import (
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

// BlameView puts the values of each path in a row, the present one first.
func BlameView(b *engine.Blame) report.Blame {
	v := report.Blame{Sync: b.Rules.Sync, Link: b.Link.ID, Status: b.Link.Status.String(), Keys: b.Link.Key, Labels: b.Link.Label, Paths: []report.PathBlame{}}
	for _, s := range record.Sides {
		v.Sides[s], v.Seen[s] = b.Rules.Sides[s].Name, b.Presence[s].String()
		if b.Unread[s] != nil {
			v.Seen[s] = "shown as it was seen last"
			v.Notes = append(v.Notes, fmt.Sprintf("%s cannot be read: %v", v.Sides[s], b.Unread[s]))
		}
	}
	for _, h := range b.History {
		switch h.Cause {
		case engine.Made:
			v.Notes = append(v.Notes, fmt.Sprintf("%s was created by run %d, %s", v.Sides[h.Side], h.Run, Stamp(h.At)))
		case engine.Jumped:
			v.Notes = append(v.Notes, fmt.Sprintf("something else was written to %s together with run %d, %s, and what it was cannot be seen", v.Sides[h.Side], h.Run, Stamp(h.At)))
		case engine.Removed:
			v.Notes = append(v.Notes, fmt.Sprintf("%s was deleted by run %d, %s", v.Sides[h.Side], h.Run, Stamp(h.At)))
		}
	}
	for _, s := range record.Sides {
		for slot, path := range b.Rules.Sides[s].Paths {
			p := report.PathBlame{Side: v.Sides[s], Path: path, Fields: []string{}}
			for i := range b.Rules.Fields {
				f := &b.Rules.Fields[i]
				if slices.Contains(f.Paths[s], slot) || slices.Contains(f.Reads[s], slot) {
					p.Fields = append(p.Fields, f.Name)
					p.Sensitive = p.Sensitive || f.Sensitive
				}
			}
			p.Values = values(b, s, slot)
			if len(p.Values) > 0 {
				v.Paths = append(v.Paths, p)
			}
		}
	}
	return v
}

// values are what a path has held, the newest first, each with who set it. What replaced one value set the next.
func values(b *engine.Blame, s record.Side, slot int) []report.ValueBlame {
	path := b.Rules.Sides[s].Paths[slot]
	var list []report.ValueBlame
	next := report.ValueBlame{Note: "before the first run"} // who set the value that comes now
	expect := record.Value{}                                // what the last entry left; Absent: nothing
	for _, h := range b.History {
		if h.Side == s && h.Cause == engine.Made {
			next = report.ValueBlame{Note: "with the record itself", Run: h.Run, At: h.At}
		}
		if h.Side != s || h.Path != path {
			continue
		}
		if expect.Known() && expect != h.Value {
			next = report.ValueBlame{Note: "in its own system"}
		}
		if next.Who == "" && next.By == "" {
			next.Who = h.Author
		}
		next.Value, next.ID = h.Value, h.ID
		list = append(list, next)
		next = report.ValueBlame{By: string(h.Cause), Rule: h.Rule, Who: h.Who, Run: h.Run, At: h.At}
		expect = h.By
	}
	if i := slices.IndexFunc(b.Origins, func(o engine.Origin) bool { return o.Side == s && o.Path == path }); i >= 0 && len(list) == 0 {
		o := b.Origins[i]
		next = report.ValueBlame{By: string(engine.ByRule), Rule: o.Rule, Who: o.Author, Run: o.Run, At: o.At}
		if o.Rule == "" {
			next.By = string(engine.ByEdit)
		}
	}
	if base := b.Link.Base[s]; !expect.Known() && slot < len(base) {
		expect = base[slot]
	}
	if slot < len(b.Now[s]) && b.Now[s][slot].Kind() != record.Absent {
		if now := b.Now[s][slot]; expect.Known() && now != expect {
			next = report.ValueBlame{Note: "changed since, in its own system: the next run sees it"}
			if seen := b.Link.Now[s]; slot < len(seen) && seen[slot] == now {
				next.Note = "changed in its own system, and not agreed on yet"
			}
		}
		next.Value, next.Live = b.Now[s][slot], true
		list = append(list, next)
	} else if b.Presence[s] == reconcile.Gone && expect.Known() {
		next.Value = expect // what it was last
		list = append(list, next)
	}
	slices.Reverse(list)
	return list
}
