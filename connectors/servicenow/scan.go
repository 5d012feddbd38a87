package servicenow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Scan emits the rows of the table that the encoded query in q.Native selects, in the order of sys_id.
//
// The window is frozen when the scan starts: Next is the server's own time then, less the lag, so that the last
// second is closed. With q.Since it delivers what has a sys_updated_on from the end of the last window, less the
// overlap, because a transaction may commit rows with a stamp of up to a minute ago. What is stamped after
// the end of the window is delivered too, so that nobody waits out the lag to see an edit; as Next stays behind
// it, it comes again in the next window, and so does a row that changes while it is paged.
//
// Next is "" where a row does not show sys_updated_on (views, access rules) or the answers have no Date. System and
// Zone are those of the account's row of sys_user, where it may see that.
func (t *Table) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	op := "scan " + t.name
	cols, err := t.columns(op, q.Paths)
	if err != nil {
		return connectors.Window{}, err
	}
	w := &walk{table: t, op: op, cols: cols}
	if w.base, err = t.filter(ctx, op, q.Native); err != nil {
		return connectors.Window{}, err
	}
	part, err := connectors.ParseRange(op, q.Part)
	if err != nil || !bound(part.After) || !bound(part.To) {
		return connectors.Window{}, connectors.NoPart(op, q.Part)
	}
	var since time.Time
	if q.Since != "" {
		if since, err = time.Parse(timeLayout, q.Since); err != nil {
			return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%q is not the end of a window of this connector", q.Since),
				Hint: "scan everything once"}
		}
		w.base.fields = append(w.base.fields[:len(w.base.fields):len(w.base.fields)], "sys_updated_on")
	}
	if !since.IsZero() {
		w.conds = []string{"sys_updated_on>=" + since.Add(-t.conn.overlap).UTC().Format(timeLayout)}
	}
	begin := w.start()
	begin.last, w.to = part.After, part.To
	if w.to != "" {
		w.conds = append(w.conds, "sys_id<="+w.to)
	}
	s := w.fetch(ctx, begin)
	if s.err != nil {
		return connectors.Window{}, s.err
	}
	unstamped := false
	err = w.run(ctx, s, func(r record.Record) error {
		unstamped = unstamped || r.Modified.IsZero()
		return emit(r)
	})
	if err != nil {
		return connectors.Window{}, err
	}
	win := t.window(ctx, s.now)
	if unstamped {
		win.Next = ""
	}
	return win, nil
}

// filter takes a native query apart and makes sure that the instance knows its fields.
func (t *Table) filter(ctx context.Context, op, native string) (filter, error) {
	f, err := parseFilter(native)
	if err != nil {
		if e, ok := errors.AsType[*connectors.Error](err); ok {
			e.Op = op
		}
		return filter{}, err
	}
	return f, t.prove(ctx, op, f.fields)
}

// window is that of a scan whose first request began at a time of the server's clock; zero if that is not known.
func (t *Table) window(ctx context.Context, began time.Time) connectors.Window {
	win := connectors.Window{}
	win.Clock, _ = t.conn.client.reading()
	win.System, win.Zone = t.conn.identify(ctx)
	if !began.IsZero() {
		win.Next = began.Add(-t.conn.lag).UTC().Format(timeLayout)
	}
	return win
}
