// Package state remembers between runs: links with their base, fingerprints, cursors, what waits, writes in
// flight, history and the accounts of runs, in one SQLite file. It is engine.Store; the promises are written there
// and storetest holds every implementation to them.
//
// It decides nothing about records. Start with [Open]. Every write goes through one goroutine that gathers what
// many callers want into one transaction (writer.go); readers page through what they emit and keep nothing open
// meanwhile (pool.go). Errors name the file and carry a way out (fault.go); nothing here panics on data.
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
	// ReadOnly never creates the file or changes a byte of it. A file that is not there reads as an empty state.
	ReadOnly bool
	Now      func() time.Time // nil: time.Now
}

// A Store is a state file. Its methods may be called by many goroutines.
type Store struct {
	path     string
	readOnly bool
	now      func() time.Time
	readers  *pool // nil: there is nothing to read

	writer *conn
	queue  chan *write
	idle   chan struct{} // closed when the writing goroutine has ended

	mu     sync.RWMutex // held for reading while something is put into the queue
	closed bool
}

var _ engine.Store = (*Store)(nil)

// Open opens the state at path, and makes or updates it unless it is opened for reading only. The folder must
// exist. The file is readable by its owner alone, since it holds the content of records.
func Open(path string, o Options) (*Store, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, err)
	}
	s := &Store{path: abs, readOnly: o.ReadOnly, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	if s.readOnly {
		err = s.openReading()
	} else {
		err = s.openWriting()
	}
	if err != nil {
		return nil, fault("open state", abs, err)
	}
	return s, nil
}

// openReading looks before it opens and keeps the pool that looked.
func (s *Store) openReading() error {
	kind, p, err := probe(s.path)
	if err != nil {
		return err
	}
	if kind.fresh {
		return nil
	}
	if latest := latestSchema(); kind.schema < latest {
		p.close()
		return olderSchema(kind.schema, latest)
	}
	s.readers = p
	return nil
}

func (s *Store) openWriting() error {
	kind, p, err := probe(s.path)
	if err != nil {
		return err
	}
	if p != nil {
		p.close()
	}
	if kind.fresh {
		if err := createFile(s.path); err != nil {
			return err
		}
	}
	if s.writer, err = dialWriter(s.path); err != nil {
		return err
	}
	if kind.schema < latestSchema() {
		if err := migrate(s.path, s.writer); err != nil {
			s.writer.close()
			return err
		}
	}
	s.readers = livePool(s.path)
	s.queue, s.idle = make(chan *write, 64), make(chan struct{})
	go s.writeLoop()
	return nil
}

// Close waits for the writes under way, then lets go of the file.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	if s.queue != nil {
		close(s.queue)
	}
	s.mu.Unlock()
	var err error
	if s.readers != nil {
		err = s.readers.close()
	}
	if s.writer != nil {
		<-s.idle
		if werr := s.writer.close(); err == nil {
			err = werr
		}
	}
	return fault("close state", s.path, err)
}

// read runs f on a reading connection. f may run more than once and starts afresh each time.
func (s *Store) read(ctx context.Context, f func(*conn) error) error {
	if s.readers == nil {
		return ctx.Err()
	}
	return fault("read state", s.path, s.readers.use(ctx, f))
}
