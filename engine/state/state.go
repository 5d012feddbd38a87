// Package state remembers between runs: links with their base, fingerprints, cursors, what waits, writes in
// flight, history and the accounts of runs, in one SQLite file or in a PostgreSQL database that several nodes share. It
// is engine.Store; the promises are written there and storetest holds both to them.
//
// It decides nothing about records. Start with [Open]. The statements are written once (conn.go says how the two
// databases differ). What many callers want to write at the same time is gathered into one transaction (writer.go);
// readers page through what they emit and keep nothing open meanwhile. Errors name the file or the server, never a
// password, and carry a way out (fault.go, pgfault.go); nothing here panics on data.
package state

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/engine"
)

// Options say how a state is opened.
type Options struct {
	// ReadOnly never creates anything or changes a byte. A file or database that is not there reads as an empty state.
	ReadOnly bool
	Now      func() time.Time // nil: time.Now
	// OwnTime has leases in a PostgreSQL database go by Now. Otherwise they go by the server's clock, since those of the
	// nodes may differ.
	OwnTime bool
}

// A Store is a state. Its methods may be called by many goroutines.
type Store struct {
	db          database
	name        string // of the file, or of the server without its password
	readOnly    bool
	now         func() time.Time
	serverClock bool // leases go by the database's clock

	mu     sync.Mutex
	closed bool
	lanes  map[string]*lane
	busy   sync.WaitGroup // lanes that are being served
}

// A database is where a state is kept.
type database interface {
	// read runs f on a connection for reading. f may run more than once and starts afresh each time.
	read(ctx context.Context, f func(*conn) error) error
	// transact runs f in a transaction: whole, or not at all with an error. certain is false when nobody can tell which of
	// the two it was, or when there was no transaction to begin with.
	transact(f func(*conn) error) (certain bool, err error)
	// readAll is read for what takes long, and sees one moment.
	readAll(ctx context.Context, f func(*conn) error) error
	// transactAll is transact for what takes long. It ends with ctx.
	transactAll(ctx context.Context, f func(*conn) error) error
	// lane names who has to wait for whom: writes of one lane are gathered into common transactions, one after the other.
	lane(sync string) string
	// fault gives an error its way out.
	fault(op string, err error) error
	close() error
}

var _ engine.Store = (*Store)(nil)

// Open opens the state at path, and makes or updates it unless it is opened for reading only. A path that is a
// PostgreSQL URL names a database, any other a file, whose folder must exist: it is readable by its owner alone, since it
// holds the content of records.
func Open(path string, o Options) (*Store, error) {
	s := &Store{readOnly: o.ReadOnly, now: o.Now, serverClock: IsURL(path) && !o.OwnTime, lanes: map[string]*lane{}}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if IsURL(path) {
		s.name = Name(path)
		s.db, err = openPostgres(path, s.name, o)
	} else {
		if s.name, err = filepath.Abs(path); err != nil {
			return nil, fmt.Errorf("open state %s: %w", path, err)
		}
		s.db, err = openFile(s.name, o.ReadOnly)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Close waits for the writes under way, then lets go of the database.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.busy.Wait()
	return s.db.fault("close state", s.db.close())
}

// read runs f on a reading connection. f may run more than once and starts afresh each time.
func (s *Store) read(ctx context.Context, f func(*conn) error) error {
	return s.db.fault("read state", s.db.read(ctx, f))
}

func (s *Store) readAll(ctx context.Context, f func(*conn) error) error {
	return s.db.fault("read state", s.db.readAll(ctx, f))
}

// writeAll runs f in a transaction of its own, while nothing else is written to a file.
func (s *Store) writeAll(ctx context.Context, f func(*conn) error) error {
	if s.readOnly {
		return fmt.Errorf("%w: %s", ErrReadOnly, s.name)
	}
	return s.db.fault("write state", s.db.transactAll(ctx, f))
}
