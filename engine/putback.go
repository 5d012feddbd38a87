package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Put is one value of the history on its way back to its record.
type Put struct {
	Entry     Entry
	SideName  string
	Label     string       // of the record
	Field     string       // the first rule that is about the path; "" where none is any more
	From      record.Value // what the record shows now; Absent where that is not known
	Sensitive bool
	Skip      string       // why the value is not put back; "" where it is
	Note      string       // what to expect of the next run, where it does not simply carry the value across
	Outcome   plan.Outcome // once it was carried out; "" before
	Why, Hint string
}

// A Putback brings values of the history back, as a person's edit: the next run finds the record moved and carries
// the value across like any other edit. Nothing is written before [Putback.Apply].
type Putback struct {
	Puts []Put

	e       *Engine
	job     Job
	trigger string
	targets []*target
}

// A target is one record that gets values back.
type target struct {
	link *record.Link // nil: the record has none
	side record.Side
	rec  record.Record // as it was shown
	keys [2]string
	puts []int
	sets []reconcile.Set
}

// Restore prepares to bring one value back, whatever its record shows now.
func (e *Engine) Restore(ctx context.Context, j Job, entry Entry) (*Putback, error) {
	return e.putback(ctx, j, []Entry{entry}, "restore")
}

// Undo prepares to bring back what a run replaced, where its record still shows what that run wrote.
func (e *Engine) Undo(ctx context.Context, j Job, run int64) (*Putback, error) {
	var entries []Entry
	if err := e.Store.Wrote(ctx, run, func(x Entry) error { entries = append(entries, x); return nil }); err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(x Entry) bool { return x.Cause == ByEdit || x.Cause == Jumped }) // the run only saw it
	return e.putback(ctx, j, entries, "undo")
}

func (e *Engine) putback(ctx context.Context, j Job, entries []Entry, trigger string) (*Putback, error) {
	r, err := e.open(ctx, j, lease{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p := &Putback{e: e, job: j, trigger: trigger}
	// The records are read together, a side at a time.
	var keys [2][]string
	for _, x := range entries {
		keys[x.Side] = append(keys[x.Side], x.Key)
	}
	var live [2]map[string]record.Record
	for _, s := range record.Sides {
		slices.Sort(keys[s])
		if live[s], err = r.read(ctx, s, slices.Compact(keys[s])); err != nil {
			return nil, fmt.Errorf("read %s: %w", r.name(s), err)
		}
	}
	targets := map[string]*target{}
	for i, x := range entries {
		id := fmt.Sprint(x.Side, " ", x.Key)
		t := targets[id]
		if t == nil {
			if t, err = r.targetOf(ctx, x, live[x.Side]); err != nil {
				return nil, err
			}
			targets[id] = t
			p.targets = append(p.targets, t)
		}
		put := r.put1(x, t, trigger == "undo")
		if put.Skip == "" {
			slot := slices.Index(r.rules.Sides[x.Side].Paths, x.Path)
			t.puts = append(t.puts, i)
			t.sets = append(t.sets, reconcile.Set{Slot: slot, To: x.Value, Rule: -1})
		}
		p.Puts = append(p.Puts, put)
	}
	p.targets = slices.DeleteFunc(p.targets, func(t *target) bool { return len(t.sets) == 0 })
	for _, t := range p.targets {
		slices.SortFunc(t.sets, func(a, b reconcile.Set) int { return a.Slot - b.Slot })
	}
	return p, nil
}

// targetOf finds the record that an entry is about, and its link.
func (r *Run) targetOf(ctx context.Context, x Entry, live map[string]record.Record) (*target, error) {
	t := &target{side: x.Side, rec: live[x.Key]}
	t.keys[x.Side] = x.Key
	l, err := r.book.Link(ctx, x.Side, x.Key)
	if err == nil && l == nil && x.Link != 0 {
		l, err = r.book.LinkByID(ctx, x.Link)
	}
	if err == nil && l != nil && l.Key[x.Side] == x.Key {
		t.link, t.keys = l, l.Key
	}
	return t, err
}

// put1 decides about one entry.
func (r *Run) put1(x Entry, t *target, undo bool) Put {
	s := x.Side
	p := Put{Entry: x, SideName: r.name(s), Label: t.rec.Label}
	if t.link != nil && p.Label == "" {
		p.Label = t.link.Label[s]
	}
	slot := slices.Index(r.rules.Sides[s].Paths, x.Path)
	var rule *reconcile.Rule
	for i := range r.rules.Fields {
		f := &r.rules.Fields[i]
		if !slices.Contains(f.Paths[s], slot) && !slices.Contains(f.Reads[s], slot) {
			continue
		}
		if rule == nil {
			rule, p.Field = f, f.Name
		}
		p.Sensitive = p.Sensitive || f.Sensitive
	}
	switch {
	case x.Cause == Made:
		p.Skip = "the run created this record: fieldsync does not delete what it created, delete it yourself if it should go"
	case x.Cause == Jumped:
		p.Skip = "nobody knows what was written there"
	case x.Cause == Removed:
		p.Skip = "the run deleted this record: create it anew in its own system if it should be there"
	case slot < 0:
		p.Skip = "the mapping has no " + p.SideName + "." + x.Path + " any more"
	case t.rec.Key == "":
		p.Skip = "the record is gone"
	case slices.ContainsFunc(t.sets, func(set reconcile.Set) bool { return set.Slot == slot }):
		p.Skip = "the run wrote it more than once: its first value is put back"
	default:
		p.From = t.rec.Values[slot]
		switch {
		case p.From == x.Value:
			p.Skip = "it is live already"
		case undo && p.From != x.By:
			p.Skip = "it was changed since"
		case !p.From.Known():
			p.Skip = "what the record shows now cannot be read"
		case !x.Value.Known():
			p.Skip = "what was there before is not known"
		}
	}
	switch {
	case p.Skip != "":
	case t.link == nil || t.link.Status == record.Ended:
		p.Note = "the record is not linked: the value stays on this side"
	case t.link.Status == record.Detached:
		p.Note = "the link is detached: the value stays on this side"
	case rule == nil:
		p.Note = "no rule is about " + x.Path + ": the value stays on this side"
	case !rule.TwoWay() && rule.To[s] != nil && rule.Drift == reconcile.Overwrite && rule.Strength == reconcile.Always:
		p.Note = "field " + rule.Name + " leads from " + r.name(s.Other()) + ": the next run overwrites it again"
	case !rule.TwoWay() && rule.To[s] != nil:
		p.Note = "field " + rule.Name + " leads from " + r.name(s.Other()) + ": the value stays on this side"
	}
	return p
}

// Changes is how many values are to be put back.
func (p *Putback) Changes() int {
	n := 0
	for _, t := range p.targets {
		n += len(t.sets)
	}
	return n
}

// Apply writes the values, where their records still show what [Put.From] says, and notes the outcome of each in
// Puts. by is the person. What both sides agreed on is left alone, so that the next run sees an edit. The account of
// the run is stored, and returned with every error.
func (p *Putback) Apply(ctx context.Context, by string) (acc plan.Run, err error) {
	acc = plan.Run{Sync: p.job.Rules.Sync, Started: p.e.now(), Trigger: p.trigger, Rules: p.job.Rules.Digest}
	acc.Footer.Updates = int64(len(p.targets))
	err = p.e.byHand(ctx, p.job, func(ctx context.Context, r *Run) error {
		acc.Owner = r.lease.owner
		if err := r.book.StartRun(ctx, &acc); err != nil {
			return fmt.Errorf("record the run: %w", err)
		}
		c := &carrier{r: r, run: acc.ID, by: by}
		err := p.carry(ctx, c)
		acc.Done, acc.Skipped, acc.Failed, acc.Ended = c.done, c.skipped, c.failed, r.now()
		if err != nil {
			acc.Err, acc.Hint = err.Error(), connectors.Hint(err)
		}
		if ferr := r.book.FinishRun(context.WithoutCancel(ctx), acc); ferr != nil {
			err = errors.Join(err, fmt.Errorf("record the run: %w", ferr))
		}
		r.log().Info("run ended", "run", acc.ID, "trigger", acc.Trigger, "by", by, "done", acc.Done, "skipped", acc.Skipped, "failed", acc.Failed)
		return err
	})
	return acc, err
}

func (p *Putback) carry(ctx context.Context, c *carrier) error {
	for _, t := range p.targets {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// What is begun is carried through, as in every run.
		if err := c.putBack(context.WithoutCancel(ctx), p, t); err != nil {
			return err
		}
	}
	return nil
}

// putBack writes one record.
func (c *carrier) putBack(ctx context.Context, p *Putback, t *target) error {
	r, s := c.r, t.side
	l := record.Link{Key: t.keys}
	if t.link != nil {
		stored, err := r.book.LinkByID(ctx, t.link.ID) // what was in flight may have changed it
		if err != nil {
			return err
		}
		if stored != nil {
			l = *stored
		}
	}
	in := reconcile.Input{Link: l, Time: r.started}
	in.Record[s] = t.rec
	o := s.Other()
	in.Record[o] = record.Record{Key: l.Key[o], Label: l.Label[o], Version: l.Version[o], Values: l.Shown(o)}
	d := reconcile.Decision{Life: reconcile.Stay}
	d.Sets[s] = t.sets
	a := r.action(plan.Update, s, in, reconcile.Decision{})
	for _, i := range t.puts {
		put := &p.Puts[i]
		a.Changes = append(a.Changes, plan.Change{Path: put.Entry.Path, From: put.From, To: put.Entry.Value, Field: put.Field, Sensitive: put.Sensitive, Why: p.trigger})
	}
	st := c.change(ctx, a, loaded{in: in, d: d, keys: l.Key})
	f := Fold{Keys: l.Key}
	if !st.open {
		f.Intent = st.intent
	}
	if st.rec != nil {
		if l.ID != 0 && l.Status != record.Ended {
			f.Link = &l
		}
		r.account(&f, in, d, write{plan.Update, s, st.rec, c.run, r.now(), st.meant, st.blind})
		for i := range f.Origins {
			f.Origins[i].Rule, f.Origins[i].Author = "", c.by
		}
		for i := range f.Lost {
			if f.Lost[i].Cause != ByEdit && f.Lost[i].Cause != Jumped {
				f.Lost[i].Rule, f.Lost[i].Cause, f.Lost[i].Who = "", ByPerson, c.by
			}
		}
	}
	if f.Intent != 0 || st.rec != nil {
		if err := r.book.Fold(ctx, []Fold{f}); err != nil {
			return errors.Join(st.err, fmt.Errorf("remember: %w", err))
		}
	}
	if st.err != nil {
		return st.err
	}
	for _, i := range t.puts {
		p.Puts[i].Outcome, p.Puts[i].Why, p.Puts[i].Hint = st.res.Outcome, st.res.Why, st.res.Hint
		if st.res.Outcome == plan.Partly {
			slot := slices.Index(r.rules.Sides[s].Paths, p.Puts[i].Entry.Path)
			if st.rec.Values[slot] == p.Puts[i].Entry.Value {
				p.Puts[i].Outcome, p.Puts[i].Why = plan.Done, ""
			}
		}
	}
	c.result(st.res)
	return nil
}
