package servertest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/servertest"
)

type body func() int

func (b body) Run() int { return b() }

// sleeper is a server that answers as soon as it has written down its process number.
func sleeper() *servertest.Server {
	return &servertest.Server{
		Name: "Sleeper", Signal: "TERM",
		Prepare: func(dir string, _ int) (servertest.Command, error) {
			return servertest.Command{Args: []string{"sh", "-c", "echo $$ > new && mv new pid && exec sleep 1000"}}, nil
		},
		Answers: func(_ context.Context, dir string, _ int) error {
			_, err := os.Stat(filepath.Join(dir, "pid"))
			return err
		},
	}
}

func TestAServerIsStartedOnceAndStoppedAfterTheTests(t *testing.T) {
	s, pid, dir := sleeper(), 0, ""
	code := servertest.Main(body(func() int {
		_, dir = s.Start(t)
		if _, again := s.Start(t); again != dir {
			t.Errorf("it was started twice, in %s and in %s", dir, again)
		}
		b, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err != nil {
			t.Fatal(err)
		}
		if pid, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); err != nil {
			t.Errorf("it does not run: %v", err)
		}
		return 3
	})).Run()
	if code != 3 {
		t.Errorf("the tests end with %d, want what they ended with, 3", code)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the server still runs after the tests (%v)", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its data are still there (%v)", err)
	}
}

func TestAServerThatIsNotInstalledSkipsTheTest(t *testing.T) {
	s := sleeper()
	s.Prepare = func(string, int) (servertest.Command, error) {
		_, err := servertest.Program("no-such-server", "/nowhere")
		return servertest.Command{}, fmt.Errorf("prepare: %w", err)
	}
	skipped := false
	t.Run("without its programs", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		s.Start(t)
		t.Error("it was started")
	})
	if !skipped {
		t.Error("the test was not skipped")
	}
}
