package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"github.com/rogpeppe/go-internal/testscript"

	alarmsim "github.com/fieldsync/fieldsync/connectors/dataminer/sim"
	ilertsim "github.com/fieldsync/fieldsync/connectors/ilert/sim"
	desksim "github.com/fieldsync/fieldsync/connectors/rest/sim"
	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// A world is what a script has around it.
type world struct {
	snow   *snowsim.Server
	alarms *alarmsim.Server
	ilert  *ilertsim.Server
	desk   *desksim.Desk

	mu      sync.Mutex
	gate    chan struct{} // not nil: scans of incidents wait until it is closed
	waiting chan struct{} // gets one for each scan that waits
	ahead   time.Duration // of the instance's clock
	race    func()        // comes right before the next update of an incident
	asked   []string      // of the instance, since somebody looked

	hook   http.Header // of the last webhook that was sent
	hooked string      // its body
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

// ServeHTTP is the ServiceNow instance, behind the gate.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	gate := w.gate
	w.asked = append(w.asked, r.Method+" "+r.URL.Path+" "+r.URL.Query().Get("sysparm_query"))
	w.mu.Unlock()
	scan := r.Method == http.MethodGet && r.URL.Path == "/api/now/table/incident" && strings.Contains(r.URL.Query().Get("sysparm_query"), "ORDERBYsys_id")
	if gate != nil && scan {
		select {
		case w.waiting <- struct{}{}:
		default:
		}
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		case <-time.After(20 * time.Second): // a script that failed must not hang
		}
	}
	if r.Method == http.MethodPatch {
		w.mu.Lock()
		race := w.race
		w.race = nil
		w.mu.Unlock()
		if race != nil {
			race()
		}
	}
	rw.Header().Set("Date", w.now().UTC().Format(http.TimeFormat))
	w.snow.ServeHTTP(rw, r)
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// code N PROGRAM [ARG…] runs a program, which has to end with exit code N.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program [arg...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// digest FILE ENV puts the digest that a file, or stdout, names after --approve into an environment variable.
func digest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: digest file env")
	}
	found := regexp.MustCompile(`--approve ([0-9a-f]+)`).FindStringSubmatch(ts.ReadFile(args[0]))
	if found == nil {
		ts.Fatalf("%s names no digest", args[0])
	}
	ts.Setenv(args[1], found[1])
}

// restorable FILE ENV puts the first ID that a blame offers to restore into an environment variable.
func restorable(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: restorable file env")
	}
	found := regexp.MustCompile(`(?m)^ .* (\d+)$`).FindStringSubmatch(ts.ReadFile(args[0]))
	if found == nil {
		ts.Fatalf("%s offers nothing to restore", args[0])
	}
	ts.Setenv(args[1], found[1])
}

// sqlite FILE SQL runs SQL on a database and prints the rows, if any, with | between the columns.
// sqlite runs SQL on a file, or on the server that a URL names.
func sqlite(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sqlite file-or-url sql-or-@file")
	}
	text := args[1]
	if name, ok := strings.CutPrefix(text, "@"); ok {
		text = ts.ReadFile(name)
	}
	rows, err := query(database(ts, args[0]), text)
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), rows)
}

func onServer(name string) bool {
	return strings.Contains(name, "://") || strings.Contains(name, "@tcp(")
}

func database(ts *testscript.TestScript, name string) string {
	if onServer(name) {
		return name
	}
	return ts.MkAbs(name)
}

// query runs SQL and returns the rows, if any.
func query(name, text string) (string, error) {
	driver, dsn := "sqlite3", name+"?_busy_timeout=5000"
	switch {
	case strings.Contains(name, "://"):
		driver, dsn = "pgx", name+"&default_query_exec_mode=simple_protocol"
	case onServer(name):
		driver, dsn = "mysql", name+"?multiStatements=true"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return "", err
	}
	defer db.Close()
	rows, err := db.Query(text)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for rows.Next() {
		cells := make([]sql.NullString, len(cols))
		dest := make([]any, len(cols))
		for i := range cells {
			dest[i] = &cells[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return "", err
		}
		line := make([]string, len(cols))
		for i, c := range cells {
			line[i] = c.String
		}
		fmt.Fprintln(&out, strings.Join(line, "|"))
	}
	return out.String(), rows.Err()
}

// snow steers a simulated ServiceNow instance:
//
//	snow start [PASSWORD]              starts one and sets SNOW_URL, SNOW_USER and SNOW_PASSWORD
//	snow new FIELD=VALUE…              makes an incident
//	snow edit CORRELATION FIELD=VALUE… edits the incident with this correlation_id
//	snow race CORRELATION FIELD=VALUE… is an edit by beth.anglin right before fieldsync's next update of an incident
//	snow switch SWITCH                 turns a switch of the instance
//	snow delete CORRELATION
//	snow show FIELD…                   prints these fields of every incident, sorted by number
//	snow attach CORRELATION NAME TEXT  adds a file to the incident
//	snow files CORRELATION             prints the files of the incident, with their contents
//	snow writes                        prints how many writes the instance has seen
//	snow asked                         prints the requests that it got since this was asked last
//	snow pass DURATION                 moves its clock: what changed in its last second is not seen before
//	snow hold                          makes scans of incidents wait
//	snow held                          waits until a scan does
//	snow release                       lets them go on
func snow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: snow start|new|edit|race|switch|delete|show|journal|attach|files|writes|pass|hold|held|release")
	}
	if args[0] == "start" {
		w, users := worldOf(ts), snowsim.DefaultUsers()
		password := "secret"
		if len(args) > 1 {
			password = args[1]
		}
		users[1].Password = password
		w.snow, w.waiting = snowsim.New(snowsim.Options{Now: w.now, Users: users}), make(chan struct{}, 1)
		srv := httptest.NewServer(w)
		ts.Defer(srv.Close)
		ts.Setenv("SNOW_URL", srv.URL)
		ts.Setenv("SNOW_USER", "integration")
		ts.Setenv("SNOW_PASSWORD", password)
		return
	}
	s := worldOf(ts).snow
	if s == nil {
		ts.Fatalf("snow start first")
	}
	fields := func(texts []string) map[string]string { return pairs(ts, texts) }
	id := func() string {
		found := s.Find("incident", "correlation_id", args[1])
		if len(found) != 1 {
			ts.Fatalf("%d incidents have the correlation_id %s", len(found), args[1])
		}
		return found[0]["sys_id"]
	}
	switch args[0] {
	case "new":
		if s.Insert("incident", fields(args[1:])) == "" {
			ts.Fatalf("the instance refused the incident")
		}
	case "edit":
		ts.Check(s.Update("incident", id(), "people", fields(args[2:])))
	case "race":
		w, key, edit := worldOf(ts), id(), fields(args[2:])
		w.mu.Lock()
		w.race = func() { ts.Check(s.Update("incident", key, "beth.anglin", edit)) }
		w.mu.Unlock()
	case "switch":
		ts.Check(s.Switch(args[1]))
	case "delete":
		s.Delete("incident", id())
	case "show":
		list := s.All("incident")
		slices.SortFunc(list, func(a, b map[string]string) int { return strings.Compare(a["number"], b["number"]) })
		out := ts.Stdout()
		for _, in := range list {
			var cells []string
			for _, f := range args[1:] {
				cells = append(cells, in[f])
			}
			fmt.Fprintln(out, strings.Join(cells, "|"))
		}
	case "journal": // the entries of one field, oldest first
		list := s.Find("sys_journal_field", "element_id", id())
		slices.SortStableFunc(list, func(a, b map[string]string) int { return strings.Compare(a["sys_created_on"], b["sys_created_on"]) })
		for _, e := range list {
			if e["element"] == args[2] {
				fmt.Fprintln(ts.Stdout(), e["sys_created_by"]+"|"+e["value"])
			}
		}
	case "attach":
		if s.AttachFile("incident", id(), "people", args[2], "text/plain", []byte(args[3])) == "" {
			ts.Fatalf("the instance refused the file")
		}
	case "files":
		list := s.Find("sys_attachment", "table_sys_id", id())
		slices.SortStableFunc(list, func(a, b map[string]string) int { return strings.Compare(a["file_name"], b["file_name"]) })
		for _, f := range list {
			fmt.Fprintf(ts.Stdout(), "%s|%s|%s|%s\n", f["file_name"], f["sys_created_by"], f["content_type"], s.FileContent(f["sys_id"]))
		}
	case "writes":
		fmt.Fprintln(ts.Stdout(), s.Writes())
	case "asked": // what the instance was asked since this was said last
		w := worldOf(ts)
		w.mu.Lock()
		fmt.Fprintln(ts.Stdout(), strings.Join(w.asked, "\n"))
		w.asked = nil
		w.mu.Unlock()
	case "pass":
		d, err := time.ParseDuration(args[1])
		ts.Check(err)
		w := worldOf(ts)
		w.mu.Lock()
		w.ahead += d
		w.mu.Unlock()
	case "hold":
		w := worldOf(ts)
		w.mu.Lock()
		w.gate = make(chan struct{})
		w.mu.Unlock()
	case "held":
		select {
		case <-worldOf(ts).waiting:
		case <-time.After(10 * time.Second):
			ts.Fatalf("no scan of incidents waits")
		}
	case "release":
		w := worldOf(ts)
		w.mu.Lock()
		close(w.gate)
		w.gate = nil
		w.mu.Unlock()
	default:
		ts.Fatalf("snow %s?", args[0])
	}
}

// alarms steers a simulated alarm system:
//
//	alarms start NAME…      starts one with these properties defined, and sets NOC_URL
//	alarms raise NAME ENV   raises an alarm and puts its key into an environment variable
//	alarms define NAME      defines a property
//	alarms severity KEY SEVERITY, alarms clear KEY
//	alarms switch NAME=VALUE, alarms recycle   ends all sessions
//	alarms ticket KEY ENV FIELD=VALUE…  makes a ticket linked to an alarm, "" for none
//	alarms edit KEY FIELD=VALUE…        edits a ticket
//	alarms show, alarms tickets         prints names, properties and fields
//	alarms writes                       counts what was written
func alarms(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: alarms start|raise|define|severity|clear|switch|recycle|ticket|edit|show|tickets|writes")
	}
	w := worldOf(ts)
	switch args[0] {
	case "start":
		w.alarms = alarmsim.New(alarmsim.Options{Properties: args[1:]})
		srv := httptest.NewServer(w.alarms)
		ts.Defer(srv.Close)
		ts.Setenv("NOC_URL", srv.URL)
	case "raise":
		ts.Setenv(args[2], w.alarms.RaiseAlarm(args[1], "Major", nil))
	case "define":
		w.alarms.Define(args[1])
	case "severity":
		w.alarms.ChangeSeverity(args[1], args[2])
	case "clear":
		w.alarms.ClearAlarm(args[1])
	case "switch":
		ts.Check(w.alarms.Switch(args[1]))
	case "recycle":
		w.alarms.Recycle()
	case "ticket":
		ts.Setenv(args[2], w.alarms.AddTicket(pairs(ts, args[3:]), args[1]))
	case "edit":
		w.alarms.EditTicket(args[1], pairs(ts, args[2:]))
	case "writes":
		fmt.Fprintln(ts.Stdout(), w.alarms.Writes())
	case "show":
		for _, a := range w.alarms.All() {
			line(ts.Stdout(), a.Name, a.Properties)
		}
	case "tickets":
		for _, t := range w.alarms.Tickets() {
			line(ts.Stdout(), fmt.Sprint(t.ID), t.Fields)
		}
	default:
		ts.Fatalf("alarms %s?", args[0])
	}
}

// pairs reads FIELD=VALUE.
func pairs(ts *testscript.TestScript, texts []string) map[string]string {
	f := map[string]string{}
	for _, p := range texts {
		k, v, ok := strings.Cut(p, "=")
		if !ok {
			ts.Fatalf("%q is not FIELD=VALUE", p)
		}
		f[k] = v
	}
	return f
}

// line prints a name and values by their names.
func line(out io.Writer, name string, values map[string]string) {
	fmt.Fprint(out, name)
	for _, k := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(out, "|%s=%s", k, values[k])
	}
	fmt.Fprintln(out)
}

// port ENV puts a free port of this machine into an environment variable.
func port(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port env")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, p, err := net.SplitHostPort(l.Addr().String())
	ts.Check(errors.Join(err, l.Close()))
	ts.Setenv(args[0], p)
}

// sink ENV starts a server that keeps what is posted to it and shows it all to who asks, and sets ENV to its address.
func sink(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sink env")
	}
	var mu sync.Mutex
	var kept bytes.Buffer
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodGet {
			_, _ = w.Write(kept.Bytes())
			return
		}
		_, _ = io.Copy(&kept, r.Body)
		kept.WriteString("\n")
	}))
	ts.Defer(srv.Close)
	ts.Setenv(args[0], srv.URL)
}

// hash PATTERN… prints the names and contents' digests of files.
func hash(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: hash pattern...")
	}
	out := ts.Stdout()
	for _, pattern := range args {
		names, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		if len(names) == 0 {
			fmt.Fprintln(out, pattern, "is not there")
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			ts.Check(err)
			info, err := os.Stat(name)
			ts.Check(err)
			fmt.Fprintf(out, "%x %d %s %s\n", sha256.Sum256(data), len(data), info.Mode(), filepath.Base(name))
		}
	}
}

// await URL PATTERN asks until the answer matches, await FILE SQL PATTERN until the rows do, and fails after ten
// seconds.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: await url pattern, or await file-or-url sql pattern")
	}
	pattern := args[len(args)-1]
	re, err := regexp.Compile(pattern)
	ts.Check(err)
	last := ""
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		var body string
		if len(args) == 3 {
			body, err = query(database(ts, args[0]), args[1])
		} else {
			body, err = get(ctx, args[0])
		}
		if err != nil {
			last = err.Error()
		} else if last = body; re.MatchString(body) {
			fmt.Fprint(ts.Stdout(), body)
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s does not answer with %s; the last answer was:\n%s", args[0], pattern, last)
		case <-tick.C:
		}
	}
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// sub FILE OLD NEW replaces text in a file, which has to contain it.
func sub(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: sub file old new")
	}
	data := ts.ReadFile(args[0])
	if !strings.Contains(data, args[1]) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(data, args[1], args[2])), 0o644))
}
