package record

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Type says what form a path's values have on the wire of its system. The zero Type takes anything.
type Type struct {
	Kind   Kind   // Absent: anything; else Bool, Int, Float, Text, Time, List or Object
	Layout string // Text that holds a time: the time.Format layout it is written in, UTC
	Loose  bool   // Layout is for times that are written; text may be anything and stays as it is
}

func (t Type) String() string {
	if t.Kind == Absent {
		return "any"
	}
	return t.Kind.String()
}

// timeLayouts are read by Coerce in this order. All but the first two carry no zone and mean UTC.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02"}

// ParseTime reads the ways in which systems write an instant; without a zone it means UTC.
func ParseTime(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	for _, l := range timeLayouts {
		if t, err := time.Parse(l, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a date and time; write 2006-01-02 15:04:05 or RFC 3339", s)
}

// Coerce gives v the form that a path of type t holds, so that values of two systems compare: 1 becomes
// "1" on a text path, "1" becomes 1 on a number path. Every kind of nothing stays what it is. The error
// says what does not fit.
func (t Type) Coerce(v Value) (Value, error) {
	if !v.Known() || v.kind == Null || t.Kind == Absent || (v.kind == t.Kind && t.Layout == "") {
		return v, nil
	}
	switch t.Kind {
	case Text:
		return t.text(v)
	case Int, Float:
		return t.number(v)
	case Bool:
		switch v.kind {
		case Int:
			if v.num <= 1 {
				return OfBool(v.num == 1), nil
			}
		case Text:
			if b, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(v.text))); err == nil {
				return OfBool(b), nil
			}
		}
	case Time:
		if v.kind == Text {
			if strings.TrimSpace(v.text) == "" {
				return NullValue, nil
			}
			tm, err := ParseTime(v.text)
			if err != nil {
				return Value{}, err
			}
			return Of(tm)
		}
	case List:
		if v.kind != Object {
			return OfList([]Value{v}), nil
		}
	}
	return Value{}, fmt.Errorf("%s does not fit a %s", v, t)
}

func (t Type) text(v Value) (Value, error) {
	switch v.kind {
	case Text:
		// A layout only re-forms what is a time; other text is the system's business and stays.
		if t.Layout != "" && !t.Loose && v.text != "" {
			if tm, err := ParseTime(v.text); err == nil {
				return OfText(tm.Format(t.Layout)), nil
			}
		}
		return v, nil
	case Time:
		layout := t.Layout
		if layout == "" {
			layout = time.RFC3339Nano
		}
		return OfText(v.Time().Format(layout)), nil
	}
	return OfText(v.Plain()), nil
}

func (t Type) number(v Value) (Value, error) {
	switch v.kind {
	case Int:
		return v, nil
	case Float:
		if t.Kind == Float {
			return v, nil
		}
	case Bool:
		return OfInt(int64(v.num)), nil
	case Text:
		s := strings.TrimSpace(v.text)
		if s == "" {
			return NullValue, nil
		}
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return OfInt(n), nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && t.Kind == Float {
			return OfFloat(f), nil
		}
	}
	return Value{}, fmt.Errorf("%s does not fit a %s", v, t)
}
