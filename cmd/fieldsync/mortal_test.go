package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

const mortalMapping = `
fieldsync { state = "state/fieldsync.db" }
connection "servicenow" "prod" {
  url       = env("SNOW_URL")
  lag       = "0s"
  settle    = "400ms"
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
    comments "comments" {
      table  = "ticket_comments"
      parent = "ticket_id"
      text   = "body"
      author = "author"
      time   = "created_at"
    }
  }
}
sync "desk" {
  first    = "ticket"
  conflict = "ticket"
  schedule = "@every 1s"
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
  comments {
    ticket   = "comments"
    incident = "work_notes"
    format   = "'[' + author + ' ' + time + '] ' + text"
  }
}
`

// A mortal is a help desk, an instance that outlives every fieldsync process, and the process that is to be killed.
type mortal struct {
	t     *testing.T
	dir   string
	url   string
	db    *sql.DB
	snow  atomic.Pointer[snowsim.Server] // another one can take its place at the same address
	open  atomic.Int64                   // connections to the instance
	lives atomic.Int64                   // processes that were started

	mu    sync.Mutex
	ahead time.Duration // of the instance's clock and, in runs that end by themselves, of ours
	fuse  int           // writes until the process is killed; 0: never
	how   fuse
	child *exec.Cmd
}

// A fuse says when a write kills.
type fuse int

const (
	lost   fuse = iota // before the instance sees it
	unseen             // while the instance carries it out
	silent             // after it, before the answer
)

func newMortal(t *testing.T, seed int64) *mortal {
	m := &mortal{t: t, dir: t.TempDir()}
	m.snow.Store(snowsim.New(snowsim.Options{Seed: seed, Now: m.now}))
	srv := httptest.NewUnstartedServer(m)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			m.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			m.open.Add(-1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	m.url = srv.URL
	m.file("desk.hcl", mortalMapping)
	if err := os.Mkdir(filepath.Join(m.dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if m.db, err = sql.Open("sqlite3", filepath.Join(m.dir, "desk.db")+"?_busy_timeout=10000"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.db.Close() })
	m.exec(`CREATE TABLE tickets (id TEXT PRIMARY KEY, title TEXT, urgency TEXT, body TEXT, number TEXT, updated_at DATETIME)`)
	m.exec(`CREATE TABLE ticket_comments (id INTEGER PRIMARY KEY, ticket_id TEXT, body TEXT, author TEXT, created_at DATETIME)`)
	return m
}

func (m *mortal) file(name, content string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mortal) exec(query string, args ...any) {
	m.t.Helper()
	if _, err := m.db.Exec(query, args...); err != nil {
		m.t.Fatal(err)
	}
}

// now is the instance's clock.
func (m *mortal) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.ahead)
}

func (m *mortal) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead += d
}

// ServeHTTP is the instance, in front of which a write may kill who sends it.
func (m *mortal) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	how, strikes := m.burn(r)
	if strikes && how != silent {
		m.kill()
	}
	if !strikes || how != lost {
		m.snow.Load().ServeHTTP(rw, r)
	}
	if strikes && how == silent {
		m.kill()
	}
}

// burn counts a write down, and reports whether it is the one.
func (m *mortal) burn(r *http.Request) (fuse, bool) {
	if r.Method == http.MethodGet {
		return 0, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fuse == 0 {
		return 0, false
	}
	m.fuse--
	return m.how, m.fuse == 0
}

func (m *mortal) light(writes int, how fuse) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fuse, m.how = writes, how
}

func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.child != nil {
		_ = m.child.Process.Kill() // it may have ended
	}
}

// environ is what a child sees, on top of the environment of the test.
func (m *mortal) environ() []string {
	return append(os.Environ(), "SNOW_URL="+m.url, "SNOW_PASSWORD=admin")
}

// command is a fieldsync process.
func (m *mortal) command(out *bytes.Buffer, args ...string) *exec.Cmd {
	c := exec.Command("fieldsync", append(args, "-d", m.dir)...)
	c.Env, c.Stdout, c.Stderr = m.environ(), out, out
	return c
}

// start starts fieldsync serve.
func (m *mortal) start(out *bytes.Buffer) {
	m.t.Helper()
	c := m.command(out, "serve", "--listen", "127.0.0.1:0", "--log-level", "warn")
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.lives.Add(1)
	m.mu.Lock()
	m.child = c
	m.mu.Unlock()
}

// end waits for the end of the process, and for the instance to have read all that it sent.
func (m *mortal) end() error {
	m.mu.Lock()
	c := m.child
	m.mu.Unlock()
	err := c.Wait()
	m.mu.Lock()
	m.child, m.fuse = nil, 0
	m.mu.Unlock()
	for began := time.Now(); m.open.Load() > 0 && time.Since(began) < 5*time.Second; {
		time.Sleep(time.Millisecond)
	}
	return err
}

// run is a command that ends by itself, in this process.
func (m *mortal) run(args ...string) (string, int) {
	var out bytes.Buffer
	code := run(context.Background(), append(args, "-d", m.dir), stdio{In: strings.NewReader(""), Out: &out, Err: &out, Now: m.now,
		Getenv: func(name string) (string, bool) {
			v, ok := map[string]string{"SNOW_URL": m.url, "SNOW_PASSWORD": "admin"}[name]
			return v, ok
		}})
	return out.String(), code
}

func (m *mortal) fault(texts ...string) {
	m.t.Helper()
	for _, text := range texts {
		f, err := snowsim.ParseFault(text)
		if err == nil {
			err = m.snow.Load().Fault(f)
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *mortal) ticket(id, title string) {
	m.exec(`INSERT INTO tickets VALUES (?, ?, '2', 'since noon', NULL, ?)`, id, title, m.now().UTC())
}

// incident is the incident of a ticket; nil if there is none, or not one alone.
func (m *mortal) incident(id string) map[string]string {
	if list := m.snow.Load().Find("incident", "correlation_id", id); len(list) == 1 {
		return list[0]
	}
	return nil
}

// count asks the help desk for a number.
func (m *mortal) count(query string, args ...any) (n int) {
	m.t.Helper()
	if err := m.db.QueryRow(query, args...).Scan(&n); err != nil {
		m.t.Fatal(err)
	}
	return n
}

// pick is one of a list.
func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func ticketID(n int) string { return fmt.Sprintf("T-%04d", n) }
