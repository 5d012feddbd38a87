package verify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/verify"
)

const L, R = record.Left, record.Right

// val reads a value as the tests write it: "~" is null, digits are a number.
func val(s string) record.Value {
	if s == "~" {
		return record.NullValue
	}
	return record.OfText(s)
}

// copying carries slots over as they are.
func copying(from record.Side, slots ...int) reconcile.Transform {
	return func(env reconcile.Env) ([]record.Value, error) {
		out := make([]record.Value, len(slots))
		for i, slot := range slots {
			out[i] = env.Values[from][slot]
		}
		return out, nil
	}
}

// rows translates one slot by a table.
func rows(from record.Side, slot int, table map[string]string) reconcile.Transform {
	return func(env reconcile.Env) ([]record.Value, error) {
		v := env.Values[from][slot]
		if v.Empty() {
			return []record.Value{v}, nil
		}
		to, ok := table[v.Text()]
		if !ok {
			return nil, fmt.Errorf("no row for %s", v)
		}
		return []record.Value{val(to)}, nil
	}
}

// rule is a two-way rule between the slots of one number; to[s] nil leaves that way out.
func rule(name string, slots []int, toLeft, toRight reconcile.Transform) reconcile.Rule {
	return reconcile.Rule{Name: name, At: "main.hcl:" + fmt.Sprint(10+slots[0]), Paths: [2][]int{slots, slots}, Reads: [2][]int{slots, slots},
		To: [2]reconcile.Transform{toLeft, toRight}}
}

// subject is a sync of records with the paths p0, p1, …, whose last one, id, pairs them.
func subject(width int, rules ...reconcile.Rule) *verify.Subject {
	sub := &verify.Subject{Rules: &reconcile.Rules{Sync: "s", Fields: rules, Match: []reconcile.Match{{At: "main.hcl:5", Slots: [2]int{width, width}, Marker: [2]bool{true, true}}}},
		Ends: [2]string{"c/left", "c/right"}, Traits: make([]verify.Trait, len(rules))}
	for _, s := range record.Sides {
		side := &sub.Rules.Sides[s]
		side.Name = []string{"ticket", "case"}[s]
		for i := range width {
			side.Paths = append(side.Paths, fmt.Sprintf("p%d", i))
		}
		side.Paths = append(side.Paths, "id")
		side.Types = make([]record.Type, width+1)
		sub.Forms[s] = make([]verify.Form, width+1)
	}
	return sub
}

func words(grade verify.Grade, vs ...string) (out []verify.Word) {
	for _, v := range vs {
		out = append(out, verify.Word{Value: val(v), Grade: grade, From: "a row"})
	}
	return out
}

func live(sub *verify.Subject) *verify.Report {
	return verify.Alone(sub, verify.Options{Seed: 1, Histories: 400})
}

// kindsOf lists what was found, with the fields.
func kindsOf(fs []verify.Finding) []string {
	out := []string{}
	for _, f := range fs {
		s := string(f.Kind)
		for _, c := range f.Culprits {
			s += " " + c.Field
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func TestFindings(t *testing.T) {
	two := map[string]string{"1": "a", "2": "b"}
	back := map[string]string{"a": "1", "b": "2"}
	described := func(f verify.Form) verify.Form { f.Described = true; return f }
	tests := []struct {
		name string
		sub  func() *verify.Subject
		want []string
		text string // in what is said of the first finding
		note []string
	}{
		{"a copy keeps every promise", func() *verify.Subject {
			sub := subject(1, rule("title", []int{0}, copying(R, 0), copying(L, 0)))
			sub.Traits[0].Copy = true
			return sub
		}, nil, "", nil},
		{"a one-to-one table keeps every promise", func() *verify.Subject {
			sub := subject(1, rule("state", []int{0}, rows(R, 0, back), rows(L, 0, two)))
			sub.Traits[0].Via = [2]string{"t", "t"}
			sub.Forms[L][0] = verify.Form{Listed: true, Words: words(verify.Certain, "1", "2")}
			sub.Forms[R][0] = verify.Form{Listed: true, Words: words(verify.Certain, "a", "b")}
			return sub
		}, nil, "", nil},
		{"a value that a system names has no row", func() *verify.Subject {
			sub := subject(1, rule("state", []int{0}, rows(R, 0, back), rows(L, 0, two)))
			sub.Traits[0].Via = [2]string{"t", "t"}
			sub.Forms[L][0] = verify.Form{Listed: true, Words: words(verify.Certain, "1", "2")}
			sub.Forms[R][0] = verify.Form{Listed: true, Words: words(verify.Certain, "a", "b", "c")}
			return sub
		}, []string{"untranslated state"}, "case.p0 can hold what has no row", nil},
		{"a value that is merely made up has no row", func() *verify.Subject {
			sub := subject(1, rule("state", []int{0}, rows(R, 0, back), rows(L, 0, two)))
			sub.Traits[0].Via = [2]string{"t", "t"}
			sub.Forms[L][0] = verify.Form{Listed: true, Words: words(verify.Certain, "1", "2")}
			sub.Forms[R][0] = verify.Form{Listed: true, Words: append(words(verify.Certain, "a", "b"), words(verify.Likely, "c")...)}
			return sub
		}, nil, "", []string{"untranslated state"}},
		{"two that go over as one and come back as the wrong one", func() *verify.Subject {
			sub := subject(1, rule("state", []int{0}, rows(R, 0, map[string]string{"a": "2", "b": "1"}), rows(L, 0, two)))
			sub.Forms[L][0] = verify.Form{Listed: true, Words: words(verify.Certain, "1", "2")}
			sub.Forms[R][0] = verify.Form{Listed: true, Words: words(verify.Certain, "a", "b")}
			return sub
		}, []string{"lossy state"}, "→", nil},
		{"what comes back coarser means the same and is no finding", func() *verify.Subject {
			sub := subject(1, rule("state", []int{0}, rows(R, 0, map[string]string{"a": "1", "b": "1"}), rows(L, 0, map[string]string{"1": "a"})))
			sub.Forms[L][0] = verify.Form{Listed: true, Words: words(verify.Certain, "1")}
			sub.Forms[R][0] = verify.Form{Listed: true, Words: words(verify.Certain, "a", "b")}
			return sub
		}, nil, "", nil},
		{"what is said to be lossy is", func() *verify.Subject {
			sub := subject(1, rule("state", []int{0}, rows(R, 0, map[string]string{"a": "2", "b": "1"}), rows(L, 0, two)))
			sub.Traits[0].Lossy = true
			sub.Forms[L][0] = verify.Form{Listed: true, Words: words(verify.Certain, "1", "2")}
			sub.Forms[R][0] = verify.Form{Listed: true, Words: words(verify.Certain, "a", "b")}
			return sub
		}, nil, "", nil},
		{"two one-way rules that count each other up", func() *verify.Subject {
			more := func(env reconcile.Env) ([]record.Value, error) {
				return []record.Value{record.OfInt(env.Values[L][0].Int() + 1)}, nil
			}
			sub := subject(1, rule("up", []int{0}, nil, more), rule("down", []int{0}, copying(R, 0), nil))
			for _, s := range record.Sides {
				sub.Forms[s][0].Words = []verify.Word{{Value: record.OfInt(1), Grade: verify.Certain}}
			}
			return sub
		}, []string{"ping-pong up down"}, "each run writes again", nil},
		{"an edit that comes back in capitals", func() *verify.Subject {
			upper := func(env reconcile.Env) ([]record.Value, error) {
				return []record.Value{val(strings.ToUpper(env.Values[R][0].Text()))}, nil
			}
			out := rule("out", []int{0}, nil, copying(L, 0))
			in := rule("in", []int{0}, upper, nil)
			in.Drift, out.Drift = reconcile.KeepDrift, reconcile.KeepDrift
			sub := subject(1, out, in)
			for _, s := range record.Sides {
				sub.Forms[s][0] = verify.Form{Listed: true, Required: true, Words: words(verify.Certain, "ANN", "bob")}
			}
			return sub
		}, []string{"ping-pong out in", "rewritten out in"}, "", nil},
		{"an order that misses a value of its table", func() *verify.Subject {
			r := rule("state", []int{0}, rows(R, 0, map[string]string{"a": "1", "b": "2", "c": "3"}), rows(L, 0, map[string]string{"1": "a", "2": "b", "3": "c"}))
			r.Policy = reconcile.Policy{Kind: reconcile.Highest, Rank: func(_ record.Side, vs []record.Value) (int, bool) {
				n := strings.Index("1a-3c", vs[0].Text())
				return n, n >= 0
			}}
			sub := subject(1, r)
			sub.Forms[L][0] = verify.Form{Listed: true, Words: words(verify.Certain, "1", "2", "3")}
			sub.Forms[R][0] = verify.Form{Listed: true, Words: words(verify.Certain, "a", "b", "c")}
			return sub
		}, []string{"unranked state", "unranked state"}, "has no place", nil},
		{"an expression that fails on a value that is known", func() *verify.Subject {
			sub := subject(1, rule("level", []int{0}, nil, rows(L, 0, map[string]string{"1": "a"})))
			sub.Forms[L][0] = verify.Form{Listed: true, Words: words(verify.Certain, "1", "9")}
			return sub
		}, []string{"undecided level"}, "level cannot be decided", nil},
		{"a scope that cannot be told of a null that is known", func() *verify.Subject {
			sub := subject(1, rule("title", []int{0}, copying(R, 0), copying(L, 0)))
			sub.Traits[0].Copy = true
			sub.Forms[L][0] = described(verify.Form{Listed: true, Words: words(verify.Certain, "1", "2", "~")})
			sub.Scope[L] = []int{0}
			sub.Rules.Sides[L].Where = func(env reconcile.Env) (bool, error) {
				if env.Values[L][0].Empty() {
					return false, errors.New("p0 is null")
				}
				return true, nil
			}
			return sub
		}, []string{"undecided "}, "in scope cannot be told", nil},
		{"a value that the other system does not take", func() *verify.Subject {
			sub := subject(1, rule("code", []int{0}, nil, copying(L, 0)))
			sub.Forms[L][0] = described(verify.Form{Listed: true, Words: words(verify.Certain, "x", "y")})
			sub.Forms[R][0] = described(verify.Form{Listed: true, Closed: true, Choices: []record.Value{val("x")}, Words: words(verify.Certain, "x")})
			return sub
		}, []string{"refused code"}, `case.p0 does not take "y"`, nil},
		{"a clear of what the other system requires", func() *verify.Subject {
			sub := subject(1, rule("code", []int{0}, nil, copying(L, 0)))
			sub.Forms[L][0] = described(verify.Form{Words: words(verify.Certain, "x", "y", "~")})
			sub.Forms[R][0] = described(verify.Form{Required: true})
			return sub
		}, []string{"refused code"}, "case.p0 does not take null", nil},
		{"a new record that lacks what is required", func() *verify.Subject {
			sub := subject(1, rule("code", []int{0}, nil, copying(L, 0)))
			sub.Rules.Sides[R].Create = true
			sub.Rules.Fields[0].Strength = reconcile.OnCreate
			sub.Forms[L][0] = described(verify.Form{Words: words(verify.Certain, "x", "~")})
			sub.Forms[R][0] = described(verify.Form{Required: true})
			return sub
		}, []string{"refused code"}, "a new case needs case.p0", nil},
		{"a null that nothing names holds nothing that is known", func() *verify.Subject {
			sub := subject(1, rule("code", []int{0}, nil, copying(L, 0)))
			sub.Forms[L][0] = described(verify.Form{Words: words(verify.Certain, "x", "y")})
			sub.Forms[R][0] = described(verify.Form{Required: true})
			return sub
		}, nil, "", []string{"refused code"}},
		{"a marker that is cut", func() *verify.Subject {
			sub := subject(1, rule("code", []int{0}, nil, copying(L, 0)))
			sub.Rules.Sides[R].Create = true
			sub.Forms[L][1] = described(verify.Form{Key: true, MaxLength: 40, Words: words(verify.Certain, "T-1", "T-100000")})
			sub.Forms[R][1] = described(verify.Form{MaxLength: 4})
			return sub
		}, []string{"refused "}, "as its marker", nil},
		{"text that is cut and comes back cut with another path", func() *verify.Subject {
			sub := subject(2, rule("both", []int{0, 1}, copying(R, 0, 1), copying(L, 0, 1)))
			sub.Traits[0].Copy = true
			sub.Forms[L][0] = described(verify.Form{})
			sub.Forms[R][0] = described(verify.Form{MaxLength: 10})
			return sub
		}, []string{"cut both"}, "comes back cut", nil},
		{"text that is cut alone is worth knowing", func() *verify.Subject {
			sub := subject(1, rule("title", []int{0}, copying(R, 0), copying(L, 0)))
			sub.Traits[0].Copy = true
			sub.Forms[L][0] = described(verify.Form{})
			sub.Forms[R][0] = described(verify.Form{MaxLength: 10})
			return sub
		}, nil, "", []string{"cut title"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := live(tt.sub())
			want := tt.want
			if want == nil {
				want = []string{}
			}
			if d := cmp.Diff(want, kindsOf(r.Findings)); d != "" {
				text, _ := json.MarshalIndent(r.Findings, "", " ")
				t.Fatalf("-want +got\n%s\n%s", d, text)
			}
			if len(want) > 0 && !strings.Contains(r.Findings[0].What, tt.text) {
				t.Errorf("says %q, want %q in it", r.Findings[0].What, tt.text)
			}
			for _, n := range tt.note {
				if !slices.Contains(kindsOf(r.Notes), n) {
					t.Errorf("notes are %v, want %s", kindsOf(r.Notes), n)
				}
			}
			if r.Histories < 100 && len(want) == 0 {
				t.Errorf("only %d histories were lived", r.Histories)
			}
		})
	}
}

func TestTheSameSeedGivesTheSameReport(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		report := func() string {
			sub := subject(2, rule("prio", []int{0}, rows(R, 0, map[string]string{"a": "2", "b": "1"}), rows(L, 0, map[string]string{"1": "a", "2": "b"})),
				rule("title", []int{1}, copying(R, 1), copying(L, 1)))
			sub.Forms[L][0] = verify.Form{Listed: true, Words: words(verify.Certain, "1", "2", "3")}
			sub.Forms[R][0] = verify.Form{Listed: true, Words: words(verify.Certain, "a", "b")}
			text, err := json.Marshal(verify.Alone(sub, verify.Options{Seed: seed, Histories: 20}))
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		if d := cmp.Diff(report(), report()); d != "" {
			t.Fatal(d)
		}
	})
}

// Whatever the table, its finding is as it must be: none for a bijection, one for a table that sends something back to
// what goes over as something else.
func TestTablesAreLossyExactlyWhenTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		left, right := []string{"1", "2", "3"}, []string{"a", "b", "c"}
		over, back := map[string]string{}, map[string]string{}
		for _, l := range left {
			over[l] = rapid.SampledFrom(right).Draw(t, "over "+l)
		}
		for _, r := range right {
			back[r] = rapid.SampledFrom(left).Draw(t, "back "+r)
		}
		lossy := slices.ContainsFunc(left, func(l string) bool { return over[back[over[l]]] != over[l] }) ||
			slices.ContainsFunc(right, func(r string) bool { return back[over[back[r]]] != back[r] })
		sub := subject(1, rule("f", []int{0}, rows(R, 0, back), rows(L, 0, over)))
		sub.Forms[L][0] = verify.Form{Listed: true, Words: words(verify.Certain, left...)}
		sub.Forms[R][0] = verify.Form{Listed: true, Words: words(verify.Certain, right...)}
		found := kindsOf(verify.Alone(sub, verify.Options{Seed: 1, Histories: 60}).Findings) // every value is tried before the random ones
		if lossy && len(found) == 0 || !lossy && len(found) > 0 {
			t.Fatalf("over %v, back %v: lossy is %t, found %v", over, back, lossy, found)
		}
	})
}

func TestTheStoryOfAFindingIsTheShortest(t *testing.T) {
	others := []reconcile.Rule{rule("state", []int{0}, rows(R, 0, map[string]string{"a": "1"}), rows(L, 0, map[string]string{"1": "a"}))}
	for i := 1; i < 5; i++ {
		others = append(others, rule(fmt.Sprintf("copy%d", i), []int{i}, copying(R, i), copying(L, i)))
	}
	sub := subject(5, others...)
	sub.Traits[0].Via = [2]string{"t", "t"}
	for i := 1; i < 5; i++ {
		sub.Traits[i].Copy = true
	}
	sub.Forms[L][0] = verify.Form{Listed: true, Words: words(verify.Certain, "1")}
	sub.Forms[R][0] = verify.Form{Listed: true, Words: words(verify.Certain, "a", "x")}
	r := live(sub)
	if len(r.Findings) != 1 {
		t.Fatalf("%d findings: %v", len(r.Findings), kindsOf(r.Findings))
	}
	f := r.Findings[0]
	want := &verify.Case{Base: [2]record.Fields{{"p0": val("1")}, {"p0": val("a")}}, Now: [2]record.Fields{nil, {"p0": val("x")}}}
	if d := cmp.Diff(want, f.Case, cmp.Comparer(func(a, b record.Value) bool { return a == b })); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if n := len(f.Story.Rounds); n != 1 || len(f.Story.Rounds[0].Edits) != 1 || len(f.Story.Rounds[0].Runs) != 1 {
		t.Errorf("the story is %+v", f.Story)
	}
	if broken := verify.Play(sub, *f.Case); len(broken) != 1 || broken[0] != f.What {
		t.Errorf("played again it says %q", broken)
	}
}

func TestTwoSyncsThatMeet(t *testing.T) {
	// one writes from its own left side to the shared right one
	one := func(left, sync string, path string) *verify.Subject {
		sub := subject(1, reconcile.Rule{Name: "owner", At: sync + ".hcl:1", Paths: [2][]int{{0}, {0}}, Reads: [2][]int{{0}, {0}}, To: [2]reconcile.Transform{nil, copying(L, 0)}})
		sub.Rules.Sync, sub.Ends[L] = sync, left
		sub.Rules.Sides[R].Paths[0], sub.Rules.Sides[R].Paths[1] = path, sync+"_ref"
		sub.Forms[L][0].Words = words(verify.Certain, "Ann", "Bob")
		return sub
	}
	tests := []struct {
		name string
		a, b *verify.Subject
		want []string // nil: nothing to try
	}{
		{"both write one path", one("c/x", "first", "owner"), one("c/y", "second", "owner"), []string{"two-writers owner owner"}},
		{"each writes a path of its own", one("c/x", "first", "owner"), one("c/y", "second", "boss"), nil},
		{"records of the same mark have one source", one("c/x", "first", "owner"), func() *verify.Subject {
			sub := one("c/y", "second", "owner")
			sub.Rules.Sides[R].Paths[1] = "first_ref"
			return sub
		}(), nil},
		{"scopes in the system's own language keep them apart as far as is known", func() *verify.Subject {
			sub := one("c/x", "first", "owner")
			sub.Native[R] = "kind=1"
			return sub
		}(), func() *verify.Subject {
			sub := one("c/y", "second", "owner")
			sub.Native[R] = "kind=2"
			return sub
		}(), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := verify.Together(tt.a, tt.b, verify.Options{Seed: 1, Histories: 200})
			if r == nil || tt.want == nil {
				if r != nil || tt.want != nil {
					t.Fatalf("got %v, want %v", r, tt.want)
				}
				return
			}
			if d := cmp.Diff(tt.want, kindsOf(r.Findings)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestHistoriesStopWhenTheyAreToldTo(t *testing.T) {
	sub := subject(1, rule("title", []int{0}, copying(R, 0), copying(L, 0)))
	asked := 0
	r := verify.Alone(sub, verify.Options{Seed: 1, Histories: 100_000, Progress: func(done, total int) bool {
		if done > total || total != 100_000 {
			t.Errorf("%d of %d", done, total)
		}
		asked++
		return asked < 3
	}})
	if r.Histories > 1000 {
		t.Errorf("%d histories were lived", r.Histories)
	}
}

func TestRoundTripsOfRealValues(t *testing.T) {
	over := map[string]string{"1": "a", "2": "b", "3": "b", "4": "c", "6": "d"}
	back := map[string]string{"a": "1", "b": "2", "c": "1"}
	sub := subject(1, rule("state", []int{0}, rows(R, 0, back), rows(L, 0, over)))
	for v, want := range map[string]verify.TripOutcome{"~": verify.Whole, "1": verify.Whole, "3": verify.Coarser, "4": verify.Changed, "5": verify.Fails, "6": verify.Fails} {
		trips, needs := verify.Trips(sub, sub.Rules, L, []record.Value{val(v), val("T-1")})
		if len(trips) != 1 || len(needs) != 0 || trips[0].Outcome != want {
			t.Errorf("%s: %+v %v, want %v", v, trips, needs, want)
		}
	}
	sub.Traits[0].Live = true
	if trips, _ := verify.Trips(sub, sub.Rules, L, []record.Value{val("5"), val("T-1")}); len(trips) != 1 || trips[0].Outcome != verify.NoRow {
		t.Errorf("no row in a live table: %+v", trips)
	}
	needed := &reconcile.Needed{Translation: "people", Value: val("ann")}
	sub.Rules.Fields[0].To[R] = func(reconcile.Env) ([]record.Value, error) { return nil, needed }
	if trips, needs := verify.Trips(sub, sub.Rules, L, []record.Value{val("ann"), val("T-1")}); len(trips) != 0 || len(needs) != 1 || needs[0] != *needed {
		t.Errorf("a look-up: %v %v", trips, needs)
	}
}
