package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
	"github.com/fieldsync/fieldsync/engine/console"
	"github.com/fieldsync/fieldsync/engine/plan"
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

// hooked adds a webhook to the instance of the shipped mapping.
func hooked(name, text string) string {
	if name != "connections.hcl" {
		return text
	}
	return strings.Replace(text, "  limits {", "  webhook \"incident\" {\n    secret = \"hush-hush-hush\"\n  }\n  limits {", 1)
}

// hook sends a webhook that names the incident of a ticket.
func (s *site) hook(ticket string, at time.Time) (code int) {
	s.t.Helper()
	body := fmt.Sprintf(`{"key": %q}`, s.incident(ticket)["sys_id"])
	req, err := http.NewRequest(http.MethodPost, s.url+"/hooks/prod/incident", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header = signed("hush-hush-hush", body, at)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestAPushToAnyNodeIsARunForThatRecord(t *testing.T) {
	t.Parallel()
	s := newTown(t, hooked)
	all := s.serves(3)
	s.run()
	for i, h := range all {
		s.at(h)
		ticket := fmt.Sprintf("T-100%d", i+1)
		s.work(ticket, map[string]string{"short_description": "said to a node"})
		s.work("T-1004", map[string]string{"short_description": "said to nobody"})
		now := time.Now()
		if code := s.hook(ticket, now); code != http.StatusAccepted {
			t.Fatalf("node %d answers with %d", i, code)
		}
		s.until("it is looked at", func() bool { return s.ticket(ticket, "title") == "said to a node" })
		t.Logf("a push to node %d arrives after %s", i, time.Since(now).Round(time.Millisecond))
		// What one node took no other takes again.
		for _, other := range all {
			s.at(other)
			if code := s.hook(ticket, now); code != http.StatusConflict {
				t.Errorf("a replay is answered with %d", code)
			}
		}
	}
	if got := s.ticket("T-1004", "title"); got == "said to nobody" {
		t.Error("a push became a run of all that changed")
	}
	var runs struct{ Runs []plan.Run }
	s.json("/runs", &runs)
	pushed := 0
	for _, r := range runs.Runs {
		if r.Trigger == "push" && r.Sync == "ticket_to_incident" {
			pushed++
			if !r.Few {
				t.Errorf("run %d looked at everything", r.ID)
			}
		}
	}
	if pushed != 3 {
		t.Errorf("%d runs for three pushes", pushed)
	}
}

func TestWhatWasSaidAndDoneOutlivesTheService(t *testing.T) {
	t.Parallel()
	s := newSite(t, hooked)
	s.serve()
	s.run()
	s.do(mainSync+"/pause", "why", "maintenance")
	s.work("T-1001", map[string]string{"short_description": "said before"})
	now := time.Now()
	if code := s.hook("T-1001", now); code != http.StatusAccepted {
		t.Fatalf("it answers with %d", code)
	}
	s.stop()
	s.serve()
	if code := s.hook("T-1001", now); code != http.StatusConflict {
		t.Errorf("a replay after a restart is answered with %d", code)
	}
	s.do(mainSync + "/resume")
	s.until("what was said before is looked at", func() bool { return s.ticket("T-1001", "title") == "said before" })
}

// A seen run is what a page shows of it.
type seen struct {
	Run struct {
		Running *console.Progress
		Done    int64
		Steps   []console.Step
		Missing string
		Ended   time.Time
	}
}

func TestAPageOnAnyNodeShowsWhatAnotherOneDoes(t *testing.T) {
	t.Parallel()
	s := newTown(t, nil)
	all := s.serves(2)
	open := s.shut()
	defer open()
	s.do(mainSync + "/run")
	// Both nodes show that the sync runs, and which run it is, and only one of them runs it.
	var run int64
	elsewhere := -1
	s.until("both nodes show the run", func() bool {
		for i, h := range all {
			s.at(h)
			var v struct {
				Sync struct{ Running *console.Progress }
			}
			s.json(mainSync, &v)
			if v.Sync.Running == nil || v.Sync.Running.Run == 0 || v.Sync.Running.Phase != "carry out" {
				return false
			}
			run = v.Sync.Running.Run
			var page seen
			s.json(fmt.Sprintf("/runs/%d", run), &page)
			if page.Run.Running == nil {
				return false
			}
			if strings.HasPrefix(page.Run.Missing, "It runs on another node") {
				elsewhere = i
			}
		}
		return elsewhere >= 0
	})
	// Who has a page open there is told of what happens.
	s.at(all[elsewhere])
	resp, err := http.Get(s.url + "/live?seen=0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	told := make(chan string)
	go func() {
		defer close(told)
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			if word, ok := strings.CutPrefix(lines.Text(), "data: "); ok && word != "*" {
				told <- word
			}
		}
	}()
	open()
	late := time.After(20 * time.Second)
	for heard := false; !heard; {
		select {
		case word := <-told: // the sync that follows this one is told of, too
			heard = strings.Contains(word, "ticket_to_incident")
		case <-late:
			t.Fatal("a page on another node is told nothing of the run")
		}
	}
	resp.Body.Close()
	for range told { // until the stream has ended
	}
	for i, h := range all {
		s.at(h)
		s.until("the run is over", func() bool {
			var page seen
			s.json(fmt.Sprintf("/runs/%d", run), &page)
			return page.Run.Running == nil && !page.Run.Ended.IsZero() && page.Run.Done == 8 && strings.HasPrefix(page.Run.Missing, "Told from the history") == (i == elsewhere)
		})
	}
}

func TestActsWorkFromAnyNode(t *testing.T) {
	t.Parallel()
	s := newTown(t, nil)
	all := s.serves(2)
	s.run()
	// What is held is tried when a person asks, whichever node they asked and whichever runs the sync.
	for i, title := range []string{"Fan tray", "Fan tray 2", "Fan tray 3", "Fan tray 4"} {
		s.refuse.Store(true)
		s.tell(`UPDATE tickets SET title = ? WHERE id = 'T-1003'`, title)
		if st := s.run("again", "true"); st.Held == 0 {
			t.Fatalf("nothing is held: %+v", st)
		}
		s.refuse.Store(false)
		s.at(all[i%2])
		if st := s.run("again", "true"); st.Held != 0 || s.incident("T-1003")["short_description"] != title {
			t.Errorf("a person asked node %d, and it was not tried again: %+v", i%2, st)
		}
	}
	s.tell(`UPDATE tickets SET title = 'previewed' WHERE id = 'T-1002'`)
	s.at(all[0])
	s.do(mainSync + "/preview")
	s.do("/connections/prod/check")
	s.at(all[1])
	s.until("the preview is there on the other node", func() bool {
		body, _ := s.get("/api/v1" + mainSync + "/preview")
		return strings.Contains(body, `"footer"`) && strings.Contains(body, "previewed")
	})
	var v console.ConnectionsPage
	s.json("/connections", &v)
	if i := slices.IndexFunc(v.Connections, func(c console.Connection) bool { return c.Name == "prod" }); v.Connections[i].Checked.IsZero() || len(v.Connections[i].Found) == 0 ||
		!strings.HasSuffix(v.Connections[i].Limits, ", of all 2 nodes together") {
		t.Errorf("the other node knows of the connection: %+v", v.Connections[i])
	}
}
