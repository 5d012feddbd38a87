package sql_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/sql"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestConformanceOfAKeyOfTwoColumns(t *testing.T) {
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"key", "site", "number", "title", "ref"}, Marker: "ref", Text: "title", Thread: "notes", Edits: true, Conditional: true, Split: true, Scope: "number > 17 OR number < 4",
		Missing: func(i int) string { return "BRU/" + strconv.Itoa(90000+i) },
		Sample: func(i int) record.Fields {
			return record.Fields{"site": record.OfText("a/b%"), "number": record.OfInt(int64(i)), "title": record.OfText("title " + strconv.Itoa(i)), "ref": record.OfText("T-" + strconv.Itoa(i))}
		},
		Open: func(t *testing.T) connectortest.System {
			d := newDesk(t, `CREATE TABLE tickets (site TEXT, number INTEGER, title TEXT, ref TEXT, PRIMARY KEY (site, number));
				CREATE TABLE notes (id INTEGER PRIMARY KEY, site TEXT, number INTEGER, body TEXT)`)
			conn, col := d.open(t, sql.Table{Name: "tickets", Comments: []sql.Comments{{Name: "notes", Table: "notes", Parent: []string{"site", "number"}, Text: "body"}}})
			number := func(key string) string { return key[len("a%2Fb%25/"):] }
			return connectortest.System{
				Connection: conn, Collection: col,
				Add: func(t *testing.T, f record.Fields) string {
					d.do(t, "INSERT INTO tickets VALUES (?, ?, ?, ?)", plain(f["site"]), plain(f["number"]), plain(f["title"]), plain(f["ref"]))
					return "a%2Fb%25/" + f["number"].Plain()
				},
				Edit: func(t *testing.T, key string, f record.Fields) {
					for p, v := range f {
						d.do(t, "UPDATE tickets SET "+p+" = ? WHERE number = ?", plain(v), number(key))
					}
				},
				Remove: func(t *testing.T, key string) { d.do(t, "DELETE FROM tickets WHERE number = ?", number(key)) },
			}
		},
	})
}

func TestAKeyOfSeveralColumnsNamesOneRow(t *testing.T) {
	d := newDesk(t, "CREATE TABLE t (a TEXT, b TEXT, c TEXT, PRIMARY KEY (a, b, c))")
	_, col := d.open(t, sql.Table{Name: "t"})
	rapid.Check(t, func(r *rapid.T) {
		if _, err := d.Exec("DELETE FROM t"); err != nil {
			r.Fatal(err)
		}
		part := rapid.StringMatching(`[/%25Fa ]{0,4}`)
		var rows [][]string
		for range rapid.IntRange(1, 8).Draw(r, "rows") {
			row := []string{part.Draw(r, "a"), part.Draw(r, "b"), part.Draw(r, "c")}
			if !slices.ContainsFunc(rows, func(o []string) bool { return slices.Equal(o, row) }) {
				rows = append(rows, row)
			}
		}
		for _, row := range rows {
			if _, err := d.Exec("INSERT INTO t VALUES (?, ?, ?)", row[0], row[1], row[2]); err != nil {
				r.Fatal(err)
			}
		}
		keys := map[string][]record.Value{}
		if _, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"a", "b", "c"}}, func(rec record.Record) error {
			keys[rec.Key] = rec.Clone().Values
			return nil
		}); err != nil {
			r.Fatal(err)
		}
		if len(keys) != len(rows) {
			r.Fatalf("%d rows have %d keys: %v", len(rows), len(keys), keys)
		}
		for key, want := range keys {
			var got []record.Value
			if err := col.Read(t.Context(), []string{"a", "b", "c"}, []string{key}, func(rec record.Record) error { got = append(got, rec.Clone().Values...); return nil }); err != nil {
				r.Fatal(err)
			}
			if diff := cmp.Diff(want, got, sameValue); diff != "" {
				r.Fatalf("key %q reads another row:\n%s", key, diff)
			}
		}
	})
}

func TestAPathIsFoundForTheWholeOfAKey(t *testing.T) {
	d := newDesk(t, "CREATE TABLE t (key TEXT, key_ TEXT, PRIMARY KEY (key_, key)); INSERT INTO t VALUES ('a', 'b')")
	_, col := d.open(t, sql.Table{Name: "t"})
	s, err := col.(connectors.Describer).Describe(t.Context())
	if err != nil || s.Key != "key__" {
		t.Fatalf("it is called %q, %v; want key__", s.Key, err)
	}
	if got := scan(t, col, connectors.Query{Paths: []string{"key__"}}); got["b/a"] != record.OfText("b/a") {
		t.Errorf("it shows %v", got)
	}
	found := ""
	err = col.(connectors.Finder).Find(t.Context(), []string{"key__"}, "key__", []record.Value{record.OfText("b/a"), record.NullValue, record.OfText("x")}, func(r record.Record) error { found += r.Key; return nil })
	if err != nil || found != "b/a" {
		t.Errorf("found %q, %v", found, err)
	}
}

func TestAViewSaysWhatCannotBeWritten(t *testing.T) {
	d := newDesk(t, `CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT NOT NULL, n INT, twice INT AS (n * 2)); INSERT INTO t (s, n) VALUES ('a', 1);
		CREATE VIEW v AS SELECT id, s, twice, upper(s) AS loud FROM t WHERE s <> 'hidden'`)
	_, col := d.open(t, sql.Table{Name: "v", Key: []string{"id"}, WriteTo: "t"})
	s, err := col.(connectors.Describer).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]bool{}
	for _, f := range s.Fields {
		got[f.Path] = [2]bool{f.ReadOnly, f.Required}
	}
	want := map[string][2]bool{"id": {true, false}, "s": {false, true}, "twice": {true, false}, "loud": {true, false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read-only and required (-want +got):\n%s", diff)
	}
	_, err = col.(connectors.Updater).Update(t.Context(), nil, "1", "", record.Fields{"loud": record.OfText("B")})
	if !errors.Is(err, connectors.ErrRefused) {
		t.Errorf("a write of what the table does not have gives %v", err)
	}
	r, err := col.(connectors.Updater).Update(t.Context(), []string{"loud"}, "1", "", record.Fields{"s": record.OfText("b")})
	if err != nil || r.Values[0] != record.OfText("B") {
		t.Errorf("a write shows %v, %v; want what the view makes of it", r.Values, err)
	}
	if _, err = col.(connectors.Creator).Create(t.Context(), nil, record.Fields{"s": record.OfText("hidden")}); !errors.Is(err, connectors.ErrRefused) {
		t.Errorf("a row that the view does not show is created: %v", err)
	}
	if n := d.value(t, "SELECT count(*) FROM t"); n != int64(1) {
		t.Errorf("there are %v rows, want 1", n)
	}
}
