package dataminer_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/dataminer"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestTicketsConform(t *testing.T) {
	for _, missing := range []string{"missing=null", "missing=error"} {
		t.Run(missing, func(t *testing.T) {
			connectortest.Run(t, connectortest.Suite{
				Paths: []string{"Description", "id", "External ID", "State", "Title", "closed", "created", "alarm"},
				Sample: func(i int) record.Fields {
					n := strconv.Itoa(i)
					return record.Fields{"Title": record.OfText("line " + n + " is down"), "External ID": record.OfText("INC" + n), "Description": record.OfText("text " + n),
						"State": record.OfText([]string{"New", "In Progress", "Closed"}[i%3])}
				},
				Marker: "External ID", Text: "Description", Missing: func(i int) string { return "157/" + strconv.Itoa(100000+i) },
				NoVersion: true,
				Open: func(t *testing.T) connectortest.System {
					s := newSystem(t, missing)
					settings := s.settings()
					settings.PageSize = 40
					conn := s.open(t, settings)
					c, err := conn.Collection(t.Context(), "tickets")
					if err != nil {
						t.Fatal(err)
					}
					return connectortest.System{
						Connection: conn, Collection: c,
						Add:    func(_ *testing.T, f record.Fields) string { return s.AddTicket(plain(f), "") },
						Edit:   func(_ *testing.T, key string, f record.Fields) { s.EditTicket(key, plain(f)) },
						Remove: func(_ *testing.T, key string) { s.RemoveTicket(key) },
						Pass:   func(_ *testing.T, d time.Duration) { s.clock.Pass(d) },
					}
				},
			})
		})
	}
}

func TestTheRightAlarmIsFoundFromATicket(t *testing.T) {
	for _, link := range []string{"link=root", "link=record", "link=root-alone"} {
		t.Run(link, func(t *testing.T) {
			s := newSystem(t, link)
			s.RaiseAlarm("Fan failure", "Minor", nil)
			alarm := s.RaiseAlarm("Input bitrate low", "Minor", nil)
			s.ChangeSeverity(alarm, "Major") // the tree's newest record has another id than its root
			linked := s.AddTicket(map[string]string{"Title": "Input bitrate low", "State": "New"}, alarm)
			free := s.AddTicket(map[string]string{"Title": "New chair", "State": "New"}, "")
			c := s.collection(t, s.settings(), "tickets")
			for key, want := range map[string]record.Value{linked: record.OfText(alarm), free: record.NullValue} {
				if r, _ := shown(t, c, key, "alarm"); r.Values[0] != want {
					t.Errorf("ticket %s: alarm %s, want %s", key, r.Values[0], want)
				}
			}
			s.ClearAlarm(alarm)
			want := record.OfText(alarm)
			if link != "link=root" {
				want = record.UnknownValue // no list has that number any more: what is not known decides nothing
			}
			if r, _ := shown(t, c, linked, "alarm"); r.Values[0] != want {
				t.Errorf("with a cleared alarm: %s, want %s", r.Values[0], want)
			}
		})
	}
}

func TestATicketThatSlidesBetweenPagesIsNotMissed(t *testing.T) {
	s := newSystem(t)
	var keys []string
	for i := range 10 {
		keys = append(keys, s.AddTicket(map[string]string{"Title": strconv.Itoa(i), "State": "New"}, ""))
	}
	settings := s.settings()
	settings.PageSize = 3
	s.Slide(keys[9])
	seen := map[string]int{}
	_, err := s.collection(t, settings, "tickets").Scan(t.Context(), connectors.Query{Paths: []string{"State"}}, func(r record.Record) error { seen[r.Key]++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if seen[k] != 1 {
			t.Errorf("ticket %s was delivered %d times", k, seen[k])
		}
	}
}

func TestFieldsOfTickets(t *testing.T) {
	s := newSystem(t)
	key := s.AddTicket(map[string]string{"Title": "Input bitrate low", "State": "New", "Priority": "High", "Deadline": "2026-03-02 11:15:00"}, "")
	c := s.collection(t, s.settings(), "tickets")
	u := c.(connectors.Updater)
	t.Run("a time as text is not known", func(t *testing.T) {
		if r, _ := shown(t, c, key, "Deadline"); r.Values[0] != record.UnknownValue {
			t.Errorf("Deadline is %s", r.Values[0])
		}
	})
	t.Run("an update leaves the other fields as they are", func(t *testing.T) {
		r, err := u.Update(t.Context(), []string{"State", "Priority", "closed"}, key, "", record.Fields{"State": record.OfText("Closed")})
		if err != nil || stringOf(r.Values) != `["Closed" "High" true]` {
			t.Errorf("%s, %v", stringOf(r.Values), err)
		}
		want := map[string]string{"Title": "Input bitrate low", "State": "Closed", "Priority": "High", "Deadline": "2026-03-02 11:15:00"}
		if d := cmp.Diff(want, s.Tickets()[0].Fields); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
	t.Run("what is there already is not written", func(t *testing.T) {
		before := s.Writes()
		if _, err := u.Update(t.Context(), []string{"id"}, key, "", record.Fields{"State": record.OfText("Closed"), "Description": record.NullValue}); err != nil || s.Writes() != before {
			t.Errorf("%d writes, %v", s.Writes()-before, err)
		}
	})
	for name, tt := range map[string]struct {
		f    record.Fields
		says string
	}{
		"a choice that there is not":    {record.Fields{"State": record.OfText("Open")}, "In Progress"},
		"a field that there is not":     {record.Fields{"Prioritie": record.OfText("High")}, `did you mean "Priority"?`},
		"what the system sets":          {record.Fields{"closed": record.OfBool(true)}, "cannot be written"},
		"a time":                        {record.Fields{"Deadline": record.OfText("2026-03-02")}, "cannot be written"},
		"a required field that is none": {record.Fields{"Title": record.NullValue}, "Title is required"},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			_, err := u.Update(t.Context(), []string{"id"}, key, "", tt.f)
			if text := err.Error() + "; " + connectors.Hint(err); !errors.Is(err, connectors.ErrRefused) || !strings.Contains(text, tt.says) {
				t.Errorf("%s does not say %q", text, tt.says)
			}
		})
	}
}

func TestTheTicketType(t *testing.T) {
	for _, tt := range []struct {
		name, setting, generation string
		ok                        bool
	}{
		{"the only one that is not masked", "", "legacy", true},
		{"by name", "Incident", "legacy", true},
		{"by id", "0F5A9F0A-6c1f-4f1a-8a5e-6c1d2b7b2f10", "legacy", true},
		{"one that there is not", "Incidents", "legacy", false},
		{"on a system without the app", "", "none", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSystem(t, "generation="+tt.generation)
			settings := s.settings()
			settings.TicketType = tt.setting
			_, err := s.collection(t, settings, "tickets").(*dataminer.Tickets).Describe(t.Context())
			if (err == nil) != tt.ok || err != nil && connectors.Hint(err) == "" {
				t.Errorf("%v; %s", err, connectors.Hint(err))
			}
		})
	}
}

func TestRightsToTicketsAreTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		denied []string
		none   bool // no Ticketing at all
		wants  connectors.Demand
		good   string
		bad    string
	}{
		{"all that is needed", nil, false, connectors.Demand{Create: true, Delete: true, Writes: []string{"State"}}, "the user may look at tickets, add tickets, edit tickets, delete tickets", ""},
		{"what is not needed may lack", []string{"TicketsAddTicket", "TicketsDeleteTicket"}, false, connectors.Demand{Writes: []string{"State"}}, "the user may look at tickets, edit tickets", ""},
		{"adding", []string{"TicketsAddTicket"}, false, connectors.Demand{Create: true}, "the user may look at tickets", "the user may not add tickets (TicketsAddTicket) give its group the right Modules > Ticketing > Add tickets"},
		{"editing", []string{"TicketsEditTicket"}, false, connectors.Demand{Writes: []string{"State"}}, "", "the user may not edit tickets"},
		{"deleting", []string{"TicketsDeleteTicket"}, false, connectors.Demand{Delete: true}, "", "the user may not delete tickets"},
		{"looking", []string{"TicketsUI"}, false, connectors.Demand{}, "", "the user may not look at tickets"},
		{"no licence", nil, true, connectors.Demand{}, "", "no licence for Ticketing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSystem(t)
			s.Deny(c.denied...)
			col := s.collection(t, s.settings(), "tickets")
			if c.none {
				if err := s.Switch("generation=none"); err != nil {
					t.Fatal(err)
				}
			}
			found, err := col.(connectors.Entitler).Entitled(t.Context(), c.wants)
			if err != nil {
				t.Fatal(err)
			}
			var good, bad strings.Builder
			for _, f := range found {
				if f.OK {
					good.WriteString(f.Detail + " " + f.Hint)
				} else {
					bad.WriteString(f.Detail + " " + f.Hint)
				}
			}
			if !strings.Contains(good.String(), c.good) || !strings.Contains(bad.String(), c.bad) || (bad.Len() > 0) != (c.bad != "") {
				t.Errorf("good: %s\nbad: %s", good.String(), bad.String())
			}
		})
	}
}
