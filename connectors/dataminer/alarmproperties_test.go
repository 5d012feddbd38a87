package dataminer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/dataminer"
	"github.com/fieldsync/fieldsync/connectors/dataminer/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

var (
	_ connectors.Describer = (*dataminer.AlarmProperties)(nil)
	_ connectors.Finder    = (*dataminer.AlarmProperties)(nil)
	_ connectors.Updater   = (*dataminer.AlarmProperties)(nil)
	_ connectors.Requirer  = (*dataminer.AlarmProperties)(nil)
	_ connectors.Checker   = (*dataminer.Connection)(nil)
)

var defined = []string{"Incident Status", "Incident Number", "Ticket ID"}

// bridged starts h and opens the alarm properties on it, through the bridge.
func bridged(t *testing.T, h http.Handler, token connectors.Secret) (*dataminer.Connection, *dataminer.AlarmProperties) {
	t.Helper()
	return bridgedWith(t, h, dataminer.Settings{PageSize: 3, Bridge: &dataminer.Bridge{Token: token}})
}

func bridgedWith(t *testing.T, h http.Handler, s dataminer.Settings) (*dataminer.Connection, *dataminer.AlarmProperties) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	s.Bridge.URL = srv.URL + "/"
	conn, err := s.Open(connectors.Env{Name: "noc", HTTP: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := conn.Collection(t.Context(), "alarm_properties")
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*dataminer.Connection), c.(*dataminer.AlarmProperties)
}

func TestAlarmPropertiesConform(t *testing.T) {
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"Incident Status", "id", "Ticket ID", "severity", "Incident Number"},
		Sample: func(i int) record.Fields {
			n := strconv.Itoa(i)
			return record.Fields{"Ticket ID": record.OfText("T-" + n), "Incident Status": record.OfText("status " + n), "Incident Number": record.OfText("INC" + n)}
		},
		Marker: "Ticket ID", Text: "Incident Status",
		Missing:     func(i int) string { return fmt.Sprintf("1/1/%d", i+1) },
		Incremental: true, NoCreate: true, NoDelete: true,
		Open: func(t *testing.T) connectortest.System {
			now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
			s := sim.New(sim.Options{Properties: defined, Now: func() time.Time { return now }})
			conn, c := bridged(t, s, "")
			return connectortest.System{
				Connection: conn, Collection: c,
				Add: func(_ *testing.T, f record.Fields) string {
					props := map[string]string{}
					for k, v := range f {
						props[k] = v.Text()
					}
					return s.RaiseAlarm("Input bitrate low", "major", props)
				},
				Edit: func(t *testing.T, key string, f record.Fields) {
					for k, v := range f {
						if err := s.SetProperty(key, k, v.Text()); err != nil {
							t.Fatal(err)
						}
					}
				},
				Remove: func(_ *testing.T, key string) { s.ClearAlarm(key) },
				Pass:   func(_ *testing.T, d time.Duration) { now = now.Add(d) },
			}
		},
	})
}

func TestAWriteOfWhatIsThereIsNotSent(t *testing.T) {
	s := sim.New(sim.Options{Properties: defined})
	_, c := bridged(t, s, "")
	key := s.RaiseAlarm("Input bitrate low", "major", map[string]string{"Ticket ID": "T-1"})
	for _, f := range []record.Fields{
		{"Ticket ID": record.OfText("T-1"), "Incident Number": record.NullValue},
		{"Incident Status": record.OfText("")},
		{"Ticket ID": record.UnknownValue, "Incident Status": record.Value{}},
	} {
		if _, err := c.Update(t.Context(), []string{"Ticket ID"}, key, "", f); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range s.Journal() {
		if strings.HasSuffix(r.Path, "/alarm-properties") {
			t.Errorf("sent %s", r.Body)
		}
	}
	got, err := c.Update(t.Context(), []string{"Ticket ID", "Incident Number", "name"}, key, "", record.Fields{"Ticket ID": record.OfText("T-1"), "Incident Number": record.OfInt(7)})
	if err != nil {
		t.Fatal(err)
	}
	want := []record.Value{record.OfText("T-1"), record.OfText("7"), record.OfText("Input bitrate low")}
	for i := range want {
		if got.Values[i] != want[i] {
			t.Errorf("value %d is %s, want %s", i, got.Values[i], want[i])
		}
	}
	a, _ := s.Get(key)
	if d := cmp.Diff(map[string]string{"Ticket ID": "T-1", "Incident Number": "7"}, a.Properties); d != "" || a.Revision != 2 || s.Writes() != 1 {
		t.Errorf("revision %d, %d writes, properties (-want +got):\n%s", a.Revision, s.Writes(), d)
	}
	for _, r := range s.Journal() {
		if strings.HasSuffix(r.Path, "/alarm-properties") && strings.Contains(r.Body, "Ticket ID") {
			t.Errorf("sent what was there: %s", r.Body)
		}
	}
}

func TestMissingPropertiesAreNamed(t *testing.T) {
	s := sim.New(sim.Options{Properties: []string{"Ticket ID", "Incident status"}})
	_, c := bridged(t, s, "")
	key := s.RaiseAlarm("Input bitrate low", "major", nil)

	err := c.Require(t.Context(), []string{"id", "Ticket ID", "Incident Status", "Incident Number"})
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok || !errors.Is(err, connectors.ErrConfig) {
		t.Fatalf("the error is %v, want one of kind ErrConfig", err)
	}
	if d := cmp.Diff([]string{"Incident Status", "Incident Number"}, e.Fields); d != "" {
		t.Errorf("fields (-want +got):\n%s", d)
	}
	for _, part := range []string{`"Incident Status"`, `"Incident Number"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
	if !strings.Contains(e.Hint, "Cube") || !strings.Contains(e.Hint, `"Incident status"`) {
		t.Errorf("the hint %q does not say where to create them and what else there is", e.Hint)
	}

	_, err = c.Update(t.Context(), []string{"id"}, key, "", record.Fields{"Ticket ID": record.OfText("T-1"), "Incident Number": record.OfText("INC1")})
	if e, ok := errors.AsType[*connectors.Error](err); !ok || !errors.Is(err, connectors.ErrRefused) || cmp.Diff([]string{"Incident Number"}, e.Fields) != "" {
		t.Errorf("update: %#v", err)
	}
	if s.Writes() != 0 {
		t.Error("a refused update wrote something")
	}

	s.Define("Incident Status")
	s.Define("Incident Number")
	if err := c.Require(t.Context(), []string{"Ticket ID", "Incident Status", "Incident Number", "severity"}); err != nil {
		t.Errorf("with all of them there: %v", err)
	}
	if _, err := c.Update(t.Context(), []string{"id"}, key, "", record.Fields{"Incident Number": record.OfText("INC1")}); err != nil {
		t.Errorf("a property that was made meanwhile: %v", err)
	}
}

func TestWritesTheSystemDoesNotTake(t *testing.T) {
	s := sim.New(sim.Options{Properties: defined})
	_, c := bridged(t, s, "")
	key := s.RaiseAlarm("Input bitrate low", "major", nil)
	for path, value := range map[string]string{"severity": "minor", "id": "1/2/3"} {
		_, err := c.Update(t.Context(), []string{"id"}, key, "", record.Fields{path: record.OfText(value)})
		if e, ok := errors.AsType[*connectors.Error](err); !ok || !errors.Is(err, connectors.ErrRefused) || len(e.Fields) != 1 || e.Fields[0] != path {
			t.Errorf("%s: %#v", path, err)
		}
	}
	for _, key := range []string{"1/2/3", "nonsense"} {
		if _, err := c.Update(t.Context(), []string{"id"}, key, "", record.Fields{"Ticket ID": record.OfText("x")}); !errors.Is(err, connectors.ErrNotFound) {
			t.Errorf("update of %s: %v", key, err)
		}
	}
}

func TestWhatAnswersCanBe(t *testing.T) {
	answer := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/custom/fieldsync/info" {
				_, _ = w.Write([]byte(`{"contract":1,"timeUTC":1772442900000,"alarmProperties":["Ticket ID"]}`))
				return
			}
			if body, _ := io.ReadAll(r.Body); bytes.Contains(body, []byte(`"ids"`)) {
				_, _ = w.Write([]byte(`{"alarms":[{"dma":1,"element":2,"root":3}],"next":"","asOf":1772442900000}`))
				return
			}
			if status == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "7")
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	for _, tt := range []struct {
		name        string
		status      int
		body        string
		read, write error
	}{
		{"wrong token", 401, `{"errors":[{"title":"no","detail":"no"}]}`, connectors.ErrAuth, connectors.ErrAuth},
		{"missing rights", 403, ``, connectors.ErrDenied, connectors.ErrDenied},
		{"too many", 429, ``, connectors.ErrBusy, connectors.ErrBusy},
		{"a failure", 500, ``, connectors.ErrBusy, connectors.ErrOutcome},
		{"a gateway", 503, `<html>`, connectors.ErrBusy, connectors.ErrOutcome},
		{"a web page", 200, `<html>`, connectors.ErrProtocol, connectors.ErrOutcome},
		{"JSON without alarms", 200, `{}`, connectors.ErrProtocol, connectors.ErrOutcome},
		{"cut JSON", 200, `{"alarms":[`, connectors.ErrProtocol, connectors.ErrOutcome},
		{"a redirect", 304, ``, connectors.ErrProtocol, connectors.ErrProtocol},
		{"a request it does not like", 400, `{"errors":[{"title":"no","detail":"no"}]}`, connectors.ErrRefused, connectors.ErrRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, c := bridged(t, answer(tt.status, tt.body), "")
			_, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"id"}}, func(record.Record) error { return nil })
			if !errors.Is(err, tt.read) {
				t.Errorf("scan: %v, want kind %v", err, tt.read)
			}
			if e, ok := errors.AsType[*connectors.Error](err); ok && tt.status == 429 && e.RetryAfter != 7*time.Second {
				t.Errorf("RetryAfter is %v", e.RetryAfter)
			}
			_, err = c.Update(t.Context(), []string{"id"}, "1/2/3", "", record.Fields{"Ticket ID": record.OfText("x")})
			if !errors.Is(err, tt.write) {
				t.Errorf("update: %v, want kind %v", err, tt.write)
			}
		})
	}
}

func TestLogInAndAddress(t *testing.T) {
	s := sim.New(sim.Options{Properties: defined, Token: "s3cret"})
	conn, _ := bridged(t, s, "s3cret")
	found, err := conn.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if !f.OK {
			t.Errorf("finding %+v", f)
		}
	}
	conn, _ = bridged(t, s, "mallory")
	found, err = conn.Check(t.Context())
	if err != nil || len(found) != 1 || found[0].OK || !strings.Contains(found[0].Hint, "token") || strings.Contains(fmt.Sprint(found), "mallory") {
		t.Errorf("a wrong token: %+v, %v", found, err)
	}
	conn, _ = bridged(t, http.NotFoundHandler(), "")
	if _, err := conn.Check(t.Context()); !errors.Is(err, connectors.ErrConfig) || connectors.Hint(err) == "" {
		t.Errorf("another service: %v", err)
	}
	srv := httptest.NewServer(s)
	srv.Close()
	c, err := (&dataminer.Settings{Bridge: &dataminer.Bridge{URL: srv.URL}}).Open(connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.(connectors.Checker).Check(t.Context()); !errors.Is(err, connectors.ErrOffline) {
		t.Errorf("nothing there: %v", err)
	}
}

func TestAnAlarmThatChangesDuringAScanIsNotMissed(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	s := sim.New(sim.Options{Properties: defined, Now: func() time.Time { return now }})
	_, c := bridged(t, s, "")
	var keys []string
	for range 10 {
		keys = append(keys, s.RaiseAlarm("Input bitrate low", "major", nil))
		now = now.Add(time.Second)
	}
	last := map[string]record.Value{}
	n := 0
	w, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"Ticket ID"}}, func(r record.Record) error {
		if n++; n == 2 {
			if err := s.SetProperty(keys[8], "Ticket ID", "T-8"); err != nil {
				return err
			}
			if err := s.SetProperty(keys[0], "Ticket ID", "T-0"); err != nil {
				return err
			}
		}
		last[r.Key] = r.Values[0]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(last) != 10 || last[keys[8]] != record.OfText("T-8") || last[keys[0]] != record.OfText("T-0") {
		t.Errorf("saw %v", last)
	}
	if !w.Clock.Measured || w.Next != strconv.FormatInt(now.Add(-2*time.Minute).UnixMilli(), 10) {
		t.Errorf("window %+v", w)
	}
}

func TestFindByWhatAnAlarmAlwaysHas(t *testing.T) {
	s := sim.New(sim.Options{Properties: defined})
	_, c := bridged(t, s, "")
	key := s.RaiseAlarm("Input bitrate low", "major", nil)
	var got []string
	keep := func(r record.Record) error { got = append(got, r.Key); return nil }
	if err := c.Find(t.Context(), []string{"id"}, "id", []record.Value{record.OfText(key)}, keep); err != nil || len(got) != 1 || got[0] != key {
		t.Errorf("by id: %v, %v", got, err)
	}
	if err := c.Find(context.Background(), []string{"name"}, "name", []record.Value{record.OfText("x")}, keep); !errors.Is(err, connectors.ErrConfig) {
		t.Errorf("by name: %v", err)
	}
}
