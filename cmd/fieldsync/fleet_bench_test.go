package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkFleet is what one, two and three nodes carry: 40 syncs of 250 tickets, whose systems take 50 ms over every
// write, while people edit faster than one node can follow. It is said how many edits arrived in a second, and how late.
// On one machine with two cores the nodes, the server of the state and the systems share what there is.
func BenchmarkFleet(b *testing.B) {
	for nodes := 1; nodes <= 3; nodes++ {
		b.Run(fmt.Sprintf("%d nodes", nodes), func(b *testing.B) {
			for b.Loop() {
				benchFleet(b, nodes, 40, 250, 20*time.Second)
			}
		})
	}
}

func benchFleet(b *testing.B, nodes, syncs, tickets int, lasts time.Duration) {
	f := newFleet(b, syncs, tickets, nodes)
	f.workers = 4
	f.do(`CREATE TABLE said (value text PRIMARY KEY, at timestamptz NOT NULL)`)
	f.do(`CREATE TABLE came (value text PRIMARY KEY, at timestamptz NOT NULL)`)
	f.do(`CREATE FUNCTION came() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.title LIKE 'v%' THEN INSERT INTO came VALUES (NEW.title, clock_timestamp()) ON CONFLICT DO NOTHING; END IF; RETURN NEW; END $$`)
	slow := func(how string) {
		for _, s := range f.syncs {
			for _, table := range []string{"tickets", "cases"} {
				f.do(fmt.Sprintf(`ALTER TABLE %s_%s %s TRIGGER slow`, table, s, how))
			}
		}
	}
	for _, s := range f.syncs {
		f.do(fmt.Sprintf(`CREATE TRIGGER came AFTER UPDATE ON cases_%s FOR EACH ROW EXECUTE FUNCTION came()`, s))
	}
	slow("DISABLE")
	if out, code := f.run("apply", "--yes"); code != exitOK {
		b.Fatalf("the first run ends with %d:\n%s", code, out)
	}
	slow("ENABLE")
	for _, n := range f.nodes {
		n.start()
		defer n.end(syscall.SIGTERM)
	}
	f.goesOn(time.Now())

	// Each edit is of another ticket, so that none replaces one that nobody has carried yet.
	var people sync.WaitGroup
	began := time.Now()
	before := f.runsOf()
	people.Go(func() {
		r := rand.New(rand.NewPCG(1, 1))
		order := r.Perm(syncs * tickets)
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		for i := 0; i < len(order) && time.Since(began) < lasts; i++ {
			<-tick.C
			value := "v" + strconv.Itoa(i)
			f.do(fmt.Sprintf(`WITH edit AS (UPDATE tickets_%s SET title = $1 WHERE id = $2) INSERT INTO said VALUES ($1, clock_timestamp())`, f.syncs[order[i]%syncs]),
				value, fmt.Sprintf("T-%d", order[i]/syncs))
		}
	})
	people.Wait()
	took := time.Since(began).Seconds()
	runs := f.runsOf() - before
	row := rowsOf(b, f.direct, `SELECT count(s.value), count(c.value), coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM coalesce(c.at, clock_timestamp()) - s.at)), 0),
		coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM coalesce(c.at, clock_timestamp()) - s.at)), 0) FROM said s LEFT JOIN came c USING (value)`)[0]
	for i, unit := range []string{"said/s", "carried/s", "lag-p50-s", "lag-p95-s"} {
		v, err := strconv.ParseFloat(row[i], 64)
		if err != nil {
			b.Fatal(err)
		}
		if i < 2 {
			v /= took
		}
		b.ReportMetric(v, unit)
	}
	b.ReportMetric(float64(runs)/took, "runs/s")
}

// runsOf counts the runs that were begun.
func (f *fleet) runsOf() int {
	n, err := strconv.Atoi(rowsOf(f.t, f.state, `SELECT count(*) FROM fieldsync.run`)[0][0])
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}
