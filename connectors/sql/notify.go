package sql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// probe is how often a connection that hears nothing is asked whether it still stands.
const probe = time.Minute

// Notify listens on the channel that the settings name, on a connection of its own.
func (t *collection) Notify(ctx context.Context, hint func(key string)) error {
	d, ok := t.conn.dialect.(*postgres)
	if !ok || t.set.Notify == "" {
		return nil
	}
	op := "listen to " + t.set.Notify
	conn, err := pgx.ConnectConfig(ctx, d.config.Copy())
	if err != nil {
		return d.fail(op, err, t)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // it is only left
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{t.set.Notify}.Sanitize()); err != nil {
		return d.fail(op, err, t)
	}
	hint("") // what was said before nobody heard
	for {
		wait, cancel := context.WithTimeout(ctx, probe)
		n, err := conn.WaitForNotification(wait)
		cancel()
		switch {
		case err == nil:
			hint(n.Payload)
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", op, ctx.Err())
		case errors.Is(err, context.DeadlineExceeded) && !conn.IsClosed():
			if err := conn.Ping(ctx); err != nil {
				return d.fail(op, err, t)
			}
		default:
			return broken(op, d.place(), errors.New(conceal(err.Error(), d.secret)))
		}
	}
}
