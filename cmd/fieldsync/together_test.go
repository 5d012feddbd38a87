package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
)

// newTown is a site whose state is a database, so that several services can share it.
func newTown(t *testing.T, edit func(name, text string) string) *site {
	t.Helper()
	url := sqltest.Postgres(t)
	s := newSite(t, func(name, text string) string {
		if edit != nil {
			text = edit(name, text)
		}
		return strings.Replace(text, `state = "fieldsync.db"`, `state = env("STATE_URL")`, 1)
	})
	s.desk.env["STATE_URL"] = url
	return s
}

// A house is one of the services of a town.
type house struct {
	url  string
	stop func()
}

// serves starts services and leaves the first one at hand.
func (s *site) serves(n int) (all []house) {
	s.t.Helper()
	for range n {
		s.serve()
		all = append(all, house{s.url, s.stop})
	}
	s.at(all[0])
	return all
}

// at turns to another service.
func (s *site) at(h house) { s.url = h.url }

// askedSince is how often the instance was asked, and the most within some time.
func (s *site) askedSince(since time.Time, within time.Duration) (all, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := 0
	for i, at := range s.asked {
		if at.Before(since) {
			first = i + 1
			continue
		}
		for at.Sub(s.asked[first]) > within {
			first++
		}
		most = max(most, i+1-first)
		all++
	}
	return all, most
}

const busySync = `
sync "s%[1]d" {
  schedule = "@every 1s"
  first    = "ticket"
  side "ticket" {
    connection = connection.helpdesk
    collection = "tickets"
    query      = "queue = 's%[1]d'"
  }
  side "incident" {
    connection = connection.prod
    collection = "incident"
    query      = "category=s%[1]d"
  }
  match {
    ticket   = "id"
    incident = "correlation_id"
  }
  field "title" {
    flow     = "ticket -> incident"
    ticket   = "title"
    incident = "short_description"
  }
}
`

func TestNodesKeepToTheLimitsTogether(t *testing.T) {
	t.Parallel()
	const rate = 6
	s := newTown(t, func(name, text string) string {
		return strings.Replace(text, `"20/s"`, fmt.Sprintf(`"%d/s"`, rate), 1)
	})
	files, err := filepath.Glob(s.desk.path("mappings/*.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if filepath.Base(f) != "connections.hcl" {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.edit("connections.hcl", func(text string) string {
		text, _, _ = strings.Cut(text, "# The DataMiner system")
		for i := range 9 {
			text += fmt.Sprintf(busySync, i)
		}
		return text
	})
	all := s.serves(3)
	// However many there are, the instance sees one rate, and nearly all of it, since the syncs would ask for more.
	const window = 4 * time.Second
	for nodes := 3; nodes > 0; nodes-- {
		since := time.Now()
		s.until(fmt.Sprintf("%d nodes use the whole rate", nodes), func() bool {
			_, most := s.askedSince(since, window)
			return time.Since(since) > window && most >= rate*4*3/4
		})
		if _, most := s.askedSince(since, window); most > rate*4*5/4+4 {
			t.Errorf("%d nodes send %d requests in %s, want %d at most", nodes, most, window, rate*4)
		}
		all[nodes-1].stop()
	}
}
