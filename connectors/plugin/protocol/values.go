package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// OfValue is v for the wire.
func OfValue(v record.Value) *Value {
	switch v.Kind() {
	case record.Unknown:
		return &Value{Content: &Value_Nothing{Nothing_UNKNOWN}}
	case record.Null:
		return &Value{Content: &Value_Nothing{Nothing_NULL}}
	case record.Bool:
		return &Value{Content: &Value_Truth{v.Bool()}}
	case record.Int:
		return &Value{Content: &Value_Whole{v.Int()}}
	case record.Float:
		return &Value{Content: &Value_Decimal{v.Float()}}
	case record.Text:
		return &Value{Content: &Value_Text{v.Text()}}
	case record.Time:
		return &Value{Content: &Value_Time{v.Plain()}}
	case record.List:
		return &Value{Content: &Value_List{v.Plain()}}
	case record.Object:
		return &Value{Content: &Value_Object{v.Plain()}}
	}
	return &Value{}
}

// ToValue is what the wire says.
func ToValue(x *Value) (record.Value, error) {
	switch c := x.GetContent().(type) {
	case nil:
		return record.Value{}, nil
	case *Value_Nothing:
		switch c.Nothing {
		case Nothing_NULL:
			return record.NullValue, nil
		case Nothing_UNKNOWN:
			return record.UnknownValue, nil
		}
		return record.Value{}, fmt.Errorf("a kind of nothing that this version does not know (%d)", c.Nothing)
	case *Value_Truth:
		return record.OfBool(c.Truth), nil
	case *Value_Whole:
		return record.OfInt(c.Whole), nil
	case *Value_Decimal:
		if math.IsNaN(c.Decimal) || math.IsInf(c.Decimal, 0) {
			return record.Value{}, errors.New("a decimal that is no number")
		}
		return record.OfFloat(c.Decimal), nil
	case *Value_Text:
		return record.OfText(c.Text), nil
	case *Value_Time:
		t, err := ToTime(c.Time)
		if err != nil || t.IsZero() {
			return record.Value{}, fmt.Errorf("%.40q is no time as RFC 3339 writes it", c.Time)
		}
		return record.Of(t)
	case *Value_List:
		a, err := decoded(c.List)
		if list, ok := a.([]any); err == nil && ok {
			return record.Of(list)
		}
		return record.Value{}, fmt.Errorf("%.40q is no JSON array", c.List)
	case *Value_Object:
		a, err := decoded(c.Object)
		if object, ok := a.(map[string]any); err == nil && ok {
			return record.Of(object)
		}
		return record.Value{}, fmt.Errorf("%.40q is no JSON object", c.Object)
	}
	return record.Value{}, errors.New("a kind of value that this version does not know")
}

func decoded(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var a any
	if err := d.Decode(&a); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more behind the value")
	}
	return a, nil
}

// OfTime is t in RFC 3339, "" for the zero time.
func OfTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// ToTime reads it back.
func ToTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.40q is no time as RFC 3339 writes it", s)
	}
	return t.UTC(), nil
}

// OfRecord is r for the wire.
func OfRecord(r record.Record) *Record {
	values := make([]*Value, len(r.Values))
	for i, v := range r.Values {
		values[i] = OfValue(v)
	}
	return &Record{Key: strings.Clone(r.Key), Label: strings.Clone(r.Label), Version: strings.Clone(r.Version), Modified: OfTime(r.Modified), Author: strings.Clone(r.Author), Values: values}
}

// ToRecord is what the wire says of a record that was asked for these paths.
func ToRecord(x *Record, paths []string) (record.Record, error) {
	switch {
	case x.GetKey() == "":
		return record.Record{}, errors.New("a record without a key")
	case len(x.Key) > MaxKey:
		return record.Record{}, fmt.Errorf("a record whose key has %d bytes; more than %d are none", len(x.Key), MaxKey)
	case len(x.Values) != len(paths):
		return record.Record{}, fmt.Errorf("record %q with %d values for %d paths", x.Key, len(x.Values), len(paths))
	}
	modified, err := ToTime(x.Modified)
	if err != nil {
		return record.Record{}, fmt.Errorf("record %q: modified: %w", x.Key, err)
	}
	r := record.Record{Key: x.Key, Label: x.Label, Version: x.Version, Modified: modified, Author: x.Author, Values: make([]record.Value, len(paths))}
	for i, v := range x.Values {
		if r.Values[i], err = ToValue(v); err != nil {
			return record.Record{}, fmt.Errorf("record %q: %s: %w", x.Key, paths[i], err)
		}
	}
	return r, nil
}

// OfFields is f for the wire, sorted by path.
func OfFields(f record.Fields) []*NamedValue {
	list := make([]*NamedValue, 0, len(f))
	for _, path := range slices.Sorted(maps.Keys(f)) {
		list = append(list, &NamedValue{Path: path, Value: OfValue(f[path])})
	}
	return list
}

// ToFields is what the wire says.
func ToFields(list []*NamedValue) (record.Fields, error) {
	f := make(record.Fields, len(list))
	for _, n := range list {
		v, err := ToValue(n.GetValue())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.GetPath(), err)
		}
		f[n.GetPath()] = v
	}
	return f, nil
}
