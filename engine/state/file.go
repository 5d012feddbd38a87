package state

import (
	"context"
	"errors"
)

// A file is a state in one SQLite file.
type file struct {
	path    string
	readers *pool // nil: there is nothing to read
	writer  *lite // nil: for reading only
}

// openFile looks before it opens, so that a file which is not ours is refused unharmed.
func openFile(path string, readOnly bool) (*file, error) {
	f := &file{path: path}
	open := f.openWriting
	if readOnly {
		open = f.openReading
	}
	if err := open(); err != nil {
		return nil, f.fault("open state", err)
	}
	return f, nil
}

// openReading keeps the pool that looked.
func (f *file) openReading() error {
	kind, p, err := probe(f.path)
	if err != nil {
		return err
	}
	if kind.fresh {
		return nil
	}
	if latest := latestSchema(liteMigrations); kind.schema < latest {
		p.close()
		return olderSchema(kind.schema, latest)
	}
	f.readers = p
	return nil
}

func (f *file) openWriting() error {
	kind, p, err := probe(f.path)
	if err != nil {
		return err
	}
	if p != nil {
		p.close()
	}
	if kind.fresh {
		if err := createFile(f.path); err != nil {
			return err
		}
	}
	err = patiently(func() (err error) { f.writer, err = dialWriter(f.path); return err })
	if err != nil {
		return err
	}
	if kind.schema < latestSchema(liteMigrations) {
		if err := patiently(func() error { return migrate(f.path, f.writer.on()) }); err != nil {
			f.writer.close()
			return err
		}
	}
	f.readers = livePool(f.path)
	return nil
}

func (f *file) read(ctx context.Context, do func(*conn) error) error {
	if f.readers == nil {
		return ctx.Err()
	}
	return f.readers.use(ctx, func(c *lite) error { return do(c.on()) })
}

func (f *file) readAll(ctx context.Context, do func(*conn) error) error {
	return f.read(ctx, func(c *conn) error {
		if err := c.exec("BEGIN"); err != nil {
			return err
		}
		return errors.Join(do(c), c.exec("ROLLBACK"))
	})
}

func (f *file) transactAll(_ context.Context, do func(*conn) error) error {
	_, err := f.transact(do)
	return err
}

// transact knows of every transaction what became of it.
func (f *file) transact(do func(*conn) error) (certain bool, err error) {
	c := f.writer.on()
	if err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return false, err
	}
	if err = do(c); err == nil {
		err = c.exec("COMMIT")
	}
	if err != nil && c.inTx() {
		err = errors.Join(err, c.exec("ROLLBACK"))
	}
	return true, err
}

// lane is one for all.
func (f *file) lane(string) string { return "" }

func (f *file) fault(op string, err error) error { return fault(op, f.path, err) }

func (f *file) close() (err error) {
	if f.readers != nil {
		err = f.readers.close()
	}
	if f.writer != nil {
		if werr := f.writer.close(); err == nil {
			err = werr
		}
	}
	return err
}
