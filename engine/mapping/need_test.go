package mapping_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Admits stands for a query language of which a=b is one value, and a~b one of some.
func (s *serviceNow) Admits(_, native string) connectors.Terms {
	t := connectors.Terms{Values: record.Fields{}, Whole: true}
	for _, term := range strings.Split(native, "^") {
		if path, v, ok := strings.Cut(term, "="); ok {
			t.Values[path] = record.OfText(v)
		} else if path, _, ok := strings.Cut(term, "~"); ok {
			t.Choice, t.Whole = append(t.Choice, path), false
		}
	}
	return t
}

func TestNewRecordsAreGivenWhatTheirScopeAsksFor(t *testing.T) {
	for _, tt := range []struct {
		name             string
		ticket, incident string // of the side blocks
		want             []string
		sure             bool // of the incident
		warn             string
	}{
		{"a query that is one value", "", `create = true
			query = "category=network"`, []string{`incident.category "network" query a.hcl:26`}, true, ""},
		{"no create, nothing to give", "", `query = "category=network"`, nil, true, ""},
		{"where, joined by and, turned round and in brackets", "create = true\n where = \"ticket.queue == 'noc' and (3 == ticket.priority && ticket.title != nil)\"", "", []string{`ticket.queue "noc" where a.hcl:21`, "ticket.priority 3 where a.hcl:21"}, true, ""},
		{"where and query about the same path", "", `create = true
			where = "incident.category == 'network'"
			query = "category=Network^impact=1"`, []string{`incident.category "network" where a.hcl:26`, `incident.impact "1" query a.hcl:27`}, true, ""},
		{"alternatives", "create = true\n where = \"ticket.queue == 'noc' or ticket.queue == 'nms'\"", "", nil, true, `one value of some in "queue"`},
		{"one value of some, which a field gives", "create = true\n where = \"ticket.title in ['a', 'b']\"", "", nil, true, ""},
		{"one value of some in a query", "", `create = true
			query = "category=network^urgency~1"`, []string{`incident.category "network" query a.hcl:26`}, false, `Add field "urgency"`},
		{"what the system sets", "", `create = true
			query = "number=INC1"`, nil, false, ""},
		{"a path that is not there", "", `create = true
			query = "kategory=network"`, nil, false, ""},
		{"another spelling of its path", "", `create = true
			query = "CATEGORY=network"`, []string{`incident.category "network" query a.hcl:26`}, true, ""},
		{"a number as the type of its path has it", "create = true\n where = \"ticket.priority == 3\"", "", []string{"ticket.priority 3 where a.hcl:21"}, true, ""},
		{"compared after a change", "create = true\n where = \"lower(ticket.queue) == 'noc'\"", "", nil, true, ""},
		{"no value at all", "create = true\n where = \"ticket.queue == nil\"", "", nil, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := strings.NewReplacer(`collection = "tickets"`, "collection = \"tickets\"\n"+tt.ticket, `collection = "incident"`, "collection = \"incident\"\n"+tt.incident,
				titleField, titleField+"match {\n ticket = \"incident_number\"\n incident = \"number\"\n}\n").Replace(sound)
			c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
			s, _ := c.Sync("main")
			comp, more := c.Compile(s, [2]*connectors.Schema{tickets(), incidents()})
			if comp == nil {
				t.Fatal(show(c, append(diags, more...)))
			}
			var got []string
			for _, side := range comp.Rules.Sides {
				for _, n := range side.Needs {
					got = append(got, fmt.Sprintf("%s.%s %s %s %s", side.Name, side.Paths[n.Slot], n.To, n.By, n.At))
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("needs (-want +got):\n%s", d)
			}
			if comp.Rules.Sides[1].Sure != tt.sure {
				t.Errorf("sure is %v", comp.Rules.Sides[1].Sure)
			}
			warned := ""
			for _, d := range more {
				if d.Summary == "New records may be out of scope" {
					warned += d.Detail
				}
			}
			if (warned == "") != (tt.warn == "") || !strings.Contains(warned, tt.warn) {
				t.Errorf("warned %q, want %q", warned, tt.warn)
			}
		})
	}
}

func TestARecordOfATestMayBeOutOfScope(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		problem    string // part of it; "": it passes
	}{
		{"of paths it does not name a test says nothing",
			`base = { ticket = { title = "a" }, incident = { short_description = "a" } }
			now = { ticket = { title = "b" } }
			expect = { incident = { short_description = "b" } }`, ""},
		{"in scope",
			`base = { ticket = { title = "a", queue = "noc" }, incident = { short_description = "a" } }
			now = { ticket = { title = "b" } }
			expect = { incident = { short_description = "b" } }`, ""},
		{"it has left the scope, and nothing is expected",
			`base = { ticket = { title = "a", queue = "noc" }, incident = { short_description = "a" } }
			now = { ticket = { title = "b", queue = "sales" } }`, ""},
		{"it has left the scope, and a change is expected",
			`base = { ticket = { title = "a", queue = "noc" }, incident = { short_description = "a" } }
			now = { ticket = { title = "b", queue = "sales" } }
			expect = { incident = { short_description = "b" } }`, "nothing is written: ticket is out of scope by where (a.hcl:20), so the link is detached"},
		{"a new one out of scope makes nothing",
			`now = { ticket = { id = "T-1", title = "a", queue = "sales" } }
			expect = { incident = { short_description = "a" } }`, "nothing is done: ticket is out of scope by where (a.hcl:20)"},
		{"a new one in scope makes one that is in scope",
			`now = { ticket = { id = "T-1", title = "a", queue = "noc" } }
			expect = { incident = { short_description = "a", category = "network" } }`, ""},
		{"what the scope asks for need not be repeated",
			`now = { ticket = { id = "T-1", title = "a", queue = "noc" } }
			expect = { incident = { short_description = "a" } }`, ""},
		{"out of the scope of a query that is understood",
			`base = { ticket = { title = "a" }, incident = { short_description = "a", category = "hardware" } }
			now = { ticket = { title = "b" } }
			expect = { incident = { short_description = "b" } }`, "incident is out of scope by query (a.hcl:26)"},
		{"of a path among others it names one that says enough",
			`base = { ticket = { title = "a", queue = "sales" }, incident = { short_description = "a" } }
			now = { ticket = { title = "b" } }
			expect = { incident = { short_description = "b" } }`, "out of scope"},
		{"a scope that cannot be told",
			`base = { ticket = { title = "a", queue = "noc", priority = null }, incident = { short_description = "a" } }
			now = { ticket = { title = "b" } }
			expect = { incident = { short_description = "b" } }`, "whether ticket is in scope cannot be told"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := strings.NewReplacer(`collection = "tickets"`, "collection = \"tickets\"\n where = \"ticket.queue == 'noc' && ticket.priority < 9\"",
				`collection = "incident"`, "collection = \"incident\"\n create = true\n query = \"category=network\"").Replace(sound) +
				"test \"t\" {\n sync = sync.main\n" + tt.body + "\n}\n"
			c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
			if diags.HasErrors() {
				t.Fatal(show(c, diags))
			}
			res := c.RunTest(c.Tests[0])
			if got := strings.Join(res.Problems, "\n"); res.Err != nil || (got == "") != (tt.problem == "") || !strings.Contains(got, tt.problem) {
				t.Errorf("%v\n%s\nwant %q", res.Err, got, tt.problem)
			}
		})
	}
}
