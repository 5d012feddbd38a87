package verify

import (
	"errors"
	"slices"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Trip is the round trip of one record's values through a two-way rule that does more than copy.
type Trip struct {
	Rule    int
	From    record.Side
	Outcome TripOutcome
	Way     [][]record.Value // from, over, back and over again, as far as it came
	Err     error            // of Fails and NoRow
}

// A TripOutcome says how a round trip ended.
type TripOutcome uint8

const (
	Whole   TripOutcome = iota // g(f(v)) is v
	Coarser                    // it is another value, of which the other side says the same
	Changed                    // it is another value, of which the other side says something else
	Fails                      // one of the ways fails
	NoRow                      // a live table has no row for it: the field waits until there is one
)

// Trips sends the values of a record on one side through every two-way rule with a transform. needs are the look-ups to
// fetch before their rules can be tried; a rule that needs one is left out.
func Trips(sub *Subject, rules *reconcile.Rules, from record.Side, values []record.Value) (trips []Trip, needs []reconcile.Needed) {
	for n := range rules.Fields {
		r := &rules.Fields[n]
		if !r.TwoWay() || sub.Traits[n].Copy || slices.ContainsFunc(pick(values, r.Reads[from]), func(v record.Value) bool { return !v.Known() }) {
			continue
		}
		t := Trip{Rule: n, From: from, Way: [][]record.Value{pick(values, r.Paths[from])}}
		env := reconcile.Env{Time: epoch}
		env.Values[from] = slices.Clone(values)
		env.Values[from.Other()] = slices.Repeat([]record.Value{record.NullValue}, len(rules.Sides[from.Other()].Paths))
		for to := from.Other(); len(t.Way) < 4 && t.Err == nil; to = to.Other() {
			vs, err := r.To[to](env)
			if t.Err = err; err == nil {
				t.Way = append(t.Way, vs)
				for k, slot := range r.Paths[to] {
					env.Values[to][slot] = vs[k]
				}
			}
		}
		if need, ok := errors.AsType[*reconcile.Needed](t.Err); ok {
			needs = append(needs, *need)
			continue
		}
		switch {
		case t.Err != nil && sub.Traits[n].Live:
			t.Outcome = NoRow
		case t.Err != nil:
			t.Outcome = Fails
		case alike(t.Way[2], t.Way[0]):
			t.Outcome = Whole
		case alike(t.Way[3], t.Way[1]) || sub.Traits[n].Lossy:
			t.Outcome = Coarser
		default:
			t.Outcome = Changed
		}
		trips = append(trips, t)
	}
	return trips, needs
}
