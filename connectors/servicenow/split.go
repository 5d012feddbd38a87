package servicenow

import (
	"context"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Split looks at the sys_id of a row in every so many, in the order of sys_id: imported tables need not have them evenly
// spread. An offset is good enough to find a bound, since every bound is right and only the sizes of the parts depend on
// it. What is no hexadecimal number is none: nobody knows for sure where the database sorts it.
func (t *Table) Split(ctx context.Context, q connectors.Query, most int) ([]string, connectors.Window, error) {
	op := "split " + t.name
	w := &walk{table: t, op: op, cols: &columns{fields: "sys_id"}}
	var err error
	if w.base, err = t.filter(ctx, op, q.Native); err != nil {
		return nil, connectors.Window{}, err
	}
	first := w.request(ctx, position{limit: 1, left: -1}, false)
	if first.err != nil {
		return nil, connectors.Window{}, first.err
	}
	first.page.release()
	// Rows that this user may not see are counted and passed over, too.
	bounds := make([]string, max(int(min(int64(most), first.total))-1, 0))
	err = t.each(ctx, len(bounds), nil, func(ctx context.Context, i int, _ func(record.Record) error) error {
		at := first.total * int64(i+1) / int64(len(bounds)+1)
		s := w.request(ctx, position{offset: int(at - 1), limit: smallestPage, left: -1}, true)
		if s.err != nil {
			return s.err
		}
		defer s.page.release()
		if len(s.page.rows) == 0 {
			return nil
		}
		key, err := s.page.key(0)
		bounds[i] = strings.Clone(key)
		return err
	})
	if err != nil {
		return nil, connectors.Window{}, err
	}
	last := ""
	bounds = slices.DeleteFunc(bounds, func(b string) bool {
		if !hexadecimal(b) || b <= last {
			return true
		}
		last = b
		return false
	})
	return connectors.Ranges(bounds), t.window(ctx, first.now), nil
}

// bound reports whether a key can stand in the condition of a part.
func bound(key string) bool { return key == "" || hexadecimal(key) }
