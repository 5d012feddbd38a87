package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// hearComments listens to the comments of one side.
func hearComments(p *hearing) error {
	reader, ok := connectors.As[connectors.CommentReader](p.r.job.Ends[p.side].Handle)
	if !ok {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: "listen to " + p.path, Detail: p.r.job.Ends[p.side].Collection + " keeps no comments that can be read",
			Hint: "take the comments block out, or let it flow to this side only"}
	}
	return listenTo(p, reader.Comments, func(c connectors.Comment) time.Time { return c.Time }, func(said map[string][]connectors.Comment) error {
		for _, key := range slices.Sorted(maps.Keys(said)) {
			if err := p.comments(key, said[key]); err != nil {
				return err
			}
		}
		return nil
	})
}

// comments spools what is new in the thread of one record.
func (p *hearing) comments(key string, cs []connectors.Comment) error {
	r, s, o := p.r, p.side, p.side.Other()
	l, err := p.pair(key)
	if err != nil || l == nil || r.beside.said[spot{p.kind, s, l.ID, ""}] {
		return err // what waits is said, and all that is behind it waits, too
	}
	known, err := r.known(p.ctx, l.ID)
	if err != nil {
		return err
	}
	slices.SortStableFunc(cs, func(a, b connectors.Comment) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
	})
	old, err := p.old(l, r.rules.Comments.History, known.any)
	if err != nil {
		return err
	}
	var settled []Thread
	var edited []connectors.Comment
	spooled := false
	for _, c := range cs {
		if t, carried := known.rows[s][c.ID]; carried && r.rules.Comments.Edits[o] && t.Copy != "" && t.Source != textHash(c.Text) {
			if t.Source == 0 { // it was carried before anybody kept what it said
				t.Source = textHash(c.Text)
				settled = append(settled, t)
			} else if !r.beside.said[spot{p.kind, s, l.ID, c.ID}] {
				edited = append(edited, c)
			}
			continue
		}
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
		if old(c.Time) || strings.TrimSpace(c.Text) == "" {
			settled = append(settled, Thread{Link: l.ID, Side: s, ID: c.ID, At: r.started})
			continue
		}
		text, err := r.rules.Comments.Text(c.Author, c.Time, c.Text)
		if err != nil { // those behind it wait, too: their order counts
			if err := p.hold(*l, "", fmt.Errorf("comment of %s: %w", c.Time.UTC().Format(time.DateTime), err)); err != nil {
				return err
			}
			break
		}
		a := p.action(l)
		a.Entry = &plan.Entry{Path: r.rules.Comments.Paths[o], ID: c.ID, Author: c.Author, Time: c.Time.UTC(), Text: text}
		spooled = true
		if err := r.spoolItem(p.ctx, unit{Link: l.ID, Keys: l.Key, Lead: true, Source: textHash(c.Text)}, plan.Item{Action: &a}); err != nil {
			return err
		}
	}
	if len(edited) > 0 {
		again, rows, err := p.edits(l, edited, known)
		if err != nil {
			return err
		}
		spooled, settled = spooled || again, append(settled, rows...)
	}
	if len(settled) > 0 {
		if err := r.settleBeside(p.ctx, unit{Link: l.ID, Keys: l.Key, Threads: settled}); err != nil {
			return err
		}
	}
	if p.again[l.ID] && !spooled {
		return p.clear(l.ID)
	}
	return nil
}

// edits spools the edits of comments whose copies are as they were made, and says of the others, once, that they stay.
// An edit is one of the comment's own text: another format makes none.
func (p *hearing) edits(l *record.Link, edited []connectors.Comment, known threads) (spooled bool, settled []Thread, err error) {
	r, s, o := p.r, p.side, p.side.Other()
	path := r.rules.Comments.Paths[o]
	reader, ok := connectors.As[connectors.CommentReader](r.job.Ends[o].Handle)
	if !ok {
		return false, nil, nil
	}
	copies := map[string]connectors.Comment{}
	err = reader.Comments(p.ctx, path, []string{l.Key[o]}, time.Time{}, func(_ string, c connectors.Comment) error {
		copies[c.ID] = c
		return nil
	})
	if err != nil {
		return false, nil, fmt.Errorf("look at the copies on %s: %w", r.name(o), err)
	}
	for _, c := range edited {
		t := known.rows[s][c.ID]
		t.Source, t.At = textHash(c.Text), r.started
		text, err := r.rules.Comments.Text(c.Author, c.Time, c.Text)
		is, there := copies[t.Copy]
		switch {
		case err != nil:
			if err := p.hold(*l, c.ID, fmt.Errorf("edited comment of %s: %w", c.Time.UTC().Format(time.DateTime), err)); err != nil {
				return spooled, settled, err
			}
		case !there || plainText(is.Text) == plainText(text): // it was removed, or says so already
			t.Hash = textHash(text)
			settled = append(settled, t)
		case textHash(is.Text) != t.Hash:
			h := plan.Hold{Sync: r.rules.Sync, Link: l.ID, Keys: l.Key, Labels: l.Label, Field: "comments", At: p.rule, Since: r.started,
				Cause: fmt.Sprintf("the comment of %s was edited, and so was its copy on %s, which stays as it is", c.Time.UTC().Format(time.DateTime), r.name(o)),
				Hint:  "if the copy is to say the same, edit it there"}
			if err := r.spoolItem(p.ctx, unit{Link: l.ID, Keys: l.Key}, plan.Item{Hold: &h}); err != nil {
				return spooled, settled, err
			}
			settled = append(settled, t)
		default:
			a := p.action(l)
			a.Entry = &plan.Entry{Path: path, ID: c.ID, Author: c.Author, Time: c.Time.UTC(), Text: text, Copy: t.Copy, Was: is.Text}
			spooled = true
			if err := r.spoolItem(p.ctx, unit{Link: l.ID, Keys: l.Key, Lead: true, Source: t.Source}, plan.Item{Action: &a}); err != nil {
				return spooled, settled, err
			}
		}
	}
	return spooled, settled, nil
}

// action carries something from the side that is listened to.
func (p *hearing) action(l *record.Link) plan.Action {
	r, s, o := p.r, p.side, p.side.Other()
	return plan.Action{Kind: p.kind, Side: o, SideName: r.name(o), Connection: r.job.Ends[o].Connection, Collection: r.job.Ends[o].Collection,
		Link: l.ID, Key: l.Key[o], Label: l.Label[o], From: plan.Ref{SideName: r.name(s), Key: l.Key[s], Label: l.Label[s]}}
}
