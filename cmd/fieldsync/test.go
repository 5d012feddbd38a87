package main

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/report"
)

// A testView is the result of one test block, for programs.
type testView struct {
	Name     string   `json:"name"`
	OK       bool     `json:"ok"`
	At       string   `json:"at"`
	Problems []string `json:"problems,omitempty"`
	Error    string   `json:"error,omitempty"`
}

func (a *app) testCmd() *cobra.Command {
	var pattern, key, sync string
	c := &cobra.Command{
		Use:   "test",
		Short: "run the mapping's own tests, offline, with the real decisions",
		Long: `Runs every test block: builds the records that it describes, decides about them with the
rules of the mapping, and compares what would be written. Contacts no system and reads no
state.

With --record it writes a test block instead: of a record as it is now, with its twin and
what both last agreed on, and what the rules do about it now. Values of fields that are
sensitive, that a look-up decides or that are held stay out.`,
		Example: `  fieldsync test
  fieldsync test --run resolved --json
  fieldsync test --record T-1001 >> mappings/tests.hcl`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if key != "" {
				return a.recordTest(c.Context(), sync, key)
			}
			if sync != "" {
				return project.Hinted(errors.New("--sync says whose record is to be written as a test, and none is named"), "add --record KEY")
			}
			re, err := regexp.Compile(pattern)
			if err != nil {
				return project.Hinted(fmt.Errorf("--run: %w", err), "write a part of a test's name, or a regular expression")
			}
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			list, failed := []testView{}, 0
			for _, t := range p.Tests {
				if !re.MatchString(t.Name) {
					continue
				}
				res := p.RunTest(t)
				v := testView{Name: t.Name, OK: res.OK && res.Err == nil, At: fmt.Sprintf("%s:%d", t.Range.Filename, t.Range.Start.Line), Problems: res.Problems}
				if res.Err != nil {
					v.Error = res.Err.Error()
				}
				if !v.OK {
					failed++
				}
				list = append(list, v)
			}
			if a.json {
				err = report.JSON(a.out, list)
			} else {
				a.printTests(list, failed)
			}
			if err == nil && failed > 0 {
				return exit(exitError)
			}
			return err
		},
	}
	c.Flags().StringVar(&pattern, "run", "", "only tests whose name matches this `PATTERN`")
	c.Flags().StringVar(&key, "record", "", "write the record with this `KEY` or label, and its twin, as a test block")
	c.Flags().StringVarP(&sync, "sync", "s", "", "the `SYNC` of that record (default: the only one)")
	_ = c.RegisterFlagCompletionFunc("sync", a.completeSyncs)
	return c
}

func (a *app) printTests(list []testView, failed int) {
	for _, v := range list {
		if v.OK {
			a.say("%s    %s", a.style.OK("ok"), v.Name)
			continue
		}
		a.say("%s  %s   %s", a.style.Bad("FAIL"), v.Name, v.At)
		for _, p := range v.Problems {
			a.say("        %s", p)
		}
		if v.Error != "" {
			a.say("        %s", v.Error)
		}
	}
	switch {
	case len(list) == 0:
		a.say("No tests. A test block in the mapping says what should become of two records.")
	case failed == 0:
		a.say("%s passed.", project.Plural(len(list), "test"))
	default:
		a.say("%d of %s failed.", failed, project.Plural(len(list), "test"))
	}
}
