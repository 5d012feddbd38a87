package project

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
)

// A hintedError carries its way out.
type hintedError struct {
	error
	hint string
}

func (h hintedError) Unwrap() error { return h.error }

// Hint is the way out.
func (h hintedError) Hint() string { return h.hint }

// Hinted is err with what a person can do about it.
func Hinted(err error, hint string) error { return hintedError{err, hint} }

// WayOut finds what a person can do about err; "" if nothing is known.
func WayOut(err error) string {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	if h := connectors.Hint(err); h != "" {
		return h
	}
	switch {
	case errors.Is(err, engine.ErrNoLink):
		return "name a record by its key or label; records are linked by their first apply, and fieldsync plan shows what that would do"
	case errors.Is(err, engine.ErrLeased):
		return "wait until that run is done; if its process died, the sync is free again when its lease runs out"
	case errors.Is(err, engine.ErrLeaseLost):
		return "another process took the sync over; look at fieldsync runs, then run again"
	case errors.Is(err, engine.ErrPlanUsed):
		return "a saved plan is carried out once: make a new one with fieldsync plan -o FILE"
	case errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "disk is full"):
		return "make room on that disk and run again; nothing that was carried out is forgotten"
	case errors.Is(err, fs.ErrPermission):
		return "let the user that runs fieldsync read and write it"
	}
	return ""
}
