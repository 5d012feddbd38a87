package state

import (
	"context"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine"
)

// Approve keeps the approval of a stopped plan.
func (s *Store) Approve(ctx context.Context, a engine.PlanApproval) error {
	return s.write(ctx, a.Sync, "approve a plan of "+a.Sync, 1, func(c *conn, _ bool) error {
		return c.exec("INSERT INTO approval (sync, digest, by, at, until) VALUES (?,?,?,?,?) ON CONFLICT (sync, digest) DO UPDATE SET by = excluded.by, at = excluded.at, until = excluded.until",
			a.Sync, a.Digest, a.By, a.At, a.Until)
	})
}

// Approved finds an approval that still holds.
func (s *Store) Approved(ctx context.Context, sync, digest string, now time.Time) (found *engine.PlanApproval, err error) {
	err = s.read(ctx, func(c *conn) (err error) {
		found, err = approved(c, sync, digest, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the approvals of %s: %w", sync, err)
	}
	return found, nil
}

// UseApproval takes an approval that still holds away, so that no second run finds it.
func (b *book) UseApproval(ctx context.Context, digest string, now time.Time) (found *engine.PlanApproval, err error) {
	err = b.write(ctx, "use an approval", 1, func(c *conn, _ bool) (err error) {
		if found, err = approved(c, b.name, digest, now); err != nil || found == nil {
			return err
		}
		return c.exec("DELETE FROM approval WHERE sync = ? AND digest = ?", b.name, digest)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func approved(c *conn, sync, digest string, now time.Time) (*engine.PlanApproval, error) {
	var a *engine.PlanApproval
	_, err := c.one("SELECT by, at, until FROM approval WHERE sync = ? AND digest = ? AND until > ?", func(r row) {
		a = &engine.PlanApproval{Sync: sync, Digest: digest, By: r.text(0), At: instant(r.int(1)), Until: instant(r.int(2))}
	}, sync, digest, now)
	return a, err
}
