package report

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
)

// A Status sums one sync up.
type Status struct {
	Sync      string    `json:"sync"`
	Known     bool      `json:"known"` // it stands in the mapping; false: only the state remembers it
	Schedule  string    `json:"schedule,omitempty"`
	After     []string  `json:"after,omitempty"`
	Next      time.Time `json:"next,omitzero"` // only a running service knows
	Links     int64     `json:"links"`
	Detached  int64     `json:"detached"`
	Conflicts int64     `json:"conflicts"`
	Held      int64     `json:"held"`
	Intents   int64     `json:"intents"`
	LastRun   *plan.Run `json:"last_run,omitempty"`
	LastGood  time.Time `json:"last_good,omitzero"`

	Waits  *WaitingPlan `json:"waits,omitempty"` // for a person's approval
	Paused *Paused      `json:"paused,omitempty"`
}

// A Paused says who keeps the service from running a sync.
type Paused struct {
	By  string    `json:"by"`
	At  time.Time `json:"at"`
	Why string    `json:"why,omitempty"`
}

// A WaitingPlan is one that limits have stopped.
type WaitingPlan struct {
	Digest     string      `json:"digest"`
	Stops      []plan.Stop `json:"stops"`
	Since      time.Time   `json:"since"` // of the last run that stopped at it
	ApprovedBy string      `json:"approved_by,omitempty"`
	Until      time.Time   `json:"until,omitzero"` // of the approval
}

// StatusTable prints one row for each sync.
func StatusTable(w io.Writer, list []Status, now time.Time, st Style) error {
	if len(list) == 0 {
		return Note(w, "No syncs.")
	}
	planned := slices.ContainsFunc(list, func(s Status) bool { return !s.Next.IsZero() })
	t := Table{Head: []string{"SYNC", "SCHEDULE", "LINKS", "DETACHED", "CONFLICTS", "HELD", "UNSETTLED", "LAST RUN", "LAST GOOD", "OUTCOME"}}
	if planned {
		t.Head = append(t.Head, "NEXT RUN")
	}
	for _, s := range list {
		schedule, ran, how := s.Schedule, "never", ""
		switch {
		case schedule == "" && len(s.After) > 0:
			schedule = "after " + strings.Join(s.After, ", ")
		case schedule == "":
			schedule = "by hand"
		}
		if !s.Known {
			schedule = "not in the mapping"
		}
		if s.LastRun != nil {
			ran, how = Age(s.LastRun.Started, now), Outcome(*s.LastRun)
		}
		row := t.Row
		if s.Held > 0 || s.Intents > 0 || s.LastRun != nil && s.LastRun.Err != "" {
			row = t.BadRow
		}
		cells := []string{s.Sync, schedule, Count(s.Links), Count(s.Detached), Count(s.Conflicts), Count(s.Held), Count(s.Intents),
			ran, Age(s.LastGood, now), how}
		if planned && !s.Next.IsZero() {
			cells = append(cells, moment(s.Next))
		}
		row(cells...)
	}
	if err := t.Print(w, st); err != nil {
		return err
	}
	o := newOut(w, st)
	for _, s := range list {
		if p := s.Paused; p != nil {
			why := ""
			if p.Why != "" {
				why = ": " + p.Why
			}
			o.line(o.paint(yellow, "! "), clean(s.Sync), ": paused by ", clean(p.By), " since ", moment(p.At), clean(why), "; fieldsync resume ", shell(s.Sync))
		}
		if s.Waits != nil {
			o.waits(s.Sync, s.Waits)
		}
	}
	return o.Flush()
}

// waits says which plan waits for an approval, and how to give it.
func (o *out) waits(sync string, p *WaitingPlan) {
	if p.ApprovedBy != "" {
		o.line(o.paint(yellow, "! "), clean(sync), ": a stopped plan is approved by ", clean(p.ApprovedBy), "; the next run may carry it out, until ", moment(p.Until))
		return
	}
	o.line(o.paint(red, "! "), clean(sync), ": a plan waits for approval since ", moment(p.Since))
	for _, s := range p.Stops {
		o.line("    ", clean(s.Limit), ": ", clean(s.Why))
	}
	o.line("    way out: look with fieldsync plan ", shell(sync), "; if it is right: fieldsync approve ", shell(sync), " ", p.Digest)
}

// A Waiting is a conflict or a hold as the state holds it. One of both is set.
type Waiting struct {
	Sides    [2]string      `json:"sides"`
	Conflict *plan.Conflict `json:"conflict,omitempty"`
	Hold     *plan.Hold     `json:"hold,omitempty"`
	Take     string         `json:"take,omitempty"` // the side a person decided for; the next apply carries it out
	By       string         `json:"by,omitempty"`
}

// Conflicts prints waiting conflicts: what each side holds, since when, and how to decide.
func Conflicts(w io.Writer, list []Waiting, now time.Time, st Style) error {
	if len(list) == 0 {
		return Note(w, "No conflicts wait.")
	}
	o := newOut(w, st)
	for _, it := range list {
		c := it.Conflict
		o.line(o.paint(red, "!"), " ", o.paint(bold, clean(c.Sync)), "   conflict ", pair(c.Keys, c.Labels), since(c.Since, now))
		switch {
		case it.Take != "" && c.Field != "":
			o.line("      ", pad(clean(c.Field), pathWidth), pad(contest(it.Sides, c), valueWidth), " decided by ", clean(it.By), ": ",
				clean(it.Take), "; the next apply carries it out")
		default:
			o.conflict(it.Sides, c)
		}
		if c.At != "" {
			o.line("      ", o.paint(faint, "rule at "+clean(c.At)))
		}
	}
	o.line(some(int64(len(list)), "conflict waits.", "conflicts wait."))
	return o.Flush()
}

func since(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return "   since " + moment(t) + " (" + Age(t, now) + ")"
}

// Holds prints what waits because something is wrong with it.
func Holds(w io.Writer, list []Waiting, now time.Time, st Style) error {
	if len(list) == 0 {
		return Note(w, "Nothing is held.")
	}
	o := newOut(w, st)
	for _, it := range list {
		h := it.Hold
		o.line(o.paint(red, "!"), " ", o.paint(bold, clean(h.Sync)), "   held ", pair(h.Keys, h.Labels), since(h.Since, now))
		what := "the whole record"
		if h.Field != "" {
			what = h.Field
		}
		o.line("      ", pad(clean(what), pathWidth), clean(h.Cause))
		o.hint("      ", h.Hint)
		if h.Tries > 0 || !h.Next.IsZero() {
			next := ""
			if !h.Next.IsZero() {
				next = "next try " + moment(h.Next)
			}
			o.line("      ", o.paint(faint, Sum(some(int64(h.Tries), "try", "tries"), next)))
		}
		if h.At != "" {
			o.line("      ", o.paint(faint, "rule at "+clean(h.At)))
		}
	}
	if len(list) == 1 {
		o.line("1 is held.")
	} else {
		o.line(Count(int64(len(list))), " are held.")
	}
	return o.Flush()
}
