package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// errDead is what a process that died gets from everything that it still calls.
var errDead = errors.New("the process died")

// A point is one call that a run makes: the n-th of its name, before or after it took effect.
type point struct {
	Name  string
	N     int
	After bool
}

func (p point) String() string {
	when := "before"
	if p.After {
		when = "after"
	}
	return fmt.Sprintf("%s %s #%d", when, p.Name, p.N)
}

// A control stands between one process and everything outside it: each call of the store, of the run's spool and
// of the systems passes through it and can be where the process dies, where an answer is lost or where a person
// is faster.
type control struct {
	mu     sync.Mutex
	counts map[string]int
	steps  []point // every call that was made, in order
	dead   bool
	fired  *point   // where it died
	down   [2]error // systems that this process does not reach any more

	still  chan struct{} // it stands still until this is closed; nil: it does not
	frozen bool          // it did, and its lease is another's now
	wrote  int           // calls that change a system since then
	book   engine.Book   // planted: the state takes its writes all the same

	die       func(point) bool // nil: never
	fault     func(name string, n int) *fault
	meanwhile func(name string, n int) // people
	hit       []string                 // faults that came to pass
}

func newControl() *control { return &control{counts: map[string]int{}} }

// stand keeps every call of the process waiting until the function that it returns is called. Whoever calls stand is one of
// its calls; those of its other goroutines, such as the renewal of its lease, must not go on meanwhile either.
func (c *control) stand() (goOn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.still = make(chan struct{})
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.still)
		c.still = nil
	}
}

func (c *control) enter(name string) (int, error) {
	c.mu.Lock()
	for c.still != nil {
		still := c.still
		c.mu.Unlock()
		<-still
		c.mu.Lock()
	}
	if c.dead {
		c.mu.Unlock()
		return 0, errDead
	}
	c.counts[name]++
	n := c.counts[name]
	p := point{Name: name, N: n}
	c.steps = append(c.steps, p)
	if c.die != nil && c.die(p) {
		c.dead, c.fired = true, &p
		c.mu.Unlock()
		return n, errDead
	}
	meanwhile := c.meanwhile
	c.mu.Unlock()
	if meanwhile != nil {
		meanwhile(name, n)
	}
	return n, nil
}

func (c *control) leave(name string, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return errDead
	}
	p := point{Name: name, N: n, After: true}
	c.steps = append(c.steps, p)
	if c.die != nil && c.die(p) {
		c.dead, c.fired = true, &p
		return errDead
	}
	return nil
}

func (c *control) faultAt(name string, n int) *fault {
	if c.fault == nil {
		return nil
	}
	f := c.fault(name, n)
	if f != nil {
		c.mu.Lock()
		c.hit = append(c.hit, fmt.Sprintf("%s #%d: %s", name, n, f.Kind))
		c.mu.Unlock()
	}
	return f
}

// call passes one call through.
func (c *control) call(name string, do func() error) error {
	n, err := c.enter(name)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return c.leave(name, n)
}

// alive keeps what is emitted from a process that died in the middle of it.
func alive[T any](c *control, emit func(T) error) func(T) error {
	return func(v T) error {
		c.mu.Lock()
		dead := c.dead
		c.mu.Unlock()
		if dead {
			return errDead
		}
		return emit(v)
	}
}

// A tappedStore is a store behind a control.
type tappedStore struct {
	engine.Store
	c *control
	w *history
}

func (t *tappedStore) Lease(ctx context.Context, sync, owner string, ttl time.Duration) (fence int64, err error) {
	err = t.c.call("lease", func() (err error) { fence, err = t.Store.Lease(ctx, sync, owner, ttl); return })
	return fence, err
}

func (t *tappedStore) Release(ctx context.Context, sync, owner string) error {
	return t.c.call("release", func() error { return t.Store.Release(ctx, sync, owner) })
}

func (t *tappedStore) Book(ctx context.Context, sync string, paths [2][]string, fence int64) (engine.Book, error) {
	var b engine.Book
	err := t.c.call("book", func() (err error) { b, err = t.Store.Book(ctx, sync, paths, fence); return })
	if err != nil {
		return nil, err
	}
	var out engine.Book = &tappedBook{Book: b, c: t.c, w: t.w}
	if t.w.bug.book != nil {
		out = t.w.bug.book(t.w, out)
	}
	return out, nil
}

func (t *tappedStore) Spool(ctx context.Context) (engine.Spool, error) {
	var s engine.Spool
	err := t.c.call("spool", func() (err error) { s, err = t.Store.Spool(ctx); return })
	if err != nil {
		if s != nil {
			s.Close()
		}
		return nil, err
	}
	return &tappedSpool{s, t.c, t.w.bug.first}, nil
}

// A tappedBook is a book behind a control. Where the history wants scans for changes it makes both sides look
// large, since small ones are read whole.
type tappedBook struct {
	engine.Book
	c *control
	w *history
}

const inflated = 100_000

func (t *tappedBook) UsePlan(ctx context.Context, digest string, at time.Time) error {
	return t.own("use plan", func(b engine.Book) error { return b.UsePlan(ctx, digest, at) })
}

func (t *tappedBook) StartRun(ctx context.Context, r *plan.Run) error {
	return t.own("start run", func(b engine.Book) error { return b.StartRun(ctx, r) })
}

func (t *tappedBook) FinishRun(ctx context.Context, r plan.Run) error {
	return t.own("finish run", func(b engine.Book) error { return b.FinishRun(ctx, r) })
}

func (t *tappedBook) Prints(ctx context.Context, s record.Side, emit func(engine.Print) error) error {
	return t.c.call("prints "+t.w.name(s), func() error { return t.Book.Prints(ctx, s, alive(t.c, emit)) })
}

func (t *tappedBook) Print(ctx context.Context, s record.Side, hash uint64) (p engine.Print, ok bool, err error) {
	err = t.c.call("print "+t.w.name(s), func() (err error) { p, ok, err = t.Book.Print(ctx, s, hash); return })
	return p, ok, err
}

func (t *tappedBook) PrintsOf(ctx context.Context, s record.Side, hashes []uint64, emit func(engine.Print) error) error {
	return t.c.call("print "+t.w.name(s), func() error { return t.Book.PrintsOf(ctx, s, hashes, alive(t.c, emit)) })
}

func (t *tappedBook) Cursor(ctx context.Context, s record.Side) (cur engine.Cursor, ok bool, err error) {
	err = t.c.call("cursor", func() (err error) { cur, ok, err = t.Book.Cursor(ctx, s); return })
	if t.w.inflate {
		cur.Count += inflated
	}
	return cur, ok, err
}

func (t *tappedBook) Advance(ctx context.Context, s record.Side, cur engine.Cursor) error {
	if cur.Count >= inflated {
		cur.Count -= inflated
	}
	return t.own("advance", func(b engine.Book) error { return b.Advance(ctx, s, cur) })
}

func (t *tappedBook) Link(ctx context.Context, s record.Side, key string) (l *record.Link, err error) {
	err = t.c.call("link", func() (err error) { l, err = t.Book.Link(ctx, s, key); return })
	return l, err
}

func (t *tappedBook) LinkByID(ctx context.Context, id int64) (l *record.Link, err error) {
	err = t.c.call("link by id", func() (err error) { l, err = t.Book.LinkByID(ctx, id); return })
	return l, err
}

func (t *tappedBook) LinksOf(ctx context.Context, s record.Side, keys []string, emit func(record.Link) error) error {
	return t.c.call("link", func() error { return t.Book.LinksOf(ctx, s, keys, alive(t.c, emit)) })
}

func (t *tappedBook) LinksByID(ctx context.Context, ids []int64, emit func(record.Link) error) error {
	return t.c.call("link by id", func() error { return t.Book.LinksByID(ctx, ids, alive(t.c, emit)) })
}

func (t *tappedBook) Links(ctx context.Context, st record.Status, emit func(record.Link) error) error {
	return t.c.call("links", func() error { return t.Book.Links(ctx, st, alive(t.c, emit)) })
}

func (t *tappedBook) Keys(ctx context.Context, s record.Side, emit func(int64, string) error) error {
	return t.c.call("keys", func() error { return t.Book.Keys(ctx, s, emit) })
}

// KeysAfter is asked for the links that a run looks at whatever the scans said. All links of a history are fewer than
// that, so a wrong cursor would never show: where the history has no audits, there are none.
func (t *tappedBook) KeysAfter(ctx context.Context, s record.Side, after string, most int) (keys []string, err error) {
	err = t.c.call("keys after", func() (err error) {
		if t.w.cfg.Audit && !t.w.bug.blind {
			keys, err = t.Book.KeysAfter(ctx, s, after, most)
		}
		return err
	})
	return keys, err
}

func (t *tappedBook) CountLinks(ctx context.Context) (n int64, err error) {
	err = t.c.call("count links", func() (err error) { n, err = t.Book.CountLinks(ctx); return })
	return n, err
}

func (t *tappedBook) Tomb(ctx context.Context, s record.Side, key string, now time.Time) (dead bool, err error) {
	err = t.c.call("tomb", func() (err error) { dead, err = t.Book.Tomb(ctx, s, key, now); return })
	return dead, err
}

func (t *tappedBook) Waiting(ctx context.Context, link int64, emit func(engine.Waiting) error) error {
	return t.c.call("waiting", func() error { return t.Book.Waiting(ctx, link, alive(t.c, emit)) })
}

func (t *tappedBook) Intend(ctx context.Context, ins []*engine.Intent) error {
	return t.own("intend", func(b engine.Book) error { return b.Intend(ctx, ins) })
}

func (t *tappedBook) Intents(ctx context.Context) (ins []engine.Intent, err error) {
	err = t.c.call("intents", func() (err error) { ins, err = t.Book.Intents(ctx); return })
	return ins, err
}

func (t *tappedBook) Fold(ctx context.Context, folds []engine.Fold) error {
	var paired [][2]string
	for _, f := range folds {
		if f.Link != nil && f.Link.ID == 0 && f.Link.Key[0] != "" && f.Link.Key[1] != "" {
			paired = append(paired, f.Link.Key)
		}
	}
	err := t.own("fold", func(b engine.Book) error { return b.Fold(ctx, folds) })
	if err == nil || errors.Is(err, errDead) && t.c.fired != nil && t.c.fired.After && t.c.fired.Name == "fold" {
		for _, keys := range paired {
			t.w.sawPairing(keys)
		}
	}
	return err
}

// A tappedSpool is a run's own data behind a control.
type tappedSpool struct {
	engine.Spool
	c     *control
	first bool
}

func (t *tappedSpool) Put(ctx context.Context, s record.Side, recs []engine.Moved) error {
	return t.c.call("spool put "+s.String(), func() error { return t.Spool.Put(ctx, s, recs) })
}

func (t *tappedSpool) Get(ctx context.Context, s record.Side, key string) (m engine.Moved, ok bool, err error) {
	err = t.c.call("spool get", func() (err error) { m, ok, err = t.Spool.Get(ctx, s, key); return })
	return m, ok, err
}

func (t *tappedSpool) Each(ctx context.Context, s record.Side, emit func(engine.Moved) error) error {
	return t.c.call("spool each", func() error { return t.Spool.Each(ctx, s, alive(t.c, emit)) })
}

func (t *tappedSpool) GetAll(ctx context.Context, s record.Side, keys []string, emit func(engine.Moved) error) error {
	return t.c.call("spool get all", func() error { return t.Spool.GetAll(ctx, s, keys, alive(t.c, emit)) })
}

func (t *tappedSpool) Matching(ctx context.Context, s record.Side, block int, hashes []uint64, emit func(engine.Moved) error) error {
	seen := map[uint64]bool{}
	return t.c.call("spool matching", func() error {
		return t.Spool.Matching(ctx, s, block, hashes, alive(t.c, func(m engine.Moved) error {
			if t.first && seen[m.Match[block]] {
				return nil
			}
			seen[m.Match[block]] = true
			return emit(m)
		}))
	})
}

func (t *tappedSpool) Add(ctx context.Context, items []engine.Spooled) error {
	return t.c.call("spool add", func() error { return t.Spool.Add(ctx, items) })
}

func (t *tappedSpool) Items(ctx context.Context, from int, emit func(engine.Spooled) error) error {
	return t.c.call("spool items", func() error { return t.Spool.Items(ctx, from, alive(t.c, emit)) })
}

// names of the calls at which stories let a process die; the exhaustive tests use those that were really made.
var callNames = slices.Concat([]string{
	"fold", "fold", "fold", "intend", "intend", "intents", "advance", "lease", "book", "spool", "start run", "finish run", "release",
	"cursor", "prints ticket", "link", "link by id", "links", "waiting", "count links", "tomb", "spool put left", "spool put right",
	"keys after", "threads", "heard", "hear", "hear", "sleep",
	"spool get", "spool each", "spool get all", "spool matching", "spool add", "spool items",
}, systemCalls, systemWrites, systemWrites)

var (
	systemCalls = []string{"ticket scan", "incident scan", "ticket read", "incident read", "ticket find", "incident find",
		"ticket create", "incident create", "ticket update", "incident update", "ticket delete", "incident delete",
		"ticket edits", "incident edits", "ticket comments", "incident comments",
		"ticket attachments", "incident attachments", "ticket open", "incident open", "ticket attach", "incident attach", "ticket comment", "incident comment"}
	systemWrites = []string{"ticket update", "incident update", "incident create", "ticket create", "incident delete", "ticket comment", "incident comment", "ticket attach", "incident attach"}
)
