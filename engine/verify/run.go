package verify

import (
	"slices"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Alone lives histories of one sync. First every value that is known of each path is edited in by itself, and every pair
// of values of a field with an order on both sides at once: so each row of a translation is tried both ways, and each
// choice. Then random histories follow, up to the number that was asked for.
func Alone(sub *Subject, o Options) *Report {
	w := newWorld(sub)
	w.fill()
	return w.live(o, func(*problem) bool { return true })
}

// Together lives histories of two syncs that meet on a collection, and reports what neither would do alone; nil where they
// do not meet, or where no record can be linked by both.
func Together(a, b *Subject, o Options) *Report {
	w := newWorld(a, b)
	if len(w.ends) == 4 || !w.overlap() {
		return nil
	}
	w.fill()
	r := w.live(o, func(p *problem) bool { return len(p.others) > 0 })
	r.Notes = nil
	return r
}

// overlap reports whether the two syncs may link one record, as far as that shows, and write where the other one reads.
// Two sources that mark records of one target in the same path have different ones. Scopes in a system's own language
// cannot be compared.
func (w *world) overlap() bool {
	a, b := w.syncs[0], w.syncs[1]
	same := a.end == b.end || a.end == [2]int{b.end[1], b.end[0]}
	for _, s := range record.Sides {
		for _, t := range record.Sides {
			if a.end[s] != b.end[t] {
				continue
			}
			if a.Native[s] != b.Native[t] && a.Native[s] != "" && b.Native[t] != "" {
				return false
			}
			for _, m := range a.Rules.Match {
				for _, n := range b.Rules.Match {
					if !same && a.cell[s][m.Slots[s]] == b.cell[t][n.Slots[t]] {
						return false
					}
				}
			}
		}
	}
	return a.feeds(b) && b.feeds(a)
}

// feeds reports whether a writes a cell that b reads or writes.
func (b *binding) feeds(o *binding) bool {
	for i := range b.Rules.Fields {
		r := &b.Rules.Fields[i]
		for _, s := range record.Sides {
			if r.To[s] == nil {
				continue
			}
			for _, slot := range r.Paths[s] {
				if o.touches(b.end[s], b.cell[s][slot]) {
					return true
				}
			}
		}
	}
	return false
}

func (b *binding) touches(e, cell int) bool {
	for i := range b.Rules.Fields {
		r := &b.Rules.Fields[i]
		for _, s := range record.Sides {
			if b.end[s] == e && slices.ContainsFunc(slices.Concat(r.Paths[s], r.Reads[s]), func(slot int) bool { return b.cell[s][slot] == cell }) {
				return true
			}
		}
	}
	return false
}

// A life is one pass through all histories of a world.
type life struct {
	*world
	report *Report
	mine   func(*problem) bool
	known  []*catch
	opts   Options
	going  bool
}

// A catch is a problem that was found and how sure the values are that show it.
type catch struct {
	problem
	story   *story
	grade   Grade
	shrunk  int
	finding Finding
}

// retries is how often a problem that only unlikely values showed is looked at again.
const retries = 6

func (w *world) live(o Options, mine func(*problem) bool) *Report {
	l := &life{world: w, report: &Report{Findings: []Finding{}, Notes: []Finding{}}, mine: mine, opts: o, going: true}
	for _, b := range w.syncs {
		l.report.Syncs = append(l.report.Syncs, b.Rules.Sync)
	}
	if len(w.syncs) == 1 {
		l.sweep()
	}
	failed := 0
	for n := 0; l.going && l.report.Histories < o.Histories && n < 20*o.Histories; n++ {
		st := w.invent(throw(o.Seed, n), failed < 20+4*l.report.Linked)
		if st == nil {
			failed++
			continue
		}
		if st.linked {
			l.report.Linked++
		}
		l.try(st)
	}
	if l.report.Histories == 0 {
		l.report.Blind = append(l.report.Blind, "no two records could be made up that are in scope and agree")
	}
	for _, c := range l.known {
		if f := c.finding; f.Note {
			l.report.Notes = append(l.report.Notes, f)
		} else {
			l.report.Findings = append(l.report.Findings, f)
		}
	}
	return l.report
}

// pairs is how many pairs of values are tried in a field with an order.
const pairs = 400

// sweep tries every known value by itself, from an agreed start.
func (l *life) sweep() {
	b := l.syncs[0]
	begin := func(n int) *story {
		for try := range 4 {
			if values, ok := l.start(throw(l.opts.Seed^0x5eed, n<<2+try)); ok {
				return &story{base: values, linked: true, rounds: [][]edit{nil}}
			}
		}
		return nil
	}
	for e := range l.ends {
		for c, pool := range l.ends[e].pools {
			if l.ends[e].fixed[c] {
				continue
			}
			for n, word := range pool {
				st := begin(n)
				if st == nil {
					return
				}
				if st.base[e][c] == word.Value {
					continue
				}
				st.rounds[0] = []edit{{end: e, cell: c, to: word.Value}}
				l.try(st)
			}
		}
	}
	for n := range b.Rules.Fields {
		r := &b.Rules.Fields[n]
		for _, s := range record.Sides {
			if len(r.Paths[s]) < 2 || r.To[s.Other()] == nil {
				continue
			}
			l.each(&l.ends[b.end[s]], b.cell[s], r.Paths[s], combinations, func(words []Word) {
				st := begin(n)
				if st == nil {
					return
				}
				for k, word := range words {
					st.rounds[0] = append(st.rounds[0], edit{end: b.end[s], cell: b.cell[s][r.Paths[s][k]], to: word.Value})
				}
				l.try(st)
			})
		}
		if b.Traits[n].Copy && len(r.Paths[0]) > 1 {
			l.shortened(n, begin)
		}
		if r.Policy.Rank == nil {
			continue
		}
		l.contests(r, begin)
	}
}

// contests edits both sides of a field with an order at once, from a start that shows neither value.
func (l *life) contests(r *reconcile.Rule, begin func(int) *story) {
	b := l.syncs[0]
	at := [2]place{{b.end[0], b.cell[0][r.Paths[0][0]]}, {b.end[1], b.cell[1][r.Paths[1][0]]}}
	var starts []*story
	for n := range 16 {
		if st := begin(n); st != nil && !slices.ContainsFunc(starts, func(o *story) bool {
			return o.base[at[0].end][at[0].cell] == st.base[at[0].end][at[0].cell]
		}) {
			starts = append(starts, st)
		}
	}
	tried := 0
	for _, one := range l.ends[at[0].end].pools[at[0].cell] {
		for _, two := range l.ends[at[1].end].pools[at[1].cell] {
			n := slices.IndexFunc(starts, func(st *story) bool {
				return st.base[at[0].end][at[0].cell] != one.Value && st.base[at[1].end][at[1].cell] != two.Value
			})
			if tried++; tried > pairs || n < 0 {
				continue
			}
			st := starts[n].clone()
			st.rounds[0] = []edit{{end: at[0].end, cell: at[0].cell, to: one.Value}, {end: at[1].end, cell: at[1].cell, to: two.Value}}
			l.try(st)
		}
	}
}

// shortened tries text that the other side of a copy of several paths cuts, and then an edit there of another path.
func (l *life) shortened(n int, begin func(int) *story) {
	b := l.syncs[0]
	r := &b.Rules.Fields[n]
	for _, s := range record.Sides {
		near, far := b.end[s], b.end[s.Other()]
		for k, slot := range r.Paths[s] {
			form := l.ends[far].forms[b.cell[s.Other()][r.Paths[s.Other()][k]]]
			for _, word := range l.ends[near].pools[b.cell[s][slot]] {
				if v, taken := form.store(record.NullValue, word.Value); !taken || v == word.Value {
					continue
				}
				other := b.cell[s.Other()][r.Paths[s.Other()][(k+1)%len(r.Paths[s])]]
				for _, then := range l.ends[far].pools[other] {
					if st := begin(n); st != nil && st.base[far][other] != then.Value {
						st.rounds = [][]edit{{{end: near, cell: b.cell[s][slot], to: word.Value}}, {{end: far, cell: other, to: then.Value}}}
						l.try(st)
					}
				}
			}
		}
	}
}

// try lives one story and keeps what it shows.
func (l *life) try(st *story) {
	if !l.going {
		return
	}
	found, runs := l.play(st, nil)
	l.report.Histories++
	l.report.Runs += runs
	if p := l.opts.Progress; p != nil && l.report.Histories%64 == 0 {
		l.going = p(min(l.report.Histories, l.opts.Histories), l.opts.Histories)
	}
	for i := range found {
		p := &found[i]
		if !l.mine(p) {
			continue
		}
		n := slices.IndexFunc(l.known, func(c *catch) bool { return c.same(p) })
		if n < 0 {
			c := &catch{problem: *p}
			l.known = append(l.known, c)
			l.keep(c, p, st)
			continue
		}
		c := l.known[n]
		l.also(c, p, st)
		if c.finding.Note && c.shrunk < retries && l.gradeOf(st, p) > c.grade {
			l.keep(c, p, st)
		}
	}
}

// keep shrinks a story and keeps it, if it is surer than what was known.
func (l *life) keep(c *catch, p *problem, st *story) {
	c.shrunk++
	short, q := l.shrink(st, p)
	grade := l.gradeOf(short, q)
	if c.story != nil && grade <= c.grade {
		return
	}
	c.problem, c.story, c.grade = *q, short, grade
	values := c.finding.Values
	c.finding = l.tell(short, q)
	c.finding.Note = grade < q.needed() || q.kind == Cut && !q.twin
	c.finding.Values = values
	l.also(c, q, short)
}

// also notes the value that met the same fate, where it was a single one that the mapping or the system names.
func (l *life) also(c *catch, p *problem, st *story) {
	if p.kind != Untranslated && p.kind != Unranked || p.round >= len(st.rounds) {
		return
	}
	b := l.syncs[p.sync]
	rule := &b.Rules.Fields[p.rules[0]]
	e := b.end[p.side]
	for _, x := range st.rounds[p.round] {
		if x.end != e || x.cell != b.cell[p.side][rule.Paths[p.side][0]] || x.to.Empty() || l.ends[e].grade(x.cell, x.to) != Certain {
			continue
		}
		if p.kind == Unranked {
			if _, ok := rule.Policy.Rank(p.side, []record.Value{x.to}); ok {
				continue
			}
		}
		if s := x.to.String() + " (" + l.ends[e].from(x.cell, x.to) + ")"; !slices.Contains(c.finding.Values, s) && len(c.finding.Values) < most {
			c.finding.Values = append(c.finding.Values, s)
		}
	}
}

// gradeOf is how sure the values are on which a story turns: those of the paths that its culprits read and write.
func (l *life) gradeOf(st *story, p *problem) Grade {
	g := Certain
	for _, at := range l.relevant(p) {
		if v := st.base[at.end]; v != nil && (p.needed() < Certain || !st.linked) {
			g = min(g, l.ends[at.end].grade(at.cell, v[at.cell]))
		}
		for _, r := range st.rounds {
			for _, x := range r {
				if x.end == at.end && x.cell == at.cell && !x.remove {
					g = min(g, l.ends[x.end].grade(x.cell, x.to))
				}
			}
		}
	}
	return g
}

// A place is a cell of an end.
type place struct{ end, cell int }

// relevant are the cells that the culprits of a problem read and write: for a rule that waits, those it was read from.
func (w *world) relevant(p *problem) []place {
	var at []place
	note := func(b *binding, s record.Side, slots []int) {
		for _, slot := range slots {
			if x := (place{b.end[s], b.cell[s][slot]}); !slices.Contains(at, x) {
				at = append(at, x)
			}
		}
	}
	of := func(r ref) {
		b := w.syncs[r.sync]
		for _, s := range record.Sides {
			if r.rule < 0 {
				note(b, s, b.Scope[s])
				continue
			}
			note(b, s, b.Rules.Fields[r.rule].Paths[s])
			note(b, s, b.Rules.Fields[r.rule].Reads[s])
		}
		if r.rule < 0 && p.into >= 0 {
			note(b, p.side.Other(), []int{p.into})
			for _, m := range b.Rules.Match {
				if m.Slots[p.side.Other()] == p.into {
					note(b, p.side, []int{m.Slots[p.side]})
				}
			}
		}
	}
	for _, rule := range p.rules {
		of(ref{p.sync, rule})
	}
	for _, r := range p.others {
		of(r)
	}
	return at
}
