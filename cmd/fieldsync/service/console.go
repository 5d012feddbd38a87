package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/console"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

// A backend is the service as the console sees it. What the commands do it does by the same functions.
type backend struct {
	*service

	acting sync.Mutex // one act that writes at a time: acts share an owner of leases

	kept     sync.Mutex                  // guards what is below
	previews map[string]*console.Preview // that are being made here
}

// A checked connection is what its last check found, on whatever node.
type checked struct {
	At    time.Time
	Found []report.Finding
}

// checkLife is how long that is shown.
const checkLife = 30 * 24 * time.Hour

func checkSlip(connection string) string { return "check " + connection }

// console makes the pages of the service.
func (s *service) console() *console.Console {
	b := &backend{service: s, previews: map[string]*console.Preview{}}
	return console.New(b, console.Options{Log: s.log, Audit: s.note, Hint: project.WayOut, Stop: s.stopping, Mask: func(w io.Writer) (io.Writer, func()) {
		m := s.source.Secrets.Over(w)
		return m, m.Flush
	}})
}

// named is a sync of the mapping.
func (b *backend) named(r *ruleset, name string) (*mapping.Sync, error) {
	if s, ok := r.Sync(name); ok {
		return s, nil
	}
	return nil, fmt.Errorf("%w: the mapping has no sync %q", console.ErrNotFound, name)
}

func (b *backend) Now() time.Time { return b.now() }

func (b *backend) Service() console.Service {
	b.mu.Lock()
	defer b.mu.Unlock()
	return console.Service{Version: project.Version()["version"], Dir: b.dir, Began: b.began, Mapping: b.mappingState()}
}

// mappingState is for callers that hold the lock of the service.
func (b *backend) mappingState() console.MappingState {
	return console.MappingState{Good: b.broken == nil, Since: b.since, Rules: b.rules.Digest, Diagnostics: toShow(b.broken)}
}

func (b *backend) Syncs(ctx context.Context) ([]console.Sync, error) {
	r, release := b.hold()
	defer release()
	st, err := b.status(ctx)
	if err != nil {
		return nil, err
	}
	elsewhere, err := b.progressAbroad(ctx)
	if err != nil {
		return nil, err
	}
	waiting := map[string]bool{}
	for _, j := range b.loop.Status() {
		waiting[j.Name] = j.Waiting
	}
	list := []console.Sync{}
	for _, s := range st.Syncs {
		running := b.live.progressOf(s.Sync)
		if running == nil {
			running = elsewhere[s.Sync]
		}
		list = append(list, console.Sync{Status: s, Sides: r.SidesOf(s.Sync), Waiting: waiting[s.Sync], Running: running})
	}
	return list, nil
}

func (b *backend) Runs(ctx context.Context, sync string, before int64, most int) ([]plan.Run, error) {
	runs := []plan.Run{}
	err := b.state.Runs(ctx, sync, math.MaxInt, func(r plan.Run) error {
		if len(runs) == most {
			return project.ErrEnough
		}
		if r.ID < before {
			runs = append(runs, r)
		}
		return nil
	})
	if errors.Is(err, project.ErrEnough) {
		err = nil
	}
	return runs, err
}

func (b *backend) Waiting(ctx context.Context, q console.WaitingQuery) ([]console.Waiting, bool, error) {
	r, release := b.hold()
	defer release()
	list, n, more := []console.Waiting{}, 0, false
	err := b.state.Waiting(ctx, q.Sync, func(w engine.Waiting) error {
		if (w.Conflict != nil) != q.Conflicts {
			return nil
		}
		if n++; n <= q.Skip {
			return nil
		}
		if len(list) == q.Most {
			more = true
			return project.ErrEnough
		}
		list = append(list, console.Waiting{Waiting: r.WaitingView(w)})
		return nil
	})
	if err != nil && !errors.Is(err, project.ErrEnough) {
		return nil, false, err
	}
	rules := map[string]*shape{}
	for i := range list {
		if err := b.fill(ctx, r, rules, &list[i]); err != nil {
			return nil, false, err
		}
	}
	return list, more, nil
}

// fill adds the values by path to what waits, and hides those of sensitive fields.
func (b *backend) fill(ctx context.Context, r *ruleset, known map[string]*shape, w *console.Waiting) error {
	var sync, field string
	var link int64
	if c := w.Conflict; c != nil {
		sync, field, link = c.Sync, c.Field, c.Link
		hidden := report.RedactConflict(*c)
		w.Conflict = &hidden
	} else {
		sync, field, link = w.Hold.Sync, w.Hold.Field, w.Hold.Link
	}
	w.Values = [2][]report.PathView{{}, {}}
	sh, ok := known[sync]
	if !ok {
		sh = shapeOf(ctx, r.Project, sync)
		known[sync] = sh
	}
	if sh == nil || link == 0 {
		return nil
	}
	rule := sh.rule(field)
	if rule == nil || rule.Sensitive {
		return nil
	}
	book, err := b.state.Book(ctx, sync, sh.paths, 0)
	if err != nil {
		return err
	}
	l, err := book.LinkByID(ctx, link)
	if err != nil || l == nil {
		return err
	}
	for _, s := range record.Sides {
		for _, slot := range rule.Reads[s] {
			v := report.PathView{Path: sh.paths[s][slot]}
			if slot < len(l.Base[s]) {
				v.Base = l.Base[s][slot]
			}
			if now := l.Shown(s); slot < len(now) {
				v.Now = now[slot]
			}
			w.Values[s] = append(w.Values[s], v)
		}
	}
	return nil
}

func (b *backend) Record(ctx context.Context, sync, key string) (console.Record, error) {
	r, release := b.hold()
	defer release()
	var v console.Record
	m, err := b.named(r, sync)
	if err != nil {
		return v, err
	}
	job, err := r.Job(ctx, m, project.JobOptions{Preview: true, Trigger: "explain"})
	if err != nil {
		return v, err
	}
	told, err := r.Engine(nil).Blame(ctx, job, key)
	if err != nil {
		return v, err
	}
	v.Blame, v.RulesAt, v.Waiting = project.BlameView(told).Redacted(), map[string]string{}, []console.Waiting{}
	for _, f := range job.Rules.Fields {
		v.RulesAt[f.Name] = f.At
	}
	x, err := r.Engine(nil).Explain(ctx, job, key)
	switch {
	case err == nil:
		e := project.ExplainView(x).Redacted()
		for i := range e.Fields {
			for _, s := range record.Sides { // lists that are empty, not missing
				e.Fields[i].Read[s] = append([]report.PathView{}, e.Fields[i].Read[s]...)
				e.Fields[i].Write[s] = append([]report.PathSet{}, e.Fields[i].Write[s]...)
			}
		}
		v.Verdict = &e
		for _, w := range x.Waiting {
			one := console.Waiting{Waiting: r.WaitingView(w), Values: [2][]report.PathView{{}, {}}}
			if c := one.Conflict; c != nil {
				hidden := report.RedactConflict(*c)
				one.Conflict = &hidden
			}
			v.Waiting = append(v.Waiting, one)
		}
	case ctx.Err() != nil:
		return v, ctx.Err()
	case errors.Is(err, engine.ErrNoLink):
		v.NoVerdict = "The link has ended: nothing is decided about it any more."
	default:
		v.NoVerdict, v.Hint = err.Error(), project.WayOut(err)
	}
	return v, nil
}

// How much a search looks at: links whose label is compared, of one sync.
const lookedThrough = 20000

func (b *backend) Find(ctx context.Context, sync, text string, most int) ([]console.Hit, bool, error) {
	r, release := b.hold()
	defer release()
	list, more := []console.Hit{}, false
	for _, name := range project.SyncNames(r.Config) {
		if sync != "" && sync != name {
			continue
		}
		left, err := b.find(ctx, r, name, text, most-len(list), func(h console.Hit) { list = append(list, h) })
		if err != nil {
			return nil, false, err
		}
		if more = more || left; len(list) >= most {
			return list, true, nil
		}
	}
	return list, more, nil
}

// find looks in one sync: for keys that begin with text, which is quick, and for labels that do, among as many links as
// can be looked at while somebody waits.
func (b *backend) find(ctx context.Context, r *ruleset, sync, text string, most int, add func(console.Hit)) (more bool, err error) {
	book, err := b.state.Book(ctx, sync, [2][]string{}, 0)
	if err != nil {
		return false, err
	}
	seen := map[int64]bool{}
	hit := func(l *record.Link) {
		if l == nil || seen[l.ID] {
			return
		}
		if len(seen) == most {
			more = true
			return
		}
		seen[l.ID] = true
		add(console.Hit{Sync: sync, Sides: r.SidesOf(sync), Keys: l.Key, Labels: l.Label, Status: l.Status.String()})
	}
	for _, s := range record.Sides {
		exact, err := book.Link(ctx, s, text)
		if err != nil {
			return false, err
		}
		hit(exact)
		keys, err := book.KeysAfter(ctx, s, text, most)
		if err != nil {
			return false, err
		}
		for _, key := range keys {
			if !strings.HasPrefix(key, text) {
				break
			}
			l, err := book.Link(ctx, s, key)
			if err != nil {
				return false, err
			}
			hit(l)
		}
	}
	n := 0
	for _, status := range []record.Status{record.Live, record.Held, record.Detached} {
		err := book.Links(ctx, status, func(l record.Link) error {
			if n++; n > lookedThrough || more {
				more = true
				return project.ErrEnough
			}
			if hasFold(l.Label[0], text) || hasFold(l.Label[1], text) {
				hit(&l)
			}
			return nil
		})
		if err != nil && !errors.Is(err, project.ErrEnough) {
			return false, err
		}
	}
	return more, nil
}

func hasFold(label, text string) bool {
	return len(label) >= len(text) && strings.EqualFold(label[:len(text)], text)
}

func (b *backend) Connections(ctx context.Context) ([]console.Connection, error) {
	r, release := b.hold()
	defer release()
	list := []console.Connection{}
	for _, c := range r.Config.Connections {
		var last checked
		if _, err := b.pinned(ctx, checkSlip(c.Name), &last); err != nil {
			return nil, err
		}
		v := console.Connection{Name: c.Name, Type: c.Type, At: fmt.Sprintf("%s:%d", c.Range.Filename, c.Range.Start.Line), Missing: append([]string{}, c.Missing...), Uses: []console.Use{},
			Checked: last.At, Found: append([]report.Finding{}, last.Found...)}
		var limits []string
		if c.Limits.Rate > 0 {
			limits = append(limits, fmt.Sprintf("%g requests a second at most", c.Limits.Rate))
		}
		if c.Limits.Concurrency > 0 {
			limits = append(limits, project.Plural(c.Limits.Concurrency, "request")+" at a time")
		}
		v.Limits = strings.Join(limits, ", ")
		if n := b.share.Of(); n > 1 && v.Limits != "" {
			v.Limits += fmt.Sprintf(", of all %d nodes together", n)
		}
		for _, m := range r.Config.Syncs {
			for _, side := range m.Sides {
				if side.Connection == c {
					v.Uses = append(v.Uses, console.Use{Sync: m.Name, Side: side.Name, Collection: side.Collection})
				}
			}
		}
		list = append(list, v)
	}
	return list, nil
}

func (b *backend) Check(ctx context.Context, connection string) error {
	r, release := b.hold()
	defer release()
	i := slices.IndexFunc(r.Config.Connections, func(c *mapping.Connection) bool { return c.Name == connection })
	if i < 0 {
		return fmt.Errorf("%w: the mapping has no connection %q", console.ErrNotFound, connection)
	}
	found := r.Check(ctx, r.Config.Connections[i])
	b.pin(ctx, checkSlip(connection), checked{b.Now(), found}, checkLife)
	return nil
}

func (b *backend) Acts(ctx context.Context, most int) ([]engine.Act, error) {
	list := []engine.Act{}
	err := b.state.Acts(ctx, most, func(a engine.Act) error { list = append(list, a); return nil })
	return list, err
}

func (b *backend) News() uint64 { return b.live.serial() }

func (b *backend) Watch(ctx context.Context, seen uint64) <-chan []string {
	return b.live.watch(ctx, seen)
}

// caller is who asks, as it stands in the account of what was done.
func caller(ctx context.Context) string { return access.From(ctx).Name }
