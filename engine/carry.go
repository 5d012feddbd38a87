package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// updates writes the sides of one link, one write each. After the first the link is as that write left it.
func (c *carrier) updates(ctx context.Context, ld loaded) error {
	var w written
	acts := ld.acts
	for _, a := range acts {
		w.failed[a.Side] = true
	}
	if err := c.inOrder(ctx, ld, acts); err != nil {
		return err
	}
	for _, a := range acts {
		if !c.allowed(a) {
			w.wait = true
			c.leaveUnsettled()
			continue
		}
		if o := a.Side.Other(); w.record[o] != nil {
			next, err := c.afterTwin(ctx, ld, w.record[o], o)
			if err != nil {
				return err
			}
			if !sameSets(next.d.Sets[a.Side], ld.d.Sets[a.Side]) {
				w.wait = true
				c.result(plan.Result{Action: a, Outcome: plan.Skipped, Why: "the write to its twin changed what is to be written here; the next run decides again"})
				continue
			}
			ld, w.record[o] = next, nil
		}
		if err := c.afterWrite(ctx, &ld, &w, a, c.update(ctx, a, &ld)); err != nil {
			return err
		}
	}
	return nil
}

// inOrder puts the write first that the other one hangs on, whichever side that is: what a rule asks for on one side
// may be over once the other side was written.
func (c *carrier) inOrder(ctx context.Context, ld loaded, acts []plan.Action) error {
	if len(acts) != 2 {
		return nil
	}
	var hangs [2]bool // by side: its write is another one, or none, after that of its twin
	for _, s := range record.Sides {
		in, o := ld.in, s.Other()
		in.Record[o].Values = slices.Clone(in.Record[o].Values)
		for _, set := range ld.d.Sets[o] {
			in.Record[o].Values[set.Slot] = set.To
		}
		ds, err := c.r.decideAll(ctx, []reconcile.Input{in})
		if err != nil {
			return err
		}
		hangs[s] = !sameSets(ds[0].Sets[s], ld.d.Sets[s])
	}
	if first := acts[0].Side; hangs[first] && !hangs[first.Other()] {
		slices.Reverse(acts)
	}
	return nil
}

// afterTwin decides about a link again once side s was written and that was remembered.
func (c *carrier) afterTwin(ctx context.Context, ld loaded, rec *record.Record, s record.Side) (loaded, error) {
	l, err := c.r.book.LinkByID(ctx, ld.in.Link.ID)
	if err != nil || l == nil {
		return ld, errors.Join(err, errors.New("the link that was just stored cannot be found"))
	}
	next := ld
	next.intent, next.latest = nil, nil
	next.in.Link = *l
	next.in.Record[s].Values = settled(ld.in, ld.d, s, rec)
	next.in.Record[s].Label, next.in.Record[s].Version = rec.Label, rec.Version
	p := newPrinter(c.r.rules.Digest).of(rec.Key, next.in.Record[s].Values)
	next.prints[s] = &p
	next.in.Past = nil
	if next.d, err = c.r.decideOne(ctx, &next.in); err != nil {
		return ld, err
	}
	return next, nil
}

func sameSets(a, b []reconcile.Set) bool {
	return slices.EqualFunc(a, b, func(x, y reconcile.Set) bool { return x.Slot == y.Slot && x.To == y.To })
}

// A step is what one write came to.
type step struct {
	rec    *record.Record // what the system holds now; nil when it was not written
	intent int64          // to be closed with what is remembered; 0: none open
	res    plan.Result
	hold   *plan.Hold     // Failed
	cause  error          // with which the system refused the write itself
	left   []plan.Hold    // fields that the system refused, and that were left out of what was written
	meant  []record.Meant // what the write replaced unseen
	blind  bool           // it may have replaced something, and what cannot be known
	open   bool           // the intent stays open: nobody knows yet
	err    error          // stops the run
}

// afterWrite remembers a step and reports it.
func (c *carrier) afterWrite(ctx context.Context, ld *loaded, w *written, a plan.Action, st step) error {
	ld.turn.give()
	if st.err != nil {
		if st.intent != 0 {
			st.err = errors.Join(st.err, c.r.book.Fold(ctx, []Fold{{Intent: st.intent}}))
		}
		return st.err
	}
	if st.rec != nil {
		w.record[a.Side], w.failed[a.Side] = st.rec, false
		c.mu.Lock()
		c.r.views[a.Side].gate.wrote(a.Kind, *st.rec)
		c.mu.Unlock()
		if c.r.suspend(&ld.in, &ld.d, st.meant); len(st.meant) > 0 {
			w.wait = true
			c.mu.Lock()
			c.averted += int64(len(st.meant))
			c.stirred++ // what was replaced is decided about again
			c.mu.Unlock()
		}
		if a.Kind == plan.Update && !slices.Equal(settled(ld.in, ld.d, a.Side, st.rec), st.rec.Values) {
			c.mu.Lock()
			c.stirred++
			c.mu.Unlock()
		}
	}
	w.holds = append(w.holds, st.left...)
	switch {
	case st.hold != nil:
		w.holds = append(w.holds, *st.hold)
	case st.rec == nil:
		w.wait = true
	}
	if st.rec != nil || st.hold != nil {
		f := c.r.outcome(*ld, *w)
		if st.rec != nil && f.Link != nil && f.Link.Status == record.Live && !w.wait && f.Prints[a.Side] != nil && *f.Prints[a.Side] == *unsettled(f.Link.Key[a.Side]) {
			c.mu.Lock()
			c.stirred++ // there is more to write
			c.mu.Unlock()
		}
		if st.rec != nil && a.Kind == plan.Create {
			if in, err := c.r.inScope(a.Side, st.rec.Values); err == nil && !in {
				c.mu.Lock()
				c.stirred++ // it was made out of scope, and that is told now
				c.mu.Unlock()
			}
		}
		if st.rec != nil && a.Kind == plan.Update && ld.prints[a.Side] == nil && f.Prints[a.Side] != nil {
			// Writing to a record does not show that it is in scope.
			p, known, err := c.r.book.Print(ctx, a.Side, f.Prints[a.Side].Hash)
			if err != nil {
				return fmt.Errorf("look at what was settled: %w", err)
			}
			if known && p.born() {
				f.Prints[a.Side] = &p
			}
		}
		if !st.open {
			f.Intent = st.intent
		}
		if st.rec != nil {
			c.r.account(&f, ld.in, ld.d, write{a.Kind, a.Side, st.rec, c.run, c.r.now(), st.meant, st.blind})
		}
		if w.told == nil {
			w.told = map[place]bool{}
		}
		if err := c.r.accountEdits(ctx, &f, ld, c.run, w.told); err != nil {
			return err
		}
		folds := []Fold{f}
		if f.Link != nil && f.Link.ID == 0 && len(c.r.waiting[waitKey(ld.keys)]) > 0 {
			folds = append(folds, Fold{Decided: true, Keys: ld.keys}) // it waited without a link, and has one now
		}
		if err := c.r.book.Fold(ctx, folds); err != nil {
			return fmt.Errorf("remember: %w", err)
		}
		if f.Link != nil {
			ld.in.Link.ID = f.Link.ID
		}
	} else if st.intent != 0 && !st.open {
		if err := c.r.book.Fold(ctx, []Fold{{Intent: st.intent}}); err != nil {
			return fmt.Errorf("remember: %w", err)
		}
	}
	c.result(st.res)
	c.r.log().Info("wrote", "run", c.run, "link", ld.in.Link.ID, "op", a.Kind, "side", a.SideName, "record", cmpOr(st.res.Label, st.res.Key, a.Label, a.Key), "outcome", st.res.Outcome)
	return nil
}

func cmpOr(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

// fields are the values that a decision sets on a side, by path.
func (c *carrier) fields(d reconcile.Decision, s record.Side) record.Fields {
	f := make(record.Fields, len(d.Sets[s]))
	for _, set := range d.Sets[s] {
		f[c.r.rules.Sides[s].Paths[set.Slot]] = set.To
	}
	return f
}

// shown are a side's values by path.
func (c *carrier) shown(in reconcile.Input, s record.Side) record.Fields {
	f := make(record.Fields, len(in.Record[s].Values))
	for i, v := range in.Record[s].Values {
		f[c.r.rules.Sides[s].Paths[i]] = v
	}
	return f
}

// update writes one side of a link, if it still shows what the decision was made on. Fields that the system refuses by
// name are taken out of the decision and held, and the others are written.
func (c *carrier) update(ctx context.Context, a plan.Action, ld *loaded) step {
	return c.leavingOut(ctx, a, ld, c.change)
}

// change makes one try at an update.
func (c *carrier) change(ctx context.Context, a plan.Action, ld loaded) step {
	ld.turn.take(ctx)
	s := a.Side
	h := c.r.job.Ends[s].Handle
	up, ok := connectors.As[connectors.Updater](h)
	if !ok {
		return c.refused(a, ld, &connectors.Error{Kind: connectors.ErrRefused, Op: "update " + a.Collection, Detail: "this system cannot be written through this connector"})
	}
	key, version := ld.in.Record[s].Key, ld.in.Record[s].Version
	cond, _ := connectors.As[connectors.Conditional](h)
	reread := cond == nil || !cond.Conditional() || version == ""
	in := ld.intent
	for try := 0; ; try++ {
		if reread {
			cur, st := c.current(ctx, a, ld)
			if cur != nil && already(ld.d.Sets[s], *cur) {
				st = step{rec: cur, res: plan.Result{Action: a, Outcome: plan.Done, Key: cur.Key, Label: cur.Label, Why: "it showed these values already"}}
				cur = nil
			}
			if cur == nil {
				st.intent = in.number()
				return st
			}
			version = cur.Version
		}
		if err := c.intended(ctx, &in, a, &ld, version); err != nil {
			return step{intent: in.number(), err: err}
		}
		if err := c.begin(ctx); err != nil {
			return step{intent: in.number(), err: err}
		}
		rec, err := up.Update(ctx, c.r.rules.Sides[s].Paths, key, version, in.New)
		switch {
		case err == nil:
			return c.wrote(ctx, a, ld, *in, rec, !reread, "")
		case errors.Is(err, connectors.ErrStale) && try < 3:
			if ferr := c.r.book.Fold(ctx, []Fold{{Intent: in.ID}}); ferr != nil {
				return step{err: ferr}
			}
			in, reread = nil, true
		case errors.Is(err, connectors.ErrStale), errors.Is(err, connectors.ErrNotFound):
			return step{intent: in.ID, res: plan.Result{Action: a, Outcome: plan.Skipped, Why: err.Error()}}
		case unknownOutcome(err) && try < 2:
			cur, _ := c.current(ctx, a, ld)
			switch {
			case cur != nil && already(ld.d.Sets[s], *cur):
				return c.wrote(ctx, a, ld, *in, *cur, !reread, "the answer was lost, the write was found done")
			case cur != nil && c.r.slowness(s) > 0: // it may still happen, over an edit that a second one would not wait for
				return c.unsure(a, in.ID, err)
			case cur != nil: // it shows what it showed before: the write did not happen
				if ferr := c.r.book.Fold(ctx, []Fold{{Intent: in.ID}}); ferr != nil {
					return step{err: ferr}
				}
				in, reread = nil, true
			default: // it shows something else again, or nothing: recovery keeps what the write may have replaced
				return c.unsure(a, in.ID, err)
			}
		case unknownOutcome(err):
			return c.unsure(a, in.ID, err)
		default:
			st := c.refused(a, ld, err)
			st.intent, st.cause = in.ID, err
			return st
		}
	}
}

// wrote is the step of an update that was carried out: rec is what the system holds now. sure says that nothing can
// have come between.
func (c *carrier) wrote(ctx context.Context, a plan.Action, ld loaded, in Intent, rec record.Record, sure bool, why string) step {
	st := step{rec: owned(rec), intent: in.ID, res: plan.Result{Action: a, Outcome: plan.Done, Key: rec.Key, Label: rec.Label, Why: why}}
	if !sure {
		var err error
		if st.meant, st.blind, err = c.r.overtaken(ctx, sent{Intent: in, rec: *st.rec, done: true, self: rec.Author}); err != nil {
			return c.unsure(a, in.ID, fmt.Errorf("something else was written too, and what it was cannot be read now: %w", err))
		}
	}
	if why == "" {
		c.compare(&st, ld.d, a.Side)
	}
	for i := range st.meant {
		rule := -1
		if k := slices.IndexFunc(ld.d.Sets[a.Side], func(set reconcile.Set) bool { return set.Slot == st.meant[i].Slot }); k >= 0 {
			rule = ld.d.Sets[a.Side][k].Rule
		}
		st.res.Why = c.r.rules.Averted(rule, &st.meant[i])
	}
	if st.blind {
		st.res.Why = "something else was written to it at the same time, and what it was cannot be seen"
	}
	return st
}

// current reads the record again and holds it against what the decision was made on. nil and a step when
// there is no going on.
func (c *carrier) current(ctx context.Context, a plan.Action, ld loaded) (*record.Record, step) {
	s := a.Side
	key := ld.in.Record[s].Key
	found, err := c.r.read(ctx, s, []string{key})
	if err != nil {
		return nil, c.refused(a, ld, err)
	}
	cur, ok := found[key]
	if !ok {
		return nil, step{res: plan.Result{Action: a, Outcome: plan.Skipped, Why: "the record is no longer there"}}
	}
	if already(ld.d.Sets[s], cur) {
		return &cur, step{}
	}
	for _, set := range ld.d.Sets[s] {
		if was, is := ld.in.Record[s].Values[set.Slot], cur.Values[set.Slot]; was != is {
			path := c.r.rules.Sides[s].Paths[set.Slot]
			return nil, step{res: plan.Result{Action: a, Outcome: plan.Skipped,
				Why: path + " changed since it was observed; the next run decides again"}}
		}
	}
	return &cur, step{}
}

// already reports whether rec shows every value that is to be set.
func already(sets []reconcile.Set, rec record.Record) bool {
	for _, set := range sets {
		if rec.Values[set.Slot] != set.To {
			return false
		}
	}
	return true
}

// compare says where the system stored something else than what was sent.
func (c *carrier) compare(st *step, d reconcile.Decision, s record.Side) {
	for _, set := range d.Sets[s] {
		if got := st.rec.Values[set.Slot]; got != set.To {
			st.res.Outcome = plan.Partly
			path := c.r.rules.Sides[s].Paths[set.Slot]
			switch {
			case set.Rule >= 0 && c.r.rules.Fields[set.Rule].Sensitive:
				st.res.Why = path + " was stored as something else"
			case set.To.Kind() == record.Text && got.Kind() == record.Text && got.Text() != "" && strings.HasPrefix(set.To.Text(), got.Text()):
				st.res.Why = fmt.Sprintf("%s: the first %d of %d characters are stored", path, utf8.RuneCountInString(got.Text()), utf8.RuneCountInString(set.To.Text()))
			default:
				st.res.Why = fmt.Sprintf("%s: %s was sent, %s is stored", path, set.To, got)
			}
			return
		}
	}
}

func owned(rec record.Record) *record.Record {
	rec = rec.Clone()
	return &rec
}

// unknownOutcome reports whether a write may or may not have happened.
func unknownOutcome(err error) bool {
	return errors.Is(err, connectors.ErrOutcome) || errors.Is(err, connectors.ErrProtocol) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// unsure leaves the intent open: the next run looks what became of it before anything else.
func (c *carrier) unsure(a plan.Action, intent int64, err error) step {
	c.leaveUnsettled()
	return step{intent: intent, open: true, res: plan.Result{Action: a, Outcome: plan.Failed,
		Why: err.Error(), Hint: "nobody knows whether this write happened: the next run looks before it does anything else"}}
}

// refused turns an error into a hold on this record, or stops the run where nothing on the connection can work.
func (c *carrier) refused(a plan.Action, ld loaded, err error) step {
	if errors.Is(err, connectors.ErrAuth) || errors.Is(err, connectors.ErrOffline) {
		return step{err: fmt.Errorf("%s: %w", a.SideName, err)}
	}
	h := c.holdOf(ld, err)
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		if e.RetryAfter > 0 {
			h.Next = c.r.now().Add(e.RetryAfter)
		}
		if len(a.Changes) == 1 {
			h.Field, h.At = a.Changes[0].Field, a.Changes[0].At
		}
	}
	return step{hold: &h, res: plan.Result{Action: a, Outcome: plan.Failed, Why: h.Cause, Hint: h.Hint}}
}

// holdOf is the hold of a link because of err.
func (c *carrier) holdOf(ld loaded, err error) plan.Hold {
	h := plan.Hold{Sync: c.r.rules.Sync, Link: ld.in.Link.ID, Keys: ld.in.Link.Key, Cause: err.Error(), Hint: connectors.Hint(err)}
	for _, s := range record.Sides {
		h.Labels[s] = ld.in.Record[s].Label
	}
	return h
}

// remove deletes the record whose twin is gone, if it still shows what the decision was made on.
func (c *carrier) remove(ctx context.Context, ld loaded) error {
	var w written
	a := ld.acts[0]
	w.failed[a.Side] = true
	if !c.allowed(a) {
		c.leaveUnsettled()
		return nil
	}
	return c.afterWrite(ctx, &ld, &w, a, c.delete(ctx, ld, a))
}

func (c *carrier) delete(ctx context.Context, ld loaded, a plan.Action) step {
	s := a.Side
	del, ok := connectors.As[connectors.Deleter](c.r.job.Ends[s].Handle)
	if !ok {
		return c.refused(a, ld, &connectors.Error{Kind: connectors.ErrRefused, Op: "delete " + a.Collection, Detail: "this system cannot delete records through this connector"})
	}
	key, in := ld.in.Record[s].Key, ld.intent
	given := func(st step) step { // before the call
		st.intent = in.number()
		return st
	}
	gone := func(why string) step {
		rec := ld.in.Record[s]
		return given(step{rec: &rec, res: plan.Result{Action: a, Outcome: plan.Done, Key: key, Label: a.Label, Why: why}})
	}
	found, err := c.r.read(ctx, s, []string{key})
	if err != nil {
		return given(c.refused(a, ld, err))
	}
	cur, there := found[key]
	if !there {
		return gone("it was gone already")
	}
	for i, was := range ld.in.Record[s].Values {
		if was != cur.Values[i] {
			return given(step{res: plan.Result{Action: a, Outcome: plan.Skipped, Why: c.r.rules.Sides[s].Paths[i] + " changed since it was observed; a changed record is not deleted"}})
		}
	}
	if err := c.intended(ctx, &in, a, &ld, cur.Version); err != nil {
		return given(step{err: err})
	}
	if err := c.begin(ctx); err != nil {
		return given(step{err: err})
	}
	err = del.Delete(ctx, key, cur.Version)
	switch {
	case err == nil, errors.Is(err, connectors.ErrNotFound):
		return gone("")
	case errors.Is(err, connectors.ErrStale):
		return given(step{res: plan.Result{Action: a, Outcome: plan.Skipped, Why: err.Error()}})
	case unknownOutcome(err):
		return c.unsure(a, in.ID, err)
	}
	return given(c.refused(a, ld, err))
}

// intended makes sure that the intent of a call over this version is durable. An earlier one over another version is
// given up: recovery tells by the version whether something came between. So is one that has waited for long, since
// recovery takes it that a call follows its intent soon.
func (c *carrier) intended(ctx context.Context, in **Intent, a plan.Action, ld *loaded, version string) error {
	if *in != nil && (a.Kind == plan.Create || (*in).Version == version) && c.r.now().Sub((*in).At) < heldBack/2 {
		return nil
	}
	if *in != nil {
		if err := c.r.book.Fold(ctx, []Fold{{Intent: (*in).ID}}); err != nil {
			return fmt.Errorf("give the intent up: %w", err)
		}
		*in = nil
	}
	next := c.intent(a, ld, version)
	if err := c.intend(ctx, next); err != nil {
		return err
	}
	*in = next
	return nil
}

// number is the ID of an intent that is durable; 0: there is none.
func (in *Intent) number() int64 {
	if in == nil {
		return 0
	}
	return in.ID
}
