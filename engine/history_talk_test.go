package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Each side keeps two threads: what customers read, and what they must not.
const (
	public = iota
	internal
)

var threadPaths = [2][2]string{{"answers", "notes"}, {"comments", "work_notes"}}

// A talk says which comments are carried, and where to.
type talk struct {
	Name   string
	Thread [2]int // by side: public or internal
	To     [2]bool
}

var talks = []talk{
	{Name: "no comments"},
	{Name: "answers and comments both ways", To: [2]bool{true, true}},
	{Name: "notes and work notes both ways", Thread: [2]int{internal, internal}, To: [2]bool{true, true}},
	{Name: "answers become work notes", Thread: [2]int{public, internal}, To: [2]bool{false, true}},
	{Name: "comments become answers", To: [2]bool{true, false}},
}

// rules are the comments block of a talk; nil for none.
func (k talk) rules() *reconcile.Comments {
	if k.To == [2]bool{} {
		return nil
	}
	c := &reconcile.Comments{At: "m.hcl:50", To: k.To, Text: func(author string, _ time.Time, text string) (string, error) {
		return "[" + author + "] " + text, nil
	}}
	for _, s := range record.Sides {
		c.Paths[s] = threadPaths[s][k.Thread[s]]
	}
	return c
}

// A remark is a comment that a person wrote.
type remark struct {
	side   record.Side
	key    string
	thread int
	text   string
	at     time.Time // its stamp
	late   bool      // it was committed later than its stamp says: it cannot keep its place
	link   int64     // of its record when it was written; 0: none that it must be carried by
}

// say lets a person add a comment.
func (w *history) say(s *system, key, token string, thread int) {
	r := &remark{side: s.phys, key: key, thread: thread, text: "says " + token + ".", at: s.now(), late: !s.stamp.IsZero()}
	s.m.Say(threadPaths[s.phys][thread], key, "ann", r.text)
	w.busy = true
	if w.cfg.Talk.To[s.phys.Other()] && thread == w.cfg.Talk.Thread[s.phys] {
		if l := w.linkOf(s.phys, key); l != nil && w.together(l) {
			r.link = l.ID
		}
	}
	w.remarks = append(w.remarks, r)
}

func (w *history) linkOf(s record.Side, key string) *record.Link {
	b, err := w.book(w.job(false))
	if err != nil {
		w.problem("%v", err)
		return nil
	}
	l, err := b.Link(context.Background(), w.side(s), key)
	if err != nil {
		w.problem("%v", err)
	}
	return l
}

// together reports whether both records of a link are there and in scope.
func (w *history) together(l *record.Link) bool {
	if l.Status != record.Live && l.Status != record.Held {
		return false
	}
	for _, s := range record.Sides {
		f := w.systems[s].m.Get(l.Key[w.side(s)])
		if f == nil || w.cfg.Scoped && s == record.Left && !inQueue(f["queue"]) {
			return false
		}
	}
	return true
}

// where are the places in which a system shows a text: record and thread.
func (s *system) where(text string) (places [][2]string) {
	for _, key := range s.keys {
		for _, path := range threadPaths[s.phys] {
			for _, c := range s.m.Said(path, key) {
				if strings.Contains(c.Text, text) {
					places = append(places, [2]string{key, path})
				}
			}
		}
	}
	return places
}

// checkTalk holds comments against what must be so at all times: each at most once on the other side, never back, in
// order, and nothing of what is internal where it is read by anybody.
func (w *history) checkTalk() {
	for _, r := range w.remarks {
		s, o := w.systems[r.side], w.systems[r.side.Other()]
		if n := len(s.where(r.text)); n != 1 {
			w.problem("no echo: %s %s %q is there %d times on its own side", s.name, r.key, r.text, n)
		}
		copies := o.where(r.text)
		if len(copies) > 1 {
			w.problem("once: %s %s %q was carried to %v", s.name, r.key, r.text, copies)
		}
		for _, c := range copies {
			if !w.cfg.Talk.To[o.phys] || r.thread != w.cfg.Talk.Thread[s.phys] || c[1] != threadPaths[o.phys][w.cfg.Talk.Thread[o.phys]] {
				w.problem("kept apart: %s %s %q, said under %s, is under %s of %s", s.name, r.key, r.text, threadPaths[s.phys][r.thread], c[1], c[0])
			}
			if r.thread == internal && c[1] == threadPaths[o.phys][public] {
				w.problem("kept apart: %s %s %q is internal and stands under %s of %s", s.name, r.key, r.text, c[1], c[0])
			}
		}
		if r.link != 0 && len(copies) == 0 {
			if l := w.linkOf(r.side, r.key); l == nil || l.ID != r.link || !w.together(l) {
				r.link = 0 // it parted before the comment was carried
			}
		}
	}
	for _, s := range w.systems {
		for _, key := range s.keys {
			w.checkOrder(s, key)
		}
	}
}

// checkOrder: the copies of one record's comments stand in the order in which those were written.
func (w *history) checkOrder(s *system, key string) {
	last := map[string]*remark{}
	for _, c := range s.m.Said(threadPaths[s.phys][w.cfg.Talk.Thread[s.phys]], key) {
		i := slices.IndexFunc(w.remarks, func(r *remark) bool { return r.side != s.phys && strings.Contains(c.Text, r.text) })
		if i < 0 || w.remarks[i].late {
			continue
		}
		r := w.remarks[i]
		if before := last[r.key]; before != nil && before.at.After(r.at) {
			w.problem("in order: %s %s has %q before %q, which was written earlier", s.name, key, before.text, r.text)
		}
		last[r.key] = r
	}
}

// checkCarried is what must be so in the end: every comment of a pair has its copy.
func (w *history) checkCarried(waits map[string]bool, when string) {
	for _, r := range w.remarks {
		if r.link == 0 || waits[fmt.Sprint(r.link, " ")] || waits[fmt.Sprint(r.link, " comments")] {
			continue
		}
		o := w.systems[r.side.Other()]
		if len(o.where(r.text)) == 0 {
			w.problem("carried: %s %s %s %q has no copy on the other side", when, w.systems[r.side].name, r.key, r.text)
		}
	}
}

func (s *client) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	name, n, kind, err := s.begin("comments")
	switch {
	case err != nil:
		return err
	case kind != "":
		return nonsense(name)
	case s.gagged:
		return &connectors.Error{Kind: connectors.ErrDenied, Op: name}
	}
	if err := s.m.Comments(ctx, path, keys, since, emit); err != nil {
		return err
	}
	return s.c.leave(name, n)
}

func (s *client) AddComment(ctx context.Context, path, key, text string) (c connectors.Comment, err error) {
	err = s.write("comment", func() error {
		if s.w.planned != nil && !s.w.planned[said(s.name, key, text)] {
			s.w.problem("plan-faithful: the comment %q of %s %s was not planned", text, s.name, key)
		}
		c, err = s.m.AddComment(ctx, path, key, text)
		return err
	})
	if s.gagged {
		c.ID = "" // stored, and not to be read
	}
	return c, err
}

func said(side, key, text string) string { return "comment " + side + " " + key + " " + text }

// tapped calls of the book that comments need.

func (t *tappedBook) Threads(ctx context.Context, link int64, emit func(engine.Thread) error) error {
	return t.c.call("threads", func() error { return t.Book.Threads(ctx, link, alive(t.c, emit)) })
}

func (t *tappedBook) Heard(ctx context.Context, kind plan.Kind, s record.Side) (h engine.Heard, ok bool, err error) {
	err = t.c.call("heard", func() (err error) { h, ok, err = t.Book.Heard(ctx, kind, s); return })
	return h, ok, err
}

func (t *tappedBook) Hear(ctx context.Context, kind plan.Kind, s record.Side, h engine.Heard) error {
	return t.own("hear", func(b engine.Book) error { return b.Hear(ctx, kind, s, h) })
}

func (t *tappedBook) Beside(ctx context.Context, emit func(engine.Beside) error) error {
	return t.c.call("beside", func() error { return t.Book.Beside(ctx, alive(t.c, emit)) })
}

func (t *tappedBook) History(ctx context.Context, link int64, emit func(engine.Entry) error) error {
	return t.c.call("history", func() error { return t.Book.History(ctx, link, alive(t.c, emit)) })
}

func (t *tappedBook) Latest(ctx context.Context, places []engine.Place, most int, emit func(engine.Entry) error) error {
	return t.c.call("latest", func() error { return t.Book.Latest(ctx, places, most, alive(t.c, emit)) })
}

func (t *tappedBook) Origins(ctx context.Context, link int64, emit func(engine.Origin) error) error {
	return t.c.call("origins", func() error { return t.Book.Origins(ctx, link, alive(t.c, emit)) })
}
