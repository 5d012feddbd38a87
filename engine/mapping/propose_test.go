package mapping_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestFieldsArePairedByNameLabelAndMeaning(t *testing.T) {
	text := record.Type{Kind: record.Text}
	choice := func(pairs ...string) (cs []connectors.Choice) {
		for i := 0; i < len(pairs); i += 2 {
			cs = append(cs, connectors.Choice{Value: record.OfText(pairs[i]), Label: pairs[i+1]})
		}
		return cs
	}
	tickets := &connectors.Schema{Key: "id", Fields: []connectors.Field{
		{Path: "id", Type: text},
		{Path: "incident_number", Type: text},
		{Path: "title", Type: text},
		{Path: "status", Type: text, Choices: choice("new", "", "open", "", "solved", "", "spam", "")},
		{Path: "priority", Type: record.Type{Kind: record.Int}},
		{Path: "updated_at", Type: record.Type{Kind: record.Time}},
		{Path: "ort", Label: "Location", Type: text},
		{Path: "assignee", Type: text},
		{Path: "tags", Type: record.Type{Kind: record.List}},
		{Path: "category", Type: text, ReadOnly: true},
	}}
	incidents := &connectors.Schema{Key: "sys_id", Fields: []connectors.Field{
		{Path: "sys_id", Type: text, ReadOnly: true},
		{Path: "number", Type: text, ReadOnly: true},
		{Path: "short_description", Type: text},
		{Path: "state", Type: text, Choices: choice("1", "New", "2", "In Progress", "6", "Resolved", "8", "Canceled")},
		{Path: "priority", Type: text},
		{Path: "sys_updated_on", Type: text},
		{Path: "location", Label: "Location", Type: text},
		{Path: "assigned_to", Type: text, Reference: "sys_user"},
		{Path: "tags", Type: text},
		{Path: "category", Type: text, ReadOnly: true},
	}}
	v := record.OfText
	want := []mapping.Proposal{
		{Name: "title", Paths: [2]string{"title", "short_description"}, To: [2]bool{true, true}, Why: "both are usually the title"},
		{Name: "state", Paths: [2]string{"status", "state"}, To: [2]bool{true, true}, Why: "both are usually the state",
			Rows: [][2]record.Value{{v("new"), v("1")}, {v("open"), v("2")}, {v("solved"), v("6")}}, Left: [2][]record.Value{{v("spam")}, {v("8")}}},
		{Name: "priority", Paths: [2]string{"priority", "priority"}, To: [2]bool{true, true}, Why: "they have the same name"},
		{Name: "number", Paths: [2]string{"incident_number", "number"}, To: [2]bool{true, false}, Why: "the ticket has a place for it"},
		{Name: "location", Paths: [2]string{"ort", "location"}, To: [2]bool{true, true}, Why: "both are called Location"},
	}
	got := mapping.Propose([2]string{"ticket", "incident"}, [2]*connectors.Schema{tickets, incidents})
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b record.Value) bool { return a == b })); d != "" {
		t.Error(d)
	}
}
