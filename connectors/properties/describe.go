package properties

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Describe lists the paths of every alarm and the defined properties.
func (c *Collection) Describe(ctx context.Context) (*connectors.Schema, error) {
	defined, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	text := record.Type{Kind: record.Text}
	s := &connectors.Schema{Key: pathID, Label: pathName, Fields: []connectors.Field{
		{Path: pathID, Label: "Alarm", Type: text, Native: "alarm id", ReadOnly: true},
		{Path: pathName, Label: "Name", Type: text, Native: "alarm", ReadOnly: true},
		{Path: pathSeverity, Label: "Severity", Type: text, Native: "alarm", ReadOnly: true},
		{Path: pathElement, Label: "Element", Type: text, Native: "alarm", ReadOnly: true},
	}}
	for _, name := range names(defined) {
		if !slices.Contains(builtin, name) {
			s.Fields = append(s.Fields, connectors.Field{Path: name, Label: name, Type: text, Native: "property"})
		}
	}
	return s, nil
}

// Require says which of the paths do not exist.
func (c *Collection) Require(ctx context.Context, paths []string) error {
	defined, err := c.ask(ctx)
	if err != nil {
		return err
	}
	if gone := unknown(paths, defined); len(gone) > 0 {
		return missing("check "+CollectionName, connectors.ErrConfig, gone, defined)
	}
	return nil
}

// missing names every property that does not exist, and the ones that may have been meant.
func missing(op string, kind error, gone []string, defined map[string]bool) error {
	quoted := make([]string, len(gone))
	hint := howToDefine
	for i, p := range gone {
		quoted[i] = strconv.Quote(p)
		if near := connectors.Nearest(p, names(defined)); near != "" {
			hint += fmt.Sprintf("; there is %q, did you mean that instead of %q?", near, p)
		}
	}
	detail := "alarm properties " + strings.Join(quoted, ", ") + " do not exist"
	if len(gone) == 1 {
		detail = "alarm property " + quoted[0] + " does not exist"
	}
	return &connectors.Error{Kind: kind, Op: op, Fields: gone, Detail: detail, Hint: hint}
}

func names(defined map[string]bool) []string {
	out := make([]string, 0, len(defined))
	for n := range defined {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}
