package dataminer_test

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/dataminer/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

var digits = regexp.MustCompile(`^\d+$`)

// replaced answers one method in place of the system.
type replaced struct {
	http.RoundTripper
	method, body string
}

func (r replaced) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(req.URL.Path, "/"+r.method) {
		return r.RoundTripper.RoundTrip(req)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(r.body)), Request: req}, nil
}

// interposed does something right before a call arrives.
type interposed struct {
	http.RoundTripper
	method string
	do     func()
}

func (i interposed) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/"+i.method) {
		i.do()
	}
	return i.RoundTripper.RoundTrip(req)
}

func sample(i int) record.Fields {
	n := strconv.Itoa(i)
	return record.Fields{"Ticket ID": record.OfText("T-" + n), "Incident Status": record.OfText("status " + n), "Incident Number": record.OfText("INC" + n)}
}

func plain(f record.Fields) map[string]string {
	m := map[string]string{}
	for k, v := range f {
		m[k] = v.Text()
	}
	return m
}

func TestObjectsConform(t *testing.T) {
	for _, k := range []struct{ kind, name, missing string }{
		{sim.Element, "elements", "157/9"}, {sim.Service, "services", "157/9"}, {sim.View, "views", "9"},
	} {
		for _, missing := range []string{"missing=null", "missing=error"} {
			t.Run(k.name+" "+missing, func(t *testing.T) {
				connectortest.Run(t, connectortest.Suite{
					Paths: []string{"Incident Status", "id", "Ticket ID", "name", "Incident Number"}, Sample: sample,
					Marker: "Ticket ID", Text: "Incident Status", Missing: func(i int) string { return k.missing + strconv.Itoa(1000+i) },
					NoCreate: true, NoDelete: true, NoVersion: true,
					Open: func(t *testing.T) connectortest.System {
						s := newSystem(t, missing)
						conn := s.open(t, s.settings())
						c, err := conn.Collection(t.Context(), k.name)
						if err != nil {
							t.Fatal(err)
						}
						return connectortest.System{
							Connection: conn, Collection: c,
							Add: func(_ *testing.T, f record.Fields) string { return s.AddObject(k.kind, "Encoder", plain(f)) },
							Edit: func(t *testing.T, key string, f record.Fields) {
								for name, v := range f {
									if err := s.SetObjectProperty(k.kind, key, name, v.Text()); err != nil {
										t.Fatal(err)
									}
								}
							},
							Remove: func(_ *testing.T, key string) { s.RemoveObject(k.kind, key) },
							Pass:   func(_ *testing.T, d time.Duration) { s.clock.Pass(d) },
						}
					},
				})
			})
		}
	}
}

func TestViewsBelowViewsAreFound(t *testing.T) {
	s := newSystem(t)
	top := s.AddObject(sim.View, "Headend", unset)
	id, _ := strconv.ParseInt(top, 10, 64)
	low := s.AddView(sim.View, "Rack 12", id, unset)
	var got []string
	_, err := s.collection(t, s.settings(), "views").Scan(t.Context(), connectors.Query{Paths: []string{"parent"}}, func(r record.Record) error {
		got = append(got, r.Key+" under "+r.Values[0].Text())
		return nil
	})
	slices.Sort(got)
	if d := cmp.Diff([]string{top + " under -1", low + " under " + top}, got); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestThreePropertiesOfAnElement(t *testing.T) {
	three := record.Fields{"Ticket ID": record.OfText("T-1"), "Incident Number": record.OfText("INC1"), "Incident Status": record.OfText("New")}
	paths := []string{"Incident Number", "Incident Status", "Ticket ID"}
	t.Run("they are written once, and what is there already is not written", func(t *testing.T) {
		s := newSystem(t)
		key := s.AddObject(sim.Element, "Encoder 7", map[string]string{"Ticket ID": "T-1", "Incident Number": "", "Incident Status": ""})
		u := s.collection(t, s.settings(), "elements").(connectors.Updater)
		for range 2 {
			if _, err := u.Update(t.Context(), paths, key, "", three); err != nil {
				t.Fatal(err)
			}
		}
		o, _ := s.Object(sim.Element, key)
		if d := cmp.Diff(plain(three), o.Properties); d != "" || s.Writes() != 2 {
			t.Errorf("%d writes, want the two that differ (-want +got):\n%s", s.Writes(), d)
		}
	})
	t.Run("one that does not exist is named before anything is written", func(t *testing.T) {
		s := newSystem(t)
		key := s.AddObject(sim.Element, "Encoder 7", map[string]string{"Ticket ID": "", "Incident status": ""})
		c := s.collection(t, s.settings(), "elements")
		err := c.(connectors.Requirer).Require(t.Context(), append(paths, "id", "name"))
		e, ok := errors.AsType[*connectors.Error](err)
		if !ok || !errors.Is(err, connectors.ErrConfig) || cmp.Diff(paths[:2], e.Fields) != "" || !strings.Contains(e.Hint, "Cube") || !strings.Contains(e.Hint, `"Incident status"`) {
			t.Errorf("%v; %s", err, connectors.Hint(err))
		}
		if _, err := c.(connectors.Updater).Update(t.Context(), paths, key, "", three); !errors.Is(err, connectors.ErrRefused) || s.Writes() != 0 {
			t.Errorf("%d writes, %v", s.Writes(), err)
		}
	})
	t.Run("one that is refused leaves the others written and shows what it is", func(t *testing.T) {
		s := newSystem(t)
		key := s.AddObject(sim.Element, "Encoder 7", unset)
		s.Format(sim.Element, "Incident Number", digits)
		r, err := s.collection(t, s.settings(), "elements").(connectors.Updater).Update(t.Context(), paths, key, "", three)
		if d := cmp.Diff("[null \"New\" \"T-1\"]", strings.ReplaceAll(stringOf(r.Values), "  ", " ")); err != nil || d != "" {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
	})
	t.Run("what the system sets is not written", func(t *testing.T) {
		s := newSystem(t)
		key := s.AddObject(sim.Element, "Encoder 7", unset)
		for _, path := range []string{"id", "name", "severity"} {
			_, err := s.collection(t, s.settings(), "elements").(connectors.Updater).Update(t.Context(), paths, key, "", record.Fields{path: record.OfText("x")})
			if !errors.Is(err, connectors.ErrRefused) || s.Writes() != 0 {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
}

func stringOf(vs []record.Value) string {
	var parts []string
	for _, v := range vs {
		parts = append(parts, v.String())
	}
	return "[" + strings.Join(parts, " ") + "]"
}

func TestCheckShowsWhatThereIs(t *testing.T) {
	s := newSystem(t)
	s.AddObject(sim.Element, "Encoder 7", unset)
	found, err := s.open(t, s.settings()).(connectors.Checker).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		if !f.OK {
			t.Errorf("%+v", f)
		}
		got = append(got, f.What+": "+f.Detail)
	}
	want := []string{"log-in: accepted as svc-fieldsync (fieldsync), DataMiner 10.5.12", "clock: 0s from this machine's", "elements: 1 seen", "properties: Incident Number, Incident Status, Ticket ID"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
