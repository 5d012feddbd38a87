package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/report"
)

// stdio is what a process has around it.
type stdio struct {
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	Getenv func(string) (string, bool)
	Now    func() time.Time // nil: the machine's clock
}

// An app is one invocation: its surroundings, the global flags, and what the commands share.
type app struct {
	in       *bufio.Reader
	out, err *project.Masked
	getenv   func(string) (string, bool)
	now      func() time.Time
	style    report.Style // of stdout
	ask      bool         // somebody can answer questions
	bars     bool         // progress can be drawn on stderr

	dir      string
	json     bool
	vars     []string
	logLevel string
	noColor  bool
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	mask := &project.Secrets{}
	a := &app{in: bufio.NewReader(std.In), out: mask.Over(std.Out), err: mask.Over(std.Err), getenv: std.Getenv, now: std.Now}
	if a.now == nil {
		a.now = time.Now
	}
	root := a.root(std)
	root.SetArgs(longVar(args))
	err := root.ExecuteContext(ctx)
	a.json = a.json || err != nil && slices.Contains(args, "--json") // a wrong flag before it keeps it from being read
	code := a.finish(err)
	a.out.Flush()
	a.err.Flush()
	return code
}

// longVar writes -var, as other tools that read HCL do, the way this one reads it.
func longVar(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if arg == "-var" || strings.HasPrefix(arg, "-var=") {
			args[i] = "-" + arg
		}
	}
	return args
}

func (a *app) root(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "fieldsync",
		Short: "keep records in two systems in step, field by field, by rules in files",
		Long: `fieldsync keeps records in two systems in step, field by field, both ways, by rules
that people write in HCL files. Nothing is written that was not shown before, and
every decision explains itself.`,
		Example: `  fieldsync validate                       is what the files say right?
  fieldsync plan                           what would happen, field by field
  fieldsync apply                          show it, ask, carry it out
  fieldsync explain ticket_to_incident T-1001 state`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRun: func(*cobra.Command, []string) {
			_, dumb := a.getenv("NO_COLOR")
			dumb = dumb || a.noColor || a.json
			if term, _ := a.getenv("TERM"); term == "dumb" {
				dumb = true
			}
			a.style.Color = !dumb && terminal(std.Out)
			a.ask = !a.json && terminal(std.In)
			a.bars = !a.json && terminal(std.Err)
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return project.Hinted(err, c.CommandPath()+" --help shows its flags")
	})
	f := root.PersistentFlags()
	f.StringVarP(&a.dir, "dir", "d", "", `folder of the mapping files (default "mappings" if it exists, else ".")`)
	f.BoolVar(&a.json, "json", false, "write JSON for programs")
	f.StringArrayVar(&a.vars, "var", nil, "set a variable of the mapping, `NAME=VALUE`; may be repeated")
	f.StringVar(&a.logLevel, "log-level", "", "debug, info, warn or error (default warn; serve: info)")
	f.BoolVar(&a.noColor, "no-color", false, "no colour, as NO_COLOR in the environment")
	_ = root.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.MarkPersistentFlagDirname("dir")

	root.AddGroup(
		&cobra.Group{ID: "write", Title: "Rules:"}, &cobra.Group{ID: "run", Title: "Preview and carry out:"},
		&cobra.Group{ID: "see", Title: "See and decide:"}, &cobra.Group{ID: "try", Title: "Try:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("write", a.initCmd(), a.validateCmd(), a.fmtCmd(), a.testCmd(), a.verifyCmd(), a.evalCmd(), a.checkCmd(), a.fieldsCmd())
	add("run", a.planCmd(), a.applyCmd(), a.approveCmd(), a.undoCmd(), a.serveCmd(), a.pauseCmd(), a.resumeCmd(), a.tokenCmd())
	add("see", a.statusCmd(), a.runsCmd(), a.conflictsCmd(), a.holdsCmd(), a.resolveCmd(), a.explainCmd(),
		a.blameCmd(), a.restoreCmd(), a.linkCmd(), a.unlinkCmd(), a.auditCmd(), a.stateCmd())
	add("try", a.simCmd(), a.demoCmd())
	root.AddCommand(a.versionCmd(), a.manCmd(), exitCodesTopic())
	hintArgs(root)
	return root
}

// knownCommand refuses words that are no command and names those that come near.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	hint := c.CommandPath() + " --help lists the commands"
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "? " + hint
	}
	return project.Hinted(fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath()), hint)
}

// hintArgs makes every command say where its arguments are described when they are wrong.
func hintArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err == nil || project.WayOut(err) != "" {
				return err
			}
			return project.Hinted(err, "write it as: "+c.UseLine())
		}
	}
	for _, sub := range c.Commands() {
		hintArgs(sub)
	}
}

func terminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

// logger writes to stderr: JSON with --json, else text. Commands are quiet below standard.
func (a *app) logger(standard slog.Level) (*slog.Logger, error) {
	level := standard
	if a.logLevel != "" {
		if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
			return nil, project.Hinted(fmt.Errorf("--log-level %q is no level", a.logLevel), "write debug, info, warn or error")
		}
	}
	opts := &slog.HandlerOptions{Level: level}
	if a.json {
		return slog.New(slog.NewJSONHandler(a.err, opts)), nil
	}
	return slog.New(slog.NewTextHandler(a.err, opts)), nil
}

// variables parses --var.
func (a *app) variables() (map[string]string, error) {
	vars := make(map[string]string, len(a.vars))
	for _, v := range a.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, project.Hinted(fmt.Errorf("--var %q is not NAME=VALUE", v), "write --var name=value")
		}
		vars[name] = value
	}
	return vars, nil
}

// say prints a line for people, on stdout; with --json it is not printed.
func (a *app) say(format string, args ...any) {
	if !a.json {
		fmt.Fprintf(a.out, format+"\n", args...)
	}
}
