package mapping_test

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/verify"
	"github.com/fieldsync/fieldsync/mappings"
)

// histories lives some for every sync of a configuration and gives what was found, by sync.
func histories(t *testing.T, files map[string][]byte) map[string][]string {
	t.Helper()
	c, diags := mapping.Parse(files, ".", options())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	out := map[string][]string{}
	for _, s := range c.Syncs {
		sub, diags := c.Subject(s, [2]*connectors.Schema{}, [2]map[string][]record.Value{})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		r := verify.Alone(sub, verify.Options{Seed: 1, Histories: 600})
		if r.Linked < 250 {
			t.Errorf("sync %s: only %d histories of records that agreed", s.Name, r.Linked)
		}
		for _, f := range r.Findings {
			out[s.Name] = append(out[s.Name], f.What)
		}
	}
	return out
}

func shipped(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	names, err := fs.Glob(mappings.Files, "*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if files[name], err = mappings.Files.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestTheShippedMappingsKeepEveryPromise(t *testing.T) {
	if found := histories(t, shipped(t)); len(found) > 0 {
		t.Error(found)
	}
}

func TestTheShippedMappingsWithoutARowBreakOne(t *testing.T) {
	files := shipped(t)
	src := strings.Replace(string(files["translations.hcl"]), "    [\"cancelled\", \"8\"],\n", "", 1)
	files["translations.hcl"] = []byte(src)
	files["ticket_to_incident.hcl"] = []byte(strings.Replace(string(files["ticket_to_incident.hcl"]), `, "cancelled"]`, `]`, 1))
	want := map[string][]string{"ticket_to_incident": {
		`incident.state can hold what has no row: translation state has no row for incident "8"; add one, or set unmatched`,
	}}
	if d := cmp.Diff(want, histories(t, files)); d != "" {
		t.Error(d)
	}
}

// The example of the language writes a state when a ticket is gone that its translation does not have.
func TestTheExampleHoldsWhatItWritesItself(t *testing.T) {
	src, err := os.ReadFile("testdata/example.hcl")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"ticket_to_incident": {
		`incident.state can hold what has no row: translation state has no row for incident "8"; add one, or set unmatched`,
	}}
	if d := cmp.Diff(want, histories(t, map[string][]byte{"example.hcl": src, "around.hcl": []byte(around)})); d != "" {
		t.Error(d)
	}
}

const words = `
translation "state" {
  columns = ["a", "b"]
  rows    = [["new", "1"], ["open", "2"]]
}
translation "live" {
  columns = ["a", "b"]
  lookup {
    connection = connection.noc
    collection = "people"
    a          = "email"
    b          = "id"
  }
}
connection "properties" "noc" { url = "http://localhost" }
function "level" {
  params = ["p"]
  result = "p <= 7 ? 'high' : 'low'"
}
sync "s" {
  side "a" {
    connection = connection.noc
    collection = "as"
    where      = "a.queue in ['noc', 'desk'] and a.kind != 'x'"
  }
  side "b" {
    connection = connection.noc
    collection = "bs"
  }
  match {
    a = "id"
    b = "ref"
  }
  field "state" {
    a        = "status"
    b        = "state"
    via      = translation.state
    conflict = "highest"
    order    = ["1", "2"]
  }
  field "prio" {
    flow = "a -> b"
    b    = "prio"
    to_b = "level(a.prio ?? 3) + ({'n': 'N', 'm': 'M'}[a.size] ?? '') + (int(a.weight) > 3 ? '!' : '')"
  }
  field "owner" {
    a   = "owner"
    b   = "owner"
    via = translation.live
  }
  on_gone "a" {
    then = "update"
    set  = { state = "9" }
  }
}
test "t" {
  sync   = sync.s
  base   = { a = { status = "old" }, b = { state = "0" } }
  now    = { a = { status = "new" } }
  expect = { b = { state = "1" } }
}
test "what waits is not what the mapping is made for" {
  sync   = sync.s
  base   = { a = { status = "new" }, b = { state = "1" } }
  now    = { a = { status = "strange" } }
  expect = { hold = ["state"] }
}
`

func TestTheWordsThatAMappingNames(t *testing.T) {
	c, diags := mapping.Parse(map[string][]byte{"words.hcl": []byte(words)}, ".", options())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	s, _ := c.Sync("s")
	described := &connectors.Schema{Key: "id", Open: true, Fields: []connectors.Field{
		{Path: "id"}, {Path: "prio", MaxLength: 9, Required: true}, {Path: "state", Closed: true, Choices: []connectors.Choice{{Value: record.OfText("1")}, {Value: record.OfText("2")}, {Value: record.OfText("9")}}},
	}}
	sampled := [2]map[string][]record.Value{{"queue": {record.OfText("seen")}}}
	sub, diags := c.Subject(s, [2]*connectors.Schema{1: described}, sampled)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	got := map[string]string{}
	for i := range 2 {
		for slot, path := range sub.Rules.Sides[i].Paths {
			var sure, near []string
			for _, w := range sub.Forms[i][slot].Words {
				list := &sure
				if w.Grade != verify.Certain {
					list = &near
				}
				if v := w.Value.String(); !slices.Contains(*list, v) {
					*list = append(*list, v)
				}
			}
			slices.Sort(sure)
			slices.Sort(near)
			got[sub.Rules.Sides[i].Name+"."+path] = strings.Join(sure, " ") + " | " + strings.Join(near, " ")
		}
	}
	want := map[string]string{
		"a.id": " | ", "a.kind": `"x" | `, "a.queue": `"desk" "noc" "seen" | `, "a.size": `"m" "n" | `,
		"a.prio": `7 null | 6 8`, "a.weight": `"3" | "2" "4"`, "a.owner": `"101" "102" "103" | `, "b.owner": `"201" "202" "203" | `,
		"a.status": `"new" "old" "open" | `, "b.state": `"0" "1" "2" "9" | `, "b.prio": " | ", "b.ref": " | ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	state := sub.Forms[1][slices.Index(sub.Rules.Sides[1].Paths, "state")]
	prio := sub.Forms[1][slices.Index(sub.Rules.Sides[1].Paths, "prio")]
	if !state.Closed || !state.Listed || len(state.Choices) != 3 || !prio.Required || prio.MaxLength != 9 || prio.Listed {
		t.Errorf("state %+v, prio %+v", state, prio)
	}
	if tr := sub.Traits[0]; tr.Via != [2]string{"state", "state"} || tr.Copy {
		t.Errorf("traits of state %+v", tr)
	}
}

func TestAStoryAsATestReadsBack(t *testing.T) {
	c, diags := mapping.Parse(map[string][]byte{"words.hcl": []byte(words)}, ".", options())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	s, _ := c.Sync("s")
	story := verify.Case{
		Base: [2]record.Fields{{"status": record.OfText("new"), "prio": record.OfInt(2)}, {"state": record.OfText("1")}},
		Now:  [2]record.Fields{{"status": record.OfText(`a "quoted" ${x} \ line` + "\n")}, nil},
		Gone: [2]bool{1: true},
	}
	src := s.TestSource(`with "quotes" and ${…}`, story)
	if string(mapping.Format(src)) != string(src) {
		t.Errorf("not in the canonical layout:\n%s", src)
	}
	c, diags = mapping.Parse(map[string][]byte{"words.hcl": []byte(words), "story.hcl": src}, ".", options())
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags, src)
	}
	n := slices.IndexFunc(c.Tests, func(t *mapping.Test) bool { return t.Name == `with "quotes" and ${…}` })
	if n < 0 || !c.Tests[n].Kept {
		t.Fatalf("the test is not there: %s", src)
	}
	got := verify.Case{Base: c.Tests[n].Base, Now: c.Tests[n].Now, Gone: c.Tests[n].Gone}
	if d := cmp.Diff(story, got, cmp.Comparer(func(a, b record.Value) bool { return a == b })); d != "" {
		t.Errorf("-want +got\n%s\n%s", d, src)
	}
}

func BenchmarkHistories(b *testing.B) {
	c, diags := mapping.Parse(shipped(b), ".", options())
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	s, _ := c.Sync("ticket_to_incident")
	sub, diags := c.Subject(s, [2]*connectors.Schema{}, [2]map[string][]record.Value{})
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	n := 0
	for b.Loop() {
		n += verify.Alone(sub, verify.Options{Seed: 1, Histories: 5000}).Histories
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "histories/s")
}
