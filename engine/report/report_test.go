package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

var (
	text = record.OfText
	num  = record.OfInt
	null = record.NullValue
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// golden compares got with testdata/name; UPDATE=1 rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; UPDATE=1 rewrites it):\n%s", name, d)
	}
}

func stream(items ...plan.Item) iter.Seq2[plan.Item, error] {
	return func(yield func(plan.Item, error) bool) {
		for _, it := range items {
			if !yield(it, nil) {
				return
			}
		}
	}
}

func header() plan.Header {
	return plan.Header{Sync: "ticket_to_incident", Sides: [2]string{"ticket", "incident"}, Rules: "r1", Made: noon,
		Scan: [2]string{"full", "changes"}, Links: 1204, Elapsed: 0.84}
}

// sample is the plan that the design shows.
func sample() (plan.Footer, []plan.Item) {
	f := plan.Footer{Creates: 1, Updates: 2, Conflicts: 1, Digest: "d1",
		Requests: []plan.Requests{{Connection: "helpdesk"}, {Connection: "prod", Count: 5, Share: 0.001}}}
	return f, []plan.Item{
		{Action: &plan.Action{Kind: plan.Create, Side: record.Right, SideName: "incident", From: plan.Ref{SideName: "ticket", Key: "T-1042"},
			Changes: []plan.Change{{Path: "short_description", From: null, To: text("Router 7 down"), Field: "summary", Why: `ticket.title "Router 7 down"`}}}},
		{Action: &plan.Action{Kind: plan.Update, Side: record.Right, SideName: "incident", Key: "9c57", Label: "INC0010023",
			From:    plan.Ref{SideName: "ticket", Key: "T-1001"},
			Changes: []plan.Change{{Path: "state", From: text("2"), To: text("6"), Field: "state", Why: `ticket.status "open" → "resolved"`}}}},
		{Action: &plan.Action{Kind: plan.Update, Side: record.Left, SideName: "ticket", Key: "T-1003",
			From:    plan.Ref{SideName: "incident", Key: "77aa", Label: "INC0010025"},
			Changes: []plan.Change{{Path: "incident_number", From: null, To: text("INC0010025"), Field: "number", Why: `incident.number null → "INC0010025"`}}}},
		{Conflict: &plan.Conflict{Sync: "ticket_to_incident", Keys: [2]string{"T-1009", "31aa"}, Labels: [2]string{"", "INC0010031"}, Field: "urgency",
			Base: [2]record.Value{num(2), num(2)}, Now: [2]record.Value{num(1), num(3)}, Policy: "ask", Why: "both sides moved"}},
	}
}

func planText(t *testing.T, h plan.Header, f plan.Footer, st report.Style, items ...plan.Item) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Plan(&b, h, f, stream(items...), st); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPlanText(t *testing.T) {
	f, items := sample()
	golden(t, "sample.txt", planText(t, header(), f, report.Style{}, items...))
	golden(t, "sample-color.txt", planText(t, header(), f, report.Style{Color: true}, items...))
	golden(t, "quiet.txt", planText(t, header(), plan.Footer{}, report.Style{}))
	unsettled := header()
	unsettled.InFlight = 2
	golden(t, "inflight.txt", planText(t, unsettled, plan.Footer{}, report.Style{}))

	many := []plan.Item{
		{Action: &plan.Action{Kind: plan.Create, SideName: "incident", From: plan.Ref{SideName: "ticket", Key: "T-7"}, Why: "new ticket", Marker: "correlation_id",
			Changes: []plan.Change{
				{Path: "a_path_that_is_longer_than_its_column", To: text("x"), Field: "long", Why: "ticket.y 7"},
				{Path: "impact", To: text("1"), Field: "priority", Why: "new ticket"},
				{Path: "state", To: text("2"), Field: "state", Why: `ticket.status "open"`},
				{Path: "text", To: text(strings.Repeat("long ", 30)), Field: "text", Why: `ticket.text "` + strings.Repeat("long ", 12) + "…"},
				{Path: "correlation_id", To: text("T-7"), Field: "match", Why: `ticket.id "T-7"`},
				{Path: "password", To: text("hunter2"), Field: "password", Why: `ticket.password "hunter2"`, Sensitive: true},
			}}},
		{Action: &plan.Action{Kind: plan.Delete, SideName: "ticket", Key: "T-8", From: plan.Ref{SideName: "incident", Key: "k8", Label: "INC8"},
			Why: "its incident is gone"}},
		{Action: &plan.Action{Kind: plan.Update, SideName: "ticket", Key: "T-9", From: plan.Ref{SideName: "incident", Key: "k9"},
			Changes: []plan.Change{
				{Path: "secret", From: text("hunter2"), To: text("hunter3"), Field: "secret", Why: `incident.secret "hunter2" → "hunter3"`, Sensitive: true},
				{Path: "number", From: null, Pending: "number", Field: "number", Why: "incident.number"},
				{Path: "tags", From: record.OfList([]record.Value{text("a")}), To: record.OfList([]record.Value{text("a"), text("b")}), Field: "tags"},
			},
		}},
		{Conflict: &plan.Conflict{Sync: "s", Keys: [2]string{"T-9", "k9"}, Field: "title", Base: [2]record.Value{text("a"), text("a")},
			Now: [2]record.Value{text("b"), text("c")}, Policy: "newest", Why: "incident is newer by 40 s"}},
		{Conflict: &plan.Conflict{Sync: "s", Keys: [2]string{"T-10", ""}, Why: "two incidents carry its marker: INC1, INC2", Policy: "ask"}},
		{Conflict: &plan.Conflict{Sync: "s p", Keys: [2]string{"it's", "k11"}, Field: "pin", Sensitive: true, Now: [2]record.Value{text("1234"), text("9999")}, Policy: "ask"}},
		{Hold: &plan.Hold{Sync: "s", Keys: [2]string{"T-12", "k12"}, Labels: [2]string{"", "INC12"}, Field: "state", Cause: `"pending" has no row in translation state`,
			Hint: "add a row"}},
		{Hold: &plan.Hold{Sync: "s", Keys: [2]string{"T-13", ""}, Cause: "the ticket could not be read"}},
	}
	golden(t, "kinds.txt", planText(t, header(), plan.Footer{Creates: 1, Updates: 1, Deletes: 1, Conflicts: 2, Held: 2, Linked: 3, Detached: 1, Ended: 1, Digest: "abc",
		Requests: []plan.Requests{{Connection: "prod", Count: 1, Share: 0.0001}, {Connection: "noc", Count: 1200}},
		Stops:    []plan.Stop{{Limit: "deletes", Why: "1 delete is more than 1 % of 20 links", Hint: "raise limits.deletes"}}}, report.Style{}, many...))
}

func TestLongValuesShowWhatChanges(t *testing.T) {
	filler := strings.Repeat("all is well on the northern ring; ", 8)
	tests := []struct {
		name     string
		from, to record.Value
		want     []string
		not      []string
	}{
		{"a word in the middle of long text", text(filler + "router up. " + filler), text(filler + "router down. " + filler),
			[]string{`"…ing; router up. all is wel…" → "…ing; router down. all is wel…"`, "(555 → 557 characters)"}, nil},
		{"the last character", text(filler + "a"), text(filler + "b"), []string{`hern ring; a" → "…thern ring; b"`}, nil},
		{"something appended", text(filler), text(filler + "and more"), []string{`ring; and more"`}, nil},
		{"a long text cleared", text(filler), null, []string{`"all is well`, "→ null"}, nil},
		{"short text stays whole", text("a"), text("b"), []string{`"a" → "b"`}, []string{"…"}},
		{"a very long difference says how much it leaves out", text("x"), text(strings.Repeat("0123456789", 100)), []string{"840 characters more"}, nil},
		{"line ends and control characters are escapes", text("a\nb\x1b[31m\u202e"), text("c"), []string{`"a\nb\u001b[31m\u202e" → "c"`}, []string{"\x1b", "\u202e"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := planText(t, header(), plan.Footer{Updates: 1}, report.Style{}, plan.Item{Action: &plan.Action{Kind: plan.Update, SideName: "ticket", Key: "T-1",
				Changes: []plan.Change{{Path: "p", From: tt.from, To: tt.to, Field: "f"}}}})
			for _, w := range tt.want {
				if !strings.Contains(got, w) {
					t.Errorf("want %q in\n%s", w, got)
				}
			}
			for _, n := range tt.not {
				if strings.Contains(got, n) {
					t.Errorf("want no %q in\n%s", n, got)
				}
			}
		})
	}
}

func TestAChangeIsNeverOutOfSight(t *testing.T) {
	// Whatever two different texts are, their two shown forms differ.
	rapid.Check(t, func(t *rapid.T) {
		pre := rapid.StringN(0, 300, -1).Draw(t, "pre")
		post := rapid.StringN(0, 300, -1).Draw(t, "post")
		a, b := pre+rapid.StringN(0, 40, -1).Draw(t, "a")+post, pre+rapid.StringN(0, 40, -1).Draw(t, "b")+post
		if a == b {
			t.Skip("equal")
		}
		var buf bytes.Buffer
		err := report.Plan(&buf, header(), plan.Footer{Updates: 1}, stream(plan.Item{Action: &plan.Action{Kind: plan.Update, SideName: "s", Key: "k",
			Changes: []plan.Change{{Path: "p", From: text(a), To: text(b)}}}}), report.Style{})
		if err != nil {
			t.Fatal(err)
		}
		line := strings.Split(buf.String(), "\n")[2]
		if n := strings.Count(buf.String(), "\n"); n != 4 {
			t.Fatalf("%d lines, want 4: a value broke its line", n)
		}
		_, line, _ = strings.Cut(line, " p")
		line, _, _ = strings.Cut(strings.TrimSpace(line), " (") // the lengths
		if from, to, ok := strings.Cut(line, " → "); ok && !strings.Contains(a+b, " → ") && !strings.Contains(a+b, " (") && from == to {
			t.Fatalf("%q → %q shows no change: %s", a, b, line)
		}
	})
}

func TestSensitiveValuesAreInNoView(t *testing.T) {
	c := plan.Conflict{Sync: "s", Keys: [2]string{"a", "b"}, Field: "pin", Sensitive: true, Policy: "ask", Why: "hunter2 against hunter3",
		Base: [2]record.Value{text("hunter1"), text("hunter1")}, Now: [2]record.Value{text("hunter2"), text("hunter3")}}
	items := []plan.Item{
		{Action: &plan.Action{Kind: plan.Update, SideName: "t", Key: "k",
			Changes: []plan.Change{{Path: "p", From: text("hunter1"), To: text("hunter2"), Why: `x.p "hunter2"`, Field: "p", Sensitive: true}}}},
		{Conflict: &c},
	}
	e := report.Explanation{Fields: []report.FieldVerdict{{Field: "pin", Sensitive: true, Why: "hunter9",
		Read:  [2][]report.PathView{{{Path: "p", Base: text("hunter1"), Now: text("hunter2")}}},
		Write: [2][]report.PathSet{nil, {{Path: "q", To: text("hunter3")}}}}}}
	var b bytes.Buffer
	for _, err := range []error{
		report.Plan(&b, header(), plan.Footer{}, stream(items...), report.Style{}),
		report.PlanJSON(&b, header(), plan.Footer{}, stream(items...)),
		report.ResultJSON(&b, plan.Result{Action: *items[0].Action, Outcome: plan.Done}),
		report.Result(&b, plan.Result{Action: *items[0].Action, Outcome: plan.Done}, report.Style{}),
		report.Conflicts(&b, []report.Waiting{{Sides: [2]string{"l", "r"}, Conflict: &c}}, noon, report.Style{}),
		report.Explain(&b, e, report.Style{}),
		report.JSON(&b, e.Redacted()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(b.String(), "hunter") {
		t.Errorf("a sensitive value is shown:\n%s", b.String())
	}
	if got := items[0].Action.Changes[0].To.Text(); got != "hunter2" {
		t.Errorf("showing a plan changed it: %q", got)
	}
}

func TestPlanJSONIsOneObjectALine(t *testing.T) {
	f, items := sample()
	var b bytes.Buffer
	if err := report.PlanJSON(&b, header(), f, stream(items...)); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for line := range strings.Lines(b.String()) {
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for k := range m {
			kinds = append(kinds, k)
		}
	}
	want := []string{"header", "action", "action", "action", "conflict", "footer"}
	if d := cmp.Diff(want, kinds); d != "" {
		t.Error(d)
	}
}

func TestErrorsEndTheView(t *testing.T) {
	broken := errors.New("the spool is gone")
	items := func(yield func(plan.Item, error) bool) { yield(plan.Item{}, broken) }
	if err := report.Plan(io.Discard, header(), plan.Footer{}, items, report.Style{}); !errors.Is(err, broken) {
		t.Errorf("text: %v", err)
	}
	if err := report.PlanJSON(io.Discard, header(), plan.Footer{}, items); !errors.Is(err, broken) {
		t.Errorf("JSON: %v", err)
	}
	full := errors.New("disk full")
	if err := report.Plan(failing{full}, header(), plan.Footer{}, stream(), report.Style{}); !errors.Is(err, full) {
		t.Errorf("writer: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestResultsAndRuns(t *testing.T) {
	var b bytes.Buffer
	_, items := sample()
	create, update := *items[0].Action, *items[1].Action
	run := plan.Run{ID: 7, Sync: "ticket_to_incident", Started: noon, Ended: noon.Add(1200 * time.Millisecond), Trigger: "apply",
		Footer: plan.Footer{Creates: 1, Updates: 2, Conflicts: 1}, Done: 1, Skipped: 1, Failed: 1}
	stopped := plan.Run{ID: 8, Sync: "ticket_to_incident", Started: noon, Ended: noon, Trigger: "schedule",
		Footer: plan.Footer{Creates: 2000, Stops: []plan.Stop{{Limit: "creates"}}}}
	failed := plan.Run{ID: 9, Sync: "incident_to_property", Started: noon, Ended: noon.Add(3 * time.Minute), Trigger: "after", Err: "scan alarm: busy", Hint: "wait"}
	for _, err := range []error{
		report.Result(&b, plan.Result{Action: create, Outcome: plan.Done, Key: "aa", Label: "INC0010050"}, report.Style{}),
		report.Result(&b, plan.Result{Action: update, Outcome: plan.Skipped, Why: "it changed since the plan was made"}, report.Style{}),
		report.Result(&b, plan.Result{Action: update, Outcome: plan.Failed, Why: "data policy: close_code is mandatory", Hint: "map close_code"}, report.Style{}),
		report.Result(&b, plan.Result{Action: update, Outcome: plan.Partly, Why: "the system dropped urgency"}, report.Style{}),
		report.Run(&b, run, report.Style{}),
		report.Run(&b, failed, report.Style{}),
		report.Runs(&b, []plan.Run{failed, stopped, run}, noon, report.Style{}),
		report.Runs(&b, nil, noon, report.Style{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "results.txt", b.String())
}

func TestStatusAndWaiting(t *testing.T) {
	var b bytes.Buffer
	run := plan.Run{Sync: "a", Started: noon.Add(-5 * time.Minute), Ended: noon.Add(-5 * time.Minute)}
	_, items := sample()
	asked := *items[3].Conflict
	asked.Since, asked.At = noon.Add(-26*time.Hour), "ticket.hcl:40"
	sides := [2]string{"ticket", "incident"}
	for _, err := range []error{
		report.StatusTable(&b, []report.Status{
			{Sync: "a", Known: true, Schedule: "*/2 * * * *", Links: 12345, LastRun: &run, LastGood: run.Started},
			{Sync: "bravo", Known: true, Held: 2, After: []string{"a"}},
			{Sync: "charlie", Known: true},
			{Sync: "gone", Links: 1},
		}, noon, report.Style{}),
		report.StatusTable(&b, []report.Status{{Sync: "a", Known: true, Schedule: "@every 1m", Next: noon.Add(time.Minute)}, {Sync: "b", Known: true}}, noon, report.Style{}),
		report.StatusTable(&b, nil, noon, report.Style{}),
		report.Conflicts(&b, []report.Waiting{{Sides: sides, Conflict: &asked}, {Sides: sides, Conflict: &asked, Take: "ticket", By: "ann"}}, noon, report.Style{}),
		report.Conflicts(&b, nil, noon, report.Style{}),
		report.Holds(&b, []report.Waiting{
			{Sides: sides, Hold: &plan.Hold{Sync: "a", Keys: [2]string{"T-1", "k"}, Labels: [2]string{"", "INC1"}, Field: "state", At: "ticket.hcl:50",
				Cause: "no row", Hint: "add one", Since: noon.Add(-time.Hour), Tries: 3, Next: noon.Add(time.Hour)}},
			{Sides: sides, Hold: &plan.Hold{Sync: "a", Keys: [2]string{"", "k2"}, Cause: "cannot be read", Since: noon.Add(-96 * time.Hour)}},
		}, noon, report.Style{}),
		report.Holds(&b, nil, noon, report.Style{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "waiting.txt", b.String())
}

func TestFindingsText(t *testing.T) {
	var b bytes.Buffer
	for _, err := range []error{
		report.Findings(&b, []report.Finding{
			{Connection: "prod", OK: true, What: "log-in", Detail: "integration"},
			{Connection: "prod", What: "rights", Detail: "incident cannot be written", Hint: "give integration the role itil"},
			{Connection: "helpdesk", OK: true, What: "sync a", Detail: "tickets: 3 paths to write"},
		}, report.Style{}),
		report.Findings(&b, []report.Finding{{Connection: "x", OK: true, What: "log-in", Detail: "me"}}, report.Style{}),
		report.Findings(&b, nil, report.Style{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "findings.txt", b.String())
}

func TestExplainText(t *testing.T) {
	var b bytes.Buffer
	err := report.Explain(&b, report.Explanation{Sync: "ticket_to_incident", Sides: [2]string{"ticket", "incident"}, Link: 4, Status: "live",
		Keys: [2]string{"T-1", "9c57"}, Labels: [2]string{"", "INC1"}, Seen: [2]string{"present", "present"}, Life: "stay",
		Fields: []report.FieldVerdict{
			{Field: "state", At: "ticket.hcl:40", Row: 3, Verdict: "write", Moved: [2]bool{true, false},
				Read:  [2][]report.PathView{{{"status", text("open"), text("resolved")}}, {{"state", text("2"), text("2")}}},
				Write: [2][]report.PathSet{nil, {{"state", text("6")}}}, Why: `ticket.status "open" → "resolved"`},
			{Field: "number", At: "ticket.hcl:52", Row: 2, Verdict: "keep", Holds: true,
				Read: [2][]report.PathView{nil, {{"number", record.Value{}, text("INC1")}}}},
		}}, report.Style{})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "explain.txt", b.String())
}

func TestACommentIsShownWithItsAuthorItsTimeAndItsFirstLine(t *testing.T) {
	entry := plan.Entry{Path: "work_notes", ID: "c1", Author: "ann", Time: noon, Text: "[ann] Router\x1b[31m " + strings.Repeat("very ", 30) + "hot\n\nSee you"}
	a := plan.Action{Kind: plan.Comment, Side: record.Right, SideName: "incident", Key: "9c", Label: "INC7", Link: 1,
		From: plan.Ref{SideName: "ticket", Key: "T-1"}, Entry: &entry}
	var b bytes.Buffer
	f := plan.Footer{Comments: 2, Requests: []plan.Requests{{Connection: "prod", Count: 6}}}
	if err := report.Plan(&b, header(), f, stream(plan.Item{Action: &a}), report.Style{}); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{"· 2 comments ·", "  + incident comment INC7  from ticket T-1\n", "      ann 2026-03-01 12:00:00  \"[ann] Router",
		"…", "0 to delete, 2 comments to carry."} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") || strings.Contains(got, "See you") {
		t.Errorf("more than the first line, or what it does to a terminal, is shown:\n%s", got)
	}
}
