package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

const faultsMapping = `
fieldsync { state = "state.db" }
connection "servicenow" "prod" {
  url       = env("SNOW_URL")
  page_size = 40
  auth "basic" {
    username = "admin"
    password = env("SNOW_PASSWORD")
  }
  limits {
    rate = "1000/s"
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
sync "desk" {
  first    = "ticket"
  conflict = "ticket"
  side "ticket" {
    connection = connection.desk
    collection = "tickets"
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
    ticket   = "title"
    incident = "short_description"
  }
  field "urgency" {
    ticket   = "urgency"
    incident = "urgency"
  }
  field "text" {
    ticket   = "body"
    incident = "description"
  }
  field "number" {
    flow     = "ticket <- incident"
    ticket   = "number"
    incident = "number"
  }
}
`

// A troubled is a help desk, an instance on which requests fail, and a clock that both and fieldsync go by.
type troubled struct {
	t    testing.TB
	dir  string
	snow *snowsim.Server
	env  map[string]string
	db   *sql.DB
	now  time.Time
}

func newTroubled(t testing.TB, seed int64) *troubled {
	w := &troubled{t: t, dir: t.TempDir(), now: time.Now().UTC().Truncate(time.Second)}
	w.snow = snowsim.New(snowsim.Options{Seed: seed, Now: func() time.Time { return w.now }})
	srv := httptest.NewServer(w.snow)
	t.Cleanup(srv.Close)
	w.env = map[string]string{"SNOW_URL": srv.URL, "SNOW_PASSWORD": "admin"}
	if err := os.WriteFile(filepath.Join(w.dir, "faults.hcl"), []byte(faultsMapping), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.db, err = sql.Open("sqlite3", filepath.Join(w.dir, "desk.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	w.exec(`CREATE TABLE tickets (id TEXT PRIMARY KEY, title TEXT, urgency TEXT, body TEXT, number TEXT, updated_at DATETIME)`)
	return w
}

func (w *troubled) exec(query string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Exec(query, args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *troubled) run(args ...string) (string, int) {
	var out bytes.Buffer
	code := run(context.Background(), append(args, "-d", w.dir), stdio{In: strings.NewReader(""), Out: &out, Err: &out, Now: func() time.Time { return w.now },
		Getenv: func(name string) (string, bool) { v, ok := w.env[name]; return v, ok }})
	return out.String(), code
}

// settle applies until a run has nothing to do, with time enough between runs that nothing waits for its turn.
func (w *troubled) settle() (runs int) {
	w.t.Helper()
	const most = 60
	var out string
	for runs < most {
		w.now = w.now.Add(2 * time.Hour)
		before := w.snow.Writes()
		var code int
		out, code = w.run("apply", "--yes")
		runs++
		if code == exitOK && w.snow.Writes() == before {
			return runs
		}
	}
	w.t.Fatalf("not settled after %d runs; the last one said:\n%s", most, out)
	return runs
}

// check holds both sides to one incident for each ticket, with the same values.
func (w *troubled) check(tickets int) {
	w.t.Helper()
	if out, code := w.run("plan"); code != exitOK {
		w.t.Errorf("the next plan is not empty:\n%s", out)
	}
	if n := len(w.snow.All("incident")); n != tickets {
		w.t.Errorf("%d incidents for %d tickets", n, tickets)
	}
	res, err := w.db.Query(`SELECT id, title, urgency, body, coalesce(number, '') FROM tickets`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Close()
	seen := 0
	for res.Next() {
		var id, title, urgency, body, number string
		if err := res.Scan(&id, &title, &urgency, &body, &number); err != nil {
			w.t.Fatal(err)
		}
		seen++
		list := w.snow.Find("incident", "correlation_id", id)
		if len(list) != 1 {
			w.t.Errorf("%d incidents for %s, want exactly one", len(list), id)
			continue
		}
		inc := list[0]
		if got, want := [4]string{inc["short_description"], inc["urgency"], inc["description"], inc["number"]}, [4]string{title, urgency, body, number}; got != want {
			w.t.Errorf("%s: the incident shows %q, the ticket %q", id, got, want)
		}
	}
	if err := res.Err(); err != nil || seen != tickets {
		w.t.Errorf("%d tickets, %v", seen, err)
	}
}

// fault adds faults to the instance.
func (w *troubled) fault(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		f, err := snowsim.ParseFault(text)
		if err == nil {
			err = w.snow.Fault(f)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// struck counts the faults so far, by kind.
func (w *troubled) struck() map[string]int {
	out := map[string]int{}
	for _, r := range w.snow.Journal() {
		if r.Fault != "" {
			out[r.Fault]++
		}
	}
	return out
}

func (w *troubled) ticket(i int) {
	w.exec(`INSERT INTO tickets VALUES (?, ?, ?, ?, NULL, ?)`, fmt.Sprintf("T-%03d", i), fmt.Sprintf("line %d is down", i), fmt.Sprint(1+i%3), "since\nnoon", w.now)
}

// edit is an agent of the help desk, on one column.
func (w *troubled) edit(id, column, value string) {
	w.exec(`UPDATE tickets SET `+column+` = ?, updated_at = ? WHERE id = ?`, value, w.now, id)
}

// seen is a person at the instance.
func (w *troubled) seen(inc map[string]string, fields map[string]string) {
	w.t.Helper()
	if err := w.snow.Update("incident", inc["sys_id"], "beth.anglin", fields); err != nil {
		w.t.Fatal(err)
	}
}

// TestFaultsAtARateLoseAndDoubleNothing carries 100 tickets to an instance on which requests of every kind fail,
// before and after they took effect, and then edits on both sides.
func TestFaultsAtARateLoseAndDoubleNothing(t *testing.T) {
	const tickets = 100
	for _, seed := range []int64{1, 2} {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newTroubled(t, seed)
			for i := range tickets {
				w.ticket(i)
			}
			w.fault("500-after:writes incident:rate=0.07", "reset-after:writes incident:rate=0.07", "504-after:writes incident:rate=0.03",
				"500-before:writes incident:rate=0.05", "reset-before:writes incident:rate=0.05", "503:writes incident:rate=0.03",
				"cut-broken:writes incident:rate=0.03", "cut-valid:writes incident:rate=0.03", "429:writes incident:rate=0.05",
				"cut-broken:GET incident:rate=0.05", "cut-valid:GET incident:rate=0.05", "500-before:GET incident:rate=0.03",
				"503:GET incident:rate=0.02", "429:GET incident:rate=0.02", "reset-before:GET incident:rate=0.02")
			runs := w.settle()
			want := map[string][3]string{} // title, urgency, text
			for i, inc := range w.snow.All("incident") {
				id := inc["correlation_id"]
				v := [3]string{inc["short_description"], inc["urgency"], inc["description"]}
				switch i % 8 {
				case 0:
					v[0] += " again"
					w.edit(id, "title", v[0])
				case 1:
					v[0], v[1] = "seen by Beth", "1"
					w.seen(inc, map[string]string{"short_description": v[0], "urgency": v[1]})
				case 2:
					v[1], v[2] = "2", "solved"
					w.edit(id, "body", v[2])
					w.seen(inc, map[string]string{"urgency": v[1]})
				}
				want[id] = v
			}
			runs += w.settle()
			struck := w.struck()
			w.snow.Calm()
			w.settle()
			w.check(tickets)
			for id, v := range want {
				inc := w.snow.Find("incident", "correlation_id", id)[0]
				if got := [3]string{inc["short_description"], inc["urgency"], inc["description"]}; got != v {
					t.Errorf("%s shows %q, want what was last written: %q", id, got, v)
				}
			}
			t.Logf("%d runs, %d requests, faults: %v", runs, w.snow.Requests(), struck)
			if len(struck) < 8 {
				t.Errorf("only %v struck", struck)
			}
		})
	}
}

// TestOneFaultAtEveryCallIsSurvived lets one request go wrong in the life of a ticket, each of all its requests in
// turn and in each way.
func TestOneFaultAtEveryCallIsSurvived(t *testing.T) {
	for _, fault := range []string{
		"500-after", "cut-broken", "401",
		// To a read these are little different from one above, or it is tried again below what is tested here.
		"login:writes", "202:writes", "500-before:writes", "cut-valid:writes", "hibernation:writes", "reset-before:writes", "reset-after:writes", "504-after:writes", "429:writes", "503:writes",
	} {
		t.Run(fault, func(t *testing.T) {
			n := 1
			for ; ; n++ {
				w := newTroubled(t, int64(n))
				w.ticket(0)
				text := fmt.Sprintf("%s:n=%d", fault, n)
				w.fault(text)
				w.settle()
				w.edit("T-000", "title", "still down")
				w.seen(w.snow.Find("incident", "correlation_id", "T-000")[0], map[string]string{"urgency": "3"})
				w.settle()
				struck := len(w.struck())
				w.snow.Calm()
				w.check(1)
				if inc := w.snow.All("incident")[0]; inc["short_description"] != "still down" || inc["urgency"] != "3" {
					t.Errorf("%s: the incident shows %q, %s", text, inc["short_description"], inc["urgency"])
				}
				if t.Failed() {
					t.Fatalf("after %s", text)
				}
				if struck == 0 {
					break
				}
			}
			if n < 3 { // a create and an update at least
				t.Errorf("only %d requests were struck", n-1)
			}
			t.Logf("%d calls", n-1)
		})
	}
}
