package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	alarmsim "github.com/fieldsync/fieldsync/connectors/dataminer/sim"
	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// theirTickets is the main job of DataMiner's own connector for ServiceNow: tickets that are meant for ServiceNow
// become incidents, and what becomes of those comes back.
const theirTickets = `
fieldsync { state = "state.db" }
connection "servicenow" "prod" {
  url    = env("SNOW_URL")
  lag    = "0s"
  settle = "1s"
  auth "basic" {
    username = env("SNOW_USER")
    password = env("SNOW_PASSWORD")
  }
  limits { rate = "1000/s" }
}
connection "dataminer" "noc" {
  url = env("NOC_URL")
  auth "basic" {
    username = env("NOC_USER")
    password = env("NOC_PASSWORD")
  }
  bridge { token = env("NOC_TOKEN") }
  limits { rate = "1000/s" }
}
translation "state" {
  columns = ["ticket", "incident"]
  rows    = [["New", "1"], ["In Progress", "2"], ["Pending", "3"], ["Resolved", "6"], ["Closed", "7"], ["Closed", "8"]]
  lossy   = true
}
translation "people" {
  columns   = ["ticket", "incident"]
  unmatched = "hold"
  lookup {
    connection = connection.prod
    collection = "sys_user"
    ticket     = "email"
    incident   = "sys_id"
  }
}
sync "ticket_to_incident" {
  schedule = "@every 1s"
  first    = "ticket"
  conflict = "incident"
  side "ticket" {
    connection = connection.noc
    collection = "tickets"
    where      = "ticket.Priority != 'Low'"
  }
  side "incident" {
    connection = connection.prod
    collection = "incident"
    create     = true
  }
  match {
    ticket   = "id"
    incident = "correlation_id"
  }
  field "title" {
    ticket   = "Title"
    incident = "short_description"
  }
  field "text" {
    ticket   = "Description"
    incident = "description"
  }
  field "state" {
    ticket   = "State"
    incident = "state"
    via      = translation.state
  }
  field "priority" {
    ticket      = "Priority"
    incident    = ["impact", "urgency"]
    to_incident = "{'Critical': ['1', '1'], 'High': ['1', '2'], 'Medium': ['2', '2']}[ticket.Priority]"
    to_ticket   = "['Critical', 'High', 'Medium', 'Medium', 'Medium'][int(incident.impact) + int(incident.urgency) - 2]"
  }
  field "assignee" {
    flow     = "ticket <- incident"
    ticket   = "Assigned to"
    incident = "assigned_to"
    via      = translation.people
  }
  field "closing" {
    flow        = "ticket -> incident"
    incident    = ["close_code", "close_notes"]
    when        = "ticket.State in ['Resolved', 'Closed'] && (incident.state ?? '') not in ['7', '8']"
    strength    = "if_empty"
    to_incident = "['Solution provided', 'Closed in DataMiner']"
  }
  field "constants" {
    flow        = "ticket -> incident"
    incident    = ["category", "contact_type"]
    to_incident = "['network', 'monitoring']"
  }
  field "number" {
    flow     = "ticket <- incident"
    ticket   = "External ID"
    incident = "number"
  }
}
`

// low is a ticket that stays in DataMiner.
var low = map[string]string{"Title": "New chair", "State": "New", "Priority": "Low"}

// linked is a stage with one ticket and its incident.
func linked(t *testing.T) (s *stage, ticket string) {
	s = newStage(t, theirTickets)
	ticket = s.noc.AddTicket(map[string]string{"Title": "Input bitrate low", "State": "New", "Priority": "High"}, "")
	s.apply()
	s.incident("correlation_id", ticket)
	return s, ticket
}

func TestWhatDataMinersProductDoes(t *testing.T) {
	for _, row := range []struct {
		name string
		does func(*testing.T)
	}{
		{"the full table address or the instance, as people paste it", addressAsPasted},
		{"the port belongs to the address", portOfTheAddress},
		{"two ways to log in, each with its own settings alone", twoLogins},
		{"logs in by itself after a restart and a lost session", logsInByItself},
		{"a ticket becomes an incident by itself and exactly once", exactlyOnce},
		{"a ticket that is not meant for ServiceNow stays", staysWhereItIs},
		{"references are stored on both sides", references},
		{"constants for fields that the source lacks", constants},
		{"choices are translated", choicesTranslated},
		{"changes of state are pushed back", statesPushedBack},
		{"priority, assignment and texts are pushed back", othersPushedBack},
		{"quiet when nothing changed", quietWhenNothingChanged},
		{"catches up by itself after a stop", catchesUp},
		{"links are found again after the state file is lost", linksFoundAgain},
		{"all of it with tickets of today's Ticketing", ticketsOfToday},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.does(t)
		})
	}
}

func addressAsPasted(t *testing.T) {
	s, ticket := linked(t)
	instance := s.env["SNOW_URL"]
	for i, form := range []string{"/", "/api/now", "/api/now/table/incident", "/api/now/v2/table/incident", "/api/now/table/incident/",
		"/incident_list.do", "/now/nav/ui/classic/params/target/incident_list.do", "/nav_to.do?uri=incident_list.do"} {
		s.setenv("SNOW_URL", instance+form)
		s.edit(ticket, map[string]string{"short_description": fmt.Sprintf("seen %d", i)})
		s.apply()
		s.same("title of the ticket, through "+form, s.ticket(ticket)["Title"], fmt.Sprintf("seen %d", i))
	}
	noc := s.env["NOC_URL"]
	for i, form := range []string{"/", "/monitoring/", "/API/v1/Json.asmx", "/API/v1/json.asmx?WSDL"} {
		s.setenv("NOC_URL", noc+form)
		s.noc.EditTicket(ticket, map[string]string{"Description": fmt.Sprintf("said %d", i)})
		s.apply()
		s.same("text of the incident, through "+form, s.incident("correlation_id", ticket)["description"], fmt.Sprintf("said %d", i))
	}
	s.setenv("SNOW_URL", instance+"/api/now/import/incident")
	s.says(exitError, []string{"check", "prod"}, "the import API", "way out: ")
}

func portOfTheAddress(t *testing.T) {
	s, ticket := linked(t)
	other := newStage(t, theirTickets) // another instance on the same machine
	s.setenv("SNOW_URL", other.env["SNOW_URL"])
	// At another port is another system: nothing is written before somebody says that this is meant.
	s.says(exitStopped, []string{"apply", "--yes"}, "--approve")
	s.same("incidents of the other instance", len(other.snow.All("incident")), 0)
	s.setenv("SNOW_URL", "http://127.0.0.1:1/api/now/table/incident")
	s.says(exitError, []string{"check", "prod"}, "127.0.0.1:1", "connection refused")
	s.setenv("SNOW_URL", strings.Replace(other.env["SNOW_URL"], "127.0.0.1:", "127.0.0.1:x", 1))
	s.says(exitError, []string{"check", "prod"}, "way out: ")
	s.same("state of the ticket", s.ticket(ticket)["State"], "New")
}

func twoLogins(t *testing.T) {
	s, ticket := linked(t)
	basic := "auth \"basic\" {\n    username = env(\"SNOW_USER\")\n    password = env(\"SNOW_PASSWORD\")\n  }"
	s.setenv("SNOW_KEY", "integration-key")
	open := s.edited(theirTickets, `, ["Closed", "7"], ["Closed", "8"]`, "") // closing needs a role that this user does not have
	s.mapping(open)
	s.says(exitOK, []string{"check", "prod"}, "accepted as integration (Integration User)")
	for _, bad := range []struct{ auth, want string }{
		{`auth "basic" { username = env("SNOW_USER") }`, `auth "basic" has no password`},
		{`auth "api_key" { username = env("SNOW_USER") }`, `auth "api_key" has no key`},
		{"auth \"api_key\" {\n key = env(\"SNOW_KEY\")\n username = env(\"SNOW_USER\")\n }", `auth "api_key" has username, a setting of another kind of log-in`},
		{"auth \"basic\" {\n username = env(\"SNOW_USER\")\n password = env(\"SNOW_PASSWORD\")\n key = env(\"SNOW_KEY\")\n }", `auth "basic" has key, a setting of another kind of log-in`},
		{`auth "kerberos" {}`, `auth "kerberos" is not known`},
	} {
		s.mapping(s.edited(open, basic, bad.auth))
		s.says(exitError, []string{"check", "prod"}, bad.want, "way out: ")
	}
	s.mapping(s.edited(open, basic, `auth "api_key" { key = env("SNOW_KEY") }`))
	s.says(exitOK, []string{"check", "prod"}, "accepted as integration (Integration User)")
	// The other way in is another account to fieldsync: somebody has to say that it is meant, once.
	s.approve("apply", "--yes")
	s.edit(ticket, map[string]string{"state": "2"})
	s.apply()
	s.same("state of the ticket", s.ticket(ticket)["State"], "In Progress")
	s.setenv("SNOW_KEY", "wrong-key")
	out := s.ends(exitError, "check", "prod")
	if !strings.Contains(out, "log-in") || strings.Contains(out, "wrong-key") {
		t.Errorf("a wrong key is not said, or shown:\n%s", out)
	}
}

func logsInByItself(t *testing.T) {
	s, ticket := linked(t)
	// A session that is lost in the middle of a run, at every call of it in turn.
	for i, call := range []string{"GetDataMinerAgentTimeUTC", "GetTicketTypes", "GetActiveTicketsV2", "GetHistoryTicketsV2", "GetTicketV2", "UpdateTicket"} {
		s.must(s.noc.Fault("recycle:" + call + ":n=1"))
		s.edit(ticket, map[string]string{"short_description": fmt.Sprintf("edit %d", i)})
		logins := s.noc.Logins()
		s.apply()
		s.same("title after a session lost at "+call, s.ticket(ticket)["Title"], fmt.Sprintf("edit %d", i))
		if n := s.noc.Logins() - logins; n != 2 {
			t.Errorf("lost at %s: %d log-ins in a run, want 2", call, n)
		}
	}
	// A service that runs on: it keeps its session, and finds it dead after five minutes without a call, after a restart
	// of the web server, and after it was restarted itself.
	for restart := range 2 {
		s.serve(func() {
			for i, lose := range []func(){func() {}, s.noc.Recycle, func() { s.pass(6 * time.Minute) }} {
				lose()
				text := fmt.Sprintf("said %d %d", restart, i)
				s.edit(ticket, map[string]string{"description": text})
				s.until(text, func() bool { return s.ticket(ticket)["Description"] == text })
			}
		})
	}
}

func exactlyOnce(t *testing.T) {
	s := newStage(t, theirTickets)
	var tickets []string
	s.serve(func() {
		for i, fault := range []string{"", "500-before:POST incident:n=1", "500-after:POST incident:n=1", "reset-after:POST incident:n=1", "cut-broken:POST incident:n=1"} {
			if fault != "" {
				f, err := snowsim.ParseFault(fault)
				s.must(err)
				s.must(s.snow.Fault(f))
			}
			key := s.noc.AddTicket(map[string]string{"Title": fmt.Sprint("ticket ", i), "State": "New", "Priority": "High"}, "")
			tickets = append(tickets, key)
			s.until(fmt.Sprintf("the incident of ticket %d (%s)", i, fault), func() bool {
				s.pass(time.Minute) // what nobody knows the end of is looked for after a while
				return s.ticket(key)["External ID"] != ""
			})
		}
	})
	s.apply()
	s.quiet()
	for i, key := range tickets {
		s.same("title", s.incident("correlation_id", key)["short_description"], fmt.Sprint("ticket ", i))
	}
	s.same("incidents", len(s.snow.All("incident")), len(tickets))
}

func staysWhereItIs(t *testing.T) {
	s := newStage(t, theirTickets)
	key := s.noc.AddTicket(low, "")
	s.apply()
	s.same("incidents", s.incidents("short_description"), []string(nil))
	s.same("reference of the ticket", s.ticket(key)["External ID"], "")
	s.noc.EditTicket(key, map[string]string{"Priority": "Critical"})
	s.apply()
	s.same("incidents once it is meant for ServiceNow", s.incidents("short_description"), []string{"New chair"})
}

func references(t *testing.T) {
	s, ticket := linked(t)
	number := s.incident("correlation_id", ticket)["number"]
	if !strings.HasPrefix(number, "INC") {
		t.Errorf("the incident's number is %q", number)
	}
	s.same("reference on the ticket", s.ticket(ticket)["External ID"], number)
	// Somebody takes it away, or writes something else there: it is put back.
	for _, edit := range []string{"", "INC0000000"} {
		s.noc.EditTicket(ticket, map[string]string{"External ID": edit})
		s.apply()
		s.same("reference after an edit", s.ticket(ticket)["External ID"], number)
	}
}

func constants(t *testing.T) {
	s, ticket := linked(t)
	in := s.incident("correlation_id", ticket)
	s.same("category and contact type", [2]string{in["category"], in["contact_type"]}, [2]string{"network", "monitoring"})
	s.edit(ticket, map[string]string{"category": "software"})
	s.apply()
	s.same("category after an edit", s.incident("correlation_id", ticket)["category"], "network")
	// A constant that is edited in the mapping reaches the incidents that are there.
	s.mapping(s.edited(theirTickets, "['network', 'monitoring']", "['hardware', 'monitoring']"))
	s.approveIfAsked("apply", "--yes")
	s.same("category after an edit of the mapping", s.incident("correlation_id", ticket)["category"], "hardware")
}

func choicesTranslated(t *testing.T) {
	s := newStage(t, theirTickets)
	for _, c := range []struct{ state, priority, want string }{
		{"New", "Critical", "1|1|1|1"}, {"In Progress", "High", "2|1|2|2"}, {"Pending", "Medium", "3|2|2|3"}, {"Resolved", "High", "6|1|2|2"},
	} {
		key := s.noc.AddTicket(map[string]string{"Title": c.state, "State": c.state, "Priority": c.priority}, "")
		s.apply()
		in := s.incident("correlation_id", key)
		s.same(c.state+", "+c.priority, strings.Join([]string{in["state"], in["impact"], in["urgency"], in["priority"]}, "|"), c.want)
	}
	// A choice that the table leaves out holds its field, with its name; the rest of the record goes on.
	s.mapping(s.edited(theirTickets, `["Pending", "3"], `, ""))
	key := s.noc.AddTicket(map[string]string{"Title": "waits", "State": "New", "Priority": "High"}, "")
	s.approveIfAsked("apply", "--yes")
	s.noc.EditTicket(key, map[string]string{"State": "Pending", "Title": "waits for a part"})
	out, _ := s.run("apply", "--yes")
	if !strings.Contains(out, "Pending") {
		t.Errorf("the choice without a translation is not named:\n%s", out)
	}
	in := s.incident("correlation_id", key)
	s.same("state and title", in["state"]+"|"+in["short_description"], "1|waits for a part")
	s.says(exitOK, []string{"holds"}, "Pending")
}

func statesPushedBack(t *testing.T) {
	for _, c := range []struct{ to, name, want string }{
		{"1", "new", "New"}, {"2", "in progress", "In Progress"}, {"3", "on hold", "Pending"},
		{"6", "resolved", "Resolved"}, {"7", "closed", "Closed"}, {"8", "canceled", "Closed"},
	} {
		t.Run(c.to+" "+c.name, func(t *testing.T) {
			t.Parallel()
			s, ticket := linked(t)
			if c.to == "1" { // back to it
				s.edit(ticket, map[string]string{"state": "2"})
				s.apply()
				s.same("state of the ticket before", s.ticket(ticket)["State"], "In Progress")
			}
			fields := map[string]string{"state": c.to}
			if c.to == "6" || c.to == "7" {
				fields["close_code"], fields["close_notes"] = "Solution provided", "done"
			}
			s.edit(ticket, fields)
			s.apply()
			s.same("state of the ticket", s.ticket(ticket)["State"], c.want)
			s.same("state of the incident", s.incident("correlation_id", ticket)["state"], c.to)
			s.quiet()
			s.same("state of the incident in the end", s.incident("correlation_id", ticket)["state"], c.to)
		})
	}
}

func othersPushedBack(t *testing.T) {
	s, ticket := linked(t)
	beth := s.snow.Find("sys_user", "user_name", "beth.anglin")[0]
	s.edit(ticket, map[string]string{"impact": "1", "urgency": "1", "assigned_to": beth["sys_id"], "short_description": "Bitrate low", "description": "Since noon"})
	s.apply()
	got := s.ticket(ticket)
	delete(got, "External ID")
	s.same("ticket", got, map[string]string{"Title": "Bitrate low", "State": "New", "Priority": "Critical", "Assigned to": "beth.anglin@example.com", "Description": "Since noon"})
	s.quiet()
	// Taken away again.
	s.edit(ticket, map[string]string{"assigned_to": "", "description": ""})
	s.apply()
	s.same("assignee and text", s.ticket(ticket)["Assigned to"]+s.ticket(ticket)["Description"], "")
	// Another pair of impact and urgency with the same priority for DataMiner is no change there.
	s.edit(ticket, map[string]string{"impact": "3", "urgency": "2"})
	s.apply()
	s.edit(ticket, map[string]string{"impact": "3", "urgency": "3"})
	before := s.noc.Writes()
	s.apply()
	s.same("writes for another pair", s.noc.Writes()-before, 0)
	s.same("pair", s.incident("correlation_id", ticket)["impact"]+s.incident("correlation_id", ticket)["urgency"], "33")
}

func quietWhenNothingChanged(t *testing.T) {
	s, _ := linked(t)
	for range 5 {
		s.noc.AddTicket(map[string]string{"Title": "more", "State": "New", "Priority": "High"}, "")
	}
	s.apply()
	s.quiet()
	before := s.writes()
	stamps := s.incidents("sys_updated_on", "sys_mod_count")
	// Half a minute of a service that runs each second, at a clock that goes faster.
	s.serve(func() {
		logins := s.noc.Logins()
		for range 3 {
			seen := len(s.noc.Journal())
			s.pass(2 * time.Minute)
			s.until("another run", func() bool { return len(s.noc.Journal()) > seen+3 })
		}
		if n := s.noc.Logins() - logins; n > 1 {
			t.Errorf("%d log-ins in a service that is used all the time", n)
		}
	})
	s.same("writes", s.writes(), before)
	s.same("stamps of the incidents", s.incidents("sys_updated_on", "sys_mod_count"), stamps)
}

func catchesUp(t *testing.T) {
	s, ticket := linked(t)
	second := s.noc.AddTicket(map[string]string{"Title": "second", "State": "New", "Priority": "High"}, "")
	s.serve(func() {
		s.until("the second incident", func() bool { return s.ticket(second)["External ID"] != "" })
	})
	// Stopped over the weekend, while people work on both sides.
	s.pass(60 * time.Hour)
	third := s.noc.AddTicket(map[string]string{"Title": "third", "State": "New", "Priority": "High"}, "")
	s.noc.EditTicket(second, map[string]string{"State": "In Progress"})
	s.edit(ticket, map[string]string{"state": "6", "close_code": "Solution provided", "close_notes": "done"})
	s.edit(second, map[string]string{"short_description": "second, in ServiceNow"})
	s.pass(time.Hour)
	s.serve(func() {
		s.until("the third incident", func() bool { return s.ticket(third)["External ID"] != "" })
		s.until("what was resolved", func() bool { return s.ticket(ticket)["State"] == "Resolved" })
	})
	s.same("the second ticket", s.ticket(second)["Title"], "second, in ServiceNow")
	s.same("the incidents", s.incidents("short_description", "state"), []string{"Input bitrate low|6", "second, in ServiceNow|2", "third|1"})
	s.quiet()
}

func linksFoundAgain(t *testing.T) {
	s, ticket := linked(t)
	for i := range 4 {
		s.noc.AddTicket(map[string]string{"Title": fmt.Sprint("more ", i), "State": "New", "Priority": "High"}, "")
	}
	s.apply()
	before, numbers := s.writes(), s.incidents("number", "correlation_id")
	for _, name := range []string{"state.db", "state.db-wal", "state.db-shm"} {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	out := s.apply()
	s.same("writes of the first run without memory", s.writes(), before)
	s.same("incidents", s.incidents("number", "correlation_id"), numbers)
	if !strings.Contains(out, "5 newly linked") {
		t.Errorf("the links are not told:\n%s", out)
	}
	// And they carry again.
	s.edit(ticket, map[string]string{"state": "2"})
	s.apply()
	s.same("state of the ticket", s.ticket(ticket)["State"], "In Progress")
	s.quiet()
}

// todaysTickets is theirTickets with tickets of today's Ticketing, and the incident shown on their alarm.
const todaysTickets = `
translation "today" {
  columns = ["ticket", "incident"]
  rows    = [["acknowledged", "1"], ["inProgress", "2"], ["held", "3"], ["resolved", "6"], ["closed", "7"], ["cancelled", "8"]]
}
sync "today" {
  schedule = "@every 1s"
  first    = "ticket"
  conflict = "incident"
  side "ticket" {
    connection = connection.noc
    collection = "sdm_tickets"
  }
  side "incident" {
    connection = connection.prod
    collection = "incident"
    create     = true
  }
  match {
    ticket   = "id"
    incident = "correlation_id"
  }
  field "title" {
    ticket   = "name"
    incident = "short_description"
  }
  field "state" {
    ticket   = "state"
    incident = "state"
    via      = translation.today
  }
  field "priority" {
    ticket      = "priority"
    incident    = ["impact", "urgency"]
    to_incident = "{'critical': ['1', '1'], 'high': ['1', '2'], 'medium': ['2', '2'], 'low': ['3', '3']}[ticket.priority]"
    to_ticket   = "['critical', 'high', 'medium', 'low', 'low'][int(incident.impact) + int(incident.urgency) - 2]"
  }
  field "alarm" {
    flow     = "ticket -> incident"
    ticket   = "alarm"
    incident = "correlation_display"
  }
  field "number" {
    flow     = "ticket <- incident"
    ticket   = "external.ServiceNow"
    incident = "number"
  }
  comments {
    ticket   = "notes"
    incident = "work_notes"
    format   = "author + ': ' + text"
  }
}
`

func ticketsOfToday(t *testing.T) {
	s := newStage(t, "")
	s.must(s.noc.Switch("generation=sdm"))
	base := theirTickets[:strings.Index(theirTickets, "sync \"")]
	property := strings.NewReplacer("TARGET", "alarm_properties", "SOURCE", "number", "PROPERTY", "Incident Number", "VIA", "", "sync.ticket_to_incident", "sync.today").Replace(theirProperties)
	s.mapping(base + todaysTickets + property)
	s.ends(exitOK, "validate")
	alarm := s.noc.RaiseAlarm("Input bitrate low", "Major", nil)
	key := s.noc.AddSDMTicket(map[string]string{"name": "Input bitrate low", "priority": "high"}, alarm)
	ticket := func() alarmsim.SDMTicket {
		t.Helper()
		all := s.noc.SDMTickets()
		if len(all) != 1 {
			t.Fatalf("%d tickets", len(all))
		}
		return all[0]
	}
	s.serve(func() { // by itself, and once
		s.until("an incident", func() bool { return ticket().Fields["external."+alarmsim.ExternalOwner] != "" })
	})
	s.apply()
	in := s.incident("correlation_id", key)
	s.same("incident", in["short_description"]+"|"+in["state"]+"|"+in["impact"]+in["urgency"], "Input bitrate low|1|12")
	s.same("reference on the ticket", ticket().Fields["external.ServiceNow"], in["number"])
	a, _ := s.noc.Get(alarm)
	s.same("property of the alarm", a.Properties["Incident Number"], in["number"])
	s.quiet()

	// Changes and notes both ways.
	s.pass(time.Minute)
	s.noc.NoteSDMTicket(key, "ann", "Looking at it")
	s.noc.EditSDMTicket(key, map[string]string{"priority": "critical"})
	s.edit(key, map[string]string{"state": "3", "work_notes": "Waiting for a part"})
	s.apply()
	in = s.incident("correlation_id", key)
	s.same("pair of the incident", in["impact"]+in["urgency"], "11")
	s.same("state of the ticket", ticket().Fields["state"], "held")
	var notes []string
	for _, e := range s.snow.Find("sys_journal_field", "element_id", in["sys_id"]) {
		notes = append(notes, e["value"])
	}
	for _, n := range ticket().Notes {
		notes = append(notes, n.Text)
	}
	for text, want := range map[string]int{"Looking at it": 2, "Waiting for a part": 2} {
		if n := strings.Count(strings.Join(notes, "\n"), text); n != want {
			t.Errorf("%q stands %d times, want %d:\n%s", text, n, want, strings.Join(notes, "\n"))
		}
	}
	s.quiet()
	s.edit(key, map[string]string{"state": "8"})
	s.apply()
	s.same("state of the ticket, canceled", ticket().Fields["state"], "cancelled")
	s.quiet()
}
