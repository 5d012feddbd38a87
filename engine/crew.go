package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

const (
	// groupSize is how many actions at least are loaded together, and make their intents durable in one transaction.
	groupSize = 128
	// unremembered is how many actions may have been carried out, or be under way, without being remembered: their folds
	// share transactions. After a crash as many are looked at one by one.
	unremembered = 256
)

// A crew carries out the actions of one kind. Three stages overlap: the next group is loaded and its intents are made
// durable, calls are under way, as many as there are slots and begun in the order of the plan, and what they came to is
// remembered. Nobody waits for another link's call or fold.
type crew struct {
	c     *carrier
	ctx   context.Context // ends with the first error
	halt  context.CancelCauseFunc
	g     *errgroup.Group
	size  int           // of a group
	room  chan struct{} // one for each action that is begun and not remembered yet
	units []unit        // of the next group
	ready chan []loaded // groups with durable intents
}

func (c *carrier) crew(ctx context.Context) *crew {
	ctx, halt := context.WithCancelCause(ctx)
	// Where writes travel in batches, a group fills all that may be under way.
	most := max(groupSize, cap(c.slots))
	room := max(unremembered, 2*most)
	if cap(c.slots) == 1 {
		room = 1 // where one action comes after the other, so does what is remembered: the same run always gives the same IDs
	}
	w := &crew{c: c, halt: halt, size: most, room: make(chan struct{}, room), ready: make(chan []loaded, 1)}
	w.g, w.ctx = errgroup.WithContext(ctx)
	w.g.Go(w.send)
	return w
}

// add has one more action carried out.
func (w *crew) add(u unit) error {
	if w.units = append(w.units, u); len(w.units) >= w.size {
		return w.prepare()
	}
	return nil
}

// end waits for all that was added, and returns the first error.
func (w *crew) end() error {
	if err := w.prepare(); err != nil {
		w.halt(err)
	}
	close(w.ready)
	err := w.g.Wait()
	w.halt(nil)
	return err
}

// stop has no more actions begun.
func (w *crew) stop(why error) { w.halt(why) }

// prepare loads a group and makes its intents durable.
func (w *crew) prepare() error {
	units := w.units
	w.units = nil
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	lds, err := w.c.load(w.ctx, units)
	if err != nil {
		return err
	}
	var ins []*Intent
	for i := range lds {
		ld := &lds[i]
		ld.turn.slots = w.c.slots
		if ld.intent = w.c.intention(ld); ld.intent != nil {
			ins = append(ins, ld.intent)
		}
	}
	if len(ins) > 0 {
		if err := w.c.intend(w.ctx, ins...); err != nil {
			return err
		}
	}
	select {
	case w.ready <- lds:
		return nil
	case <-w.ctx.Done():
		return w.giveUp(lds)
	}
}

// send begins one action after the other. Those that are not begun any more give their intents up.
func (w *crew) send() error {
	for lds := range w.ready {
		for i := range lds {
			ld := &lds[i]
			// Room comes first: who has it may need another turn, and must not wait for one that waits for room.
			if !take(w.ctx, w.room) || !ld.turn.take(w.ctx) {
				lds = lds[i:]
				for rest := range w.ready {
					lds = append(lds, rest...)
				}
				return w.giveUp(lds)
			}
			w.g.Go(func() error {
				defer func() { ld.turn.give(); <-w.room }()
				return w.c.carry(w.ctx, *ld)
			})
		}
	}
	return nil
}

// giveUp closes the intents of actions that were not begun, and returns why they were not.
func (w *crew) giveUp(lds []loaded) error {
	var folds []Fold
	for _, ld := range lds {
		if ld.intent != nil {
			folds = append(folds, Fold{Intent: ld.intent.ID})
		}
	}
	why := context.Cause(w.ctx)
	if len(folds) == 0 {
		return why
	}
	if err := w.c.r.book.Fold(context.WithoutCancel(w.ctx), folds); err != nil {
		return errors.Join(why, err)
	}
	return why
}

// A turn is the right to call a system. One is taken for a call and the reading before it, and given back before what
// came of the call is remembered.
type turn struct {
	slots chan struct{} // nil: there is nobody else
	taken bool
}

// take waits for a slot. false when ctx ended first.
func (t *turn) take(ctx context.Context) bool {
	if t == nil || t.slots == nil || t.taken {
		return true
	}
	t.taken = take(ctx, t.slots)
	return t.taken
}

func take(ctx context.Context, from chan struct{}) bool {
	select {
	case from <- struct{}{}:
		if ctx.Err() == nil {
			return true
		}
		<-from
	case <-ctx.Done():
	}
	return false
}

func (t *turn) give() {
	if t != nil && t.taken {
		t.taken = false
		<-t.slots
	}
}

// A loaded unit is a link with its records and its decision.
type loaded struct {
	in     reconcile.Input
	prints [2]*Print // of the records that this run observed
	d      reconcile.Decision
	keys   [2]string       // what a record without a link waits under
	latest map[place]Entry // newest entries of the slots that were edited; those without any are zero
	acts   []plan.Action
	intent *Intent // of the first action, durable; nil: not written down yet
	turn   *turn
}

// load brings back what is known of some units, and decides again: the same input gives the same decision.
func (c *carrier) load(ctx context.Context, units []unit) ([]loaded, error) {
	if len(units) == 0 {
		return nil, nil
	}
	ids := make([]int64, 0, len(units))
	for _, u := range units {
		if u.Link != 0 {
			ids = append(ids, u.Link)
		}
	}
	links := make(map[int64]record.Link, len(ids))
	if err := c.r.book.LinksByID(ctx, ids, func(l record.Link) error { links[l.ID] = l; return nil }); err != nil {
		return nil, err
	}
	ls, hands := make([]record.Link, len(units)), make([][2]*Moved, len(units))
	for i, u := range units {
		ls[i] = record.Link{Key: u.Keys}
		if u.Link != 0 {
			stored, there := links[u.Link]
			if !there {
				return nil, fmt.Errorf("link %d has gone from the state", u.Link)
			}
			ls[i] = stored
		}
		for _, s := range record.Sides {
			if u.Unseen[s] {
				hands[i][s] = notSeen
			}
		}
	}
	as, err := c.r.inputs(ctx, ls, hands)
	if err != nil {
		return nil, err
	}
	ins := make([]reconcile.Input, len(units))
	for i, u := range units {
		if ins[i] = as[i].in; !u.Past {
			ins[i].Past = []reconcile.Past{}
		}
	}
	ds, err := c.r.decideAll(ctx, ins)
	if err != nil {
		return nil, err
	}
	lds := make([]loaded, len(units))
	for i, u := range units {
		lds[i] = loaded{in: ins[i], prints: as[i].prints, d: ds[i], keys: u.Keys, acts: c.r.actions(ins[i], ds[i]), turn: &turn{}}
	}
	return lds, c.remind(ctx, lds)
}

// remind looks up what the history says of the slots that were edited, for accountEdits.
func (c *carrier) remind(ctx context.Context, lds []loaded) error {
	var places []Place
	at := map[Place]map[place]Entry{}
	slots := map[Place]place{}
	for i := range lds {
		ld := &lds[i]
		if ld.d.Life != reconcile.Stay || ld.in.Link.ID == 0 {
			continue
		}
		ld.latest = map[place]Entry{}
		for _, s := range record.Sides {
			for slot := range ld.edited(s) {
				p := Place{ld.in.Link.ID, s, c.r.rules.Sides[s].Paths[slot]}
				places, at[p], slots[p] = append(places, p), ld.latest, place{s, slot}
				ld.latest[place{s, slot}] = Entry{}
			}
		}
	}
	return c.r.book.Latest(ctx, places, 1, func(x Entry) error {
		at[x.Place()][slots[x.Place()]] = x
		return nil
	})
}

// carry does everything for one link: its writes, each with intent and precondition, and what is remembered of
// them. An error stops the whole run (credentials, a lost connection, the state); what concerns the record
// alone becomes a result and a hold.
func (c *carrier) carry(ctx context.Context, ld loaded) error {
	// From here on the action is carried through: stopping waits for its end.
	ctx = context.WithoutCancel(ctx)
	if len(ld.acts) == 0 {
		return nil
	}
	first := &ld.acts[0]
	ctx, end := c.r.span(ctx, string(first.Kind)+" "+first.SideName, slog.Int64("run", c.run), slog.Int64("link", ld.in.Link.ID))
	var err error
	switch ld.d.Life {
	case reconcile.CreateOn:
		err = c.create(ctx, ld)
	case reconcile.DeleteOn:
		err = c.remove(ctx, ld)
	default:
		err = c.updates(ctx, ld)
	}
	end(err)
	return err
}

// intention is the intent of the first action of a unit, to be made durable with those of others. nil where which one is
// the first, or whether it may be carried out, turns out later.
func (c *carrier) intention(ld *loaded) *Intent {
	if len(ld.acts) == 0 || len(ld.acts) > 1 && ld.d.Life != reconcile.CreateOn || !c.approves(ld.acts[0]) {
		return nil
	}
	a := ld.acts[0]
	return c.intent(a, ld, ld.in.Record[a.Side].Version)
}

// intent is what is written down before the call that carries an action out: over which version, what the records show,
// and what they get.
func (c *carrier) intent(a plan.Action, ld *loaded, version string) *Intent {
	s := a.Side
	in := &Intent{Link: ld.in.Link.ID, Kind: a.Kind, Side: s, Twin: ld.in.Link.Key[s.Other()], At: c.r.now(), Run: c.run, By: c.by}
	if a.Kind == plan.Create {
		in.Marker = a.Marker
	} else {
		in.Key, in.Version, in.Expected = ld.in.Record[s].Key, version, c.shown(ld.in, s)
	}
	if a.Kind != plan.Delete {
		in.New, in.Source = c.fields(ld.d, s), c.shown(ld.in, s.Other())
	}
	return in
}
