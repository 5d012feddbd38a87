package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/state"
)

// BenchmarkFleet is what one, two and three nodes carry: syncs whose systems take 50 ms over every write, while people
// edit faster than one node can follow. It is said how many edits arrived in a second, how late, what it took, and how long
// the last edits took after the people had stopped: none may be missing. On one machine the nodes, the server of the state and
// the systems share what there is, so it is also said how many processors each of them kept busy, and what part of all was
// busy: whether a figure is the fleet's limit or the machine's.
//
// FIELDSYNC_BENCH_FLEET is its size, syncs x tickets, 40x250 unless it is given; FIELDSYNC_BENCH_EDITS how many edits people try to
// make in a second, 250; FIELDSYNC_BENCH_SECONDS how long they do, 20. Larger systems than 1,000 records are asked for changes
// alone. The first contact is that of one node, with everything on both sides already.
func BenchmarkFleet(b *testing.B) {
	size, edits, lasts := os.Getenv("FIELDSYNC_BENCH_FLEET"), benchNumber(b, "FIELDSYNC_BENCH_EDITS", 250), benchNumber(b, "FIELDSYNC_BENCH_SECONDS", 20)
	syncs, tickets := 40, 250
	if size != "" {
		if _, err := fmt.Sscanf(size, "%dx%d", &syncs, &tickets); err != nil || syncs < 1 || tickets < 1 {
			b.Fatalf("FIELDSYNC_BENCH_FLEET is how many syncs and tickets of each, such as 200x5000, not %q", size)
		}
	}
	f := newFleet(b, syncs, 0, 3)
	f.tickets, f.workers, f.patience = tickets, 4, 30*time.Minute
	f.fill()
	b.Run("first contact", func(b *testing.B) {
		f.t = b
		for b.Loop() {
			began := time.Now()
			f.nodes[0].start()
			defer f.nodes[0].end(syscall.SIGTERM)
			f.goesOn(began)
			b.ReportMetric(float64(syncs*tickets)/time.Since(began).Seconds(), "links/s")
			f.reportState(b)
			b.ReportMetric(f.nodes[0].peak(), "node-MB")
		}
	})
	for nodes := 1; nodes <= 3; nodes++ {
		b.Run(fmt.Sprintf("%d nodes", nodes), func(b *testing.B) {
			f.t = b
			for b.Loop() {
				f.carry(b, nodes, edits, time.Duration(lasts)*time.Second)
			}
		})
	}
}

func benchNumber(b *testing.B, name string, usual int) int {
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("%s is a whole number from 1, not %q", name, text)
	}
	return n
}

// fill puts all tickets and their cases into the systems, says when they changed, and notes what people say and when it came.
func (f *fleet) fill() {
	f.do(`CREATE TABLE said (value text PRIMARY KEY, at timestamptz NOT NULL)`)
	f.do(`CREATE TABLE came (value text PRIMARY KEY, at timestamptz NOT NULL)`)
	f.do(`CREATE FUNCTION came() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.title LIKE 'v%' THEN INSERT INTO came VALUES (NEW.title, clock_timestamp()) ON CONFLICT DO NOTHING; END IF; RETURN NEW; END $$`)
	f.do(`CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed := clock_timestamp(); RETURN NEW; END $$`)
	for _, s := range f.syncs {
		f.do(fmt.Sprintf(`INSERT INTO tickets_%s (id, title, note, number) SELECT 'T-' || n, 'first', 'first', n + 1 FROM generate_series(0, $1 - 1) n`, s), f.tickets)
		f.do(fmt.Sprintf(`ALTER TABLE cases_%s DISABLE TRIGGER slow`, s))
		f.do(fmt.Sprintf(`INSERT INTO cases_%[1]s (ref, title, note) SELECT id, title, note FROM tickets_%[1]s ORDER BY number::int`, s))
		f.do(fmt.Sprintf(`ALTER TABLE cases_%s ENABLE TRIGGER slow`, s))
		f.do(fmt.Sprintf(`CREATE INDEX ON cases_%s (ref)`, s))
		f.do(fmt.Sprintf(`CREATE TRIGGER came AFTER UPDATE ON cases_%s FOR EACH ROW EXECUTE FUNCTION came()`, s))
		for _, table := range []string{"tickets", "cases"} {
			f.do(fmt.Sprintf(`ALTER TABLE %s_%s ADD changed timestamptz NOT NULL DEFAULT '2026-01-01'`, table, s))
			f.do(fmt.Sprintf(`CREATE INDEX ON %s_%s (changed)`, table, s))
			f.do(fmt.Sprintf(`CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON %s_%s FOR EACH ROW EXECUTE FUNCTION stamp()`, table, s))
		}
	}
	f.do(`ANALYZE`)
	f.rules("changed")
	store, err := state.Open(f.state, state.Options{}) // makes its tables
	if err != nil {
		f.t.Fatal(err)
	}
	store.Close()
}

// carry has people edit, and tells what became of it.
func (f *fleet) carry(b *testing.B, nodes, edits int, lasts time.Duration) {
	for _, n := range f.nodes[:nodes] {
		n.start()
		defer n.end(syscall.SIGTERM)
	}
	f.goesOn(time.Now())
	f.do(`TRUNCATE said, came`)
	runs, commits := f.runsOf(), f.commits()
	busy, all := machineTime(b)
	used := f.cpuOf(nodes)
	began := time.Now()
	f.edit(edits, lasts)
	took := time.Since(began).Seconds()
	b.ReportMetric(float64(f.runsOf()-runs)/took, "runs/s")
	b.ReportMetric(float64(f.commits()-commits)/took, "state-commits/s")
	for i, now := range f.cpuOf(nodes) {
		b.ReportMetric((now-used[i])/took, []string{"nodes-cpu", "state-cpu", "systems-cpu"}[i])
	}
	busyNow, allNow := machineTime(b)
	b.ReportMetric((busyNow-busy)/(allNow-all), "machine-busy")
	said, came := f.number(`SELECT count(*) FROM said`), f.number(`SELECT count(*) FROM came`)
	b.ReportMetric(said/took, "said/s")
	b.ReportMetric(came/took, "carried/s")
	stopped := time.Now()
	for f.number(`SELECT count(*) FROM said LEFT JOIN came USING (value) WHERE came.at IS NULL`) > 0 {
		if time.Since(stopped) > f.patience {
			f.t.Fatal("some edits never arrive")
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.ReportMetric(time.Since(stopped).Seconds(), "rest-s")
	for p, unit := range map[string]string{"0.5": "lag-p50-s", "0.95": "lag-p95-s", "1": "lag-max-s"} {
		b.ReportMetric(f.number(`SELECT coalesce(percentile_cont(`+p+`) WITHIN GROUP (ORDER BY extract(epoch FROM came.at - said.at)), 0) FROM said JOIN came USING (value)`), unit)
	}
	most := 0.0
	for _, n := range f.nodes[:nodes] {
		most = max(most, n.peak())
	}
	b.ReportMetric(most, "node-MB")
	f.reportState(b)
}

// edit has people edit tickets for a while, each another one, so that no edit replaces one that nobody has carried yet.
func (f *fleet) edit(aSecond int, lasts time.Duration) {
	const people = 5
	order := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1)).Perm(len(f.syncs) * f.tickets)
	round := f.said.Add(1)
	var all sync.WaitGroup
	began := time.Now()
	for person := range people {
		all.Go(func() {
			tick := time.NewTicker(people * time.Second / time.Duration(aSecond))
			defer tick.Stop()
			for i := person; i < len(order) && time.Since(began) < lasts; i += people {
				<-tick.C
				f.do(fmt.Sprintf(`WITH edit AS (UPDATE tickets_%s SET title = $1 WHERE id = $2) INSERT INTO said VALUES ($1, clock_timestamp())`, f.syncs[order[i]%len(f.syncs)]),
					fmt.Sprintf("v%d.%d", round, i), fmt.Sprintf("T-%d", order[i]/len(f.syncs)))
			}
		})
	}
	all.Wait()
}

// number asks the systems for one.
func (f *fleet) number(query string) float64 {
	f.t.Helper()
	var n float64
	if err := f.systems.QueryRow(query).Scan(&n); err != nil {
		f.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// runsOf counts the runs that were begun, commits what was committed to the state.
func (f *fleet) runsOf() int { return f.ofState(`SELECT count(*) FROM fieldsync.run`) }
func (f *fleet) commits() int {
	return f.ofState(`SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`)
}

func (f *fleet) ofState(query string) int {
	f.t.Helper()
	n, err := strconv.Atoi(rowsOf(f.t, f.state, query)[0][0])
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// reportState tells how large the state is, and how many connections it has.
func (f *fleet) reportState(b *testing.B) {
	b.ReportMetric(float64(f.ofState(`SELECT pg_database_size(current_database()) >> 20`)), "state-MB")
	b.ReportMetric(float64(f.ofState(`SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()`)), "state-conns")
}

// cpuOf is the processor time, in seconds, that the nodes, the server of the state and that of the systems have used.
func (f *fleet) cpuOf(nodes int) (used [3]float64) {
	for _, n := range f.nodes[:nodes] {
		used[0] += n.ticks() / 100
	}
	for i, url := range []string{f.state, f.direct} {
		used[1+i] = f.serverTicks(rowsOf(f.t, url, `SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)`)[0][0]) / 100
	}
	return used
}

func (n *node) ticks() float64 {
	words := n.proc("stat", "")
	return parsed(n.f.t, words[13]) + parsed(n.f.t, words[14])
}

// serverTicks are those of a process, of its children, and of those of them that have ended.
func (f *fleet) serverTicks(pid string) (ticks float64) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		words := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the third on
		switch pid {
		case words[1]:
			ticks += parsed(f.t, words[11]) + parsed(f.t, words[12])
		case filepath.Base(filepath.Dir(file)):
			for _, w := range words[11:15] {
				ticks += parsed(f.t, w)
			}
		}
	}
	return ticks
}

// peak is the most memory, in megabytes, that a node ever had.
func (n *node) peak() float64 { return parsed(n.f.t, n.proc("status", "VmHWM:")[1]) / 1024 }

// proc are the words of a file about the process, or of the line of it that begins with a word.
func (n *node) proc(file, line string) []string {
	n.f.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", n.cmd.Process.Pid, file))
	if err != nil {
		n.f.t.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		if strings.HasPrefix(l, line) {
			return strings.Fields(l)
		}
	}
	n.f.t.Fatalf("no %s in %s", line, text)
	return nil
}

// machineTime is what all processors were busy for, and all time that they had, in ticks.
func machineTime(b *testing.B) (busy, all float64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		b.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	for i, word := range strings.Fields(first)[1:9] {
		n := parsed(b, word)
		all += n
		if i != 3 && i != 4 { // idle, and waiting for a disk
			busy += n
		}
	}
	return busy, all
}

func parsed(t testing.TB, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
