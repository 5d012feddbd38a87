package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// explain asks for the explanation of every link. Its inputs, decided about again, must give its decision, to the last
// word; and a plan of the same moment must be about to do just that, or say what it waits for.
func (w *history) explain() {
	e := w.process()
	j := w.job(true)
	r, err := e.Plan(context.Background(), j)
	if err != nil {
		w.problem("explained: %v", err)
		return
	}
	defer r.Close()
	planned, waits := map[int64][2]string{}, map[int64]bool{}
	for it, err := range r.Items() {
		switch {
		case err != nil:
			w.problem("explained: %v", err)
		case it.Action != nil && it.Action.Kind == plan.Update:
			p := planned[it.Action.Link]
			p[it.Action.Side] = changed(it.Action.Changes)
			planned[it.Action.Link] = p
		case it.Hold != nil:
			waits[it.Hold.Link] = true
		}
	}
	b, err := w.book(j)
	if err != nil {
		w.problem("explained: %v", err)
		return
	}
	for _, status := range []record.Status{record.Live, record.Held} {
		err := b.Links(context.Background(), status, func(l record.Link) error {
			x, err := e.Explain(context.Background(), j, l.Key[0])
			if errors.Is(err, engine.ErrNoLink) {
				return nil
			}
			if err != nil {
				return err
			}
			w.explained++
			again := reconcile.Decide(x.Rules, x.Input)
			if a, b := fmt.Sprintf("%+v", x.Decision), fmt.Sprintf("%+v", again); a != b {
				w.problem("explained: the inputs of %v give %s, the explanation says %s", l.Key, b, a)
			}
			if x.Input.Link.ID != l.ID || x.Decision.Life != reconcile.Stay || waits[l.ID] {
				return nil
			}
			for _, s := range record.Sides {
				if p, says := planned[l.ID][s], wouldSet(x, s); p != says {
					w.problem("explained: the plan sets %q on %s of %v, the explanation says %q", p, w.name(s), l.Key, says)
				}
			}
			return nil
		})
		if err != nil {
			w.problem("explained: %v", err)
		}
	}
}

func changed(cs []plan.Change) string {
	var out []string
	for _, c := range cs {
		out = append(out, fmt.Sprintf("%s=%s", c.Path, c.To))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func wouldSet(x *engine.Explanation, s record.Side) string {
	var out []string
	for _, set := range x.Decision.Sets[s] {
		out = append(out, fmt.Sprintf("%s=%s", x.Rules.Sides[s].Paths[set.Slot], set.To))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// decidedBy are the words by which a change says what decided it.
var decidedBy = []string{"leads", "newest", "merged", "union", "highest", "lowest", "resolve", "nobody decided within", "decided by",
	"a value wins over a clear", "first contact", "drift", "the rule was edited"}

// tally counts how changes were decided.
func (w *history) tally(cs []plan.Change) {
	for _, c := range cs {
		for _, how := range decidedBy {
			if strings.Contains(c.Why, how) {
				w.decided[how]++
			}
		}
	}
}
