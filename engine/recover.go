package engine

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// askAgain is how often a create that was never answered is looked for while its record may still appear.
const askAgain = 2 * time.Second

// recover looks what became of the writes that an earlier run left in flight, before anything else is looked
// at. What turns out done is remembered as that run would have: the intent holds what it had decided on, and
// the same input gives the same decision. A create whose record may still appear is waited for, as long as its
// system says: only then may it be sent again. Comments and attachments are as creates.
func (r *Run) recover(ctx context.Context) error {
	open, err := r.book.Intents(ctx)
	if err != nil {
		return fmt.Errorf("read open intents: %w", err)
	}
	told := false
	for {
		var waiting []Intent
		var until time.Time
		for _, in := range open {
			wait, err := r.recoverOne(ctx, in)
			if err != nil {
				return fmt.Errorf("find out what became of the %s of %s %s sent at %s: %w",
					in.Kind, r.name(in.Side), cmpOr(in.Key, "for "+in.Twin), in.At.UTC().Format(time.DateTime), err)
			}
			if wait.After(until) {
				until = wait
			}
			if !wait.IsZero() {
				waiting = append(waiting, in)
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		left := until.Sub(r.now())
		level := slog.LevelDebug
		if !told { // it may take a minute, and a person may be looking at a screen that stands still
			level, told = slog.LevelWarn, true
		}
		r.log().Log(ctx, level, "waiting for writes that were never answered and may still appear", "writes", len(waiting), "at_most", left.Round(time.Second))
		r.progress(fmt.Sprintf("wait for %d writes that were never answered", len(waiting)), 0, 0)
		if err := r.e.sleep(ctx, min(left, askAgain)); err != nil {
			return err
		}
		open = waiting
	}
}

func (e *Engine) sleep(ctx context.Context, d time.Duration) error {
	if e.Sleep != nil {
		return e.Sleep(ctx, d)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// heldBack is how long after its intent a write may be sent at most: limits, waits that a system asks for, and repeats
// come between.
const heldBack = 10 * time.Minute

// settles is until when a write that was never answered may still take effect; zero where it cannot. When it was sent
// nobody knows, only that it was before this run began, and before its own ended, if it lived to say so.
func (r *Run) settles(ctx context.Context, in Intent) (time.Time, error) {
	wait := r.slowness(in.Side)
	if wait == 0 {
		return time.Time{}, nil
	}
	acc, err := r.e.Store.RunByID(ctx, in.Run)
	if err != nil {
		return time.Time{}, err
	}
	sent := in.At.Add(heldBack)
	if sent.After(r.started) {
		sent = r.started
	}
	if acc != nil && !acc.Ended.IsZero() && acc.Ended.Before(sent) {
		sent = acc.Ended
	}
	return sent.Add(wait), nil
}

// slowness is how long after it was sent a write to a side that was never answered may still take effect.
func (r *Run) slowness(s record.Side) time.Duration {
	if h, ok := connectors.As[connectors.Settler](r.job.Ends[s].Handle); ok {
		return h.Settles()
	}
	return 0
}

// recoverOne settles an intent, or says until when to wait for it.
func (r *Run) recoverOne(ctx context.Context, in Intent) (until time.Time, err error) {
	if in.Kind == plan.Comment || in.Kind == plan.Attachment {
		return r.recoverEntry(ctx, in)
	}
	closed := Fold{Intent: in.ID}
	var rec record.Record
	done := false
	switch in.Kind {
	case plan.Create:
		found, err := r.marked(ctx, in.Side, in.Marker, in.New[in.Marker])
		if err != nil {
			return until, err
		}
		if len(found) == 0 {
			if until, err := r.settles(ctx, in); err != nil || until.After(r.now()) {
				return until, err
			}
			break
		}
		if len(found) > 1 {
			break // somebody has copied it: which one is ours is not for us to guess, and pairing says so
		}
		l, err := r.book.Link(ctx, in.Side, found[0].Key)
		if err != nil {
			return until, err
		}
		rec, done = found[0], l == nil || l.ID == in.Link
	case plan.Update:
		found, err := r.read(ctx, in.Side, []string{in.Key})
		if err != nil {
			return until, err
		}
		if rec, done = found[in.Key]; done {
			done = shows(r.rules.Sides[in.Side].Paths, rec, in.New)
		}
	case plan.Delete:
		found, err := r.read(ctx, in.Side, []string{in.Key})
		if err != nil {
			return until, err
		}
		_, there := found[in.Key]
		done = !there
	}
	// What was sent and never answered may still be carried out, over whatever somebody writes there meanwhile.
	if in.Kind != plan.Create && !done {
		if until, err := r.settles(ctx, in); err != nil || until.After(r.now()) {
			return until, err
		}
	}
	r.log().Info("settled a write left in flight", "op", in.Kind, "side", r.name(in.Side), "record", cmpOr(in.Key, rec.Key), "done", done)
	w := write{kind: in.Kind, side: in.Side, rec: &rec, run: in.Run, at: in.At}
	if in.Kind == plan.Update && rec.Key != "" {
		if w.meant, w.blind, err = r.overtaken(ctx, sent{Intent: in, rec: rec, done: done}); err != nil {
			return until, err
		}
		r.averted += int64(len(w.meant))
	}
	if !done {
		if err := r.overwritten(ctx, &closed, in, w); err != nil {
			return until, err
		}
		return until, r.book.Fold(ctx, []Fold{closed})
	}
	f, ok, err := r.replay(ctx, in, w)
	if err != nil {
		return until, err
	}
	if !ok {
		var l *record.Link
		if in.Link != 0 {
			if l, err = r.book.LinkByID(ctx, in.Link); err != nil {
				return until, err
			}
		}
		f = r.unreplayed(in, l, rec, w.meant)
	}
	f.Intent = in.ID
	return until, r.book.Fold(ctx, []Fold{f})
}

// replay decides again what led to an intent and gives what its run would have remembered. false when the
// rules or the link are no longer what they were: then the ordinary way finds out.
func (r *Run) replay(ctx context.Context, in Intent, done write) (Fold, bool, error) {
	if in.By != "" {
		return Fold{}, false, nil // a person decided it
	}
	o := in.Side.Other()
	l := record.Link{}
	l.Key[o], l.Key[in.Side] = in.Twin, in.Key
	if in.Link != 0 {
		stored, err := r.book.LinkByID(ctx, in.Link)
		if err != nil || stored == nil {
			return Fold{}, false, err
		}
		l = *stored
	}
	past := reconcile.Input{Link: l, Time: in.At}
	past.Record[o] = record.Record{Key: in.Twin, Label: l.Label[o], Version: l.Version[o], Values: byPath(r.rules.Sides[o].Paths, in.Source)}
	past.Record[in.Side] = record.Record{Key: in.Key, Label: l.Label[in.Side], Version: in.Version, Values: byPath(r.rules.Sides[in.Side].Paths, in.Expected)}
	switch in.Kind {
	case plan.Create:
		past.Presence[in.Side] = reconcile.Missing
		if in.Link != 0 {
			past.Presence[in.Side] = reconcile.Gone // recreated
		}
	case plan.Delete:
		past.Presence[o] = reconcile.Gone
	}
	if in.Source == nil {
		past.Presence[o] = reconcile.Gone
	}
	d, err := r.decideOne(ctx, &past)
	if err != nil {
		return Fold{}, false, err
	}
	if in.Kind != plan.Delete {
		got := record.Fields{}
		for _, set := range d.Sets[in.Side] {
			got[r.rules.Sides[in.Side].Paths[set.Slot]] = set.To
		}
		if !equalFields(got, in.New) {
			return Fold{}, false, nil
		}
	}
	r.suspend(&past, &d, done.meant)
	var w written
	w.record[in.Side] = done.rec
	w.wait = true // today's observation settles the fingerprints
	if d.Life == reconcile.Stay && len(d.Sets[o]) > 0 {
		w.failed[o] = true
	}
	ld := loaded{in: past, d: d, keys: l.Key}
	f := r.outcome(ld, w)
	if in.Kind == plan.Create && f.Link != nil {
		doubtful(f.Link, in.Side, d.Sets[in.Side], *done.rec)
	}
	r.account(&f, past, d, done)
	return f, true, r.accountEdits(ctx, &f, &ld, in.Run, nil)
}

// overwritten keeps what an update may have replaced, where the record shows neither that nor what was sent: the system
// may have stored the write in its own way, or somebody has edited it since, or deleted the record. The next observation
// finds out the rest.
func (r *Run) overwritten(ctx context.Context, f *Fold, in Intent, w write) error {
	if in.Kind != plan.Update {
		return nil
	}
	f.Keys[in.Side], f.Keys[in.Side.Other()] = in.Key, in.Twin
	for slot, path := range r.rules.Sides[in.Side].Paths {
		now, wrote := in.New[path]
		if !wrote {
			continue
		}
		if w.rec.Key != "" {
			now = w.rec.Values[slot]
		}
		old, m := in.Expected[path], meantAt(w.meant, in.Side, slot)
		switch lost := (Lost{Side: in.Side, Path: path, Value: old, By: now, Run: in.Run, At: in.At, Cause: ByRule}); {
		case m != nil:
			lost.By = m.Stored
			f.Lost = append(f.Lost, unseen(lost, m)...)
		case old.Known() && now.Known() && old != now:
			f.Lost = append(f.Lost, lost)
		}
	}
	if len(f.Lost) == 0 || in.Link == 0 {
		return nil
	}
	l, err := r.book.LinkByID(ctx, in.Link)
	if err == nil && l != nil && l.Status != record.Ended {
		if in.By == "" {
			means(l, w.meant)
		}
		f.Link = l // so that it is in this link's history, too
	}
	return err
}

// doubtful takes out of the base of a link what its new record shows otherwise than it was sent. The system may have
// stored it so, or somebody has edited it since: both sides never agreed on it, and the sync's first mode decides.
func doubtful(l *record.Link, s record.Side, sets []reconcile.Set, rec record.Record) {
	for _, set := range sets {
		if set.Slot >= len(l.Base[s]) || rec.Values[set.Slot] == set.To {
			continue
		}
		if l.Now[s] == nil {
			l.Now[s] = slices.Clone(l.Base[s])
		}
		l.Base[s][set.Slot] = record.Value{}
		if l.Sent[s] != nil {
			l.Sent[s][set.Slot] = record.Value{}
		}
	}
}

func byPath(paths []string, f record.Fields) []record.Value {
	if f == nil {
		return nil
	}
	vs := make([]record.Value, len(paths))
	for i, p := range paths {
		vs[i] = f[p]
	}
	return vs
}

func equalFields(a, b record.Fields) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			return false
		}
	}
	return true
}

// shows reports whether rec carries every one of these values.
func shows(paths []string, rec record.Record, f record.Fields) bool {
	for path, v := range f {
		if i := slices.Index(paths, path); i < 0 || rec.Values[i] != v {
			return false
		}
	}
	return true
}
