package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Where processes share their work, a run puts the parts of a scan up in the state, and scans them itself all the same:
// whoever takes one first has it. What another process finds comes back through the state, and counts once that part has
// come to its end. One that dies or is stuck has its part taken away, so that a run waits for nobody for long.

// A Team is the other processes that may scan parts for a run.
type Team interface {
	// Others reports whether there are any.
	Others(ctx context.Context) bool
	// Offer tells them of parts that are put up. They need not be looked at any more after withdraw.
	Offer(ctx context.Context, parts []PartRef) (withdraw func(), err error)
}

// A PartRef is what another process needs to know of a part before it looks for it in the state.
type PartRef struct {
	Sync  string
	Fence int64 // of the run
	Side  record.Side
	N     int
	Rules string // digest: other rules make other fingerprints
}

// ErrOtherRules is of a part that this process cannot scan: its mapping is not that of the run.
var ErrOtherRules = errors.New("the part belongs to a run with another mapping")

const (
	// beatEvery is how often who scans a part shows that it lives, deadAfter how long it may show nothing.
	beatEvery, deadAfter = time.Second, 5 * time.Second
	// stuckAfter is how long a part may show no new record before the run scans it itself: longer than any request.
	stuckAfter = time.Minute
	// lookEvery is how often a run looks what became of its parts.
	lookEvery = 200 * time.Millisecond
	// sameMost and foundMost bound a page.
	sameMost, foundMost = 8192, spoolBatch
)

// A task is a part as it is put up.
type task struct {
	Part     string
	Of       int
	Endpoint string
	Native   string
	Started  time.Time // the run's, for scopes that ask what time it is
}

// An account is how a part ended that another process has scanned.
type account struct {
	Seen   int64
	Window connectors.Window
	Last   time.Time
	Shown  []time.Time
	Newest []Witness
}

// errTaken ends the scan of a part that the run has taken back.
var errTaken = errors.New("the part was taken back")

// sharing is a scan whose parts are put up.
type sharing struct {
	r       *Run
	k       *intake
	q       connectors.Query
	parts   []string
	windows []connectors.Window
	by      string

	done  map[int]bool
	ended chan int // parts that were scanned here
	slots chan struct{}
	sight map[int]sight
}

// sight is when a part that another process has was seen to get on.
type sight struct {
	taker       string
	beats, seen int64
	lived, got  time.Time
}

// scanTogether scans parts here and wherever else somebody takes them.
func (r *Run) scanTogether(ctx context.Context, k *intake, q connectors.Query, parts []string, windows []connectors.Window) error {
	tasks, refs := make([][]byte, len(parts)), make([]PartRef, len(parts))
	for n, part := range parts {
		var err error
		if tasks[n], err = json.Marshal(task{part, len(parts), r.job.Ends[k.side].Endpoint, q.Native, r.started}); err != nil {
			return err
		}
		refs[n] = PartRef{Sync: r.rules.Sync, Fence: r.lease.fence, Side: k.side, N: n, Rules: r.rules.Digest}
	}
	if err := r.book.PutUp(ctx, k.side, tasks); err != nil {
		return err
	}
	withdraw, err := r.e.Team.Offer(ctx, refs)
	if err != nil {
		r.log().Warn("nobody else can be asked to scan parts", "err", err)
	} else {
		defer withdraw()
	}
	s := &sharing{r: r, k: k, q: q, parts: parts, windows: windows, by: r.lease.owner,
		done: map[int]bool{}, ended: make(chan int, len(parts)), slots: make(chan struct{}, r.atOnce(k.side)), sight: map[int]sight{}}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.run(gctx, g) })
	err = g.Wait()
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadAfter)
	defer cancel()
	if terr := r.book.TakeDown(rest, k.side, AllParts); terr != nil {
		r.log().Debug("parts are left for the next run to clear away", "err", terr)
	}
	return err
}

// run sees to it that every part is scanned by somebody.
func (s *sharing) run(ctx context.Context, g *errgroup.Group) error {
	for len(s.done) < len(s.parts) {
		list, err := s.r.book.Parts(ctx, s.k.side)
		if err != nil {
			return err
		}
		for _, p := range list {
			if err := s.look(ctx, g, p); err != nil {
				return err
			}
		}
		if len(s.done) == len(s.parts) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case n := <-s.ended:
			s.done[n] = true
		case <-time.After(lookEvery):
		}
	}
	return nil
}

// look takes what another process has found in a part that ended, and scans one that nobody scans, or that is not getting on.
func (s *sharing) look(ctx context.Context, g *errgroup.Group, p Part) error {
	switch {
	case s.done[p.N] || p.N >= len(s.parts):
		return nil
	case p.Account != nil:
		s.done[p.N] = true
		return s.merge(ctx, p)
	case p.Taker == s.by || p.Taker != "" && s.getsOn(p):
		return nil
	}
	select {
	case s.slots <- struct{}{}:
	default:
		return nil
	}
	taken, err := s.r.book.TakePart(ctx, s.k.side, p.N, p.Taker, s.by)
	if err != nil || !taken {
		<-s.slots
		return err
	}
	if p.Taker != "" {
		s.r.log().Warn("a part is scanned again: who had it does not get on", "side", s.r.name(s.k.side), "part", p.N+1, "of", len(s.parts), "had", p.Taker)
	}
	g.Go(func() error {
		defer func() { <-s.slots }()
		err := s.r.scanPart(ctx, s.k, s.q, p.N, s.parts, s.windows)
		s.ended <- p.N
		return err
	})
	return nil
}

// getsOn reports whether who scans a part was seen alive a moment ago, and with new records not long before. Time goes by
// the clock here alone.
func (s *sharing) getsOn(p Part) bool {
	now := time.Now()
	was, known := s.sight[p.N]
	if !known || was.taker != p.Taker {
		was = sight{taker: p.Taker, beats: p.Beats, seen: p.Seen, lived: now, got: now}
	}
	if p.Beats != was.beats {
		was.beats, was.lived = p.Beats, now
	}
	if p.Seen != was.seen {
		was.seen, was.got = p.Seen, now
	}
	s.sight[p.N] = was
	return now.Sub(was.lived) < deadAfter && now.Sub(was.got) < stuckAfter
}

// merge takes what another process has found in a part.
func (s *sharing) merge(ctx context.Context, p Part) error {
	var a account
	if err := json.Unmarshal(p.Account, &a); err != nil {
		return fmt.Errorf("read the account of part %d: %w", p.N+1, err)
	}
	take := s.k.taker()
	handed := int64(0)
	err := s.r.book.Pages(ctx, s.k.side, p.N, func(page Page) error {
		handed += int64(len(page.Same) + len(page.Found))
		for _, rec := range page.Found {
			if err := take(rec); err != nil {
				return err
			}
		}
		return s.k.takeSame(page.Same)
	})
	if err != nil {
		return fmt.Errorf("take over part %d of %d: %w", p.N+1, len(s.parts), err)
	}
	s.k.join(&a, a.Seen-handed)
	s.windows[p.N] = a.Window
	return s.r.book.TakeDown(ctx, s.k.side, p.N)
}

// ScanPart scans a part that a run in another process has put up. nil, too, when there is nothing to do any more. ErrOtherRules
// when j is not the job of that run.
func (e *Engine) ScanPart(ctx context.Context, j Job, ref PartRef) (err error) {
	if j.Rules.Digest != ref.Rules {
		return ErrOtherRules
	}
	r := &Run{e: e, job: j, rules: j.Rules}
	if r.book, err = e.Store.Book(ctx, ref.Sync, [2][]string{j.Rules.Sides[0].Paths, j.Rules.Sides[1].Paths}, ref.Fence); err != nil {
		return over(err)
	}
	h := &helper{r: r, ref: ref, by: e.owner() + " " + random()}
	ok, err := h.begin(ctx)
	if err != nil || !ok {
		return over(err)
	}
	ctx, end := r.span(ctx, "observe part of "+r.name(ref.Side))
	err = h.scan(ctx)
	end(err)
	if err != nil {
		rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadAfter)
		defer cancel()
		_, gerr := r.book.TakePart(rest, ref.Side, ref.N, h.by, "")
		return over(errors.Join(err, over(gerr)))
	}
	return nil
}

// over takes the end of the run that a part belonged to for no error: nobody needs it any more.
func over(err error) error {
	if errors.Is(err, ErrLeaseLost) || errors.Is(err, errTaken) {
		return nil
	}
	return err
}

// A helper scans one part for a run in another process.
type helper struct {
	r    *Run
	ref  PartRef
	by   string
	task task
	seen atomic.Int64
	gate gate

	batch  []record.Record
	prints []Print
	page   Page
}

// begin takes the part; false: it is not there, or somebody else has it.
func (h *helper) begin(ctx context.Context) (bool, error) {
	parts, err := h.r.book.Parts(ctx, h.ref.Side)
	if err != nil {
		return false, err
	}
	for _, p := range parts {
		if p.N != h.ref.N || p.Taker != "" {
			continue
		}
		if err := json.Unmarshal(p.Task, &h.task); err != nil {
			return false, fmt.Errorf("read part %d: %w", p.N+1, err)
		}
		end := h.r.job.Ends[h.ref.Side]
		if end.Endpoint != h.task.Endpoint || end.Native != h.task.Native {
			return false, ErrOtherRules
		}
		h.r.started = h.task.Started
		cursor, _, err := h.r.book.Cursor(ctx, h.ref.Side)
		if err != nil {
			return false, err
		}
		h.gate.watch(cursor.Newest)
		return h.r.book.TakePart(ctx, h.ref.Side, h.ref.N, "", h.by)
	}
	return false, nil
}

func (h *helper) scan(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	beating := make(chan struct{})
	defer func() { stop(nil); <-beating }()
	go func() {
		defer close(beating)
		stop(h.beat(ctx))
	}()
	s := h.ref.Side
	pr := newPrinter(h.r.rules.Digest)
	h.r.log().Info("scanning a part for a run elsewhere", "side", h.r.name(s), "part", h.ref.N+1, "of", h.task.Of, "fence", h.ref.Fence)
	w, err := h.r.job.Ends[s].Handle.Scan(ctx, connectors.Query{Paths: h.r.rules.Sides[s].Paths, Native: h.task.Native, Part: h.task.Part}, func(rec record.Record) error {
		if err := h.r.whole(s, rec); err != nil {
			return err
		}
		h.seen.Add(1)
		h.gate.see(rec)
		own := rec.Clone()
		h.batch, h.prints = append(h.batch, own), append(h.prints, pr.of(own.Key, own.Values))
		if len(h.batch) < foundMost {
			return nil
		}
		return h.sift(ctx)
	})
	if err == nil {
		err = h.sift(ctx)
	}
	if err == nil {
		err = h.handOver(ctx)
	}
	if err == nil {
		var text []byte
		if text, err = json.Marshal(account{h.seen.Load(), w, h.gate.last, h.gate.shown, h.gate.newest}); err == nil {
			err = h.ours(h.r.book.EndPart(ctx, s, h.ref.N, h.by, text))
		}
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errTaken) {
		return cause
	}
	return err
}

// sift tells the records that show what was settled from the others.
func (h *helper) sift(ctx context.Context) error {
	hashes := make([]uint64, len(h.prints))
	for i, p := range h.prints {
		hashes[i] = p.Hash
	}
	settled := make(map[uint64]uint64, len(hashes))
	if err := h.r.book.PrintsOf(ctx, h.ref.Side, hashes, func(p Print) error { settled[p.Hash] = p.Print; return nil }); err != nil {
		return err
	}
	for i, rec := range h.batch {
		print, known := settled[h.prints[i].Hash]
		if known && print == h.prints[i].Print {
			h.page.Same = append(h.page.Same, h.prints[i].Hash)
			continue
		}
		if in, err := h.r.inScope(h.ref.Side, rec.Values); known || in || err != nil {
			h.page.Found = append(h.page.Found, rec)
		}
	}
	h.batch, h.prints = h.batch[:0], h.prints[:0]
	if len(h.page.Same) >= sameMost || len(h.page.Found) >= foundMost {
		return h.handOver(ctx)
	}
	return nil
}

func (h *helper) handOver(ctx context.Context) error {
	h.page.Seen = h.seen.Load()
	err := h.ours(h.r.book.HandOver(ctx, h.ref.Side, h.ref.N, h.by, h.page))
	h.page = Page{Same: h.page.Same[:0], Found: h.page.Found[:0]}
	return err
}

func (h *helper) ours(ok bool, err error) error {
	if err == nil && !ok {
		return errTaken
	}
	return err
}

// beat shows that the helper lives until ctx ends, or returns why the part is not its own any more. A state that is away
// for a moment is no reason.
func (h *helper) beat(ctx context.Context) error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := h.ours(h.r.book.HandOver(ctx, h.ref.Side, h.ref.N, h.by, Page{Seen: h.seen.Load()}))
		if errors.Is(err, errTaken) || errors.Is(err, ErrLeaseLost) {
			return errTaken
		}
	}
}
