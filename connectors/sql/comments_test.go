package sql_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/sql"
)

const talk = `CREATE TABLE tickets (id TEXT PRIMARY KEY, title TEXT);
	CREATE TABLE remarks (uuid TEXT NOT NULL UNIQUE, ticket TEXT NOT NULL, body TEXT, who TEXT, made INTEGER, hidden INTEGER NOT NULL DEFAULT 0);
	INSERT INTO tickets VALUES ('T-1', 'a'), ('T-2', 'b');
	INSERT INTO remarks VALUES ('u1', 'T-1', 'hello', 'ann', 1772366400, 0), ('u2', 'T-1', 'a fool', 'bob', 1772366460, 1), ('u3', 'T-2', 'hi', 'cid', 1772366400, 0)`

func remarks(name, readers string) sql.Comments {
	return sql.Comments{Name: name, Table: "remarks", Key: "uuid", Parent: []string{"ticket"}, Text: "body", Author: "who", Time: "made", Internal: "hidden", Readers: readers}
}

func texts(t *testing.T, c connectors.CommentReader, path string) []string {
	t.Helper()
	var got []string
	err := c.Comments(t.Context(), path, nil, time.Time{}, func(key string, c connectors.Comment) error {
		got = append(got, key+" "+c.Author+" "+c.Time.UTC().Format("15:04")+": "+c.Text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	return got
}

func TestCommentsOfOneTableAreKeptApartByTheirReaders(t *testing.T) {
	d := newDesk(t, talk)
	_, col := d.open(t, sql.Table{Name: "tickets", Comments: []sql.Comments{remarks("comments", ""), remarks("notes", "staff")}})
	c := col.(connectors.Commenter)
	if diff := cmp.Diff([]string{"T-1 ann 12:00: hello", "T-2 cid 12:00: hi"}, texts(t, c, "comments")); diff != "" {
		t.Errorf("public (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"T-1 bob 12:01: a fool"}, texts(t, c, "notes")); diff != "" {
		t.Errorf("internal (-want +got):\n%s", diff)
	}
	s, err := col.(connectors.Describer).Describe(t.Context())
	want := []connectors.Thread{{Path: "comments", Readers: connectors.Public, Editable: true}, {Path: "notes", Readers: connectors.Staff, Editable: true}}
	if diff := cmp.Diff(want, s.Threads); err != nil || diff != "" {
		t.Errorf("threads (-want +got), %v:\n%s", err, diff)
	}
	for _, path := range []string{"comments", "notes"} {
		made, err := c.AddComment(t.Context(), path, "T-2", "into "+path)
		if err != nil || !strings.HasPrefix(made.ID, "fs-") {
			t.Errorf("added %+v, %v", made, err)
		}
		found := 0
		for _, p := range []string{"comments", "notes"} {
			err := c.Comments(t.Context(), p, []string{"T-2"}, time.Time{}, func(_ string, got connectors.Comment) error {
				if got.ID == made.ID {
					found++
					if diff := cmp.Diff(made, got); diff != "" || p != path {
						t.Errorf("it comes back under %s (-added +read):\n%s", p, diff)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if found != 1 {
			t.Errorf("it comes back %d times", found)
		}
	}
}

func TestCommentsBlocksThatAreWrong(t *testing.T) {
	good := remarks("comments", "")
	for name, tt := range map[string]struct {
		change func(*sql.Comments)
		want   string
	}{
		"a table that is not there":  {func(c *sql.Comments) { c.Table = "remark" }, `there is no table "remark"`},
		"a column that is not there": {func(c *sql.Comments) { c.Parent = []string{"tickets"} }, `parent = "tickets", but table remarks has no such column`},
		"a key that is not there":    {func(c *sql.Comments) { c.Key = "" }, `key = "id"`},
		"readers of another kind":    {func(c *sql.Comments) { c.Readers = "all" }, `readers = "all"`},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, talk)
			bad := good
			tt.change(&bad)
			conn, err := (&sql.Config{DSN: d.file, Tables: []sql.Table{{Name: "tickets", Comments: []sql.Comments{bad}}}}).Open(connectors.Env{Name: "desk"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = conn.Collection(context.Background(), "tickets")
			if !errors.Is(err, connectors.ErrConfig) || !strings.Contains(err.Error(), tt.want) || connectors.Hint(err) == "" {
				t.Errorf("%v (way out: %s); want %q", err, connectors.Hint(err), tt.want)
			}
		})
	}
}

func TestACommentThatWasEditedSinceIsReadAgain(t *testing.T) {
	d := newDesk(t, talk+"; ALTER TABLE remarks ADD COLUMN changed INTEGER; UPDATE remarks SET changed = 1772370000, body = 'goodbye' WHERE uuid = 'u1'")
	block := remarks("comments", "")
	block.Edited = "changed"
	_, col := d.open(t, sql.Table{Name: "tickets", Comments: []sql.Comments{block}})
	since := func(at int64) (ids []string) {
		err := col.(connectors.Commenter).Comments(t.Context(), "comments", nil, time.Unix(at, 0), func(_ string, c connectors.Comment) error {
			ids = append(ids, c.ID)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(ids)
		return ids
	}
	for at, want := range map[int64][]string{1772366400: {"u1", "u3"}, 1772366401: {"u1"}, 1772370001: nil} {
		if got := since(at); !slices.Equal(got, want) {
			t.Errorf("since %d: %v, want %v", at, got, want)
		}
	}
	if _, err := col.(connectors.CommentEditor).EditComment(t.Context(), "comments", "T-2", "u3", "hi", "hey"); err != nil {
		t.Fatal(err)
	}
	if got := d.value(t, "SELECT changed FROM remarks WHERE uuid = 'u3'"); got != d.now.Load() {
		t.Errorf("an edit of ours has the stamp %v, want %d", got, d.now.Load())
	}
}

func TestATableOfCommentsWithTheUsualNamesNeedsNoBlock(t *testing.T) {
	for _, tt := range []struct {
		name, schema string
		found        bool
	}{
		{"comments of their own", `CREATE TABLE comments (id INTEGER PRIMARY KEY, ticket_id TEXT, body TEXT, author TEXT, created_at TEXT);
			INSERT INTO comments VALUES (1, 'T-1', 'hello', 'ann', '2026-03-01 12:00:00')`, true},
		{"named after the table", `CREATE TABLE ticket_comments (id INTEGER PRIMARY KEY, tickets_id TEXT, text TEXT, author TEXT, created_on TEXT);
			INSERT INTO ticket_comments VALUES (1, 'T-1', 'hello', 'ann', '2026-03-01 12:00:00')`, true},
		{"somebody else's", `CREATE TABLE comments (id INTEGER PRIMARY KEY, article_id TEXT, body TEXT)`, false},
		{"without a text", `CREATE TABLE comments (id INTEGER PRIMARY KEY, ticket_id TEXT, stars INTEGER)`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, `CREATE TABLE tickets (id TEXT PRIMARY KEY, title TEXT); INSERT INTO tickets VALUES ('T-1', 'a'); `+tt.schema)
			_, col := d.open(t, sql.Table{Name: "tickets"})
			s, err := col.(connectors.Describer).Describe(t.Context())
			if err != nil || (len(s.Threads) == 1) != tt.found {
				t.Fatalf("threads %v, %v", s.Threads, err)
			}
			if !tt.found {
				return
			}
			if diff := cmp.Diff([]string{"T-1 ann 12:00: hello"}, texts(t, col.(connectors.CommentReader), "comments")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
