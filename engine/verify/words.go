package verify

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// most is how many values a cell may have in its pool.
const most = 64

// fill makes the pools of all cells: what the mapping and the systems name, what the rules make of it on the other side,
// and, where nothing says what a path holds, ordinary and odd values of the types that its rules take.
func (w *world) fill() {
	for e := range w.ends {
		for c := range w.ends[e].paths {
			w.ends[e].pools[c] = w.ends[e].named(c)
		}
	}
	w.allImages()
	for e := range w.ends {
		for c, f := range w.ends[e].forms {
			if !f.Listed && !w.spoken(e, c) {
				w.invented(e, c)
			}
		}
	}
	w.allImages()
	for e := range w.ends {
		for c := range w.ends[e].pools {
			slices.SortStableFunc(w.ends[e].pools[c], func(a, b Word) int {
				return cmp.Or(cmp.Compare(b.Grade, a.Grade), cmp.Compare(emptiness(a), emptiness(b)))
			})
		}
	}
}

// emptiness puts nothing behind something: a story tells better of values.
func emptiness(w Word) int {
	if w.Value.Empty() {
		return 1
	}
	return 0
}

// allImages adds what all rules make of what is known by now; what goes over may come back as something new.
func (w *world) allImages() {
	for range 2 {
		for _, b := range w.syncs {
			for n := range b.Rules.Fields {
				for _, s := range record.Sides {
					w.images(b, &b.Rules.Fields[n], s)
				}
			}
		}
	}
}

// spoken reports whether so much is known of a cell that expressions read that nothing needs to be made up: an impact
// of "12" is as good a number as "2", and no impact.
func (w *world) spoken(e, c int) bool {
	sure := 0
	for _, word := range w.ends[e].pools[c] {
		if word.Grade == Certain && !word.Value.Empty() {
			sure++
		}
	}
	if sure < 2 {
		return false
	}
	for _, b := range w.syncs {
		for _, s := range record.Sides {
			slot := slices.Index(b.cell[s], c)
			if b.end[s] != e || slot < 0 {
				continue
			}
			for n := range b.Rules.Fields {
				r := &b.Rules.Fields[n]
				if r.To[s.Other()] != nil && !b.Traits[n].Copy && b.Traits[n].Via[s.Other()] == "" && slices.Contains(r.Reads[s], slot) {
					return true
				}
			}
		}
	}
	return false
}

// named are the words that the mapping and the system say of a cell, in the form that it has, and null where nothing
// forbids it.
func (e *end) named(cell int) []Word {
	f := e.forms[cell]
	var pool []Word
	for _, word := range f.Words {
		v, err := e.types[cell].Coerce(word.Value)
		now, taken := f.store(record.NullValue, v)
		if err != nil || !taken || now != v || v.Empty() && (f.Required || e.fixed[cell]) {
			continue
		}
		word.Value = v
		pool = add(pool, word)
	}
	if !f.Required && !e.fixed[cell] {
		// That a create may leave it out does not say that it may be empty: there may be a default.
		pool = add(pool, Word{Value: record.NullValue, Grade: Likely, From: "nothing says that it is never empty"})
	}
	return pool
}

// add keeps each value once, with the better grade.
func add(pool []Word, word Word) []Word {
	for i := range pool {
		if pool[i].Value == word.Value {
			if word.Grade > pool[i].Grade {
				pool[i] = word
			}
			return pool
		}
	}
	if len(pool) >= most {
		return pool
	}
	return append(pool, word)
}

// kinds are tried in this order where nothing says what a path holds.
var kinds = []record.Kind{record.Text, record.Int, record.Bool, record.Time, record.List}

// invented adds values of the type that a cell has, or of the first type that everything which reads it takes.
func (w *world) invented(e, c int) {
	x := &w.ends[e]
	try := kinds
	if k := x.types[c].Kind; k != record.Absent {
		try = []record.Kind{k}
	} else if n := slices.IndexFunc(x.pools[c], func(w Word) bool { return !w.Value.Empty() }); n >= 0 {
		try = []record.Kind{x.pools[c][n].Value.Kind()}
	}
	for _, k := range try {
		var good []Word
		usual := false
		for _, word := range w.ordinary(e, c, k) {
			v, err := x.types[c].Coerce(word.Value)
			if err != nil {
				continue
			}
			if now, taken := x.forms[c].store(record.NullValue, v); !taken || now != v {
				continue
			}
			word.Value = v
			if x.fixed[c] && (word.Grade == Odd || strings.TrimSpace(v.Plain()) == "") || !w.takes(e, c, v, k, hops) {
				continue
			}
			usual = usual || word.Grade == Likely
			good = append(good, word)
		}
		if usual {
			for _, word := range good {
				x.pools[c] = add(x.pools[c], word)
			}
			return
		}
	}
}

// ordinary are values of a kind: some that nobody would wonder at, and some at the edges.
func (w *world) ordinary(e, c int, k record.Kind) []Word {
	likely := func(vs ...record.Value) (out []Word) {
		for _, v := range vs {
			out = append(out, Word{Value: v, Grade: Likely, From: "ordinary content"})
		}
		return out
	}
	odd := func(vs ...record.Value) (out []Word) {
		for _, v := range vs {
			out = append(out, Word{Value: v, From: "content at the edge"})
		}
		return out
	}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	switch k {
	case record.Text:
		if w.ends[e].types[c].Layout != "" {
			return likely(record.OfTime(noon), record.OfTime(noon.Add(36*time.Hour)))
		}
		words := likely(record.OfText("Alpha"), record.OfText("beta 2"), record.OfText("Gamma, delta"), record.OfText("12"), record.OfText("2026-03-01 12:00:00"))
		for _, n := range w.lengths(e, c) {
			words = append(words, likely(record.OfText(long(n)), record.OfText(long(n+1)))...)
		}
		return append(words, odd(record.OfText(""), record.OfText(" padded "), record.OfText("two\nlines"), record.OfText("naïve 🙂"), record.OfText(long(400)))...)
	case record.Int:
		words := likely(record.OfInt(1), record.OfInt(2), record.OfInt(3), record.OfInt(4), record.OfInt(5), record.OfInt(10))
		return append(words, odd(record.OfInt(0), record.OfInt(-1), record.OfInt(1_000_000))...)
	case record.Float:
		return likely(record.OfInt(1), record.OfFloat(2.5))
	case record.Bool:
		return likely(record.OfBool(true), record.OfBool(false))
	case record.Time:
		return likely(record.OfTime(noon), record.OfTime(noon.Add(36*time.Hour)))
	case record.List:
		return likely(record.OfList([]record.Value{record.OfText("a")}), record.OfList([]record.Value{record.OfText("a"), record.OfText("b")}))
	}
	return nil
}

// long is text of n characters that reads as what it is.
func long(n int) string {
	const words = "a text that is longer than some systems keep, "
	s := strings.Repeat(words, n/len(words)+1)[:max(n-1, 0)] + "."
	if n == 0 {
		return ""
	}
	return s
}

// lengths are those at which the other side of a rule cuts, where this system keeps more. They are known of systems
// that describe both ends.
func (w *world) lengths(e, c int) []int {
	own := w.ends[e].forms[c]
	if !own.Described {
		return nil
	}
	var ns []int
	take := func(b *binding, s record.Side, slot int) {
		far := w.ends[b.end[s]].forms[b.cell[s][slot]]
		if n := far.MaxLength; far.Described && n > 0 && (own.MaxLength == 0 || own.MaxLength > n) && !slices.Contains(ns, n) {
			ns = append(ns, n)
		}
	}
	for _, b := range w.syncs {
		for _, s := range record.Sides {
			if b.end[s] != e {
				continue
			}
			for _, m := range b.Rules.Match {
				// Where nothing limits a key, nobody makes one that is too long for all that.
				if o := s.Other(); own.MaxLength > 0 && b.cell[s][m.Slots[s]] == c && m.Marker[o] && b.Rules.Sides[o].Create {
					take(b, o, m.Slots[o])
				}
			}
			for n := range b.Rules.Fields {
				r := &b.Rules.Fields[n]
				if r.To[s.Other()] == nil || !slices.ContainsFunc(r.Reads[s], func(slot int) bool { return b.cell[s][slot] == c }) {
					continue
				}
				for _, slot := range r.Paths[s.Other()] {
					take(b, s.Other(), slot)
				}
			}
		}
	}
	return ns
}

// hops is how far a value is followed to find out whether everything can do with it.
const hops = 2

// trials is how often the other values that an expression reads are made up anew.
const trials = 24

// takes reports whether everything that reads a cell can do with v there, beside some other values: what fails always is
// no value of that path, whatever its type.
// What becomes of it on the other side counts too.
func (w *world) takes(e, c int, v record.Value, k record.Kind, hops int) bool {
	for _, b := range w.syncs {
		for _, s := range record.Sides {
			if b.end[s] != e {
				continue
			}
			slot := slices.Index(b.cell[s], c)
			if slot < 0 {
				continue
			}
			for n := range b.Rules.Fields {
				r := &b.Rules.Fields[n]
				if to := r.To[s.Other()]; to != nil && slices.Contains(r.Reads[s], slot) && b.Traits[n].Via[s.Other()] == "" &&
					!w.works(b, s, slot, v, k, func(env reconcile.Env) error { return w.lands(b, r, s.Other(), env, k, hops) }) {
					return false
				}
				if r.When != nil && !w.works(b, s, slot, v, k, func(env reconcile.Env) error { _, err := r.When(env); return err }) {
					return false
				}
			}
			if where := b.Rules.Sides[s].Where; where != nil && !w.works(b, s, slot, v, k, func(env reconcile.Env) error { _, err := where(env); return err }) {
				return false
			}
		}
	}
	return true
}

// lands carries values over by a rule and says what is wrong with what comes out there.
func (w *world) lands(b *binding, r *reconcile.Rule, to record.Side, env reconcile.Env, k record.Kind, hops int) error {
	vs, err := r.To[to](env)
	if err != nil || hops == 0 {
		return err
	}
	for i, slot := range r.Paths[to] {
		if i < len(vs) && !vs[i].Empty() && !w.takes(b.end[to], b.cell[to][slot], vs[i], k, hops-1) {
			return errStrange
		}
	}
	return nil
}

var errStrange = errors.New("nothing over there can do with it")

// works tries an expression with v in one slot and other values made up: first the same one everywhere that nothing is
// known of, which suits expressions that take alike values, then whatever fits.
func (w *world) works(b *binding, s record.Side, slot int, v record.Value, k record.Kind, try func(reconcile.Env) error) bool {
	d := throw(uint64(slot), int(s))
	for n := range trials {
		env := reconcile.Env{Time: epoch}
		for _, side := range record.Sides {
			x := &w.ends[b.end[side]]
			env.Values[side] = make([]record.Value, len(b.cell[side]))
			for i, cell := range b.cell[side] {
				known := x.pools[cell]
				switch {
				case len(known) > 1 || len(known) == 1 && !known[0].Value.Empty():
					env.Values[side][i] = known[d.below(len(known))].Value
				case n == 0:
					env.Values[side][i] = v
				default:
					words := w.ordinary(b.end[side], cell, kinds[d.below(len(kinds))])
					env.Values[side][i] = words[d.below(len(words))].Value
				}
			}
		}
		env.Values[s][slot] = v
		if try(env) == nil {
			return true
		}
	}
	return false
}

// combinations is how many values of several paths together are carried over to find images.
const combinations = 256

// images adds what a rule makes of the values on side s to the pools of the other side.
func (w *world) images(b *binding, r *reconcile.Rule, s record.Side) {
	o := s.Other()
	if r.To[o] == nil {
		return
	}
	from, to := &w.ends[b.end[s]], &w.ends[b.end[o]]
	env := reconcile.Env{Time: epoch}
	env.Values[s] = slices.Repeat([]record.Value{record.NullValue}, len(b.cell[s]))
	env.Values[o] = slices.Repeat([]record.Value{record.NullValue}, len(b.cell[o]))
	w.each(from, b.cell[s], r.Reads[s], combinations, func(words []Word) {
		grade := Certain
		for k, word := range words {
			env.Values[s][r.Reads[s][k]] = word.Value
			grade = min(grade, word.Grade)
		}
		vs, err := r.To[o](env)
		if err != nil || len(vs) != len(r.Paths[o]) {
			return
		}
		for k, slot := range r.Paths[o] {
			cell := b.cell[o][slot]
			v, taken := to.forms[cell].store(record.NullValue, vs[k])
			if !taken || !v.Known() || v.Empty() || to.fixed[cell] || v.Kind() == record.Text && utf8.RuneCountInString(v.Text()) > 2000 {
				continue
			}
			if blank(v) {
				grade = Odd
			}
			to.pools[cell] = add(to.pools[cell], Word{Value: v, Grade: grade, From: "what field " + r.Name + " writes"})
		}
	})
}

// each calls do with combinations of the words of some slots: all, as long as they are not too many.
func (w *world) each(e *end, cells []int, slots []int, limit int, do func([]Word)) {
	total := 1
	for _, slot := range slots {
		total = min(total*max(len(e.pools[cells[slot]]), 1), limit+1)
	}
	words := make([]Word, len(slots))
	pick := func(k, n int) {
		words[k] = Word{Value: record.NullValue, Grade: Likely}
		if pool := e.pools[cells[slots[k]]]; len(pool) > 0 {
			words[k] = pool[n%len(pool)]
		}
	}
	if total > limit {
		d := throw(7, len(slots))
		for range limit {
			for k := range slots {
				pick(k, int(d.next()>>1))
			}
			do(words)
		}
		return
	}
	for n := range total {
		rest := n
		for k, slot := range slots {
			size := max(len(e.pools[cells[slot]]), 1)
			pick(k, rest%size)
			rest /= size
		}
		do(words)
	}
}

// grade is how sure it is that a cell may hold v; what a rule put there is as sure as what it was made from.
func (e *end) grade(cell int, v record.Value) Grade {
	for _, word := range e.pools[cell] {
		if word.Value == v {
			return word.Grade
		}
	}
	return Certain
}

// from says how a value of a cell came to be known.
func (e *end) from(cell int, v record.Value) string {
	for _, word := range e.pools[cell] {
		if word.Value == v {
			return word.From
		}
	}
	return ""
}
