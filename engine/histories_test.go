package engine_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
)

// shards is how many streams of histories are lived at the same time.
const shards = 2

// fastDir is a folder in memory where there is one: histories write their state file very often.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fieldsync-histories-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func setFlag(t *testing.T, name, value string) {
	t.Helper()
	old := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flag.Set(name, old) })
}

// randomly checks a property on n stories in all, from a seed that is printed and may be given in
// FIELDSYNC_SEED. FIELDSYNC_SOAK multiplies n.
// shrink is how long rapid tries to find a shorter story that fails; "0s" where the property does so itself.
func randomly(t *testing.T, n int, shrink string, prop func(t *rapid.T, dir string)) {
	t.Helper()
	randomlyIn(t, fastDir(t), n, shrink, prop)
}

// randomlyIn is randomly, with the states in a folder or on a server.
func randomlyIn(t *testing.T, dir string, n int, shrink string, prop func(t *rapid.T, dir string)) {
	t.Helper()
	if soak := os.Getenv("FIELDSYNC_SOAK"); soak != "" {
		times, err := strconv.Atoi(soak)
		if err != nil {
			t.Fatalf("FIELDSYNC_SOAK is how many times more histories than usual: %v", err)
		}
		n *= times
	}
	// The usual run lives the same histories every time, so that a red test means a change; a soak finds new ones.
	seed := uint64(20261122)
	if os.Getenv("FIELDSYNC_SOAK") != "" {
		seed = uint64(time.Now().UnixNano() % 1e9)
	}
	if s := os.Getenv("FIELDSYNC_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatalf("FIELDSYNC_SEED: %v", err)
		}
	}
	t.Logf("%d histories; again: FIELDSYNC_SEED=%d go test ./engine -run '^%s$'", n, seed, t.Name())
	setFlag(t, "rapid.checks", strconv.Itoa((n+shards-1)/shards))
	setFlag(t, "rapid.seed", strconv.FormatUint(seed, 10))
	setFlag(t, "rapid.nofailfile", "true")
	setFlag(t, "rapid.shrinktime", shrink)
	for shard := range shards {
		t.Run(fmt.Sprintf("shard %d", shard+1), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				for range shard { // each shard has a stream of its own
					rapid.Uint64().Draw(t, "shard")
				}
				prop(t, dir)
			})
		})
	}
}

// tell lives a story to its end and gives what is wrong with it.
func tell(dir string, s story, b bug) (*history, error) {
	w, err := newHistory(dir, s.Config)
	if err != nil {
		return nil, err
	}
	defer w.close()
	w.bug = b
	for i, st := range s.Steps {
		w.live(i, st)
		if len(w.problems) > 0 {
			return w, fmt.Errorf("after step %d: %s", i+1, strings.Join(w.problems, "\n"))
		}
	}
	w.heal()
	if len(w.problems) == 0 {
		w.checkEnd()
	}
	if len(w.problems) > 0 {
		return w, fmt.Errorf("in the end: %s", strings.Join(w.problems, "\n"))
	}
	return w, nil
}

// A census counts what histories went through.
type census struct {
	mu                    sync.Mutex
	histories, runs, died int
	asked, delivered      int
	explained             int
	points, decided       map[string]int
}

func (c *census) add(w *history) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.points == nil {
		c.points, c.decided = map[string]int{}, map[string]int{}
	}
	c.histories++
	c.runs += w.runs
	c.died += w.deaths
	c.asked, c.delivered = c.asked+w.asked, c.delivered+w.delivered
	c.explained += w.explained
	for how, n := range w.decided {
		c.decided[how] += n
	}
	for p, n := range w.points {
		c.points[p] += n
	}
}

func TestHistories(t *testing.T) { histories(t, fastDir(t), 1500) }

// TestHistoriesOnAServer lives the same histories with their states in PostgreSQL: as many in a soak, a share of them
// otherwise.
func TestHistoriesOnAServer(t *testing.T) {
	for range cap(databases) {
		databases <- sqltest.Postgres(t)
	}
	t.Cleanup(func() {
		for range cap(databases) {
			<-databases
		}
	})
	n := 60
	if os.Getenv("FIELDSYNC_SOAK") != "" {
		n = 300
	}
	histories(t, onServer, n)
}

func histories(t *testing.T, dir string, n int) {
	var c census
	t.Cleanup(func() {
		t.Logf("%d histories, %d runs, %d scans for changes gave %d records, %d processes died at %d different places, %d explanations; decided: %v",
			c.histories, c.runs, c.asked, c.delivered, c.died, len(c.points), c.explained, c.decided)
	})
	randomlyIn(t, dir, n, "0s", func(t *rapid.T, dir string) {
		s := drawStory(t, 16)
		life := func(s story) error {
			_, err := tell(dir, s, bug{})
			return err
		}
		w, err := tell(dir, s, bug{})
		if err != nil {
			s, err = shortest(s, err, life)
			t.Fatalf("%s\nthe story:\n%s", err, s)
		}
		c.add(w)
	})
}
