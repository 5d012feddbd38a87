package sim_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

const incidents = "/api/now/table/incident"

func (in *instance) turn(switches ...string) {
	in.t.Helper()
	for _, w := range switches {
		if err := in.Switch(w); err != nil {
			in.t.Fatal(err)
		}
	}
}

// field reads one field of one record as a user; "(missing)" if it is not in the answer.
func (in *instance) field(user, id, field string) string {
	in.t.Helper()
	var row map[string]string
	in.result(in.do(user, "GET", incidents+"/"+id+"?sysparm_exclude_reference_link=true&sysparm_fields="+field, ""), 200, &row)
	if v, ok := row[field]; ok {
		return v
	}
	return "(missing)"
}

func TestRulesCanBeSwitchedOff(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn("priority=off", "state-rules", "data-policy=off")
	id := in.must("incident", map[string]string{"impact": "1", "urgency": "1"})
	if a := in.patch("integration", id, `{"state":"6"}`); a.status != 200 {
		t.Fatalf("resolving without code and notes: %d %s", a.status, a.body)
	}
	got := in.Get("incident", id)
	for f, want := range map[string]string{"priority": "4", "state": "6", "incident_state": "1", "resolved_at": ""} {
		if got[f] != want {
			t.Errorf("%s is %q, want %q", f, got[f], want)
		}
	}
	if a := in.patch("integration", id, `{"state":"7"}`); a.status != 200 || in.Get("incident", id)["active"] != "true" {
		t.Errorf("closing has rules: %d, active %s", a.status, in.Get("incident", id)["active"])
	}
	in.turn("priority=on", "state-rules=on", "data-policy=on")
	if a := in.patch("closer", id, `{"urgency":"2"}`); a.status != 200 || in.Get("incident", id)["urgency"] != "1" {
		t.Errorf("a closed incident was edited: %d", a.status)
	}
}

func TestAccessRulesOfRowsAndFields(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", map[string]string{"category": "network", "urgency": "2"})
	other := in.must("incident", map[string]string{"category": "software"})
	in.turn("hide-rows=incident?category=software", "hide-field=incident.caller_id", "drop-write=incident.urgency", "deny-write=incident.impact", "deny-query=task.short_description")
	if got := in.list("incident", "", "category"); !slices.Equal(got, []string{"network"}) {
		t.Errorf("shown: %v", got)
	}
	if a := in.do("integration", "GET", incidents+"/"+other, ""); a.status != 404 {
		t.Errorf("a hidden row: %d", a.status)
	}
	for user, want := range map[string]string{"integration": "(missing)", "admin": ""} {
		if got := in.field(user, id, "caller_id"); got != want {
			t.Errorf("%s sees caller_id %q, want %q", user, got, want)
		}
	}
	for query, want := range map[string]int{"caller_idISEMPTY": 403, "caller_id.nameLIKEx": 403, "short_description=x": 403, "ORDERBYshort_description": 403, "category=network": 200} {
		if a := in.do("integration", "GET", incidents+"?sysparm_query="+query, ""); a.status != want {
			t.Errorf("%s: %d, want %d", query, a.status, want)
		}
	}
	if a := in.patch("integration", id, `{"urgency":"1","description":"y"}`); a.status != 200 || in.field("admin", id, "urgency") != "2" || in.field("admin", id, "description") != "y" {
		t.Errorf("a field that is dropped: %d, %v", a.status, in.Get("incident", id))
	}
	if a := in.patch("integration", id, `{"impact":"1"}`); a.status != 403 {
		t.Errorf("a field that is denied: %d", a.status)
	}
	if a := in.patch("admin", id, `{"impact":"1","urgency":"1"}`); a.status != 200 || in.field("admin", id, "urgency") != "1" {
		t.Errorf("access rules bind admins: %d", a.status)
	}
	in.turn("hide-rows=", "deny-write=")
	if got := in.list("incident", "", "category"); len(got) != 2 {
		t.Errorf("the rule is gone, shown: %v", got)
	}
}

func TestABusinessRuleAborts(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", nil)
	in.turn("abort=incident?short_descriptionLIKEpoison")
	a := in.patch("admin", id, `{"short_description":"poison"}`)
	if a.status != 403 || !strings.Contains(a.body, "was aborted by Business Rule 'Not like this^") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if in.Insert("incident", map[string]string{"short_description": "poison"}) != "" {
		t.Error("the rule does not bind people")
	}
	if a := in.patch("admin", id, `{"short_description":"cure"}`); a.status != 200 {
		t.Errorf("another value: %d", a.status)
	}
}

func TestUsersOfOtherPlaces(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", nil)
	if !in.Rewrite("incident", id, map[string]string{"reassignment_count": "1234567"}) {
		t.Fatal("not rewritten")
	}
	in.turn("zone=Europe/Brussels", "date-format=dd.MM.yyyy", "language=de")
	var row map[string]string
	in.result(in.do("integration", "GET", incidents+"/"+id+"?sysparm_display_value=true&sysparm_fields=opened_at,reassignment_count", ""), 200, &row)
	if d := cmp.Diff(map[string]string{"opened_at": "02.03.2026 11:00:00", "reassignment_count": "1.234.567"}, row); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := in.field("integration", id, "opened_at"); got != "2026-03-02 10:00:00" {
		t.Errorf("raw opened_at is %s", got)
	}
	if a := in.patch("integration", id, `{"state":"6"}`); !strings.Contains(a.body, "Die folgenden Felder sind obligatorisch: Resolution code, Resolution notes") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := in.Find("sys_user", "user_name", "integration")[0]["time_zone"]; got != "Europe/Brussels" {
		t.Errorf("the user's row says %s", got)
	}
	// Scripted times start in the user's zone, literals do not.
	if got := in.list("incident", "opened_at>=javascript:gs.dateGenerate('2026-03-02','11:00:00')^opened_at<=2026-03-02 10:00:00", "sys_id"); len(got) != 1 {
		t.Errorf("found %v", got)
	}
}

func TestOlderReleasesHaveOtherChoices(t *testing.T) {
	in := newInstance(t, sim.Options{Switches: sim.Switches{OldChoices: true}})
	id := in.must("incident", nil)
	if a := in.patch("integration", id, `{"state":"6","close_code":"Solution provided","close_notes":"x"}`); a.status != 403 {
		t.Errorf("a code of a newer release: %d", a.status)
	}
	if a := in.patch("integration", id, `{"state":"6","close_code":"Solved (Permanently)","close_notes":"x"}`); a.status != 200 {
		t.Errorf("a code of this release: %d %s", a.status, a.body)
	}
	in.turn("choices=new")
	if n := len(in.Find("sys_choice", "element", "close_code")); n != 10 {
		t.Errorf("%d codes after the upgrade", n)
	}
}

func TestPasswordsOfPeopleAreRefusedFromZurichOn(t *testing.T) {
	in := newInstance(t, sim.Options{Switches: sim.Switches{BasicRestricted: true}})
	if a := in.do("integration", "GET", incidents, ""); a.status != 401 {
		t.Errorf("a password: %d", a.status)
	}
	if a := in.do("", "GET", incidents, "", "x-sn-apikey", "integration-key"); a.status != 200 {
		t.Errorf("an API key: %d", a.status)
	}
	row := in.Find("sys_user", "user_name", "integration")[0]
	in.Rewrite("sys_user", row["sys_id"], map[string]string{"web_service_access_only": "true"})
	if a := in.do("integration", "GET", incidents, ""); a.status != 200 {
		t.Errorf("the password of a machine: %d", a.status)
	}
}

func TestTheHourlyRateComesWithHeaders(t *testing.T) {
	in := newInstance(t, sim.Options{Switches: sim.Switches{HourlyRate: 2}})
	in.now = start.Add(20 * time.Minute)
	for i, want := range []int{200, 200, 429} {
		a := in.do("integration", "GET", incidents, "")
		if a.status != want || a.header.Get("X-RateLimit-Limit") != "2" || (a.header.Get("Retry-After") == "2400") != (want == 429) {
			t.Errorf("request %d: %d %v", i+1, a.status, a.header)
		}
	}
	if a := in.do("admin", "GET", incidents, ""); a.status != 200 {
		t.Errorf("another user: %d", a.status)
	}
	in.now = start.Add(time.Hour)
	if a := in.do("integration", "GET", incidents, ""); a.status != 200 {
		t.Errorf("the next hour: %d", a.status)
	}
}

func TestQueueAndSessionsOverflow(t *testing.T) {
	in := newInstance(t, sim.Options{Switches: sim.Switches{Queue: 2, Sessions: 1}})
	if err := in.Fault(sim.Fault{Kind: "slow-before", Nth: 1}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(in.Server)
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	send := func(ctx context.Context, method, session string, body io.Reader) int {
		r, err := http.NewRequestWithContext(ctx, method, srv.URL+incidents, body)
		if err != nil {
			t.Error(err)
			return 0
		}
		r.SetBasicAuth("integration", "secret")
		r.Header.Set("Cookie", "glide_session_store="+session)
		r.Header.Set("Expect", "100-continue")
		res, err := client.Do(r)
		if err != nil {
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	ctx, stop := context.WithCancel(t.Context())
	entered, left := make(chan struct{}), make(chan int)
	go func() { left <- send(ctx, "POST", "a", &announced{entered: entered}) }()
	<-entered
	if got := send(t.Context(), "GET", "a", nil); got != 202 {
		t.Errorf("a second request of one session: %d", got)
	}
	if got := send(t.Context(), "GET", "b", nil); got != 200 {
		t.Errorf("another session: %d", got)
	}
	in.turn("queue=1")
	if got := send(t.Context(), "GET", "b", nil); got != 429 {
		t.Errorf("a full queue: %d", got)
	}
	stop()
	if got := <-left; got != 0 {
		t.Errorf("the request that waits: %d", got)
	}
}

// An announced body is asked for only when the server has let the request in.
type announced struct {
	entered chan struct{}
	once    sync.Once
}

func (a *announced) Read([]byte) (int, error) {
	a.once.Do(func() { close(a.entered) })
	return 0, io.EOF
}

func TestListsHaveLimitsAndNoOrder(t *testing.T) {
	in := newInstance(t, sim.Options{Seed: 7})
	for range 20 {
		in.must("incident", map[string]string{"category": "network"})
	}
	in.turn("default-limit=5", "tie-order=random", "max-url=300", "max-body=100", "api=v1", "invalid-query")
	first, second := in.list("incident", "ORDERBYcategory", "sys_id"), in.list("incident", "ORDERBYcategory", "sys_id")
	if len(first) != 5 || slices.Equal(first, second) {
		t.Errorf("two answers to one question: %v and %v", first, second)
	}
	if a := in.do("integration", "GET", incidents+"?sysparm_query=number=none", ""); a.status != 404 {
		t.Errorf("an empty list of v1: %d", a.status)
	}
	if a := in.do("integration", "GET", "/api/now/v2/table/incident?sysparm_query=nothing_such=1", ""); a.status != 200 || !strings.Contains(a.body, `"result":[]`) {
		t.Errorf("an invalid query: %d %s", a.status, a.body)
	}
	if a := in.do("integration", "GET", incidents+"?"+strings.Repeat("x", 300), ""); a.status != 414 {
		t.Errorf("a long address: %d", a.status)
	}
	if a := in.do("integration", "POST", incidents, `{"a":"`+strings.Repeat("x", 100)+`"}`); a.status != 400 || !strings.Contains(a.body, "Max allowed: 100 bytes") {
		t.Errorf("a large body: %d %s", a.status, a.body)
	}
}

func TestWhatPeopleWriteMayBeCommittedLate(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", map[string]string{"short_description": "before"})
	in.turn("late-commit=30s")
	in.now = start.Add(10 * time.Second)
	if err := in.Update("incident", id, "beth.anglin", map[string]string{"short_description": "after"}); err != nil {
		t.Fatal(err)
	}
	fresh := in.must("incident", nil)
	in.now = start.Add(39 * time.Second)
	if got := in.field("integration", id, "short_description"); got != "before" || in.Get("incident", fresh) != nil {
		t.Errorf("seen before the commit: %q", got)
	}
	in.now = start.Add(40 * time.Second)
	for _, key := range []string{id, fresh} {
		if got := in.field("integration", key, "sys_updated_on"); got != "2026-03-02 10:00:10" {
			t.Errorf("stamp %s, want that of the beginning", got)
		}
	}
	if got := in.field("integration", id, "short_description"); got != "after" {
		t.Errorf("after the commit: %q", got)
	}
}

func TestTheClockAndTheJobOfAnInstance(t *testing.T) {
	in := newInstance(t, sim.Options{Switches: sim.Switches{Clock: time.Hour, AutoClose: 7}})
	id := in.must("incident", nil)
	if got := in.field("integration", id, "sys_created_on"); got != "2026-03-02 11:00:00" {
		t.Errorf("created at %s on a clock an hour ahead", got)
	}
	if a := in.do("integration", "GET", incidents, ""); a.header.Get("Date") != "Mon, 02 Mar 2026 11:00:00 GMT" {
		t.Errorf("Date is %s", a.header.Get("Date"))
	}
	if a := in.patch("integration", id, `{"state":"6","close_code":"User error","close_notes":"x"}`); a.status != 200 {
		t.Fatal(a.body)
	}
	in.now = start.AddDate(0, 0, 6)
	if got := in.field("integration", id, "state"); got != "6" {
		t.Errorf("state %s before its time", got)
	}
	in.now = start.AddDate(0, 0, 7)
	if got := in.field("integration", id, "state"); got != "7" || in.field("integration", id, "sys_updated_by") != "system" {
		t.Errorf("state %s after a week", got)
	}
}

func TestJournalsAndDictionaryMayBeHidden(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.must("incident", map[string]string{"comments": "x"})
	const journal = "/api/now/table/sys_journal_field"
	if a := in.do("integration", "GET", journal, ""); !strings.Contains(a.body, `"value":"x"`) {
		t.Errorf("the usual: %s", a.body)
	}
	in.turn("journals=hidden", "dictionary=hidden")
	if a := in.do("integration", "GET", journal, ""); a.status != 200 || !strings.Contains(a.body, `"result":[]`) {
		t.Errorf("hidden: %d %s", a.status, a.body)
	}
	if a := in.do("integration", "GET", "/api/now/table/sys_dictionary", ""); !strings.Contains(a.body, `"result":[]`) {
		t.Errorf("the dictionary: %s", a.body)
	}
	in.turn("journals=denied")
	if a := in.do("integration", "GET", journal, ""); a.status != 403 {
		t.Errorf("denied: %d", a.status)
	}
}

func TestTheAuditMayBeHiddenDeniedOrNotKept(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", map[string]string{"urgency": "3"})
	edit := func(urgency string) {
		t.Helper()
		if err := in.Update("incident", id, "beth.anglin", map[string]string{"urgency": urgency, "knowledge": "true"}); err != nil {
			t.Fatal(err)
		}
	}
	edit("2")
	const audit = "/api/now/table/sys_audit?sysparm_query=documentkey="
	a := in.do("integration", "GET", audit+id, "")
	for _, want := range []string{`"fieldname":"urgency"`, `"oldvalue":"3"`, `"newvalue":"2"`, `"user":"beth.anglin"`, `"record_checkpoint":"1"`, `"newvalue":"1"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the usual has no %s: %s", want, a.body)
		}
	}
	in.turn("audits=hidden")
	if a := in.do("integration", "GET", audit+id, ""); a.status != 200 || !strings.Contains(a.body, `"result":[]`) {
		t.Errorf("hidden: %d %s", a.status, a.body)
	}
	in.turn("audits=denied")
	if a := in.do("integration", "GET", audit+id, ""); a.status != 403 {
		t.Errorf("denied: %d", a.status)
	}
	in.turn("audits=off")
	n := len(in.Find("sys_audit", "documentkey", id))
	edit("1")
	if now := len(in.Find("sys_audit", "documentkey", id)); now != n {
		t.Errorf("%d rows, and %d before it was off", now, n)
	}
}

func TestWrongSwitchesSayWhatIsRight(t *testing.T) {
	in := newInstance(t, sim.Options{})
	for text, want := range map[string]string{
		"nonsense":               "there are priority, state-rules",
		"priority=maybe":         "neither off nor on",
		"language=fr":            "none of en, de",
		"queue=many":             "no number",
		"late-commit=soon":       "invalid duration",
		"zone=Nowhere/At_All":    "unknown time zone",
		"hide-field=urgency":     "not TABLE.FIELD",
		"abort=nosuch":           "names no table",
		"abort=incident?prose":   "no condition",
		"hide-rows=incident?x=":  "no condition",
		"oauth-grants=implicit":  "no grant",
		"jwt-key=nosuch.pem":     "no such file",
		"import-set=u_x":         "is not STAGING:TARGET",
		"import-set=u_x:nosuch":  "names no table",
		"import-set=u_x:task:no": "no field",
		"import-field=u_title:x": "not TABLE.FIELD",
	} {
		if err := in.Switch(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("an instance was made with a condition on a table that is not there")
		}
	}()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("public.pem", []byte("a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, u := range sim.SwitchExamples() {
		if err := newInstance(t, sim.Options{}).Switch(u.Text); err != nil || u.What == "" {
			t.Errorf("the example %s: %v", u.Text, err)
		}
	}
	sim.New(sim.Options{Switches: sim.Switches{Abort: []string{"nosuch"}}})
}
