package state

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
)

// PlanUsed looks whether a saved plan was carried out.
func (b *book) PlanUsed(ctx context.Context, digest string) error {
	return b.read(ctx, "look for a plan", func(c *conn) error { return planUsed(c, digest) })
}

func planUsed(c *conn, digest string) error {
	var before time.Time
	used, err := c.one("SELECT at FROM used_plan WHERE digest = ?", func(r row) { before = instant(r.int(0)) }, digest)
	if err == nil && used {
		err = fmt.Errorf("%w: at %s", engine.ErrPlanUsed, before.Format(time.RFC3339))
	}
	return err
}

// UsePlan marks the digest of a saved plan as carried out.
func (b *book) UsePlan(ctx context.Context, digest string, at time.Time) error {
	return b.write(ctx, "use plan", 1, func(c *conn, _ bool) error {
		if err := planUsed(c, digest); err != nil {
			return err
		}
		return c.exec("INSERT INTO used_plan (digest, at) VALUES (?,?)", digest, at)
	})
}

// StartRun stores the account of a run and gives it its ID.
func (b *book) StartRun(ctx context.Context, r *plan.Run) error {
	stored := *r
	stored.Sync, stored.Fence = b.name, b.fence
	err := b.write(ctx, "start a run", 1, func(c *conn, _ bool) error {
		ids, err := c.numbers("run", 1)
		if err != nil {
			return err
		}
		stored.ID = ids[0]
		body, err := json.Marshal(stored)
		if err != nil {
			return err
		}
		if err := b.clear(c); err != nil {
			return err
		}
		return c.exec("INSERT INTO run (id, sync, good, started, body) VALUES (?,?,?,?,?)", stored.ID, b.id, good(stored), stored.Started, string(body))
	})
	if err == nil {
		*r = stored
	}
	return err
}

// FinishRun replaces the account of a run that was started.
func (b *book) FinishRun(ctx context.Context, r plan.Run) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return b.write(ctx, "finish a run", 1, func(c *conn, _ bool) error {
		found, err := c.one("UPDATE run SET good = ?, body = ? WHERE id = ? AND sync = ? RETURNING id", func(row) {}, good(r), string(body), r.ID, b.id)
		if err == nil && !found {
			err = fmt.Errorf("run %d was never started", r.ID)
		}
		return err
	})
}

// good is when a run ended well; zero if it did not.
func good(r plan.Run) time.Time {
	if !r.Complete || r.Err != "" {
		return time.Time{}
	}
	return r.Ended
}

// Runs emits the newest runs first.
func (s *Store) Runs(ctx context.Context, sync string, limit int, emit func(plan.Run) error) error {
	const page = 200
	for before := int64(1<<63 - 1); limit > 0; {
		n := min(limit, page)
		var runs []plan.Run
		err := s.read(ctx, func(c *conn) error {
			runs = runs[:0]
			query, args := "SELECT body FROM run WHERE id < ? ORDER BY id DESC LIMIT ?", []any{before, n}
			if sync != "" {
				query = "SELECT body FROM run WHERE id < ? AND sync = (SELECT id FROM sync WHERE name = ?) ORDER BY id DESC LIMIT ?"
				args = []any{before, sync, n}
			}
			return c.each(query, func(r row) error {
				run, err := readRun(r.text(0))
				runs = append(runs, run)
				return err
			}, args...)
		})
		if err != nil {
			return fmt.Errorf("list runs: %w", err)
		}
		for _, r := range runs {
			if err := emit(r); err != nil {
				return err
			}
			before = r.ID
		}
		if len(runs) < n {
			return nil
		}
		limit -= n
	}
	return nil
}

// RunByID finds the account of one run.
func (s *Store) RunByID(ctx context.Context, id int64) (*plan.Run, error) {
	var found *plan.Run
	err := s.read(ctx, func(c *conn) error {
		found = nil
		return c.each("SELECT body FROM run WHERE id = ?", func(r row) error {
			run, err := readRun(r.text(0))
			found = &run
			return err
		}, id)
	})
	if err != nil {
		return nil, fmt.Errorf("read run %d: %w", id, err)
	}
	return found, nil
}

func readRun(body string) (plan.Run, error) {
	var r plan.Run
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return r, fmt.Errorf("account of a run: %w", err)
	}
	return r, nil
}

// Syncs lists what is known of each sync that has a run or a link.
func (s *Store) Syncs(ctx context.Context) ([]engine.SyncStatus, error) {
	var all []engine.SyncStatus
	err := s.read(ctx, func(c *conn) error {
		all = nil
		return c.each(`SELECT name, live + held, detached,
			(SELECT count(*) FROM waiting WHERE waiting.sync = sync.id AND conflict = 1),
			(SELECT count(*) FROM waiting WHERE waiting.sync = sync.id AND conflict = 0),
			(SELECT count(*) FROM intent WHERE intent.sync = sync.id),
			(SELECT body FROM run WHERE run.sync = sync.id ORDER BY id DESC LIMIT 1),
			(SELECT max(good) FROM run WHERE run.sync = sync.id)
			FROM sync
			WHERE EXISTS (SELECT 1 FROM run WHERE run.sync = sync.id) OR live + held + detached > 0
			ORDER BY name`, func(r row) error {
			st := engine.SyncStatus{Sync: r.text(0), Links: r.int(1), Detached: r.int(2), Conflicts: r.int(3), Held: r.int(4),
				Intents: r.int(5), LastGood: instant(r.int(7))}
			if body := r.text(6); body != "" {
				run, err := readRun(body)
				if err != nil {
					return err
				}
				st.LastRun = &run
				if run.Stopped {
					if st.Approval, err = approved(c, run.Sync, run.Footer.Digest, s.now()); err != nil {
						return err
					}
				}
			}
			all = append(all, st)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list syncs: %w", err)
	}
	return all, nil
}

// ensureSync returns the number of a sync and gives it one if it has none.
func ensureSync(c *conn, name string) (int64, error) {
	id, err := c.number("SELECT id FROM sync WHERE name = ?", name)
	if err != nil || id != 0 {
		return id, err
	}
	return c.number("INSERT INTO sync (name) VALUES (?) RETURNING id", name)
}
