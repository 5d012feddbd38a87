package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// lateEntry is how long after its stamp a comment or a file may become visible: a transaction stamps first and commits later.
const lateEntry = 5 * time.Minute

// An ear is what listening to the comments, or to the attachments, of one side found out.
type ear struct {
	heard  Heard // how far this run listened
	listen bool
	deaf   bool // not everything could be heard or passed on: the next run listens from where this one did
}

// A spot is where comments or attachments wait.
type spot struct {
	kind  plan.Kind
	side  record.Side
	link  int64
	entry string
}

// beside is what is known of the comments and attachments of a sync while it runs.
type beside struct {
	ears   map[plan.Kind]*[2]ear
	waits  map[spot]Beside // that were waiting when the run began
	said   map[spot]bool   // what this run has said of them already
	mute   map[spot]error  // links with a write of which nobody knows whether it was done, and why
	mu     sync.Mutex
	hashes map[spot]string // of contents that this run has read
}

func newBeside() *beside {
	return &beside{ears: map[plan.Kind]*[2]ear{plan.Comment: {}, plan.Attachment: {}}, waits: map[spot]Beside{}, said: map[spot]bool{},
		mute: map[spot]error{}, hashes: map[spot]string{}}
}

// listen finds the comments and attachments that nobody has carried yet and spools them, in the order in which they came to
// be. It goes beside the observation of records, as many systems keep them apart and a new one moves no field
// that rules read. That they cannot be read keeps no field from flowing: it is held and said.
func (r *Run) listen(ctx context.Context) error {
	if err := r.book.Beside(ctx, func(b Beside) error { r.beside.waits[spot{b.Kind, b.Side, b.Link, b.Entry}] = b; return nil }); err != nil {
		return err
	}
	for _, s := range record.Sides {
		c, a := r.rules.Comments, r.rules.Attachments
		if c == nil || !c.To[s.Other()] {
			if err := r.forget(ctx, plan.Comment, s); err != nil {
				return err
			}
		} else if err := r.hear(ctx, &hearing{r: r, ctx: ctx, kind: plan.Comment, side: s, path: c.Paths[s], rule: c.At, again: map[int64]bool{}}, hearComments); err != nil {
			return err
		}
		if a == nil || !a.To[s.Other()] {
			if err := r.forget(ctx, plan.Attachment, s); err != nil {
				return err
			}
		} else if err := r.hear(ctx, &hearing{r: r, ctx: ctx, kind: plan.Attachment, side: s, path: a.Paths[s], rule: a.At, rules: a.Limits(), again: map[int64]bool{}}, hearFiles); err != nil {
			return err
		}
	}
	return r.added(ctx)
}

// forget lets go of what waited for rules that are no longer there.
func (r *Run) forget(ctx context.Context, kind plan.Kind, s record.Side) error {
	for at := range r.beside.waits {
		if at.kind == kind && at.side == s {
			if err := r.settleBeside(ctx, unit{Link: at.link, Beside: []Beside{at.clear()}}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (at spot) clear() Beside {
	return Beside{Kind: at.kind, Side: at.side, Link: at.link, Entry: at.entry}
}

// hear listens to one side. What keeps the whole of it from being heard is a hold like any other: it is not tried again
// before its time, unless a full run is asked for.
func (r *Run) hear(ctx context.Context, p *hearing, listen func(*hearing) error) error {
	e, whole := &r.beside.ears[p.kind][p.side], spot{kind: p.kind, side: p.side}
	e.listen = true
	if w := r.beside.waits[whole]; r.asleep(w) {
		e.deaf = true
		return r.spoolItem(ctx, unit{}, plan.Item{Hold: w.Hold})
	}
	err := listen(p)
	ce, ok := errors.AsType[*connectors.Error](err)
	switch {
	case err == nil:
		if _, waited := r.beside.waits[whole]; waited {
			return r.settleBeside(ctx, unit{Beside: []Beside{whole.clear()}})
		}
		return nil
	case !ok || errors.Is(err, connectors.ErrAuth) || errors.Is(err, connectors.ErrOffline):
		return fmt.Errorf("listen to %ss of %s: %w", p.kind, r.name(p.side), err)
	}
	e.deaf = true
	return p.hold(record.Link{Label: [2]string{r.name(p.side)}}, "", fmt.Errorf("%ss of %s: %w", p.kind, r.name(p.side), ce))
}

// asleep reports whether it is not yet time to try again what waits.
func (r *Run) asleep(w Beside) bool {
	return w.Hold != nil && r.early(w.Hold) && !r.job.Full
}

// settleBeside spools what is to be remembered of comments and attachments. A preview remembers nothing.
func (r *Run) settleBeside(ctx context.Context, u unit) error {
	if !r.leased {
		return nil
	}
	u.Lead = true
	return r.put(ctx, orderSettle, "", u)
}

// A hearing listens to the comments or attachments of one side.
type hearing struct {
	r      *Run
	ctx    context.Context
	kind   plan.Kind
	side   record.Side
	path   string
	rule   string // file:line
	rules  string // what decides which of them are carried
	before Heard
	had    bool
	first  bool           // the links in hand were never listened to
	whole  bool           // everything that the records in hand have was asked for
	again  map[int64]bool // links that are read whole because something of them waits and is due
}

// hold says that something waits, and remembers it.
func (p *hearing) hold(l record.Link, entry string, err error) error {
	at := spot{p.kind, p.side, l.ID, entry}
	if p.r.beside.said[at] {
		return nil
	}
	p.r.beside.said[at] = true
	b := p.r.besideHold(at, l, p.rule, err)
	if err := p.r.spoolItem(p.ctx, unit{Link: l.ID, Keys: l.Key}, plan.Item{Hold: b.Hold}); err != nil {
		return err
	}
	return p.r.settleBeside(p.ctx, unit{Link: l.ID, Keys: l.Key, Beside: []Beside{b}})
}

func (r *Run) besideHold(at spot, l record.Link, rule string, err error) Beside {
	b := at.clear()
	b.Hold = &plan.Hold{Sync: r.rules.Sync, Link: at.link, Keys: l.Key, Labels: l.Label, Field: string(at.kind) + "s", At: rule,
		Cause: err.Error(), Hint: connectors.Hint(err), Since: r.started}
	if e, ok := errors.AsType[*connectors.Error](err); ok && e.RetryAfter > 0 {
		b.Hold.Next = r.now().Add(e.RetryAfter)
	}
	if w, waited := r.beside.waits[at]; waited {
		b.Hold.Since = w.Hold.Since
	}
	return b
}

// A lister asks a system for comments, or for the metadata of attachments.
type lister[T any] func(ctx context.Context, path string, keys []string, since time.Time, emit func(key string, t T) error) error

// listenTo listens to one side: to the links that it has never listened to, one by one, and to what came since at all
// others. visit is given what one reading delivered, by record; of a record that waits it is told even when there is nothing.
func listenTo[T any](p *hearing, list lister[T], at func(T) time.Time, visit func(map[string][]T) error) error {
	r, s := p.r, p.side
	before, had, err := r.book.Heard(p.ctx, p.kind, s)
	if err != nil {
		return err
	}
	if had = had && before.Path == p.path; !had {
		before = Heard{}
	}
	p.before, p.had = before, had
	if r.few {
		return hearOnly(p, list, visit)
	}
	if err := p.waiting(); err != nil {
		return err
	}
	now := r.theirs(s, r.started)
	e := &r.beside.ears[p.kind][s]
	e.heard = Heard{Path: p.path, Rules: p.rules, Since: before.Since, At: r.started, Link: before.Link}
	doubt := r.views[s].gate.doubt
	if !had || doubt && before.Since.After(now) {
		e.heard.Since = now
	}
	gather := func(keys []string, since time.Time) error {
		found := map[string][]T{}
		if p.whole {
			for _, key := range keys {
				found[key] = nil
			}
		}
		err := list(p.ctx, p.path, keys, since, func(key string, t T) error {
			found[key] = append(found[key], t)
			if at := at(t); at.After(e.heard.Since) && !at.After(now) {
				e.heard.Since = at
			}
			return nil
		})
		if err != nil {
			return err
		}
		return visit(found)
	}
	due := r.job.Full || doubt || r.views[s].before.Full.Before(r.job.FullSince) || had && before.Rules != p.rules
	var fresh, all []string
	flush := func(keys *[]string, first bool) error {
		if len(*keys) == 0 {
			return nil
		}
		p.first, p.whole = first, true
		err := gather(*keys, time.Time{})
		p.first, p.whole = false, false
		*keys = nil
		return err
	}
	alive := map[int64]bool{}
	err = r.book.Keys(p.ctx, s, func(link int64, key string) error {
		if e.heard.Link = max(e.heard.Link, link); key == "" {
			return nil
		}
		alive[link] = p.again[link]
		list, first := &all, false
		switch {
		case link > before.Link:
			list, first = &fresh, true
		case !due && !p.again[link]:
			return nil
		}
		if *list = append(*list, key); len(*list) == readBatch {
			return flush(list, first)
		}
		return nil
	})
	if err = errors.Join(err, flush(&fresh, true), flush(&all, false)); err != nil {
		return err
	}
	for link := range p.again {
		if !alive[link] { // it ended or was detached: nothing of it is carried any more
			if err := p.clear(link); err != nil {
				return err
			}
		}
	}
	if !had || due {
		return nil
	}
	return gather(nil, before.Since.Add(-lateEntry))
}

// waiting shows what waits of single links and is not due, and says which links have something that is.
func (p *hearing) waiting() error {
	for _, at := range slices.SortedFunc(maps.Keys(p.r.beside.waits), compareSpots) {
		if at.kind != p.kind || at.side != p.side || at.link == 0 {
			continue
		}
		if w := p.r.beside.waits[at]; p.r.asleep(w) {
			p.r.beside.said[at] = true
			if err := p.r.spoolItem(p.ctx, unit{Link: at.link, Keys: w.Hold.Keys}, plan.Item{Hold: w.Hold}); err != nil {
				return err
			}
			continue
		}
		p.again[at.link] = true
	}
	return nil
}

// clear lets go of everything that waits of a link and has not been said again.
func (p *hearing) clear(link int64) error {
	var gone []Beside
	for at := range p.r.beside.waits {
		if at.kind == p.kind && at.side == p.side && at.link == link && !p.r.beside.said[at] {
			gone = append(gone, at.clear())
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return p.r.settleBeside(p.ctx, unit{Link: link, Beside: gone})
}

// pair finds the link whose thread is looked at; nil where nothing of it is to be carried now.
func (p *hearing) pair(key string) (*record.Link, error) {
	r, s, o := p.r, p.side, p.side.Other()
	l, err := r.book.Link(p.ctx, s, key)
	if err != nil || l == nil || l.Key[o] == "" || l.Status != record.Live && l.Status != record.Held {
		return nil, err
	}
	if !p.whole && (l.ID > p.before.Link || p.again[l.ID]) {
		return nil, nil // this run has read everything that it has
	}
	for _, side := range record.Sides {
		m, there, err := r.spool.Get(p.ctx, side, l.Key[side])
		if err != nil || there && m.Presence != reconcile.Present {
			return nil, err // the pair is about to part
		}
		if there || l.Status != record.Held {
			continue
		}
		if p, settled, err := r.book.Print(p.ctx, side, keyHash(l.Key[side])); err != nil || settled && (p == r.gonePrint(l.Key[side]) || p.Print == markOutside) {
			return nil, err // one of them is gone or out of scope, and what that means is what waits
		}
	}
	if err := r.beside.mute[spot{kind: p.kind, link: l.ID}]; err != nil {
		return nil, p.hold(*l, "", err)
	}
	return l, nil
}

// theirs is a time of ours as the clock of a side's system showed it, at the earliest.
func (r *Run) theirs(s record.Side, t time.Time) time.Time {
	c := r.clock(s)
	return t.Add(c.Offset - c.Error)
}

// old tells what is older than the link, and stays where it is. A record that was made from its twin is as old as the
// link, so everything of its twin is carried. known says that something of the link was settled before.
func (p *hearing) old(l *record.Link, history, known bool) (func(time.Time) bool, error) {
	r := p.r
	if history || !p.first && known || p.again[l.ID] {
		return func(time.Time) bool { return false }, nil
	}
	made := false
	err := r.book.History(p.ctx, l.ID, func(e Entry) error {
		made = made || e.Cause == Made
		return nil
	})
	// The link was not there yet when this side was last listened to.
	since := r.theirs(p.side, p.before.At)
	return func(at time.Time) bool {
		switch {
		case made:
			return false
		case !p.first:
			return p.had && !at.IsZero() && at.Before(p.before.Since.Add(-lateEntry))
		}
		return !p.had || at.Before(since)
	}, err
}

// heard stores how far was listened, where everything new was settled or is held.
func (r *Run) heard(ctx context.Context) error {
	for kind, ears := range r.beside.ears {
		for _, s := range record.Sides {
			if e := &ears[s]; e.listen && !e.deaf {
				if err := r.book.Hear(ctx, kind, s, e.heard); err != nil {
					return fmt.Errorf("remember how far %ss of %s were listened to: %w", kind, r.name(s), err)
				}
			}
		}
	}
	return nil
}
