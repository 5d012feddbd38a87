package mapping_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// compiled compiles sound with its field replaced, without schemas.
func compiled(t testing.TB, body, more string) *reconcile.Rules {
	t.Helper()
	src := strings.Replace(sound, titleField, field(body)[1], 1) + more
	c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
	s, ok := c.Sync("main")
	if !ok {
		t.Fatal(show(c, diags))
	}
	comp, errs := c.Compile(s, [2]*connectors.Schema{})
	if comp == nil {
		t.Fatal(show(c, append(diags, errs...)))
	}
	return comp.Rules
}

// sides builds the values of both sides from path and value pairs; other paths are null.
func sides(r *reconcile.Rules, left, right record.Fields) [2][]record.Value {
	var out [2][]record.Value
	for i, f := range [2]record.Fields{left, right} {
		for _, path := range r.Sides[i].Paths {
			v, ok := f[path]
			if !ok {
				v = record.NullValue
			}
			out[i] = append(out[i], v)
		}
	}
	return out
}

// 2 and "2" mean the same where no type says which of them a side holds, so that nothing is written over it.
func TestAValueOfUnknownTypeTakesTheFormThatTheSideShows(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		shown      record.Value
		want       record.Value
	}{
		{"a copy", "ticket = \"a\"\nincident = \"x\"", record.OfText("2"), record.OfText("2")},
		{"another value", "ticket = \"a\"\nincident = \"x\"", record.OfText("3"), record.OfInt(2)},
		{"nothing there", "ticket = \"a\"\nincident = \"x\"", record.NullValue, record.OfInt(2)},
		{"an expression", "flow = \"ticket -> incident\"\nincident = \"x\"\nto_incident = \"ticket.a + 0\"", record.OfText("2"), record.OfText("2")},
		{"a translation", "ticket = \"a\"\nincident = \"x\"\nvia = translation.n", record.OfText("2"), record.OfText("2")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := compiled(t, tt.body, "translation \"n\" {\n columns = [\"ticket\", \"incident\"]\n rows = [[2, 2]]\n}\n")
			got, err := r.Fields[0].To[1](reconcile.Env{Values: sides(r, record.Fields{"a": record.OfInt(2)}, record.Fields{"x": tt.shown})})
			if err != nil || got[0] != tt.want {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

const lossy = `
translation "lossy" {
  lossy   = true
  columns = ["ticket", "incident"]
  rows    = [["new", "1"], ["open", "2"], ["waiting", "2"], ["resolved", "6"], ["closed", "6"]]
}
`

// The coarser side shows what the finer one implies, so nothing has to move: five states onto three.
func TestALossyTranslationNeverMovesTheFinerSide(t *testing.T) {
	r := compiled(t, "ticket = \"status\"\nincident = \"state\"\nvia = translation.lossy", lossy)
	pairs := [][2]string{{"new", "1"}, {"open", "2"}, {"waiting", "2"}, {"resolved", "6"}, {"closed", "6"}}
	rapid.Check(t, func(t *rapid.T) {
		base, now := rapid.SampledFrom(pairs).Draw(t, "base"), rapid.SampledFrom(pairs).Draw(t, "now")
		of := func(p [2]string) [2][]record.Value {
			return sides(r, record.Fields{"status": record.OfText(p[0])}, record.Fields{"state": record.OfText(p[1])})
		}
		in := reconcile.Input{Link: record.Link{ID: 1, Base: of(base)}}
		for i, vs := range of(now) {
			in.Record[i] = record.Record{Key: "k", Values: vs}
		}
		if d := reconcile.Decide(r, in); !d.Quiet() {
			t.Errorf("it writes %v", d.Sets)
		}
	})
}

func TestOneToOneTranslationsComeBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		left := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,6}`), 1, 8, rapid.ID).Draw(rt, "left")
		right := rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Z0-9]{1,6}`), len(left), len(left), rapid.ID).Draw(rt, "right")
		var rows strings.Builder
		for i := range left {
			fmt.Fprintf(&rows, "[%q, %q],", left[i], right[i])
		}
		r := compiled(t, "ticket = \"status\"\nincident = \"state\"\nvia = translation.t",
			"translation \"t\" {\n columns = [\"ticket\", \"incident\"]\n rows = ["+rows.String()+"]\n}\n")
		rule := r.Fields[0]
		for i := range left {
			there, err := rule.To[1](reconcile.Env{Values: sides(r, record.Fields{"status": record.OfText(left[i])}, nil)})
			if err != nil || there[0].Text() != right[i] {
				rt.Fatalf("%s goes to %v, %v", left[i], there, err)
			}
			back, err := rule.To[0](reconcile.Env{Values: sides(r, nil, record.Fields{"state": there[0]})})
			if err != nil || back[0].Text() != left[i] {
				rt.Fatalf("%s comes back as %v, %v", left[i], back, err)
			}
		}
	})
}

func TestTransformsThatCannotAnswerHoldTheField(t *testing.T) {
	for _, tt := range []struct{ name, body, err string }{
		{"a null that is compared", "flow = \"ticket -> incident\"\nincident = \"x\"\nto_incident = \"ticket.a <= 2 ? '1' : '2'\"", "ticket.a"},
		{"too few values", "flow = \"ticket -> incident\"\nincident = [\"x\", \"y\"]\nto_incident = \"['1']\"", "1 values for 2 paths"},
		{"a value without a row", "flow = \"ticket -> incident\"\nticket = \"title\"\nincident = \"x\"\nvia = translation.state", "no row"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := compiled(t, tt.body, "")
			_, err := r.Fields[0].To[1](reconcile.Env{Values: sides(r, record.Fields{"title": record.OfText("zz")}, nil)})
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestReadsCoverEverythingAnExpressionSees(t *testing.T) {
	r := compiled(t, "flow = \"ticket -> incident\"\nincident = \"x\"\nto_incident = \"ticket['Incident Status'] + ticket.b\"\nwhen = \"incident.open == true && run.time > date('2020-01-01')\"", "")
	names := func(side int) []string {
		var out []string
		for _, slot := range r.Fields[0].Reads[side] {
			out = append(out, r.Sides[side].Paths[slot])
		}
		return out
	}
	if got := names(0); !slices.Equal(got, []string{"Incident Status", "b"}) {
		t.Errorf("of the ticket it reads %q", got)
	}
	if got := names(1); !slices.Equal(got, []string{"x", "open"}) {
		t.Errorf("of the incident it reads %q", got)
	}
}

func TestAConditionOfATwoWayFieldDoesNotMakeASideMove(t *testing.T) {
	r := compiled(t, "ticket = \"title\"\nincident = \"name\"\nwhen = \"ticket.b == 'yes'\"", "")
	if got := r.Fields[0].Reads; len(got[0]) != 1 || len(got[1]) != 1 {
		t.Errorf("it reads the slots %v, want its own paths alone", got)
	}
	if !slices.Contains(r.Sides[0].Paths, "b") {
		t.Errorf("the ticket delivers %q, and the condition needs b", r.Sides[0].Paths)
	}
}

func TestResolveChoosesASideOrANewValue(t *testing.T) {
	for _, tt := range []struct {
		expr string
		want string
	}{
		{"'incident'", `"incident"`},
		{"ticket.title", `"a"`},
		{"incident.name", `"b"`},
		{"ticket.title + incident.name", `"ab"`},
	} {
		r := compiled(t, "ticket = \"title\"\nincident = \"name\"\nresolve = \""+tt.expr+"\"", "")
		got, err := r.Fields[0].Policy.Resolve(reconcile.Env{Values: sides(r, record.Fields{"title": record.OfText("a")}, record.Fields{"name": record.OfText("b")})})
		if err != nil || len(got) != 1 || got[0].String() != tt.want {
			t.Errorf("%s gives %v, %v", tt.expr, got, err)
		}
	}
}

// The first row with a value is its way back, so it is also its place in an order.
func TestTheOrderOfALossyTranslation(t *testing.T) {
	r := compiled(t, "ticket = \"status\"\nincident = \"state\"\nvia = translation.lossy\nconflict = \"highest\"\norder = [\"new\", \"open\", \"waiting\", \"resolved\", \"closed\"]", lossy)
	for word, want := range map[string]int{"1": 0, "2": 1, "6": 3} {
		if got, ok := r.Fields[0].Policy.Rank(record.Right, []record.Value{record.OfText(word)}); !ok || got != want {
			t.Errorf("%s has place %d, %t", word, got, ok)
		}
	}
}

func TestTheDigestFollowsLocalsAndFunctionsThatAreUsed(t *testing.T) {
	const body = "flow = \"ticket -> incident\"\nincident = \"x\"\nto_incident = \"outer(ticket.a) + local.used\""
	digest := func(used, unused, inner string) string {
		return compiled(t, body, "locals {\n used = \""+used+"\"\n other = \""+unused+"\"\n}\n"+
			"function \"outer\" {\n params = [\"a\"]\n result = \"inner(a)\"\n}\n"+
			"function \"inner\" {\n params = [\"a\"]\n result = \""+inner+"\"\n}\n").Digest
	}
	same := digest("u", "v", "a")
	for _, tt := range []struct {
		name, digest string
		want         bool
	}{
		{"a local that nothing uses", digest("u", "w", "a"), true},
		{"a local that an expression uses", digest("w", "v", "a"), false},
		{"a function that a function calls", digest("u", "v", "a + 'x'"), false},
	} {
		if (tt.digest == same) != tt.want {
			t.Errorf("%s: the digest is the same: %t", tt.name, !tt.want)
		}
	}
}

func BenchmarkTransform(b *testing.B) {
	for name, body := range map[string]string{
		"copy":       "ticket = \"status\"\nincident = \"x\"",
		"via":        "ticket = \"status\"\nincident = \"x\"\nvia = translation.state",
		"expression": "flow = \"ticket -> incident\"\nincident = \"x\"\nto_incident = \"ticket.status == 'open' ? '1' : '2'\"",
	} {
		b.Run(name, func(b *testing.B) {
			r := compiled(b, body, "")
			env := reconcile.Env{Values: sides(r, record.Fields{"status": record.OfText("open")}, nil)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Fields[0].To[1](env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
