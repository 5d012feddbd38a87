package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A cutting collection gives parts with bounds and in an order of the test's own.
type cutting struct {
	*memory.Store
	parts []string
	split int
	// before is told of each part that is going to be scanned.
	before func(part string) error
	window func(part string, w *connectors.Window)
}

func (c *cutting) Split(ctx context.Context, q connectors.Query, most int) ([]string, connectors.Window, error) {
	parts, w, err := c.Store.Split(ctx, q, most)
	c.split++
	if c.parts != nil {
		parts = c.parts
	}
	return parts, w, err
}

func (c *cutting) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	if c.before != nil && q.Part != "" {
		if err := c.before(q.Part); err != nil {
			return connectors.Window{}, err
		}
	}
	w, err := c.Store.Scan(ctx, q, emit)
	if c.window != nil {
		c.window(q.Part, &w)
	}
	return w, err
}

// A numbering collection is a cutting one whose records are numbered as those of an instance.
type numbering struct{ *cutting }

func (n numbering) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	return (&instance{Store: n.Store}).Create(ctx, paths, f)
}

// cutting has every full scan split.
func (w *world) cutting() [2]*cutting {
	w.engine.SplitFrom = 1
	cuts := [2]*cutting{{Store: w.ticket}, {Store: w.incident}}
	w.job.Ends[0].Handle, w.job.Ends[1].Handle = cuts[0], numbering{cuts[1]}
	return cuts
}

// remembered is what the state of a world holds of its sync, but for the numbers of its links.
func (w *world) remembered() []string {
	w.t.Helper()
	ctx := w.t.Context()
	var out []string
	keep := func(what string, v any) error {
		text, err := json.Marshal(v)
		out = append(out, what+" "+string(text))
		return err
	}
	b, err := w.engine.Store.Book(ctx, w.rules.Sync, [2][]string{ticketPaths, incidentPaths}, 0)
	for _, s := range record.Sides {
		if err == nil {
			err = b.Prints(ctx, s, func(p engine.Print) error { return keep(fmt.Sprint("print ", s), p) })
		}
		if err == nil {
			var c engine.Cursor
			if c, _, err = b.Cursor(ctx, s); err == nil {
				err = keep(fmt.Sprint("cursor ", s), c)
			}
		}
	}
	for _, status := range []record.Status{record.Live, record.Held, record.Detached, record.Ended} {
		if err == nil {
			err = b.Links(ctx, status, func(l record.Link) error { return keep("link", l) })
		}
	}
	if err == nil {
		err = b.Waiting(ctx, 0, func(x engine.Waiting) error { return keep("waiting", x) })
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range out {
		out[i] = unnumbered(out[i])
	}
	slices.Sort(out)
	return out
}

// Links are numbered as their creates end, several at a time, and the digest of a plan holds their numbers.
var linkNumber = regexp.MustCompile(`("ID"|"link"|"digest"):("[0-9a-f]+"|[0-9]+)`)

func unnumbered(text string) string { return linkNumber.ReplaceAllString(text, "$1:0") }

// items is a plan with everything that it says.
func (w *world) items() []string {
	w.t.Helper()
	r, err := w.engine.Plan(w.t.Context(), w.job)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	var out []string
	for it, err := range r.Items() {
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := json.Marshal(it)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, unnumbered(string(text)))
	}
	f := r.Footer()
	text, err := json.Marshal(f)
	if err != nil {
		w.t.Fatal(err)
	}
	return append(out, unnumbered(string(text)), fmt.Sprint(r.Header().Observed, r.Header().Scan))
}

// drawParts cuts keys anywhere, also where there are none, and shuffles the parts.
func drawParts(t *rapid.T, name string) []string {
	bounds := rapid.SliceOfNDistinct(rapid.StringMatching("(T-|sys)[0-9]{1,2}|[A-Za-z]"), 1, 6, rapid.ID[string]).Draw(t, name+" bounds")
	slices.Sort(bounds)
	return rapid.Permutation(connectors.Ranges(bounds)).Draw(t, name+" order")
}

func TestASideInPartsGivesThePlanAndTheStateOfTheWhole(t *testing.T) {
	setFlag(t, "rapid.checks", "50")
	setFlag(t, "rapid.nofailfile", "true")
	rapid.Check(t, func(rt *rapid.T) {
		whole, parts := newWorldIn(t, fastDir(t)), newWorldIn(t, fastDir(t))
		defer whole.engine.Store.Close()
		defer parts.engine.Store.Close()
		parts.engine.SplitFrom = 1
		cuts := parts.cutting()
		help, share := newColleague(parts), 0
		help.takes = func(p engine.PartRef) bool { return (p.N+share)%3 > 0 } // what it does not take is scanned here
		both := func(do func(w *world)) { do(whole); do(parts) }
		word := rapid.SampledFrom([]string{"", "a", "b", "c", "T-1", "T-2", "T-30"})
		for round := range rapid.IntRange(2, 4).Draw(rt, "rounds") {
			for range rapid.IntRange(0, 12).Draw(rt, "edits") {
				n, x, y := rapid.IntRange(1, 30).Draw(rt, "record"), word.Draw(rt, "x"), word.Draw(rt, "y")
				edit := rapid.IntRange(0, 6).Draw(rt, "edit")
				both(func(w *world) {
					switch edit {
					case 0, 1:
						w.ticket.Add(text("title", x, "status", y))
					case 2:
						w.incident.Add(text("marker", x, "summary", y))
					case 3:
						w.ticket.Edit(fmt.Sprintf("T-%d", n), text("title", x, "queue", y))
					case 4:
						w.incident.Edit(fmt.Sprintf("sys%d", n), text("summary", x, "state", y))
					case 5:
						w.ticket.Remove(fmt.Sprintf("T-%d", n))
					case 6:
						w.incident.Remove(fmt.Sprintf("sys%d", n))
					}
				})
			}
			for s, c := range cuts {
				c.parts = drawParts(rt, fmt.Sprint("side ", s))
			}
			both(func(w *world) { w.now = w.now.Add(time.Minute) })
			share, help.alone = rapid.IntRange(0, 2).Draw(rt, "share"), rapid.Bool().Draw(rt, "alone")
			if diff := cmp.Diff(whole.items(), parts.items()); diff != "" {
				rt.Fatalf("round %d: plan (-whole +parts):\n%s", round, diff)
			}
			var ends []string
			both(func(w *world) {
				acc, results, err := w.tryApply(engine.Approval{})
				ends = append(ends, fmt.Sprint(acc.Done, acc.Failed, acc.Complete, len(results), err))
			})
			if ends[0] != ends[1] {
				rt.Fatalf("round %d: the whole ends with %s, parts with %s", round, ends[0], ends[1])
			}
			if diff := cmp.Diff(whole.remembered(), parts.remembered()); diff != "" {
				rt.Fatalf("round %d: state (-whole +parts):\n%s", round, diff)
			}
		}
	})
}

// TestPartsAreScannedAtTheSameTime has every part wait for as many others as may run with it.
func TestPartsAreScannedAtTheSameTime(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.ticket.Add(text("title", fmt.Sprint(i)))
	}
	w.apply()
	cuts := w.cutting()
	w.job.Ends[0].Limits.Concurrency = 3
	meet := make(chan bool)
	begun := 0
	var mu sync.Mutex
	cuts[0].before = func(string) error {
		mu.Lock()
		begun++
		first := begun < 3
		if begun == 3 {
			close(meet)
		}
		mu.Unlock()
		if !first {
			return nil
		}
		select {
		case <-meet:
			return nil
		case <-time.After(10 * time.Second):
			return errors.New("nobody scans another part meanwhile")
		}
	}
	w.wantPlan("nothing to do")
	if cuts[0].split != 1 {
		t.Errorf("the side was split %d times", cuts[0].split)
	}
}

func TestAPartThatFailsIsNoScan(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.ticket.Add(text("title", fmt.Sprint(i)))
	}
	w.apply()
	cuts := w.cutting()
	before := w.remembered()
	w.ticket.Remove("T-3")
	scans := 0
	cuts[0].before = func(string) error {
		if scans++; scans == 3 {
			return errors.New("the line went dead")
		}
		return nil
	}
	w.job.Ends[0].Limits.Concurrency = 1
	if _, _, err := w.tryApply(engine.Approval{}); err == nil || !strings.Contains(err.Error(), "part 3 of") || !strings.Contains(err.Error(), "the line went dead") {
		t.Errorf("the run ends with %v, want the part and its reason", err)
	}
	if diff := cmp.Diff(before, w.remembered()); diff != "" {
		t.Errorf("the state has changed (-before +after):\n%s", diff)
	}
	cuts[0].before = nil
	if acc := w.apply(); acc.Footer.Detached+acc.Footer.Ended != 1 {
		t.Errorf("after it: %+v, want one record gone", acc)
	}
}

// TestOneCursorIsSafeForAllParts edits a record whose part was scanned already: the next scan for changes has to have it.
func TestOneCursorIsSafeForAllParts(t *testing.T) {
	w := newWorldIn(t, fastDir(t))
	for i := range 1200 { // too many to be read whole each time
		w.ticket.Add(text("title", fmt.Sprint(i)))
	}
	w.apply()
	cuts := w.cutting()
	w.job.Ends[0].Limits.Concurrency = 1
	last := ""
	cuts[0].before = func(part string) error {
		w.now = w.now.Add(time.Minute) // a scan takes time
		if last != "" {
			r, err := connectors.ParseRange("", last)
			if err != nil {
				return err
			}
			w.ticket.Edit(r.To, text("title", "edited behind the scan"))
		}
		last = part
		return nil
	}
	w.job.Full = true
	w.apply()
	w.job.Full, cuts[0].before = false, nil
	r, err := w.engine.Plan(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Header().Scan[0] != "changes" {
		t.Errorf("the side was read %s, want the changes alone", r.Header().Scan[0])
	}
	if n := r.Footer().Updates; n < 10 {
		t.Errorf("%d updates: edits behind the scan were missed", n)
	}
}

func TestAPartMayTakeTheWindowAway(t *testing.T) {
	for name, c := range map[string]struct {
		change func(part string, w *connectors.Window)
		want   string
	}{
		"a part has no safe point": {func(part string, w *connectors.Window) {
			if strings.HasSuffix(part, `""]`) {
				w.Next = ""
			}
		}, ""},
		"another system answers": {func(part string, w *connectors.Window) {
			if w.System = "one"; strings.HasPrefix(part, `[""`) {
				w.System = "two"
			}
		}, "two answers for a part of what one began to show"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.ticket.System = "one"
			for i := range 20 {
				w.ticket.Add(text("title", fmt.Sprint(i)))
			}
			w.apply()
			cuts := w.cutting()
			cuts[0].window = c.change
			_, _, err := w.tryApply(engine.Approval{})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("the run ends with %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range w.remembered() {
				if strings.HasPrefix(line, "cursor left") && !strings.Contains(line, `"Since":""`) {
					t.Errorf("there is a safe point: %s", line)
				}
			}
		})
	}
}

func TestSmallSidesAndScansForChangesAreNotSplit(t *testing.T) {
	w := newWorldIn(t, fastDir(t))
	for i := range 1200 {
		w.ticket.Add(text("title", fmt.Sprint(i)))
	}
	cuts := w.cutting()
	w.engine.SplitFrom = 1201
	w.apply() // the first contact, of which nobody knows how large it is
	w.job.Full = true
	w.apply()
	w.job.Full, w.engine.SplitFrom = false, 1200
	w.apply()
	if cuts[0].split != 0 {
		t.Errorf("split %d times", cuts[0].split)
	}
	w.job.Full = true
	w.apply()
	if cuts[0].split != 1 {
		t.Errorf("a full scan of 1200 records was split %d times", cuts[0].split)
	}
}
