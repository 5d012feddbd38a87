package sql_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/sql"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestTypesOfMariaDBComeAndGoExactly(t *testing.T) {
	t.Parallel()
	s := newShop(t, "mysql")
	at := record.OfTime(time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC))
	whole := record.OfTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	object, err := record.Of(map[string]any{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	s.do(t, "CREATE TABLE t (id INT)")
	for _, c := range []struct {
		name, native, literal string
		want                  record.Value
		write                 record.Value
		stored                string
		back                  record.Value // zero: what was written
	}{
		{"a bigint beyond what floats hold", "BIGINT", "9007199254740993", record.OfInt(9007199254740993), record.OfInt(-9223372036854775808), "-9223372036854775808", record.Value{}},
		{"a bigint beyond what has a sign", "BIGINT UNSIGNED", "18446744073709551615", record.OfText("18446744073709551615"), record.OfInt(5), "5", record.Value{}},
		{"a decimal with a fixed scale", "DECIMAL(10,2)", "1.10", record.OfFloat(1.1), record.OfFloat(2.5), "2.50", record.Value{}},
		{"a decimal with more digits than a float", "DECIMAL(30,10)", "12345678901234567890.1234567890", record.OfText("12345678901234567890.123456789"), record.OfText("0.0000000001"), "0.0000000001", record.Value{}},
		{"minus zero", "DOUBLE", "-0e0", record.OfInt(0), record.OfFloat(0.1), "0.1", record.Value{}},
		{"a single float with all its digits", "FLOAT", "16777.217", record.OfFloat(16777.217), record.OfFloat(3.3), "3.3", record.Value{}},
		{"a flag", "BOOLEAN", "1", record.OfBool(true), record.OfText("false"), "0", record.OfBool(false)},
		{"a flag that is neither", "BOOLEAN", "5", record.OfInt(5), record.OfBool(true), "1", record.Value{}},
		{"a bit", "BIT(1)", "b'1'", record.OfBool(true), record.OfBool(false), "0", record.Value{}},
		{"some bits", "BIT(9)", "b'100000001'", record.OfInt(257), record.OfInt(2), "2", record.Value{}},
		{"a stamp", "DATETIME(6)", "'2026-01-02 03:04:05.678901'", at, at, "2026-01-02 03:04:05.678901", record.Value{}},
		{"a stamp of whole seconds is cut, not rounded up", "DATETIME", "'2026-01-02 03:04:05'", whole, at, "2026-01-02 03:04:05", whole},
		{"a stamp in the server's zone", "TIMESTAMP(6) NULL", "'2026-01-02 03:04:05.678901'", at, at, "2026-01-02 03:04:05.678901", record.Value{}},
		{"a stamp that was never set", "DATETIME", "'0000-00-00 00:00:00'", record.NullValue, whole, "2026-01-02 03:04:05", record.Value{}},
		{"a day that was never set", "DATE", "'0000-00-00'", record.NullValue, record.OfText("2026-03-01"), "2026-03-01", record.Value{}},
		{"a day in no month", "DATE", "'2026-00-00'", record.OfText("2026-00-00"), record.OfText("2026-03-01"), "2026-03-01", record.Value{}},
		{"a time of day", "TIME", "'-25:30:00'", record.OfText("-25:30:00"), record.OfText("07:00:00"), "07:00:00", record.Value{}},
		{"a year", "YEAR", "2026", record.OfInt(2026), record.OfInt(1999), "1999", record.Value{}},
		{"text with spaces at its end", "VARCHAR(9)", "'a  '", record.OfText("a  "), record.OfText(" b "), " b ", record.Value{}},
		{"a text of four bytes a letter", "VARCHAR(3)", "'🚒é'", record.OfText("🚒é"), record.OfText("日本🚒"), "日本🚒", record.Value{}},
		{"text in another character set", "VARCHAR(9) CHARACTER SET latin1", "'grüße'", record.OfText("grüße"), record.OfText("é"), "é", record.Value{}},
		{"JSON", "JSON", `'{"a": 1}'`, object, record.OfText(`say "hi"`), `"say \"hi\""`, record.Value{}},
		{"a blob that is text", "BLOB", "'hi'", record.OfText("hi"), record.OfText("ho"), "ho", record.Value{}},
		{"a blob that is none", "BLOB", "x'ff00'", record.UnknownValue, record.OfText("ho"), "ho", record.Value{}},
		{"an enumeration", "ENUM('sad', 'glad')", "'sad'", record.OfText("sad"), record.OfText("glad"), "glad", record.Value{}},
		{"a set", "SET('a', 'b')", "'a,b'", record.OfText("a,b"), record.OfText("b"), "b", record.Value{}},
		{"a UUID", "UUID", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", record.OfText("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), record.OfText("b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", record.Value{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.do(t, fmt.Sprintf("SET STATEMENT sql_mode = 'ALLOW_INVALID_DATES' FOR DROP TABLE t; CREATE TABLE t (id INT PRIMARY KEY, v %s); SET STATEMENT sql_mode = 'ALLOW_INVALID_DATES' FOR INSERT INTO t VALUES (1, %s)", c.native, c.literal))
			col := s.open(t, sql.Table{Name: "t"})
			if got := show(t, col, "1", "v"); got != c.want {
				t.Errorf("%s reads as %s (%s), want %s (%s)", c.literal, got, got.Kind(), c.want, c.want.Kind())
			}
			if got := scan(t, col, connectors.Query{Paths: []string{"v"}})["1"]; got != c.want {
				t.Errorf("%s is scanned as %s (%s), want %s (%s)", c.literal, got, got.Kind(), c.want, c.want.Kind())
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
			read := "v"
			if strings.HasPrefix(c.native, "BIT") {
				read = "v + 0"
			}
			if got := s.value(t, "SELECT "+read+" FROM t WHERE id = ?", 1); got != c.stored {
				t.Errorf("a write of %s stores %s, want %s", c.write, got, c.stored)
			}
			again, err := col.(connectors.Updater).Update(t.Context(), []string{"v"}, "1", "", record.Fields{"v": back})
			if err != nil || again.Version != r.Version {
				t.Errorf("a write of what is there gives the version %s after %s, %v", again.Version, r.Version, err)
			}
		})
	}
}

func TestMariaDBSaysWhichColumnItRefuses(t *testing.T) {
	t.Parallel()
	s := newShop(t, "mysql")
	s.do(t, `CREATE TABLE q (id INT PRIMARY KEY); CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, ref VARCHAR(20) UNIQUE, title VARCHAR(5) NOT NULL, n INT CHECK (n > 0), q INT, twice INT AS (n * 2) STORED,
			m ENUM('sad', 'glad'), u UUID, small SMALLINT, day DATE, word VARCHAR(9) CHECK (word IN ('a', 'b')), CONSTRAINT fk_q FOREIGN KEY (q) REFERENCES q (id));
		CREATE TRIGGER closed BEFORE UPDATE ON t FOR EACH ROW IF OLD.ref = 'closed' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a closed ticket cannot be changed'; END IF; INSERT INTO t (ref, title) VALUES ('A', 'a'), ('closed', 'b')`)
	refuses(t, s, "2")
}

func TestMariaDBCutsNothingWhateverItsMode(t *testing.T) {
	s := newShop(t, "mysql") // not parallel: it changes the server's mode for new sessions
	mode := s.value(t, "SELECT @@global.sql_mode FROM DUAL WHERE 1 = ?", 1)
	s.do(t, "SET GLOBAL sql_mode = ''")
	t.Cleanup(func() { s.do(t, "SET GLOBAL sql_mode = '"+mode+"'") })
	s.do(t, "CREATE TABLE t (id INT PRIMARY KEY, n TINYINT, s TINYTEXT, l VARCHAR(9) CHARACTER SET latin1); INSERT INTO t VALUES (1, 1, 'a', 'a')")
	col := s.open(t, sql.Table{Name: "t"})
	for path, v := range map[string]record.Value{"n": record.OfInt(300), "s": record.OfText(strings.Repeat("x", 256)), "l": record.OfText("日本")} {
		_, err := col.(connectors.Updater).Update(t.Context(), []string{path}, "1", "", record.Fields{path: v})
		e, ok := errors.AsType[*connectors.Error](err)
		if !ok || e.Kind != connectors.ErrRefused || len(e.Fields) != 1 || e.Fields[0] != path {
			t.Errorf("%s: the error is %v, want ErrRefused that names it", path, err)
		}
	}
	if got := s.value(t, "SELECT CONCAT(n, s, l) FROM t WHERE id = ?", 1); got != "1aa" {
		t.Errorf("the row holds %q", got)
	}
}

// MySQL 9 says so where MariaDB names the column; a trigger says it here in its place.
func TestLettersThatAColumnOfMySQLDoesNotHaveAreRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t, "mysql")
	s.do(t, `CREATE TABLE t (id INT PRIMARY KEY, l VARCHAR(9)); INSERT INTO t VALUES (1, 'a');
		CREATE TRIGGER letters BEFORE UPDATE ON t FOR EACH ROW SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 3988, MESSAGE_TEXT = 'Conversion from collation utf8mb4_0900_ai_ci into latin1_swedish_ci impossible for parameter'`)
	_, err := s.open(t, sql.Table{Name: "t"}).(connectors.Updater).Update(t.Context(), []string{"l"}, "1", "", record.Fields{"l": record.OfText("日本")})
	if !errors.Is(err, connectors.ErrRefused) || !strings.Contains(connectors.Hint(err), "letters") {
		t.Errorf("the error is %v (hint %q), want ErrRefused", err, connectors.Hint(err))
	}
}

func TestMariaDBKeepsTheStampByItself(t *testing.T) {
	t.Parallel()
	s := newShop(t, "mysql")
	s.do(t, "CREATE TABLE t (id INT PRIMARY KEY, s TEXT, m TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP); INSERT INTO t VALUES (1, 'a', '2025-01-01 00:00:00'), (2, 'b', '2025-01-01 00:00:00')")
	col := s.open(t, sql.Table{Name: "t", Modified: "m"})
	r, err := col.(connectors.Updater).Update(t.Context(), []string{"s"}, "1", "", record.Fields{"s": record.OfText("x")})
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(r.Modified); age < -2*time.Second || age > time.Minute {
		t.Errorf("the stamp is %v, want now", r.Modified)
	}
	w, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"s"}}, func(record.Record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if got := keysOf(scan(t, col, connectors.Query{Paths: []string{"s"}, Since: w.Next})); got != "1" {
		t.Errorf("delivered %q, want the changed row alone", got)
	}
	if w.Clock.Offset > time.Second || w.Clock.Offset < -time.Second || !w.Clock.Measured {
		t.Errorf("the clock is %+v", w.Clock)
	}
}

func TestAWriteOfMariaDBThatChangesNothingIsFound(t *testing.T) {
	t.Parallel()
	s := newShop(t, "mysql")
	s.do(t, "CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(9)); INSERT INTO t VALUES (1, 'a')")
	col := s.open(t, sql.Table{Name: "t"})
	r, err := col.(connectors.Updater).Update(t.Context(), []string{"s"}, "1", "", record.Fields{"s": record.OfText("a")})
	if err != nil || r.Values[0] != record.OfText("a") {
		t.Errorf("%v, %v", r.Values, err)
	}
}
