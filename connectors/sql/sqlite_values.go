package sql

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fieldsync/fieldsync/engine/record"
)

// unixEpochJulian is 1970-01-01 as the day number that SQLite's julianday() counts in.
const unixEpochJulian = 2440587.5

// A loose codec is of a column of SQLite, which may hold any storage class whatever it declares.
type loose struct {
	kind record.Type
	form form // in which others keep instants and flags there; learned
}

// decode converts what is not of the declared kind if it can be, and leaves it what it is if not.
func (c loose) decode(raw any) record.Value {
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

// encode makes of v what the column stores. An instant or a flag is written in the form that the row had.
func (c loose) encode(v record.Value, old any) (any, error) {
	v, err := c.kind.Coerce(v)
	if err != nil {
		return nil, err
	}
	switch v.Kind() {
	case record.Bool:
		if _, text := old.(string); text {
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
		if old != nil {
			if f := formLike(old); f.unit != 'b' && f.layout != "2006-01-02" {
				return f.encode(v.Time()), nil
			}
		}
		return form{}.encode(v.Time()), nil
	}
	return v.Plain(), nil
}

// seek knows that a flag may be kept as a number and as a word.
func (c loose) seek(v record.Value) []any {
	fit, err := c.kind.Coerce(v)
	if err != nil || !fit.Known() || fit.Empty() {
		return nil
	}
	arg, err := c.encode(fit, nil)
	if err != nil {
		return nil
	}
	if fit.Kind() == record.Bool {
		return []any{arg, strconv.FormatBool(fit.Bool())}
	}
	return []any{arg}
}

// key binds what is a number as one where the column is declared so, and text as it is.
func (c loose) key(text string) (any, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && c.kind.Kind == record.Int && strconv.FormatInt(n, 10) == text {
		return n, true
	}
	return text, true
}
