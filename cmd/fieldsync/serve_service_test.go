package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/service"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/state"
)

// set adds to the fieldsync block of the shipped mapping.
func set(lines string) func(name, text string) string {
	return func(_, text string) string {
		return strings.Replace(text, "fieldsync {\n", "fieldsync {\n"+lines+"\n", 1)
	}
}

func TestSystemdIsToldHowTheServiceStands(t *testing.T) {
	dir, err := os.MkdirTemp("", "fs") // the name of a socket may have 100 characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	told := make(chan string, 1000)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := l.Read(buf)
			if err != nil {
				close(told)
				return
			}
			told <- string(buf[:n])
		}
	}()
	hear := func(what string) {
		t.Helper()
		late := time.After(20 * time.Second)
		for {
			select {
			case got := <-told:
				if strings.HasPrefix(got, what) {
					return
				}
			case <-late:
				t.Fatalf("systemd was never told %s", what)
			}
		}
	}
	s := newSite(t, nil)
	s.desk.env["NOTIFY_SOCKET"], s.desk.env["WATCHDOG_USEC"] = name, "100000"
	s.serve()
	hear("READY=1\nSTATUS=serving 2 syncs at 127.0.0.1:")
	hear("WATCHDOG=1")
	s.edit("connections.hcl", func(text string) string { return text + "\nbroken" })
	hear("RELOADING=1")
	hear("READY=1\nSTATUS=serving 2 syncs at " + strings.TrimPrefix(s.url, "http://") + "; the edited mapping is broken")
	s.stop()
	hear("STOPPING=1")
}

func TestTheUnitFileSaysWhatTheServiceUnderstands(t *testing.T) {
	for _, line := range []string{"Type=notify", "WatchdogSec=", "LoadCredential=", "ExecReload=/bin/kill -HUP $MAINPID", "fieldsync serve -d /etc/fieldsync --json"} {
		if !strings.Contains(service.UnitFile, line) {
			t.Errorf("the unit file has no %s", line)
		}
	}
}

func TestTheStateIsCopiedOnASchedule(t *testing.T) {
	s := newSite(t, set("backup {\n schedule = \"@every 1s\"\n dir = \"copies\"\n keep = 2\n}"))
	dir := s.desk.path("mappings/copies")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(dir, "fieldsync-mine.db")
	if err := os.WriteFile(mine, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.serve()
	s.run()
	var first, list []string
	s.until("a copy is made", func() bool { first = copied(t, dir); return len(first) > 0 })
	s.until("the oldest copy goes", func() bool {
		list = copied(t, dir)
		return len(list) == 2 && !slices.Contains(list, first[0])
	})
	s.stop()
	st, err := state.Open(list[len(list)-1], state.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	known, err := st.Syncs(t.Context())
	if err != nil || !slices.ContainsFunc(known, func(k engine.SyncStatus) bool { return k.Links == 4 }) {
		t.Errorf("the copy knows %+v, %v", known, err)
	}
	if info, err := os.Stat(list[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a copy has the mode %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("another file was taken away: %v", err)
	}
}

// copied are the copies of a state in a folder, oldest first.
func copied(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "fieldsync-2*.db"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The first plan of changed rules passes the limits, or waits for approval; until then nothing is written.
func TestTheFirstPlanOfChangedRulesWaitsWhereItIsTooLarge(t *testing.T) {
	s := newSite(t, nil)
	s.serve()
	s.run()
	writes := s.snow.Writes()
	s.edit("ticket_to_incident.hcl", func(text string) string {
		text = strings.Replace(text, "updates = 1000", "updates = 3", 1)
		return strings.Replace(text, `  field "summary" {`, "  field \"origin\" {\n flow = \"ticket -> incident\"\n incident = \"subcategory\"\n to_incident = \"'of ' + ticket.id\"\n }\n  field \"summary\" {", 1)
	})
	s.until("the edit is taken over", func() bool { return strings.Contains(s.said(), "took over the edited mapping") })
	st := s.run()
	if st.Waits == nil || len(st.Waits.Stops) == 0 || !strings.Contains(st.Waits.Stops[0].Why, "the first plan of changed rules") {
		t.Fatalf("the run did not stop: %+v", st.LastRun)
	}
	if s.snow.Writes() != writes {
		t.Fatal("something was written")
	}
	s.do(mainSync+"/approve", "digest", st.Waits.Digest)
	st = s.run()
	if st.LastRun.Stopped || st.LastRun.Done != 4 || s.snow.Writes() == writes {
		t.Errorf("after the approval: %+v", st.LastRun)
	}
}
