package report

import (
	"fmt"
	"io"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Put is a value of the history on its way back to its record.
type Put struct {
	ID        int64        `json:"id"`
	Sync      string       `json:"sync"`
	Side      string       `json:"side"`
	Key       string       `json:"key"`
	Label     string       `json:"label,omitempty"`
	Path      string       `json:"path,omitempty"` // "" where it is about the whole record
	Field     string       `json:"field,omitempty"`
	From      record.Value `json:"from"`
	To        record.Value `json:"to"`
	By        string       `json:"replaced_by"` // who replaced it, in words
	Run       int64        `json:"run"`
	At        time.Time    `json:"at"`
	Sensitive bool         `json:"sensitive,omitempty"`
	Skip      string       `json:"skip,omitempty"` // why it is not put back
	Note      string       `json:"note,omitempty"`
	Outcome   plan.Outcome `json:"outcome,omitempty"`
	Why       string       `json:"why,omitempty"`
	Hint      string       `json:"hint,omitempty"`
}

// RedactPuts returns list with its sensitive values replaced.
func RedactPuts(list []Put) []Put {
	out := append([]Put{}, list...)
	for i := range out {
		if p := &out[i]; p.Sensitive {
			p.From, p.To = hide(p.From), hide(p.To)
		}
	}
	return out
}

// Puts prints what is to be put back, record by record as the list has them, then what is not and why.
func Puts(w io.Writer, list []Put, st Style) error {
	o := newOut(w, st)
	last := ""
	for _, p := range list {
		if p.Skip != "" {
			continue
		}
		if name := putName(p); name != last {
			o.line("  ", o.paint(yellow, "~"), " ", name)
			last = name
		}
		shown := sensitive
		if !p.Sensitive {
			shown = change(p.From, p.To)
		}
		o.line("      ", pad(clean(p.Path), pathWidth), pad(shown, valueWidth), " ", o.paint(faint, clean(was(p))))
		if p.Note != "" {
			o.line("        ", o.paint(yellow, clean(p.Note)))
		}
	}
	for _, p := range list {
		if p.Skip == "" {
			continue
		}
		what := putName(p)
		if p.Path != "" {
			what += " " + clean(p.Path)
		}
		o.line("  ", o.paint(faint, "·"), " ", pad(what, 2*nameWidth), clean(p.Skip))
	}
	return o.Flush()
}

func putName(p Put) string {
	name := p.Label
	if name == "" {
		name = p.Key
	}
	return clean(p.Side + " " + name)
}

func was(p Put) string {
	s := "replaced by " + p.By
	if p.Run != 0 {
		s += fmt.Sprintf(" in run %d", p.Run)
	}
	return s + ", " + moment(p.At)
}

// PutResults prints what was not put back after all, and a closing line. They were counted by the caller.
func PutResults(w io.Writer, list []Put, st Style) error {
	o := newOut(w, st)
	var done, not int64
	for _, p := range list {
		switch p.Outcome {
		case "":
			continue
		case plan.Done:
			done++
			continue
		case plan.Partly:
			done++
			o.line("  ", o.paint(yellow, "~"), " ", putName(p), " ", clean(p.Path), ": done in part: ", clean(p.Why))
		default:
			not++
			o.line("  ", o.paint(red, "!"), " ", putName(p), " ", clean(p.Path), ": ", string(p.Outcome), ": ", clean(p.Why))
			o.hint("      ", p.Hint)
		}
	}
	said := some(done, "value", "values") + " put back"
	if not > 0 {
		said += ", " + o.paint(red, Count(not)+" not")
	}
	o.line(sentence(said))
	return o.Flush()
}
