package sql

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A class says how a column of a database with strict types is written and read.
type class uint8

const (
	text class = iota
	number
	fraction // binary floating point
	decimal
	flag
	instants // date and time
	day
	uuid
	bytesOf
	document // JSON
	array
	opaque // shown as the database writes it; written as text that the database reads
)

// A typed codec is of a column that holds values of its declared type alone. What it decodes is text in the
// database's own form, or one of the driver's numbers.
type typed struct {
	class   class
	kind    record.Type
	digits  int      // of a fraction of a second
	zone    bool     // a stamp with a zone
	mysql   bool     // MySQL's forms of flags and bytes
	noNUL   bool     // text cannot hold the character NUL
	allowed []string // the values of an enumeration; nil: any
}

// exact is how many decimal digits every float64 keeps.
const exact = 15

// decimals is the type of a decimal column: what float64 keeps exactly is a number, everything else text in its
// shortest form, so that 1.10 is 1.1 and no digit gets lost. precision 0 means that it is not limited.
func decimals(precision, scale int) record.Type {
	switch {
	case precision > 0 && scale == 0 && precision <= 18:
		return record.Type{Kind: record.Int}
	case precision > 0 && precision <= exact:
		return record.Type{Kind: record.Float}
	}
	return record.Type{Kind: record.Text}
}

// comparable reports a column whose rows can be told apart and looked up by what it shows.
func (c typed) comparable() bool {
	return c.class != document && c.class != array && c.class != bytesOf
}

func (c typed) decode(raw any) record.Value {
	var s string
	switch raw := raw.(type) {
	case nil:
		return record.NullValue
	case string:
		s = raw
	case []byte:
		s = string(raw)
	case int64:
		s = strconv.FormatInt(raw, 10)
	case uint64:
		s = strconv.FormatUint(raw, 10)
	case float32:
		s = strconv.FormatFloat(float64(raw), 'g', -1, 32)
	case float64:
		s = strconv.FormatFloat(raw, 'g', -1, 64)
	default:
		return record.UnknownValue
	}
	if c.class == bytesOf {
		if !c.mysql {
			b, err := hex.DecodeString(s)
			if err != nil {
				return record.UnknownValue
			}
			s = string(b)
		}
		if strings.ContainsRune(s, 0) {
			return record.UnknownValue
		}
	}
	if !utf8.ValidString(s) {
		return record.UnknownValue // it is there, but it is no text that another system could hold
	}
	switch c.class {
	case number:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return record.OfInt(n)
		}
	case fraction:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return record.UnknownValue // NaN is no value of another system, and no empty one either
		}
		return record.OfFloat(f)
	case decimal:
		return c.decimal(s)
	case flag:
		switch s {
		case "true", "1":
			return record.OfBool(true)
		case "false", "0":
			return record.OfBool(false)
		}
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return record.OfInt(n)
		}
	case instants:
		return c.instant(s)
	case day:
		if strings.HasPrefix(s, "0000-00-00") {
			return record.NullValue
		}
	case document, array:
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		var a any
		if d.Decode(&a) != nil {
			return record.OfText(s)
		}
		v, err := record.Of(a)
		if err != nil {
			return record.UnknownValue
		}
		return v
	}
	return record.OfText(s)
}

func (c typed) decimal(s string) record.Value {
	if !decimalForm.MatchString(s) {
		return record.UnknownValue // NaN and infinity
	}
	switch c.kind.Kind {
	case record.Int:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return record.OfInt(n)
		}
	case record.Float:
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return record.OfFloat(f)
		}
	}
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		s = "0"
	}
	return record.OfText(s)
}

// instant reads a stamp. What no clock shows (infinity, years before Christ) stays text; a MySQL column that was
// never set says 0000-00-00.
func (c typed) instant(s string) record.Value {
	if strings.HasPrefix(s, "0000-00-00") {
		return record.NullValue
	}
	if zoned, ok := strings.CutSuffix(s, "+00"); ok {
		s = zoned
	}
	if t, err := record.ParseTime(s); err == nil {
		if v, err := record.Of(t); err == nil {
			return v
		}
	}
	return record.OfText(s)
}

var (
	decimalForm = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$`)
	uuidForm    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	errNUL      = errors.New("the database's text cannot hold the character NUL")
)

func (c typed) encode(v record.Value, _ any) (any, error) {
	if c.noNUL && v.Kind() == record.Text && strings.ContainsRune(v.Text(), 0) {
		return nil, errNUL
	}
	switch c.class {
	case decimal:
		return c.ofDecimal(v)
	case document:
		return v.String(), nil // text is a JSON string: it comes back as the text that it was
	case array:
		list, err := record.Type{Kind: record.List}.Coerce(v)
		if err != nil {
			return nil, err
		}
		return literal(list), nil
	}
	v, err := c.kind.Coerce(v)
	if err != nil || v.Empty() {
		return nil, err
	}
	switch c.class {
	case flag:
		switch {
		case !c.mysql:
			return strconv.FormatBool(v.Bool()), nil
		case v.Bool():
			return int64(1), nil
		}
		return int64(0), nil
	case instants:
		return c.stamp(v.Time()), nil
	case uuid:
		s := strings.ToLower(v.Plain())
		if !uuidForm.MatchString(s) {
			return nil, fmt.Errorf("%q is no UUID", v.Plain())
		}
		return s, nil
	case bytesOf:
		if c.mysql {
			return []byte(v.Plain()), nil
		}
		return `\x` + hex.EncodeToString([]byte(v.Plain())), nil
	case fraction:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64), nil
	}
	if c.class == number && c.mysql && v.Kind() == record.Int {
		return v.Int(), nil // a column of bits would take digits for letters
	}
	s := v.Plain()
	if c.allowed != nil && !slices.Contains(c.allowed, s) {
		return nil, fmt.Errorf("%q is none of %s", s, strings.Join(c.allowed, ", "))
	}
	return s, nil
}

// ofDecimal writes a number out without a float in between where it is text.
func (c typed) ofDecimal(v record.Value) (any, error) {
	switch v.Kind() {
	case record.Text:
		s := strings.TrimSpace(v.Text())
		if s == "" {
			return nil, nil
		}
		if !decimalForm.MatchString(s) {
			return nil, fmt.Errorf("%q is no number", s)
		}
		return s, nil
	case record.Float:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64), nil
	}
	n, err := record.Type{Kind: record.Int}.Coerce(v)
	if err != nil {
		return nil, err
	}
	return n.Plain(), nil
}

// stamp writes an instant as the column holds it: UTC, cut to its digits, since databases would round up.
func (c typed) stamp(t time.Time) string {
	t = t.UTC()
	if unit := time.Second / time.Duration(math.Pow10(c.digits)); c.digits < 9 {
		t = t.Truncate(unit)
	}
	layout := "2006-01-02 15:04:05.999999999"
	if c.zone {
		layout += "Z07:00"
	}
	return t.Format(layout)
}

// literal writes a list as an array of PostgreSQL.
func literal(v record.Value) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, item := range v.Items() {
		if i > 0 {
			b.WriteByte(',')
		}
		switch {
		case item.Empty():
			b.WriteString("NULL")
		case item.Kind() == record.List:
			b.WriteString(literal(item))
		default:
			b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(item.Plain()) + `"`)
		}
	}
	b.WriteByte('}')
	return b.String()
}

func (c typed) seek(v record.Value) []any {
	arg, err := c.encode(v, nil)
	if err != nil || arg == nil || !c.holds(arg) {
		return nil
	}
	return []any{arg}
}

func (c typed) key(text string) (any, bool) {
	arg, err := c.encode(record.OfText(text), nil)
	if err != nil || arg == nil || !c.holds(arg) || c.decode(arg).Plain() != text {
		return nil, false
	}
	return arg, true
}

// holds reports whether the database would understand arg as one of the column's values at all.
func (c typed) holds(arg any) bool {
	if c.class == day || c.class == instants {
		s, _ := arg.(string)
		_, err := record.ParseTime(s)
		return err == nil
	}
	return true
}
