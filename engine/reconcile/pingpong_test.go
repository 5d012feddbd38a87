package reconcile_test

import (
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestAWriteIsOneTurnTooManyWhenNobodyHasMovedTheLeadingSide(t *testing.T) {
	turn := func(run int64) reconcile.Past {
		return reconcile.Past{Side: R, Slot: 0, From: val("auto"), To: val("z"), Run: run, At: now.Add(time.Duration(run) * time.Minute), Rule: "field state (sync.hcl:7)", Ours: true, Author: "bot"}
	}
	lead := func(run int64, to, rule string) reconcile.Past {
		return reconcile.Past{Side: L, Slot: 0, From: val("x"), To: val(to), Run: run, Rule: rule}
	}
	moved := func(in reconcile.Input) reconcile.Input {
		in.Record[L].Values = vals("y")
		return in
	}
	// The left side says "z", and so does base on both; the right side shows "auto" again. y becomes z too.
	still := linked("z", "z", "z", "auto")
	for _, tt := range []struct {
		name  string
		in    reconcile.Input
		past  []reconcile.Past
		asked bool
	}{
		{"it was never written", still, nil, false},
		{"it was written once", still, []reconcile.Past{turn(1)}, false},
		{"it was written twice", still, []reconcile.Past{turn(1), turn(2)}, true},
		{"twice, and something else was", still, []reconcile.Past{turn(1), {Side: R, From: val("other"), To: val("z"), Run: 2, Ours: true, Rule: "r"}}, false},
		{"twice, once by another sync", still, []reconcile.Past{turn(1), {Side: R, From: val("auto"), To: val("z"), Run: 2, Rule: "r"}}, false},
		{"twice since somebody changed the leading side", still, []reconcile.Past{lead(1, "z", ""), turn(1), turn(2)}, true},
		{"once since then", still, []reconcile.Past{turn(1), lead(2, "z", ""), turn(2)}, false},
		{"twice, and a rule wrote the leading side", still, []reconcile.Past{turn(1), lead(2, "z", "field b"), turn(2)}, true},
		{"somebody changes it now", moved(still), []reconcile.Past{turn(1), turn(2)}, false},
		{"a rule of another sync has changed it now", moved(still), []reconcile.Past{turn(1), turn(2), lead(3, "y", "field b")}, true},
		{"and somebody after that, to the same", moved(still), []reconcile.Past{turn(1), turn(2), lead(3, "y", "field b"), lead(4, "x", "")}, false},
		{"and somebody after that, and now to what the rule once wrote", moved(still), []reconcile.Past{lead(3, "y", "field b"), lead(4, "x", ""), turn(4), turn(5)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, mirrored := range []bool{false, true} {
				rule := leftToRight("state", 0, 0)
				rule.To[R] = through(L, 0, "z=z y=z x=z")
				in := tt.in
				in.Past = append([]reconcile.Past{}, tt.past...)
				s := R
				if mirrored {
					rule = rightToLeft("state", 0, 0)
					rule.To[L] = through(R, 0, "z=z y=z x=z")
					s = L
					in.Link.Base = [2][]record.Value{in.Link.Base[R], in.Link.Base[L]}
					in.Record = [2]record.Record{in.Record[R], in.Record[L]}
					for i := range in.Past {
						in.Past[i].Side = in.Past[i].Side.Other()
					}
				}
				d := reconcile.Decide(newRules(rule), in)
				v := d.Verdicts[0]
				if asked := v.Outcome == reconcile.Conflict && v.Policy == reconcile.PingPong; asked != tt.asked || (len(d.Sets[s]) > 0) == tt.asked {
					t.Errorf("mirrored %v: %s %s (%s) writes %v, want a person asked: %v", mirrored, v.Outcome, v.Policy, v.Why, d.Sets, tt.asked)
				}
			}
		})
	}
}

func TestWhatASideStoredOtherwiseThanItWasSentCountsAsTheSameTurn(t *testing.T) {
	in := linked("z", "z", "Z", "auto")
	in.Link.Sent[R] = vals("z")
	for run := range int64(2) {
		in.Past = append(in.Past, reconcile.Past{Side: R, From: val("auto"), To: val("Z"), Run: run, Ours: true, Rule: "r"})
	}
	if v := reconcile.Decide(newRules(leftToRight("state", 0, 0)), in).Verdicts[0]; v.Policy != reconcile.PingPong {
		t.Errorf("%s: %s", v.Outcome, v.Why)
	}
}
