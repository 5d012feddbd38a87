package sql_test

import (
	dsql "database/sql"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/sql"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A desk is a help desk's own access to its database.
type desk struct {
	*dsql.DB
	file string
	now  atomic.Int64
}

func newDesk(t testing.TB, schema string) *desk {
	t.Helper()
	d := &desk{file: filepath.Join(t.TempDir(), "help desk #1.db")}
	d.now.Store(time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC).Unix())
	db, err := dsql.Open("sqlite3", "file:"+strings.NewReplacer(" ", "%20", "#", "%23").Replace(d.file)+"?_busy_timeout=10000&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	d.DB = db
	t.Cleanup(func() { db.Close() })
	d.do(t, schema)
	return d
}

func (d *desk) clock() time.Time { return time.Unix(d.now.Load(), 0).UTC() }

func (d *desk) do(t testing.TB, query string, args ...any) int64 {
	t.Helper()
	res, err := d.Exec(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	id, err := res.LastInsertId()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (d *desk) value(t testing.TB, query string, args ...any) any {
	t.Helper()
	var v any
	if err := d.QueryRow(query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func (d *desk) env() connectors.Env {
	return connectors.Env{Name: "helpdesk", Log: slog.New(slog.DiscardHandler), Now: d.clock, Dir: filepath.Dir(d.file)}
}

func (d *desk) open(t testing.TB, table sql.Table) (connectors.Connection, connectors.Collection) {
	t.Helper()
	conn, err := (&sql.Config{Driver: "sqlite", DSN: filepath.Base(d.file), Tables: []sql.Table{table}}).Open(d.env())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c, err := conn.Collection(t.Context(), table.Name)
	if err != nil {
		t.Fatal(err)
	}
	return conn, c
}

func sample(i int) record.Fields {
	return record.Fields{
		"title":    record.OfText("title " + strconv.Itoa(i)),
		"ref":      record.OfText("T-" + strconv.Itoa(i)),
		"priority": record.OfInt(int64(i)),
		"cost":     record.OfFloat(float64(i) + 0.25),
		"vip":      record.OfBool(i%2 == 1),
		"due":      record.OfTime(time.Date(2026, 2, 1, 0, 0, i, 0, time.UTC)),
		"day":      record.OfText("2026-03-01"),
	}
}

func plain(v record.Value) any {
	switch v.Kind() {
	case record.Null:
		return nil
	case record.Int:
		return v.Int()
	case record.Float:
		return v.Float()
	case record.Bool:
		return v.Bool()
	case record.Time:
		return v.Time().Format("2006-01-02 15:04:05")
	}
	return v.Text()
}

const columns = `title TEXT, ref VARCHAR(40), priority INTEGER, cost NUMERIC, vip BOOLEAN, due DATETIME, day DATE`

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name, schema, stamp string
		table               sql.Table
		text                bool   // stamps are seconds
		base                string // where people write; "": what is read
		add                 func(s *connectortest.Suite)
	}{
		{
			name: "numbered rows with a stamp", stamp: "updated_at",
			schema: "CREATE TABLE tickets (id INTEGER PRIMARY KEY, " + columns + ", updated_at TEXT)",
			table:  sql.Table{Name: "tickets", Modified: "updated_at", Label: "ref"},
		},
		{
			name: "an index on the stamp", stamp: "updated_at",
			schema: "CREATE TABLE tickets (id INTEGER PRIMARY KEY, " + columns + ", updated_at TEXT); CREATE INDEX changed ON tickets (updated_at)",
			table:  sql.Table{Name: "tickets", Modified: "updated_at"},
		},
		{
			name: "text keys, a stamp in seconds and soft delete", stamp: "changed", text: true,
			schema: "CREATE TABLE \"all tickets\" (\"the key\" TEXT UNIQUE DEFAULT (lower(hex(randomblob(8)))), " + columns + ", changed INTEGER, gone BOOLEAN NOT NULL DEFAULT 0)",
			table:  sql.Table{Name: "tickets", Table: "all tickets", Key: []string{"the key"}, Modified: "changed", Deleted: "gone"},
		},
		{
			name: "a trigger that keeps the stamp", stamp: "",
			schema: "CREATE TABLE tickets (id INTEGER PRIMARY KEY, " + columns + `, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
				CREATE TRIGGER keep AFTER UPDATE ON tickets BEGIN UPDATE tickets SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ','now') WHERE id = NEW.id; END`,
			table: sql.Table{Name: "tickets", Modified: "updated_at"},
		},
		{
			name: "a plain table without a block", stamp: "",
			schema: "CREATE TABLE tickets (id INTEGER PRIMARY KEY, " + columns + ")",
			table:  sql.Table{Name: "tickets"},
		},
		{
			name: "a view and the table behind it", stamp: "changed", base: "base",
			schema: "CREATE TABLE base (id INTEGER PRIMARY KEY, " + columns + `, changed INTEGER); CREATE TABLE queues (name TEXT); INSERT INTO queues VALUES ('noc');
				CREATE VIEW tickets AS SELECT b.*, q.name AS queue FROM base AS b, queues AS q`,
			table: sql.Table{Name: "tickets", WriteTo: "base", Key: []string{"id"}, Modified: "changed"},
			text:  true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := strings.Join(c.table.Key, ",")
			if key == "" {
				key = "id"
			}
			table := c.table.Table
			if table == "" {
				table = "tickets"
			}
			if c.base != "" {
				table = c.base
			}
			paths := append(slices.Sorted(maps.Keys(sample(0))), key)
			s := connectortest.Suite{
				Paths: paths, Sample: sample, Marker: "ref", Text: "title", Thread: "comments", Edits: true, Files: "files", Conditional: true, Incremental: c.table.Modified != "", Split: true, Scope: "title LIKE '%1%' -- and so on",
				Open: func(t *testing.T) connectortest.System {
					d := newDesk(t, c.schema)
					d.do(t, "CREATE TABLE notes (id INTEGER PRIMARY KEY, ticket, body TEXT, who TEXT, at DATETIME)")
					declared := c.table
					declared.Comments = []sql.Comments{{Name: "comments", Table: "notes", Parent: []string{"ticket"}, Text: "body", Author: "who", Time: "at"}}
					d.do(t, "CREATE TABLE files (id INTEGER PRIMARY KEY, ticket, name TEXT, kind TEXT, data BLOB, sha TEXT, who TEXT, at DATETIME)")
					declared.Attachments = []sql.Attachments{{Label: "files", Table: "files", Parent: []string{"ticket"}, Name: "name", Type: "kind", Content: "data", Author: "who", Time: "at"}}
					if c.text {
						declared.Attachments[0].Hash = "sha"
					}
					conn, col := d.open(t, declared)
					stamp := func() any {
						if c.text {
							return d.now.Load()
						}
						return d.clock().Format(time.DateTime)
					}
					sys := connectortest.System{
						Connection: conn, Collection: col,
						Add: func(t *testing.T, f record.Fields) string {
							var names, marks []string
							var args []any
							add := func(name string, arg any) {
								names, marks, args = append(names, name), append(marks, "?"), append(args, arg)
							}
							for p, v := range f {
								add(p, plain(v))
							}
							if c.stamp != "" {
								add(c.stamp, stamp())
							}
							id := d.do(t, fmt.Sprintf("INSERT INTO %q (%s) VALUES (%s)", table, strings.Join(names, ","), strings.Join(marks, ",")), args...)
							return fmt.Sprint(d.value(t, fmt.Sprintf("SELECT %q FROM %q WHERE rowid = ?", key, table), id))
						},
						Edit: func(t *testing.T, k string, f record.Fields) {
							for p, v := range f {
								d.do(t, fmt.Sprintf("UPDATE %q SET %s = ? WHERE %q = ?", table, p, key), plain(v), k)
							}
							if c.stamp != "" {
								d.do(t, fmt.Sprintf("UPDATE %q SET %s = ? WHERE %q = ?", table, c.stamp, key), stamp(), k)
							}
						},
						Remove: func(t *testing.T, k string) {
							if c.table.Deleted != "" {
								d.do(t, fmt.Sprintf("UPDATE %q SET %s = 1 WHERE %q = ?", table, c.table.Deleted, key), k)
								return
							}
							d.do(t, fmt.Sprintf("DELETE FROM %q WHERE %q = ?", table, key), k)
						},
					}
					if c.stamp != "" {
						sys.Pass = func(_ *testing.T, by time.Duration) { d.now.Add(int64(by.Seconds())) }
					}
					return sys
				},
			}
			connectortest.Run(t, s)
		})
	}
}
