package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Gates hold what a side tells of itself against what the last run stored with its cursor: is it the same system,
// with the same clock and zone, and has it gone on from where it was? Where one of these is in doubt, so is the time
// since when changes were asked for: the side is read whole, the plan shows what follows, and it stops.

const (
	// clockSlack is how much clocks may move against each other between two runs. Each run measures them anew, so a
	// drift of seconds harms nobody; what it guards against is a clock that was set.
	clockSlack = 5 * time.Minute
	// witnesses is how many of the records that changed last are remembered, fewest how many of them have to
	// contradict what was seen before a side counts as restored: one or two rows that somebody brought back, or
	// deleted, are ordinary changes.
	witnesses, fewest = 16, 3
	// lateStamp is how much earlier than before a stamp may be on a record that went on: systems stamp when a
	// transaction starts, and commit later.
	lateStamp = 2 * time.Minute
)

// A gate is what one observation of a side found out about the side itself.
type gate struct {
	doubt bool // a full scan has to tell, and the plan may stop
	jump  time.Duration
	set   bool      // the clock jumped by more than its error
	back  []Witness // show an earlier stamp; At is what they show now
	gone  []Witness // At is the stamp they had
	last  time.Time // newest stamp that the scan showed

	watched map[string]int // places in shown by the key of each witness
	shown   []time.Time    // what the scan showed of the witnesses
	newest  []Witness      // to be remembered, newest first
}

// watch begins a scan that is to tell what became of these witnesses.
func (g *gate) watch(ws []Witness) {
	g.last, g.newest, g.shown, g.watched = time.Time{}, nil, make([]time.Time, len(ws)), make(map[string]int, len(ws))
	for i, w := range ws {
		g.watched[w.Key] = i
	}
}

// see takes notice of a record that a scan shows.
func (g *gate) see(rec record.Record) {
	if len(g.watched) > 0 {
		if i, ok := g.watched[rec.Key]; ok {
			g.shown[i] = rec.Modified
		}
	}
	if rec.Modified.After(g.last) {
		g.last = rec.Modified
	}
	g.remember(rec.Key, rec.Modified)
}

// join takes notice of what another process has seen of the same side.
func (g *gate) join(a *account) {
	for i, at := range a.Shown {
		if i < len(g.shown) && !at.IsZero() {
			g.shown[i] = at
		}
	}
	if a.Last.After(g.last) {
		g.last = a.Last
	}
	for _, w := range a.Newest {
		g.remember(w.Key, w.At)
	}
}

// remember makes a record one of the newest if it is. Of those with the same stamp keys decide, so that the order in
// which records come does not matter.
func (g *gate) remember(key string, at time.Time) {
	before := func(w Witness) bool { return at.After(w.At) || at.Equal(w.At) && key < w.Key }
	if at.IsZero() || len(g.newest) == witnesses && !before(g.newest[witnesses-1]) {
		return
	}
	g.forget(key)
	i := slices.IndexFunc(g.newest, before)
	if i < 0 {
		i = len(g.newest)
	}
	g.newest = slices.Insert(g.newest, i, Witness{strings.Clone(key), at})
	g.newest = g.newest[:min(len(g.newest), witnesses)]
}

func (g *gate) forget(key string) {
	g.newest = slices.DeleteFunc(g.newest, func(w Witness) bool { return w.Key == key })
}

// wrote takes notice of what a write left behind.
func (g *gate) wrote(kind plan.Kind, rec record.Record) {
	if kind == plan.Delete {
		g.forget(rec.Key)
		return
	}
	g.remember(rec.Key, rec.Modified)
}

// examine compares a side with what was stored of it. Witnesses that the scan did not show are read.
func (r *Run) examine(ctx context.Context, s record.Side, v *view) error {
	if !v.had {
		return nil
	}
	g, was, is := &v.gate, &v.before, &v.window
	if was.Clock.Measured && is.Clock.Measured {
		g.jump = is.Clock.Offset - was.Clock.Offset
		g.set = g.jump.Abs() > was.Clock.Error+is.Clock.Error+clockSlack
	}
	if err := r.hearWitnesses(ctx, s, v); err != nil {
		return err
	}
	g.doubt = g.doubt || r.other(s) != "" || rezoned(v) || g.set || r.setBack(v) > 0 || len(g.back)+len(g.gone) >= fewest
	return nil
}

// hearWitnesses finds out which witnesses contradict what was seen of them, and keeps the others.
func (r *Run) hearWitnesses(ctx context.Context, s record.Side, v *view) error {
	g := &v.gate
	g.back, g.gone = nil, nil
	var unseen []string
	for i, w := range v.before.Newest {
		if g.shown[i].IsZero() {
			unseen = append(unseen, w.Key)
		}
	}
	found, err := r.read(ctx, s, unseen)
	if err != nil {
		return fmt.Errorf("read the records that changed last: %w", err)
	}
	for i, w := range v.before.Newest {
		at := g.shown[i]
		if at.IsZero() {
			rec, there := found[w.Key]
			if !there {
				g.gone = append(g.gone, w)
				continue
			}
			at = rec.Modified
		}
		switch {
		case at.IsZero(): // the stamp is hidden now: it proves nothing
		case at.Before(w.At.Add(-lateStamp)):
			g.back = append(g.back, Witness{w.Key, at})
		default:
			g.remember(w.Key, at)
		}
	}
	return nil
}

// other says how it shows that a side is another system than before, or "".
func (r *Run) other(s record.Side) string {
	v := &r.views[s]
	switch was, is := v.before.System, v.window.System; {
	case v.had && v.before.Endpoint != r.job.Ends[s].Endpoint:
		return r.name(s) + " is not the system, account or collection that earlier runs saw"
	case was != "" && is != "" && was != is:
		return fmt.Sprintf("%s is another system at the same address than earlier runs saw: it shows %s, before it was %s", r.name(s), is, was)
	}
	return ""
}

func rezoned(v *view) bool {
	return v.before.Zone != "" && v.window.Zone != "" && v.before.Zone != v.window.Zone
}

// setBack is how far our clock stands before the time at which the last run ended, if that is too far to be chance.
func (r *Run) setBack(v *view) time.Duration {
	if back := v.before.At.Sub(r.started); v.had && back > clockSlack {
		return back
	}
	return 0
}

// restored says how it shows that a side was brought back to an earlier moment, or "". Missing records count beside
// some that went back, or where nothing on the side is as new as they were: else they were deleted.
func (r *Run) restored(s record.Side) string {
	v := &r.views[s]
	g := &v.gate
	gone := 0
	for _, w := range g.gone {
		if len(g.back) > 0 || g.last.Before(w.At) {
			gone++
		}
	}
	if len(g.back)+gone < fewest || v.count+v.left == 0 {
		return ""
	}
	newest := v.before.Newest[0]
	now := "is not there"
	if i := slices.IndexFunc(g.back, func(w Witness) bool { return w.Key == newest.Key }); i >= 0 {
		now = "shows " + moment(g.back[i].At)
	} else if slices.ContainsFunc(g.newest, func(w Witness) bool { return w.Key == newest.Key }) {
		now = "is unchanged"
	}
	return fmt.Sprintf("%s looks restored to an earlier moment: of the %d records that changed last, %d show an earlier state than was seen and %d are missing; the newest, changed at %s, %s",
		r.name(s), len(v.before.Newest), len(g.back), gone, moment(newest.At), now)
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// gates are the stops that have nothing to do with how large a plan is.
func (r *Run) gates() []plan.Stop {
	stops, ours := r.clockGate()
	for _, s := range record.Sides {
		v := &r.views[s]
		other := r.other(s)
		if other != "" {
			stops = append(stops, plan.Stop{Limit: "endpoint", Why: other,
				Hint: "if that is meant, approve this plan; if not, mend the connection's address or use another state file"})
		}
		if why := shrunk(v); why != "" {
			stops = append(stops, plan.Stop{Limit: "shrunk side", Why: r.name(s) + ": " + why,
				Hint: "check the scope, the address and the rights of the account; if it is right, approve this plan"})
		}
		if v.gate.set && !ours {
			stops = append(stops, plan.Stop{Limit: "clock",
				Why:  fmt.Sprintf("the clock of %s moved by %s against this machine's since the last run", r.name(s), v.gate.jump.Round(time.Minute)),
				Hint: "find out which of the two was set; when both are right, run again, or approve this plan: the side is read whole"})
		}
		if rezoned(v) {
			stops = append(stops, plan.Stop{Limit: "time zone",
				Why:  fmt.Sprintf("the time zone of %s's account is %s, before it was %s", r.name(s), v.window.Zone, v.before.Zone),
				Hint: "set it back; if it is meant, approve this plan: the side is read whole"})
		}
		// The stamps of a side whose clock was set, or that is another system, prove nothing about its past.
		if why := r.restored(s); why != "" && other == "" && !v.gate.set && !ours {
			stops = append(stops, plan.Stop{Limit: "restored", Why: why,
				Hint: "what was synced since then would be taken for edits and deletions; look through the plan, then approve it, or restore the other side and the state to the same moment"})
		}
	}
	return stops
}

// clockGate says when it is our own clock that was set: it stands before what the last run stored, or both systems'
// clocks moved against it in the same way.
func (r *Run) clockGate() (stops []plan.Stop, ours bool) {
	a, b := &r.views[record.Left], &r.views[record.Right]
	why := ""
	if back := max(r.setBack(a), r.setBack(b)); back > 0 {
		why = fmt.Sprintf("this machine's clock was set back: it shows %s, which is %s before the last run ended", moment(r.started), back.Round(time.Minute))
	} else if a.gate.set && b.gate.set && (a.gate.jump-b.gate.jump).Abs() <= clockSlack {
		word := "forward"
		if a.gate.jump > 0 {
			word = "back"
		}
		why = fmt.Sprintf("this machine's clock was set %s by %s since the last run: the clocks of %s and %s both moved against it",
			word, a.gate.jump.Abs().Round(time.Minute), r.name(record.Left), r.name(record.Right))
	}
	if why == "" {
		return nil, false
	}
	return []plan.Stop{{Limit: "clock", Why: why, Hint: "set it right (NTP) and run again; if it is right now, approve this plan: both sides are read whole"}}, true
}
