package sim_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

const staging = "/api/now/import/u_staging_incident"

// An imported is one result of a staging row.
type imported struct {
	Map    string `json:"transform_map"`
	Table  string `json:"table"`
	Status string `json:"status"`
	ID     string `json:"sys_id"`
	Shown  string `json:"display_value"`
	Why    string `json:"error_message"`
}

// stage posts one row and returns what came of it.
func (in *instance) stage(user, body string) (answer, []imported) {
	in.t.Helper()
	a := in.do(user, "POST", staging, body, "Content-Type", "application/json")
	var out struct{ Result []imported }
	if a.status == 201 {
		if err := json.Unmarshal([]byte(a.body), &out); err != nil {
			in.t.Fatal(err)
		}
	}
	return a, out.Result
}

func TestStagingRowsAreTransformed(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn("import-set=u_staging_incident:incident:correlation_id", "import-field=u_staging_incident.u_title:short_description")
	a, got := in.stage("integration", `{"u_title":"one","correlation_id":"T-1","urgency":2,"description":{"a":"b","c":["d"]},"u_unknown":"x"}`)
	if len(got) != 1 || got[0].Status != "inserted" || got[0].Table != "incident" || got[0].Shown != "INC0010001" || !strings.Contains(a.body, `"import_set":"ISET0010001"`) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	r := in.Get("incident", got[0].ID)
	for f, want := range map[string]string{"short_description": "one", "urgency": "2", "description": "{a=b, c=[d]}", "sys_created_by": "integration"} {
		if r[f] != want {
			t.Errorf("%s is %q, want %q", f, r[f], want)
		}
	}
	for _, c := range []struct{ name, body, status string }{
		{"a change", `{"u_title":"two","correlation_id":"T-1"}`, "updated"},
		{"the same again", `{"u_title":"two","correlation_id":"T-1"}`, "ignored"},
		{"a data policy", `{"state":"6","correlation_id":"T-1"}`, "error"},
		{"nothing to find it by", `{"u_title":"three","correlation_id":""}`, "inserted"},
	} {
		a, got := in.stage("integration", c.body)
		if a.status != 201 || len(got) != 1 || got[0].Status != c.status || (c.status == "error") != strings.Contains(got[0].Why, "Data Policy Exception") {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	// A row can be read again as long as it is there.
	rows := in.All("u_staging_incident")
	if len(rows) != 5 {
		t.Fatalf("%d staging rows", len(rows))
	}
	if a := in.do("integration", "GET", staging+"/"+rows[0]["sys_id"], ""); a.status != 200 || !strings.Contains(a.body, `"status":`) {
		t.Errorf("read again: %d %s", a.status, a.body)
	}
	in.Delete("u_staging_incident", rows[0]["sys_id"])
	if a := in.do("integration", "GET", staging+"/"+rows[0]["sys_id"], ""); a.status != 404 {
		t.Errorf("after the cleanup: %d", a.status)
	}
	in.turn("import-empties=dropped")
	if _, got := in.stage("integration", `{"u_title":"","correlation_id":"T-1"}`); got[0].Status != "ignored" || in.Get("incident", got[0].ID)["short_description"] != "two" {
		t.Errorf("an empty value: %+v", got)
	}
}

func TestSeveralMapsGiveSeveralResults(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn("import-set=u_staging_incident:incident", "import-set=u_staging_incident:problem")
	_, got := in.stage("integration", `{"short_description":"one"}`)
	var tables []string
	for _, g := range got {
		tables = append(tables, g.Table+" "+g.Status)
	}
	if d := cmp.Diff([]string{"incident inserted", "problem inserted"}, tables); d != "" {
		t.Error(d)
	}
}

func TestStagingWithoutTheRoleLeavesTheRowAndFails(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn("import-set=u_staging_incident:incident")
	if a, _ := in.stage("closer", `{"short_description":"one"}`); a.status != 500 || !strings.Contains(a.body, "transform_map=null") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if len(in.All("u_staging_incident")) != 1 || len(in.All("incident")) != 0 {
		t.Error("the row is not there, or was transformed")
	}
	for body, status := range map[string]int{`{"a"`: 400, `[]`: 400} {
		if a, _ := in.stage("integration", body); a.status != status {
			t.Errorf("%s: %d", body, a.status)
		}
	}
	if a := in.do("integration", "POST", "/api/now/import/u_other", `{}`, "Content-Type", "application/json"); a.status != 400 {
		t.Errorf("another table: %d", a.status)
	}
}

func TestManyRowsAreTransformedLater(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn("import-set=u_staging_incident:incident:correlation_id")
	a := in.do("integration", "POST", staging+"/insertMultiple", `{"records":[{"Short description":"one","Correlation ID":"T-1"},{"Short description":"two"}]}`, "Content-Type", "application/json")
	if a.status != 201 || strings.Contains(a.body, "result") || !strings.Contains(a.body, "multi_import_set_id") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if got := in.Find("incident", "correlation_id", "T-1"); len(got) != 1 || got[0]["short_description"] != "one" {
		t.Errorf("later: %v", got)
	}
}
