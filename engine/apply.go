package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

const (
	foldBatch   = 10000               // settlements remembered at a time: fewer transactions rewrite fewer pages
	tombLife    = 90 * 24 * time.Hour // how long the keys of an ended link cannot be created again
	concurrency = 4                   // actions in flight where the connection sets no limit
)

// An Approval says how much of a plan may be carried out.
type Approval struct {
	// Saved is the plan file that was approved: only its actions are carried out, and only where they would
	// still be exactly the same. nil: the whole of what this run planned.
	Saved *SavedPlan
	// Stops is the digest of a plan that a person approved although it runs into limits; "" if nobody did.
	Stops string
	// Emit is told the outcome of each action, in the order in which they end; it may be nil.
	Emit func(plan.Result)
	// Began is told the account of the run as soon as it has its number; it may be nil.
	Began func(plan.Run)
}

// A StoppedError says which limits and gates keep a plan from being carried out.
type StoppedError struct {
	Sync   string
	Digest string // what an approval has to name
	Stops  []plan.Stop
}

func (e *StoppedError) Error() string {
	var why []string
	for _, s := range e.Stops {
		why = append(why, s.Why)
	}
	return fmt.Sprintf("%s: stopped before the first write: %s", e.Sync, strings.Join(why, "; "))
}

// Apply carries the plan out and remembers what came of it. The account of the run is returned with every
// error, and is stored. It works once for each Run.
func (r *Run) Apply(ctx context.Context, a Approval) (plan.Run, error) {
	acc := plan.Run{Sync: r.rules.Sync, Owner: r.lease.owner, Started: r.started, Trigger: r.job.Trigger, Footer: r.footer, Rules: r.rules.Digest, Few: r.few}
	switch {
	case !r.leased:
		return acc, errors.New("a preview cannot be carried out")
	case r.used:
		return acc, ErrPlanUsed
	case len(r.footer.Stops) > 0 && a.Stops != r.footer.Digest:
		by, err := r.e.Store.Approved(ctx, r.rules.Sync, r.footer.Digest, r.now())
		if err != nil {
			return acc, fmt.Errorf("look for an approval of the plan: %w", err)
		}
		if by != nil {
			acc.Approved = by.By
			r.log().Info("carrying out an approved plan", "digest", by.Digest, "by", by.By, "approved", by.At)
			break
		}
		acc.Stopped = true
		acc.Err = (&StoppedError{r.rules.Sync, r.footer.Digest, r.footer.Stops}).Error()
		acc.Ended = r.now()
		if err := r.book.StartRun(ctx, &acc); err == nil {
			_ = r.book.FinishRun(ctx, acc)
		}
		return acc, &StoppedError{r.rules.Sync, r.footer.Digest, r.footer.Stops}
	}
	r.used = true
	told := ctx // ends when somebody asks to stop, not when the lease is lost
	ctx, cancel := r.underLease(ctx)
	defer cancel()
	if a.Saved != nil {
		if err := r.book.PlanUsed(ctx, a.Saved.Footer.Digest); err != nil {
			return acc, err
		}
	}
	if err := r.book.StartRun(ctx, &acc); err != nil {
		return acc, fmt.Errorf("record the run: %w", err)
	}
	if a.Began != nil {
		a.Began(acc)
	}
	c := &carrier{r: r, run: acc.ID, approval: a, left: map[string]plan.Action{}}
	c.slots = make(chan struct{}, c.inFlight())
	if a.Saved != nil {
		for d, act := range a.Saved.Actions {
			c.left[d] = act
		}
	}
	// A plan that a person approved and of which nothing came (every action was refused) is made again, the same,
	// and may be approved again; a plan file is carried out once.
	if acc.Approved != "" || a.Saved != nil {
		c.spend = sync.OnceValue(func() error {
			var err error
			if acc.Approved != "" {
				err = r.useApproval(ctx)
			}
			if err == nil && a.Saved != nil {
				err = r.book.UsePlan(context.WithoutCancel(ctx), a.Saved.Footer.Digest, r.now())
			}
			return err
		})
	}
	err := r.within(ctx, "carry out", c.all)
	if err == nil && c.spend != nil {
		err = c.spend() // nothing had to be written
	}
	acc.Done, acc.Skipped, acc.Failed, acc.Stirred, acc.Averted = c.done, c.skipped, c.failed, c.stirred, c.averted+r.averted
	acc.Complete = err == nil && !c.unsettled && !r.few
	if acc.Complete {
		err = r.advance(ctx)
	}
	if err == nil {
		err = r.heard(ctx)
	}
	if err = r.leaseError(err); err != nil {
		acc.Err, acc.Hint, acc.Complete = err.Error(), connectors.Hint(err), false
		if told.Err() != nil {
			acc.Err, acc.Hint = "interrupted", "nothing is lost: the next run settles what was begun and goes on"
		}
	}
	acc.Ended = r.now()
	// The account is kept even when the reason for ending is that somebody asked to stop.
	if ferr := r.book.FinishRun(context.WithoutCancel(ctx), acc); ferr != nil {
		err = errors.Join(err, fmt.Errorf("record the run: %w", ferr))
	}
	if err == nil {
		r.prune(ctx)
	}
	r.log().Info("run ended", "run", acc.ID, "trigger", acc.Trigger, "done", acc.Done, "skipped", acc.Skipped, "failed", acc.Failed,
		"conflicts", acc.Footer.Conflicts, "complete", acc.Complete)
	return acc, err
}

// useApproval takes the approval of this plan away. The lease keeps others from doing so.
func (r *Run) useApproval(ctx context.Context) error {
	by, err := r.book.UseApproval(context.WithoutCancel(ctx), r.footer.Digest, r.started)
	if err == nil && by == nil {
		err = errors.New("it is not there any more")
	}
	if err != nil {
		return fmt.Errorf("use up the approval: %w", err)
	}
	return nil
}

// intend makes intents durable.
func (c *carrier) intend(ctx context.Context, ins ...*Intent) error {
	if err := c.r.book.Intend(ctx, ins); err != nil {
		return fmt.Errorf("write down the intent: %w", err)
	}
	return nil
}

// begin comes right before a call that changes a system, after its intent. The first one of an approved plan, or of a plan
// file, uses that up: a run that dies earlier has written nothing, and leaves it to the next.
func (c *carrier) begin(ctx context.Context) error {
	err := c.r.ours(ctx)
	if err == nil && c.spend != nil {
		err = c.spend()
	}
	return err
}

// announce is intend and begin, of a call that is not prepared with others.
func (c *carrier) announce(ctx context.Context, in *Intent) error {
	if err := c.intend(ctx, in); err != nil {
		return err
	}
	return c.begin(ctx)
}

// pruneBatch is how much of each kind one run forgets at most: a state full of old things shrinks over many runs.
const pruneBatch = 5000

// prune forgets what is older than the state is to remember. That it cannot is no reason to call a good run bad.
func (r *Run) prune(ctx context.Context) {
	if r.e.Keep <= 0 || ctx.Err() != nil {
		return
	}
	n, err := r.e.Store.Prune(ctx, r.now().Add(-r.e.Keep), pruneBatch)
	switch {
	case err != nil:
		r.log().Warn("cannot forget what is old", "err", err, "hint", connectors.Hint(err))
	case n > 0:
		r.log().Debug("forgot what is old", "rows", n, "older", r.e.Keep)
	}
}

// advance moves the cursors over scans whose every record is settled or held.
func (r *Run) advance(ctx context.Context) error {
	for _, s := range record.Sides {
		v := &r.views[s]
		c := Cursor{Since: v.window.Next, Rules: r.rules.Digest, Endpoint: r.job.Ends[s].Endpoint, At: r.now(),
			Full: v.before.Full, Count: v.before.Count, Audit: v.audit, Clock: r.clock(s),
			System: cmpOr(v.window.System, v.before.System), Zone: cmpOr(v.window.Zone, v.before.Zone), Newest: v.gate.newest}
		if v.full {
			c.Full, c.Count = v.started, v.count
		}
		if err := r.book.Advance(ctx, s, c); err != nil {
			return fmt.Errorf("advance the cursor of %s: %w", r.name(s), err)
		}
	}
	return nil
}

// A carrier carries one plan out.
type carrier struct {
	r        *Run
	run      int64
	by       string // the person who asked for it, where that is not the rules
	approval Approval
	spend    func() error  // uses up the approval that a person left in the state, or the plan file; nil: there is none
	slots    chan struct{} // one for each action whose call may be under way; nil: nobody else calls

	mu                    sync.Mutex
	left                  map[string]plan.Action // of a saved plan: not met yet
	done, skipped, failed int64
	stirred, averted      int64
	unsettled             bool   // some record of the scans is neither settled nor held
	quiet                 []unit // to be settled with the next batch
	folds                 []Fold
}

// all goes through the spool in order: settlements, creates, updates, comments, attachments, deletes. Actions of one kind run side by
// side; the next kind starts when they have ended.
func (c *carrier) all(ctx context.Context) error {
	r := c.r
	for _, s := range record.Sides {
		for _, h := range r.views[s].strays {
			f := Fold{}
			f.Forget[s] = h
			if err := c.fold(ctx, f); err != nil {
				return err
			}
		}
	}
	var crew *crew // of the creates, updates or deletes under way
	var g *errgroup.Group
	var gctx context.Context
	var talk []unit // comments, or attachments, of one link to one side
	order := -1
	wait := func() error {
		switch {
		case crew != nil:
			err := crew.end()
			crew = nil
			return err
		case g != nil:
			err := g.Wait()
			g = nil
			return err
		}
		return nil
	}
	start := func(work func() error) {
		if g == nil {
			g, gctx = errgroup.WithContext(ctx)
			g.SetLimit(c.inFlight())
		}
		g.Go(work)
	}
	say := func() {
		if units := talk; len(units) > 0 {
			talk = nil
			carry := c.comments
			if units[0].Item.Action.Kind == plan.Attachment {
				carry = c.attachments
			}
			start(func() error {
				ctx, end := r.span(gctx, string(units[0].Item.Action.Kind)+" "+units[0].Item.Action.SideName, slog.Int64("run", c.run), slog.Int64("link", units[0].Link))
				err := carry(ctx, units)
				end(err)
				return err
			})
		}
	}
	var n int64
	total := r.footer.Changes()
	err := r.each(ctx, orderSettle, func(u unit) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if !u.Lead {
			return nil
		}
		if u.order != order {
			say()
			if err := errors.Join(wait(), c.settleAll(ctx), c.flush(ctx)); err != nil {
				return err
			}
			order = u.order
		}
		if u.order == orderSettle && (u.Threads != nil || u.Files != nil || u.Beside != nil) {
			return c.fold(ctx, Fold{Threads: u.Threads, Files: u.Files, Beside: u.Beside})
		}
		if u.fold != nil {
			return c.fold(ctx, *u.fold)
		}
		if u.act == nil && (u.Item == nil || u.Item.Action == nil) {
			if c.quiet = append(c.quiet, u); len(c.quiet) >= decideBatch {
				return c.settleAll(ctx)
			}
			return nil
		}
		if g != nil && gctx.Err() != nil {
			return wait()
		}
		n++
		r.progress("carry out", n, total)
		if u.order == orderComment || u.order == orderAttachment {
			a := u.Item.Action
			if len(talk) > 0 && (talk[0].Link != u.Link || talk[0].Item.Action.Side != a.Side) {
				say()
			}
			talk = append(talk, u)
			return nil
		}
		if crew == nil {
			crew = c.crew(ctx)
		}
		return crew.add(u)
	})
	if err == nil {
		say()
	} else if crew != nil {
		crew.stop(err)
	}
	if werr := wait(); err == nil || !errors.Is(werr, err) {
		err = errors.Join(err, werr)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(c.settleAll(ctx), c.flush(ctx)); err != nil {
		return err
	}
	for _, a := range c.left {
		c.result(plan.Result{Action: a, Outcome: plan.Skipped, Why: "the plan of now has no such action: a record or a rule changed since the plan was made"})
	}
	return nil
}

// inFlight is how many actions may be on their way: as many as the limits say, or as fit into that many requests.
func (c *carrier) inFlight() int {
	n := max(c.r.job.Ends[0].Limits.Concurrency, c.r.job.Ends[1].Limits.Concurrency)
	if n == 0 {
		n = concurrency
	}
	batch := 1
	for _, s := range record.Sides {
		if b, ok := connectors.As[connectors.Batcher](c.r.job.Ends[s].Handle); ok {
			batch = max(batch, b.Batch())
		}
	}
	return n * batch
}

// settleAll settles the units gathered so far, bringing back together what is known of them.
func (c *carrier) settleAll(ctx context.Context) error {
	var bare, whole []unit
	for _, u := range c.quiet {
		if u.Item != nil || u.Only {
			bare = append(bare, u)
		} else {
			whole = append(whole, u)
		}
	}
	c.quiet = c.quiet[:0]
	var moved [2]map[string]*Moved
	for _, s := range record.Sides {
		moved[s] = make(map[string]*Moved, len(bare))
		keys := make([]string, 0, len(bare))
		for _, u := range bare {
			if u.Keys[s] != "" {
				keys = append(keys, u.Keys[s])
			}
		}
		err := c.r.spool.GetAll(ctx, s, keys, func(m Moved) error { moved[s][m.Record.Key] = &m; return nil })
		if err != nil {
			return err
		}
	}
	for _, u := range bare {
		if err := c.fold(ctx, c.bare(u, [2]*Moved{moved[0][u.Keys[0]], moved[1][u.Keys[1]]})); err != nil {
			return err
		}
	}
	lds, err := c.load(ctx, whole)
	if err != nil {
		return err
	}
	for i := range lds {
		f := c.r.outcome(lds[i], written{})
		if err := c.r.accountEdits(ctx, &f, &lds[i], c.run, nil); err != nil {
			return err
		}
		if err := c.fold(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// bare is what is remembered where there is no link, or nothing to decide.
func (c *carrier) bare(u unit, moved [2]*Moved) Fold {
	if u.Item != nil { // an ambiguous match, or a create in flight: there is no link to remember it by
		f := Fold{Decided: true, Keys: u.Keys, Waiting: []Waiting{{Conflict: u.Item.Conflict, Hold: u.Item.Hold}}}
		for _, s := range record.Sides {
			if moved[s] != nil {
				f.Prints[s] = &moved[s].Print
			}
		}
		return f
	}
	f := Fold{Decided: len(c.r.waiting[waitKey(u.Keys)]) > 0, Keys: u.Keys}
	for _, s := range record.Sides {
		if u.Keys[s] == "" {
			continue
		}
		if m := moved[s]; m != nil && m.Presence == reconcile.Present {
			f.Prints[s] = &m.Print
		} else {
			f.Forget[s] = keyHash(u.Keys[s])
		}
	}
	return f
}

// fold gathers settlements and stores them by the batch.
func (c *carrier) fold(ctx context.Context, f Fold) error {
	if c.folds = append(c.folds, f); len(c.folds) >= foldBatch {
		return c.flush(ctx)
	}
	return nil
}

func (c *carrier) flush(ctx context.Context) error {
	if len(c.folds) == 0 {
		return nil
	}
	err := c.r.book.Fold(ctx, c.folds)
	c.folds = c.folds[:0]
	if err != nil {
		return fmt.Errorf("remember: %w", err)
	}
	return nil
}

func (c *carrier) result(res plan.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch res.Outcome {
	case plan.Done, plan.Partly:
		c.done++
	case plan.Skipped:
		c.skipped++
		c.unsettled = c.unsettled || res.Action.Kind != plan.Comment && res.Action.Kind != plan.Attachment
	case plan.Failed:
		c.failed++
	}
	if c.approval.Emit != nil {
		c.approval.Emit(res)
	}
}

func (c *carrier) leaveUnsettled() {
	c.mu.Lock()
	c.unsettled = true
	c.mu.Unlock()
}

// allowed reports whether an action is approved, and crosses it off the saved plan.
func (c *carrier) allowed(a plan.Action) bool {
	if c.approval.Saved == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d := ActionDigest(a)
	_, ok := c.left[d]
	delete(c.left, d)
	return ok
}

// approves reports whether allowed will.
func (c *carrier) approves(a plan.Action) bool {
	if c.approval.Saved == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.left[ActionDigest(a)]
	return ok
}
