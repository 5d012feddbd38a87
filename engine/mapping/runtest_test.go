package mapping_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/engine/mapping"
)

// testFields are fields of all sorts for the tests below, each of paths of its own.
const testFields = `
  field "urgency" {
    flow        = "ticket -> incident"
    incident    = "urgency"
    to_incident = "ticket.priority <= 2 ? '1' : '2'"
  }
  field "owner" {
    ticket   = "owner"
    incident = "assigned_to"
    via      = translation.people
  }
  field "phase" {
    ticket   = "phase"
    incident = "state"
    via      = translation.numbers
  }
  field "level" {
    flow        = "ticket -> incident"
    incident    = "impact"
    to_incident = "ticket.level + 1"
  }
`

const testTranslations = `
translation "people" {
  columns = ["ticket", "incident"]
  lookup {
    connection = connection.prod
    collection = "sys_user"
    ticket     = "email"
    incident   = "sys_id"
  }
}
translation "numbers" {
  columns = ["ticket", "incident"]
  lossy   = true
  rows    = [["new", 1], ["open", 2], ["working", 2]]
}
`

func TestTestBlocks(t *testing.T) {
	for _, tt := range []struct {
		name     string
		body     string
		problems []string // part of each; none: it passes
	}{
		{"a change goes across",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = { ticket = { title = "b" } }
			expect = { incident = { short_description = "b" } }`, nil},
		{"another value than expected",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = { ticket = { title = "b" } }
			expect = { incident = { short_description = "c" } }`, []string{`incident.short_description becomes "b", expected "c"`}},
		{"a write that nobody expects",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = { ticket = { title = "b" } }`, []string{`incident.short_description becomes "b", which is not expected`}},
		{"a write that does not come, with the reason",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = {}
			expect = { incident = { short_description = "b" } }`, []string{`is not written, expected "b" (title: keep`}},
		{"nothing to do",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = { ticket = { title = "b" }, incident = { short_description = "b" } }
			expect = {}`, nil},
		{"a conflict that is expected",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = { ticket = { title = "b" }, incident = { short_description = "c" } }
			expect = { conflict = ["title"] }`, nil},
		{"a conflict that is not",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = { ticket = { title = "b" }, incident = { short_description = "c" } }`, []string{"field title is in conflict"}},
		{"a conflict that does not come",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = {}
			expect = { conflict = ["title"] }`, []string{"field title is not in conflict: keep"}},
		{"a new ticket becomes an incident, the marker goes without saying",
			`now = { ticket = { id = "T-1", title = "a" } }
			expect = { incident = { short_description = "a" } }`, nil},
		{"the marker may be said",
			`now = { ticket = { id = "T-1", title = "a" } }
			expect = { incident = { short_description = "a", correlation_id = "T-1" } }`, nil},
		{"a wrong marker",
			`now = { ticket = { id = "T-1", title = "a" } }
			expect = { incident = { short_description = "a", correlation_id = "T-2" } }`, []string{`becomes "T-1", expected "T-2"`}},
		{"a new incident, where no tickets are created",
			`now = { incident = { short_description = "a" } }
			expect = { ticket = { title = "a" } }`, []string{"ticket.title is not written", "ticket records are not created"}},
		{"first contact",
			`now = { ticket = { id = "T-1", title = "a" }, incident = { short_description = "b" } }
			expect = { incident = { short_description = "a" } }`, nil},
		{"a ticket that is gone closes its incident",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = { ticket = "gone" }
			expect = { incident = { state = "8" } }`, nil},
		{"an incident that is gone takes its ticket along",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = { incident = "gone" }
			expect = { ticket = "gone" }`, nil},
		{"a deletion that nobody expects",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = { incident = "gone" }`, []string{"the ticket is deleted, which is not expected"}},
		{"a deletion that does not come",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = { incident = "gone", ticket = { title = "b" } }
			expect = { ticket = "gone" }`, []string{"the ticket is not deleted", "the link is held"}},
		{"a number is its text where no type is known",
			`base = { ticket = { title = 1 }, incident = { short_description = 1 } }
			now = { ticket = { title = 2 } }
			expect = { incident = { short_description = "2" } }`, nil},
		{"a field that cannot be decided",
			`base = { ticket = { priority = 3 }, incident = { urgency = "2" } }
			now = { ticket = { priority = null } }`, []string{"field urgency is held, which is not expected: "}},
		{"a field that cannot be decided, as expected",
			`base = { ticket = { priority = 3 }, incident = { urgency = "2" } }
			now = { ticket = { priority = null } }
			expect = { hold = ["urgency"] }`, nil},
		{"a new record that cannot be tied to its twin",
			`now = { ticket = { title = "a" } }`, []string{"the link is held: ticket.id has no value for the marker"}},
		{"a hold that does not come",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = {}
			expect = { hold = ["title"] }`, []string{"field title is not held: keep"}},
		{"a look-up",
			`base = { ticket = { owner = "a@x" }, incident = { assigned_to = "1" } }
			now = { ticket = { owner = "b@x" } }`, []string{"field owner is held, which is not expected: translation people is looked up in a live system"}},
		{"a look-up of nothing clears",
			`base = { ticket = { owner = "a@x" }, incident = { assigned_to = "1" } }
			now = { ticket = { owner = null } }
			expect = { incident = { assigned_to = null } }`, nil},
		{"a row with a number stands for the number written as text",
			`base = { ticket = { phase = "open" }, incident = { state = "2" } }
			now = { ticket = { phase = "working" } }`, nil},
		{"a copy of a number stands for the number written as text",
			`base = { ticket = { title = 2 }, incident = { short_description = "2" } }
			now = {}`, nil},
		{"an expression that gives a number stands for the number written as text",
			`base = { ticket = { level = 1 }, incident = { impact = "2" } }
			now = {}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := strings.NewReplacer(
				`sync "main" {`, "sync \"main\" {\n first = \"ticket\"",
				`collection = "incident"`, "collection = \"incident\"\n create = true",
				titleField, titleField+"on_gone \"ticket\" {\n then = \"update\"\n set = { state = \"8\" }\n}\n"+testFields+"on_gone \"incident\" {\n then = \"delete\"\n}\n",
			).Replace(sound) + testTranslations + "test \"t\" {\n sync = sync.main\n" + tt.body + "\n}\n"
			c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
			if diags.HasErrors() {
				t.Fatal(show(c, diags))
			}
			res := c.RunTest(c.Tests[0])
			if res.Err != nil || res.OK != (len(tt.problems) == 0) || len(res.Problems) != len(tt.problems) {
				t.Fatalf("%+v", res)
			}
			for i, p := range tt.problems {
				if !strings.Contains(res.Problems[i], p) {
					t.Errorf("problem %q, want %q", res.Problems[i], p)
				}
			}
		})
	}
}

func TestTheExamplesOwnTestPasses(t *testing.T) {
	c := load(t)
	res := c.RunTest(c.Tests[0])
	if !res.OK || res.Err != nil {
		t.Errorf("%+v", res)
	}
	var names []string
	for _, v := range res.Verdicts {
		names = append(names, res.Rules.Fields[v.Rule].Name)
	}
	if !slices.Equal(names, []string{"state", "closing"}) {
		t.Errorf("the test is about %q", names)
	}
}
