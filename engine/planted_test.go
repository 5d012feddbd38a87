package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A bookBug is a book with a mistake in what it takes or gives.
type bookBug struct {
	engine.Book
	w       *history
	fold    func(*engine.Fold)
	intend  func(*engine.Intent) bool // false: not written down
	intents bool                      // none are given back
	early   bool                      // the cursors advance before the records are settled
	tomb    bool                      // none is known
	link    func(*record.Link)
	deaf    bool // no comment is known
}

func (b *bookBug) Fold(ctx context.Context, folds []engine.Fold) error {
	if b.early {
		for _, s := range record.Sides {
			if cur, ok, err := b.w.plainCursor(s); err == nil && ok {
				cur.Since = b.w.systems[b.w.side(s)].m.Now().UTC().Format(time.RFC3339Nano)
				_ = b.Book.Advance(ctx, s, cur)
			}
		}
	}
	if b.fold == nil {
		return b.Book.Fold(ctx, folds)
	}
	out := slices.Clone(folds)
	for i := range out {
		if l := out[i].Link; l != nil {
			c := *l
			out[i].Link = &c
		}
		b.fold(&out[i])
	}
	err := b.Book.Fold(ctx, out)
	for i := range out {
		if folds[i].Link != nil {
			folds[i].Link.ID = out[i].Link.ID
		}
	}
	return err
}

func (b *bookBug) Intend(ctx context.Context, ins []*engine.Intent) error {
	if b.intend == nil {
		return b.Book.Intend(ctx, ins)
	}
	var kept []*engine.Intent
	for _, in := range ins {
		if b.intend(in) {
			kept = append(kept, in)
		}
	}
	return b.Book.Intend(ctx, kept)
}

func (b *bookBug) Intents(ctx context.Context) ([]engine.Intent, error) {
	if b.intents {
		return nil, nil
	}
	return b.Book.Intents(ctx)
}

func (b *bookBug) Tomb(ctx context.Context, s record.Side, key string, now time.Time) (bool, error) {
	if b.tomb {
		return false, nil
	}
	return b.Book.Tomb(ctx, s, key, now)
}

func (b *bookBug) forget(l *record.Link) *record.Link {
	if l != nil && b.link != nil {
		b.link(l)
	}
	return l
}

func (b *bookBug) Link(ctx context.Context, s record.Side, key string) (*record.Link, error) {
	l, err := b.Book.Link(ctx, s, key)
	return b.forget(l), err
}

func (b *bookBug) LinkByID(ctx context.Context, id int64) (*record.Link, error) {
	l, err := b.Book.LinkByID(ctx, id)
	return b.forget(l), err
}

func (b *bookBug) LinksOf(ctx context.Context, s record.Side, keys []string, emit func(record.Link) error) error {
	return b.Book.LinksOf(ctx, s, keys, func(l record.Link) error { return emit(*b.forget(&l)) })
}

func (b *bookBug) LinksByID(ctx context.Context, ids []int64, emit func(record.Link) error) error {
	return b.Book.LinksByID(ctx, ids, func(l record.Link) error { return emit(*b.forget(&l)) })
}

func (b *bookBug) Links(ctx context.Context, st record.Status, emit func(record.Link) error) error {
	return b.Book.Links(ctx, st, func(l record.Link) error { return emit(*b.forget(&l)) })
}

func (b *bookBug) Threads(ctx context.Context, link int64, emit func(engine.Thread) error) error {
	if b.deaf {
		return nil
	}
	return b.Book.Threads(ctx, link, emit)
}

func (w *history) mustBook() engine.Book {
	b, err := w.book(w.job(false))
	if err != nil {
		panic(err)
	}
	return b
}

func (w *history) plainCursor(s record.Side) (engine.Cursor, bool, error) {
	return w.mustBook().Cursor(context.Background(), s)
}

// A systemBug is a connector with a mistake in how it is used.
type systemBug struct {
	*client
	claims    bool // says that its writes are conditional, and they are not
	blind     bool // finds nothing by a marker
	first     bool // finds only the first that carries a marker
	deaf      bool // takes an unanswered write for done
	whole     bool // takes a scan that was cut off for whole
	careless  bool // reads none of what a scan did not show
	eager     bool // the next scan begins where this one ended, as if nothing were committed late
	hasty     bool // waits for no create that may still happen
	insistent bool // adds a comment that got no answer again
	heedless  bool // does not ask what a write has overtaken
	deafened  bool // takes a refusal for now as done
}

func (b *systemBug) Conditional() bool { return b.claims || b.client.Conditional() }

func (b *systemBug) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	if b.claims {
		version = ""
	}
	rec, err := b.client.Update(ctx, paths, key, version, f)
	if b.deaf && (errors.Is(err, connectors.ErrOutcome) || errors.Is(err, connectors.ErrProtocol)) || b.deafened && errors.Is(err, connectors.ErrBusy) {
		err = b.m.Read(ctx, paths, []string{key}, func(r record.Record) error { rec = r.Clone(); return nil })
		for i, p := range paths {
			if v, ok := f[p]; ok && len(rec.Values) > 0 {
				rec.Values[i] = v
			}
		}
	}
	return rec, err
}

func (b *systemBug) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	rec, err := b.client.Create(ctx, paths, f)
	if b.blind && (errors.Is(err, connectors.ErrOutcome) || errors.Is(err, connectors.ErrProtocol)) {
		return b.client.Create(ctx, paths, f)
	}
	return rec, err
}

func (b *systemBug) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	n := 0
	return b.client.Find(ctx, paths, path, values, func(r record.Record) error {
		if n++; b.blind || b.first && n > 1 {
			return nil
		}
		return emit(r)
	})
}

func (b *systemBug) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	return b.client.Read(ctx, paths, keys, func(r record.Record) error {
		if b.careless && b.w.shortScan {
			return nil
		}
		return emit(r)
	})
}

func (b *systemBug) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	w, err := b.client.Scan(ctx, q, emit)
	if b.whole && errors.Is(err, connectors.ErrProtocol) {
		return connectors.Window{Next: b.m.Now().UTC().Format(time.RFC3339Nano)}, nil
	}
	if b.eager && w.Next != "" {
		w.Next = b.now().UTC().Format(time.RFC3339Nano)
	}
	return w, err
}

func (b *systemBug) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	c, err := b.client.AddComment(ctx, path, key, text)
	if b.insistent && errors.Is(err, connectors.ErrOutcome) {
		return b.client.AddComment(ctx, path, key, text)
	}
	return c, err
}

func (b *systemBug) Attach(ctx context.Context, path, key string, a connectors.Attachment, content io.ReadSeeker) (connectors.Attachment, error) {
	got, err := b.client.Attach(ctx, path, key, a, content)
	if b.insistent && errors.Is(err, connectors.ErrOutcome) {
		if _, err := content.Seek(0, io.SeekStart); err != nil {
			return got, err
		}
		return b.client.Attach(ctx, path, key, a, content)
	}
	return got, err
}

func (b *systemBug) Overtaken(before, after string) bool {
	return !b.heedless && b.client.Overtaken(before, after)
}

func (b *systemBug) Settles() time.Duration {
	if b.hasty {
		return 0
	}
	return b.client.Settles()
}

func inBook(make func(*history) *bookBug) func(*history, engine.Book) engine.Book {
	return func(w *history, b engine.Book) engine.Book {
		bb := make(w)
		bb.Book, bb.w = b, w
		return bb
	}
}

func onFold(f func(*history, *engine.Fold)) func(*history, engine.Book) engine.Book {
	return inBook(func(w *history) *bookBug { return &bookBug{fold: func(fo *engine.Fold) { f(w, fo) }} })
}

func inSystem(b systemBug) func(*client) connectors.Collection {
	return func(s *client) connectors.Collection {
		c := b
		c.client = s
		return &c
	}
}

// byChanges turns a story into one in which changes alone are asked for.
func byChanges(s story) story {
	s.Config.Incremental, s.Config.Scoped = true, false
	steps := []step{{Do: "create", Wait: 5}, {Do: "create", Wait: 5}, {Do: "run", Wait: 5}, {Do: "run", Wait: 60}}
	for _, st := range s.Steps {
		if st.Do != "hide" && st.Do != "rules" {
			st.Run.Full = false
			st.Wait = max(st.Wait, 5)
			steps = append(steps, st)
		}
	}
	s.Steps = steps
	return s
}

// belated turns a story into one in which changes alone are asked for and many commits come late.
func belated(s story) story {
	s.Config.Late = true
	s = byChanges(s)
	for i := range s.Steps {
		if st := &s.Steps[i]; st.Do == "edit" && i%2 == 0 {
			st.Late = 40
		}
	}
	return s
}

// dawdling turns a story into one in which creates get no answer and happen later.
func dawdling(s story) story {
	s.Config.Slow = true
	return eachRun(s, func(i int, tr *trouble) {
		tr.Faults = []fault{{Name: systemWrites[2+i%2], N: 1, Kind: "times out and happens later"}}
	})
}

// frozen turns a story into one in which processes stand still before they write something down.
func frozen(s story) story {
	return eachRun(s, func(i int, tr *trouble) { *tr = trouble{Freeze: &point{Name: []string{"intend", "fold"}[i%2], N: 1}} })
}

// refused turns a story into one in which systems are busy.
func refused(s story) story {
	s.Config.Poison = false
	return eachRun(s, func(i int, tr *trouble) {
		tr.Faults = []fault{{Name: systemWrites[i%2], N: 1, Kind: broken[i/2%2]}}
	})
}

// talkative turns a story into one in which people comment before each run, and some answers get lost.
func talkative(s story) story {
	s.Config.Talk = talks[1]
	s.Config.Scoped = false
	var steps []step
	for i, st := range s.Steps {
		if st.Do == "run" {
			steps = append(steps, step{Do: "say", Side: record.Side(i % 2), Wait: 5})
			st.Run.Faults = []fault{{Name: []string{"ticket comment", "incident comment"}[i%2], N: 1, Kind: "times out after it happened"}}
			if i%3 == 0 {
				st.Run.Faults = nil
			}
		}
		steps = append(steps, st)
	}
	s.Steps = append([]step{{Do: "create"}, {Do: "run", Wait: 5}, {Do: "run", Wait: 60}}, steps...)
	return s
}

// papered turns a story into one in which people attach a file before each run and its answer gets lost.
func papered(s story) story {
	s.Config.Files, s.Config.Scoped = [2]bool{true, true}, false
	steps := []step{{Do: "create"}, {Do: "run", Wait: 5}, {Do: "run", Wait: 60}}
	for i, st := range s.Steps {
		if st.Do == "run" {
			steps = append(steps, step{Do: "attach", Side: record.Side(i % 2), Wait: 5})
			st.Run = trouble{Faults: []fault{{Name: []string{"incident attach", "ticket attach"}[i%2], N: 1, Kind: "times out after it happened"}}}
		}
		steps = append(steps, st)
	}
	s.Steps = steps
	return s
}

// scripted turns a story into one in which changes alone are asked for and a script leaves no stamps.
func scripted(s story) story {
	s = byChanges(s)
	s.Config.Audit = true
	s.Steps = append(s.Steps, step{Do: "tamper"})
	return s
}

// overtaken turns a story into one in which people are faster than writes that have no condition, on systems that
// keep what was replaced.
func overtaken(s story) story {
	s = raced(s)
	s.Config.Conditional, s.Config.Audited = [2]bool{}, true
	return s
}

// leftOut turns a story into one in which scans leave records out and do not say so.
func leftOut(s story) story {
	s.Steps = append([]step{{Do: "create"}, {Do: "create"}, {Do: "create"}, {Do: "run", Wait: 5}, {Do: "run", Wait: 5}}, s.Steps...)
	return eachRun(s, func(i int, tr *trouble) {
		if i > 4 {
			*tr = trouble{Full: true, Faults: []fault{{Name: systemCalls[i%2], N: 1, Kind: "leaves a record out"}}}
		}
	})
}

// renamed turns a story into one in which rules are renamed before people go on.
func renamed(s story) story {
	rules := step{Do: "rules"}
	s.Steps = append([]step{{Do: "create"}, {Do: "run", Wait: 5}, rules, rules, {Do: "edit", Wait: 5}, {Do: "run", Wait: 5},
		{Do: "edit", Side: record.Right, Wait: 5}, {Do: "run", Wait: 5}}, s.Steps...)
	return s
}

// raced turns a story into one in which people are always faster than a write.
func raced(s story) story {
	s.Config.Conditional = [2]bool{true, true}
	return eachRun(s, func(i int, tr *trouble) {
		tr.At = point{Name: systemWrites[i%2], N: 1}
		tr.Edit = &step{Do: "edit", Side: record.Side(i % 2), Who: i % 3}
	})
}

// cutOff turns a story into one in which scans for changes break off.
func cutOff(s story) story {
	s = byChanges(s)
	n := 0
	return eachRun(s, func(i int, tr *trouble) {
		if n++; n > 2 {
			tr.Faults = []fault{{Name: systemCalls[i%2], N: 1, Kind: "is cut off"}}
		}
	})
}

// halfway turns a story into one in which processes die between the first and the second of two writes.
func halfway(s story) story {
	s = byChanges(s)
	var steps []step
	for i, st := range s.Steps {
		if st.Do == "run" && i > 3 {
			steps = append(steps, step{Do: "edit", Wait: 5}, step{Do: "edit", Who: 1, Wait: 5})
			st.Run = trouble{Die: &point{Name: "intend", N: 2}}
		}
		steps = append(steps, st)
	}
	s.Steps = steps
	return s
}

// fought turns a story into one in which both sides are edited and the process dies with the winner's write.
func fought(s story) story {
	s.Config.Policy[0] = reconcile.Policy{Kind: reconcile.TakeSide, Side: record.Left}
	s.Steps = append([]step{{Do: "create"}, {Do: "run", Wait: 60}, {Do: "edit", Style: 1, Wait: 60}, {Do: "edit", Side: record.Right, Wait: 60},
		{Do: "run", Wait: 60, Run: trouble{Die: &point{Name: "incident update", N: 1, After: true}}}}, s.Steps...)
	return s
}

// ended turns a story into one in which links have ended before it begins.
func ended(s story) story {
	s.Config.Gone = [2]reconcile.GoneThen{reconcile.GoneUpdate, reconcile.GoneUpdate}
	s.Config.Scoped = false
	s.Steps = append([]step{{Do: "create"}, {Do: "create"}, {Do: "run", Wait: 60}, {Do: "delete", Side: record.Right, Wait: 60},
		{Do: "run", Wait: 60, Run: trouble{Full: true}}, {Do: "edit", Wait: 60}, {Do: "run", Wait: 60}}, s.Steps...)
	return s
}

// unanswered turns a story into one in which writes get no answer and the process then dies.
func unanswered(s story) story {
	return eachRun(s, func(i int, tr *trouble) {
		name := systemWrites[i%5] // of records
		tr.Faults = []fault{{Name: name, N: 1, Kind: faultKinds["update"][i/2%2]}}
		if i%3 == 0 {
			tr.Faults, tr.Die = nil, &point{Name: name, N: 1, After: true}
		}
	})
}

func eachRun(s story, f func(i int, tr *trouble)) story {
	s.Steps = slices.Clone(s.Steps)
	for i := range s.Steps {
		if s.Steps[i].Do == "run" {
			f(i, &s.Steps[i].Run)
		}
	}
	return s
}

// tied turns a story into one in which people tie two incidents to the first ticket before any run sees it.
func tied(s story) story {
	tie := step{Do: "tie", Side: record.Right}
	s.Steps = append([]step{{Do: "create"}, tie, tie}, s.Steps...)
	return s
}

// The planted bugs, each a mistake that an engine like this one has made somewhere.
var planted = []bug{
	{name: "a write is neither preceded by a look nor conditional", tune: raced, system: inSystem(systemBug{claims: true})},
	{name: "a create without an answer is sent again at once", tune: unanswered, system: inSystem(systemBug{blind: true})},
	{name: "an update without an answer counts as done", tune: unanswered, system: inSystem(systemBug{deaf: true})},
	{name: "a scan that was cut off counts as whole", tune: cutOff, system: inSystem(systemBug{whole: true})},
	{name: "the next scan begins where the last one ended", tune: belated, system: inSystem(systemBug{eager: true})},
	{name: "a create that may still happen is not waited for", tune: dawdling, system: inSystem(systemBug{hasty: true})},
	{name: "too many requests, try again later, counts as done", tune: refused, system: inSystem(systemBug{deafened: true})},
	{name: "a process that lost its lease goes on", tune: frozen, unfenced: true},
	{name: "a comment that was carried is not remembered", tune: talkative, book: onFold(func(_ *history, f *engine.Fold) {
		if f.Intent != 0 {
			f.Threads = nil
		}
	})},
	{name: "a copy is taken for a new comment", tune: talkative, book: onFold(func(_ *history, f *engine.Fold) {
		f.Threads = slices.Clone(f.Threads)
		for i := range f.Threads {
			f.Threads[i].Copy, f.Threads[i].Hash = "", 0
		}
	})},
	{name: "a comment without an answer is added again", tune: talkative, system: inSystem(systemBug{insistent: true})},
	{name: "a file without an answer is added again", tune: papered, system: inSystem(systemBug{insistent: true})},
	{name: "internal comments are carried as public ones", tune: talkative, rules: func(r *reconcile.Rules) {
		if r.Comments != nil {
			r.Comments.Paths = [2]string{threadPaths[0][internal], threadPaths[1][public]}
		}
	}},
	{name: "a system that asks to wait is asked again in every run", tune: refused, book: onFold(func(_ *history, f *engine.Fold) {
		f.Waiting = slices.Clone(f.Waiting)
		for i := range f.Waiting {
			if h := f.Waiting[i].Hold; h != nil {
				c := *h
				c.Next = time.Unix(1, 0)
				f.Waiting[i].Hold = &c
			}
		}
	})},
	{name: "nothing is looked at but what moved its stamp", tune: scripted, blind: true},
	{name: "what a write has overtaken is not asked for", tune: overtaken, system: inSystem(systemBug{heedless: true})},
	{name: "what a short scan left out counts as deleted", tune: leftOut, system: inSystem(systemBug{careless: true})},
	{name: "the first of several candidates is taken", first: true, tune: tied, system: inSystem(systemBug{first: true})},
	{name: "unknown counts as empty", null: true},
	{name: "the cursor advances before the records are settled", tune: halfway, book: inBook(func(*history) *bookBug { return &bookBug{early: true} })},
	{name: "updates are not written down before they are sent", tune: fought, book: inBook(func(*history) *bookBug {
		return &bookBug{intend: func(in *engine.Intent) bool { return in.Kind != plan.Update }}
	})},
	{name: "what was in flight is not looked for", tune: unanswered, book: inBook(func(*history) *bookBug { return &bookBug{intents: true} })},
	{name: "tombs are forgotten", tune: ended, book: inBook(func(*history) *bookBug { return &bookBug{tomb: true} })},
	{name: "what is shown after a write is settled, not what was written", book: onFold(func(w *history, f *engine.Fold) {
		if f.Link == nil || f.Intent == 0 {
			return
		}
		for _, s := range record.Sides {
			sys := w.systems[w.side(s)]
			if now := sys.m.Get(f.Link.Key[s]); now != nil && f.Link.Base[s] != nil {
				f.Link.Base[s] = slices.Clone(f.Link.Base[s])
				for i, p := range modelPaths[w.side(s)] {
					if v, ok := now[p]; ok {
						f.Link.Base[s][i] = v
					}
				}
				f.Link.Now[s] = nil
			}
		}
	})},
	{name: "what was sent is forgotten", book: onFold(func(_ *history, f *engine.Fold) {
		if f.Link != nil {
			f.Link.Sent = [2][]record.Value{}
		}
	})},
	{name: "the base is forgotten", book: onFold(func(_ *history, f *engine.Fold) {
		if f.Link != nil {
			f.Link.Base, f.Link.Sent = [2][]record.Value{}, [2][]record.Value{}
		}
	})},
	{name: "base is kept by rule: a renamed rule has none", tune: renamed, book: inBook(func(w *history) *bookBug {
		return &bookBug{link: func(l *record.Link) {
			if slot := slotOf(record.Left, "title"); w.edition%3 == 2 && l.Base[w.side(0)] != nil {
				l.Base[w.side(0)] = slices.Clone(l.Base[w.side(0)])
				l.Base[w.side(0)][slot] = record.Value{}
			}
		}}
	})},
	{name: "overwritten values are not kept", book: onFold(func(_ *history, f *engine.Fold) { f.Lost = nil })},
	{name: "what waits is not stored", book: onFold(func(_ *history, f *engine.Fold) { f.Waiting = nil })},
	{name: "a conflict settles both values as agreed", book: onFold(func(_ *history, f *engine.Fold) {
		if f.Link != nil && f.Link.Status == record.Held {
			f.Link.Status = record.Live
			for _, s := range record.Sides {
				if f.Link.Now[s] != nil {
					f.Link.Base[s], f.Link.Now[s] = f.Link.Now[s], nil
				}
			}
		}
	})},
}

// Each planted bug must be caught by some property within so many histories, none of which fails without the bug.
const plantedHistories = 1000

var property = regexp.MustCompile(`(?:after step \d+|in the end): ([^:]+):`)

func TestPlantedBugsAreCaught(t *testing.T) {
	if os.Getenv("FIELDSYNC_SOAK") == "" {
		t.Skip("a few minutes: make soak")
	}
	dir := fastDir(t)
	stories := rapid.Custom(func(t *rapid.T) story { return drawStory(t, 16) })
	for _, b := range planted {
		t.Run(b.name, func(t *testing.T) { plant(t, dir, stories, b) })
	}
}

// plant lives stories until one shows the bug, then shows the shortest of those that do.
func plant(t *testing.T, dir string, stories *rapid.Generator[story], b bug) {
	for n := range plantedHistories {
		s := stories.Example(n)
		if b.tune != nil {
			s = b.tune(s)
		}
		_, err := lived(dir, s, b)
		if err == nil {
			continue
		}
		if _, without := lived(dir, s, bug{}); without != nil {
			t.Fatalf("without a bug: %v\nthe story:\n%s", without, s)
		}
		s, err = shortest(s, err, func(s story) error {
			_, err := lived(dir, s, b)
			if err != nil {
				if _, without := lived(dir, s, bug{}); without != nil {
					return nil
				}
			}
			return err
		})
		caught := "an error"
		if m := property.FindStringSubmatch(err.Error()); m != nil {
			caught = m[1]
		}
		t.Logf("caught by: %s\nafter %d histories; the shortest:\n%s%v", caught, n+1, s, err)
		return
	}
	t.Errorf("not caught in %d histories", plantedHistories)
}

// lived is tell, for an engine that may do anything.
func lived(dir string, s story, b bug) (w *history, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("in the end: a panic: %v\n%s", p, debug.Stack())
		}
	}()
	return tell(dir, s, b)
}
