package ilert_test

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/ilert"
	"github.com/fieldsync/fieldsync/connectors/ilert/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

func text(id int64) string { return strconv.FormatInt(id, 10) }

// scan returns the values of alerts by key.
func scan(t *testing.T, c connectors.Collection, q connectors.Query) (map[string][]record.Value, connectors.Window) {
	t.Helper()
	got := map[string][]record.Value{}
	w, err := c.Scan(t.Context(), q, func(r record.Record) error {
		got[r.Key] = slices.Clone(r.Values)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, w
}

func keysOf(got map[string][]record.Value) []string {
	var keys []string
	for k := range got {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func read(t *testing.T, c connectors.Collection, key string, paths ...string) []record.Value {
	t.Helper()
	var got []record.Value
	if err := c.Read(t.Context(), paths, []string{key}, func(r record.Record) error { got = slices.Clone(r.Values); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func wantKind(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("the error is %v, want one of kind %v", err, kind)
	}
	said := err.Error() + " – " + connectors.Hint(err)
	for _, w := range words {
		if !strings.Contains(said, w) {
			t.Errorf("%q does not say %q", said, w)
		}
	}
	for _, secret := range []string{"il1tickets", "il1api"} {
		if strings.Contains(said, secret) {
			t.Errorf("%q shows a secret", said)
		}
	}
}

// between is an account where something happens right before the nth request that fits.
type between struct {
	http.Handler
	fits func(r *http.Request) bool
	n    int
	do   func()
}

func (b *between) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.fits(r) {
		if b.n--; b.n == 0 {
			b.do()
		}
	}
	b.Handler.ServeHTTP(w, r)
}

func TestTimesHaveNoThreeOrSixDigits(t *testing.T) {
	at := time.Date(2026, 3, 2, 10, 15, 0, 123456000, time.UTC)
	acc := account(t, nil)
	c := collection(t, acc, settings(), "alerts")
	var got []record.Value
	for range 3 {
		got = append(got, read(t, c, text(acc.Raise(sim.Alert{Summary: "x", Reported: at})), "reportTime")...)
	}
	slices.SortFunc(got, func(a, b record.Value) int { return a.Time().Compare(b.Time()) })
	want := []record.Value{record.OfTime(at.Truncate(time.Second)), record.OfTime(at.Truncate(time.Millisecond)), record.OfTime(at)}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b record.Value) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNewToUsIsLeftAlone(t *testing.T) {
	acc := account(t, nil, "version=newer")
	id := acc.Raise(sim.Alert{Summary: "x", Status: "HIBERNATING"})
	c := collection(t, acc, settings(), "alerts")
	got := read(t, c, text(id), "status", "mergeState", "summary", "holographs")
	if got[0].Text() != "HIBERNATING" || got[1].Text() != "HALF_MERGED" || got[2].Text() != "x" || got[3].Known() {
		t.Errorf("values %v", got)
	}
	// Lists and single answers differ in members, and the version does not.
	versions := map[string]bool{}
	keep := func(r record.Record) error { versions[r.Version] = true; return nil }
	_, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"id"}}, keep)
	if err := errors.Join(err, c.Read(t.Context(), []string{"id"}, []string{text(id)}, keep)); err != nil || len(versions) != 1 {
		t.Errorf("versions %v, %v", versions, err)
	}
}

func TestMembersThatAnOlderVersionLacksAreAbsentAndNotEmpty(t *testing.T) {
	acc := account(t, nil, "version=older")
	got := read(t, collection(t, acc, settings(), "alerts"), text(acc.Raise(sim.Alert{Summary: "x", Severity: 2})), "severity", "labels", "resolvedOn")
	if got[0].Kind() != record.Absent || got[1].Kind() != record.Absent || !got[2].Empty() {
		t.Errorf("values %v", got)
	}
}

func TestIdsMayBeTextsAndAWrongMemberSpoilsNoOther(t *testing.T) {
	acc := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"id":"4410023","summary":["?"],"status":"ACCEPTED","alertSource":{"id":"310455"},"responders":7,"reportTime":"soon"}`))
	})
	got := read(t, collection(t, acc, settings(), "alerts"), "4410023", "id", "summary", "status", "alertSource.id", "responders", "reportTime")
	if got[0].Text() != "4410023" || got[1].Known() || got[2].Text() != "ACCEPTED" || got[3].Text() != "310455" || got[4].Known() || got[5].Known() {
		t.Errorf("values %v", got)
	}
}

func TestAScanForChangesReadsWhatIsOpenWhatIsNewAndWhatWasOpen(t *testing.T) {
	clk := &clock{now: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)}
	acc := account(t, clk.Now)
	c := collection(t, acc, settings(), "alerts")
	old := acc.Raise(sim.Alert{Summary: "long resolved", Status: "RESOLVED"})
	open := acc.Raise(sim.Alert{Summary: "open"})
	ends := acc.Raise(sim.Alert{Summary: "ends"})
	vanishes := acc.Raise(sim.Alert{Summary: "vanishes"})
	clk.Pass(time.Hour)
	acc.Raise(sim.Alert{Summary: "the latest"})
	_, w := scan(t, c, connectors.Query{Paths: []string{"status"}})
	clk.Pass(time.Hour)
	if err := errors.Join(acc.Resolve(ends, 12), acc.Accept(open, 12)); err != nil {
		t.Fatal(err)
	}
	acc.Purge(vanishes)
	quick := acc.Raise(sim.Alert{Summary: "quickly resolved", Status: "RESOLVED"})
	got, w2 := scan(t, c, connectors.Query{Paths: []string{"status"}, Since: w.Next})
	for id, want := range map[int64]string{open: "ACCEPTED", ends: "RESOLVED", quick: "RESOLVED"} {
		if v := got[text(id)]; len(v) != 1 || v[0].Text() != want {
			t.Errorf("alert %d shows %v, want %s", id, v, want)
		}
	}
	if got[text(old)] != nil || got[text(vanishes)] != nil {
		t.Errorf("delivered %v: one was resolved long ago, and one is not there", keysOf(got))
	}
	// What has ended is not asked for again.
	before := len(acc.Journal())
	if got, _ := scan(t, c, connectors.Query{Paths: []string{"status"}, Since: w2.Next}); got[text(ends)] != nil {
		t.Errorf("an alert that ended an hour ago came again")
	}
	for _, r := range acc.Journal()[before:] {
		if strings.Contains(r.Path, text(ends)) {
			t.Errorf("asked again: %s", r.Path)
		}
	}
	_, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"status"}, Since: "yesterday"}, func(record.Record) error { return nil })
	wantKind(t, err, connectors.ErrConfig, "full scan")
}

func TestAListThatMovesWhileItIsReadLosesNothing(t *testing.T) {
	for _, order := range []string{"newest", "oldest"} {
		t.Run(order+" first", func(t *testing.T) {
			acc := account(t, nil, "order="+order)
			var ids []int64
			for range 20 {
				ids = append(ids, acc.Raise(sim.Alert{Summary: "x"}))
			}
			// Those that come first in the list are resolved while its second page is asked for: the others move up.
			moving := &between{Handler: acc, n: 2, fits: func(r *http.Request) bool { return r.URL.Path == "/api/alerts" }, do: func() {
				for i := range 4 {
					id := ids[i]
					if order == "newest" {
						id = ids[19-i]
					}
					if err := acc.Resolve(id, 12); err != nil {
						t.Error(err)
					}
				}
			}}
			s := settings()
			s.PageSize = 5
			got, _ := scan(t, collection(t, moving, s, "alerts"), connectors.Query{Paths: []string{"id"}, Native: "states=PENDING&states=ACCEPTED"})
			for _, id := range ids {
				if a, _ := acc.Get(id); a.Status == "PENDING" && got[text(id)] == nil {
					t.Errorf("alert %d was passed over", id)
				}
			}
		})
	}
}

func TestMoreThanTheMostAlertsOfAPageIsSaidToBeSo(t *testing.T) {
	acc := account(t, nil, "max-results=50")
	for range 60 {
		acc.Raise(sim.Alert{Summary: "x"})
	}
	s := settings()
	if got, _ := scan(t, collection(t, acc, s, "alerts"), connectors.Query{Paths: []string{"id"}}); len(got) != 60 {
		t.Errorf("the usual page size delivers %d of 60", len(got))
	}
	s.PageSize = 100
	_, err := collection(t, acc, s, "alerts").Scan(t.Context(), connectors.Query{Paths: []string{"id"}}, func(record.Record) error { return nil })
	wantKind(t, err, connectors.ErrConfig, "max-results", "page_size")
}

func TestARuleIsBoundToItsSourceAndSeveralMayShareOne(t *testing.T) {
	acc := account(t, nil)
	core := acc.Raise(sim.Alert{Summary: "core"})
	ticket := acc.Raise(sim.Alert{Summary: "ticket", Source: tickets})
	s := settings()
	s.Collections = []ilert.CollectionSettings{
		{Name: "core", Sources: []string{"Zabbix core"}}, {Name: "by id", Sources: []string{"310455"}},
		{Name: "both", Sources: []string{"Zabbix core", "Tickets"}}, {Name: "mistyped", Sources: []string{"Zabbix cor"}},
		{Name: "later", From: "2099-01-01"},
	}
	conn := connect(t, acc, s)
	for _, tt := range []struct {
		collection, query string
		want              []string
	}{
		{"alerts", "", []string{text(core), text(ticket)}},
		{"core", "", []string{text(core)}},
		{"by id", "", []string{text(core)}},
		{"both", "", []string{text(core), text(ticket)}},
		{"both", "sources=310456", []string{text(ticket)}},
		{"core", "sources=310456", nil},
		{"alerts", "states=resolved", nil},
		{"alerts", "policies=77012&from=2020-01-01&until=2099-01-01T00:00:00Z", []string{text(core), text(ticket)}},
		{"alerts", "policies=1", nil},
		{"alerts", "responders=12", nil},
		{"later", "", nil},
	} {
		c, err := conn.Collection(t.Context(), tt.collection)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := scan(t, c, connectors.Query{Paths: []string{"id"}, Native: tt.query})
		if diff := cmp.Diff(tt.want, keysOf(got)); diff != "" {
			t.Errorf("%s with query %q: %s", tt.collection, tt.query, diff)
		}
		n, err := c.(connectors.Counter).Count(t.Context(), tt.query)
		if err != nil || int(n) != len(tt.want) {
			t.Errorf("%s with query %q counts %d, %v; want %d", tt.collection, tt.query, n, err, len(tt.want))
		}
	}
	c, err := conn.Collection(t.Context(), "mistyped")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Scan(t.Context(), connectors.Query{Paths: []string{"id"}}, func(record.Record) error { return nil })
	wantKind(t, err, connectors.ErrConfig, `did you mean "Zabbix core"?`)
	if c, err = conn.Collection(t.Context(), "alerts"); err != nil {
		t.Fatal(err)
	}
	for query, word := range map[string]string{"source=1": `did you mean "sources"?`, "from=soon": "no time", "%zz": "cannot be read"} {
		_, err = c.Scan(t.Context(), connectors.Query{Paths: []string{"id"}, Native: query}, func(record.Record) error { return nil })
		wantKind(t, err, connectors.ErrConfig, word)
	}
}

func TestATestRecordThatStaysIsInNoScanAndFoundByItsMarker(t *testing.T) {
	acc := account(t, nil)
	key := connectors.TestMark + "0123456789ab"
	id := acc.Raise(sim.Alert{Summary: "x", Key: key})
	c := collection(t, acc, settings(), "alerts")
	if got, w := scan(t, c, connectors.Query{Paths: []string{"id"}}); len(got) != 0 || strings.Contains(w.Next, text(id)) {
		t.Errorf("delivered %v, next %s", keysOf(got), w.Next)
	}
	n := 0
	if err := c.Find(t.Context(), []string{"id"}, "alertKey", []record.Value{record.OfText(key)}, func(record.Record) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("found %d, %v", n, err)
	}
	if became, err := c.Retire(t.Context(), text(id)); err != nil || became != "resolved" {
		t.Errorf("became %q, %v", became, err)
	}
}

func TestAnotherTeamsAlertsAreNotThere(t *testing.T) {
	acc := account(t, nil)
	mine, theirs := acc.Raise(sim.Alert{Summary: "mine"}), acc.Raise(sim.Alert{Summary: "theirs", Source: 310460})
	s := settings()
	s.Auth.Token = "il1api-ada"
	c := collection(t, acc, s, "alerts")
	if got, _ := scan(t, c, connectors.Query{Paths: []string{"id"}}); len(got) != 1 || got[text(mine)] == nil {
		t.Errorf("delivered %v", keysOf(got))
	}
	if got := read(t, c, text(theirs), "id"); got != nil {
		t.Errorf("read %v", got)
	}
	for _, key := range []string{"", "../users/current", "12x", text(theirs)} {
		_, err := c.Update(t.Context(), []string{"id"}, key, "", record.Fields{"status": record.OfText("ACCEPTED")})
		wantKind(t, err, connectors.ErrNotFound)
	}
}

func TestTheTeamIsNamedInBothSpellings(t *testing.T) {
	var got []string
	acc := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = []string{r.Header.Get("team-context"), r.Header.Get("x-team-context")}
		_, _ = w.Write([]byte(`[]`))
	})
	s := settings()
	s.Team = "5001"
	scan(t, collection(t, acc, s, "alerts"), connectors.Query{Paths: []string{"id"}})
	if got[0] != "5001" || got[1] != "5001" {
		t.Errorf("headers %v", got)
	}
}

func TestFailuresOfReadingSayWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name, fault, token string
		kind               error
		words              string
	}{
		{"a key that is unknown", "", "wrong", connectors.ErrAuth, "make one in ilert's web app"},
		{"a key that was revoked answers 403 and not 401", "", "il1api-revoked", connectors.ErrAuth, "revoked"},
		{"a key that is revoked in the middle", "403:alerts:n=2", "il1api-integration", connectors.ErrAuth, "revoked"},
		{"a scope that is missing", "scope", "il1api-integration", connectors.ErrDenied, "alert:w"},
		{"a plan that does not cover it", "402", "il1api-integration", connectors.ErrDenied, "plan"},
		{"a server error", "500-before", "il1api-integration", connectors.ErrBusy, ""},
		{"a gateway", "502", "il1api-integration", connectors.ErrBusy, ""},
		{"a web page", "html", "il1api-integration", connectors.ErrProtocol, "check url"},
		{"an answer that is cut off in its second page", "cut:alerts:n=2", "il1api-integration", connectors.ErrProtocol, ""},
		{"a connection that breaks", "reset-before", "il1api-integration", connectors.ErrBusy, "no answer came"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			acc := account(t, nil)
			for range 10 {
				acc.Raise(sim.Alert{Summary: "x"})
			}
			if tt.fault != "" {
				if err := acc.Fault(tt.fault); err != nil {
					t.Fatal(err)
				}
			}
			s := settings()
			s.Auth.Token, s.PageSize = connectors.Secret(tt.token), 4
			_, err := collection(t, acc, s, "alerts").Scan(t.Context(), connectors.Query{Paths: []string{"id"}}, func(record.Record) error { return nil })
			wantKind(t, err, tt.kind, tt.words)
		})
	}
}

func TestAHeaderThatAProxyTookIsTold(t *testing.T) {
	acc := account(t, nil)
	stripping := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Authorization")
		acc.ServeHTTP(w, r)
	})
	_, err := collection(t, stripping, settings(), "alerts").Scan(t.Context(), connectors.Query{Paths: []string{"id"}}, func(record.Record) error { return nil })
	wantKind(t, err, connectors.ErrAuth, "proxy")
}

func TestReadingWaitsForTheNextMinuteWhereTheLimitIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acc := account(t, nil)
		c := collection(t, acc, settings(), "alerts")
		for range 150 {
			acc.Raise(sim.Alert{Summary: "x"})
		}
		var keys []string
		for _, a := range acc.All() {
			keys = append(keys, text(a.ID))
		}
		began, n := time.Now(), 0
		if err := c.Read(t.Context(), []string{"id"}, keys, func(record.Record) error { n++; return nil }); err != nil || n != 150 {
			t.Fatalf("read %d, %v", n, err)
		}
		if waited := time.Since(began); waited == 0 || waited > 2*time.Minute {
			t.Errorf("150 alerts at 120 a minute took %v", waited)
		}
	})
}
