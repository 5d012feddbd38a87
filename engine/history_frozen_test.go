package engine_test

import (
	"context"
	"time"

	"github.com/fieldsync/fieldsync/engine"
)

// A frozen process stands still at some call (somebody stopped it, its machine was asleep) until its lease is over
// and another one has run. Then it goes on as if nothing had been. It must write nothing to the state any more, and to
// the systems at most the one call that it was about to make.

// moment is what a history knows of the run that is under way.
type moment struct {
	control                     *control
	planned                     map[string]bool
	inflate, cutScan, shortScan bool
}

func (w *history) freeze() {
	c := w.control
	if c.counts["lease"] == 0 || c.counts["release"] > 0 || c.frozen {
		return // it has no lease to lose
	}
	defer c.stand()()
	was := moment{w.control, w.planned, w.inflate, w.cutScan, w.shortScan}
	w.wait(11 * time.Second)
	e := w.process()
	w.cutScan, w.shortScan = false, false
	_, _ = w.once(e, w.job(false), "") // a side that people emptied stops it: nobody approves that now
	w.runs++
	w.checkAlways()
	w.control, w.planned, w.inflate, w.cutScan, w.shortScan = was.control, was.planned, was.inflate, was.cutScan, was.shortScan
	c.frozen = true
	if w.bug.unfenced {
		fence, err := w.store.Lease(context.Background(), "model", "frozen", 10*time.Second)
		if err == nil {
			c.book, err = w.store.Book(context.Background(), "model", [2][]string{w.job(false).Rules.Sides[0].Paths, w.job(false).Rules.Sides[1].Paths}, fence)
		}
		if err != nil {
			w.problem("%v", err)
		}
	}
}

// own makes a call that writes to the book. A process that was frozen must be refused it.
func (t *tappedBook) own(name string, do func(engine.Book) error) error {
	return t.c.call(name, func() error {
		b := t.Book
		if t.c.book != nil {
			b = t.c.book
		}
		err := do(b)
		if t.c.frozen && err == nil {
			t.w.problem("fenced: a process wrote to the state (%s) after it had lost its lease", name)
		}
		return err
	})
}

// thawed counts the calls of a process that was frozen and change a system.
func (s *client) thawed(op string) {
	if !s.c.frozen {
		return
	}
	if s.c.wrote++; s.c.wrote > 1 {
		s.w.problem("fenced: a process made call %d to change a system (%s %s) after it had lost its lease", s.c.wrote, s.name, op)
	}
}
