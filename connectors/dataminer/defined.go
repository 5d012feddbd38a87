package dataminer

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
func (c *AlarmProperties) Describe(ctx context.Context) (*connectors.Schema, error) {
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
		{Path: pathCleared, Label: "Cleared", Type: record.Type{Kind: record.Bool}, Native: "alarm", ReadOnly: true},
	}}
	for _, name := range sortedKeys(defined) {
		if !slices.Contains(builtin, name) {
			s.Fields = append(s.Fields, connectors.Field{Path: name, Label: name, Type: text, Native: "property"})
		}
	}
	return s, nil
}

// Require says which of the paths do not exist.
func (c *AlarmProperties) Require(ctx context.Context, paths []string) error {
	defined, err := c.ask(ctx)
	if err != nil {
		return err
	}
	if gone := unknown(paths, defined); len(gone) > 0 {
		return missing("check alarm_properties", connectors.ErrConfig, gone, defined)
	}
	return nil
}

// missing names every alarm property that does not exist, and the ones that may have been meant.
func missing(op string, kind error, gone []string, defined map[string]bool) error {
	return absent(op, kind, "alarm", gone, defined)
}

// absent is missing for properties of any kind of object. A set of what is not defined has no documented end: it is not tried.
func absent(op string, kind error, noun string, gone []string, defined map[string]bool) error {
	quoted := make([]string, len(gone))
	hint := fmt.Sprintf("create them in DataMiner Cube, as properties of the kind %s, spelled exactly like this", noun)
	for i, p := range gone {
		quoted[i] = strconv.Quote(p)
		if near := connectors.Nearest(p, sortedKeys(defined)); near != "" {
			hint += fmt.Sprintf("; there is %q, did you mean that instead of %q?", near, p)
		}
	}
	detail := fmt.Sprintf("%s properties %s do not exist", noun, strings.Join(quoted, ", "))
	if len(gone) == 1 {
		detail = fmt.Sprintf("%s property %s does not exist", noun, quoted[0])
	}
	return &connectors.Error{Kind: kind, Op: op, Fields: gone, Detail: detail, Hint: hint}
}
