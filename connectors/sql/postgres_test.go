package sql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/sql"
	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
	"github.com/fieldsync/fieldsync/engine/record"
)

// show is one value of one row.
func show(t *testing.T, c connectors.Collection, key, path string) record.Value {
	t.Helper()
	v := record.Value{}
	if err := c.Read(t.Context(), []string{path}, []string{key}, func(r record.Record) error { v = r.Values[0].Clone(); return nil }); err != nil {
		t.Fatal(err)
	}
	return v
}

// list makes a list, as Of does it.
func list(t *testing.T, items ...any) record.Value {
	t.Helper()
	v, err := record.Of(items)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTypesOfPostgreSQLComeAndGoExactly(t *testing.T) {
	t.Parallel()
	s := newShop(t, "postgres")
	at := record.OfTime(time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC))
	object, err := record.Of(map[string]any{"a": 1, "b": []any{"x", nil}})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		name, native, literal string
		want                  record.Value // of the literal
		write                 record.Value
		stored                string       // as text, after the write
		back                  record.Value // what the write gives; zero: what was written
	}{
		{"a bigint beyond what floats hold", "bigint", "9007199254740993", record.OfInt(9007199254740993), record.OfInt(-9223372036854775808), "-9223372036854775808", record.Value{}},
		{"a decimal with a fixed scale", "numeric(10,2)", "1.10", record.OfFloat(1.1), record.OfFloat(2.5), "2.50", record.Value{}},
		{"a decimal that is whole", "numeric(10,2)", "2.00", record.OfInt(2), record.OfText("3.10"), "3.10", record.OfFloat(3.1)},
		{"a decimal with more digits than a float", "numeric(30,10)", "12345678901234567890.1234567890", record.OfText("12345678901234567890.123456789"), record.OfText("0.0000000001"), "0.0000000001", record.Value{}},
		{"a decimal without limits", "numeric", "1.10", record.OfText("1.1"), record.OfInt(7), "7", record.OfText("7")},
		{"a whole decimal of 18 digits", "numeric(18)", "123456789012345678", record.OfInt(123456789012345678), record.OfInt(5), "5", record.Value{}},
		{"a number that is none", "numeric", "NaN", record.UnknownValue, record.OfText("1"), "1", record.Value{}},
		{"minus zero", "double precision", "-0", record.OfInt(0), record.OfFloat(0.1), "0.1", record.Value{}},
		{"infinity in a float", "double precision", "Infinity", record.UnknownValue, record.OfFloat(1e300), "1e+300", record.Value{}},
		{"a single float", "real", "2.1", record.OfFloat(2.1), record.OfFloat(3.3), "3.3", record.Value{}},
		{"a flag", "boolean", "t", record.OfBool(true), record.OfText("false"), "false", record.OfBool(false)},
		{"a stamp with a zone", "timestamptz", "2026-01-02 05:04:05.678901+02", at, at, "2026-01-02 03:04:05.678901+00", record.Value{}},
		{"a stamp without one", "timestamp", "2026-01-02 03:04:05.678901", at, at, "2026-01-02 03:04:05.678901", record.Value{}},
		{"a stamp of whole seconds is cut, not rounded up", "timestamp(0)", "2026-01-02 03:04:05", record.OfTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), at, "2026-01-02 03:04:05", record.OfTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))},
		{"a stamp that never ends", "timestamptz", "infinity", record.OfText("infinity"), at, "2026-01-02 03:04:05.678901+00", record.Value{}},
		{"a stamp before Christ", "timestamp", "0044-03-15 12:00:00 BC", record.OfText("0044-03-15 12:00:00 BC"), at, "2026-01-02 03:04:05.678901", record.Value{}},
		{"a day", "date", "2026-02-28", record.OfText("2026-02-28"), record.OfText("2026-03-01"), "2026-03-01", record.Value{}},
		{"a day that never comes", "date", "infinity", record.OfText("infinity"), at, "2026-01-02", record.OfText("2026-01-02")},
		{"text with spaces at its end", "text", "a  ", record.OfText("a  "), record.OfText(" b "), " b ", record.Value{}},
		{"text of fixed length", "char(5)", "ab", record.OfText("ab"), record.OfText("cde"), "cde", record.Value{}},
		{"a UUID", "uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", record.OfText("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), record.OfText("B0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", record.OfText("b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")},
		{"JSON", "jsonb", `{"b": ["x", null], "a": 1}`, object, record.OfText(`say "hi"`), `"say \"hi\""`, record.Value{}},
		{"JSON that says null", "jsonb", "null", record.NullValue, object, `{"a": 1, "b": ["x", null]}`, record.Value{}},
		{"a list of numbers", "int[]", "{1,2,NULL}", list(t, 1, 2, nil), list(t, 3, 4), "{3,4}", record.Value{}},
		{"a list of texts", "text[]", `{"a,b","c\"d"}`, list(t, "a,b", `c"d`), list(t, `back\slash`, "", "NULL"), `{"back\\slash","","NULL"}`, record.Value{}},
		{"one value for a list", "text[]", "{}", list(t), record.OfText("x"), "{x}", list(t, "x")},
		{"bytes that are text", "bytea", `\x6869`, record.OfText("hi"), record.OfText("ho"), `\x686f`, record.Value{}},
		{"bytes that are none", "bytea", `\xff00`, record.UnknownValue, record.OfText("ho"), `\x686f`, record.Value{}},
		{"an enumeration", "mood", "sad", record.OfText("sad"), record.OfText("glad"), "glad", record.Value{}},
		{"a domain", "positive", "5", record.OfInt(5), record.OfInt(6), "6", record.Value{}},
		{"a type of its own", "inet", "10.0.0.1/8", record.OfText("10.0.0.1/8"), record.OfText("10.0.0.2"), "10.0.0.2/32", record.OfText("10.0.0.2/32")},
		{"a length of time", "interval", "90 minutes", record.OfText("PT1H30M"), record.OfText("PT2H"), "PT2H", record.Value{}},
	} {
		if i == 0 {
			s.do(t, "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN positive AS int CHECK (value > 0)")
		}
		t.Run(c.name, func(t *testing.T) {
			s.do(t, fmt.Sprintf("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, v %s); INSERT INTO t VALUES (1, '%s'::%s)", c.native, c.literal, c.native))
			col := s.open(t, sql.Table{Name: "t"})
			if got := show(t, col, "1", "v"); got != c.want {
				t.Errorf("%s reads as %s (%s), want %s (%s)", c.literal, got, got.Kind(), c.want, c.want.Kind())
			}
			r, err := col.(connectors.Updater).Update(t.Context(), []string{"v"}, "1", "", record.Fields{"v": c.write})
			if err != nil {
				t.Fatal(err)
			}
			back := c.back
			if back.Kind() == record.Absent {
				back = c.write
			}
			if r.Values[0] != back {
				t.Errorf("a write of %s gives %s (%s), want %s", c.write, r.Values[0], r.Values[0].Kind(), back)
			}
			if got := s.value(t, "SELECT v::text FROM t"); got != c.stored {
				t.Errorf("a write of %s stores %s, want %s", c.write, got, c.stored)
			}
			again, err := col.(connectors.Updater).Update(t.Context(), []string{"v"}, "1", "", record.Fields{"v": back})
			if err != nil || again.Version != r.Version {
				t.Errorf("a write of what is there gives the version %s after %s, %v", again.Version, r.Version, err)
			}
		})
	}
}

func TestPostgreSQLSaysWhichColumnItRefuses(t *testing.T) {
	t.Parallel()
	s := newShop(t, "postgres")
	s.do(t, `CREATE TABLE q (id int PRIMARY KEY); CREATE TYPE mood AS ENUM ('sad', 'glad');
		CREATE TABLE t (id serial PRIMARY KEY, ref text UNIQUE, title varchar(5) NOT NULL, n int CHECK (n > 0), q int REFERENCES q DEFERRABLE INITIALLY DEFERRED, twice int GENERATED ALWAYS AS (n * 2) STORED,
			m mood, u uuid, small smallint, day date, word text CHECK (word IN ('a', 'b')));
		CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.ref = 'closed' THEN RAISE 'a closed ticket cannot be changed'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER closed BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION closed(); INSERT INTO t (ref, title) VALUES ('A', 'a'), ('closed', 'b')`)
	refuses(t, s, "2")
}

// refuses has a table refuse what it does not allow.
func refuses(t *testing.T, s *shop, closed string) {
	col := s.open(t, sql.Table{Name: "t"})
	title := record.OfText("t")
	for _, c := range []struct {
		name, field, hint string
		f                 record.Fields
	}{
		{"a value that has to be unique", "ref", "another record", record.Fields{"title": title, "ref": record.OfText("A")}},
		{"a value that is required", "title", "has to write", record.Fields{"ref": record.OfText("B")}},
		{"a value that is cleared and required", "title", "has to write", record.Fields{"title": record.NullValue}},
		{"a check", "n", "constraint", record.Fields{"title": title, "n": record.OfInt(-1)}},
		{"a value of another kind", "n", "", record.Fields{"title": title, "n": record.OfText("many")}},
		{"a computed column", "twice", "", record.Fields{"title": title, "twice": record.OfInt(4)}},
		{"text that is too long", "title", "", record.Fields{"title": record.OfText("123456")}},
		{"a value that is not in the list", "m", "", record.Fields{"title": title, "m": record.OfText("angry")}},
		{"a word that a constraint does not list", "word", "constraint", record.Fields{"title": title, "word": record.OfText("c")}},
		{"a number out of range", "", "", record.Fields{"title": title, "small": record.OfInt(70000)}},
		{"a day that is none", "", "", record.Fields{"title": title, "day": record.OfText("2026-02-30")}},
		{"a record that does not exist", "q", "does not exist", record.Fields{"title": title, "q": record.OfInt(9)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := s.value(t, "SELECT count(*) FROM t")
			_, err := col.(connectors.Creator).Create(t.Context(), []string{"id"}, c.f)
			e, ok := errors.AsType[*connectors.Error](err)
			if !ok || e.Kind != connectors.ErrRefused || !strings.Contains(e.Hint, c.hint) {
				t.Fatalf("the error is %v (hint %q), want ErrRefused (hint %q)", err, connectors.Hint(err), c.hint)
			}
			if c.field != "" && !cmp.Equal(e.Fields, []string{c.field}) {
				t.Errorf("it names %q, want %s: %v", e.Fields, c.field, err)
			}
			if after := s.value(t, "SELECT count(*) FROM t"); after != before {
				t.Errorf("there are %s rows after it, before it %s", after, before)
			}
		})
	}
	_, err := col.(connectors.Updater).Update(t.Context(), []string{"id"}, closed, "", record.Fields{"title": title})
	if !errors.Is(err, connectors.ErrRefused) || !strings.Contains(err.Error(), "a closed ticket cannot be changed") {
		t.Errorf("what a trigger raises gives %v", err)
	}
}

func TestPostgreSQLTextHoldsNoNUL(t *testing.T) {
	t.Parallel()
	s := newShop(t, "postgres")
	s.do(t, "CREATE TABLE t (id int PRIMARY KEY, s text); INSERT INTO t VALUES (1, 'a')")
	col := s.open(t, sql.Table{Name: "t"})
	_, err := col.(connectors.Updater).Update(t.Context(), []string{"s"}, "1", "", record.Fields{"s": record.OfText("a\x00b")})
	if !errors.Is(err, connectors.ErrRefused) || !strings.Contains(err.Error(), "NUL") {
		t.Errorf("the error is %v, want ErrRefused that names NUL", err)
	}
	err = col.(connectors.Finder).Find(t.Context(), []string{"s"}, "s", []record.Value{record.OfText("a\x00b")}, func(record.Record) error { return errors.New("found") })
	if err != nil {
		t.Errorf("a search for it gives %v, want nothing", err)
	}
}

func TestNamesOfPostgreSQLKeepTheirCaseAndSchema(t *testing.T) {
	t.Parallel()
	s := newShop(t, "postgres")
	s.do(t, `CREATE TABLE tickets (id int PRIMARY KEY); CREATE TABLE "Tickets" ("Id" int PRIMARY KEY, "the ""title""" text); INSERT INTO "Tickets" VALUES (1, 'a');
		CREATE SCHEMA old; CREATE TABLE old.tickets (id int PRIMARY KEY, s text); INSERT INTO old.tickets VALUES (7, 'x')`)
	if got := show(t, s.open(t, sql.Table{Name: "Tickets"}), "1", `the "title"`); got != record.OfText("a") {
		t.Errorf(`"Tickets" shows %s`, got)
	}
	if got := show(t, s.open(t, sql.Table{Name: "o", Table: "old.tickets"}), "7", "s"); got != record.OfText("x") {
		t.Errorf("old.tickets shows %s", got)
	}
	if got := show(t, s.open(t, sql.Table{Name: "t", Table: "TICKETS"}), "1", "id"); got.Known() {
		t.Errorf("TICKETS is another table than tickets: it shows %s", got)
	}
}

func TestChoicesComeFromTypesAndConstraints(t *testing.T) {
	t.Parallel()
	for driver, schema := range map[string]string{
		"postgres": `CREATE TYPE mood AS ENUM ('sad', 'it''s fine'); CREATE TABLE t (id int PRIMARY KEY, a mood, b varchar(9) CHECK (b IN ('x', 'y, z')), c text CHECK (c IN ('one', 'two') OR id > 9),
			d int CHECK (d IN (1, 2, 3)), e text CHECK (e = 'only' OR e = 'other'))`,
		"mysql": "CREATE TABLE t (id INT PRIMARY KEY, a ENUM('sad', 'it''s fine'), b VARCHAR(9) CHECK (b IN ('x', 'y, z')), c TEXT CHECK (c IN ('one', 'two') OR id > 9), d INT CHECK (d IN (1, 2, 3)), e TEXT)",
	} {
		t.Run(driver, func(t *testing.T) {
			s := newShop(t, driver)
			s.do(t, schema)
			schema, err := s.open(t, sql.Table{Name: "t"}).(connectors.Describer).Describe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, f := range schema.Fields {
				for _, c := range f.Choices {
					got[f.Path] += c.Value.String() + " "
				}
				if f.Closed != (f.Choices != nil) {
					t.Errorf("%s: closed is %v with %d choices", f.Path, f.Closed, len(f.Choices))
				}
			}
			want := map[string]string{"a": `"sad" "it's fine" `, "b": `"x" "y, z" `, "d": "1 2 3 "}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("choices (-want +got):\n%s", d)
			}
		})
	}
}

func TestALongTransactionHoldsTheCursorBack(t *testing.T) {
	t.Parallel()
	s := newShop(t, "postgres")
	s.do(t, "CREATE TABLE t (id int PRIMARY KEY, s text, m timestamptz NOT NULL DEFAULT now()); INSERT INTO t SELECT n, 'old', now() - interval '1 day' FROM generate_series(1, 10) AS n")
	col := s.open(t, sql.Table{Name: "t", Modified: "m", CommitDelay: "0s"})
	q := connectors.Query{Paths: []string{"s"}}
	first, err := col.Scan(t.Context(), q, func(record.Record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	tx, err := s.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var began time.Time
	if err := tx.QueryRow("SELECT now()").Scan(&began); err != nil {
		t.Fatal(err)
	}
	s.value(t, "SELECT pg_sleep(2.2)::text") // whole seconds: the cursor has to stay behind where it would have gone
	w, err := col.Scan(t.Context(), connectors.Query{Paths: q.Paths, Since: first.Next}, func(record.Record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("UPDATE t SET s = 'late', m = now() WHERE id = 3"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := scan(t, col, connectors.Query{Paths: q.Paths, Since: w.Next}); len(got) != 1 || got["3"] != record.OfText("late") {
		t.Errorf("delivered %v, want the row that was stamped %v and committed after the scan", got, began)
	}
}

func TestNotificationsAreHints(t *testing.T) {
	t.Parallel()
	s := newShop(t, "postgres")
	s.do(t, "CREATE TABLE t (id int PRIMARY KEY, s text)")
	col := s.open(t, sql.Table{Name: "t", Notify: `Odd "channel"`})
	ctx, cancel := context.WithCancel(t.Context())
	hints := make(chan string, 100)
	ended := make(chan error, 1)
	go func() { ended <- col.(connectors.Notifier).Notify(ctx, func(key string) { hints <- key }) }()
	if got := <-hints; got != "" {
		t.Errorf("the first hint is %q, want the one that listening has begun", got)
	}
	s.do(t, `SELECT pg_notify('Odd "channel"', '7')`)
	s.do(t, `SELECT pg_notify('other', '8')`)
	s.do(t, `SELECT pg_notify('Odd "channel"', '9')`)
	if a, b := <-hints, <-hints; a != "7" || b != "9" {
		t.Errorf("the hints are %q and %q, want 7 and 9", a, b)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the end is %v, want the context's", err)
	}
	go func() { ended <- col.(connectors.Notifier).Notify(t.Context(), func(key string) { hints <- key }) }()
	<-hints
	s.do(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
	if err := <-ended; !errors.Is(err, connectors.ErrOffline) {
		t.Errorf("a connection that is cut gives %v, want ErrOffline", err)
	}
	if err := s.open(t, sql.Table{Name: "t"}).(connectors.Notifier).Notify(t.Context(), nil); err != nil {
		t.Errorf("without a channel it returns %v", err)
	}
}

func TestNoPasswordShows(t *testing.T) {
	t.Parallel()
	s := newShop(t, "postgres")
	s.do(t, "CREATE ROLE guest LOGIN PASSWORD 'x'")
	maria := sqltest.MariaDB(t)
	for _, c := range []struct {
		name   string
		config sql.Config
		kind   error
	}{
		{"a server that is not there", sql.Config{Driver: "postgres", DSN: "postgres://u:hunter%402@127.0.0.1:1/db"}, connectors.ErrOffline},
		{"a database that is not there", sql.Config{Driver: "postgres", DSN: strings.Replace(s.dsn, "/test_", "/hunter@2_", 1)}, connectors.ErrConfig},
		{"a role that is not there", sql.Config{Driver: "postgres", DSN: strings.Replace(s.dsn, "fs:trusted-and-secret", "nobody:hunter%402", 1)}, connectors.ErrAuth},
		{"words that are no URL", sql.Config{Driver: "postgres", DSN: "postgres://u:hunter@2@:x/db"}, connectors.ErrConfig},
		{"a MariaDB that is not there", sql.Config{Driver: "mysql", DSN: "u:hunter@2@tcp(127.0.0.1:1)/db"}, connectors.ErrOffline},
		{"a user whom MariaDB does not know", sql.Config{Driver: "mysql", DSN: strings.Replace(maria, "root", "u:hunter@2", 1)}, connectors.ErrAuth},
		{"a database that MariaDB does not have", sql.Config{Driver: "mysql", DSN: strings.Replace(maria, "test_", "none_", 1)}, connectors.ErrConfig},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := c.config.Open(connectors.Env{Name: "desk"})
			if err == nil {
				defer conn.Close()
				_, err = conn.Collection(t.Context(), "t")
			}
			if !errors.Is(err, c.kind) || connectors.Hint(err) == "" {
				t.Errorf("the error is %v (hint %q), want %v", err, connectors.Hint(err), c.kind)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if c.name != "a database that is not there" && strings.Contains(fmt.Sprintf("%v %+v %#v", e, e, e), "hunter") {
					t.Errorf("%T shows the password: %#v", e, e)
				}
			}
		})
	}
	for driver, dsn := range map[string]string{"postgres": "postgres://u:hunter%402@h/db", "mysql": "u:hunter@2@tcp(h:3306)/db"} {
		shown, secrets := (&sql.Config{Driver: driver, DSN: dsn}).Veil()
		if strings.Contains(fmt.Sprintf("%+v", shown), "hunter") || len(secrets) < 2 {
			t.Errorf("%s: veiled it is %+v, secrets are %q", driver, shown, secrets)
		}
		other, _ := (&sql.Config{Driver: driver, DSN: strings.Replace(dsn, "hunter", "winter", 1)}).Veil()
		if d := cmp.Diff(shown, other); d != "" {
			t.Errorf("%s: a new password is a new system:\n%s", driver, d)
		}
	}
}
