package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/report"
)

// Exit codes. They are part of the interface: programs branch on them.
const (
	exitOK      = 0
	exitError   = 1
	exitChanges = 2
	exitFailed  = 3
	exitStopped = 4
)

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "what the exit codes mean",
		Long: `Exit codes of every command:

  0  done, or nothing to do (conflicts and holds that wait do not count)
  1  error: wrong arguments, wrong mapping, a system that cannot be reached,
     a failed test, a broken promise, a state with flaws, a question answered with no
  2  plan: there are changes, or a limit or a gate stops it
  3  apply, restore, undo: carried out, but some actions failed and are held,
     or were skipped because their record had moved
  4  apply: a limit or a gate stopped the plan; nothing was written`,
		Example: `  fieldsync plan; case $? in 0) echo quiet;; 2) echo changes;; *) echo broken;; esac`,
	}
}

// An exit ends the program with a code, after everything was said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// worst keeps the code that matters most of several syncs: an error, then a stop, then failures, then changes.
func worst(a, b int) int {
	for _, code := range []int{exitError, exitStopped, exitFailed, exitChanges} {
		if a == code || b == code {
			return code
		}
	}
	return exitOK
}

// A hinted error carries its way out.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// wayOut finds what a person can do about err; "" if nothing is known.
func wayOut(err error) string {
	if h, ok := errors.AsType[hinted](err); ok {
		return h.hint
	}
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

// finish says what went wrong, if anything, and gives the exit code.
func (a *app) finish(err error) int {
	if err == nil {
		return exitOK
	}
	if code, ok := errors.AsType[exit](err); ok {
		return int(code)
	}
	a.complain(err)
	return exitError
}

// complain prints an error with its way out.
func (a *app) complain(err error) {
	if d, ok := errors.AsType[diagnosed](err); ok {
		a.printDiagnostics(d.files, mistakes(d.diags)) // validate shows the warnings too
		return
	}
	hint := wayOut(err)
	if errors.Is(err, context.Canceled) {
		err, hint = errors.New("interrupted"), "run it again: what was begun is settled first"
	}
	if a.json {
		_ = report.Line(a.err, map[string]string{"error": err.Error(), "hint": hint})
		return
	}
	fmt.Fprintf(a.err, "Error: %v\n", err)
	if hint != "" {
		fmt.Fprintf(a.err, "  way out: %s\n", hint)
	}
}
