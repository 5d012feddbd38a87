package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// lateComment is how long after its stamp a comment may become visible: a transaction stamps first and commits later.
const lateComment = 5 * time.Minute

// An ear is what listening to the comments of one side found out.
type ear struct {
	heard  Heard // how far this run listened
	listen bool
	deaf   bool // not everything could be heard or passed on: the next run listens from where this one did
}

// listen finds the comments that nobody has carried yet and spools them, in the order in which they were
// written. It goes beside the observation of records, as many systems keep comments apart and a new one moves no field
// that rules read. That comments cannot be read keeps no field from flowing: it is held and said.
func (r *Run) listen(ctx context.Context) error {
	if r.rules.Comments == nil {
		return nil
	}
	for _, s := range record.Sides {
		if !r.rules.Comments.To[s.Other()] {
			continue
		}
		r.ears[s].listen = true
		err := r.listenTo(ctx, s)
		e, ok := errors.AsType[*connectors.Error](err)
		switch {
		case err == nil:
			continue
		case !ok || errors.Is(err, connectors.ErrAuth) || errors.Is(err, connectors.ErrOffline):
			return fmt.Errorf("listen to comments of %s: %w", r.name(s), err)
		}
		r.ears[s].deaf = true
		if err := r.holdComments(ctx, record.Link{Label: [2]string{r.name(s)}}, fmt.Errorf("comments of %s: %w", r.name(s), e)); err != nil {
			return err
		}
	}
	return r.added(ctx)
}

func (r *Run) holdComments(ctx context.Context, l record.Link, err error) error {
	return r.spoolItem(ctx, unit{Link: l.ID, Keys: l.Key}, plan.Item{Hold: &plan.Hold{Sync: r.rules.Sync, Link: l.ID, Keys: l.Key, Labels: l.Label,
		Field: "comments", At: r.rules.Comments.At, Cause: err.Error(), Hint: connectors.Hint(err)}})
}

// listenTo listens to one side: to the links that it has never listened to, one by one, and to what came since at all
// others.
func (r *Run) listenTo(ctx context.Context, s record.Side) error {
	path := r.rules.Comments.Paths[s]
	reader, ok := r.job.Ends[s].Handle.(connectors.CommentReader)
	if !ok {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: "listen to " + path, Detail: r.job.Ends[s].Collection + " keeps no comments that can be read",
			Hint: "take the comments block out, or let it flow to this side only"}
	}
	before, had, err := r.book.Heard(ctx, s)
	if err != nil {
		return err
	}
	if had = had && before.Path == path; !had {
		before = Heard{}
	}
	now := r.theirs(s, r.started)
	e := &r.ears[s]
	e.heard = Heard{Path: path, Since: before.Since, At: r.started, Link: before.Link}
	if doubt := r.views[s].gate.doubt; !had || doubt && before.Since.After(now) {
		e.heard.Since = now
	}
	p := &hearing{r: r, ctx: ctx, side: s, before: before, had: had}
	gather := func(keys []string, since time.Time, first bool) error {
		p.first, p.said = first, map[string][]connectors.Comment{}
		err := reader.Comments(ctx, path, keys, since, func(key string, c connectors.Comment) error {
			p.said[key] = append(p.said[key], c)
			if c.Time.After(e.heard.Since) && !c.Time.After(now) {
				e.heard.Since = c.Time
			}
			return nil
		})
		if err != nil {
			return err
		}
		return p.visitAll()
	}
	due := r.job.Full || r.views[s].gate.doubt || r.views[s].before.Full.Before(r.job.FullSince)
	var fresh, all []string
	flush := func(keys *[]string, first bool) error {
		if len(*keys) == 0 {
			return nil
		}
		err := gather(*keys, time.Time{}, first)
		*keys = nil
		return err
	}
	err = r.book.Keys(ctx, s, func(link int64, key string) error {
		if e.heard.Link = max(e.heard.Link, link); key == "" {
			return nil
		}
		list, first := &all, false
		switch {
		case link > before.Link:
			list, first = &fresh, true
		case !due:
			return nil
		}
		if *list = append(*list, key); len(*list) == readBatch {
			return flush(list, first)
		}
		return nil
	})
	if err = errors.Join(err, flush(&fresh, true), flush(&all, false)); err != nil || !had || due {
		return err
	}
	return gather(nil, before.Since.Add(-lateComment), false)
}

// theirs is a time of ours as the clock of a side's system showed it, at the earliest.
func (r *Run) theirs(s record.Side, t time.Time) time.Time {
	c := r.clock(s)
	return t.Add(c.Offset - c.Error)
}

// A hearing goes through comments that one reading delivered.
type hearing struct {
	r      *Run
	ctx    context.Context
	side   record.Side
	before Heard
	had    bool
	first  bool // the links were never listened to
	said   map[string][]connectors.Comment
}

func (p *hearing) visitAll() error {
	keys := make([]string, 0, len(p.said))
	for key := range p.said {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if err := p.visit(key, p.said[key]); err != nil {
			return err
		}
	}
	return nil
}

// visit spools what is new in the thread of one record.
func (p *hearing) visit(key string, cs []connectors.Comment) error {
	r, s, o := p.r, p.side, p.side.Other()
	l, err := r.book.Link(p.ctx, s, key)
	if err != nil || l == nil || l.Key[o] == "" || l.Status != record.Live && l.Status != record.Held {
		return err
	}
	if !p.first && l.ID > p.before.Link {
		return nil // this run has read all of its comments
	}
	for _, side := range record.Sides {
		m, there, err := r.spool.Get(p.ctx, side, l.Key[side])
		if err != nil || there && m.Presence != reconcile.Present {
			return err // the pair is about to part
		}
		if there || l.Status != record.Held {
			continue
		}
		if p, settled, err := r.book.Print(p.ctx, side, keyHash(l.Key[side])); err != nil || settled && p == r.gonePrint(l.Key[side]) {
			return err // one of them is gone, and what that means is what waits
		}
	}
	if r.mute[l.ID] {
		r.ears[s].deaf = true
		return nil
	}
	known, err := r.known(p.ctx, l.ID)
	if err != nil {
		return err
	}
	slices.SortStableFunc(cs, func(a, b connectors.Comment) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
	})
	old, err := p.old(l, known)
	if err != nil {
		return err
	}
	var settled []Thread
	for _, c := range cs {
		if c.ID == "" || known.ids[s][c.ID] {
			continue
		}
		known.ids[s][c.ID] = true
		if t, ours := known.unread[s][textHash(c.Text)]; ours {
			delete(known.unread[s], t.Hash)
			t.Copy = c.ID
			settled = append(settled, t)
			continue
		}
		if old(c) || strings.TrimSpace(c.Text) == "" {
			settled = append(settled, Thread{Link: l.ID, Side: s, ID: c.ID, At: r.started})
			continue
		}
		text, err := r.rules.Comments.Text(c.Author, c.Time, c.Text)
		if err != nil {
			r.ears[s].deaf = true // those behind it wait, too: their order counts
			if err := r.holdComments(p.ctx, *l, fmt.Errorf("comment of %s: %w", c.Time.UTC().Format(time.DateTime), err)); err != nil {
				return err
			}
			break
		}
		a := plan.Action{Kind: plan.Comment, Side: o, SideName: r.name(o), Connection: r.job.Ends[o].Connection, Collection: r.job.Ends[o].Collection,
			Link: l.ID, Key: l.Key[o], Label: l.Label[o], From: plan.Ref{SideName: r.name(s), Key: key, Label: l.Label[s]},
			Entry: &plan.Entry{Path: r.rules.Comments.Paths[o], ID: c.ID, Author: c.Author, Time: c.Time.UTC(), Text: text}}
		if err := r.spoolItem(p.ctx, unit{Link: l.ID, Keys: l.Key, Lead: true}, plan.Item{Action: &a}); err != nil {
			return err
		}
	}
	if len(settled) == 0 || !r.leased {
		return nil
	}
	return r.put(p.ctx, orderSettle, "", unit{Link: l.ID, Keys: l.Key, Lead: true, Threads: settled})
}

// old tells the comments that are older than the link, and stay where they are. A record that was made from its
// twin is as old as the link, so all of its twin's are carried.
func (p *hearing) old(l *record.Link, known threads) (func(connectors.Comment) bool, error) {
	r := p.r
	if r.rules.Comments.History || !p.first && known.any {
		return func(connectors.Comment) bool { return false }, nil
	}
	made := false
	err := r.book.History(p.ctx, l.ID, func(e Entry) error {
		made = made || e.Cause == Made
		return nil
	})
	// The link was not there yet when this side was last listened to.
	since := r.theirs(p.side, p.before.At)
	return func(c connectors.Comment) bool {
		switch {
		case made:
			return false
		case !p.first:
			return p.had && !c.Time.IsZero() && c.Time.Before(p.before.Since.Add(-lateComment))
		}
		return !p.had || c.Time.Before(since)
	}, err
}

// threads are the comments of one link that need nothing any more.
type threads struct {
	any    bool
	ids    [2]map[string]bool   // by the side that they stand on
	unread [2]map[uint64]Thread // copies that could not be read when they were made, by their text
}

func (r *Run) known(ctx context.Context, link int64) (threads, error) {
	var k threads
	for _, s := range record.Sides {
		k.ids[s], k.unread[s] = map[string]bool{}, map[uint64]Thread{}
	}
	err := r.book.Threads(ctx, link, func(t Thread) error {
		k.any = true
		k.ids[t.Side][t.ID] = true
		switch o := t.Side.Other(); {
		case t.Copy != "":
			k.ids[o][t.Copy] = true
		case t.Hash != 0:
			k.unread[o][t.Hash] = t
		}
		return nil
	})
	return k, err
}

// plainText is a comment's text without what systems change about it.
func plainText(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
}

func textHash(s string) uint64 { return max(keyHash(plainText(s)), 1) }
