package mapping_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// serviceNow and the other settings below have the shape of real ones.
type serviceNow struct {
	URL  string `hcl:"url"`
	Auth struct {
		Kind     string            `hcl:"kind,label"`
		Username string            `hcl:"username,optional"`
		Password connectors.Secret `hcl:"password,optional"`
	} `hcl:"auth,block"`
}

type database struct {
	Driver      string `hcl:"driver"`
	DSN         string `hcl:"dsn"`
	Collections []struct {
		Name     string `hcl:"name,label"`
		Table    string `hcl:"table"`
		Key      string `hcl:"key"`
		Modified string `hcl:"modified,optional"`
	} `hcl:"collection,block"`
}

type dataMiner struct {
	Bridge struct {
		URL   string            `hcl:"url"`
		Token connectors.Secret `hcl:"token,optional"`
	} `hcl:"bridge,block"`
}

type properties struct {
	URL   string            `hcl:"url,optional"`
	Token connectors.Secret `hcl:"token,optional"`
}

func (*serviceNow) Open(connectors.Env) (connectors.Connection, error) { return nil, context.Canceled }
func (*database) Open(connectors.Env) (connectors.Connection, error)   { return nil, context.Canceled }
func (*properties) Open(connectors.Env) (connectors.Connection, error) { return nil, context.Canceled }
func (*dataMiner) Open(connectors.Env) (connectors.Connection, error)  { return nil, context.Canceled }

func options() mapping.Options {
	return mapping.Options{
		Registry: connectors.Registry{
			"servicenow": func() connectors.Config { return new(serviceNow) },
			"sql":        func() connectors.Config { return new(database) },
			"properties": func() connectors.Config { return new(properties) },
			"dataminer":  func() connectors.Config { return new(dataMiner) },
		},
		Getenv: func(name string) (string, bool) {
			v, ok := map[string]string{"SNOW_USER": "sync", "SNOW_PASSWORD": "hunter2", "HELPDESK_DSN": "file:desk.db"}[name]
			return v, ok
		},
	}
}

// around is what the example takes for granted: the connection of the alarms and one more translation.
const around = `
connection "properties" "noc" {
  url = "http://localhost"
}
translation "state_label" {
  columns = ["incident", "alarm"]
  rows = [
    ["1", "New"],
    ["2", "In progress"],
    ["3", "On hold"],
    ["6", "Resolved"],
    ["7", "Closed"],
    ["8", "Canceled"],
  ]
}
`

func example(t testing.TB) map[string][]byte {
	t.Helper()
	src, err := os.ReadFile("testdata/example.hcl")
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"example.hcl": src, "around.hcl": []byte(around)}
}

// show is diagnostics as a person sees them.
func show(c *mapping.Config, diags hcl.Diagnostics) string {
	var b strings.Builder
	_ = mapping.WriteDiagnostics(&b, c.Files, diags, false, 0)
	return b.String()
}

func text(f ...string) []connectors.Field {
	var out []connectors.Field
	for _, path := range f {
		out = append(out, connectors.Field{Path: path, Type: record.Type{Kind: record.Text}})
	}
	return out
}

// tickets and incidents are what the two systems of the example say of their collections.
func tickets() *connectors.Schema {
	s := &connectors.Schema{Key: "id", Fields: text("id", "title", "status", "queue", "resolution", "incident_number", "mail")}
	s.Fields[0].ReadOnly = true
	s.Fields[2].Choices = []connectors.Choice{{Value: record.OfText("new")}, {Value: record.OfText("open")}}
	s.Fields = append(s.Fields, connectors.Field{Path: "priority", Type: record.Type{Kind: record.Int}})
	s.Threads = []connectors.Thread{{Path: "comments"}}
	s.Files = []connectors.Thread{{Path: "files"}}
	return s
}

func incidents() *connectors.Schema {
	s := &connectors.Schema{Key: "sys_id", Label: "number", Fields: text("sys_id", "number", "short_description", "state", "impact", "urgency", "close_code", "close_notes", "correlation_id", "category")}
	for i := range s.Fields {
		f := &s.Fields[i]
		switch f.Path {
		case "number":
			f.ReadOnly = true
		case "short_description":
			f.Label = "Short description"
		case "state":
			f.Closed = true
			for _, c := range [][2]string{{"1", "New"}, {"2", "In Progress"}, {"3", "On Hold"}, {"6", "Resolved"}, {"7", "Closed"}, {"8", "Canceled"}} {
				f.Choices = append(f.Choices, connectors.Choice{Value: record.OfText(c[0]), Label: c[1]})
			}
		}
	}
	s.Fields = append(s.Fields,
		connectors.Field{Path: "work_notes", Type: record.Type{Kind: record.Text}, Append: true},
		connectors.Field{Path: "origin", Type: record.Type{Kind: record.Text}, Once: true},
		connectors.Field{Path: "caller_id", Type: record.Type{Kind: record.Text}, Reference: "sys_user", Required: true},
	)
	s.Threads = []connectors.Thread{{Path: "comments", Readers: connectors.Public}, {Path: "work_notes", Readers: connectors.Staff}}
	s.Files = []connectors.Thread{{Path: "attachments", Readers: connectors.Public}}
	return s
}

func load(t *testing.T) *mapping.Config {
	t.Helper()
	c, diags := mapping.Parse(example(t), ".", options())
	if diags.HasErrors() {
		t.Fatal(show(c, diags))
	}
	return c
}

func TestTheExampleLoads(t *testing.T) {
	c, diags := mapping.Parse(example(t), "conf", options())
	if got := summaries(diags); len(got) > 0 {
		t.Errorf("diagnostics: %s", show(c, diags))
	}
	want := mapping.Settings{State: "conf/fieldsync.db", Listen: "127.0.0.1:8440", History: 400 * 24 * time.Hour}
	if c.Settings != want {
		t.Errorf("settings are %+v", c.Settings)
	}
	prod, _ := c.Connection("prod")
	sn := prod.Config.(*serviceNow)
	if sn.URL != "https://acme.service-now.com" || sn.Auth.Kind != "basic" || sn.Auth.Password.Reveal() != "hunter2" {
		t.Errorf("connection settings are %+v", sn)
	}
	if prod.Limits != (connectors.Limits{Rate: 20, Concurrency: 8}) || !slices.Equal(prod.Secrets, []string{"hunter2"}) || prod.Missing != nil {
		t.Errorf("connection is %+v", prod)
	}
	s, ok := c.Sync("ticket_to_incident")
	if !ok {
		t.Fatal("the sync is not there")
	}
	if s.Schedule != "*/2 * * * *" || s.FullScan != "0 3 * * *" || s.Timezone.String() != "Europe/Brussels" || !s.Sides[1].Create || s.Sides[0].Create {
		t.Errorf("sync is %+v", s)
	}
	limits := mapping.Limits{Creates: mapping.Limit{Number: 200}, Updates: mapping.Limit{Number: 1000}, Deletes: mapping.Limit{Number: -1, Percent: 1}}
	if s.Limits != limits {
		t.Errorf("limits are %+v", s.Limits)
	}
	if diff := cmp.Diff([2][]string{
		{"id", "incident_number", "priority", "queue", "resolution", "status", "title"},
		{"category", "close_code", "close_notes", "correlation_id", "impact", "number", "short_description", "state", "urgency"},
	}, s.Paths); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([2][]string{
		{"incident_number", "status", "title"},
		{"category", "close_code", "close_notes", "correlation_id", "impact", "short_description", "state", "urgency"},
	}, s.Writes); diff != "" {
		t.Error(diff)
	}
	if next, _ := c.Sync("incident_to_property"); !slices.Equal(next.After, []string{"ticket_to_incident"}) {
		t.Errorf("after is %q", next.After)
	}
}

func TestTheExampleCompiles(t *testing.T) {
	c := load(t)
	s, _ := c.Sync("ticket_to_incident")
	got, diags := c.Compile(s, [2]*connectors.Schema{tickets(), incidents()})
	if want := []string{"Required path is not written", "Values without a row"}; !slices.Equal(summaries(diags), want) || got == nil {
		t.Fatal(show(c, diags))
	}
	r := got.Rules
	if r.First != (reconcile.First{Mode: reconcile.FirstSide, Side: record.Left}) {
		t.Errorf("first is %+v", r.First)
	}
	if m := r.Match[0]; m.Marker != [2]bool{false, true} {
		t.Errorf("the marker is on %v", m.Marker)
	}
	if g := r.Sides[0].Gone; g.Then != reconcile.GoneUpdate || len(g.Set) != 1 {
		t.Errorf("on_gone is %+v", g)
	}
	type shape struct {
		Name   string
		Paths  [2][]string
		Reads  [2][]string
		To     [2]bool
		Policy string
	}
	var shapes []shape
	names := func(side int, slots []int) []string {
		var out []string
		for _, slot := range slots {
			out = append(out, r.Sides[side].Paths[slot])
		}
		return out
	}
	for _, f := range r.Fields {
		sh := shape{Name: f.Name, Policy: f.Policy.Kind.String()}
		for i := range 2 {
			sh.Paths[i], sh.Reads[i], sh.To[i] = names(i, f.Paths[i]), names(i, f.Reads[i]), f.To[i] != nil
		}
		shapes = append(shapes, sh)
	}
	if diff := cmp.Diff([]shape{
		{"summary", [2][]string{{"title"}, {"short_description"}}, [2][]string{{"title"}, {"short_description"}}, [2]bool{true, true}, "newest"},
		{"state", [2][]string{{"status"}, {"state"}}, [2][]string{{"status"}, {"state"}}, [2]bool{true, true}, "highest"},
		{"urgency", [2][]string{{"priority"}, {"impact", "urgency"}}, [2][]string{{"priority"}, {"impact", "urgency"}}, [2]bool{false, true}, "ask"},
		{"number", [2][]string{{"incident_number"}, {"number"}}, [2][]string{{"incident_number"}, {"number"}}, [2]bool{true, false}, "ask"},
		{"closing", [2][]string{{"resolution"}, {"close_code", "close_notes"}}, [2][]string{{"resolution", "status"}, {"close_code", "close_notes"}}, [2]bool{false, true}, "ask"},
	}, shapes); diff != "" {
		t.Error(diff)
	}
}

func TestRulesComputeValues(t *testing.T) {
	c := load(t)
	s, _ := c.Sync("ticket_to_incident")
	comp, diags := c.Compile(s, [2]*connectors.Schema{tickets(), incidents()})
	if comp == nil {
		t.Fatal(show(c, diags))
	}
	r := comp.Rules
	env := func(f [2]record.Fields) reconcile.Env {
		var e reconcile.Env
		for i := range 2 {
			for _, path := range r.Sides[i].Paths {
				v, ok := f[i][path]
				if !ok {
					v = record.NullValue
				}
				e.Values[i] = append(e.Values[i], v)
			}
		}
		return e
	}
	e := env([2]record.Fields{
		{"title": record.OfText("Router down"), "status": record.OfText("waiting"), "priority": record.OfInt(1), "queue": record.OfText("noc")},
		{"state": record.OfText("6"), "short_description": record.OfInt(7), "number": record.OfText("INC1")},
	})
	for _, tt := range []struct {
		field string
		to    record.Side
		want  []record.Value
	}{
		{"summary", record.Right, []record.Value{record.OfText("Router down")}},
		{"summary", record.Left, []record.Value{record.OfText("7")}},
		{"state", record.Right, []record.Value{record.OfText("3")}},
		{"state", record.Left, []record.Value{record.OfText("resolved")}},
		{"urgency", record.Right, []record.Value{record.OfText("1"), record.OfText("1")}},
		{"number", record.Left, []record.Value{record.OfText("INC1")}},
		{"closing", record.Right, []record.Value{record.OfText("Solution provided"), record.OfText("Resolved")}},
	} {
		i := slices.IndexFunc(r.Fields, func(f reconcile.Rule) bool { return f.Name == tt.field })
		got, err := r.Fields[i].To[tt.to](e)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s to the %s gives %v, %v; want %v", tt.field, tt.to, got, err, tt.want)
		}
	}
	if in, err := r.Sides[0].Where(e); !in || err != nil {
		t.Errorf("the ticket is in scope: %t, %v", in, err)
	}
	if in, err := r.Sides[0].Where(env([2]record.Fields{{"queue": record.OfText("desk")}})); in || err != nil {
		t.Errorf("a ticket of another queue is in scope: %t, %v", in, err)
	}
	rank := r.Fields[1].Policy.Rank
	for _, tt := range []struct {
		side record.Side
		word string
		want int
		ok   bool
	}{{record.Left, "closed", 4, true}, {record.Right, "7", 4, true}, {record.Right, "1", 0, true}, {record.Right, "8", 0, false}} {
		if got, ok := rank(tt.side, []record.Value{record.OfText(tt.word)}); got != tt.want || ok != tt.ok {
			t.Errorf("rank of %s %q is %d, %t", tt.side, tt.word, got, ok)
		}
	}
}

func TestTheDigestFollowsDecisionsOnly(t *testing.T) {
	digest := func(old, new string) string {
		t.Helper()
		files := example(t)
		if !strings.Contains(string(files["example.hcl"]), old) {
			t.Fatalf("the example has no %q", old)
		}
		files["example.hcl"] = []byte(strings.Replace(string(files["example.hcl"]), old, new, 1))
		c, diags := mapping.Parse(files, ".", options())
		s, _ := c.Sync("ticket_to_incident")
		comp, more := c.Compile(s, [2]*connectors.Schema{})
		if comp == nil {
			t.Fatal(show(c, append(diags, more...)))
		}
		return comp.Rules.Digest
	}
	same := digest("acme", "acme")
	for _, tt := range []struct {
		name, old, new string
		want           bool
	}{
		{"a schedule changes no decision", `"*/2 * * * *"`, `"*/5 * * * *"`, true},
		{"a limit changes no decision", "creates = 200", "creates = 300", true},
		{"a comment changes no decision", "# two-way copy", "# copy\n\n\n", true},
		{"a row of a translation does", `"3"],`, `"4"],`, false},
		{"an expression does", "ticket.priority <= 2", "ticket.priority <= 3", false},
		{"a scope does", "'noc'", "'desk'", false},
		{"a policy does", `conflict = "newest"`, `conflict = "ticket"`, false},
		{"the order does", `["new", "open",`, `["open", "new",`, false},
		{"first contact does", `first     = "ticket"`, `first     = "incident"`, false},
		{"what happens to the twin does", `{ state = "8" }`, `{ state = "7" }`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := digest(tt.old, tt.new) == same; got != tt.want {
				t.Errorf("the digest is the same: %t", got)
			}
		})
	}
}

func summaries(diags hcl.Diagnostics) []string {
	var out []string
	for _, d := range diags {
		out = append(out, d.Summary)
	}
	return out
}
