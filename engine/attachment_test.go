package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// filing is a world with one linked pair whose sides carry attachments both ways.
func filing(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.fileRules()
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.minute()
	return w
}

func (w *world) fileRules() {
	w.ticket.Files, w.incident.Files = []connectors.Thread{{Path: "files"}}, []connectors.Thread{{Path: "attachments"}}
	w.rules.Attachments = &reconcile.Attachments{At: "m.hcl:40", Paths: [2]string{"files", "attachments"}, To: [2]bool{true, true}, MaxSize: 1 << 20}
}

func (w *world) toTicket(name, content string) string {
	return w.ticket.AttachFile("files", "T-1", "ann", name, "text/plain", []byte(content))
}

func (w *world) toIncident(name, content string) string {
	return w.incident.AttachFile("attachments", "sys1", "bob", name, "text/plain", []byte(content))
}

// wantFiles compares the files on both sides of the pair, as "name: content".
func (w *world) wantFiles(why string, ticket, incident []string) {
	w.t.Helper()
	for _, c := range []struct {
		name, path, key string
		in              *memory.Store
		want            []string
	}{{"ticket", "files", "T-1", w.ticket, ticket}, {"incident", "attachments", "sys1", w.incident, incident}} {
		var got []string
		files, contents := c.in.Filed(c.path, c.key)
		for i, f := range files {
			got = append(got, f.Name+": "+string(contents[i]))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			w.t.Errorf("%s: files of %s (-want +got):\n%s", why, c.name, diff)
		}
	}
}

// held are the holds that are stored, as "field: cause".
func (w *world) held() []string {
	w.t.Helper()
	var got []string
	err := w.engine.Store.Waiting(w.t.Context(), "", func(x engine.Waiting) error {
		if x.Hold != nil {
			got = append(got, x.Hold.Field+": "+x.Hold.Cause)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func TestAttachmentsAreCarriedBothWaysOnce(t *testing.T) {
	for _, hashes := range []bool{true, false} {
		t.Run(fmt.Sprintf("systems tell hashes: %t", hashes), func(t *testing.T) {
			w := filing(t)
			w.ticket.NoHash, w.incident.NoHash = !hashes, !hashes
			w.toTicket("router.log", "boot")
			w.toIncident("shot.txt", "click")
			w.wantPlan("both are shown", "attachment ticket T-1", "attachment incident sys1")
			w.wantFiles("a preview adds nothing", []string{"router.log: boot"}, []string{"shot.txt: click"})
			if acc := w.apply(); acc.Done != 2 || acc.Footer.Attached != 2 || acc.Footer.Changes() != 2 {
				t.Errorf("%d done of %d attachments, want 2 of 2", acc.Done, acc.Footer.Attached)
			}
			ticket, incident := []string{"router.log: boot", "shot.txt: click"}, []string{"shot.txt: click", "router.log: boot"}
			w.wantFiles("carried", ticket, incident)
			for range 3 {
				w.minute()
				w.wantPlan("no echo")
				w.apply()
			}
			w.job.Full = true
			w.wantPlan("not when all of them are listed again either")
			w.apply()
			w.wantFiles("once only", ticket, incident)
		})
	}
}

func TestAFileIsItsContent(t *testing.T) {
	for _, hashes := range []bool{true, false} {
		t.Run(fmt.Sprintf("systems tell hashes: %t", hashes), func(t *testing.T) {
			w := filing(t)
			w.ticket.NoHash, w.incident.NoHash = !hashes, !hashes
			w.toTicket("a.txt", "same")
			w.toIncident("b.txt", "same")
			w.toTicket("c.txt", "once")
			w.toTicket("d.txt", "once")
			w.toTicket("e.txt", "more")
			w.wantPlan("what the other side has is not carried, and equal files are carried once", "attachment incident sys1", "attachment incident sys1")
			w.apply()
			want := []string{"b.txt: same", "c.txt: once", "e.txt: more"}
			all := []string{"a.txt: same", "c.txt: once", "d.txt: once", "e.txt: more"}
			w.wantFiles("carried", all, want)
			w.minute()
			w.toTicket("f.txt", "once")
			all = append(all, "f.txt: once")
			w.wantPlan("a content that was carried before is not carried again")
			w.apply()
			w.wantFiles("still once", all, want)
			w.job.Full = true
			w.wantPlan("and nothing is left")
		})
	}
}

func TestAFileThatComesBetweenPlanAndUploadIsNotDoubled(t *testing.T) {
	w := filing(t)
	w.toTicket("a.txt", "same")
	r, err := w.engine.Start(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.toIncident("b.txt", "same")
	var results []plan.Result
	if _, err := r.Apply(t.Context(), engine.Approval{Emit: func(res plan.Result) { results = append(results, res) }}); err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || results[0].Outcome != plan.Done || results[0].Why == "" {
		t.Errorf("results %+v, want one that is done and says why", results)
	}
	w.wantFiles("one on each side", []string{"a.txt: same"}, []string{"b.txt: same"})
}

func TestAFileThatTheRulesRefuseIsSaidOnceAndHoldsUpNothing(t *testing.T) {
	w := filing(t)
	w.rules.Attachments.MaxSize, w.rules.Attachments.Types = 10, []string{"text/*"}
	w.toTicket("large.txt", strings.Repeat("x", 11))
	w.ticket.AttachFile("files", "T-1", "ann", "virus.exe", "application/octet-stream", []byte("boom"))
	w.ticket.AttachFile("files", "T-1", "ann", "unnamed", "", []byte("?"))
	w.toTicket("ok.txt", "fine")
	w.wantPlan("the others go", "attachment incident sys1", "hold T-1 sys1 attachments", "hold T-1 sys1 attachments", "hold T-1 sys1 attachments")
	r, err := w.engine.Plan(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for it, err := range r.Items() {
		if err != nil {
			t.Fatal(err)
		}
		if it.Hold != nil {
			said = append(said, it.Hold.Cause)
			if it.Hold.Hint == "" || it.Hold.At != "m.hcl:40" {
				t.Errorf("%s has the way out %q and the rule %q", it.Hold.Cause, it.Hold.Hint, it.Hold.At)
			}
		}
	}
	r.Close()
	slices.Sort(said)
	want := []string{"large.txt: it has 11 bytes, and max_size is 10 bytes", `unnamed: files of the type "" are not carried`, `virus.exe: files of the type "application/octet-stream" are not carried`}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}
	w.apply()
	files, _ := w.incident.Filed("attachments", "sys1")
	if len(files) != 1 || files[0].Name != "ok.txt" {
		t.Errorf("carried %+v, want ok.txt alone", files)
	}
	w.minute()
	w.wantPlan("once")
	w.job.Full = true
	w.wantPlan("also when everything is listed again")
	if got := w.held(); len(got) != 0 {
		t.Errorf("waiting: %v", got)
	}
	w.job.Full = false
	w.apply()
	w.now = w.now.Add(time.Hour)
	w.toTicket("new.txt", "new")
	w.apply()
	w.wantPlan("and when they are older than all that is new")
	w.rules.Attachments.MaxSize, w.rules.Attachments.Types = 1<<20, nil
	w.wantPlan("an edited rule looks at them again", "attachment incident sys1", "attachment incident sys1", "attachment incident sys1")
	w.apply()
	if files, _ := w.incident.Filed("attachments", "sys1"); len(files) != 5 {
		t.Errorf("%d files, want all 5", len(files))
	}
	w.wantPlan("and nothing is left")
}

func TestAttachmentsOlderThanTheLink(t *testing.T) {
	for _, tt := range []struct {
		name    string
		paired  bool
		history bool
		want    []string
	}{
		{"stay where they are", true, false, []string{"after.txt: 2"}},
		{"are carried where the mapping asks for that", true, true, []string{"before.txt: 1", "after.txt: 2"}},
		{"are carried to the record that was made for them", false, false, []string{"before.txt: 1", "after.txt: 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.fileRules()
			w.rules.Attachments.History = tt.history
			w.ticket.Add(text("title", "a", "status", "new"))
			if tt.paired {
				w.incident.Add(text("marker", "T-1", "summary", "a", "state", "new"))
			}
			w.toTicket("before.txt", "1")
			w.minute()
			w.apply()
			w.minute()
			w.toTicket("after.txt", "2")
			for range 3 {
				w.minute()
				w.apply()
			}
			w.wantFiles("carried", []string{"before.txt: 1", "after.txt: 2"}, tt.want)
			w.job.Full = true
			w.wantPlan("nothing more when all are listed again")
		})
	}
}

func TestARefusedFileIsHeldWithGrowingDelayAndHoldsUpNoOther(t *testing.T) {
	w := filing(t)
	w.toTicket("bad.exe", "boom")
	w.toTicket("good.txt", "fine")
	refuse, asked := true, 0
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "attach" && !op.Done {
			if asked++; refuse && asked != 2 {
				return &connectors.Error{Kind: connectors.ErrRefused, Op: "attach", Detail: "type not allowed", Hint: "allow it"}
			}
		}
		return nil
	}
	acc, results, err := w.tryApply(engine.Approval{})
	if err != nil || acc.Done != 1 || acc.Failed != 1 {
		t.Fatalf("%+v, %v; want one done, one failed", results, err)
	}
	all := []string{"bad.exe: boom", "good.txt: fine"}
	w.wantFiles("the other went", all, []string{"good.txt: fine"})
	if diff := cmp.Diff([]string{"attachments: bad.exe: attach: refused: type not allowed"}, w.held()); diff != "" {
		t.Errorf("waiting (-want +got):\n%s", diff)
	}
	tries := []int{}
	for range 16 { // minutes
		before := asked
		w.wantPlan("it is shown", w.plan()...)
		w.apply()
		tries = append(tries, asked-before)
		w.minute()
	}
	if diff := cmp.Diff([]int{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, tries); diff != "" {
		t.Errorf("tries by minute (-want +got):\n%s", diff)
	}
	w.wantPlan("while it waits it is a hold", "hold T-1 sys1 attachments")
	refuse = false
	w.job.Full = true
	w.apply()
	w.wantFiles("a full run does not wait", all, []string{"good.txt: fine", "bad.exe: boom"})
	if got := w.held(); len(got) != 0 {
		t.Errorf("still waiting: %v", got)
	}
}

func TestWhatWaitsForAFileEndsWithTheFile(t *testing.T) {
	w := filing(t)
	id := w.toTicket("bad.exe", "boom")
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "attach" {
			return &connectors.Error{Kind: connectors.ErrRefused, Op: "attach"}
		}
		return nil
	}
	w.apply()
	w.ticket.Edit("T-1", text("title", "b"))
	w.minute()
	w.apply()
	if got := w.held(); len(got) != 1 {
		t.Fatalf("deciding the fields left %v waiting, want the file", got)
	}
	w.ticket.RemoveFile(id)
	w.now = w.now.Add(time.Hour)
	w.apply()
	if got := w.held(); len(got) != 0 {
		t.Errorf("still waiting: %v", got)
	}
	w.toTicket("again.exe", "boom")
	w.apply()
	w.rules.Attachments = nil
	w.minute()
	w.apply()
	if got := w.held(); len(got) != 0 {
		t.Errorf("without the rule %v waits", got)
	}
}

func TestAttachmentsThatCannotBeListedAreHeldAndFieldsGoOn(t *testing.T) {
	for _, side := range record.Sides {
		t.Run(side.String(), func(t *testing.T) {
			w := filing(t)
			w.ticket.Edit("T-1", text("title", "b"))
			w.toIncident("shot.txt", "click")
			denied := 0
			hook := func(_ context.Context, op memory.Op) error {
				if op.Name == "attachments" && !op.Done {
					denied++
					return &connectors.Error{Kind: connectors.ErrDenied, Op: "attachments", Hint: "ask for the role"}
				}
				return nil
			}
			if side == record.Left {
				w.ticket.Hook = hook
			} else {
				w.incident.Hook = hook
			}
			w.apply()
			w.wantIncident("sys1", text("summary", "b"))
			if got := w.held(); len(got) == 0 || !strings.Contains(got[0], "not allowed") {
				t.Errorf("waiting: %v", got)
			}
			before := denied
			w.apply()
			if denied != before {
				t.Errorf("it was asked %d times before its time", denied-before)
			}
			w.ticket.Hook, w.incident.Hook = nil, nil
			w.minute()
			w.apply()
			w.wantFiles("when they can be listed", []string{"shot.txt: click"}, []string{"shot.txt: click"})
			if got := w.held(); len(got) != 0 {
				t.Errorf("still waiting: %v", got)
			}
		})
	}
}

func TestMoreAttachmentsThanTheLimitOfUpdatesStopThePlan(t *testing.T) {
	w := filing(t)
	w.toTicket("a.txt", "1")
	w.toTicket("b.txt", "2")
	w.job.Limits.Updates = engine.Limit{Number: 1}
	_, _, err := w.tryApply(engine.Approval{})
	stop, ok := errors.AsType[*engine.StoppedError](err)
	if !ok || len(stop.Stops) != 1 || stop.Stops[0].Limit != "attachments" {
		t.Fatalf("the run ended with %v, want a stop at the attachments", err)
	}
	if _, _, err := w.tryApply(engine.Approval{Stops: stop.Digest}); err != nil {
		t.Fatal(err)
	}
	w.wantFiles("approved", []string{"a.txt: 1", "b.txt: 2"}, []string{"a.txt: 1", "b.txt: 2"})
}

func TestAPlanFileCarriesTheFilesThatItShows(t *testing.T) {
	w := filing(t)
	w.toTicket("shown.txt", "1")
	r, err := w.engine.Plan(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := r.Write(&file); err != nil {
		t.Fatal(err)
	}
	r.Close()
	plans, err := engine.ReadPlans(&file)
	if err != nil {
		t.Fatal(err)
	}
	w.toTicket("later.txt", "2")
	w.minute()
	if _, _, err := w.tryApply(engine.Approval{Saved: plans[0]}); err != nil {
		t.Fatal(err)
	}
	w.wantFiles("no other", []string{"shown.txt: 1", "later.txt: 2"}, []string{"shown.txt: 1"})
	w.minute()
	w.apply()
	w.wantFiles("the next run has it", []string{"shown.txt: 1", "later.txt: 2"}, []string{"shown.txt: 1", "later.txt: 2"})
}

func TestAttachmentsOneWayStayOneWay(t *testing.T) {
	w := filing(t)
	w.rules.Attachments.To[record.Left] = false
	w.toTicket("a.txt", "1")
	w.toIncident("b.txt", "2")
	w.apply()
	w.wantFiles("only towards the incident", []string{"a.txt: 1"}, []string{"b.txt: 2", "a.txt: 1"})
}
