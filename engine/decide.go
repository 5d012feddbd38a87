package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Units are sorted by what they do: first what only has to be remembered, then the actions in the order in
// which they are carried out, then what waits.
const (
	orderSettle = iota
	orderCreate
	orderUpdate
	orderComment
	orderDelete
	orderConflict
	orderHold
)

// decideBatch is how many decisions are made between two fetches of look-ups and searches.
const decideBatch = 256

// A unit is one line of the spool: a link (or a record without one) and, where there is something to show, an
// item. Only references are kept; the records come back from the spool and the decision, being pure, is
// made again from them.
type unit struct {
	Link int64      `json:"l,omitempty"`
	Keys [2]string  `json:"k"`
	Item *plan.Item `json:"i,omitempty"`
	Lead bool       `json:"d,omitempty"` // carrying this unit out does everything for its link
	Only bool       `json:"o,omitempty"` // there is nothing to decide: only the fingerprint is remembered
	// Threads are comments that only have to be remembered.
	Threads []Thread `json:"t,omitempty"`
	order   int
	fold    *Fold // a pair that agrees: all there is to it
}

// decide looks at every link and record that something happened to and spools what is to be done.
func (r *Run) decide(ctx context.Context) error {
	if err := r.wake(ctx); err != nil {
		return err
	}
	virgin, err := r.noLinks(ctx)
	if err != nil {
		return err
	}
	tombs, err := r.book.Tombs(ctx, lasting)
	if err != nil {
		return err
	}
	decided := make(map[uint64]struct{})
	for _, s := range record.Sides {
		p := &pass{r: r, ctx: ctx, side: s, found: map[string]bool{}, decided: decided, virgin: virgin, tombs: tombs}
		if err := r.spool.Each(ctx, s, p.visit); err != nil {
			return err
		}
		if err := p.flush(); err != nil {
			return err
		}
	}
	if err := r.held(ctx); err != nil {
		return err
	}
	return r.added(ctx)
}

// wake spools the records without a link that wait and are due: an ambiguous match, a refused create. They are
// read again whatever the scan said.
func (r *Run) wake(ctx context.Context) error {
	var due [2][]string
	err := r.book.Waiting(ctx, 0, func(w Waiting) error {
		link, keys := w.subject()
		if link != 0 {
			return nil
		}
		r.waiting[waitKey(keys)] = append(r.waiting[waitKey(keys)], w)
		for _, s := range record.Sides {
			if keys[s] == "" {
				continue
			}
			_, there, err := r.spool.Get(ctx, s, keys[s])
			if err != nil || there {
				return err
			}
			if w.Hold != nil && w.Hold.Next.After(r.started) {
				if err := r.spoolItem(ctx, unit{Keys: keys}, plan.Item{Hold: w.Hold}); err != nil {
					return err
				}
				continue
			}
			due[s] = append(due[s], keys[s])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range record.Sides {
		found, err := r.read(ctx, s, due[s])
		if err != nil {
			return err
		}
		k := r.sink(ctx, s)
		pr := newPrinter(r.rules.Digest)
		for _, key := range due[s] {
			rec, ok := found[key]
			presence := reconcile.Present
			if !ok {
				rec, presence = record.Record{Key: key}, reconcile.Gone
			} else if in, err := r.inScope(s, rec.Values); err != nil {
				if err := k.unsure(rec, pr.of(key, rec.Values), err); err != nil {
					return err
				}
				continue
			} else if !in {
				presence = reconcile.OutOfScope
			}
			if err := k.put(rec, presence, pr.of(key, rec.Values)); err != nil {
				return err
			}
		}
		if err := k.flush(); err != nil {
			return err
		}
	}
	return nil
}

func waitKey(keys [2]string) string { return keys[0] + "\x00" + keys[1] }

// subject is the link, or the keys of records without one, that w is about.
func (w Waiting) subject() (int64, [2]string) {
	if w.Conflict != nil {
		return w.Conflict.Link, w.Conflict.Keys
	}
	return w.Hold.Link, w.Hold.Keys
}

// A pass visits the moved records of one side, links first, strangers in batches.
type pass struct {
	r         *Run
	ctx       context.Context
	side      record.Side
	strangers []Moved
	asked     []asked
	found     map[string]bool       // records of the other side that this pass itself put into the spool
	decided   map[uint64]struct{}   // key hashes of right records that the pass over the left side has decided
	virgin    bool                  // there are no links at all
	tombs     bool                  // a person has parted records
	carriers  [2]map[uint64][]Moved // by match hash, for the block and the strangers in hand
	n         int64
}

// asked is what a decision is to be made about.
type asked struct {
	in     reconcile.Input
	prints [2]*Print
}

func (p *pass) visit(m Moved) error {
	r, ctx := p.r, p.ctx
	if p.n++; p.n%1000 == 0 {
		r.progress("decide", p.n, 0)
	}
	if _, done := p.decided[keyHash(m.Record.Key)]; done && p.side == record.Right {
		return nil
	}
	l, err := p.link(p.side, m.Record.Key)
	if err != nil {
		return err
	}
	if l == nil {
		if m.Presence == reconcile.Gone || m.Presence == reconcile.OutOfScope {
			// Gone or left the scope, and nobody's twin: only its fingerprint and its holds have to go.
			return r.settleOnly(ctx, unit{Keys: oneKey(p.side, m.Record.Key), Only: true})
		}
		if p.strangers = append(p.strangers, m); len(p.strangers) >= readBatch {
			return p.flush()
		}
		return nil
	}
	in, prints, err := r.input(ctx, *l, at(p.side, &m))
	if err != nil {
		return err
	}
	return p.add(in, prints)
}

// noLinks reports whether no link was ever stored that could come back: the first contact of a sync.
func (r *Run) noLinks(ctx context.Context) (bool, error) {
	links, err := r.book.CountLinks(ctx)
	if err != nil || links > 0 {
		return false, err
	}
	err = r.book.Links(ctx, record.Detached, func(record.Link) error { return errStop })
	if errors.Is(err, errStop) {
		return false, nil
	}
	return err == nil, err
}

// link asks the state for a link that is not ended, unless it has none at all.
func (p *pass) link(s record.Side, key string) (*record.Link, error) {
	if p.virgin {
		return nil, nil
	}
	return p.r.book.Link(p.ctx, s, key)
}

func (p *pass) add(in reconcile.Input, prints [2]*Print) error {
	if key := in.Link.Key[record.Right]; key != "" && p.side == record.Left {
		p.decided[keyHash(key)] = struct{}{}
	}
	if p.asked = append(p.asked, asked{in, prints}); len(p.asked) >= decideBatch {
		return p.settle()
	}
	return nil
}

func (p *pass) flush() error {
	if err := p.pair(); err != nil {
		return err
	}
	return p.settle()
}

func (p *pass) settle() error {
	ins := make([]reconcile.Input, len(p.asked))
	for i := range ins {
		ins[i] = p.asked[i].in
	}
	ds, err := p.r.decideAll(p.ctx, ins)
	if err != nil {
		return err
	}
	for i, a := range p.asked {
		if ds[i].Quiet() {
			err = p.r.spoolQuiet(p.ctx, a, ds[i])
		} else {
			err = p.r.spoolDecision(p.ctx, a.in, ds[i])
		}
		if err != nil {
			return err
		}
	}
	p.asked = p.asked[:0]
	return nil
}

// spoolQuiet spools what is to be remembered of a pair that agrees. A preview remembers nothing.
func (r *Run) spoolQuiet(ctx context.Context, a asked, d reconcile.Decision) error {
	if a.in.Link.ID == 0 {
		r.tally.linked++
	}
	if !r.leased {
		return nil
	}
	f := r.outcome(loaded{in: a.in, prints: a.prints, d: d, keys: a.in.Link.Key}, written{})
	return r.add(ctx, Spooled{Order: orderSettle, Data: appendQuiet(nil, &f)})
}

func at(s record.Side, m *Moved) [2]*Moved {
	var hand [2]*Moved
	hand[s] = m
	return hand
}

func oneKey(s record.Side, key string) [2]string {
	var k [2]string
	k[s] = key
	return k
}

// decideAll decides a batch, fetching the look-ups that it needs.
func (r *Run) decideAll(ctx context.Context, ins []reconcile.Input) ([]reconcile.Decision, error) {
	ds := make([]reconcile.Decision, len(ins))
	todo := make([]int, len(ins))
	for i := range todo {
		todo[i] = i
	}
	for round := 0; len(todo) > 0; round++ {
		var needs []reconcile.Needed
		seen := make(map[reconcile.Needed]bool)
		var again []int
		for _, i := range todo {
			ds[i] = reconcile.Decide(r.rules, ins[i])
			for _, n := range ds[i].Needs {
				if !seen[n] {
					seen[n] = true
					needs = append(needs, n)
				}
			}
			if len(ds[i].Needs) > 0 {
				again = append(again, i)
			}
		}
		if len(needs) == 0 {
			break
		}
		if r.job.Fetch == nil || round > 4 {
			return nil, fmt.Errorf("translation %s cannot be looked up", needs[0].Translation)
		}
		if err := r.job.Fetch(ctx, needs); err != nil {
			return nil, fmt.Errorf("look up translation %s: %w", needs[0].Translation, err)
		}
		todo = again
	}
	return ds, nil
}

// input gathers what is known of a link now: what was observed in this run, else what was seen last. The
// fingerprints are of the records that this run observed. Moved records that the caller has at hand save asking
// the spool.
func (r *Run) input(ctx context.Context, l record.Link, hand [2]*Moved) (reconcile.Input, [2]*Print, error) {
	in := reconcile.Input{Link: l, Time: r.started}
	var prints [2]*Print
	for _, s := range record.Sides {
		in.Clock[s] = r.clock(s)
		key := l.Key[s]
		if key == "" {
			in.Presence[s] = reconcile.Missing
			continue
		}
		var m Moved
		there := false
		if hand[s] != nil {
			m, there = *hand[s], true
		} else {
			var err error
			if m, there, err = r.spool.Get(ctx, s, key); err != nil {
				return in, prints, err
			}
		}
		if there {
			in.Presence[s], in.Record[s], prints[s] = m.Presence, m.Record, &m.Print
			in.Doubt[s] = r.doubt(s, key)
			continue
		}
		in.Record[s] = record.Record{Key: key, Label: l.Label[s], Version: l.Version[s], Values: l.Shown(s)}
		if l.Status == record.Held {
			// It may wait because its scope could not be told, and the other side's edits must wait with it.
			if _, err := r.inScope(s, in.Record[s].Values); err != nil {
				in.Presence[s], in.Doubt[s] = reconcile.Unsure, err.Error()
			}
		}
		if l.Status == record.Live || l.ID == 0 {
			continue
		}
		print, settled, err := r.book.Print(ctx, s, keyHash(key))
		if err != nil {
			return in, prints, err
		}
		switch {
		case l.Status == record.Detached && !settled:
			// A detached side that did not move is in scope only if it was settled there.
			in.Presence[s], in.Record[s] = reconcile.OutOfScope, record.Record{Key: key, Label: l.Label[s]}
		case l.Status == record.Held && settled && print == newPrinter(r.rules.Digest).of(key, nil):
			// It is gone since an earlier run, and what that means is what waits.
			in.Presence[s], in.Record[s], in.Doubt[s] = reconcile.Gone, record.Record{Key: key, Label: l.Label[s]}, ""
		}
	}
	if l.ID == 0 || l.Status != record.Held {
		return in, prints, nil
	}
	in.Since, in.Decided = map[string]time.Time{}, map[string]reconcile.Choice{}
	err := r.book.Waiting(ctx, l.ID, func(w Waiting) error {
		if w.Conflict == nil || w.Conflict.Field == "" {
			return nil
		}
		in.Since[w.Conflict.Field] = w.Conflict.Since
		if w.Choice != nil {
			in.Decided[w.Conflict.Field] = *w.Choice
		}
		return nil
	})
	return in, prints, err
}

// doubt is what kept where from telling about a record, or "".
func (r *Run) doubt(s record.Side, key string) string {
	r.unsureMu.Lock()
	defer r.unsureMu.Unlock()
	return r.unsure[s][key]
}

func (r *Run) clock(s record.Side) reconcile.Clock {
	c := r.views[s].window.Clock
	if !c.Measured {
		return r.views[s].before.Clock
	}
	return reconcile.Clock{Measured: true, Offset: c.Offset, Error: c.Error}
}

// held looks again at links that wait although nothing moved on them: a person may have decided, a deadline
// may be over, a hold may be due.
func (r *Run) held(ctx context.Context) error {
	p := &pass{r: r, ctx: ctx, side: record.Right}
	err := r.book.Links(ctx, record.Held, func(l record.Link) error {
		for _, s := range record.Sides {
			if l.Key[s] == "" {
				continue
			}
			if _, there, err := r.spool.Get(ctx, s, l.Key[s]); err != nil || there {
				return err
			}
		}
		var shown []plan.Item
		asleep, awake := false, false
		err := r.book.Waiting(ctx, l.ID, func(w Waiting) error {
			switch {
			case w.Hold != nil && w.Hold.Next.After(r.started):
				asleep = true
			case w.Hold != nil, w.Choice != nil, r.hasDeadline(w.Conflict.Field):
				awake = true
			}
			shown = append(shown, plan.Item{Hold: w.Hold, Conflict: w.Conflict})
			return nil
		})
		if err != nil {
			return err
		}
		// A conflict beside it is no reason to try a refused write again before its time.
		if asleep && !awake {
			for _, it := range shown {
				if err := r.spoolItem(ctx, unit{Link: l.ID, Keys: l.Key}, it); err != nil {
					return err
				}
			}
			return nil
		}
		if err := r.reread(ctx, l); err != nil {
			return err
		}
		in, prints, err := r.input(ctx, l, [2]*Moved{})
		if err != nil {
			return err
		}
		return p.add(in, prints)
	})
	if err != nil {
		return err
	}
	return p.settle()
}

// hasDeadline reports whether the conflicts of a field end by themselves.
func (r *Run) hasDeadline(field string) bool {
	for i := range r.rules.Fields {
		if f := &r.rules.Fields[i]; f.Name == field {
			for p := &f.Policy; p != nil; p = p.Fallback {
				if p.Deadline > 0 {
					return true
				}
			}
		}
	}
	return false
}

// reread looks at the records of a link that an earlier run left unsettled and that no scan has shown since.
func (r *Run) reread(ctx context.Context, l record.Link) error {
	for _, s := range record.Sides {
		key := l.Key[s]
		if key == "" {
			continue
		}
		p, ok, err := r.book.Print(ctx, s, keyHash(key))
		if err != nil {
			return err
		}
		if !ok || p != *unsettled(key) {
			continue
		}
		found, err := r.read(ctx, s, []string{key})
		if err != nil {
			return err
		}
		rec, there := found[key]
		if !there {
			rec = record.Record{Key: key}
		}
		k, print := r.sink(ctx, s), newPrinter(r.rules.Digest).of(key, rec.Values)
		if !there {
			err = k.put(rec, reconcile.Gone, print)
		} else if in, doubt := r.inScope(s, rec.Values); doubt != nil {
			err = k.unsure(rec, print, doubt)
		} else if in {
			err = k.put(rec, reconcile.Present, print)
		} else {
			err = k.put(rec, reconcile.OutOfScope, print)
		}
		if err := errors.Join(err, k.flush()); err != nil {
			return err
		}
	}
	return nil
}

// spoolDecision turns a decision into units: one that carries it out, and one for each thing to show.
func (r *Run) spoolDecision(ctx context.Context, in reconcile.Input, d reconcile.Decision) error {
	u := unit{Link: in.Link.ID, Keys: in.Link.Key}
	acts := r.actions(in, d)
	switch {
	case d.Life == reconcile.Stay && in.Link.ID == 0:
		r.tally.linked++
	case d.Life == reconcile.Detach && in.Link.Status != record.Detached:
		r.tally.detached++
	case d.Life == reconcile.End, d.Life == reconcile.UpdateOn && len(acts) == 0:
		r.tally.ended++
	}
	conflicts, holds := reconcile.Conflicts(r.rules, in, d), reconcile.Holds(r.rules, in, d)
	if len(acts) == 0 {
		if err := r.settleOnly(ctx, u); err != nil {
			return err
		}
	}
	for i, a := range acts {
		v := u
		v.Lead = i == 0
		if err := r.spoolItem(ctx, v, plan.Item{Action: &a}); err != nil {
			return err
		}
	}
	for _, c := range conflicts {
		if since, ok := in.Since[c.Field]; ok {
			c.Since = since
		}
		if err := r.spoolItem(ctx, u, plan.Item{Conflict: &c}); err != nil {
			return err
		}
	}
	for _, h := range holds {
		if err := r.spoolItem(ctx, u, plan.Item{Hold: &h}); err != nil {
			return err
		}
	}
	return nil
}

// actions are the writes that a decision leads to, in the order in which they are carried out.
func (r *Run) actions(in reconcile.Input, d reconcile.Decision) []plan.Action {
	var acts []plan.Action
	switch d.Life {
	case reconcile.Stay:
		for _, s := range record.Sides {
			if len(d.Sets[s]) > 0 {
				acts = append(acts, r.action(plan.Update, s, in, d))
			}
		}
	case reconcile.CreateOn:
		a := r.action(plan.Create, d.Side, in, d)
		acts = append(acts, a)
		if f, ok := r.follow(in, d); ok {
			acts = append(acts, f)
		}
	case reconcile.UpdateOn:
		if len(d.Sets[d.Side]) > 0 {
			acts = append(acts, r.action(plan.Update, d.Side, in, d))
		}
	case reconcile.DeleteOn:
		acts = append(acts, r.action(plan.Delete, d.Side, in, d))
	}
	return acts
}

func (r *Run) action(kind plan.Kind, s record.Side, in reconcile.Input, d reconcile.Decision) plan.Action {
	o := s.Other()
	a := plan.Action{
		Kind: kind, Side: s, SideName: r.name(s), Connection: r.job.Ends[s].Connection, Collection: r.job.Ends[s].Collection,
		Link: in.Link.ID, Key: in.Record[s].Key, Label: in.Record[s].Label, Version: in.Record[s].Version, Why: d.Why,
		From: plan.Ref{SideName: r.name(o), Key: in.Link.Key[o], Label: in.Record[o].Label, Version: in.Record[o].Version},
	}
	if kind != plan.Delete {
		a.Changes = reconcile.Changes(r.rules, in, d, s)
	}
	if kind == plan.Create {
		a.Key, a.Label, a.Version = "", "", ""
		for _, m := range r.rules.Match {
			if m.Marker[s] {
				a.Marker = r.rules.Sides[s].Paths[m.Slots[s]]
				break
			}
		}
	}
	return a
}

// follow previews what a create gives back to the record that it was made from: values that only the new
// record can tell, such as its number.
func (r *Run) follow(in reconcile.Input, d reconcile.Decision) (plan.Action, bool) {
	made, s := d.Side, d.Side.Other()
	a := r.action(plan.Update, s, in, d)
	a.Why, a.Changes = "", nil
	a.From = plan.Ref{SideName: r.name(made)}
	for i := range r.rules.Fields {
		f := &r.rules.Fields[i]
		if f.To[s] == nil || f.TwoWay() || f.Strength == reconcile.IfEmpty && !allEmpty(in.Record[s].Values, f.Paths[s]) {
			continue
		}
		from := ""
		if len(f.Reads[made]) > 0 {
			from = r.rules.Sides[made].Paths[f.Reads[made][0]]
		}
		for _, slot := range f.Paths[s] {
			a.Changes = append(a.Changes, plan.Change{
				Path: r.rules.Sides[s].Paths[slot], From: in.Record[s].Values[slot], Field: f.Name, At: f.At, Sensitive: f.Sensitive,
				Why: "known when the " + r.name(made) + " is created", Pending: from,
			})
		}
	}
	return a, len(a.Changes) > 0
}

func allEmpty(values []record.Value, slots []int) bool {
	for _, slot := range slots {
		if !values[slot].Empty() {
			return false
		}
	}
	return true
}

func (r *Run) settleOnly(ctx context.Context, u unit) error {
	if !r.leased {
		return nil // a preview remembers nothing
	}
	u.Lead = true
	return r.put(ctx, orderSettle, "", u)
}

func (r *Run) spoolItem(ctx context.Context, u unit, it plan.Item) error {
	u.Item = &it
	r.tally.count(it)
	order, sort := orderHold, ""
	switch {
	case it.Action != nil:
		order = orderCreate + it.Action.Kind.Rank()
		sort = strconv.Itoa(int(it.Action.Side)) + it.Action.From.Name() + "\x00" + it.Action.Key
		switch it.Action.Kind {
		case plan.Create:
		case plan.Comment: // those of one link together, as they were written
			sort = fmt.Sprintf("%d%s\x00%019d%s%s", it.Action.Side, it.Action.Label, it.Action.Link, it.Action.Entry.Time.Format("2006-01-02T15:04:05.000000000"), it.Action.Entry.ID)
		default:
			sort = strconv.Itoa(int(it.Action.Side)) + it.Action.Label + "\x00" + it.Action.Key
		}
	case it.Conflict != nil:
		order, sort = orderConflict, it.Conflict.Keys[0]+"\x00"+it.Conflict.Keys[1]+"\x00"+it.Conflict.Field
	case it.Hold != nil:
		sort = it.Hold.Keys[0] + "\x00" + it.Hold.Keys[1] + "\x00" + it.Hold.Field
	}
	return r.put(ctx, order, sort, u)
}

func (r *Run) put(ctx context.Context, order int, sort string, u unit) error {
	data, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("write down the plan: %w", err)
	}
	return r.add(ctx, Spooled{Order: order, Sort: sort, Data: data})
}

func (r *Run) add(ctx context.Context, it Spooled) error {
	if r.adding = append(r.adding, it); len(r.adding) >= spoolBatch {
		return r.added(ctx)
	}
	return nil
}

// added brings what add has gathered into the spool.
func (r *Run) added(ctx context.Context) error {
	err := r.spool.Add(ctx, r.adding)
	r.adding = r.adding[:0]
	return err
}
