package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors/servertest"
	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/cluster"
	"github.com/fieldsync/fieldsync/engine/schedule"
	"github.com/fieldsync/fieldsync/engine/state"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Main(m).Run()) }

// A team is some nodes in one process, and what their jobs did.
type team struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	began   []string // "job trigger" by start
	running map[string]int
	overlap bool
	hold    map[string]chan struct{} // jobs wait for these
	fail    map[string]error
}

func newTeam(t *testing.T) *team {
	return &team{t: t, url: sqltest.Postgres(t), running: map[string]int{}, hold: map[string]chan struct{}{}, fail: map[string]error{}}
}

func (m *team) job(name, spec string, after ...string) schedule.Job {
	return schedule.Job{Name: name, Spec: spec, After: after, Run: func(ctx context.Context, trigger string) error {
		m.mu.Lock()
		m.began = append(m.began, name+" "+trigger)
		m.running[name]++
		m.overlap = m.overlap || m.running[name] > 1
		hold, fail := m.hold[name], m.fail[name]
		m.mu.Unlock()
		defer func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.running[name]--
		}()
		if hold != nil {
			select {
			case <-hold:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return fail
	}}
}

// node starts a node and returns how to stop it.
func (m *team) node(jobs ...schedule.Job) (n *cluster.Node, stop func()) {
	m.t.Helper()
	return m.nodeWith(func(*cluster.Node) {}, jobs...)
}

// nodeWith starts a node that was changed before.
func (m *team) nodeWith(change func(*cluster.Node), jobs ...schedule.Job) (n *cluster.Node, stop func()) {
	m.t.Helper()
	s, err := state.Open(m.url, state.Options{})
	if err != nil {
		m.t.Fatal(err)
	}
	ready := make(chan struct{})
	n = &cluster.Node{URL: m.url, Store: s, Name: "node", Workers: 2, Log: slog.New(slog.DiscardHandler), Ready: func() { close(ready) },
		Last: func(context.Context) (func(string) time.Time, error) {
			return func(string) time.Time { return time.Time{} }, nil
		}}
	change(n)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx, jobs) }()
	select {
	case <-ready:
	case err := <-done:
		m.t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			m.t.Errorf("a node ended with %v", err)
		}
		s.Close()
	})
	m.t.Cleanup(stop)
	return n, stop
}

func (m *team) starts(what string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.began {
		if strings.HasPrefix(b, what) {
			n++
		}
	}
	return n
}

// until waits for something to come true.
func (m *team) until(what string, is func() bool) {
	m.t.Helper()
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		if is() {
			return
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.t.Fatalf("never: %s; began: %v", what, m.began)
}

func (m *team) count(query string) string {
	m.t.Helper()
	return fmt.Sprint(m.countOf(query))
}

func (m *team) countOf(query string) int {
	m.t.Helper()
	p, err := state.Pool(m.url, 1)
	if err != nil {
		m.t.Fatal(err)
	}
	defer p.Close()
	var n int
	if err := p.QueryRow(m.t.Context(), query).Scan(&n); err != nil {
		m.t.Fatal(err)
	}
	return n
}

func TestAJobRunsOnceAtATimeAndTheJobsAfterItFollow(t *testing.T) {
	m := newTeam(t)
	jobs := []schedule.Job{m.job("first", "@every 1s"), m.job("second", "", "first"), m.job("alone", "")}
	for range 3 {
		m.node(jobs...)
	}
	m.until("three runs of both", func() bool { return m.starts("first schedule") >= 3 && m.starts("second after") >= 3 })
	if m.overlap {
		t.Error("a job overlapped itself")
	}
	if a, b := m.starts("first"), m.starts("second"); b > a {
		t.Errorf("second ran %d times after %d runs of first", b, a)
	}
	if n := m.starts("alone"); n != 0 {
		t.Errorf("a job without a schedule ran %d times", n)
	}
}

func TestARequestFromAnyNodeIsOneRunNowAndOneMoreIfItRuns(t *testing.T) {
	m := newTeam(t)
	hold := make(chan struct{})
	m.hold["job"] = hold
	one, _ := m.node(m.job("job", ""))
	two, _ := m.node(m.job("job", ""))
	if err := one.Trigger("nobody"); err == nil {
		t.Error("a job that does not exist was triggered")
	}
	if err := two.Trigger("job"); err != nil {
		t.Fatal(err)
	}
	m.until("it runs", func() bool { return m.starts("job request") == 1 })
	for _, n := range []*cluster.Node{one, two, one} {
		if err := errors.Join(n.Wake("job"), n.Trigger("job")); err != nil {
			t.Fatal(err)
		}
	}
	m.until("the leader has heard", func() bool {
		return m.count("SELECT count(*) FROM river_job WHERE kind = 'request' AND finalized_at IS NULL") == "0"
	})
	if n := m.starts("job"); n != 1 {
		t.Errorf("%d runs while the first runs", n)
	}
	close(hold)
	m.until("it runs once more", func() bool { return m.starts("job") == 2 })
	m.until("nothing is left", func() bool { return m.count("SELECT count(*) FROM river_job WHERE finalized_at IS NULL") == "0" })
	if n := m.starts("job"); n != 2 || m.overlap {
		t.Errorf("%d runs, overlapping: %t; want 2", n, m.overlap)
	}
}

func TestARequestThatFollowsAnotherAtOnceIsNotLost(t *testing.T) {
	m := newTeam(t)
	one, _ := m.node(m.job("job", ""))
	two, _ := m.node(m.job("job", ""))
	for i := range 8 {
		if err := []*cluster.Node{one, two}[i%2].Trigger("job"); err != nil {
			t.Fatal(err)
		}
		m.until(fmt.Sprintf("run %d", i+1), func() bool { return m.starts("job") == i+1 })
	}
}

func TestARequestDuringARunThatTheLeaderBeforeAskedForIsOneMore(t *testing.T) {
	m := newTeam(t)
	hold := make(chan struct{})
	m.hold["job"] = hold
	one, stopOne := m.node(m.job("job", ""))
	two, _ := m.node(m.job("job", ""))
	if err := one.Trigger("job"); err != nil {
		t.Fatal(err)
	}
	m.until("it runs", func() bool { return m.starts("job") == 1 })
	go stopOne() // which waits for what runs there
	m.until("the other node leads", func() bool {
		return m.count("SELECT count(*) FROM lease WHERE sync = '(schedule)' AND owner = '"+two.Name+"'") == "1"
	})
	if err := two.Trigger("job"); err != nil {
		t.Fatal(err)
	}
	m.until("it has heard", func() bool {
		return m.count("SELECT count(*) FROM river_job WHERE kind = 'request' AND finalized_at IS NULL") == "0"
	})
	n := m.starts("job")
	close(hold)
	m.until("it runs once more", func() bool { return m.starts("job") == n+1 })
	m.until("nothing is left", func() bool { return m.count("SELECT count(*) FROM river_job WHERE finalized_at IS NULL") == "0" })
	if m.starts("job") != n+1 || m.overlap {
		t.Errorf("%d runs, overlapping: %t; want %d", m.starts("job"), m.overlap, n+1)
	}
}

func TestALeaderThatWasCutOffFromTheServerLeadsAgain(t *testing.T) {
	m := newTeam(t)
	way := servertest.NewWay(t, m.url)
	m.url = way.URL
	var leads, lost atomic.Int32
	m.nodeWith(func(n *cluster.Node) {
		n.Log = slog.New(slog.NewTextHandler(lines(func(line string) {
			if strings.Contains(line, "starting the jobs of all nodes") {
				leads.Add(1)
			}
			if strings.Contains(line, "another node may start the jobs now") {
				lost.Add(1)
			}
		}), nil))
	}, m.job("job", "@every 1s"))
	m.until("it runs", func() bool { return m.starts("job") >= 1 })
	way.Cut()
	m.until("it leads no more", func() bool { return lost.Load() == 1 })
	way.Mend()
	m.until("it leads again", func() bool { return leads.Load() == 2 })
	n := m.starts("job")
	m.until("it runs again", func() bool { return m.starts("job") >= n+3 })
}

// lines hears of every line that is written.
type lines func(line string)

func (l lines) Write(line []byte) (int, error) {
	l(string(line))
	return len(line), nil
}

func TestAPausedJobRestsOnWhateverNodeLeads(t *testing.T) {
	m := newTeam(t)
	one, stopOne := m.node(m.job("job", "@every 1s"))
	two, _ := m.node(m.job("job", "@every 1s"))
	m.until("it runs", func() bool { return m.starts("job") >= 1 })
	for _, n := range []*cluster.Node{one, two} {
		n.Pause("job", true)
	}
	stopOne() // which led
	m.until("the other leads", func() bool {
		return m.count("SELECT count(*) FROM lease WHERE sync = '(schedule)' AND expires > 0") == "1"
	})
	before := m.starts("job")
	if s := two.Status(); len(s) != 1 || !s[0].Paused || s[0].Next.IsZero() {
		t.Errorf("status %+v", s)
	}
	if err := two.Trigger("job"); err != nil {
		t.Fatal(err)
	}
	m.until("somebody asked", func() bool { return m.starts("job request") == 1 })
	if n := m.starts("job"); n > before+1 {
		t.Errorf("a paused job was started %d times", n-before)
	}
	two.Pause("job", false)
	m.until("it goes on", func() bool { return m.starts("job schedule") > before })
}

func TestWhatARunComesToIsTheLoopsToDealWith(t *testing.T) {
	m := newTeam(t)
	m.fail["bad"] = errors.New("the system is away")
	m.fail["cut"] = fmt.Errorf("a write: %w", engine.ErrStateAway)
	n, _ := m.node(m.job("bad", ""), m.job("next", "", "bad"), m.job("cut", ""))
	if err := errors.Join(n.Trigger("bad"), n.Trigger("cut")); err != nil {
		t.Fatal(err)
	}
	m.until("what the state cut short is tried again", func() bool { return m.starts("cut") >= 2 })
	m.mu.Lock()
	m.fail["cut"] = nil
	m.mu.Unlock()
	m.until("nothing is left", func() bool { return m.count("SELECT count(*) FROM river_job WHERE finalized_at IS NULL") == "0" })
	if bad, next := m.starts("bad"), m.starts("next"); bad != 1 || next != 0 {
		t.Errorf("a job that failed ran %d times, the one after it %d times", bad, next)
	}
	for _, s := range n.Status() {
		if failed := s.Err != nil && strings.Contains(s.Err.Error(), "away"); failed != (s.Name == "bad") {
			t.Errorf("%s: %v", s.Name, s.Err)
		}
	}
}

func TestHowOftenTheLeaderAsksDoesNotGrowWithTheJobsThatWait(t *testing.T) {
	m := newTeam(t)
	hold := make(chan struct{})
	jobs := make([]schedule.Job, 120)
	for i := range jobs {
		name := fmt.Sprintf("job %d", i)
		m.hold[name] = hold
		jobs[i] = m.job(name, "@every 1s")
	}
	m.node(jobs...)
	m.until("all are in the queue", func() bool {
		return m.count("SELECT count(*) FROM river_job WHERE kind = 'run' AND finalized_at IS NULL") == "120"
	})
	const statements = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
	before := m.countOf(statements)
	const since = 2 * time.Second
	time.Sleep(since) // what is measured is how much happens in this time, not that something has
	if n := m.countOf(statements) - before; n > 3*len(jobs)/2 {
		t.Errorf("%d statements in %v while %d jobs wait", n, since, len(jobs))
	}
	close(hold)
	m.until("each has ended", func() bool { return m.starts("job") >= len(jobs) })
}

func TestNodesKnowHowManyThereAreAndHearEachOther(t *testing.T) {
	m := newTeam(t)
	var mu sync.Mutex
	alive, heard := make([]int, 3), make([][]string, 3)
	start := func(i int) (*cluster.Node, func()) {
		return m.nodeWith(func(n *cluster.Node) {
			n.Alive = func(nodes int) {
				mu.Lock()
				defer mu.Unlock()
				alive[i] = nodes
			}
			n.Heard = func(word string) {
				mu.Lock()
				defer mu.Unlock()
				heard[i] = append(heard[i], word)
			}
		})
	}
	soon := func(what string, want ...int) {
		t.Helper()
		began := time.Now()
		m.until(what, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Equal(alive[:len(want)], want)
		})
		t.Logf("%s: known after %s", what, time.Since(began).Round(time.Millisecond))
	}
	first, _ := start(0)
	soon("one is alone", 1)
	_, stopSecond := start(1)
	soon("two know of each other", 2, 2)
	_, stopThird := start(2)
	soon("three know of each other", 3, 3, 3)

	m.until("what one says is heard by the others, and not by itself", func() bool {
		first.Say(t.Context(), "a word\nof two lines") // again and again: what is said before somebody listens is lost
		mu.Lock()
		defer mu.Unlock()
		return len(heard[1]) > 0 && len(heard[2]) > 0
	})
	mu.Lock()
	if got := append(heard[1], heard[0]...); got[0] != "a word\nof two lines" || len(heard[0]) > 0 {
		t.Errorf("heard %q", heard)
	}
	mu.Unlock()
	stopSecond()
	stopThird()
	soon("one is alone again", 1)
}

func TestPartsOfAScanAreOfferedToTheOtherNodes(t *testing.T) {
	m := newTeam(t)
	var mu sync.Mutex
	got := map[string][]int{}
	fail := map[int]error{2: fmt.Errorf("not yet: %w", engine.ErrOtherRules), 3: errors.New("the system is away")}
	scanner := func(name string) func(n *cluster.Node) {
		return func(n *cluster.Node) {
			n.Part = func(_ context.Context, p engine.PartRef) error {
				mu.Lock()
				defer mu.Unlock()
				if p.Sync != "job" || p.Fence != 7 || p.Side != 1 || p.Rules != "rules" {
					t.Errorf("asked for %+v", p)
				}
				got[name] = append(got[name], p.N)
				err := fail[p.N]
				if p.N == 2 {
					delete(fail, 2) // the files are edited here, too
				}
				return err
			}
		}
	}
	one, _ := m.nodeWith(scanner("one"), m.job("job", ""))
	if one.Others(t.Context()) {
		t.Error("a node that is alone knows of others")
	}
	_, stopTwo := m.nodeWith(scanner("two"), m.job("job", ""))
	m.until("one knows of the other", func() bool { return one.Others(t.Context()) })
	refs := make([]engine.PartRef, 5)
	for i := range refs {
		refs[i] = engine.PartRef{Sync: "job", Fence: 7, Side: 1, N: i, Rules: "rules"}
	}
	withdraw, err := one.Offer(t.Context(), refs)
	if err != nil {
		t.Fatal(err)
	}
	const open = "SELECT count(*) FROM river_job WHERE kind = 'part' AND finalized_at IS NULL"
	m.until("the other has looked at each", func() bool { return m.count(open) == "0" })
	mu.Lock()
	slices.Sort(got["two"])
	if want := []int{0, 1, 2, 2, 3, 4}; len(got["one"]) > 0 || !slices.Equal(got["two"], want) {
		t.Errorf("scanned %v, want %v by the other alone: what another mapping keeps from it is tried again, an error is not", got, want)
	}
	mu.Unlock()
	withdraw()
	stopTwo()
	for i := range refs {
		refs[i].Fence = 8
	}
	if withdraw, err = one.Offer(t.Context(), refs); err != nil {
		t.Fatal(err)
	}
	if m.count(open) != "5" {
		t.Errorf("%s parts wait, want 5 that nobody is there to take", m.count(open))
	}
	withdraw()
	m.until("what was withdrawn is out of the queue", func() bool { return m.count(open) == "0" })
}
