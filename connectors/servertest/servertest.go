// Package servertest runs real servers for tests, private ones: each is started once in a test binary, when a test first asks
// for it, on a free port of loopback with its data in a folder of its own.
//
// A server is stopped by [Main], or when the binary dies, however it dies; only what was started here is ever stopped. A
// machine without the server's programs, which "make test" installs where it can, skips the test and says why. What
// servers there are is not known here: see connectors/sql/sqltest and connectors/rest/resttest.
package servertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// ErrMissing is why a server cannot be started on this machine. Prepare wraps it.
var ErrMissing = errors.New("is not installed")

// A Server is one program that serves on a port.
type Server struct {
	Name     string
	Packages string // of Debian, that bring it
	Signal   string // that ends it: "TERM"
	// Prepare makes the data in dir, unless it is there from a try before, and tells what serves it on port.
	Prepare func(dir string, port int) (Command, error)
	// Answers is nil as soon as the server on port does what it is for. Another server may have taken the port: what is
	// asked is something that only the one with its data in dir answers, where that can be.
	Answers func(ctx context.Context, dir string, port int) error

	once  sync.Once
	err   error
	dir   string
	port  int
	input io.Closer // closing it stops the server
	ended chan struct{}
}

// A Command is how a server is started.
type Command struct {
	As   []string // what runs it as another user: runuser -u NAME --
	Args []string
	Env  []string // on top of the environment of the test
	Dir  string   // where it runs; default: the folder of its data
}

// Start starts the server, if it does not run yet, and returns its port and the folder of its data. Without the server's
// programs the test is skipped.
func (s *Server) Start(t testing.TB) (port int, dir string) {
	t.Helper()
	s.once.Do(func() { s.err = s.start() })
	switch {
	case errors.Is(s.err, ErrMissing):
		t.Skipf("%s %v; make test installs it (Debian: %s)", s.Name, s.err, s.Packages)
	case s.err != nil:
		t.Fatalf("start %s: %v", s.Name, s.err)
	}
	return s.port, s.dir
}

// Restart stops a server that was started, and starts it again on its port with its data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	_ = s.input.Close()
	<-s.ended
	if err := s.run(); err != nil {
		t.Fatalf("restart %s: %v", s.Name, err)
	}
}

// running are the servers that Main stops.
var (
	mu      sync.Mutex
	running []*Server
)

// A TestingM is *testing.M.
type TestingM interface{ Run() int }

// Main wraps the M of a TestMain: it stops the servers after the tests.
func Main(m TestingM) TestingM { return stopping{m} }

type stopping struct{ m TestingM }

func (s stopping) Run() int {
	code := s.m.Run()
	mu.Lock()
	defer mu.Unlock()
	for _, r := range running {
		r.stop()
	}
	running = nil
	return code
}

func (s *Server) start() error {
	var err error
	if s.dir, err = os.MkdirTemp("", "fieldsync-server-"); err != nil {
		return err
	}
	mu.Lock()
	running = append(running, s)
	mu.Unlock()
	for range 3 { // somebody else may take the port between our asking and the server's
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.run(); err == nil || errors.Is(err, ErrMissing) {
			return err
		}
	}
	return err
}

// keeper starts a server and ends it when our end of its input closes: also when this process is killed. It ends when the
// server does, and then takes care that nobody signals a process that has come to have the server's number.
const keeper = `signal=$1; shift; exec 3<&0; "$@" </dev/null 3<&- & server=$!
{ cat <&3 >/dev/null; kill -"$signal" $server; } & watch=$!
exec 3<&-; wait $server; code=$?; kill $watch 2>/dev/null; exit $code`

func (s *Server) run() error {
	c, err := s.Prepare(s.dir, s.port)
	if err != nil {
		return err
	}
	args := slices.Concat(c.As, []string{"sh", "-c", keeper, "sh", s.Signal}, c.Args)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = append(os.Environ(), c.Env...), c.Dir
	if c.Dir == "" {
		cmd.Dir = s.dir
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if s.input, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	go func() {
		_ = cmd.Wait() // how a server that was told to stop ended is its own matter
		close(s.ended)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = s.Answers(ctx, s.dir, s.port); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("it ended at once: %w\n%s", err, said(log.Name()))
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("it does not answer: %w\n%s", err, said(log.Name())), s.input.Close())
		}
	}
}

// said is the end of what a server wrote.
func said(name string) []byte {
	b, err := os.ReadFile(name)
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-4000):]
}

func (s *Server) stop() {
	if s.input != nil {
		_ = s.input.Close()
		<-s.ended
	}
	_ = os.RemoveAll(s.dir)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// Program finds a program where a distribution hides it, the newest first, or in the path.
func Program(name string, elsewhere string) (string, error) {
	hidden, err := filepath.Glob(filepath.Join(elsewhere, name))
	if err != nil {
		return "", err
	}
	slices.SortFunc(hidden, func(a, b string) int { return len(b) - len(a) + slices.Compare([]byte(b), []byte(a)) })
	if len(hidden) > 0 {
		return hidden[0], nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: there is no %s", ErrMissing, name)
	}
	return path, nil
}
