package servicenow_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

func sameSecondAndLate(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 30, nil) // all in one second
	in.turn(t, "late-commit=30s")
	if err := in.Update("incident", keys[3], "beth.anglin", map[string]string{"short_description": "late"}); err != nil {
		t.Fatal(err)
	}
	created := in.Insert("incident", nil)
	in.clock.Pass(10 * time.Second)
	s := admin(in.url)
	s.PageSize = 7
	tb := collection(t, s, "incident")
	first, w := scanned(t, tb, connectors.Query{})
	if !slices.Equal(first, keys) {
		t.Errorf("the first scan has %d records, want 30", len(first))
	}
	in.clock.Pass(25 * time.Second)
	got := rows(t, tb, connectors.Query{Since: w.Next})
	if r := got[keys[3]]; r.Values == nil || r.Values[0].Text() != "late" || !r.Modified.Equal(noon) {
		t.Errorf("the late edit comes as %+v, want it with the stamp of noon", r)
	}
	if _, ok := got[created]; !ok {
		t.Error("the late create is missing")
	}
}

func unknownField(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 3, nil)[0]
	tb := in.as(t, "integration")
	sameValues(t, "in a body", put(t, tb, key, map[string]string{"u_none": "x", "description": "y"}, "u_none", "description").Values, values(record.UnknownValue, "y"))
	r, _ := read(t, tb, key, "u_none")
	sameValues(t, "in a list", r.Values, values(record.UnknownValue))
	for _, mode := range []string{"all-rows", "no-rows"} {
		in.turn(t, "invalid-query="+mode)
		_, err := in.as(t, "integration").Scan(t.Context(), connectors.Query{Paths: []string{"state"}, Native: "u_none=x"}, func(record.Record) error { return nil })
		wants(t, "in a query, "+mode, err, connectors.ErrConfig, "no such field")
		err = in.as(t, "integration").Find(t.Context(), []string{"u_none"}, "u_none", values("x"), func(record.Record) error { return nil })
		wants(t, "in a search, "+mode, err, connectors.ErrConfig, "no such field")
	}
	err := tb.Require(t.Context(), []string{"state", "u_none"})
	wants(t, "where rules write it", err, connectors.ErrConfig, "no such field")
}

// resend passes requests on with another parameter.
func resend(name, value string) func(http.Handler, http.ResponseWriter, *http.Request) {
	return func(h http.Handler, w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		q.Set(name, value)
		r.URL.RawQuery = q.Encode()
		h.ServeHTTP(w, r)
	}
}

func referenceShapes(t *testing.T) {
	in := newInstance(t, sim.Options{})
	beth := in.Find("sys_user", "user_name", "beth.anglin")[0]["sys_id"]
	set, empty := in.Insert("incident", map[string]string{"caller_id": beth}), in.Insert("incident", nil)
	for name, url := range map[string]string{
		"text": in.url, "objects": between(t, in, resend("sysparm_exclude_reference_link", "false")), "pairs": between(t, in, resend("sysparm_display_value", "all")),
	} {
		got := rows(t, collection(t, admin(url), "incident"), connectors.Query{Paths: []string{"caller_id", "caller_id.email", "sys_domain"}})
		sameValues(t, name+", set", got[set].Values, values(beth, "beth.anglin@example.com", "global"))
		sameValues(t, name+", empty", got[empty].Values, values(nil, nil, "global"))
	}
}

func hiddenField(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := in.Insert("incident", map[string]string{"description": "secret"})
	in.turn(t, "hide-field=incident.description")
	tb := in.as(t, "integration")
	r, _ := read(t, tb, key, "description", "close_notes")
	sameValues(t, "hidden and empty", r.Values, values(record.UnknownValue, nil))
	sameValues(t, "in the answer of a write", put(t, tb, key, map[string]string{"urgency": "1"}, "description").Values, values(record.UnknownValue))
	err := tb.Require(t.Context(), []string{"description"})
	wants(t, "where rules write it", err, connectors.ErrConfig, "may not read it")
	r, _ = read(t, in.as(t, "admin"), key, "description")
	sameValues(t, "for an administrator", r.Values, values("secret"))
}

func userZone(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn(t, "zone=America/Los_Angeles", "language=de")
	key := add(in, 1, nil)[0]
	tb := in.as(t, "integration")
	r := put(t, tb, key, map[string]string{"due_date": "2026-07-05 10:46:48"}, "due_date", "opened_at")
	sameValues(t, "times", r.Values, values("2026-07-05 10:46:48", "2026-03-01 12:00:00"))
	if !r.Modified.Equal(noon) {
		t.Errorf("modified %v, want %v", r.Modified, noon)
	}
	in.turn(t, "date-format=dd.MM.yyyy")
	r, _ = read(t, tb, key, "due_date", "opened_at")
	sameValues(t, "in another format", r.Values, values("2026-07-05 10:46:48", "2026-03-01 12:00:00"))
	findings, err := open(t, login(in.url, "integration")).(connectors.Checker).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(findings, func(f connectors.Finding) bool { return f.What == "time zone" && !f.OK && f.Hint != "" }) {
		t.Errorf("no finding about the time zone: %+v", findings)
	}
}

func errorInside(t *testing.T) {
	for _, kind := range []string{"cut-valid", "cut-broken"} {
		in := newInstance(t, sim.Options{})
		keys := add(in, 200, nil)
		s := admin(in.url)
		s.PageSize = 80
		tb := collection(t, s, "incident")
		in.fault(t, kind+":GET incident:n=2")
		if got, w := scanned(t, tb, connectors.Query{}); !slices.Equal(got, keys) || w.Next == "" {
			t.Errorf("%s of one page: %d records, want each of 200 once", kind, len(got))
		}
		in.fault(t, kind+":GET incident")
		w, err := tb.Scan(t.Context(), connectors.Query{Paths: []string{"state"}}, func(record.Record) error { return nil })
		if wants(t, kind+" of all pages", err, connectors.ErrProtocol, ""); w.Next != "" {
			t.Errorf("%s: a scan that failed has a window that ends at %s", kind, w.Next)
		}
		err = tb.Read(t.Context(), []string{"state"}, keys, func(record.Record) error { return nil })
		wants(t, kind+" of a read", err, connectors.ErrProtocol, "")
		err = tb.Find(t.Context(), []string{"number"}, "number", values("INC0010001"), func(record.Record) error { return nil })
		wants(t, kind+" of a search", err, connectors.ErrProtocol, "")
		in.fault(t, kind+":PATCH")
		_, err = tb.Update(t.Context(), []string{"state"}, keys[0], "", texts(map[string]string{"state": "2"}))
		wants(t, kind+" of a write", err, connectors.ErrOutcome, "")
	}
}

func shortPage(t *testing.T) {
	in := newInstance(t, sim.Options{})
	add(in, 40, map[string]string{"category": "network"})
	want := add(in, 5, map[string]string{"category": "software"})
	in.turn(t, "hide-rows=incident?category=network")
	s := login(in.url, "integration")
	s.PageSize = 3
	tb := collection(t, s, "incident")
	if got, _ := scanned(t, tb, connectors.Query{}); !slices.Equal(got, want) {
		t.Errorf("scanned %v, want %v", got, want)
	}
	if got, _ := scanned(t, tb, connectors.Query{Native: "short_descriptionLIKEline"}); !slices.Equal(got, want) {
		t.Errorf("scanned %v, want %v", got, want)
	}
}

func defaultLimit(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn(t, "default-limit=2")
	keys := add(in, 25, map[string]string{"correlation_id": "same"})
	tb := collection(t, admin(in.url), "incident")
	sameKeys(t, "scan", rows(t, tb, connectors.Query{}), keys...)
	if got := found(t, tb, "correlation_id", "same"); !slices.Equal(got, keys) {
		t.Errorf("found %d, want 25", len(got))
	}
	n := 0
	if err := tb.Read(t.Context(), []string{"state"}, keys, func(record.Record) error { n++; return nil }); err != nil || n != 25 {
		t.Errorf("read %d, %v; want 25", n, err)
	}
	s, err := tb.Describe(t.Context())
	if err != nil || len(s.Fields) < 60 {
		t.Errorf("described %v, %v", s, err)
	}
	for _, r := range in.Journal() {
		if r.Method == http.MethodGet && !strings.Contains(r.Query, "sysparm_limit=") {
			t.Errorf("a list without a limit: %s?%s", r.Path, r.Query)
		}
	}
}

func unstableOrder(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn(t, "tie-order=random")
	keys := add(in, 50, map[string]string{"category": "network"})
	edited := 0
	s := admin(between(t, in, func(h http.Handler, w http.ResponseWriter, r *http.Request) {
		// People work while the table is paged.
		if edited < 10 {
			_ = in.Update("incident", keys[edited*5], "beth.anglin", map[string]string{"urgency": "1"})
			edited++
		}
		h.ServeHTTP(w, r)
	}))
	s.PageSize = 6
	got, _ := scanned(t, collection(t, s, "incident"), connectors.Query{Native: "category=network^ORDERBYsys_updated_on"})
	if !slices.Equal(got, keys) {
		t.Errorf("scanned %d records, want each of 50 once", len(got))
	}
}

func deniedLooksEmpty(t *testing.T) {
	in := newInstance(t, sim.Options{})
	add(in, 3, nil)
	sameKeys(t, "without a role", rows(t, in.as(t, "noroles"), connectors.Query{}))
	findings, err := open(t, login(in.url, "noroles")).(connectors.Checker).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(findings, func(f connectors.Finding) bool {
		return f.What == "read incident" && !f.OK && strings.Contains(f.Detail, "counts 3") && strings.Contains(f.Hint, "itil")
	}) {
		t.Errorf("no finding tells an empty table from one that may not be read: %+v", findings)
	}
}

func scriptedTimes(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn(t, "zone=America/Los_Angeles")
	old := add(in, 3, nil)
	in.clock.Pass(time.Hour)
	tb := in.as(t, "integration")
	_, w := scanned(t, tb, connectors.Query{})
	in.clock.Pass(time.Minute)
	if err := in.Update("incident", old[0], "beth.anglin", map[string]string{"urgency": "1"}); err != nil {
		t.Fatal(err)
	}
	sameKeys(t, "since the last scan", rows(t, tb, connectors.Query{Since: w.Next}), old[0])
	for _, r := range in.Journal() {
		if strings.Contains(r.Query, "javascript") {
			t.Errorf("a scripted time was sent: %s", r.Query)
		}
	}
}

func queriedValues(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := map[string]string{}
	for _, v := range []string{"a^b", "a,b", "a@b", "a\nb", "a", "b", "x^NQactive=true", "javascript:gs.getUserID()", "ü & 1=1", "50%", "a+b", "A"} {
		keys[v] = in.Insert("incident", map[string]string{"correlation_id": v})
	}
	tb := in.as(t, "integration")
	var all, want []string
	for v, key := range keys {
		if got := found(t, tb, "correlation_id", v); !slices.Equal(got, []string{key}) {
			t.Errorf("%q finds %v, want %s", v, got, key)
		}
		all, want = append(all, v), append(want, key)
	}
	slices.Sort(want)
	if got := found(t, tb, "correlation_id", all...); !slices.Equal(got, want) {
		t.Errorf("all together find %d, want %d", len(got), len(want))
	}
	err := tb.Find(t.Context(), []string{"correlation_id"}, "correlation_id", values("^"), func(record.Record) error { return nil })
	wants(t, "a caret alone", err, connectors.ErrConfig, "letters or digits")
}

func longAddresses(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 600, nil)
	tb := in.as(t, "integration")
	n := 0
	if err := tb.Read(t.Context(), []string{"state"}, keys, func(record.Record) error { n++; return nil }); err != nil || n != 600 {
		t.Errorf("read %d, %v; want 600", n, err)
	}
	in.turn(t, "max-url=1000") // a proxy that takes less
	err := tb.Read(t.Context(), []string{"state"}, keys, func(record.Record) error { return nil })
	wants(t, "a proxy that takes less", err, connectors.ErrConfig, "shorten")
}

func queryRules(t *testing.T) {
	in := newInstance(t, sim.Options{})
	add(in, 3, map[string]string{"category": "network"})
	in.turn(t, "deny-query=incident.category")
	tb := in.as(t, "integration")
	_, err := tb.Scan(t.Context(), connectors.Query{Paths: []string{"category"}, Native: "active=true^category=network"}, func(record.Record) error { return nil })
	if e := wants(t, "filter", err, connectors.ErrDenied, "active, category"); !slices.Equal(e.Fields, []string{"active", "category"}) {
		t.Errorf("fields %v", e.Fields)
	}
	err = tb.Find(t.Context(), []string{"category"}, "category", values("network"), func(record.Record) error { return nil })
	wants(t, "search", err, connectors.ErrDenied, "category")
	if got := rows(t, tb, connectors.Query{Native: "active=true^ORDERBYcategory"}); len(got) != 3 {
		t.Errorf("a copied order is not sent, and still %d records came", len(got))
	}
	in.turn(t, "deny-query=incident.sys_id")
	_, err = tb.Scan(t.Context(), connectors.Query{Paths: []string{"category"}}, func(record.Record) error { return nil })
	wants(t, "the order that pages need", err, connectors.ErrDenied, "")
}

func ambiguousUsers(t *testing.T) {
	in := newInstance(t, sim.Options{})
	var want []string
	for _, active := range []string{"true", "false", "true"} {
		want = append(want, in.Insert("sys_user", map[string]string{"name": "Sam Sosa", "email": "sam@example.com", "active": active}))
	}
	slices.Sort(want)
	tb := collection(t, login(in.url, "integration"), "sys_user")
	var got, enabled []string
	if err := tb.Find(t.Context(), []string{"email", "active"}, "email", values("sam@example.com"), func(r record.Record) error {
		if got = append(got, strings.Clone(r.Key)); r.Values[1].Text() == "true" {
			enabled = append(enabled, r.Key)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(got); !slices.Equal(got, want) || len(enabled) != 2 {
		t.Errorf("found %v, %d of them enabled; want all of %v, two of them enabled", got, len(enabled), want)
	}
}

func rowsWithoutKey(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 3, nil)
	tb := collection(t, admin(between(t, in, func(h http.Handler, w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		w.Write(bytes.ReplaceAll(rec.Body.Bytes(), []byte(`"sys_id":"`+keys[1]+`"`), []byte(`"sys_idx":""`)))
	})), "incident")
	_, err := tb.Scan(t.Context(), connectors.Query{Paths: []string{"state"}}, func(record.Record) error { return nil })
	wants(t, "scan", err, connectors.ErrProtocol, "")
	err = tb.Read(t.Context(), []string{"state"}, keys, func(record.Record) error { return nil })
	wants(t, "read", err, connectors.ErrProtocol, "")
}

func pairs(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn(t, "language=de", "zone=Asia/Tokyo")
	key := in.Insert("incident", map[string]string{"short_description": "x"})
	in.Rewrite("incident", key, map[string]string{"reassignment_count": "1234567", "upon_reject": ""})
	paths := []string{"sys_id", "number", "state", "reassignment_count", "upon_reject", "sla_due", "opened_at", "active"}
	want, _ := read(t, in.as(t, "admin"), key, paths...)
	got, ok := read(t, collection(t, admin(between(t, in, resend("sysparm_display_value", "all"))), "incident"), key, paths...)
	if !ok || got.Version != want.Version || got.Label != want.Label || !got.Modified.Equal(want.Modified) {
		t.Errorf("as pairs %+v, raw %+v", got, want)
	}
	sameValues(t, "as pairs", got.Values, want.Values)
	sameValues(t, "raw", want.Values[2:], values("1", "1234567", nil, nil, "2026-03-01 12:00:00", "true"))
	// With display values alone there is nothing to go by, and nothing is made up.
	shown, err := json.Marshal(map[string]any{"result": []any{map[string]any{"sys_id": key, "caller_id": map[string]string{"display_value": "Beth", "link": "https://x"}}}})
	if err != nil {
		t.Fatal(err)
	}
	s := server(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Total-Count", "1"); w.Write(shown) })
	r := rows(t, collection(t, s, "incident"), connectors.Query{Paths: []string{"caller_id"}})[key]
	sameValues(t, "display values alone", r.Values, values(record.UnknownValue))
}

func deletes(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 4, nil)
	tb := in.as(t, "integration")
	in.clock.Pass(time.Hour)
	_, w := scanned(t, tb, connectors.Query{})
	in.clock.Pass(time.Hour)
	in.Delete("incident", keys[0])
	in.Rewrite("incident", keys[1], map[string]string{"category": "network"})
	in.turn(t, "hide-rows=incident?category=network")
	sameKeys(t, "since the last scan", rows(t, tb, connectors.Query{Since: w.Next}))
	sameKeys(t, "everything", rows(t, tb, connectors.Query{}), keys[2], keys[3])
	for what, key := range map[string]string{"deleted": keys[0], "hidden": keys[1]} {
		if _, ok := read(t, tb, key, "state"); ok {
			t.Errorf("%s, and read", what)
		}
		_, err := tb.Update(t.Context(), []string{"state"}, key, "", texts(map[string]string{"urgency": "1"}))
		wants(t, "writing what is "+what, err, connectors.ErrNotFound, "deleted, or this user may not see it")
	}
	if err := in.as(t, "admin").Delete(t.Context(), keys[0], ""); err != nil {
		t.Errorf("deleting again: %v", err)
	}
}

func silentUpdates(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 2, nil)
	tb := in.as(t, "integration")
	in.clock.Pass(time.Hour)
	before := rows(t, tb, connectors.Query{})
	_, w := scanned(t, tb, connectors.Query{})
	in.Rewrite("incident", keys[0], map[string]string{"short_description": "changed by a script"})
	sameKeys(t, "since the last scan", rows(t, tb, connectors.Query{Since: w.Next}))
	got := rows(t, tb, connectors.Query{})[keys[0]]
	if got.Version != before[keys[0]].Version || got.Values[0].Text() != "changed by a script" {
		t.Errorf("a scan of everything shows %+v, want the new value under the old version", got)
	}
}

func versionOne(t *testing.T) {
	in := newInstance(t, sim.Options{})
	for name, url := range map[string]string{"in the address": in.url + "/api/now/v1/table/incident", "as the instance's own": in.url} {
		if name != "in the address" {
			in.turn(t, "api=v1")
		}
		tb := collection(t, admin(url), "incident") // though it is empty
		sameKeys(t, name, rows(t, tb, connectors.Query{}))
		if got := found(t, tb, "correlation_id", "none"); len(got) != 0 {
			t.Errorf("%s: found %v", name, got)
		}
		if _, ok := read(t, tb, strings.Repeat("0", 32), "state"); ok {
			t.Errorf("%s: read what is not there", name)
		}
	}
	key := add(in, 1, nil)[0]
	sameKeys(t, "with a record", rows(t, in.as(t, "admin"), connectors.Query{}), key)
}

func collidingStates(t *testing.T) {
	in := newInstance(t, sim.Options{})
	incident, problem := in.Insert("incident", map[string]string{"state": "3"}), in.Insert("problem", map[string]string{"state": "3"})
	got := rows(t, collection(t, admin(in.url), "task"), connectors.Query{Paths: []string{"sys_class_name", "state"}})
	sameValues(t, "incident", got[incident].Values, values("incident", "3"))
	sameValues(t, "problem", got[problem].Values, values("problem", "3"))
	for table, want := range map[string]string{"incident": "On Hold", "problem": "Closed Complete", "task": "Closed Complete"} {
		s, err := collection(t, admin(in.url), table).Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f, _ := s.Field("state")
		if !slices.ContainsFunc(f.Choices, func(c connectors.Choice) bool { return c.Value == record.OfText("3") && c.Label == want }) {
			t.Errorf("the states of %s are %v, want 3 to be %s", table, f.Choices, want)
		}
	}
}

func hiddenJournal(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	in.turn(t, "journals=hidden")
	tb := in.as(t, "integration")
	sameValues(t, "writing needs no reading", put(t, tb, key, map[string]string{"comments": "x"}, "comments").Values, values(nil))
	if n := len(in.Find("sys_journal_field", "element_id", key)); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	journal := collection(t, login(in.url, "integration"), "sys_journal_field")
	sameKeys(t, "hidden", rows(t, journal, connectors.Query{Paths: []string{"value"}}))
	in.turn(t, "journals=denied")
	_, err := journal.Scan(t.Context(), connectors.Query{Paths: []string{"value"}}, func(record.Record) error { return nil })
	wants(t, "denied", err, connectors.ErrDenied, "sys_journal_field")
	in.turn(t, "journals=shown")
	if got := rows(t, journal, connectors.Query{Paths: []string{"value"}}); len(got) != 1 {
		t.Errorf("shown: %d entries", len(got))
	}
}

func slashes(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	behind := httptest.NewServer(http.StripPrefix("/it/snow", in.Server))
	t.Cleanup(behind.Close)
	for _, url := range []string{in.url + "/", in.url + "//", in.url + "//api//now/table//incident/", behind.URL + "/it/snow", behind.URL + "/it//snow//", behind.URL + "/it/snow/api/now/v2"} {
		tb := collection(t, admin(url), "incident")
		sameKeys(t, url, rows(t, tb, connectors.Query{}), key)
		put(t, tb, key, map[string]string{"urgency": "2"})
	}
	for _, r := range in.Journal() {
		if strings.Contains(r.Path, "//") || r.Status > 299 {
			t.Errorf("%s %s was answered %d", r.Method, r.Path, r.Status)
		}
	}
}

func domains(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 2, map[string]string{"correlation_id": "same"})
	in.Rewrite("incident", keys[0], map[string]string{"sys_domain": strings.Repeat("d", 32)})
	in.turn(t, "hide-rows=incident?sys_domain!=global")
	tb := in.as(t, "integration")
	sameKeys(t, "own domain", rows(t, tb, connectors.Query{}), keys[1])
	if got := found(t, tb, "correlation_id", "same"); !slices.Equal(got, keys[1:]) {
		t.Errorf("found %v", got)
	}
	_, err := tb.Update(t.Context(), []string{"state"}, keys[0], "", texts(map[string]string{"urgency": "1"}))
	if !errors.Is(err, connectors.ErrNotFound) {
		t.Errorf("a record of another domain: %v", err)
	}
}
