package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fieldsync/fieldsync/connectors"
)

// Backup writes a copy of a state in a file to another file: see the promises below. A server has tools of its own.
func (s *Store) Backup(ctx context.Context, to string, force bool) (size int64, err error) {
	f, ok := s.db.(*file)
	if !ok {
		return 0, &connectors.Error{Op: "back up " + s.name, Kind: errors.New("the state is in a PostgreSQL database"),
			Hint: "back it up with the server's own tools, for example pg_dump --format=custom --schema=" + pgSchema + "; fieldsync state copy --to FILE makes a state file of it"}
	}
	return f.backup(ctx, to, force)
}

// backup writes a copy of the state, as it is at one moment, to a file of its own: readable by its owner alone, and
// under its name only once it is whole and checked. Others may write to the state meanwhile. A file that is there
// is replaced only if force says so. It returns the size of the copy.
func (f *file) backup(ctx context.Context, file string, force bool) (size int64, err error) {
	refuse := func(detail, hint string) error {
		return &connectors.Error{Op: "back up to " + file, Kind: ErrFile, Detail: detail, Hint: hint}
	}
	if f.readers == nil {
		return 0, refuse("there is no state to copy yet", "the first run makes it")
	}
	there, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, fault("back up to", file, err)
	case there.IsDir():
		return 0, refuse("it is a folder", "name a file in it")
	default:
		if own, err := os.Stat(f.path); err == nil && os.SameFile(own, there) {
			return 0, refuse("it is the state itself", "name another file")
		}
		if !force {
			return 0, refuse("it is there already", "name another file, or add --force to replace it")
		}
	}
	// A log beside the name belongs to a database in use, and SQLite would read it into the copy.
	if _, err := os.Stat(file + "-wal"); err == nil {
		return 0, refuse(file+"-wal is beside it: it is a database in use, or was not closed", "name another file")
	}
	dir, err := os.MkdirTemp(filepath.Dir(file), ".fieldsync-backup-")
	if err != nil {
		return 0, fault("back up to", file, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// A file of its own for every try: the source may be read again when it moved meanwhile.
	try, whole := 0, ""
	err = f.readers.use(ctx, func(c *lite) error {
		if whole != "" {
			if err := os.Remove(whole); err != nil {
				return err
			}
		}
		try++
		whole = filepath.Join(dir, fmt.Sprint("state-", try))
		return c.copyTo(whole)
	})
	if err != nil {
		return 0, fault("back up to", file, err)
	}
	if err := checkCopy(whole); err != nil {
		return 0, fault("back up to", file, err)
	}
	info, err := os.Stat(whole)
	if err != nil {
		return 0, fault("back up to", file, err)
	}
	if err := os.Rename(whole, file); err != nil {
		return 0, fault("back up to", file, err)
	}
	return info.Size(), fault("back up to", file, syncFolder(filepath.Dir(file)))
}

// copyTo copies all pages under one read lock, which keeps no writer waiting.
func (c *lite) copyTo(file string) (err error) {
	if err := createFile(file); err != nil {
		return err
	}
	to, err := dial(dsn(file, "_journal_mode=OFF&_synchronous=FULL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.close()) }()
	b, err := to.raw.Backup("main", c.raw, "main")
	if err != nil {
		return err
	}
	done, err := b.Step(-1)
	if err = errors.Join(err, b.Finish()); err != nil {
		return err
	}
	if !done {
		return errors.New("the copy is not whole")
	}
	return nil
}

// checkCopy reads a copy whole and brings it to disk.
func checkCopy(file string) (err error) {
	c, err := dial(dsn(file, "mode=ro&immutable=1"))
	if err != nil {
		return err
	}
	said := ""
	_, err = c.on().one("PRAGMA quick_check(1)", func(r row) { said = r.text(0) })
	if err = errors.Join(err, c.close()); err != nil {
		return err
	}
	if said != "ok" {
		return &connectors.Error{Op: "check the copy", Kind: ErrDamaged, Detail: said, Hint: hintRestore}
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
