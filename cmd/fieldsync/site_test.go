package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	alarmsim "github.com/fieldsync/fieldsync/connectors/dataminer/sim"
	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/report"
)

// A site is the world of the demo with fieldsync serve in the middle: a help desk, an instance, alarms, the shipped
// mapping without its schedules, so that only what a test asks for is run.
type site struct {
	t    *testing.T
	desk *demo
	snow *snowsim.Server
	url  string
	stop func()

	alarms *httptest.Server

	listen string // "": a port of this machine

	mu   sync.Mutex
	gate chan struct{} // not nil: writes to the instance wait until it is closed
	log  bytes.Buffer

	refuse atomic.Bool // the instance refuses every write
	asked  []time.Time // when the instance was
}

// consolePassword is that of a user of the instance, and looks different in HTML, JSON, HCL and addresses.
const consolePassword = `p&ss"w<rd+1`

// newSite starts a site with four tickets; edit may change the mapping files before.
func newSite(t *testing.T, edit func(name, text string) string) *site {
	t.Helper()
	users := append(snowsim.DefaultUsers(), snowsim.User{Login: "console", Password: consolePassword, Roles: []string{"admin"}})
	s := &site{t: t, snow: snowsim.New(snowsim.Options{Users: users})}
	mask := &project.Secrets{}
	quiet := func() *project.Masked { return mask.Over(io.Discard) }
	s.desk = &demo{app: &app{out: quiet(), err: quiet(), now: time.Now, getenv: os.LookupEnv}, folder: t.TempDir(), snow: s.snow}
	if err := s.desk.lay(); err != nil {
		t.Fatal(err)
	}
	noc := alarmsim.New(alarmsim.Options{Properties: []string{"Incident Status", "Incident Number", "Ticket ID"}})
	instance, alarms := httptest.NewServer(s), httptest.NewServer(noc)
	t.Cleanup(instance.Close)
	t.Cleanup(alarms.Close)
	s.alarms = alarms
	db, err := filepath.Abs(s.desk.path(demoDesk))
	if err != nil {
		t.Fatal(err)
	}
	s.desk.env = map[string]string{"SNOW_URL": instance.URL, "SNOW_USER": "admin", "SNOW_PASSWORD": "admin", "NOC_URL": alarms.URL, "HELPDESK_DSN": db}
	files, err := filepath.Glob(s.desk.path("mappings/*.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		s.edit(filepath.Base(f), func(text string) string {
			text = strings.ReplaceAll(text, `schedule  = "*/2 * * * *"`, "")
			if edit != nil {
				text = edit(filepath.Base(f), text)
			}
			return text
		})
	}
	s.tell(`INSERT INTO tickets (id, title, description, status, priority, queue) VALUES
		('T-1001', 'Router 7 down', 'No route to site B since 08:12', 'open', 1, 'noc'),
		('T-1002', 'Input bitrate low on IRD 7', NULL, 'new', 2, 'noc'),
		('T-1003', 'Fan <script>alert(1)</script> & "failure" in rack 12', NULL, 'new', 4, 'noc'),
		('T-1004', 'Certificate of portal expires', 'On 1 December', 'new', 3, 'noc')`)
	return s
}

// serve runs fieldsync serve until the test ends, or stop is called.
func (s *site) serve() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	r, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		code := run(ctx, []string{"serve", "-d", s.desk.path("mappings"), "--listen", cmp.Or(s.listen, "127.0.0.1:0"), "--json"}, stdio{In: strings.NewReader(""), Out: io.Discard, Err: w, Getenv: s.desk.lookup})
		w.Close()
		ended <- code
	}()
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			s.mu.Lock()
			s.log.Write(lines.Bytes())
			s.log.WriteByte('\n')
			s.mu.Unlock()
			var l struct{ Msg, Listen string }
			if json.Unmarshal(lines.Bytes(), &l) == nil && l.Msg == "serving" {
				address <- l.Listen
			}
		}
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			s.t.Error("serve does not stop")
		}
	})
	s.t.Cleanup(s.stop)
	select {
	case a := <-address:
		s.url = "http://" + strings.Replace(a, "[::]", "127.0.0.1", 1)
	case code := <-ended:
		s.t.Fatalf("serve ended with %d:\n%s", code, s.said())
	case <-time.After(30 * time.Second):
		s.t.Fatalf("serve does not begin:\n%s", s.said())
	}
	s.until("the service is ready", func() bool { _, code := s.get("/readyz"); return code == http.StatusOK })
}

func (s *site) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// ServeHTTP is the instance, behind the gate.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	gate := s.gate
	s.asked = append(s.asked, time.Now())
	s.mu.Unlock()
	if gate != nil && r.Method != http.MethodGet {
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
	}
	if s.refuse.Load() && r.Method != http.MethodGet {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"error":{"message":"Operation Failed","detail":"ACL Exception Update Failed due to security constraints"},"status":"failure"}`)
		return
	}
	s.snow.ServeHTTP(w, r)
}

// shut closes the gate; open opens it again.
func (s *site) shut() (open func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gate := make(chan struct{})
	s.gate = gate
	return sync.OnceFunc(func() { close(gate); s.mu.Lock(); s.gate = nil; s.mu.Unlock() })
}

// tell is an agent at the help desk.
func (s *site) tell(query string, args ...any) {
	s.t.Helper()
	s.desk.desk(query, args...)
	if s.desk.failed != nil {
		s.t.Fatal(s.desk.failed)
	}
}

// ticket is one column of a ticket, as text.
func (s *site) ticket(id, column string) string {
	s.t.Helper()
	out, err := query(s.desk.path(demoDesk), "SELECT "+column+" FROM tickets WHERE id = '"+id+"'")
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// incident is the incident of a ticket.
func (s *site) incident(ticket string) map[string]string {
	s.t.Helper()
	list := s.snow.Find("incident", "correlation_id", ticket)
	if len(list) != 1 {
		s.t.Fatalf("%d incidents of %s", len(list), ticket)
	}
	return list[0]
}

// work is an agent at the instance.
func (s *site) work(ticket string, fields map[string]string) {
	s.t.Helper()
	if err := s.snow.Update("incident", s.incident(ticket)["sys_id"], "beth.anglin", fields); err != nil {
		s.t.Fatal(err)
	}
}

// edit changes a mapping file.
func (s *site) edit(name string, change func(string) string) {
	s.t.Helper()
	file := filepath.Join(s.desk.path("mappings"), name)
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(change(string(text))), 0o644)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) get(path string) (body string, code int) {
	s.t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		return err.Error(), 0
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data), resp.StatusCode
}

// json asks the API.
func (s *site) json(path string, into any) {
	s.t.Helper()
	body, code := s.get("/api/v1" + path)
	if code != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s", path, code, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		s.t.Fatalf("GET %s: %v", path, err)
	}
}

// post acts through the API.
func (s *site) post(path string, fields ...string) (body string, code int) {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	resp, err := http.PostForm(s.url+"/api/v1"+path, form)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data), resp.StatusCode
}

// do is post of an act that has to work.
func (s *site) do(path string, fields ...string) {
	s.t.Helper()
	if body, code := s.post(path, fields...); code != http.StatusOK {
		s.t.Fatalf("POST %s: %d %s", path, code, body)
	}
}

func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited for nothing: %s\n%s", what, s.said())
		}
	}
}

const mainSync = "/syncs/ticket_to_incident"

// run has the sync of the tickets run once, to its end; how are fields of the act.
func (s *site) run(how ...string) report.Status {
	s.t.Helper()
	var before, after struct {
		Sync struct {
			report.Status
			Running *struct{} `json:"running"`
		} `json:"sync"`
	}
	s.json(mainSync, &before)
	s.do(mainSync+"/run", how...)
	s.until("the run is over", func() bool {
		after.Sync.Running, after.Sync.Status = nil, report.Status{} // what is not in an answer is not of it
		s.json(mainSync, &after)
		last := after.Sync.LastRun
		return last != nil && !last.Ended.IsZero() && (before.Sync.LastRun == nil || last.ID > before.Sync.LastRun.ID) && after.Sync.Running == nil
	})
	return after.Sync.Status
}

// accounted reports an act that was not kept with its reason.
func (s *site) accounted(action, why string) {
	s.t.Helper()
	var out bytes.Buffer
	code := run(s.t.Context(), []string{"audit", "-d", s.desk.path("mappings"), "--json"}, stdio{In: strings.NewReader(""), Out: &out, Err: io.Discard, Getenv: s.desk.lookup})
	var acts []engine.Act
	if err := json.Unmarshal(out.Bytes(), &acts); code != exitOK || err != nil {
		s.t.Fatalf("audit ends with %d: %v\n%s", code, err, out.String())
	}
	if !slices.ContainsFunc(acts, func(a engine.Act) bool { return a.Action == action && a.Why == why && a.By == "loopback" }) {
		s.t.Errorf("nobody is known to have done %s because %s: %v", action, why, acts)
	}
}
