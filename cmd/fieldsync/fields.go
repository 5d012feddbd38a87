package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/report"
)

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
			conn, err := p.FindConnection(args[0])
			if err != nil {
				return err
			}
			col, err := p.Collection(c.Context(), conn, args[1])
			if err != nil {
				return err
			}
			d, ok := connectors.As[connectors.Describer](col)
			if !ok {
				return project.Hinted(fmt.Errorf("connection %s does not describe %s", args[0], args[1]), "its paths are those that its records have; look at a record in the system itself")
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
	Once      bool         `json:"once,omitempty"`
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
			Once: f.Once, Required: f.Required, Append: f.Append, Reference: f.Reference, Closed: f.Closed}
		for _, c := range f.Choices {
			v.Choices = append(v.Choices, choiceView{c.Value, c.Label})
		}
		fields = append(fields, v)
	}
	v := map[string]any{"key": s.Key, "label": s.Label, "open": s.Open, "fields": fields}
	if len(s.Threads) > 0 {
		v["comments"] = threads(s.Threads)
	}
	if len(s.Files) > 0 {
		v["attachments"] = threads(s.Files)
	}
	return v
}

// A threadView is one path of comments or attachments, for programs.
type threadView struct {
	Path    string `json:"path"`
	Label   string `json:"label,omitempty"`
	Readers string `json:"readers,omitempty"`
}

func threads(list []connectors.Thread) []threadView {
	views := make([]threadView, len(list))
	for i, t := range list {
		views[i] = threadView{t.Path, t.Label, ""}
		switch t.Readers {
		case connectors.Staff:
			views[i].Readers = "staff"
		case connectors.Public:
			views[i].Readers = "public"
		}
	}
	return views
}

func (a *app) printSchema(s *connectors.Schema) error {
	t := report.Table{Head: []string{"PATH", "TYPE", "LABEL", "MAX", "NOTES", "CHOICES"}}
	for _, f := range s.Fields {
		var notes []string
		for _, n := range []struct {
			is   bool
			says string
		}{
			{f.Path == s.Key, "key"}, {f.Path == s.Label, "label"}, {f.ReadOnly, "read-only"}, {f.Once, "set once"}, {f.Required, "required"},
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
	for _, beside := range project.Besides(s) {
		a.say("It has %s under %s.", beside.What, strings.Join(beside.Where, ", "))
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
