package servicenow_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

// TestGotchas holds the connector to what is known to go wrong with ServiceNow in production, one subtest each, on
// an instance with the switch or the fault that shows it. Those that are not here, and why:
//
//	notes older than the link                            it delivers journal rows as any other; what counts as new is the engine's:
//	                                                     TestCommentsOlderThanTheLink, TestAttachmentsOlderThanTheLink there
func TestGotchas(t *testing.T) {
	for _, g := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"the server rewrites what was sent", serverRewrites},
		{"echo through the integration user", echo},
		{"many rows in one second and late commits with an old stamp", sameSecondAndLate},
		{"data policy on resolving without close fields", dataPolicy},
		{"choice values that differ per release", releaseChoices},
		{"an unknown field in body, field list and query", unknownField},
		{"an empty reference is text and a set one an object", referenceShapes},
		{"a hidden field is a missing key", hiddenField},
		{"display dates in the user's zone", userZone},
		{"a create that commits and then fails", lostCreate},
		{"journals are append-only", appendOnly},
		{"200 with an error inside, valid and broken JSON", errorInside},
		{"a short page is not the end", shortPage},
		{"the default limit", defaultLimit},
		{"duplicates and gaps while paging", unstableOrder},
		{"a table that may not be read looks empty", deniedLooksEmpty},
		{"basic log-in refused for interactive users", basicRestricted},
		{"OAuth failures that look alike", oauthFailuresLookAlike},
		{"tokens that are shared and shrink", sharedTokensShrink},
		{"429 with and without headers", tooMany},
		{"cookies that serialise, and 202", sessions},
		{"HTML with 200", webPages},
		{"a business rule aborts", ruleAborts},
		{"closed records are read only", closedRecord},
		{"a field dropped in silence", droppedField},
		{"a lost update without If-Match shows in the version", lostUpdate},
		{"scripted times run in the user's zone", scriptedTimes},
		{"caret, comma, at sign and newline in a queried value", queriedValues},
		{"addresses of 8 KB", longAddresses},
		{"query access rules on filter and sort", queryRules},
		{"a reference by name is not resolved", referenceByName},
		{"ambiguous and disabled users", ambiguousUsers},
		{"rows without sys_id", rowsWithoutKey},
		{"pairs, null display values and grouped numbers", pairs},
		{"everything is a string", allText},
		{"texts are stable after one write", stableTexts},
		{"clearing strings, references, dates and choices", clearing},
		{"deletes are invisible to polling, and 404 is deleted or hidden", deletes},
		{"updates that bypass the timestamp", silentUpdates},
		{"lists of v1 answer 404 when empty", versionOne},
		{"batch neither atomic nor parallel, unserviced parts", batchNotAtomic},
		{"import set rows that fail with 201", importRowsFail},
		{"state numbers that collide across classes", collidingStates},
		{"state against incident_state", twinStates},
		{"a journal that is not readable", hiddenJournal},
		{"notes carry the time that tells older ones from the link", oldNotes},
		{"an attachment echoes with its own hash", attachmentEcho},
		{"attachments that are too large or of a wrong kind", attachmentLimits},
		{"an upload whose answer is lost", attachmentLost},
		{"files that are not attachments", improperFiles},
		{"numbers are assigned by the server", serverNumbers},
		{"double slashes and path prefixes", slashes},
		{"domain separation", domains},
		{"error texts in another language", otherLanguage},
	} {
		t.Run(g.name, g.test)
	}
}

func (in *instance) turn(t *testing.T, switches ...string) {
	t.Helper()
	for _, w := range switches {
		if err := in.Switch(w); err != nil {
			t.Fatal(err)
		}
	}
}

// fault replaces the faults of the instance.
func (in *instance) fault(t *testing.T, texts ...string) {
	t.Helper()
	in.Calm()
	for _, text := range texts {
		f, err := sim.ParseFault(text)
		if err == nil {
			err = in.Fault(f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// as is the incident table as one of the simulator's users sees it.
func (in *instance) as(t *testing.T, user string) *servicenow.Table {
	t.Helper()
	return collection(t, login(in.url, user), "incident")
}

// rows are the records of a scan, by key.
func rows(t *testing.T, tb *servicenow.Table, q connectors.Query) map[string]record.Record {
	t.Helper()
	if q.Paths == nil {
		q.Paths = []string{"short_description"}
	}
	out := map[string]record.Record{}
	if _, err := tb.Scan(t.Context(), q, func(r record.Record) error {
		r = r.Clone()
		r.Key, r.Version, r.Author = strings.Clone(r.Key), strings.Clone(r.Version), strings.Clone(r.Author)
		out[r.Key] = r
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// read reads one record; ok is false when it is not emitted.
func read(t *testing.T, tb *servicenow.Table, key string, paths ...string) (got record.Record, ok bool) {
	t.Helper()
	if err := tb.Read(t.Context(), paths, []string{key}, func(r record.Record) error {
		got, ok = r.Clone(), true
		got.Version, got.Author = strings.Clone(r.Version), strings.Clone(r.Author)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got, ok
}

// found are the keys of a search, sorted.
func found(t *testing.T, tb *servicenow.Table, path string, values ...string) []string {
	t.Helper()
	var list []record.Value
	for _, v := range values {
		list = append(list, record.OfText(v))
	}
	var keys []string
	if err := tb.Find(t.Context(), []string{path}, path, list, func(r record.Record) error {
		keys = append(keys, strings.Clone(r.Key))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

// put writes fields of one record and returns what the instance made of them, in the order of paths.
func put(t *testing.T, tb *servicenow.Table, key string, fields map[string]string, paths ...string) record.Record {
	t.Helper()
	r, err := tb.Update(t.Context(), paths, key, "", texts(fields))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func texts(fields map[string]string) record.Fields {
	out := record.Fields{}
	for p, v := range fields {
		if out[p] = record.OfText(v); v == "" {
			out[p] = record.NullValue
		}
	}
	return out
}

// wants fails unless err is of this kind and its hint says so.
func wants(t *testing.T, what string, err, kind error, hint string) *connectors.Error {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(connectors.Hint(err), hint) {
		t.Errorf("%s: the error is %v with hint %q; want %v with %q", what, err, connectors.Hint(err), kind, hint)
	}
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		return e
	}
	return &connectors.Error{}
}

func values(list ...any) []record.Value {
	var out []record.Value
	for _, v := range list {
		switch v := v.(type) {
		case nil:
			out = append(out, record.NullValue)
		case string:
			out = append(out, record.OfText(v))
		case record.Value:
			out = append(out, v)
		}
	}
	return out
}

func sameValues(t *testing.T, what string, got, want []record.Value) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func sameKeys(t *testing.T, what string, got map[string]record.Record, want ...string) {
	t.Helper()
	slices.Sort(want)
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) {
		t.Errorf("%s: got %d records %v, want %d %v", what, len(keys), keys, len(want), want)
	}
}

// noon is when the clock of every instance stands at first.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
