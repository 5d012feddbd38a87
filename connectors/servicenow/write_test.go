package servicenow_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestTheAnswerOfAWriteIsWhatTheInstanceMadeOfIt(t *testing.T) {
	in := newInstance(t, sim.Options{})
	tb := collection(t, login(in.url, "integration"), "incident")
	beth := in.Find("sys_user", "user_name", "beth.anglin")[0]["sys_id"]
	paths := []string{"short_description", "priority", "opened_at", "caller_id", "active", "comments", "u_nothing"}
	r, err := tb.Create(t.Context(), paths, record.Fields{
		"short_description": record.OfText("router down"), "impact": record.OfInt(1), "urgency": record.OfText("1"), "caller_id": record.OfText(beth),
		"knowledge": record.OfBool(true), "due_date": record.OfTime(time.Date(2026, 3, 2, 9, 30, 15, 5e8, time.FixedZone("", 7200))), "comments": record.OfText("first"),
		"watch_list": record.OfList([]record.Value{record.OfText(beth), record.OfText("x@example.com")}), "correlation_id": record.OfText("T-1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []record.Value{record.OfText("router down"), record.OfText("1"), record.OfText("2026-03-01 12:00:00"), record.OfText(beth), record.OfText("true"), record.NullValue, record.UnknownValue}
	if !slices.Equal(want, r.Values) || !strings.HasPrefix(r.Label, "INC") || r.Version == "" || r.Author != "integration" {
		t.Errorf("created %+v, want values %v", r, want)
	}
	stored := in.Get("incident", r.Key)
	for f, v := range map[string]string{"impact": "1", "knowledge": "true", "due_date": "2026-03-02 07:30:15", "watch_list": beth + ",x@example.com", "correlation_id": "T-1"} {
		if stored[f] != v {
			t.Errorf("%s is stored as %q, want %q", f, stored[f], v)
		}
	}
	journal := in.Journal()
	last := journal[len(journal)-1]
	for _, p := range []string{"sysparm_input_display_value=false", "sysparm_display_value=false", "sysparm_fields=sys_id,"} {
		if !strings.Contains(last.Query, p) {
			t.Errorf("%s was sent with %s, without %s", last.Method, last.Query, p)
		}
	}
	r2, err := tb.Update(t.Context(), paths, r.Key, "never looked at", record.Fields{"urgency": record.OfText("3"), "caller_id": record.NullValue})
	if err != nil {
		t.Fatal(err)
	}
	if r2.Values[1] != record.OfText("3") || !r2.Values[3].Empty() || r2.Version == r.Version {
		t.Errorf("updated %+v", r2)
	}
	journal = in.Journal()
	if last = journal[len(journal)-1]; last.Method != http.MethodPatch || last.Body != `{"caller_id":"","urgency":"3"}` {
		t.Errorf("sent %s %s, want only the changed fields", last.Method, last.Body)
	}
}

func TestTheDataPolicyNamesItsFields(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	tb := collection(t, login(in.url, "integration"), "incident")
	_, err := tb.Update(t.Context(), []string{"state"}, key, "", record.Fields{"state": record.OfText("6")})
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok || !errors.Is(err, connectors.ErrRefused) || len(e.Fields) == 0 || e.Hint == "" {
		t.Fatalf("the error is %v, want ErrRefused with the fields that are missing", err)
	}
	if got := in.Get("incident", key)["state"]; got != "1" {
		t.Errorf("the state is %s", got)
	}
}

func TestWhoMayNotWriteIsToldTheRole(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	tb := collection(t, login(in.url, "noroles"), "incident")
	if err := create(t.Context(), tb); !errors.Is(err, connectors.ErrDenied) || !strings.Contains(connectors.Hint(err), "itil") {
		t.Errorf("create: the error is %v with hint %q", err, connectors.Hint(err))
	}
	if err := tb.Delete(t.Context(), key, ""); !errors.Is(err, connectors.ErrDenied) {
		t.Errorf("delete: the error is %v", err)
	}
}

func TestWhatCannotBeWrittenIsNotSent(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	tb := collection(t, admin(in.url), "incident")
	object, err := record.Of(map[string]any{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	before := in.Requests()
	for name, f := range map[string]record.Fields{
		"an unknown value":         {"state": record.UnknownValue},
		"an absent value":          {"state": {}},
		"an object":                {"state": object},
		"a field behind reference": {"caller_id.email": record.OfText("x")},
		"a field that is a query":  {"state&sysparm_fields": record.OfText("x")},
	} {
		if _, err := tb.Update(t.Context(), []string{"state"}, key, "", f); !errors.Is(err, connectors.ErrConfig) {
			t.Errorf("%s: the error is %v, want ErrConfig", name, err)
		}
	}
	for _, bad := range []string{"", "..", "a/b", "x?y=z", "a b^c"} {
		if _, err := tb.Update(t.Context(), []string{"state"}, bad, "", record.Fields{"state": record.OfText("2")}); !errors.Is(err, connectors.ErrNotFound) {
			t.Errorf("key %q: the error is %v, want ErrNotFound", bad, err)
		}
	}
	if _, err := tb.Scan(t.Context(), connectors.Query{Paths: []string{"state,sys_id"}}, func(record.Record) error { return nil }); !errors.Is(err, connectors.ErrConfig) {
		t.Errorf("scan: the error is %v, want ErrConfig", err)
	}
	if n := in.Requests() - before; n != 0 {
		t.Errorf("%d requests were sent, want none", n)
	}
}

func TestLongAddressesAreCutIntoSeveral(t *testing.T) {
	in := newInstance(t, sim.Options{})
	var values []record.Value
	var want []string
	for i := range 120 {
		v := strings.Repeat("ü", 80) + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		want = append(want, in.Insert("incident", map[string]string{"correlation_id": v}))
		values = append(values, record.OfText(v))
	}
	slices.Sort(want)
	tb := collection(t, admin(in.url), "incident")
	var got []string
	before := len(in.Journal())
	err := tb.Find(t.Context(), []string{"correlation_id"}, "correlation_id", values, func(r record.Record) error {
		got = append(got, strings.Clone(r.Key))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("keys (-want +got):\n%s", d)
	}
	for _, r := range in.Journal()[before:] {
		if n := len(in.url + r.Path + "?" + r.Query); n > 8192 {
			t.Errorf("an address has %d bytes", n)
		}
	}
	_, err = tb.Scan(t.Context(), connectors.Query{Paths: []string{"state"}, Native: "short_descriptionLIKE" + strings.Repeat("x", 9000)}, func(record.Record) error { return nil })
	if !errors.Is(err, connectors.ErrConfig) {
		t.Errorf("a query of 9,000 characters: the error is %v, want ErrConfig", err)
	}
}
