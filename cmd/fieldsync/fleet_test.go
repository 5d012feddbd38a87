package main

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors/servertest"
	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
)

// A fleet is several nodes that share one state, each of them reaching its server by a way of its own, and the two
// systems that they keep in step, which are on another server and outlive everything.
type fleet struct {
	t        testing.TB
	dir      string
	syncs    []string
	tickets  int // of each sync
	server   *servertest.Server
	state    string // URL
	systems  *sql.DB
	direct   string // URL of the systems
	nodes    []*node
	workers  int           // of each node
	patience time.Duration // with which a run of every sync is waited for

	last sync.Map // what a person wrote last, by sync, side, key and field
	said atomic.Int64
}

// A node is a process of the fleet.
type node struct {
	f     *fleet
	n     int
	way   *servertest.Way
	level string // of the log; "": warnings
	cmd   *exec.Cmd
	out   *lockedBuffer
}

// newFleet makes systems with as many syncs, of as many tickets each.
func newFleet(t testing.TB, syncs, tickets, nodes int) *fleet {
	f := &fleet{t: t, dir: t.TempDir(), tickets: tickets, patience: 40 * time.Second}
	f.server, f.state = sqltest.PrivatePostgres(t)
	f.direct = sqltest.Postgres(t)
	var err error
	if f.systems, err = sql.Open("pgx", f.direct+"&application_name=people"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.systems.Close() })
	// Systems take their time over every write, so that a run lasts long enough to be cut short.
	f.do(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF current_setting('application_name') <> 'people' THEN PERFORM pg_sleep(0.05); END IF; RETURN NEW; END $$`)
	for i := range syncs {
		name := fmt.Sprintf("s%d", i+1)
		f.syncs = append(f.syncs, name)
		f.do(fmt.Sprintf(`CREATE TABLE tickets_%[1]s (id text PRIMARY KEY, title text, note text, number text)`, name))
		f.do(fmt.Sprintf(`CREATE TABLE cases_%[1]s (no bigserial PRIMARY KEY, ref text, title text, note text)`, name))
		for _, table := range []string{"tickets", "cases"} {
			f.do(fmt.Sprintf(`CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON %s_%s FOR EACH ROW EXECUTE FUNCTION slow()`, table, name))
		}
		f.do(fmt.Sprintf(`INSERT INTO tickets_%s (id, title, note) SELECT 'T-' || n, 'first', 'first' FROM generate_series(0, $1 - 1) n`, name), tickets)
	}
	f.rules("")
	for i := range nodes {
		f.nodes = append(f.nodes, &node{f: f, n: i, way: servertest.NewWay(t, f.state)})
	}
	return f
}

// rules writes the mapping; with a column, if any, that says when a row was changed.
func (f *fleet) rules(changed string) {
	f.t.Helper()
	var hcl strings.Builder
	hcl.WriteString(`fieldsync { state = env("STATE_URL") }
connection "sql" "desk" {
  driver = "postgres"
  dsn    = env("SYSTEMS_URL")
`)
	for _, s := range f.syncs {
		for _, table := range []string{"tickets", "cases"} {
			if changed != "" {
				fmt.Fprintf(&hcl, "  collection \"%s_%s\" {\n    modified = %q\n  }\n", table, s, changed)
			}
		}
	}
	hcl.WriteString("}\n")
	for _, s := range f.syncs {
		fmt.Fprintf(&hcl, fleetSync, s)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "fleet.hcl"), []byte(hcl.String()), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

const fleetSync = `
sync %[1]q {
  schedule = "@every 1s"
  first    = "ticket"
  side "ticket" {
    connection = connection.desk
    collection = "tickets_%[1]s"
  }
  side "case" {
    connection = connection.desk
    collection = "cases_%[1]s"
    create     = true
  }
  match {
    ticket = "id"
    case   = "ref"
  }
  field "title" {
    ticket   = "title"
    case     = "title"
    conflict = "ticket"
  }
  field "note" {
    ticket   = "note"
    case     = "note"
    conflict = "case"
  }
  field "number" {
    flow   = "ticket <- case"
    ticket = "number"
    case   = "no"
  }
}
`

// do changes the systems as a person would.
func (f *fleet) do(query string, args ...any) int64 {
	f.t.Helper()
	res, err := f.systems.Exec(query, args...)
	if err != nil {
		f.t.Fatalf("%s: %v", query, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// rowsOf asks a database for rows of texts.
func rowsOf(t testing.TB, url, query string, args ...any) [][]string {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for rows.Next() {
		row, into := make([]sql.NullString, len(cols)), make([]any, len(cols))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(cols))
		for i := range row {
			texts[i] = row[i].String
		}
		all = append(all, texts)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// people edit both sides until stop is closed.
func (f *fleet) people(seed int64, stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		table, key := "tickets", "id"
		if r.IntN(2) == 0 {
			table, key = "cases", "ref"
		}
		sync, id, field := pick(r, f.syncs), fmt.Sprintf("T-%d", r.IntN(f.tickets)), pick(r, []string{"title", "note"})
		value := fmt.Sprintf("v%d", f.said.Add(1))
		var n int64
		res, err := f.systems.Exec(fmt.Sprintf(`UPDATE %s_%s SET %s = $1 WHERE %s = $2`, table, sync, field, key), value, id)
		if err == nil {
			n, err = res.RowsAffected()
		}
		if err != nil {
			f.t.Errorf("an edit: %v", err)
			return
		}
		if n == 1 {
			f.last.Store(fmt.Sprintf("%s %s %s.%s", sync, table, id, field), value)
		}
	}
}

// start starts the process of a node.
func (n *node) start() {
	n.f.t.Helper()
	n.out = &lockedBuffer{}
	n.cmd = exec.Command("fieldsync", "serve", "-d", n.f.dir, "--listen", "127.0.0.1:0", "--workers", strconv.Itoa(max(2, n.f.workers)), "--log-level", cmp.Or(n.level, "warn"))
	n.cmd.Env = append(os.Environ(), "STATE_URL="+n.way.URL, "SYSTEMS_URL="+n.f.direct)
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	if err := n.cmd.Start(); err != nil {
		n.f.t.Fatal(err)
	}
}

// end signals the process and waits for its end.
func (n *node) end(sig os.Signal) {
	n.f.t.Helper()
	if err := n.cmd.Process.Signal(sig); err != nil {
		n.f.t.Fatal(err)
	}
	_ = n.cmd.Wait() // killed or not: what it leaves is looked at
}

// owner reports whether a lease's owner is this node.
func (n *node) owns(owner string) bool {
	return n.cmd != nil && strings.Contains(owner, fmt.Sprintf(" pid %d of ", n.cmd.Process.Pid))
}

// leader is the node that starts the syncs.
func (f *fleet) leader() *node {
	f.t.Helper()
	return f.wait("a leader", func() *node {
		for _, row := range rowsOf(f.t, f.state, `SELECT owner FROM fieldsync.lease WHERE sync = '(schedule)' AND expires > extract(epoch FROM clock_timestamp()) * 1000000000`) {
			for _, n := range f.nodes {
				if n.owns(row[0]) {
					return n
				}
			}
		}
		return nil
	})
}

// busy is a node in the midst of a run, other than one.
func (f *fleet) busy(other *node) *node {
	f.t.Helper()
	return f.wait("a busy node", func() *node {
		for _, row := range rowsOf(f.t, f.state, `SELECT owner FROM fieldsync.lease WHERE sync LIKE 's%' AND owner <> '' AND expires > extract(epoch FROM clock_timestamp()) * 1000000000 + 9000000000`) {
			for _, n := range f.nodes {
				if n != other && n.owns(row[0]) {
					return n
				}
			}
		}
		return nil
	})
}

func (f *fleet) wait(what string, look func() *node) *node {
	f.t.Helper()
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(5 * time.Millisecond) {
		if n := look(); n != nil {
			return n
		}
	}
	f.t.Fatalf("there is never %s", what)
	return nil
}

// goesOn waits until every sync has had a whole run that began after now, and returns how long that took.
func (f *fleet) goesOn(after time.Time) time.Duration {
	f.t.Helper()
	for time.Since(after) < f.patience {
		rows := rowsOf(f.t, f.state, `SELECT s.name FROM fieldsync.sync s WHERE EXISTS (SELECT 1 FROM fieldsync.run r WHERE r.sync = s.id AND r.good > 0 AND r.started > $1)`, after.UnixNano())
		if len(rows) == len(f.syncs) {
			return time.Since(after)
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.t.Fatal("some sync does not go on")
	return 0
}

func (f *fleet) logs() string {
	var b strings.Builder
	for _, n := range f.nodes {
		if n.out != nil {
			fmt.Fprintf(&b, "node %d:\n%s\n", n.n, tail(n.out.String(), 6000))
		}
	}
	return b.String()
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// run is a command that ends by itself, in this process.
func (f *fleet) run(args ...string) (string, int) {
	var out bytes.Buffer
	code := run(context.Background(), append(args, "-d", f.dir), stdio{In: strings.NewReader(""), Out: &out, Err: &out, Getenv: func(name string) (string, bool) {
		v, ok := map[string]string{"STATE_URL": f.state, "SYSTEMS_URL": f.direct}[name]
		return v, ok
	}})
	return out.String(), code
}

// A lockedBuffer is written to by a process and read meanwhile.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
