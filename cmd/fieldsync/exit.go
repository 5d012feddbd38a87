package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/report"
)

// printDiagnostics writes messages to stderr: for people with their source lines, for programs as one object.
func (a *app) printDiagnostics(files map[string]*hcl.File, diags hcl.Diagnostics) {
	if len(diags) == 0 {
		return
	}
	if a.json {
		_ = report.Line(a.err, map[string]any{"diagnostics": project.DiagnosticsOf(diags)})
		return
	}
	if err := mapping.WriteDiagnostics(a.err, files, diags, a.style.Color, 0); err != nil {
		fmt.Fprintf(a.err, "Error: %v\n", diags)
	}
}

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
	if d, ok := errors.AsType[project.Diagnosed](err); ok {
		a.printDiagnostics(d.Files, project.Mistakes(d.Diags)) // validate shows the warnings too
		return
	}
	hint := project.WayOut(err)
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
