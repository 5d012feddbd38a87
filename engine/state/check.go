package state

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Finding is what one check of the state says.
type Finding struct {
	OK     bool   `json:"ok"`
	What   string `json:"what"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

// Check reads all of the state and says of each of its promises whether it holds. older is how long a write may be
// in flight. It changes nothing.
func (s *Store) Check(ctx context.Context, older time.Duration) ([]Finding, error) {
	var found []Finding
	now := s.now()
	err := s.readAll(ctx, func(c *conn) error {
		found = found[:0]
		for _, check := range []func(*conn) (Finding, error){
			checkFile, checkReferences, checkContent, checkLinks, checkCounts,
			func(c *conn) (Finding, error) { return checkIntents(c, now, older) },
		} {
			if err := ctx.Err(); err != nil {
				return err
			}
			f, err := check(c)
			if err != nil {
				return err
			}
			found = append(found, f)
			if f.What == "file" && !f.OK {
				return nil // what a torn file says of itself means nothing
			}
		}
		return nil
	})
	return found, err
}

// A flaw gathers what one check found wrong: the first few, and how many there are.
type flaw struct {
	n     int
	first []string
}

func (f *flaw) add(format string, args ...any) {
	if f.n++; f.n <= 3 {
		f.first = append(f.first, fmt.Sprintf(format, args...))
	}
}

// finding says that all is well, in the words of good, or what is not.
func (f *flaw) finding(what, good, hint string) Finding {
	if f.n == 0 {
		return Finding{OK: true, What: what, Detail: good}
	}
	detail := ""
	for i, s := range f.first {
		if i > 0 {
			detail += "; "
		}
		detail += s
	}
	if more := f.n - len(f.first); more > 0 {
		detail += fmt.Sprintf("; and %d more", more)
	}
	return Finding{What: what, Detail: detail, Hint: hint}
}

// checkFile leaves the pages and indexes of a server to the server.
func checkFile(c *conn) (Finding, error) {
	var bad flaw
	if c.dialect().postgres {
		version := ""
		_, err := c.one("SHOW server_version", func(r row) { version = r.text(0) })
		return bad.finding("server", "PostgreSQL "+version+" answers; its own tools check pages and indexes (pg_amcheck)", ""), err
	}
	err := c.each("PRAGMA integrity_check(20)", func(r row) error {
		if said := r.text(0); said != "ok" {
			bad.add("%s", said)
		}
		return nil
	})
	if err != nil {
		bad.add("%v", err)
	}
	return bad.finding("file", "every page and index is as it should be", hintRestore), nil
}

// references are the columns that name a row of another table, beside those that SQLite itself watches.
var references = []struct{ what, query string }{
	{"link without a sync", "SELECT id FROM link WHERE sync NOT IN (SELECT id FROM sync)"},
	{"link without its paths", "SELECT id FROM link WHERE shape_left NOT IN (SELECT id FROM shape) OR shape_right NOT IN (SELECT id FROM shape)"},
	{"origin of no link", "SELECT link FROM origin WHERE link NOT IN (SELECT id FROM link)"},
	{"comment of no link", "SELECT link FROM thread WHERE link NOT IN (SELECT id FROM link)"},
	{"attachment of no link", "SELECT link FROM attachment WHERE link NOT IN (SELECT id FROM link)"},
	{"hold or conflict of no link", "SELECT id FROM waiting WHERE link <> 0 AND link NOT IN (SELECT id FROM link)"},
	{"hold or conflict of a link that ended", "SELECT id FROM waiting WHERE link IN (SELECT id FROM link WHERE status = 3 AND status <> 0)"},
	{"write in flight of no sync", "SELECT id FROM intent WHERE sync NOT IN (SELECT id FROM sync)"},
	{"entry of the history without a sync", "SELECT id FROM history WHERE sync NOT IN (SELECT id FROM sync)"},
}

func checkReferences(c *conn) (Finding, error) {
	var bad flaw
	if !c.dialect().postgres { // which lets none of these happen
		err := c.each("PRAGMA foreign_key_check", func(r row) error {
			bad.add("row %d of %s points to nothing in %s", r.int(1), r.text(0), r.text(2))
			return nil
		})
		if err != nil {
			return Finding{}, err
		}
	}
	for _, ref := range references {
		if err := c.each(ref.query, func(r row) error { bad.add("%s: %d", ref.what, r.int(0)); return nil }); err != nil {
			return Finding{}, err
		}
	}
	return bad.finding("refers", "everything that is named is there", hintRestore), nil
}

// checkContent decodes whatever is stored in a form of its own.
func checkContent(c *conn) (Finding, error) {
	var bad flaw
	widths := map[int64]int{}
	err := c.each("SELECT id, paths FROM shape", func(r row) error {
		var paths []string
		if json.Unmarshal([]byte(r.text(1)), &paths) != nil {
			bad.add("paths %d cannot be read", r.int(0))
		}
		widths[r.int(0)] = len(paths)
		return nil
	})
	if err != nil {
		return Finding{}, err
	}
	n := 0
	err = c.each("SELECT "+linkColumns+" FROM link NOT INDEXED", func(r row) error {
		n++
		if status := r.int(1); status < 0 || status > int64(record.Ended) {
			bad.add("link %d has a status %d", r.int(0), status)
		}
		for i := range 6 {
			b := r.blob(10 + i)
			width, known := widths[r.int(8+i%2)]
			if b == nil || !known { // whose paths are missing is told elsewhere
				continue
			}
			if vs, err := record.DecodeValues(b); err != nil || len(vs) != width {
				bad.add("link %d: its values cannot be read", r.int(0))
				break
			}
		}
		if eachMeant(r.blob(16), func(string, record.Meant) {}) != nil {
			bad.add("link %d: what somebody meant cannot be read", r.int(0))
		}
		return nil
	})
	if err != nil {
		return Finding{}, err
	}
	one := func(b []byte) bool {
		vs, err := record.DecodeValues(b)
		return err == nil && len(vs) == 1
	}
	for _, t := range []struct {
		what, query string
		good        func(row) bool
	}{
		{"entry of the history", "SELECT id, value, replaced_by FROM history", func(r row) bool { return one(r.blob(1)) && one(r.blob(2)) }},
		{"hold or conflict", waitingColumns, func(r row) bool { _, err := readWaiting(r); return err == nil }},
		{"run", "SELECT id, body FROM run", func(r row) bool { _, err := readRun(r.text(1)); return err == nil }},
		{"write in flight", "SELECT id, kind, expected, source, new FROM intent", func(r row) bool {
			for i := range 3 {
				if _, err := readFields(r.blob(2 + i)); err != nil {
					return false
				}
			}
			switch plan.Kind(r.text(1)) {
			case plan.Create, plan.Update, plan.Comment, plan.Attachment, plan.Delete:
				return true
			}
			return false
		}},
	} {
		if err := c.each(t.query, func(r row) error {
			if !t.good(r) {
				bad.add("%s %d cannot be read", t.what, r.int(0))
			}
			return nil
		}); err != nil {
			return Finding{}, err
		}
	}
	return bad.finding("content", fmt.Sprintf("%d links and all that belongs to them can be read back", n), hintRestore), nil
}

// checkLinks asks the table itself whether a record has two links, whatever its indexes say.
func checkLinks(c *conn) (Finding, error) {
	var bad flaw
	for _, side := range []string{"left", "right"} {
		err := c.each("SELECT key_"+side+", count(*) FROM link NOT INDEXED WHERE key_"+side+" IS NOT NULL GROUP BY sync, key_"+side+" HAVING count(*) > 1", func(r row) error {
			bad.add("%s on the %s has %d links", r.text(0), side, r.int(1))
			return nil
		})
		if err != nil {
			return Finding{}, err
		}
	}
	err := c.each("SELECT id FROM link NOT INDEXED WHERE (status = 3) <> (key_left IS NULL AND key_right IS NULL)", func(r row) error {
		bad.add("link %d ended and keeps its keys, or has none and lives", r.int(0))
		return nil
	})
	if err != nil {
		return Finding{}, err
	}
	return bad.finding("links", "each record has one link at most", "unlink the wrong one: fieldsync unlink SYNC KEY"), nil
}

func checkCounts(c *conn) (Finding, error) {
	var bad flaw
	err := c.each(`SELECT name, live, held, detached,
		(SELECT count(*) FROM link NOT INDEXED WHERE link.sync = sync.id AND status = 0), (SELECT count(*) FROM link WHERE link.sync = sync.id AND status = 1 AND status <> 0),
		(SELECT count(*) FROM link WHERE link.sync = sync.id AND status = 2 AND status <> 0) FROM sync`, func(r row) error {
		if r.int(1) != r.int(4) || r.int(2) != r.int(5) || r.int(3) != r.int(6) {
			bad.add("%s says %d live, %d held and %d detached links, and has %d, %d and %d", r.text(0), r.int(1), r.int(2), r.int(3), r.int(4), r.int(5), r.int(6))
		}
		return nil
	})
	if err != nil {
		return Finding{}, err
	}
	return bad.finding("counts", "the numbers of links are right", hintRestore), nil
}

// checkIntents looks for writes whose outcome nobody has asked for in a long time.
func checkIntents(c *conn, now time.Time, older time.Duration) (Finding, error) {
	var bad flaw
	n := 0
	err := c.each("SELECT (SELECT name FROM sync WHERE sync.id = intent.sync), kind, key, twin, at FROM intent ORDER BY id", func(r row) error {
		n++
		if at := instant(r.int(4)); now.Sub(at) > older {
			name := r.text(2)
			if name == "" {
				name = "for " + r.text(3)
			}
			bad.add("%s: the %s of %s, sent at %s", r.text(0), r.text(1), name, at.Format(time.RFC3339))
		}
		return nil
	})
	if err != nil {
		return Finding{}, err
	}
	good := "no write is in flight"
	if n > 0 {
		good = fmt.Sprintf("%d in flight, none for longer than %s", n, older)
	}
	return bad.finding("intents", good, "run fieldsync apply: it finds out what became of them before it does anything else"), nil
}
