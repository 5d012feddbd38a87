package rest

import (
	"context"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A described collection can do what its description has a request for, and the engine finds abilities by interface.
// So each ability is a type of its own, and able puts together those that there are.
type (
	reads   struct{ c *collection }
	creates struct{ c *collection }
	updates struct{ c *collection }
	deletes struct{ c *collection }
	hears   struct{ c *collection }
	says    struct{ hears }
)

func (a reads) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	return a.c.Scan(ctx, q, emit)
}

func (a reads) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	return a.c.Read(ctx, paths, keys, emit)
}

func (a reads) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	return a.c.Find(ctx, paths, path, values, emit)
}

func (a reads) Describe(ctx context.Context) (*connectors.Schema, error) { return a.c.Describe(ctx) }

// Settles is how long a new record may stay out of the tool's search.
func (a reads) Settles() time.Duration { return a.c.b.settle }

// Conditional reports whether the tool compares versions itself.
func (a reads) Conditional() bool {
	b := a.c.b
	return b.update != nil && b.update.etag && (b.remove == nil || b.remove.etag)
}

func (a creates) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	return a.c.Create(ctx, paths, f)
}

func (a updates) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	return a.c.Update(ctx, paths, key, version, f)
}

func (a deletes) Delete(ctx context.Context, key, version string) error {
	return a.c.Delete(ctx, key, version)
}

func (a hears) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	return a.c.Comments(ctx, path, keys, since, emit)
}

func (a says) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	return a.c.AddComment(ctx, path, key, text)
}

func (c *collection) able() connectors.Collection {
	r, cr, up, de := reads{c}, creates{c}, updates{c}, deletes{c}
	can := 0
	for i, has := range []bool{c.b.create != nil, c.b.update != nil, c.b.remove != nil} {
		if has {
			can |= 1 << i
		}
	}
	heard := len(c.b.threads) > 0
	said := heard
	for _, t := range c.b.threads {
		said = said && t.add != nil
	}
	switch {
	case said:
		return c.talking(can)
	case heard:
		return c.heard(can)
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

// heard is able for a collection whose comments can be read and not written.
func (c *collection) heard(can int) connectors.Collection {
	r, he, cr, up, de := reads{c}, hears{c}, creates{c}, updates{c}, deletes{c}
	switch can {
	case 1:
		return struct {
			reads
			hears
			creates
		}{r, he, cr}
	case 2:
		return struct {
			reads
			hears
			updates
		}{r, he, up}
	case 3:
		return struct {
			reads
			hears
			creates
			updates
		}{r, he, cr, up}
	case 4:
		return struct {
			reads
			hears
			deletes
		}{r, he, de}
	case 5:
		return struct {
			reads
			hears
			creates
			deletes
		}{r, he, cr, de}
	case 6:
		return struct {
			reads
			hears
			updates
			deletes
		}{r, he, up, de}
	case 7:
		return struct {
			reads
			hears
			creates
			updates
			deletes
		}{r, he, cr, up, de}
	}
	return struct {
		reads
		hears
	}{r, he}
}

// talking is able for a collection with comments.
func (c *collection) talking(can int) connectors.Collection {
	r, sa, cr, up, de := reads{c}, says{hears{c}}, creates{c}, updates{c}, deletes{c}
	switch can {
	case 1:
		return struct {
			reads
			says
			creates
		}{r, sa, cr}
	case 2:
		return struct {
			reads
			says
			updates
		}{r, sa, up}
	case 3:
		return struct {
			reads
			says
			creates
			updates
		}{r, sa, cr, up}
	case 4:
		return struct {
			reads
			says
			deletes
		}{r, sa, de}
	case 5:
		return struct {
			reads
			says
			creates
			deletes
		}{r, sa, cr, de}
	case 6:
		return struct {
			reads
			says
			updates
			deletes
		}{r, sa, up, de}
	case 7:
		return struct {
			reads
			says
			creates
			updates
			deletes
		}{r, sa, cr, up, de}
	}
	return struct {
		reads
		says
	}{r, sa}
}
