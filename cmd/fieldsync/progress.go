package main

import (
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/fieldsync/fieldsync/engine"
)

// patience is how long work may take before its progress is drawn.
const patience = 700 * time.Millisecond

// A bar draws the progress of long work on a terminal. A nil bar draws nothing.
type bar struct {
	mu      sync.Mutex
	begun   time.Time
	writer  progress.Writer
	phases  map[string]*progress.Tracker
	current *progress.Tracker
	done    chan struct{}
	app     *app
}

// startBar returns a nil bar where stderr is no terminal.
func (a *app) startBar() *bar {
	if !a.bars {
		return nil
	}
	return &bar{begun: a.now(), phases: map[string]*progress.Tracker{}, app: a}
}

// progress is what the engine tells of its progress; nil where nothing is drawn.
func (b *bar) progress() func(engine.Progress) {
	if b == nil {
		return nil
	}
	return b.step
}

func (b *bar) step(p engine.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.app.now().Sub(b.begun) < patience {
		return
	}
	if b.writer == nil {
		b.writer = progress.NewWriter()
		b.writer.SetOutputWriter(b.app.err)
		b.writer.SetUpdateFrequency(100 * time.Millisecond)
		b.writer.SetTrackerLength(20)
		b.done = make(chan struct{})
		go func() {
			defer close(b.done)
			b.writer.Render()
		}()
	}
	name := p.Sync + ": " + p.Phase
	t := b.phases[name]
	if t == nil {
		if b.current != nil {
			b.current.MarkAsDone()
		}
		t = &progress.Tracker{Message: name, Total: p.Total}
		b.phases[name], b.current = t, t
		b.writer.AppendTracker(t)
	}
	if p.Total > 0 {
		t.UpdateTotal(p.Total)
	}
	t.SetValue(p.Done)
}

// stop ends the drawing and returns when the terminal is free again.
func (b *bar) stop() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.writer == nil {
		return
	}
	for _, t := range b.phases {
		t.MarkAsDone()
	}
	b.writer.Stop()
	<-b.done
	b.writer = nil
}
