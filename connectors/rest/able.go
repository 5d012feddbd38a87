package rest

import (
	"context"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A described collection can do what its description has a request for, and the engine finds abilities by interface.
// So each ability is a type of its own, and able puts together those that there are. Comments and attachments are found
// by their paths: a collection without any names none in its schema, and is asked for none.
type (
	reads   struct{ *collection }
	creates struct{ c *collection }
	updates struct{ c *collection }
	deletes struct{ c *collection }
)

// Settles is how long a new record may stay out of the tool's search.
func (a reads) Settles() time.Duration { return a.b.settle }

// Conditional reports whether the tool compares versions itself.
func (a reads) Conditional() bool {
	b := a.b
	return b.update.conditional() && (b.remove == nil || b.remove.conditional())
}

func (a creates) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	return a.c.create(ctx, paths, f)
}

func (a updates) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	return a.c.update(ctx, paths, key, version, f)
}

func (a deletes) Delete(ctx context.Context, key, version string) error {
	return a.c.delete(ctx, key, version)
}

func (c *collection) able() connectors.Collection {
	r, cr, up, de := reads{c}, creates{c}, updates{c}, deletes{c}
	can := 0
	for i, has := range []bool{c.b.create != nil, c.b.update != nil, c.b.remove != nil} {
		if has {
			can |= 1 << i
		}
	}
	switch can {
	case 1:
		return struct {
			reads
			creates
		}{r, cr}
	case 2:
		return struct {
			reads
			updates
		}{r, up}
	case 3:
		return struct {
			reads
			creates
			updates
		}{r, cr, up}
	case 4:
		return struct {
			reads
			deletes
		}{r, de}
	case 5:
		return struct {
			reads
			creates
			deletes
		}{r, cr, de}
	case 6:
		return struct {
			reads
			updates
			deletes
		}{r, up, de}
	case 7:
		return struct {
			reads
			creates
			updates
			deletes
		}{r, cr, up, de}
	}
	return r
}
