package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
	"github.com/fieldsync/fieldsync/engine/verify"
)

// printVerified shows what was found, each with its shortest story.
func (a *app) printVerified(v *verifyView, took time.Duration) {
	histories, broken := 0, 0
	for _, r := range v.Reports {
		histories += r.Histories
		broken += len(r.Findings)
		what := a.style.OK("every promise kept")
		if n := len(r.Findings); n > 0 {
			what = a.style.Bad(project.Plural(n, "promise") + " broken")
		}
		a.say("%s   %s · %s", a.style.Bold(reportName(r)), countOf(r.Histories, "history", "histories"), what)
		for _, f := range r.Findings {
			a.printFinding(f, len(r.Syncs) > 1)
		}
		if len(r.Findings) > 0 {
			a.say("")
		}
		for _, f := range r.Notes {
			line := f.What
			if at := f.Culprits[0].At; at != "" {
				line += "   " + at
			}
			a.say("  note  %s", line)
		}
		for _, b := range r.Blind {
			a.say("  %s", b)
		}
	}
	a.printTrips(v.Trips)
	for _, t := range v.Trips {
		if t.broken() {
			broken++
		}
	}
	if v.Saved != nil {
		a.printSaved(v.Saved)
	}
	for i, u := range v.Unknown {
		if i == 0 {
			a.say("Not known here:")
		}
		a.say("  %s", u)
	}
	if len(v.Unknown) > 0 {
		a.say("  Values come from rows, orders, comparisons and tests; --live asks for types, lengths, choices and some records.")
	}
	a.say("%s in %s · seed %d: the same seed lives the same histories.", countOf(histories, "history", "histories"), fmt.Sprintf("%.1f s", took.Seconds()), v.Seed)
	switch {
	case broken > 0 && v.Saved == nil:
		a.say("%s. fieldsync verify --save writes the stories as tests.", a.style.Bad(project.Plural(broken, "promise")+" broken"))
	case broken > 0:
		a.say("%s.", a.style.Bad(project.Plural(broken, "promise")+" broken"))
	}
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return report.Count(int64(n)) + " " + many
}

func (a *app) printTrips(trips []tripView) {
	for i, t := range trips {
		if i == 0 {
			a.say("Round trips of real values:")
		}
		mark := a.style.OK("ok")
		if t.broken() {
			mark = a.style.Bad("no")
		}
		a.say("  %s    %s", mark, t.say())
		if t.Example != nil {
			a.say("        %s: %s   %s", t.Record, strings.Join(t.Example, " → "), t.At)
		}
		if t.Error != "" {
			a.say("        %s", t.Error)
		}
	}
}

// printFinding tells the story of one broken promise.
func (a *app) printFinding(f verify.Finding, many bool) {
	a.say("")
	a.say("  %s %s", a.style.Bad("✗"), f.What)
	by := "by"
	for _, c := range f.Culprits {
		name := "field " + c.Field
		if c.Field == "" {
			name = "sync " + c.Sync
		} else if many {
			name += " of " + c.Sync
		}
		if c.At != "" {
			name += "   " + c.At
		}
		a.say("      %-10s%s", by, name)
		by = ""
	}
	if len(f.Values) > 0 {
		a.say("      %-10s%s", "known", strings.Join(f.Values, ", "))
	}
	word := "agreed"
	if !f.Story.Linked {
		word = "new"
	}
	for _, b := range f.Story.Base {
		if b.Path == "" {
			a.say("      %-10sno %s", word, b.Record)
		} else {
			a.say("      %-10s%s.%s %s", word, b.Record, b.Path, shorten(b.Value))
		}
		word = ""
	}
	run := 0
	for _, r := range f.Story.Rounds {
		for i, e := range r.Edits {
			label := "edit"
			if i > 0 {
				label = ""
			}
			a.say("      %-10s%s", label, changeLine(e))
		}
		for _, x := range r.Runs {
			run++
			a.printRun(fmt.Sprintf("run %d", run), x)
		}
		if r.Endless {
			a.say("      %-10s…", "")
		}
	}
	a.say("      %-10s%s", "breaks", f.Promise)
}

func (a *app) printRun(label string, r verify.Run) {
	if len(r.Changes)+len(r.Waits) == 0 {
		a.say("      %-10snothing", label)
		return
	}
	for _, c := range r.Changes {
		line := changeLine(c)
		if c.Rule != "" {
			line += "   " + c.Rule
		}
		if c.At != "" {
			line += "   " + c.At
		}
		a.say("      %-10s%s", label, line)
		label = ""
	}
	for _, w := range r.Waits {
		name := w.Rule
		if name == "" {
			name = "the link"
		}
		line := fmt.Sprintf("%s waits (%s): %s", name, w.What, w.Why)
		if w.At != "" {
			line += "   " + w.At
		}
		a.say("      %-10s%s", label, line)
		label = ""
	}
}

func changeLine(c verify.Change) string {
	if c.Path == "" {
		return strings.TrimSpace(c.Record + " " + c.What)
	}
	line := fmt.Sprintf("%s.%s %s → %s", c.Record, c.Path, shorten(c.From), shorten(c.To))
	if c.Stored.Known() {
		line += ", stored as " + shorten(c.Stored)
	}
	return line
}

// shorten keeps very long text from filling the screen; its length says that it is long.
func shorten(v record.Value) string {
	const most = 60
	text := []rune(v.String())
	if len(text) <= most {
		return string(text)
	}
	return fmt.Sprintf("%s…\" (%d characters)", string(text[:most]), len([]rune(v.Plain())))
}
