package state

import (
	"context"
	"fmt"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

var insertIntents = newRows("INSERT OR FAIL INTO intent (id, sync, link, kind, side, key, twin, marker, version, expected, source, new, at, run, by) VALUES ", 15, "")

// Intend makes intents durable and gives them IDs.
func (b *book) Intend(ctx context.Context, ins []*engine.Intent) error {
	if len(ins) == 0 {
		return nil
	}
	var ids []int64
	err := b.write(ctx, "intend", len(ins), func(c *conn, _ bool) (err error) {
		if ids, err = c.numbers("intent", len(ins)); err != nil {
			return err
		}
		return insertIntents.store(c, len(ins), func(args []any, i int) []any {
			in := ins[i]
			return append(args, ids[i], b.id, in.Link, string(in.Kind), in.Side, in.Key, in.Twin, in.Marker, in.Version,
				fields(in.Expected), fields(in.Source), fields(in.New), in.At, in.Run, in.By)
		})
	})
	if err != nil {
		return err
	}
	for i, in := range ins {
		in.ID = ids[i]
	}
	return nil
}

// Intents returns the open ones, oldest first.
func (b *book) Intents(ctx context.Context) ([]engine.Intent, error) {
	var all []engine.Intent
	err := b.read(ctx, "read intents", func(c *conn) error {
		all = nil
		return c.each("SELECT id, link, kind, side, key, twin, marker, version, expected, source, new, at, run, by FROM intent WHERE sync = ? ORDER BY id", func(r row) (err error) {
			in := engine.Intent{ID: r.int(0), Link: r.int(1), Kind: plan.Kind(r.text(2)), Side: record.Side(r.int(3)), Key: r.text(4), Twin: r.text(5),
				Marker: r.text(6), Version: r.text(7), At: instant(r.int(11)), Run: r.int(12), By: r.text(13)}
			for i, f := range []*record.Fields{&in.Expected, &in.Source, &in.New} {
				if *f, err = readFields(r.blob(8 + i)); err != nil {
					return fmt.Errorf("intent %d: %w", in.ID, err)
				}
			}
			all = append(all, in)
			return nil
		}, b.id)
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
