package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/mattn/go-sqlite3"

	"github.com/fieldsync/fieldsync/connectors"
)

// Errors of this package, to branch on. The chain carries a way out: connectors.Hint.
var (
	ErrReadOnly = errors.New("the state is open for reading only")
	ErrClosed   = errors.New("the state is closed")
	ErrForeign  = errors.New("this is not a fieldsync state file")
	ErrNewer    = errors.New("written by a newer fieldsync")
	ErrOlder    = errors.New("written by an older fieldsync")
	ErrDamaged  = errors.New("the state file is damaged")
	ErrFull     = errors.New("no space is left for the state")
	ErrFile     = errors.New("the state file cannot be used")
)

const hintRestore = "restore the last backup of the file with its -wal file, or move it away: the next run then pairs all records anew by their match blocks, without a base"

// fault gives an error of SQLite or of the file system the name of the file and a way out. Errors that have
// nothing to do with the file pass as they are.
func fault(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if _, done := errors.AsType[*connectors.Error](err); done {
		return err
	}
	e := &connectors.Error{Op: op + " " + path, Err: err}
	if se, ok := errors.AsType[sqlite3.Error](err); ok {
		e.Detail, e.Hint, e.Kind = explain(se, path)
	} else if _, ok := errors.AsType[*fs.PathError](err); ok {
		e.Kind = ErrFile
		e.Hint = fmt.Sprintf("check the rights and the mount of %s", filepath.Dir(path))
		if full(err) {
			e.Kind, e.Hint = ErrFull, hintFull(path)
		}
	}
	if e.Kind == nil {
		return fmt.Errorf("%s %s: %w", op, path, err)
	}
	return e
}

// full reports whether err says that a disk, a quota or a limit on file sizes is exhausted.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

func hintFull(path string) string {
	return fmt.Sprintf("make room on the file system of %s and run again: nothing that was stored before is harmed", filepath.Dir(path))
}

func explain(e sqlite3.Error, path string) (detail, hint string, kind error) {
	if e.Code == sqlite3.ErrFull || (e.SystemErrno != 0 && full(e.SystemErrno)) {
		return "", hintFull(path), ErrFull
	}
	switch e.Code {
	case sqlite3.ErrNotADB:
		return "it is no SQLite database", "set state to another file name, or move this file away", ErrForeign
	case sqlite3.ErrCorrupt, sqlite3.ErrFormat:
		return e.Error(), hintRestore, ErrDamaged
	case sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrAuth:
		return unwritable(path)
	case sqlite3.ErrCantOpen:
		// On a file system for reading it is the log beside the file that cannot be made, and the reason gets lost.
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		} else if errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) {
			return unwritable(path)
		}
		detail = "it cannot be opened"
		if e.SystemErrno != 0 {
			detail += ": " + e.SystemErrno.Error()
		}
		return detail, fmt.Sprintf("check the rights of %s and its folder", path), ErrFile
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrProtocol:
		return "another process has kept it locked for too long", "see which process uses it (fuser " + path + ") and try again", ErrFile
	case sqlite3.ErrIoErr:
		detail = e.Error()
		if e.SystemErrno != 0 {
			detail += ": " + e.SystemErrno.Error()
		}
		return detail, "the disk or the network mount failed: see the system's log; " + hintRestore, ErrFile
	case sqlite3.ErrError:
		// A missing table or column: the file says it is ours but is not what our migrations made.
		return e.Error(), hintRestore, ErrDamaged
	}
	return "", "", nil
}

func unwritable(path string) (detail, hint string, kind error) {
	return "it may not be written", fmt.Sprintf("give the user that runs fieldsync the right to write %s and its folder, or remount it for writing", path), ErrFile
}

// constraint reports whether err says that a unique key is taken.
func constraint(err error) bool {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Code == "23505"
	}
	se, ok := errors.AsType[sqlite3.Error](err)
	return ok && se.Code == sqlite3.ErrConstraint
}
