package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// TestSettle checks what becomes of the link's base, sent and now on the sides of one sync with two rules:
// f copies a ↔ x and g copies b → y; c and z belong to no rule.
func TestSettle(t *testing.T) {
	tests := []struct {
		name, reason             string
		change                   func(*reconcile.Rules)
		baseL, nowL, baseR, nowR string
		sentR                    string
		storedL, storedR         string
		failL, failR             bool
		wantBaseL, wantBaseR     string
		wantSentL, wantSentR     string
		wantNowL, wantNowR       string
		status                   record.Status
	}{
		{name: "quiet", reason: "nothing changes",
			baseL: "p p p", nowL: "p p p", baseR: "p p p", nowR: "p p p", wantBaseL: "p p p", wantBaseR: "p p p"},
		{name: "equal edits", reason: "base follows", baseL: "p p p", nowL: "q p p", baseR: "p p p", nowR: "q p p", wantBaseL: "q p p", wantBaseR: "q p p"},
		{name: "a write that was stored", reason: "both agree on it", baseL: "p p p", nowL: "q p p", baseR: "p p p", nowR: "p p p", storedR: "q p p", wantBaseL: "q p p", wantBaseR: "q p p"},
		{name: "a write that was stored otherwise", reason: "base is what is shown, sent is what was sent",
			baseL: "p p p", nowL: "qq p p", baseR: "p p p", nowR: "p p p", storedR: "q p p", wantBaseL: "qq p p", wantBaseR: "q p p", wantSentR: "qq - -"},
		{name: "a write that was dropped", reason: "the old value is what was stored", baseL: "p p p", nowL: "q p p", baseR: "p p p", nowR: "p p p", storedR: "p p p", wantBaseL: "q p p", wantBaseR: "p p p", wantSentR: "q - -"},
		{name: "still what was stored otherwise", reason: "the rule holds because of it, so it is remembered",
			baseL: "qq p p", nowL: "qq p p", baseR: "q p p", nowR: "q p p", sentR: "qq - -", wantBaseL: "qq p p", wantBaseR: "q p p", wantSentR: "qq - -"},
		{name: "sent is forgotten", reason: "the values are equal now", baseL: "qq p p", nowL: "q p p", baseR: "q p p", nowR: "q p p", sentR: "qq - -", wantBaseL: "q p p", wantBaseR: "q p p"},
		{name: "a failed write", reason: "its paths keep their old base, the other rule's do not",
			baseL: "p p p", nowL: "q p p", baseR: "p p p", nowR: "p p p", failR: true, wantBaseL: "p p p", wantBaseR: "p p p", wantNowL: "q p p", status: record.Held},
		{name: "a conflict", reason: "old base on both sides, what is shown beside it; the other rule settles",
			baseL: "p p p", nowL: "q q p", baseR: "p p p", nowR: "n p p", storedR: "n q p", wantBaseL: "p q p", wantBaseR: "p q p", wantNowL: "q q p", wantNowR: "n q p", status: record.Held},
		{name: "a hold", reason: "unknown never becomes base", baseL: "p p p", nowL: "? p p", baseR: "p p p", nowR: "q p p", wantBaseL: "p p p", wantBaseR: "p p p", wantNowL: "? p p", wantNowR: "q p p", status: record.Held},
		{name: "first contact that asks", reason: "never agreed stays never agreed", nowL: "q p p", nowR: "n p p", wantBaseL: "- p p", wantBaseR: "- p p", wantNowL: "q p p", wantNowR: "n p p", status: record.Held},
		{name: "a slot of no rule", reason: "nobody minds, so it is followed", baseL: "p p p", nowL: "p p q", baseR: "p p p", nowR: "p p n", wantBaseL: "p p q", wantBaseR: "p p n"},
		{name: "drift kept", reason: "the drift stays visible and the base stays what was agreed",
			change: func(r *reconcile.Rules) { r.Fields[1].Drift = reconcile.KeepDrift },
			baseL:  "p p p", nowL: "p p p", baseR: "p p p", nowR: "p q p", wantBaseL: "p p p", wantBaseR: "p p p", wantNowR: "p q p"},
		{name: "when of a one-way rule is false", reason: "what happens meanwhile is not a move later",
			change: func(r *reconcile.Rules) {
				r.Fields[1].When = func(reconcile.Env) (bool, error) { return false, nil }
			},
			baseL: "p p p", nowL: "p q p", baseR: "p p p", nowR: "p p p", wantBaseL: "p q p", wantBaseR: "p p p"},
		{name: "when of a two-way rule is false", reason: "nobody agreed meanwhile, so an edit is still a move when it is true again",
			change: func(r *reconcile.Rules) {
				r.Fields[0].When = func(reconcile.Env) (bool, error) { return false, nil }
			},
			baseL: "p p p", nowL: "p p p", baseR: "p p p", nowR: "q p p", wantBaseL: "p p p", wantBaseR: "p p p", wantNowR: "q p p"},
		{name: "if_empty", reason: "the same for a one-way rule that may not write",
			change: func(r *reconcile.Rules) { r.Fields[1].Strength = reconcile.IfEmpty },
			baseL:  "p p p", nowL: "p q p", baseR: "p p p", nowR: "p p p", wantBaseL: "p q p", wantBaseR: "p p p"},
		{name: "a shared slot waits for both rules", reason: "the one-way rule still has to see the move of a, which the conflict holds back",
			change: func(r *reconcile.Rules) {
				r.Fields[1].Reads[L] = []int{0}
				r.Fields[1].Paths[L] = nil
				r.Fields[1].To[R] = copies(L, 0)
			},
			baseL: "p p p", nowL: "q p p", baseR: "p p p", nowR: "n p p", storedR: "n q p", wantBaseL: "p p p", wantBaseR: "p q p", wantNowL: "q p p", wantNowR: "n q p", status: record.Held},
		{name: "a side effect of the write", reason: "z was not written by a rule; the next run must see it move",
			change: func(r *reconcile.Rules) { r.Fields = append(r.Fields, twoWay("h", 2, 2)) },
			baseL:  "p p p", nowL: "q p p", baseR: "p p p", nowR: "p p p", storedR: "q p n", wantBaseL: "q p p", wantBaseR: "q p p", wantNowR: "q p n"},
		{name: "an edit between reading and writing", reason: "the record that came back has it; it is a move, not agreed",
			baseL: "p p p", nowL: "p q p", baseR: "p p p", nowR: "p p p", storedR: "n q p", wantBaseL: "p q p", wantBaseR: "p q p", wantNowR: "n q p"},
		{name: "not delivered back", reason: "nobody knows what was stored: the next run finds out",
			baseL: "p p p", nowL: "q p p", baseR: "p p p", nowR: "p p p", storedR: "- p p", wantBaseL: "q p p", wantBaseR: "p p p", wantNowR: "- p p"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRules(twoWay("f", 0, 0), leftToRight("g", 1, 1))
			if tt.change != nil {
				tt.change(r)
			}
			in := linked(tt.baseL, tt.nowL, tt.baseR, tt.nowR)
			in.Link.Sent[R] = vals(tt.sentR)
			before := cmp.Diff(record.Link{}, in.Link, exact)
			d := reconcile.Decide(r, in)
			l := reconcile.Settle(r, in, d, [2][]record.Value{vals(tt.storedL), vals(tt.storedR)}, [2]bool{tt.failL, tt.failR})
			got := [...]string{show(l.Base[L]), show(l.Base[R]), show(l.Sent[L]), show(l.Sent[R]), show(l.Now[L]), show(l.Now[R]), l.Status.String()}
			want := [...]string{tt.wantBaseL, tt.wantBaseR, tt.wantSentL, tt.wantSentR, tt.wantNowL, tt.wantNowR, tt.status.String()}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("base L, R, sent L, R, now L, R, status (-want +got), because %s:\n%s", tt.reason, diff)
			}
			if l.Key != [2]string{"T-1", "I-1"} || l.Label != [2]string{"", "INC1"} || l.Version != [2]string{"v1", "w1"} {
				t.Errorf("names are %v %v %v", l.Key, l.Label, l.Version)
			}
			if after := cmp.Diff(record.Link{}, in.Link, exact); before != after {
				t.Error("the input's link was written to")
			}
		})
	}
}

func TestSettleLives(t *testing.T) {
	gone := func(then reconcile.GoneThen, nowR string) (*reconcile.Rules, reconcile.Input) {
		r := newRules(twoWay("f", 0, 0))
		r.Sides[L].Gone = reconcile.OnGone{Then: then, Set: map[int]record.Value{1: val("8")}}
		in := linked("p p p", "p p p", "p p p", nowR)
		in.Presence[L], in.Record[L] = reconcile.Gone, record.Record{}
		return r, in
	}
	tests := []struct {
		name   string
		then   reconcile.GoneThen
		nowR   string
		failed bool
		want   record.Status
	}{
		{"detached", reconcile.GoneDetach, "p p p", false, record.Detached},
		{"deleted", reconcile.GoneDelete, "p p p", false, record.Ended},
		{"delete failed", reconcile.GoneDelete, "p p p", true, record.Held},
		{"updated", reconcile.GoneUpdate, "p p p", false, record.Ended},
		{"update failed", reconcile.GoneUpdate, "p p p", true, record.Held},
		{"held", reconcile.GoneDelete, "q p p", false, record.Held},
		{"recreate failed", reconcile.GoneRecreate, "p p p", true, record.Held},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, in := gone(tt.then, tt.nowR)
			d := reconcile.Decide(r, in)
			var failed [2]bool
			failed[d.Side] = tt.failed
			l := reconcile.Settle(r, in, d, [2][]record.Value{}, failed)
			if l.Status != tt.want || show(l.Base[R]) != "p p p" || show(l.Base[L]) != "p p p" {
				t.Errorf("link is %v with base %s | %s, want %v with the old one", l.Status, show(l.Base[L]), show(l.Base[R]), tt.want)
			}
			if tt.want == record.Held && tt.nowR != "p p p" && show(l.Now[R]) != tt.nowR {
				t.Errorf("now is %q", show(l.Now[R]))
			}
		})
	}
}

func TestDropped(t *testing.T) {
	r, in := newRules(twoWay("f", 0, 0), twoWay("g", 1, 1), twoWay("h", 2, 2)), linked("p p p", "q q q", "p p p", "p p p")
	d := reconcile.Decide(r, in)
	drops := reconcile.Dropped(d, [2][]record.Value{nil, vals("q p -")})
	if len(drops) != 1 || drops[0].Side != R || drops[0].Set.Rule != 1 || drops[0].Set.To != val("q") || drops[0].Stored != val("p") {
		t.Errorf("dropped are %+v, want incident.y alone", drops)
	}
}

func TestAPersonsChoiceForTheTargetOfAOneWayRuleLasts(t *testing.T) {
	r := newRules(leftToRight("f", 0, 0))
	r.First.Mode = reconcile.FirstFillEmpty
	in := linked("", "p", "", "q")
	in.Decided = map[string]reconcile.Choice{"f": {Side: R, By: "ann", Seen: [2][]record.Value{vals("p"), vals("q")}}}
	in.Record[L].Values, in.Record[R].Values = vals("p null null"), vals("q null null")
	d := reconcile.Decide(r, in)
	in = next(r, in, d, apply(r, in, d))
	in.Decided = nil
	if d = reconcile.Decide(r, in); !d.Quiet() || d.Verdicts[0].Row != 2 {
		t.Fatalf("next run: row %d %v %s", d.Verdicts[0].Row, d.Verdicts[0].Outcome, d.Verdicts[0].Why)
	}
	in.Record[L].Values = vals("n null null")
	if d = reconcile.Decide(r, in); len(d.Sets[R]) != 1 || d.Sets[R][0].To != val("n") {
		t.Errorf("a later edit of the leading side writes %v", d.Sets)
	}
}

func TestRulesThatFeedEachOther(t *testing.T) {
	// ticket.a → incident.x → ticket.b: the second rule sees the first one's write as a move, one run later.
	r := newRules(leftToRight("one", 0, 0), rightToLeft("two", 1, 0))
	in := linked("p p p", "q p p", "p p p", "p p p")
	d := reconcile.Decide(r, in)
	in = next(r, in, d, apply(r, in, d))
	d = reconcile.Decide(r, in)
	if len(d.Sets[L]) != 1 || d.Sets[L][0].To != val("q") || len(d.Sets[R]) != 0 {
		t.Fatalf("second run writes %v, want ticket.b alone", d.Sets)
	}
	in = next(r, in, d, apply(r, in, d))
	if d = reconcile.Decide(r, in); !d.Quiet() {
		t.Errorf("third run: %+v", d)
	}
}

func TestASideEffectTravelsTwoWay(t *testing.T) {
	// Writing x makes the right system compute y anew; y ↔ b is two-way and must not see an edited rule.
	r := newRules(twoWay("x", 0, 0), twoWay("y", 1, 1))
	in := linked("p p p", "q p p", "p p p", "p p p")
	d := reconcile.Decide(r, in)
	in = next(r, in, d, [2][]record.Value{nil, vals("q high p")})
	d = reconcile.Decide(r, in)
	if v := d.Verdicts[1]; v.Row != 4 || len(d.Sets[L]) != 1 || d.Sets[L][0].To != val("high") {
		t.Errorf("row %d, sets %v: %s", v.Row, d.Sets, v.Why)
	}
}

func TestShow(t *testing.T) {
	urgency, secret, broken := twoWay("urgency", 0, 0), leftToRight("secret", 1, 1), twoWay("broken", 2, 2)
	secret.Sensitive, secret.At = true, "sync.hcl:9"
	r := newRules(urgency, secret, broken)
	in := linked("2 p p", "1 q ?", "2 p p", "3 p p")
	in.Since = map[string]time.Time{"urgency": now.Add(-time.Hour)}
	d := reconcile.Decide(r, in)

	changes := reconcile.Changes(r, in, d, R)
	if len(changes) != 1 || len(reconcile.Changes(r, in, d, L)) != 0 {
		t.Fatalf("changes are %+v", changes)
	}
	if c := changes[0]; c.Path != "y" || c.From != val("p") || c.To != val("q") || c.Field != "secret" || c.At != "sync.hcl:9" || !c.Sensitive || c.Why != "ticket.b changed" {
		t.Errorf("change is %+v", c)
	}
	conflicts := reconcile.Conflicts(r, in, d)
	if len(conflicts) != 1 {
		t.Fatalf("conflicts are %+v", conflicts)
	}
	c := conflicts[0]
	if c.Why != "ticket.urgency 2 → 1, incident.urgency 2 → 3" && c.Why != "ticket.a 2 → 1, incident.x 2 → 3" {
		t.Errorf("why is %q", c.Why)
	}
	if c.Field != "urgency" || c.Link != 7 || c.Policy != "ask" || c.Base != [2]record.Value{val("2"), val("2")} || c.Now != [2]record.Value{val("1"), val("3")} ||
		c.Keys != [2]string{"T-1", "I-1"} || c.Labels[R] != "INC1" || !c.Since.Equal(now.Add(-time.Hour)) || c.Paths[L][0] != "a" {
		t.Errorf("conflict is %+v", c)
	}
	holds := reconcile.Holds(r, in, d)
	if len(holds) != 1 || holds[0].Field != "broken" || holds[0].Hint == "" || !strings.Contains(holds[0].Cause, "ticket.c cannot be read") {
		t.Errorf("holds are %+v", holds)
	}
}

func TestShowMarkersAndOnGone(t *testing.T) {
	r := newRules(twoWay("f", 0, 0))
	r.Sides[R].Create = true
	r.Match = []reconcile.Match{{At: "sync.hcl:3", Slots: [2]int{2, 2}, Marker: [2]bool{false, true}}}
	in := reconcile.Input{Presence: [2]reconcile.Presence{reconcile.Present, reconcile.Missing}}
	in.Record[L] = record.Record{Key: "k", Label: "T-1042", Values: vals("p p id")}
	changes := reconcile.Changes(r, in, reconcile.Decide(r, in), R)
	if len(changes) != 2 || changes[0].From != record.NullValue || changes[0].Why != `ticket.a "p"` || changes[1].Field != "match" || !strings.Contains(changes[1].Why, "T-1042") {
		t.Errorf("changes are %+v", changes)
	}
	in = linked("p p p", "", "p p p", "p p p")
	in.Presence[L] = reconcile.Gone
	r.Sides[L].Gone = reconcile.OnGone{Then: reconcile.GoneUpdate, Set: map[int]record.Value{1: val("8")}, At: "sync.hcl:30"}
	changes = reconcile.Changes(r, in, reconcile.Decide(r, in), R)
	if len(changes) != 1 || changes[0].Field != "on_gone" || changes[0].At != "sync.hcl:30" || changes[0].Why != "ticket is gone" || changes[0].From != val("p") {
		t.Errorf("changes are %+v", changes)
	}
	in.Record[R].Values = vals("q p p")
	holds := reconcile.Holds(r, in, reconcile.Decide(r, in))
	if len(holds) != 1 || holds[0].Field != "" || holds[0].At != "sync.hcl:30" || holds[0].Hint == "" {
		t.Errorf("holds are %+v", holds)
	}
}

func TestADroppedWriteIsNotRepeatedWhileAnotherRuleWaits(t *testing.T) {
	// ticket.a refuses what incident.x sends; a kept drift of incident.y, which reads ticket.a, keeps its base old.
	drift := leftToRight("label", 0, 1)
	drift.Drift = reconcile.KeepDrift
	r := newRules(twoWay("f", 0, 0), drift)
	in := linked("p p p", "p p p", "p p p", "q n p")
	d := reconcile.Decide(r, in)
	if len(d.Sets[L]) != 1 {
		t.Fatalf("sets are %v", d.Sets)
	}
	in = next(r, in, d, [2][]record.Value{vals("p p p"), nil})
	if d = reconcile.Decide(r, in); len(d.Sets[L])+len(d.Sets[R]) > 0 {
		t.Errorf("sent again: %v", d.Sets)
	}
	in.Record[L].Values = vals("mine p p")
	if d = reconcile.Decide(r, in); len(d.Sets[R]) == 0 || d.Sets[R][0].To != val("mine") {
		t.Errorf("a later edit of the refusing side writes %v", d.Sets)
	}
}

func TestATwoWayRuleSeesWhatAnotherRuleWrote(t *testing.T) {
	// The second rule computes ticket.b from incident.x, which the first one writes; it cannot compute y back.
	second := twoWay("second", 1, 1)
	second.Reads[R] = []int{0, 1}
	second.To = [2]reconcile.Transform{copies(R, 0), breaks(errors.New("no way back"))}
	r := newRules(leftToRight("first", 0, 0), second)
	in := linked("p p p", "q p p", "p p p", "p p p")
	d := reconcile.Decide(r, in)
	in = next(r, in, d, apply(r, in, d))
	d = reconcile.Decide(r, in)
	if v := d.Verdicts[1]; v.Row != 4 || v.Outcome != reconcile.Write || show(v.To[L]) != "q" {
		t.Errorf("row %d %v: %s, want the write of x to count as a move", v.Row, v.Outcome, v.Why)
	}
}

func TestAReaderDoesNotKeepAWriterFromAgreeing(t *testing.T) {
	// a ↔ x was written; b ← x only reads it. A second edit of a right afterwards is no conflict.
	r := newRules(twoWay("f", 0, 0), rightToLeft("g", 1, 0))
	in := linked("p p p", "q p p", "p p p", "p p p")
	d := reconcile.Decide(r, in)
	in = next(r, in, d, apply(r, in, d))
	in.Record[L].Values = vals("n p p")
	if v := reconcile.Decide(r, in).Verdicts[0]; v.Row != 3 || show(v.To[R]) != "n" {
		t.Errorf("row %d %v: %s", v.Row, v.Outcome, v.Why)
	}
}

func TestASideEffectTravelsOneWay(t *testing.T) {
	r := newRules(twoWay("x", 0, 0), rightToLeft("y", 1, 1))
	in := linked("p p p", "q p p", "p p p", "p p p")
	d := reconcile.Decide(r, in)
	in = next(r, in, d, [2][]record.Value{nil, vals("q high p")})
	if v := reconcile.Decide(r, in).Verdicts[1]; v.Row != 4 || v.Why != `incident.y "p" → "high"` {
		t.Errorf("row %d: %s", v.Row, v.Why)
	}
}

func TestALinkOwnsItsValues(t *testing.T) {
	r, in := newRules(twoWay("f", 0, 0)), linked("p p p", "q p p", "p p p", "q p p")
	d := reconcile.Decide(r, in)
	l := reconcile.Settle(r, in, d, [2][]record.Value{}, [2]bool{})
	in.Record[L].Values[0], in.Record[R].Values[0] = val("gone"), val("gone")
	if show(l.Base[L]) != "q p p" || show(l.Base[R]) != "q p p" {
		t.Errorf("base changed with the record: %s | %s", show(l.Base[L]), show(l.Base[R]))
	}
}

func TestWhatWasSentIsForgottenOnceTheOtherSideEdits(t *testing.T) {
	// The right side stored "long" when "longtext" was sent, then its people wrote "lung", which went left.
	r := newRules(twoWay("f", 0, 0))
	in := linked("longtext p p", "longtext p p", "long p p", "lung p p")
	in.Link.Sent[R] = vals("longtext - -")
	d := reconcile.Decide(r, in)
	in = next(r, in, d, apply(r, in, d))
	in.Record[L].Values = vals("longtext p p")
	if d = reconcile.Decide(r, in); len(d.Sets[R]) != 1 {
		t.Errorf("the left side's new edit is taken for one that was answered: %s", d.Verdicts[0].Why)
	}
}
