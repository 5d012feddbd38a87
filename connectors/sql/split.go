package sql

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// Split counts the rows, then walks the order of the key from bound to bound. Bounds are raw values, compared by the
// database as those between two pages are: in whatever order a collation or a type puts keys, what is not behind a bound
// is up to it.
func (t *collection) Split(ctx context.Context, q connectors.Query, most int) ([]string, connectors.Window, error) {
	op, c := "split "+t.name, t.conn
	var window connectors.Window
	var err error
	if t.modified >= 0 {
		if window, err = t.window(ctx, op); err != nil {
			return nil, connectors.Window{}, err
		}
	}
	tail := " FROM " + from(c, t.rel) + " WHERE " + t.scope(q.Native)
	var rows int64
	err = c.each(ctx, func(raw []any) (err error) { rows, err = whole(raw[0]); return err }, "SELECT count(*)"+tail)
	if err != nil {
		return nil, connectors.Window{}, t.scanError(op, q.Native, err)
	}
	bounds, names := [][]any{nil}, t.keyNames()
	parts := min(int64(most), rows)
	for i := int64(1); i < parts; i++ {
		s := c.statement()
		s.add("SELECT ", selection(c, t.columns), tail)
		if last := bounds[len(bounds)-1]; last != nil {
			s.add(" AND ", afterKey(s, names, last))
		}
		s.add(" ORDER BY ", strings.Join(names, ", "), " LIMIT 1 OFFSET ", strconv.FormatInt(i*rows/parts-(i-1)*rows/parts-1, 10))
		var bound []any
		err := c.each(ctx, func(raw []any) error { bound = ownRaw(t.rawKey(raw)); return nil }, s.text.String(), s.args...)
		if err != nil {
			return nil, connectors.Window{}, t.scanError(op, q.Native, err)
		}
		if bound == nil {
			break // rows went away meanwhile
		}
		bounds = append(bounds, bound)
	}
	var texts []string
	for i, after := range bounds {
		r := keyRange{After: rawValues(after)}
		if i+1 < len(bounds) {
			r.To = rawValues(bounds[i+1])
		}
		text, err := json.Marshal(r)
		if err != nil || slices.Contains(slices.Concat(r.After, r.To), nil) {
			return nil, window, nil // a type whose values cannot be told from outside the driver
		}
		texts = append(texts, string(text))
	}
	return texts, window, nil
}

// A keyRange is a part of a scan: the rows behind one key, up to another.
type keyRange struct {
	After []*rawValue `json:"after,omitempty"`
	To    []*rawValue `json:"to,omitempty"`
}

// A rawValue is what a driver delivers of a key, with its type, which decides how the database compares it.
type rawValue struct {
	Whole  *int64     `json:"whole,omitempty"`
	Number *float64   `json:"number,omitempty"`
	Text   *string    `json:"text,omitempty"`
	Bytes  []byte     `json:"bytes,omitempty"`
	Flag   *bool      `json:"flag,omitempty"`
	Time   *time.Time `json:"time,omitempty"`
}

// rawValues are nil where a value is of another type than drivers deliver keys in.
func rawValues(raw []any) []*rawValue {
	var ls []*rawValue
	for _, r := range raw {
		var l *rawValue
		switch r := r.(type) {
		case int64:
			l = &rawValue{Whole: &r}
		case float64:
			l = &rawValue{Number: &r}
		case string:
			l = &rawValue{Text: &r}
		case []byte:
			l = &rawValue{Bytes: r}
		case bool:
			l = &rawValue{Flag: &r}
		case time.Time:
			l = &rawValue{Time: &r}
		}
		ls = append(ls, l)
	}
	return ls
}

func (l *rawValue) raw() any {
	switch {
	case l == nil:
		return nil
	case l.Whole != nil:
		return *l.Whole
	case l.Number != nil:
		return *l.Number
	case l.Text != nil:
		return *l.Text
	case l.Flag != nil:
		return *l.Flag
	case l.Time != nil:
		return *l.Time
	}
	return slices.Concat([]byte{}, l.Bytes)
}

// rangeOf reads a part; nil is open.
func (t *collection) rangeOf(op, part string) (after, to []any, err error) {
	if part == "" {
		return nil, nil, nil
	}
	var r keyRange
	ok := json.Unmarshal([]byte(part), &r) == nil
	raws := func(ls []*rawValue) (raw []any) {
		ok = ok && (len(ls) == 0 || len(ls) == len(t.key))
		for _, l := range ls {
			raw = append(raw, l.raw())
		}
		return raw
	}
	after, to = raws(r.After), raws(r.To)
	if !ok || slices.Contains(after, nil) || slices.Contains(to, nil) {
		return nil, nil, connectors.NoPart(op, part)
	}
	return after, to, nil
}
