package sql_test

import (
	"context"
	dsql "database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/sql"
	"github.com/fieldsync/fieldsync/engine/record"
)

var sameValue = cmp.Comparer(func(a, b record.Value) bool { return a == b })

// scan returns the values of path by key.
func scan(t testing.TB, c connectors.Collection, q connectors.Query) map[string]record.Value {
	t.Helper()
	got := map[string]record.Value{}
	_, err := c.Scan(t.Context(), q, func(r record.Record) error {
		got[r.Key] = r.Values[0].Clone()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func keysOf(m map[string]record.Value) string {
	var s []string
	for i := range 100 {
		if _, ok := m[strconv.Itoa(i)]; ok {
			s = append(s, strconv.Itoa(i))
		}
	}
	return strings.Join(s, " ")
}

func TestSettingsThatAreWrong(t *testing.T) {
	d := newDesk(t, `CREATE TABLE tickets (id INTEGER PRIMARY KEY, title TEXT);
		CREATE TABLE pairs (a TEXT, b TEXT, PRIMARY KEY (a, b)); INSERT INTO pairs VALUES ('x', '1'), ('x', '2');
		CREATE VIEW bare AS SELECT title FROM tickets`)
	if err := os.WriteFile(filepath.Join(filepath.Dir(d.file), "letter.txt"), []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	base := filepath.Base(d.file)
	for _, c := range []struct {
		name         string
		config       sql.Config
		detail, hint string
	}{
		{"a dsn that PostgreSQL cannot read", sql.Config{Driver: "postgres", DSN: "x"}, "dsn cannot be read", "postgres://"},
		{"a dsn that MySQL cannot read", sql.Config{Driver: "mysql", DSN: "x"}, "dsn cannot be read", "@tcp("},
		{"a dsn of MySQL without a database", sql.Config{Driver: "mariadb", DSN: "u:p@tcp(127.0.0.1:1)/"}, "names no database", "@tcp("},
		{"a driver that nobody knows", sql.Config{Driver: "sqlight", DSN: "x"}, "there is no driver", `"sqlite"`},
		{"a driver far from all", sql.Config{Driver: "oracle", DSN: "x"}, "there is no driver", `"postgres"`},
		{"a delay that is none", sql.Config{DSN: base, Tables: []sql.Table{{Name: "x", CommitDelay: "soon"}}}, "commit_delay", "2m"},
		{"a channel of a database that has none", sql.Config{DSN: base, Tables: []sql.Table{{Name: "x", Notify: "n"}}}, "only PostgreSQL", "schedule"},
		{"a URL of another database", sql.Config{DSN: "postgres://host/db"}, "postgres://", "path of the database"},
		{"an empty dsn", sql.Config{}, "empty", "path of the database"},
		{"a database in memory", sql.Config{DSN: ":memory:"}, "memory", ""},
		{"a file that is missing", sql.Config{DSN: "nope.db"}, "there is no database", "not created"},
		{"a folder", sql.Config{DSN: "."}, "is a folder", "path"},
		{"a file that is no database", sql.Config{DSN: "letter.txt"}, "not a database", "not a SQLite database"},
		{"a table that is missing", sql.Config{DSN: base, Tables: []sql.Table{{Name: "x", Table: "ticket"}}}, `no table "ticket"`, `did you mean "tickets"?`},
		{"a key column that is missing", sql.Config{DSN: base, Tables: []sql.Table{{Name: "x", Table: "tickets", Key: []string{"titel"}}}}, "no such column", `did you mean "title"?`},
		{"a modified column that is missing", sql.Config{DSN: base, Tables: []sql.Table{{Name: "x", Table: "tickets", Modified: "updated_at"}}}, `modified = "updated_at"`, "its columns are"},
		{"a key column that is named twice", sql.Config{DSN: base, Tables: []sql.Table{{Name: "x", Table: "pairs", Key: []string{"a", "a"}}}}, "twice", "once"},
		{"a table to write to that is missing", sql.Config{DSN: base, Tables: []sql.Table{{Name: "x", Table: "bare", WriteTo: "ticket", Key: []string{"title"}}}}, "no such table", `did you mean "tickets"?`},
		{"a view to write to", sql.Config{DSN: base, Tables: []sql.Table{{Name: "x", Table: "bare", WriteTo: "bare", Key: []string{"title"}}}}, "is a view, too", "holds the rows"},
		{"a key that is not unique", sql.Config{DSN: base, Tables: []sql.Table{{Name: "x", Table: "pairs", Key: []string{"a"}}}}, "not unique", "unique"},
		{"a view without a key", sql.Config{DSN: base, Tables: []sql.Table{{Name: "x", Table: "bare"}}}, "no primary key", "key ="},
		{"a collection declared twice", sql.Config{DSN: base, Tables: []sql.Table{{Name: "x"}, {Name: "x"}}}, "twice", "own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := c.config.Open(d.env())
			if err == nil {
				defer conn.Close()
				_, err = conn.Collection(t.Context(), "x")
			}
			if !errors.Is(err, connectors.ErrConfig) || !strings.Contains(err.Error(), c.detail) || !strings.Contains(connectors.Hint(err), c.hint) {
				t.Errorf("the error is %v (hint %q), want ErrConfig with %q (hint %q)", err, connectors.Hint(err), c.detail, c.hint)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(d.file), "nope.db")); err == nil {
		t.Error("a missing database was created")
	}
}

func TestValuesAreReadByDeclaredType(t *testing.T) {
	d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, f REAL, b BOOL, at TIMESTAMP, day DATE, s TEXT, j JSON, x)")
	at := record.OfTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	for i, c := range []struct {
		name, column, literal string
		want                  record.Value
	}{
		{"a number", "n", "7", record.OfInt(7)},
		{"a text in a number column", "n", "'many'", record.OfText("many")},
		{"a whole float in a number column", "n", "2.0", record.OfInt(2)},
		{"a float", "f", "2.5", record.OfFloat(2.5)},
		{"a flag as number", "b", "1", record.OfBool(true)},
		{"a flag as word", "b", "'false'", record.OfBool(false)},
		{"a flag that is neither", "b", "5", record.OfInt(5)},
		{"a stamp with a space", "at", "'2026-01-02 03:04:05'", at},
		{"a stamp with a zone", "at", "'2026-01-02T05:04:05+02:00'", at},
		{"a stamp in seconds", "at", "1767323045", at},
		{"a stamp in milliseconds", "at", "1767323045000", at},
		{"a julian day", "at", "julianday('2026-01-02 03:04:05')", at},
		{"a stamp that is none", "at", "'soon'", record.OfText("soon")},
		{"a day", "day", "'2026-01-02'", record.OfText("2026-01-02")},
		{"a number in a text column", "s", "42", record.OfText("42")},
		{"an empty text", "s", "''", record.OfText("")},
		{"bytes that are text", "s", "x'6869'", record.OfText("hi")},
		{"bytes that are no text", "s", "x'ff00'", record.UnknownValue},
		{"JSON", "j", "'{\"a\":1}'", record.OfText(`{"a":1}`)},
		{"a column without a type", "x", "3", record.OfText("3")},
		{"null", "n", "NULL", record.NullValue},
	} {
		d.do(t, fmt.Sprintf("INSERT INTO t (id, %s) VALUES (%d, %s)", c.column, i, c.literal))
		t.Run(c.name, func(t *testing.T) {
			_, col := d.open(t, sql.Table{Name: "t"})
			if got := scan(t, col, connectors.Query{Paths: []string{c.column}})[strconv.Itoa(i)]; got != c.want {
				t.Errorf("%s reads as %s, a %s; want %s, a %s", c.literal, got, got.Kind(), c.want, c.want.Kind())
			}
		})
	}
}

func TestAWrittenStampHasTheFormOfTheColumn(t *testing.T) {
	for _, c := range []struct {
		name, declared string
		was, want      any
	}{
		{"space", "TEXT", "2025-12-01 10:00:00", "2026-01-01 08:00:00"},
		{"T and Z", "TIMESTAMP", "2025-12-01T10:00:00Z", "2026-01-01T08:00:00Z"},
		{"milliseconds and zone", "TEXT", "2025-12-01T10:00:00.000+00:00", "2026-01-01T08:00:00.000Z"},
		{"seconds", "INTEGER", int64(1764583200), int64(1767254400)},
		{"milliseconds", "INTEGER", int64(1764583200000), int64(1767254400000)},
		{"julian day", "REAL", 2461010.9166666665, 2461041.8333333335},
		{"nothing yet", "TEXT", nil, "2026-01-01 08:00:00"},
		{"nothing yet, number", "INTEGER", nil, int64(1767254400)},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, m "+c.declared+")")
			d.do(t, "INSERT INTO t (m) VALUES (?)", c.was)
			_, col := d.open(t, sql.Table{Name: "t", Modified: "m"})
			r, err := col.(connectors.Updater).Update(t.Context(), []string{"s"}, "1", "", record.Fields{"s": record.OfText("x")})
			if err != nil {
				t.Fatal(err)
			}
			if got := d.value(t, "SELECT +m FROM t"); got != c.want {
				t.Errorf("the stamp is %#v, want %#v", got, c.want)
			}
			if !r.Modified.Equal(d.clock()) {
				t.Errorf("Modified is %v, want %v", r.Modified, d.clock())
			}
			if _, err := col.(connectors.Creator).Create(t.Context(), []string{"s"}, record.Fields{"s": record.OfText("new")}); err != nil {
				t.Fatal(err)
			}
			if got := d.value(t, "SELECT +m FROM t WHERE s = 'new'"); got != c.want {
				t.Errorf("the stamp of a new row is %#v, want %#v", got, c.want)
			}
		})
	}
}

func TestIncrementalScansUnderstandEveryFormOfStamp(t *testing.T) {
	d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, m)")
	_, col := d.open(t, sql.Table{Name: "t", Modified: "m"})
	w, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"m"}}, func(record.Record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	before, after := time.Date(2026, 1, 1, 7, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 8, 0, 1, 0, time.UTC)
	for i, at := range []time.Time{before, after} {
		for j, m := range []any{at.Format(time.DateTime), at.Format(time.RFC3339), at.In(time.FixedZone("", 7200)).Format(time.RFC3339), at.Unix(), at.UnixMilli(), float64(at.Unix())/86400 + 2440587.5} {
			d.do(t, "INSERT INTO t VALUES (?, ?)", 10*i+j, m)
		}
	}
	d.do(t, "INSERT INTO t VALUES (20, NULL), (21, 'yesterday')")
	got := keysOf(scan(t, col, connectors.Query{Paths: []string{"m"}, Since: w.Next}))
	if want := "10 11 12 13 14 15 20 21"; got != want {
		t.Errorf("delivered %s, want %s: what changed, and what cannot say when", got, want)
	}
}

func TestAnIndexOnTheStampChangesNoResult(t *testing.T) {
	old, edited := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 8, 0, 1, 0, time.UTC)
	zone := time.FixedZone("", -11*3600)
	for _, c := range []struct {
		name   string
		stamps [2]any // of old rows and of edited ones
		more   []any  // that are delivered as well
	}{
		{"a space", [2]any{old.Format(time.DateTime), edited.Format(time.DateTime)}, []any{nil}},
		{"a zone far west", [2]any{old.In(zone).Format(time.RFC3339), edited.In(zone).Format(time.RFC3339)}, nil},
		{"seconds", [2]any{old.Unix(), edited.Unix()}, []any{nil}},
		{"milliseconds", [2]any{old.UnixMilli(), edited.UnixMilli()}, nil},
		{"seconds and a word", [2]any{old.Unix(), edited.Unix()}, []any{"soon"}},
		{"stamps and a number", [2]any{old.Format(time.DateTime), edited.Format(time.DateTime)}, []any{edited.Unix()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{3, 5200} { // few changes are looked up, many are not
				d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, m); CREATE INDEX i ON t (m)")
				_, col := d.open(t, sql.Table{Name: "t", Modified: "m"})
				w, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"m"}}, func(record.Record) error { return nil })
				if err != nil {
					t.Fatal(err)
				}
				tx, err := d.Begin()
				if err != nil {
					t.Fatal(err)
				}
				for i := range 2 * n {
					if _, err := tx.Exec("INSERT INTO t (m) VALUES (?)", c.stamps[i%2]); err != nil {
						t.Fatal(err)
					}
				}
				for _, m := range c.more {
					if _, err := tx.Exec("INSERT INTO t (m) VALUES (?)", m); err != nil {
						t.Fatal(err)
					}
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				if got := len(scan(t, col, connectors.Query{Paths: []string{"m"}, Since: w.Next})); got != n+len(c.more) {
					t.Errorf("%d records were delivered, want %d", got, n+len(c.more))
				}
			}
		})
	}
}

func TestWhatTheDatabaseRefusesNamesTheColumns(t *testing.T) {
	d := newDesk(t, `CREATE TABLE q (id INTEGER PRIMARY KEY); CREATE TABLE t (id INTEGER PRIMARY KEY, ref TEXT UNIQUE, title TEXT NOT NULL, n INT CHECK (n > 0),
		q INT REFERENCES q(id), twice INT AS (n * 2)); INSERT INTO t (ref, title) VALUES ('A', 'a');
		CREATE TRIGGER closed BEFORE UPDATE ON t WHEN OLD.ref = 'closed' BEGIN SELECT RAISE(ABORT, 'a closed ticket cannot be changed'); END;
		INSERT INTO t (ref, title) VALUES ('closed', 'b')`)
	_, col := d.open(t, sql.Table{Name: "t"})
	title := record.OfText("t")
	for _, c := range []struct {
		name, field, detail string
		f                   record.Fields
	}{
		{"a value that has to be unique", "ref", "UNIQUE", record.Fields{"title": title, "ref": record.OfText("A")}},
		{"a value that is required", "title", "NOT NULL", record.Fields{"ref": record.OfText("B")}},
		{"a check", "n", "CHECK", record.Fields{"title": title, "n": record.OfInt(-1)}},
		{"a value of another kind", "n", "does not fit", record.Fields{"title": title, "n": record.OfText("many")}},
		{"a computed column", "twice", "computed", record.Fields{"title": title, "twice": record.OfInt(4)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := col.(connectors.Creator).Create(t.Context(), []string{"id"}, c.f)
			e, ok := errors.AsType[*connectors.Error](err)
			if !ok || !errors.Is(err, connectors.ErrRefused) || !cmp.Equal(e.Fields, []string{c.field}) || !strings.Contains(e.Detail, c.detail) {
				t.Errorf("the error is %v, want ErrRefused with %q naming %s", err, c.detail, c.field)
			}
		})
	}
	_, err := col.(connectors.Updater).Update(t.Context(), []string{"id"}, "2", "", record.Fields{"title": title})
	if !errors.Is(err, connectors.ErrRefused) || !strings.Contains(err.Error(), "a closed ticket cannot be changed") {
		t.Errorf("what a trigger raises gives %v", err)
	}
	if n := d.value(t, "SELECT count(*) FROM t"); n != int64(2) {
		t.Errorf("there are %v rows afterwards, want 2", n)
	}
}

func TestTheScopeIsACondition(t *testing.T) {
	d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, queue TEXT); INSERT INTO t VALUES (1,'noc'),(2,'desk'),(3,'noc')")
	_, col := d.open(t, sql.Table{Name: "t"})
	if got := keysOf(scan(t, col, connectors.Query{Paths: []string{"queue"}, Native: "queue = 'noc' OR id = 9 -- the others wait"})); got != "1 3" {
		t.Errorf("delivered %s, want 1 3", got)
	}
	var inside []string
	err := col.(connectors.Scoper).Within(t.Context(), "queue = 'noc' OR id = 9 -- the others wait", []string{"3", "2", "7", "03", "3"}, func(key string) error { inside = append(inside, key); return nil })
	if err != nil || strings.Join(inside, " ") != "3" {
		t.Errorf("of some records %q are inside, %v; want 3", inside, err)
	}
	for _, native := range []string{"queu = 'noc'", "1) ; DELETE FROM t; --", "queue ="} {
		_, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"queue"}, Native: native}, func(record.Record) error { return nil })
		if n := d.value(t, "SELECT count(*) FROM t"); n != int64(3) {
			t.Fatalf("query %q left %v rows, want 3", native, n)
		}
		if err == nil {
			t.Errorf("query %q is accepted", native)
		}
	}
	n := 0
	if err := col.Read(t.Context(), []string{"queue"}, []string{"2"}, func(record.Record) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("a read outside the scope gave %d records and %v, want one", n, err)
	}
}

func TestAScanOfManyPagesSurvivesWriters(t *testing.T) {
	d := newDesk(t, "PRAGMA journal_mode=WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)")
	tx, err := d.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3500 {
		if _, err := tx.Exec("INSERT INTO t VALUES (?, ?)", 2*i, strings.Repeat("x", i%50)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	_, col := d.open(t, sql.Table{Name: "t"})
	seen := map[string]bool{}
	n := 0
	if _, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"s"}}, func(r record.Record) error {
		if n++; n%500 == 0 { // the application deletes behind, inserts ahead and moves a row it has shown
			d.do(t, "DELETE FROM t WHERE id = ?", 2*(n-400))
			d.do(t, "INSERT INTO t VALUES (?, 'new')", 2*n+4001)
			d.do(t, "UPDATE t SET s = 'changed' WHERE id = ?", 2*n+1000)
		}
		if seen[r.Key] {
			return fmt.Errorf("record %s came twice", r.Key)
		}
		seen[r.Key] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 3500 {
		if !seen[strconv.Itoa(2*i)] {
			t.Fatalf("record %d was not delivered", 2*i)
		}
	}
}

func TestALockedDatabaseIsBusyAndNothingHappened(t *testing.T) {
	d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT); INSERT INTO t VALUES (1, 'a')")
	conn, err := (&sql.Config{DSN: "file:" + strings.NewReplacer(" ", "%20", "#", "%23").Replace(d.file) + "?_busy_timeout=20"}).Open(d.env())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	col, err := conn.Collection(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := d.Begin() // immediate: takes the lock
	if err != nil {
		t.Fatal(err)
	}
	_, err = col.(connectors.Updater).Update(t.Context(), []string{"s"}, "1", "", record.Fields{"s": record.OfText("b")})
	if !errors.Is(err, connectors.ErrBusy) {
		t.Errorf("the error is %v, want ErrBusy", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if v := d.value(t, "SELECT s FROM t"); v != "a" {
		t.Errorf("the row is %v", v)
	}
}

func TestAReadOnlyDatabaseCanBeReadAndSaysSo(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root may write everything; the mode of the connection stands in for the rights")
	}
	d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT); INSERT INTO t VALUES (1, 'a')")
	conn, err := (&sql.Config{DSN: "file:" + strings.NewReplacer(" ", "%20", "#", "%23").Replace(d.file) + "?mode=ro"}).Open(d.env())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	col, err := conn.Collection(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	if got := keysOf(scan(t, col, connectors.Query{Paths: []string{"s"}})); got != "1" {
		t.Errorf("delivered %s, want 1", got)
	}
	err = col.(connectors.Deleter).Delete(t.Context(), "1", "")
	if !errors.Is(err, connectors.ErrDenied) || connectors.Hint(err) == "" {
		t.Errorf("the error is %v, want ErrDenied with a hint", err)
	}
}

func TestSoftDeleteWritesTheColumnsOwnForm(t *testing.T) {
	for _, c := range []struct {
		name, declared string
		other, want    any
	}{
		{"a flag", "BOOLEAN NOT NULL DEFAULT 0", int64(1), int64(1)},
		{"a stamp", "DATETIME", nil, "2026-01-01 08:00:00"},
		{"a stamp like others", "TEXT", "2025-12-01T00:00:00Z", "2026-01-01T08:00:00Z"},
		{"seconds like others", "INTEGER", int64(1764583200), int64(1767254400)},
		{"a number", "INTEGER DEFAULT 0", nil, int64(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, gone "+c.declared+"); INSERT INTO t (id) VALUES (1), (3)")
			if c.other != nil {
				d.do(t, "INSERT INTO t VALUES (2, ?)", c.other)
			}
			_, col := d.open(t, sql.Table{Name: "t", Deleted: "gone"})
			if err := col.(connectors.Deleter).Delete(t.Context(), "1", ""); err != nil {
				t.Fatal(err)
			}
			if got := d.value(t, "SELECT +gone FROM t WHERE id = 1"); got != c.want {
				t.Errorf("the mark is %#v, want %#v", got, c.want)
			}
			if got := keysOf(scan(t, col, connectors.Query{Paths: []string{"id"}})); got != "3" {
				t.Errorf("a scan delivers %s, want 3", got)
			}
			_, err := col.(connectors.Updater).Update(t.Context(), []string{"id"}, "1", "", record.Fields{})
			if !errors.Is(err, connectors.ErrNotFound) {
				t.Errorf("an update of it gives %v, want ErrNotFound", err)
			}
		})
	}
}

func TestAWriteThatChangesNothingKeepsTheVersion(t *testing.T) {
	d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, m TEXT); INSERT INTO t VALUES (1, 'a', '2025-01-01 00:00:00')")
	_, col := d.open(t, sql.Table{Name: "t", Modified: "m"})
	u := col.(connectors.Updater)
	first, err := u.Update(t.Context(), []string{"s", "m"}, "1", "", record.Fields{"s": record.OfText("a")})
	if err != nil {
		t.Fatal(err)
	}
	if want := []record.Value{record.OfText("a"), record.OfText("2025-01-01 00:00:00")}; !cmp.Equal(first.Values, want, sameValue) {
		t.Errorf("the row is %v, want %v", first.Values, want)
	}
}

func TestKeysAreExact(t *testing.T) {
	d := newDesk(t, "CREATE TABLE n (id INTEGER PRIMARY KEY, s TEXT); INSERT INTO n VALUES (7, 'a'); CREATE TABLE c (k TEXT COLLATE NOCASE PRIMARY KEY, s TEXT); INSERT INTO c VALUES ('Abc', 'a')")
	for _, c := range []struct{ table, key string }{{"n", "007"}, {"n", " 7"}, {"n", "7.0"}, {"c", "abc"}} {
		_, col := d.open(t, sql.Table{Name: c.table})
		if err := col.Read(t.Context(), []string{"s"}, []string{c.key}, func(r record.Record) error {
			return fmt.Errorf("key %q delivered record %q", c.key, r.Key)
		}); err != nil {
			t.Error(err)
		}
		if _, err := col.(connectors.Updater).Update(t.Context(), nil, c.key, "", record.Fields{"s": record.OfText("x")}); !errors.Is(err, connectors.ErrNotFound) {
			t.Errorf("an update of %q gives %v, want ErrNotFound", c.key, err)
		}
	}
}

func TestAViewIsReadAndNotWritten(t *testing.T) {
	d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT); INSERT INTO t VALUES (1, 'a'); CREATE VIEW v AS SELECT id, upper(s) AS s FROM t")
	_, col := d.open(t, sql.Table{Name: "v", Key: []string{"id"}})
	if got := scan(t, col, connectors.Query{Paths: []string{"s"}}); got["1"] != record.OfText("A") {
		t.Errorf("delivered %v", got)
	}
	if _, err := col.(connectors.Creator).Create(t.Context(), nil, record.Fields{}); !errors.Is(err, connectors.ErrDenied) {
		t.Errorf("the error is %v, want ErrDenied", err)
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, m TEXT); INSERT INTO t VALUES (1, '2031-01-01 00:00:00')")
	conn, err := (&sql.Config{DSN: filepath.Base(d.file), Tables: []sql.Table{{Name: "t", Modified: "m"}, {Name: "tt"}}}).Open(d.env())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	found, err := conn.(connectors.Checker).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var bad []string
	for _, f := range found {
		if !f.OK {
			bad = append(bad, f.What+": "+f.Hint)
		}
	}
	want := []string{"clock: the modified column has to be UTC; if it holds local time, leave modified out", `collection tt: did you mean "t"?`}
	if !cmp.Equal(bad, want) {
		t.Errorf("complaints differ:\n%s", cmp.Diff(want, bad))
	}
}

func TestADatabaseThatIsReadKeepsEveryByte(t *testing.T) {
	d := newDesk(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT); INSERT INTO t VALUES (1, 'a')")
	before, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	conn, col := d.open(t, sql.Table{Name: "t"})
	scan(t, col, connectors.Query{Paths: []string{"s"}})
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("reading changed the file")
	}
}

func BenchmarkScan(b *testing.B) {
	const n = 50_000
	d := newDesk(b, "CREATE TABLE t (id INTEGER PRIMARY KEY, title TEXT, status TEXT, priority INT, queue TEXT, ref TEXT, description TEXT, updated_at TEXT)")
	tx, err := d.Begin()
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(); err != nil && !errors.Is(err, dsql.ErrTxDone) {
			b.Error(err)
		}
	}()
	for i := range n {
		if _, err := tx.Exec("INSERT INTO t VALUES (?,?,?,?,?,?,?,?)", i, fmt.Sprint("title ", i), "open", i%5, "noc", fmt.Sprint("T-", i), strings.Repeat("words ", 100), "2026-01-01 00:00:00"); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	_, col := d.open(b, sql.Table{Name: "t", Modified: "updated_at"})
	paths := []string{"id", "title", "status", "priority", "queue", "ref", "description"}
	b.ReportAllocs()
	for b.Loop() {
		seen := 0
		if _, err := col.Scan(context.Background(), connectors.Query{Paths: paths}, func(record.Record) error { seen++; return nil }); err != nil || seen != n {
			b.Fatal(seen, err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
