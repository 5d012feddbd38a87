package dataminer_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/dataminer/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

var unset = map[string]string{"Ticket ID": "", "Incident Number": "", "Incident Status": ""}

// scan counts the elements, and reads a property of each.
func scan(t *testing.T, c connectors.Collection) (int, error) {
	t.Helper()
	n := 0
	_, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"name", "Incident Number"}}, func(record.Record) error { n++; return nil })
	return n, err
}

func TestASessionIsOpenedOnceAndSharedByAll(t *testing.T) {
	s := newSystem(t)
	s.AddObject(sim.Element, "Encoder 7", unset)
	conn := s.open(t, s.settings())
	var wg sync.WaitGroup
	for _, name := range []string{"elements", "services", "views", "alarms", "elements", "alarms"} {
		wg.Go(func() {
			c, err := conn.Collection(t.Context(), name)
			if err == nil {
				_, err = scan(t, c)
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	if s.Logins() != 1 {
		t.Errorf("%d log-ins, want one", s.Logins())
	}
	if err := conn.Close(); err != nil || s.Sessions() != 0 {
		t.Errorf("after closing %d sessions live; %v", s.Sessions(), err)
	}
}

func TestASessionLostInMidScanIsOpenedAgain(t *testing.T) {
	s := newSystem(t)
	for range 6 {
		s.AddObject(sim.Element, "Encoder", unset)
	}
	if err := s.Fault("recycle:GetPropertiesForElement:n=3"); err != nil {
		t.Fatal(err)
	}
	n, err := scan(t, s.collection(t, s.settings(), "elements"))
	if err != nil || n != 6 {
		t.Errorf("%d elements, %v", n, err)
	}
	if s.Logins() != 2 {
		t.Errorf("%d log-ins, want one before and one after", s.Logins())
	}
}

func TestASessionThatWasIdleForFiveMinutesIsOpenedAgain(t *testing.T) {
	for _, switches := range [][]string{nil, {"exceptions=plain"}} {
		s := newSystem(t, switches...)
		s.AddObject(sim.Element, "Encoder", unset)
		c := s.collection(t, s.settings(), "elements")
		for i, want := range []int{1, 1, 2} {
			if n, err := scan(t, c); err != nil || n != 1 || s.Logins() != want {
				t.Errorf("%v, scan %d: %d elements, %d log-ins, %v", switches, i, n, s.Logins(), err)
			}
			s.clock.Pass(time.Duration(2+3*i) * time.Minute)
		}
	}
}

func TestAWriteInALostSessionIsCarriedOutOnce(t *testing.T) {
	s := newSystem(t)
	key := s.AddObject(sim.Element, "Encoder 7", unset)
	c := s.collection(t, s.settings(), "elements").(connectors.Updater)
	if err := s.Fault("recycle:SetPropertyValue:n=1"); err != nil {
		t.Fatal(err)
	}
	r, err := c.Update(t.Context(), []string{"Ticket ID"}, key, "", record.Fields{"Ticket ID": record.OfText("T-1")})
	if err != nil || r.Values[0] != record.OfText("T-1") {
		t.Errorf("%v, %v", r.Values, err)
	}
	if s.Writes() != 1 || s.calls("SetPropertyValue") != 2 {
		t.Errorf("%d writes in %d calls, want one in two", s.Writes(), s.calls("SetPropertyValue"))
	}
}

func TestAWriteWhoseAnswerIsLostIsNotSentAgain(t *testing.T) {
	for _, fault := range []string{"reset", "500-after", "page", "502", "cut"} {
		t.Run(fault, func(t *testing.T) {
			s := newSystem(t)
			key := s.AddObject(sim.Element, "Encoder 7", unset)
			c := s.collection(t, s.settings(), "elements").(connectors.Updater)
			if err := s.Fault(fault + ":SetPropertyValue:n=1"); err != nil {
				t.Fatal(err)
			}
			_, err := c.Update(t.Context(), []string{"Ticket ID"}, key, "", record.Fields{"Ticket ID": record.OfText("T-1")})
			if !errors.Is(err, connectors.ErrOutcome) {
				t.Errorf("the error is %v, want one of kind ErrOutcome", err)
			}
			if n := s.calls("SetPropertyValue"); n != 1 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

func TestAReadThatMeetsAGatewayIsRepeated(t *testing.T) {
	for _, fault := range []string{"502", "503", "reset"} {
		t.Run(fault, func(t *testing.T) {
			s := newSystem(t)
			s.AddObject(sim.Element, "Encoder 7", unset)
			if err := s.Fault(fault + ":GetElementsForView:n=1"); err != nil {
				t.Fatal(err)
			}
			if n, err := scan(t, s.collection(t, s.settings(), "elements")); err != nil || n != 1 {
				t.Errorf("%d elements, %v", n, err)
			}
		})
	}
	s := newSystem(t)
	s.AddObject(sim.Element, "Encoder 7", unset)
	for _, fault := range []string{"page:GetElementsForView:n=1", "cut:GetElementsForView:n=2"} {
		if err := s.Fault(fault); err != nil {
			t.Fatal(err)
		}
	}
	c := s.collection(t, s.settings(), "elements")
	if n, err := scan(t, c); !errors.Is(err, connectors.ErrProtocol) || n != 0 {
		t.Errorf("a web page: %d elements, %v", n, err)
	}
	if n, err := scan(t, c); err != nil || n != 1 {
		t.Errorf("half an answer, then a whole one: %d elements, %v", n, err)
	}
}

func TestAWrongPasswordStopsTheConnection(t *testing.T) {
	for _, how := range []string{"refusal=200", "refusal=500"} {
		t.Run(how, func(t *testing.T) {
			s := newSystem(t, how)
			settings := s.settings()
			settings.Auth.Password = "mallory"
			c := s.collection(t, settings, "elements")
			for range 3 {
				_, err := scan(t, c)
				if !errors.Is(err, connectors.ErrAuth) || !strings.Contains(err.Error(), "Invalid credentials") || !strings.Contains(connectors.Hint(err), sim.User) {
					t.Fatalf("the error is %v", err)
				}
				if strings.Contains(err.Error()+connectors.Hint(err), "mallory") {
					t.Errorf("%q shows the password", err)
				}
			}
			if n := s.calls("ConnectAppAndInfo"); n != 1 {
				t.Errorf("%d log-ins were tried in a moment: accounts lock", n)
			}
			s.clock.Pass(time.Minute)
			if _, err := scan(t, c); !errors.Is(err, connectors.ErrAuth) || s.calls("ConnectAppAndInfo") != 2 {
				t.Errorf("a minute later: %v, %d log-ins tried", err, s.calls("ConnectAppAndInfo"))
			}
		})
	}
}

func TestResultsWithoutTheirEnvelope(t *testing.T) {
	s := newSystem(t, "envelope=bare")
	key := s.AddObject(sim.Element, "Encoder 7", unset)
	s.RaiseAlarm("Input bitrate low", "Major", nil)
	conn := s.open(t, s.settings())
	for _, name := range []string{"elements", "alarms"} {
		c, err := conn.Collection(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := scan(t, c); err != nil || n != 1 {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		if u, ok := c.(connectors.Updater); ok {
			if _, err := u.Update(t.Context(), []string{"id"}, key, "", record.Fields{"Ticket ID": record.OfText("T-1")}); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestNothingWhereAListIsExpectedIsNoEmptyList(t *testing.T) {
	for _, body := range []string{`{"d":null}`, `null`, `{}`, `{"d":{}}`, `[{}]`} {
		t.Run(body, func(t *testing.T) {
			s := newSystem(t)
			settings := s.settings()
			inner := s.http.Transport
			s.http = &http.Client{Transport: replaced{inner, "GetElementsForView", body}}
			_, err := scan(t, s.collection(t, settings, "elements"))
			if !errors.Is(err, connectors.ErrProtocol) {
				t.Errorf("the error is %v, want one of kind ErrProtocol", err)
			}
		})
	}
}

func TestTheTraceOfAnErrorIsNeverShown(t *testing.T) {
	s := newSystem(t, "missing=error")
	key := s.AddObject(sim.Element, "Encoder 7", map[string]string{"Ticket ID": ""})
	var log bytes.Buffer
	conn, err := s.settings().Open(connectors.Env{Name: "noc", HTTP: s.http, Now: s.clock.Now, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	c, err := conn.Collection(t.Context(), "elements")
	if err != nil {
		t.Fatal(err)
	}
	s.Format(sim.Element, "Ticket ID", digits)
	_, err = c.(connectors.Updater).Update(t.Context(), []string{"id"}, key, "", record.Fields{"Ticket ID": record.OfText("no digits")})
	if !errors.Is(err, connectors.ErrRefused) || !strings.Contains(err.Error(), "WebApiException") {
		t.Errorf("the error is %v", err)
	}
	if text := err.Error() + connectors.Hint(err) + log.String(); strings.Contains(text, "secret") || strings.Contains(text, sim.Password) {
		t.Errorf("shows what it must not: %s", text)
	}
}
