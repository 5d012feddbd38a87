package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/file"
	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/state"
)

// The benchmark of whole cycles: n linked pairs in two files of JSON, 12 mapped fields of which 4 are computed.
// A cycle edits 1 % on each side, 0.1 % of them in conflict, 0.05 % equally, and 1 % only in unmapped fields, and
// creates 0.1 % and deletes 0.05 % on each side. The second file's order is unrelated to the first's.
//
// Every measurement is a process of its own, so that its processor time and peak memory are its own. The
// reference does what a straightforward program would: it decodes both sides with encoding/json into maps and
// compares the mapped fields with a base that it has in memory; it pairs, maps and writes nothing.

const benchMapping = `
connection "file" "left" {
  collection "tickets" {
    path = "tickets.ndjson"
    key  = "id"
  }
}
connection "file" "right" {
  collection "incidents" {
    path = "incidents.ndjson"
    key  = "sys_id"
  }
}
translation "state" {
  columns = ["ticket", "incident"]
  rows    = [["new", "1"], ["open", "2"], ["waiting", "3"], ["resolved", "6"], ["closed", "7"]]
}
sync "bench" {
  first    = "ticket"
  conflict = "ask"
  side "ticket" {
    connection = connection.left
    collection = "tickets"
    create     = true
  }
  side "incident" {
    connection = connection.right
    collection = "incidents"
    create     = true
  }
  match {
    ticket   = "external"
    incident = "correlation_id"
  }
%s
  field "state" {
    ticket   = "status"
    incident = "state"
    via      = translation.state
  }
  field "short" {
    flow        = "ticket -> incident"
    incident    = "short_description"
    to_incident = "cut('[NOC] ' + trim(ticket.title), 80)"
  }
  field "labels" {
    flow        = "ticket -> incident"
    incident    = "u_labels"
    to_incident = "join(sort(map(ticket.labels, lower(#))), ',')"
  }
  field "due" {
    flow        = "ticket -> incident"
    incident    = "due_date"
    to_incident = "time_format(ticket.due, '2006-01-02 15:04:05')"
  }
  limits {
    creates = "100%%"
    updates = "100%%"
    deletes = "100%%"
  }
}
`

var benchCopies = []string{"description", "category", "subcategory", "contact", "location", "impact", "urgency", "owner"}

func benchHCL() string {
	var b strings.Builder
	for _, c := range benchCopies {
		fmt.Fprintf(&b, "  field %q {\n    ticket   = %q\n    incident = %q\n  }\n", c, c, "u_"+c)
	}
	return fmt.Sprintf(benchMapping, b.String())
}

// A benchPair is the content of one linked pair.
type benchPair struct {
	n        int
	left     map[string]any
	right    map[string]string
	noTicket bool
	noInc    bool
}

func benchRecord(n int) benchPair {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	words := func(k int) string {
		var b strings.Builder
		for b.Len() < k {
			b.WriteString([]string{"router ", "signal ", "uplink ", "fan ", "loss ", "rack ", "site ", "link "}[r.IntN(8)])
		}
		return b.String()[:k]
	}
	status := []string{"new", "open", "waiting", "resolved", "closed"}[r.IntN(5)]
	title, due := words(48), time.Date(2026, 1, 1, 0, r.IntN(500000), 0, 0, time.UTC)
	p := benchPair{n: n, left: map[string]any{"id": fmt.Sprintf("T-%08d", n), "external": fmt.Sprintf("X-%08d", n), "title": title, "status": status,
		"labels": []string{"Net", "Core"}, "due": due.Format(time.RFC3339)}}
	p.right = map[string]string{"sys_id": fmt.Sprintf("%032x", uint64(n)*0x9E3779B97F4A7C15), "correlation_id": fmt.Sprintf("X-%08d", n),
		"state":             map[string]string{"new": "1", "open": "2", "waiting": "3", "resolved": "6", "closed": "7"}[status],
		"short_description": ("[NOC] " + strings.TrimSpace(title)), "u_labels": "core,net", "due_date": due.Format(time.DateTime)}
	for i, c := range benchCopies {
		v := words([]int{180, 12, 16, 20, 14, 6, 6, 18}[i])
		p.left[c], p.right["u_"+c] = v, v
	}
	for i := range 7 {
		p.left[fmt.Sprintf("unmapped_%d", i)] = words(70)
	}
	for i := range 14 {
		p.right[fmt.Sprintf("sys_field_%d", i)] = words(30)
	}
	return p
}

// edited is pair n as one cycle of edits leaves it.
func (p benchPair) edited() benchPair {
	switch k := p.n % 2000; {
	case k < 20: // 1 % on the left
		p.left["category"] = fmt.Sprintf("edited %d", p.n)
		if k < 2 { // 0.1 % in conflict
			p.right["u_category"] = fmt.Sprintf("otherwise %d", p.n)
		} else if k < 3 { // 0.05 % equally
			p.right["u_category"] = fmt.Sprintf("edited %d", p.n)
		}
	case k < 40: // 1 % on the right
		p.right["u_location"] = fmt.Sprintf("moved %d", p.n)
	case k < 60: // 1 % in unmapped fields
		p.left["unmapped_1"], p.right["sys_field_1"] = "touched", "touched"
	case k < 62: // 0.1 % new on the left, and right
		p.noInc = p.n%4 < 2
		p.noTicket = !p.noInc
		if p.noInc {
			p.left["external"] = fmt.Sprintf("N-%08d", p.n)
			p.left["id"] = fmt.Sprintf("N-%08d", p.n)
		}
	case k == 62:
		p.noTicket = true
	}
	return p
}

// benchWrite writes both files; the right one in an order of its own.
func benchWrite(dir string, n int, edit bool) error {
	write := func(name string, order func(int) int, pick func(benchPair) any) error {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		w := bufio.NewWriterSize(f, 1<<20)
		e := json.NewEncoder(w)
		for i := range n {
			p := benchRecord(order(i))
			if edit {
				p = p.edited()
			}
			if v := pick(p); v != nil {
				if err := e.Encode(v); err != nil {
					return err
				}
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		return f.Close()
	}
	err := write("tickets.ndjson", func(i int) int { return i }, func(p benchPair) any {
		if p.noTicket {
			return nil
		}
		return p.left
	})
	if err != nil {
		return err
	}
	return write("incidents.ndjson", func(i int) int { return i * 7919 % n }, func(p benchPair) any {
		if p.noInc {
			return nil
		}
		return p.right
	})
}

// benchResult is what a child measured of itself.
type benchResult struct {
	CPU, Wall float64 // seconds
	PeakMB    float64
	Actions   int64
	StateMB   float64
}

const benchChild = "FIELDSYNC_BENCH_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(benchChild); what != "" {
		if err := benchRun(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(sqltest.Main(m).Run())
}

// benchRun is the child: it measures one thing and prints the result.
func benchRun(what string) error {
	dir := os.Getenv("FIELDSYNC_BENCH_DIR")
	var res benchResult
	var work func() (int64, error)
	switch what {
	case "reference":
		base, err := benchBase(dir)
		if err != nil {
			return err
		}
		work = func() (int64, error) { return benchReference(dir, base) }
	default:
		work = func() (int64, error) { return benchCycle(dir, what == "apply") }
	}
	if name := os.Getenv("FIELDSYNC_BENCH_PROFILE"); name != "" {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	cpu, start := benchCPU(), time.Now()
	n, err := work()
	if err != nil {
		return err
	}
	res.CPU, res.Wall, res.Actions = benchCPU()-cpu, time.Since(start).Seconds(), n
	if res.PeakMB, err = benchPeak(); err != nil {
		return err
	}
	if info, err := os.Stat(filepath.Join(dir, "state.db")); err == nil {
		res.StateMB = float64(info.Size()) / 1e6
	}
	return json.NewEncoder(os.Stdout).Encode(res)
}

// benchPeak is the most memory this process ever held. The rusage figure will not do: it begins with the parent's.
func benchPeak() (mb float64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, err = fmt.Sscanf(rest, "%f kB", &mb)
			return mb / 1024, err
		}
	}
	return 0, errors.New("no VmHWM in /proc/self/status")
}

func benchCPU() float64 {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Seconds()
}

// benchCycle plans, or plans and carries out without calling the systems' writes much: first contact agrees.
func benchCycle(dir string, apply bool) (int64, error) {
	job, err := benchJob(dir)
	if err != nil {
		return 0, err
	}
	store, err := state.Open(filepath.Join(dir, "state.db"), state.Options{ReadOnly: !apply})
	if err != nil {
		return 0, err
	}
	defer store.Close()
	e := &engine.Engine{Store: store, Owner: "bench"}
	ctx := context.Background()
	if !apply {
		r, err := e.Plan(ctx, job)
		if err != nil {
			return 0, err
		}
		defer r.Close()
		return r.Footer().Changes() + r.Footer().Conflicts, nil
	}
	r, err := e.Start(ctx, job)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	acc, err := r.Apply(ctx, engine.Approval{})
	return acc.Footer.Linked, err
}

func benchJob(dir string) (engine.Job, error) {
	var job engine.Job
	cfg, diags := mapping.Parse(map[string][]byte{"bench.hcl": []byte(benchHCL())}, dir,
		mapping.Options{Registry: connectors.Registry{"file": file.New}, Getenv: os.LookupEnv})
	if diags.HasErrors() {
		return job, diags
	}
	s := cfg.Syncs[0]
	c, diags := cfg.Compile(s, [2]*connectors.Schema{})
	if diags.HasErrors() {
		return job, diags
	}
	job.Rules, job.Trigger = c.Rules, "bench"
	job.Limits = engine.Limits{Creates: engine.Limit(s.Limits.Creates), Updates: engine.Limit(s.Limits.Updates), Deletes: engine.Limit(s.Limits.Deletes)}
	for i, side := range s.Sides {
		conn, err := side.Connection.Config.Open(connectors.Env{Name: side.Connection.Name, Log: slog.New(slog.DiscardHandler), Now: time.Now, Dir: dir})
		if err != nil {
			return job, err
		}
		col, err := conn.Collection(context.Background(), side.Collection)
		if err != nil {
			return job, err
		}
		job.Ends[i] = engine.End{Connection: side.Connection.Name, Collection: side.Collection, Endpoint: side.Name, Handle: col}
	}
	return job, nil
}

// benchFields are the mapped fields of both files.
func benchFields() (left, right []string) {
	left, right = []string{"title", "status", "labels", "due"}, []string{"short_description", "state", "u_labels", "due_date"}
	for _, c := range benchCopies {
		left, right = append(left, c), append(right, "u_"+c)
	}
	return left, right
}

func benchDecode(path, key string, fields []string, emit func(key string, sum uint64)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReaderSize(f, 1<<20))
	for d.More() {
		var m map[string]any
		if err := d.Decode(&m); err != nil {
			return err
		}
		h := fnv.New64a()
		for _, name := range fields {
			switch v := m[name].(type) {
			case string:
				h.Write([]byte(v))
			default:
				fmt.Fprint(h, v)
			}
			h.Write([]byte{0})
		}
		emit(m[key].(string), h.Sum64())
	}
	return nil
}

func benchBase(dir string) ([2]map[string]uint64, error) {
	left, right := benchFields()
	base := [2]map[string]uint64{{}, {}}
	if err := benchDecode(filepath.Join(dir, "tickets.ndjson"), "id", left, func(k string, s uint64) { base[0][k] = s }); err != nil {
		return base, err
	}
	return base, benchDecode(filepath.Join(dir, "incidents.ndjson"), "sys_id", right, func(k string, s uint64) { base[1][k] = s })
}

func benchReference(dir string, base [2]map[string]uint64) (int64, error) {
	left, right := benchFields()
	var moved int64
	see := func(i int) func(string, uint64) {
		return func(k string, s uint64) {
			if base[i][k] != s {
				moved++
			}
		}
	}
	if err := benchDecode(filepath.Join(dir, "tickets.ndjson"), "id", left, see(0)); err != nil {
		return 0, err
	}
	return moved, benchDecode(filepath.Join(dir, "incidents.ndjson"), "sys_id", right, see(1))
}

// benchMeasure runs a child.
func benchMeasure(b *testing.B, dir, what string) benchResult {
	b.Helper()
	c := exec.CommandContext(b.Context(), os.Args[0])
	c.Env = append(os.Environ(), benchChild+"="+what, "FIELDSYNC_BENCH_DIR="+dir)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		b.Fatalf("%s: %v\n%s", what, err, errs.String())
	}
	var res benchResult
	if err := json.Unmarshal(out.Bytes(), &res); err != nil {
		b.Fatalf("%s: %v\n%s", what, err, out.String())
	}
	return res
}

// benchSizes are the numbers of pairs; FIELDSYNC_BENCH_PAIRS names others.
func benchSizes(b *testing.B) []int {
	list := os.Getenv("FIELDSYNC_BENCH_PAIRS")
	if list == "" {
		list = "10000,100000,1000000"
	}
	var sizes []int
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	return sizes
}

func BenchmarkCycle(b *testing.B) {
	for _, n := range benchSizes(b) {
		dir := b.TempDir()
		if err := benchWrite(dir, n, false); err != nil {
			b.Fatal(err)
		}
		ref := benchMeasure(b, dir, "reference")
		report := func(name, what string, prepare func()) {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				var res benchResult
				for b.Loop() {
					if prepare != nil {
						b.StopTimer()
						prepare()
						b.StartTimer()
					}
					res = benchMeasure(b, dir, what)
				}
				b.ReportMetric(res.CPU/ref.CPU, "cpu/reference")
				b.ReportMetric(res.Wall/ref.Wall, "wall/reference")
				b.ReportMetric(res.CPU*1e6/float64(n), "µs-cpu/pair")
				b.ReportMetric(res.PeakMB, "peak-MB")
				b.ReportMetric(float64(res.Actions), "items")
				if res.StateMB > 0 {
					b.ReportMetric(res.StateMB*1e6/float64(n), "state-B/link")
				}
			})
		}
		b.Run(fmt.Sprintf("reference/%d", n), func(b *testing.B) {
			for b.Loop() {
			}
			b.ReportMetric(ref.CPU*1e6/float64(n), "µs-cpu/pair")
			b.ReportMetric(ref.PeakMB, "peak-MB")
		})
		report("first contact", "apply", func() {
			for _, f := range []string{"state.db", "state.db-wal", "state.db-shm"} {
				_ = os.Remove(filepath.Join(dir, f))
			}
		})
		report("quiet", "plan", nil)
		if err := benchWrite(dir, n, true); err != nil {
			b.Fatal(err)
		}
		report("one percent changed", "plan", nil)
	}
}
