package servicenow_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

// between starts a server in front of the instance that may change what passes.
func between(t *testing.T, in *instance, pass func(http.Handler, http.ResponseWriter, *http.Request)) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding") // so that bodies can be read
		pass(in.Server, w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// hide removes rows from every list, as a row access rule does: after the limit was applied.
func hide(hidden func(row map[string]any) bool) func(http.Handler, http.ResponseWriter, *http.Request) {
	return func(h http.Handler, w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		var list struct {
			Result []map[string]any `json:"result"`
		}
		if rec.Code == http.StatusOK && json.Unmarshal(body, &list) == nil {
			list.Result = slices.DeleteFunc(list.Result, hidden)
			body, _ = json.Marshal(list)
		}
		for k, v := range rec.Header() {
			if k != "Content-Length" {
				w.Header()[k] = v
			}
		}
		w.WriteHeader(rec.Code)
		w.Write(body)
	}
}

func add(in *instance, n int, fields map[string]string) []string {
	var keys []string
	for i := range n {
		f := map[string]string{"short_description": "line " + strconv.Itoa(i)}
		for k, v := range fields {
			f[k] = v
		}
		keys = append(keys, in.Insert("incident", f))
	}
	slices.Sort(keys)
	return keys
}

func scanned(t *testing.T, tb *servicenow.Table, q connectors.Query) ([]string, connectors.Window) {
	t.Helper()
	if q.Paths == nil {
		q.Paths = []string{"short_description"}
	}
	var keys []string
	w, err := tb.Scan(t.Context(), q, func(r record.Record) error {
		keys = append(keys, strings.Clone(r.Key))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys, w
}

func TestScanGoesOnBehindRowsThatAreHidden(t *testing.T) {
	for name, hidden := range map[string]func(i int) bool{
		"some of each page":   func(i int) bool { return i%3 == 0 },
		"whole pages":         func(i int) bool { return i >= 10 && i < 40 },
		"the first pages":     func(i int) bool { return i < 25 },
		"the last pages":      func(i int) bool { return i > 30 },
		"all but the last":    func(i int) bool { return i != 59 },
		"everything":          func(int) bool { return true },
		"nothing":             func(int) bool { return false },
		"the end of one page": func(i int) bool { return i == 4 || i == 5 || i == 6 },
	} {
		t.Run(name, func(t *testing.T) {
			in := newInstance(t, sim.Options{})
			keys := add(in, 60, nil)
			at := map[any]int{}
			var want []string
			for i, k := range keys {
				if at[k] = i; !hidden(i) {
					want = append(want, k)
				}
			}
			s := admin(between(t, in, hide(func(row map[string]any) bool {
				i, ok := at[row["sys_id"]]
				return ok && hidden(i)
			})))
			s.PageSize = 5
			got, _ := scanned(t, collection(t, s, "incident"), connectors.Query{})
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("keys (-want +got):\n%s", d)
			}
		})
	}
}

func TestScanEndsWithoutHeadersThatCount(t *testing.T) {
	in := newInstance(t, sim.Options{})
	want := add(in, 23, nil)
	s := admin(between(t, in, func(h http.Handler, w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		w.Header().Set("Content-Type", "application/json")
		w.Header()["Date"] = nil
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
	}))
	s.PageSize = 5
	got, w := scanned(t, collection(t, s, "incident"), connectors.Query{})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("keys (-want +got):\n%s", d)
	}
	if w.Next != "" || w.Clock.Measured {
		t.Errorf("the window is %+v though no answer has a Date", w)
	}
}

func TestScanKeepsEachAlternativeOfAQueryInItsPages(t *testing.T) {
	in := newInstance(t, sim.Options{})
	high := add(in, 20, map[string]string{"impact": "1", "urgency": "1"})
	net := add(in, 20, map[string]string{"category": "network"})
	add(in, 20, map[string]string{"category": "software"})
	want := slices.Sorted(slices.Values(append(slices.Clone(high), net...)))
	s := admin(in.url)
	s.PageSize = 7
	got, _ := scanned(t, collection(t, s, "incident"), connectors.Query{Native: "priority=1^ORDERBYDESCnumber^NQcategory=network^EQ"})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("keys (-want +got):\n%s", d)
	}
}

func TestAnInstanceTellsWhichRowsAQuerySelects(t *testing.T) {
	in := newInstance(t, sim.Options{})
	high := add(in, 60, map[string]string{"impact": "1", "urgency": "1"})
	net := add(in, 3, map[string]string{"category": "network"})
	other := add(in, 60, map[string]string{"category": "software"})
	s := admin(in.url)
	s.PageSize = 7
	tb := collection(t, s, "incident")
	within := func(native string, keys ...string) []string {
		t.Helper()
		var got []string
		if err := tb.Within(t.Context(), native, keys, func(key string) error { got = append(got, strings.Clone(key)); return nil }); err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		return got
	}
	const native = "priority=1^ORDERBYDESCnumber^NQcategory=network^EQ"
	asked := slices.Concat(high, net[:1], other, []string{"00000000000000000000000000000000", "a,b", high[0]})
	if d := cmp.Diff(slices.Sorted(slices.Values(slices.Concat(high, net[:1]))), within(native, asked...)); d != "" {
		t.Errorf("keys (-want +got):\n%s", d)
	}
	if got := within("category=network", other...); len(got) > 0 {
		t.Errorf("of rows outside %q are taken for inside", got)
	}
	for _, wrong := range []string{"no_such_field=1", "category = network"} {
		if err := tb.Within(t.Context(), wrong, other[:1], func(string) error { return nil }); !errors.Is(err, connectors.ErrConfig) {
			t.Errorf("the query %q gives %v", wrong, err)
		}
	}
}

func TestScanOfAWindowTakesLittle(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 60, nil)
	in.clock.Pass(time.Hour)
	s := admin(in.url)
	s.PageSize = 10
	tb := collection(t, s, "incident")
	before := in.Requests()
	_, w := scanned(t, tb, connectors.Query{})
	if n := in.Requests() - before; n != 7 {
		t.Errorf("60 rows in pages of 10 took %d requests, want 6 and one for the account", n)
	}
	journal := in.Journal()
	counted := 0
	for _, r := range journal[len(journal)-7:] {
		if !strings.Contains(r.Query, "sysparm_no_count=true") {
			counted++
		}
	}
	if counted > 3 {
		t.Errorf("%d of 6 pages made the instance count, want the first and the last ones", counted)
	}
	if want := in.clock.Now().Add(-5 * time.Second); !within(t, w.Next, want) {
		t.Errorf("Next is %s, want about %s", w.Next, want)
	}
	if !w.Clock.Measured || w.Clock.Error <= 0 {
		t.Errorf("the clock is %+v", w.Clock)
	}
	in.clock.Pass(time.Hour)
	tb = collection(t, s, "incident") // another process, which knows the time from its first request
	if err := in.Update("incident", keys[7], "beth.anglin", map[string]string{"short_description": "edited"}); err != nil {
		t.Fatal(err)
	}
	before = in.Requests()
	got, w2 := scanned(t, tb, connectors.Query{Since: w.Next})
	if !slices.Equal(got, keys[7:8]) {
		t.Errorf("delivered %v, want %v: nobody waits out the lag to see an edit", got, keys[7:8])
	}
	if n := in.Requests() - before; n != 2 {
		t.Errorf("a small scan took %d requests, want one and one for the account", n)
	}
	if want := in.clock.Now().Add(-5 * time.Second); !within(t, w2.Next, want) {
		t.Errorf("Next is %s, want about %s: the second that is not over stays in the next window", w2.Next, want)
	}
	in.clock.Pass(20 * time.Second)
	if got, _ = scanned(t, tb, connectors.Query{Since: w2.Next}); !slices.Equal(got, keys[7:8]) {
		t.Errorf("delivered %v, want %v again: the overlap reaches back", got, keys[7:8])
	}
}

func within(t *testing.T, got string, want time.Time) bool {
	t.Helper()
	g, err := time.Parse("2006-01-02 15:04:05", got)
	return err == nil && g.Sub(want).Abs() <= 5*time.Second
}

func TestAServerClockThatIsSetBackIsFollowed(t *testing.T) {
	in := newInstance(t, sim.Options{})
	add(in, 3, nil)
	tb := collection(t, admin(in.url), "incident")
	_, w := scanned(t, tb, connectors.Query{})
	in.clock.Pass(-time.Hour)
	_, w = scanned(t, tb, connectors.Query{Since: w.Next})
	if want := in.clock.Now().Add(-5 * time.Second); !within(t, w.Next, want) {
		t.Errorf("Next is %s, want about %s, where the next change will be stamped", w.Next, want)
	}
}

func TestATableWithoutStampsHasNoWindow(t *testing.T) {
	in := newInstance(t, sim.Options{})
	add(in, 3, nil)
	s := admin(between(t, in, func(h http.Handler, w http.ResponseWriter, r *http.Request) {
		r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "sys_updated_on,", "")
		h.ServeHTTP(w, r)
	}))
	if _, w := scanned(t, collection(t, s, "incident"), connectors.Query{}); w.Next != "" {
		t.Errorf("Next is %q though no row shows when it changed", w.Next)
	}
}

func TestAPageThatIsCutOffIsAskedForInPieces(t *testing.T) {
	in := newInstance(t, sim.Options{})
	want := add(in, 130, nil)
	var limits []string
	s := admin(between(t, in, func(h http.Handler, w http.ResponseWriter, r *http.Request) {
		limit, _ := strconv.Atoi(r.URL.Query().Get("sysparm_limit"))
		limits = append(limits, strconv.Itoa(limit))
		if limit > 30 {
			io.WriteString(w, `{"result":[{"sys_id":"0"}],"error":{"message":"Transaction cancelled: maximum execution time exceeded","detail":"x"},"status":"failure"}`)
			return
		}
		h.ServeHTTP(w, r)
	}))
	s.PageSize = 400
	got, _ := scanned(t, collection(t, s, "incident"), connectors.Query{})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("keys (-want +got):\n%s\nlimits %v", d, limits)
	}
}

func TestAFieldThatDoesNotExistIsNoCondition(t *testing.T) {
	in := newInstance(t, sim.Options{})
	add(in, 3, nil)
	tb := collection(t, admin(in.url), "incident")
	if _, err := tb.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	emit := func(record.Record) error { return errors.New("a record was delivered") }
	_, err := tb.Scan(t.Context(), connectors.Query{Paths: []string{"state"}, Native: "active=true^categry=network"}, emit)
	if !errors.Is(err, connectors.ErrConfig) || !strings.Contains(connectors.Hint(err), `"category"`) {
		t.Errorf("scan: the error is %v with hint %q; want ErrConfig that suggests category", err, connectors.Hint(err))
	}
	err = tb.Find(t.Context(), []string{"corelation_id"}, "corelation_id", []record.Value{record.OfText("x")}, emit)
	if !errors.Is(err, connectors.ErrConfig) || !strings.Contains(connectors.Hint(err), `"correlation_id"`) {
		t.Errorf("find: the error is %v with hint %q; want ErrConfig that suggests correlation_id", err, connectors.Hint(err))
	}
	err = tb.Require(t.Context(), []string{"state", "u_ticket", "short_description"})
	if e, ok := errors.AsType[*connectors.Error](err); !ok || !errors.Is(err, connectors.ErrConfig) || !slices.Equal(e.Fields, []string{"u_ticket"}) {
		t.Errorf("require: the error is %v, want ErrConfig naming u_ticket", err)
	}
	if err := tb.Require(t.Context(), []string{"state", "comments", "caller_id"}); err != nil {
		t.Errorf("require: %v", err)
	}
}

func TestValuesAreTextWhateverTheirShape(t *testing.T) {
	body := `{"result":[
		{"sys_id":"a1","number":"INC1","sys_mod_count":"4","sys_updated_on":"2026-01-22 14:28:24","sys_updated_by":"beth.anglin",
		 "state":"2","active":"true","empty":"","null":null,"link":{"link":"https://x/api/now/table/sys_user/u1","value":"u1"},
		 "pair":{"display_value":"Beth","link":"https://x","value":"u2"},"empty_pair":{"display_value":null,"value":""},
		 "shown":{"display_value":"Beth","link":"https://x"},"number_type":7,"bool_type":true,"list":["x"],"caller_id.email":"b@example.com",
		 "escaped":"a\"b\\c\nd\u00e9\ud83d\ude92","broken":"caf` + "\xe9" + `"},
		{"number":{"display_value":"INC2","value":"INC2"},"sys_id":{"display_value":"a2","value":"a2"},"sys_updated_on":"2026-01-22 14:28:25"}]}`
	paths := []string{"state", "active", "empty", "null", "missing", "link", "pair", "empty_pair", "shown", "number_type", "bool_type", "list", "caller_id.email", "escaped", "broken"}
	text := record.OfText
	unknown := record.UnknownValue
	want := []record.Record{
		{Key: "a1", Label: "INC1", Version: "4", Modified: time.Date(2026, 1, 22, 14, 28, 24, 0, time.UTC), Author: "beth.anglin", Values: []record.Value{
			text("2"), text("true"), record.NullValue, record.NullValue, unknown, text("u1"), text("u2"), record.NullValue, unknown,
			text("7"), text("true"), unknown, text("b@example.com"), text("a\"b\\c\ndé🚒"), unknown}},
		{Key: "a2", Label: "INC2", Version: "2026-01-22 14:28:25", Modified: time.Date(2026, 1, 22, 14, 28, 25, 0, time.UTC), Values: slices.Repeat([]record.Value{unknown}, len(paths))},
	}
	var got []record.Record
	if err := servicenow.NewDecoder(paths...).Decode([]byte(body), func(r record.Record) { got = append(got, r.Clone()) }); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b record.Value) bool { return a == b })); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
}

func FuzzPage(f *testing.F) {
	for _, s := range []string{
		`{"result":[]}`, `{"result":[{"sys_id":"a","state":"1"}]}`, `{"result":{"sys_id":"a"}}`, `{"result":[{"sys_id":{"value":"a"}}],"session":{}}`,
		`{"result":[{"sys_id":"a"},{"sys_`, `{"result":[{"sys_id":"a"}],"error":{"message":"m","detail":null},"status":"failure"}`, `<html>`, ``, `[]`, `null`,
		`{"result":[{"sys_id":"\ud800","state":"\u0000"}]}`, `{"result":[null]}`, `{"result":[{"sys_id":"a","sys_updated_on":"2026-13-45 99:99:99"}]}`,
	} {
		f.Add([]byte(s))
	}
	d := servicenow.NewDecoder("state", "caller_id.email")
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		n := 0
		err := d.Decode(body, func(r record.Record) {
			n++
			if r.Key == "" || len(r.Values) != 2 {
				t.Errorf("record %+v has no key, or %d values", r, len(r.Values))
			}
			for _, v := range append(r.Values, record.OfText(r.Key), record.OfText(r.Label)) {
				if k := v.Kind(); k != record.Text && k != record.Null && k != record.Unknown || !utf8.ValidString(v.Text()) {
					t.Errorf("value %q is a %s", v.Text(), k)
				}
			}
		})
		if !bytes.Equal(before, body) {
			t.Error("decoding changed the body")
		}
		// What the standard library reads as rows with keys, all of it is delivered or none.
		var ref struct {
			Result []map[string]any `json:"result"`
			Error  any              `json:"error"`
		}
		if err == nil && json.Unmarshal(body, &ref) == nil && ref.Error == nil && n != len(ref.Result) {
			t.Errorf("%d records, want %d", n, len(ref.Result))
		}
	})
}

// incidents makes a page as an instance sends it: about 1.2 kB and 28 members a record.
func incidents(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"result":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"sys_id":"%032x","number":"INC%07d","short_description":"Router %d in building %d does not answer","description":%q,`+
			`"state":"2","incident_state":"2","impact":"2","urgency":"3","priority":"4","severity":"3","category":"network","subcategory":"vpn",`+
			`"caller_id":"%032x","assigned_to":"","assignment_group":"%032x","opened_at":"2026-01-22 14:28:24","opened_by":"%032x",`+
			`"correlation_id":"T-%d","correlation_display":"help desk","close_code":"","close_notes":"","active":"true","sys_class_name":"incident",`+
			`"sys_created_on":"2026-01-22 14:28:24","sys_created_by":"beth.anglin","sys_updated_on":"2026-02-03 09:15:00","sys_updated_by":"sync.user","sys_mod_count":"%d"}`,
			i, i, i, i%40, strings.Repeat("No answer since the last change. ", 10)+"\nPlease look.", i%50, i%7, i%50, i, i%20)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

var mapped = []string{"short_description", "description", "state", "impact", "urgency", "priority", "category", "caller_id", "assigned_to", "assignment_group", "correlation_id", "close_code"}

// BenchmarkPage decodes a page of 1,000 incidents as scans do, and with encoding/json into maps beside it.
func BenchmarkPage(b *testing.B) {
	body := incidents(1000)
	d := servicenow.NewDecoder(mapped...)
	n := 0
	var ours, theirs time.Duration
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		if err := d.Decode(body, func(r record.Record) { n += len(r.Values) }); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(began)
		b.StopTimer()
		began = time.Now()
		var page struct {
			Result []map[string]any `json:"result"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			b.Fatal(err)
		}
		theirs += time.Since(began)
		b.StartTimer()
	}
	b.ReportMetric(float64(theirs)/float64(ours), "×encoding/json")
	b.ReportMetric(float64(b.N)*1000/ours.Seconds(), "records/s")
}
