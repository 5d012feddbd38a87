package engine_test

import (
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestAResultSaysHowMuchOfALongValueIsStored(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", strings.Repeat("ü", 5000)))
	w.incident.Normalise = func(path string, v record.Value) record.Value {
		if path == "summary" {
			return record.OfText(string([]rune(v.Text())[:160]))
		}
		return v
	}
	_, results, err := w.tryApply(engine.Approval{})
	if err != nil {
		t.Fatal(err)
	}
	if got := results[0]; got.Outcome != plan.Partly || got.Why != "summary: the first 160 of 5000 characters are stored" {
		t.Errorf("%s: %s", got.Outcome, got.Why)
	}
}
