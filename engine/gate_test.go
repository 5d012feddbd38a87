package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// paired is a world of n tickets with their incidents, all of them settled, whose last run was an hour ago.
func paired(t *testing.T, n int) *world {
	w := newWorld(t)
	for i := range n {
		w.ticket.Add(text("title", fmt.Sprintf("down %d", i+1), "status", "new"))
	}
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.apply()
	w.wantPlan("settled")
	w.now = w.now.Add(time.Hour)
	return w
}

// stops are the limits and gates that the next run runs into.
func (w *world) stops() (limits []string, why string, digest string) {
	w.t.Helper()
	before := [2]int{w.ticket.Writes(), w.incident.Writes()}
	cursors := w.cursors()
	_, _, err := w.tryApply(engine.Approval{})
	if err == nil {
		return nil, "", ""
	}
	stop, ok := errors.AsType[*engine.StoppedError](err)
	if !ok {
		w.t.Fatalf("the run ended with %v", err)
	}
	var whys []string
	for _, s := range stop.Stops {
		if limits, whys = append(limits, s.Limit), append(whys, s.Why); s.Hint == "" {
			w.t.Errorf("no way out of %q", s.Why)
		}
	}
	if after := [2]int{w.ticket.Writes(), w.incident.Writes()}; after != before {
		w.t.Errorf("a stopped run wrote: %v writes before, %v after", before, after)
	}
	if diff := cmp.Diff(cursors, w.cursors()); diff != "" {
		w.t.Errorf("a stopped run moved a cursor (-before +after):\n%s", diff)
	}
	return limits, strings.Join(whys, "\n"), stop.Digest
}

func (w *world) cursors() (cs [2]engine.Cursor) {
	w.t.Helper()
	b, err := w.engine.Store.Book(w.t.Context(), w.rules.Sync, [2][]string{ticketPaths, incidentPaths}, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range record.Sides {
		if cs[s], _, err = b.Cursor(w.t.Context(), s); err != nil {
			w.t.Fatal(err)
		}
	}
	return cs
}

func measured(offset time.Duration) connectors.Clock {
	return connectors.Clock{Measured: true, Offset: offset, Error: time.Second}
}

// TestWhatASideTellsOfItselfIsHeldAgainstTheLastRun changes a settled pair of systems in one way each. What is edited
// on a ticket at the same time is written only after the stop was approved, or where nothing stops.
func TestWhatASideTellsOfItselfIsHeldAgainstTheLastRun(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(w *world) // the first run
		change func(w *world)
		limit  string // "": nothing stops
		why    string
	}{
		{"clocks that were not measured, and are", nil, func(w *world) { w.ticket.Clock, w.incident.Clock = measured(time.Hour), measured(0) }, "", ""},
		{"clocks that cannot be measured any more", func(w *world) { w.incident.Clock = measured(time.Hour) }, func(w *world) { w.incident.Clock = connectors.Clock{} }, "", ""},
		{"a clock that drifts", func(w *world) { w.incident.Clock = measured(0) }, func(w *world) { w.incident.Clock = measured(5 * time.Minute) }, "", ""},
		{"a measurement that is worth little", func(w *world) { w.incident.Clock = measured(0) },
			func(w *world) {
				w.incident.Clock = connectors.Clock{Measured: true, Offset: time.Hour, Error: time.Hour}
			}, "", ""},
		{"one system's clock that was set", func(w *world) { w.incident.Clock = measured(0) }, func(w *world) { w.incident.Clock = measured(-time.Hour) },
			"clock", "the clock of incident moved by -1h0m0s against this machine's since the last run"},
		{"one system's clock that was set, beside one that is right", func(w *world) { w.ticket.Clock, w.incident.Clock = measured(0), measured(0) },
			func(w *world) { w.ticket.Clock = measured(20 * time.Minute) },
			"clock", "the clock of ticket moved by 20m0s against this machine's since the last run"},
		{"both systems' clocks that move in the same way", func(w *world) { w.ticket.Clock, w.incident.Clock = measured(0), measured(time.Minute) },
			func(w *world) { w.ticket.Clock, w.incident.Clock = measured(-time.Hour), measured(-59*time.Minute) },
			"clock", "this machine's clock was set forward by 1h0m0s since the last run: the clocks of ticket and incident both moved against it"},
		{"both systems' clocks that move apart", func(w *world) { w.ticket.Clock, w.incident.Clock = measured(0), measured(0) },
			func(w *world) { w.ticket.Clock, w.incident.Clock = measured(-time.Hour), measured(time.Hour) },
			"clock clock", "the clock of ticket moved by -1h0m0s against this machine's since the last run\nthe clock of incident moved by 1h0m0s against this machine's since the last run"},
		{"our clock an hour back, where no system's clock is known", nil, func(w *world) { w.now = w.now.Add(-2 * time.Hour) },
			"clock", "this machine's clock was set back: it shows 2027-03-01T07:01:00Z, which is 1h0m0s before the last run ended"},
		{"our clock a little back", nil, func(w *world) { w.now = w.now.Add(-time.Hour - 4*time.Minute) }, "", ""},
		{"a zone that was not known, and is", nil, func(w *world) { w.incident.Zone = "GMT" }, "", ""},
		{"a zone that is not known any more", func(w *world) { w.incident.Zone = "GMT" }, func(w *world) { w.incident.Zone = "" }, "", ""},
		{"another zone", func(w *world) { w.incident.Zone = "GMT" }, func(w *world) { w.incident.Zone = "Europe/Brussels" },
			"time zone", "the time zone of incident's account is Europe/Brussels, before it was GMT"},
		{"another system at the same address", func(w *world) { w.incident.System = "one" }, func(w *world) { w.incident.System = "two" },
			"endpoint", "incident is another system at the same address than earlier runs saw: it shows two, before it was one"},
		{"another address", nil, func(w *world) { w.job.Ends[1].Endpoint = "c" }, "endpoint", "incident is not the system, account or collection that earlier runs saw"},
		{"a side without a record", nil, func(w *world) { w.empty() }, "shrunk side", "incident: it shows no records at all, last time there were 12"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.before != nil {
				tt.before(w)
			}
			for i := range 12 {
				w.ticket.Add(text("title", fmt.Sprintf("down %d", i+1), "status", "new"))
			}
			w.apply()
			w.now = w.now.Add(time.Minute)
			w.apply()
			w.now = w.now.Add(time.Hour)
			w.ticket.Edit("T-1", text("title", "still down"))
			tt.change(w)
			limits, why, digest := w.stops()
			if got := strings.Join(limits, " "); got != tt.limit || why != tt.why {
				t.Fatalf("stopped at %q: %s\nwant %q: %s", got, why, tt.limit, tt.why)
			}
			if tt.limit != "" {
				if again, _, _ := w.stops(); !cmp.Equal(limits, again) {
					t.Errorf("the next run stopped at %v", again)
				}
				if _, _, err := w.tryApply(engine.Approval{Stops: digest}); err != nil {
					t.Fatal(err)
				}
			}
			if w.incident.Len() == 0 {
				w.wantPlan("an edited ticket does not go with its incident", "hold T-1 sys1 ")
				return
			}
			w.wantIncident("sys1", text("summary", "still down"))
			w.wantPlan("what was approved is known from then on")
		})
	}
}

// empty puts an empty instance in the place of the incidents.
func (w *world) empty() {
	w.incident = memory.New(memory.Text("marker", "number", "state", "summary")...)
	w.incident.Now = func() time.Time { return w.now }
	w.job.Ends[1].Handle = &instance{Store: w.incident}
}

// goOn is an hour of work on a settled world: new tickets, edits on both sides, runs between.
func (w *world) goOn() {
	for i := range 4 {
		w.ticket.Add(text("title", fmt.Sprintf("new %d", i+1), "status", "new"))
		w.ticket.Edit(fmt.Sprintf("T-%d", i+1), text("title", fmt.Sprintf("down %d: looked at", i+1)))
		w.incident.Edit(fmt.Sprintf("sys%d", i+5), text("summary", fmt.Sprintf("down %d: found", i+5)))
		w.now = w.now.Add(15 * time.Minute)
		w.apply()
	}
	w.apply()
}

// put puts a store in the place of the incidents, as restoring a backup does.
func (w *world) put(s *memory.Store) {
	s.Clock, s.System, s.Zone = w.incident.Clock, w.incident.System, w.incident.Zone
	w.incident = s
	w.job.Ends[1].Handle = &instance{Store: s}
}

func TestASystemRestoredToAnEarlierMomentStopsTheRun(t *testing.T) {
	for _, tt := range []struct {
		name  string
		since bool // the side is too large to be read whole in each run
		do    func(w *world)
		after func(w *world) // on the restored system
		why   string
	}{
		{"after new links and edits on both sides", false, (*world).goOn, nil,
			"incident looks restored to an earlier moment: of the 16 records that changed last, 5 show an earlier state than was seen and 4 are missing; the newest, changed at 2027-03-01T10:01:00Z, is not there"},
		{"when only changes are asked for", true, (*world).goOn, nil,
			"incident looks restored to an earlier moment: of the 16 records that changed last, 5 show an earlier state than was seen and 4 are missing; the newest, changed at 2027-03-01T10:01:00Z, is not there"},
		{"after edits alone", false, func(w *world) {
			for i := range 3 {
				w.incident.Edit(fmt.Sprintf("sys%d", i+1), text("summary", fmt.Sprintf("seen %d", i)))
			}
			w.apply()
		}, nil, "incident looks restored to an earlier moment: of the 12 records that changed last, 3 show an earlier state than was seen and 0 are missing; the newest, changed at 2027-03-01T09:01:00Z, shows 2027-03-01T08:00:00Z"},
		{"after creates of the very last run alone", false, func(w *world) {
			for i := range 3 {
				w.ticket.Add(text("title", fmt.Sprintf("new %d", i)))
			}
			w.apply()
		}, nil, "incident looks restored to an earlier moment: of the 15 records that changed last, 0 show an earlier state than was seen and 3 are missing; the newest, changed at 2027-03-01T09:01:00Z, is not there"},
		{"although people went on there", false, (*world).goOn, func(w *world) { w.incident.Edit("sys12", text("summary", "here again")) },
			"incident looks restored to an earlier moment: of the 16 records that changed last, 5 show an earlier state than was seen and 4 are missing; the newest, changed at 2027-03-01T10:01:00Z, is not there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := paired(t, 12)
			if tt.since {
				for i := range 1100 {
					w.incident.Append(fmt.Sprintf("z%d", i), []record.Value{record.NullValue, record.NullValue, record.NullValue, record.OfText("other")})
				}
				w.rules.Sides[1].Create, w.rules.Sides[0].Create = true, false
				w.apply()
				w.now = w.now.Add(time.Minute)
			}
			backup := w.incident.Clone()
			tt.do(w)
			w.wantPlan("settled")
			w.now = w.now.Add(time.Minute)
			w.put(backup)
			if tt.after != nil {
				tt.after(w)
			}
			limits, why, digest := w.stops()
			if !cmp.Equal(limits, []string{"restored"}) || !tt.since && why != tt.why {
				t.Fatalf("stopped at %v: %s\nwant: %s", limits, why, tt.why)
			}
			if again, _, _ := w.stops(); !cmp.Equal(limits, again) {
				t.Errorf("the next run stopped at %v", again)
			}
			if _, _, err := w.tryApply(engine.Approval{Stops: digest}); err != nil {
				t.Fatal(err)
			}
			if limits, why, _ := w.stops(); limits != nil {
				t.Errorf("after the approval the next run stopped at %v: %s", limits, why)
			}
		})
	}
}

func TestAFewRowsThatWentBackOrWereDeletedDoNotStopASync(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(w *world)
	}{
		{"two of the newest rows deleted", func(w *world) {
			w.ticket.Add(text("title", "new"))
			w.ticket.Add(text("title", "new, too"))
			w.apply()
			w.incident.Remove("sys17")
			w.incident.Remove("sys18")
		}},
		{"many deleted, and something newer beside them", func(w *world) {
			for i := range 4 {
				w.incident.Remove(fmt.Sprintf("sys%d", 16-i))
			}
			w.incident.Edit("sys1", text("summary", "seen"))
		}},
		{"old ones deleted", func(w *world) {
			for i := range 4 {
				w.incident.Remove(fmt.Sprintf("sys%d", 9+i))
			}
		}},
		{"three deleted by the rules themselves", func(w *world) {
			w.rules.Sides[0].Gone = reconcile.OnGone{Then: reconcile.GoneDelete}
			for i := range 3 {
				w.ticket.Add(text("title", fmt.Sprintf("a mistake %d", i)))
			}
			w.apply()
			for i := range 3 {
				w.ticket.Remove(fmt.Sprintf("T-%d", 17+i))
			}
			w.now = w.now.Add(time.Minute)
			w.ticket.Edit("T-1", text("queue", "second")) // no rule writes it
			w.apply()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := paired(t, 12)
			w.goOn()
			w.now = w.now.Add(time.Minute)
			tt.do(w)
			for range 2 {
				if limits, why, _ := w.stops(); limits != nil {
					t.Fatalf("stopped at %v: %s", limits, why)
				}
				w.now = w.now.Add(time.Minute)
			}
		})
	}
}

func TestAnApprovalOfOneGateDoesNotPassAnother(t *testing.T) {
	w := paired(t, 12)
	w.incident.Zone = "GMT"
	w.apply()
	w.incident.Zone = "Asia/Tokyo"
	_, _, digest := w.stops()
	w.incident.Zone = "GMT"
	w.job.Ends[1].Endpoint = "c" // as little to write, and another reason to stop
	if _, _, err := w.tryApply(engine.Approval{Stops: digest}); err == nil {
		t.Error("the approval of a zone let another system pass")
	}
}

func TestAfterAClockWasSetBackNoEditIsMissed(t *testing.T) {
	w := paired(t, 3)
	for i := range 1100 {
		w.incident.Append(fmt.Sprintf("z%d", i), []record.Value{record.NullValue, record.NullValue, record.NullValue, record.OfText("other")})
	}
	w.incident.Clock = measured(0)
	w.apply()
	theirs := w.now.Add(-time.Hour)
	w.incident.Now = func() time.Time { return theirs }
	w.incident.Clock = measured(-time.Hour)
	w.now = w.now.Add(time.Minute)
	w.incident.Edit("sys1", text("summary", "seen")) // with a stamp before the cursor's
	for i := range 8 {
		w.incident.Edit(fmt.Sprintf("z%d", i), text("summary", "other again")) // as if they had gone back
	}
	limits, _, digest := w.stops()
	if !cmp.Equal(limits, []string{"clock"}) {
		t.Fatalf("stopped at %v", limits)
	}
	if _, _, err := w.tryApply(engine.Approval{Stops: digest}); err != nil {
		t.Fatal(err)
	}
	if got := w.ticket.Get("T-1")["title"]; got != record.OfText("seen") {
		t.Errorf("the ticket shows %s, want the edit", got)
	}
}

func TestAfterAClockWasSetBackNoCommentIsMissed(t *testing.T) {
	w := talking(t)
	w.incident.Clock = measured(0)
	w.minute()
	w.apply()
	behind := func() time.Time { return w.now.Add(-time.Hour) }
	w.incident.Now = behind
	w.incident.Clock = measured(-time.Hour)
	for _, said := range []string{"one", "two"} {
		w.incident.Say("work_notes", "sys1", "bob", said)
		w.now = w.now.Add(20 * time.Minute)
		if limits, _, digest := w.stops(); limits != nil {
			if _, _, err := w.tryApply(engine.Approval{Stops: digest}); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.wantTalk("both are carried", []string{"[bob 07:02] one", "[bob 07:22] two"}, []string{"one", "two"})
}
