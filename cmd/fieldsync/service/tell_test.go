package service

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/notify"
	"github.com/fieldsync/fieldsync/engine/schedule"
)

// leads is a loop that leads or not, as it is told.
type leads struct {
	schedule.Loop
	is bool
}

func (l *leads) Leads() bool { return l.is }

func TestOneNodeTellsAndTheNextKnowsWhatWasSaid(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var said []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		said = append(said, string(body))
	}))
	t.Cleanup(srv.Close)
	first := bare(t, &now)
	p := &project.Project{Config: &mapping.Config{Syncs: []*mapping.Sync{{Name: "a"}},
		Notify: []*mapping.Notify{{Kind: "webhook", Name: "pager", On: []string{"late"}, Late: time.Hour, Again: 24 * time.Hour, Settings: mapping.NotifySettings{URL: connectors.Secret(srv.URL)}}}}}
	node := func() (s *service, loop *leads, tell func()) {
		loop = &leads{}
		s = &service{state: first.state, now: first.now, log: first.log, loop: loop, began: now, rules: newRuleset(p), Meter: &project.Meter{Secrets: &project.Secrets{}}}
		watches, complained := map[string]*notify.Watch{}, map[string]string{}
		return s, loop, func() { s.tellOnce(t.Context(), watches, complained) }
	}
	one, oneLeads, oneTells := node()
	_, twoLeads, twoTells := node()
	expect := func(what string, want ...string) {
		t.Helper()
		oneTells()
		twoTells()
		if len(said) != len(want) {
			t.Fatalf("%s: told %q", what, said)
		}
		for i := range want {
			if !strings.Contains(said[i], want[i]) {
				t.Errorf("%s: told %q, want %q", what, said[i], want[i])
			}
		}
	}
	now = now.Add(2 * time.Hour)
	expect("nobody leads")
	oneLeads.is = true
	expect("one leads", "no good run since")
	expect("it was said", "no good run since")
	oneLeads.is, twoLeads.is = false, true
	expect("the other leads", "no good run since")
	now = now.Add(24 * time.Hour)
	expect("it lasts", "no good run since", "no good run since")
	oneLeads.is, twoLeads.is = true, false
	expect("the first leads again", "no good run since", "no good run since")

	// What a system refused in a run of one node is known to all, until a run of any node is accepted.
	refused := func(s *service, want bool) {
		t.Helper()
		vitals, err := s.vitals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if vitals[0].Refused != want {
			t.Errorf("the credentials are refused: %v, want %v", vitals[0].Refused, want)
		}
	}
	two, _, _ := node()
	one.noteRefused(t.Context(), "a", true)
	refused(two, true)
	two.noteRefused(t.Context(), "a", false)
	refused(one, false)
}
