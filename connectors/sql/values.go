package sql

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// unixEpochJulian is 1970-01-01 as the day number that SQLite's julianday() counts in.
const unixEpochJulian = 2440587.5

// decode makes a value of what SQLite holds. Any column may hold any storage class: what is not of the declared
// kind is converted if it can be, and stays what it is if not.
func (c *column) decode(raw any) record.Value {
	var v record.Value
	switch raw := raw.(type) {
	case nil:
		return record.NullValue
	case string:
		if !utf8.ValidString(raw) {
			return record.UnknownValue // it is there, but it is no text that another system could hold
		}
		v = record.OfText(raw)
		if c.kind.Kind == record.Text {
			return v
		}
	case []byte:
		if !utf8.Valid(raw) {
			return record.UnknownValue
		}
		v = record.OfText(string(raw))
	case int64:
		v = record.OfInt(raw)
	case float64:
		v = record.OfFloat(raw)
	case time.Time:
		v = record.OfTime(raw)
	default:
		return record.UnknownValue
	}
	if c.kind.Kind == record.Time || c.kind.Layout != "" {
		if t, ok := instant(raw); ok {
			v = t
		}
	}
	if fit, err := c.kind.Coerce(v); err == nil {
		return fit
	}
	return v
}

// instant reads the numbers in which SQLite applications keep a time: Unix seconds or milliseconds, julian days.
func instant(raw any) (record.Value, bool) {
	var t time.Time
	switch n := raw.(type) {
	case int64:
		if t = time.Unix(n, 0); n > 1e11 || n < -1e11 {
			t = time.UnixMilli(n)
		}
	case float64:
		sec := n
		if n > 2e6 && n < 3e6 {
			sec = (n - unixEpochJulian) * 86400
		}
		t = time.UnixMilli(int64(math.Round(sec * 1000)))
	default:
		return record.Value{}, false
	}
	v, err := record.Of(t.UTC())
	return v, err == nil
}

// A form is the way in which a column holds instants. The zero form is SQLite's own CURRENT_TIMESTAMP.
type form struct {
	unit   byte   // 't' text, 's' seconds, 'm' milliseconds, 'f' seconds with a fraction, 'j' julian days, 'b' a flag
	layout string // of text
}

const sqliteLayout = "2006-01-02 15:04:05.999999999"

func formLike(raw any) form {
	switch raw := raw.(type) {
	case int64:
		switch {
		case raw > 1e11:
			return form{unit: 'm'}
		case raw > 1e8:
			return form{unit: 's'}
		}
		return form{unit: 'b'}
	case float64:
		if raw > 2e6 && raw < 3e6 {
			return form{unit: 'j'}
		}
		return form{unit: 'f'}
	case string:
		return form{unit: 't', layout: layoutLike(raw)}
	}
	return form{unit: 't', layout: sqliteLayout}
}

// layoutLike copies separator, fraction and zone of a stamp, so that stamps sort as text as they did.
func layoutLike(s string) string {
	if len(s) < 19 {
		if len(s) == 10 {
			return "2006-01-02"
		}
		return sqliteLayout
	}
	rest := s[19:]
	layout := "2006-01-02" + s[10:11] + "15:04:05"
	if strings.HasPrefix(rest, ".") {
		digits := len(rest) - 1 - len(strings.TrimLeft(rest[1:], "0123456789"))
		layout += "." + strings.Repeat("0", min(digits, 9))
		rest = rest[1+digits:]
	}
	if rest != "" {
		layout += "Z07:00"
	}
	return layout
}

func (f form) encode(t time.Time) any {
	t = t.UTC()
	switch f.unit {
	case 's':
		return t.Unix()
	case 'm':
		return t.UnixMilli()
	case 'f':
		return float64(t.UnixMilli()) / 1000
	case 'j':
		return float64(t.UnixMilli())/86400000 + unixEpochJulian
	case 'b':
		return int64(1)
	}
	if f.layout == "" {
		return t.Format(sqliteLayout)
	}
	return t.Format(f.layout)
}

// formOf finds out how a column of the table holds instants.
func (t *collection) formOf(ctx context.Context, slot int) (form, error) {
	if slot < 0 {
		return form{}, nil
	}
	c := t.columns[slot]
	f := form{unit: 't', layout: sqliteLayout}
	if c.kind.Kind == record.Int || c.kind.Kind == record.Bool {
		f = form{unit: 's'}
		if slot == t.deleted {
			f = form{unit: 'b'}
		}
	}
	if slot == t.modified {
		f.layout = "2006-01-02 15:04:05"
	}
	err := t.conn.each(ctx, func(v []any) error { f = formLike(v[0]); return nil },
		fmt.Sprintf("SELECT +%[1]s FROM %[2]s WHERE %[1]s IS NOT NULL AND %[1]s NOT IN (0, '') LIMIT 1", quote(c.name), quote(t.table)))
	return f, err
}

// encode makes of v what the column stores. now is what the row holds there (nil for a new row): an instant or
// a flag is written in the form that it had.
func (t *collection) encode(slot int, v record.Value, now any) (any, error) {
	c := &t.columns[slot]
	if v.Empty() {
		return nil, nil
	}
	v, err := c.kind.Coerce(v)
	if err != nil {
		return nil, err
	}
	switch v.Kind() {
	case record.Bool:
		if _, text := now.(string); text {
			return strconv.FormatBool(v.Bool()), nil
		}
		if v.Bool() {
			return int64(1), nil
		}
		return int64(0), nil
	case record.Int:
		return v.Int(), nil
	case record.Float:
		return v.Float(), nil
	case record.Time:
		if now != nil {
			if f := formLike(now); f.unit != 'b' && f.layout != "2006-01-02" {
				return f.encode(v.Time()), nil
			}
		}
		return form{}.encode(v.Time()), nil
	}
	return v.Plain(), nil
}

// version is a hash of the whole row, so it changes with whatever changes.
func version(raw []any) string {
	var d xxhash.Digest
	d.Reset()
	var n [9]byte
	for _, r := range raw {
		n[0] = 0
		text := ""
		switch r := r.(type) {
		case int64:
			n[0] = 1
			binary.LittleEndian.PutUint64(n[1:], uint64(r))
		case float64:
			n[0] = 2
			binary.LittleEndian.PutUint64(n[1:], math.Float64bits(r))
		case string:
			n[0] = 3
			text = r
			binary.LittleEndian.PutUint64(n[1:], uint64(len(r)))
		case []byte:
			n[0] = 4
			text = string(r)
			binary.LittleEndian.PutUint64(n[1:], uint64(len(r)))
		}
		_, _ = d.Write(n[:]) // a hash does not fail
		_, _ = d.WriteString(text)
	}
	return strconv.FormatUint(d.Sum64(), 16)
}

// show makes a record of a row.
func (t *collection) show(raw []any, slots []int, values []record.Value) record.Record {
	r := record.Record{Key: t.columns[t.key].decode(raw[t.key]).Plain(), Version: version(raw), Values: values}
	for i, slot := range slots {
		values[i] = t.columns[slot].decode(raw[slot])
	}
	if t.label >= 0 {
		r.Label = t.columns[t.label].decode(raw[t.label]).Plain()
	}
	if t.author >= 0 {
		r.Author = t.columns[t.author].decode(raw[t.author]).Plain()
	}
	if t.modified >= 0 {
		r.Modified = stampOf(raw[t.modified])
	}
	return r
}

func stampOf(raw any) time.Time {
	if v, ok := instant(raw); ok {
		return v.Time()
	}
	if s, ok := raw.(string); ok {
		if at, err := record.ParseTime(s); err == nil {
			return at
		}
	}
	return time.Time{}
}

// resolve finds the columns of paths.
func (t *collection) resolve(op string, paths []string) ([]int, error) {
	slots := make([]int, len(paths))
	for i, p := range paths {
		slot, ok := t.slots[p]
		if !ok {
			return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("table %s has no column %q", t.table, p), Hint: t.hint(p), Fields: []string{p}}
		}
		slots[i] = slot
	}
	return slots, nil
}
