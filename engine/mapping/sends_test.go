package mapping_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestSendsAreTheValuesThatTheMappingItselfWrites(t *testing.T) {
	src := `
connection "servicenow" "prod" {
  url = "http://a"
  auth "basic" {
    username = "u"
    password = "p"
  }
}
connection "sql" "desk" {
  driver = "sqlite"
  dsn    = "desk.db"
}
translation "state" {
  columns = ["ticket", "incident"]
  rows    = [["new", "1"], ["open", "2"], ["open", "3"], ["done", "6"], ["done", "7"]]
  lossy   = true
}
sync "s" {
  side "ticket" {
    connection = connection.desk
    collection = "tickets"
  }
  side "incident" {
    connection = connection.prod
    collection = "incident"
  }
  match {
    ticket   = "id"
    incident = "correlation_id"
  }
  field "state" {
    ticket   = "status"
    incident = "state"
    via      = translation.state
  }
  field "shown" {
    flow     = "ticket <- incident"
    ticket   = "shown"
    incident = "incident_state"
    via      = translation.state
  }
  field "kind" {
    flow        = "ticket -> incident"
    incident    = "category"
    to_incident = "'network'"
  }
  on_gone "ticket" {
    then = "update"
    set  = { state = "8" }
  }
}
`
	c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
	if diags.HasErrors() {
		t.Fatal(show(c, diags))
	}
	for side, want := range [2]map[string][]string{
		{"status": {"new", "open", "done"}, "shown": {"new", "open", "done"}},
		{"state": {"1", "2", "6", "8"}}, // of two rows for a word the first is the way there; nothing leads to incident_state
	} {
		got := map[string][]string{}
		for path, values := range c.Syncs[0].Sends(record.Side(side)) {
			for _, v := range values {
				got[path] = append(got[path], v.Plain())
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("side %d (-want +got):\n%s", side, d)
		}
	}
}
