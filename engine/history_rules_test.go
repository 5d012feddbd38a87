package engine_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

var (
	modelTicket   = []string{"key", "level", "log", "note", "number", "origin", "prio", "queue", "status", "tags", "title"}
	modelIncident = []string{"close", "contact", "key", "level", "log", "marker", "note", "number", "opened", "state", "summary", "tags", "urgency"}
	modelPaths    = [2][]string{modelTicket, modelIncident}
)

func slotOf(s record.Side, path string) int { return slices.Index(modelPaths[s], path) }

// A pairing is one two-way field of the model: its paths and what each side implies for the other.
type pairing struct {
	Name  string
	Paths [2]string
	To    [2]func(record.Value) record.Value
	Sep   string // between the parts of a value that is more than one; "": it is one
}

func same(v record.Value) record.Value { return v }

// Two ticket states share an incident state: the finer one must never be moved by the coarser.
var (
	stateOf  = map[string]string{"new": "1", "open": "2", "waiting": "2", "done": "6"}
	statusOf = map[string]string{"1": "new", "2": "open", "6": "done"}
)

func translate(table map[string]string) func(record.Value) record.Value {
	return func(v record.Value) record.Value {
		if t, ok := table[v.Text()]; ok {
			return record.OfText(t)
		}
		return record.NullValue
	}
}

var pairings = []pairing{
	{"summary", [2]string{"title", "summary"}, [2]func(record.Value) record.Value{same, same}, ""},
	{"state", [2]string{"status", "state"}, [2]func(record.Value) record.Value{translate(statusOf), translate(stateOf)}, ""},
	{"note", [2]string{"note", "note"}, [2]func(record.Value) record.Value{same, same}, ""},
	{"log", [2]string{"log", "log"}, [2]func(record.Value) record.Value{same, same}, "\n"},
	{"tags", [2]string{"tags", "tags"}, [2]func(record.Value) record.Value{same, same}, ","},
	{"level", [2]string{"level", "level"}, [2]func(record.Value) record.Value{same, same}, ""},
}

// parts are what a value consists of: its lines, its tags, itself.
func (p pairing) parts(v record.Value) []string {
	if p.Sep == "" || v.Kind() != record.Text {
		return []string{v.Plain()}
	}
	return strings.Split(v.Text(), p.Sep)
}

// pairingOf finds the two-way field that a path belongs to.
func pairingOf(s record.Side, path string) (pairing, bool) {
	for _, p := range pairings {
		if p.Paths[s] == path {
			return p, true
		}
	}
	return pairing{}, false
}

// implied is what side s shows when it was given what v, on the other side, stands for.
func (p pairing) implied(s record.Side, v record.Value) record.Value {
	return normalise(s, p.Paths[s], p.To[s](v))
}

// holds says whether two values may stand side by side.
func (p pairing) holds(l, r record.Value) bool {
	return p.implied(record.Right, l) == r || p.implied(record.Left, r) == l
}

func urgencyOf(prio record.Value, edition int) record.Value {
	switch {
	case prio.Empty():
		return record.OfText("low")
	case prio.Text() == "1":
		return record.OfText([]string{"high", "urgent"}[edition%2])
	}
	return record.OfText("normal")
}

// A config is what a history's systems and rules are like.
type config struct {
	Policy      [6]reconcile.Policy // by pairing
	First       reconcile.First
	Gone        [2]reconcile.GoneThen
	CreateLeft  bool
	Conditional [2]bool
	Scoped      bool
	Incremental bool
	Audited     bool // systems without conditional writes know what happened to their records
	Audit       bool // runs that ask for changes alone look at the other links, too
	Late        bool // people's transactions are committed later than their stamps say
	Slow        bool // a create that got no answer may happen later
	Lag         bool // and what is new shows up late: lists and searches come from an index
	Measured    bool
	KeepDrift   bool
	Poison      bool // the incidents refuse a certain text, also in the end
	Talk        talk
	Files       [2]bool // attachments are carried to a side
	Automation  int     // 0 none, 1 in the same write, 2 after the answer
}

// splits says whose full scans are in parts: in every history one of the two.
func (c config) splits(phys record.Side) bool { return c.Measured == (phys == record.Left) }

func (c config) String() string {
	s := ""
	for i, p := range pairings {
		s += fmt.Sprintf("%s: %s; ", p.Name, says(c.Policy[i]))
	}
	s += fmt.Sprintf("first contact: %s; a gone ticket: %s, a gone incident: %s",
		[]string{"ask", c.First.Side.String() + " leads", "newest", "fill empty"}[c.First.Mode], c.Gone[0], c.Gone[1])
	for _, f := range []struct {
		is   bool
		what string
	}{{c.CreateLeft, "incidents make tickets"}, {!c.Conditional[0], "tickets without conditional writes"}, {!c.Conditional[1], "incidents without conditional writes"},
		{c.Scoped, "only queue noc"}, {c.Incremental, "scans for changes"}, {c.Incremental && c.Audit, "audits"}, {c.Audited && c.Conditional != [2]bool{true, true}, "which keep what was replaced"}, {c.Late, "late commits"}, {c.Slow, "slow creates"}, {c.Lag, "lagging index"}, {c.Measured, "measured clocks"}, {c.KeepDrift, "drift is kept"}, {c.Poison, "poison stays poison"},
		{c.Automation == 1, "closing writes a note"}, {c.Automation == 2, "closing writes a note later"}} {
		if f.is {
			s += "; " + f.what
		}
	}
	for s2, to := range c.Files {
		if to {
			s += "; files to " + []string{"tickets", "incidents"}[s2]
		}
	}
	return s + "; " + c.Talk.Name
}

func says(p reconcile.Policy) string {
	s := p.Kind.String()
	if p.Kind == reconcile.TakeSide {
		s = p.Side.String()
	}
	if p.Deadline > 0 {
		s += " for " + p.Deadline.String()
	}
	if p.Fallback != nil {
		s += ", else " + says(*p.Fallback)
	}
	return s
}

// modelRules are the rules of a history. edition is how often people edited them.
func modelRules(c config, edition int) *reconcile.Rules {
	const L, R = record.Left, record.Right
	r := &reconcile.Rules{Sync: "model", Digest: fmt.Sprintf("edition %d", edition), First: c.First, Comments: c.Talk.rules(), Attachments: c.fileRules()}
	r.Sides[L] = reconcile.SideRules{Name: "ticket", Paths: modelTicket, Types: make([]record.Type, len(modelTicket)), Create: c.CreateLeft}
	r.Sides[R] = reconcile.SideRules{Name: "incident", Paths: modelIncident, Types: make([]record.Type, len(modelIncident)), Create: true}
	if c.Scoped {
		r.Sides[L].Where = func(e reconcile.Env) (bool, error) { return inQueue(e.Values[L][slotOf(L, "queue")]), nil }
	}
	r.Sides[L].Gone = reconcile.OnGone{Then: c.Gone[L], At: "m.hcl:40", Set: map[int]record.Value{slotOf(R, "close"): record.OfText("ticket is gone")}}
	r.Sides[R].Gone = reconcile.OnGone{Then: c.Gone[R], At: "m.hcl:44", Set: map[int]record.Value{slotOf(L, "prio"): record.OfText("9")}}
	r.Match = []reconcile.Match{{At: "m.hcl:1", Slots: [2]int{slotOf(L, "key"), slotOf(R, "marker")}, Marker: [2]bool{false, true}}}
	if c.CreateLeft {
		r.Match = append(r.Match, reconcile.Match{At: "m.hcl:2", Slots: [2]int{slotOf(L, "origin"), slotOf(R, "key")}, Marker: [2]bool{true, false}})
	}
	for i, p := range pairings {
		l, rr := slotOf(L, p.Paths[L]), slotOf(R, p.Paths[R])
		r.Fields = append(r.Fields, reconcile.Rule{
			Name: p.Name, At: "m.hcl:9", Paths: [2][]int{{l}, {rr}}, Reads: [2][]int{{l}, {rr}}, Policy: c.Policy[i],
			To: [2]reconcile.Transform{
				func(e reconcile.Env) ([]record.Value, error) { return []record.Value{p.To[L](e.Values[R][rr])}, nil },
				func(e reconcile.Env) ([]record.Value, error) { return []record.Value{p.To[R](e.Values[L][l])}, nil },
			}})
	}
	num := [2]int{slotOf(L, "number"), slotOf(R, "number")}
	r.Fields = append(r.Fields, reconcile.Rule{Name: "number", At: "m.hcl:20", Paths: [2][]int{{num[L]}, {num[R]}}, Reads: [2][]int{{num[L]}, {num[R]}},
		To: [2]reconcile.Transform{from(R, num[R]), nil}})
	prio, urgency := slotOf(L, "prio"), slotOf(R, "urgency")
	drift := reconcile.Overwrite
	if c.KeepDrift {
		drift = reconcile.KeepDrift
	}
	r.Fields = append(r.Fields, reconcile.Rule{Name: "urgency", At: "m.hcl:24", Paths: [2][]int{{prio}, {urgency}}, Reads: [2][]int{{prio}, {urgency}}, Drift: drift,
		To: [2]reconcile.Transform{nil, func(e reconcile.Env) ([]record.Value, error) {
			return []record.Value{urgencyOf(e.Values[L][prio], edition)}, nil
		}}})
	for _, f := range []struct {
		path     string
		strength reconcile.Strength
	}{{"opened", reconcile.OnCreate}, {"contact", reconcile.IfEmpty}} {
		slot := slotOf(R, f.path)
		r.Fields = append(r.Fields, reconcile.Rule{Name: f.path, At: "m.hcl:26", Paths: [2][]int{{prio}, {slot}}, Reads: [2][]int{{prio}, {slot}}, Strength: f.strength,
			To: [2]reconcile.Transform{nil, from(L, prio)}})
	}
	closing, status := slotOf(R, "close"), slotOf(L, "status")
	r.Fields = append(r.Fields, reconcile.Rule{Name: "closing", At: "m.hcl:28", Paths: [2][]int{{status}, {closing}}, Reads: [2][]int{{status}, {closing}},
		When: func(e reconcile.Env) (bool, error) {
			return e.Values[L] != nil && e.Values[L][status].Text() == "done", nil
		},
		To: [2]reconcile.Transform{nil, func(reconcile.Env) ([]record.Value, error) { return []record.Value{record.OfText("solved")}, nil }}})
	if edition%3 == 2 { // renamed and in another order: nothing may come of it
		r.Fields[0].Name = "headline"
		slices.Reverse(r.Fields)
	}
	return r
}

// longer is the longer one of title and summary.
func longer(e reconcile.Env) ([]record.Value, error) {
	l, r := e.Values[record.Left][slotOf(record.Left, "title")], e.Values[record.Right][slotOf(record.Right, "summary")]
	if len(l.Text()) > len(r.Text()) {
		return []record.Value{l}, nil
	}
	return []record.Value{r}, nil
}

// rank orders levels.
func rank(_ record.Side, vs []record.Value) (int, bool) {
	n, err := strconv.Atoi(vs[0].Text())
	return n, err == nil
}

func inQueue(v record.Value) bool { return v.Text() == "noc" }

// mirrored is the same sync written with its sides in the other order.
func mirrored(r *reconcile.Rules) *reconcile.Rules {
	swap := func(e reconcile.Env) reconcile.Env {
		e.Values[0], e.Values[1] = e.Values[1], e.Values[0]
		return e
	}
	transform := func(t reconcile.Transform) reconcile.Transform {
		if t == nil {
			return nil
		}
		return func(e reconcile.Env) ([]record.Value, error) { return t(swap(e)) }
	}
	condition := func(c reconcile.Condition) reconcile.Condition {
		if c == nil {
			return nil
		}
		return func(e reconcile.Env) (bool, error) { return c(swap(e)) }
	}
	out := *r
	out.Sides = [2]reconcile.SideRules{r.Sides[1], r.Sides[0]}
	for s := range out.Sides {
		out.Sides[s].Where = condition(out.Sides[s].Where)
	}
	out.First.Side = r.First.Side.Other()
	if c := r.Comments; c != nil {
		m := *c
		m.Paths, m.To = [2]string{c.Paths[1], c.Paths[0]}, [2]bool{c.To[1], c.To[0]}
		out.Comments = &m
	}
	if a := r.Attachments; a != nil {
		m := *a
		m.Paths, m.To = [2]string{a.Paths[1], a.Paths[0]}, [2]bool{a.To[1], a.To[0]}
		out.Attachments = &m
	}
	out.Match = nil
	for _, m := range r.Match {
		m.Slots = [2]int{m.Slots[1], m.Slots[0]}
		m.Marker = [2]bool{m.Marker[1], m.Marker[0]}
		out.Match = append(out.Match, m)
	}
	out.Fields = nil
	for _, f := range r.Fields {
		f.Paths, f.Reads = [2][]int{f.Paths[1], f.Paths[0]}, [2][]int{f.Reads[1], f.Reads[0]}
		f.To = [2]reconcile.Transform{transform(f.To[1]), transform(f.To[0])}
		f.When = condition(f.When)
		f.Policy.Side, f.Policy.Resolve = f.Policy.Side.Other(), transform(f.Policy.Resolve)
		if fb := f.Policy.Fallback; fb != nil {
			q := *fb
			q.Side = q.Side.Other()
			f.Policy.Fallback = &q
		}
		out.Fields = append(out.Fields, f)
	}
	return &out
}
