package sql_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/sql"
	"github.com/fieldsync/fieldsync/engine/record"
)

// both runs a test against both servers.
func both(t *testing.T, run func(t *testing.T, s *shop)) {
	t.Parallel()
	for _, driver := range []string{"postgres", "mysql"} {
		t.Run(driver, func(t *testing.T) { t.Parallel(); run(t, newShop(t, driver)) })
	}
}

func TestServersCompareKeysAndMarkersExactly(t *testing.T) {
	both(t, func(t *testing.T, s *shop) {
		insensitive := "VARCHAR(20)" // MariaDB compares without case, accents and spaces at the end unless told otherwise
		if s.driver == "postgres" {
			s.do(t, "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
			insensitive = "varchar(20) COLLATE loose"
		}
		s.do(t, "CREATE TABLE t (k "+insensitive+" PRIMARY KEY, ref "+insensitive+", n int); INSERT INTO t VALUES ('Abc', 'Été', 7), ('x', 'été', 8)")
		col := s.open(t, sql.Table{Name: "t"})
		for _, key := range []string{"abc", "Abc ", "ABC", "X"} {
			if v := show(t, col, key, "n"); v.Known() {
				t.Errorf("key %q delivers %s", key, v)
			}
			if _, err := col.(connectors.Updater).Update(t.Context(), nil, key, "", record.Fields{"n": record.OfInt(1)}); !errors.Is(err, connectors.ErrNotFound) {
				t.Errorf("an update of %q gives %v, want ErrNotFound", key, err)
			}
		}
		for value, want := range map[string]string{"Été": "Abc", "été": "x", "Ete": "", "ÉTÉ": ""} {
			got := ""
			err := col.(connectors.Finder).Find(t.Context(), []string{"ref"}, "ref", []record.Value{record.OfText(value)}, func(r record.Record) error { got += r.Key; return nil })
			if err != nil || got != want {
				t.Errorf("%q finds %q, %v; want %q", value, got, err, want)
			}
		}
		s.do(t, "CREATE TABLE n (id int PRIMARY KEY); INSERT INTO n VALUES (7)")
		numbers := s.open(t, sql.Table{Name: "n"})
		for _, key := range []string{"007", " 7", "7.0", "7x", "", "seven", "99999999999999999999"} {
			if v := show(t, numbers, key, "id"); v.Known() {
				t.Errorf("key %q delivers %s", key, v)
			}
		}
	})
}

func TestScansOfManyPagesWalkKeysOfSeveralColumns(t *testing.T) {
	both(t, func(t *testing.T, s *shop) {
		s.do(t, "CREATE TABLE t (a int, b varchar(20), c int, s text, PRIMARY KEY (a, b, c))")
		var rows []string
		want := 0
		for a := range 3 {
			for b := range 30 {
				for c := range 30 {
					rows = append(rows, fmt.Sprintf("(%d, 'b/%d%%', %d, 'x')", a, b, c))
					want++
				}
			}
		}
		s.do(t, "INSERT INTO t VALUES "+strings.Join(rows, ", "))
		col := s.open(t, sql.Table{Name: "t"})
		seen := map[string]bool{}
		var keys []string
		n := 0
		_, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"key"}}, func(r record.Record) error {
			if n++; n == 1500 { // the application deletes behind and inserts ahead
				s.do(t, "DELETE FROM t WHERE a = 0")
				s.do(t, "INSERT INTO t VALUES (5, 'new', 1, 'x')")
			}
			if seen[r.Key] || r.Values[0] != record.OfText(r.Key) {
				return fmt.Errorf("record %s came twice, or shows as %s", r.Key, r.Values[0])
			}
			seen[r.Key] = true
			if strings.HasPrefix(r.Key, "2/") {
				keys = append(keys, r.Key)
			}
			return nil
		})
		if err != nil || n != want+1 || !seen["0/b%2F7%25/3"] || !seen["5/new/1"] {
			t.Fatalf("%d records, %v; want %d", n, err, want+1)
		}
		read := 0
		if err := col.Read(t.Context(), []string{"s"}, keys, func(record.Record) error { read++; return nil }); err != nil || read != 900 {
			t.Errorf("read %d of 900 by their keys, %v", read, err)
		}
		for _, key := range []string{"1/b/7%/3", "1/b%2f7%25/3", "1/b%2F7%25", "1/b%2F7%25/3/", "1/b%2F7%25/03", ""} {
			if v := show(t, col, key, "s"); v.Known() {
				t.Errorf("%q is no key, and delivers %s", key, v)
			}
		}
		u := col.(connectors.Updater)
		if _, err := u.Update(t.Context(), nil, keys[0], "", record.Fields{"c": record.OfInt(77)}); !errors.Is(err, connectors.ErrRefused) || !strings.Contains(connectors.Hint(err), "on_create") {
			t.Errorf("a change of the key gives %v", err)
		}
		if _, err := u.Update(t.Context(), nil, keys[0], "", record.Fields{"key": record.OfText("x")}); !errors.Is(err, connectors.ErrRefused) {
			t.Errorf("a write of the whole key gives %v", err)
		}
		made, err := col.(connectors.Creator).Create(t.Context(), []string{"key"}, record.Fields{"a": record.OfInt(9), "b": record.OfText("ü/"), "c": record.OfInt(1)})
		if err != nil || made.Key != "9/ü%2F/1" {
			t.Errorf("created %q, %v", made.Key, err)
		}
	})
}

func TestOnlyWhatChangedIsScannedWithAnIndexAndWithout(t *testing.T) {
	both(t, func(t *testing.T, s *shop) {
		ago := "now() - interval '1 hour'"
		if s.driver == "mysql" {
			ago = "UTC_TIMESTAMP() - INTERVAL 1 HOUR"
		}
		s.do(t, "CREATE TABLE t (id int PRIMARY KEY, m timestamp NULL)")
		if s.driver == "postgres" {
			s.do(t, "INSERT INTO t SELECT n, "+ago+" FROM generate_series(1, 12000) AS n")
		} else {
			s.do(t, "INSERT INTO t SELECT seq, "+ago+" FROM seq_1_to_12000")
		}
		for _, index := range []string{"", "CREATE INDEX changed ON t (m)"} {
			if index != "" {
				s.do(t, index)
			}
			col := s.open(t, sql.Table{Name: "t", Modified: "m"})
			w, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"id"}}, func(record.Record) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			now := "now()"
			if s.driver == "mysql" {
				now = "UTC_TIMESTAMP()"
			}
			for _, n := range []int{3, 6000} { // few changes are looked up, many are not
				s.do(t, fmt.Sprintf("UPDATE t SET m = %s WHERE id <= %d", now, n))
				s.do(t, "UPDATE t SET m = NULL WHERE id = 11000")
				got := 0
				if _, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"id"}, Since: w.Next, Native: "id <> 2"}, func(record.Record) error { got++; return nil }); err != nil || got != n {
					t.Errorf("index %q: %d records, %v; want %d: what changed, less one out of scope, and one that cannot say when", index, got, err, n)
				}
			}
			s.do(t, "UPDATE t SET m = "+ago)
		}
	})
}

func TestAScopeCannotWrite(t *testing.T) {
	both(t, func(t *testing.T, s *shop) {
		s.do(t, "CREATE TABLE t (id int PRIMARY KEY, queue varchar(9)); INSERT INTO t VALUES (1, 'noc'), (2, 'desk'), (3, 'noc')")
		col := s.open(t, sql.Table{Name: "t"})
		if got := keysOf(scan(t, col, connectors.Query{Paths: []string{"queue"}, Native: "queue = 'noc' OR id = 9 -- the others wait"})); got != "1 3" {
			t.Errorf("delivered %s, want 1 3", got)
		}
		for _, native := range []string{"queu = 'noc'", "1 = 1) ; DELETE FROM t; --", "queue ="} {
			_, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"queue"}, Native: native}, func(record.Record) error { return nil })
			if !errors.Is(err, connectors.ErrConfig) || !strings.Contains(connectors.Hint(err), "query of the side") {
				t.Errorf("query %q gives %v (hint %q), want ErrConfig", native, err, connectors.Hint(err))
			}
		}
		if n := s.value(t, "SELECT count(*) FROM t WHERE id > ?", 0); n != "3" {
			t.Errorf("%s rows are left, want 3", n)
		}
	})
}

func TestRightsAreAskedForAndTheirLackNamed(t *testing.T) {
	both(t, func(t *testing.T, s *shop) {
		s.do(t, "CREATE TABLE t (id int PRIMARY KEY, s text, m timestamp NULL); INSERT INTO t VALUES (1, 'a', NULL)")
		name := s.value(t, map[string]string{"postgres": "SELECT current_database()::text", "mysql": "SELECT DATABASE()"}[s.driver])
		reader := &shop{driver: s.driver}
		if s.driver == "postgres" {
			s.do(t, "CREATE ROLE r_"+name+" LOGIN; GRANT SELECT ON t TO r_"+name)
			reader.dsn = strings.Replace(s.dsn, "fs:trusted-and-secret", "r_"+name, 1)
		} else {
			s.do(t, "CREATE USER r_"+name+"@localhost; GRANT SELECT ON "+name+".t TO r_"+name+"@localhost")
			reader.dsn = strings.Replace(s.dsn, "root", "r_"+name, 1)
		}
		conn := reader.connect(t, sql.Table{Name: "t", Modified: "m"})
		found, err := conn.(connectors.Checker).Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, f := range found {
			if said += f.Detail + "\n"; !f.OK {
				t.Errorf("%s: %s is held to be wrong", f.What, f.Detail)
			}
		}
		if !strings.Contains(said, "t: may read t; may not insert into t, update it, delete from it") {
			t.Errorf("the findings are:\n%s", said)
		}
		col, err := conn.Collection(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		if v := show(t, col, "1", "s"); v != record.OfText("a") {
			t.Errorf("it shows %s", v)
		}
		for what, do := range map[string]func() error{
			"create": func() error {
				_, err := col.(connectors.Creator).Create(t.Context(), nil, record.Fields{"id": record.OfInt(2)})
				return err
			},
			"update": func() error {
				_, err := col.(connectors.Updater).Update(t.Context(), nil, "1", "", record.Fields{"s": record.OfText("x")})
				return err
			},
			"delete": func() error { return col.(connectors.Deleter).Delete(t.Context(), "1", "") },
		} {
			if err := do(); !errors.Is(err, connectors.ErrDenied) || !strings.Contains(connectors.Hint(err), "grant") {
				t.Errorf("%s gives %v (hint %q), want ErrDenied", what, err, connectors.Hint(err))
			}
		}
	})
}

func TestARowThatAnotherProgramHoldsIsBusy(t *testing.T) {
	both(t, func(t *testing.T, s *shop) {
		s.do(t, "CREATE TABLE t (id int PRIMARY KEY, s varchar(9)); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
		col := s.open(t, sql.Table{Name: "t"})
		// Two writers that wait for each other: the server ends one of them at once.
		tx, err := s.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if _, err := tx.Exec("UPDATE t SET s = 'held' WHERE id = 1"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err = col.(connectors.Updater).Update(ctx, nil, "1", "", record.Fields{"s": record.OfText("x")})
		if !errors.Is(err, connectors.ErrBusy) || connectors.Hint(err) == "" {
			t.Errorf("the error is %v, want ErrBusy with a hint", err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if v := show(t, col, "1", "s"); v != record.OfText("held") {
			t.Errorf("the row shows %s", v)
		}
	})
}

func TestTwoWritersWithOneVersionHaveOneWinner(t *testing.T) {
	both(t, func(t *testing.T, s *shop) {
		s.do(t, "CREATE TABLE t (id int PRIMARY KEY, s varchar(9)); INSERT INTO t VALUES (1, 'a')")
		col := s.open(t, sql.Table{Name: "t"})
		version := ""
		if err := col.Read(t.Context(), []string{"s"}, []string{"1"}, func(r record.Record) error { version = r.Version; return nil }); err != nil {
			t.Fatal(err)
		}
		var won, stale atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				_, err := col.(connectors.Updater).Update(t.Context(), nil, "1", version, record.Fields{"s": record.OfText(fmt.Sprint(i))})
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, connectors.ErrStale):
					stale.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || stale.Load() != 7 {
			t.Errorf("%d writers won and %d were told that the row changed, want 1 and 7", won.Load(), stale.Load())
		}
	})
}

// A wire passes bytes between fieldsync and a server until it is cut.
type wire struct {
	addr   string
	commit atomic.Bool // cut when a COMMIT comes by
	conns  sync.Map
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String()}
	t.Cleanup(func() { l.Close(); w.cut() })
	go func() {
		for {
			ours, err := l.Accept()
			if err != nil {
				return
			}
			theirs, err := net.Dial("tcp", to)
			if err != nil {
				ours.Close()
				continue
			}
			w.conns.Store(ours, theirs)
			go func() {
				defer ours.Close()
				_, _ = io.Copy(ours, theirs) // ends when either is closed
			}()
			go func() {
				defer ours.Close()
				defer theirs.Close()
				buf := make([]byte, 1<<16)
				for {
					n, err := ours.Read(buf)
					if err != nil || w.commit.Load() && strings.Contains(strings.ToLower(string(buf[:n])), "commit") {
						return
					}
					if _, err := theirs.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return w
}

func (w *wire) cut() {
	w.conns.Range(func(a, b any) bool {
		a.(net.Conn).Close()
		b.(net.Conn).Close()
		return true
	})
}

func TestALostAnswerToACommitIsAnOpenOutcome(t *testing.T) {
	both(t, func(t *testing.T, s *shop) {
		s.do(t, "CREATE TABLE t (id int PRIMARY KEY, s varchar(9)); INSERT INTO t VALUES (1, 'a')")
		_, rest, _ := strings.Cut(s.dsn, "127.0.0.1:")
		port := rest[:strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })]
		w := newWire(t, "127.0.0.1:"+port)
		through := &shop{driver: s.driver, dsn: strings.Replace(s.dsn, "127.0.0.1:"+port, w.addr, 1)}
		col := through.open(t, sql.Table{Name: "t"})
		u := col.(connectors.Updater)
		if _, err := u.Update(t.Context(), nil, "1", "", record.Fields{"s": record.OfText("b")}); err != nil {
			t.Fatal(err)
		}
		w.commit.Store(true)
		_, err := u.Update(t.Context(), nil, "1", "", record.Fields{"s": record.OfText("c")})
		if !errors.Is(err, connectors.ErrOutcome) {
			t.Errorf("a commit that is cut gives %v, want ErrOutcome", err)
		}
		w.commit.Store(false)
		w.cut()
		if _, err := u.Update(t.Context(), nil, "1", "", record.Fields{"s": record.OfText("d")}); err != nil && !errors.Is(err, connectors.ErrOffline) {
			t.Errorf("a connection that is cut gives %v, want it made anew, or ErrOffline", err)
		}
		for range 3 { // each connection of the pool that was cut may be noticed by its next use
			err = col.Read(t.Context(), []string{"s"}, []string{"1"}, func(record.Record) error { return nil })
			if err != nil && !errors.Is(err, connectors.ErrOffline) {
				t.Errorf("a read gives %v", err)
			}
		}
		if _, err := u.Update(t.Context(), nil, "1", "", record.Fields{"s": record.OfText("d")}); err != nil {
			t.Errorf("a connection is not made anew: %v", err)
		}
		if got := show(t, col, "1", "s"); got != record.OfText("d") {
			t.Errorf("the row shows %s", got)
		}
	})
}
