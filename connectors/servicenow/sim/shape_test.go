package sim_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

func TestDisplayModes(t *testing.T) {
	users := append(sim.DefaultUsers(), sim.User{Login: "berlin", Name: "Berta Berlin", Password: "secret", Roles: []string{"itil"}, TimeZone: "Europe/Berlin"})
	in := newInstance(t, sim.Options{Users: users})
	beth := in.Find("sys_user", "user_name", "beth.anglin")[0]["sys_id"]
	id := in.must("incident", map[string]string{"caller_id": beth, "impact": "1", "watch_list": beth + ",a@example.com", "assigned_to": "Nobody Known"})
	if err := in.Update("incident", id, "beth.anglin", map[string]string{"comments": "First"}); err != nil {
		t.Fatal(err)
	}
	in.now = in.now.AddDate(0, 0, 1)
	if err := in.Update("incident", id, "people", map[string]string{"work_notes": "Second", "state": "6", "close_code": "Duplicate", "close_notes": "x"}); err != nil {
		t.Fatal(err)
	}
	link := func(version string) string {
		return "http://acme.example/api/now" + version + "/table/sys_user/" + beth
	}
	pair := func(display, value string) any { return map[string]any{"display_value": display, "value": value} }
	history := "2026-03-02 11:00:00 - Beth Anglin (Additional comments)\nFirst\n\n"
	for _, tt := range []struct {
		name, target string
		want         map[string]any
	}{
		{"raw", "/api/now/table/incident/%?sysparm_fields=caller_id,state,active,assigned_to,company,comments,opened_at,calendar_stc,sla_due,caller_id.name,company.name,sys_domain", map[string]any{
			"caller_id": map[string]any{"link": link(""), "value": beth}, "state": "6", "active": "true", "company": "", "comments": "", "opened_at": "2026-03-02 10:00:00",
			"assigned_to":  map[string]any{"link": "http://acme.example/api/now/table/sys_user/Nobody Known", "value": "Nobody Known"},
			"calendar_stc": "86400", "sla_due": "", "caller_id.name": "Beth Anglin", "company.name": "",
			"sys_domain": map[string]any{"link": "http://acme.example/api/now/table/sys_user_group/global", "value": "global"},
		}},
		{"links repeat the version", "/api/now/v2/table/incident/%?sysparm_fields=caller_id", map[string]any{"caller_id": map[string]any{"link": link("/v2"), "value": beth}}},
		{"raw without links", "/api/now/table/incident/%?sysparm_exclude_reference_link=true&sysparm_fields=caller_id,company,nope", map[string]any{"caller_id": beth, "company": ""}},
		{"display", "/api/now/table/incident/%?sysparm_display_value=true&sysparm_fields=caller_id,state,impact,active,company,comments,opened_at,calendar_stc,calendar_duration,sla_due,sys_class_name,watch_list", map[string]any{
			"caller_id": map[string]any{"display_value": "Beth Anglin", "link": link("")}, "state": "Resolved", "impact": "1 - High", "active": "true", "company": "",
			"comments": history, "opened_at": "2026-03-02 11:00:00", "calendar_stc": "86,400", "calendar_duration": "1 Day", "sla_due": "UNKNOWN", "sys_class_name": "Incident",
			"watch_list": "Beth Anglin, a@example.com",
		}},
		{"display without links", "/api/now/table/incident/%?sysparm_display_value=true&sysparm_exclude_reference_link=true&sysparm_fields=caller_id", map[string]any{"caller_id": "Beth Anglin"}},
		{"all", "/api/now/table/incident/%?sysparm_display_value=all&sysparm_fields=caller_id,sys_id,priority,company,comments,opened_at,caller_id.email,comments_and_work_notes", map[string]any{
			"caller_id": map[string]any{"display_value": "Beth Anglin", "link": link(""), "value": beth}, "sys_id": pair(id, id), "priority": pair("3 - Moderate", "3"),
			"company": pair("", ""), "comments": pair(history, ""), "opened_at": pair("2026-03-02 11:00:00", "2026-03-02 10:00:00"),
			"caller_id.email":         pair("beth.anglin@example.com", "beth.anglin@example.com"),
			"comments_and_work_notes": pair("2026-03-03 11:00:00 - People (Work notes)\nSecond\n\n"+history, ""),
		}},
		{"all without links", "/api/now/table/incident/%?sysparm_display_value=all&sysparm_exclude_reference_link=true&sysparm_fields=caller_id", map[string]any{"caller_id": pair("Beth Anglin", beth)}},
		{"the parent's view has the parent's fields only", "/api/now/table/task/%?sysparm_fields=sys_class_name,caller_id,number", map[string]any{"sys_class_name": "incident", "number": "INC0010001"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got map[string]any
			target := tt.target
			for i := range target {
				if target[i] == '%' {
					target = target[:i] + id + target[i+1:]
					break
				}
			}
			in.result(in.do("berlin", "GET", target, ""), 200, &got)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestEveryFieldIsThereAndEveryScalarIsAString(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", nil)
	var got map[string]any
	in.result(in.do("integration", "GET", "/api/now/table/incident/"+id+"?sysparm_exclude_reference_link=true", ""), 200, &got)
	if len(got) < 75 {
		t.Errorf("only %d fields", len(got))
	}
	for k, v := range got {
		if _, ok := v.(string); !ok {
			t.Errorf("%s is a %T", k, v)
		}
	}
}

func TestDisplayInput(t *testing.T) {
	users := []sim.User{{Login: "berlin", Name: "Berta Berlin", Password: "secret", Roles: []string{"itil"}, TimeZone: "Europe/Berlin"}}
	in := newInstance(t, sim.Options{Users: users})
	beth := in.Find("sys_user", "user_name", "beth.anglin")[0]["sys_id"]
	var got map[string]any
	in.result(in.do("berlin", "POST", "/api/now/table/incident?sysparm_input_display_value=true&sysparm_exclude_reference_link=true&sysparm_fields=caller_id,state,due_date",
		`{"caller_id":"Beth Anglin","state":"In Progress","due_date":"2026-03-05 01:00:00"}`), 201, &got)
	if d := cmp.Diff(map[string]any{"caller_id": beth, "state": "2", "due_date": "2026-03-05 00:00:00"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
