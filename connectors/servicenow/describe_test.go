package servicenow_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestDescribeUnitesTheTablesOfTheChain(t *testing.T) {
	in := newInstance(t, sim.Options{})
	for _, c := range []map[string]string{
		{"name": "task", "element": "state", "value": "77", "label": "Of the parent", "language": "en", "inactive": "false"},
		{"name": "incident", "element": "state", "value": "88", "label": "Not used any more", "language": "en", "inactive": "true"},
		{"name": "incident", "element": "state", "value": "99", "label": "Nieuw", "language": "nl", "inactive": "false"},
		{"name": "task", "element": "close_notes", "value": "Done", "label": "Only the parent has these", "language": "en", "inactive": "false"},
	} {
		if in.Insert("sys_choice", c) == "" {
			t.Fatalf("the choice %v was not stored", c)
		}
	}
	tb := collection(t, admin(in.url), "incident")
	before := in.Requests()
	s, err := tb.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tb.Describe(t.Context()); err != nil || in.Requests()-before != 4 {
		t.Errorf("describing twice took %d requests (%v), want 4", in.Requests()-before, err)
	}
	if s.Key != "sys_id" || s.Label != "number" || s.Open {
		t.Errorf("key %q, label %q, open %v", s.Key, s.Label, s.Open)
	}
	for _, c := range []struct {
		path  string
		holds func(connectors.Field) bool
		what  string
	}{
		{"short_description", func(f connectors.Field) bool { return f.Native == "string" && f.MaxLength == 160 && !f.ReadOnly }, "text of 160 characters"},
		{"category", func(f connectors.Field) bool { return len(f.Choices) > 0 && !f.Closed }, "open choices"},
		{"state", func(f connectors.Field) bool {
			return f.Closed && len(f.Choices) > 4 && f.Choices[0] == connectors.Choice{Value: record.OfText("1"), Label: "New"} &&
				!slices.ContainsFunc(f.Choices, func(c connectors.Choice) bool { return len(c.Value.Text()) == 2 })
		}, "the closed choices of incident, not of task, in their order"},
		{"close_notes", func(f connectors.Field) bool { return len(f.Choices) == 1 && !f.Closed }, "the choices of task, open"},
		{"caller_id", func(f connectors.Field) bool { return f.Reference == "sys_user" }, "a reference to sys_user"},
		{"opened_at", func(f connectors.Field) bool { return f.Type.Layout == "2006-01-02 15:04:05" && f.ReadOnly }, "a time that is stamped"},
		{"due_date", func(f connectors.Field) bool { return f.Type.Layout == "2006-01-02 15:04:05" && !f.ReadOnly }, "a time"},
		{"work_notes", func(f connectors.Field) bool { return f.Append && !f.ReadOnly }, "a journal"},
		{"comments_and_work_notes", func(f connectors.Field) bool { return f.ReadOnly }, "read only"},
		{"priority", func(f connectors.Field) bool { return f.ReadOnly }, "read only: it is computed"},
		{"resolved_at", func(f connectors.Field) bool { return f.ReadOnly }, "read only: it is stamped"},
		{"sys_updated_on", func(f connectors.Field) bool { return f.ReadOnly }, "read only"},
		{"correlation_id", func(f connectors.Field) bool { return !f.ReadOnly && len(f.Choices) == 0 }, "free"},
	} {
		f, ok := s.Field(c.path)
		if !ok || !c.holds(f) || f.Type.Kind != record.Text {
			t.Errorf("%s is %+v, want text: %s", c.path, f, c.what)
		}
	}
	users := collection(t, admin(in.url), "sys_user")
	if s, err := users.Describe(t.Context()); err != nil || s.Label == "" {
		t.Errorf("sys_user: %v, label %q", err, s.Label)
	}
}

func TestAHiddenDictionaryIsDenied(t *testing.T) {
	in := newInstance(t, sim.Options{HideDictionary: true})
	add(in, 1, nil)
	tb := collection(t, login(in.url, "integration"), "incident")
	for range 2 {
		s, err := tb.Describe(t.Context())
		if !errors.Is(err, connectors.ErrDenied) || !strings.Contains(connectors.Hint(err), "personalize_dictionary") {
			t.Errorf("the error is %v with hint %q", err, connectors.Hint(err))
		}
		if s == nil || !s.Hidden || s.Rest.Kind != record.Text {
			t.Errorf("the schema is %+v, want hidden fields that are text", s)
		}
	}
	before := in.Requests()
	_, _ = tb.Describe(t.Context())
	if n := in.Requests() - before; n != 0 {
		t.Errorf("asking again took %d requests, want none", n)
	}
	if keys, _ := scanned(t, tb, connectors.Query{Native: "active=true"}); len(keys) != 1 {
		t.Errorf("without a dictionary %d records were scanned, want 1", len(keys))
	}
}

func TestATableThatIsNotThereHasANeighbour(t *testing.T) {
	in := newInstance(t, sim.Options{})
	conn := open(t, admin(in.url))
	_, err := conn.Collection(t.Context(), "incidnet")
	if !errors.Is(err, connectors.ErrConfig) || !strings.Contains(connectors.Hint(err), `"incident"`) {
		t.Errorf("the error is %v with hint %q; want ErrConfig that suggests incident", err, connectors.Hint(err))
	}
	if _, err := conn.Collection(t.Context(), ""); !errors.Is(err, connectors.ErrConfig) {
		t.Errorf("no name: the error is %v, want ErrConfig", err)
	}
	s := admin(in.url + "/api/now/table/incident")
	for _, name := range []string{"", "incident", "sys_user"} {
		if _, err := open(t, s).Collection(t.Context(), name); err != nil {
			t.Errorf("table %q under the address of incident: %v", name, err)
		}
	}
}

func findings(t *testing.T, conn connectors.Connection) map[string]connectors.Finding {
	t.Helper()
	list, err := conn.(connectors.Checker).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]connectors.Finding{}
	for _, f := range list {
		if _, twice := m[f.What]; twice || !f.OK && f.Hint == "" {
			t.Errorf("finding %+v comes twice or has no hint", f)
		}
		m[f.What] = f
	}
	return m
}

func TestCheckSaysWhatIsMissing(t *testing.T) {
	users := append(sim.DefaultUsers(),
		sim.User{Login: "paris", Name: "P", Password: "p", Roles: []string{"itil"}, TimeZone: "Europe/Paris"},
		sim.User{Login: "reader", Name: "R", Password: "p", Roles: []string{"sn_incident_read"}},
		sim.User{Login: "locked", Name: "L", Password: "p", Roles: []string{"itil", "snc_read_only"}})
	in := newInstance(t, sim.Options{Users: users, HideDictionary: true})
	add(in, 2, nil)
	for _, c := range []struct {
		name, user string
		bad        []string
		says       map[string]string
	}{
		{"an administrator", "admin", []string{"clock"}, map[string]string{"log-in": "admin", "read incident": "2 rows", "dictionary": "fields"}},
		{"an integration", "integration", []string{"clock", "dictionary"}, map[string]string{"write incident": "itil", "time zone": "GMT"}},
		{"another time zone", "paris", []string{"clock", "dictionary", "time zone"}, map[string]string{"time zone": "Europe/Paris"}},
		{"a reader", "reader", []string{"clock", "dictionary", "write incident"}, map[string]string{"write incident": "sn_incident_read"}},
		{"a role that takes away", "locked", []string{"clock", "dictionary", "write incident"}, map[string]string{"write incident": "snc_read_only"}},
		{"nobody", "noroles", []string{"clock", "dictionary", "read incident"}, map[string]string{"read incident": "no row is shown; the instance counts 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := login(in.url, c.user)
			for _, u := range users {
				if u.Login == c.user {
					s.Auth.Password = connectors.Secret(u.Password)
				}
			}
			got := findings(t, open(t, s))
			for what, f := range got {
				if want := !slices.Contains(c.bad, what); f.OK != want {
					t.Errorf("%s is OK %v: %s", what, f.OK, f.Detail)
				}
			}
			for what, says := range c.says {
				if !strings.Contains(got[what].Detail, says) {
					t.Errorf("%s says %q, want %q", what, got[what].Detail, says)
				}
			}
		})
	}
	if n := in.Writes(); n != 0 {
		t.Errorf("the checks wrote %d times", n)
	}
}

func TestCheckOfAWrongLogInIsAFinding(t *testing.T) {
	in := newInstance(t, sim.Options{})
	got := findings(t, open(t, login(in.url, "nobody-here")))
	if f := got["log-in"]; len(got) != 1 || f.OK || !strings.Contains(f.Hint, "nobody-here") {
		t.Errorf("the findings are %+v, want one about the log-in", got)
	}
	in2 := newInstance(t, sim.Options{})
	s := admin(in2.url)
	s.Auth.Kind, s.Auth.Username, s.Auth.Password, s.Auth.Key = "api_key", "", "", "integration-key"
	if f := findings(t, open(t, s))["log-in"]; !f.OK || !strings.Contains(f.Detail, "accepted as integration") {
		t.Errorf("the finding is %+v", f)
	}
	in2.turn(t, "hide-rows=sys_user")
	if f := findings(t, open(t, s))["log-in"]; !f.OK || !strings.Contains(f.Detail, "API key") {
		t.Errorf("of a user that is not shown the finding is %+v", f)
	}
}
