package state_test

import (
	"bufio"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

var paths = [2][]string{{"title"}, {"short"}}

func book(t testing.TB, s *state.Store) engine.Book {
	t.Helper()
	fence, err := s.Lease(t.Context(), "a", "test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Book(t.Context(), "a", paths, fence)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func link(i int) *record.Link {
	return &record.Link{Key: [2]string{fmt.Sprintf("T-%d", i), fmt.Sprintf("%d", i)},
		Base: [2][]record.Value{{record.OfText(fmt.Sprintf("title of %d", i))}, {record.OfText("short")}}}
}

func fold(t testing.TB, b engine.Book, folds ...engine.Fold) {
	t.Helper()
	if err := b.Fold(t.Context(), folds); err != nil {
		t.Fatal(err)
	}
}

// query asks the file itself.
func query(t testing.TB, path, q string) string {
	t.Helper()
	db := direct(t, path)
	defer db.Close()
	var answer string
	if err := db.QueryRow(q).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return answer
}

// change alters the file itself and leaves no -wal behind.
func change(t testing.TB, path string, statements ...string) {
	t.Helper()
	db := direct(t, path)
	defer db.Close()
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// footprint is everything about a folder that a careless reader might change.
func footprint(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all[d.Name()] = fmt.Sprintf("%x %s %s", sha256.Sum256(content), info.Mode(), info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func untouched(t testing.TB, dir string, before map[string]string) {
	t.Helper()
	if diff := cmp.Diff(before, footprint(t, dir)); diff != "" {
		t.Errorf("the folder changed (-before +after):\n%s", diff)
	}
}

// filled makes a state with a link and closes it.
func filled(t testing.TB, path string) {
	t.Helper()
	s := open(t, path, state.Options{})
	fold(t, book(t, s), engine.Fold{Link: link(1)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyTheOwnerMayReadTheFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "state.db"), state.Options{})
	fold(t, book(t, s), engine.Fold{Link: link(1)})
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 {
		t.Errorf("%d files, want the database, its -wal and its -shm", len(entries))
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the rights %s (%v), want 0600", e.Name(), info.Mode(), err)
		}
	}
}

func TestWhatWasStoredIsThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with space?and#signs%41.db")
	filled(t, path)
	for _, o := range []state.Options{{}, {ReadOnly: true}} {
		s := open(t, path, o)
		b, err := s.Book(t.Context(), "a", paths, 0)
		if err != nil {
			t.Fatal(err)
		}
		l, err := b.Link(t.Context(), record.Left, "T-1")
		if err != nil || l == nil || l.Base[0][0].Text() != "title of 1" {
			t.Errorf("read-only %v: got %v, %v", o.ReadOnly, l, err)
		}
		s.Close()
	}
}

func TestAFileThatCannotBeUsedIsRefusedUnharmed(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t testing.TB, path string)
		is   error
		says []string // in the message or its hint
	}{
		{"a newer schema", func(t testing.TB, path string) {
			filled(t, path)
			change(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (77, 1)")
		}, state.ErrNewer, []string{"written by a newer fieldsync (schema 77, this one knows "}},
		{"a newer schema whose log was not merged", func(t testing.TB, path string) {
			filled(t, path)
			unmerged(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (77, 1)")
		}, state.ErrNewer, []string{"schema 77"}},
		{"another program's database", func(t testing.TB, path string) {
			change(t, path, "CREATE TABLE tickets (id INTEGER)")
		}, state.ErrForeign, []string{"another program", "another file name"}},
		{"no database", func(t testing.TB, path string) {
			write(t, path, strings.Repeat("these are notes, not a database\n", 100))
		}, state.ErrForeign, []string{"no SQLite database"}},
		{"a short text", func(t testing.TB, path string) { write(t, path, "x") }, state.ErrForeign, nil},
		{"a folder", func(t testing.TB, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, state.ErrFile, []string{"it is a folder", "fieldsync.db"}},
		{"a file whose schema is torn", func(t testing.TB, path string) {
			filled(t, path)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 100; i < 4096; i++ {
				content[i] = 0xA5
			}
			write(t, path, string(content))
		}, state.ErrDamaged, []string{"restore the last backup"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "state.db")
			c.make(t, path)
			before := footprint(t, dir)
			for _, o := range []state.Options{{}, {ReadOnly: true}} {
				s, err := state.Open(path, o)
				if err == nil {
					s.Close()
					t.Fatalf("read-only %v: it was opened", o.ReadOnly)
				}
				if !errors.Is(err, c.is) {
					t.Errorf("read-only %v: got %v, want one that is %q", o.ReadOnly, err, c.is)
				}
				if connectors.Hint(err) == "" {
					t.Errorf("%v has no way out", err)
				}
				for _, part := range append(c.says, path) {
					if text := err.Error() + " " + connectors.Hint(err); !strings.Contains(text, part) {
						t.Errorf("%q does not say %q", text, part)
					}
				}
				untouched(t, dir, before)
			}
		})
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// unmerged changes the file such that the change is in its -wal alone, with no -shm: as a crash and a copy leave it.
func unmerged(t testing.TB, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
	main, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wal, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, path, string(main))
	write(t, path+"-wal", string(wal))
}

func TestAMissingFolderIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nowhere")
	_, err := state.Open(filepath.Join(dir, "state.db"), state.Options{})
	if !errors.Is(err, state.ErrFile) || !strings.Contains(err.Error(), dir) || !strings.Contains(connectors.Hint(err), "mkdir") {
		t.Errorf("got %v (hint %q)", err, connectors.Hint(err))
	}
}

func TestReadingOnlyChangesNoByte(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t testing.TB, path string)
	}{
		{"a file at rest", filled},
		{"an empty file", func(t testing.TB, path string) { write(t, path, "") }},
		{"no file", func(testing.TB, string) {}},
		{"a log that was not merged", func(t testing.TB, path string) {
			filled(t, path)
			unmerged(t, path, "UPDATE link SET label_left = 'from the log'")
		}},
		{"a log beside an index that nobody uses", func(t testing.TB, path string) {
			filled(t, path)
			unmerged(t, path, "UPDATE link SET label_left = 'from the log'")
			write(t, path+"-shm", strings.Repeat("\x00", 32768))
		}},
		{"a file that is being written", func(t testing.TB, path string) {
			// By another process: inside one, SQLite shares the index between its connections.
			cmd := child(t, "hold", path)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				in.Close()
				cmd.Wait()
			})
			if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "ready" {
				t.Fatalf("the child said %q", lines.Text())
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, dir := t.Context(), t.TempDir()
			path := filepath.Join(dir, "state.db")
			c.make(t, path)
			before := footprint(t, dir)
			s := open(t, path, state.Options{ReadOnly: true})
			readEverything(t, s, len(before) > 0 && c.name != "an empty file", strings.HasPrefix(c.name, "a log"))
			b, err := s.Book(ctx, "a", paths, 1)
			if err != nil {
				t.Fatal(err)
			}
			_, lease := s.Lease(ctx, "a", "me", time.Hour)
			_, choose := b.Choose(ctx, 1, "title", reconcile.Choice{})
			for name, err := range map[string]error{
				"Lease": lease, "Choose": choose, "Release": s.Release(ctx, "a", "me"), "UsePlan": b.UsePlan(ctx, "x", time.Now()),
				"StartRun": b.StartRun(ctx, &plan.Run{Sync: "a"}), "FinishRun": b.FinishRun(ctx, plan.Run{ID: 1, Sync: "a"}),
				"Advance": b.Advance(ctx, record.Left, engine.Cursor{}), "Intend": b.Intend(ctx, []*engine.Intent{{}}),
				"Fold": b.Fold(ctx, []engine.Fold{{Link: link(2)}}),
			} {
				if !errors.Is(err, state.ErrReadOnly) {
					t.Errorf("%s: got %v, want that it is for reading only", name, err)
				}
			}
			sp, err := s.Spool(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := sp.Put(ctx, record.Left, []engine.Moved{{Record: record.Record{Key: "x"}}}); err != nil {
				t.Error(err)
			}
			if err := errors.Join(sp.Close(), s.Close()); err != nil {
				t.Error(err)
			}
			untouched(t, dir, before)
		})
	}
}

// readEverything calls all that reads and looks whether link 1, and the label that only the log has, are there.
func readEverything(t *testing.T, s *state.Store, wantLink, wantLabel bool) {
	t.Helper()
	ctx := t.Context()
	b, err := s.Book(ctx, "a", paths, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := b.LinkByID(ctx, 1)
	if err != nil || (l != nil) != wantLink || (l != nil && (l.Label[0] == "from the log") != wantLabel) {
		t.Errorf("link 1 is %v (%v)", l, err)
	}
	_, e1 := b.CountLinks(ctx)
	_, _, e2 := b.Cursor(ctx, record.Left)
	_, e3 := b.Intents(ctx)
	_, _, e4 := b.Print(ctx, record.Left, 1)
	_, e5 := b.Tomb(ctx, record.Left, "T-1", time.Now())
	_, e6 := s.Syncs(ctx)
	_, e7 := b.Link(ctx, record.Left, "T-1")
	err = errors.Join(e1, e2, e3, e4, e5, e6, e7,
		b.Prints(ctx, record.Left, func(engine.Print) error { return nil }),
		b.Keys(ctx, record.Left, func(int64, string) error { return nil }),
		b.Links(ctx, record.Live, func(record.Link) error { return nil }),
		b.Waiting(ctx, 0, func(engine.Waiting) error { return nil }),
		s.Waiting(ctx, "", func(engine.Waiting) error { return nil }),
		s.Runs(ctx, "", 10, func(plan.Run) error { return nil }))
	if err != nil {
		t.Error(err)
	}
}

func TestAFileWhoseMakingWasCutShortReadsAsANewOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	change(t, path, fmt.Sprintf("PRAGMA application_id = %d", 0x6673796e),
		"CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))",
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1)")
	before := footprint(t, dir)
	s := open(t, path, state.Options{ReadOnly: true})
	if syncs, err := s.Syncs(t.Context()); err != nil || len(syncs) > 0 {
		t.Errorf("it has %v, %v", syncs, err)
	}
	untouched(t, dir, before)
	fold(t, book(t, open(t, path, state.Options{})), engine.Fold{Link: link(1)})
}

func TestAReaderFollowsAWriterThatComesLater(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "state.db")
	filled(t, path)
	reader := open(t, path, state.Options{ReadOnly: true})
	count := func() int64 {
		t.Helper()
		b, err := reader.Book(ctx, "a", paths, 0)
		if err != nil {
			t.Fatal(err)
		}
		n, err := b.CountLinks(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 1 {
		t.Fatalf("counted %d, want 1", n)
	}
	writer := open(t, path, state.Options{})
	fold(t, book(t, writer), engine.Fold{Link: link(2)})
	if n := count(); n != 2 {
		t.Errorf("beside the writer: counted %d, want 2", n)
	}
	fold(t, book(t, writer), engine.Fold{Link: link(3)})
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 3 {
		t.Errorf("after the writer: counted %d, want 3", n)
	}
}

func TestTwoProcessesShareAFileAndTheLease(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "state.db")
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	one, two := open(t, path, state.Options{Now: clock}), open(t, path, state.Options{Now: clock})
	fence, err := one.Lease(ctx, "a", "host-1", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	b, err := one.Book(ctx, "a", paths, fence)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(9 * time.Second)
	_, err = two.Lease(ctx, "a", "host-2", 10*time.Second)
	if !errors.Is(err, engine.ErrLeased) || !strings.Contains(err.Error(), "host-1, until 2026-03-01T12:00:10Z") {
		t.Errorf("got %v, want who has the lease and until when", err)
	}
	now = now.Add(2 * time.Second)
	if err := b.Advance(ctx, record.Left, engine.Cursor{}); err != nil {
		t.Errorf("a lease that ran out but that nobody took: %v", err)
	}
	if next, err := two.Lease(ctx, "a", "host-2", 10*time.Second); err != nil || next <= fence {
		t.Errorf("a lease that ran out: fence %d, %v", next, err)
	}
	if err := b.Fold(ctx, []engine.Fold{{Link: link(1)}}); !errors.Is(err, engine.ErrLeaseLost) {
		t.Errorf("who slept through its lease wrote: %v", err)
	}
	if _, err := one.Lease(ctx, "a", "host-1", time.Second); !errors.Is(err, engine.ErrLeased) {
		t.Errorf("got %v", err)
	}
}

func TestARetryWaitsLongerEachTime(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := open(t, filepath.Join(t.TempDir(), "state.db"), state.Options{Now: func() time.Time { return now }})
	b, l := book(t, s), link(1)
	var got []time.Duration
	for range 12 {
		fold(t, b, engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{{Hold: &plan.Hold{Field: "title", Cause: "no right"}}}})
		if err := b.Waiting(t.Context(), l.ID, func(w engine.Waiting) error {
			got = append(got, w.Hold.Next.Sub(now))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	m := time.Minute
	if diff := cmp.Diff([]time.Duration{m, 2 * m, 4 * m, 8 * m, 16 * m, 32 * m, 64 * m, 128 * m, 256 * m, 360 * m, 360 * m, 360 * m}, got); diff != "" {
		t.Errorf("delays (-want +got):\n%s", diff)
	}
}

func TestHistoryKeepsEveryLostValueAndTheLastOrigin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, state.Options{})
	b, l := book(t, s), link(1)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for run := range int64(3) {
		fold(t, b, engine.Fold{Link: l,
			Origins: []engine.Origin{{Side: record.Right, Path: "short", Rule: "summary", Run: run, At: at, Author: "ada"}},
			Lost:    []engine.Lost{{Side: record.Right, Path: "short", Value: record.OfInt(run), By: record.OfInt(run + 1), Rule: "summary", At: at, Run: run}}})
	}
	fold(t, b, engine.Fold{Keys: [2]string{"T-9", ""}, Lost: []engine.Lost{{Path: "title", Value: record.OfText("x")}}})
	for q, want := range map[string]string{
		"SELECT group_concat(run) FROM origin WHERE link = 1 AND side = 1 AND path = 'short'":                 "2",
		"SELECT group_concat(id || ':' || hex(value) || ':' || hex(replaced_by)) FROM history WHERE link = 1": "1:010400:010402,2:010402:010404,3:010404:010406",
		"SELECT key || link FROM history WHERE id = 4":                                                        "T-90",
		"SELECT key || at FROM history WHERE id = 1":                                                          fmt.Sprint("1", at.UnixNano()),
		"SELECT count(*) FROM pragma_foreign_key_check":                                                       "0",
		"SELECT journal_mode FROM pragma_journal_mode":                                                        "wal",
		"SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND sql NOT LIKE '%STRICT%' AND name <> 'goose_db_version'": "0",
	} {
		if got := query(t, path, q); got != want {
			t.Errorf("%s: got %s, want %s", q, got, want)
		}
	}
}

func TestClosingTwiceAndUsingAClosedStore(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), state.Options{})
	b := book(t, s)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if err := b.Fold(t.Context(), []engine.Fold{{Link: link(1)}}); !errors.Is(err, state.ErrClosed) {
		t.Errorf("fold: %v", err)
	}
	if _, err := b.CountLinks(t.Context()); !errors.Is(err, state.ErrClosed) {
		t.Errorf("count: %v", err)
	}
}
