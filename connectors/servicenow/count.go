package servicenow

import (
	"context"
	"fmt"
	"strconv"
)

// Count asks the Aggregate API how many rows an encoded query selects; none is read. What is counted are the rows that
// the instance shows this user there, which need not be all that it has.
func (t *Table) Count(ctx context.Context, native string) (int64, error) {
	op := "count " + t.name
	f, err := t.filter(ctx, op, native)
	if err != nil {
		return 0, err
	}
	p := pages.Get().(*page)
	defer p.release()
	cl := &call{op: op, api: "stats", table: t.name, queried: f.fields, params: params{}.add("sysparm_count", "true")}
	if len(f.groups) > 0 {
		cl.params = cl.params.add("sysparm_query", f.with())
	}
	a, err := t.conn.client.do(ctx, cl, &p.buf)
	if err != nil {
		return 0, err
	}
	if err := p.parseOne(a.body); err != nil {
		return 0, t.conn.client.undecoded(cl, err)
	}
	n, err := strconv.ParseInt(string(p.rows[0].GetStringBytes("stats", "count")), 10, 64)
	if err != nil || n < 0 {
		return 0, t.conn.client.undecoded(cl, fmt.Errorf("the answer holds no count"))
	}
	return n, nil
}
