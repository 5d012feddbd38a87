package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	ilertsim "github.com/fieldsync/fieldsync/connectors/ilert/sim"
)

// theirConnections are the account and the instance, each under a name that all rules use.
const theirConnections = `
fieldsync { state = "state.db" }
connection "ilert" "ops" {
  url = env("ILERT_URL")
  auth "bearer" { token = env("ILERT_API_KEY") }
  collection "core" { sources = ["Zabbix core"] }
  collection "tickets" {
    sources         = ["Tickets"]
    integration_key = env("ILERT_KEY")
  }
}
connection "servicenow" "prod" {
  url    = env("SNOW_URL")
  lag    = "0s"
  settle = "1s"
  auth "basic" {
    username = env("SNOW_USER")
    password = env("SNOW_PASSWORD")
  }
}
translation "state" {
  columns = ["alert", "incident"]
  rows    = [["PENDING", "1"], ["ACCEPTED", "2"], ["RESOLVED", "6"]]
}
function "titled" {
  params = ["summary", "status"]
  result = "prefixed(summary, status, ['PENDING', 'ACCEPTED', 'RESOLVED'])"
}
`

// theirRule publishes the alerts of a source. NAME, FROM, KIND and WHERE are what tells one from another.
const theirRule = `
sync "NAME" {
  first = "alert"
  side "alert" {
    connection = connection.ops
    collection = "FROM"
    WHERE
  }
  side "incident" {
    connection = connection.prod
    collection = "incident"
    query      = "category=KIND"
    create     = true
  }
  match {
    alert    = "id"
    incident = "correlation_id"
  }
  field "kind" {
    flow        = "alert -> incident"
    incident    = "category"
    to_incident = "'KIND'"
  }
  field "title" {
    flow        = "alert -> incident"
    incident    = "short_description"
    to_incident = "titled(alert.summary, alert.status)"
  }
  field "state" {
    flow     = "alert -> incident"
    alert    = "status"
    incident = "state"
    via      = translation.state
  }
  field "closing" {
    flow        = "alert -> incident"
    incident    = ["close_code", "close_notes"]
    when        = "alert.status == 'RESOLVED'"
    strength    = "if_empty"
    to_incident = "['Solution provided', 'Resolved in ilert']"
  }
  comments {
    alert    = "comments"
    incident = "work_notes"
    flow     = "alert -> incident"
    format   = "author + ': ' + text"
  }
}
`

func rule(name, from, kind, where string) string {
	return strings.NewReplacer("NAME", name, "FROM", from, "KIND", kind, "WHERE", where).Replace(theirRule)
}

// theirAlerts publishes the alerts of one source.
var theirAlerts = theirConnections + rule("alert_to_incident", "tickets", "network", "")

const (
	coreSource    = 310455
	ticketsSource = 310456
	ada           = 12
)

// raise makes an alert and returns its id as text.
func (s *stage) raise(source int64, summary string) string {
	return fmt.Sprint(s.ops.Raise(ilertsim.Alert{Source: source, Summary: summary}))
}

// leads takes an alert on.
func (s *stage) leads(alert, status string) {
	s.t.Helper()
	var id int64
	_, err := fmt.Sscan(alert, &id)
	s.must(err)
	switch status {
	case "ACCEPTED":
		err = s.ops.Accept(id, ada)
	case "RESOLVED":
		err = s.ops.Resolve(id, ada)
	}
	s.must(err)
	s.pass(10 * time.Second)
}

// title is that of the incident of an alert.
func (s *stage) title(alert string) string {
	s.t.Helper()
	return s.incident("correlation_id", alert)["short_description"]
}

func TestWhatIlertsProductDoes(t *testing.T) {
	for _, row := range []struct {
		name string
		does func(*testing.T)
	}{
		{"a connection has a name and is used again", connectionUsedAgain},
		{"a rule is bound to a chosen source", boundToSource},
		{"several rules for one source", severalRules},
		{"the connection is tested without a record", testedWithout},
		{"the connection is tested with a record", testedWith},
		{"a dedicated user and its role are checked", userChecked},
		{"updates are published into the same ticket", sameTicket},
		{"which fields are published is chosen", fieldsChosen},
		{"which events are published is chosen", eventsChosen},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.does(t)
		})
	}
}

func connectionUsedAgain(t *testing.T) {
	s := newStage(t, theirConnections+rule("core", "core", "network", "")+rule("tickets", "tickets", "software", ""))
	s.raise(coreSource, "Router down")
	s.raise(ticketsSource, "Disk full")
	s.apply()
	s.same("incidents", s.incidents("short_description", "category"), []string{"PENDING Router down|network", "PENDING Disk full|software"})
	s.quiet()
	// One connection has one log-in to mend, and mends all rules.
	s.setenv("SNOW_PASSWORD", "changed meanwhile")
	out := s.ends(exitError, "plan")
	s.same("rules that say it", strings.Count(out, "User Not Authenticated") > 0, true)
	s.same("connections in the check", len(regexp.MustCompile(`(?m)^\w+$`).FindAllString(s.ends(exitError, "check"), -1)), 2)
	s.setenv("SNOW_PASSWORD", "secret")
	s.quiet()
}

func boundToSource(t *testing.T) {
	s := newStage(t, theirAlerts)
	s.raise(coreSource, "Router down")
	s.raise(ticketsSource, "Disk full")
	s.raise(310460, "Of another team")
	s.apply()
	s.same("incidents", s.incidents("short_description"), []string{"PENDING Disk full"})
	s.quiet()
	s.mapping(s.edited(theirAlerts, `sources         = ["Tickets"]`, `sources         = ["Tikets"]`))
	s.says(exitError, []string{"apply", "--yes"}, `no alert source is called "Tikets"`, `did you mean "Tickets"?`)
}

func severalRules(t *testing.T) {
	s := newStage(t, theirConnections+
		rule("urgent", "tickets", "network", "where = \"alert.priority == 'HIGH'\"")+
		strings.Replace(rule("quiet", "tickets", "software", "where = \"alert.priority == 'LOW'\""), "titled(alert.summary, alert.status)", "alert.summary", 1))
	urgent := s.raise(ticketsSource, "Disk full")
	calm := fmt.Sprint(s.ops.Raise(ilertsim.Alert{Source: ticketsSource, Summary: "Disk half full", Priority: "LOW"}))
	s.apply()
	s.leads(urgent, "ACCEPTED")
	s.leads(calm, "ACCEPTED")
	s.apply()
	s.same("incidents", s.incidents("short_description", "category", "state"), []string{"ACCEPTED Disk full|network|2", "Disk half full|software|2"})
	s.quiet()
}

func testedWithout(t *testing.T) {
	s := newStage(t, theirAlerts)
	s.snow.Insert("incident", map[string]string{"short_description": "Of people"})
	s.raise(ticketsSource, "Disk full")
	before := s.writes()
	s.says(exitOK, []string{"check"}, "accepted as Field Sync (fieldsync@example.net)", "accepted as integration (Integration User)", "Tickets; the integration_key is its own", "for example")
	s.same("writes", s.writes(), before)
	for _, wrong := range []struct{ name, value, want string }{
		{"ILERT_API_KEY", "il1api-revoked", "The provided API key is not valid"},
		{"SNOW_PASSWORD", "wrong-password", "User Not Authenticated"},
		{"ILERT_KEY", "il1zabbixcore", "Tickets has another integration key"},
		{"ILERT_URL", "http://127.0.0.1:1/api", "connection refused"},
	} {
		was := s.env[wrong.name]
		s.setenv(wrong.name, wrong.value)
		s.says(exitError, []string{"check"}, wrong.want, "way out: ")
		s.setenv(wrong.name, was)
	}
	s.same("writes in the end", s.writes(), before)
}

func testedWith(t *testing.T) {
	s := newStage(t, theirAlerts)
	s.snow.Insert("incident", map[string]string{"short_description": "Of people"})
	s.setenv("SNOW_USER", "admin") // who may delete
	s.setenv("SNOW_PASSWORD", "admin")
	out := s.ends(exitOK, "check", "--create-test-record")
	if !regexp.MustCompile(`INC\d+ \(http://127.0.0.1:\d+/nav_to\.do\S+\) was made, and found by its marker`).MatchString(out) || !strings.Contains(out, "was taken away again") {
		t.Errorf("number and link of the test record are not told:\n%s", out)
	}
	s.same("incidents that stay", s.incidents("short_description"), []string{"Of people"})
	s.apply()
	s.same("alerts that the test record became", len(s.ops.All()), 0)
	// Who may not delete is told what stays, and no rule ever takes that for its own.
	s.setenv("SNOW_USER", "integration")
	s.setenv("SNOW_PASSWORD", "secret")
	s.says(exitError, []string{"check", "prod", "--create-test-record"}, "stays: ", "no sync takes it for its own")
	left := s.incident("short_description", project.TestText)
	s.must(s.snow.Update("incident", left["sys_id"], "people", map[string]string{"category": "network"})) // into the scope of the rule
	before := s.writes()
	s.approve("apply", "--yes") // it is another account now
	s.ends(exitOK, "apply", "--yes", "--full")
	s.same("writes", s.writes(), before)
}

func userChecked(t *testing.T) {
	s := newStage(t, theirAlerts)
	s.snow.Insert("incident", map[string]string{"short_description": "Of people"})
	s.says(exitOK, []string{"check"}, "integration (Integration User)", "incident_manager", "incident: reading by sn_incident_read, creating by itil, writing by itil", "ADMIN")
	s.setenv("SNOW_USER", "noroles")
	s.says(exitError, []string{"check", "prod"}, "noroles (Norman Nobody)", "itil", "way out: ")
	// What the rule does needs a role that the user does not have.
	s.setenv("SNOW_USER", "integration")
	s.mapping(s.edited(theirAlerts, `["RESOLVED", "6"]`, `["RESOLVED", "7"]`))
	s.says(exitError, []string{"check", "prod"}, "closing (state 7) needs one of itil_admin, admin; the account has import_transformer, incident_manager", "way out: give the account the role itil_admin")
}

func sameTicket(t *testing.T) {
	s := newStage(t, theirAlerts)
	alert := s.raise(ticketsSource, "Host compute.infra is DOWN")
	s.apply()
	number := s.incident("correlation_id", alert)["number"]
	var id int64
	fmt.Sscan(alert, &id)
	for i, status := range []string{"ACCEPTED", "RESOLVED"} {
		s.must(s.ops.Comment(id, ada, fmt.Sprint("comment ", i)))
		s.leads(alert, status)
		s.apply()
		in := s.incident("correlation_id", alert)
		s.same("incident", in["number"]+"|"+in["short_description"], number+"|"+status+" Host compute.infra is DOWN")
	}
	var notes []string
	for _, e := range s.snow.Find("sys_journal_field", "element_id", s.incident("correlation_id", alert)["sys_id"]) {
		notes = append(notes, e["value"])
	}
	if text := strings.Join(notes, "\n"); strings.Count(text, "comment 0") != 1 || strings.Count(text, "comment 1") != 1 {
		t.Errorf("work notes:\n%s", text)
	}
	s.same("incidents", len(s.snow.All("incident")), 1)
	s.quiet()
	// The same key again, after the alert was resolved, is another alert and another ticket.
	s.raise(ticketsSource, "Host compute.infra is DOWN")
	s.apply()
	s.same("incidents", s.incidents("short_description"), []string{"RESOLVED Host compute.infra is DOWN", "PENDING Host compute.infra is DOWN"})
}

// without is a rule without one of its fields.
func without(t *testing.T, text, block string) string {
	t.Helper()
	re := regexp.MustCompile(`(?s)\n  ` + regexp.QuoteMeta(block) + ` \{.*?\n  \}`)
	if !re.MatchString(text) {
		t.Fatalf("the rule has no %s", block)
	}
	return re.ReplaceAllString(text, "")
}

func fieldsChosen(t *testing.T) {
	all := map[string]string{"title": "RESOLVED Disk full, and more", "state": "6", "notes": "Ada L.: Emptied"}
	for _, c := range []struct {
		name, left string
		want       map[string]string
	}{
		{"all of them", "", all},
		{"not the title", `field "title"`, map[string]string{"title": "Disk full", "state": "6", "notes": "Ada L.: Emptied"}},
		{"not the state", `field "state"`, map[string]string{"title": "RESOLVED Disk full, and more", "state": "1", "notes": "Ada L.: Emptied"}},
		{"not the comments", `comments`, map[string]string{"title": "RESOLVED Disk full, and more", "state": "6", "notes": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := theirAlerts
			switch c.left {
			case "":
			case `field "title"`: // given once, and not published after that
				text = strings.Replace(text, "    to_incident = \"titled(alert.summary, alert.status)\"", "    strength    = \"on_create\"\n    to_incident = \"alert.summary\"", 1)
			default:
				text = without(t, text, c.left)
			}
			s := newStage(t, text)
			alert := s.raise(ticketsSource, "Disk full")
			s.apply()
			var id int64
			fmt.Sscan(alert, &id)
			s.must(s.ops.Comment(id, ada, "Emptied"))
			s.must(s.ops.Rename(id, "Disk full, and more"))
			s.leads(alert, "RESOLVED")
			s.apply()
			in := s.incident("correlation_id", alert)
			got := map[string]string{"title": in["short_description"], "state": in["state"], "notes": ""}
			for _, e := range s.snow.Find("sys_journal_field", "element_id", in["sys_id"]) {
				got["notes"] += e["value"]
			}
			s.same("the incident", got, c.want)
			s.quiet()
		})
	}
}

func eventsChosen(t *testing.T) {
	// What is published when an alert is accepted, and when it is resolved.
	for _, c := range []struct {
		name, when string
		want       [3]string // after it was raised, accepted, resolved
	}{
		{"all of them", "true", [3]string{"PENDING Disk full", "ACCEPTED Disk full", "RESOLVED Disk full"}},
		{"not that it was accepted", "alert.status != 'ACCEPTED'", [3]string{"PENDING Disk full", "PENDING Disk full", "RESOLVED Disk full"}},
		{"not that it was resolved", "alert.status != 'RESOLVED'", [3]string{"PENDING Disk full", "ACCEPTED Disk full", "ACCEPTED Disk full"}},
		{"of urgent ones alone", "alert.priority == 'LOW'", [3]string{"", "", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := without(t, without(t, theirAlerts, `field "state"`), `field "closing"`)
			s := newStage(t, strings.Replace(text, "    to_incident = \"titled(alert.summary, alert.status)\"", "    when        = \""+c.when+"\"\n    to_incident = \"titled(alert.summary, alert.status)\"", 1))
			alert := s.raise(ticketsSource, "Disk full")
			s.apply()
			got := [3]string{s.title(alert)}
			for i, status := range []string{"ACCEPTED", "RESOLVED"} {
				s.leads(alert, status)
				s.apply()
				got[i+1] = s.title(alert)
			}
			s.same("titles", got, c.want)
			s.quiet()
		})
	}
}

// TestWhatIlertsProductDoesToTitles holds the status in the title to one prefix, in every case.
func TestWhatIlertsProductDoesToTitles(t *testing.T) {
	const field = "    to_incident = \"titled(alert.summary, alert.status)\""
	const words = "['PENDING', 'ACCEPTED', 'RESOLVED']"
	for _, row := range []struct {
		name    string
		rule    string // in the place of to_incident; "" leaves it
		summary string
		does    func(s *stage, alert string)
		want    string
	}{
		{"one prefix", "", "Host compute.infra is DOWN", func(s *stage, alert string) { s.leads(alert, "RESOLVED") }, "RESOLVED Host compute.infra is DOWN"},
		{"replaced and not stacked", "", "Host a", func(s *stage, alert string) {
			s.leads(alert, "ACCEPTED")
			s.apply()
			s.leads(alert, "RESOLVED")
		}, "RESOLVED Host a"},
		{"in place of one that the summary brings along", "", "RESOLVED Host a", func(s *stage, alert string) { s.leads(alert, "ACCEPTED") }, "ACCEPTED Host a"},
		{"in place of several that the summary brings along", "", "RESOLVED ACCEPTED Host a", func(s *stage, alert string) { s.leads(alert, "ACCEPTED") }, "ACCEPTED Host a"},
		{"a word that only begins like one is no prefix", "", "RESOLVEDLY Host a", func(s *stage, alert string) { s.leads(alert, "ACCEPTED") }, "ACCEPTED RESOLVEDLY Host a"},
		{"before a summary that ilert changed", "", "Host a", func(s *stage, alert string) {
			var id int64
			fmt.Sscan(alert, &id)
			s.must(s.ops.Rename(id, "Host a and b"))
		}, "PENDING Host a and b"},
		{"in brackets", "    to_incident = \"prefixed(alert.summary, '[' + alert.status + ']', ['[PENDING]', '[ACCEPTED]', '[RESOLVED]'])\"", "Host a",
			func(s *stage, alert string) { s.leads(alert, "RESOLVED") }, "[RESOLVED] Host a"},
		{"a long title keeps its prefix and loses its end", "    to_incident = \"cut(titled(alert.summary, alert.status), 160)\"", strings.Repeat("x", 200),
			func(s *stage, alert string) { s.leads(alert, "RESOLVED") }, "RESOLVED " + strings.Repeat("x", 151)},
		{"a person's edit is put back at once", "", "Host a", func(s *stage, alert string) {
			s.edit(alert, map[string]string{"short_description": "Edited"})
		}, "PENDING Host a"},
		{"a person's other prefix is put back", "", "Host a", func(s *stage, alert string) {
			s.edit(alert, map[string]string{"short_description": "RESOLVED Host a"})
		}, "PENDING Host a"},
		{"a person's edit is kept by the rule", "    drift       = \"keep\"\n" + field, "Host a", func(s *stage, alert string) {
			s.edit(alert, map[string]string{"short_description": "Edited"})
		}, "Edited"},
		{"a person's edit is kept until the alert moves", "    drift       = \"keep\"\n" + field, "Host a", func(s *stage, alert string) {
			s.edit(alert, map[string]string{"short_description": "Edited"})
			s.apply()
			s.leads(alert, "ACCEPTED")
		}, "ACCEPTED Host a"},
		{"a person's edit is kept for good", "    when        = \"prefixed(incident.short_description ?? alert.summary, '', " + words + ") == alert.summary\"\n" + field, "Host a",
			func(s *stage, alert string) {
				s.edit(alert, map[string]string{"short_description": "Edited"})
				s.apply()
				s.leads(alert, "ACCEPTED")
			}, "Edited"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			text := theirAlerts
			if row.rule != "" {
				text = strings.Replace(text, field, row.rule, 1)
			}
			s := newStage(t, text)
			alert := s.raise(ticketsSource, row.summary)
			s.apply()
			row.does(s, alert)
			s.apply()
			s.same("title", s.title(alert), row.want)
			s.quiet()
			s.same("title in the end", s.title(alert), row.want)
		})
	}
}
