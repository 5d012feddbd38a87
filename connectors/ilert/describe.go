package ilert

import (
	"context"

	"github.com/fieldsync/fieldsync/connectors"
)

// Describe lists the paths, which are the same for every account. What the source of the collection does with a
// priority that is sent is its own rule.
func (c *Collection) Describe(context.Context) (*connectors.Schema, error) {
	s := &connectors.Schema{Key: pathID, Threads: []connectors.Thread{{Path: pathComments, Label: "Comments", Readers: connectors.Staff}}}
	for _, p := range paths {
		s.Fields = append(s.Fields, p.Field)
	}
	return s, nil
}
