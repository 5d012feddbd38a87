package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	alarmsim "github.com/fieldsync/fieldsync/connectors/dataminer/sim"
	ilertsim "github.com/fieldsync/fieldsync/connectors/ilert/sim"
	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// A stage is a ServiceNow instance, a DataMiner system and an ilert account with fieldsync between them. All go by one
// clock, which moves with the machine's and with pass.
type stage struct {
	t    *testing.T
	dir  string
	snow *snowsim.Server
	noc  *alarmsim.Server
	ops  *ilertsim.Server

	mu    sync.Mutex
	env   map[string]string
	ahead time.Duration
}

// threeProperties are those that incidents are shown by.
var threeProperties = []string{"Incident Status", "Incident Number", "Ticket ID"}

// newStage sets the systems up, the alarm properties among them, and writes the mapping.
func newStage(t *testing.T, mapping string) *stage {
	s := &stage{t: t, dir: t.TempDir()}
	s.snow = snowsim.New(snowsim.Options{Now: s.now})
	s.noc = alarmsim.New(alarmsim.Options{Now: s.now, Properties: threeProperties, Token: "bridge-token"})
	s.ops = ilertsim.New(ilertsim.Options{Now: s.now})
	s.must(s.ops.Switch("rate=off"))
	snow, noc, ops := httptest.NewServer(s.snow), httptest.NewServer(s.noc), httptest.NewServer(s.ops)
	t.Cleanup(func() { snow.Close(); noc.Close(); ops.Close() })
	s.env = map[string]string{
		"SNOW_URL": snow.URL, "SNOW_USER": "integration", "SNOW_PASSWORD": "secret",
		"NOC_URL": noc.URL, "NOC_USER": alarmsim.User, "NOC_PASSWORD": alarmsim.Password, "NOC_TOKEN": "bridge-token",
		"ILERT_URL": ops.URL + "/api", "ILERT_API_KEY": ilertsim.DefaultUsers()[0].APIKey, "ILERT_KEY": ilertsim.DefaultSources()[1].Key,
	}
	s.mapping(mapping)
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.ahead)
}

func (s *stage) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
}

// mapping writes the mapping, in place of the one before.
func (s *stage) mapping(text string) {
	s.t.Helper()
	s.must(os.WriteFile(filepath.Join(s.dir, "mapping.hcl"), []byte(text), 0o600))
}

// edited is text with old replaced by new, which has to be in it.
func (s *stage) edited(text string, pairs ...string) string {
	s.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			s.t.Fatalf("the mapping has no %q", pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// setenv changes what the mapping reads from the environment.
func (s *stage) setenv(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	env := maps.Clone(s.env)
	env[name] = value
	s.env = env
}

func (s *stage) stdio(out io.Writer) stdio {
	s.mu.Lock()
	env := s.env
	s.mu.Unlock()
	return stdio{In: strings.NewReader(""), Out: out, Err: out, Now: s.now, Getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
}

// run is a command, half a minute after what was done before it.
func (s *stage) run(args ...string) (string, int) {
	s.pass(30 * time.Second)
	var out bytes.Buffer
	code := run(s.t.Context(), append(args, "-d", s.dir), s.stdio(&out))
	return out.String(), code
}

// ends is a command that has to end with a code.
func (s *stage) ends(code int, args ...string) string {
	s.t.Helper()
	out, got := s.run(args...)
	if got != code {
		s.t.Fatalf("%v ends with %d, want %d:\n%s", args, got, code, out)
	}
	return out
}

// says is a command that has to end with a code and to say each of some things.
func (s *stage) says(code int, args []string, want ...string) {
	s.t.Helper()
	out := s.ends(code, args...)
	for _, w := range want {
		if !strings.Contains(out, w) {
			s.t.Errorf("%v does not say %q:\n%s", args, w, out)
		}
	}
}

// apply runs all syncs once.
func (s *stage) apply() string {
	s.t.Helper()
	return s.ends(exitOK, "apply", "--yes")
}

// quiet holds the systems to that nothing is left to write, however whole one looks.
func (s *stage) quiet() {
	s.t.Helper()
	before := s.writes()
	s.ends(exitOK, "plan")
	s.ends(exitOK, "apply", "--yes", "--full")
	if after := s.writes(); after != before {
		s.t.Errorf("writes when nothing has changed: %d became %d (incidents, DataMiner, ilert)", before, after)
	}
}

// writes counts what the three systems were sent to change.
func (s *stage) writes() [3]int {
	return [3]int{int(s.snow.Writes()), s.noc.Writes(), s.ops.Writes()}
}

// serve runs the service while during does something, and stops it as an operator does.
func (s *stage) serve(during func()) string {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	var out said
	done := make(chan int, 1)
	go func() { done <- run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "-d", s.dir}, s.stdio(&out)) }()
	defer func() {
		stop()
		if code := <-done; code != exitOK && !s.t.Failed() {
			s.t.Errorf("serve ends with %d:\n%s", code, out.String())
		}
	}()
	during()
	stop()
	code := <-done
	done <- code
	return out.String()
}

// until waits for something that a running service brings about.
func (s *stage) until(what string, is func() bool) {
	s.t.Helper()
	end := time.After(20 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); !is(); {
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// said is what a running service says, from wherever.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// incidents are some fields of all incidents, in the order of their numbers.
func (s *stage) incidents(fields ...string) []string {
	list := map[string]string{}
	for _, in := range s.snow.All("incident") {
		var cells []string
		for _, f := range fields {
			cells = append(cells, in[f])
		}
		list[in["number"]] = strings.Join(cells, "|")
	}
	return inKeyOrder(list)
}

func inKeyOrder(m map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

// incident is the one whose field has a value.
func (s *stage) incident(field, value string) map[string]string {
	s.t.Helper()
	found := s.snow.Find("incident", field, value)
	if len(found) != 1 {
		s.t.Fatalf("%d incidents have the %s %q, want one", len(found), field, value)
	}
	return found[0]
}

// edit changes the incident of a correlation_id as a person does.
func (s *stage) edit(correlation string, fields map[string]string) {
	s.t.Helper()
	s.pass(10 * time.Second)
	s.must(s.snow.Update("incident", s.incident("correlation_id", correlation)["sys_id"], "people", fields))
}

// ticket is a ticket's fields.
func (s *stage) ticket(key string) map[string]string {
	s.t.Helper()
	for _, t := range s.noc.Tickets() {
		if fmt.Sprintf("157/%d", t.ID) == key {
			return t.Fields
		}
	}
	s.t.Fatalf("there is no ticket %s", key)
	return nil
}

// same holds what is to what should be.
func (s *stage) same(what string, got, want any) {
	s.t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		s.t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// approve runs a command that stops before its first write, and once more with the approval that it asks for.
func (s *stage) approve(args ...string) string {
	s.t.Helper()
	out := s.ends(exitStopped, args...)
	return s.ends(exitOK, append(args, "--approve", approvalIn(s.t, out))...)
}

// approveIfAsked is approve where the command may also go through at once.
func (s *stage) approveIfAsked(args ...string) {
	s.t.Helper()
	if out, code := s.run(args...); code == exitStopped {
		s.ends(exitOK, append(args, "--approve", approvalIn(s.t, out))...)
	} else if code != exitOK {
		s.t.Fatalf("%v ends with %d:\n%s", args, code, out)
	}
}

func approvalIn(t *testing.T, out string) string {
	t.Helper()
	found := regexp.MustCompile(`--approve ([0-9a-f]+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no approval is asked for:\n%s", out)
	}
	return found[1]
}

// halfDay is longer than what failed waits before it is tried again.
const halfDay = 12 * time.Hour
