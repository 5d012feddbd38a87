package state

import (
	"context"
	"fmt"
	"time"
)

// aged are the kinds of rows that are forgotten some day, each with what finds the oldest of them by a column (rowid where
// they have no number): ?1 is the time, ?2 how many. History and runs are numbered as time goes by, so that the oldest
// need no index to be found. A link stays while a tomb of it is alive or anything waits for its writes, and a sync keeps
// its newest run and its newest good one.
var aged = []struct{ table, column, find string }{
	{"told", "rowid", "SELECT rowid FROM told WHERE at < ?1 LIMIT ?2"},
	{"history", "id", "SELECT id FROM (SELECT id, at FROM history ORDER BY id LIMIT ?2) AS old WHERE at < ?1"},
	{"tomb", "rowid", "SELECT rowid FROM tomb WHERE until < ?1 LIMIT ?2"},
	{"link", "id", `SELECT id FROM link WHERE status = 3 AND status <> 0 AND ended < ?1 AND NOT EXISTS (SELECT 1 FROM tomb WHERE tomb.link = link.id)
		AND NOT EXISTS (SELECT 1 FROM intent WHERE intent.link = link.id) LIMIT ?2`},
	{"run", "id", `SELECT id FROM (SELECT id, sync, started FROM run ORDER BY id LIMIT ?2) AS old WHERE started < ?1
		AND id < (SELECT max(id) FROM run WHERE run.sync = old.sync)
		AND id <> coalesce((SELECT id FROM run WHERE run.sync = old.sync ORDER BY good DESC LIMIT 1), 0)`},
	{"lease", "rowid", "SELECT rowid FROM lease WHERE sync LIKE '(node %' AND expires < ?1 LIMIT ?2"}, // of processes that ended
	{"part_page", "rowid", "SELECT rowid FROM part_page WHERE at < ?1 LIMIT ?2"},                      // of a sync that never ran again
	{"part", "rowid", "SELECT rowid FROM part WHERE at < ?1 LIMIT ?2"},
	{"used_plan", "rowid", "SELECT rowid FROM used_plan WHERE at < ?1 LIMIT ?2"},
	{"approval", "rowid", "SELECT rowid FROM approval WHERE until < ?1 LIMIT ?2"},
	{slips, "rowid", "SELECT rowid FROM slip WHERE until < ?1 LIMIT ?2"},
	{"act", "id", "SELECT id FROM (SELECT id, at FROM act ORDER BY id LIMIT ?2) AS old WHERE at < ?1"},
}

// slips are over at a time of their own, and of no use from then on.
const slips = "slip"

// agedAt is what time it is in the query of a kind.
func (s *Store) agedAt(table string, before time.Time) time.Time {
	if table == slips {
		return s.now()
	}
	return before
}

// Prune forgets what is older than before, a bounded part of it. It looks first, since mostly there is nothing.
func (s *Store) Prune(ctx context.Context, before time.Time, most int) (n int64, err error) {
	due := false
	err = s.read(ctx, func(c *conn) error {
		due = false
		for _, a := range aged {
			found, err := c.number("SELECT EXISTS ("+a.find+")", s.agedAt(a.table, before), most)
			if err != nil {
				return err
			}
			due = due || found != 0
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look for what is old: %w", err)
	}
	if !due {
		return 0, nil
	}
	err = s.write(ctx, "", "forget what is old", most, func(c *conn, _ bool) error {
		n = 0
		for _, a := range aged {
			of := "1"
			if a.table == "link" {
				of = "id"
			}
			var old []int64
			err := c.each("DELETE FROM "+a.table+" WHERE "+a.column+" IN ("+a.find+") RETURNING "+of, func(r row) error {
				old = append(old, r.int(0))
				return nil
			}, s.agedAt(a.table, before), most)
			if err != nil {
				return err
			}
			n += int64(len(old))
			if a.table != "link" {
				continue
			}
			for _, id := range old {
				for _, of := range []string{"origin", "thread", "attachment"} {
					if err := c.exec("DELETE FROM "+of+" WHERE link = ?", id); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
