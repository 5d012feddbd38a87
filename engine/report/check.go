package report

import (
	"io"

	"github.com/jedib0t/go-pretty/v6/text"
)

// A Finding is one line of a check of a connection.
type Finding struct {
	Connection string `json:"connection"`
	OK         bool   `json:"ok"`
	What       string `json:"what"`
	Detail     string `json:"detail"`
	Hint       string `json:"hint,omitempty"`
}

// Findings prints what a check found, by connection, with the way out under what is wrong.
func Findings(w io.Writer, list []Finding, st Style) error {
	o := newOut(w, st)
	wrong, width, before := int64(0), 0, ""
	for _, f := range list {
		width = max(width, text.StringWidth(clean(f.What))+2)
	}
	for i, f := range list {
		if i == 0 || f.Connection != before {
			o.line(o.paint(bold, clean(f.Connection)))
			before = f.Connection
		}
		mark := o.paint(green, "ok")
		if !f.OK {
			mark = o.paint(red, "!!")
			wrong++
		}
		o.line("  ", mark, "  ", pad(clean(f.What), width), clean(f.Detail))
		if !f.OK {
			o.hint("        ", f.Hint)
		}
	}
	switch {
	case len(list) == 0:
		o.line("No connections.")
	case wrong == 0:
		o.line("All is well.")
	default:
		o.line(some(wrong, "thing is wrong.", "things are wrong."))
	}
	return o.Flush()
}
