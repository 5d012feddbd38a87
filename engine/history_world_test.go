package engine_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

const memKey = memory.KeyPath

// A saying is a value that a person (or a system's own rule) wrote into a two-way field and that nobody has
// overwritten knowingly since: it must not get lost.
type saying struct {
	side  record.Side
	key   string
	field pairing
	value record.Value
	gone  bool // superseded by a person
	epoch int
}

// A history is two model systems, an engine between them, and what people did.
type history struct {
	cfg       config
	flip      bool // the engine sees the incidents on the left
	bug       bug  // planted, to see that it is caught
	now       time.Time
	coming    []event // what happens by itself, later
	systems   [2]*system
	store     *state.Store
	path      string
	control   *control
	edition   int
	inflate   bool
	cutScan   bool // a scan of this run was not whole
	shortScan bool // one was not, and did not say so
	poisoned  bool
	owners    int

	said      []*saying
	remarks   []*remark
	papers    []*paper
	patience  map[string]time.Time                // by record: when a system may be asked again
	words     [2]map[string]map[record.Value]bool // by side and field: every text that may stand there
	graves    [2]map[string]record.Fields
	buried    [2]map[string]bool // keys whose twin must not be made again
	pairing   sync.Mutex         // of linked: what was decided and what was written are folded side by side
	linked    map[[2]string]bool
	planned   map[string]bool // writes that the preview of this run announced
	touched   map[string]int  // epoch in which somebody last wrote a field of a record
	epoch     int             // grows with every run that leaves nothing waiting and nothing unsaid, and to which everything shows
	busy      bool            // somebody wrote while a run was under way
	held      bool            // something was hidden at some time: a field, or a record of a scan
	telling   sync.Mutex      // of problems
	problems  []string
	spared    string        // a ticket that people leave alone
	recording func([]point) // told the calls of each run

	runs, deaths, approvals int
	explained               int            // links
	decided                 map[string]int // changes, by what decided them
	asked, delivered        int            // scans for changes, and the records that they gave
	points                  map[string]int // calls at which the process died
}

var template struct {
	once sync.Once
	data []byte
	err  error
}

// emptyState is a state file that was made once: to make one takes longer than a history.
func emptyState(dir string) ([]byte, error) {
	template.once.Do(func() {
		path := filepath.Join(dir, "template.db")
		s, err := state.Open(path, state.Options{})
		if err == nil {
			err = s.Close()
		}
		if err == nil {
			template.data, err = os.ReadFile(path)
		}
		template.err = err
	})
	return template.data, template.err
}

func newHistory(dir string, cfg config) (*history, error) {
	var err error
	w := &history{cfg: cfg, now: time.Date(2027, 3, 1, 8, 0, 0, 0, time.UTC), control: newControl(), poisoned: true,
		linked: map[[2]string]bool{}, touched: map[string]int{}, points: map[string]int{}, decided: map[string]int{}, patience: map[string]time.Time{}}
	for _, s := range record.Sides {
		w.systems[s] = newSystem(w, s)
		w.words[s] = map[string]map[record.Value]bool{"summary": {}, "note": {}, "log": {}, "tags": {}}
		w.graves[s], w.buried[s] = map[string]record.Fields{}, map[string]bool{}
	}
	w.heard(record.Right, pairings[2], record.OfText("closed"))
	if w.path, err = newState(dir); err != nil {
		return nil, err
	}
	w.store, err = state.Open(w.path, state.Options{Now: func() time.Time { return w.now }, OwnTime: true})
	return w, err
}

// onServer stands for a folder: states are in the databases of a server then.
const onServer = "postgres"

// databases are empty ones, ready to be used.
var databases = make(chan string, 4)

// newState makes a place for an empty state.
func newState(dir string) (string, error) {
	if dir == onServer {
		return <-databases, nil
	}
	data, err := emptyState(dir)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "state-*.db")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	return f.Name(), errors.Join(err, f.Close())
}

// database is the one at path itself.
func database(path string) (*sql.DB, error) {
	if state.IsURL(path) {
		return sql.Open("pgx", path+"&search_path=fieldsync")
	}
	return sql.Open("sqlite3", "file:"+path+"?mode=ro")
}

// emptied leaves no row in any table of a database.
func emptied(url string) error {
	db, err := database(url)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(`DO $$ DECLARE t text; BEGIN
		FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'fieldsync' AND tablename <> 'goose_db_version' LOOP EXECUTE 'DELETE FROM ' || t || ' WHERE ' || (CASE WHEN t IN ('sync', 'shape') THEN 'false' ELSE 'true' END); END LOOP;
		DELETE FROM shape; DELETE FROM sync; END $$`)
	return err
}

// An event is something that happens by itself at its time.
type event struct {
	at time.Time
	do func()
}

func (w *history) at(t time.Time, do func()) {
	w.coming = append(w.coming, event{t, do})
	slices.SortStableFunc(w.coming, func(a, b event) int { return a.at.Compare(b.at) })
}

// wait lets time go by, and happen what comes with it.
func (w *history) wait(d time.Duration) { w.until(w.now.Add(d)) }

func (w *history) until(t time.Time) {
	for len(w.coming) > 0 && !w.coming[0].at.After(t) {
		e := w.coming[0]
		w.coming, w.now = w.coming[1:], e.at
		e.do()
	}
	w.now = t
}

func (w *history) close() {
	w.store.Close()
	if state.IsURL(w.path) {
		if err := emptied(w.path); err != nil {
			panic(err) // the next history would find what this one left
		}
		databases <- w.path
		return
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		os.Remove(w.path + suffix)
	}
}

func (w *history) problem(format string, args ...any) {
	w.telling.Lock()
	defer w.telling.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// side is where the engine sees a system.
func (w *history) side(phys record.Side) record.Side {
	if w.flip {
		return phys.Other()
	}
	return phys
}

func (w *history) name(s record.Side) string { return w.systems[w.side(s)].name }

func (w *history) job(full bool) engine.Job {
	rules := modelRules(w.cfg, w.edition)
	if w.bug.rules != nil {
		w.bug.rules(rules)
	}
	none := engine.Limit{Number: -1}
	j := engine.Job{Trigger: "apply", Full: full, Limits: engine.Limits{Creates: none, Updates: none, Deletes: none}}
	if w.flip {
		rules = mirrored(rules)
	}
	j.Rules = rules
	for _, phys := range record.Sides {
		s := w.systems[phys]
		j.Ends[w.side(phys)] = engine.End{Connection: s.name, Collection: s.name, Endpoint: s.name, Handle: w.bug.handle(&client{s, w.control})}
		j.Ends[w.side(phys)].Limits.Concurrency = 1
	}
	return j
}

// process is a new process with the state as it was left.
func (w *history) process() *engine.Engine {
	w.control = newControl()
	w.owners++
	var store engine.Store = &tappedStore{Store: w.store, c: w.control, w: w}
	c := w.control
	return &engine.Engine{Store: store, Now: func() time.Time { return w.now }, Owner: fmt.Sprintf("process %d", w.owners), SplitFrom: 2,
		Sleep: func(_ context.Context, d time.Duration) error {
			return c.call("sleep", func() error { w.wait(d); return nil })
		}}
}

// small says whether the next run may ask for changes alone: the engine would read everything when something is
// unknown or the rules changed.
func (w *history) changesOnly(j engine.Job) bool {
	if !w.cfg.Incremental || j.Full {
		return false
	}
	b, err := w.book(j)
	if err != nil {
		return false
	}
	for _, s := range record.Sides {
		cur, ok, err := b.Cursor(context.Background(), s)
		if err != nil || !ok || cur.Rules != j.Rules.Digest || cur.Since == "" {
			return false
		}
	}
	return true
}

func (w *history) book(j engine.Job) (engine.Book, error) {
	return w.store.Book(context.Background(), j.Rules.Sync, [2][]string{j.Rules.Sides[0].Paths, j.Rules.Sides[1].Paths}, 0)
}

func writeKey(side string, key, path string, v record.Value) string {
	return fmt.Sprintf("%s %s %s=%s", side, key, path, v)
}

// run is one run, with its troubles, and with an operator who approves a side that people emptied.
func (w *history) run(tr trouble) (acc plan.Run, err error) {
	w.cutScan, w.shortScan, w.busy = false, false, false
	w.inflate = w.changesOnly(w.job(tr.Full))
	defer func() { w.inflate = false }()
	unlisted := slices.ContainsFunc(w.systems[:], func(s *system) bool {
		return slices.ContainsFunc(s.m.Keys(), func(key string) bool { return !s.indexed(key) })
	})
	var approved string
	for try := 0; ; try++ {
		e := w.process()
		w.arm(tr)
		acc, err = w.once(e, w.job(tr.Full), approved)
		w.runs++
		stopped, isStop := errors.AsType[*engine.StoppedError](err)
		if !isStop || try > 0 || w.shortScan {
			break
		}
		for _, s := range stopped.Stops {
			if s.Limit != "shrunk side" {
				w.problem("stopped for no reason: %s", s.Why)
			}
		}
		approved = stopped.Digest
		w.approvals++
	}
	if w.recording != nil {
		w.recording(w.control.steps)
	}
	if f := w.control.fired; f != nil {
		w.deaths++
		w.points[f.Name+map[bool]string{false: " before", true: " after"}[f.After]]++
		w.wait(11 * time.Second) // its lease runs out
	}
	w.control = newControl()
	if err == nil && acc.Complete && acc.Failed == 0 && acc.Footer.Conflicts+acc.Footer.Held == 0 && acc.Stirred == 0 && !w.busy && !unlisted {
		w.epoch++
	}
	w.checkAlways()
	return acc, err
}

func (w *history) arm(tr trouble) {
	c := w.control
	if tr.Die != nil {
		c.die = func(p point) bool { return p == *tr.Die }
	}
	c.fault = func(name string, n int) *fault {
		for i := range tr.Faults {
			if f := &tr.Faults[i]; f.Name == name && f.N == n {
				return f
			}
		}
		return nil
	}
	if tr.Freeze != nil {
		c.meanwhile = func(name string, n int) {
			if name == tr.Freeze.Name && n == tr.Freeze.N {
				w.freeze()
			}
		}
	}
	if tr.Edit != nil {
		c.meanwhile = func(name string, n int) {
			if name == tr.At.Name && n == tr.At.N {
				w.interrupt(name, *tr.Edit)
			}
		}
	}
}

// interrupt is a person who acts while a run makes a call. Both sides are scanned at the same time, so a person
// is at the side that is read. Where a system has no conditional writes nobody can see an edit that falls between
// the last look and the write.
func (w *history) interrupt(call string, st step) {
	for _, s := range w.systems {
		switch call {
		case s.name + " scan":
			st.Side = s.phys
			if st.Do == "move" && s.phys != record.Left {
				return
			}
		case s.name + " update", s.name + " delete":
			if !s.conditional && !(s.m.Audited && call == s.name+" update") {
				return
			}
		}
	}
	if call == "intend" && !(w.cfg.Conditional[0] && w.cfg.Conditional[1]) {
		return
	}
	w.deed(fmt.Sprintf("v%d", 500+len(w.said)), st)
}

func (w *history) once(e *engine.Engine, j engine.Job, approved string) (acc plan.Run, err error) {
	r, err := e.Start(context.Background(), j)
	if err != nil {
		return acc, err
	}
	defer r.Close()
	w.planned = map[string]bool{}
	for it, err := range r.Items() {
		if err != nil {
			return acc, err
		}
		a := it.Action
		if a == nil {
			continue
		}
		w.tally(a.Changes)
		for _, ch := range a.Changes {
			key := a.Key
			if a.Kind == plan.Create {
				key = ""
			}
			to := ch.To
			if ch.Pending != "" {
				to = record.Value{}
			}
			w.planned[writeKey(a.SideName, key, ch.Path, to)] = true
		}
		if a.Kind == plan.Comment {
			w.planned[said(a.SideName, a.Key, a.Entry.Text)] = true
		}
		if a.Kind == plan.Attachment {
			w.planned["attach "+a.SideName+" "+a.Key] = true
		}
		if a.Kind == plan.Delete {
			w.planned["delete "+a.SideName+" "+a.Key] = true
		}
	}
	defer func() { w.planned = nil }()
	acc, err = r.Apply(context.Background(), engine.Approval{Stops: approved, Emit: func(res plan.Result) {
		if res.Outcome != plan.Done && res.Outcome != plan.Partly && res.Why == "" {
			w.problem("plan-faithful: %s %s ended as %s without a reason", res.Action.Kind, res.Action.SideName, res.Outcome)
		}
	}})
	return acc, err
}

// preview plans, and must leave every byte as it is.
func (w *history) preview() (items int) {
	before := w.hash()
	writes := [2]int{w.systems[0].m.Writes(), w.systems[1].m.Writes()}
	w.inflate = w.changesOnly(w.job(false))
	defer func() { w.inflate = false }()
	e := w.process()
	r, err := e.Plan(context.Background(), w.job(false))
	if err != nil {
		w.problem("a preview failed: %v", err)
		return 0
	}
	for it, err := range r.Items() {
		if err != nil {
			w.problem("a preview failed: %v", err)
		}
		if it.Action != nil {
			items++
		}
	}
	if err := r.Close(); err != nil {
		w.problem("a preview failed: %v", err)
	}
	if now := [2]int{w.systems[0].m.Writes(), w.systems[1].m.Writes()}; now != writes {
		w.problem("dry: a preview wrote to a system")
	}
	if w.hash() != before {
		w.problem("dry: a preview changed the state file")
	}
	w.control = newControl()
	return items
}

func (w *history) hash() string {
	if state.IsURL(w.path) {
		digest, err := w.store.Digest(context.Background())
		if err != nil {
			w.problem("digest: %v", err)
		}
		return digest
	}
	h := sha256.New()
	for _, suffix := range []string{"", "-wal"} {
		if f, err := os.Open(w.path + suffix); err == nil {
			io.Copy(h, f)
			f.Close()
		}
	}
	return string(h.Sum(nil))
}

// resolve decides the first conflict that waits.
func (w *history) resolve(phys record.Side) {
	j := w.job(false)
	b, err := w.book(j)
	if err != nil {
		w.problem("resolve: %v", err)
		return
	}
	var key, field string
	err = b.Waiting(context.Background(), 0, func(wa engine.Waiting) error {
		if c := wa.Conflict; key == "" && c != nil && c.Link != 0 && (c.Field == "headline" || slices.ContainsFunc(pairings, func(p pairing) bool { return p.Name == c.Field })) {
			key, field = c.Keys[0], c.Field
		}
		return nil
	})
	if err != nil {
		w.problem("resolve: %v", err)
	}
	if key == "" {
		return
	}
	w.wait(11 * time.Second)
	e := &engine.Engine{Store: w.store, Now: func() time.Time { return w.now }, Owner: "a person"}
	_ = e.Resolve(context.Background(), j, key, field, w.side(phys), "ann") // refused when the record or the rule has gone: fine
}
