package connectortest

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// commenter is the collection as one with comments.
func (b *bench) commenter() connectors.Commenter {
	b.Helper()
	c, ok := connectors.As[connectors.Commenter](b.Collection)
	if !ok {
		b.Fatal("not a Commenter")
	}
	return c
}

// said returns the texts of comments by ID, by record.
func (b *bench) said(keys []string, since time.Time) map[string]map[string]string {
	b.Helper()
	got := map[string]map[string]string{}
	err := b.commenter().Comments(b.Context(), b.Thread, keys, since, func(key string, c connectors.Comment) error {
		if c.ID == "" || got[key][c.ID] != "" {
			b.Errorf("comment of %s has the ID %q, which is none or was there before", key, c.ID)
		}
		if got[key] == nil {
			got[key] = map[string]string{}
		}
		got[key][c.ID] = c.Text
		return nil
	})
	if err != nil {
		b.Fatalf("comments: %v", err)
	}
	return got
}

func commentsAdded(b *bench) {
	keys := b.fill(0, 3)
	want := map[string]map[string]string{}
	for i, text := range []string{"on it", "on it", "two\nlines, ^ and 'quotes'"} {
		key := keys[min(i, 1)]
		c, err := b.commenter().AddComment(b.Context(), b.Thread, key, text)
		if err != nil || c.ID == "" || c.Text != text {
			b.Fatalf("add %q: %+v, %v", text, c, err)
		}
		if want[key] == nil {
			want[key] = map[string]string{}
		}
		want[key][c.ID] = text
		b.settle()
	}
	for _, tt := range []struct {
		name string
		keys []string
	}{{"of all records", nil}, {"of records by key", keys}} {
		if got := b.said(tt.keys, time.Time{}); !maps.EqualFunc(got, want, maps.Equal) {
			b.Errorf("comments %s: %v, want %v", tt.name, got, want)
		}
	}
	if got := b.said(keys[:1], time.Time{}); len(got) != 1 || !maps.Equal(got[keys[0]], want[keys[0]]) {
		b.Errorf("comments of one record: %v, want %v", got, want[keys[0]])
	}
	if got := b.said([]string{}, time.Time{}); len(got) != 0 {
		b.Errorf("comments of no records: %v", got)
	}
	if got := b.said([]string{b.Missing(1)}, time.Time{}); len(got) != 0 {
		b.Errorf("comments of a record that does not exist: %v", got)
	}
}

func commentsSince(b *bench) {
	key := b.fill(0, 1)[0]
	first, err := b.commenter().AddComment(b.Context(), b.Thread, key, "first")
	if err != nil {
		b.Fatal(err)
	}
	b.settle()
	second, err := b.commenter().AddComment(b.Context(), b.Thread, key, "second")
	if err != nil {
		b.Fatal(err)
	}
	for _, keys := range [][]string{nil, {key}} {
		got := b.said(keys, second.Time)[key]
		if got[second.ID] == "" {
			b.Errorf("since its own time the second is not there: %v", got)
		}
		if b.pass != nil && got[first.ID] != "" {
			b.Error("the first is there, too, though it was written a minute earlier")
		}
	}
}

func commentsMissing(b *bench) {
	b.fill(0, 1)
	if _, err := b.commenter().AddComment(b.Context(), b.Thread, b.Missing(1), "lost"); !errors.Is(err, connectors.ErrNotFound) {
		b.Errorf("a comment on a record that does not exist gives %v, want ErrNotFound", err)
	}
}

func commentsEmitError(b *bench) {
	key := b.fill(0, 1)[0]
	if _, err := b.commenter().AddComment(b.Context(), b.Thread, key, "one"); err != nil {
		b.Fatal(err)
	}
	enough := errors.New("enough")
	err := b.commenter().Comments(b.Context(), b.Thread, nil, time.Time{}, func(string, connectors.Comment) error { return enough })
	if err != enough {
		b.Errorf("the error of emit came back as %v", err)
	}
}

func commentsDescribed(b *bench) {
	d, ok := connectors.As[connectors.Describer](b.Collection)
	if !ok {
		b.Fatal("not a Describer")
	}
	s, err := d.Describe(b.Context())
	if err != nil || !slices.ContainsFunc(s.Threads, func(t connectors.Thread) bool { return t.Path == b.Thread && t.Editable == b.Edits }) {
		b.Errorf("the description names the threads %v (%v), and %q, editable: %t, is not among them", s.Threads, err, b.Thread, b.Edits)
	}
}

func commentsEdited(b *bench) {
	key := b.fill(0, 1)[0]
	var made []connectors.Comment
	for range 2 { // of equal text, to be told apart by their IDs
		c, err := b.commenter().AddComment(b.Context(), b.Thread, key, "on it")
		if err != nil {
			b.Fatal(err)
		}
		made = append(made, c)
	}
	editor, ok := connectors.As[connectors.CommentEditor](b.Collection)
	if !ok {
		b.Fatal("not a CommentEditor")
	}
	c, err := editor.EditComment(b.Context(), b.Thread, key, made[0].ID, "on it", "two\nlines, ^ and 'quotes'")
	if err != nil || c.ID != made[0].ID || c.Text != "two\nlines, ^ and 'quotes'" {
		b.Errorf("edit: %+v, %v", c, err)
	}
	b.settle()
	want := map[string]string{made[0].ID: "two\nlines, ^ and 'quotes'", made[1].ID: "on it"}
	if got := b.said([]string{key}, time.Time{})[key]; !maps.Equal(got, want) {
		b.Errorf("after the edit: %v, want %v", got, want)
	}
	if _, err := editor.EditComment(b.Context(), b.Thread, key, made[0].ID, "on it", "lost"); !errors.Is(err, connectors.ErrStale) {
		b.Errorf("an edit of what says something else gives %v, want ErrStale", err)
	}
	if _, err := editor.EditComment(b.Context(), b.Thread, b.Missing(1), made[0].ID, "on it", "lost"); !errors.Is(err, connectors.ErrNotFound) {
		b.Errorf("an edit of a comment that is not there gives %v, want ErrNotFound", err)
	}
	if got := b.said([]string{key}, time.Time{})[key]; !maps.Equal(got, want) {
		b.Errorf("after edits that were refused: %v, want %v", got, want)
	}
}
