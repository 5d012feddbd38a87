package servicenow_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

func serverRewrites(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	tb := in.as(t, "integration")
	paths := []string{"priority", "state", "incident_state", "resolved_at", "active", "short_description"}
	r := put(t, tb, key, map[string]string{"impact": "1", "urgency": "1", "priority": "5", "state": "6", "close_code": "User error", "close_notes": "x",
		"short_description": strings.Repeat("x", 200)}, paths...)
	sameValues(t, "the answer", r.Values, values("1", "6", "6", "2026-03-01 12:00:00", "true", strings.Repeat("x", 160)))
	again, _ := read(t, tb, key, paths...)
	sameValues(t, "read again", again.Values, r.Values)
	if again.Version != r.Version {
		t.Errorf("version %s, then %s", r.Version, again.Version)
	}
	in.turn(t, "priority=off")
	r = put(t, tb, key, map[string]string{"impact": "3"}, "priority")
	sameValues(t, "without the look-up", r.Values, values("1"))
}

func echo(t *testing.T) {
	in := newInstance(t, sim.Options{})
	parent := in.Insert("incident", nil)
	child := in.Insert("incident", map[string]string{"parent_incident": parent})
	tb := in.as(t, "integration")
	before := rows(t, tb, connectors.Query{})
	ours := put(t, tb, parent, map[string]string{"state": "2"}, "state")
	after := rows(t, tb, connectors.Query{})
	if got := after[parent]; got.Version != ours.Version || got.Author != "integration" {
		t.Errorf("our own write comes back as %+v, want version %s", got, ours.Version)
	}
	// A rule that our write set off works under our name: only the version tells that it is news.
	if got := after[child]; got.Version == before[child].Version || got.Author != "integration" {
		t.Errorf("what a rule made of it comes back as %+v, before it was version %s", got, before[child].Version)
	}
	if err := in.Update("incident", parent, "beth.anglin", map[string]string{"urgency": "1"}); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, tb, connectors.Query{})[parent]; got.Version == ours.Version || got.Author != "beth.anglin" {
		t.Errorf("an edit on top of ours comes back as %+v", got)
	}
}

func dataPolicy(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	tb := in.as(t, "integration")
	_, err := tb.Update(t.Context(), []string{"state"}, key, "", texts(map[string]string{"state": "6"}))
	if e := wants(t, "without the close fields", err, connectors.ErrRefused, "data policy"); strings.Join(e.Fields, "|") != "Resolution code|Resolution notes" {
		t.Errorf("fields %v", e.Fields)
	}
	sameValues(t, "with them", put(t, tb, key, map[string]string{"state": "6", "close_code": "User error", "close_notes": "x"}, "state").Values, values("6"))
	in.turn(t, "data-policy=off")
	other := add(in, 1, nil)[0]
	sameValues(t, "without a policy", put(t, tb, other, map[string]string{"state": "6"}, "state").Values, values("6"))
}

func releaseChoices(t *testing.T) {
	for release, code := range map[string]string{"old": "Solved (Permanently)", "new": "Solution provided"} {
		in := newInstance(t, sim.Options{})
		in.turn(t, "choices="+release)
		tb := in.as(t, "integration")
		for _, c := range []string{"Solved (Permanently)", "Solution provided"} {
			key := add(in, 1, nil)[0]
			_, err := tb.Update(t.Context(), []string{"close_code"}, key, "", texts(map[string]string{"state": "6", "close_code": c, "close_notes": "x"}))
			if c == code && err != nil {
				t.Errorf("%s release, %s: %v", release, c, err)
			}
			if c != code {
				wants(t, release+" release, "+c, err, connectors.ErrRefused, "data policy")
			}
		}
		s, err := collection(t, admin(in.url), "incident").Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f, _ := s.Field("close_code")
		has := false
		for _, c := range f.Choices {
			has = has || c.Value == record.OfText(code)
		}
		if !has {
			t.Errorf("%s release: the choices are %v, without %s", release, f.Choices, code)
		}
	}
}

func lostCreate(t *testing.T) {
	for _, c := range []struct {
		fault string
		kept  int
	}{
		{"500-after", 1}, {"504-after", 1}, {"reset-after", 1}, {"slow-after", 1}, {"cut-valid", 1}, {"cut-broken", 1},
		{"500-before", 0}, {"502", 0}, {"503", 0}, {"504", 0}, {"reset-before", 0}, {"slow-before", 0}, {"202", 0},
	} {
		t.Run(c.fault, func(t *testing.T) {
			in := newInstance(t, sim.Options{})
			tb := in.as(t, "integration")
			in.fault(t, c.fault+":POST incident:n=1")
			ctx := t.Context()
			if strings.HasPrefix(c.fault, "slow") {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 500*time.Millisecond)
				defer cancel()
			}
			_, err := tb.Create(ctx, []string{"state"}, texts(map[string]string{"correlation_id": "T-1"}))
			wants(t, "create", err, connectors.ErrOutcome, "")
			if n := len(found(t, tb, "correlation_id", "T-1")); n != c.kept {
				t.Errorf("%d records have the marker, want %d", n, c.kept)
			}
			posts := 0
			for _, r := range in.Journal() {
				if r.Method == http.MethodPost {
					posts++
				}
			}
			if posts != 1 {
				t.Errorf("%d creates were sent, want 1", posts)
			}
		})
	}
}

func appendOnly(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	tb := collection(t, admin(in.url), "incident")
	for _, text := range []string{"one", "two", "two"} {
		sameValues(t, "a journal shows nothing", put(t, tb, key, map[string]string{"comments": text}, "comments").Values, values(nil))
	}
	if n := len(in.Find("sys_journal_field", "element_id", key)); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
	r, _ := read(t, tb, key, "comments")
	version := r.Version
	if r = put(t, tb, key, map[string]string{"comments": ""}, "comments"); r.Version != version || len(in.Find("sys_journal_field", "element_id", key)) != 3 {
		t.Errorf("clearing a journal changed it: version %s, then %s", version, r.Version)
	}
	s, err := tb.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := s.Field("comments"); !ok || !f.Append {
		t.Errorf("comments are described as %+v", f)
	}
	err = tb.Find(t.Context(), []string{"comments"}, "comments", values("one"), func(record.Record) error { return nil })
	wants(t, "searching a journal", err, connectors.ErrConfig, "correlation_id")
}

func ruleAborts(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 2, nil)
	in.turn(t, "abort=incident?short_descriptionLIKEpoison")
	tb := in.as(t, "integration")
	_, err := tb.Update(t.Context(), []string{"state"}, keys[0], "", texts(map[string]string{"short_description": "poison"}))
	wants(t, "update", err, connectors.ErrRefused, `"Not like this"`)
	_, err = tb.Create(t.Context(), []string{"state"}, texts(map[string]string{"short_description": "poison"}))
	wants(t, "create", err, connectors.ErrRefused, `"Not like this"`)
	sameValues(t, "another record", put(t, tb, keys[1], map[string]string{"short_description": "cure"}, "short_description").Values, values("cure"))
}

func closedRecord(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	put(t, in.as(t, "closer"), key, map[string]string{"state": "7", "close_code": "User error", "close_notes": "x"})
	_, err := in.as(t, "integration").Update(t.Context(), []string{"urgency"}, key, "", texts(map[string]string{"urgency": "1"}))
	wants(t, "update", err, connectors.ErrDenied, "closed")
	// Who may write gets the answer of a success, and nothing was stored.
	sameValues(t, "as administrator", put(t, in.as(t, "admin"), key, map[string]string{"urgency": "1", "description": "y"}, "urgency", "description").Values, values("3", "y"))
	in.turn(t, "state-rules=off")
	sameValues(t, "without rules", put(t, in.as(t, "integration"), key, map[string]string{"urgency": "1"}, "urgency").Values, values("1"))
}

func droppedField(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	in.turn(t, "drop-write=incident.urgency", "deny-write=incident.impact")
	tb := in.as(t, "integration")
	sameValues(t, "the answer shows what was kept", put(t, tb, key, map[string]string{"urgency": "1", "description": "y"}, "urgency", "description").Values, values("3", "y"))
	_, err := tb.Update(t.Context(), []string{"state"}, key, "", texts(map[string]string{"impact": "1"}))
	wants(t, "a field that is denied", err, connectors.ErrDenied, "sn_incident_write")
}

func lostUpdate(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	tb := in.as(t, "integration")
	if _, ok := any(tb).(connectors.Conditional); ok {
		t.Error("the table claims that its writes are conditional")
	}
	seen, _ := read(t, tb, key, "urgency")
	if err := in.Update("incident", key, "beth.anglin", map[string]string{"urgency": "1"}); err != nil {
		t.Fatal(err)
	}
	r, err := tb.Update(t.Context(), []string{"urgency"}, key, seen.Version, texts(map[string]string{"urgency": "2"}))
	if err != nil {
		t.Fatal(err)
	}
	was, _ := strconv.Atoi(seen.Version)
	is, _ := strconv.Atoi(r.Version)
	if is != was+2 {
		t.Errorf("version %s, then %s: a step of 2 is what tells that somebody wrote in between", seen.Version, r.Version)
	}
	var got []string
	err = tb.Edits(t.Context(), key, []string{"urgency"}, seen.Version, func(e connectors.Edit) error {
		got = append(got, fmt.Sprint(e.Old.Plain(), " ", e.New.Plain(), " ", e.Author, " ", e.Own))
		return nil
	})
	if want := []string{"3 1 beth.anglin false", "1 2 integration true"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("its edits are %q, %v, want %q", got, err, want)
	}
	for _, w := range []string{"audits=hidden", "audits=denied"} {
		in.turn(t, w)
		err := tb.Edits(t.Context(), key, []string{"urgency"}, seen.Version, func(connectors.Edit) error { return nil })
		wants(t, w, err, connectors.ErrDenied, "sys_audit")
	}
}

func referenceByName(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	beth := in.Find("sys_user", "user_name", "beth.anglin")[0]["sys_id"]
	tb := in.as(t, "integration")
	if _, err := tb.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Beth Anglin", "beth.anglin"} {
		_, err := tb.Update(t.Context(), []string{"caller_id"}, key, "", texts(map[string]string{"caller_id": name}))
		if e := wants(t, name, err, connectors.ErrRefused, "lookup"); strings.Join(e.Fields, "") != "caller_id" {
			t.Errorf("fields %v", e.Fields)
		}
	}
	sameValues(t, "by sys_id", put(t, tb, key, map[string]string{"caller_id": beth}, "caller_id").Values, values(beth))
	// Some rows of the platform have other keys than numbers.
	in.Insert("sys_user", map[string]string{"sys_id": "ffffffffffffffffffffffffffffffff", "user_name": "odd"})
	sameValues(t, "cleared", put(t, tb, key, map[string]string{"caller_id": ""}, "caller_id").Values, values(nil))
}

func allText(t *testing.T) {
	in := newInstance(t, sim.Options{})
	tb := in.as(t, "integration")
	r, err := tb.Create(t.Context(), []string{"urgency", "knowledge", "due_date", "sys_mod_count"}, record.Fields{
		"urgency": record.OfInt(2), "knowledge": record.OfBool(true), "due_date": record.OfTime(noon)})
	if err != nil {
		t.Fatal(err)
	}
	sameValues(t, "the answer", r.Values, values("2", "true", "2026-03-01 12:00:00", "0"))
	journal := in.Journal()
	if body := journal[len(journal)-1].Body; body != `{"due_date":"2026-03-01 12:00:00","knowledge":"true","urgency":"2"}` {
		t.Errorf("sent %s", body)
	}
}

func stableTexts(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	tb := in.as(t, "integration")
	for _, text := range []string{
		strings.Repeat("ü🚒", 100), "line 1\r\nline 2\r\n", "<p>not &amp; <b>bold</b></p>", "no\u00a0break  two spaces ", "\ttab", "a\u0301 combined", `quote " and \ slash`, "\u2028",
	} {
		first := put(t, tb, key, map[string]string{"short_description": text}, "short_description")
		second := put(t, tb, key, map[string]string{"short_description": first.Values[0].Text()}, "short_description")
		again, _ := read(t, tb, key, "short_description")
		sameValues(t, "written again", second.Values, first.Values)
		sameValues(t, "read", again.Values, first.Values)
		if first.Version != second.Version {
			t.Errorf("%q: writing what was stored is a change", text)
		}
	}
}

func clearing(t *testing.T) {
	in := newInstance(t, sim.Options{})
	beth := in.Find("sys_user", "user_name", "beth.anglin")[0]["sys_id"]
	key := in.Insert("incident", map[string]string{"short_description": "x", "caller_id": beth, "due_date": "2026-03-02 00:00:00", "category": "network", "urgency": "1", "watch_list": beth})
	paths := []string{"short_description", "caller_id", "due_date", "category", "watch_list", "urgency"}
	fields := map[string]string{}
	for _, p := range paths {
		fields[p] = ""
	}
	// A list without None keeps its value, and the answer says so.
	sameValues(t, "cleared", put(t, in.as(t, "integration"), key, fields, paths...).Values, values(nil, nil, nil, nil, nil, "1"))
}

func twinStates(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := add(in, 1, nil)[0]
	tb := in.as(t, "integration")
	sameValues(t, "the twin alone", put(t, tb, key, map[string]string{"incident_state": "2"}, "state", "incident_state").Values, values("2", "2"))
	sameValues(t, "both", put(t, tb, key, map[string]string{"state": "1", "incident_state": "3"}, "state", "incident_state").Values, values("1", "1"))
	in.turn(t, "state-rules=off")
	sameValues(t, "where they are not tied", put(t, tb, key, map[string]string{"state": "2"}, "state", "incident_state").Values, values("2", "1"))
}

func serverNumbers(t *testing.T) {
	in := newInstance(t, sim.Options{})
	tb := in.as(t, "integration")
	seen := map[string]bool{}
	for range 3 {
		r, err := tb.Create(t.Context(), []string{"number"}, texts(map[string]string{"short_description": "x"}))
		if err != nil {
			t.Fatal(err)
		}
		n := r.Values[0].Text()
		if !strings.HasPrefix(n, "INC") || r.Label != n || seen[n] || in.Get("incident", r.Key)["number"] != n {
			t.Errorf("number %q, label %q", n, r.Label)
		}
		seen[n] = true
	}
}

func otherLanguage(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn(t, "language=de", "deny-query=incident.category", "max-body=300")
	keys := add(in, 30, nil)
	tb := in.as(t, "integration")
	update := func(user, key string, fields map[string]string) error {
		_, err := in.as(t, user).Update(t.Context(), []string{"state"}, key, "", texts(fields))
		return err
	}
	e := wants(t, "data policy", update("integration", keys[0], map[string]string{"state": "6"}), connectors.ErrRefused, "data policy")
	if strings.Join(e.Fields, "|") != "Resolution code|Resolution notes" {
		t.Errorf("fields %v", e.Fields)
	}
	wants(t, "write access rule", update("noroles", keys[0], map[string]string{"state": "2"}), connectors.ErrDenied, "may not change this record")
	wants(t, "a record that is not there", update("integration", strings.Repeat("0", 32), map[string]string{"state": "2"}), connectors.ErrNotFound, "")
	wants(t, "a large body", update("integration", keys[0], map[string]string{"description": strings.Repeat("x", 400)}), connectors.ErrRefused, "max_content_length")
	if err := in.as(t, "admin").Delete(t.Context(), strings.Repeat("0", 32), ""); err != nil {
		t.Errorf("deleting nothing: %v", err)
	}
	in.turn(t, "abort=incident?short_description=poison")
	wants(t, "business rule", update("integration", keys[0], map[string]string{"short_description": "poison"}), connectors.ErrRefused, `"Not like this"`)
	_, err := tb.Scan(t.Context(), connectors.Query{Paths: []string{"state"}, Native: "category=network"}, func(record.Record) error { return nil })
	if e := wants(t, "query access rule", err, connectors.ErrDenied, "category"); strings.Join(e.Fields, "") != "category" {
		t.Errorf("fields %v", e.Fields)
	}
	_, err = open(t, login(in.url, "integration")).Collection(t.Context(), "incidnet")
	wants(t, "no such table", err, connectors.ErrConfig, `did you mean "incident"?`)
	in.turn(t, "hourly-rate=1")
	rows(t, tb, connectors.Query{})
	_, err = tb.Scan(t.Context(), connectors.Query{Paths: []string{"state"}}, func(record.Record) error { return nil })
	wants(t, "rate rule", err, connectors.ErrBusy, "rate limit rule")
	in.turn(t, "hourly-rate=0")
	in.fault(t, "500-before:GET incident:n=1")
	if got := rows(t, tb, connectors.Query{}); len(got) != 30 {
		t.Errorf("%d records after a time-out and a smaller page, want 30", len(got))
	}
	in.Calm()
	s := login(in.url+"/api/now/v1", "integration")
	if got := rows(t, collection(t, s, "incident"), connectors.Query{Native: "number=none"}); len(got) != 0 {
		t.Errorf("an empty list of v1 has %d records", len(got))
	}
}
