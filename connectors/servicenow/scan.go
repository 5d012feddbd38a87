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
// With q.Since it delivers what has a sys_updated_on in a frozen window: from the end of the last window less the
// overlap, because a transaction may commit rows with a stamp of up to a minute ago, to the server's own time
// less the lag, so that the last second is closed. A row that changes meanwhile leaves the window upwards and is
// in the next one. Without q.Since nothing is left out and Next is where the server's clock stood at the start.
//
// Next is "" where a row does not show sys_updated_on (views, access rules) or the answers have no Date.
func (t *Table) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	op := "scan " + t.name
	cols, err := t.columns(op, q.Paths)
	if err != nil {
		return connectors.Window{}, err
	}
	w := &walk{table: t, op: op, cols: cols}
	if w.base, err = parseFilter(q.Native); err != nil {
		if e, ok := errors.AsType[*connectors.Error](err); ok {
			e.Op = op
		}
		return connectors.Window{}, err
	}
	if err := t.prove(ctx, op, w.base.fields); err != nil {
		return connectors.Window{}, err
	}
	var since time.Time
	if q.Since != "" {
		if since, err = time.Parse(timeLayout, q.Since); err != nil {
			return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%q is not the end of a window of this connector", q.Since),
				Hint: "scan everything once"}
		}
		w.base.fields = append(w.base.fields[:len(w.base.fields):len(w.base.fields)], "sys_updated_on")
	}
	s, end := t.freeze(ctx, w, since)
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
	win := connectors.Window{}
	win.Clock, _ = t.conn.client.reading()
	if !end.IsZero() && !unstamped {
		win.Next = end.UTC().Format(timeLayout)
	}
	return win, nil
}

// jump is how far two readings of the server's clock may differ before it must have been set. Each is right
// within about a second and the time of a request.
const jump = 5 * time.Second

// freeze fetches the first page and returns it with the end of the window: the server's time less the lag, zero if
// it does not say. The clock is known from earlier answers; where the first page shows that it was set since,
// the window is made again, once.
func (t *Table) freeze(ctx context.Context, w *walk, since time.Time) (step, time.Time) {
	lag := t.conn.lag
	if since.IsZero() {
		s := w.fetch(ctx, w.start())
		return s, before(s.now, lag)
	}
	for again := false; ; again = true {
		_, now := t.conn.client.reading()
		end := before(now, lag)
		w.conds = window(since.Add(-t.conn.overlap), end)
		s := w.fetch(ctx, w.start())
		real := before(s.now, lag)
		switch {
		case s.err != nil:
			return s, time.Time{}
		case end.IsZero() || real.Before(end):
			// Rows behind the server's own time cannot have been seen, whatever was asked for. If that is before
			// since, because the clock was set back, the next window has to begin there.
			return s, real
		case real.Sub(end) <= jump || again:
			return s, end
		}
		s.page.release()
	}
}

func before(now time.Time, lag time.Duration) time.Time {
	if now.IsZero() {
		return now
	}
	return now.Add(-lag)
}

func window(from, end time.Time) []string {
	conds := []string{"sys_updated_on>=" + from.UTC().Format(timeLayout)}
	if !end.IsZero() {
		conds = append(conds, "sys_updated_on<="+end.UTC().Format(timeLayout))
	}
	return conds
}
