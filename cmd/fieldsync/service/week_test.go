package service

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/telemetry"
)

const weekMapping = `
fieldsync {
  state = "state.db"
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
connection "sql" "crm" {
  driver = "sqlite"
  dsn    = "crm.db"
  collection "cases" {
    table    = "cases"
    key      = "no"
    modified = "updated_at"
  }
}
sync "tickets" {
  schedule = "*/30 * * * *"
  timezone = "Europe/Brussels"
  conflict = "newest"
  side "ticket" {
    connection = connection.desk
    collection = "tickets"
  }
  side "case" {
    connection = connection.crm
    collection = "cases"
    create     = true
  }
  match {
    ticket = "id"
    case   = "ref"
  }
  field "title" {
    ticket = "title"
    case   = "subject"
  }
  field "note" {
    ticket = "note"
    case   = "remark"
  }
}
sync "nightly" {
  schedule = "30 2 * * *"
  timezone = "Europe/Brussels"
  side "ticket" {
    connection = connection.desk
    collection = "tickets"
  }
  side "case" {
    connection = connection.crm
    collection = "cases"
  }
  match {
    ticket = "id"
    case   = "ref"
  }
  field "night" {
    flow    = "ticket -> case"
    ticket  = "title"
    case    = "night"
    to_case = "upper(ticket.title)"
  }
}
sync "follower" {
  after = [sync.tickets]
  side "ticket" {
    connection = connection.desk
    collection = "tickets"
  }
  side "case" {
    connection = connection.crm
    collection = "cases"
  }
  match {
    ticket = "id"
    case   = "ref"
  }
  field "copy" {
    flow    = "ticket -> case"
    ticket  = "title"
    case    = "copy"
    to_case = "ticket.title + '!'"
  }
}
`

// A week is a service that lives one on a clock of its own: the one of the bubble that the test runs in.
type week struct {
	t    *testing.T
	dir  string
	desk *sql.DB
	crm  *sql.DB
	log  *locked
	w    *fsnotify.Watcher // made outside of the bubble; nothing is read from it
	live *service
	done chan error
	stop context.CancelFunc
}

type locked struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (w *week) exec(db *sql.DB, query string, args ...any) {
	w.t.Helper()
	if _, err := db.ExecContext(w.t.Context(), query, args...); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
}

// start is what serve does, without the listener and without waiting for the file system.
func (w *week) start() {
	w.t.Helper()
	mask := &project.Secrets{}
	from := project.Source{Dir: w.dir, Getenv: os.LookupEnv, Now: time.Now, Secrets: mask}
	cfg, diags := from.Load()
	if diags.HasErrors() {
		w.t.Fatal(diags)
	}
	p := project.New(cfg, slog.New(slog.NewTextHandler(mask.Over(w.log), &slog.HandlerOptions{Level: slog.LevelWarn})), time.Now)
	if err := p.OpenState(project.WriteState); err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := newService(p, from, w.dir)
	s.stopping = ctx
	s.Meter = &project.Meter{Metrics: telemetry.NewMetrics("", s.figures, s.log), Secrets: mask}
	p.Meter = s.Meter
	var err error
	if s.loop, err = s.newLoop(ctx, 1, nil); err != nil {
		w.t.Fatal(err)
	}
	w.live, w.stop, w.done = s, stop, make(chan error, 1)
	go func() {
		err := s.loop.Run(ctx, s.jobs(s.rules))
		s.rules.runs.Wait()
		w.done <- err
	}()
}

func (w *week) halt() {
	w.t.Helper()
	w.stop()
	if err := <-w.done; err != nil {
		w.t.Fatal(err)
	}
	if err := w.live.inForce().Close(); err != nil {
		w.t.Fatal(err)
	}
}

// edit saves the mapping with one text in place of another, as a person would, and has it read.
func (w *week) edit(old, new string) {
	w.t.Helper()
	name := filepath.Join(w.dir, "main.hcl")
	text, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(text), old) {
		w.t.Fatalf("the mapping has no %q (%v)", old, err)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.live.reload(w.t.Context(), w.w)
}

func (w *week) runs(sync string) []plan.Run {
	w.t.Helper()
	var runs []plan.Run
	err := w.live.state.Runs(w.t.Context(), sync, 10000, func(r plan.Run) error {
		runs = append(runs, r)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(runs)
	return runs
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAWeekOfService lives the week in which the clocks of Brussels go forward (29 March 2026, 02:00 to 03:00), with
// edits on both sides all the time, an outage of each side, edits of the mapping, a broken one among them, and a night
// in which the service was down. No due time may be missed or run twice, both sides must agree in the end, and the
// memory must be what it was on the first day.
func TestAWeekOfService(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(weekMapping), 0o600); err != nil {
		t.Fatal(err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	synctest.Test(t, func(t *testing.T) { liveAWeek(t, dir, watcher) })
}

func liveAWeek(t *testing.T, dir string, watcher *fsnotify.Watcher) {
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 3, 25, 0, 10, 0, 0, brussels)
	time.Sleep(time.Until(begin)) // bubbles begin in the year 2000
	w := &week{t: t, dir: dir, log: &locked{}, w: watcher}
	open := func(name, table string) *sql.DB {
		db, err := sql.Open("sqlite3", filepath.Join(dir, name)+"?_journal=WAL&_busy_timeout=5000")
		if err != nil {
			t.Fatal(err)
		}
		w.exec(db, table)
		return db
	}
	w.desk = open("desk.db", "CREATE TABLE tickets (id TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(8)))), title TEXT, note TEXT, updated_at TEXT)")
	w.crm = open("crm.db", "CREATE TABLE cases (no INTEGER PRIMARY KEY, ref TEXT, subject TEXT, remark TEXT, night TEXT, copy TEXT, updated_at TEXT)")
	defer w.desk.Close()
	defer w.crm.Close()
	now := func() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z") }
	for i := range 40 {
		w.exec(w.desk, "INSERT INTO tickets (id, title, note, updated_at) VALUES (?,?,?,?)", fmt.Sprint("T-", i), "begin", "", now())
	}
	w.start()

	type event struct {
		after time.Duration
		do    func()
	}
	const day = 24 * time.Hour
	var flat uint64
	broken := false
	events := []event{
		{20 * time.Hour, func() { flat = heap() }},
		{day + 5*time.Hour, func() { w.exec(w.desk, "ALTER TABLE tickets RENAME TO away"); broken = true }},
		{day + 8*time.Hour, func() { w.exec(w.desk, "ALTER TABLE away RENAME TO tickets"); broken = false }},
		{2 * day, func() { w.edit("ticket.title + '!'", "ticket.title + '?'") }},
		{2*day + 12*time.Hour, func() { w.edit("ticket.title + '?'", "ticket.nothing") }},
		{2*day + 14*time.Hour, func() { w.edit("ticket.nothing", "ticket.title + '?'") }},
		{3*day + 6*time.Hour, func() { w.exec(w.crm, "ALTER TABLE cases RENAME TO away"); broken = true }},
		{3*day + 9*time.Hour, func() { w.exec(w.crm, "ALTER TABLE away RENAME TO cases"); broken = false }},
		{5*day + 20*time.Hour, func() { w.halt() }}, // 30 March in the evening
		{6*day + 4*time.Hour, func() { w.start() }},
		{7*day - 2*time.Hour, func() { broken = true }}, // the last edits have time to travel
	}
	rng := rand.New(rand.NewPCG(1, 2))
	end := begin.Add(7 * day)
	for at := begin; at.Before(end); at = at.Add(7 * time.Minute) {
		for len(events) > 0 && time.Since(begin) >= events[0].after {
			events[0].do()
			events = events[1:]
		}
		if !broken {
			if rng.IntN(2) == 0 {
				w.exec(w.desk, "UPDATE tickets SET title = ?, updated_at = ? WHERE id = ?", fmt.Sprint("title ", rng.IntN(1e6)), now(), fmt.Sprint("T-", rng.IntN(40)))
			} else {
				w.exec(w.crm, "UPDATE cases SET remark = ?, updated_at = ? WHERE ref = ?", fmt.Sprint("remark ", rng.IntN(1e6)), now(), fmt.Sprint("T-", rng.IntN(40)))
			}
		}
		time.Sleep(time.Until(at.Add(7 * time.Minute)))
	}
	last := heap()

	down := [2]time.Time{begin.Add(5*day + 20*time.Hour), begin.Add(6*day + 4*time.Hour)}
	off := func(at time.Time) bool { return at.After(down[0]) && at.Before(down[1]) }
	var due []time.Time
	for at := begin.Truncate(30 * time.Minute).Add(30 * time.Minute); at.Before(end); at = at.Add(30 * time.Minute) {
		if !off(at) {
			due = append(due, at)
		}
	}
	w.ran("tickets", due, down)
	due = nil
	for d := range 7 {
		at := time.Date(2026, 3, 25+d, 2, 30, 0, 0, brussels)
		if d == 4 {
			at = time.Date(2026, 3, 29, 3, 0, 0, 0, brussels) // there is no half past two: right after the gap
		}
		if !off(at) {
			due = append(due, at)
		}
	}
	w.ran("nightly", due, down)
	good := 0
	for _, r := range w.runs("tickets") {
		if r.Err == "" {
			good++
		}
	}
	if n := len(w.runs("follower")); n != good {
		t.Errorf("the follower ran %d times after %d good runs", n, good)
	}
	w.agree()
	t.Logf("%d runs; heap %d kB after a day, %d kB after a week", len(w.runs("")), flat>>10, last>>10)
	if last > flat+flat/4+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", flat, last)
	}
	w.halt()
	if t.Failed() {
		lines := strings.Split(w.log.String(), "\n")
		t.Log(strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}

// ran holds the runs of a sync against the times that it was due, each once; what fell due while the service was down
// is caught up by one more when it begins again.
func (w *week) ran(sync string, due []time.Time, down [2]time.Time) {
	w.t.Helper()
	var caught int
	var ended time.Time
	got := map[time.Time]int{}
	failed := 0
	for _, r := range w.runs(sync) {
		if r.Started.Before(ended) {
			w.t.Errorf("%s: run %d began at %v, before the last one ended", sync, r.ID, r.Started)
		}
		ended = r.Ended
		if r.Err != "" {
			failed++
		}
		if r.Trigger == "misfire" {
			if d := r.Started.Sub(down[1]); d < 0 || d > 7*time.Minute {
				w.t.Errorf("%s: caught up at %v, where nothing was missed", sync, r.Started)
			}
			caught++
			continue
		}
		got[r.Started.Truncate(time.Second).UTC()]++
	}
	if caught != 1 {
		w.t.Errorf("%s was caught up %d times, want once", sync, caught)
	}
	for _, at := range due {
		if got[at.UTC()] != 1 {
			w.t.Errorf("%s was due at %v and ran %d times", sync, at, got[at.UTC()])
		}
		delete(got, at.UTC())
	}
	for at := range got {
		w.t.Errorf("%s ran at %v, when it was not due", sync, at)
	}
	if sync == "tickets" && failed != 12 {
		w.t.Errorf("%s failed %d times in two outages of six runs each", sync, failed)
	}
}

// agree looks at the two systems themselves.
func (w *week) agree() {
	w.t.Helper()
	read := func(db *sql.DB, query string) map[string]string {
		rows, err := db.QueryContext(w.t.Context(), query)
		if err != nil {
			w.t.Fatal(err)
		}
		defer rows.Close()
		all := map[string]string{}
		for rows.Next() {
			var key, text string
			if err := rows.Scan(&key, &text); err != nil {
				w.t.Fatal(err)
			}
			if all[key] != "" {
				w.t.Errorf("there are two of %s", key)
			}
			all[key] = text
		}
		if err := rows.Err(); err != nil {
			w.t.Fatal(err)
		}
		return all
	}
	tickets := read(w.desk, "SELECT id, title || '|' || COALESCE(note, '') || '|' || title || '?' FROM tickets")
	cases := read(w.crm, "SELECT ref, subject || '|' || COALESCE(remark, '') || '|' || copy FROM cases")
	if len(tickets) != 40 || len(cases) != 40 {
		w.t.Errorf("%d tickets and %d cases, want 40 of each", len(tickets), len(cases))
	}
	moved := 0
	for id, want := range tickets {
		if cases[id] != want {
			w.t.Errorf("%s: the ticket says %q, the case %q", id, want, cases[id])
		}
		if !strings.Contains(want, "begin") {
			moved++
		}
	}
	if moved < 30 {
		w.t.Errorf("only %d of 40 tickets were ever edited: this tests little", moved)
	}
}
