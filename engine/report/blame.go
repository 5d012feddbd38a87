package report

import (
	"fmt"
	"io"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A Blame is how the values of one link's records came to be.
type Blame struct {
	Sync   string      `json:"sync"`
	Sides  [2]string   `json:"sides"`
	Link   int64       `json:"link"`
	Status string      `json:"status"`
	Keys   [2]string   `json:"keys"`
	Labels [2]string   `json:"labels"`
	Seen   [2]string   `json:"seen"`            // present, missing, gone; "as seen last" where a side could not be read
	Notes  []string    `json:"notes,omitempty"` // what else is to be said of the records
	Paths  []PathBlame `json:"paths"`
}

// A PathBlame is one path with its values, the present one first.
type PathBlame struct {
	Side      string       `json:"side"`
	Path      string       `json:"path"`
	Fields    []string     `json:"fields"` // the rules that are about it
	Sensitive bool         `json:"sensitive,omitempty"`
	Values    []ValueBlame `json:"values"`
}

// A ValueBlame is a value, who set it, and the ID under which the history holds it.
type ValueBlame struct {
	Value record.Value `json:"value"`
	Live  bool         `json:"live,omitempty"` // the record shows it now
	By    string       `json:"by"`             // rule, edit, person, unseen (a rule, over an edit), averted (that edit, put back); "" where nobody knows
	Rule  string       `json:"rule,omitempty"`
	Who   string       `json:"who,omitempty"`
	Run   int64        `json:"run,omitempty"`
	At    time.Time    `json:"at,omitzero"`
	Note  string       `json:"note,omitempty"`
	ID    int64        `json:"id,omitempty"` // restores it
}

// Redacted returns b with its sensitive values replaced.
func (b Blame) Redacted() Blame {
	paths := append([]PathBlame{}, b.Paths...)
	for i := range paths {
		if !paths[i].Sensitive {
			continue
		}
		values := append([]ValueBlame{}, paths[i].Values...)
		for j := range values {
			values[j].Value = hide(values[j].Value)
		}
		paths[i].Values = values
	}
	b.Paths = paths
	return b
}

// PrintBlame prints b as a table: each path with its present value, and below that what it had before.
func PrintBlame(w io.Writer, b Blame, st Style) error {
	b = b.Redacted()
	o := newOut(w, st)
	o.line(o.paint(bold, clean(b.Sync)), "   ", pair(b.Keys, b.Labels), "   ", clean(b.Status))
	for s, name := range b.Sides {
		if b.Seen[s] != "present" {
			o.line("  ", clean(name), " is ", b.Seen[s])
		}
	}
	for _, n := range b.Notes {
		o.line("  ", clean(n))
	}
	if err := o.Flush(); err != nil {
		return err
	}
	if len(b.Paths) == 0 {
		return Note(w, "Nothing is known of its values.")
	}
	t := Table{Head: []string{"PATH", "VALUE", "SET BY", "WHEN", "RUN", "RESTORE"}}
	for _, p := range b.Paths {
		name := p.Side + "." + p.Path
		for _, v := range p.Values {
			row := t.Row
			if v.Live && v.Note != "" {
				row = t.BadRow
			}
			when, run, id := "", "", ""
			if !v.At.IsZero() {
				when = moment(v.At)
			}
			if v.Run != 0 {
				run = fmt.Sprint(v.Run)
			}
			if v.ID != 0 {
				id = fmt.Sprint(v.ID)
			}
			value := short(v.Value)
			if !v.Live {
				value = "  " + value // what was there before
			}
			row(name, value, SetBy(v), when, run, id)
			name = ""
		}
	}
	return t.Print(w, st)
}

// SetBy says in words who set a value.
func SetBy(v ValueBlame) string {
	by := v.By
	switch v.By {
	case "rule", "unseen":
		by = "rule " + v.Rule
		if v.Rule == "" {
			by = "a rule"
		}
		if v.By == "unseen" {
			by = Sum(by, "lost update averted")
		}
	case "averted":
		by = "lost update averted, put back"
	case "edit":
		by = "edit"
	case "person":
		by = "put back"
	}
	if v.Who != "" {
		by += " by " + v.Who
	}
	return Sum(by, v.Note)
}
