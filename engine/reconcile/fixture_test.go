package reconcile_test

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

const (
	L = record.Left
	R = record.Right
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// val reads the short form that tables use: - absent, ? unknown, null, digits, [a b] a list, else text.
func val(s string) record.Value {
	switch s {
	case "-", "":
		return record.Value{}
	case "?":
		return record.UnknownValue
	case "null":
		return record.NullValue
	case `""`:
		return record.OfText("")
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return record.OfInt(n)
	}
	if strings.HasPrefix(s, "[") {
		return record.OfList(vals(strings.Trim(s, "[]")))
	}
	return record.OfText(s)
}

// vals reads values that are separated by blanks.
func vals(s string) []record.Value {
	var out []record.Value
	for _, f := range strings.Fields(s) {
		out = append(out, val(f))
	}
	return out
}

// show is the inverse of vals, for comparing.
func show(vs []record.Value) string {
	if vs == nil {
		return ""
	}
	out := make([]string, len(vs))
	for i, v := range vs {
		switch v.Kind() {
		case record.Text:
			out[i] = v.Text()
		case record.Absent:
			out[i] = "-"
		case record.Unknown:
			out[i] = "?"
		default:
			out[i] = strings.NewReplacer(`"`, "", ",", " ").Replace(v.String())
		}
	}
	return strings.Join(out, " ")
}

// copies is a transform that takes slots of the other side as they are.
func copies(from record.Side, slots ...int) reconcile.Transform {
	return func(e reconcile.Env) ([]record.Value, error) {
		out := make([]record.Value, len(slots))
		for i, s := range slots {
			out[i] = e.Values[from][s]
		}
		return out, nil
	}
}

// through is a transform of one slot by a table of "from=to" pairs; what is not in it is an error.
func through(from record.Side, slot int, pairs string) reconcile.Transform {
	table := map[record.Value]record.Value{}
	for _, p := range strings.Fields(pairs) {
		a, b, _ := strings.Cut(p, "=")
		table[val(a)] = val(b)
	}
	return func(e reconcile.Env) ([]record.Value, error) {
		to, ok := table[e.Values[from][slot]]
		if !ok {
			return nil, errors.New(e.Values[from][slot].String() + " has no row in the translation")
		}
		return []record.Value{to}, nil
	}
}

// constant gives the same values whatever it sees.
func constant(vs ...record.Value) reconcile.Transform {
	return func(reconcile.Env) ([]record.Value, error) { return vs, nil }
}

// breaks is a transform that fails.
func breaks(err error) reconcile.Transform {
	return func(reconcile.Env) ([]record.Value, error) { return nil, err }
}

// twoWay copies slot l of the left side and slot r of the right side both ways.
func twoWay(name string, l, r int) reconcile.Rule {
	return reconcile.Rule{
		Name: name, At: "sync.hcl:7",
		Paths: [2][]int{{l}, {r}}, Reads: [2][]int{{l}, {r}},
		To: [2]reconcile.Transform{copies(R, r), copies(L, l)},
	}
}

// leftToRight copies slot l to slot r, and not back.
func leftToRight(name string, l, r int) reconcile.Rule {
	rule := twoWay(name, l, r)
	rule.To[L] = nil
	return rule
}

// rightToLeft copies slot r to slot l, and not back.
func rightToLeft(name string, l, r int) reconcile.Rule {
	rule := twoWay(name, l, r)
	rule.To[R] = nil
	return rule
}

func newRules(fields ...reconcile.Rule) *reconcile.Rules {
	return &reconcile.Rules{
		Sync: "tickets",
		Sides: [2]reconcile.SideRules{
			{Name: "ticket", Paths: []string{"a", "b", "c"}},
			{Name: "incident", Paths: []string{"x", "y", "z"}},
		},
		Fields: fields,
	}
}

// linked is an input whose records are both there. base "" on both sides means that they never agreed.
func linked(baseL, nowL, baseR, nowR string) reconcile.Input {
	in := reconcile.Input{Time: now}
	in.Link = record.Link{ID: 7, Key: [2]string{"T-1", "I-1"}}
	in.Link.Base = [2][]record.Value{vals(baseL), vals(baseR)}
	in.Record = [2]record.Record{
		{Key: "T-1", Version: "v1", Values: vals(nowL)},
		{Key: "I-1", Label: "INC1", Version: "w1", Values: vals(nowR)},
	}
	return in
}

// clocks gives both sides measured clocks and times of change.
func clocks(in reconcile.Input, l, r time.Duration) reconcile.Input {
	in.Clock = [2]reconcile.Clock{{Measured: true, Error: time.Second}, {Measured: true, Error: time.Second}}
	in.Record[L].Modified, in.Record[R].Modified = now.Add(l), now.Add(r)
	return in
}

// apply carries the decision's sets out on records that store exactly what they are sent.
func apply(r *reconcile.Rules, in reconcile.Input, d reconcile.Decision) [2][]record.Value {
	var stored [2][]record.Value
	for _, s := range record.Sides {
		if len(d.Sets[s]) == 0 && (d.Life != reconcile.CreateOn || d.Side != s) {
			continue
		}
		stored[s] = make([]record.Value, len(r.Sides[s].Paths))
		for i := range stored[s] {
			stored[s][i] = record.NullValue
		}
		copy(stored[s], in.Record[s].Values)
		for _, set := range d.Sets[s] {
			stored[s][set.Slot] = set.To
		}
	}
	return stored
}

// next is the input of the run after one that stored what it says.
func next(r *reconcile.Rules, in reconcile.Input, d reconcile.Decision, stored [2][]record.Value) reconcile.Input {
	in.Link = reconcile.Settle(r, in, d, stored, [2]bool{})
	for _, s := range record.Sides {
		if stored[s] != nil {
			in.Record[s].Values = stored[s]
		}
		in.Presence[s] = reconcile.Present
	}
	return in
}
