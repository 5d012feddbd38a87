package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/verify"
)

const (
	sampleSize  = 200 // records of each side
	sampleWords = 24  // different values of each path
	sampleText  = 200 // characters of a value that is tried
)

// A tripView is what became of the sampled values of one side of a two-way field on their way over and back.
type tripView struct {
	Sync    string   `json:"sync"`
	Field   string   `json:"field"`
	At      string   `json:"at"`
	From    string   `json:"from"`
	Records int      `json:"records"`
	Whole   int      `json:"whole"`   // came back as what they were
	Coarser int      `json:"coarser"` // came back as another value that means the same on the other side
	Changed int      `json:"changed"`
	Failed  int      `json:"failed"`
	NoRow   int      `json:"no_row"`            // in a live table: they wait for one
	Example []string `json:"example,omitempty"` // values from, over, back and over again
	Record  string   `json:"record,omitempty"`  // that the example is of
	Error   string   `json:"error,omitempty"`
	telling bool     // the example is of a broken promise
}

func (t tripView) broken() bool { return t.Changed+t.Failed > 0 }

// sample reads some records of a collection, and can write none.
func sample(ctx context.Context, col connectors.Collection, native string, paths []string) ([]record.Record, error) {
	var out []record.Record
	_, err := guard.ReadOnly(col).Scan(ctx, connectors.Query{Paths: paths, Native: native}, func(r record.Record) error {
		out = append(out, r.Clone())
		if len(out) == sampleSize {
			return project.ErrEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, project.ErrEnough) {
		return nil, err
	}
	return out, nil
}

// words are the different values that sampled records show on a side, short ones and none of sensitive fields.
func words(rules *reconcile.Rules, side int, samples []record.Record) map[string][]record.Value {
	out := map[string][]record.Value{}
	for slot, path := range rules.Sides[side].Paths {
		if slices.ContainsFunc(rules.Fields, func(r reconcile.Rule) bool { return r.Sensitive && slices.Contains(r.Reads[side], slot) }) {
			continue
		}
		for _, rec := range samples {
			if v := rec.Values[slot]; v.Known() && utf8.RuneCountInString(v.Plain()) <= sampleText && !slices.Contains(out[path], v) && len(out[path]) < sampleWords {
				out[path] = append(out[path], v)
			}
		}
	}
	return out
}

// lookupRounds is how often look-ups are fetched: there, back, and there again.
const lookupRounds = 4

// trips sends the sampled values of both sides through the two-way fields, with the real look-ups.
func (v *verification) trips(ctx context.Context, s *mapping.Sync, real *mapping.Compiled, sub *verify.Subject, samples [2][]record.Record) ([]tripView, error) {
	var out []tripView
	for _, side := range record.Sides {
		var list []tripView
		for n := 0; ; n++ {
			var needs []reconcile.Needed
			list = nil
			for _, rec := range samples[side] {
				if where := real.Rules.Sides[side].Where; where != nil {
					var env reconcile.Env
					env.Values[side], env.Time = rec.Values, v.app.now()
					if ok, err := where(env); err != nil || !ok {
						continue
					}
				}
				trips, more := verify.Trips(sub, real.Rules, side, rec.Values)
				needs = append(needs, more...)
				for _, t := range trips {
					list = note(list, s, real.Rules, t, rec)
				}
			}
			if len(needs) == 0 || n == lookupRounds {
				break
			}
			if err := v.Fetch(ctx, real.Lookups, needs); err != nil {
				return nil, err
			}
		}
		out = append(out, list...)
	}
	return out, nil
}

// note adds the trip of one record to the view of its field.
func note(list []tripView, s *mapping.Sync, rules *reconcile.Rules, t verify.Trip, rec record.Record) []tripView {
	r := &rules.Fields[t.Rule]
	n := slices.IndexFunc(list, func(x tripView) bool { return x.Field == r.Name })
	if n < 0 {
		n = len(list)
		list = append(list, tripView{Sync: s.Name, Field: r.Name, At: r.At, From: s.Sides[t.From].Name})
	}
	x := &list[n]
	x.Records++
	switch t.Outcome {
	case verify.Whole:
		x.Whole++
	case verify.Coarser:
		x.Coarser++
	case verify.Changed:
		x.Changed++
	case verify.Fails:
		x.Failed++
	case verify.NoRow:
		x.NoRow++
	}
	breaks := t.Outcome == verify.Changed || t.Outcome == verify.Fails
	if t.Outcome < verify.Changed || x.Example != nil && (x.telling || !breaks) {
		return list
	}
	x.Example, x.Error, x.telling = nil, "", breaks
	x.Record = rec.Name()
	if r.Sensitive {
		x.Example = []string{"(sensitive)"}
		return list
	}
	for _, vs := range t.Way {
		said := make([]string, len(vs))
		for i, v := range vs {
			said[i] = v.String()
		}
		x.Example = append(x.Example, strings.Join(said, ", "))
	}
	if t.Err != nil {
		x.Error = t.Err.Error()
	}
	return list
}

// say tells of one field in a line.
func (t tripView) say() string {
	line := fmt.Sprintf("%s of %s from %s: %d of %d come back as what they were", t.Field, t.Sync, t.From, t.Whole, t.Records)
	if t.Coarser > 0 {
		line += fmt.Sprintf(", %d as another value with the same meaning there", t.Coarser)
	}
	if t.Changed > 0 {
		line += fmt.Sprintf(", %d as something else", t.Changed)
	}
	if t.NoRow > 0 {
		line += fmt.Sprintf(", %d without a row", t.NoRow)
	}
	if t.Failed > 0 {
		line += fmt.Sprintf(", %d fail", t.Failed)
	}
	return line
}
