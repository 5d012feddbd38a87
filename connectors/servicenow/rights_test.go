package servicenow_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestRightsAreToldByRole(t *testing.T) {
	user := func(login string, roles ...string) sim.User {
		return sim.User{Login: login, Name: login, Password: "secret", Roles: roles}
	}
	users := []sim.User{{Login: "admin", Name: "A", Password: "admin", Roles: []string{"admin"}}, user("manager", "incident_manager"), user("fulfiller", "itil"),
		user("agent", "sn_service_desk_agent"), user("writer", "sn_incident_write"), user("reader", "sn_incident_read"), user("closer", "itil", "itil_admin"),
		user("frozen", "itil", "snc_read_only"), user("nobody")}
	in := newInstance(t, sim.Options{Users: users})
	add(in, 2, nil)
	edits := connectors.Demand{Writes: []string{"short_description", "state"}, Create: true, Values: map[string][]record.Value{"state": values("1", "2", "6")}}
	closes := edits
	closes.Values = map[string][]record.Value{"state": values("6", "7")}
	deletes := edits
	deletes.Delete = true
	reads := connectors.Demand{}
	for _, c := range []struct {
		name, user string
		demand     connectors.Demand
		may, lacks []string
	}{
		{"an administrator who does everything", "admin", connectors.Demand{Writes: closes.Writes, Values: closes.Values, Create: true, Delete: true},
			[]string{"reading by admin", "creating by admin", "writing by admin", "closing (state 7) by admin", "deleting by admin"}, nil},
		{"incident_manager, with the itil that comes with it", "manager", edits, []string{"reading by itil", "creating by itil", "writing by itil"}, nil},
		{"itil", "fulfiller", edits, []string{"writing by itil"}, nil},
		{"itil that is to close", "fulfiller", closes, []string{"writing by itil"}, []string{"closing (state 7) needs one of itil_admin, admin; the account has itil"}},
		{"itil that is to delete", "fulfiller", deletes, []string{"writing by itil"}, []string{"deleting needs one of itil_admin, admin; the account has itil"}},
		{"incident_manager that is to close", "manager", closes, nil, []string{"closing (state 7) needs"}},
		{"itil_admin", "closer", closes, []string{"closing (state 7) by itil_admin"}, nil},
		{"a service desk agent", "agent", edits, []string{"writing by sn_incident_write"}, nil},
		{"the narrow roles", "writer", edits, []string{"reading by sn_incident_read", "creating by sn_incident_write"}, nil},
		{"a reader that reads", "reader", reads, []string{"reading by sn_incident_read"}, nil},
		{"a reader that is to write", "reader", edits, []string{"reading by sn_incident_read"}, []string{"creating needs", "writing needs"}},
		{"a role that takes away", "frozen", edits, nil, []string{"snc_read_only, which takes all writing away"}},
		{"one whose roles are not shown", "nobody", edits, []string{"the account's roles cannot be read"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := login(in.url, c.user)
			if c.user != "admin" {
				s.Auth.Password = "secret"
			}
			e, ok := connectors.As[connectors.Entitler](collection(t, s, "incident"))
			if !ok {
				t.Fatal("the table knows no rights")
			}
			before := in.Writes()
			found, err := e.Entitled(t.Context(), c.demand)
			if err != nil {
				t.Fatal(err)
			}
			says := func(ok bool, text string) bool {
				return slices.ContainsFunc(found, func(f connectors.Finding) bool {
					return f.OK == ok && strings.Contains(f.Detail, text) && (f.OK || f.Hint != "")
				})
			}
			for _, text := range c.may {
				if !says(true, text) {
					t.Errorf("it is not said that %q: %+v", text, found)
				}
			}
			for _, text := range c.lacks {
				if !says(false, text) {
					t.Errorf("it is not said that %q: %+v", text, found)
				}
			}
			if wrong := slices.ContainsFunc(found, func(f connectors.Finding) bool { return !f.OK }); wrong != (len(c.lacks) > 0) {
				t.Errorf("findings: %+v", found)
			}
			if in.Writes() != before {
				t.Error("a question has written something")
			}
		})
	}
}

func TestRightsToWhatStandsBesideATable(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, map[string]string{"work_notes": "hello"})[0]
	in.AttachFile("incident", key, "people", "a.txt", "text/plain", []byte("a"))
	d := connectors.Demand{Writes: []string{"state"}, Comments: connectors.Carried{Path: "work_notes", Write: true}, Files: connectors.Carried{Path: "attachments"}}
	asked := func() (all string, wrong bool) {
		e, _ := connectors.As[connectors.Entitler](in.as(t, "integration"))
		found, err := e.Entitled(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			all += f.Detail + " " + f.Hint + "\n"
			wrong = wrong || !f.OK
		}
		return all, wrong
	}
	all, wrong := asked()
	for _, want := range []string{"comments (sys_journal_field) can be read", "attachments (sys_attachment) can be read", "the audit (sys_audit)"} {
		if !strings.Contains(all, want) || wrong {
			t.Errorf("it is not said that %s:\n%s", want, all)
		}
	}
	for how, want := range map[string]bool{"journals=denied": true, "journals=hidden": true, "audits=denied": false} {
		in.turn(t, how)
		if all, wrong := asked(); wrong != want || !strings.Contains(all, "cannot be read") {
			t.Errorf("%s: wrong is %v:\n%s", how, wrong, all)
		}
		name, _, _ := strings.Cut(how, "=")
		in.turn(t, name+"="+map[string]string{"journals": "shown", "audits": "kept"}[name])
	}
}
