package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// TestField walks the truth table of a field row by row. Each case has one rule; its reason says why the
// verdict must be this one.
func TestField(t *testing.T) {
	// Five ticket states onto three incident states: new and waiting are shown as 1 and 2 like open.
	states := twoWay("state", 0, 0)
	states.To[R] = through(L, 0, "new=1 open=2 waiting=2 resolved=3 closed=3")
	states.To[L] = through(R, 0, "1=new 2=open 3=resolved")

	pair := twoWay("pair", 0, 0)
	pair.Paths, pair.Reads = [2][]int{{0, 1}, {0, 1}}, [2][]int{{0, 1}, {0, 1}}
	pair.To = [2]reconcile.Transform{copies(R, 0, 1), copies(L, 0, 1)}

	fixed := leftToRight("fixed", 0, 0)
	fixed.Paths[L], fixed.Reads[L], fixed.To[R] = nil, nil, constant(record.OfText("on"))

	guarded := twoWay("guarded", 0, 0) // when = ticket.b == "yes"
	guarded.Reads[L] = []int{0, 1}
	guarded.When = func(e reconcile.Env) (bool, error) { return e.Values[L][1] == val("yes"), nil }

	with := func(r reconcile.Rule, change func(*reconcile.Rule)) reconcile.Rule { change(&r); return r }
	keepDrift := func(r *reconcile.Rule) { r.Drift = reconcile.KeepDrift }
	onCreate := func(r *reconcile.Rule) { r.Strength = reconcile.OnCreate }
	ifEmpty := func(r *reconcile.Rule) { r.Strength = reconcile.IfEmpty }
	copyAB, copyLR, copyRL := twoWay("f", 0, 0), leftToRight("f", 0, 0), rightToLeft("f", 0, 0)

	tests := []struct {
		name, reason             string
		rule                     reconcile.Rule
		first                    reconcile.First
		baseL, nowL, baseR, nowR string
		sentL, sentR             string
		row                      int
		outcome                  reconcile.Outcome
		toL, toR                 string
		why                      string // part of Why
		decided                  *reconcile.Choice
		modifiedL, modifiedR     time.Duration
		measured                 bool
	}{
		// Before the table.
		{name: "when is false", reason: "the rule does not apply and says so",
			rule: guarded, baseL: "p no", nowL: "q no", baseR: "p", nowR: "p", outcome: reconcile.Skip, why: "when is false"},
		{name: "when becomes true", reason: "what when reads counts as a move of its side",
			rule: guarded, baseL: "q no", nowL: "q yes", baseR: "p", nowR: "p", row: 3, outcome: reconcile.Write, toR: "q", why: `ticket.b "no" → "yes"`},
		{name: "when fails", reason: "a failing expression holds the field",
			rule: with(copyAB, func(r *reconcile.Rule) {
				r.When = func(reconcile.Env) (bool, error) { return false, errors.New("no such member") }
			}), baseL: "p", nowL: "q", baseR: "p", nowR: "p", outcome: reconcile.Hold, why: "no such member"},
		{name: "when is asked before unknown values", reason: "a rule that is off must not hold the link",
			rule: guarded, baseL: "p no", nowL: "? no", baseR: "p", nowR: "p", outcome: reconcile.Skip},
		{name: "on_create on a linked pair", reason: "the moment of creation is over",
			rule: with(copyLR, onCreate), baseL: "p", nowL: "q", baseR: "p", nowR: "p", outcome: reconcile.Skip, why: "on create"},
		{name: "if_empty with a value", reason: "it never overwrites",
			rule: with(copyLR, ifEmpty), baseL: "p", nowL: "q", baseR: "p", nowR: "p", outcome: reconcile.Skip, why: "not empty"},
		{name: "if_empty on empty text", reason: "a column that takes no null is empty that way",
			rule: with(copyLR, ifEmpty), baseL: "p", nowL: "q", baseR: `""`, nowR: `""`, row: 3, outcome: reconcile.Write, toR: "q"},
		{name: "if_empty on an empty path", reason: "an empty path may be filled",
			rule: with(copyLR, ifEmpty), baseL: "p", nowL: "q", baseR: "null", nowR: "null", row: 3, outcome: reconcile.Write, toR: "q"},
		{name: "if_empty that holds", reason: "row 2 comes before every strength",
			rule: with(copyLR, ifEmpty), baseL: "p", nowL: "q", baseR: "p", nowR: "q", row: 2, outcome: reconcile.Keep},

		// Row 1.
		{name: "unknown on the left", reason: "unknown takes part in no decision",
			rule: copyAB, baseL: "p", nowL: "?", baseR: "p", nowR: "q", row: 1, outcome: reconcile.Hold, why: "ticket.a cannot be read"},
		{name: "unknown on the right", reason: "the same from the other side",
			rule: copyAB, baseL: "p", nowL: "q", baseR: "p", nowR: "?", row: 1, outcome: reconcile.Hold, why: "incident.x cannot be read"},
		{name: "not delivered", reason: "absent is not null: nothing may be cleared because of it",
			rule: copyAB, baseL: "p", nowL: "-", baseR: "p", nowR: "p", row: 1, outcome: reconcile.Hold, why: "was not delivered"},
		{name: "unknown target of a one-way rule", reason: "overwriting the unknown is a guess too",
			rule: copyLR, baseL: "p", nowL: "q", baseR: "p", nowR: "?", row: 1, outcome: reconcile.Hold},
		{name: "record shorter than the paths", reason: "values beyond the end are absent",
			rule: twoWay("f", 2, 0), baseL: "p p p", nowL: "p", baseR: "p", nowR: "p", row: 1, outcome: reconcile.Hold},

		// Row 2.
		{name: "nothing moved", reason: "quiet", rule: copyAB, baseL: "p", nowL: "p", baseR: "p", nowR: "p", row: 2, outcome: reconcile.Keep},
		{name: "equal edits", reason: "both made the same edit: no event",
			rule: copyAB, baseL: "p", nowL: "q", baseR: "p", nowR: "q", row: 2, outcome: reconcile.Keep},
		{name: "equal without base", reason: "first contact of equal values needs no mode",
			rule: copyAB, nowL: "q", nowR: "q", row: 2, outcome: reconcile.Keep},
		{name: "both cleared", reason: "null equals null",
			rule: copyAB, baseL: "p", nowL: "null", baseR: "p", nowR: "null", row: 2, outcome: reconcile.Keep},
		{name: "finer side moves within one coarse state", reason: "the coarse side shows it already: nothing to write",
			rule: states, baseL: "open", nowL: "waiting", baseR: "2", nowR: "2", row: 2, outcome: reconcile.Keep},
		{name: "finer side rests although the way back would move it", reason: "g(2) is open, but f(waiting) = 2 holds",
			rule: states, baseL: "waiting", nowL: "waiting", baseR: "2", nowR: "2", row: 2, outcome: reconcile.Keep},
		{name: "coarse side moved to what the finer one implies", reason: "closed is more than 3 says and stays",
			rule: states, baseL: "open", nowL: "closed", baseR: "2", nowR: "3", row: 2, outcome: reconcile.Keep},
		{name: "holds through the way back alone", reason: "one direction is enough",
			rule: with(states, func(r *reconcile.Rule) { r.To[R] = breaks(errors.New("broken")) }), baseL: "new", nowL: "open", baseR: "1", nowR: "2", row: 2, outcome: reconcile.Keep},
		{name: "the side stored something else", reason: "it carries what it stored when exactly this was sent",
			rule: copyAB, baseL: "longtext", nowL: "longtext", baseR: "long", nowR: "long", sentR: "longtext", row: 2, outcome: reconcile.Keep},
		{name: "the side stored something else, on the left", reason: "mirrored",
			rule: copyAB, baseL: "long", nowL: "long", baseR: "longtext", nowR: "longtext", sentL: "longtext", row: 2, outcome: reconcile.Keep},
		{name: "something else was sent", reason: "another value must be sent anew",
			rule: copyAB, baseL: "longtext", nowL: "longest", baseR: "long", nowR: "long", sentR: "longtext", row: 3, outcome: reconcile.Write, toR: "longest"},
		{name: "the shortened side was edited", reason: "an edit of the stored form is an edit",
			rule: copyAB, baseL: "longtext", nowL: "longtext", baseR: "long", nowR: "lung", sentR: "longtext", row: 4, outcome: reconcile.Write, toL: "lung"},
		{name: "two paths, one stored otherwise", reason: "sent where known, base elsewhere",
			rule: pair, baseL: "p longtext", nowL: "p longtext", baseR: "p long", nowR: "p long", sentR: "- longtext", row: 2, outcome: reconcile.Keep},
		{name: "one-way holds only forwards", reason: "the way back does not exist, so it proves nothing",
			rule: copyLR, baseL: "p", nowL: "q", baseR: "p", nowR: "q", row: 2, outcome: reconcile.Keep},
		{name: "a fixed value that is there", reason: "a rule that reads nothing is legal",
			rule: fixed, baseL: "p", nowL: "q", baseR: "on", nowR: "on", row: 2, outcome: reconcile.Keep},

		// Rows 3 and 4.
		{name: "left moved", reason: "the edit travels", rule: copyAB, baseL: "p", nowL: "q", baseR: "p", nowR: "p", row: 3, outcome: reconcile.Write, toR: "q", why: `ticket.a "p" → "q"`},
		{name: "right moved", reason: "mirrored", rule: copyAB, baseL: "p", nowL: "p", baseR: "p", nowR: "q", row: 4, outcome: reconcile.Write, toL: "q", why: `incident.x "p" → "q"`},
		{name: "left cleared", reason: "a clear is a change", rule: copyAB, baseL: "p", nowL: "null", baseR: "p", nowR: "p", row: 3, outcome: reconcile.Write, toR: "null"},
		{name: "one-way, leading left", reason: "its direction allows it", rule: copyLR, baseL: "p", nowL: "q", baseR: "p", nowR: "p", row: 3, outcome: reconcile.Write, toR: "q"},
		{name: "one-way, leading right", reason: "mirrored", rule: copyRL, baseL: "p", nowL: "p", baseR: "p", nowR: "q", row: 4, outcome: reconcile.Write, toL: "q"},
		{name: "coarse side moved", reason: "the finer side takes the one meaning of it",
			rule: states, baseL: "waiting", nowL: "waiting", baseR: "2", nowR: "3", row: 4, outcome: reconcile.Write, toL: "resolved"},
		{name: "no row for the new value", reason: "the needed direction failed: hold, with its message",
			rule: states, baseL: "open", nowL: "odd", baseR: "2", nowR: "2", row: 3, outcome: reconcile.Hold, why: "no row"},
		{name: "only the other direction fails", reason: "an error that is not needed stops nothing",
			rule: with(states, func(r *reconcile.Rule) { r.To[L] = breaks(errors.New("broken")) }), baseL: "open", nowL: "closed", baseR: "2", nowR: "2", row: 3, outcome: reconcile.Write, toR: "3"},
		{name: "two paths, one moved", reason: "paths of a rule travel together",
			rule: pair, baseL: "p p", nowL: "p q", baseR: "p p", nowR: "p p", row: 3, outcome: reconcile.Write, toR: "p q"},
		{name: "wrong number of values", reason: "it cannot be written",
			rule: with(copyLR, func(r *reconcile.Rule) { r.To[R] = constant(val("p"), val("q")) }), baseL: "p", nowL: "q", baseR: "p", nowR: "p", row: 3, outcome: reconcile.Hold, why: "2 values for 1 path"},
		{name: "an unknown result", reason: "unknown is never written",
			rule: with(copyLR, func(r *reconcile.Rule) { r.To[R] = constant(val("?")) }), baseL: "p", nowL: "q", baseR: "p", nowR: "p", row: 3, outcome: reconcile.Hold, why: "nothing that is known"},
		{name: "sensitive", reason: "values of a sensitive field stay out of the reason",
			rule: with(copyAB, func(r *reconcile.Rule) { r.Sensitive = true }), baseL: "secret", nowL: "hidden", baseR: "secret", nowR: "secret", row: 3, outcome: reconcile.Write, toR: "hidden", why: "ticket.a changed"},

		// Row 5.
		{name: "drift", reason: "overwrite is the default", rule: copyLR, baseL: "p", nowL: "p", baseR: "p", nowR: "q", row: 5, outcome: reconcile.Write, toR: "p", why: `drift: incident.x "p" → "q"`},
		{name: "drift kept", reason: "the rule says keep", rule: with(copyLR, keepDrift), baseL: "p", nowL: "p", baseR: "p", nowR: "q", row: 5, outcome: reconcile.Skip, why: "drift kept"},
		{name: "drift kept on the left", reason: "mirrored", rule: with(copyRL, keepDrift), baseL: "p", nowL: "q", baseR: "p", nowR: "p", row: 5, outcome: reconcile.Skip},
		{name: "drift and the leading side moved", reason: "the leading side is newer than the drift",
			rule: with(copyLR, keepDrift), baseL: "p", nowL: "n", baseR: "p", nowR: "q", row: 5, outcome: reconcile.Write, toR: "n"},
		{name: "both moved one-way", reason: "there is no conflict where only one side may lead",
			rule: copyLR, baseL: "p", nowL: "n", baseR: "p", nowR: "q", row: 5, outcome: reconcile.Write, toR: "n"},

		// Row 7.
		{name: "rule edited, one-way", reason: "the leading side writes", rule: copyLR, baseL: "p", nowL: "p", baseR: "q", nowR: "q", row: 7, outcome: reconcile.Write, toR: "p", why: "the rule was edited"},
		{name: "rule edited, one-way leading right", reason: "mirrored", rule: copyRL, baseL: "p", nowL: "p", baseR: "q", nowR: "q", row: 7, outcome: reconcile.Write, toL: "q"},
		{name: "rule edited, two-way", reason: "nobody leads", rule: copyAB, baseL: "p", nowL: "p", baseR: "q", nowR: "q", row: 7, outcome: reconcile.Conflict, why: "the rule was edited"},
		{name: "rule edited, two-way with a first side", reason: "the sync has a leading side",
			rule: copyAB, first: reconcile.First{Mode: reconcile.FirstSide, Side: R}, baseL: "p", nowL: "p", baseR: "q", nowR: "q", row: 7, outcome: reconcile.Write, toL: "q"},
		{name: "fixed value edited", reason: "a constant leads although nothing of its side moves",
			rule: fixed, baseL: "p", nowL: "p", baseR: "off", nowR: "off", row: 7, outcome: reconcile.Write, toR: "on", why: "a fixed value"},

		// Row 8.
		{name: "first contact asks", reason: "no mode, no guess", rule: copyAB, nowL: "p", nowR: "q", row: 8, outcome: reconcile.Conflict, why: `first contact: ticket.a "p", incident.x "q"`},
		{name: "first contact, a side leads", reason: "first = ticket", rule: copyAB, first: reconcile.First{Mode: reconcile.FirstSide, Side: L}, nowL: "p", nowR: "q", row: 8, outcome: reconcile.Write, toR: "p"},
		{name: "first contact, newest", reason: "clocks measured, the gap is wide", rule: copyAB, first: reconcile.First{Mode: reconcile.FirstNewest}, nowL: "p", nowR: "q", measured: true, modifiedL: -time.Hour, modifiedR: -time.Minute, row: 8, outcome: reconcile.Write, toL: "q"},
		{name: "first contact, newest too close", reason: "the gap is within the clocks' error", rule: copyAB, first: reconcile.First{Mode: reconcile.FirstNewest}, nowL: "p", nowR: "q", measured: true, modifiedL: -time.Second, modifiedR: 0, row: 8, outcome: reconcile.Conflict, why: "closer together"},
		{name: "first contact, newest without clocks", reason: "nothing to compare", rule: copyAB, first: reconcile.First{Mode: reconcile.FirstNewest}, nowL: "p", nowR: "q", row: 8, outcome: reconcile.Conflict, why: "not measured"},
		{name: "first contact, newest is empty", reason: "a field that was never filled does not clear one that is", rule: copyAB, first: reconcile.First{Mode: reconcile.FirstNewest}, nowL: "p", nowR: "null", measured: true, modifiedL: -time.Hour, row: 8, outcome: reconcile.Write, toR: "p"},
		{name: "first contact, fill left", reason: "the empty side is filled", rule: copyAB, first: reconcile.First{Mode: reconcile.FirstFillEmpty}, nowL: "null", nowR: "q", row: 8, outcome: reconcile.Write, toL: "q"},
		{name: "first contact, fill right", reason: "mirrored", rule: copyAB, first: reconcile.First{Mode: reconcile.FirstFillEmpty}, nowL: "p", nowR: "null", row: 8, outcome: reconcile.Write, toR: "p"},
		{name: "first contact, nothing to fill", reason: "both have values", rule: copyAB, first: reconcile.First{Mode: reconcile.FirstFillEmpty}, nowL: "p", nowR: "q", row: 8, outcome: reconcile.Conflict},
		{name: "first contact, empty text is filled", reason: "a column that takes no null is empty that way", rule: copyAB, first: reconcile.First{Mode: reconcile.FirstFillEmpty}, nowL: `""`, nowR: "q", row: 8, outcome: reconcile.Write, toL: "q"},
		{name: "first contact, empty text and null", reason: "there is nothing to fill with, and they differ", rule: copyAB, first: reconcile.First{Mode: reconcile.FirstFillEmpty}, nowL: `""`, nowR: "null", row: 8, outcome: reconcile.Conflict},
		{name: "first contact, neither can be carried", reason: "nothing that a person may pick would help, so what fails is said", rule: with(copyAB, func(r *reconcile.Rule) {
			r.To = [2]reconcile.Transform{breaks(errors.New("no way back")), breaks(errors.New("no way there"))}
		}), nowL: "p", nowR: "q", row: 8, outcome: reconcile.Hold, why: "no way there"},
		{name: "first contact, one-way", reason: "its leading side writes whatever the mode", rule: copyLR, first: reconcile.First{Mode: reconcile.FirstSide, Side: R}, nowL: "p", nowR: "q", row: 8, outcome: reconcile.Write, toR: "p"},
		{name: "first contact, one-way fill over a value", reason: "fill_empty never overwrites", rule: copyLR, first: reconcile.First{Mode: reconcile.FirstFillEmpty}, nowL: "p", nowR: "q", row: 8, outcome: reconcile.Conflict},
		{name: "first contact, one-way fill", reason: "an empty target is filled", rule: copyLR, first: reconcile.First{Mode: reconcile.FirstFillEmpty}, nowL: "p", nowR: "null", row: 8, outcome: reconcile.Write, toR: "p"},
		{name: "half a base is none", reason: "one path of the rule never agreed", rule: pair, baseL: "p -", nowL: "n n", baseR: "p p", nowR: "p p", row: 8, outcome: reconcile.Conflict},

		// A person's choice.
		{name: "decided", reason: "a choice stands in for the policy", rule: copyAB, nowL: "p", nowR: "q", row: 8, outcome: reconcile.Write, toL: "q", why: "decided by ann",
			decided: &reconcile.Choice{Side: R, By: "ann", Seen: [2][]record.Value{vals("p"), vals("q")}}},
		{name: "decided about an edited rule", reason: "any row's conflict can be decided", rule: copyAB, baseL: "p", nowL: "p", baseR: "q", nowR: "q", row: 7, outcome: reconcile.Write, toR: "p", why: "decided by ann",
			decided: &reconcile.Choice{Side: L, By: "ann", Seen: [2][]record.Value{vals("p"), vals("q")}}},
		{name: "decided about other values", reason: "what the person saw is not what is there", rule: copyAB, nowL: "p", nowR: "n", row: 8, outcome: reconcile.Conflict, why: "other values",
			decided: &reconcile.Choice{Side: R, By: "ann", Seen: [2][]record.Value{vals("p"), vals("q")}}},
		{name: "decided for the side that may not lead", reason: "its value stays, nothing is written", rule: copyLR, first: reconcile.First{Mode: reconcile.FirstFillEmpty}, nowL: "p", nowR: "q", row: 8, outcome: reconcile.Keep, why: "decided by ann",
			decided: &reconcile.Choice{Side: R, By: "ann", Seen: [2][]record.Value{vals("p"), vals("q")}}},
		{name: "a choice without a conflict", reason: "the table decides first", rule: copyAB, baseL: "p", nowL: "n", baseR: "p", nowR: "p", row: 3, outcome: reconcile.Write, toR: "n",
			decided: &reconcile.Choice{Side: R, By: "ann", Seen: [2][]record.Value{vals("n"), vals("p")}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRules(tt.rule)
			r.First = tt.first
			in := linked(tt.baseL, tt.nowL, tt.baseR, tt.nowR)
			in.Link.Sent = [2][]record.Value{vals(tt.sentL), vals(tt.sentR)}
			if tt.measured {
				in = clocks(in, tt.modifiedL, tt.modifiedR)
			}
			if tt.decided != nil {
				in.Decided = map[string]reconcile.Choice{tt.rule.Name: *tt.decided}
			}
			d := reconcile.Decide(r, in)
			v := d.Verdicts[0]
			if v.Row != tt.row || v.Outcome != tt.outcome || show(v.To[L]) != tt.toL || show(v.To[R]) != tt.toR {
				t.Errorf("row %d %v to (%s | %s): %s\nwant row %d %v to (%s | %s), because %s",
					v.Row, v.Outcome, show(v.To[L]), show(v.To[R]), v.Why, tt.row, tt.outcome, tt.toL, tt.toR, tt.reason)
			}
			if !strings.Contains(v.Why, tt.why) {
				t.Errorf("why is %q, want it to contain %q", v.Why, tt.why)
			}
			if tt.rule.Sensitive && strings.Contains(v.Why, "hidden") {
				t.Errorf("a sensitive value is in %q", v.Why)
			}
			if tt.outcome != reconcile.Write && len(d.Sets[L])+len(d.Sets[R]) > 0 {
				t.Errorf("%v writes %v", tt.outcome, d.Sets)
			}
		})
	}
}

func TestOnlyPathsThatDifferAreWritten(t *testing.T) {
	pair := leftToRight("pair", 0, 0)
	pair.Paths, pair.Reads = [2][]int{{0, 1}, {0, 1}}, [2][]int{{0, 1}, {0, 1}}
	pair.To[R] = copies(L, 0, 1)
	d := reconcile.Decide(newRules(pair), linked("p p", "p q", "p p", "p p"))
	if len(d.Sets[R]) != 1 || d.Sets[R][0].Slot != 1 || d.Sets[R][0].To != val("q") || d.Sets[R][0].At != "sync.hcl:7" {
		t.Errorf("sets are %v, want incident.y alone", d.Sets[R])
	}
}

func TestNeededLookUpsAreAskedForOnce(t *testing.T) {
	need := &reconcile.Needed{Translation: "people", Value: val("ann")}
	a, b := leftToRight("one", 0, 0), leftToRight("two", 0, 1)
	a.To[R], b.To[R] = breaks(need), breaks(need)
	d := reconcile.Decide(newRules(a, b), linked("p", "q", "p p", "p p"))
	if len(d.Needs) != 1 || d.Needs[0] != *need {
		t.Errorf("needs are %v, want the one row", d.Needs)
	}
}

func TestTwoRulesForOneSlotDoNotFight(t *testing.T) {
	d := reconcile.Decide(newRules(leftToRight("one", 0, 0), leftToRight("two", 1, 0)), linked("p p", "q n", "p", "p"))
	if d.Verdicts[0].Outcome != reconcile.Write || d.Verdicts[1].Outcome != reconcile.Hold || !strings.Contains(d.Verdicts[1].Why, "one") {
		t.Errorf("verdicts are %v and %v %q, want the first to win and the second held", d.Verdicts[0].Outcome, d.Verdicts[1].Outcome, d.Verdicts[1].Why)
	}
	if len(d.Sets[R]) != 1 || d.Sets[R][0].To != val("q") {
		t.Errorf("sets are %v", d.Sets[R])
	}
}

func TestASensitiveRuleHidesTheMessageOfItsError(t *testing.T) {
	rule := leftToRight("pin", 0, 0)
	rule.Sensitive, rule.To[R] = true, breaks(errors.New(`"1234" has no row`))
	d := reconcile.Decide(newRules(rule), linked("p", "q", "p", "p"))
	if v := d.Verdicts[0]; v.Outcome != reconcile.Hold || strings.Contains(v.Why, "1234") {
		t.Errorf("%v %q", v.Outcome, v.Why)
	}
}

func TestLongValuesAreShownAroundTheirDifference(t *testing.T) {
	long := strings.Repeat("x", 300)
	in := linked("p", "p", "p", "p")
	in.Link.Base[L][0], in.Record[L].Values[0] = record.OfText(long+"old"), record.OfText(long+"new")
	v := reconcile.Decide(newRules(twoWay("f", 0, 0)), in).Verdicts[0]
	if len(v.Why) > 200 || !strings.Contains(v.Why, "old") || !strings.Contains(v.Why, "new") {
		t.Errorf("why is %q", v.Why)
	}
}

func TestMovedIsAboutKnownValuesWithABase(t *testing.T) {
	pair := twoWay("pair", 0, 0)
	pair.Reads[L] = []int{0, 1}
	for name, in := range map[string]reconcile.Input{
		"unknown is no move":              linked("p p", "? p", "p", "p"),
		"without a whole base none moves": linked("p -", "q q", "p", "p"),
	} {
		if v := reconcile.Decide(newRules(pair), in).Verdicts[0]; v.Moved != [2]bool{} {
			t.Errorf("%s: moved is %v", name, v.Moved)
		}
	}
}

func TestDriftIsAnEditOfTheRulesOwnPaths(t *testing.T) {
	// What when reads of the target moved, not what the rule writes: nothing drifted that could be kept.
	rule := leftToRight("f", 0, 0)
	rule.Drift, rule.Reads[R] = reconcile.KeepDrift, []int{0, 1}
	d := reconcile.Decide(newRules(rule), linked("p", "p", "n no", "n yes"))
	if v := d.Verdicts[0]; v.Row != 5 || v.Outcome != reconcile.Write || show(v.To[R]) != "p" {
		t.Errorf("row %d %v: %s", v.Row, v.Outcome, v.Why)
	}
}
