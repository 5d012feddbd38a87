package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// process is a run of the program in a process of its own, by the clock of the instance. wrap, if it is not nil, turns
// its command line into another one.
func (m *mortal) process(wrap func(*exec.Cmd), args ...string) (string, int) {
	m.t.Helper()
	var out bytes.Buffer
	c := m.command(&out, args...)
	c.Env = append(c.Env, "CLOCK="+m.now().UTC().Format(time.RFC3339))
	if wrap != nil {
		wrap(c)
	}
	if err := c.Run(); err != nil && c.ProcessState == nil {
		m.t.Fatal(err)
	}
	return out.String(), c.ProcessState.ExitCode()
}

// settled is a world of 12 tickets and their incidents on which a run has nothing to do, an hour after the last one.
func settled(t *testing.T) *mortal {
	m := newMortal(t, 1)
	for i := range 12 {
		m.ticket(ticketID(i), fmt.Sprintf("line %d is down", i))
	}
	m.quiet()
	m.pass(time.Hour)
	return m
}

// quiet runs until there is nothing to write.
func (m *mortal) quiet() {
	m.t.Helper()
	for range 5 {
		before := m.snow.Load().Writes()
		if out, code := m.process(nil, "apply", "--yes"); code != exitOK {
			m.t.Fatalf("apply ends with %d:\n%s", code, out)
		}
		if m.snow.Load().Writes() == before {
			return
		}
		m.pass(time.Minute)
	}
	m.t.Fatal("the runs do not come to rest")
}

// people edits one side of each of some pairs.
func (m *mortal) people(word string) {
	m.t.Helper()
	for i := range 4 {
		m.exec(`UPDATE tickets SET title = ?, updated_at = ? WHERE id = ?`, fmt.Sprintf("%s %d", word, i), m.now().UTC(), ticketID(i))
		inc := m.incident(ticketID(i + 4))
		if err := m.snow.Load().Update("incident", inc["sys_id"], "beth.anglin", map[string]string{"description": fmt.Sprintf("%s %d", word, i)}); err != nil {
			m.t.Fatal(err)
		}
	}
}

// tickets is all that the help desk shows.
func (m *mortal) tickets() string {
	m.t.Helper()
	text, err := query(filepath.Join(m.dir, "desk.db"), "SELECT * FROM tickets ORDER BY id")
	if err != nil {
		m.t.Fatal(err)
	}
	return text
}

// mount puts a file system where the state lies, or another view of it. Without the right to, the test is skipped.
func (m *mortal) mount(source, kind string, flags uintptr, data string) {
	m.t.Helper()
	dir := filepath.Join(m.dir, "state")
	if err := syscall.Mount(source, dir, kind, flags, data); err != nil {
		m.t.Skipf("no right to mount: %v", err)
	}
	m.t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			m.t.Error(err)
		}
	})
}

// TestWhateverIsWrongIsSaidBeforeTheFirstWrite lets a settled pair of systems, or the place of the state, go wrong in
// one way each, while there are edits to carry. The process has to say what is wrong and to write nothing, and to
// go on once that is right, or approved.
func TestWhateverIsWrongIsSaidBeforeTheFirstWrite(t *testing.T) {
	for _, tt := range []struct {
		name  string
		world func(t *testing.T, m *mortal) // before the first run
		wrong func(t *testing.T, m *mortal) (wrap func(*exec.Cmd))
		want  []string
		code  int
		mend  func(m *mortal)
		// gone: nothing is left to go on with.
		gone bool
	}{
		{name: "a full disk", code: exitError, want: []string{"no space is left for the state", "way out: make room"},
			world: func(t *testing.T, m *mortal) { m.mount("tmpfs", "tmpfs", 0, "size=3m") },
			wrong: func(t *testing.T, m *mortal) func(*exec.Cmd) {
				err := os.WriteFile(filepath.Join(m.dir, "state", "other"), make([]byte, 4<<20), 0o600)
				if err == nil {
					t.Fatal("there is still room")
				}
				return nil
			},
			mend: func(m *mortal) { os.Remove(filepath.Join(m.dir, "state", "other")) }},
		{name: "a limit on the size of files", code: exitError, want: []string{"no space is left for the state", "way out: make room"},
			wrong: func(*testing.T, *mortal) func(*exec.Cmd) {
				return func(c *exec.Cmd) {
					c.Args = append([]string{"sh", "-c", `ulimit -f 0; exec "$0" "$@"`, c.Path}, c.Args[1:]...)
					c.Path = "/bin/sh"
				}
			}},
		{name: "a state on a file system for reading", code: exitError, want: []string{"may not be written", "way out: "},
			wrong: func(t *testing.T, m *mortal) func(*exec.Cmd) {
				dir := filepath.Join(m.dir, "state")
				m.mount(dir, "", syscall.MS_BIND, "")
				if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
					t.Fatal(err)
				}
				return nil
			},
			mend: func(m *mortal) {
				_ = syscall.Mount("", filepath.Join(m.dir, "state"), "", syscall.MS_BIND|syscall.MS_REMOUNT, "")
			}},
		{name: "a state that may not be written", code: exitError, want: []string{"may not be written", "way out: "},
			wrong: func(t *testing.T, m *mortal) func(*exec.Cmd) {
				if os.Geteuid() == 0 {
					t.Skip("root may write everything")
				}
				for name, mode := range map[string]os.FileMode{"state/fieldsync.db": 0o400, "state": 0o500} {
					if err := os.Chmod(filepath.Join(m.dir, name), mode); err != nil {
						t.Fatal(err)
					}
				}
				return nil
			},
			mend: func(m *mortal) {
				_ = os.Chmod(filepath.Join(m.dir, "state"), 0o700)
				_ = os.Chmod(filepath.Join(m.dir, "state/fieldsync.db"), 0o600)
			}},
		{name: "the instance's clock set back an hour", code: exitStopped,
			want: []string{"the clock of incident moved by -1h0m0s against this machine's since the last run"},
			wrong: func(t *testing.T, m *mortal) func(*exec.Cmd) {
				if err := m.snow.Load().Switch("clock=-1h"); err != nil {
					t.Fatal(err)
				}
				return nil
			}},
		{name: "our clock set back two hours", code: exitStopped, want: []string{"this machine's clock was set back", "before the last run ended"},
			wrong: func(_ *testing.T, m *mortal) func(*exec.Cmd) {
				ours := m.now().Add(-2 * time.Hour)
				return func(c *exec.Cmd) { c.Env = append(c.Env, "CLOCK="+ours.UTC().Format(time.RFC3339)) }
			}},
		{name: "the instance restored to an hour ago", code: exitStopped,
			want: []string{"incident looks restored to an earlier moment: of the 14 records that changed last, 4 show an earlier state than was seen and 2 are missing"},
			wrong: func(t *testing.T, m *mortal) func(*exec.Cmd) {
				var backup bytes.Buffer
				if err := m.snow.Load().Save(&backup); err != nil {
					t.Fatal(err)
				}
				m.people("since then")
				m.ticket("T-0100", "new since then")
				m.ticket("T-0101", "new since then, too")
				m.quiet()
				m.pass(time.Hour)
				if err := m.snow.Load().Load(&backup); err != nil {
					t.Fatal(err)
				}
				return nil
			}},
		{name: "an empty instance in the place of the other", code: exitStopped, gone: true,
			want: []string{"incident is another system at the same address than earlier runs saw: it shows sys_user ", "incident: it shows no records at all, last time there were 12"},
			wrong: func(_ *testing.T, m *mortal) func(*exec.Cmd) {
				m.snow.Store(snowsim.New(snowsim.Options{Seed: 2, Now: m.now}))
				return nil
			}},
		{name: "the same instance, emptied", code: exitStopped, gone: true, want: []string{"incident: it shows no records at all, last time there were 12"},
			wrong: func(_ *testing.T, m *mortal) func(*exec.Cmd) {
				m.snow.Store(snowsim.New(snowsim.Options{Seed: 1, Now: m.now}))
				return nil
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := settled(t)
			if tt.world != nil {
				m = newMortal(t, 1)
				tt.world(t, m)
				for i := range 12 {
					m.ticket(ticketID(i), fmt.Sprintf("line %d is down", i))
				}
				m.quiet()
				m.pass(time.Hour)
			}
			edit := func() {
				if !tt.gone {
					m.people("seen")
				}
			}
			wrap := tt.wrong(t, m)
			edit()
			before, shown := m.snow.Load().Writes(), m.tickets()
			var digest string
			for _, how := range []string{"", "--full"} {
				args := []string{"apply", "--yes"}
				if how != "" {
					args = append(args, how)
				}
				out, code := m.process(wrap, args...)
				if code != tt.code {
					t.Fatalf("%v ends with %d, want %d:\n%s", args, code, tt.code, out)
				}
				for _, want := range tt.want {
					if !strings.Contains(out, want) {
						t.Errorf("%v does not say %q:\n%s", args, want, out)
					}
				}
				if now := m.snow.Load().Writes(); now != before {
					t.Fatalf("%d writes to the instance", now-before)
				}
				if m.tickets() != shown {
					t.Fatal("the help desk was written")
				}
				if _, rest, ok := strings.Cut(out, "--approve "); ok {
					digest, _, _ = strings.Cut(strings.TrimSpace(rest), "\n")
					digest, _, _ = strings.Cut(digest, " ")
				}
			}
			args := []string{"apply", "--yes"}
			if tt.code == exitStopped {
				args = append(args, "--approve", digest)
			} else {
				wrap = nil
				if tt.mend != nil {
					tt.mend(m)
				}
			}
			if out, code := m.process(wrap, args...); code != exitOK && !tt.gone {
				t.Fatalf("%v ends with %d:\n%s", args, code, out)
			}
			if !tt.gone && m.snow.Load().Writes() == before {
				t.Error("when all is right, or approved, nothing is written")
			}
		})
	}
}
