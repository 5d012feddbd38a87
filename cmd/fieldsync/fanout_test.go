package main

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	alarmsim "github.com/fieldsync/fieldsync/connectors/dataminer/sim"
	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// toInstance is a sync of the help desk's tickets with one of two instances. NAME is which.
const toInstance = `
connection "servicenow" "NAME" {
  url    = env("URL_NAME")
  lag    = "0s"
  settle = "1s"
  auth "basic" {
    username = "integration"
    password = "secret"
  }
  limits { rate = "1000/s" }
}
sync "to_NAME" {
  first    = "ticket"
  conflict = "ticket"
  side "ticket" {
    connection = connection.desk
    collection = "tickets"
  }
  side "incident" {
    connection = connection.NAME
    collection = "incident"
    create     = true
  }
  match {
    ticket   = "id"
    incident = "correlation_id"
  }
  field "title" {
    ticket   = "title"
    incident = "short_description"
  }
  field "number" {
    flow     = "ticket <- incident"
    ticket   = "number_NAME"
    incident = "number"
  }
  field "assigned" {
    flow     = "ticket <- incident"
    ticket   = "group_NAME"
    incident = "assignment_group"
  }
  comments {
    ticket   = "comments"
    incident = "work_notes"
    format   = "'[' + author + '] ' + text"
  }
}
`

const twoInstances = `
fieldsync { state = "state.db" }
connection "sql" "desk" {
  driver = "sqlite"
  dsn    = "desk.db"
  collection "tickets" {
    table    = "tickets"
    key      = "id"
    comments "comments" {
      table  = "ticket_comments"
      parent = "ticket_id"
      text   = "body"
      author = "author"
      time   = "created_at"
    }
  }
}
`

func TestOneTicketToTwoInstances(t *testing.T) {
	s := newStage(t, twoInstances+strings.ReplaceAll(toInstance, "NAME", "north")+strings.ReplaceAll(toInstance, "NAME", "south"))
	// The second one numbers its incidents from somewhere else, and has the other's sys_ids for other records.
	south := snowsim.New(snowsim.Options{Now: s.now, Seed: 7})
	for range 3 {
		south.Insert("incident", map[string]string{"short_description": "Of the south"})
	}
	srv := httptest.NewServer(south)
	t.Cleanup(srv.Close)
	s.setenv("URL_north", s.env["SNOW_URL"])
	s.setenv("URL_south", srv.URL)
	desk := func(text string) string {
		t.Helper()
		out, err := query(filepath.Join(s.dir, "desk.db"), text)
		s.must(err)
		return out
	}
	desk(`CREATE TABLE tickets (id TEXT PRIMARY KEY, title TEXT, number_north TEXT, number_south TEXT, group_north TEXT, group_south TEXT)`)
	desk(`CREATE TABLE ticket_comments (id INTEGER PRIMARY KEY, ticket_id TEXT, body TEXT, author TEXT, created_at DATETIME)`)
	desk(`INSERT INTO tickets (id, title) VALUES ('T-1', 'Router 7 down'), ('T-2', 'Disk full')`)
	incident := func(at *snowsim.Server, ticket string) map[string]string {
		t.Helper()
		found := at.Find("incident", "correlation_id", ticket)
		if len(found) != 1 {
			t.Fatalf("%d incidents of %s, want one", len(found), ticket)
		}
		return found[0]
	}
	settle := func() {
		t.Helper()
		for range 3 { // what one sync brings is another one's news
			s.apply()
		}
		writes, tickets := [2]int64{int64(s.snow.Writes()), int64(south.Writes())}, desk(`SELECT * FROM tickets`)+desk(`SELECT * FROM ticket_comments`)
		s.ends(exitOK, "apply", "--yes", "--full")
		if now := [2]int64{int64(s.snow.Writes()), int64(south.Writes())}; now != writes || desk(`SELECT * FROM tickets`)+desk(`SELECT * FROM ticket_comments`) != tickets {
			t.Errorf("writes when nothing has changed: %d became %d", writes, now)
		}
	}
	settle()

	// Each instance has an incident of each ticket, and the ticket both numbers.
	for _, id := range []string{"T-1", "T-2"} {
		want := fmt.Sprintf("%s|%s\n", incident(s.snow, id)["number"], incident(south, id)["number"])
		s.same("numbers of "+id, desk(`SELECT number_north, number_south FROM tickets WHERE id = '`+id+`'`), want)
	}
	s.same("incidents", [2]int{len(s.snow.All("incident")), len(south.All("incident"))}, [2]int{2, 5})

	// What is of one instance alone stays between it and the ticket; a title goes on, through the ticket.
	group := s.snow.All("sys_user_group")[0]["sys_id"]
	s.pass(10 * time.Second)
	s.must(s.snow.Update("incident", incident(s.snow, "T-1")["sys_id"], "people", map[string]string{"assignment_group": group, "short_description": "Router 7 is dead"}))
	settle()
	s.same("the ticket", desk(`SELECT title, group_north, coalesce(group_south, '') FROM tickets WHERE id = 'T-1'`), "Router 7 is dead|"+group+"|\n")
	s.same("the south's incident", incident(south, "T-1")["short_description"]+"|"+incident(south, "T-1")["assignment_group"], "Router 7 is dead|")

	// A note of each of the three reaches the other two once, and does not come back to where it was written.
	s.pass(10 * time.Second)
	s.must(s.snow.Update("incident", incident(s.snow, "T-1")["sys_id"], "beth.anglin", map[string]string{"work_notes": "said in the north"}))
	s.must(south.Update("incident", incident(south, "T-1")["sys_id"], "david.loo", map[string]string{"work_notes": "said in the south"}))
	desk(`INSERT INTO ticket_comments (ticket_id, body, author, created_at) VALUES ('T-1', 'said at the desk', 'ann', '` + s.now().UTC().Format(time.DateTime) + `')`)
	settle()
	notes := func(at *snowsim.Server) (all []string) {
		for _, e := range at.Find("sys_journal_field", "element_id", incident(at, "T-1")["sys_id"]) {
			all = append(all, e["value"])
		}
		return all
	}
	for where, all := range map[string][]string{"the north": notes(s.snow), "the south": notes(south), "the desk": strings.Split(strings.TrimSpace(desk(`SELECT body FROM ticket_comments WHERE ticket_id = 'T-1'`)), "\n")} {
		for _, text := range []string{"said in the north", "said in the south", "said at the desk"} {
			if n := strings.Count(strings.Join(all, "\n"), text); n != 1 {
				t.Errorf("%q stands %d times in %s:\n%s", text, n, where, strings.Join(all, "\n"))
			}
		}
	}

	// One instance away: the other goes on, and the one that comes back catches up.
	srv.CloseClientConnections()
	s.setenv("URL_south", "http://127.0.0.1:1")
	s.mapping(twoInstances + strings.ReplaceAll(toInstance, "NAME", "north") + strings.ReplaceAll(toInstance, "NAME", "south"))
	desk(`UPDATE tickets SET title = 'Router 7 is back' WHERE id = 'T-1'`)
	if out, code := s.run("apply", "--yes"); code == exitOK {
		t.Errorf("an instance that is away is not told:\n%s", out)
	}
	s.same("the north's title", incident(s.snow, "T-1")["short_description"], "Router 7 is back")
	s.setenv("URL_south", srv.URL)
	settle()
	s.same("the south's title", incident(south, "T-1")["short_description"], "Router 7 is back")
}

// oneOfMany is a sync of the tickets of one priority with the incidents of one category, over connections that all share.
const oneOfMany = `
sync "many_NAME" {
  schedule = "@every 1s"
  first    = "ticket"
  side "ticket" {
    connection = connection.noc
    collection = "tickets"
    where      = "ticket.Description == 'NAME'"
  }
  side "incident" {
    connection = connection.prod
    collection = "incident"
    query      = "category=NAME"
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
  field "category" {
    flow        = "ticket -> incident"
    incident    = "category"
    to_incident = "'NAME'"
  }
  field "number" {
    flow     = "ticket <- incident"
    ticket   = "External ID"
    incident = "number"
  }
  field "assignee" {
    flow     = "ticket <- incident"
    ticket   = "Assigned to"
    incident = "opened_by"
    via      = translation.people
  }
}
`

const manyConnections = `
fieldsync { state = "state.db" }
connection "servicenow" "prod" {
  url    = env("SNOW_URL")
  lag    = "0s"
  settle = "1s"
  auth "oauth" {
    grant         = "client_credentials"
    client_id     = "fieldsync"
    client_secret = "client-secret"
  }
  limits {
    rate        = "20/s"
    concurrency = 3
  }
}
connection "dataminer" "noc" {
  url = env("NOC_URL")
  auth "basic" {
    username = env("NOC_USER")
    password = env("NOC_PASSWORD")
  }
  limits { rate = "100/s" }
}
translation "people" {
  columns = ["ticket", "incident"]
  lookup {
    connection = connection.prod
    collection = "sys_user"
    ticket     = "email"
    incident   = "sys_id"
  }
}
`

func TestManySyncsShareOneConnection(t *testing.T) {
	kinds := []string{"network", "hardware", "software", "database", "inquiry"}
	mapping := manyConnections
	for _, kind := range kinds {
		mapping += strings.ReplaceAll(oneOfMany, "NAME", kind)
	}
	s := newStage(t, mapping)
	const each = 6
	for i := range each * len(kinds) {
		s.noc.AddTicket(map[string]string{"Title": fmt.Sprint("ticket ", i), "State": "New", "Description": kinds[i%len(kinds)]}, "")
	}
	s.serve(func() {
		s.until("an incident for each ticket", func() bool {
			return !slices.ContainsFunc(s.noc.Tickets(), func(t alarmsim.Ticket) bool { return t.Fields["External ID"] == "" })
		})
	})
	s.same("incidents", len(s.snow.All("incident")), each*len(kinds))
	for _, ticket := range s.noc.Tickets() {
		s.same("who opened the incident, by a look-up over the same connection", ticket.Fields["Assigned to"], "integration@example.com")
	}

	// One log-in each, whatever the number of syncs that began at the same time.
	tokens := 0
	var times []time.Time
	for _, r := range s.snow.Journal() {
		if r.Path == "/oauth_token.do" {
			tokens++
			continue
		}
		times = append(times, r.Time)
	}
	s.same("tokens that were asked for", tokens, 1)
	s.same("log-ins to DataMiner", s.noc.Logins(), 1)

	// One limiter: however many syncs run, no second has more requests than the connection may send, and those that may be
	// saved up.
	const rate, saved = 20, 3
	slices.SortFunc(times, time.Time.Compare)
	most := 0
	for i, j := 0, 0; j < len(times); j++ {
		for times[j].Sub(times[i]) >= time.Second {
			i++
		}
		most = max(most, j-i+1)
	}
	t.Logf("%d requests, at most %d in a second", len(times), most)
	if most > rate+saved+2 { // two for requests that were slow on their way
		t.Errorf("%d requests in one second, over a connection that may send %d", most, rate)
	}
	if most < rate {
		t.Errorf("at most %d requests in one second: the limit was never near", most)
	}
}

// threeTargets shows an incident on the alarm, the element and the service of its ticket, in all three properties.
const threeTargets = `
sync "on_TARGET" {
  after = [sync.ticket_to_incident]
  side "incident" {
    connection = connection.prod
    collection = "incident"
  }
  side "target" {
    connection = connection.noc
    collection = "TARGET"
  }
  match {
    incident = "FROM"
    target   = "id"
  }
  field "status" {
    flow     = "incident -> target"
    incident = "state"
    target   = "Incident Status"
    via      = translation.label
  }
  field "number" {
    flow     = "incident -> target"
    incident = "number"
    target   = "Incident Number"
  }
  field "ticket" {
    flow     = "incident -> target"
    incident = "correlation_id"
    target   = "Ticket ID"
  }
}
`

func TestOneIncidentToThreeProperties(t *testing.T) {
	m := newMarked(t, threeShown[0], "alarm_properties")
	for _, column := range []string{"u_element", "u_service"} {
		if m.snow.Insert("sys_dictionary", map[string]string{"name": "incident", "element": column, "internal_type": "string", "max_length": "40", "column_label": column}) == "" {
			t.Fatal("the instance refused the column")
		}
	}
	links, syncs := "", ""
	from := map[string]string{"alarm_properties": "correlation_display", "elements": "u_element", "services": "u_service"}
	for _, target := range []string{"alarm_properties", "elements", "services"} {
		links += "  field \"link_" + target + "\" {\n    flow     = \"ticket -> incident\"\n    ticket   = \"" + targets[target] + "\"\n    incident = \"" + from[target] + "\"\n  }\n"
		syncs += strings.NewReplacer("TARGET", target, "FROM", from[target]).Replace(threeTargets)
	}
	label := theirProperties[:strings.Index(theirProperties, "sync \"")]
	m.mapping(strings.Replace(theirTickets, "  field \"constants\" {", links+"  field \"constants\" {", 1) + label + syncs)
	shown := func(want map[string]string) {
		t.Helper()
		for _, target := range []string{"alarm_properties", "elements", "services"} {
			m.target = target
			got := map[string]string{}
			for _, name := range threeProperties {
				got[name] = m.properties()[name]
			}
			m.same("properties of "+target, got, want)
		}
	}
	m.approveIfAsked("apply", "--yes")
	in := m.incident("correlation_id", m.ticket)
	want := map[string]string{"Incident Status": "Acknowledged", "Incident Number": in["number"], "Ticket ID": m.ticket}
	shown(want)
	m.quiet()

	// A change reaches all three in one go, and costs one write each.
	before := m.noc.Writes()
	m.edit(m.ticket, map[string]string{"state": "2"})
	m.apply()
	want["Incident Status"] = "In Progress"
	shown(want)
	m.same("writes: the ticket's state and three properties", m.noc.Writes()-before, 4)
	m.quiet()

	// One target that takes no more keeps the others from nothing.
	m.noc.RemoveObject(alarmsim.Element, m.keys["elements"])
	m.edit(m.ticket, map[string]string{"state": "3"})
	if _, code := m.run("apply", "--yes"); code != exitOK && code != exitFailed {
		t.Errorf("apply ends with %d", code)
	}
	for _, target := range []string{"alarm_properties", "services"} {
		m.target = target
		m.same("status on "+target, m.properties()["Incident Status"], "On Hold")
	}
}
