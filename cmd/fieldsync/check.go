package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) checkCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "check [CONNECTION]",
		Short: "log in to the systems and say what a first run would stumble over",
		Long: `Logs in to each connection and shows who is logged in, with which rights, and what is
missing; then looks whether the collections of the syncs and the paths that their rules
write are there. Nothing is written.`,
		Example: `  fieldsync check
  fieldsync check prod --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeConnections,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			conns := p.Connections
			if len(args) == 1 {
				one, err := p.named(args[0])
				if err != nil {
					return err
				}
				conns = []*mapping.Connection{one}
			}
			list := []report.Finding{}
			for _, conn := range conns {
				list = append(list, p.check(c.Context(), conn)...)
			}
			if a.json {
				err = report.JSON(a.out, list)
			} else {
				err = report.Findings(a.out, list, a.style)
			}
			if err == nil && slices.ContainsFunc(list, func(f report.Finding) bool { return !f.OK }) {
				return exit(exitError)
			}
			return err
		},
	}
}

// check asks one system, then each of its collections that a sync uses.
func (p *project) check(ctx context.Context, c *mapping.Connection) []report.Finding {
	var list []report.Finding
	add := func(ok bool, what, detail, hint string) {
		list = append(list, report.Finding{Connection: c.Name, OK: ok, What: what, Detail: detail, Hint: hint})
	}
	open, err := p.connection(c)
	if err != nil {
		add(false, "settings", err.Error(), wayOut(err))
		return list
	}
	if checker, ok := open.(connectors.Checker); ok {
		found, err := checker.Check(ctx)
		for _, f := range found {
			add(f.OK, f.What, f.Detail, f.Hint)
		}
		if err != nil {
			add(false, "contact", err.Error(), wayOut(err))
			return list
		}
	}
	for _, s := range p.Syncs {
		for i, side := range s.Sides {
			if side.Connection != c {
				continue
			}
			what := "sync " + s.Name
			err := p.checkSide(ctx, side, s.Writes[i])
			if errors.Is(err, connectors.ErrAuth) && slices.ContainsFunc(list, func(f report.Finding) bool { return !f.OK }) {
				return list // the log-in said it already
			}
			if err != nil {
				add(false, what, fmt.Sprintf("%s: %v", side.Collection, err), wayOut(err))
				continue
			}
			add(true, what, side.Collection+": "+plural(len(s.Writes[i]), "path")+" to write", "")
		}
	}
	if len(list) == 0 {
		add(true, "settings", "nothing to ask this system, and no sync uses it", "")
	}
	return list
}

// checkSide looks whether a collection is there and has the paths that rules write.
func (p *project) checkSide(ctx context.Context, side mapping.Side, writes []string) error {
	e, err := p.end(ctx, side)
	if err != nil {
		return err
	}
	if r, ok := e.col.(connectors.Requirer); ok && len(writes) > 0 {
		if err := r.Require(ctx, writes); err != nil {
			return err
		}
	}
	schema := e.schema
	if schema == nil {
		return nil
	}
	var missing, fixed []string
	for _, path := range writes {
		switch f, ok := schema.Field(path); {
		case !ok && !schema.Open:
			missing = append(missing, path)
		case ok && f.ReadOnly:
			fixed = append(fixed, path)
		}
	}
	var errs []error
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("it has no %s", strings.Join(missing, ", ")))
	}
	if len(fixed) > 0 {
		errs = append(errs, fmt.Errorf("this user may not write %s", strings.Join(fixed, ", ")))
	}
	if len(errs) == 0 {
		return nil
	}
	return hinted{errors.Join(errs...), fmt.Sprintf("fieldsync fields %s %s lists what there is", side.Connection.Name, side.Collection)}
}

func (a *app) fieldsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "fields CONNECTION COLLECTION",
		Short: "list a collection's fields with type, label and choices",
		Example: `  fieldsync fields prod incident
  fieldsync fields prod incident --json | jq -r '.fields[] | select(.required) | .path'`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeConnections,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			conn, err := p.named(args[0])
			if err != nil {
				return err
			}
			col, err := p.collection(c.Context(), conn, args[1])
			if err != nil {
				return err
			}
			d, ok := col.(connectors.Describer)
			if !ok {
				return hinted{fmt.Errorf("connection %s does not describe %s", args[0], args[1]), "its paths are those that its records have; look at a record in the system itself"}
			}
			schema, err := d.Describe(c.Context())
			if err != nil {
				return fmt.Errorf("connection %s: %w", args[0], err)
			}
			if a.json {
				return report.JSON(a.out, schemaView(schema))
			}
			return a.printSchema(schema)
		},
	}
}

// A fieldView is one described path, for programs.
type fieldView struct {
	Path      string       `json:"path"`
	Label     string       `json:"label,omitempty"`
	Type      string       `json:"type"`
	Native    string       `json:"native,omitempty"`
	MaxLength int          `json:"max_length,omitempty"`
	ReadOnly  bool         `json:"read_only,omitempty"`
	Required  bool         `json:"required,omitempty"`
	Append    bool         `json:"append,omitempty"`
	Reference string       `json:"reference,omitempty"`
	Choices   []choiceView `json:"choices,omitempty"`
	Closed    bool         `json:"closed,omitempty"`
}

type choiceView struct {
	Value any    `json:"value"`
	Label string `json:"label,omitempty"`
}

func schemaView(s *connectors.Schema) map[string]any {
	fields := []fieldView{}
	for _, f := range s.Fields {
		v := fieldView{Path: f.Path, Label: f.Label, Type: f.Type.String(), Native: f.Native, MaxLength: f.MaxLength, ReadOnly: f.ReadOnly,
			Required: f.Required, Append: f.Append, Reference: f.Reference, Closed: f.Closed}
		for _, c := range f.Choices {
			v.Choices = append(v.Choices, choiceView{c.Value, c.Label})
		}
		fields = append(fields, v)
	}
	return map[string]any{"key": s.Key, "label": s.Label, "open": s.Open, "fields": fields}
}

func (a *app) printSchema(s *connectors.Schema) error {
	t := report.Table{Head: []string{"PATH", "TYPE", "LABEL", "MAX", "NOTES", "CHOICES"}}
	for _, f := range s.Fields {
		var notes []string
		for _, n := range []struct {
			is   bool
			says string
		}{
			{f.Path == s.Key, "key"}, {f.Path == s.Label, "label"}, {f.ReadOnly, "read-only"}, {f.Required, "required"},
			{f.Append, "adds entries"}, {f.Reference != "", "to " + f.Reference},
		} {
			if n.is {
				notes = append(notes, n.says)
			}
		}
		kind := f.Type.String()
		if f.Native != "" && f.Native != kind {
			kind += " (" + f.Native + ")"
		}
		limit := ""
		if f.MaxLength > 0 {
			limit = strconv.Itoa(f.MaxLength)
		}
		t.Row(f.Path, kind, f.Label, limit, strings.Join(notes, ", "), choices(f))
	}
	if err := t.Print(a.out, a.style); err != nil {
		return err
	}
	if s.Open {
		a.say("There may be other fields that this user cannot see described.")
	}
	return nil
}

// someChoices is how many choices fit on a line; --json has all.
const someChoices = 8

func choices(f connectors.Field) string {
	var shown []string
	for i, c := range f.Choices {
		if i == someChoices {
			shown = append(shown, fmt.Sprintf("… %d more", len(f.Choices)-i))
			break
		}
		text := c.Value.Plain()
		if c.Label != "" && c.Label != text {
			text += " " + c.Label
		}
		shown = append(shown, text)
	}
	return strings.Join(shown, ", ")
}

// named finds a connection by its name.
func (p *project) named(name string) (*mapping.Connection, error) {
	if c, ok := p.Connection(name); ok {
		return c, nil
	}
	return nil, hinted{fmt.Errorf("there is no connection %q in %s", name, p.Dir), "its connections are: " + strings.Join(connectionNames(p.Config), ", ")}
}

func connectionNames(c *mapping.Config) []string {
	var names []string
	for _, n := range c.Connections {
		names = append(names, n.Name)
	}
	return names
}

func (a *app) completeConnections(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, _, err := a.parse()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return connectionNames(cfg), cobra.ShellCompDirectiveNoFileComp
}
