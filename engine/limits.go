package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Gates that compare a plan with the number of links only make sense from some size on.
const gateLinks = 50

// A tally counts a plan while it is made, in bounded memory.
type tally struct {
	footer                  plan.Footer
	linked, detached, ended int64
	requests                map[string]int64
	touched                 int64 // updates that are not the echo of a create
	same                    map[string]map[record.Value]int64
}

// sameValues bounds how many different values of one path are counted: a path that gets more is not about to
// become the same everywhere.
const sameValues = 64

func newTally() *tally {
	return &tally{requests: map[string]int64{}, same: map[string]map[record.Value]int64{}}
}

func (t *tally) count(it plan.Item) {
	switch {
	case it.Conflict != nil:
		t.footer.Conflicts++
	case it.Hold != nil:
		t.footer.Held++
	case it.Action != nil:
		t.action(*it.Action)
	}
}

func (t *tally) action(a plan.Action) {
	switch a.Kind {
	case plan.Create:
		t.footer.Creates++
		t.requests[a.Connection]++
	case plan.Update:
		t.footer.Updates++
		t.requests[a.Connection] += 2
		if a.From.Key != "" {
			t.touched++
		}
	case plan.Comment:
		t.footer.Comments++
		t.requests[a.Connection] += 3
	case plan.Attachment:
		t.footer.Attached++
		t.requests[a.Connection] += 3
	case plan.Delete:
		t.footer.Deletes++
		t.requests[a.Connection] += 2
	}
	for _, c := range a.Changes {
		if a.Kind != plan.Update || c.Pending != "" {
			continue
		}
		path := a.SideName + "." + c.Path
		if t.same[path] == nil {
			t.same[path] = map[record.Value]int64{}
		}
		if _, ok := t.same[path][c.To]; ok || len(t.same[path]) < sameValues {
			t.same[path][c.To]++
		}
	}
}

// sum closes the tally over a plan and holds it against the limits and gates.
func (r *Run) sum(links int64) plan.Footer {
	t := r.tally
	f := t.footer
	f.Linked, f.Detached, f.Ended = t.linked, t.detached, t.ended
	f.Stops = r.gates()
	for _, l := range []struct {
		name  string
		n     int64
		limit Limit
	}{{"creates", f.Creates, r.job.Limits.Creates}, {"updates", f.Updates, r.job.Limits.Updates}, {"comments", f.Comments, r.job.Limits.Updates},
		{"attachments", f.Attached, r.job.Limits.Updates},
		{"deletes", f.Deletes, r.job.Limits.Deletes}} {
		if over := l.limit.exceeded(l.n, links); over != "" {
			raise := l.name
			if raise == "comments" || raise == "attachments" {
				raise = "updates" // of their record
			}
			what := fmt.Sprintf("%d %s are", l.n, l.name)
			if l.n == 1 {
				what = "1 " + strings.TrimSuffix(l.name, "s") + " is"
			}
			f.Stops = append(f.Stops, plan.Stop{Limit: l.name, Why: what + " more than " + over,
				Hint: "look through the plan; then approve it, or raise limits { " + raise + " } in the mapping"})
		}
	}
	if links >= gateLinks {
		if t.touched*10 >= links*9 {
			f.Stops = append(f.Stops, plan.Stop{Limit: "every record", Why: fmt.Sprintf("%d updates for %d links: nearly every record looks changed", t.touched, links),
				Hint: "look for a changed format, zone or rule; if it is meant, approve this plan"})
		}
		for _, path := range slices.Sorted(maps.Keys(t.same)) {
			for v, n := range t.same[path] {
				if n*2 > links {
					f.Stops = append(f.Stops, plan.Stop{Limit: "same value", Why: fmt.Sprintf("%s is about to become %s in %d of %d links", path, v, n, links),
						Hint: "look at the rule that writes it; if it is meant, approve this plan"})
				}
			}
		}
	}
	if r.reruled() {
		for i := range f.Stops {
			f.Stops[i].Why += "; it is the first plan of changed rules"
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.requests)) {
		q := plan.Requests{Connection: name, Count: t.requests[name]}
		for _, e := range r.job.Ends {
			if e.Connection == name && e.Limits.Rate > 0 {
				q.Share = float64(q.Count) / (e.Limits.Rate * 3600)
			}
		}
		f.Requests = append(f.Requests, q)
	}
	return f
}

// reruled reports whether the rules have changed since the last run that was carried out.
func (r *Run) reruled() bool {
	return slices.ContainsFunc(r.views[:], func(v view) bool { return v.had && v.before.Rules != r.rules.Digest })
}

// exceeded says which limit n is over, or "". A share needs links to be a share of; with a number beside it, the
// larger of the two counts.
func (l Limit) exceeded(n, links int64) string {
	switch {
	case l.Number >= 0 && l.Percent == 0 && n > l.Number:
		return fmt.Sprintf("the limit of %d", l.Number)
	case l.Percent > 0 && n <= l.Number:
	case l.Percent > 0 && links > 0 && float64(n)*100 > l.Percent*float64(links):
		return fmt.Sprintf("the limit of %g %% of %d links", l.Percent, links)
	}
	return ""
}
