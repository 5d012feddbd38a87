package engine

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Where a system has no conditional write, somebody's edit can fall between the last look at a record and the write,
// and is overwritten. The version then has moved by more than one write does, and the system's own history of the
// record tells what was there. That value goes back into the decision, as record.Meant: base stays as it was before
// the write, the next plan decides as if the value were still there, and puts it back unless a rule wants otherwise.

// A sent write is an intent that was carried out, or may have been.
type sent struct {
	Intent
	rec  record.Record // as it was found afterwards
	done bool          // rec is surely what came of the write
	self string        // who writes for fieldsync in that system; "" where that is not known
}

// overtaken finds what a write has replaced unseen. blind says that something else was written too and that what it
// was cannot be known. The error is for a system that may answer another time.
func (r *Run) overtaken(ctx context.Context, w sent) (found []record.Meant, blind bool, err error) {
	s := w.Side
	ch, ok := connectors.As[connectors.Chronicler](r.job.Ends[s].Handle)
	if !ok || !ch.Overtaken(w.Version, w.rec.Version) {
		return nil, false, nil
	}
	edits := map[string][]connectors.Edit{}
	err = ch.Edits(ctx, w.Key, slices.Sorted(maps.Keys(w.New)), w.Version, func(e connectors.Edit) error {
		e.Own = e.Own || w.self != "" && e.Author == w.self
		edits[e.Path] = append(edits[e.Path], e)
		return nil
	})
	for _, later := range []error{connectors.ErrBusy, connectors.ErrOffline, connectors.ErrAuth, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, later) {
			return nil, false, err
		}
	}
	if err != nil {
		r.once[s].Do(func() {
			r.log().Warn("something else was written to a record together with fieldsync, and what it was cannot be seen: an edit may be lost",
				"side", r.name(s), "record", cmpOr(w.rec.Label, w.Key), "err", err, "hint", connectors.Hint(err))
		})
		return nil, true, nil
	}
	for slot, path := range r.rules.Sides[s].Paths {
		if _, wrote := w.New[path]; !wrote || slot >= len(w.rec.Values) {
			continue
		}
		m, ok := w.replaced(path, w.rec.Values[slot], edits[path])
		if ok {
			m.Side, m.Slot = s, slot
			found = append(found, m)
			r.log().Warn("lost update averted", "side", r.name(s), "record", cmpOr(w.rec.Label, w.Key), "path", path, "author", m.Author)
		}
	}
	return found, false, nil
}

// replaced finds in the edits of a path the one that is the write's own, and what that replaced. now is what the
// record shows.
func (w *sent) replaced(path string, now record.Value, edits []connectors.Edit) (m record.Meant, ok bool) {
	asked, expected := w.New[path], w.Expected[path]
	mine := func(e connectors.Edit) bool { return e.New == asked || w.done && e.Own && e.New == now }
	ours := last(edits, func(e connectors.Edit) bool { return e.Own && mine(e) })
	if ours < 0 {
		ours = last(edits, mine)
	}
	if ours < 0 && !w.done { // the system may have stored the write in its own way
		ours = last(edits, func(e connectors.Edit) bool { return e.Own })
	}
	if ours < 0 {
		return m, false
	}
	// A rule of the system may have replaced once more what was written.
	for edits[ours].Old == asked {
		before := last(edits[:ours], mine)
		if before < 0 {
			break
		}
		ours = before
	}
	m = record.Meant{Value: edits[ours].Old, Wrote: asked, Stored: edits[ours].New}
	if w.done {
		m.Stored = now
	}
	theirs := last(edits[:ours], func(e connectors.Edit) bool { return e.New == m.Value })
	if theirs < 0 || m.Value == expected || m.Value == m.Stored || m.Value == asked {
		return m, false
	}
	m.Author, m.At = edits[theirs].Author, edits[theirs].Time
	return m, true
}

// last is slices.IndexFunc from the end.
func last(edits []connectors.Edit, is func(connectors.Edit) bool) int {
	for i := len(edits) - 1; i >= 0; i-- {
		if is(edits[i]) {
			return i
		}
	}
	return -1
}

// suspend makes a decision whose write has replaced something unseen one that has not agreed on those slots, and
// gives the link what is to be decided again.
func (r *Run) suspend(in *reconcile.Input, d *reconcile.Decision, found []record.Meant) {
	if len(found) == 0 || d.Life != reconcile.Stay {
		return // a record whose twin is gone gets its last values: what they replaced is in the history
	}
	means(&in.Link, found)
	d.Verdicts = slices.Clone(d.Verdicts)
	for i := range d.Verdicts {
		v := &d.Verdicts[i]
		for k := range found {
			if m := &found[k]; v.Outcome == reconcile.Write && v.To[m.Side] != nil && slices.Contains(r.rules.Fields[v.Rule].Paths[m.Side], m.Slot) {
				v.Outcome, v.Why = reconcile.Hold, r.rules.Averted(v.Rule, m)+"; the next plan decides again"
			}
		}
	}
}

// means gives a link what is to be decided again.
func means(l *record.Link, found []record.Meant) {
	l.Meant = slices.DeleteFunc(slices.Clone(l.Meant), func(m record.Meant) bool { return meantAt(found, m.Side, m.Slot) != nil })
	l.Meant = append(l.Meant, found...)
}

func meantAt(ms []record.Meant, s record.Side, slot int) *record.Meant {
	i := slices.IndexFunc(ms, func(m record.Meant) bool { return m.Side == s && m.Slot == slot })
	if i < 0 {
		return nil
	}
	return &ms[i]
}

// unseen tells a replaced value as what it was: somebody's edit of the value that was expected, and a write over that
// edit.
func unseen(l Lost, m *record.Meant) []Lost {
	edit := Lost{Side: l.Side, Path: l.Path, Value: l.Value, By: m.Value, At: l.At, Run: l.Run, Cause: ByEdit, Who: m.Author}
	if !m.At.IsZero() && m.At.Before(l.At) && l.At.Sub(m.At) < believable {
		edit.At = m.At
	}
	l.Value, l.Author = m.Value, m.Author
	if l.Cause != ByPerson {
		l.Cause = Unseen
	}
	return []Lost{edit, l}
}
