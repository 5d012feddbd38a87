// Package record holds the nouns that every other package speaks: values, records, sides and links.
//
// It knows no system, no rule and no store. Start with [Value] and [Record]. Errors come from conversion
// only ([Of], [Type.Coerce], [DecodeValues]); nothing here panics on data.
package record

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind says what a Value is. The first three are the kinds of nothing and never mix.
type Kind uint8

const (
	Absent  Kind = iota // not delivered; the zero Value
	Unknown             // exists, but could not be read: hidden by an access rule, a failed page
	Null                // known to be empty
	Bool
	Int
	Float
	Text
	Time   // an instant, UTC, to the nanosecond
	List   // canonical JSON array
	Object // canonical JSON object, members sorted
)

var kindNames = [...]string{"absent", "unknown", "null", "bool", "int", "float", "text", "time", "list", "object"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// A Value is one field's content. Values are comparable: two values are the same exactly when == says so.
// Whole numbers are always Int, whatever they were made from, so 2 and 2.0 are the same value.
type Value struct {
	kind Kind
	num  uint64 // Bool 0 or 1; Int two's complement; Float bits; Time nanoseconds since 1970
	text string // Text; List and Object as canonical JSON
}

// The values that need no content.
var (
	NullValue    = Value{kind: Null}
	UnknownValue = Value{kind: Unknown}
)

// OfText makes a Text value without copying s.
func OfText(s string) Value { return Value{kind: Text, text: s} }

// OfInt makes an Int value.
func OfInt(n int64) Value { return Value{kind: Int, num: uint64(n)} }

// OfBool makes a Bool value.
func OfBool(b bool) Value {
	if b {
		return Value{kind: Bool, num: 1}
	}
	return Value{kind: Bool}
}

// OfTime makes a Time value; the location is dropped, the instant kept. Instants outside 1678 to 2262
// cannot be held and give an error from [Of].
func OfTime(t time.Time) Value { return Value{kind: Time, num: uint64(t.UnixNano())} }

// OfFloat makes a Float, or an Int when f is whole and exactly an int64. NaN and infinities become Null:
// no system stores them.
func OfFloat(f float64) Value {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return NullValue
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		return OfInt(int64(f))
	}
	return Value{kind: Float, num: math.Float64bits(f)}
}

// OfList makes a List of vs. Elements keep their kinds as far as JSON has them; times become RFC 3339 text.
func OfList(vs []Value) Value {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, v := range vs {
		if i > 0 {
			b.WriteByte(',')
		}
		v.appendPlainJSON(&b)
	}
	b.WriteByte(']')
	return Value{kind: List, text: b.String()}
}

// Of is the way into a Value from a decoded Go value: nil, bools, all number types, json.Number, strings,
// []byte (as text), time.Time, slices and maps with string keys. The error names the Go type it refuses.
func Of(v any) (Value, error) {
	switch v := v.(type) {
	case nil:
		return NullValue, nil
	case Value:
		return v, nil
	case bool:
		return OfBool(v), nil
	case string:
		return ofString(v)
	case []byte:
		return ofString(string(v))
	case int:
		return OfInt(int64(v)), nil
	case int8:
		return OfInt(int64(v)), nil
	case int16:
		return OfInt(int64(v)), nil
	case int32:
		return OfInt(int64(v)), nil
	case int64:
		return OfInt(v), nil
	case uint:
		return ofUint(uint64(v)), nil
	case uint8:
		return OfInt(int64(v)), nil
	case uint16:
		return OfInt(int64(v)), nil
	case uint32:
		return OfInt(int64(v)), nil
	case uint64:
		return ofUint(v), nil
	case float32:
		return OfFloat(float64(v)), nil
	case float64:
		return OfFloat(v), nil
	case json.Number:
		return ofNumber(v.String()), nil
	case time.Time:
		if y := v.Year(); y < 1678 || y > 2261 {
			return Value{}, fmt.Errorf("time %s is outside the years 1678 to 2261", v.Format(time.RFC3339))
		}
		return OfTime(v), nil
	case []Value:
		return OfList(v), nil
	case []string:
		vs := make([]Value, len(v))
		for i, s := range v {
			vs[i] = OfText(s)
		}
		return OfList(vs), nil
	case []any:
		vs := make([]Value, len(v))
		for i, e := range v {
			ev, err := Of(e)
			if err != nil {
				return Value{}, fmt.Errorf("element %d: %w", i, err)
			}
			vs[i] = ev
		}
		return OfList(vs), nil
	case map[string]any:
		return ofMap(v)
	}
	return Value{}, fmt.Errorf("a %T is not a value", v)
}

func ofString(s string) (Value, error) {
	if !utf8.ValidString(s) {
		return Value{}, errors.New("text is not valid UTF-8")
	}
	return OfText(s), nil
}

func ofUint(n uint64) Value {
	if n > math.MaxInt64 {
		return OfText(strconv.FormatUint(n, 10))
	}
	return OfInt(int64(n))
}

// ofNumber keeps what neither int64 nor float64 holds exactly as the text it was.
func ofNumber(s string) Value {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return OfInt(n)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return OfText(s)
	}
	if !strings.ContainsAny(s, ".eE") {
		return OfText(s)
	}
	return OfFloat(f)
}

func ofMap(m map[string]any) (Value, error) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		v, err := Of(m[k])
		if err != nil {
			return Value{}, fmt.Errorf("member %q: %w", k, err)
		}
		writeJSONString(&b, k)
		b.WriteByte(':')
		v.appendPlainJSON(&b)
	}
	b.WriteByte('}')
	return Value{kind: Object, text: b.String()}, nil
}

// Kind says what v is.
func (v Value) Kind() Kind { return v.kind }

// Known reports whether v may take part in a decision: neither Absent nor Unknown.
func (v Value) Known() bool { return v.kind > Unknown }

// Empty reports whether v is Null.
func (v Value) Empty() bool { return v.kind == Null }

// Blank reports whether v is Null, or text without a character: a column that takes no null is cleared that way.
func (v Value) Blank() bool { return v.kind == Null || v.kind == Text && v.text == "" }

// Text returns the content of a Text value and "" for every other kind.
func (v Value) Text() string {
	if v.kind == Text {
		return v.text
	}
	return ""
}

// Int returns the content of an Int value and 0 for every other kind.
func (v Value) Int() int64 {
	if v.kind == Int {
		return int64(v.num)
	}
	return 0
}

// Bool returns the content of a Bool value and false for every other kind.
func (v Value) Bool() bool { return v.kind == Bool && v.num == 1 }

// Float returns the content of a Float or Int value and 0 for every other kind.
func (v Value) Float() float64 {
	switch v.kind {
	case Float:
		return math.Float64frombits(v.num)
	case Int:
		return float64(int64(v.num))
	}
	return 0
}

// Time returns the content of a Time value in UTC and the zero time for every other kind.
func (v Value) Time() time.Time {
	if v.kind == Time {
		return time.Unix(0, int64(v.num)).UTC()
	}
	return time.Time{}
}

// Items returns the elements of a List and nil for every other kind.
func (v Value) Items() []Value {
	if v.kind != List {
		return nil
	}
	items, _ := v.Any().([]any)
	vs := make([]Value, 0, len(items))
	for _, it := range items {
		e, err := Of(it)
		if err != nil {
			e = UnknownValue
		}
		vs = append(vs, e)
	}
	return vs
}

// Any returns v as a plain Go value: nil for every kind of nothing, bool, int, float64, string,
// time.Time, []any or map[string]any.
func (v Value) Any() any {
	switch v.kind {
	case Bool:
		return v.num == 1
	case Int:
		return int(v.num)
	case Float:
		return math.Float64frombits(v.num)
	case Text:
		return v.text
	case Time:
		return v.Time()
	case List, Object:
		d := json.NewDecoder(strings.NewReader(v.text))
		d.UseNumber()
		var a any
		if d.Decode(&a) != nil {
			return nil
		}
		return plain(a)
	}
	return nil
}

// plain replaces json.Number by int or float64, all the way down.
func plain(a any) any {
	switch a := a.(type) {
	case json.Number:
		return ofNumber(a.String()).Any()
	case []any:
		for i := range a {
			a[i] = plain(a[i])
		}
	case map[string]any:
		for k := range a {
			a[k] = plain(a[k])
		}
	}
	return a
}

// String shows v for people: text quoted, nothing as null or unknown, everything else as written in HCL.
func (v Value) String() string {
	switch v.kind {
	case Absent, Unknown, Null:
		return v.kind.String()
	}
	var b bytes.Buffer
	v.appendPlainJSON(&b)
	return b.String()
}

// Plain is v as bare text: without quotes, and "" for every kind of nothing. It is what CSV files and
// text-only systems hold.
func (v Value) Plain() string {
	switch v.kind {
	case Absent, Unknown, Null:
		return ""
	case Text:
		return v.text
	case Time:
		return v.Time().Format(time.RFC3339Nano)
	}
	return v.String()
}

// Clone returns v with content of its own, so that a page buffer it points into can be let go.
func (v Value) Clone() Value {
	v.text = strings.Clone(v.text)
	return v
}

func (v Value) appendPlainJSON(b *bytes.Buffer) {
	switch v.kind {
	case Bool:
		b.WriteString(strconv.FormatBool(v.num == 1))
	case Int:
		b.WriteString(strconv.FormatInt(int64(v.num), 10))
	case Float:
		b.WriteString(strconv.FormatFloat(math.Float64frombits(v.num), 'g', -1, 64))
	case Text:
		writeJSONString(b, v.text)
	case Time:
		writeJSONString(b, v.Time().Format(time.RFC3339Nano))
	case List, Object:
		b.WriteString(v.text)
	default:
		b.WriteString("null")
	}
}

func writeJSONString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	b.Truncate(b.Len() - 1)
}

// MarshalJSON writes null, bools, numbers, text, lists and objects as themselves. What JSON has no form
// for is an object with one member that starts with "$": {"$time": "…"}, {"$unknown": true}, {"$absent": true}.
func (v Value) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	switch v.kind {
	case Absent, Unknown:
		b.WriteString(`{"$` + v.kind.String() + `":true}`)
	case Time:
		b.WriteString(`{"$time":`)
		v.appendPlainJSON(&b)
		b.WriteByte('}')
	default:
		v.appendPlainJSON(&b)
	}
	return b.Bytes(), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Value) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var a any
	if err := d.Decode(&a); err != nil {
		return err
	}
	if m, ok := a.(map[string]any); ok && len(m) == 1 {
		if s, ok := m["$time"].(string); ok {
			t, err := time.Parse(time.RFC3339Nano, s)
			if err != nil {
				return err
			}
			*v = OfTime(t)
			return nil
		}
		if m["$unknown"] == true {
			*v = UnknownValue
			return nil
		}
		if m["$absent"] == true {
			*v = Value{}
			return nil
		}
	}
	var err error
	*v, err = Of(a)
	return err
}

// AppendValues appends vs to dst in a compact form that DecodeValues reads: per value one byte of kind,
// then its number or its length and text.
func AppendValues(dst []byte, vs []Value) []byte {
	most := binary.MaxVarintLen64 * (1 + len(vs))
	for i := range vs {
		most += len(vs[i].text)
	}
	dst = slices.Grow(dst, most)
	dst = binary.AppendUvarint(dst, uint64(len(vs)))
	for _, v := range vs {
		dst = append(dst, byte(v.kind))
		switch v.kind {
		case Bool, Int:
			dst = binary.AppendVarint(dst, int64(v.num))
		case Float, Time:
			dst = binary.LittleEndian.AppendUint64(dst, v.num)
		case Text, List, Object:
			dst = binary.AppendUvarint(dst, uint64(len(v.text)))
			dst = append(dst, v.text...)
		}
	}
	return dst
}

var errDamaged = errors.New("stored values are damaged")

// DecodeValues reads what AppendValues wrote. The values own their content.
func DecodeValues(src []byte) ([]Value, error) {
	n, w := binary.Uvarint(src)
	if w <= 0 || n > uint64(len(src)) {
		return nil, errDamaged
	}
	src = src[w:]
	text := string(src) // all texts at once: they are parts of it
	vs := make([]Value, n)
	for i := range vs {
		if len(src) == 0 || src[0] > byte(Object) {
			return nil, errDamaged
		}
		v := Value{kind: Kind(src[0])}
		src = src[1:]
		switch v.kind {
		case Bool, Int:
			x, w := binary.Varint(src)
			if w <= 0 {
				return nil, errDamaged
			}
			v.num, src = uint64(x), src[w:]
		case Float, Time:
			if len(src) < 8 {
				return nil, errDamaged
			}
			v.num, src = binary.LittleEndian.Uint64(src), src[8:]
		case Text, List, Object:
			l, w := binary.Uvarint(src)
			if w <= 0 || l > uint64(len(src)-w) {
				return nil, errDamaged
			}
			at := len(text) - len(src) + w
			v.text, src = text[at:at+int(l)], src[w+int(l):]
		}
		vs[i] = v
	}
	if len(src) != 0 {
		return nil, errDamaged
	}
	return vs, nil
}
