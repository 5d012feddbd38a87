package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) evalCmd() *cobra.Command {
	var sync, key, sample string
	c := &cobra.Command{
		Use:   "eval EXPR",
		Short: "try an expression on a live or a sample record",
		Long: `Evaluates an expression as the rules of a sync would: with its two sides, and with the
locals and functions of the mapping. The records are those of --key, read from their
systems (the twin of a linked record comes along), or those of --sample. Without either,
the expression may name no record. Writes nothing.`,
		Example: `  fieldsync eval "ticket.priority <= 2 ? '1' : '3'" --key T-1001
  fieldsync eval 'upper(incident.short_description)' --sync ticket_to_incident --key INC0010023
  fieldsync eval "ticket.title + '!'" --sample '{"ticket": {"title": "Router down"}}'
  fieldsync eval 'trim(ticket.title)' --sample @ticket.json --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if key != "" && sample != "" {
				return project.Hinted(errors.New("--key and --sample name two different records"), "give one of them")
			}
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			s, err := theSync(p, sync, key != "" || sample != "")
			if err != nil {
				return err
			}
			return a.eval(c.Context(), p, s, args[0], key, sample)
		},
	}
	f := c.Flags()
	f.StringVarP(&sync, "sync", "s", "", "the `SYNC` whose sides the expression names (default: the only one)")
	f.StringVarP(&key, "key", "k", "", "evaluate on the record with this `KEY` or label, on either side, and on its twin")
	f.StringVar(&sample, "sample", "", "evaluate on `RECORDS` in JSON, by side: {\"ticket\": {…}}; @FILE reads them, - reads standard input")
	_ = c.RegisterFlagCompletionFunc("sync", a.completeSyncs)
	return c
}

// theSync is the sync of this name or, without a name, the only one. Where no record is to be had it may be none.
func theSync(p *project.Project, name string, needed bool) (*mapping.Sync, error) {
	switch {
	case name != "":
		return p.Find(name)
	case len(p.Syncs) == 1:
		return p.Syncs[0], nil
	case !needed:
		return nil, nil
	}
	return nil, project.Hinted(errors.New("which sync's records?"), "add --sync with one of: "+strings.Join(project.SyncNames(p.Config), ", "))
}

func (a *app) eval(ctx context.Context, p *project.Project, s *mapping.Sync, src, key, sample string) error {
	var described [2]*connectors.Schema
	var job engine.Job
	if key != "" {
		err := p.OpenState(project.ReadState)
		if err == nil {
			job, err = p.Job(ctx, s, project.JobOptions{Preview: true, Trigger: "eval"})
		}
		if err != nil {
			return err
		}
		described = [2]*connectors.Schema{job.Ends[0].Schema, job.Ends[1].Schema}
	}
	e, files, diags := p.Expression(s, described, src)
	if diags.HasErrors() {
		if s == nil && len(p.Syncs) > 1 {
			diags[0].Detail += "\nRecords are those of a sync: add --sync."
		}
		return project.Diagnosed{Files: files, Diags: diags}
	}
	var recs [2]expression.Getter
	var err error
	switch {
	case key != "":
		recs, err = liveRecords(ctx, p, job, key, e.Paths)
	case sample != "":
		recs, err = a.sampleRecords(s, sample)
	case len(e.Paths[0])+len(e.Paths[1]) > 0:
		err = project.Hinted(errors.New("the expression reads a record, and there is none"), "add --key KEY for a live record, or --sample for one of your own")
	}
	if err != nil {
		return err
	}
	v, err := e.Run(recs, p.Now())
	if x, ok := errors.AsType[*expression.Error](err); ok {
		return project.Diagnosed{Files: files, Diags: hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "The expression fails on this record", Detail: x.Message + ".", Subject: &x.Range}}}
	}
	if err != nil {
		return err
	}
	return a.printEval(s, e, recs, v)
}

// liveRecords reads what the expression needs from both systems.
func liveRecords(ctx context.Context, p *project.Project, job engine.Job, key string, paths [2][]string) (recs [2]expression.Getter, err error) {
	found, err := p.Engine(nil).Look(ctx, job, key, paths)
	if err != nil {
		return recs, err
	}
	for i, rec := range found {
		if rec == nil {
			continue
		}
		names := paths[i]
		if len(names) == 0 {
			continue // it reads nothing of this side
		}
		recs[i] = func(path string) record.Value {
			if n := slices.Index(names, path); n >= 0 {
				return rec.Values[n]
			}
			return record.Value{}
		}
	}
	return recs, nil
}

// maxSample is more than anybody tries an expression on.
const maxSample = 1 << 20

// sampleRecords decodes records by side. A path with dots is looked up as it is first, then member by member.
func (a *app) sampleRecords(s *mapping.Sync, text string) (recs [2]expression.Getter, err error) {
	src := []byte(text)
	file, isFile := strings.CutPrefix(text, "@")
	switch {
	case text == "-":
		src, err = io.ReadAll(io.LimitReader(a.in, maxSample))
	case isFile:
		var f *os.File
		if f, err = os.Open(file); err == nil {
			defer f.Close()
			src, err = io.ReadAll(io.LimitReader(f, maxSample))
		}
	}
	if err != nil {
		return recs, fmt.Errorf("read the sample: %w", err)
	}
	var sides map[string]map[string]any
	if err := json.Unmarshal(src, &sides); err != nil {
		return recs, project.Hinted(fmt.Errorf("the sample is not JSON by side: %w", err), fmt.Sprintf(`write it as {"%s": {"path": "value"}}`, s.Sides[0].Name))
	}
	for name, members := range sides {
		i := slices.IndexFunc(s.Sides[:], func(side mapping.Side) bool { return side.Name == name })
		if i < 0 {
			return recs, project.Hinted(fmt.Errorf("sync %s has no side %q", s.Name, name), "its sides are "+s.Sides[0].Name+" and "+s.Sides[1].Name)
		}
		for path, v := range members {
			if _, err := record.Of(v); err != nil {
				return recs, fmt.Errorf("the sample's %s.%s: %w", name, path, err)
			}
		}
		recs[i] = func(path string) record.Value { return member(members, path) }
	}
	return recs, nil
}

func member(m map[string]any, path string) record.Value {
	if v, ok := m[path]; ok {
		of, _ := record.Of(v) // it was decoded once already
		return of
	}
	head, rest, deep := strings.Cut(path, ".")
	if inner, ok := m[head].(map[string]any); ok && deep {
		return member(inner, rest)
	}
	return record.NullValue
}

// printEval shows the result, and beneath it what it follows from.
func (a *app) printEval(s *mapping.Sync, e *mapping.Expression, recs [2]expression.Getter, v record.Value) error {
	read := map[string]map[string]record.Value{}
	var lines []string
	for i, paths := range e.Paths {
		for _, path := range paths {
			from := record.NullValue
			if recs[i] != nil {
				from = recs[i](path)
			}
			name := s.Sides[i].Name
			if read[name] == nil {
				read[name] = map[string]record.Value{}
			}
			read[name][path] = from
			lines = append(lines, fmt.Sprintf("  %s.%s = %s", name, path, from))
		}
	}
	if a.json {
		return report.JSON(a.out, struct {
			Value record.Value                       `json:"value"`
			Kind  string                             `json:"kind"`
			Read  map[string]map[string]record.Value `json:"read,omitempty"`
		}{v, v.Kind().String(), read})
	}
	a.say("%s", v)
	for _, l := range lines {
		a.say("%s", a.style.Dim(l))
	}
	return nil
}
