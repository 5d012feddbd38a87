package report

import (
	"encoding/json"
	"io"
	"iter"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// PlanJSON writes a plan as one JSON object a line: {"header":…}, then {"action":…}, {"conflict":…} or
// {"hold":…} for each item, then {"footer":…}. Sensitive values read "(sensitive)".
func PlanJSON(w io.Writer, h plan.Header, f plan.Footer, items iter.Seq2[plan.Item, error]) error {
	e := encoder(w)
	if err := e.Encode(map[string]any{"header": h}); err != nil {
		return err
	}
	for it, err := range items {
		if err != nil {
			return err
		}
		if err := e.Encode(Redact(it)); err != nil {
			return err
		}
	}
	return e.Encode(map[string]any{"footer": f})
}

// ResultJSON writes {"result":…} on a line of its own.
func ResultJSON(w io.Writer, r plan.Result) error {
	r.Action = *redactAction(&r.Action)
	return encoder(w).Encode(map[string]any{"result": r})
}

// JSON writes any other view as one indented object or list.
func JSON(w io.Writer, v any) error {
	e := encoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Line writes v as one line of JSON.
func Line(w io.Writer, v any) error { return encoder(w).Encode(v) }

func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// Redact returns it with its sensitive values, and the remarks that quote them, replaced.
func Redact(it plan.Item) plan.Item {
	if it.Action != nil {
		it.Action = redactAction(it.Action)
	}
	if it.Conflict != nil {
		c := RedactConflict(*it.Conflict)
		it.Conflict = &c
	}
	return it
}

func redactAction(a *plan.Action) *plan.Action {
	b := *a
	b.Changes = append([]plan.Change{}, a.Changes...)
	for i := range b.Changes {
		if c := &b.Changes[i]; c.Sensitive {
			c.From, c.To, c.Why = hide(c.From), hide(c.To), ""
		}
	}
	return &b
}

// RedactConflict returns c with its values replaced where they are sensitive.
func RedactConflict(c plan.Conflict) plan.Conflict {
	if c.Sensitive {
		for i := range c.Now {
			c.Base[i], c.Now[i] = hide(c.Base[i]), hide(c.Now[i])
		}
		c.Why = ""
	}
	return c
}

// hide keeps only whether there is a value at all.
func hide(v record.Value) record.Value {
	if !v.Known() || v.Empty() {
		return v
	}
	return record.OfText(sensitive)
}
