package reconcile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// order ranks single values by their place in words.
func order(words string) func(record.Side, []record.Value) (int, bool) {
	places := vals(words)
	return func(_ record.Side, vs []record.Value) (int, bool) {
		i := slices.Index(places, vs[0])
		return i, i >= 0
	}
}

// TestPolicies decides row 6. Underscores in texts stand for line breaks.
func TestPolicies(t *testing.T) {
	left := &reconcile.Policy{Kind: reconcile.TakeSide, Side: L}
	kind := func(k reconcile.PolicyKind) reconcile.Policy { return reconcile.Policy{Kind: k} }
	levels := "new open waiting closed"
	tests := []struct {
		name, reason         string
		policy               reconcile.Policy
		baseL, nowL          string
		baseR, nowR          string
		outcome              reconcile.Outcome
		toL, toR             string
		why                  string
		since                time.Duration // ago
		modifiedL, modifiedR time.Duration
		offsetR              time.Duration
		measured             bool
	}{
		{name: "unset", reason: "a person decides", baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Conflict, why: `ticket.a "p" → "q", incident.x "p" → "n"`},
		{name: "unset, left cleared", reason: "the value wins", baseL: "p", nowL: "null", nowR: "n", outcome: reconcile.Write, toL: "n", why: "a value wins over a clear"},
		{name: "unset, right cleared", reason: "the value wins", baseL: "p", nowL: "q", nowR: "null", outcome: reconcile.Write, toR: "q"},
		{name: "unset, left cleared to empty text", reason: "that is a clear, too", baseL: "p", nowL: `""`, nowR: "n", outcome: reconcile.Write, toL: "n"},
		{name: "ask, left cleared", reason: "ask means ask", policy: kind(reconcile.Ask), baseL: "p", nowL: "null", nowR: "n", outcome: reconcile.Conflict},
		{name: "ask within its deadline", reason: "there is time left", policy: reconcile.Policy{Kind: reconcile.Ask, Deadline: time.Hour, Fallback: left}, since: time.Minute, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Conflict},
		{name: "ask, not waiting yet", reason: "the deadline starts when it is first listed", policy: reconcile.Policy{Kind: reconcile.Ask, Deadline: time.Nanosecond, Fallback: left}, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Conflict},
		{name: "ask beyond its deadline", reason: "the fallback decides", policy: reconcile.Policy{Kind: reconcile.Ask, Deadline: time.Hour, Fallback: left}, since: time.Hour, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Write, toR: "q", why: "nobody decided within 1h0m0s"},
		{name: "ask for ever", reason: "a fallback without a deadline never comes", policy: reconcile.Policy{Kind: reconcile.Ask, Fallback: left}, since: time.Hour, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Conflict},
		{name: "a side", reason: "named in the rule", policy: *left, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Write, toR: "q", why: "leads: ticket"},
		{name: "a side that cleared", reason: "it was named, so its clear counts", policy: *left, baseL: "p", nowL: "null", nowR: "n", outcome: reconcile.Write, toR: "null"},
		{name: "the other side", reason: "mirrored", policy: reconcile.Policy{Kind: reconcile.TakeSide, Side: R}, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Write, toL: "n"},

		{name: "newest left", reason: "changed later", policy: kind(reconcile.Newest), measured: true, modifiedL: -time.Minute, modifiedR: -time.Hour, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Write, toR: "q", why: "newest: ticket"},
		{name: "newest right", reason: "mirrored", policy: kind(reconcile.Newest), measured: true, modifiedL: -time.Hour, modifiedR: -time.Minute, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Write, toL: "n"},
		{name: "newest by a clock that is ahead", reason: "the offset is taken off first", policy: kind(reconcile.Newest), measured: true, modifiedL: -time.Minute, modifiedR: 0, offsetR: time.Hour, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Write, toR: "q"},
		{name: "newest within the error", reason: "one second each: two seconds cannot be told apart", policy: kind(reconcile.Newest), measured: true, modifiedL: 0, modifiedR: -2 * time.Second, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Conflict, why: "closer together"},
		{name: "newest just beyond the error", reason: "now they can", policy: kind(reconcile.Newest), measured: true, modifiedL: 0, modifiedR: -2*time.Second - 1, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Write, toR: "q"},
		{name: "newest without clocks", reason: "the fallback decides", policy: reconcile.Policy{Kind: reconcile.Newest, Fallback: left}, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Write, toR: "q", why: "not measured"},
		{name: "newest is a clear", reason: "the value wins", policy: kind(reconcile.Newest), measured: true, modifiedL: 0, modifiedR: -time.Hour, baseL: "p", nowL: "null", nowR: "n", outcome: reconcile.Write, toL: "n"},

		{name: "highest", reason: "closed is above waiting", policy: reconcile.Policy{Kind: reconcile.Highest, Rank: order(levels)}, baseL: "open", nowL: "closed", nowR: "waiting", outcome: reconcile.Write, toR: "closed", why: "highest: ticket"},
		{name: "lowest", reason: "waiting is below closed", policy: reconcile.Policy{Kind: reconcile.Lowest, Rank: order(levels)}, baseL: "open", nowL: "closed", nowR: "waiting", outcome: reconcile.Write, toL: "waiting"},
		{name: "not in the order", reason: "it has no place", policy: reconcile.Policy{Kind: reconcile.Highest, Rank: order(levels)}, baseL: "open", nowL: "odd", nowR: "waiting", outcome: reconcile.Conflict, why: "ticket.a has a value that is not in the order"},
		{name: "not in the order, with a fallback", reason: "the fallback decides", policy: reconcile.Policy{Kind: reconcile.Highest, Rank: order(levels), Fallback: left}, baseL: "open", nowL: "odd", nowR: "waiting", outcome: reconcile.Write, toR: "odd"},
		{name: "equal places", reason: "neither is higher", policy: reconcile.Policy{Kind: reconcile.Highest, Rank: func(record.Side, []record.Value) (int, bool) { return 1, true }}, baseL: "open", nowL: "odd", nowR: "waiting", outcome: reconcile.Conflict, why: "same place"},
		{name: "highest against a clear", reason: "the value wins before any rank", policy: reconcile.Policy{Kind: reconcile.Lowest, Rank: order(levels)}, baseL: "open", nowL: "null", nowR: "closed", outcome: reconcile.Write, toL: "closed"},

		{name: "merge", reason: "different lines: both edits on both sides", policy: kind(reconcile.Merge), baseL: "1_2_3", nowL: "one_2_3", nowR: "1_2_three", outcome: reconcile.Write, toL: "one_2_three", toR: "one_2_three", why: "merged"},
		{name: "merge where one edit contains the other", reason: "only the side that lacks something is written", policy: kind(reconcile.Merge), baseL: "1_2_3", nowL: "one_2_3", nowR: "one_2_three", outcome: reconcile.Write, toL: "one_2_three"},
		{name: "merge of the same line", reason: "overlapping", policy: kind(reconcile.Merge), baseL: "1_2_3", nowL: "one_2_3", nowR: "uno_2_3", outcome: reconcile.Conflict, why: "same lines"},
		{name: "merge of the same line, with a fallback", reason: "overlapping", policy: reconcile.Policy{Kind: reconcile.Merge, Fallback: left}, baseL: "1_2_3", nowL: "one_2_3", nowR: "uno_2_3", outcome: reconcile.Write, toR: "one_2_3"},
		{name: "merge of numbers", reason: "there are no lines in them", policy: kind(reconcile.Merge), baseL: "1", nowL: "2", nowR: "3", outcome: reconcile.Conflict, why: "only text"},
		{name: "merge of a text that began empty", reason: "both wrote a first text: it overlaps", policy: kind(reconcile.Merge), baseL: "null", nowL: "q", nowR: "n", outcome: reconcile.Conflict},
		{name: "merge with a base that never was equal", reason: "no common ancestor", policy: kind(reconcile.Merge), baseL: "1_2_3", baseR: "4_5_6", nowL: "one_2_3", nowR: "4_5_six", outcome: reconcile.Conflict, why: "never showed the same"},

		{name: "union", reason: "added by both, removed by one", policy: kind(reconcile.Union), baseL: "[a b c]", nowL: "[a b d]", nowR: "[e a b c]", outcome: reconcile.Write, toL: "[a b d e]", toR: "[a b d e]"},
		{name: "union of text", reason: "the form stays text", policy: kind(reconcile.Union), baseL: "a,b", nowL: "a,b,d", nowR: "b,a,c", outcome: reconcile.Write, toL: "a,b,c,d", toR: "a,b,c,d"},
		{name: "union with a clear", reason: "null is the empty set: all were removed, one was added", policy: kind(reconcile.Union), baseL: "a,b", nowL: "null", nowR: "a,b,c", outcome: reconcile.Write, toL: "c", toR: "c"},
		{name: "union of nothing", reason: "each removed the other's rest", policy: kind(reconcile.Union), baseL: "a,b", nowL: "a", nowR: "b", outcome: reconcile.Write, toL: "null", toR: "null"},
		{name: "union that one side has", reason: "only the other is written", policy: kind(reconcile.Union), baseL: "[a]", nowL: "[a b]", nowR: "[a b c]", outcome: reconcile.Write, toL: "[a b c]"},
		{name: "union of numbers", reason: "they are no sets", policy: kind(reconcile.Union), baseL: "1", nowL: "2", nowR: "3", outcome: reconcile.Conflict, why: "only lists"},

		{name: "resolve gives a side's value", reason: "that side wins", policy: reconcile.Policy{Kind: reconcile.Resolve, Resolve: constant(val("n"))}, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Write, toL: "n"},
		{name: "resolve names a side", reason: "that side wins", policy: reconcile.Policy{Kind: reconcile.Resolve, Resolve: constant(val("ticket"))}, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Write, toR: "q"},
		{name: "resolve gives something new", reason: "both get it", policy: reconcile.Policy{Kind: reconcile.Resolve, Resolve: constant(val("mid"))}, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Write, toL: "mid", toR: "mid"},
		{name: "resolve fails", reason: "held with its message", policy: reconcile.Policy{Kind: reconcile.Resolve, Resolve: breaks(errors.New("too deep"))}, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Hold, why: "too deep"},
		{name: "resolve gives the unknown", reason: "it is never written", policy: reconcile.Policy{Kind: reconcile.Resolve, Resolve: constant(val("?"))}, baseL: "p", nowL: "q", nowR: "n", outcome: reconcile.Conflict, why: "nothing that fits"},
	}
	lines := strings.NewReplacer("_", "\n")
	values := func(s string) []record.Value {
		vs := vals(s)
		if strings.HasPrefix(s, "[") {
			vs = []record.Value{val(s)}
		}
		for i, v := range vs {
			if v.Kind() == record.Text {
				vs[i] = record.OfText(lines.Replace(v.Text()))
			}
		}
		return vs
	}
	text := func(vs []record.Value) string {
		if len(vs) == 1 && vs[0].Kind() == record.List {
			return "[" + show(vs[0].Items()) + "]"
		}
		return strings.ReplaceAll(show(vs), "\n", "_")
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rule := twoWay("f", 0, 0)
			rule.Policy = tt.policy
			if tt.baseR == "" {
				tt.baseR = tt.baseL
			}
			in := linked("", "", "", "")
			in.Link.Base = [2][]record.Value{values(tt.baseL), values(tt.baseR)}
			in.Record[L].Values, in.Record[R].Values = values(tt.nowL), values(tt.nowR)
			if tt.measured {
				in = clocks(in, tt.modifiedL, tt.modifiedR)
				in.Clock[R].Offset = tt.offsetR
			}
			if tt.since != 0 {
				in.Since = map[string]time.Time{"f": now.Add(-tt.since)}
			}
			r := newRules(rule)
			d := reconcile.Decide(r, in)
			v := d.Verdicts[0]
			if v.Row != 6 || v.Outcome != tt.outcome || text(v.To[L]) != tt.toL || text(v.To[R]) != tt.toR {
				t.Fatalf("row %d %v to (%s | %s): %s\nwant row 6 %v to (%s | %s), because %s",
					v.Row, v.Outcome, text(v.To[L]), text(v.To[R]), v.Why, tt.outcome, tt.toL, tt.toR, tt.reason)
			}
			if !strings.Contains(v.Why, tt.why) {
				t.Errorf("why is %q, want it to contain %q", v.Why, tt.why)
			}
			if v.Policy == "" {
				t.Error("the verdict does not say by which policy")
			}
			in = next(r, in, d, apply(r, in, d))
			if again := reconcile.Decide(r, in); tt.outcome == reconcile.Write && !again.Quiet() {
				t.Errorf("the run after is not quiet: %+v", again.Verdicts)
			}
		})
	}
}

func TestARingOfFallbacksEnds(t *testing.T) {
	rule := twoWay("f", 0, 0)
	ring := &reconcile.Policy{Kind: reconcile.Newest}
	ring.Fallback = ring
	rule.Policy = *ring
	d := reconcile.Decide(newRules(rule), linked("p", "q", "p", "n"))
	if d.Verdicts[0].Outcome != reconcile.Conflict {
		t.Errorf("%v, want a conflict", d.Verdicts[0].Outcome)
	}
}

func TestMergeKeepsWhatTheOtherSideCouldNotStore(t *testing.T) {
	// The right side stores two lines only; the third was never an edit of its people.
	rule := twoWay("f", 0, 0)
	rule.Policy.Kind = reconcile.Merge
	line := func(s string) []record.Value { return []record.Value{record.OfText(strings.ReplaceAll(s, "_", "\n"))} }
	in := linked("", "", "", "")
	in.Link.Base = [2][]record.Value{line("1_2_3_4_5"), line("1_2_3")}
	in.Link.Sent = [2][]record.Value{nil, line("1_2_3_4_5")}
	in.Record[L].Values, in.Record[R].Values = line("1_2_3_4_five"), line("one_2_3")
	d := reconcile.Decide(newRules(rule), in)
	if got := d.Verdicts[0].To[L]; len(got) != 1 || got[0] != line("one_2_3_4_five")[0] {
		t.Errorf("left gets %v, want both edits and the lines that the right side dropped; %s", got, d.Verdicts[0].Why)
	}
}

func TestUnionKeepsWhatTheOtherSideCouldNotStore(t *testing.T) {
	rule := twoWay("f", 0, 0)
	rule.Policy.Kind = reconcile.Union
	in := linked("a,b,odd", "a,b,odd,c", "a,b", "b")
	in.Link.Sent = [2][]record.Value{nil, vals("a,b,odd")}
	d := reconcile.Decide(newRules(rule), in)
	if got := show(d.Verdicts[0].To[L]); got != "b,c,odd" {
		t.Errorf("left gets %s, want a removed, c added, odd kept", got)
	}
}

func TestANewValueGoesThroughTheRule(t *testing.T) {
	rule := twoWay("f", 0, 0)
	rule.To = [2]reconcile.Transform{through(R, 0, "1=low 2=mid 3=high"), through(L, 0, "low=1 mid=2 high=3")}
	rule.Policy = reconcile.Policy{Kind: reconcile.Resolve, Resolve: constant(val("mid"))}
	d := reconcile.Decide(newRules(rule), linked("low", "high", "1", "1"))
	if d.Verdicts[0].Row != 3 {
		t.Fatalf("row %d", d.Verdicts[0].Row)
	}
	rule.To[R] = through(L, 0, "low=1 mid=2 high=3 top=4")
	rule.To[L] = through(R, 0, "1=low 2=mid 3=high 4=top")
	d = reconcile.Decide(newRules(rule), linked("low", "high", "1", "4"))
	if v := d.Verdicts[0]; show(v.To[L]) != "mid" || show(v.To[R]) != "2" {
		t.Errorf("to (%s | %s), want (mid | 2)", show(v.To[L]), show(v.To[R]))
	}
}

func TestAMergeOfSeveralPathsTakesEachByItself(t *testing.T) {
	pair := twoWay("pair", 0, 0)
	pair.Paths, pair.Reads = [2][]int{{0, 1, 2}, {0, 1, 2}}, [2][]int{{0, 1, 2}, {0, 1, 2}}
	pair.To = [2]reconcile.Transform{copies(R, 0, 1, 2), copies(L, 0, 1, 2)}
	pair.Policy.Kind = reconcile.Merge
	v := reconcile.Decide(newRules(pair), linked("1 1 p", "2 3 p", "1 1 p", "2 1 q")).Verdicts[0]
	if show(v.To[L]) != "2 3 q" || show(v.To[R]) != "2 3 q" {
		t.Errorf("to (%s | %s), want the equal number, left's number and right's text: %s", show(v.To[L]), show(v.To[R]), v.Why)
	}
}

func TestUnionOfArraysThatAreKeptAsText(t *testing.T) {
	for _, tt := range []struct{ name, base, left, right, want string }{
		{"added by both", `["a"]`, `["a","b"]`, `["c","a"]`, `["a","b","c"]`},
		{"commas and quotes inside", `["a, b"]`, `["a, b","\"c\""]`, `["a, b","d"]`, `["\"c\"", "a, b", "d"]`},
		{"written with blanks", `["a"]`, `["a", "b"]`, `["a", "c"]`, `["a", "b", "c"]`},
		{"removed by one", `["a", "b"]`, `["a"]`, `["a", "b", "c"]`, `["a", "c"]`},
		{"all removed", `["a","b"]`, `["a"]`, `["b"]`, `[]`},
		{"numbers", `[1]`, `[1,2]`, `[3,1]`, `[1,2,3]`},
		{"null is the empty set", `["a"]`, "", `["a","b"]`, `["b"]`},
		{"an array and a text with commas", `["a"]`, `["a","b"]`, `a,c`, ""},
		{"brackets that are no array", `[a],[b]`, `[a],[b],[d]`, `[a],[b],[c]`, `[a],[b],[c],[d]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rule := twoWay("f", 0, 0)
			rule.Policy = reconcile.Policy{Kind: reconcile.Union}
			value := func(s string) []record.Value {
				if s == "" {
					return []record.Value{record.NullValue}
				}
				return []record.Value{record.OfText(s)}
			}
			in := linked("", "", "", "")
			in.Link.Base = [2][]record.Value{value(tt.base), value(tt.base)}
			in.Record[L].Values, in.Record[R].Values = value(tt.left), value(tt.right)
			v := reconcile.Decide(newRules(rule), in).Verdicts[0]
			got := ""
			for _, to := range v.To {
				if to != nil {
					got = to[0].Text()
				}
			}
			if got != tt.want || (tt.want == "") != (v.Outcome == reconcile.Conflict) {
				t.Errorf("%v %s (%s), want %s", v.Outcome, got, v.Why, tt.want)
			}
		})
	}
}
