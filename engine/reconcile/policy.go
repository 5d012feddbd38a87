package reconcile

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A ruling is what one policy says of a conflict: a winner, a new value, or why it cannot tell.
type ruling struct {
	winner record.Side
	fresh  []record.Value // a value that neither side has, in the left side's form; nil: the winner's counts
	how    string         // for people
	cannot string         // the policy does not decide; its fallback is asked
	wait   bool           // a person decides: no fallback yet
	err    error
}

// fallbacks bounds the chain from a policy to its fallback's fallback, should a chain ever bite its tail.
const fallbacks = 8

// contest decides row 6: both sides moved and the rule does not hold. A policy carries one side's value to
// the other or puts a new one on both; it never swaps the two.
func (f *field) contest(row int) Verdict {
	why := f.moves(record.Left) + ", " + f.moves(record.Right)
	for p, n := &f.rule.Policy, 0; p != nil && n < fallbacks; p, n = p.Fallback, n+1 {
		f.v.Policy = p.Kind.String()
		ru := f.ask(p)
		switch {
		case ru.err != nil:
			return f.fail(row, ru.err)
		case ru.wait:
			return f.conflict(row, why)
		case ru.cannot != "":
			why += "; " + f.v.Policy + ": " + ru.cannot
		case ru.fresh != nil:
			return f.both(row, ru.fresh, why+"; "+ru.how)
		default:
			return f.write(row, ru.winner.Other(), why+"; "+ru.how+": "+f.r.Sides[ru.winner].Name)
		}
	}
	return f.conflict(row, why)
}

// ask asks one policy.
func (f *field) ask(p *Policy) ruling {
	switch p.Kind {
	case Unset, Newest, Merge, Highest, Lowest:
		// A clear is a change, but against a changed value the value wins.
		if s, ok := f.onlyValue(); ok {
			return ruling{winner: s, how: "a value wins over a clear"}
		}
	}
	switch p.Kind {
	case TakeSide:
		return ruling{winner: p.Side, how: "leads"}
	case Newest:
		s, no := f.newest()
		return ruling{winner: s, how: "newest", cannot: no}
	case Highest, Lowest:
		return f.ranked(p)
	case Merge:
		return f.merged()
	case Union:
		return f.united()
	case Resolve:
		return f.resolved(p)
	}
	since := f.in.Since[f.rule.Name]
	if p.Deadline <= 0 || since.IsZero() || f.in.Time.Before(since.Add(p.Deadline)) {
		return ruling{wait: true}
	}
	return ruling{cannot: "nobody decided within " + p.Deadline.String()}
}

// newest compares when the two records were last changed, on our clock. It tells only if the gap is wider
// than what the clocks may be wrong by; else it says why not.
func (f *field) newest() (record.Side, string) {
	l, r := record.Left, record.Right
	for _, s := range record.Sides {
		switch {
		case !f.in.Clock[s].Measured:
			return l, "the clock of " + f.r.Sides[s].Name + " was not measured"
		case f.in.Record[s].Modified.IsZero():
			return l, f.r.Sides[s].Name + " does not say when it was changed"
		}
	}
	gap := f.stamped(l).Add(-f.in.Clock[l].Offset).Sub(f.stamped(r).Add(-f.in.Clock[r].Offset))
	doubt := f.in.Clock[l].Error + f.in.Clock[r].Error
	switch {
	case gap > doubt:
		return l, ""
	case -gap > doubt:
		return r, ""
	}
	return l, "the changes are closer together than the clocks can tell"
}

// stamped is when side s was changed last. What was replaced unseen was written before that.
func (f *field) stamped(s record.Side) time.Time {
	for _, slot := range f.rule.Reads[s] {
		if m := f.in.meant(s, slot); m != nil && !m.At.IsZero() {
			return m.At
		}
	}
	return f.in.Record[s].Modified
}

// ranked compares the places of both values in the declared order.
func (f *field) ranked(p *Policy) ruling {
	var place [2]int
	for _, s := range record.Sides {
		ok := false
		if p.Rank != nil {
			place[s], ok = p.Rank(s, f.now(s))
		}
		if !ok {
			return ruling{cannot: f.r.paths(s, f.rule.Paths[s]) + " has a value that is not in the order"}
		}
	}
	if place[0] == place[1] {
		return ruling{cannot: "both values have the same place in the order"}
	}
	winner := record.Right
	if (place[0] > place[1]) == (p.Kind == Highest) {
		winner = record.Left
	}
	return ruling{winner: winner, how: p.Kind.String()}
}

// resolved asks the rule's own expression.
func (f *field) resolved(p *Policy) ruling {
	if p.Resolve == nil {
		return ruling{cannot: "there is no expression"}
	}
	vs, err := p.Resolve(f.env)
	if err != nil {
		f.need(err)
		return ruling{err: err}
	}
	for _, s := range record.Sides {
		if slices.Equal(vs, f.now(s)) {
			return ruling{winner: s, how: "resolve"}
		}
	}
	for _, s := range record.Sides {
		if len(vs) == 1 && vs[0].Kind() == record.Text && vs[0].Text() == f.r.Sides[s].Name {
			return ruling{winner: s, how: "resolve"}
		}
	}
	if len(vs) != len(f.rule.Paths[record.Left]) || slices.ContainsFunc(vs, func(v record.Value) bool { return !v.Known() }) {
		return ruling{cannot: "the expression gives nothing that fits " + f.r.paths(record.Left, f.rule.Paths[record.Left])}
	}
	return ruling{fresh: vs, how: "resolve"}
}

// merged does a three-way line merge of each path, in the left side's form.
func (f *field) merged() ruling {
	l := record.Left
	if f.faults[l] != nil {
		return ruling{err: f.faults[l]}
	}
	base, ok := f.ancestor()
	if !ok {
		return ruling{cannot: "the sides never showed the same text"}
	}
	ours, theirs := f.now(l), f.v.Implied[l]
	out := make([]record.Value, len(ours))
	for k := range ours {
		a, b, o := ours[k], theirs[k], base[k]
		switch {
		case a == b || b == o:
			out[k] = a
		case a == o:
			out[k] = b
		case a.Kind() != record.Text || b.Kind() != record.Text || o.Kind() != record.Text && !o.Empty():
			return ruling{cannot: "only text can be merged"}
		default:
			text, clean := mergeLines(o.Text(), a.Text(), b.Text())
			if !clean {
				return ruling{cannot: "both changed the same lines"}
			}
			out[k] = record.OfText(text)
		}
	}
	return ruling{fresh: out, how: "merged"}
}

// ancestor is the text that both sides started from, in the left side's form. Where one of them had stored
// less than it was sent, it is what that one showed, so that the rest counts as an addition of the other
// side and is not lost.
func (f *field) ancestor() ([]record.Value, bool) {
	left, right := f.agreed(record.Left), f.agreed(record.Right)
	env := f.before()
	back, errBack := f.imply(f.rule, record.Left, env)
	forth, errForth := f.imply(f.rule, record.Right, env)
	switch {
	case errBack == nil && slices.Equal(back, left):
		return left, true
	case errBack == nil && errForth == nil && slices.Equal(forth, right):
		return back, true
	case f.dropped(record.Left) == f.dropped(record.Right):
		return nil, false
	case f.dropped(record.Left):
		return left, true
	}
	return back, errBack == nil
}

// agreed returns the base values of the rule's paths on side s.
func (f *field) agreed(s record.Side) []record.Value {
	vs := make([]record.Value, len(f.rule.Paths[s]))
	for k, slot := range f.rule.Paths[s] {
		vs[k] = at(f.in.Link.Base[s], slot)
	}
	return vs
}

// dropped reports whether side s had stored something else than was sent.
func (f *field) dropped(s record.Side) bool {
	return slices.ContainsFunc(f.rule.Paths[s], func(slot int) bool { return at(f.in.Link.Sent[s], slot).Known() })
}

// before is the Env as it was when both sides last agreed.
func (f *field) before() Env {
	env := Env{Time: f.env.Time}
	for _, s := range record.Sides {
		env.Values[s] = slices.Clone(f.env.Values[s])
		for slot, b := range f.in.Link.Base[s] {
			if b.Known() && slot < len(env.Values[s]) {
				env.Values[s][slot] = b
			}
		}
	}
	return env
}

// united joins what both sides added and takes away what either removed, in the left side's form. Each side
// is compared with its own base, so an element that a system refused to store is not taken for removed.
func (f *field) united() ruling {
	l := record.Left
	if f.faults[l] != nil {
		return ruling{err: f.faults[l]}
	}
	bases := [2][]record.Value{f.agreed(l), nil}
	if back, err := f.imply(f.rule, l, f.before()); err == nil {
		bases[1] = back
	} else {
		bases[1] = bases[0]
	}
	nows := [2][]record.Value{f.now(l), f.v.Implied[l]}
	out := make([]record.Value, len(nows[0]))
	for k := range out {
		v, ok := uniteSets([2]record.Value{bases[0][k], bases[1][k]}, [2]record.Value{nows[0][k], nows[1][k]})
		if !ok {
			return ruling{cannot: "only lists and comma separated text can be united, each with its like"}
		}
		out[k] = v
	}
	return ruling{fresh: out, how: "union"}
}

func uniteSets(base, now [2]record.Value) (record.Value, bool) {
	var before, after [2][]record.Value
	list, spaced, arrays, plain := false, false, false, false
	for _, s := range record.Sides {
		for _, v := range []record.Value{base[s], now[s]} {
			switch v.Kind() {
			case record.List:
				list = true
			case record.Text:
				_, array := arrayOf(v)
				arrays, plain = arrays || array, plain || !array && strings.TrimSpace(v.Text()) != ""
				spaced = spaced || strings.Contains(v.Text(), ", ")
			case record.Null:
			default:
				return record.Value{}, false
			}
		}
		before[s], after[s] = elements(base[s]), elements(now[s])
	}
	if arrays && plain {
		return record.Value{}, false // an array that one side writes as text, and a text that only looks like a list of it
	}
	var out []record.Value
	for _, e := range slices.Concat(before[0], before[1], after[0], after[1]) {
		if !slices.Contains(out, e) && stays(e, before, after) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b record.Value) int { return strings.Compare(a.String(), b.String()) })
	switch {
	case list:
		return record.OfList(out), true
	case len(out) == 0 && !arrays:
		return record.NullValue, true
	}
	texts := make([]string, len(out))
	for i, e := range out {
		if texts[i] = e.Text(); arrays {
			texts[i] = e.String()
		}
	}
	sep := ","
	if spaced {
		sep = ", "
	}
	joined := strings.Join(texts, sep)
	if arrays {
		joined = "[" + joined + "]"
	}
	return record.OfText(joined), true
}

// arrayOf reads a text that is a JSON array, as systems without lists keep them.
func arrayOf(v record.Value) ([]record.Value, bool) {
	text := strings.TrimSpace(v.Text())
	if !strings.HasPrefix(text, "[") || !strings.HasSuffix(text, "]") {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var items []any
	if d.Decode(&items) != nil || d.More() {
		return nil, false
	}
	list, err := record.Of(items)
	return list.Items(), err == nil
}

// stays reports whether an element is in the union: someone added it, or nobody removed it.
func stays(e record.Value, before, after [2][]record.Value) bool {
	removed := false
	for _, s := range record.Sides {
		was, is := slices.Contains(before[s], e), slices.Contains(after[s], e)
		if is && !was {
			return true
		}
		removed = removed || was && !is
	}
	return !removed
}

// elements are the members of a list, of a JSON array that is kept as text, or of text that is separated by commas.
func elements(v record.Value) []record.Value {
	if v.Kind() != record.Text {
		return v.Items()
	}
	if items, ok := arrayOf(v); ok {
		return items
	}
	var out []record.Value
	for part := range strings.SplitSeq(v.Text(), ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, record.OfText(part))
		}
	}
	return out
}

// both puts a new value, given in the left side's form, on whichever side does not show it yet.
func (f *field) both(row int, fresh []record.Value, why string) Verdict {
	l, r := record.Left, record.Right
	env := f.env
	env.Values[l] = slices.Clone(env.Values[l])
	for k, slot := range f.rule.Paths[l] {
		env.Values[l][slot] = fresh[k]
	}
	forth, err := f.imply(f.rule, r, env)
	if err != nil {
		return f.fail(row, err)
	}
	for s, vs := range [2][]record.Value{fresh, forth} {
		if !slices.Equal(vs, f.now(record.Side(s))) {
			f.v.To[s] = vs
		}
	}
	return f.end(row, Write, why)
}
