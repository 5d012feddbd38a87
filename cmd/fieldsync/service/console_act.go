package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/console"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/report"
)

// An act waits so long for a run of its sync to end, and looks so often.
const (
	leasePatience = 15 * time.Second
	leaseGlance   = 100 * time.Millisecond
)

// act does something that needs the lease of a sync: under an owner of its own, so that it never takes a run's lease for
// its own, and once a run that is going on has ended.
func (b *backend) act(ctx context.Context, r *ruleset, do func(*engine.Engine) error) error {
	b.acting.Lock()
	defer b.acting.Unlock()
	e := r.Engine(nil)
	e.Owner += " console"
	ctx, cancel := context.WithTimeout(ctx, leasePatience)
	defer cancel()
	for {
		err := do(e)
		if !errors.Is(err, engine.ErrLeased) {
			return err
		}
		timer := time.NewTimer(leaseGlance)
		select {
		case <-ctx.Done():
			timer.Stop()
			return project.Hinted(err, "wait until the run of now is over, and do it again")
		case <-timer.C:
		}
	}
}

func (b *backend) Resolve(ctx context.Context, sync, key, field, side string) error {
	r, release := b.hold()
	defer release()
	m, err := b.named(r, sync)
	if err != nil {
		return err
	}
	take, err := project.SideNamed(r.SidesOf(sync), side)
	if err != nil {
		return err
	}
	job, err := r.Job(ctx, m, project.JobOptions{Preview: true, Trigger: "resolve"})
	if err != nil {
		return err
	}
	err = b.act(ctx, r, func(e *engine.Engine) error { return e.Resolve(ctx, job, key, field, take, caller(ctx)) })
	b.live.news(sync)
	return err
}

func (b *backend) Approve(ctx context.Context, sync, digest string) (engine.PlanApproval, error) {
	r, release := b.hold()
	defer release()
	m, err := b.named(r, sync)
	if err != nil {
		return engine.PlanApproval{}, err
	}
	if _, err := r.StopsOf(ctx, m, digest); err != nil {
		return engine.PlanApproval{}, err
	}
	ok, err := r.Approve(ctx, m, digest, caller(ctx))
	b.live.news(sync)
	return ok, err
}

// putback prepares to bring a value of the history back.
func (b *backend) putback(ctx context.Context, r *ruleset, id int64, do func(job engine.Job, entry engine.Entry) error) error {
	entry, err := b.state.Entry(ctx, id)
	if err != nil {
		return err
	}
	if entry == nil {
		return fmt.Errorf("%w: the history has no value %d", console.ErrNotFound, id)
	}
	m, err := b.named(r, entry.Sync)
	if err != nil {
		return err
	}
	job, err := r.Job(ctx, m, project.JobOptions{Trigger: "restore"})
	if err != nil {
		return err
	}
	return do(job, *entry)
}

func (b *backend) Putback(ctx context.Context, id int64) (put report.Put, err error) {
	r, release := b.hold()
	defer release()
	err = b.putback(ctx, r, id, func(job engine.Job, entry engine.Entry) error {
		back, err := r.Engine(nil).Restore(ctx, job, entry)
		if err == nil {
			put = report.RedactPuts(project.PutsView(entry.Sync, back))[0]
		}
		return err
	})
	return put, err
}

func (b *backend) Restore(ctx context.Context, id int64) (put report.Put, err error) {
	r, release := b.hold()
	defer release()
	err = b.putback(ctx, r, id, func(job engine.Job, entry engine.Entry) error {
		return b.act(ctx, r, func(e *engine.Engine) error {
			back, err := e.Restore(ctx, job, entry)
			if err != nil {
				return err
			}
			if back.Changes() == 0 {
				m, _ := r.Sync(entry.Sync)
				return r.Unrestorable(m, back.Puts[0])
			}
			acc, err := back.Apply(ctx, caller(ctx))
			put = report.RedactPuts(project.PutsView(entry.Sync, back))[0]
			if err == nil && acc.Failed+acc.Skipped > 0 {
				err = project.Hinted(fmt.Errorf("it was not written: %s", put.Why), put.Hint)
			}
			return err
		})
	})
	b.live.news(put.Sync)
	return put, err
}

func (b *backend) Trigger(ctx context.Context, sync string, again bool) error {
	if _, err := b.inForce().Find(sync); err != nil {
		return err
	}
	if again {
		if err := b.askAgain(ctx, sync); err != nil {
			return err
		}
	}
	err := b.Wake(sync)
	b.live.news(sync)
	return err
}

func (b *backend) Pause(ctx context.Context, sync string, paused bool, why string) error {
	defer b.live.news(sync)
	if paused {
		return b.service.Pause(ctx, sync, caller(ctx), why)
	}
	return b.service.Resume(ctx, sync, caller(ctx), why)
}

// previewLife is how long a preview is shown, on whatever node it was made.
const previewLife = 24 * time.Hour

func previewSlip(sync string) string { return "preview " + sync }

func (b *backend) Preview(ctx context.Context, sync string) (*console.Preview, error) {
	b.kept.Lock()
	if p := b.previews[sync]; p != nil {
		v, running := *p, *p.Running
		v.Running = &running
		b.kept.Unlock()
		return &v, nil
	}
	b.kept.Unlock()
	var v console.Preview
	if found, err := b.pinned(ctx, previewSlip(sync), &v); err != nil || !found {
		return nil, err
	}
	return &v, nil
}

// StartPreview makes a plan beside what else goes on. One that is being made is not made twice.
func (b *backend) StartPreview(ctx context.Context, sync string) error {
	old, err := b.Preview(ctx, sync)
	if err != nil || old != nil && old.Running != nil {
		return err
	}
	r, release := b.hold()
	m, err := b.named(r, sync)
	if err != nil {
		release()
		return err
	}
	v := &console.Preview{Sync: sync, By: caller(ctx), At: b.Now(), Running: &console.Progress{Since: b.Now(), Phase: "begin"}, Steps: []console.Step{}}
	b.kept.Lock()
	defer b.kept.Unlock()
	if b.previews[sync] != nil {
		release()
		return nil
	}
	b.previews[sync] = v
	begun := *v
	go func() {
		defer release()
		b.pin(b.stopping, previewSlip(sync), begun, showLife)
		b.live.news(sync)
		b.preview(b.stopping, r, m, v)
		b.live.news(sync)
	}()
	return nil
}

func (b *backend) preview(ctx context.Context, r *ruleset, m *mapping.Sync, v *console.Preview) {
	shown := b.Now() // to other nodes
	run, err := func() (*engine.Run, error) {
		job, err := r.Job(ctx, m, project.JobOptions{Preview: true, Trigger: "plan"})
		if err != nil {
			return nil, err
		}
		e := r.Engine(nil)
		e.Progress = func(p engine.Progress) {
			b.kept.Lock()
			v.Running.Phase, v.Running.Done, v.Running.Total = p.Phase, p.Done, p.Total
			now, running := *v, *v.Running
			b.kept.Unlock()
			if b.Now().Sub(shown) >= showEvery {
				shown, now.Running = b.Now(), &running
				b.pin(ctx, previewSlip(m.Name), now, showLife)
			}
			b.live.news(m.Name)
		}
		return e.Plan(ctx, job)
	}()
	var steps []console.Step
	var left int
	var header plan.Header
	var footer plan.Footer
	if err == nil {
		defer run.Close()
		header, footer = run.Header(), run.Footer()
		steps, left, _, err = stepsOf(run)
	}
	done := *v
	if done.Running = nil; err != nil {
		done.Err, done.Hint = err.Error(), project.WayOut(err)
	} else {
		done.Header, done.Footer, done.Steps, done.Missing = &header, &footer, steps, leftOut(left)
	}
	b.pin(ctx, previewSlip(m.Name), done, previewLife)
	b.kept.Lock()
	defer b.kept.Unlock()
	delete(b.previews, m.Name)
}

// leftOut says that a list is not all.
func leftOut(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("These are the first %s; %s more are not shown. fieldsync plan shows all.", report.Count(keptSteps), report.Count(int64(n)))
}
