package servicenow_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

func TestJournals(t *testing.T) {
	for _, tt := range []struct {
		name     string
		journals string
		err      error // of reading
		id       bool  // of an added entry is known
	}{
		{"entries are read and added", "", nil, true},
		{"a denied journal table is said, and writing works", "denied", connectors.ErrDenied, false},
		{"an empty answer that counts rows is a denied one", "hidden", connectors.ErrDenied, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInstance(t, sim.Options{Switches: sim.Switches{Journals: tt.journals}})
			id := in.Insert("incident", map[string]string{"short_description": "down"})
			if err := in.Update("incident", id, "beth.anglin", map[string]string{"work_notes": "looking", "comments": "we look"}); err != nil {
				t.Fatal(err)
			}
			conn := open(t, login(in.url, "integration"))
			col, err := conn.Collection(t.Context(), "incident")
			if err != nil {
				t.Fatal(err)
			}
			c := col.(connectors.Commenter)
			var got []connectors.Comment
			err = c.Comments(t.Context(), "work_notes", []string{id}, time.Time{}, func(key string, c connectors.Comment) error {
				if key != id {
					t.Errorf("an entry of %s came", key)
				}
				got = append(got, c)
				return nil
			})
			if !errors.Is(err, tt.err) || err != nil && connectors.Hint(err) == "" {
				t.Fatalf("reading gives %v (way out: %s), want %v", err, connectors.Hint(err), tt.err)
			}
			if err == nil && (len(got) != 1 || got[0].Text != "looking" || got[0].Author != "beth.anglin" || !got[0].Time.Equal(in.clock.Now())) {
				t.Errorf("read %+v", got)
			}
			made, err := c.AddComment(t.Context(), "work_notes", id, "from the desk\r\n")
			if err != nil || (made.ID != "") != tt.id {
				t.Fatalf("added %+v, %v", made, err)
			}
			n := 0
			for _, e := range in.All("sys_journal_field") {
				if e["element"] == "work_notes" && e["sys_created_by"] == "integration" {
					n++
					if tt.id && e["sys_id"] != made.ID {
						t.Errorf("the entry is %s, not %s", e["sys_id"], made.ID)
					}
				}
			}
			if n != 1 {
				t.Errorf("%d entries were added, want 1", n)
			}
		})
	}
}

func TestAnEntryWhoseAnswerIsLostIsThereOrNot(t *testing.T) {
	for _, tt := range []struct {
		fault string
		err   error
		kept  int
	}{
		{"500-after:PATCH incident:n=1", connectors.ErrOutcome, 1},
		{"reset-after:PATCH incident:n=1", connectors.ErrOutcome, 1},
		{"cut-broken:PATCH incident:n=1", connectors.ErrOutcome, 1},
		{"500-before:PATCH incident:n=1", connectors.ErrOutcome, 0},
		{"500-before:GET sys_journal_field:rate=1", connectors.ErrBusy, 0},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			in := newInstance(t, sim.Options{})
			id := in.Insert("incident", map[string]string{"short_description": "down"})
			tb := in.as(t, "integration")
			in.fault(t, tt.fault)
			_, err := tb.AddComment(t.Context(), "work_notes", id, "help")
			if !errors.Is(err, tt.err) {
				t.Errorf("adding gives %v, want %v", err, tt.err)
			}
			in.Calm()
			n := 0
			err = tb.Comments(t.Context(), "work_notes", nil, in.clock.Now().Add(-time.Minute), func(key string, c connectors.Comment) error {
				if n++; key != id || c.Text != "help" {
					t.Errorf("entry of %s: %+v", key, c)
				}
				return nil
			})
			if err != nil || n != tt.kept {
				t.Errorf("%d entries are there (%v), want %d", n, err, tt.kept)
			}
		})
	}
}

func TestThreadsOfAnIncidentSayWhoReadsThem(t *testing.T) {
	in := newInstance(t, sim.Options{})
	for _, user := range []string{"admin", "integration"} {
		col, err := open(t, login(in.url, user)).Collection(t.Context(), "incident")
		if err != nil {
			t.Fatal(err)
		}
		s, err := col.(connectors.Describer).Describe(t.Context())
		if err != nil && !errors.Is(err, connectors.ErrDenied) {
			t.Fatal(err)
		}
		got := map[string]connectors.Readers{}
		for _, th := range s.Threads {
			got[th.Path] = th.Readers
		}
		if len(got) != 2 || got["comments"] != connectors.Public || got["work_notes"] != connectors.Staff {
			t.Errorf("%s sees %v", user, got)
		}
	}
}
