package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Units are sorted by what they do: first what only has to be remembered, then the actions in the order in
// which they are carried out, then what waits.
const (
	orderSettle = iota
	orderCreate
	orderUpdate
	orderComment
	orderAttachment
	orderDelete
	orderConflict
	orderHold
)

// decideBatch is how many decisions are made between two fetches of look-ups and searches.
const decideBatch = 256

// A unit is one line of the spool: a link (or a record without one) and, where there is something to show, an
// item. Only references are kept; the records come back from the spool and the decision, being pure, is
// made again from them.
type unit struct {
	Link int64      `json:"l,omitempty"`
	Keys [2]string  `json:"k"`
	Item *plan.Item `json:"i,omitempty"`
	Lead bool       `json:"d,omitempty"` // carrying this unit out does everything for its link
	Only bool       `json:"o,omitempty"` // there is nothing to decide: only the fingerprint is remembered
	// Unseen are the sides of which this run had observed nothing when it decided. A search may have brought the
	// record along since then: the decision is made again without it, or it would not be the one that was planned.
	Unseen [2]bool `json:"u,omitzero"`
	// Past says that the link's history has something to say to the decision; without it nobody has to look again.
	Past bool `json:"p,omitempty"`
	// Threads, Files and Beside only have to be remembered, but files beside an action, whose content it carries.
	Threads []Thread `json:"t,omitempty"`
	Files   []File   `json:"f,omitempty"`
	Beside  []Beside `json:"b,omitempty"`
	Source  uint64   `json:"s,omitempty"` // of an action: hash of the text that the comment has in its own system
	order   int
	fold    *Fold // a pair that agrees: all there is to it
	// act is the action of a unit that is not shown but carried out, which decides again: nobody has to read it. digest
	// is its ActionDigest.
	act    []byte
	digest string
}

// decide looks at every link and record that something happened to and spools what is to be done.
func (r *Run) decide(ctx context.Context) error {
	if err := r.wake(ctx); err != nil {
		return err
	}
	virgin, err := r.noLinks(ctx)
	if err != nil {
		return err
	}
	tombs, err := r.book.Tombs(ctx, lasting)
	if err != nil {
		return err
	}
	decided := make(map[uint64]struct{})
	for _, s := range record.Sides {
		p := &pass{r: r, ctx: ctx, side: s, found: map[string]bool{}, decided: decided, virgin: virgin, tombs: tombs}
		if err := r.spool.Each(ctx, s, p.visit); err != nil {
			return err
		}
		if err := errors.Join(p.look(), p.flush()); err != nil {
			return err
		}
	}
	if err := r.held(ctx); err != nil {
		return err
	}
	return r.added(ctx)
}

// wake spools the records without a link that wait and are due: an ambiguous match, a refused create. They are
// read again whatever the scan said.
func (r *Run) wake(ctx context.Context) error {
	var due [2][]string
	err := r.book.Waiting(ctx, 0, func(w Waiting) error {
		link, keys := w.subject()
		if link != 0 {
			return nil
		}
		r.waiting[waitKey(keys)] = append(r.waiting[waitKey(keys)], w)
		for _, s := range record.Sides {
			if keys[s] == "" {
				continue
			}
			_, there, err := r.spool.Get(ctx, s, keys[s])
			if err != nil || there || r.few {
				return err
			}
			if w.Hold != nil && r.early(w.Hold) {
				if err := r.spoolItem(ctx, unit{Keys: keys}, plan.Item{Hold: w.Hold}); err != nil {
					return err
				}
				continue
			}
			due[s] = append(due[s], keys[s])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range record.Sides {
		found, err := r.read(ctx, s, due[s])
		if err != nil {
			return err
		}
		k := r.sink(ctx, s)
		pr := newPrinter(r.rules.Digest)
		for _, key := range due[s] {
			rec, ok := found[key]
			if ok {
				err = k.see(rec, pr.of(key, rec.Values))
			} else {
				err = k.put(record.Record{Key: key}, reconcile.Gone, pr.of(key, nil))
			}
			if err != nil {
				return err
			}
		}
		if err := k.flush(); err != nil {
			return err
		}
	}
	return nil
}

func waitKey(keys [2]string) string { return keys[0] + "\x00" + keys[1] }

// subject is the link, or the keys of records without one, that w is about.
func (w Waiting) subject() (int64, [2]string) {
	if w.Conflict != nil {
		return w.Conflict.Link, w.Conflict.Keys
	}
	return w.Hold.Link, w.Hold.Keys
}

// A pass visits the moved records of one side, links first, strangers in batches.
type pass struct {
	r         *Run
	ctx       context.Context
	side      record.Side
	moved     []Moved // whose links were not asked for yet
	strangers []Moved
	asked     []asked
	found     map[string]bool       // records of the other side that this pass itself put into the spool
	decided   map[uint64]struct{}   // key hashes of right records that the pass over the left side has decided
	virgin    bool                  // there are no links at all
	tombs     bool                  // a person has parted records
	carriers  [2]map[uint64][]Moved // by match hash, for the block and the strangers in hand
	n         int64
}

// asked is what a decision is to be made about.
type asked struct {
	in     reconcile.Input
	prints [2]*Print
}

func (p *pass) visit(m Moved) error {
	if p.n++; p.n%1000 == 0 {
		p.r.progress("decide", p.n, 0)
	}
	if _, done := p.decided[keyHash(m.Record.Key)]; done && p.side == record.Right {
		return nil
	}
	if p.moved = append(p.moved, m); len(p.moved) >= decideBatch {
		return p.look()
	}
	return nil
}

// look gives the records that were gathered their links. What has none is a stranger.
func (p *pass) look() error {
	moved := p.moved
	p.moved = nil
	links := make(map[string]record.Link, len(moved))
	if !p.virgin {
		keys := make([]string, len(moved))
		for i := range moved {
			keys[i] = moved[i].Record.Key
		}
		if err := p.r.book.LinksOf(p.ctx, p.side, keys, func(l record.Link) error { links[l.Key[p.side]] = l; return nil }); err != nil {
			return err
		}
	}
	var known []record.Link
	var hands [][2]*Moved
	for i := range moved {
		m := &moved[i]
		l, linked := links[m.Record.Key]
		switch {
		case linked:
			known, hands = append(known, l), append(hands, at(p.side, m))
		case m.Presence == reconcile.Gone || m.Presence == reconcile.OutOfScope:
			// Gone or left the scope, and nobody's twin: only its fingerprint and its holds have to go.
			if err := p.r.settleOnly(p.ctx, unit{Keys: oneKey(p.side, m.Record.Key), Only: true}); err != nil {
				return err
			}
		default:
			p.strangers = append(p.strangers, *m)
		}
	}
	as, err := p.r.inputs(p.ctx, known, hands)
	if err != nil {
		return err
	}
	for _, a := range as {
		if err := p.add(a.in, a.prints); err != nil {
			return err
		}
	}
	if len(p.strangers) >= readBatch {
		return p.flush()
	}
	return nil
}

// noLinks reports whether no link was ever stored that could come back: the first contact of a sync.
func (r *Run) noLinks(ctx context.Context) (bool, error) {
	links, err := r.book.CountLinks(ctx)
	if err != nil || links > 0 {
		return false, err
	}
	err = r.book.Links(ctx, record.Detached, func(record.Link) error { return errStop })
	if errors.Is(err, errStop) {
		return false, nil
	}
	return err == nil, err
}

// link asks the state for a link that is not ended, unless it has none at all.
func (p *pass) link(s record.Side, key string) (*record.Link, error) {
	if p.virgin {
		return nil, nil
	}
	return p.r.book.Link(p.ctx, s, key)
}

func (p *pass) add(in reconcile.Input, prints [2]*Print) error {
	if key := in.Link.Key[record.Right]; key != "" && p.side == record.Left {
		p.decided[keyHash(key)] = struct{}{}
	}
	if p.asked = append(p.asked, asked{in, prints}); len(p.asked) >= decideBatch {
		return p.settle()
	}
	return nil
}

func (p *pass) flush() error {
	if err := p.pair(); err != nil {
		return err
	}
	return p.settle()
}

func (p *pass) settle() error {
	ins := make([]reconcile.Input, len(p.asked))
	for i := range ins {
		ins[i] = p.asked[i].in
	}
	ds, err := p.r.decideAll(p.ctx, ins)
	if err != nil {
		return err
	}
	for i, a := range p.asked {
		a.in = ins[i]
		if ds[i].Quiet() && len(a.in.Link.Meant) == 0 {
			err = p.r.spoolQuiet(p.ctx, a, ds[i])
		} else {
			err = p.r.spoolDecision(p.ctx, a, ds[i])
		}
		if err != nil {
			return err
		}
	}
	p.asked = p.asked[:0]
	return nil
}

// spoolQuiet spools what is to be remembered of a pair that agrees. A preview remembers nothing.
func (r *Run) spoolQuiet(ctx context.Context, a asked, d reconcile.Decision) error {
	if a.in.Link.ID == 0 {
		r.tally.linked++
	}
	if !r.leased {
		return nil
	}
	f := r.outcome(loaded{in: a.in, prints: a.prints, d: d, keys: a.in.Link.Key}, written{})
	return r.add(ctx, Spooled{Order: orderSettle, Data: appendQuiet(nil, &f)})
}

func at(s record.Side, m *Moved) [2]*Moved {
	var hand [2]*Moved
	hand[s] = m
	return hand
}

func oneKey(s record.Side, key string) [2]string {
	var k [2]string
	k[s] = key
	return k
}

// decideAll decides a batch, fetching the look-ups that it needs, and gives the inputs what is to be recalled.
func (r *Run) decideAll(ctx context.Context, ins []reconcile.Input) ([]reconcile.Decision, error) {
	ds := make([]reconcile.Decision, len(ins))
	todo := make([]int, len(ins))
	for i := range todo {
		todo[i] = i
	}
	for round := 0; len(todo) > 0; round++ {
		var needs []reconcile.Needed
		seen := make(map[reconcile.Needed]bool)
		var again []int
		for _, i := range todo {
			ds[i] = reconcile.Decide(r.rules, ins[i])
			for _, n := range ds[i].Needs {
				if !seen[n] {
					seen[n] = true
					needs = append(needs, n)
				}
			}
			if len(ds[i].Needs) > 0 {
				again = append(again, i)
			}
		}
		if len(needs) == 0 {
			break
		}
		if r.job.Fetch == nil || round > 4 {
			return nil, fmt.Errorf("translation %s cannot be looked up", needs[0].Translation)
		}
		if err := r.job.Fetch(ctx, needs); err != nil {
			return nil, fmt.Errorf("look up translation %s: %w", needs[0].Translation, err)
		}
		todo = again
	}
	return ds, r.recallAll(ctx, ins, ds)
}

// decideOne is decideAll for one.
func (r *Run) decideOne(ctx context.Context, in *reconcile.Input) (reconcile.Decision, error) {
	ins := []reconcile.Input{*in}
	ds, err := r.decideAll(ctx, ins)
	if err != nil {
		return reconcile.Decision{}, err
	}
	*in = ins[0]
	return ds[0], nil
}

// held looks again at links that wait although nothing moved on them: a person may have decided, a deadline
// may be over, a hold may be due.
func (r *Run) held(ctx context.Context) error {
	if r.few {
		return nil
	}
	p := &pass{r: r, ctx: ctx, side: record.Right}
	err := r.book.Links(ctx, record.Held, func(l record.Link) error {
		for _, s := range record.Sides {
			if l.Key[s] == "" {
				continue
			}
			if _, there, err := r.spool.Get(ctx, s, l.Key[s]); err != nil || there {
				return err
			}
		}
		var shown []plan.Item
		asleep, awake := false, false
		err := r.book.Waiting(ctx, l.ID, func(w Waiting) error {
			switch {
			case w.Hold != nil && r.early(w.Hold):
				asleep = true
			case w.Hold != nil, w.Choice != nil, r.hasDeadline(w.Conflict.Field):
				awake = true
			}
			shown = append(shown, plan.Item{Hold: w.Hold, Conflict: w.Conflict})
			return nil
		})
		if err != nil {
			return err
		}
		// A conflict beside it is no reason to try a refused write again before its time.
		if asleep && !awake {
			for _, it := range shown {
				if err := r.spoolItem(ctx, unit{Link: l.ID, Keys: l.Key}, it); err != nil {
					return err
				}
			}
			return nil
		}
		if err := r.reread(ctx, l); err != nil {
			return err
		}
		in, prints, err := r.input(ctx, l, [2]*Moved{})
		if err != nil {
			return err
		}
		return p.add(in, prints)
	})
	if err != nil {
		return err
	}
	return p.settle()
}

// early reports whether what is held is to be left alone until its time.
func (r *Run) early(h *plan.Hold) bool { return h.Next.After(r.started) && !r.job.Again }

// hasDeadline reports whether the conflicts of a field end by themselves.
func (r *Run) hasDeadline(field string) bool {
	for i := range r.rules.Fields {
		if f := &r.rules.Fields[i]; f.Name == field {
			for p := &f.Policy; p != nil; p = p.Fallback {
				if p.Deadline > 0 {
					return true
				}
			}
		}
	}
	return false
}

// reread looks at the records of a link that an earlier run left unsettled and that no scan has shown since.
func (r *Run) reread(ctx context.Context, l record.Link) error {
	for _, s := range record.Sides {
		key := l.Key[s]
		if key == "" {
			continue
		}
		p, ok, err := r.book.Print(ctx, s, keyHash(key))
		if err != nil {
			return err
		}
		if !ok || p != *unsettled(key) && !p.born() {
			continue
		}
		var inside map[string]bool
		if p.born() {
			if inside, ok, err = r.inside(ctx, s, []string{key}); err != nil {
				return err
			} else if !ok {
				continue // only a scan tells whether it is in scope by now
			}
		}
		found, err := r.read(ctx, s, []string{key})
		if err != nil {
			return err
		}
		rec, there := found[key]
		if !there {
			rec = record.Record{Key: key}
		}
		k, print := r.sink(ctx, s), newPrinter(r.rules.Digest).of(key, rec.Values)
		switch {
		case !there:
			err = k.put(rec, reconcile.Gone, print)
		case inside != nil && !inside[key]:
			err = k.put(rec, reconcile.OutOfScope, print)
		default:
			err = k.see(rec, print)
		}
		if err := errors.Join(err, k.flush()); err != nil {
			return err
		}
	}
	return nil
}
