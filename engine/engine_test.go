package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	"github.com/fieldsync/fieldsync/engine/state"
)

// A world is a help desk and an instance in memory, and an engine between them:
//
//	ticket   key, title, status, number, queue
//	incident key, marker, summary, state, number
//
// title and summary are copied both ways, status and state too, number flows back one way.
type world struct {
	t         *testing.T
	now       time.Time
	ticket    *memory.Store
	incident  *memory.Store
	rules     *reconcile.Rules
	job       engine.Job
	engine    *engine.Engine
	statePath string
}

var (
	ticketPaths   = []string{"key", "number", "queue", "status", "title"}
	incidentPaths = []string{"key", "marker", "number", "state", "summary"}
)

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir())
}

// newWorldIn has its state in a folder of the test's own choice.
func newWorldIn(t *testing.T, dir string) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2027, 3, 1, 8, 0, 0, 0, time.UTC), statePath: filepath.Join(dir, "state.db")}
	clock := func() time.Time { return w.now }
	w.ticket = memory.New(memory.Text("number", "queue", "status", "title")...)
	w.ticket.Now = clock
	w.ticket.NewKey = func(n int) string { return fmt.Sprintf("T-%d", n) }
	w.incident = memory.New(memory.Text("marker", "number", "state", "summary")...)
	w.incident.Now = clock
	w.incident.NewKey = func(n int) string { return fmt.Sprintf("sys%d", n) }
	w.incident.LabelPath = "number"
	w.incident.Normalise = func(path string, v record.Value) record.Value {
		if path == "summary" {
			return record.OfText(strings.TrimSpace(v.Text()))
		}
		return v
	}
	w.rules = rules()
	w.job = engine.Job{Rules: w.rules, Trigger: "apply", Limits: engine.Limits{
		Creates: engine.Limit{Number: -1}, Updates: engine.Limit{Number: -1}, Deletes: engine.Limit{Number: -1}}}
	w.job.Ends[0] = engine.End{Connection: "helpdesk", Collection: "tickets", Endpoint: "a", Handle: w.ticket}
	w.job.Ends[1] = engine.End{Connection: "prod", Collection: "incident", Endpoint: "b", Handle: &instance{Store: w.incident}}
	w.job.Ends[1].Limits.Concurrency = 1 // so that keys are given in the order of the plan
	w.open()
	return w
}

// open opens the state as a new process would.
func (w *world) open() {
	w.t.Helper()
	store, err := state.Open(w.statePath, state.Options{Now: func() time.Time { return w.now }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { store.Close() })
	w.engine = &engine.Engine{Store: store, Now: func() time.Time { return w.now }, Owner: fmt.Sprintf("test %p", store)}
}

func from(side record.Side, slot int) reconcile.Transform {
	return func(e reconcile.Env) ([]record.Value, error) { return []record.Value{e.Values[side][slot]}, nil }
}

func rules() *reconcile.Rules {
	L, R := record.Left, record.Right
	r := &reconcile.Rules{Sync: "ticket_to_incident", Digest: "rules 1"}
	r.Sides[L] = reconcile.SideRules{Name: "ticket", Paths: ticketPaths, Types: make([]record.Type, 5)}
	r.Sides[R] = reconcile.SideRules{Name: "incident", Paths: incidentPaths, Types: make([]record.Type, 5), Create: true}
	r.Match = []reconcile.Match{{At: "m.hcl:1", Slots: [2]int{0, 1}, Marker: [2]bool{false, true}}}
	both := func(name string, l, rr int, p reconcile.Policy) reconcile.Rule {
		return reconcile.Rule{Name: name, At: "m.hcl:9", Paths: [2][]int{{l}, {rr}}, Reads: [2][]int{{l}, {rr}},
			To: [2]reconcile.Transform{from(R, rr), from(L, l)}, Policy: p}
	}
	r.Fields = []reconcile.Rule{
		both("summary", 4, 4, reconcile.Policy{Kind: reconcile.Ask}),
		both("state", 3, 3, reconcile.Policy{Kind: reconcile.TakeSide, Side: R}),
		{Name: "number", At: "m.hcl:20", Paths: [2][]int{{1}, {2}}, Reads: [2][]int{{1}, {2}}, To: [2]reconcile.Transform{from(R, 2), nil}},
	}
	r.First = reconcile.First{Mode: reconcile.FirstSide, Side: L}
	return r
}

func text(kv ...string) record.Fields {
	f := record.Fields{}
	for i := 0; i < len(kv); i += 2 {
		f[kv[i]] = record.OfText(kv[i+1])
	}
	return f
}

// summary is a plan in a line an item, for comparison.
func summary(t *testing.T, r *engine.Run) []string {
	t.Helper()
	var out []string
	for it, err := range r.Items() {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case it.Action != nil:
			s := string(it.Action.Kind) + " " + it.Action.SideName + " " + it.Action.Key
			for _, c := range it.Action.Changes {
				s += fmt.Sprintf(" %s=%s", c.Path, c.To)
			}
			out = append(out, s)
		case it.Conflict != nil:
			out = append(out, "conflict "+it.Conflict.Keys[0]+" "+it.Conflict.Keys[1]+" "+it.Conflict.Field)
		case it.Hold != nil:
			out = append(out, "hold "+it.Hold.Keys[0]+" "+it.Hold.Keys[1]+" "+it.Hold.Field)
		}
	}
	return out
}

func (w *world) plan() []string {
	w.t.Helper()
	r, err := w.engine.Plan(w.t.Context(), w.job)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	return summary(w.t, r)
}

func (w *world) apply() plan.Run {
	w.t.Helper()
	acc, _, err := w.tryApply(engine.Approval{})
	if err != nil {
		w.t.Fatal(err)
	}
	return acc
}

func (w *world) tryApply(a engine.Approval) (plan.Run, []plan.Result, error) {
	w.t.Helper()
	r, err := w.engine.Start(w.t.Context(), w.job)
	if err != nil {
		return plan.Run{}, nil, err
	}
	defer r.Close()
	var results []plan.Result
	a.Emit = func(res plan.Result) { results = append(results, res) }
	acc, err := r.Apply(w.t.Context(), a)
	return acc, results, err
}

func (w *world) wantPlan(why string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.plan()); diff != "" {
		w.t.Errorf("%s: plan (-want +got):\n%s", why, diff)
	}
}

func (w *world) wantIncident(key string, want record.Fields) {
	w.t.Helper()
	got := w.incident.Get(key)
	for path, v := range want {
		if got[path] != v {
			w.t.Errorf("incident %s: %s is %s, want %s", key, path, got[path], v)
		}
	}
}

func TestATicketBecomesAnIncidentOnceAndGetsItsNumberBackInTheSameRun(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", " Router down ", "status", "new"))
	w.wantPlan("a create and the number that comes back are both previewed",
		`create incident  marker="T-1" state="new" summary=" Router down "`, `update ticket T-1 number=absent`)
	if n := w.incident.Writes(); n != 0 {
		t.Fatalf("the preview wrote %d times", n)
	}
	w.apply()
	w.wantIncident("sys1", text("marker", "T-1", "summary", "Router down", "number", "INC1"))
	if got := w.ticket.Get("T-1")["number"].Text(); got != "INC1" {
		t.Errorf("ticket has number %q, want INC1", got)
	}
	w.wantPlan("what the server trimmed is not an edit, and the second run is quiet")
	w.apply()
	w.wantPlan("and stays quiet")
	if w.incident.Len() != 1 {
		t.Errorf("%d incidents, want 1", w.incident.Len())
	}
}

func TestEditsTravelBothWays(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "b"))
	w.incident.Edit("sys1", text("state", "open"))
	w.wantPlan("one update on each side", `update ticket T-1 status="open"`, `update incident sys1 summary="b"`)
	w.apply()
	w.wantPlan("nothing left")
}

func TestAConflictWaitsIsDecidedByAPersonAndEnds(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "left"))
	w.incident.Edit("sys1", text("summary", "right", "state", "open"))
	w.wantPlan("the conflict waits, the rest flows", `update ticket T-1 status="open"`, "conflict T-1 sys1 summary")
	w.apply()
	w.wantPlan("it still waits", "conflict T-1 sys1 summary")
	if err := w.engine.Resolve(t.Context(), w.job, "INC1", "summary", record.Right, "ann"); err != nil {
		t.Fatal(err)
	}
	w.wantPlan("the decision is carried out", `update ticket T-1 title="right"`)
	w.apply()
	w.wantPlan("done")
}

func TestADecisionIsOnlyForWhatThePersonSaw(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "left"))
	w.incident.Edit("sys1", text("summary", "right"))
	if err := w.engine.Resolve(t.Context(), w.job, "T-1", "summary", record.Right, "ann"); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
	w.incident.Edit("sys1", text("summary", "right again"))
	w.wantPlan("somebody edited after the decision: it waits again", "conflict T-1 sys1 summary")
}

func TestAnEditBetweenPreviewAndWriteIsNotOverwritten(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "b"))
	r, err := w.engine.Start(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	w.incident.Edit("sys1", text("summary", "by a person"))
	var results []plan.Result
	if _, err := r.Apply(t.Context(), engine.Approval{Emit: func(res plan.Result) { results = append(results, res) }}); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if len(results) != 1 || results[0].Outcome != plan.Skipped {
		t.Errorf("want one skipped action, got %+v", results)
	}
	w.wantIncident("sys1", text("summary", "by a person"))
	w.wantPlan("the next run sees both edits", "conflict T-1 sys1 summary")
}

func TestALostAnswerToACreateMakesNoSecondRecord(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a"))
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "create" && op.Done {
			return &connectors.Error{Kind: connectors.ErrOutcome, Op: "create", Detail: "time-out"}
		}
		return nil
	}
	w.apply()
	w.incident.Hook = nil
	if w.incident.Len() != 1 {
		t.Fatalf("%d incidents, want 1", w.incident.Len())
	}
	w.wantPlan("found by its marker at once")
}

func TestACreateWhoseProcessDiedIsFoundAgain(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	boom := errors.New("killed")
	died := false
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "create" && op.Done {
			died = true
			return &connectors.Error{Kind: connectors.ErrOutcome, Op: "create", Err: boom}
		}
		if died && op.Name == "find" && !op.Done {
			return boom // the process is gone: it never gets to look
		}
		return nil
	}
	_, results, err := w.tryApply(engine.Approval{})
	if err != nil || len(results) != 1 || results[0].Outcome != plan.Failed {
		t.Fatalf("want one failed result, got %+v, %v", results, err)
	}
	w.incident.Hook = nil
	w.ticket.Edit("T-1", text("title", "edited meanwhile"))
	w.now = w.now.Add(time.Minute)
	w.open()
	w.wantInFlight(1)
	w.apply()
	if w.incident.Len() != 1 {
		t.Fatalf("%d incidents, want 1", w.incident.Len())
	}
	w.apply()
	w.wantIncident("sys1", text("summary", "edited meanwhile"))
	w.wantPlan("settled")
	w.wantInFlight(0)
}

// wantInFlight holds what a preview says of writes that nobody knows the outcome of.
func (w *world) wantInFlight(n int64) {
	w.t.Helper()
	r, err := w.engine.Plan(w.t.Context(), w.job)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	if got := r.Header().InFlight; got != n {
		w.t.Errorf("the preview says that %d writes are in flight, want %d", got, n)
	}
}

func TestAnEditOfARecordWhoseCreateWasNotAnsweredIsNotTakenForTheSystemsOwn(t *testing.T) {
	w := newWorld(t)
	w.rules.First = reconcile.First{Mode: reconcile.FirstAsk}
	w.ticket.Add(text("title", " a ", "status", "new"))
	died := false
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if died = died || op.Name == "create" && op.Done; died {
			return &connectors.Error{Kind: connectors.ErrOutcome, Op: op.Name, Detail: "killed"}
		}
		return nil
	}
	if acc, _, err := w.tryApply(engine.Approval{}); err == nil && acc.Failed != 1 {
		t.Fatal("want the create to fail")
	}
	w.incident.Hook = nil
	w.now = w.now.Add(time.Minute)
	w.incident.Edit("sys1", text("summary", "b"))
	w.open()
	w.apply()
	w.wantPlan("nobody knows whose it is: it is asked, and not called agreed", "conflict T-1 sys1 summary")
	if w.incident.Len() != 1 {
		t.Errorf("%d incidents, want 1", w.incident.Len())
	}
}

func TestACreateThatWasCopiedBeforeItWasFoundAgainIsNotGuessed(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	died := false
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if died = died || op.Name == "create" && op.Done; died {
			return &connectors.Error{Kind: connectors.ErrOutcome, Op: op.Name, Detail: "killed"}
		}
		return nil
	}
	if acc, _, err := w.tryApply(engine.Approval{}); err == nil && acc.Failed != 1 {
		t.Fatal("want the create to fail")
	}
	w.incident.Hook = nil
	w.incident.Add(w.incident.Get("sys1"))
	w.now = w.now.Add(time.Minute)
	w.open()
	w.apply()
	w.wantPlan("two incidents carry the marker", "conflict T-1  ")
}

func TestARunThatDiesBetweenACreateAndItsWriteBackIsFinishedByTheNext(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.ticket.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "update" {
			return &connectors.Error{Kind: connectors.ErrOffline, Op: "update", Detail: "killed"}
		}
		return nil
	}
	if _, _, err := w.tryApply(engine.Approval{}); !errors.Is(err, connectors.ErrOffline) {
		t.Fatalf("want the run to end, got %v", err)
	}
	w.ticket.Hook = nil
	w.open()
	w.wantPlan("the number is still to be written back", `update ticket T-1 number="INC1"`)
	w.apply()
	w.wantPlan("settled")
	if w.incident.Len() != 1 {
		t.Errorf("%d incidents, want 1", w.incident.Len())
	}
}

func TestAnOpenCreateIsSettledAlsoUnderRulesThatDoNotKnowItsMarker(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	lost := false
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "create" && op.Done {
			lost = true
			return &connectors.Error{Kind: connectors.ErrOutcome, Op: "create"}
		}
		if lost && op.Name == "find" {
			return errors.New("killed")
		}
		return nil
	}
	if _, _, err := w.tryApply(engine.Approval{}); err != nil {
		t.Fatal(err)
	}
	w.incident.Hook = nil
	w.ticket.Edit("T-1", text("number", "INC1"))
	w.rules = rules()
	w.rules.Digest = "without the marker"
	w.rules.Sides[1].Paths = []string{"key", "number", "state", "summary"}
	w.rules.Match = []reconcile.Match{{At: "m.hcl:1", Slots: [2]int{1, 1}}}
	w.rules.Fields = nil
	w.job.Rules = w.rules
	w.apply()
	if w.incident.Len() != 1 {
		t.Errorf("%d incidents, want 1", w.incident.Len())
	}
	w.wantPlan("settled")
}

// applyLosingTheAnswer applies while the answer to an update of an incident gets lost, and with it the connection.
func (w *world) applyLosingTheAnswer() {
	w.t.Helper()
	dead := false
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "update" && op.Done {
			dead = true
			return &connectors.Error{Kind: connectors.ErrOutcome, Op: "update"}
		}
		if dead && op.Name == "read" {
			return &connectors.Error{Kind: connectors.ErrBusy, Op: "read"}
		}
		return nil
	}
	if _, _, err := w.tryApply(engine.Approval{}); err != nil {
		w.t.Fatal(err)
	}
	w.incident.Hook = nil
}

func TestAnUpdateWhoseAnswerWasLostIsNotTakenForAnEdit(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "b"))
	w.applyLosingTheAnswer()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "c"))
	w.open()
	w.apply()
	w.wantIncident("sys1", text("summary", "c"))
	w.wantPlan("no conflict with ourselves")
}

func TestWhatAWriteMayHaveReplacedIsInTheHistoryThoughTheRecordIsGoneSince(t *testing.T) {
	w := newWorld(t)
	w.rules.Fields[0].Policy = reconcile.Policy{Kind: reconcile.TakeSide, Side: record.Left}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.ticket.Add(text("title", "b", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "ours"))
	w.incident.Edit("sys1", text("summary", "hers"))
	w.applyLosingTheAnswer()
	w.incident.Remove("sys1")
	w.now = w.now.Add(time.Minute)
	w.open()
	w.apply()
	if lines := w.history("T-1"); !slices.Contains(lines, "right summary hers→ours rule") {
		t.Errorf("what was replaced is nowhere: %v", lines)
	}
}

func TestASecondWriteWhoseAnswerWasLostIsNotTakenForAnEditEither(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.incident.Add(text("marker", "T-1", "summary", "a", "state", "new", "number", "INC1"))
	w.rules.First = reconcile.First{Mode: reconcile.FirstFillEmpty}
	w.incident.Normalise = nil
	w.incident.Edit("sys1", record.Fields{"summary": record.NullValue, "state": record.OfText("open")})
	w.ticket.Edit("T-1", record.Fields{"status": record.NullValue})
	w.wantPlan("first contact writes both sides", `update ticket T-1 number="INC1" status="open"`, `update incident sys1 summary="a"`)
	w.applyLosingTheAnswer()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "c"))
	w.incident.Edit("sys1", text("state", "waiting"))
	w.open()
	w.apply()
	w.wantIncident("sys1", text("summary", "c", "state", "waiting"))
	w.wantPlan("no conflict with ourselves")
}

func TestWhatACreateGivesBackLeavesOutWhatOnlyNewRecordsGet(t *testing.T) {
	for strength, queue := range map[reconcile.Strength]string{reconcile.OnCreate: "", reconcile.IfEmpty: "noc"} {
		w := newWorld(t)
		w.rules.Fields = append(w.rules.Fields, reconcile.Rule{Name: "queue", At: "m.hcl:40", Strength: strength,
			Paths: [2][]int{{2}, {2}}, Reads: [2][]int{{2}, {2}}, To: [2]reconcile.Transform{from(record.Right, 2), nil}})
		w.ticket.Add(text("title", "a", "status", "new", "queue", queue))
		w.wantPlan("the ticket is there already", `create incident  marker="T-1" state="new" summary="a"`, "update ticket T-1 number=absent")
	}
}

func TestARefusedCreateIsHeldAndTheRestGoesOn(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "poison"))
	w.ticket.Add(text("title", "good"))
	w.job.Ends[1].Handle = &instance{Store: w.incident, refuse: func(f record.Fields) error {
		if f["summary"].Text() == "poison" {
			return &connectors.Error{Kind: connectors.ErrRefused, Op: "create incident", Detail: "data policy", Hint: "fill it in"}
		}
		return nil
	}}
	acc := w.apply()
	if acc.Failed != 1 || w.incident.Len() != 1 {
		t.Errorf("failed %d, incidents %d; want 1 and 1", acc.Failed, w.incident.Len())
	}
	w.wantPlan("it waits for its next try", "hold T-1  ")
	w.now = w.now.Add(time.Hour)
	w.wantPlan("and is due again", `create incident  marker="T-1" summary="poison"`, "update ticket T-1 number=absent")
	w.job.Ends[1].Handle = &instance{Store: w.incident}
	w.apply()
	w.wantPlan("then it is done and nothing waits")
}

func TestACreateThatMayStillAppearIsWaitedForAndNotSentAgain(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	in := &instance{Store: w.incident, settles: time.Minute}
	w.job.Ends[1].Handle = in
	in.refuse = func(record.Fields) error {
		return &connectors.Error{Kind: connectors.ErrOutcome, Op: "create", Detail: "time-out"}
	}
	if _, _, err := w.tryApply(engine.Approval{}); err != nil {
		t.Fatal(err)
	}
	in.refuse = nil
	start := w.now
	w.engine.Sleep = func(_ context.Context, d time.Duration) error {
		if w.now = w.now.Add(d); w.now.Sub(start) == 10*time.Second {
			w.incident.Add(text("marker", "T-1", "summary", "a", "state", "new", "number", "INC1")) // the server was slow
		}
		return nil
	}
	w.apply()
	if waited := w.now.Sub(start); waited < 10*time.Second || waited > 20*time.Second {
		t.Errorf("waited %s, want until it appeared", waited)
	}
	if w.incident.Len() != 1 {
		t.Errorf("%d incidents, want 1", w.incident.Len())
	}
	w.wantPlan("settled")
}

func TestAnUpdateThatMayStillTakeEffectIsWaitedForBeforeAnybodyDecidesAgain(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lands time.Duration // after which the update that was never answered takes effect; 0: never
		least time.Duration
		most  time.Duration
	}{
		{"one that takes effect late", 10 * time.Second, 10 * time.Second, 20 * time.Second},
		{"one that never does", 0, time.Minute, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.ticket.Add(text("title", "a", "status", "new"))
			w.apply()
			w.job.Ends[1].Handle = &instance{Store: w.incident, settles: time.Minute}
			w.ticket.Edit("T-1", text("title", "b"))
			gone := false
			w.incident.Hook = func(_ context.Context, op memory.Op) error {
				if op.Name == "update" {
					gone = true // with the process that sent it
					return &connectors.Error{Kind: connectors.ErrOutcome, Op: "update"}
				}
				if gone && op.Name == "read" {
					return &connectors.Error{Kind: connectors.ErrBusy, Op: "read"}
				}
				return nil
			}
			if _, _, err := w.tryApply(engine.Approval{}); err != nil {
				t.Fatal(err)
			}
			w.incident.Hook = nil
			w.open()
			start := w.now
			w.engine.Sleep = func(_ context.Context, d time.Duration) error {
				if w.now = w.now.Add(d); tt.lands > 0 && w.now.Sub(start) == tt.lands {
					w.incident.EditAs("fieldsync", "sys1", text("summary", "b"))
				}
				return nil
			}
			w.apply()
			if waited := w.now.Sub(start); waited < tt.least || waited > tt.most {
				t.Errorf("waited %s, want %s to %s", waited, tt.least, tt.most)
			}
			w.wantIncident("sys1", text("summary", "b"))
			w.wantPlan("settled")
		})
	}
}

func TestAnUpdateThatWasNeverAnsweredIsNotSentAgainWhileItMayStillTakeEffect(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.job.Ends[1].Handle = &instance{Store: w.incident, settles: time.Minute}
	w.ticket.Edit("T-1", text("title", "b"))
	sent := 0
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name != "update" {
			return nil
		}
		sent++
		return &connectors.Error{Kind: connectors.ErrOutcome, Op: "update"}
	}
	acc, results, err := w.tryApply(engine.Approval{})
	if err != nil {
		t.Fatal(err)
	}
	if sent != 1 || acc.Failed != 1 || !strings.Contains(results[0].Hint, "the next run looks") {
		t.Fatalf("sent %d times, %d failed: %+v", sent, acc.Failed, results)
	}
	w.incident.Hook = nil
	// The slow transaction ends, and only then somebody edits. A write that had been sent again would have come last.
	w.now = w.now.Add(20 * time.Second)
	w.incident.EditAs("fieldsync", "sys1", text("summary", "b"))
	w.incident.EditAs("beth", "sys1", text("summary", "c"))
	start := w.now
	w.engine.Sleep = func(_ context.Context, d time.Duration) error { w.now = w.now.Add(d); return nil }
	w.apply()
	if waited := w.now.Sub(start); waited != 40*time.Second {
		t.Errorf("waited %s, want the rest of the minute after the run that sent it ended", waited)
	}
	w.wantIncident("sys1", text("summary", "c"))
}

func TestACreateThatNeverAppearsIsSentAgainWithTheSameMarkerOnceItCannotAppearAnyMore(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	in := &instance{Store: w.incident, settles: time.Minute}
	w.job.Ends[1].Handle = in
	in.refuse = func(record.Fields) error { return &connectors.Error{Kind: connectors.ErrOutcome, Op: "create"} }
	if _, _, err := w.tryApply(engine.Approval{}); err != nil {
		t.Fatal(err)
	}
	in.refuse = nil
	start := w.now
	w.engine.Sleep = func(_ context.Context, d time.Duration) error { w.now = w.now.Add(d); return nil }
	w.apply()
	if waited := w.now.Sub(start); waited != time.Minute {
		t.Errorf("waited %s, want a minute", waited)
	}
	w.wantIncident("sys1", text("marker", "T-1"))
	w.wantPlan("settled")
}

func TestARecordWhoseScopeCannotBeToldIsHeldAndTheRestGoesOn(t *testing.T) {
	w := newWorld(t)
	broken := true
	w.rules.Sides[0].Where = func(e reconcile.Env) (bool, error) {
		if broken && e.Values[0][2].Text() == "?" {
			return false, errors.New("ticket.queue is odd")
		}
		return true, nil
	}
	w.ticket.Add(text("title", "odd", "queue", "?"))
	w.ticket.Add(text("title", "fine", "queue", "noc"))
	w.wantPlan("the odd one is held", `create incident  marker="T-2" summary="fine"`, "update ticket T-2 number=absent", "hold T-1  ")
	w.apply()
	w.wantPlan("it waits", "hold T-1  ")
	broken = false
	w.now = w.now.Add(time.Hour)
	w.apply()
	w.wantPlan("and goes on when the rule is mended")
	if w.incident.Len() != 2 {
		t.Errorf("%d incidents, want 2", w.incident.Len())
	}
	broken = true
	w.now = w.now.Add(time.Hour)
	w.ticket.Edit("T-1", text("title", "odd again", "queue", "?"))
	w.incident.Edit("sys2", text("state", "open"))
	w.wantPlan("of a linked record nothing moves, neither way", "hold T-1 sys2 ")
	w.apply()
	w.now = w.now.Add(time.Hour)
	w.wantPlan("however often it is tried", "hold T-1 sys2 ")
	broken = false
	w.wantPlan("then both edits travel", `update ticket T-1 status="open"`, `update incident sys2 summary="odd again"`)
	w.apply()
	w.wantPlan("and nothing waits")
}

// An instance numbers what it creates, as ServiceNow does, may refuse to, and says how slow it can be.
type instance struct {
	*memory.Store
	refuse  func(record.Fields) error
	settles time.Duration
}

func (i *instance) Settles() time.Duration { return i.settles }

func (i *instance) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	if i.refuse != nil {
		if err := i.refuse(f); err != nil {
			return record.Record{}, err
		}
	}
	f = maps.Clone(f)
	f["number"] = record.OfText(fmt.Sprintf("INC%d", i.Len()+1))
	return i.Store.Create(ctx, paths, f)
}

func TestAMarkerThatWouldBeCutIsHeldBeforeTheCreate(t *testing.T) {
	w := newWorld(t)
	w.job.Ends[1].Schema = &connectors.Schema{Fields: []connectors.Field{{Path: "marker", MaxLength: 3}}}
	w.ticket.NewKey = func(n int) string { return fmt.Sprintf("T-%02d", n) }
	w.ticket.Add(text("title", "a"))
	acc := w.apply()
	if acc.Failed != 1 || w.incident.Len() != 0 {
		t.Errorf("failed %d, incidents %d; want 1 and none", acc.Failed, w.incident.Len())
	}
	w.wantPlan("it waits", "hold T-01  ")
}

func TestFirstContactPairsByMarkerAndTheFirstSideLeads(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.ticket.Add(text("title", fmt.Sprintf("t%d", i), "status", "new", "number", fmt.Sprintf("INC%d", i+1)))
		w.incident.Add(text("marker", fmt.Sprintf("T-%d", i+1), "summary", fmt.Sprintf("t%d", i), "state", "new", "number", fmt.Sprintf("INC%d", i+1)))
	}
	w.incident.Edit("sys2", text("summary", "other"))
	w.wantPlan("two pairs agree, one differs and the ticket leads", `update incident sys2 summary="t1"`)
	w.apply()
	w.wantPlan("quiet")
	if w.incident.Len() != 3 {
		t.Errorf("%d incidents, want 3", w.incident.Len())
	}
}

func TestTwoRecordsWithOneMarkerAreAConflictAndNeverAGuess(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a"))
	w.incident.Add(text("marker", "T-1", "summary", "a"))
	w.incident.Add(text("marker", "T-1", "summary", "a"))
	w.wantPlan("ambiguous", "conflict T-1  ")
	w.apply()
	w.wantPlan("still ambiguous", "conflict T-1  ")
	w.incident.Remove("sys2")
	w.apply()
	if w.incident.Len() != 1 {
		t.Errorf("%d incidents, want 1", w.incident.Len())
	}
	w.apply()
	w.wantPlan("once it is unique it pairs and the conflict is gone")
}

func TestANewTicketPairsWithAnIncidentThatWasSettledLongAgo(t *testing.T) {
	w := newWorld(t)
	w.incident.Add(text("marker", "T-1", "summary", "a", "number", "INC1"))
	w.apply()
	w.now = w.now.Add(time.Hour)
	w.ticket.Add(text("title", "a"))
	w.wantPlan("paired by a look-up, not created", `update ticket T-1 number="INC1"`)
	w.apply()
	if w.incident.Len() != 1 {
		t.Errorf("%d incidents, want 1", w.incident.Len())
	}
}

func TestADeletedTicketLeavesItsIncidentAloneAndIsNotMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.ticket.Add(text("title", "b", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Remove("T-1")
	w.job.Full = true
	w.wantPlan("detach is the default: nothing is written")
	w.apply()
	w.wantPlan("quiet")
	if w.incident.Len() != 2 || w.ticket.Len() != 1 {
		t.Errorf("%d incidents and %d tickets, want 2 and 1", w.incident.Len(), w.ticket.Len())
	}
}

func TestASmallSideIsReadWholeInEveryRun(t *testing.T) {
	w := newWorld(t)
	w.rules.Sides[0].Gone = reconcile.OnGone{Then: reconcile.GoneDelete, At: "m.hcl:30"}
	for _, title := range []string{"a", "b", "c"} {
		w.ticket.Add(text("title", title, "status", "new"))
	}
	w.now = w.now.Add(time.Hour)
	w.apply()
	w.ticket.Remove("T-1")
	w.now = w.now.Add(-time.Minute) // before what the last scan has seen: no scan for changes would find these
	w.ticket.Edit("T-2", text("title", "b2"))
	w.ticket.Add(text("title", "d", "status", "new"))
	w.now = w.now.Add(2 * time.Minute)
	w.wantPlan("a deletion, an edit and a new record whose stamps did not move",
		`create incident  marker="T-4" state="new" summary="d"`, `update ticket T-4 number=absent`, `update incident sys2 summary="b2"`, "delete incident sys1")
}

func TestALargeSideIsAskedForChangesAlone(t *testing.T) {
	for _, scoped := range []bool{false, true} {
		w := newWorld(t)
		if scoped { // few in scope, but many to read
			w.rules.Sides[0].Where = func(e reconcile.Env) (bool, error) { return e.Values[0][3].Text() == "new", nil }
		}
		for range 1001 {
			w.ticket.Add(text("title", "a", "status", "old"))
		}
		for range 3 {
			w.ticket.Add(text("title", "b", "status", "new"))
		}
		w.apply()
		w.now = w.now.Add(time.Minute)
		w.apply() // the first one wrote to every ticket, and so moved its stamp
		w.now = w.now.Add(time.Minute)
		w.ticket.Edit("T-1002", text("title", "c"))
		r, err := w.engine.Plan(t.Context(), w.job)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if diff := cmp.Diff([]string{`update incident ` + w.incidentOf("T-1002") + ` summary="c"`}, summary(t, r)); diff != "" {
			t.Errorf("scoped %t: plan (-want +got):\n%s", scoped, diff)
		}
		if h := r.Header(); h.Scan[0] != "changes" || h.Observed[0] > 100 {
			t.Errorf("scoped %t: scan of the tickets was %s and read %d, want changes alone", scoped, h.Scan[0], h.Observed[0])
		}
	}
}

// incidentOf is the key of the incident that carries a ticket's key as its marker.
func (w *world) incidentOf(ticket string) string {
	w.t.Helper()
	for _, k := range w.incident.Keys() {
		if w.incident.Get(k)["marker"].Text() == ticket {
			return k
		}
	}
	w.t.Fatalf("no incident is marked %s", ticket)
	return ""
}

func TestARecordMadeAgainDoesNotClearWhatOnlyItsSideKnew(t *testing.T) {
	w := newWorld(t)
	w.rules.Sides[1].Gone = reconcile.OnGone{Then: reconcile.GoneRecreate, At: "m.hcl:30"}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.job.Ends[1].Handle = w.incident // an instance that numbers nothing
	w.now = w.now.Add(time.Minute)
	w.incident.Remove("sys1")
	w.wantPlan("made again", `create incident  marker="T-1" state="new" summary="a"`, "update ticket T-1 number=absent")
	w.apply()
	if got := w.ticket.Get("T-1")["number"].Text(); got != "INC1" {
		t.Errorf("the ticket shows number %q, want the INC1 it had", got)
	}
	if w.incident.Len() != 1 {
		t.Errorf("%d incidents, want 1", w.incident.Len())
	}
	w.wantPlan("quiet")
}

func TestADeletePolicyDeletesOnlyWhatDidNotChange(t *testing.T) {
	w := newWorld(t)
	w.rules.Sides[0].Gone = reconcile.OnGone{Then: reconcile.GoneDelete, At: "m.hcl:30"}
	for _, title := range []string{"a", "b", "c"} {
		w.ticket.Add(text("title", title, "status", "new"))
	}
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Remove("T-1")
	w.ticket.Remove("T-2")
	w.incident.Edit("sys2", text("summary", "somebody still works on it"))
	w.job.Full = true
	w.wantPlan("one delete, one held because it changed", "delete incident sys1", "hold T-2 sys2 ")
	w.apply()
	if w.incident.Get("sys1") != nil || w.incident.Get("sys2") == nil {
		t.Error("want sys1 deleted and sys2 kept")
	}
}

func TestAnEmptySideStopsTheRunBeforeTheFirstWrite(t *testing.T) {
	w := newWorld(t)
	w.rules.Sides[0].Gone = reconcile.OnGone{Then: reconcile.GoneDelete}
	for range 3 {
		w.ticket.Add(text("title", "a"))
	}
	w.apply()
	w.job.Full = true
	for _, k := range w.ticket.Keys() {
		w.ticket.Remove(k)
	}
	before := w.incident.Writes()
	_, _, err := w.tryApply(engine.Approval{})
	stopped, ok := errors.AsType[*engine.StoppedError](err)
	if !ok || stopped.Stops[0].Limit != "shrunk side" {
		t.Fatalf("want a stop for the shrunk side, got %v", err)
	}
	if w.incident.Writes() != before || w.incident.Len() != 3 {
		t.Error("something was written")
	}
}

func TestALimitStopsThePlanAndAnApprovalOfItsDigestLetsItGo(t *testing.T) {
	w := newWorld(t)
	w.job.Limits.Creates = engine.Limit{Number: 1}
	w.ticket.Add(text("title", "a"))
	w.ticket.Add(text("title", "b"))
	_, _, err := w.tryApply(engine.Approval{})
	stopped, ok := errors.AsType[*engine.StoppedError](err)
	if !ok {
		t.Fatalf("want a stop, got %v", err)
	}
	if w.incident.Len() != 0 {
		t.Fatal("something was written")
	}
	if _, _, err := w.tryApply(engine.Approval{Stops: "another digest"}); err == nil {
		t.Error("a wrong approval was taken")
	}
	if _, _, err := w.tryApply(engine.Approval{Stops: stopped.Digest}); err != nil {
		t.Error(err)
	}
	if w.incident.Len() != 2 {
		t.Errorf("%d incidents, want 2", w.incident.Len())
	}
}

func TestASavedPlanIsCarriedOutOnceAndSkipsWhatMoved(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.ticket.Add(text("title", "b", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "a1"))
	w.ticket.Edit("T-2", text("title", "b1"))
	r, err := w.engine.Plan(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := r.Write(&file); err != nil {
		t.Fatal(err)
	}
	r.Close()
	plans, err := engine.ReadPlans(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-2", text("title", "b2"))
	w.ticket.Add(text("title", "new since the plan"))
	acc, _, err := w.tryApply(engine.Approval{Saved: plans[0]})
	if err != nil {
		t.Fatal(err)
	}
	if acc.Done != 1 || acc.Skipped != 1 {
		t.Errorf("done %d, skipped %d; want 1 and 1", acc.Done, acc.Skipped)
	}
	w.wantIncident("sys1", text("summary", "a1"))
	w.wantIncident("sys2", text("summary", "b"))
	if w.incident.Len() != 2 {
		t.Error("something that was not in the plan was created")
	}
	if _, _, err := w.tryApply(engine.Approval{Saved: plans[0]}); !errors.Is(err, engine.ErrPlanUsed) {
		t.Errorf("want ErrPlanUsed, got %v", err)
	}
	w.apply()
	w.wantPlan("an ordinary run does what was left")
	altered := strings.Replace(file.String(), "a1", "a9", 1)
	if _, err := engine.ReadPlans(strings.NewReader(altered)); !errors.Is(err, engine.ErrPlanFile) {
		t.Errorf("an altered plan file was taken: %v", err)
	}
}

func TestAPlanFileOfWhichNothingWasBegunCanBeAppliedAgain(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a"))
	w.apply()
	w.ticket.Edit("T-1", text("title", "a1"))
	r, err := w.engine.Plan(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := errors.Join(r.Write(&file), r.Close()); err != nil {
		t.Fatal(err)
	}
	plans, err := engine.ReadPlans(&file)
	if err != nil {
		t.Fatal(err)
	}
	run, err := w.engine.Start(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	acc, err := run.Apply(ctx, engine.Approval{Saved: plans[0], Began: func(plan.Run) { stop() }})
	if !errors.Is(err, context.Canceled) || acc.Done != 0 {
		t.Fatalf("done %d, %v; want that it was stopped", acc.Done, err)
	}
	if err := run.Close(); err != nil {
		t.Fatal(err)
	}
	if acc, _, err := w.tryApply(engine.Approval{Saved: plans[0]}); err != nil || acc.Done != 1 {
		t.Errorf("done %d, %v", acc.Done, err)
	}
	w.wantIncident("sys1", text("summary", "a1"))
	if _, _, err := w.tryApply(engine.Approval{Saved: plans[0]}); !errors.Is(err, engine.ErrPlanUsed) {
		t.Errorf("want ErrPlanUsed, got %v", err)
	}
}

func TestOutOfScopeDetachesAndComingBackReattaches(t *testing.T) {
	w := newWorld(t)
	w.rules.Sides[0].Where = func(e reconcile.Env) (bool, error) { return e.Values[0][2].Text() == "noc", nil }
	w.ticket.Add(text("title", "a", "queue", "noc"))
	w.ticket.Add(text("title", "never in scope", "queue", "hr"))
	w.apply()
	if w.incident.Len() != 1 {
		t.Fatalf("%d incidents, want 1", w.incident.Len())
	}
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("queue", "hr", "title", "edited outside"))
	w.wantPlan("nothing is written to the twin")
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.incident.Edit("sys1", text("state", "open"))
	w.wantPlan("nor back")
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("queue", "noc"))
	w.wantPlan("the old link with its old base: both edits travel", `update ticket T-1 status="open"`, `update incident sys1 summary="edited outside"`)
	w.apply()
	w.wantPlan("quiet")
	if w.incident.Len() != 1 {
		t.Errorf("%d incidents, want 1", w.incident.Len())
	}
}

func TestARuleThatOurOwnWriteMakesTrueIsCarriedOutNext(t *testing.T) {
	w := newWorld(t)
	w.rules.Fields = append(w.rules.Fields, reconcile.Rule{Name: "closing", At: "m.hcl:30", Paths: [2][]int{{3}, {2}}, Reads: [2][]int{{3}, {2}},
		When: func(e reconcile.Env) (bool, error) { return e.Values[0][3].Text() == "done", nil },
		To:   [2]reconcile.Transform{nil, func(reconcile.Env) ([]record.Value, error) { return []record.Value{record.OfText("solved")}, nil }}})
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.incident.Edit("sys1", text("state", "done"))
	acc := w.apply()
	w.wantPlan("the ticket is done now, and that closes the incident", `update incident sys1 number="solved"`)
	if acc.Stirred == 0 {
		t.Error("nobody is told that there is more to do")
	}
}

func TestWhatAnUnansweredUpdateReplacedIsInHistory(t *testing.T) {
	w := newWorld(t)
	w.rules.Fields[0].Policy = reconcile.Policy{Kind: reconcile.TakeSide, Side: record.Left}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", " left "))
	w.incident.Edit("sys1", text("summary", "right"))
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "update" && op.Done {
			return &connectors.Error{Kind: connectors.ErrOutcome, Op: op.Name, Detail: "time-out"}
		}
		return nil
	}
	if _, _, err := w.tryApply(engine.Approval{}); err != nil {
		t.Fatal(err)
	}
	w.incident.Hook = nil
	w.now = w.now.Add(time.Minute)
	w.apply()
	if told := w.told(record.Right, "summary"); !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, `"right" → "left"`) }) {
		t.Errorf("the history of the record is %q, without what the update replaced", told)
	}
}

func TestARecreatedRecordIsNotMadeBesideACopyOfIt(t *testing.T) {
	w := newWorld(t)
	w.rules.Sides[1].Gone = reconcile.OnGone{Then: reconcile.GoneRecreate, At: "m.hcl:30"}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.incident.Add(w.incident.Get("sys1"))
	w.incident.Remove("sys1")
	acc := w.apply()
	if w.incident.Len() != 1 || acc.Failed != 1 {
		t.Errorf("%d incidents and %d failed, want the copy alone and a hold", w.incident.Len(), acc.Failed)
	}
}

func TestARefusedWriteWaitsForItsTimeBesideAConflictToo(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "left", "status", "poison"))
	w.incident.Edit("sys1", text("summary", "right"))
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "update" {
			return &connectors.Error{Kind: connectors.ErrRefused, Op: op.Name, Detail: "data policy"}
		}
		return nil
	}
	if acc := w.apply(); acc.Failed != 1 {
		t.Fatalf("%d failed, want 1", acc.Failed)
	}
	w.wantPlan("both wait", "conflict T-1 sys1 summary", "hold T-1 sys1 state")
	w.now = w.now.Add(time.Hour)
	w.wantPlan("and the write is due again", `update incident sys1 state="poison"`, "conflict T-1 sys1 summary")
}

func TestARecordThatIsGoneStaysGoneWhileItsTwinIsHeld(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.ticket.Add(text("title", "b", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Remove("T-1")
	w.incident.Edit("sys1", text("state", "open"))
	for range 3 {
		w.wantPlan("the change is kept and nothing is written to the ticket that is gone", "hold T-1 sys1 ")
		w.apply()
		w.now = w.now.Add(24 * time.Hour) // the hold is due again
	}
}

func TestAChangeOfATwinIsCarriedWhenTheRecordThatWasGoneIsBack(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", " a ", "status", "new")) // the incident has it trimmed
	w.ticket.Add(text("title", "b", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	ticket := w.ticket.Get("T-1")
	w.ticket.Remove("T-1")
	w.incident.Edit("sys1", text("summary", "c"))
	w.wantPlan("the change is kept", "hold T-1 sys1 ")
	w.apply()
	w.ticket.NewKey = func(int) string { return "T-1" }
	w.ticket.Add(ticket)
	w.now = w.now.Add(time.Hour)
	w.wantPlan("what the incident shows is not what it made of the title", `update ticket T-1 title="c"`)
	w.apply()
	w.wantPlan("settled")
}

// A lagging handle's scans do not show some records.
type lagging struct {
	*memory.Store
	behind map[string]bool
}

func (l *lagging) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	return l.Store.Scan(ctx, q, func(rec record.Record) error {
		if l.behind[rec.Key] {
			return nil
		}
		return emit(rec)
	})
}

func TestARecordThatAScanOverlooksIsNoReasonToTryAgainWhatWaits(t *testing.T) {
	w := newWorld(t)
	tickets := &lagging{Store: w.ticket}
	w.job.Ends[0].Handle = tickets
	for _, title := range []string{"a", "b"} {
		w.ticket.Add(text("title", title, "status", "new"))
	}
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "c"))
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "update" {
			return &connectors.Error{Kind: connectors.ErrBusy, Op: "update incident", RetryAfter: time.Hour}
		}
		return nil
	}
	w.apply()
	w.incident.Hook = nil
	w.now = w.now.Add(time.Minute)
	w.wantPlan("it waits for its time", "hold T-1 sys1 summary")
	tickets.behind = map[string]bool{"T-1": true}
	w.wantPlan("and does so where the ticket is found by its key alone", "hold T-1 sys1 summary")
}

func TestARecordThatGoesBeforeItsWriteBackIsSeenToBeGone(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.ticket.Add(text("title", "b", "status", "new"))
	w.ticket.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "update" {
			return &connectors.Error{Kind: connectors.ErrOffline, Op: "update", Detail: "killed"}
		}
		return nil
	}
	if _, _, err := w.tryApply(engine.Approval{}); !errors.Is(err, connectors.ErrOffline) {
		t.Fatalf("want the run to end, got %v", err)
	}
	w.ticket.Hook = nil
	w.now = w.now.Add(time.Minute)
	w.ticket.Remove("T-1")
	w.open()
	w.apply()
	w.wantPlan("nothing is written to the ticket that is gone")
}

func TestAnApprovalOfAnEmptySideIsOfWhatFollows(t *testing.T) {
	w := newWorld(t)
	w.rules.Sides[0].Gone = reconcile.OnGone{Then: reconcile.GoneDelete, At: "m.hcl:30"}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Remove("T-1")
	w.incident.Edit("sys1", text("number", "INC7")) // flows to the ticket that is not there any more
	w.wantPlan("a change that the ticket never got keeps the incident", "hold T-1 sys1 ")
	_, _, err := w.tryApply(engine.Approval{})
	stopped, ok := errors.AsType[*engine.StoppedError](err)
	if !ok {
		t.Fatalf("want a stop, got %v", err)
	}
	if _, _, err := w.tryApply(engine.Approval{Stops: stopped.Digest}); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
	if _, _, err := w.tryApply(engine.Approval{}); err != nil {
		t.Errorf("the approved side still stops the run: %v", err)
	}
}

func TestTwoRunsOfOneSyncAtOnceAreRefused(t *testing.T) {
	w := newWorld(t)
	r, err := w.engine.Start(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.open()
	if _, err := w.engine.Start(t.Context(), w.job); !errors.Is(err, engine.ErrLeased) {
		t.Errorf("want ErrLeased, got %v", err)
	}
}

func TestTheLeaseOfAProcessThatDiedIsTakenOver(t *testing.T) {
	ended := exec.Command(os.Args[0], "-test.run=^$")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	// One that ended and is not waited for: its pid is still there.
	zombie := exec.Command(os.Args[0], "-test.run=^$")
	out, err := zombie.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { zombie.Wait() })
	if _, err := io.Copy(io.Discard, out); err != nil { // it has closed its output: it is about to end
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 10*time.Second; runtime.Gosched() {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", zombie.Process.Pid)); err != nil || strings.Contains(string(stat), ") Z ") {
			break
		}
	}
	for _, tt := range []struct {
		name, owner string
		want        error
	}{
		{"a process that ended and was not waited for", engine.ProcessName(zombie.Process.Pid), nil},
		{"a process that ended", engine.ProcessName(ended.Process.Pid), nil},
		{"a process that runs", engine.ProcessName(os.Getpid()), engine.ErrLeased},
		{"a process of another machine", fmt.Sprintf("elsewhere.example pid %d", ended.Process.Pid), engine.ErrLeased},
		{"something that is no process", "a worker", engine.ErrLeased},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if _, err := w.engine.Store.Lease(t.Context(), w.rules.Sync, tt.owner, time.Hour); err != nil {
				t.Fatal(err)
			}
			r, err := w.engine.Start(t.Context(), w.job)
			if !errors.Is(err, tt.want) {
				t.Fatalf("want %v, got %v", tt.want, err)
			}
			if r != nil {
				r.Close()
			}
		})
	}
}

func TestEditedRulesAreDecidedAgainFromTheSameBase(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.rules = rules()
	w.rules.Digest = "rules 2"
	w.rules.Fields[0].Name = "renamed"
	w.job.Rules = w.rules
	w.wantPlan("renaming a rule changes nothing")
	w.rules.Digest = "rules 3"
	w.rules.Fields[2].To[0] = func(e reconcile.Env) ([]record.Value, error) {
		return []record.Value{record.OfText("#" + e.Values[1][2].Text())}, nil
	}
	w.wantPlan("an edited transform writes, although nobody edited a record", `update ticket T-1 number="#INC1"`)
}

func TestALostConnectionStopsTheRunAndTheNextOneGoesOn(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.ticket.Add(text("title", fmt.Sprint(i)))
	}
	n := 0
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "create" && !op.Done {
			if n++; n > 5 {
				return &connectors.Error{Kind: connectors.ErrAuth, Op: "create", Hint: "log in again"}
			}
		}
		return nil
	}
	_, _, err := w.tryApply(engine.Approval{})
	if !errors.Is(err, connectors.ErrAuth) {
		t.Fatalf("want ErrAuth, got %v", err)
	}
	w.incident.Hook = nil
	w.apply()
	w.apply()
	if w.incident.Len() != 20 {
		t.Errorf("%d incidents, want 20", w.incident.Len())
	}
	markers := map[string]bool{}
	for _, k := range w.incident.Keys() {
		markers[w.incident.Get(k)["marker"].Text()] = true
	}
	if len(markers) != 20 {
		t.Errorf("%d different markers, want 20: %v", len(markers), slices.Sorted(maps.Keys(markers)))
	}
	w.wantPlan("quiet")
}
