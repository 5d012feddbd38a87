// Command fieldsync keeps records in two systems in step, field by field, by rules that people write.
//
// It is the composition root: it reads arguments, wires mappings, connectors, state and engine together, prints
// through package report and turns what happened into an exit code. Start with app.go; open.go does the wiring;
// each command has a file of its own.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)   // a second signal ends the process at once
	signal.Ignore(syscall.SIGXFSZ) // a write beyond a limit on file sizes fails and is explained, as on a full disk
	code := run(ctx, os.Args[1:], stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.LookupEnv})
	stop()
	os.Exit(code)
}
