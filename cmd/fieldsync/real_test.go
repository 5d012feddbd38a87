package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// TestTwoHundredTicketsOfARealToolEndAgreed starts real servers, lets a hundred tickets begin in each and a hundred in
// ServiceNow, has people work on both sides, kills fieldsync while it writes, and holds both sides, asked directly, to what
// people did.
func TestTwoHundredTicketsOfARealToolEndAgreed(t *testing.T) {
	t.Parallel() // it mostly waits for the tools
	for _, tool := range []struct {
		name string
		open func(*testing.T) ticketing
	}{
		{"Redmine", openRedmine},
		{"Request Tracker", openTracker},
		{"PostgreSQL", openPostgres},
		{"MariaDB", openMariaDB},
	} {
		t.Run(tool.name, func(t *testing.T) {
			t.Parallel()
			newTrial(t, tool.open(t)).run()
		})
	}
}

// ticketing is where the tickets are: a real server, on which people work past fieldsync.
type ticketing interface {
	// mapping is the connection "desk", and what the rules of the sync are made with.
	mapping() (connection string, terms terms)
	env() []string
	// count lets requests pass through a gate, or tells how they are counted otherwise.
	count(*trial) (what string, n func() int64)

	add(t *testing.T, list []ticket) (ids []string)
	edit(t *testing.T, id string, f ticket) // what is not empty
	comment(t *testing.T, id, text string)
	remove(t *testing.T, id string)
	all(t *testing.T) map[string]ticket // by id, with comments
}

// A ticket is what both sides show of it, in the words of ServiceNow.
type ticket struct {
	title, text string
	state       string // of an incident
	priority    string // "1" to "5"
	number      string // of the incident
	comments    []string
}

// terms are the paths of a tool, and how it says things.
type terms struct {
	collection, marker, title, text, state, priority, number, comments, notes string
	states                                                                    [][2]string // the tool's, the incident's
	toIncident, toTicket                                                      string      // of the priority
}

const trialMapping = `
fieldsync { state = "fieldsync.db" }
connection "servicenow" "prod" {
  url    = env("SNOW_URL")
  lag    = "0s"
  settle = "1s"
  auth "basic" {
    username = "fieldsync"
    password = env("SNOW_PASSWORD")
  }
}
{{connection}}
translation "state" {
  columns = ["ticket", "incident"]
  lossy   = true
  rows    = {{states}}
}
sync "desk" {
  first    = "incident"
  conflict = "ticket"
  side "ticket" {
    connection = connection.desk
    collection = "{{collection}}"
    create     = true
  }
  side "incident" {
    connection = connection.prod
    collection = "incident"
    create     = true
  }
  match {
    ticket   = "id"
    incident = "correlation_id"
  }
  match {
    ticket   = "{{marker}}"
    incident = "number"
  }
  field "title" {
    ticket   = "{{title}}"
    incident = "short_description"
  }
  field "text" {
    ticket   = "{{text}}"
    incident = "description"
  }
  field "state" {
    ticket   = "{{state}}"
    incident = "state"
    via      = translation.state
  }
  field "priority" {
    ticket      = "{{priority}}"
    incident    = ["impact", "urgency"]
    to_incident = "{{toIncident}}"
    to_ticket   = "{{toTicket}}"
  }
  field "closing" {
    flow        = "ticket -> incident"
    incident    = ["close_code", "close_notes"]
    when        = "ticket.{{state}} in {{closed}}"
    strength    = "if_empty"
    to_incident = "['Solution provided', 'done']"
  }
  field "number" {
    flow     = "ticket <- incident"
    ticket   = "{{number}}"
    incident = "number"
  }
  comments {
    ticket   = "{{comments}}"
    incident = "{{notes}}"
    format   = "'[' + author + '] ' + text"
  }
  on_gone "ticket" {
    then = "update"
    set  = { state = "8" }
  }
  on_gone "incident" { then = "delete" }
  limits {
    creates = 300
    updates = 1000
    deletes = 50
  }
}
`

// A trial is one tool, one instance, and the fieldsync between them.
type trial struct {
	*testing.T
	tool ticketing
	dir  string
	snow *snowsim.Server
	env  []string
	r    *rand.Rand

	what     string       // the tool counts
	counted  func() int64 // by the tool
	mu       sync.Mutex
	child    *exec.Cmd
	fuse     int // writes until the process is killed; 0: never
	how      fuse
	pairs    []*pair
	changes  int // that people made since the last apply
	comments int
}

// A pair is a ticket and its incident, as they should be.
type pair struct {
	ticket
	n      int
	id     string // of the ticket
	sysID  string
	gone   bool // one was deleted
	closed bool // and read only
	said   []string
}

// seed of whatever is left to chance.
const trialSeed = 20

func newTrial(t *testing.T, tool ticketing) *trial {
	x := &trial{T: t, tool: tool, dir: t.TempDir(), r: rand.New(rand.NewPCG(trialSeed, 1))}
	x.snow = snowsim.New(snowsim.Options{Seed: trialSeed, Users: []snowsim.User{{Login: "fieldsync", Name: "fieldsync", Password: "secret", Roles: []string{"itil", "itil_admin"}}}})
	x.what, x.counted = tool.count(x)
	x.env = append(tool.env(), "SNOW_PASSWORD=secret", "SNOW_URL="+x.gate(x.snow))
	connection, w := tool.mapping()
	states, closed := []string{}, []string{}
	for _, s := range w.states {
		states = append(states, fmt.Sprintf("[%q, %q]", s[0], s[1]))
		if s[1] == "6" || s[1] == "7" {
			closed = append(closed, "'"+s[0]+"'")
		}
	}
	text := strings.NewReplacer("{{connection}}", connection, "{{states}}", "["+strings.Join(states, ", ")+"]", "{{closed}}", "["+strings.Join(closed, ", ")+"]",
		"{{collection}}", w.collection, "{{marker}}", w.marker, "{{title}}", w.title, "{{text}}", w.text, "{{state}}", w.state, "{{priority}}", w.priority,
		"{{number}}", w.number, "{{comments}}", w.comments, "{{notes}}", w.notes, "{{toIncident}}", w.toIncident, "{{toTicket}}", w.toTicket).Replace(trialMapping)
	if err := os.WriteFile(filepath.Join(x.dir, "desk.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return x
}

// gate serves a handler, in front of which a write may kill who sends it.
func (x *trial) gate(h http.Handler) (address string) {
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		how, strikes := x.burn(r)
		if strikes && how != silent {
			x.kill()
		}
		if !strikes || how != lost {
			h.ServeHTTP(rw, r)
		}
		if strikes && how == silent {
			x.kill()
		}
	}))
	x.Cleanup(srv.Close)
	return srv.URL
}

// pass is a gate in front of a tool, and how many requests went through it.
func (x *trial) pass(to string) (address string, n func() int64) {
	u, err := url.Parse(to)
	if err != nil {
		x.Fatal(err)
	}
	var count countedHandler
	count.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }, ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, err error) {
		rw.WriteHeader(http.StatusBadGateway) // whoever sent it was killed
	}}
	return x.gate(&count), count.n.Load
}

type countedHandler struct {
	http.Handler
	n atomic.Int64
}

func (c *countedHandler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	c.n.Add(1)
	c.Handler.ServeHTTP(rw, r)
}

// burn counts a write down, and reports whether it is the one that kills.
func (x *trial) burn(r *http.Request) (fuse, bool) {
	if r.Method == http.MethodGet {
		return 0, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.fuse == 0 {
		return 0, false
	}
	x.fuse--
	return x.how, x.fuse == 0
}

func (x *trial) kill() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.child != nil {
		_ = x.child.Process.Kill() // it may have ended
	}
}

// fieldsync runs a process of it until it ends, or until the fuse burns down.
func (x *trial) fieldsync(args ...string) (string, error) {
	x.Helper()
	var out bytes.Buffer
	c := exec.Command("fieldsync", append(args, "-d", x.dir)...)
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), x.env...), &out, &out
	x.mu.Lock()
	err := c.Start()
	x.child = c
	x.mu.Unlock()
	if err != nil {
		x.Fatal(err)
	}
	err = c.Wait()
	x.mu.Lock()
	x.child, x.fuse = nil, 0
	x.mu.Unlock()
	return out.String(), err
}

// killed carries out a plan until the nth write, on either side.
func (x *trial) killed(n int) {
	x.Helper()
	x.fuse, x.how = n, fuse(x.r.IntN(3))
	out, err := x.fieldsync("apply", "--yes")
	if status, ok := waitStatus(err); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		x.Fatalf("it was to be killed at write %d, and ended with %v:\n%s", n, err, out)
	}
	if out, err := x.fieldsync("state", "check"); err != nil {
		x.Fatalf("the state after the kill: %v\n%s", err, out)
	}
}

// settle applies until there is nothing to do, and tells what that took. Unless kill is 0, the first run is killed at that
// write.
func (x *trial) settle(stage string, kill int) {
	x.Helper()
	began, here, there := time.Now(), x.snow.Requests(), x.counted()
	if kill > 0 {
		x.killed(kill)
	}
	const most = 6
	for i := 1; ; i++ {
		out, err := x.fieldsync("apply", "--yes")
		if err != nil {
			x.Fatalf("%s: apply ends with %v:\n%s", stage, err, out)
		}
		if strings.Contains(out, "nothing to do") {
			break
		}
		if i == most {
			x.Fatalf("%s: there is still something to do after %d runs:\n%s", stage, most, out)
		}
	}
	took, here, there := time.Since(began), x.snow.Requests()-here, x.counted()-there
	x.Logf("%s: %d changes in %s; requests per change: ServiceNow %.1f, %s per change: %.1f",
		stage, x.changes, took.Round(100*time.Millisecond), float64(here)/float64(x.changes), x.what, float64(there)/float64(x.changes))
	x.changes = 0
}

const beginners = 100 // records that begin on a side

var trialStates = []string{"1", "2", "3"}

func (x *trial) run() {
	began := time.Now()
	for n := range 2 * beginners {
		p := &pair{n: n, ticket: ticket{title: fmt.Sprintf("Line %03d is down", n), text: fmt.Sprintf("Since noon.\nSite %d: grüße, 日本, 🚒 & <b>", n),
			state: pick(x.r, trialStates), priority: strconv.Itoa(1 + x.r.IntN(5))}}
		x.pairs = append(x.pairs, p)
	}
	x.tickets(x.pairs[:beginners])
	for _, p := range x.pairs[beginners:] {
		x.incident(p)
	}
	for _, p := range slices.Concat(x.pairs[:20], x.pairs[beginners:beginners+20]) { // before the twin is made: it gets what was said
		x.say(p, p.n >= beginners)
	}
	x.changes += 2 * beginners
	if out, err := x.fieldsync("validate"); err != nil {
		x.Fatalf("validate: %v\n%s", err, out)
	}
	x.settle("200 new records, killed once", 20+x.r.IntN(100))
	x.meet()
	x.check("after the creates")

	x.work()
	x.settle("edits, comments, closes and deletes, killed once", 20+x.r.IntN(60))
	x.check("after the kill among edits")

	x.work()
	x.settle("edits, comments, closes and deletes", 0)
	x.check("in the end")
	if out, err := x.fieldsync("plan", "--full"); err != nil {
		x.Errorf("the next plan is not empty: %v\n%s", err, out)
	}
	x.Logf("all in %s", time.Since(began).Round(time.Second))
}
