package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// most is how long it may take until all syncs go on after something went wrong with a node.
const most = 15 * time.Second

// TestSeveralNodesShareTheWork lives with nodes that are killed, stand still and are cut off, and a server that is
// restarted, while people edit both sides. No sync may ever be run twice at once, work goes on soon, and in the end both
// sides agree and nothing is lost.
func TestSeveralNodesShareTheWork(t *testing.T) {
	t.Parallel() // it mostly waits for leases to end
	rounds, seed := soaked(t, 1)
	still := 15 * time.Second
	if rounds > 1 {
		still = time.Minute
	}
	t.Logf("%d rounds; again: FIELDSYNC_SEED=%d go test ./cmd/fieldsync -run '^%s$'", rounds, seed, t.Name())
	f := newFleet(t, 6, 12, 3)
	if out, code := f.run("apply", "--yes"); code != exitOK {
		t.Fatalf("the first run ends with %d:\n%s", code, out)
	}
	for _, n := range f.nodes {
		n.start()
	}
	t.Cleanup(func() {
		for _, n := range f.nodes {
			_ = n.cmd.Process.Kill() // most have ended
		}
		if t.Failed() {
			t.Log(f.logs())
		}
	})
	f.goesOn(time.Now())
	stop := make(chan struct{})
	var people sync.WaitGroup
	people.Go(func() { f.people(seed, stop) })
	rest := sync.OnceFunc(func() { close(stop); people.Wait() })
	defer rest()

	var calm time.Duration // that a new run of every sync takes when nothing is wrong, on this machine and now
	soon := func(what string, since time.Time) {
		t.Helper()
		took := f.goesOn(since)
		t.Logf("%s: all syncs go on after %s", what, took.Round(10*time.Millisecond))
		if took > most+calm {
			t.Errorf("%s: it took %s until all syncs had a new run, %s at most beside the %s that this takes anyway", what, took, most, calm)
		}
	}
	for round := range rounds {
		calm = f.goesOn(time.Now())
		t.Logf("round %d: a new run of every sync takes %s", round+1, calm.Round(10*time.Millisecond))
		leader := f.leader()
		since := time.Now()
		leader.end(syscall.SIGKILL)
		soon("the leader was killed", since)
		leader.start()

		worker := f.busy(f.leader())
		since = time.Now()
		worker.end(syscall.SIGKILL)
		soon("a busy worker was killed", since)
		worker.start()

		frozen := f.busy(nil)
		since = time.Now()
		if err := frozen.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		soon("a busy node stands still", since)
		time.Sleep(max(0, still-time.Since(since)))
		if err := frozen.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		soon("it goes on", time.Now())

		f.busy(nil)
		since = time.Now()
		f.server.Restart(t)
		soon("the server was restarted", since)

		off, which := f.leader(), "the leader"
		if round%2 == 1 {
			off, which = f.busy(nil), "a busy node"
		}
		since = time.Now()
		off.way.Cut()
		soon(which+" is cut off", since)
		off.way.Mend()
		soon("it is back", time.Now())
	}
	rest()
	for _, n := range f.nodes {
		n.end(syscall.SIGTERM)
	}
	f.settle()
	f.checkJournal()
	f.checkEnd()
}

// settle has runs by hand until nothing is left to do.
func (f *fleet) settle() {
	f.t.Helper()
	for range 4 {
		if out, code := f.run("apply", "--yes"); code != exitOK {
			f.t.Fatalf("settling ends with %d:\n%s", code, out)
		}
	}
	if out, code := f.run("plan"); code != exitOK {
		f.t.Errorf("quiet: the last plan ends with %d:\n%s", code, out)
	}
	if out, code := f.run("state", "check", "--older", "1s"); code != exitOK {
		f.t.Errorf("the state is not in order:\n%s", out)
	}
}

// checkJournal holds the accounts of runs, and what they wrote, to one run of a sync at a time.
func (f *fleet) checkJournal() {
	f.t.Helper()
	nodes := map[string]int{}
	for _, sync := range f.syncs {
		fences, before := map[int64]int64{}, plan.Run{}
		for _, row := range rowsOf(f.t, f.state, `SELECT r.body FROM fieldsync.run r JOIN fieldsync.sync s ON s.id = r.sync WHERE s.name = $1 ORDER BY r.id`, sync) {
			var r plan.Run
			if err := json.Unmarshal([]byte(row[0]), &r); err != nil {
				f.t.Fatal(err)
			}
			if r.Fence <= before.Fence {
				f.t.Errorf("%s: run %d of %q has fence %d, run %d before it had %d", sync, r.ID, r.Owner, r.Fence, before.ID, before.Fence)
			}
			if r.Complete && before.Complete && r.Started.Before(before.Started) {
				f.t.Errorf("%s: run %d began before run %d", sync, r.ID, before.ID)
			}
			fences[r.ID], before = r.Fence, r
			nodes[strings.Fields(r.Owner)[2]]++
		}
		// What runs wrote, in the order in which it became durable, never goes back to an earlier fence.
		last := int64(0)
		for _, row := range rowsOf(f.t, f.state, `SELECT h.run, h.id FROM fieldsync.history h JOIN fieldsync.sync s ON s.id = h.sync WHERE s.name = $1 AND h.run > 0 ORDER BY h.id`, sync) {
			run, err := strconv.ParseInt(row[0], 10, 64)
			if err != nil {
				f.t.Fatal(err)
			}
			if fences[run] < last {
				f.t.Errorf("%s: entry %s of the history was written by run %d with fence %d after one with fence %d", sync, row[1], run, fences[run], last)
			}
			last = max(last, fences[run])
		}
	}
	f.t.Logf("runs by process: %v", nodes)
	if len(nodes) < 4 {
		f.t.Errorf("only %d processes ran anything", len(nodes))
	}
}

// checkEnd holds what is left to what was promised.
func (f *fleet) checkEnd() {
	f.t.Helper()
	edits := 0
	for _, sync := range f.syncs {
		kept := map[string]bool{}
		for _, row := range f.history(sync) {
			kept[row] = true
		}
		both := rowsOf(f.t, f.direct, fmt.Sprintf(`SELECT t.id, t.title, t.note, t.number, c.title, c.note, c.no FROM tickets_%[1]s t LEFT JOIN cases_%[1]s c ON c.ref = t.id ORDER BY t.id`, sync))
		if len(both) != f.tickets {
			f.t.Errorf("no duplicate: %d tickets and cases of %s, want %d", len(both), sync, f.tickets)
		}
		for _, row := range both {
			if row[1] != row[4] || row[2] != row[5] || row[3] != row[6] {
				f.t.Errorf("agreed: %s %s shows %v, its case %v", sync, row[0], row[1:4], row[4:])
			}
			for i, field := range []string{"title", "note"} {
				for _, table := range []string{"tickets", "cases"} {
					v, said := f.last.Load(fmt.Sprintf("%s %s %s.%s", sync, table, row[0], field))
					if said {
						edits++
					}
					if said && v != row[1+i] && !kept[v.(string)] {
						f.t.Errorf("nothing lost: what somebody wrote last into %s of %s %s in %s, %s, is neither live nor in the history", field, sync, row[0], table, v)
					}
				}
			}
		}
	}
	f.t.Logf("%d edits, %d of them the last of their field", f.said.Load(), edits)
	if edits < 50 {
		f.t.Errorf("only %d edits: too few to mean anything", edits)
	}
}

// history is every value that the state keeps of a sync.
func (f *fleet) history(sync string) []string {
	f.t.Helper()
	var all []string
	for _, row := range rowsOf(f.t, f.state, `SELECT encode(h.value, 'hex') FROM fieldsync.history h JOIN fieldsync.sync s ON s.id = h.sync WHERE s.name = $1`, sync) {
		var blob []byte
		if _, err := fmt.Sscanf(row[0], "%x", &blob); err != nil {
			f.t.Fatal(err)
		}
		vs, err := record.DecodeValues(blob)
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, vs[0].Text())
	}
	return all
}
