package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
)

// Result prints what came of one action, on one line; a way out has a second.
func Result(w io.Writer, r plan.Result, st Style) error {
	o := newOut(w, st)
	a := r.Action
	if a.Key == "" {
		a.Key = r.Key
	}
	if a.Label == "" {
		a.Label = r.Label
	}
	mark, color := sign(a.Kind)
	what := ""
	switch r.Outcome {
	case plan.Skipped:
		mark, color, what = "·", faint, "skipped"
	case plan.Failed:
		mark, color, what = "!", red, "failed, held"
	case plan.Partly:
		what = "done in part"
	}
	if r.Why != "" {
		what = strings.TrimPrefix(what+": "+clean(cut(r.Why, 2*longWhy)), ": ")
	}
	from := ""
	if a.From.SideName != "" {
		from = clean(strings.TrimRight("from "+a.From.SideName+" "+a.From.Name(), " "))
	}
	if what != "" {
		from = pad(from, nameWidth)
	}
	o.line("  ", o.paint(color, mark), " ", pad(target(&a), nameWidth), from, what)
	o.hint("      ", r.Hint)
	return o.Flush()
}

// Run prints the closing line of a run that was carried out.
func Run(w io.Writer, r plan.Run, st Style) error {
	o := newOut(w, st)
	did := []string{Count(r.Done) + " done"}
	if r.Skipped > 0 {
		did = append(did, Count(r.Skipped)+" skipped")
	}
	if r.Failed > 0 {
		did = append(did, o.paint(red, Count(r.Failed)+" failed and held"))
	}
	if r.Averted > 0 {
		did = append(did, averted(r.Averted))
	}
	if r.Footer.Conflicts > 0 {
		did = append(did, some(r.Footer.Conflicts, "conflict waits", "conflicts wait"))
	}
	if r.Footer.Held > 0 {
		did = append(did, some(r.Footer.Held, "is held", "are held"))
	}
	took := ""
	if !r.Ended.IsZero() {
		took = " " + sentence(seconds(r.Ended.Sub(r.Started).Seconds()))
	}
	o.line(o.paint(bold, r.Sync), "   applied: ", sentence(strings.Join(did, ", ")), took)
	if r.Err != "" {
		o.line("  ", o.paint(red, "Error: "), clean(r.Err))
		o.hint("  ", r.Hint)
	}
	return o.Flush()
}

func averted(n int64) string { return some(n, "lost update averted", "lost updates averted") }

func sentence(s string) string { return s + "." }

// Runs prints runs as a table. now makes times relative where that says more.
func Runs(w io.Writer, runs []plan.Run, now time.Time, st Style) error {
	if len(runs) == 0 {
		return Note(w, "No runs yet.")
	}
	t := Table{Head: []string{"RUN", "SYNC", "STARTED", "TOOK", "TRIGGER", "CREATES", "UPDATES", "COMMENTS", "FILES", "DELETES", "CONFLICTS", "HELD", "OUTCOME"}}
	for _, r := range runs {
		f := r.Footer
		took := "running"
		if !r.Ended.IsZero() {
			took = seconds(r.Ended.Sub(r.Started).Seconds())
		}
		t.Row(fmt.Sprint(r.ID), r.Sync, moment(r.Started), took, r.Trigger,
			Count(f.Creates), Count(f.Updates), Count(f.Comments), Count(f.Attached), Count(f.Deletes), Count(f.Conflicts), Count(f.Held), Outcome(r))
	}
	return t.Print(w, st)
}

// Outcome sums a run up in a few words.
func Outcome(r plan.Run) string {
	switch {
	case r.Stopped && len(r.Footer.Stops) > 0:
		return "stopped: " + r.Footer.Stops[0].Limit
	case r.Err != "":
		return "error: " + cut(r.Err, 80)
	case r.Ended.IsZero():
		return "not finished"
	case len(r.Footer.Stops) > 0 && r.Done == 0 && r.Footer.Changes() > 0:
		return "stopped: " + r.Footer.Stops[0].Limit
	case r.Failed > 0:
		return Count(r.Failed) + " failed"
	case r.Skipped > 0:
		return Count(r.Skipped) + " skipped"
	case r.Averted > 0:
		return averted(r.Averted)
	}
	return "ok"
}

// moment writes a time to the second, in UTC, as it stands in state and logs.
func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// Age says how long ago t was, roughly.
func Age(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	switch {
	case d < 0:
		return moment(t)
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
