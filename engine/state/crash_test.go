package state_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

// The test binary runs itself as a child that does one of these with the state named in the environment.
const (
	envChild = "FIELDSYNC_STATE_TEST_CHILD"
	envPath  = "FIELDSYNC_STATE_TEST_PATH"
)

func child(t testing.TB, task, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), envChild+"="+task, envPath+"="+path)
	return cmd
}

func TestChild(t *testing.T) {
	switch path := os.Getenv(envPath); os.Getenv(envChild) {
	case "":
		t.Skip("only for the tests that start it")
	case "fold":
		foldForEver(t, path)
	case "hold":
		fold(t, book(t, open(t, path, state.Options{})), engine.Fold{Link: link(1)})
		fmt.Println("ready")
		io.Copy(io.Discard, os.Stdin)
	case "fill":
		fillUp(t, path)
	}
}

// foldForEver folds from several goroutines and prints the key of each fold once it is acknowledged.
func foldForEver(t *testing.T, path string) {
	s := open(t, path, state.Options{})
	b := book(t, s)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				var folds []engine.Fold
				for n := range 3 {
					k := fmt.Sprintf("%s-%d", key, n)
					folds = append(folds, engine.Fold{Link: &record.Link{Key: [2]string{k, k}, Base: [2][]record.Value{{record.OfText(k)}, {record.OfText(k)}}},
						Prints: [2]*engine.Print{{Hash: uint64(i)<<8 | uint64(g), Print: uint64(n)}, nil}})
				}
				if err := b.Fold(t.Context(), folds); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				fmt.Println("folded", key)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	for name, make := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killed(t, make(t))
		})
	}
}

func killed(t *testing.T, path string) {
	var acknowledged []string
	for round := range 6 {
		cmd := child(t, "fold", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); {
			if key, ok := strings.CutPrefix(lines.Text(), "folded "); ok {
				acknowledged = append(acknowledged, key)
				n++
			} else {
				t.Log(lines.Text())
			}
			// After a different number of folds each time; what is in the pipe by then counts too.
			if n == 1+round*23 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		if got := integrity(t, path); got != "ok" {
			t.Fatalf("round %d: %s", round, got)
		}
	}
	s := open(t, path, state.Options{})
	b := book(t, s)
	for _, key := range acknowledged {
		for n := range 3 {
			l, err := b.Link(t.Context(), record.Right, fmt.Sprintf("%s-%d", key, n))
			if err != nil {
				t.Fatal(err)
			}
			if l == nil {
				t.Errorf("fold %s was acknowledged and is gone", key)
			}
		}
	}
	whole := 0
	if err := b.Links(t.Context(), record.Live, func(record.Link) error { whole++; return nil }); err != nil {
		t.Fatal(err)
	}
	if counted, err := b.CountLinks(t.Context()); err != nil || counted != int64(whole) || whole%3 != 0 {
		t.Errorf("%d links are there, %d are counted (%v), in folds of 3", whole, counted, err)
	}
	if len(acknowledged) < 6 {
		t.Errorf("only %d folds: too few to mean anything", len(acknowledged))
	}
}

// fillUp folds until the disk is full and prints what was acknowledged, then what the error said.
func fillUp(t *testing.T, path string) {
	signal.Ignore(syscall.SIGXFSZ)
	s := open(t, path, state.Options{})
	b := book(t, s)
	for i := range 100000 {
		l := link(i)
		l.Label[0] = strings.Repeat("x", 2000)
		if err := b.Fold(t.Context(), []engine.Fold{{Link: l}}); err != nil {
			fmt.Printf("full %v %t %s\n", errors.Is(err, state.ErrFull), strings.Contains(err.Error(), path), strings.ReplaceAll(connectors.Hint(err), "\n", " "))
			break
		}
		fmt.Println("folded", i)
	}
	if n, err := b.CountLinks(t.Context()); err != nil {
		t.Errorf("reading after the disk was full: %v", err)
	} else {
		fmt.Println("counted", n)
	}
}

func TestAFullDiskIsNamedAndHarmsNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit func(t *testing.T, cmd *exec.Cmd) string
	}{
		{"a file system without space", func(t *testing.T, cmd *exec.Cmd) string {
			dir := t.TempDir()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2200k"); err != nil {
				t.Skipf("no right to mount a small file system: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(dir, 0); err != nil {
					t.Error(err)
				}
			})
			return dir
		}},
		{"a limit on file sizes", func(t *testing.T, cmd *exec.Cmd) string {
			// The shell sets the limit, in blocks of 512 or 1024 bytes, for what it becomes.
			cmd.Args = append([]string{"sh", "-c", `ulimit -f 2000; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
			sh, err := exec.LookPath("sh")
			if err != nil {
				t.Skip(err)
			}
			cmd.Path = sh
			return t.TempDir()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := child(t, "fill", "")
			dir := c.limit(t, cmd)
			path := filepath.Join(dir, "state.db")
			cmd.Env = append(cmd.Env, envPath+"="+path)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			last, counted, said := -1, -1, ""
			for line := range strings.Lines(string(out)) {
				line = strings.TrimSpace(line)
				if rest, ok := strings.CutPrefix(line, "folded "); ok {
					last, _ = strconv.Atoi(rest)
				} else if rest, ok := strings.CutPrefix(line, "full "); ok {
					said = rest
				} else if rest, ok := strings.CutPrefix(line, "counted "); ok {
					counted, _ = strconv.Atoi(rest)
				}
			}
			if !strings.HasPrefix(said, "true true make room") || last < 10 {
				t.Errorf("after %d folds it said %q", last, said)
			}
			if counted != last+1 {
				t.Errorf("%d were acknowledged, %d are there", last+1, counted)
			}
			if c.name == "a file system without space" {
				// A run that ended may well have left the log behind, for which there is no space: make some.
				if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=20m"); err != nil {
					t.Fatal(err)
				}
			}
			if got := query(t, path, "PRAGMA integrity_check"); got != "ok" {
				t.Error(got)
			}
			s, err := state.Open(path, state.Options{})
			if err != nil {
				t.Fatal(err)
			}
			b := book(t, s)
			fold(t, b, engine.Fold{Link: link(last + 1)})
			if n, err := b.CountLinks(t.Context()); err != nil || n != int64(last)+2 {
				t.Errorf("with room again: %d links, %v", n, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSeveralOpenANewStateAtOnce(t *testing.T) {
	for name, make := range kinds {
		t.Run(name, func(t *testing.T) { severalOpen(t, make(t)) })
	}
}

func severalOpen(t *testing.T, path string) {
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := state.Open(path, state.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.Lease(t.Context(), "a", "same", time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
