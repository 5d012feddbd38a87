package servicenow_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

const staging = "u_staging_incident"

// staged makes settings for the incidents written through the staging table.
func staged(s *servicenow.Settings, c servicenow.CollectionSettings) *servicenow.Settings {
	c.Name, c.ImportSet = "incident", staging
	s.Collections = []servicenow.CollectionSettings{c}
	return s
}

// byImport is an instance with a staging table, and its incidents as the integration writes them.
func byImport(t *testing.T, switches ...string) (*instance, *servicenow.Table) {
	t.Helper()
	in := newInstance(t, sim.Options{})
	in.turn(t, append([]string{"import-set=" + staging + ":incident:correlation_id"}, switches...)...)
	return in, in.table(t, staged(login(in.url, "integration"), servicenow.CollectionSettings{}))
}

func TestConformanceThroughImportSets(t *testing.T) {
	o := sim.Options{Switches: sim.Switches{ImportSets: []string{staging + ":incident:sys_id"}, ImportFields: []string{staging + ".u_record:sys_id", staging + ".u_title:short_description"}}}
	conformance(t, o, func(in *instance) *servicenow.Settings {
		return staged(admin(in.url), servicenow.CollectionSettings{Coalesce: "sys_id", Columns: map[string]string{"sys_id": "u_record", "short_description": "u_title"}})
	})
}

func importRowsFail(t *testing.T) {
	in, tb := byImport(t)
	r, err := tb.Create(t.Context(), []string{"number", "short_description"}, texts(map[string]string{"correlation_id": "T-1", "short_description": "one"}))
	if err != nil || !strings.HasPrefix(r.Values[0].Text(), "INC") || r.Values[1].Text() != "one" {
		t.Fatalf("create: %v, %v", r.Values, err)
	}
	statuses := func() []int {
		var out []int
		for _, j := range in.Journal() {
			if strings.HasPrefix(j.Path, "/api/now/import/") {
				out = append(out, j.Status)
			}
		}
		return out
	}
	// A data policy, a business rule: the row fails, the answer is a 201.
	_, err = tb.Update(t.Context(), []string{"state"}, r.Key, "", texts(map[string]string{"state": "6"}))
	if e := wants(t, "a data policy", err, connectors.ErrRefused, "data policy"); len(e.Fields) != 2 || !strings.Contains(e.Detail, `answers "error"`) {
		t.Errorf("%q names %v", e.Detail, e.Fields)
	}
	in.turn(t, "abort=incident?urgency=1")
	_, err = tb.Update(t.Context(), []string{"state"}, r.Key, "", texts(map[string]string{"urgency": "1"}))
	wants(t, "a business rule", err, connectors.ErrRefused, `"Not like this"`)
	_, err = tb.Create(t.Context(), []string{"state"}, texts(map[string]string{"correlation_id": "T-2", "urgency": "1"}))
	wants(t, "a create that a rule stops", err, connectors.ErrRefused, `"Not like this"`)
	for i, s := range statuses() {
		if s != 201 {
			t.Errorf("row %d was answered with %d", i+1, s)
		}
	}
	if n := len(in.All("incident")); n != 1 || in.Get("incident", r.Key)["state"] != "1" {
		t.Errorf("%d incidents, state %s", n, in.Get("incident", r.Key)["state"])
	}
	// Nothing to change is no failure, and clearing works where the map copies empty values.
	same := put(t, tb, r.Key, map[string]string{"short_description": "one"}, "short_description")
	sameValues(t, "what was so already", same.Values, values("one"))
	sameValues(t, "cleared", put(t, tb, r.Key, map[string]string{"short_description": ""}, "short_description").Values, values(nil))
	in.turn(t, "import-empties=dropped")
	put(t, tb, r.Key, map[string]string{"short_description": "two"}, "short_description")
	sameValues(t, "not cleared, and it says so", put(t, tb, r.Key, map[string]string{"short_description": ""}, "short_description").Values, values("two"))
}

func TestImportSetsWriteToNoOtherRecord(t *testing.T) {
	in, tb := byImport(t)
	update := func(key string, f map[string]string) error {
		_, err := tb.Update(t.Context(), []string{"state"}, key, "", texts(f))
		return err
	}
	blank := in.Insert("incident", nil)
	wants(t, "a record without a value to find it by", update(blank, map[string]string{"urgency": "2"}), connectors.ErrRefused, "make another record")
	one, two := in.Insert("incident", map[string]string{"correlation_id": "t-1"}), in.Insert("incident", map[string]string{"correlation_id": "T-1"})
	wants(t, "two with one value", update(two, map[string]string{"urgency": "2"}), connectors.ErrRefused, "make it unique")
	in.Delete("incident", one)
	if err := update(two, map[string]string{"urgency": "2"}); err != nil {
		t.Error(err)
	}
	wants(t, "another value to find it by", update(two, map[string]string{"correlation_id": "T-9"}), connectors.ErrRefused, "no rule")
	wants(t, "a record that is gone", update(one, map[string]string{"urgency": "2"}), connectors.ErrNotFound, "")
	_, err := tb.Create(t.Context(), []string{"state"}, texts(map[string]string{"correlation_id": "T-1"}))
	wants(t, "a create that meets one", err, connectors.ErrRefused, "the next run pairs")
	if got := in.Get("incident", two)["urgency"]; got != "2" || len(in.All("incident")) != 2 {
		t.Errorf("urgency %s of %d incidents", got, len(in.All("incident")))
	}
	// A map that coalesces on something else than the mapping says is found out by its first answer, and not asked again.
	in.turn(t, "import-set=", "import-set="+staging+":incident")
	wants(t, "a map that coalesces on nothing", update(two, map[string]string{"urgency": "1"}), connectors.ErrRefused, "has to coalesce on correlation_id")
	wants(t, "and again", update(two, map[string]string{"urgency": "1"}), connectors.ErrRefused, "start again")
	if n := len(in.All("incident")); n != 3 {
		t.Errorf("%d incidents: one stray record was to be made, and no second", n)
	}
}

func TestImportSetsWithoutRights(t *testing.T) {
	in, _ := byImport(t)
	s := staged(login(in.url, "closer"), servicenow.CollectionSettings{})
	tb := in.table(t, s)
	wants(t, "a user without the role", create(t.Context(), tb), connectors.ErrDenied, "import_transformer")
	if n := len(in.All(staging)); n != 1 || len(in.All("incident")) != 0 {
		t.Errorf("%d staged rows and %d incidents", n, len(in.All("incident")))
	}
	for user, want := range map[string]bool{"closer": false, "integration": true} {
		found, err := open(t, staged(login(in.url, user), servicenow.CollectionSettings{})).(connectors.Checker).Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(found, func(f connectors.Finding) bool { return f.What == "import sets" })
		if i < 0 || found[i].OK != want {
			t.Errorf("%s: %v", user, found)
		}
	}
	s.Collections[0].ImportSet = "u_nosuch"
	_, err := in.connect(t, s, nil).Collection(t.Context(), "incident")
	wants(t, "a staging table that is not there", err, connectors.ErrConfig, "u_nosuch")
	in.fault(t, "500-after:POST "+staging)
	wants(t, "an answer that is lost", create(t.Context(), in.table(t, staged(login(in.url, "integration"), servicenow.CollectionSettings{}))), connectors.ErrOutcome, "")
}

func TestImportSetAnswersOfEveryShape(t *testing.T) {
	for _, c := range []struct {
		name, result string
		kind         error
		says         string
	}{
		{"no map", `[]`, connectors.ErrRefused, "no transform map"},
		{"skipped", `[{"table":"incident","status":"skipped","status_message":"by a script"}]`, connectors.ErrRefused, "by a script"},
		{"ignored without a record", `[{"table":"incident","status":"ignored"}]`, connectors.ErrRefused, `"ignored"`},
		{"an error without a word", `[{"table":"incident","status":"error"}]`, connectors.ErrRefused, `"error"`},
		{"another map's record", `[{"table":"problem","status":"inserted","sys_id":"p1"},{"table":"incident","status":"error","error_message":"no"}]`, connectors.ErrRefused, "no"},
		{"nothing that is known", `[{"table":"incident","status":"pondering"}]`, connectors.ErrOutcome, "pondering"},
		{"no list", `{}`, connectors.ErrOutcome, "list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := newInstance(t, sim.Options{})
			in.turn(t, "import-set="+staging+":incident")
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(http.StatusCreated)
					_, _ = w.Write([]byte(`{"import_set":"ISET1","staging_table":"x","result":` + c.result + `}`))
					return
				}
				in.ServeHTTP(w, r)
			}))
			t.Cleanup(srv.Close)
			tb := in.table(t, staged(login(srv.URL, "integration"), servicenow.CollectionSettings{}))
			_, err := tb.Create(t.Context(), []string{"state"}, record.Fields{"correlation_id": record.OfText("T-1")})
			if e := wants(t, c.name, err, c.kind, ""); !strings.Contains(e.Detail, c.says) {
				t.Errorf("it says %q", e.Detail)
			}
		})
	}
}
