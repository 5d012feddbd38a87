package report_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/report"
)

var morning = time.Date(2026, 5, 4, 8, 0, 0, 0, time.UTC)

func blamed() report.Blame {
	return report.Blame{Sync: "ticket_to_incident", Sides: [2]string{"ticket", "incident"}, Link: 7, Status: "live", Keys: [2]string{"T-1001", "9c57"},
		Labels: [2]string{"", "INC0010023"}, Seen: [2]string{"present", "shown as it was seen last"},
		Notes: []string{"incident was created by run 3, 2026-05-04 08:00:00Z"},
		Paths: []report.PathBlame{
			{Side: "ticket", Path: "title", Fields: []string{"summary"}, Values: []report.ValueBlame{
				{Value: text("router down"), Live: true, Note: "changed since, in its own system: the next run sees it"},
				{Value: text("router\nup"), By: "person", Who: "ann@desk", Run: 9, At: morning, ID: 18},
				{Value: text("switch up"), Note: "before the first run", ID: 4}}},
			{Side: "incident", Path: "state", Fields: []string{"state"}, Values: []report.ValueBlame{
				{Value: text("6"), Live: true, By: "rule", Rule: "state", Run: 8, At: morning},
				{Value: text("2"), By: "edit", Who: "bob", Run: 5, At: morning.Add(-time.Hour), ID: 12},
				{Value: null, By: "rule", Run: 4, At: morning.Add(-2 * time.Hour), ID: 11}}},
			{Side: "incident", Path: "pin", Sensitive: true, Values: []report.ValueBlame{{Value: text("1234"), Live: true}, {Value: null, ID: 3}}},
		}}
}

func TestBlameText(t *testing.T) {
	var b bytes.Buffer
	if err := report.PrintBlame(&b, blamed(), report.Style{}); err != nil {
		t.Fatal(err)
	}
	if err := report.PrintBlame(&b, report.Blame{Sync: "s", Sides: [2]string{"a", "b"}, Seen: [2]string{"gone", "gone"}, Keys: [2]string{"1", "2"}, Status: "ended"}, report.Style{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "blame.txt", b.String())
}

func TestPutsText(t *testing.T) {
	list := []report.Put{
		{ID: 12, Sync: "s", Side: "incident", Key: "9c57", Label: "INC0010023", Path: "state", From: text("6"), To: text("2"), By: "rule state", Run: 8, At: morning, Outcome: plan.Done},
		{ID: 13, Sync: "s", Side: "incident", Key: "9c57", Label: "INC0010023", Path: "pin", From: text("1234"), To: text("4321"), By: "rule pin", Run: 8, At: morning, Sensitive: true,
			Note: "field pin leads from ticket: the next run overwrites it again", Outcome: plan.Partly, Why: "pin was stored as something else"},
		{ID: 14, Sync: "s", Side: "ticket", Key: "T-1", Path: "title", From: text("b"), To: text("a"), By: "an edit by bob", At: morning, Outcome: plan.Failed, Why: "403", Hint: "ask for the right"},
		{ID: 15, Sync: "s", Side: "ticket", Key: "T-2", Path: "title", Skip: "it was changed since"},
		{ID: 16, Sync: "s", Side: "ticket", Key: "T-3", Skip: "the run created this record"},
	}
	var b bytes.Buffer
	if err := report.Puts(&b, list, report.Style{}); err != nil {
		t.Fatal(err)
	}
	if err := report.PutResults(&b, list, report.Style{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "puts.txt", b.String())
}

func TestHistoryForProgramsHidesWhatIsSensitive(t *testing.T) {
	var b bytes.Buffer
	puts := []report.Put{{Path: "pin", From: text("1234"), To: text("4321"), Sensitive: true}, {Path: "state", From: text("6"), To: null}}
	if err := report.JSON(&b, map[string]any{"blame": blamed().Redacted(), "puts": report.RedactPuts(puts)}); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"1234", "4321"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	if !strings.Contains(b.String(), `"from": "6"`) || !strings.Contains(b.String(), "router down") {
		t.Error("what is not sensitive is hidden")
	}
	if puts[0].From != text("1234") || blamed().Paths[2].Values[0].Value != text("1234") {
		t.Error("hiding changed the caller's values")
	}
}

func TestAPlanThatWaitsForApprovalIsInTheStatus(t *testing.T) {
	waits := &report.WaitingPlan{Digest: "d1", Since: morning, Stops: []plan.Stop{{Limit: "deletes", Why: "9 deletes are more than 1 %"}}}
	run := &plan.Run{Started: morning, Ended: morning, Stopped: true, Err: "x: stopped", Footer: plan.Footer{Deletes: 9, Stops: waits.Stops}}
	approved := *waits
	approved.ApprovedBy, approved.Until = "ann@desk", morning.Add(24*time.Hour)
	var b bytes.Buffer
	err := report.StatusTable(&b, []report.Status{
		{Sync: "quiet", Known: true}, {Sync: "two words", Known: true, LastRun: run, Waits: waits}, {Sync: "approved", Known: true, LastRun: run, Waits: &approved},
	}, morning, report.Style{})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "approval.txt", b.String())
}
