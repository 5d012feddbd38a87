package servicenow_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestAQueryAsksForWhatEveryRowInItShows(t *testing.T) {
	values := func(pairs ...string) record.Fields {
		f := record.Fields{}
		for i := 0; i < len(pairs); i += 2 {
			f[pairs[i]] = record.OfText(pairs[i+1])
		}
		return f
	}
	for _, c := range []struct {
		name, native string
		want         connectors.Terms
	}{
		{"one value", "category=network", connectors.Terms{Values: values("category", "network"), Whole: true}},
		{"several, in an order", "active=true^category=network^ORDERBYnumber^EQ", connectors.Terms{Values: values("active", "true", "category", "network"), Whole: true}},
		{"a value with signs in it", "short_description=a=b, c", connectors.Terms{Values: values("short_description", "a=b, c"), Whole: true}},
		{"one value of some beside it", "category=network^urgencyIN1,2", connectors.Terms{Values: values("category", "network"), Choice: []string{"urgency"}}},
		{"alternatives", "category=network^state=1^ORstate=2^impact=1", connectors.Terms{Values: values("category", "network", "impact", "1"), Choice: []string{"state"}}},
		{"two sets of rows", "category=network^NQcategory=hardware", connectors.Terms{}},
		{"behind a reference", "assignment_group.name=NOC", connectors.Terms{Values: values(), Choice: []string{"assignment_group.name"}}},
		{"what the instance works out", "assigned_to=javascript:gs.getUserID()", connectors.Terms{Values: values(), Choice: []string{"assigned_to"}}},
		{"what new rows are as a rule", "state!=7^close_codeISEMPTY^category=network", connectors.Terms{Values: values("category", "network")}},
		{"what the instance stamps", "sys_created_onONToday@javascript:gs.beginningOfToday()@javascript:gs.endOfToday()", connectors.Terms{Values: values()}},
		{"an empty value", "category=", connectors.Terms{Values: values(), Choice: []string{"category"}}},
		{"twice, with two values", "category=network^category=hardware", connectors.Terms{}},
		{"a related list", "category=network^RLQUERYincident.problem_id,>=1^ENDRLQUERY", connectors.Terms{}},
		{"what an instance would drop", "category = network", connectors.Terms{}},
		{"nothing", "", connectors.Terms{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, (&servicenow.Settings{}).Admits("incident", c.native), cmp.Comparer(func(a, b record.Value) bool { return a == b })); d != "" {
				t.Error(d)
			}
		})
	}
}
