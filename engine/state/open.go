package state

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/mattn/go-sqlite3"
	"github.com/pressly/goose/v3"

	"github.com/fieldsync/fieldsync/connectors"
)

//go:embed migrations
var migrations embed.FS

// Where the migrations of each kind of database are. The same number means the same content in both.
const (
	liteMigrations = "migrations/sqlite"
	pgMigrations   = "migrations/postgres"
)

// applicationID in the file's header tells our files from other SQLite databases: "fsyn".
const applicationID = 0x6673796e

// latestSchema is the number of the newest migration this program knows.
func latestSchema(of string) (latest int64) {
	entries, _ := migrations.ReadDir(of) // embedded: it is there
	for _, e := range entries {
		if n, err := goose.NumericComponent(e.Name()); err == nil {
			latest = max(latest, n)
		}
	}
	return latest
}

// A kind says what was found at a path.
type kind struct {
	fresh  bool // nothing, or nothing in it
	schema int64
}

// probe looks at what is there without changing a byte, so that a file which is not ours, or of a newer
// version, is refused unharmed. The pool that looked is handed over unless there was nothing to look at.
func probe(path string) (kind, *pool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return kind{fresh: true}, nil, nil
	case err != nil:
		return kind{}, nil, err
	case !info.Mode().IsRegular():
		what := "a special file"
		if info.IsDir() {
			what = "a folder"
		}
		return kind{}, nil, &connectors.Error{Op: "open state " + path, Kind: ErrFile, Detail: "it is " + what,
			Hint: "set state to the path of a file, such as " + filepath.Join(path, "fieldsync.db")}
	case info.Size() == 0:
		return kind{fresh: true}, nil, nil
	case info.Size() < 512:
		// SQLite would take it for an empty database, and write over it.
		return kind{}, nil, sqlite3.Error{Code: sqlite3.ErrNotADB}
	}
	p := frozenPool(path)
	var k kind
	err = p.use(context.Background(), func(c *lite) error {
		k, err = identify(c.on(), path)
		return err
	})
	if err != nil {
		p.close()
		return kind{}, nil, err
	}
	if k.fresh {
		p.close()
		return k, nil, nil
	}
	return k, p, nil
}

// identify reads what a database says of itself.
func identify(c *conn, path string) (kind, error) {
	id, err := c.number("PRAGMA application_id")
	if err != nil {
		return kind{}, err
	}
	tables, err := c.number("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return kind{}, err
	}
	if id == 0 && tables == 0 {
		return kind{fresh: true}, nil
	}
	if id != applicationID {
		return kind{}, &connectors.Error{Op: "open state " + path, Kind: ErrForeign, Detail: "it is the SQLite database of another program",
			Hint: "set state to another file name, or move this file away"}
	}
	k := kind{}
	if k.schema, err = schemaOf(c); err != nil {
		return kind{}, err
	}
	if latest := latestSchema(liteMigrations); k.schema > latest {
		return kind{}, newerSchema(path, k.schema, latest)
	} else if k.schema < latest {
		k.fresh, err = unused(c)
	}
	return k, err
}

// unused reports whether nothing was ever stored: the process that made the file did not get to its end, because
// the disk was full for one.
func unused(c *conn) (bool, error) {
	made, err := c.number("SELECT count(*) FROM sqlite_schema WHERE name = 'sync'")
	if err != nil || made == 0 {
		return err == nil, err
	}
	syncs, err := c.number("SELECT count(*) FROM sync")
	return syncs == 0 && err == nil, err
}

// schemaOf returns the newest migration that was applied; 0 before the first.
func schemaOf(c *conn) (int64, error) {
	has, err := c.number("SELECT count(*) FROM sqlite_schema WHERE name = ?", goose.DefaultTablename)
	if err != nil || has == 0 {
		return 0, err
	}
	return c.number("SELECT coalesce(max(version_id), 0) FROM " + goose.DefaultTablename + " WHERE is_applied")
}

func newerSchema(name string, have, latest int64) error {
	return &connectors.Error{Op: "open state " + name, Hint: "use the fieldsync that wrote it, or a newer one",
		Kind: fmt.Errorf("%w (schema %d, this one knows %d): use that version", ErrNewer, have, latest)}
}

func olderSchema(have, latest int64) error {
	return &connectors.Error{Op: "open state", Hint: "run fieldsync apply once, or start fieldsync serve: they bring it up to date",
		Kind: fmt.Errorf("%w (schema %d, this one reads %d)", ErrOlder, have, latest)}
}

// createFile makes an empty file that only its owner reads; SQLite gives its -wal and -shm the same rights.
func createFile(path string) error {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		detail := "the folder " + dir + " does not exist"
		if err == nil {
			detail = dir + " is not a folder"
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return &connectors.Error{Op: "open state " + path, Kind: ErrFile, Detail: detail,
			Hint: "create it (mkdir -p " + dir + "), or set state to another path"}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // empty, or another process was faster
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// dsn escapes path, since a file name may hold what means something in a URI.
func dsn(path, params string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + params
}

const writing = "_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate&_foreign_keys=1"

// patiently does again what SQLite refuses at once, without the wait that it keeps elsewhere: while another process turns the
// journal of a new file into a log, it answers others that the file is locked. A file that stays locked has been waited for.
func patiently(do func() error) error {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := do()
		if e, ok := errors.AsType[sqlite3.Error](err); !ok || e.Code != sqlite3.ErrBusy || time.Since(began) > 5*time.Second {
			return err
		}
	}
}

// dialWriter opens the one connection that writes. It takes the write lock once, because SQLite falls back to
// reading without a word where a file may not be written.
//
// The cache holds most of what is changed at random places on the first contact of a million links, the indexes
// of the keys and of the fingerprints; it takes memory as it fills. The log grows to 32 MB before it is merged,
// so that a page that many transactions change is merged once.
func dialWriter(path string) (*lite, error) {
	c, err := dial(dsn(path, writing), "PRAGMA cache_size = -98304", "PRAGMA wal_autocheckpoint = 8000", "PRAGMA journal_size_limit = 33554432")
	if err != nil {
		return nil, err
	}
	for _, q := range []string{"BEGIN IMMEDIATE", "ROLLBACK"} {
		if err := c.on().exec(q); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// migrate brings the schema up to date. Two processes may do so at once: one of them then fails because the
// other was faster, looks again and finds it done.
func migrate(path string, c *conn) error {
	if err := c.exec(fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return err
	}
	var err error
	for range 3 {
		if err = migrateOnce(path); err == nil {
			return nil
		}
		if have, verr := schemaOf(c); verr == nil && have == latestSchema(liteMigrations) {
			return nil
		}
	}
	return err
}

func migrateOnce(path string) (err error) {
	db, err := sql.Open("sqlite3", dsn(path, writing))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	sub, err := fs.Sub(migrations, liteMigrations)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	_, err = p.Up(context.Background())
	return err
}
