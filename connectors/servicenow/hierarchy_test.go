package servicenow_test

import (
	"slices"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// extended adds a table that extends incident, with a field and a list of states of its own, and a class of
// configuration items two generations down.
func extended(t *testing.T, in *instance) {
	t.Helper()
	table := func(name, super string) {
		parent := in.Find("sys_db_object", "name", super)
		if len(parent) != 1 || in.Insert("sys_db_object", map[string]string{"name": name, "label": name, "super_class": parent[0]["sys_id"]}) == "" {
			t.Fatalf("%s cannot extend %s", name, super)
		}
	}
	table("u_outage", "incident")
	in.Insert("sys_dictionary", map[string]string{"name": "u_outage", "element": "u_site", "column_label": "Site", "internal_type": "string", "max_length": "20"})
	in.Insert("sys_dictionary", map[string]string{"name": "u_outage", "element": "short_description", "column_label": "What is out", "internal_type": "string", "max_length": "80"})
	in.Insert("sys_choice", map[string]string{"name": "u_outage", "element": "state", "value": "20", "label": "Dark"})
	table("cmdb_ci_hardware", "cmdb_ci")
	table("cmdb_ci_switch", "cmdb_ci_hardware")
	in.Insert("sys_dictionary", map[string]string{"name": "cmdb_ci_hardware", "element": "serial_number", "column_label": "Serial number", "internal_type": "string"})
}

func TestAnyClassIsDescribedWithWhatItInherits(t *testing.T) {
	in := newInstance(t, sim.Options{})
	extended(t, in)
	conn := in.connect(t, admin(in.url), nil)
	describe := func(name string) *connectors.Schema {
		c, err := conn.Collection(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.(*servicenow.Table).Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	outage := describe("u_outage")
	for path, label := range map[string]string{"u_site": "Site", "close_code": "Resolution code", "correlation_id": "Correlation ID", "short_description": "What is out"} {
		if f, ok := outage.Field(path); !ok || f.Label != label {
			t.Errorf("%s of u_outage: %+v", path, f)
		}
	}
	if f, _ := outage.Field("short_description"); f.MaxLength != 80 {
		t.Errorf("the nearest definition has 80 characters, and it says %d", f.MaxLength)
	}
	if f, _ := outage.Field("sys_class_name"); !f.ReadOnly {
		t.Error("the class of a record can be written")
	}
	for _, c := range []struct {
		table, path string
		choices     int
		closed      bool
	}{
		{"u_outage", "state", 1, true},    // its own list replaces its parent's
		{"u_outage", "urgency", 3, true},  // task's
		{"incident", "state", 6, false},   // outages among its rows have others
		{"incident", "urgency", 3, true},  // nobody's but task's
		{"task", "state", 6, false},       // incidents have others
		{"problem", "state", 6, true},     // inherited, and nobody below has one
		{"incident", "severity", 3, true}, //
	} {
		if f, _ := describe(c.table).Field(c.path); len(f.Choices) != c.choices || f.Closed != c.closed {
			t.Errorf("%s.%s has %d choices, closed %v; want %d, %v", c.table, c.path, len(f.Choices), f.Closed, c.choices, c.closed)
		}
	}
	s := describe("cmdb_ci_switch")
	if _, ok := s.Field("serial_number"); !ok || s.Label != "name" {
		t.Errorf("two generations down: label %q", s.Label)
	}
}

func TestAParentShowsAndWritesTheRowsOfItsClasses(t *testing.T) {
	in := newInstance(t, sim.Options{})
	extended(t, in)
	want := map[string][2]string{ // class and state by key: the same number for three things
		in.Insert("incident", map[string]string{"state": "3"}):        {"incident", "3"},
		in.Insert("u_outage", map[string]string{"state": "3"}):        {"u_outage", "3"},
		in.Insert("change_request", map[string]string{"state": "-5"}): {"change_request", "-5"},
	}
	tb := in.table(t, admin(in.url))
	tasks := collection(t, admin(in.url), "task")
	got := rows(t, tasks, connectors.Query{Paths: []string{"sys_class_name", "state"}})
	if len(got) != len(want) {
		t.Fatalf("%d tasks", len(got))
	}
	for key, w := range want {
		sameValues(t, key, got[key].Values, values(w[0], w[1]))
		r := put(t, tasks, key, map[string]string{"short_description": "by its parent"}, "short_description", "sys_class_name")
		sameValues(t, key, r.Values, values("by its parent", w[0]))
	}
	if n := len(rows(t, tb, connectors.Query{})); n != 2 {
		t.Errorf("%d incidents, want the outage among them", n)
	}
	// Rules bind the classes below incident, whatever table the write names.
	outage := in.Find("u_outage", "state", "3")[0]["sys_id"]
	_, err := tasks.Update(t.Context(), []string{"state"}, outage, "", texts(map[string]string{"state": "6"}))
	wants(t, "resolving an outage through task", err, connectors.ErrRefused, "data policy")
}

func deleted(t *testing.T, tb *servicenow.Table, since time.Time) []string {
	t.Helper()
	var keys []string
	if err := tb.Deleted(t.Context(), since.Format("2006-01-02 15:04:05"), func(key string) error { keys = append(keys, key); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

func TestTheLogOfDeletionsIsRead(t *testing.T) {
	in := newInstance(t, sim.Options{})
	extended(t, in)
	one, outage, problem, late := in.Insert("incident", nil), in.Insert("u_outage", nil), in.Insert("problem", nil), in.Insert("incident", nil)
	in.Delete("incident", one)
	in.Delete("incident", outage)
	in.Delete("problem", problem)
	tb := in.table(t, admin(in.url))
	want := []string{one, outage}
	slices.Sort(want)
	if got := deleted(t, tb, noon); !slices.Equal(got, want) {
		t.Errorf("deleted: %v, want %v", got, want)
	}
	in.clock.Pass(time.Hour)
	in.Delete("incident", late)
	if got := deleted(t, tb, noon.Add(time.Hour)); !slices.Equal(got, []string{late}) {
		t.Errorf("of the last hour: %v", got)
	}
	// Who may not read it sees nothing, which proves nothing; who is denied is told so.
	if got := deleted(t, in.as(t, "noroles"), noon); len(got) != 0 {
		t.Errorf("somebody without rights sees %v", got)
	}
	in.turn(t, "deny-query=sys_audit_delete.tablename")
	err := in.as(t, "integration").Deleted(t.Context(), "2026-03-01 12:00:00", func(string) error { return nil })
	wants(t, "a denied log", err, connectors.ErrDenied, "")
	err = tb.Deleted(t.Context(), "yesterday", func(string) error { return nil })
	wants(t, "no time", err, connectors.ErrConfig, "everything")
}

func TestRecordsAreCountedWithoutReadingThem(t *testing.T) {
	in := newInstance(t, sim.Options{})
	add(in, 30, map[string]string{"category": "network"})
	add(in, 12, map[string]string{"category": "software"})
	tb := in.as(t, "integration")
	before := len(in.Journal())
	for query, want := range map[string]int64{"": 42, "category=network": 30, "category=network^NQcategory=software": 42, "category=database": 0} {
		if n, err := tb.Count(t.Context(), query); err != nil || n != want {
			t.Errorf("%q: %d %v, want %d", query, n, err, want)
		}
	}
	if n := requests(in, "/api/now/table/incident", before); n != 1 { // one row to see that category is there
		t.Errorf("%d requests for rows", n)
	}
	_, err := tb.Count(t.Context(), "categry=network")
	wants(t, "a field that is not there", err, connectors.ErrConfig, "")
	_, err = in.as(t, "noroles").Count(t.Context(), "")
	wants(t, "a user without rights", err, connectors.ErrDenied, "itil")
	in.fault(t, "cut-broken:incident")
	if _, err := tb.Count(t.Context(), ""); err == nil {
		t.Error("a count that was cut off was believed")
	}
}
