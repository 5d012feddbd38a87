package sim_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

func TestASavedInstanceGoesOnWhereItStopped(t *testing.T) {
	a := sim.New(sim.Options{})
	first := a.Insert("incident", map[string]string{"short_description": "before"})
	var file bytes.Buffer
	if err := a.Save(&file); err != nil {
		t.Fatal(err)
	}
	b := sim.New(sim.Options{})
	b.Insert("incident", map[string]string{"short_description": "goes away"})
	if err := b.Load(&file); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a.All("incident"), b.All("incident")); d != "" {
		t.Errorf("incidents (-saved +loaded):\n%s", d)
	}
	second := b.Insert("incident", map[string]string{"short_description": "after"})
	if second == first || b.Get("incident", second)["number"] == b.Get("incident", first)["number"] {
		t.Errorf("the next incident has the sys_id or number of the first: %v", b.Get("incident", second))
	}
	if err := b.Load(bytes.NewReader([]byte("{"))); err == nil {
		t.Error("a cut file was loaded")
	}
}
