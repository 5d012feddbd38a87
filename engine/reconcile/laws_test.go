package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

const width = 4 // slots on each side of a random sync; rule i owns slot i on both sides

var words = []string{"null", "a", "b", "c", "a,b", "a_b_c", "a_b_d", "e_b_c"}

func drawValue(t *rapid.T, label string) record.Value {
	v := val(rapid.SampledFrom(words).Draw(t, label))
	if v.Kind() == record.Text {
		return record.OfText(strings.ReplaceAll(v.Text(), "_", "\n"))
	}
	return v
}

// cased is a transform that changes the case of text: with its inverse, a bijection that merging commutes with.
func cased(from record.Side, slot int, change func(string) string) reconcile.Transform {
	return func(e reconcile.Env) ([]record.Value, error) {
		v := e.Values[from][slot]
		if v.Kind() == record.Text {
			v = record.OfText(change(v.Text()))
		}
		return []record.Value{v}, nil
	}
}

// first cuts text to its first letter: many values onto few.
func first(s string) string { return s[:min(len(s), 1)] }

func drawPolicy(t *rapid.T, label string, fresh bool, depth int) *reconcile.Policy {
	kinds := []reconcile.PolicyKind{reconcile.Unset, reconcile.Ask, reconcile.TakeSide, reconcile.Newest, reconcile.Highest, reconcile.Lowest, reconcile.Resolve}
	if fresh {
		kinds = append(kinds, reconcile.Merge, reconcile.Union)
	}
	p := &reconcile.Policy{Kind: rapid.SampledFrom(kinds).Draw(t, label), Side: record.Side(rapid.IntRange(0, 1).Draw(t, label+" side"))}
	p.Rank = func(_ record.Side, vs []record.Value) (int, bool) {
		i := slices.Index(words, strings.ToLower(vs[0].Plain()))
		return i, i >= 0
	}
	p.Resolve = constant(val(rapid.SampledFrom([]string{"ticket", "incident"}).Draw(t, label+" resolve")))
	if depth > 0 && rapid.Bool().Draw(t, label+" has a fallback") {
		p.Fallback = drawPolicy(t, label+" fallback", fresh, depth-1)
	}
	return p
}

func drawRule(t *rapid.T, i int) reconcile.Rule {
	name := fmt.Sprintf("rule %d", i)
	rule := twoWay(name, i, i)
	kind := rapid.SampledFrom([]string{"copy", "cased", "lossy", "one-way"}).Draw(t, name)
	switch kind {
	case "cased":
		rule.To = [2]reconcile.Transform{cased(R, i, strings.ToLower), cased(L, i, strings.ToUpper)}
	case "lossy":
		rule.To = [2]reconcile.Transform{copies(R, i), cased(L, i, first)}
	case "one-way":
		// It may read any slot that an earlier rule owns, so that rules feed each other without a circle.
		from := record.Side(rapid.IntRange(0, 1).Draw(t, name+" leads"))
		source := rapid.IntRange(0, i).Draw(t, name+" reads")
		rule.Paths[from], rule.Reads[from] = nil, []int{source}
		rule.To = [2]reconcile.Transform{}
		rule.To[from.Other()] = copies(from, source)
		rule.Strength = rapid.SampledFrom([]reconcile.Strength{reconcile.Always, reconcile.OnCreate, reconcile.IfEmpty}).Draw(t, name+" strength")
		rule.Drift = rapid.SampledFrom([]reconcile.Drift{reconcile.Overwrite, reconcile.KeepDrift}).Draw(t, name+" drift")
	}
	rule.At = kind
	rule.Policy = *drawPolicy(t, name+" policy", kind == "copy" || kind == "cased", 2)
	if rapid.IntRange(0, 3).Draw(t, name+" has a when") == 0 {
		guard := record.Side(rapid.IntRange(0, 1).Draw(t, name+" when"))
		if rule.To[guard.Other()] != nil {
			slot := i
			if len(rule.Reads[guard]) > 0 {
				slot = rule.Reads[guard][0]
			}
			rule.When = func(e reconcile.Env) (bool, error) { return e.Values[guard][slot] != val("a"), nil }
		}
	}
	return rule
}

func drawRules(t *rapid.T) *reconcile.Rules {
	r := newRules()
	for s := range r.Sides {
		r.Sides[s].Paths = []string{"p0", "p1", "p2", "p3"}
	}
	for i := range rapid.IntRange(1, width).Draw(t, "rules") {
		r.Fields = append(r.Fields, drawRule(t, i))
	}
	r.First = reconcile.First{
		Mode: reconcile.FirstMode(rapid.IntRange(0, 3).Draw(t, "first")),
		Side: record.Side(rapid.IntRange(0, 1).Draw(t, "first side")),
	}
	return r
}

// drawInput makes a linked pair: some slots never agreed, some moved, with or without clocks.
func drawInput(t *rapid.T, r *reconcile.Rules, nothings bool) reconcile.Input {
	in := linked("", "", "", "")
	for _, s := range record.Sides {
		in.Link.Base[s] = make([]record.Value, width)
		in.Link.Sent[s] = make([]record.Value, width)
		in.Record[s].Values = make([]record.Value, width)
		for i := range width {
			label := fmt.Sprintf("%v %d", s, i)
			base := drawValue(t, label+" base")
			in.Record[s].Values[i] = base
			if rapid.Bool().Draw(t, label+" moved") {
				in.Record[s].Values[i] = drawValue(t, label+" now")
			}
			if rapid.IntRange(0, 4).Draw(t, label+" agreed") > 0 {
				in.Link.Base[s][i] = base
			}
			if rapid.IntRange(0, 4).Draw(t, label+" stored otherwise") == 0 {
				in.Link.Sent[s][i] = drawValue(t, label+" sent")
			}
			if nothings && rapid.IntRange(0, 6).Draw(t, label+" hidden") == 0 {
				in.Record[s].Values[i] = val(rapid.SampledFrom([]string{"?", "-"}).Draw(t, label+" nothing"))
			}
			if s == R && i < len(r.Fields) && r.Fields[i].At == "cased" {
				// The rule is a bijection only while the right side keeps to its own case.
				for _, vs := range [][]record.Value{in.Link.Base[s], in.Link.Sent[s], in.Record[s].Values} {
					vs[i] = textBy(vs[i], strings.ToUpper)
				}
			}
		}
	}
	if rapid.Bool().Draw(t, "clocks") {
		in = clocks(in, time.Duration(rapid.IntRange(0, 5).Draw(t, "left changed"))*time.Second, time.Duration(rapid.IntRange(0, 5).Draw(t, "right changed"))*time.Second)
	}
	return in
}

var exact = cmp.Comparer(func(a, b record.Value) bool { return a == b })

func TestSwappingTheSidesSwapsTheDecision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRules(t)
		in := drawInput(t, r, true)
		d, e := reconcile.Decide(r, in), reconcile.Decide(swapRules(r), swapInput(in))
		if diff := cmp.Diff(d.Sets, [2][]reconcile.Set{e.Sets[1], e.Sets[0]}, exact); diff != "" {
			t.Fatalf("sets differ (-as is +swapped):\n%s", diff)
		}
		mirror := map[int]int{3: 4, 4: 3}
		for i, v := range d.Verdicts {
			w := e.Verdicts[i]
			row := w.Row
			if m, ok := mirror[row]; ok {
				row = m
			}
			if v.Outcome != w.Outcome || v.Row != row || v.Policy != w.Policy {
				t.Fatalf("rule %d is row %d %v (%s), swapped row %d %v (%s)", i, v.Row, v.Outcome, v.Why, w.Row, w.Outcome, w.Why)
			}
		}
		none := [2][]record.Value{}
		l := swapLink(reconcile.Settle(r, in, d, none, [2]bool{}))
		m := reconcile.Settle(swapRules(r), swapInput(in), e, none, [2]bool{})
		if diff := cmp.Diff(l, m, exact); diff != "" {
			t.Fatalf("settled links differ (-as is +swapped):\n%s", diff)
		}
	})
}

func TestTheOrderOfRulesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRules(t)
		in := drawInput(t, r, true)
		other := *r
		other.Fields = rapid.Permutation(r.Fields).Draw(t, "order")
		d, e := reconcile.Decide(r, in), reconcile.Decide(&other, in)
		for _, s := range record.Sides {
			for i := range d.Sets[s] {
				d.Sets[s][i].Rule = 0
			}
			for i := range e.Sets[s] {
				e.Sets[s][i].Rule = 0
			}
		}
		if diff := cmp.Diff(d.Sets, e.Sets, exact); diff != "" {
			t.Fatalf("sets differ:\n%s", diff)
		}
		l := reconcile.Settle(r, in, d, apply(r, in, d), [2]bool{})
		m := reconcile.Settle(&other, in, e, apply(r, in, e), [2]bool{})
		if diff := cmp.Diff(l, m, exact); diff != "" {
			t.Fatalf("settled links differ:\n%s", diff)
		}
	})
}

func TestTheSameInputGivesTheSameDecision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRules(t)
		in := drawInput(t, r, true)
		if diff := cmp.Diff(reconcile.Decide(r, in), reconcile.Decide(r, in), exact); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestWritesAreKnownAndNeverSwapTwoValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRules(t)
		in := drawInput(t, r, true)
		d := reconcile.Decide(r, in)
		for _, s := range record.Sides {
			for _, set := range d.Sets[s] {
				if !set.To.Known() {
					t.Fatalf("%v slot %d gets %v", s, set.Slot, set.To)
				}
				if was := in.Record[s].Values[set.Slot]; was == set.To || !was.Known() {
					t.Fatalf("%v slot %d shows %v and gets %v", s, set.Slot, was, set.To)
				}
			}
		}
		for _, v := range d.Verdicts {
			if v.To[L] != nil && v.To[R] != nil && slices.Equal(v.To[L], v.Implied[L]) && slices.Equal(v.To[R], v.Implied[R]) {
				t.Fatalf("the two values are swapped: %s", v.Why)
			}
			if v.Why == "" {
				t.Fatalf("rule %d, row %d, %v: no reason", v.Rule, v.Row, v.Outcome)
			}
		}
	})
}

func TestEqualEditsAreNoConflict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := twoWay("f", 0, 0)
		rule.Policy = *drawPolicy(t, "policy", true, 2)
		in := linked("p", "p", "p", "p")
		v := drawValue(t, "edit")
		in.Record[L].Values[0], in.Record[R].Values[0] = v, v
		if d := reconcile.Decide(newRules(rule), in); !d.Quiet() || d.Verdicts[0].Row != 2 {
			t.Fatalf("row %d %v", d.Verdicts[0].Row, d.Verdicts[0].Outcome)
		}
	})
}

// A store is how a system keeps what it is sent.
var stores = map[string]func(was, sent record.Value) record.Value{
	"exact":     func(_, sent record.Value) record.Value { return sent },
	"refuses":   func(was, _ record.Value) record.Value { return was },
	"shortens":  func(_, sent record.Value) record.Value { return textBy(sent, first) },
	"lower":     func(_, sent record.Value) record.Value { return textBy(sent, strings.ToLower) },
	"undefined": func(_, _ record.Value) record.Value { return val("b") },
}

func textBy(v record.Value, change func(string) string) record.Value {
	if v.Kind() != record.Text {
		return v
	}
	return record.OfText(change(v.Text()))
}

func TestRunsWithoutEditsComeToRest(t *testing.T) {
	names := []string{"exact", "lower", "refuses", "shortens", "undefined"}
	rapid.Check(t, func(t *rapid.T) {
		r := drawRules(t)
		in := drawInput(t, r, false)
		keep := [2]string{rapid.SampledFrom(names).Draw(t, "left stores"), rapid.SampledFrom(names).Draw(t, "right stores")}
		var d reconcile.Decision
		// Rules that feed each other need a run for each step between them; nothing may go on for longer.
		for range width + 2 {
			d = reconcile.Decide(r, in)
			stored := apply(r, in, d)
			for _, s := range record.Sides {
				for _, set := range d.Sets[s] {
					stored[s][set.Slot] = stores[keep[s]](in.Record[s].Values[set.Slot], set.To)
				}
			}
			in = next(r, in, d, stored)
			if len(d.Sets[L])+len(d.Sets[R]) == 0 {
				break
			}
		}
		if d = reconcile.Decide(r, in); len(d.Sets[L])+len(d.Sets[R]) > 0 {
			t.Fatalf("still writes %v; %+v", d.Sets, d.Verdicts)
		}
		held := in.Link.Status == record.Held
		if open := !d.Quiet(); open != held {
			t.Fatalf("link is %v, something is open: %v", in.Link.Status, open)
		}
	})
}

func TestOneRunIsEnoughForRulesThatDoNotFeedEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := twoWay("f", 0, 0)
		if rapid.Bool().Draw(t, "lossy") {
			rule.To[R] = cased(L, 0, first)
		} else {
			rule.Policy = *drawPolicy(t, "policy", true, 2)
		}
		r := newRules(rule)
		r.First.Mode = reconcile.FirstMode(rapid.IntRange(0, 3).Draw(t, "first"))
		in := drawInput(t, r, false)
		for s := range r.Sides {
			r.Sides[s].Paths = []string{"p0", "p1", "p2", "p3"}
		}
		d := reconcile.Decide(r, in)
		in = next(r, in, d, apply(r, in, d))
		e := reconcile.Decide(r, in)
		if d.Verdicts[0].Outcome != reconcile.Conflict && !e.Quiet() {
			t.Fatalf("%v %s, then %v %s", d.Verdicts[0].Outcome, d.Verdicts[0].Why, e.Verdicts[0].Outcome, e.Verdicts[0].Why)
		}
		if len(e.Sets[L])+len(e.Sets[R]) > 0 {
			t.Fatalf("writes %v", e.Sets)
		}
	})
}

func TestAnEditIsNeverLostUnseen(t *testing.T) {
	// A value that a person wrote on one side alone reaches the other side, whatever happened before.
	rapid.Check(t, func(t *rapid.T) {
		r := newRules(twoWay("f", 0, 0))
		r.Fields[0].Policy = *drawPolicy(t, "policy", true, 2)
		in := linked("p", "p", "p", "p")
		for i := range rapid.IntRange(1, 6).Draw(t, "edits") {
			s := record.Side(rapid.IntRange(0, 1).Draw(t, "side"))
			v := record.OfText(fmt.Sprintf("edit %d", i))
			in.Record[s].Values = slices.Clone(in.Record[s].Values)
			in.Record[s].Values[0] = v
			d := reconcile.Decide(r, in)
			in = next(r, in, d, apply(r, in, d))
			if got := in.Record[s.Other()].Values[0]; got != v {
				t.Fatalf("edit %d on %v did not travel: %v", i, s, got)
			}
		}
	})
}
