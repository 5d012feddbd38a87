package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print the version",
		Example: `  fieldsync version --json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := version()
			if a.json {
				return report.JSON(a.out, v)
			}
			_, err := fmt.Fprintf(a.out, "fieldsync %s (%s, %s, %s)\n", v["version"], v["revision"], v["go"], v["platform"])
			return err
		},
	}
}

func version() map[string]string {
	v := map[string]string{"version": "unreleased", "revision": "unknown revision", "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v["version"] = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v["revision"] = s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
