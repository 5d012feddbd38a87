package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

// firstSchema makes a state as the first version of fieldsync left it: a live and an ended link, a history, a run
// and a write in flight.
func firstSchema(t *testing.T, path string) {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("migrations/sqlite", "00001_state.sql"))
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{
		strings.ReplaceAll(string(script), "-- +goose Up", ""),
		"PRAGMA application_id = 1718843758", // fsyn
		"CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))",
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1)",
		`INSERT INTO sync (id, name, live) VALUES (1, 'a', 1)`,
		`INSERT INTO shape (id, sync, side, paths) VALUES (1, 1, 0, '["title"]'), (2, 1, 1, '["short"]')`,
		`INSERT INTO lease (sync, owner, fence, expires) VALUES ('a', '', 3, 0)`,
	}
	change(t, path, statements...)
	value := "x'" + hexOf(record.AppendValues(nil, []record.Value{record.OfText("was")})) + "'"
	change(t, path,
		"INSERT INTO link (id, sync, status, key_left, key_right, label_left, label_right, version_left, version_right, shape_left, shape_right, base_left, base_right) VALUES (1, 1, 0, 'T-1', '1', '', 'INC1', '', '', 1, 2, "+value+", "+value+")",
		"INSERT INTO link (id, sync, status, was_left, was_right, label_left, label_right, version_left, version_right, shape_left, shape_right) VALUES (2, 1, 3, 'T-2', '2', '', '', '', '', 1, 2)",
		"INSERT INTO tomb (sync, side, key, link, until, reason) VALUES (1, 0, 'T-2', 2, 9000000000000000000, 'gone')",
		"INSERT INTO history (sync, link, side, key, path, value, replaced_by, rule, run, at, author) VALUES (1, 1, 1, '1', 'short', "+value+", "+value+", 'title', 1, 1767261600000000000, 'ada')",
		"INSERT INTO origin (link, side, path, rule, run, at, author) VALUES (1, 1, 'short', 'title', 1, 1767261600000000000, '')",
		`INSERT INTO run (id, sync, good, body) VALUES (1, 1, 0, '{"id":1,"sync":"a","started":"2026-01-01T10:00:00.123456789Z","trigger":"apply","plan":{},"rules":"r"}')`,
		"INSERT INTO intent (sync, link, kind, side, key, twin, marker, version, at, run) VALUES (1, 1, 'update', 1, '1', 'T-1', '', '7', 1767261600000000000, 1)",
	)
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func TestAStateOfTheFirstSchemaIsBroughtUpToDateWithWhatIsInIt(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "state.db")
	firstSchema(t, path)

	if _, err := state.Open(path, state.Options{ReadOnly: true}); !errors.Is(err, state.ErrOlder) || !strings.Contains(err.Error(), "older fieldsync (schema 1, this one reads ") || !strings.Contains(connectors.Hint(err), "apply") {
		t.Errorf("opened for reading: %v, want a word about the older schema", err)
	}
	s := open(t, path, state.Options{})
	b := book(t, s)
	value := record.OfText("was")
	l, err := b.Link(ctx, record.Left, "T-1")
	if err != nil || l == nil || l.Base[1][0] != value || l.Label[1] != "INC1" {
		t.Errorf("the live link is %v, %v", l, err)
	}
	if id, err := b.Buried(ctx, record.Left, "T-2"); err != nil || id != 2 {
		t.Errorf("the tomb leads to %d, %v", id, err)
	}
	e, err := s.Entry(ctx, 1)
	if err != nil || e == nil {
		t.Fatalf("entry 1: %v, %v", e, err)
	}
	want := engine.Entry{ID: 1, Sync: "a", Link: 1, Key: "1", Lost: engine.Lost{Side: record.Right, Path: "short", Value: value, By: value, Rule: "title", Run: 1,
		At: time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC), Author: "ada", Cause: engine.ByRule}}
	if diff := cmp.Diff(want, *e, cmp.Comparer(func(a, b record.Value) bool { return a == b })); diff != "" {
		t.Errorf("the entry (-want +got):\n%s", diff)
	}
	ins, err := b.Intents(ctx)
	if err != nil || len(ins) != 1 || ins[0].By != "" || ins[0].Version != "7" {
		t.Errorf("intents are %v, %v", ins, err)
	}
	if got := query(t, path, "SELECT started FROM run WHERE id = 1"); got != "1767261600000000000" {
		t.Errorf("the run started at %s", got)
	}
	if got := query(t, path, "SELECT ended > 0 FROM link WHERE id = 2"); got != "1" {
		t.Error("nobody knows that the ended link ended")
	}
	if got := query(t, path, "SELECT ended FROM link WHERE id = 1"); got != "0" {
		t.Error("the live link ended")
	}
	// What was written before goes on as what is written now: a newer run, a link of a new record.
	r := plan.Run{Sync: "a", Started: time.Now()}
	if err := b.StartRun(ctx, &r); err != nil || r.ID != 2 {
		t.Errorf("the next run has ID %d, %v", r.ID, err)
	}
	next := link(9)
	fold(t, b, engine.Fold{Link: next, Lost: []engine.Lost{{Path: "title", Cause: engine.ByEdit}}})
	if next.ID != 3 {
		t.Errorf("the next link has ID %d, want 3", next.ID)
	}
}

func TestHowFarCommentsWereHeardSurvivesAnUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	firstSchema(t, path)
	for _, name := range []string{"00002_history.sql", "00003_comments.sql"} {
		script, err := os.ReadFile(filepath.Join("migrations/sqlite", name))
		if err != nil {
			t.Fatal(err)
		}
		change(t, path, strings.ReplaceAll(string(script), "-- +goose Up", ""))
	}
	change(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, 1), (3, 1)",
		"INSERT INTO heard (sync, side, path, since, at, link) VALUES (1, 1, 'work_notes', 1767261600000000000, 1767261660000000000, 1)",
		"INSERT INTO thread (sync, link, side, own, copy, hash, at, run) VALUES (1, 1, 1, 'j1', 'c1', 7, 1767261600000000000, 1)")
	b := book(t, open(t, path, state.Options{}))
	at := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	h, found, err := b.Heard(t.Context(), plan.Comment, record.Right)
	if want := (engine.Heard{Path: "work_notes", Since: at, At: at.Add(time.Minute), Link: 1}); err != nil || !found || h != want {
		t.Errorf("heard %+v, %t, %v; want %+v", h, found, err, want)
	}
	err = b.Threads(t.Context(), 1, func(th engine.Thread) error {
		if th.ID != "j1" || th.Hash != 7 || th.Source != 0 {
			t.Errorf("the comment is %+v", th)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
