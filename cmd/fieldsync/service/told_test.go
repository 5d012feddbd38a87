package service

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/schedule"
	"github.com/fieldsync/fieldsync/engine/state"
)

// bare is a service with a state and a loop that runs nothing, at a time that is set by hand.
func bare(t *testing.T, now *time.Time) *service {
	t.Helper()
	clock := func() time.Time { return *now }
	st, err := state.Open(filepath.Join(t.TempDir(), "state.db"), state.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return &service{state: st, now: clock, log: slog.New(slog.DiscardHandler), loop: &schedule.Loop{}}
}

func TestWhatWasSaidIsLookedAtByName(t *testing.T) {
	named := []engine.Told{{Key: "T-1"}, {Key: "T-2"}, {Side: record.Right, Key: "9"}}
	if diff := cmp.Diff([2][]string{{"T-1", "T-2"}, {"9"}}, only(named)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([2][]string{}, only(append(named, engine.Told{}))); diff != "" {
		t.Errorf("a change that names nothing has to have all looked at: %s", diff)
	}
}

func TestWhatBecomesOfWhatWasSaid(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := bare(t, &now)
	ctx := t.Context()
	rests := func() time.Duration {
		t.Helper()
		for d := time.Duration(0); d < 48*time.Hour; d += time.Second {
			due, err := s.state.Due(ctx, now.Add(d))
			if err != nil {
				t.Fatal(err)
			}
			if len(due) > 0 {
				return d
			}
		}
		return -1
	}
	tell := func(keys ...string) []engine.Told {
		t.Helper()
		if err := s.told(ctx, "a", record.Left, keys); err != nil {
			t.Fatal(err)
		}
		told, err := s.state.Told(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		return told
	}
	looked := tell("T-1", "T-2")
	if d := rests(); d != 0 {
		t.Errorf("what was said waits %s", d)
	}
	failed := errors.New("the system is away")
	for _, want := range []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
		s.heed(ctx, "a", looked, failed)
		if d := rests(); d != want {
			t.Errorf("after another run that failed it rests %s, want %s", d, want)
		}
	}
	tell("T-3")
	if d := rests(); d != 0 {
		t.Errorf("what is said anew waits %s", d)
	}
	s.heed(ctx, "a", nil, nil) // a run of all that changed, on its schedule, was good
	if d := rests(); d != 0 {
		t.Errorf("after a good run the rest waits %s", d)
	}
	s.heed(ctx, "a", nil, failed)
	if d := rests(); d != restSoon {
		t.Errorf("the first failure after a good run has it rest %s", d)
	}
	s.heed(ctx, "a", nil, nil)

	stopping, stop := context.WithCancel(ctx)
	stop()
	for what, err := range map[string]error{"its lease was lost": engine.ErrLeaseLost, "the state was away": engine.ErrStateAway} {
		if s.heed(ctx, "a", looked, err); rests() != 0 {
			t.Errorf("a run that was cut short since %s has the next one wait", what)
		}
	}
	if s.heed(stopping, "a", looked, context.Canceled); rests() != 0 {
		t.Error("a run that was cut short by a stop has the next one wait")
	}

	s.heed(ctx, "a", nil, &engine.StoppedError{})
	if d := rests(); d != restStopped {
		t.Errorf("a plan that waits for approval is made again after %s", d)
	}
	again := tell("T-1")
	s.heed(ctx, "a", looked, nil)
	left, err := s.state.Told(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"T-1", "T-3"}}, [][]string{only(left)[0]}); diff != "" || left[0].Mark != again[0].Mark {
		t.Errorf("what was said again is looked at again: %v", left)
	}
	if s.heed(ctx, "a", left, nil); rests() != -1 {
		t.Error("something is left")
	}
}

// away is a state that keeps nothing of what is said.
type away struct{ engine.Store }

func (away) Tell(context.Context, string, []engine.Told) error { return engine.ErrStateAway }

func TestAWebhookThatCannotBeKeptMayBeSentAgain(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := bare(t, &now)
	own := access.Own
	own.Secret = "hush-hush-hush"
	prod := &mapping.Connection{Name: "prod", Webhooks: []*mapping.Webhook{{Collection: "incident", Signature: own}}}
	side := mapping.Side{Connection: prod, Collection: "incident"}
	s.rules = newRuleset(&project.Project{Config: &mapping.Config{Connections: []*mapping.Connection{prod}, Syncs: []*mapping.Sync{{Name: "a", Sides: [2]mapping.Side{side, side}}}}})
	send := func() int {
		const body = `{"keys": ["1", "2"]}`
		stamp := strconv.FormatInt(now.Unix(), 10)
		mac := hmac.New(sha256.New, []byte(own.Secret))
		mac.Write([]byte(stamp + "." + body))
		req := httptest.NewRequest(http.MethodPost, "/hooks/prod/incident", strings.NewReader(body))
		req.SetPathValue("connection", "prod")
		req.SetPathValue("collection", "incident")
		req.Header.Set(own.Timestamp, stamp)
		req.Header.Set(own.Header, own.Prefix+hex.EncodeToString(mac.Sum(nil)))
		rec := httptest.NewRecorder()
		s.hooked(rec, req)
		return rec.Code
	}
	here := s.state
	s.state = away{here}
	if code := send(); code != http.StatusServiceUnavailable {
		t.Errorf("it is answered with %d", code)
	}
	s.state = here
	if code := send(); code != http.StatusAccepted {
		t.Errorf("sent again it is answered with %d", code)
	}
	if code := send(); code != http.StatusConflict {
		t.Errorf("a replay is answered with %d", code)
	}
	told, err := here.Told(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([2][]string{{"1", "2"}, {"1", "2"}}, only(told)); diff != "" {
		t.Error(diff)
	}
}
