package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// splitMapping is of one large sync whose systems take a moment over each page, so that there is time to share a scan, and
// let one request at a time through from each node.
const splitMapping = `fieldsync { state = env("STATE_URL") }
connection "sql" "desk" {
  driver = "postgres"
  dsn    = env("SYSTEMS_URL")
  limits {
    concurrency = 1
  }
  collection "tickets" {
    key      = "id"
    write_to = "tickets_s1"
  }
  collection "cases" {
    key      = "no"
    write_to = "cases_s1"
  }
}
sync "s1" {
  schedule = "@every 1s"
  first    = "ticket"
  side "ticket" {
    connection = connection.desk
    collection = "tickets"
  }
  side "case" {
    connection = connection.desk
    collection = "cases"
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
}
`

// TestNodesScanALargeSideTogether has the parts of a scan taken by several nodes, kills one with a part in its hands and the
// one of the run: the result is always that of one process, and nothing is left behind.
func TestNodesScanALargeSideTogether(t *testing.T) {
	const records, pairs = 50_000, 40 // as many as are read in parts, and those of them that have a case
	f := newFleet(t, 1, records, 3)
	f.do(`INSERT INTO cases_s1 (ref, title, note) SELECT 'T-' || n * $1, 'first', 'first' FROM generate_series(0, $2 - 1) n`, records/pairs, pairs)
	f.do(`CREATE FUNCTION page() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM pg_sleep(0.03); RETURN true; END $$`)
	for _, table := range []string{"tickets", "cases"} { // the condition is asked once in each query
		f.do(fmt.Sprintf(`CREATE VIEW %[1]s AS SELECT * FROM %[1]s_s1 WHERE (SELECT page())`, table))
	}
	if err := os.WriteFile(filepath.Join(f.dir, "fleet.hcl"), []byte(splitMapping), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if out, code := f.run("apply", "--yes"); code != exitOK {
		t.Fatalf("the first run ends with %d:\n%s", code, out)
	}
	t.Logf("first contact in one process: %s", time.Since(began).Round(time.Millisecond))
	for _, n := range f.nodes {
		n.level = "info"
		n.start()
	}
	t.Cleanup(func() {
		for _, n := range f.nodes {
			_ = n.cmd.Process.Kill() // most have ended
		}
		if t.Failed() {
			t.Log(f.logs())
		}
	})
	edited := 0
	edit := func() {
		t.Helper()
		for range 5 {
			id := fmt.Sprintf("T-%d", records/pairs*edited)
			edited++
			if n := f.do(`UPDATE tickets_s1 SET title = 'ticket ' || $1::int WHERE id = $2`, edited, id) + f.do(`UPDATE cases_s1 SET note = 'case ' || $1::int WHERE ref = $2`, edited, id); n != 2 {
				t.Fatalf("%s: %d of a pair were edited", id, n)
			}
		}
	}
	edit()
	f.goesOn(time.Now())
	helped := f.wait("a node that scans a part of another's run", func() *node {
		for _, n := range f.nodes {
			if strings.Contains(n.out.String(), "scanning a part for a run elsewhere") {
				return n
			}
		}
		return nil
	})
	t.Logf("node %d has scanned parts for another", helped.n)

	edit()
	hands := f.helping()
	t.Logf("node %d is killed with a part in its hands", hands.n)
	since := time.Now()
	hands.end(syscall.SIGKILL)
	t.Logf("the sync goes on after %s", f.goesOn(since).Round(time.Millisecond))
	hands.start()

	edit()
	f.helping()
	runs := f.busy(nil)
	t.Logf("node %d, whose run shares its scan, is killed", runs.n)
	since = time.Now()
	runs.end(syscall.SIGKILL)
	t.Logf("the sync goes on after %s", f.goesOn(since).Round(time.Millisecond))
	runs.start()
	edit()
	f.goesOn(time.Now())
	for _, n := range f.nodes {
		n.end(syscall.SIGTERM)
	}
	for _, command := range [][]string{{"apply", "--yes"}, {"plan"}, {"state", "check", "--older", "1s"}} {
		if out, code := f.run(command...); code != exitOK {
			t.Errorf("in one process %v ends with %d:\n%s", command, code, out)
		}
	}
	if rows := rowsOf(t, f.direct, `SELECT t.id FROM tickets_s1 t JOIN cases_s1 c ON c.ref = t.id WHERE t.title <> c.title OR t.note <> c.note`); len(rows) > 0 {
		t.Errorf("%d records do not agree: %v", len(rows), rows[:min(len(rows), 5)])
	}
	for _, count := range []string{`SELECT count(*) FROM tickets_s1 WHERE title LIKE 'ticket %'`, `SELECT count(*) FROM cases_s1 WHERE note LIKE 'case %'`} {
		if got := rowsOf(t, f.direct, count)[0][0]; got != fmt.Sprint(edited) {
			t.Errorf("%s gives %s, want %d", count, got, edited)
		}
	}
	if links := rowsOf(t, f.state, `SELECT count(*) FROM fieldsync.link`)[0][0]; links != fmt.Sprint(pairs) {
		t.Errorf("%s links, want %d", links, pairs)
	}
	for _, table := range []string{"part", "part_page"} {
		if got := rowsOf(t, f.state, "SELECT count(*) FROM fieldsync."+table)[0][0]; got != "0" {
			t.Errorf("%s rows of %s are left behind", got, table)
		}
	}
	var errs []string
	for _, row := range rowsOf(t, f.state, `SELECT body FROM fieldsync.run WHERE body LIKE '%"error":%'`) {
		errs = append(errs, row[0])
	}
	if slices.ContainsFunc(errs, func(e string) bool { return !strings.Contains(e, "lease") && !strings.Contains(e, "cancel") }) {
		t.Errorf("runs failed: %v", errs)
	}
}

// helping is a node in the midst of a part of another's run.
func (f *fleet) helping() *node {
	f.t.Helper()
	return f.wait("a node with a part in its hands", func() *node {
		for _, row := range rowsOf(f.t, f.state, `SELECT p.taker, l.owner FROM fieldsync.part p JOIN fieldsync.sync s ON s.id = p.sync JOIN fieldsync.lease l ON l.sync = s.name
			WHERE p.taker <> '' AND p.taker <> l.owner AND p.account IS NULL AND p.fence = l.fence`) {
			for _, n := range f.nodes {
				if n.owns(row[0]) {
					return n
				}
			}
		}
		return nil
	})
}
