package state

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// readersAtOnce is the number of reading connections of a store.
const readersAtOnce = 4

// A pool holds the reading connections of one file.
type pool struct {
	path string
	open func(path string) (*lite, error)
	free chan *lite // nil entries are connections that are not open yet

	mu   sync.Mutex
	copy string // folder of a private copy, see copied
}

func newPool(path string, open func(string) (*lite, error)) *pool {
	p := &pool{path: path, open: open, free: make(chan *lite, readersAtOnce)}
	for range readersAtOnce {
		p.free <- nil
	}
	return p
}

// livePool reads beside our own writer.
func livePool(path string) *pool {
	return newPool(path, func(path string) (*lite, error) {
		return dial(dsn(path, writing+"&_query_only=1"), "PRAGMA cache_size = -8192")
	})
}

// frozenPool reads without changing a byte of the file or of its folder: see openFrozen.
func frozenPool(path string) *pool {
	p := newPool(path, nil)
	p.open = p.openFrozen
	return p
}

func (p *pool) close() error {
	var errs []error
	for range readersAtOnce {
		if c := <-p.free; c != nil {
			errs = append(errs, c.close())
		}
	}
	if p.copy != "" {
		errs = append(errs, os.RemoveAll(p.copy))
	}
	close(p.free)
	return errors.Join(errs...)
}

// use runs f on a free connection. A frozen connection does not see it when another process starts to write;
// then what f read may be torn, and f runs again on a connection that does.
func (p *pool) use(ctx context.Context, f func(*lite) error) error {
	for try := 0; ; try++ {
		var c *lite
		var ok bool
		select {
		case c, ok = <-p.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !ok {
			return ErrClosed
		}
		if c != nil && c.moved(p.path) {
			c.close()
			c = nil
		}
		if c == nil {
			var err error
			if c, err = p.open(p.path); err != nil {
				p.free <- nil
				return err
			}
		}
		err := f(c)
		if c.moved(p.path) && try < 5 {
			c.close()
			p.free <- nil
			continue
		}
		p.free <- c
		return err
	}
}

// A stamp tells whether a file was touched.
type stamp struct {
	size, wal int64 // wal: bytes in the -wal file, -1 without one
	at        time.Time
	shm       bool
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	s := stamp{size: info.Size(), at: info.ModTime(), wal: -1}
	if w, err := os.Stat(path + "-wal"); err == nil {
		s.wal = w.Size()
	}
	_, err = os.Stat(path + "-shm")
	s.shm = err == nil
	return s, nil
}

// moved reports whether c is frozen and its file is no longer what it was.
func (c *lite) moved(path string) bool {
	if c.stamp == (stamp{}) {
		return false
	}
	now, err := stampOf(path)
	return err != nil || now != c.stamp
}

// logHeader is how many bytes a -wal file has before its first page.
const logHeader = 32

// openFrozen opens a file for reading such that nothing is written, created or removed.
//
//   - Without content in a -wal file the database file is all there is: it is read as immutable, and its stamp is
//     compared after each reading. A header alone, which a killed process may leave, is no content; SQLite, building
//     the index in memory, would look at such a log again and again.
//   - With a -wal and a -shm file it is read beside whoever writes, with the -shm opened for reading only; when
//     nobody does, SQLite builds that index in memory.
//   - With a -wal alone SQLite would have to create the -shm beside it. A copy is read instead.
func (p *pool) openFrozen(path string) (*lite, error) {
	var c *lite
	var err error
	for range 5 {
		var st stamp
		if st, err = stampOf(path); err != nil {
			return nil, err
		}
		switch {
		case st.wal >= 0 && st.wal != logHeader && st.shm:
			c, err = dial(dsn(path, "mode=ro&readonly_shm=1&_busy_timeout=10000"), "PRAGMA cache_size = -8192", "SELECT 1 FROM sqlite_schema LIMIT 1")
		case st.wal > logHeader:
			c, err = p.copied(path)
		default:
			if c, err = dial(dsn(path, "mode=ro&immutable=1"), "PRAGMA cache_size = -8192"); err == nil {
				c.stamp = st
			}
		}
		// Between the look and the opening the other process may have come or gone.
		if now, serr := stampOf(path); err == nil || serr != nil || now == st {
			break
		}
	}
	return c, err
}

// copied opens a private copy of a database and its -wal, made once.
func (p *pool) copied(path string) (*lite, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.copy == "" {
		dir, err := os.MkdirTemp("", "fieldsync-state-")
		if err != nil {
			return nil, err
		}
		for _, suffix := range []string{"", "-wal"} {
			if err := copyFile(filepath.Join(dir, "state"+suffix), path+suffix); err != nil {
				return nil, errors.Join(err, os.RemoveAll(dir))
			}
		}
		p.copy = dir
	}
	return dial(dsn(filepath.Join(p.copy, "state"), "mode=ro&_busy_timeout=10000"), "PRAGMA cache_size = -8192")
}

func copyFile(to, from string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	_, err = io.Copy(dst, src)
	return err
}
