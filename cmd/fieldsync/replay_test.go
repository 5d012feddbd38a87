package main

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/plan"
)

// replayLog is a real audit log of incidents, where the machine has it: UCI data set 498, CC BY 4.0.
const replayLog = "../../../shared/data/incident_event_log_sample.csv"

const replayMapping = `
fieldsync { state = "state.db" }
connection "servicenow" "prod" {
  url = env("SNOW_URL")
  lag = "0s"
  auth "basic" {
    username = "admin"
    password = env("SNOW_PASSWORD")
  }
}
connection "sql" "desk" {
  driver = "sqlite"
  dsn    = "desk.db"
  collection "tickets" {
    table    = "tickets"
    key      = "id"
    modified = "updated_at"
  }
}
translation "state" {
  columns = ["ticket", "incident"]
  rows    = [["new", "1"], ["open", "2"], ["waiting", "3"], ["info", "4"], ["evidence", "5"], ["resolved", "6"], ["closed", "7"], ["cancelled", "8"]]
}
translation "team" {
  columns = ["ticket", "incident"]
  lookup {
    connection = connection.prod
    collection = "sys_user_group"
    ticket     = "name"
    incident   = "sys_id"
  }
}
sync "desk" {
  conflict = "ask"
  first    = "incident"
  side "ticket" {
    connection = connection.desk
    collection = "tickets"
    create     = true
  }
  side "incident" {
    connection = connection.prod
    collection = "incident"
  }
  match {
    ticket   = "number"
    incident = "number"
  }
  field "title" {
    ticket   = "title"
    incident = "short_description"
  }
  field "category" {
    ticket   = "category"
    incident = "category"
  }
  field "impact" {
    ticket   = "impact"
    incident = "impact"
  }
  field "urgency" {
    ticket   = "urgency"
    incident = "urgency"
  }
  field "state" {
    ticket   = "status"
    incident = "state"
    via      = translation.state
    conflict = "incident"
  }
  field "team" {
    ticket   = "team"
    incident = "assignment_group"
    via      = translation.team
  }
  field "priority" {
    flow     = "ticket <- incident"
    ticket   = "priority"
    incident = "priority"
  }
}
`

// TestAYearOfRealEditsIsReplayedWithoutLosingOne plays a real instance's log, day by day, into the simulator,
// lets seeded agents edit the tickets at the same time, and runs fieldsync at the end of each day.
func TestAYearOfRealEditsIsReplayedWithoutLosingOne(t *testing.T) {
	f, err := os.Open(replayLog)
	if err != nil {
		t.Skip("the audit log is not on this machine")
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rp := newReplay(t, rows)
	for len(rp.events) > 0 {
		rp.day()
	}
	rp.sync(true)
	rp.check()
	t.Logf("%d runs, %d incidents, %d edits from the log (%d refused by the instance), %d edits of tickets, %d writes of fieldsync, %d requests, %d conflicts wait, %d holds wait",
		rp.runs, len(rp.incidents), rp.edits, rp.refused, rp.ticketEdits, rp.writes, rp.snow.Requests(), len(rp.waiting("conflicts")), len(rp.waiting("holds")))
}

type replayEvent struct {
	at     time.Time
	mod    int
	number string
	fields map[string]string
	group  string
}

// A human value, by whom on which day.
type replayEdit struct {
	value string
	day   int
}

type replay struct {
	t         *testing.T
	dir       string
	env       map[string]string
	snow      *snowsim.Server
	db        *sql.DB
	now       time.Time
	rng       *rand.Rand
	events    []replayEvent
	incidents map[string]string                   // number in the log → sys_id
	groups    map[string]string                   // name → sys_id
	last      [2]map[string]map[string]replayEdit // side → number → ticket column → last human value
	dayNo     int

	runs, edits, refused, ticketEdits int
	writes                            int64
}

// replayPaths pairs the columns of both sides, in the order in which agents pick them.
var replayPaths = []struct{ ticket, incident string }{{"title", "short_description"}, {"category", "category"}, {"impact", "impact"}, {"urgency", "urgency"}, {"status", "state"}, {"team", "assignment_group"}}

var replayStates = map[string]string{"New": "1", "Active": "2", "Awaiting Vendor": "3", "Awaiting Problem": "3", "Awaiting User Info": "4", "Awaiting Evidence": "5", "Resolved": "6", "Closed": "7", "-100": "2"}

var replayStatus = map[string]string{"1": "new", "2": "open", "3": "waiting", "4": "info", "5": "evidence", "6": "resolved", "7": "closed", "8": "cancelled"}

func newReplay(t *testing.T, rows [][]string) *replay {
	col := map[string]int{}
	for i, name := range rows[0] {
		col[name] = i
	}
	rp := &replay{t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(498, 2016)), incidents: map[string]string{}, groups: map[string]string{}}
	rp.last[0], rp.last[1] = map[string]map[string]replayEdit{}, map[string]map[string]replayEdit{}
	for _, row := range rows[1:] {
		get := func(name string) string {
			if v := row[col[name]]; v != "?" {
				return v
			}
			return ""
		}
		at, err := time.Parse("02-01-2006 15:04", get("sys_updated_at"))
		if err != nil {
			t.Fatal(err)
		}
		mod, _ := strconv.Atoi(get("sys_mod_count"))
		state := replayStates[get("incident_state")]
		ev := replayEvent{at: at, mod: mod, number: get("number"), group: get("assignment_group"), fields: map[string]string{
			"short_description": get("category") + " / " + get("subcategory"), "category": get("category"), "state": state,
			"impact": get("impact")[:1], "urgency": get("urgency")[:1]}}
		if state == "6" || state == "7" {
			ev.fields["close_code"], ev.fields["close_notes"] = "Solution provided", get("closed_code")+"."
		}
		rp.events = append(rp.events, ev)
	}
	slices.SortStableFunc(rp.events, func(a, b replayEvent) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.mod, b.mod))
	})
	rp.now = rp.events[0].at
	rp.snow = snowsim.New(snowsim.Options{Now: func() time.Time { return rp.now }})
	for value, label := range map[string]string{"4": "Awaiting User Info", "5": "Awaiting Evidence"} {
		rp.snow.Insert("sys_choice", map[string]string{"name": "incident", "element": "state", "value": value, "label": label, "language": "en", "inactive": "false"})
	}
	srv := httptest.NewServer(rp.snow)
	t.Cleanup(srv.Close)
	rp.env = map[string]string{"SNOW_URL": srv.URL, "SNOW_PASSWORD": "admin"}
	if err := os.WriteFile(filepath.Join(rp.dir, "replay.hcl"), []byte(replayMapping), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if rp.db, err = sql.Open("sqlite3", filepath.Join(rp.dir, "desk.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rp.db.Close() })
	rp.exec(`CREATE TABLE tickets (id INTEGER PRIMARY KEY, number TEXT, title TEXT, category TEXT, impact TEXT, urgency TEXT, status TEXT, team TEXT, priority TEXT, updated_at DATETIME)`)
	return rp
}

func (rp *replay) exec(query string, args ...any) {
	rp.t.Helper()
	if _, err := rp.db.Exec(query, args...); err != nil {
		rp.t.Fatal(err)
	}
}

// day plays one day of the log and of the help desk, and syncs.
func (rp *replay) day() {
	rp.dayNo++
	end := rp.events[0].at.Truncate(24 * time.Hour).Add(24 * time.Hour)
	for len(rp.events) > 0 && rp.events[0].at.Before(end) {
		rp.now = rp.events[0].at
		rp.play(rp.events[0])
		rp.events = rp.events[1:]
	}
	rp.agents()
	rp.now = end.Add(-time.Second)
	rp.sync(false)
}

// play makes one logged save: only what differs from the incident as the log last had it is an edit.
func (rp *replay) play(ev replayEvent) {
	if ev.group != "" && rp.groups[ev.group] == "" {
		rp.groups[ev.group] = rp.snow.Insert("sys_user_group", map[string]string{"name": ev.group})
	}
	ev.fields["assignment_group"] = rp.groups[ev.group]
	id := rp.incidents[ev.number]
	if id == "" {
		if id = rp.snow.Insert("incident", ev.fields); id == "" {
			rp.t.Fatalf("the instance refuses %v", ev)
		}
		rp.incidents[ev.number] = id
		rp.last[0][ev.number], rp.last[1][ev.number] = map[string]replayEdit{}, map[string]replayEdit{}
		for _, p := range replayPaths {
			rp.last[1][ev.number][p.ticket] = replayEdit{rp.asTicket(p.ticket, ev.fields[p.incident]), rp.dayNo}
		}
		return
	}
	change := map[string]string{}
	was := rp.snow.Get("incident", id)
	for _, p := range replayPaths {
		v := ev.fields[p.incident]
		if v != was[p.incident] && rp.last[1][ev.number][p.ticket].value != rp.asTicket(p.ticket, v) {
			change[p.incident] = v
		}
	}
	if len(change) == 0 {
		return
	}
	rp.edits++
	for k, v := range ev.fields {
		if strings.HasPrefix(k, "close_") {
			change[k] = v
		}
	}
	if err := rp.snow.Update("incident", id, "agent", change); err != nil {
		rp.refused++
		return
	}
	for _, p := range replayPaths {
		if v, ok := change[p.incident]; ok {
			rp.last[1][ev.number][p.ticket] = replayEdit{rp.asTicket(p.ticket, v), rp.dayNo}
		}
	}
}

// asTicket is an incident's value as the ticket has it.
func (rp *replay) asTicket(column, v string) string {
	switch column {
	case "status":
		return replayStatus[v]
	case "team":
		for name, id := range rp.groups {
			if id == v {
				return name
			}
		}
		return ""
	}
	return v
}

// agents edit some open tickets.
func (rp *replay) agents() {
	type ticket struct{ id, number string }
	var open []ticket
	res, err := rp.db.Query(`SELECT id, number FROM tickets WHERE status NOT IN ('closed', 'resolved', 'cancelled') ORDER BY id`)
	if err != nil {
		rp.t.Fatal(err)
	}
	for res.Next() {
		var tk ticket
		if err := res.Scan(&tk.id, &tk.number); err != nil {
			rp.t.Fatal(err)
		}
		open = append(open, tk)
	}
	if err := res.Err(); err != nil {
		rp.t.Fatal(err)
	}
	byNumber := map[string]string{}
	for logged, id := range rp.incidents {
		byNumber[rp.snow.Get("incident", id)["number"]] = logged
	}
	for range min(len(open)/4, 12) {
		tk := open[rp.rng.IntN(len(open))]
		column := replayPaths[rp.rng.IntN(4)].ticket
		value := map[string]string{"title": fmt.Sprintf("title of day %d", rp.dayNo), "category": fmt.Sprintf("Category %d", rp.rng.IntN(60)),
			"impact": fmt.Sprint(1 + rp.rng.IntN(3)), "urgency": fmt.Sprint(1 + rp.rng.IntN(3))}[column]
		var was sql.NullString
		if err := rp.db.QueryRow(`SELECT `+column+` FROM tickets WHERE id = ?`, tk.id).Scan(&was); err != nil {
			rp.t.Fatal(err)
		}
		if was.String == value {
			continue
		}
		rp.exec(`UPDATE tickets SET `+column+` = ?, updated_at = ? WHERE id = ?`, value, rp.now.Format("2006-01-02 15:04:05.000"), tk.id)
		rp.last[0][byNumber[tk.number]][column] = replayEdit{value, rp.dayNo}
		rp.ticketEdits++
	}
}

// sync runs apply as a person or a schedule would.
func (rp *replay) sync(full bool) {
	rp.t.Helper()
	args := []string{"apply", "--yes", "--json"}
	if full {
		args = append(args, "--full")
	}
	before := rp.snow.Writes()
	out, code := rp.run(args...)
	if code != exitOK && code != exitFailed {
		rp.t.Fatalf("day %d: apply ended with %d:\n%s", rp.dayNo, code, out)
	}
	rp.runs++
	rp.writes += rp.snow.Writes() - before
}

func (rp *replay) run(args ...string) (string, int) {
	var out bytes.Buffer
	// This machine lives in the time of the log, too: a clock that jumps against the instance's stops a run.
	code := run(context.Background(), append(args, "-d", rp.dir), stdio{In: strings.NewReader(""), Out: &out, Err: &out, Now: func() time.Time { return rp.now },
		Getenv: func(name string) (string, bool) { v, ok := rp.env[name]; return v, ok }})
	return out.String(), code
}

// waiting lists what waits, by the number of the incident and the field.
func (rp *replay) waiting(command string) map[[2]string]bool {
	out, code := rp.run(command, "--json")
	var list []struct {
		Conflict *plan.Conflict
		Hold     *plan.Hold
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK {
		rp.t.Fatalf("%s ended with %d, %v:\n%s", command, code, err, out)
	}
	byKey := map[string]string{}
	for _, inc := range rp.snow.All("incident") {
		byKey[inc["sys_id"]] = inc["number"]
	}
	found := map[[2]string]bool{}
	for _, w := range list {
		if w.Conflict != nil {
			found[[2]string{byKey[w.Conflict.Keys[1]], w.Conflict.Field}] = true
		} else {
			found[[2]string{byKey[w.Hold.Keys[1]], w.Hold.Field}] = true
		}
	}
	return found
}

// check holds the end of the replay to the promises.
func (rp *replay) check() {
	t := rp.t
	out, code := rp.run("plan")
	if code != exitOK {
		t.Errorf("the second run is not empty:\n%s", out)
	}
	conflicts, holds := rp.waiting("conflicts"), rp.waiting("holds")
	fieldOf := map[string]string{"title": "title", "category": "category", "impact": "impact", "urgency": "urgency", "status": "state", "team": "team"}
	for logged, id := range rp.incidents {
		inc := rp.snow.Get("incident", id)
		var n int
		if err := rp.db.QueryRow(`SELECT count(*) FROM tickets WHERE number = ?`, inc["number"]).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d tickets for %s, %v; want exactly one", n, inc["number"], err)
			continue
		}
		for _, p := range replayPaths {
			var v sql.NullString
			if err := rp.db.QueryRow(`SELECT `+p.ticket+` FROM tickets WHERE number = ?`, inc["number"]).Scan(&v); err != nil {
				t.Fatal(err)
			}
			key := [2]string{inc["number"], fieldOf[p.ticket]}
			other := rp.asTicket(p.ticket, inc[p.incident])
			mine, theirs := rp.last[0][logged][p.ticket], rp.last[1][logged][p.ticket]
			if conflicts[key] || holds[key] || holds[[2]string{inc["number"], ""}] {
				if mine.day > 0 && v.String != mine.value && v.String != theirs.value {
					t.Errorf("%s %s waits, but the ticket shows %q, which nobody wrote last", inc["number"], p.ticket, v.String)
				}
				continue
			}
			if v.String != other {
				t.Errorf("%s %s: the ticket shows %q, the incident %q, and nothing waits", inc["number"], p.ticket, v.String, other)
				continue
			}
			want := theirs.value
			if mine.day > theirs.day {
				want = mine.value
			}
			if mine.day == theirs.day && v.String == mine.value {
				want = mine.value
			}
			if v.String != want {
				t.Errorf("%s %s: both show %q, the last edit was %q (ticket on day %d: %q, incident on day %d: %q)",
					inc["number"], p.ticket, v.String, want, mine.day, mine.value, theirs.day, theirs.value)
			}
		}
	}
	var tickets int
	if err := rp.db.QueryRow(`SELECT count(*) FROM tickets`).Scan(&tickets); err != nil || tickets != len(rp.incidents) {
		t.Errorf("%d tickets for %d incidents, %v", tickets, len(rp.incidents), err)
	}
}
