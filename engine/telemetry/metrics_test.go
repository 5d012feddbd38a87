package telemetry_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/telemetry"
)

func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	srv := httptest.NewServer(m.Handler())
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("status %d, %v: %s", res.StatusCode, err, text)
	}
	return string(text)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	v := telemetry.Vital{Sync: "tickets", Sides: [2]string{"ticket", "incident"}, Paused: true,
		SyncStatus: engine.SyncStatus{Links: 1204, Detached: 3, Intents: 2, LastGood: time.UnixMilli(1_700_000_000_500), LastRun: &plan.Run{Stopped: true}},
		Carried:    [2]time.Time{time.Now().Add(-90 * time.Second), {}}, Holds: telemetry.Waits{Count: [4]int64{1, 0, 0, 5}, Oldest: time.Now().Add(-10 * 24 * time.Hour)}}
	m := telemetry.NewMetrics("1.2.3", func(context.Context) ([]telemetry.Vital, int64, error) { return []telemetry.Vital{v}, 4096, nil }, slog.New(slog.DiscardHandler))
	began := time.Now()
	m.Ran(plan.Run{Sync: "tickets", Trigger: "schedule", Started: began, Ended: began.Add(2 * time.Second), Complete: true})
	m.Ran(plan.Run{Sync: "tickets", Trigger: "schedule", Started: began, Ended: began, Stopped: true, Err: "too many"})
	m.Ran(plan.Run{Sync: "tickets", Trigger: "schedule", Started: began, Ended: began, Err: "offline"})
	m.Ran(plan.Run{Sync: "tickets", Trigger: "schedule", Started: began, Ended: began, Complete: true, Failed: 1})
	m.Acted("tickets", plan.Result{Action: plan.Action{SideName: "incident", Kind: plan.Create}, Outcome: plan.Done})
	m.Sent("prod", "GET", 429, 1500*time.Millisecond, time.Second)
	m.Sent("prod", "GET", 0, 500*time.Millisecond, time.Second)
	m.Hooked("prod", "refused")
	m.Mapping(false)
	text := scrape(t, m)
	for _, want := range []string{
		`fieldsync_build_info{version="1.2.3"} 1`,
		`fieldsync_runs_total{outcome="good",sync="tickets",trigger="schedule"} 1`,
		`fieldsync_runs_total{outcome="stopped",sync="tickets",trigger="schedule"} 1`,
		`fieldsync_runs_total{outcome="failed",sync="tickets",trigger="schedule"} 1`,
		`fieldsync_runs_total{outcome="incomplete",sync="tickets",trigger="schedule"} 1`,
		`fieldsync_run_seconds_sum{sync="tickets"} 2`,
		`fieldsync_actions_total{kind="create",outcome="done",side="incident",sync="tickets"} 1`,
		`fieldsync_requests_total{code="429",connection="prod",method="GET"} 1`,
		`fieldsync_requests_total{code="0",connection="prod",method="GET"} 1`,
		`fieldsync_request_seconds_count{connection="prod"} 1`,
		`fieldsync_limiter_wait_seconds_total{connection="prod"} 2`,
		`fieldsync_hooks_total{connection="prod",outcome="refused"} 1`,
		`fieldsync_mapping_good 0`,
		`fieldsync_links{status="live",sync="tickets"} 1204`,
		`fieldsync_links{status="detached",sync="tickets"} 3`,
		`fieldsync_waiting{age="<1h",kind="hold",sync="tickets"} 1`,
		`fieldsync_waiting{age=">=7d",kind="hold",sync="tickets"} 5`,
		`fieldsync_oldest_waiting_seconds{kind="conflict",sync="tickets"} 0`,
		`fieldsync_writes_in_flight{sync="tickets"} 2`,
		`fieldsync_plan_stopped{sync="tickets"} 1`,
		`fieldsync_paused{sync="tickets"} 1`,
		`fieldsync_credentials_refused{sync="tickets"} 0`,
		`fieldsync_last_good_run_timestamp_seconds{sync="tickets"} 1.7000000005e+09`,
		`fieldsync_lag_seconds{side="ticket",sync="tickets"} 9`, // 90 and a little
		`fieldsync_state_bytes 4096`,
		`fieldsync_state_up 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s", want)
		}
	}
	if strings.Contains(text, `fieldsync_lag_seconds{side="incident"`) {
		t.Error("a side that was never carried over has a lag")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestAStateThatCannotBeReadIsSaid(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("", func(context.Context) ([]telemetry.Vital, int64, error) { return nil, 0, errors.New("gone") }, slog.New(slog.DiscardHandler))
	if text := scrape(t, m); !strings.Contains(text, "fieldsync_state_up 0") || strings.Contains(text, "fieldsync_links") {
		t.Error(text)
	}
}
