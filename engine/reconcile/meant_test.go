package reconcile_test

import (
	"testing"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A write over "w", which somebody had written after both agreed on "b": the left side said "z", and both show it.
func overwritten(rule reconcile.Rule, shows string) (*reconcile.Rules, reconcile.Input) {
	in := linked("b", "z", "b", shows)
	in.Link.Meant = []record.Meant{{Side: R, Slot: 0, Value: val("w"), Wrote: val("z"), Stored: val("z"), Author: "ann"}}
	return newRules(rule), in
}

func TestWhatWasReplacedUnseenIsDecidedAsIfItWereThere(t *testing.T) {
	policy := func(p reconcile.Policy) reconcile.Rule {
		rule := twoWay("title", 0, 0)
		rule.Policy = p
		return rule
	}
	off := twoWay("title", 0, 0)
	off.When = func(reconcile.Env) (bool, error) { return false, nil }
	for _, tt := range []struct {
		name        string
		rule        reconcile.Rule
		shows       string
		outcome     reconcile.Outcome
		left, right string // what is written; "" for nothing
		meant       bool   // it is still pending before anything is written
	}{
		{"a person is asked, and it is put back", policy(reconcile.Policy{Kind: reconcile.Ask}), "z", reconcile.Conflict, "", "w", true},
		{"its side leads", policy(reconcile.Policy{Kind: reconcile.TakeSide, Side: R}), "z", reconcile.Write, "w", "w", true},
		{"the other side leads, which has had its way", policy(reconcile.Policy{Kind: reconcile.TakeSide, Side: L}), "z", reconcile.Write, "", "", false},
		{"the rule flows to it alone", leftToRight("title", 0, 0), "z", reconcile.Write, "", "", false},
		{"the rule does not apply now", off, "z", reconcile.Skip, "", "w", true},
		{"somebody has edited it again", policy(reconcile.Policy{Kind: reconcile.TakeSide, Side: R}), "x", reconcile.Write, "x", "", false},
		{"it cannot be read now", policy(reconcile.Policy{Kind: reconcile.Ask}), "?", reconcile.Hold, "", "", true},
		{"it came back by itself", policy(reconcile.Policy{Kind: reconcile.TakeSide, Side: R}), "w", reconcile.Write, "w", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, in := overwritten(tt.rule, tt.shows)
			d := reconcile.Decide(r, in)
			var got [2]string
			for _, s := range record.Sides {
				for _, set := range d.Sets[s] {
					got[s] = show([]record.Value{set.To})
				}
			}
			if d.Verdicts[0].Outcome != tt.outcome || got != [2]string{tt.left, tt.right} {
				t.Errorf("%s (%s) writes %q, want %s and %q, %q", d.Verdicts[0].Outcome, d.Verdicts[0].Why, got, tt.outcome, tt.left, tt.right)
			}
			undone := reconcile.Settle(r, in, d, [2][]record.Value{}, [2]bool{len(d.Sets[L]) > 0, len(d.Sets[R]) > 0})
			if (len(undone.Meant) > 0) != tt.meant {
				t.Errorf("with nothing written %v is pending, want any: %v", undone.Meant, tt.meant)
			}
			if tt.shows == "?" {
				return
			}
			stored := apply(r, in, d)
			after := next(r, in, d, stored)
			if len(after.Link.Meant) > 0 {
				t.Errorf("once it was carried out %v is pending", after.Link.Meant)
			}
			if again := reconcile.Decide(r, after); len(again.Sets[L])+len(again.Sets[R]) > 0 {
				t.Errorf("and the next decision writes %v", again.Sets)
			}
		})
	}
}

func TestAReasonDoesNotShowASensitiveValueThatIsPutBack(t *testing.T) {
	rule := twoWay("secret", 0, 0)
	rule.Sensitive, rule.Policy.Kind = true, reconcile.Ask
	r, in := overwritten(rule, "z")
	d := reconcile.Decide(r, in)
	ch := reconcile.Changes(r, in, d, R)
	if want := "lost update averted: ann wrote it while fieldsync did"; len(ch) != 1 || ch[0].Why != want || !ch[0].Sensitive {
		t.Errorf("the change is %+v, want the reason %q", ch, want)
	}
}

func TestARecordWhoseTwinIsGoneKeepsWhatWasReplacedUnseen(t *testing.T) {
	r, in := overwritten(twoWay("title", 0, 0), "z")
	r.Sides[L].Gone = reconcile.OnGone{Then: reconcile.GoneDelete}
	in.Presence[L], in.Record[L] = reconcile.Gone, record.Record{Key: "T-1"}
	in.Link.Base[R] = vals("z")
	if d := reconcile.Decide(r, in); d.Life != reconcile.HoldLink {
		t.Errorf("it is to %s: %s", d.Life, d.Why)
	}
}
