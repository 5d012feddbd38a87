package ilert_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/ilert/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

func status(s string) record.Fields { return record.Fields{"status": record.OfText(s)} }

func TestAnAlertIsAcceptedAndResolvedAndNeverGoesBack(t *testing.T) {
	for _, tt := range []struct {
		is, want string
		refused  string
		call     string
	}{
		{"PENDING", "ACCEPTED", "", "/accept"},
		{"PENDING", "RESOLVED", "", "/resolve"},
		{"ACCEPTED", "RESOLVED", "", "/resolve"},
		{"ACCEPTED", "ACCEPTED", "", ""},
		{"RESOLVED", "RESOLVED", "", ""},
		{"ACCEPTED", "PENDING", "nothing leads back to PENDING", ""},
		{"RESOLVED", "PENDING", "nothing leads back to PENDING", ""},
		{"RESOLVED", "ACCEPTED", "is RESOLVED, and nothing leads back to ACCEPTED", ""},
		{"PENDING", "CLOSED", `never "CLOSED"`, ""},
	} {
		t.Run(tt.is+" to "+tt.want, func(t *testing.T) {
			acc := account(t, nil)
			id := acc.Raise(sim.Alert{Summary: "x", Status: tt.is})
			r, err := collection(t, acc, settings(), "alerts").Update(t.Context(), []string{"status"}, text(id), "", status(tt.want))
			if a, _ := acc.Get(id); tt.refused == "" && (err != nil || r.Values[0].Text() != tt.want || a.Status != tt.want) {
				t.Errorf("%v, %v; the alert is %s", r.Values, err, a.Status)
			} else if tt.refused != "" {
				wantKind(t, err, connectors.ErrRefused, tt.refused)
				if a.Status != tt.is {
					t.Errorf("the alert became %s", a.Status)
				}
			}
			calls := ""
			for _, q := range acc.Journal() {
				if q.Method == http.MethodPut {
					calls += strings.TrimPrefix(q.Path, "/api/alerts/"+text(id))
				}
			}
			if calls != tt.call {
				t.Errorf("calls %q, want %q", calls, tt.call)
			}
		})
	}
}

func TestWhoeverWasFasterIsFoundByReadingAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(acc *sim.Server, id int64) error
		kind error
	}{
		{"accepted by somebody else meanwhile", func(acc *sim.Server, id int64) error { return acc.Accept(id, 12) }, nil},
		{"resolved by somebody else meanwhile", func(acc *sim.Server, id int64) error { return acc.Resolve(id, 12) }, connectors.ErrRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			acc := account(t, nil)
			id := acc.Raise(sim.Alert{Summary: "x"})
			race := &between{Handler: acc, n: 1, fits: func(r *http.Request) bool { return r.Method == http.MethodPut }, do: func() {
				if err := tt.do(acc, id); err != nil {
					t.Error(err)
				}
			}}
			_, err := collection(t, race, settings(), "alerts").Update(t.Context(), []string{"status"}, text(id), "", status("ACCEPTED"))
			if !errors.Is(err, tt.kind) {
				t.Errorf("the error is %v, want %v", err, tt.kind)
			}
		})
	}
}

func TestNothingButTheStatusCanBeChanged(t *testing.T) {
	acc := account(t, nil)
	id := acc.Raise(sim.Alert{Summary: "x"})
	c := collection(t, acc, settings(), "alerts")
	_, err := c.Update(t.Context(), []string{"status"}, text(id), "", record.Fields{"summary": record.OfText("y"), "priority": record.OfText("LOW"), "status": record.OfText("ACCEPTED")})
	wantKind(t, err, connectors.ErrRefused, "priority, summary", `strength = "on_create"`)
	if acc.Writes() != 0 {
		t.Errorf("%d writes", acc.Writes())
	}
}

// fields are those of a new alert.
func fields(key string) record.Fields {
	return record.Fields{"alertKey": record.OfText(key), "summary": record.OfText("Host down"), "details": record.NullValue, "priority": record.OfText("LOW")}
}

func TestAnAlertIsMadeByOneEventThatIsSeenThroughToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acc := account(t, nil, "event-delay=2s")
		c := collection(t, acc, settings(), "tickets")
		f := fields("T-1")
		f["status"], f["severity"] = record.OfText("ACCEPTED"), record.OfInt(2)
		began := time.Now()
		r, err := c.Create(t.Context(), []string{"alertKey", "status", "severity", "priority", "alertSource.name"}, f)
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(began) < 2*time.Second {
			t.Error("it is there before its event was carried out")
		}
		got := ""
		for _, v := range r.Values {
			got += v.Plain() + " "
		}
		if got != "T-1 ACCEPTED 2 LOW Tickets " {
			t.Errorf("stored %s", got)
		}
		if acc.Writes() != 2 {
			t.Errorf("%d writes, want an event and an accept", acc.Writes())
		}
	})
}

func TestAnEventThatWasTakenIsNoAlertYet(t *testing.T) {
	for name, change := range map[string]func(*sim.Source){
		"a filter drops it":          func(s *sim.Source) { s.Drops = true },
		"a grouping takes it":        func(s *sim.Source) { s.Creation = "ONE_OPEN_ALERT_ALLOWED" },
		"another grouping takes it":  func(s *sim.Source) { s.Creation = "ONE_PENDING_ALERT_ALLOWED" },
		"it is carried out too late": func(*sim.Source) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				acc := account(t, nil)
				acc.Raise(sim.Alert{Source: tickets, Summary: "another"})
				acc.Alter(tickets, change)
				if name == "it is carried out too late" {
					if err := acc.Switch("event-delay=30s"); err != nil {
						t.Fatal(err)
					}
				}
				c := collection(t, acc, settings(), "tickets")
				_, err := c.Create(t.Context(), []string{"id"}, fields("T-1"))
				wantKind(t, err, connectors.ErrOutcome, "event log")
				if acc.Writes() != 1 {
					t.Errorf("%d events were sent", acc.Writes())
				}
				if c.Settles() != time.Minute {
					t.Errorf("settles after %v", c.Settles())
				}
			})
		})
	}
}

func TestAWriteIsSentOnceWhateverComesBack(t *testing.T) {
	for fault, want := range map[string]struct {
		kind   error
		alerts int
	}{
		"500-before:POST events":   {connectors.ErrOutcome, 0},
		"500-after:POST events":    {connectors.ErrOutcome, 1},
		"reset-after:POST events":  {connectors.ErrOutcome, 1},
		"reset-before:POST events": {connectors.ErrOutcome, 0},
		"429:POST events":          {connectors.ErrBusy, 0},
		"403:POST events":          {connectors.ErrDenied, 0},
	} {
		t.Run(fault, func(t *testing.T) {
			acc := account(t, nil)
			if err := acc.Fault(fault); err != nil {
				t.Fatal(err)
			}
			_, err := collection(t, acc, settings(), "tickets").Create(t.Context(), []string{"id"}, fields("T-1"))
			wantKind(t, err, want.kind)
			if n := len(acc.All()); n != want.alerts {
				t.Errorf("%d alerts, want %d", n, want.alerts)
			}
			sent := 0
			for _, r := range acc.Journal() {
				if r.Method == http.MethodPost {
					sent++
				}
				if strings.Contains(r.Body, "il1tickets") {
					t.Error("the journal shows the integration key")
				}
			}
			if sent != 1 {
				t.Errorf("%d events were sent", sent)
			}
		})
	}
}

func TestAnEventSentTwiceMakesOneAlert(t *testing.T) {
	acc := account(t, nil)
	c := collection(t, acc, settings(), "tickets")
	if err := acc.Fault("500-after:POST events:n=1"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Create(t.Context(), []string{"id"}, fields("T-1"))
	wantKind(t, err, connectors.ErrOutcome)
	_, err = c.Create(t.Context(), []string{"id"}, fields("t-1"))
	wantKind(t, err, connectors.ErrRefused, "is open and has the key", "without case")
	if n := len(acc.All()); n != 1 {
		t.Errorf("%d alerts", n)
	}
	n := 0
	if err := c.Find(t.Context(), []string{"id"}, "alertKey", []record.Value{record.OfText("T-1"), record.OfText("t-1")}, func(record.Record) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("found %d, %v", n, err)
	}
}

func TestAResolvedPredecessorIsNotTakenForTheNewAlert(t *testing.T) {
	acc := account(t, nil)
	old := acc.Raise(sim.Alert{Source: tickets, Summary: "the last time", Key: "T-1", Status: "RESOLVED"})
	r, err := collection(t, acc, settings(), "tickets").Create(t.Context(), []string{"status"}, fields("T-1"))
	if err != nil || r.Key == text(old) || r.Values[0].Text() != "PENDING" {
		t.Errorf("made %s %v, %v", r.Key, r.Values, err)
	}
}

func TestWhatNoEventCanMakeIsRefusedBeforeItIsSent(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(f record.Fields)
		words  string
	}{
		"without a key":           {func(f record.Fields) { delete(f, "alertKey") }, `alert = "alertKey"`},
		"a key with space around": {func(f record.Fields) { f["alertKey"] = record.OfText(" T-1") }, "space around"},
		"without a summary":       {func(f record.Fields) { f["summary"] = record.NullValue }, "needs a summary"},
		"resolved":                {func(f record.Fields) { f["status"] = record.OfText("RESOLVED") }, "for nothing"},
		"a path of the system":    {func(f record.Fields) { f["reportTime"] = record.OfText("now") }, "cannot be set"},
		"a path that is not":      {func(f record.Fields) { f["summery"] = record.OfText("x") }, `did you mean "summary"?`},
	} {
		t.Run(name, func(t *testing.T) {
			acc := account(t, nil)
			f := fields("T-1")
			tt.change(f)
			_, err := collection(t, acc, settings(), "tickets").Create(t.Context(), []string{"id"}, f)
			wantKind(t, err, connectors.ErrRefused, tt.words)
			if acc.Writes() != 0 {
				t.Errorf("%d writes", acc.Writes())
			}
		})
	}
	_, err := collection(t, account(t, nil), settings(), "alerts").Create(t.Context(), []string{"id"}, fields("T-1"))
	wantKind(t, err, connectors.ErrConfig, "integration_key")
}

func TestASourcesOwnRuleDecidesThePriority(t *testing.T) {
	acc := account(t, nil)
	acc.Alter(tickets, func(s *sim.Source) { s.Rule = "LOW" })
	f := fields("T-1")
	f["priority"] = record.OfText("HIGH")
	r, err := collection(t, acc, settings(), "tickets").Create(t.Context(), []string{"priority"}, f)
	if err != nil || r.Values[0].Text() != "LOW" {
		t.Errorf("stored %v, %v: the answer is what is stored, not what was sent", r.Values, err)
	}
}
