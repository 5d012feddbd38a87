package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
)

// builtFrom is the time of the commit, so that the pages of one version are the same wherever they are made.
func builtFrom() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if at, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				return at
			}
		}
	}
	return time.Unix(0, 0).UTC()
}

func (a *app) manCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "write the man pages, one for each command, into a folder",
		Example: `  fieldsync man /usr/local/share/man/man1
  fieldsync man . && man ./fieldsync-plan.1`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			at := builtFrom()
			root := c.Root()
			root.DisableAutoGenTag = true
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "fieldsync", Manual: "fieldsync manual", Date: &at}, args[0]); err != nil {
				return err
			}
			pages, err := filepath.Glob(filepath.Join(args[0], "fieldsync*.1"))
			a.say("wrote %s to %s", project.Plural(len(pages), "page"), args[0])
			return err
		},
	}
}
