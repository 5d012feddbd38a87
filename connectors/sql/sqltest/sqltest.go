// Package sqltest starts private PostgreSQL and MariaDB servers for tests.
//
// Each is started once in a test binary, and stopped by [Main], as connectors/servertest says. A machine without
// the server's programs, which "make test" installs where it can, skips the test and says why. Nothing of a server that
// runs on the machine already is touched.
package sqltest

import (
	"context"
	dsql "database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/fieldsync/fieldsync/connectors/servertest"
)

// Main wraps the M of a TestMain: it stops the servers after the tests.
func Main(m servertest.TestingM) servertest.TestingM { return servertest.Main(m) }

// Postgres returns the URL of a new, empty database.
func Postgres(t testing.TB) string {
	t.Helper()
	return postgres.database(t)
}

// PrivatePostgres starts a PostgreSQL server for one test alone, which may restart it, and returns the URL of an empty
// database there.
func PrivatePostgres(t testing.TB) (*servertest.Server, string) {
	t.Helper()
	p := newPostgres()
	return &p.Server, p.database(t)
}

// MariaDB returns the data source name of a new, empty database.
func MariaDB(t testing.TB) string {
	t.Helper()
	return mariadb.database(t)
}

func postgresURL(port int, name string) string {
	return fmt.Sprintf("postgres://fs:trusted-and-secret@127.0.0.1:%d/%s?sslmode=disable", port, name)
}

func mariadbDSN(port int, name string) string {
	return fmt.Sprintf("root@tcp(127.0.0.1:%d)/%s", port, name)
}

var (
	postgres = newPostgres()
	mariadb  = &server{Server: servertest.Server{Name: "MariaDB", Packages: "mariadb-server-core mariadb-client-core", Signal: "TERM", Prepare: prepareMariaDB}, driver: "mysql", first: "mysql", dsn: mariadbDSN}
	count    atomic.Int64
)

func newPostgres() *server {
	s := &server{Server: servertest.Server{Name: "PostgreSQL", Packages: "postgresql", Signal: "INT", Prepare: preparePostgres}, driver: "pgx", first: "postgres", dsn: postgresURL}
	s.Answers = s.ping
	return s
}

type server struct {
	servertest.Server
	driver, first string // first is a database that is always there
	dsn           func(port int, name string) string
}

// database makes a new database and returns its data source name.
func (s *server) database(t testing.TB) string {
	t.Helper()
	port, _ := s.Start(t)
	db, err := dsql.Open(s.driver, s.dsn(port, s.first))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("test_%d", count.Add(1))
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.dsn(port, name)
}

func (s *server) ping(ctx context.Context, _ string, port int) error {
	db, err := dsql.Open(s.driver, s.dsn(port, s.first))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}

func init() {
	mariadb.Answers = mariadb.ping
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

// as runs a command as such a user, where there is one.
func as() []string {
	if u, ok := servant(); ok {
		return []string{"runuser", "-u", u.Username, "--"}
	}
	return nil
}

// once runs a command that makes a server's data.
func once(dir, program string, args ...string) error {
	line := append(append(as(), program), args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
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

func preparePostgres(dir string, port int) (servertest.Command, error) {
	const bin = "/usr/lib/postgresql/*/bin"
	initdb, err := servertest.Program("initdb", bin)
	if err != nil {
		return servertest.Command{}, err
	}
	serve, err := servertest.Program("postgres", bin)
	if err != nil {
		return servertest.Command{}, err
	}
	if err := hand(dir); err != nil {
		return servertest.Command{}, err
	}
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(data); err != nil {
		if err := once(dir, initdb, "-D", data, "-U", "fs", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
			return servertest.Command{}, err
		}
	}
	return servertest.Command{As: as(), Args: []string{serve, "-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=200", "-c", "max_prepared_transactions=2"}}, nil
}

func prepareMariaDB(dir string, port int) (servertest.Command, error) {
	install, err := servertest.Program("mariadb-install-db", "/usr/bin")
	if err != nil {
		return servertest.Command{}, err
	}
	serve, err := servertest.Program("mariadbd", "/usr/sbin")
	if err != nil {
		return servertest.Command{}, err
	}
	if err := hand(dir); err != nil {
		return servertest.Command{}, err
	}
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(data); err != nil {
		if err := once(dir, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db"); err != nil {
			return servertest.Command{}, err
		}
	}
	return servertest.Command{As: as(), Args: []string{serve, "--no-defaults", "--datadir=" + data, "--port=" + strconv.Itoa(port), "--bind-address=127.0.0.1", "--socket=" + filepath.Join(dir, "s"),
		"--pid-file=" + filepath.Join(dir, "pid"), "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--character-set-server=utf8mb4"}}, nil
}
