package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

// kills is how often the process is killed in a round, of which the usual run of the tests has one.
const kills = 200

// soaked is how often something is done that the usual run of the tests does n times, and the seed of what happens
// meanwhile. FIELDSYNC_SOAK multiplies n, and takes a new seed; FIELDSYNC_SEED names one.
func soaked(t *testing.T, n int) (times int, seed int64) {
	seed = 1
	if soak := os.Getenv("FIELDSYNC_SOAK"); soak != "" {
		more, err := strconv.Atoi(soak)
		if err != nil {
			t.Fatalf("FIELDSYNC_SOAK is how many times more often than usual: %v", err)
		}
		n, seed = n*more, time.Now().UnixNano()
	}
	if s := os.Getenv("FIELDSYNC_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseInt(s, 10, 64); err != nil {
			t.Fatalf("FIELDSYNC_SEED: %v", err)
		}
	}
	return n, seed
}

// TestKilledAtAnyMomentNothingIsLostAndNothingDoubled kills fieldsync serve again and again, while requests fail and
// people on both sides go on working, and holds what is left in the end to what was promised.
func TestKilledAtAnyMomentNothingIsLostAndNothingDoubled(t *testing.T) {
	t.Parallel()
	rounds, seed := soaked(t, 1)
	for round := range rounds {
		t.Run(fmt.Sprintf("round %d", round+1), func(t *testing.T) { lifeAndDeath(t, seed+int64(round)) })
	}
}

// lifeAndDeath is one round, with systems of its own: what two thousand processes leave undone nobody catches up with.
func lifeAndDeath(t *testing.T, seed int64) {
	t.Logf("%d kills; again: FIELDSYNC_SEED=%d go test ./cmd/fieldsync -run '^TestKilledAtAnyMoment'", kills, seed)
	began := time.Now()
	m := newMortal(t, seed)
	for i := range 12 {
		m.ticket(ticketID(i), fmt.Sprintf("line %d is down", i))
	}
	if out, code := m.run("apply", "--yes"); code != exitOK {
		t.Fatalf("the first run ends with %d:\n%s", code, out)
	}
	m.fault("500-before:writes incident:rate=0.03", "500-after:writes incident:rate=0.04", "reset-before:writes incident:rate=0.02",
		"reset-after:writes incident:rate=0.04", "cut-broken:writes incident:rate=0.03", "cut-valid:writes incident:rate=0.02",
		"login:writes incident:rate=0.01", "slow-after:writes incident:rate=0.03,wait=100ms", "slow-before:writes incident:rate=0.02,wait=100ms",
		"500-before:GET incident:rate=0.01", "cut-broken:GET incident:rate=0.01", "hibernation:GET incident:rate=0.005", "401:n=300")

	people := newPeople(m, seed)
	people.start()
	dead := m.massacre(rand.New(rand.NewPCG(uint64(seed), 1)), kills)
	people.stop()
	if t.Failed() {
		return
	}
	struck := map[string]int{}
	for _, r := range m.snow.Load().Journal() {
		if r.Fault != "" {
			struck[r.Fault]++
		}
	}
	m.snow.Load().Calm()
	m.calm()
	people.check()
	t.Logf("%d kills in %s (%v), %d requests of which %d writes, faults %v, %v",
		kills, time.Since(began).Round(time.Second), dead, m.snow.Load().Requests(), m.snow.Load().Writes(), struck, people.done)
	for _, kind := range []string{"at a moment", "before a write", "within a write", "after a write"} {
		if dead[kind] == 0 {
			t.Errorf("none was killed %s", kind)
		}
	}
}

// longest is how long a process may live that nothing kills: it had nothing to write.
const longest = 1500 * time.Millisecond

// massacre starts and kills n processes, and looks at what each leaves behind.
func (m *mortal) massacre(r *rand.Rand, n int) map[string]int {
	dead := map[string]int{}
	for i := range n {
		var out bytes.Buffer
		kind, after := "at a moment", time.Duration(r.IntN(250))*time.Millisecond
		switch x := r.IntN(10); {
		case x < 7:
			how := fuse(x % 3)
			kind, after = [...]string{"before a write", "within a write", "after a write"}[how], longest
			m.light(1+r.IntN(6), how)
		case x < 8:
			after *= 4
		}
		m.start(&out)
		timer := time.AfterFunc(after, m.kill)
		err := m.end()
		if !timer.Stop() && after == longest {
			kind = "at a moment" // there was nothing to write
		}
		dead[kind]++
		if status, ok := waitStatus(err); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
			m.t.Fatalf("process %d ended by itself: %v\n%s", i, err, out.String())
		}
		if text, code := m.run("state", "check"); code != exitOK {
			m.t.Fatalf("after kill %d (%s) the state is wrong:\n%s", i, kind, text)
		}
		m.single()
		if m.t.Failed() {
			return dead
		}
	}
	return dead
}

// single holds the instance to at most one incident for each ticket.
func (m *mortal) single() {
	seen := map[string]string{}
	for _, inc := range m.snow.Load().All("incident") {
		id := inc["correlation_id"]
		if other := seen[id]; other != "" {
			m.t.Errorf("%s and %s are both the incident of %s", other, inc["number"], id)
		}
		seen[id] = inc["number"]
	}
}

// calm lets serve run, undisturbed, until there is nothing to write; what a failure put off for a while comes after it.
func (m *mortal) calm() {
	m.t.Helper()
	var out bytes.Buffer
	m.start(&out)
	const most = 60 * time.Second
	for began := time.Now(); ; {
		text, code := m.run("plan")
		if code == exitOK {
			break
		}
		if time.Since(began) > most {
			m.kill()
			_ = m.end()
			m.t.Fatalf("serve has not come to rest in %s; the plan is:\n%s\nit said:\n%s", most, text, out.String())
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := m.child.Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	if err := m.end(); err != nil {
		m.t.Errorf("serve, told to stop, ended with %v:\n%s", err, out.String())
	}
	for range 20 {
		m.pass(7 * time.Hour) // for both: nobody's clock is set
		text, code := m.run("apply", "--yes")
		if writes := m.snow.Load().Writes(); code == exitOK {
			if text, code = m.run("apply", "--yes", "--full"); code == exitOK && m.snow.Load().Writes() == writes {
				return
			}
		}
		m.t.Logf("not at rest:\n%s", text)
	}
	m.t.Fatal("the runs do not come to rest")
}

// people work on both sides until they are stopped, and remember what they did last.
type people struct {
	m    *mortal
	r    *rand.Rand
	quit chan struct{}
	wg   sync.WaitGroup

	life   int64 // of a process
	acts   int   // in it
	n      int   // tickets
	serial int
	last   [2]map[string]map[string]string // side → ticket → field → what was last written there
	said   [2]map[string][]string          // side → ticket → comments
	gone   map[string]record.Side          // tickets that were deleted, and such whose incident was
	done   map[string]int
}

func newPeople(m *mortal, seed int64) *people {
	p := &people{m: m, r: rand.New(rand.NewPCG(uint64(seed), 2)), quit: make(chan struct{}), n: 12, gone: map[string]record.Side{}, done: map[string]int{}}
	for s := range p.last {
		p.last[s], p.said[s] = map[string]map[string]string{}, map[string][]string{}
	}
	return p
}

func (p *people) start() {
	p.wg.Go(func() {
		for {
			select {
			case <-p.quit:
				return
			case <-time.After(time.Duration(p.r.IntN(20)) * time.Millisecond):
			}
			if life := p.m.lives.Load(); life != p.life {
				p.life, p.acts = life, 0
			}
			if p.acts++; p.acts <= mostActs {
				p.act()
			}
		}
	})
}

func (p *people) stop() {
	close(p.quit)
	p.wg.Wait()
}

// mostActs is how much people do in the life of one process at most. On a machine that is busy with other things processes
// come late to their first write, and would never catch up.
const mostActs = 40

// mostTickets is below what makes a plan in which everything changes stop: people edit all of them between two runs.
const mostTickets = 45

var ticketIDs = regexp.MustCompile(`T-\d{4}`)

var columns = [2][]string{{"title", "urgency", "body"}, {"short_description", "urgency", "description"}}

// act is one thing that somebody does.
func (p *people) act() {
	m := p.m
	id := ticketID(p.r.IntN(p.n))
	if _, gone := p.gone[id]; gone {
		return
	}
	p.serial++
	field := p.r.IntN(3)
	value := fmt.Sprintf("said %06d", p.serial)
	if field == 1 {
		value = pick(p.r, []string{"1", "2", "3"})
	}
	side := record.Side(p.r.IntN(2))
	inc := m.incident(id)
	linked := inc != nil && m.count(`SELECT count(*) FROM tickets WHERE id = ? AND number = ?`, id, inc["number"]) == 1
	switch x := p.r.IntN(100); {
	case x < 6 && p.n < mostTickets:
		m.ticket(ticketID(p.n), value)
		p.n++
		p.done["tickets"]++
	case x < 7 && linked && len(p.gone) < 8:
		p.gone[id] = side
		if side == record.Left {
			m.exec(`DELETE FROM tickets WHERE id = ?`, id)
		} else {
			m.snow.Load().Delete("incident", inc["sys_id"])
		}
		p.done["deletes"]++
	case x < 17 && linked:
		text := fmt.Sprintf("note %06d", p.serial)
		p.said[side][id] = append(p.said[side][id], text)
		if side == record.Left {
			m.exec(`INSERT INTO ticket_comments (ticket_id, body, author, created_at) VALUES (?, ?, 'ann', ?)`, id, text, m.now().UTC())
		} else {
			p.update(inc, "work_notes", text)
		}
		p.done["comments"]++
	case side == record.Left:
		m.exec(`UPDATE tickets SET `+columns[0][field]+` = ?, updated_at = ? WHERE id = ?`, value, m.now().UTC(), id)
		p.wrote(side, id, field, value)
	case inc != nil:
		p.update(inc, columns[1][field], value)
		p.wrote(side, id, field, value)
	}
}

func (p *people) update(inc map[string]string, field, value string) {
	if err := p.m.snow.Load().Update("incident", inc["sys_id"], "beth.anglin", map[string]string{field: value}); err != nil {
		p.m.t.Error(err)
	}
}

func (p *people) wrote(s record.Side, id string, field int, value string) {
	if p.last[s][id] == nil {
		p.last[s][id] = map[string]string{}
	}
	p.last[s][id][columns[0][field]] = value
	p.done["edits"]++
}

// check holds both sides, and the history, to what people did.
func (p *people) check() {
	m, t := p.m, p.m.t
	t.Helper()
	if out, code := m.run("plan", "--full"); code != exitOK {
		t.Errorf("the next plan is not empty:\n%s", out)
	}
	for _, what := range []string{"conflicts", "holds"} {
		out, code := m.run(what)
		for _, id := range ticketIDs.FindAllString(out, -1) {
			if _, gone := p.gone[id]; !gone { // a record that was edited is kept when its twin is deleted
				t.Errorf("%s waits:\n%s", id, out)
			}
		}
		if code != exitOK {
			t.Errorf("%s ends with %d:\n%s", what, code, out)
		}
	}
	m.single()
	kept := p.history()
	live := 0
	for i := range p.n {
		id := ticketID(i)
		list := m.snow.Load().Find("incident", "correlation_id", id)
		if side, gone := p.gone[id]; gone {
			if tickets := m.count(`SELECT count(*) FROM tickets WHERE id = ?`, id); tickets+len(list) != 1 {
				t.Errorf("%s was deleted on the %s: %d tickets and %d incidents are left", id, side, tickets, len(list))
			}
			continue
		}
		live++
		if len(list) != 1 {
			t.Errorf("%d incidents for %s, want exactly one", len(list), id)
			continue
		}
		shows := map[string]string{"title": list[0]["short_description"], "urgency": list[0]["urgency"], "body": list[0]["description"], "number": list[0]["number"]}
		ticket := map[string]string{}
		var title, urgency, body, number string
		if err := m.db.QueryRow(`SELECT title, urgency, body, coalesce(number, '') FROM tickets WHERE id = ?`, id).Scan(&title, &urgency, &body, &number); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		ticket["title"], ticket["urgency"], ticket["body"], ticket["number"] = title, urgency, body, number
		if !maps.Equal(ticket, shows) {
			t.Errorf("%s: the ticket shows %v, the incident %v", id, ticket, shows)
		}
		for s := range p.last {
			for field, value := range p.last[s][id] {
				if field != "urgency" && ticket[field] != value && !kept[id][value] {
					t.Errorf("%s: %q, which somebody wrote into %s of the %s, is neither live nor in the history\n%s", id, value, field, record.Side(s), p.story(id, list[0]["sys_id"], field))
				}
			}
		}
		p.checkTalk(id, list[0]["sys_id"])
	}
	p.done["live pairs"] = live
}

// story is what the instance and fieldsync remember of a field of a ticket.
func (p *people) story(id, sysID, field string) string {
	column := map[string]string{"title": "short_description", "body": "description"}[field]
	var b strings.Builder
	for _, e := range p.m.snow.Load().Find("sys_audit", "documentkey", sysID) {
		if e["fieldname"] == column {
			fmt.Fprintf(&b, "  audit %s: %q → %q by %s (%s)\n", e["sys_created_on"], e["oldvalue"], e["newvalue"], e["user"], e["record_checkpoint"])
		}
	}
	out, _ := p.m.run("blame", "desk", id, field)
	return b.String() + out
}

// checkTalk holds both sides to each comment once.
func (p *people) checkTalk(id, sysID string) {
	m, t := p.m, p.m.t
	var notes []string
	for _, e := range m.snow.Load().Find("sys_journal_field", "element_id", sysID) {
		if e["element"] == "work_notes" {
			notes = append(notes, e["value"])
		}
	}
	for s := range p.said {
		for _, text := range p.said[s][id] {
			there := m.count(`SELECT count(*) FROM ticket_comments WHERE ticket_id = ? AND body LIKE '%' || ?`, id, text)
			here := 0
			for _, n := range notes {
				if strings.HasSuffix(n, text) {
					here++
				}
			}
			if there != 1 || here != 1 {
				t.Errorf("%s: %q, said on the %s, stands %d times on the ticket and %d times on the incident", id, text, record.Side(s), there, here)
			}
		}
	}
}

// history is every value that the history holds, by ticket.
func (p *people) history() map[string]map[string]bool {
	t := p.m.t
	store, err := state.Open(filepath.Join(p.m.dir, "state", "fieldsync.db"), state.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	book, err := store.Book(t.Context(), "desk", [2][]string{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]map[string]bool{}
	for i := range p.n {
		id := ticketID(i)
		kept[id] = map[string]bool{}
		l, err := book.Link(t.Context(), record.Left, id)
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			continue
		}
		for _, e := range historyOf(t, book, l.ID) {
			kept[id][e.Value.Plain()] = true
		}
	}
	return kept
}

func historyOf(t *testing.T, book engine.Book, link int64) (list []engine.Entry) {
	t.Helper()
	if err := book.History(t.Context(), link, func(e engine.Entry) error { list = append(list, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func waitStatus(err error) (syscall.WaitStatus, bool) {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return 0, false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return status, ok
}
