package rest

import (
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// Can says which abilities the description has requests for. Of comments and attachments it is enough that one kind of
// them has; the schema says which.
func (c *collection) Can(ability any) bool {
	b := c.b
	switch ability.(type) {
	case *connectors.Describer, *connectors.Finder, *connectors.Settler, *connectors.Conditional:
		return true
	case *connectors.Creator:
		return b.create != nil
	case *connectors.Updater:
		return b.update != nil
	case *connectors.Deleter:
		return b.remove != nil
	case *connectors.CommentReader:
		return len(b.threads) > 0
	case *connectors.Commenter:
		return slices.ContainsFunc(b.threads, func(t *thread) bool { return t.add != nil })
	case *connectors.CommentEditor:
		return slices.ContainsFunc(b.threads, func(t *thread) bool { return t.edit != nil })
	case *connectors.AttachmentReader:
		return len(b.cabinets) > 0
	case *connectors.Attacher:
		return slices.ContainsFunc(b.cabinets, func(t *cabinet) bool { return t.add != nil })
	}
	return false
}

// Settles is how long a new record may stay out of the tool's search.
func (c *collection) Settles() time.Duration { return c.b.settle }

// Conditional reports whether the tool compares versions itself.
func (c *collection) Conditional() bool {
	return c.b.update.conditional() && (c.b.remove == nil || c.b.remove.conditional())
}
