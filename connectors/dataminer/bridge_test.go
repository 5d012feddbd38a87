package dataminer_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/dataminer"
	"github.com/fieldsync/fieldsync/engine/record"
)

// TestTheScriptsCompile has a C# compiler read the scripts against declarations of what they use. DataMiner's own libraries
// are not public: that the declarations agree with them is not known.
func TestTheScriptsCompile(t *testing.T) {
	mcs, err := exec.LookPath("mcs")
	if err != nil {
		t.Skip("there is no C# compiler: install mono-mcs (apt-get install mono-mcs)")
	}
	for _, script := range []string{"FieldSyncBridge.cs", "FieldSyncTickets.cs"} {
		t.Run(script, func(t *testing.T) {
			out, err := exec.Command(mcs, "-target:library", "-langversion:7", "-warnaserror", "-out:"+filepath.Join(t.TempDir(), "script.dll"),
				filepath.Join("bridge", script), filepath.Join("bridge", "testdata", "declarations.cs"), filepath.Join("bridge", "testdata", "json.cs")).CombinedOutput()
			if err != nil {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}

// jsonLibrary is where Debian has Newtonsoft.Json, which DataMiner brings along.
const jsonLibrary = "/usr/lib/cli/Newtonsoft.Json-5.0/Newtonsoft.Json.dll"

// A host is one of the scripts behind a web server, on stand-ins for what it uses of DataMiner.
type host struct{ url string }

// hosted starts one, where something runs C#.
func hosted(t *testing.T, script string) *host {
	t.Helper()
	mcs, err := exec.LookPath("mcs")
	mono, merr := exec.LookPath("mono")
	if _, jerr := os.Stat(jsonLibrary); err != nil || merr != nil || jerr != nil {
		t.Skip("nothing runs C# here: apt-get install mono-mcs libnewtonsoft-json5.0-cil")
	}
	program := filepath.Join(t.TempDir(), "host.exe")
	out, err := exec.Command(mcs, "-langversion:7", "-r:"+jsonLibrary, "-out:"+program, filepath.Join("bridge", script),
		filepath.Join("bridge", "testdata", "declarations.cs"), filepath.Join("bridge", "testdata", "host.cs")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // the host wants a port that is free
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	run := exec.Command(mono, program, port)
	stdin, err := run.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	run.Stderr = &complaints
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // which ends it
		if err := run.Wait(); err != nil || t.Failed() {
			t.Logf("the host ends with %v and says:\n%s", err, complaints.String())
		}
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "serving\n" {
		t.Fatalf("the host says %q, %v", line, err)
	}
	return &host{"http://" + address}
}

// do is what an operator does; the GUID, or the key, of what came of it is returned.
func (h *host) do(t *testing.T, method, route string, query url.Values, body any) string {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if len(query) > 0 {
		route += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(t.Context(), method, h.url+route, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var made struct{ GUID string }
	if _ = json.NewDecoder(resp.Body).Decode(&made); resp.StatusCode >= 300 { // a delete has no body
		t.Fatalf("%s %s: %s", method, route, resp.Status)
	}
	return made.GUID
}

// empty takes everything away, and opens a collection.
func (h *host) empty(t *testing.T, collection string) (connectors.Connection, connectors.Collection) {
	t.Helper()
	h.do(t, http.MethodPost, "/forget", nil, nil)
	s := &dataminer.Settings{PageSize: 40, Bridge: &dataminer.Bridge{URL: h.url}}
	conn, err := s.Open(connectors.Env{Name: "noc"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := conn.Collection(t.Context(), collection)
	if err != nil {
		t.Fatal(err)
	}
	return conn, c
}

// TestTheScriptForTicketsConforms runs the script for tickets and holds the connector to the suite against it: that both ends
// of the protocol were written to the same words.
func TestTheScriptForTicketsConforms(t *testing.T) {
	h := hosted(t, "FieldSyncTickets.cs")
	set := func(f record.Fields) map[string]any {
		values := map[string]string{}
		for path, v := range f {
			values[path] = v.Text()
		}
		return map[string]any{"set": values}
	}
	const ticket = "/api/custom/fieldsync/ticket"
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"description", "id", "external.ServiceNow", "state", "name", "number", "priority", "type", "modified", "alarm"},
		Sample: func(i int) record.Fields {
			n := strconv.Itoa(i)
			return record.Fields{"name": record.OfText("line " + n + " is down"), "external.ServiceNow": record.OfText("INC" + n), "description": record.OfText("text " + n),
				"type": record.OfText("Generic Issue"), "state": record.OfText([]string{"acknowledged", "inProgress", "closed"}[i%3])}
		},
		Marker: "external.ServiceNow", Text: "description", Thread: "notes", Incremental: true,
		Missing: func(i int) string { return fmt.Sprintf("9b2f0c52-0000-4a35-8a6b-%012x", i) },
		Open: func(t *testing.T) connectortest.System {
			conn, c := h.empty(t, "sdm_tickets")
			return connectortest.System{
				Connection: conn, Collection: c,
				Add: func(t *testing.T, f record.Fields) string { return h.do(t, http.MethodPost, ticket, nil, set(f)) },
				Edit: func(t *testing.T, key string, f record.Fields) {
					h.do(t, http.MethodPut, ticket, url.Values{"id": {key}}, set(f))
				},
				Remove: func(t *testing.T, key string) { h.do(t, http.MethodDelete, ticket, url.Values{"id": {key}}, nil) },
			}
		},
	})
}

// TestTheScriptForAlarmsConforms is the same for the script that sets properties of alarms.
func TestTheScriptForAlarmsConforms(t *testing.T) {
	h := hosted(t, "FieldSyncBridge.cs")
	change := func(t *testing.T, key string, f record.Fields) {
		for name, v := range f {
			h.do(t, http.MethodPost, "/set", url.Values{"key": {key}, "name": {name}, "value": {v.Text()}}, nil)
		}
	}
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"Incident Status", "id", "Ticket ID", "severity", "Incident Number"},
		Sample: func(i int) record.Fields {
			n := strconv.Itoa(i)
			return record.Fields{"Ticket ID": record.OfText("T-" + n), "Incident Status": record.OfText("status " + n), "Incident Number": record.OfText("INC" + n)}
		},
		Marker: "Ticket ID", Text: "Incident Status",
		Missing:     func(i int) string { return fmt.Sprintf("1/1/%d", i+1) },
		Incremental: true, NoCreate: true, NoDelete: true,
		Open: func(t *testing.T) connectortest.System {
			conn, c := h.empty(t, "alarm_properties")
			return connectortest.System{
				Connection: conn, Collection: c,
				Add: func(t *testing.T, f record.Fields) string {
					key := h.do(t, http.MethodPost, "/raise", nil, nil)
					change(t, key, f)
					return key
				},
				Edit:   change,
				Remove: func(t *testing.T, key string) { h.do(t, http.MethodPost, "/clear", url.Values{"key": {key}}, nil) },
			}
		},
	})
}

// TestTheScriptsServeWhatTheirReadmeNames holds the routes of the scripts to those that an administrator is told to publish,
// and that the connector calls.
func TestTheScriptsServeWhatTheirReadmeNames(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	readme := read(filepath.Join("bridge", "README.md"))
	served := map[string]bool{}
	for _, script := range []string{"FieldSyncBridge.cs", "FieldSyncTickets.cs"} {
		for _, m := range regexp.MustCompile(`case "([A-Z]+) (fieldsync/[a-z-]+)":`).FindAllStringSubmatch(read(filepath.Join("bridge", script)), -1) {
			served[m[1]+" "+m[2]] = true
			if !regexp.MustCompile(`\| .?` + m[2] + `.? \|.*` + m[1]).MatchString(readme) {
				t.Errorf("the table of routes in the README does not have %s %s of %s", m[1], m[2], script)
			}
			if !regexp.MustCompile(regexp.QuoteMeta(m[1]+" "+m[2]) + `\b`).MatchString(readme) {
				t.Errorf("the calls in the README do not have %s %s of %s", m[1], m[2], script)
			}
		}
	}
	if len(served) != 10 {
		t.Errorf("%d routes are served", len(served))
	}
	sim := read(filepath.Join("sim", "sim.go")) + read(filepath.Join("sim", "sdm.go"))
	for call := range served {
		if !strings.Contains(sim, `"`+call+`"`) {
			t.Errorf("the simulator does not serve %s", call)
		}
	}
}
