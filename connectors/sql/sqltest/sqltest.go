// Package sqltest starts private PostgreSQL and MariaDB servers for tests.
//
// Each is started once in a test binary, when a test first asks for it, on a free port of loopback with its data in a
// folder of its own, and stopped by [Main], or when the binary dies. A machine without the server's programs, which
// "make test" installs where it can, skips the test and says why. Nothing of a server that runs on the machine
// already is touched.
package sqltest

import (
	"context"
	dsql "database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
)

// A TestingM is *testing.M.
type TestingM interface{ Run() int }

// Main wraps the M of a TestMain: it stops the servers after the tests.
func Main(m TestingM) TestingM { return stopping{m} }

type stopping struct{ m TestingM }

func (s stopping) Run() int {
	defer postgres.stop()
	defer mariadb.stop()
	return s.m.Run()
}

// Postgres returns the URL of a new, empty database.
func Postgres(t testing.TB) string {
	t.Helper()
	return postgres.database(t, func(port int, name string) string {
		return fmt.Sprintf("postgres://fs:trusted-and-secret@127.0.0.1:%d/%s?sslmode=disable", port, name)
	})
}

// MariaDB returns the data source name of a new, empty database.
func MariaDB(t testing.TB) string {
	t.Helper()
	return mariadb.database(t, func(port int, name string) string { return fmt.Sprintf("root@tcp(127.0.0.1:%d)/%s", port, name) })
}

var (
	postgres = &server{name: "PostgreSQL", packages: "postgresql", driver: "pgx", first: "postgres", signal: "INT", prepare: preparePostgres}
	mariadb  = &server{name: "MariaDB", packages: "mariadb-server-core mariadb-client-core", driver: "mysql", first: "mysql", signal: "TERM", prepare: prepareMariaDB}
	count    atomic.Int64
)

// errMissing is why a server cannot be started on this machine.
var errMissing = errors.New("is not installed")

type server struct {
	name, packages, driver, first, signal string
	// prepare makes the data in dir and returns the command that serves it on port.
	prepare func(dir string, port int) ([]string, error)

	once  sync.Once
	err   error
	dir   string
	port  int
	input io.Closer // closing it stops the server
	ended chan struct{}
}

func (s *server) database(t testing.TB, dsn func(port int, name string) string) string {
	t.Helper()
	s.once.Do(func() { s.err = s.start(dsn) })
	switch {
	case errors.Is(s.err, errMissing):
		t.Skipf("%s %v; make test installs it (Debian: apt-get install %s)", s.name, s.err, s.packages)
	case s.err != nil:
		t.Fatalf("start %s: %v", s.name, s.err)
	}
	db, err := dsql.Open(s.driver, dsn(s.port, s.first))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("test_%d", count.Add(1))
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return dsn(s.port, name)
}

func (s *server) start(dsn func(int, string) string) error {
	var err error
	if s.dir, err = os.MkdirTemp("", "fieldsync-sql-"); err != nil {
		return err
	}
	for range 3 { // somebody else may take the port between our asking and the server's
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.run(dsn); err == nil || errors.Is(err, errMissing) {
			return err
		}
	}
	return err
}

func (s *server) run(dsn func(int, string) string) error {
	args, err := s.prepare(s.dir, s.port)
	if err != nil {
		return err
	}
	// The shell ends the server when our end of its input closes: also when this process is killed.
	cmd := asUser(append([]string{"sh", "-c", `"$@" </dev/null & p=$!; cat >/dev/null; kill -` + s.signal + ` $p; wait $p`, "sh"}, args...)...)
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
	db, err := dsql.Open(s.driver, dsn(s.port, s.first))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.ended:
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("it ended at once: %w\n%s", err, said)
		case <-ctx.Done():
			said, _ := os.ReadFile(log.Name())
			return errors.Join(fmt.Errorf("it does not answer: %w\n%s", err, said), s.input.Close())
		}
	}
}

func (s *server) stop() {
	if s.input != nil {
		_ = s.input.Close()
		<-s.ended
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// servants are the users that may run servers where root, whom they refuse, runs the tests; the first that there is.
var servants = []string{"postgres", "mysql", "nobody"}

func servant() (*user.User, bool) {
	for _, name := range servants {
		if u, err := user.Lookup(name); err == nil && os.Geteuid() == 0 {
			return u, true
		}
	}
	return nil, false
}

func asUser(args ...string) *exec.Cmd {
	if u, ok := servant(); ok {
		args = append([]string{"runuser", "-u", u.Username, "--"}, args...)
	}
	return exec.Command(args[0], args[1:]...)
}

// program finds a program in the path, or where a distribution hides it; the newest first.
func program(name string, elsewhere string) (string, error) {
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
		return "", fmt.Errorf("%w: there is no %s", errMissing, name)
	}
	return path, nil
}

// hand gives a folder to the user who runs the server.
func hand(dir string) error {
	u, ok := servant()
	if !ok {
		return nil
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, -1)
}

func preparePostgres(dir string, port int) ([]string, error) {
	const bin = "/usr/lib/postgresql/*/bin"
	initdb, err := program("initdb", bin)
	if err != nil {
		return nil, err
	}
	serve, err := program("postgres", bin)
	if err != nil {
		return nil, err
	}
	if err := hand(dir); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(data); err != nil {
		cmd := asUser(initdb, "-D", data, "-U", "fs", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("initdb: %w\n%s", err, out)
		}
	}
	return []string{serve, "-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=200", "-c", "max_prepared_transactions=2"}, nil
}

func prepareMariaDB(dir string, port int) ([]string, error) {
	install, err := program("mariadb-install-db", "/usr/bin")
	if err != nil {
		return nil, err
	}
	serve, err := program("mariadbd", "/usr/sbin")
	if err != nil {
		return nil, err
	}
	if err := hand(dir); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(data); err != nil {
		cmd := asUser(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
		}
	}
	return []string{serve, "--no-defaults", "--datadir=" + data, "--port=" + strconv.Itoa(port), "--bind-address=127.0.0.1", "--socket=" + filepath.Join(dir, "s"),
		"--pid-file=" + filepath.Join(dir, "pid"), "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--character-set-server=utf8mb4"}, nil
}
