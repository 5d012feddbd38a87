package dataminer_test

import (
	"errors"
	"net/http"
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

func TestAlarmsConform(t *testing.T) {
	for _, switches := range [][]string{nil, {"missing=error", "available=names", "unset=left-out"}} {
		t.Run(strings.Join(switches, " "), func(t *testing.T) {
			connectortest.Run(t, connectortest.Suite{
				Paths: []string{"Incident Status", "id", "Ticket ID", "severity", "Incident Number", "raised", "services", "cleared"}, Sample: sample,
				Marker: "Ticket ID", Text: "Incident Status", Missing: func(i int) string { return "157/21/" + strconv.Itoa(i+1) },
				NoCreate: true, NoUpdate: true, NoDelete: true,
				Open: func(t *testing.T) connectortest.System {
					s := newSystem(t, switches...)
					conn := s.open(t, s.settings())
					c, err := conn.Collection(t.Context(), "alarms")
					if err != nil {
						t.Fatal(err)
					}
					return connectortest.System{
						Connection: conn, Collection: c,
						Add: func(_ *testing.T, f record.Fields) string {
							return s.RaiseAlarm("Input bitrate low", "Major", plain(f))
						},
						Edit: func(t *testing.T, key string, f record.Fields) {
							for name, v := range f {
								if err := s.SetProperty(key, name, v.Text()); err != nil {
									t.Fatal(err)
								}
							}
						},
						Remove: func(_ *testing.T, key string) { s.ClearAlarm(key) },
						Pass:   func(_ *testing.T, d time.Duration) { s.clock.Pass(d) },
					}
				},
			})
		})
	}
}

// shown reads one alarm.
func shown(t *testing.T, c connectors.Collection, key string, paths ...string) (record.Record, bool) {
	t.Helper()
	var got record.Record
	err := c.Read(t.Context(), paths, []string{key}, func(r record.Record) error { got = r.Clone(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return got, got.Key != ""
}

func TestAnAlarmThatChangesItsSeverityStaysTheSameAlarm(t *testing.T) {
	s := newSystem(t)
	key := s.RaiseAlarm("Input bitrate low", "Minor", map[string]string{"Ticket ID": "T-1"})
	settings := s.settings()
	settings.Bridge = &dataminer.Bridge{}
	conn := s.open(t, settings)
	alarms, _ := conn.Collection(t.Context(), "alarms")
	properties, _ := conn.Collection(t.Context(), "alarm_properties")
	before, _ := shown(t, alarms, key, "severity")
	s.clock.Pass(time.Minute)
	s.ChangeSeverity(key, "Critical")
	after, ok := shown(t, alarms, key, "severity", "Ticket ID", "type")
	if !ok || after.Version == before.Version || cmp.Diff(`["Critical" "T-1" "Escalated From Minor"]`, stringOf(after.Values)) != "" {
		t.Errorf("%+v, then %+v", before, after)
	}
	r, err := properties.(connectors.Updater).Update(t.Context(), []string{"severity", "Incident Number"}, key, before.Version, record.Fields{"Incident Number": record.OfText("INC1")})
	if err != nil || stringOf(r.Values) != `["Critical" "INC1"]` {
		t.Errorf("%v, %v", r.Values, err)
	}
	if a, _ := s.Get(key); a.Properties["Incident Number"] != "INC1" || len(s.All()) != 1 {
		t.Errorf("the alarm is %+v", a)
	}
}

func TestAnAlarmThatHasClearedIsWhatTheSettingsSay(t *testing.T) {
	for _, tt := range []struct {
		cleared string
		kept    bool
	}{{"", false}, {"gone", false}, {"kept", true}} {
		t.Run("cleared="+tt.cleared, func(t *testing.T) {
			s := newSystem(t)
			key := s.RaiseAlarm("Input bitrate low", "Minor", map[string]string{"Ticket ID": "T-1"})
			settings := s.settings()
			settings.Cleared, settings.Bridge = tt.cleared, &dataminer.Bridge{}
			conn := s.open(t, settings)
			s.ClearAlarm(key)
			for _, name := range []string{"alarms", "alarm_properties"} {
				c, _ := conn.Collection(t.Context(), name)
				r, there := shown(t, c, key, "cleared", "Ticket ID")
				if there != tt.kept || there && stringOf(r.Values) != `[true "T-1"]` {
					t.Errorf("%s: read delivers %v, %v", name, there, r.Values)
				}
				if name == "alarm_properties" {
					_, err := c.(connectors.Updater).Update(t.Context(), []string{"id"}, key, "", record.Fields{"Incident Number": record.OfText("INC1")})
					if tt.kept != (err == nil) || !tt.kept && !errors.Is(err, connectors.ErrNotFound) {
						t.Errorf("the write: %v", err)
					}
				}
			}
			if a, _ := s.Get(key); (a.Properties["Incident Number"] == "INC1") != tt.kept {
				t.Errorf("the alarm has %v", a.Properties)
			}
		})
	}
}

func TestAnAlarmThatClearsBetweenLookAndWriteIsNotWritten(t *testing.T) {
	s := newSystem(t)
	key := s.RaiseAlarm("Input bitrate low", "Minor", nil)
	settings := &dataminer.Settings{Bridge: &dataminer.Bridge{URL: s.url}}
	s.http.Transport = interposed{s.http.Transport, "alarm-properties", func() { s.ClearAlarm(key) }}
	_, err := s.collection(t, settings, "alarm_properties").(connectors.Updater).Update(t.Context(), []string{"id"}, key, "", record.Fields{"Incident Number": record.OfText("INC1")})
	if !errors.Is(err, connectors.ErrNotFound) || !strings.Contains(err.Error(), "cleared") || s.Writes() != 0 {
		t.Errorf("%d writes, %v", s.Writes(), err)
	}
}

func TestTimesOfTheAgentAsTextAreNotRead(t *testing.T) {
	s := newSystem(t)
	key := s.RaiseAlarm("Input bitrate low", "Minor", nil)
	r, _ := shown(t, s.collection(t, s.settings(), "alarms"), key, "raised", "changed")
	// The Agent runs an hour ahead of UTC, and writes so in RootTime and TimeOfArrival.
	want := record.OfTime(time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC))
	if r.Values[0] != want || r.Values[1] != want || !r.Modified.Equal(want.Time()) {
		t.Errorf("raised %s, changed %s, modified %s; want %s", r.Values[0], r.Values[1], r.Modified, want)
	}
}

func TestDetailsOfAlarmsThatDidNotChangeAreNotAskedForAgain(t *testing.T) {
	s := newSystem(t)
	var keys []string
	for range 5 {
		keys = append(keys, s.RaiseAlarm("Input bitrate low", "Minor", nil))
	}
	c := s.collection(t, s.settings(), "alarms")
	for i, want := range []int{5, 5, 6} {
		if i == 2 {
			if err := s.SetProperty(keys[3], "Ticket ID", "T-3"); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := scan(t, c); err != nil || n != 5 || s.calls("GetAlarmDetailsV2") != want {
			t.Errorf("scan %d: %d alarms, %d calls for details, want %d; %v", i, n, s.calls("GetAlarmDetailsV2"), want, err)
		}
	}
}

func TestTheBridgeKeepsToItsRateLimit(t *testing.T) {
	s := newSystem(t, "rate=2")
	c := s.collection(t, &dataminer.Settings{Bridge: &dataminer.Bridge{URL: s.url}}, "alarm_properties")
	for i := range 2 {
		_, err := scan(t, c) // asks twice
		if busy := errors.Is(err, connectors.ErrBusy); busy != (i == 1) {
			t.Errorf("scan %d: %v", i, err)
		}
	}
	s.clock.Pass(time.Minute)
	if _, err := scan(t, c); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

func TestALongSearchHasRoom(t *testing.T) {
	s := newSystem(t)
	long := func(i int) string { return "T-" + strings.Repeat(strconv.Itoa(i), 4000) }
	key := s.RaiseAlarm("Input bitrate low", "Minor", map[string]string{"Ticket ID": long(9)})
	c := s.collection(t, &dataminer.Settings{Bridge: &dataminer.Bridge{URL: s.url}}, "alarm_properties").(connectors.Finder)
	var values []record.Value
	for i := range 10 {
		values = append(values, record.OfText(long(i)))
	}
	var got []string
	err := c.Find(t.Context(), []string{"Ticket ID"}, "Ticket ID", values, func(r record.Record) error { got = append(got, r.Key); return nil })
	if d := cmp.Diff([]string{key}, got); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestAnAlarmThatChangesDuringAScanIsReadAsItIsThen(t *testing.T) {
	for _, missing := range []string{"missing=null", "missing=error"} {
		s := newSystem(t, missing)
		key := s.RaiseAlarm("Input bitrate low", "Minor", nil)
		gone := s.RaiseAlarm("Fan failure", "Minor", nil)
		s.http.Transport = interposed{s.http.Transport, "GetAvailableAlarmProperties", func() {
			s.ChangeSeverity(key, "Major")
			s.ClearAlarm(gone)
		}}
		var got []string
		_, err := s.collection(t, s.settings(), "alarms").Scan(t.Context(), connectors.Query{Paths: []string{"severity", "Ticket ID"}}, func(r record.Record) error {
			got = append(got, r.Key+" "+stringOf(r.Values))
			return nil
		})
		if d := cmp.Diff([]string{key + ` ["Major" null]`}, got); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got):\n%s", missing, err, d)
		}
	}
}

func TestPropertiesThatAreRefusedAreNotKnown(t *testing.T) {
	s := newSystem(t, "missing=error")
	s.RaiseAlarm("Input bitrate low", "Minor", nil)
	s.AddObject(sim.Element, "Encoder 7", unset)
	for name, method := range map[string]string{"alarms": "GetAlarmDetailsV2", "elements": "GetPropertiesForElement"} {
		refusing := &http.Client{Transport: replaced{s.http.Transport, method, `{"Message":"No access","ExceptionType":"Skyline.DataMiner.Web.Common.WebApiException"}`}}
		conn, err := s.settings().Open(connectors.Env{Name: "noc", HTTP: refusing, Now: s.clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		c, err := conn.Collection(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		_, err = c.Scan(t.Context(), connectors.Query{Paths: []string{"severity", "Ticket ID"}}, func(r record.Record) error {
			if n++; r.Values[0].Empty() || r.Values[1] != record.UnknownValue {
				t.Errorf("%s: %s", name, stringOf(r.Values))
			}
			return nil
		})
		if err != nil || n != 1 {
			t.Errorf("%s: %d records, %v", name, n, err)
		}
	}
}
