package console

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
)

// An Overview is how everything stands.
type Overview struct {
	Service   Service    `json:"service"`
	Syncs     []SyncCard `json:"syncs"`
	Runs      []plan.Run `json:"runs"` // the latest of all
	Links     int64      `json:"links"`
	Conflicts int64      `json:"conflicts"`
	Held      int64      `json:"held"`
	Approvals int64      `json:"approvals"` // stopped plans that wait for one
}

// A SyncCard is a sync as it stands among others.
type SyncCard struct {
	Sync
	Health Health  `json:"health"`
	Says   string  `json:"says"`        // what Health means here
	Lag    float64 `json:"lag_seconds"` // since the last good run ended; -1: there was none
	Recent []Point `json:"recent"`      // the latest runs, oldest first
}

// A Health is how a sync stands, in a word.
type Health string

const (
	Good     Health = "good"
	Attend   Health = "attend"  // somebody should look: conflicts, holds
	Approve  Health = "approve" // a stopped plan waits for a person
	Failing  Health = "failing"
	Late     Health = "late"
	Stopped  Health = "paused"
	Never    Health = "new"     // it never ran
	Leftover Health = "removed" // the mapping has it no more
)

// Word is what a page says.
func (h Health) Word() string {
	switch h {
	case Attend:
		return "needs a look"
	case Approve:
		return "needs approval"
	}
	return string(h)
}

// A Point is one run in a chart.
type Point struct {
	Run     int64     `json:"run"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Done    int64     `json:"done"`
	Failed  int64     `json:"failed"` // and skipped
	Bad     bool      `json:"bad"`    // it ended with an error, or was stopped
}

// recent is how many runs a chart shows.
const recent = 40

func (c *Console) overview(r *http.Request) (Overview, error) {
	ctx := r.Context()
	v := Overview{Service: c.b.Service(), Syncs: []SyncCard{}}
	syncs, err := c.b.Syncs(ctx)
	if err != nil {
		return v, err
	}
	for _, s := range syncs {
		card, err := c.card(r, s)
		if err != nil {
			return v, err
		}
		v.Syncs = append(v.Syncs, card)
		v.Links, v.Conflicts, v.Held = v.Links+s.Links, v.Conflicts+s.Conflicts, v.Held+s.Held
		if s.Waits != nil && s.Waits.ApprovedBy == "" {
			v.Approvals++
		}
	}
	v.Runs, err = c.b.Runs(ctx, "", maxID, 12)
	return v, err
}

const maxID = int64(1<<63 - 1)

func (c *Console) card(r *http.Request, s Sync) (SyncCard, error) {
	card := SyncCard{Sync: s, Lag: -1, Recent: []Point{}}
	now := c.b.Now()
	if !s.LastGood.IsZero() {
		card.Lag = max(0, now.Sub(s.LastGood).Seconds())
	}
	card.Health, card.Says = health(s, now)
	runs, err := c.b.Runs(r.Context(), s.Name(), maxID, recent)
	for i := len(runs) - 1; i >= 0; i-- {
		run := runs[i]
		p := Point{Run: run.ID, Started: run.Started, Done: run.Done, Failed: run.Failed + run.Skipped, Bad: run.Err != "" || run.Stopped}
		if !run.Ended.IsZero() {
			p.Seconds = run.Ended.Sub(run.Started).Seconds()
		}
		card.Recent = append(card.Recent, p)
	}
	return card, err
}

// overdue is how long after its time a run may start without being called late.
const overdue = 2 * time.Minute

// health sums a sync up. What keeps it from working comes before what only waits.
func health(s Sync, now time.Time) (Health, string) {
	switch {
	case !s.Known:
		return Leftover, "the mapping has this sync no more; its memory is kept"
	case s.Paused != nil:
		return Stopped, "paused by " + s.Paused.By + because(s.Paused.Why)
	case s.Waits != nil && s.Waits.ApprovedBy == "":
		return Approve, "a plan was stopped by a limit and waits for approval"
	case s.LastRun != nil && s.LastRun.Err != "" && !s.LastRun.Stopped && !s.LastRun.Ended.IsZero():
		return Failing, s.LastRun.Err
	case s.LastRun == nil && s.Running == nil:
		return Never, "it has not run yet"
	case s.Waiting:
		return Late, "due, and waits for " + strings.Join(s.After, ", ")
	case !s.Next.IsZero() && now.Sub(s.Next) > overdue && s.Running == nil:
		return Late, "a run is overdue"
	case s.Conflicts+s.Held > 0:
		var waits []string
		if s.Conflicts > 0 {
			waits = append(waits, counted(s.Conflicts, "conflict waits", "conflicts wait"))
		}
		if s.Held > 0 {
			waits = append(waits, counted(s.Held, "is held", "are held"))
		}
		return Attend, strings.Join(waits, ", ")
	case s.Intents > 0 && s.Running == nil:
		return Attend, counted(s.Intents, "write is", "writes are") + " not settled yet; the next run sees to it"
	}
	return Good, "in step"
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// counted writes n with the words that fit it.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
