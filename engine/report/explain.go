package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/fieldsync/fieldsync/engine/record"
)

// An Explanation is why the fields of one link are as they are.
type Explanation struct {
	Sync   string         `json:"sync"`
	Sides  [2]string      `json:"sides"`
	Link   int64          `json:"link,omitempty"`
	Status string         `json:"status"` // of the link; "not linked"
	Keys   [2]string      `json:"keys"`
	Labels [2]string      `json:"labels"`
	Seen   [2]string      `json:"seen"` // present, missing, gone, out of scope
	Life   string         `json:"life"`
	Why    string         `json:"why,omitempty"`
	At     string         `json:"at,omitempty"`
	Fields []FieldVerdict `json:"fields"`
}

// A FieldVerdict is the decision about one field with what it was made from.
type FieldVerdict struct {
	Field     string        `json:"field"`
	At        string        `json:"at"`
	Row       int           `json:"row"`
	Verdict   string        `json:"verdict"`
	Policy    string        `json:"policy,omitempty"`
	Moved     [2]bool       `json:"moved"`
	Holds     bool          `json:"holds"`
	Read      [2][]PathView `json:"read"`
	Write     [2][]PathSet  `json:"write"`
	Why       string        `json:"why"`
	Sensitive bool          `json:"sensitive,omitempty"`
}

// A PathView is one path's base and present value.
type PathView struct {
	Path string       `json:"path"`
	Base record.Value `json:"base"`
	Now  record.Value `json:"now"`
}

// A PathSet is one path and the value that it gets.
type PathSet struct {
	Path string       `json:"path"`
	To   record.Value `json:"to"`
}

// rows says what the rows of the decision table mean; %[1]s and %[2]s are the sides.
var rows = map[int]string{
	1: "a value is not known",
	2: "both sides already agree",
	3: "only %[1]s moved",
	4: "only %[2]s moved",
	5: "the side that may not lead moved",
	6: "both sides moved",
	7: "neither side moved, but they do not agree: the rule was edited",
	8: "first contact: they never agreed before",
}

// Redacted returns e with its sensitive values replaced.
func (e Explanation) Redacted() Explanation {
	fields := make([]FieldVerdict, len(e.Fields))
	for i, f := range e.Fields {
		if f.Sensitive {
			f.Why = ""
			for s := range f.Read {
				f.Read[s] = append([]PathView{}, f.Read[s]...)
				for j := range f.Read[s] {
					p := &f.Read[s][j]
					p.Base, p.Now = hide(p.Base), hide(p.Now)
				}
				f.Write[s] = append([]PathSet{}, f.Write[s]...)
				for j := range f.Write[s] {
					f.Write[s][j].To = hide(f.Write[s][j].To)
				}
			}
		}
		fields[i] = f
	}
	e.Fields = fields
	return e
}

// Explain prints e: the link, then each field with its base, what both sides show now, and the verdict.
func Explain(w io.Writer, e Explanation, st Style) error {
	e = e.Redacted()
	o := newOut(w, st)
	o.line(o.paint(bold, clean(e.Sync)), "   ", pair(e.Keys, e.Labels), "   ", clean(e.Status))
	var keys [2]string
	for s := range e.Sides {
		if keys[s] = clean(e.Keys[s]); keys[s] == "" {
			keys[s] = "no record"
		}
		if l := e.Labels[s]; l != "" && l != e.Keys[s] {
			keys[s] += " (" + clean(l) + ")"
		}
	}
	width := max(text.StringWidth(keys[0]), text.StringWidth(keys[1])) + 2
	for s, name := range e.Sides {
		o.line("  ", pad(clean(name), nameWidth), pad(keys[s], width), e.Seen[s])
	}
	if e.Why != "" {
		o.line("  ", pad("verdict", nameWidth), clean(e.Life), ": ", clean(e.Why), at(e.At))
	}
	for _, f := range e.Fields {
		o.field(e.Sides, f)
	}
	return o.Flush()
}

func at(pos string) string {
	if pos == "" {
		return ""
	}
	return "   (" + clean(pos) + ")"
}

func (o *out) field(sides [2]string, f FieldVerdict) {
	o.line()
	o.line(o.paint(bold, clean(f.Field)), "   ", o.paint(faint, clean(f.At)))
	for s, name := range sides {
		for _, p := range f.Read[s] {
			o.line("  ", pad(clean(name+"."+p.Path), 2*nameWidth), history(p))
		}
	}
	verdict := f.Verdict
	if f.Policy != "" {
		verdict += " by " + f.Policy
	}
	o.line("  verdict   ", o.paint(bold, clean(verdict)), reason(sides, f))
	for s, name := range sides {
		for _, p := range f.Write[s] {
			o.line("  writes    ", clean(name+"."+p.Path), " = ", short(p.To))
		}
	}
	if f.Why != "" {
		o.line("  why       ", clean(f.Why))
	}
}

// history shows a value against its base.
func history(p PathView) string {
	switch {
	case p.Base.Kind() == record.Absent:
		return short(p.Now) + "   no base"
	case p.Base == p.Now:
		return short(p.Now) + "   as in base"
	}
	return change(p.Base, p.Now) + "   moved"
}

func reason(sides [2]string, f FieldVerdict) string {
	says, ok := rows[f.Row]
	if !ok {
		return ""
	}
	says = strings.NewReplacer("%[1]s", clean(sides[0]), "%[2]s", clean(sides[1])).Replace(says)
	return fmt.Sprintf("   row %d: %s", f.Row, says)
}
