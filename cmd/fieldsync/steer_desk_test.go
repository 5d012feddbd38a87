package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	desksim "github.com/fieldsync/fieldsync/connectors/rest/sim"
)

// desk steers Brook, the helpdesk that no description is shipped for:
//
//	desk start                  starts one, and sets DESK_URL
//	desk edit CASE MEMBER VALUE as a person at the desk does
//	desk attach CASE NAME TEXT  the same
//	desk papers CASE            prints the files of a case, with their contents
//	desk show                   prints number, heading, phase, weight and foreign number of each case
func desk(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	switch {
	case neg || len(args) == 0:
		ts.Fatalf("usage: desk start|edit|attach|papers|show")
	case args[0] == "start":
		w.desk = desksim.New(time.Now)
		srv := httptest.NewServer(w.desk)
		ts.Defer(srv.Close)
		ts.Setenv("DESK_URL", srv.URL)
	case args[0] == "edit" && len(args) == 4:
		ts.Check(w.desk.Edit(args[1], args[2], args[3]))
	case args[0] == "attach" && len(args) == 4:
		ts.Check(w.desk.Attach(args[1], args[2], "text/plain", []byte(args[3])))
	case args[0] == "papers" && len(args) == 2:
		fmt.Fprint(ts.Stdout(), w.desk.Papers(args[1]))
	case args[0] == "show":
		fmt.Fprint(ts.Stdout(), w.desk.Show())
	default:
		ts.Fatalf("desk %s?", args[0])
	}
}

var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// follow PAGE OLD=NEW… does what a page says, block by block: writes the files of its hcl blocks, of which the first line
// names each, runs the commands of its sh blocks, and compares what they print with the text or json block that comes next.
// OLD is replaced by NEW everywhere. In a text block, "…" on a line of its own stands for any lines.
func follow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: follow page old=new...")
	}
	raw, err := os.ReadFile(args[0])
	ts.Check(err)
	page := string(raw)
	for _, pair := range args[1:] {
		from, to, _ := strings.Cut(pair, "=")
		if !strings.Contains(page, from) {
			ts.Fatalf("the page has no %s", from)
		}
		page = strings.ReplaceAll(page, from, to)
	}
	followed, printed := map[string]int{}, ""
	for _, block := range fence.FindAllStringSubmatch(page, -1) {
		kind, body := block[1], block[2]
		followed[kind]++
		switch kind {
		case "hcl":
			head, _, _ := strings.Cut(body, "\n")
			name, named := strings.CutPrefix(head, "# ")
			if !named {
				ts.Fatalf("a block names no file: %s", head)
			}
			file := ts.MkAbs(name)
			ts.Check(os.MkdirAll(filepath.Dir(file), 0o755))
			ts.Check(os.WriteFile(file, []byte(body), 0o644))
		case "sh":
			printed = ""
			for line := range strings.Lines(body) {
				printed += does(ts, strings.TrimSpace(line))
			}
		case "text":
			if diff := unlike(body, printed); diff != "" {
				ts.Fatalf("the page shows (-) what is not printed (+):\n%s", diff)
			}
		case "json":
			if diff := cmp.Diff(decoded(ts, body), decoded(ts, printed)); diff != "" {
				ts.Fatalf("the page shows another answer (-want +got):\n%s", diff)
			}
		default:
			ts.Fatalf("nobody knows how to follow a block of %s", kind)
		}
	}
	for _, kind := range []string{"hcl", "sh", "text", "json"} {
		if followed[kind] < 2 {
			ts.Fatalf("the page has %d blocks of %s", followed[kind], kind)
		}
	}
}

var word = regexp.MustCompile(`'[^']*'|\S+`)

// does carries out one line of a page and returns what it prints.
func does(ts *testscript.TestScript, line string) string {
	var words []string
	for _, w := range word.FindAllString(line, -1) {
		words = append(words, strings.Trim(w, "'"))
	}
	switch {
	case line == "":
		return ""
	case words[0] == "fieldsync" && words[1] == "sim":
		return "" // the script has started it, on a free port
	case words[0] == "fieldsync":
		return runs(ts, words)
	case words[0] == "mkdir" && words[1] == "-p":
		ts.Check(os.MkdirAll(ts.MkAbs(words[2]), 0o755))
		return ""
	case words[0] == "cd":
		ts.Check(ts.Chdir(words[1]))
		return ""
	case words[0] == "export":
		name, value, _ := strings.Cut(words[1], "=")
		ts.Setenv(name, value)
		return ""
	case words[0] == "curl":
		return curl(ts, words[1:])
	}
	ts.Fatalf("nobody can follow %q", line)
	return ""
}

// runs is a command of fieldsync, which must not fail.
func runs(ts *testscript.TestScript, words []string) string {
	err := ts.Exec(words[0], words[1:]...)
	out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && (words[1] != "plan" || exit.ExitCode() != exitChanges) || err != nil && !ok {
		ts.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return out
}

// curl is as much of that program as a page needs.
func curl(ts *testscript.TestScript, words []string) string {
	method, body, url := http.MethodGet, "", ""
	header := http.Header{}
	for len(words) > 0 {
		value := ""
		if strings.HasPrefix(words[0], "-") && words[0] != "-s" {
			value = words[1]
		}
		switch words[0] {
		case "-s":
		case "-X":
			method = value
		case "-d":
			body = value
		case "-H":
			name, v, _ := strings.Cut(value, ": ")
			header.Set(name, v)
		default:
			url = words[0]
		}
		if words = words[1:]; value != "" {
			words = words[1:]
		}
	}
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	ts.Check(err)
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	ts.Check(err)
	return string(out)
}

var elapsing = regexp.MustCompile(`\d+\.\d s|INC\d+|from ours \(.*\)|-?\d+s from ours`)

// unlike compares what a page shows with what was printed, but for times, and numbers of incidents.
func unlike(shown, printed string) string {
	lines := func(s string) (list []string) {
		for line := range strings.Lines(elapsing.ReplaceAllString(s, "*")) {
			list = append(list, strings.TrimRight(line, " \n"))
		}
		return list
	}
	want, got := lines(shown), lines(printed)
	for i, line := range want {
		if line != "…" {
			continue
		}
		rest := len(want) - i - 1
		if len(got) < i+rest {
			break
		}
		want = append(append(append([]string{}, want[:i]...), got[i:len(got)-rest]...), want[i+1:]...)
		break
	}
	return cmp.Diff(want, got)
}

var stamped = regexp.MustCompile(`\d{13}`)

// decoded is JSON without what differs from one day to the next.
func decoded(ts *testscript.TestScript, s string) any {
	var v any
	ts.Check(json.Unmarshal([]byte(stamped.ReplaceAllString(s, "1772366400000")), &v))
	return v
}
