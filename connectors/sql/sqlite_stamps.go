package sql

import (
	"context"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// since compares stamps of every form in Unix seconds; what cannot be understood may have changed at any time.
func (d *sqlite) since(s *statement, c *column, at time.Time) string {
	sec := seconds(d.quote(c.name))
	return fmt.Sprintf("((%[1]s) IS NULL OR (%[1]s) >= %[2]s)", sec, s.arg(at.Unix()))
}

func seconds(column string) string {
	return fmt.Sprintf(`CASE typeof(%[1]s)
		WHEN 'integer' THEN CASE WHEN abs(%[1]s) > 100000000000 THEN %[1]s / 1000 ELSE %[1]s END
		WHEN 'real' THEN CASE WHEN %[1]s BETWEEN 2000000 AND 3000000 THEN (%[1]s - 2440587.5) * 86400 ELSE %[1]s END
		WHEN 'text' THEN CAST(strftime('%%s', %[1]s) AS INTEGER) END`, column)
}

// narrow gives a source that an index on the modified column answers and that has every row which the exact
// condition selects; nil if there is none. It trusts the column's smallest and largest value to tell the form
// of all others, which holds but for text that is no time and sorts among those that are.
func (d *sqlite) narrow(ctx context.Context, t *collection, at time.Time) (func(*statement) string, error) {
	if !t.indexed {
		return nil, nil
	}
	m, table := d.quote(t.columns[t.modified].name), from(d, t.rel)
	var ends [2]any
	for i, f := range []string{"min", "max"} { // one query each: SQLite answers only a lone one from the index
		if err := t.conn.each(ctx, func(v []any) error { ends[i] = v[0]; return nil }, fmt.Sprintf("SELECT %s(%s) FROM %s", f, m, table)); err != nil {
			return nil, err
		}
	}
	var arg any
	switch {
	case isSeconds(ends[0]) && isSeconds(ends[1]):
		arg = at.Unix()
	case isStamp(ends[0]) && isStamp(ends[1]):
		// A day that is over in every time zone sorts before all stamps from since on, however they go on.
		arg = at.Add(-26 * time.Hour).Format(time.DateOnly)
	default:
		return nil, nil
	}
	return t.fenced(ctx, func(s *statement) string { return fmt.Sprintf("(%[1]s IS NULL OR %[1]s >= %[2]s)", m, s.arg(arg)) })
}

func isSeconds(raw any) bool {
	n, ok := raw.(int64)
	return ok && n > 1e8 && n < 1e11
}

func isStamp(raw any) bool {
	s, ok := raw.(string)
	if !ok {
		return false
	}
	_, err := record.ParseTime(s)
	return err == nil
}
