package reconcile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// TestLife walks the table of a link's life. Every case also runs with its sides swapped.
func TestLife(t *testing.T) {
	const (
		present = reconcile.Present
		missing = reconcile.Missing
		gone    = reconcile.Gone
		outside = reconcile.OutOfScope
		unsure  = reconcile.Unsure
	)
	set := map[int]record.Value{1: val("8")}
	tests := []struct {
		name, reason string
		left, right  reconcile.Presence
		status       record.Status
		unlinked     bool
		born         bool // the left record was created by a run and never seen in scope
		create       bool // left records may be created
		then         reconcile.GoneThen
		base, now    string // of the right side
		want         reconcile.Life
		on           record.Side
		sets         string // values of Sets on the right side
		why          string
	}{
		{name: "both there", reason: "the fields decide", want: reconcile.Stay},
		{name: "both there, detached before", reason: "back: the old link lives again", status: record.Detached, want: reconcile.Stay},
		{name: "both gone", reason: "nothing is left to keep in step", left: gone, right: gone, want: reconcile.End},
		{name: "both gone, detached", reason: "a detached link ends too", left: gone, right: gone, status: record.Detached, want: reconcile.End},
		{name: "scope cannot be told", reason: "unknown takes part in no decision", left: unsure, want: reconcile.HoldLink, why: "where"},
		{name: "scope cannot be told, twin gone", reason: "nothing is decided before it is known", left: unsure, right: gone, then: reconcile.GoneDelete, want: reconcile.HoldLink},
		{name: "new and scope cannot be told", reason: "not created either", left: missing, right: unsure, unlinked: true, create: true, want: reconcile.HoldLink},
		{name: "out of scope", reason: "an edit of a filter never deletes", left: outside, want: reconcile.Detach},
		{name: "out of scope and gone", reason: "out of scope comes before any on_gone", left: outside, right: gone, want: reconcile.Detach},
		{name: "created out of scope", reason: "a create must not look done and come to nothing", left: outside, born: true, want: reconcile.HoldLink, why: "created here"},
		{name: "created out of scope, and its twin left it", reason: "nothing is left that could be carried", left: outside, right: outside, born: true, want: reconcile.Detach},
		{name: "created out of scope, parted before", reason: "detached it stays", left: outside, born: true, status: record.Detached, want: reconcile.Detach},
		{name: "both out of scope", reason: "as one", left: outside, right: outside, want: reconcile.Detach},
		{name: "new and may be created", reason: "create = true", left: missing, unlinked: true, create: true, want: reconcile.CreateOn, on: L},
		{name: "new and may not be created", reason: "the default is false", left: missing, unlinked: true, want: reconcile.Ignore},
		{name: "new but outside", reason: "never had a twin, needs none", left: missing, right: outside, unlinked: true, create: true, want: reconcile.Ignore},
		{name: "new and gone again", reason: "there is nothing to carry", left: missing, right: gone, unlinked: true, create: true, want: reconcile.Ignore},
		{name: "nothing at all", reason: "must not panic", left: missing, right: missing, unlinked: true, create: true, want: reconcile.Ignore},
		{name: "gone before the create came through", reason: "the link has no record left", left: missing, right: gone, want: reconcile.End},
		{name: "gone, detach", reason: "the default", left: gone, base: "p 2 p", now: "p 2 p", want: reconcile.Detach},
		{name: "gone, update", reason: "the twin gets the on_gone values", left: gone, then: reconcile.GoneUpdate, base: "p 2 p", now: "p 2 p", want: reconcile.UpdateOn, on: R, sets: "8"},
		{name: "gone, update done before", reason: "the values are there: nothing to write", left: gone, then: reconcile.GoneUpdate, base: "p 2 p", now: "p 8 p", want: reconcile.UpdateOn, on: R},
		{name: "gone, update cannot be read", reason: "unknown takes part in no decision", left: gone, then: reconcile.GoneUpdate, base: "p 2 p", now: "p ? p", want: reconcile.HoldLink, why: "cannot be read"},
		{name: "gone, delete", reason: "the policy says so and the twin is unchanged", left: gone, then: reconcile.GoneDelete, base: "p 2 p", now: "p 2 p", want: reconcile.DeleteOn, on: R},
		{name: "gone, recreate", reason: "the policy says so", left: gone, then: reconcile.GoneRecreate, base: "p 2 p", now: "p 2 p", want: reconcile.CreateOn, on: L},
		{name: "gone, twin changed, detach", reason: "gone against changed is held", left: gone, base: "p 2 p", now: "q 2 p", want: reconcile.HoldLink, why: `"p" → "q"`},
		{name: "gone, twin changed, delete", reason: "the change is kept", left: gone, then: reconcile.GoneDelete, base: "p 2 p", now: "q 2 p", want: reconcile.HoldLink, why: "changed"},
		{name: "gone, twin changed, update", reason: "the change is kept", left: gone, then: reconcile.GoneUpdate, base: "p 2 p", now: "q 2 p", want: reconcile.HoldLink},
		{name: "gone, twin changed, recreate", reason: "the change is kept", left: gone, then: reconcile.GoneRecreate, base: "p 2 p", now: "q 2 p", want: reconcile.HoldLink},
		{name: "gone, a path no rule reads changed", reason: "only what rules carry counts as a change", left: gone, then: reconcile.GoneDelete, base: "p 2 p", now: "p 2 q", want: reconcile.DeleteOn, on: R},
		{name: "gone, twin unknown, delete", reason: "a change could hide behind it", left: gone, then: reconcile.GoneDelete, base: "p 2 p", now: "? 2 p", want: reconcile.HoldLink},
		{name: "gone, value never agreed, delete", reason: "it exists nowhere else", left: gone, then: reconcile.GoneDelete, base: "- 2 p", now: "q 2 p", want: reconcile.HoldLink, why: "never agreed"},
		{name: "gone, empty path never agreed, delete", reason: "nothing would be lost", left: gone, then: reconcile.GoneDelete, base: "- 2 p", now: "null 2 p", want: reconcile.DeleteOn, on: R},
		{name: "gone, value never agreed, detach", reason: "nothing is written, so nothing can be lost", left: gone, base: "- 2 p", now: "q 2 p", want: reconcile.Detach},
		{name: "gone while detached", reason: "nothing is written to a detached link's records", left: gone, status: record.Detached, then: reconcile.GoneDelete, base: "p 2 p", now: "q 2 p", want: reconcile.Detach},
	}
	for _, tt := range tests {
		for _, flip := range []bool{false, true} {
			name := tt.name
			if flip {
				name += ", swapped"
			}
			t.Run(name, func(t *testing.T) {
				r := newRules(twoWay("one", 0, 0), twoWay("two", 1, 1))
				r.Sides[L].Create = tt.create
				r.Sides[L].Gone = reconcile.OnGone{Then: tt.then, Set: set, At: "sync.hcl:30"}
				base, cur := tt.base, tt.now
				if base == "" {
					base, cur = "p 2 p", "p 2 p"
				}
				in := linked(base, base, base, cur)
				in.Presence = [2]reconcile.Presence{tt.left, tt.right}
				in.Link.Status, in.Born[L] = tt.status, tt.born
				if tt.unlinked {
					in.Link = record.Link{}
				}
				on := tt.on
				if flip {
					r, in = swapRules(r), swapInput(in)
					on = on.Other()
				}
				d := reconcile.Decide(r, in)
				if d.Life != tt.want {
					t.Fatalf("%v (%s), want %v, because %s", d.Life, d.Why, tt.want, tt.reason)
				}
				if (d.Life == reconcile.CreateOn || d.Life == reconcile.UpdateOn || d.Life == reconcile.DeleteOn) && d.Side != on {
					t.Errorf("on side %v, want %v", d.Side, on)
				}
				if d.Life == reconcile.Stay || d.Life == reconcile.CreateOn {
					return
				}
				got := ""
				for _, set := range d.Sets[on] {
					got += set.To.Plain()
					if set.Rule != -1 || set.Slot != 1 || set.At != "sync.hcl:30" {
						t.Errorf("set is %+v", set)
					}
				}
				if got != tt.sets || len(d.Sets[on.Other()]) > 0 {
					t.Errorf("writes %v, want %q", d.Sets, tt.sets)
				}
				if d.Why == "" || !strings.Contains(d.Why, tt.why) {
					t.Errorf("why is %q, want it to contain %q", d.Why, tt.why)
				}
			})
		}
	}
}

func TestCreate(t *testing.T) {
	title, number := twoWay("title", 0, 0), rightToLeft("number", 1, 1)
	urgency := leftToRight("urgency", 2, 2)
	rules := func(more ...reconcile.Rule) *reconcile.Rules {
		r := newRules(append([]reconcile.Rule{title, number, urgency}, more...)...)
		r.Sides[R].Create = true
		r.Sides[R].Paths = append(r.Sides[R].Paths, "zz")
		r.Sides[L].Paths = append(r.Sides[L].Paths, "id")
		r.Sides[R].Types = []record.Type{{}, {}, {}, {Kind: record.Text}}
		r.Match = []reconcile.Match{{At: "sync.hcl:3", Slots: [2]int{3, 3}, Marker: [2]bool{false, true}}}
		return r
	}
	input := func(values string) reconcile.Input {
		in := reconcile.Input{Presence: [2]reconcile.Presence{reconcile.Present, reconcile.Missing}, Time: now}
		in.Record[L] = record.Record{Key: "T-1", Values: vals(values)}
		return in
	}
	wrote := func(d reconcile.Decision) string {
		var out []string
		for _, s := range d.Sets[R] {
			out = append(out, rules().Sides[R].Paths[s.Slot]+"="+s.To.Plain())
		}
		return strings.Join(out, " ")
	}

	scoped := func(where reconcile.Condition, needs ...reconcile.Need) *reconcile.Rules {
		r := rules()
		r.Sides[R].Needs, r.Sides[R].Where, r.Sides[R].Scope, r.Sides[R].WhereAt = needs, where, []int{0, 2}, "sync.hcl:9"
		return r
	}
	need := func(slot int, v string) reconcile.Need {
		return reconcile.Need{Slot: slot, To: val(v), By: "query", At: "sync.hcl:8"}
	}
	t.Run("carries what its scope asks for and no rule gives", func(t *testing.T) {
		r := scoped(nil, need(1, "net"))
		in := input("down null 3 42")
		d := reconcile.Decide(r, in)
		if d.Life != reconcile.CreateOn || wrote(d) != "x=down y=net z=3 zz=42" {
			t.Fatalf("%v (%s): %s", d.Life, d.Why, wrote(d))
		}
		if ch := reconcile.Changes(r, in, d, R)[1]; ch.Field != "query" || ch.At != "sync.hcl:8" || !strings.Contains(ch.Why, "out of scope") {
			t.Errorf("shown as %+v", ch)
		}
	})
	t.Run("carries what its scope asks for where its rule has nothing to send", func(t *testing.T) {
		if d := reconcile.Decide(scoped(nil, need(2, "3")), input("down null null 42")); d.Life != reconcile.CreateOn || wrote(d) != "x=down z=3 zz=42" {
			t.Errorf("%v (%s): %s", d.Life, d.Why, wrote(d))
		}
	})
	t.Run("leaves to a rule what it gives", func(t *testing.T) {
		if d := reconcile.Decide(scoped(nil, need(0, "Down")), input("down null 3 42")); d.Life != reconcile.CreateOn || wrote(d) != "x=down z=3 zz=42" {
			t.Errorf("%v (%s): %s", d.Life, d.Why, wrote(d))
		}
	})
	t.Run("is not made where a rule writes something else than its scope asks for", func(t *testing.T) {
		d := reconcile.Decide(scoped(nil, need(2, "4")), input("down null 3 42"))
		if d.Life != reconcile.HoldLink || d.At != "sync.hcl:8" || len(d.Sets[R]) > 0 || !strings.Contains(d.Why, "query asks for incident.z 4, and field urgency") || d.Hint == "" {
			t.Errorf("%v at %s: %s; %v", d.Life, d.At, d.Why, d.Sets)
		}
	})
	low := func(env reconcile.Env) (bool, error) { return env.Values[R][2] == val("1"), nil }
	t.Run("is not made where its own values put it out of scope", func(t *testing.T) {
		d := reconcile.Decide(scoped(low), input("down null 3 42"))
		if d.Life != reconcile.HoldLink || d.At != "sync.hcl:9" || !strings.Contains(d.Why, `where is false with incident.x "down", incident.z 3`) {
			t.Errorf("%v at %s: %s", d.Life, d.At, d.Why)
		}
	})
	t.Run("is made where its scope turns on what the system sets", func(t *testing.T) {
		if d := reconcile.Decide(scoped(low), input("down null null 42")); d.Life != reconcile.CreateOn {
			t.Errorf("%v: %s", d.Life, d.Why)
		}
	})
	t.Run("keeps sensitive values out of why it is not made", func(t *testing.T) {
		r := scoped(low, need(0, "up"))
		for i := range r.Fields {
			r.Fields[i].Sensitive = true
		}
		if d := reconcile.Decide(r, input("down null 3 42")); d.Life != reconcile.HoldLink || strings.Contains(d.Why, "down") {
			t.Errorf("%v: %s", d.Life, d.Why)
		}
		r.Sides[R].Needs = nil
		if d := reconcile.Decide(r, input("down null 3 42")); d.Life != reconcile.HoldLink || strings.Contains(d.Why, "down") || strings.Contains(d.Why, "3") {
			t.Errorf("%v: %s", d.Life, d.Why)
		}
	})
	t.Run("carries every rule that flows there, and the marker", func(t *testing.T) {
		d := reconcile.Decide(rules(), input("down null 3 42"))
		if d.Life != reconcile.CreateOn || d.Side != R || wrote(d) != "x=down z=3 zz=42" {
			t.Errorf("%v on %v: %s", d.Life, d.Side, wrote(d))
		}
		if marker := d.Sets[R][2]; marker.To != record.OfText("42") || marker.Rule != -1 || marker.At != "sync.hcl:3" {
			t.Errorf("marker is %+v, want the text 42 as the path's type says", marker)
		}
		if len(d.Sets[L]) > 0 {
			t.Errorf("a create writes to the record it is made from: %v", d.Sets[L])
		}
		if v := d.Verdicts[1]; v.Outcome != reconcile.Skip {
			t.Errorf("the rule that flows back is %v", v.Outcome)
		}
	})
	t.Run("nulls are left to the system's defaults", func(t *testing.T) {
		d := reconcile.Decide(rules(), input("down null null 42"))
		if wrote(d) != "x=down zz=42" || d.Verdicts[2].Outcome != reconcile.Keep {
			t.Errorf("%s, %v", wrote(d), d.Verdicts[2].Outcome)
		}
	})
	t.Run("nulls among several paths too", func(t *testing.T) {
		pair := leftToRight("pair", 0, 0)
		pair.Paths, pair.Reads, pair.To[R] = [2][]int{{0, 1}, {0, 1}}, [2][]int{{0, 1}, {0, 1}}, copies(L, 0, 1)
		r := rules()
		r.Fields = []reconcile.Rule{pair}
		if d := reconcile.Decide(r, input("down null 3 42")); wrote(d) != "x=down zz=42" {
			t.Error(wrote(d))
		}
	})
	t.Run("what cannot be read or converted is held, the rest flows", func(t *testing.T) {
		bad := leftToRight("bad", 1, 1)
		bad.To[R] = breaks(errors.New("no row"))
		d := reconcile.Decide(rules(bad), input("? p 3 42"))
		if wrote(d) != "z=3 zz=42" || d.Verdicts[0].Row != 1 || d.Verdicts[0].Outcome != reconcile.Hold || d.Verdicts[3].Outcome != reconcile.Hold {
			t.Errorf("%s, %+v", wrote(d), d.Verdicts)
		}
	})
	t.Run("on_create and if_empty write on a create", func(t *testing.T) {
		once, fill := leftToRight("once", 0, 0), leftToRight("fill", 2, 2)
		once.Strength, fill.Strength = reconcile.OnCreate, reconcile.IfEmpty
		r := rules()
		r.Fields = []reconcile.Rule{once, fill}
		if d := reconcile.Decide(r, input("down null 3 42")); wrote(d) != "x=down z=3 zz=42" {
			t.Error(wrote(d))
		}
	})
	t.Run("when is asked", func(t *testing.T) {
		off := leftToRight("off", 1, 1)
		off.When = func(reconcile.Env) (bool, error) { return false, nil }
		if d := reconcile.Decide(rules(off), input("down p 3 42")); wrote(d) != "x=down z=3 zz=42" || d.Verdicts[3].Outcome != reconcile.Skip {
			t.Error(wrote(d))
		}
	})
	for _, blank := range []string{"null", `""`, "?", "-"} {
		t.Run("no marker, no create: "+blank, func(t *testing.T) {
			d := reconcile.Decide(rules(), input("down null 3 "+blank))
			if d.Life != reconcile.HoldLink || !strings.Contains(d.Why, "ticket.id has no value for the marker incident.zz") || len(d.Sets[R]) > 0 {
				t.Errorf("%v: %s", d.Life, d.Why)
			}
		})
	}
	t.Run("a rule cannot overwrite the marker", func(t *testing.T) {
		thief := leftToRight("thief", 0, 3)
		d := reconcile.Decide(rules(thief), input("down null 3 42"))
		if wrote(d) != "x=down z=3 zz=42" || d.Verdicts[3].Outcome != reconcile.Hold {
			t.Errorf("%s, %v", wrote(d), d.Verdicts[3].Outcome)
		}
	})
	t.Run("a rule that says the same as the marker adds nothing", func(t *testing.T) {
		same := leftToRight("same", 3, 3)
		if d := reconcile.Decide(rules(same), input("down null 3 id7")); wrote(d) != "x=down z=3 zz=id7" {
			t.Error(wrote(d))
		}
	})
	t.Run("the link of a created record agrees, and the next run brings what flows back", func(t *testing.T) {
		r, in := rules(), input("down null null 42")
		d := reconcile.Decide(r, in)
		in = next(r, in, d, [2][]record.Value{nil, vals("down INC7 3 42")})
		in.Record[R].Key = "I-1"
		if in.Link.Status != record.Live {
			t.Fatalf("link is %v", in.Link.Status)
		}
		d = reconcile.Decide(r, in)
		if len(d.Sets[L]) != 1 || d.Sets[L][0].To != val("INC7") || len(d.Sets[R]) > 0 {
			t.Fatalf("second run writes %v, want the number alone: the default 3 stands for the null that was not sent", d.Sets)
		}
		in = next(r, in, d, apply(r, in, d))
		if d = reconcile.Decide(r, in); !d.Quiet() {
			t.Errorf("third run is not quiet: %+v", d)
		}
	})
	t.Run("recreate forgets what the old record showed", func(t *testing.T) {
		r := newRules(twoWay("one", 0, 0))
		r.Sides[L].Gone.Then = reconcile.GoneRecreate
		in := linked("old null null", "null", "p null null", "p null null")
		in.Link.Sent[L] = vals("p - -")
		in.Presence[L], in.Record[L] = reconcile.Gone, record.Record{}
		d := reconcile.Decide(r, in)
		if d.Life != reconcile.CreateOn || len(d.Sets[L]) != 1 || d.Sets[L][0].To != val("p") {
			t.Fatalf("%v %v", d.Life, d.Sets)
		}
		in = next(r, in, d, apply(r, in, d))
		if got := show(in.Link.Base[L]); got != "p null null" || in.Link.Sent[L] != nil {
			t.Errorf("base is %q, sent %v", got, in.Link.Sent[L])
		}
	})
	t.Run("a held field of a recreated record has no base that its old record left", func(t *testing.T) {
		bad := twoWay("one", 0, 0)
		bad.To[L] = breaks(errors.New("no row"))
		r := newRules(bad)
		r.Sides[L].Gone.Then = reconcile.GoneRecreate
		in := linked("old p p", "", "p p p", "p p p")
		in.Presence[L], in.Record[L] = reconcile.Gone, record.Record{}
		d := reconcile.Decide(r, in)
		in = next(r, in, d, apply(r, in, d))
		if l, r := show(in.Link.Base[L]), show(in.Link.Base[R]); l != "null null null" || r != "null p p" {
			t.Errorf("base is %q and %q, want the twin's p as not carried yet", l, r)
		}
		if d = reconcile.Decide(r, in); d.Verdicts[0].Outcome != reconcile.Hold {
			t.Errorf("the new record's null passes for a clear: %+v", d.Verdicts[0])
		}
	})
}
