package dataminer_test

import (
	"errors"
	"fmt"
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

var (
	_ connectors.Describer = (*dataminer.SDMTickets)(nil)
	_ connectors.Finder    = (*dataminer.SDMTickets)(nil)
	_ connectors.Creator   = (*dataminer.SDMTickets)(nil)
	_ connectors.Updater   = (*dataminer.SDMTickets)(nil)
	_ connectors.Deleter   = (*dataminer.SDMTickets)(nil)
	_ connectors.Commenter = (*dataminer.SDMTickets)(nil)
	_ connectors.Entitler  = (*dataminer.SDMTickets)(nil)
)

// bridgeOf is settings for the bridge alone.
func bridgeOf(s *system) *dataminer.Settings {
	return &dataminer.Settings{PageSize: 40, Bridge: &dataminer.Bridge{URL: s.url}}
}

func TestTicketsOfTodayConform(t *testing.T) {
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"description", "id", "external.ServiceNow", "state", "name", "number", "priority", "modified", "alarm"},
		Sample: func(i int) record.Fields {
			n := strconv.Itoa(i)
			return record.Fields{"name": record.OfText("line " + n + " is down"), "external.ServiceNow": record.OfText("INC" + n), "description": record.OfText("text " + n),
				"state": record.OfText([]string{"acknowledged", "inProgress", "closed"}[i%3])}
		},
		Marker: "external.ServiceNow", Text: "description", Thread: "notes", Incremental: true,
		Missing: func(i int) string { return fmt.Sprintf("9b2f0c52-0000-4a35-8a6b-%012x", i) },
		Open: func(t *testing.T) connectortest.System {
			s := newSystem(t, "generation=sdm")
			conn := s.open(t, bridgeOf(s))
			c, err := conn.Collection(t.Context(), "sdm_tickets")
			if err != nil {
				t.Fatal(err)
			}
			return connectortest.System{
				Connection: conn, Collection: c,
				Add:    func(_ *testing.T, f record.Fields) string { return s.AddSDMTicket(plain(f), "") },
				Edit:   func(_ *testing.T, key string, f record.Fields) { s.EditSDMTicket(key, plain(f)) },
				Remove: func(_ *testing.T, key string) { s.RemoveSDMTicket(key) },
				Pass:   func(_ *testing.T, d time.Duration) { s.clock.Pass(d) },
			}
		},
	})
}

func TestTicketsOfTodayShowWhatTheyAreAbout(t *testing.T) {
	s := newSystem(t, "generation=sdm")
	alarm := s.RaiseAlarm("Input bitrate low", "Major", nil)
	s.ChangeSeverity(alarm, "Critical")
	key := s.AddSDMTicket(map[string]string{"name": "Input bitrate low", "expected_resolution": "1772528600000"}, alarm)
	c := s.collection(t, bridgeOf(s), "sdm_tickets")
	r, ok := shown(t, c, key, "id", "number", "name", "state", "alarm", "element", "expected_resolution", "requested_resolution", "external.ServiceNow", "external.Other", "nosuch")
	if !ok {
		t.Fatal("the ticket is not there")
	}
	var got []string
	for _, v := range r.Values {
		got = append(got, v.String())
	}
	want := []string{strconv.Quote(key), `"TICKET-000001"`, `"Input bitrate low"`, `"acknowledged"`, strconv.Quote(alarm), `"157/21"`, `"2026-03-03T09:03:20Z"`, "null", "null", "null", record.Value{}.String()}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTicketsOfTodayAreDescribed(t *testing.T) {
	s := newSystem(t, "generation=sdm")
	schema, err := s.collection(t, bridgeOf(s), "sdm_tickets").(connectors.Describer).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"id": "read-only", "name": "required", "state": "8 choices", "type": "1 choices", "external.ServiceNow": "", "modified": "read-only", "expected_resolution": ""} {
		f, ok := schema.Field(path)
		got := ""
		switch {
		case !ok:
			got = "none"
		case f.ReadOnly:
			got = "read-only"
		case f.Required:
			got = "required"
		case f.Closed:
			got = fmt.Sprintf("%d choices", len(f.Choices))
		}
		if got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if len(schema.Threads) != 1 || schema.Threads[0].Path != "notes" || schema.Threads[0].Readers != connectors.Staff {
		t.Errorf("threads: %+v", schema.Threads)
	}
}

func TestTicketsOfTodayThatAreRefusedSayWhy(t *testing.T) {
	s := newSystem(t, "generation=sdm")
	key := s.AddSDMTicket(map[string]string{"name": "x"}, "")
	c := s.collection(t, bridgeOf(s), "sdm_tickets").(*dataminer.SDMTickets)
	for name, f := range map[string]struct {
		set  record.Fields
		want string
	}{
		"a state that there is not":    {record.Fields{"state": record.OfText("open")}, "acknowledged, inProgress"},
		"a type that there is not":     {record.Fields{"type": record.OfText("Other")}, `type has no value "Other"`},
		"an owner that there is not":   {record.Fields{"external.Jira": record.OfText("NOC-1")}, "external owner not defined: Jira"},
		"no name":                      {record.Fields{"name": record.NullValue}, "name is missing"},
		"what the system sets":         {record.Fields{"modified": record.OfTime(time.Now())}, "set by the system"},
		"a path that there is not":     {record.Fields{"assignee": record.OfText("ada")}, "tickets have no assignee"},
		"a path that looks like owner": {record.Fields{"externally": record.OfText("x")}, "tickets have no externally"},
	} {
		_, err := c.Update(t.Context(), []string{"name"}, key, "", f.set)
		if !errors.Is(err, connectors.ErrRefused) || !strings.Contains(err.Error()+connectors.Hint(err), f.want) {
			t.Errorf("%s: %v %s", name, err, connectors.Hint(err))
		}
	}
	if s.Writes() != 0 {
		t.Errorf("%d writes", s.Writes())
	}
	gone := "9b2f0c52-0000-4a35-8a6b-000000000001"
	if _, err := c.Update(t.Context(), []string{"name"}, gone, "", record.Fields{"name": record.OfText("y")}); !errors.Is(err, connectors.ErrNotFound) {
		t.Errorf("a ticket that is gone: %v", err)
	}
}

func TestWithoutTheScriptForTicketsAllElseGoesOn(t *testing.T) {
	s := newSystem(t) // the legacy app
	conn := s.open(t, bridgeOf(s))
	for _, name := range []string{"sdm_tickets", "alarm_properties"} {
		c, err := conn.Collection(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.(connectors.Describer).Describe(t.Context())
		if missing := errors.Is(err, connectors.ErrConfig) && strings.Contains(connectors.Hint(err), "FieldSyncTickets.cs"); missing != (name == "sdm_tickets") {
			t.Errorf("%s: %v %s", name, err, connectors.Hint(err))
		}
	}
	c, _ := conn.Collection(t.Context(), "sdm_tickets")
	for what, err := range map[string]error{
		"a scan": func() error {
			_, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"id"}}, func(record.Record) error { return nil })
			return err
		}(),
		"a create": func() error {
			_, err := c.(connectors.Creator).Create(t.Context(), []string{"id"}, record.Fields{"name": record.OfText("x")})
			return err
		}(),
		"a delete": c.(connectors.Deleter).Delete(t.Context(), "9b2f0c52-0000-4a35-8a6b-000000000001", ""),
	} {
		if !errors.Is(err, connectors.ErrConfig) || errors.Is(err, connectors.ErrNotFound) {
			t.Errorf("%s without the script: %v", what, err)
		}
	}
}
