package ilert_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/ilert"
	"github.com/fieldsync/fieldsync/connectors/ilert/sim"
)

// said lists author and text of the comments of an alert.
func said(t *testing.T, c *ilert.Collection, keys []string, since time.Time) [][2]string {
	t.Helper()
	var got [][2]string
	if err := c.Comments(t.Context(), "comments", keys, since, func(_ string, c connectors.Comment) error {
		got = append(got, [2]string{c.Author, c.Text})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestACommentIsCutOutOfTheSentenceInTheLog(t *testing.T) {
	for _, tt := range []struct {
		name, language, pattern string
		want                    [2]string
	}{
		{"in English", "en", "", [2]string{"Ada L.", "switch replaced: ok\nreally"}},
		{"in a form that is not known it is the whole sentence", "de", "", [2]string{"", "Ada L. hat kommentiert: switch replaced: ok\nreally"}},
		{"in a form that the settings know", "de", `(?s)^(?P<author>.+?) hat kommentiert: (?P<text>.*)$`, [2]string{"Ada L.", "switch replaced: ok\nreally"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			acc := account(t, nil, "language="+tt.language)
			id := acc.Raise(sim.Alert{Summary: "x", Source: tickets})
			if err := errors.Join(acc.Accept(id, 12), acc.Comment(id, 12, "switch replaced: ok\nreally")); err != nil {
				t.Fatal(err)
			}
			s := settings()
			s.Collections[0].CommentText = tt.pattern
			if diff := cmp.Diff([][2]string{tt.want}, said(t, collection(t, acc, s, "tickets"), []string{text(id)}, time.Time{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestALongLogIsReadToItsEnd(t *testing.T) {
	for _, order := range []string{"newest", "oldest"} {
		acc := account(t, nil, "order="+order)
		id := acc.Raise(sim.Alert{Summary: "x"})
		for range 250 {
			if err := acc.Comment(id, 12, "again"); err != nil {
				t.Fatal(err)
			}
		}
		if got := said(t, collection(t, acc, settings(), "alerts"), []string{text(id)}, time.Time{}); len(got) != 250 {
			t.Errorf("%s first: %d of 250 comments", order, len(got))
		}
	}
}

func TestWithoutKeysOpenAlertsAndThoseThatEndedLatelyAreHeard(t *testing.T) {
	clk := &clock{now: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)}
	acc := account(t, clk.Now)
	open, long := acc.Raise(sim.Alert{Summary: "open"}), acc.Raise(sim.Alert{Summary: "ended long ago"})
	if err := acc.Resolve(long, 12); err != nil {
		t.Fatal(err)
	}
	clk.Pass(72 * time.Hour)
	since := clk.Now()
	late := acc.Raise(sim.Alert{Summary: "ended"})
	if err := errors.Join(acc.Resolve(late, 12), acc.Comment(open, 12, "a"), acc.Comment(late, 12, "b"), acc.Comment(long, 12, "not heard")); err != nil {
		t.Fatal(err)
	}
	if got := said(t, collection(t, acc, settings(), "alerts"), nil, since); len(got) != 2 {
		t.Errorf("heard %v", got)
	}
}

func TestACommentIsAddedByAnEventAndSeenInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acc := account(t, nil, "event-delay=1s")
		id := acc.Raise(sim.Alert{Summary: "x", Source: tickets, Key: "T-1"})
		if err := acc.Comment(id, 12, "on it"); err != nil {
			t.Fatal(err)
		}
		c := collection(t, acc, settings(), "tickets")
		added, err := c.AddComment(t.Context(), "comments", text(id), "on it")
		if err != nil || added.ID == "" || added.Text != "on it" || added.Author != "fieldsync" {
			t.Errorf("added %+v, %v", added, err)
		}
		if got := said(t, c, []string{text(id)}, time.Time{}); len(got) != 2 {
			t.Errorf("comments %v", got)
		}
	})
}

func TestACommentThatNoEventWouldBringToItsAlertIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		alert sim.Alert
		twin  string
		words string
	}{
		"resolved":       {sim.Alert{Source: tickets, Key: "T-1", Status: "RESOLVED"}, "", "resolved"},
		"without a key":  {sim.Alert{Source: tickets}, "", "no alertKey"},
		"another source": {sim.Alert{Key: "T-1"}, "", "source 310455"},
		"a shared key":   {sim.Alert{Source: tickets, Key: "T-1"}, "t-1", "same key"},
	} {
		t.Run(name, func(t *testing.T) {
			acc := account(t, nil)
			tt.alert.Summary = "x"
			id := acc.Raise(tt.alert)
			if tt.twin != "" {
				acc.Raise(sim.Alert{Source: tickets, Key: tt.twin, Summary: "x"})
			}
			_, err := collection(t, acc, settings(), "tickets").AddComment(t.Context(), "comments", text(id), "on it")
			wantKind(t, err, connectors.ErrRefused, tt.words)
			if acc.Writes() != 0 {
				t.Errorf("%d writes", acc.Writes())
			}
		})
	}
}

func TestACommentThatIsNotSeenIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acc := account(t, nil)
		id := acc.Raise(sim.Alert{Summary: "x", Source: tickets, Key: "T-1"})
		acc.Alter(tickets, func(s *sim.Source) { s.Drops = true })
		_, err := collection(t, acc, settings(), "tickets").AddComment(t.Context(), "comments", text(id), "on it")
		wantKind(t, err, connectors.ErrOutcome, "event log")
	})
}
