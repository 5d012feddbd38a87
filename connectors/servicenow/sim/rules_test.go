package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// pick keeps some fields of a record.
func pick(m map[string]string, names ...string) map[string]string {
	out := map[string]string{}
	for _, n := range names {
		out[n] = m[n]
	}
	return out
}

func TestInsertFillsInWhatThePlatformSets(t *testing.T) {
	in := newInstance(t, sim.Options{})
	var got map[string]string
	a := in.do("integration", "POST", "/api/now/table/incident?sysparm_exclude_reference_link=true",
		`{"short_description":"Router down","impact":"1","urgency":2,"priority":"5","sys_created_by":"me","sys_mod_count":"7","opened_at":"2001-01-01 00:00:00","nonsense":"x","active":false}`)
	in.result(a, 201, &got)
	want := map[string]string{
		"number": "INC0010001", "state": "1", "incident_state": "1", "priority": "2", "urgency": "2", "active": "true", "sys_mod_count": "0",
		"sys_created_by": "integration", "sys_updated_by": "integration", "sys_created_on": "2026-03-02 10:00:00", "opened_at": "2026-03-02 10:00:00",
		"sys_class_name": "incident", "category": "inquiry",
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
	if _, there := got["nonsense"]; there {
		t.Error("an unknown field was stored")
	}
	if want := "http://acme.example/api/now/table/incident/" + got["sys_id"]; a.header.Get("Location") != want {
		t.Errorf("Location is %q, want %q", a.header.Get("Location"), want)
	}
}

func TestClientsChooseTheirSysID(t *testing.T) {
	in := newInstance(t, sim.Options{})
	const id = "0123456789abcdef0123456789abcdef"
	var got map[string]any
	in.result(in.do("integration", "POST", "/api/now/table/incident", `{"sys_id":"`+id+`","number":"INC0010001"}`), 201, &got)
	if got["sys_id"] != id || got["number"] != "INC0010001" {
		t.Errorf("sys_id %v and number %v were not honoured", got["sys_id"], got["number"])
	}
	if a := in.do("integration", "POST", "/api/now/table/incident", `{"sys_id":"`+id+`"}`); a.status != 403 || !strings.Contains(a.body, "Unique Key violation") {
		t.Errorf("a second record with the same sys_id: %d %s", a.status, a.body)
	}
	in.result(in.do("integration", "POST", "/api/now/table/incident", `[{"sys_id":"junk"},{"short_description":"second"}]`), 201, &got)
	if got["number"] != "INC0010002" || got["short_description"] != "" {
		t.Errorf("the first free number after a chosen one is %v, of record %v", got["number"], got["short_description"])
	}
}

func TestStateRules(t *testing.T) {
	resolve := map[string]string{"state": "6", "close_code": "Solution provided", "close_notes": "done"}
	for _, tt := range []struct {
		name  string
		user  string
		steps []map[string]string
		want  map[string]string
	}{
		{"incident_state follows state", "integration", []map[string]string{{"state": "2"}}, map[string]string{"incident_state": "2", "active": "true"}},
		{"state follows incident_state", "integration", []map[string]string{{"incident_state": "2"}}, map[string]string{"state": "2"}},
		{"state leads when both are sent", "integration", []map[string]string{{"state": "2", "incident_state": "3"}}, map[string]string{"state": "2", "incident_state": "2"}},
		{"resolving stamps", "integration", []map[string]string{resolve},
			map[string]string{"state": "6", "active": "true", "resolved_at": "2026-03-02 11:00:00", "calendar_stc": "3600", "closed_at": ""}},
		{"closing after resolving needs nothing else", "closer", []map[string]string{resolve, {"state": "7"}},
			map[string]string{"state": "7", "active": "false", "closed_at": "2026-03-02 12:00:00", "resolved_at": "2026-03-02 11:00:00"}},
		{"canceling ends", "integration", []map[string]string{{"state": "8"}}, map[string]string{"active": "false", "closed_at": ""}},
		{"reopening counts and clears the stamps", "integration", []map[string]string{resolve, {"state": "2"}},
			map[string]string{"state": "2", "reopen_count": "1", "reopened_time": "2026-03-02 12:00:00", "resolved_at": "", "resolved_by": ""}},
		{"leaving On Hold clears its reason", "integration", []map[string]string{{"state": "3", "hold_reason": "4"}, {"state": "2"}}, map[string]string{"hold_reason": ""}},
		{"a hold reason without On Hold does not stay", "integration", []map[string]string{{"hold_reason": "4"}}, map[string]string{"hold_reason": "", "sys_mod_count": "0"}},
		{"priority is computed", "integration", []map[string]string{{"impact": "1", "urgency": "1", "priority": "5"}}, map[string]string{"priority": "1"}},
		{"a choice without None cannot be cleared", "integration", []map[string]string{{"state": "", "impact": "", "category": ""}}, map[string]string{"state": "1", "impact": "3", "category": ""}},
		{"junk in an integer becomes nothing", "integration", []map[string]string{{"state": "open"}}, map[string]string{"state": "1"}},
		{"a customer's inactive state", "integration", []map[string]string{{"state": "11"}}, map[string]string{"state": "11", "active": "false"}},
		{"group changes are counted", "integration", []map[string]string{{"assignment_group": "a"}, {"assignment_group": "b"}}, map[string]string{"reassignment_count": "2"}},
		{"long text is cut", "integration", []map[string]string{{"short_description": strings.Repeat("é", 161)}}, map[string]string{"short_description": strings.Repeat("é", 160)}},
		{"a date that is none becomes nothing", "integration", []map[string]string{{"due_date": "2026-03-05T00:00:00Z"}}, map[string]string{"due_date": ""}},
		{"a date alone is its midnight", "integration", []map[string]string{{"due_date": "2026-03-05"}}, map[string]string{"due_date": "2026-03-05 00:00:00"}},
		{"no change leaves no trace", "integration", []map[string]string{{"short_description": "x"}, {"short_description": "x", "urgency": "3"}},
			map[string]string{"sys_mod_count": "1", "sys_updated_on": "2026-03-02 11:00:00"}},
		{"a journal entry is an update", "integration", []map[string]string{{"comments": "hello"}}, map[string]string{"sys_mod_count": "1", "comments": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInstance(t, sim.Options{})
			id := in.must("incident", nil)
			for _, step := range tt.steps {
				in.now = in.now.Add(time.Hour)
				var parts []string
				for k, v := range step {
					parts = append(parts, `"`+k+`":"`+v+`"`)
				}
				if a := in.patch(tt.user, id, "{"+strings.Join(parts, ",")+"}"); a.status != 200 {
					t.Fatalf("%v: %d %s", step, a.status, a.body)
				}
			}
			var names []string
			for k := range tt.want {
				names = append(names, k)
			}
			if d := cmp.Diff(tt.want, pick(in.Get("incident", id), names...)); d != "" {
				t.Errorf("stored (-want +got):\n%s", d)
			}
		})
	}
}

func TestRefusedWrites(t *testing.T) {
	const acl = "ACL Exception Update Failed due to security constraints"
	for _, tt := range []struct {
		name, user string
		before     map[string]string
		body, want string
	}{
		{"resolving without code and notes", "integration", nil, `{"state":"6"}`, "Data Policy Exception: The following fields are mandatory: Resolution code, Resolution notes"},
		{"resolving without notes", "integration", nil, `{"state":"6","close_code":"Duplicate"}`, "Data Policy Exception: The following fields are mandatory: Resolution notes"},
		{"an obsolete code is dropped and then missing", "integration", nil, `{"state":"6","close_code":"Solved (Permanently)","close_notes":"x"}`, "Data Policy Exception: The following fields are mandatory: Resolution code"},
		{"closing without the right", "integration", nil, `{"state":"7","close_code":"Duplicate","close_notes":"x"}`, acl},
		{"canceled is read only", "integration", map[string]string{"state": "8"}, `{"short_description":"x"}`, acl},
		{"closed is not reopened", "integration", map[string]string{"state": "7", "close_code": "Duplicate", "close_notes": "x"}, `{"state":"2"}`, acl},
		{"no roles", "noroles", nil, `{"short_description":"x"}`, acl},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInstance(t, sim.Options{})
			id := in.must("incident", tt.before)
			before := in.Get("incident", id)
			a := in.patch(tt.user, id, tt.body)
			want := `{"error":{"message":"Operation Failed","detail":"` + tt.want + `"},"status":"failure"}`
			if a.status != 403 || a.body != want {
				t.Errorf("%d %s\nwant 403 %s", a.status, a.body, want)
			}
			if d := cmp.Diff(before, in.Get("incident", id)); d != "" {
				t.Errorf("a refused write changed the record:\n%s", d)
			}
			if in.Writes() != 0 {
				t.Errorf("%d writes counted", in.Writes())
			}
		})
	}
}

func TestAdminsChangeOnlyTheShortListOfAClosedIncident(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", map[string]string{"state": "8", "short_description": "old"})
	if a := in.patch("admin", id, `{"short_description":"new","description":"why","state":"2"}`); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	got := pick(in.Get("incident", id), "short_description", "description", "state", "active")
	if d := cmp.Diff(map[string]string{"short_description": "old", "description": "why", "state": "8", "active": "false"}, got); d != "" {
		t.Errorf("stored (-want +got):\n%s", d)
	}
	if err := in.Update("incident", id, "beth.anglin", map[string]string{"state": "2"}); err == nil {
		t.Error("a person reopened a canceled incident")
	}
}

func TestPeoplesEditsGoThroughTheRules(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", map[string]string{"short_description": "x"})
	in.now = in.now.Add(time.Minute)
	if err := in.Update("incident", id, "beth.anglin", map[string]string{"state": "6"}); err == nil || !strings.Contains(err.Error(), "Resolution code") {
		t.Errorf("resolving without a code: %v", err)
	}
	if err := in.Update("incident", id, "beth.anglin", map[string]string{"impact": "1", "urgency": "1"}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"priority": "1", "sys_updated_by": "beth.anglin", "sys_mod_count": "1", "sys_updated_on": "2026-03-02 10:01:00", "sys_created_by": "people"}
	if d := cmp.Diff(want, pick(in.Get("incident", id), "priority", "sys_updated_by", "sys_mod_count", "sys_updated_on", "sys_created_by")); d != "" {
		t.Errorf("stored (-want +got):\n%s", d)
	}
	if in.Writes() != 0 || in.Requests() != 0 {
		t.Errorf("people's edits were counted as requests: %d, %d", in.Writes(), in.Requests())
	}
	in.Delete("incident", id)
	if in.Get("incident", id) != nil || len(in.All("incident")) != 0 || len(in.list("incident", "", "number")) != 0 {
		t.Error("a deleted incident is still there")
	}
	if gone := in.Find("sys_audit_delete", "documentkey", id); len(gone) != 1 {
		t.Errorf("sys_audit_delete has %v", gone)
	}
}

func TestChildrenFollowTheirParent(t *testing.T) {
	in := newInstance(t, sim.Options{})
	parent := in.must("incident", nil)
	child := in.must("incident", map[string]string{"parent_incident": parent})
	for _, step := range []struct {
		fields map[string]string
		want   string
	}{
		{map[string]string{"state": "2"}, "2"},
		{map[string]string{"state": "3", "hold_reason": "1"}, "2"},
		{map[string]string{"hold_reason": "4"}, "2"},
		{map[string]string{"state": "6", "close_code": "Duplicate", "close_notes": "n"}, "6"},
	} {
		if err := in.Update("incident", parent, "people", step.fields); err != nil {
			t.Fatal(err)
		}
		if got := in.Get("incident", child)["state"]; got != step.want {
			t.Errorf("after %v of the parent the child is in state %s, want %s", step.fields, got, step.want)
		}
	}
}

func TestTheCallersCommentEndsTheWait(t *testing.T) {
	in := newInstance(t, sim.Options{})
	joe := in.Find("sys_user", "user_name", "joe.employee")[0]["sys_id"]
	id := in.must("incident", map[string]string{"caller_id": joe, "state": "3", "hold_reason": "1"})
	for _, step := range []struct{ by, state string }{{"beth.anglin", "3"}, {"joe.employee", "2"}} {
		if err := in.Update("incident", id, step.by, map[string]string{"comments": "here I am"}); err != nil {
			t.Fatal(err)
		}
		if got := in.Get("incident", id)["state"]; got != step.state {
			t.Errorf("after a comment by %s the state is %s, want %s", step.by, got, step.state)
		}
	}
}

func TestCustomColumnsChoicesAndTables(t *testing.T) {
	in := newInstance(t, sim.Options{})
	old := in.must("incident", nil)
	in.must("sys_dictionary", map[string]string{"name": "incident", "element": "u_ticket", "column_label": "Ticket", "internal_type": "string", "max_length": "5"})
	in.must("sys_choice", map[string]string{"name": "incident", "element": "close_code", "value": "Code 6", "label": "Code 6"})
	if a := in.patch("integration", old, `{"u_ticket":"1234567","state":"6","close_code":"Code 6","close_notes":"x"}`); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if got := in.list("incident", "u_ticket=12345", "u_ticket"); len(got) != 1 {
		t.Errorf("the customer's column found %v", got)
	}
	super := in.Find("sys_db_object", "name", "task")[0]["sys_id"]
	in.must("sys_db_object", map[string]string{"name": "u_job", "label": "Job", "super_class": super})
	in.must("u_job", map[string]string{"short_description": "my job"})
	if got := in.list("task", "sys_class_name=u_job", "short_description"); len(got) != 1 || got[0] != "my job" {
		t.Errorf("the parent's view of a customer's table has %v", got)
	}
}
