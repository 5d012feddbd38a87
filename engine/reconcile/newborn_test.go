package reconcile_test

import (
	"errors"
	"testing"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// TestAFieldThatWaitedWhenItsRecordWasMadeGoesToTheNewRecord lets ticket "p q r" make an incident while field
// f cannot be decided. The null that the new record has in its place was written by nobody and does not lead,
// whoever is in first.
func TestAFieldThatWaitedWhenItsRecordWasMadeGoesToTheNewRecord(t *testing.T) {
	waits := map[string]func(*reconcile.Rules, *reconcile.Input, bool){
		"a transform that fails": func(r *reconcile.Rules, _ *reconcile.Input, over bool) {
			r.Fields[0].To[R] = breaks(errors.New("no row"))
			if over {
				r.Fields[0].To[R] = copies(L, 0)
			}
		},
		"when is false": func(r *reconcile.Rules, _ *reconcile.Input, over bool) {
			r.Fields[0].When = func(reconcile.Env) (bool, error) { return over, nil }
		},
		"a value that cannot be read": func(_ *reconcile.Rules, in *reconcile.Input, over bool) {
			in.Record[L].Values = vals("? q r")
			if over {
				in.Record[L].Values = vals("p q r")
			}
		},
	}
	firsts := map[string]reconcile.First{
		"ticket":     {Mode: reconcile.FirstSide, Side: L},
		"incident":   {Mode: reconcile.FirstSide, Side: R},
		"ask":        {Mode: reconcile.FirstAsk},
		"newest":     {Mode: reconcile.FirstNewest},
		"fill_empty": {Mode: reconcile.FirstFillEmpty},
	}
	for name, wait := range waits {
		for mode, first := range firsts {
			t.Run(name+", first "+mode, func(t *testing.T) {
				r := newRules(twoWay("f", 0, 0), twoWay("g", 1, 1))
				r.Sides[R].Create, r.First = true, first
				in := reconcile.Input{Time: now, Presence: [2]reconcile.Presence{reconcile.Present, reconcile.Missing}}
				in.Record[L] = record.Record{Key: "T-1", Values: vals("p q r")}
				wait(r, &in, false)
				d := reconcile.Decide(r, in)
				if d.Life != reconcile.CreateOn || len(d.Sets[R]) != 1 {
					t.Fatalf("the record is not made with g alone: %+v", d)
				}
				in = next(r, in, d, apply(r, in, d))

				d = reconcile.Decide(r, in)
				if len(d.Sets[L])+len(d.Sets[R]) > 0 || d.Verdicts[0].Outcome == reconcile.Conflict {
					t.Fatalf("while it waits it is decided: %+v", d.Verdicts[0])
				}
				in = next(r, in, d, apply(r, in, d))

				wait(r, &in, true)
				d = reconcile.Decide(r, in)
				if got := show(d.Verdicts[0].To[R]); got != "p" || d.Verdicts[0].To[L] != nil {
					t.Errorf("then %v is written to the incident and %v to the ticket: %s", got, show(d.Verdicts[0].To[L]), d.Verdicts[0].Why)
				}
				in = next(r, in, d, apply(r, in, d))
				if d = reconcile.Decide(r, in); d.Verdicts[0].Outcome != reconcile.Keep {
					t.Errorf("both do not agree in the end: %+v", d.Verdicts[0])
				}
			})
		}
	}
}

// TestAnEditOfTheNewRecordMeetsTheFieldThatWaited is the other way out: a person fills in the new record.
func TestAnEditOfTheNewRecordMeetsTheFieldThatWaited(t *testing.T) {
	r := newRules(twoWay("f", 0, 0))
	r.Sides[R].Create, r.First = true, reconcile.First{Mode: reconcile.FirstSide, Side: R}
	r.Fields[0].To[R] = breaks(errors.New("no row"))
	in := reconcile.Input{Time: now, Presence: [2]reconcile.Presence{reconcile.Present, reconcile.Missing}}
	in.Record[L] = record.Record{Key: "T-1", Values: vals("p")}
	d := reconcile.Decide(r, in)
	in = next(r, in, d, apply(r, in, d))
	in.Record[R].Values = vals("n null null")
	if d = reconcile.Decide(r, in); d.Verdicts[0].Row != 6 {
		t.Errorf("row %d decides, not the policy: %+v", d.Verdicts[0].Row, d.Verdicts[0])
	}
}
