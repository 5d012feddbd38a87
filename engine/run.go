package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Run is one sync, observed and decided: a plan that can be shown, saved and carried out. Close it.
type Run struct {
	e        *Engine
	job      Job
	rules    *reconcile.Rules
	book     Book
	spool    Spool
	started  time.Time
	views    [2]view
	observed [2]int64
	few      bool // only the records that the job names were looked at
	header   plan.Header
	footer   plan.Footer
	waiting  map[string][]Waiting // of records without a link, by waitKey
	tally    *tally
	ruledMu  sync.Mutex
	ruled    map[int64]bool // runs: whether they had the rules of now
	unsureMu sync.Mutex
	unsure   [2]map[string]string // key → why where cannot tell whether it is in scope
	adding   []Spooled
	beside   *beside      // comments and attachments
	averted  int64        // values that writes left in flight had replaced unseen
	once     [2]sync.Once // it was said that the history of a side's records cannot be read

	leased  bool
	lease   lease
	stop    context.CancelFunc // ends the renewal of the lease
	lost    context.Context    // done when the lease is lost
	renewed sync.WaitGroup
	used    bool
}

// Plan observes both sides and decides, and writes nothing anywhere. The run it returns can be shown and
// saved, not carried out.
func (e *Engine) Plan(ctx context.Context, j Job) (*Run, error) {
	r, err := e.open(ctx, j, lease{})
	if err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Start takes the lease on the sync, settles what an earlier run left in flight, then observes and decides.
// The run it returns can be carried out once with [Run.Apply]. ErrLeased when another run has the sync.
func (e *Engine) Start(ctx context.Context, j Job) (*Run, error) {
	name := j.Rules.Sync
	l, err := e.lease(ctx, name)
	if err != nil {
		return nil, err
	}
	r, err := e.open(ctx, j, l)
	if err != nil {
		return nil, errors.Join(err, l.release(ctx))
	}
	r.keepLease(ctx)
	rctx, cancel := r.underLease(ctx)
	defer cancel()
	err = r.within(rctx, "settle", r.recover)
	if err == nil {
		err = r.prepare(rctx)
	}
	if err != nil {
		return nil, errors.Join(r.leaseError(err), r.Close())
	}
	return r, nil
}

// open makes a run; without a lease it can only look.
func (e *Engine) open(ctx context.Context, j Job, l lease) (*Run, error) {
	r := &Run{e: e, job: j, rules: j.Rules, started: e.now(), waiting: map[string][]Waiting{}, tally: newTally(), beside: newBeside(), unsure: [2]map[string]string{{}, {}}, lost: context.Background()}
	var err error
	if r.book, err = e.Store.Book(ctx, j.Rules.Sync, [2][]string{j.Rules.Sides[0].Paths, j.Rules.Sides[1].Paths}, l.fence); err != nil {
		return nil, fmt.Errorf("open state of %s: %w", j.Rules.Sync, err)
	}
	if r.spool, err = e.Store.Spool(ctx); err != nil {
		return nil, fmt.Errorf("make room for the run: %w", err)
	}
	r.leased, r.lease = l.fence > 0, l
	return r, nil
}

// Failed keeps the account of a run that ended before there was a plan. ErrLeased when another run has the sync by now.
func (e *Engine) Failed(ctx context.Context, acc plan.Run) (err error) {
	l, err := e.lease(ctx, acc.Sync)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.release(ctx)) }()
	b, err := e.Store.Book(ctx, acc.Sync, [2][]string{}, l.fence)
	if err != nil {
		return err
	}
	acc.Owner = l.owner
	if err := b.StartRun(ctx, &acc); err != nil {
		return err
	}
	return b.FinishRun(ctx, acc)
}

// prepare is steps 2 and 4 to 8 of a run.
func (r *Run) prepare(ctx context.Context) error {
	for _, s := range record.Sides {
		if err := r.require(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", r.name(s), err)
		}
	}
	links, err := r.book.CountLinks(ctx)
	if err != nil {
		return err
	}
	if err := r.observe(ctx); err != nil {
		return err
	}
	if err := r.within(ctx, "decide", r.decide); err != nil {
		return fmt.Errorf("decide: %w", err)
	}
	if err := r.listen(ctx); err != nil {
		return err
	}
	r.header = plan.Header{
		Sync: r.rules.Sync, Sides: [2]string{r.name(0), r.name(1)}, Rules: r.rules.Digest, Made: r.started,
		Links: links, Observed: r.observed, Elapsed: r.now().Sub(r.started).Seconds(),
	}
	if !r.leased { // a run that may write has settled them before
		open, err := r.book.Intents(ctx)
		if err != nil {
			return fmt.Errorf("read open intents: %w", err)
		}
		r.header.InFlight = int64(len(open))
	}
	for _, s := range record.Sides {
		r.header.Scan[s] = "changes"
		if r.few {
			r.header.Scan[s] = "few"
		}
		if r.views[s].full {
			r.header.Scan[s] = "full"
		}
	}
	r.footer = r.sum(links)
	r.footer.Digest, err = r.digest()
	return err
}

// require asks a collection whether the paths that rules write exist on it, where its schema cannot say so.
func (r *Run) require(ctx context.Context, s record.Side) error {
	q, ok := connectors.As[connectors.Requirer](r.job.Ends[s].Handle)
	if !ok {
		return nil
	}
	var paths []string
	seen := make(map[int]bool)
	for i := range r.rules.Fields {
		if r.rules.Fields[i].To[s] == nil {
			continue
		}
		for _, slot := range r.rules.Fields[i].Paths[s] {
			if !seen[slot] {
				seen[slot] = true
				paths = append(paths, r.rules.Sides[s].Paths[slot])
			}
		}
	}
	return q.Require(ctx, paths)
}

// Header tells what was planned, and on what.
func (r *Run) Header() plan.Header { return r.header }

// Footer sums the plan up.
func (r *Run) Footer() plan.Footer { return r.footer }

// Items yields what the plan would do and what waits: creates, updates, comments, attachments, deletes, conflicts, holds.
func (r *Run) Items() iter.Seq2[plan.Item, error] {
	return func(yield func(plan.Item, error) bool) {
		err := r.each(context.Background(), orderCreate, func(u unit) error {
			it, err := u.item()
			if err == nil && !yield(it, nil) {
				err = errStop
			}
			return err
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(plan.Item{}, err)
		}
	}
}

var errStop = errors.New("stop")

// each emits the units of the spool from an order on.
func (r *Run) each(ctx context.Context, from int, emit func(unit) error) error {
	return r.spool.Items(ctx, from, func(s Spooled) error {
		var u unit
		var err error
		switch {
		case len(s.Data) > 0 && s.Data[0] == quietMark:
			var f Fold
			f, err = readQuiet(s.Data)
			u.fold, u.Lead = &f, true
		case len(s.Data) > 0 && s.Data[0] == bareMark:
			u, err = readBare(s.Data)
		default:
			err = json.Unmarshal(s.Data, &u)
		}
		if err != nil {
			return fmt.Errorf("read back the plan: %w", err)
		}
		u.order = s.Order
		return emit(u)
	})
}

// Close lets go of the run's own data and of the lease.
func (r *Run) Close() error {
	var errs []error
	if r.stop != nil {
		r.stop()
		r.renewed.Wait()
		errs = append(errs, r.lease.release(context.Background()))
		r.stop = nil
	}
	if r.spool != nil {
		errs = append(errs, r.spool.Close())
		r.spool = nil
	}
	return errors.Join(errs...)
}

// keepLease renews the lease until Close; when that fails, r.lost ends.
func (r *Run) keepLease(ctx context.Context) {
	ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	lost, lose := context.WithCancelCause(context.Background())
	r.lost = lost
	r.renewed.Go(func() { lose(cmp.Or(r.lease.keep(ctx, r.now, r.log()), context.Canceled)) })
}

// underLease is ctx, ended too when the lease is lost.
func (r *Run) underLease(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(r.lost, func() { cancel(context.Cause(r.lost)) })
	return ctx, func() { unhook(); cancel(context.Canceled) }
}

// leaseError puts the loss of the lease before the errors that follow from it.
func (r *Run) leaseError(err error) error {
	if err == nil || r.lost.Err() == nil || !errors.Is(context.Cause(r.lost), ErrLeaseLost) {
		return err
	}
	return context.Cause(r.lost)
}

func (r *Run) name(s record.Side) string { return r.rules.Sides[s].Name }
func (r *Run) now() time.Time            { return r.e.now() }
func (r *Run) log() *slog.Logger         { return r.e.logger().With("sync", r.rules.Sync) }

// span tells of a stretch of work that begins.
func (r *Run) span(ctx context.Context, name string, attrs ...slog.Attr) (context.Context, func(error)) {
	if r.e.Span == nil {
		return ctx, func(error) {}
	}
	return r.e.Span(ctx, name, attrs...)
}

// within does a stretch of work of the run.
func (r *Run) within(ctx context.Context, name string, work func(context.Context) error) error {
	ctx, end := r.span(ctx, name)
	err := work(ctx)
	end(err)
	return err
}

func (r *Run) progress(phase string, done, total int64) {
	if r.e.Progress != nil {
		r.e.Progress(Progress{Sync: r.rules.Sync, Phase: phase, Done: done, Total: total})
	}
}

func (e *Engine) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

func (e *Engine) logger() *slog.Logger {
	if e.Log != nil {
		return e.Log
	}
	return slog.New(slog.DiscardHandler)
}

func (e *Engine) owner() string {
	if e.Owner == "" {
		return "fieldsync"
	}
	return e.Owner
}
