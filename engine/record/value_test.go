package record_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine/record"
)

func TestOf(t *testing.T) {
	noon := time.Date(2026, 5, 4, 12, 0, 0, 7, time.FixedZone("CEST", 7200))
	tests := []struct {
		name string
		in   any
		want record.Value
	}{
		{"nil is null", nil, record.NullValue},
		{"a value stays", record.UnknownValue, record.UnknownValue},
		{"true", true, record.OfBool(true)},
		{"text", "x", record.OfText("x")},
		{"empty text is not null", "", record.OfText("")},
		{"bytes are text", []byte("x"), record.OfText("x")},
		{"int8", int8(-2), record.OfInt(-2)},
		{"uint16", uint16(2), record.OfInt(2)},
		{"uint64 that fits", uint64(2), record.OfInt(2)},
		{"uint64 that does not fit is text", uint64(math.MaxUint64), record.OfText("18446744073709551615")},
		{"a whole float is an int", 2.0, record.OfInt(2)},
		{"minus zero is zero", math.Copysign(0, -1), record.OfInt(0)},
		{"a whole float32 is an int", float32(2), record.OfInt(2)},
		{"NaN is null", math.NaN(), record.NullValue},
		{"infinity is null", math.Inf(-1), record.NullValue},
		{"a JSON number", json.Number("2"), record.OfInt(2)},
		{"a JSON number with a point", json.Number("2.0"), record.OfInt(2)},
		{"a JSON number with an exponent", json.Number("2e0"), record.OfInt(2)},
		{"a JSON number beyond int64 keeps its digits", json.Number("9223372036854775808"), record.OfText("9223372036854775808")},
		{"a time loses its zone, not its instant", noon, record.OfTime(noon.UTC())},
		{"a list", []any{1, "x", nil}, record.OfList([]record.Value{record.OfInt(1), record.OfText("x"), record.NullValue})},
		{"a list of strings", []string{"x"}, record.OfList([]record.Value{record.OfText("x")})},
		{"an empty list is not null", []any{}, record.OfList(nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := record.Of(tt.in)
			if err != nil || got != tt.want {
				t.Errorf("got %v (%v, %v), want %v", got, got.Kind(), err, tt.want)
			}
		})
	}
}

func TestOfRefuses(t *testing.T) {
	for name, in := range map[string]any{
		"a channel":            make(chan int),
		"a channel in a list":  []any{make(chan int)},
		"a channel in a map":   map[string]any{"a": make(chan int)},
		"text that is no text": "\xff",
		"bytes that are none":  []byte{0xc3},
		"a year too far":       time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC),
		"a year too long ago":  time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if v, err := record.Of(in); err == nil {
			t.Errorf("%s became %v", name, v)
		}
	}
}

func TestObjectsAreEqualWhateverTheOrderOfTheirMembers(t *testing.T) {
	var a, b record.Value
	for text, v := range map[string]*record.Value{`{"x": 1.0, "y": {"b": "<", "a": []}}`: &a, `{"y":{"a":[],"b":"<"},"x":1}`: &b} {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			t.Fatal(err)
		}
	}
	if a != b || a.Kind() != record.Object || a.String() != `{"x":1,"y":{"a":[],"b":"<"}}` {
		t.Errorf("%v and %v", a, b)
	}
}

func TestTheKindsOfNothingDoNotMix(t *testing.T) {
	var absent record.Value
	nothings := []record.Value{absent, record.UnknownValue, record.NullValue, record.OfText(""), record.OfInt(0), record.OfBool(false), record.OfList(nil)}
	for i, a := range nothings {
		for j, b := range nothings {
			if (a == b) != (i == j) {
				t.Errorf("%v %v == %v %v", a.Kind(), a, b.Kind(), b)
			}
		}
		if a.Known() != (i >= 2) || a.Empty() != (i == 2) {
			t.Errorf("%v: known %v, empty %v", a.Kind(), a.Known(), a.Empty())
		}
	}
}

func TestAccessorsGiveZeroForOtherKinds(t *testing.T) {
	text, num := record.OfText("x"), record.OfInt(3)
	if text.Int() != 0 || text.Float() != 0 || text.Bool() || !text.Time().IsZero() || text.Items() != nil || num.Text() != "" {
		t.Error("an accessor of another kind gives something")
	}
	if num.Float() != 3 || record.OfFloat(2.5).Float() != 2.5 || record.OfFloat(2.5).Int() != 0 {
		t.Error("numbers do not read back")
	}
}

func TestText(t *testing.T) {
	noon := record.OfTime(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))
	list := record.OfList([]record.Value{record.OfText(`a"<`), record.OfInt(1), noon, record.NullValue})
	tests := []struct {
		v             record.Value
		string, plain string
	}{
		{record.Value{}, "absent", ""},
		{record.UnknownValue, "unknown", ""},
		{record.NullValue, "null", ""},
		{record.OfText("a\nb"), `"a\nb"`, "a\nb"},
		{record.OfBool(true), "true", "true"},
		{record.OfInt(-3), "-3", "-3"},
		{record.OfFloat(0.1), "0.1", "0.1"},
		{noon, `"2026-05-04T12:00:00Z"`, "2026-05-04T12:00:00Z"},
		{list, `["a\"<",1,"2026-05-04T12:00:00Z",null]`, `["a\"<",1,"2026-05-04T12:00:00Z",null]`},
	}
	for _, tt := range tests {
		if tt.v.String() != tt.string || tt.v.Plain() != tt.plain {
			t.Errorf("%v: %s and %s, want %s and %s", tt.v.Kind(), tt.v, tt.v.Plain(), tt.string, tt.plain)
		}
	}
}

// anyValue draws a value of any kind.
func anyValue() *rapid.Generator[record.Value] {
	scalar := rapid.OneOf(
		rapid.SampledFrom([]record.Value{{}, record.UnknownValue, record.NullValue}),
		rapid.Map(rapid.Bool(), record.OfBool),
		rapid.Map(rapid.Int64(), record.OfInt),
		rapid.Map(rapid.Float64(), record.OfFloat),
		rapid.Map(rapid.String(), record.OfText),
		rapid.Map(rapid.Int64(), func(n int64) record.Value { return record.OfTime(time.Unix(0, n)) }),
	)
	object := rapid.Map(rapid.MapOfN(rapid.String(), rapid.Int(), 2, 4), func(m map[string]int) record.Value {
		members := map[string]any{}
		for k, n := range m {
			members[k] = n
		}
		v, err := record.Of(members)
		if err != nil {
			panic(err)
		}
		return v
	})
	return rapid.OneOf(scalar, rapid.Map(rapid.SliceOfN(scalar, 0, 4), record.OfList), object)
}

func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyValue().Draw(t, "value")
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var got record.Value
		if err := json.Unmarshal(data, &got); err != nil || got != v {
			t.Fatalf("%v %s became %v %v (%v)", v.Kind(), data, got.Kind(), got, err)
		}
	})
}

func TestBinaryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vs := rapid.SliceOf(anyValue()).Draw(t, "values")
		data := record.AppendValues([]byte("before"), vs)[len("before"):]
		got, err := record.DecodeValues(data)
		if err != nil || len(got) != len(vs) {
			t.Fatalf("%d values of %d (%v)", len(got), len(vs), err)
		}
		for i := range vs {
			if got[i] != vs[i] {
				t.Fatalf("%v became %v", vs[i], got[i])
			}
		}
		for n := range data {
			if _, err := record.DecodeValues(data[:n]); err == nil {
				t.Fatalf("%d of %d bytes are read as whole", n, len(data))
			}
		}
	})
}

func TestAnyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyValue().Draw(t, "value")
		got, err := record.Of(v.Any())
		if !v.Known() {
			v = record.NullValue // Go has one nothing
		}
		if err != nil && v.Kind() == record.Time {
			return // the years at the very edges
		}
		if err != nil || got != v {
			t.Fatalf("%v %v became %v %v (%v)", v.Kind(), v, got.Kind(), got, err)
		}
	})
}

func TestCloneDoesNotShare(t *testing.T) {
	r := record.Record{Values: []record.Value{record.OfText("x")}}
	c := r.Clone()
	c.Values[0] = record.OfText("y")
	if r.Values[0] != record.OfText("x") {
		t.Error("a clone's values are the record's")
	}
}

func TestNamesAndShown(t *testing.T) {
	if r := (record.Record{Key: "k", Label: "INC1"}); r.Name() != "INC1" {
		t.Error(r.Name())
	}
	if r := (record.Record{Key: "k"}); r.Name() != "k" {
		t.Error(r.Name())
	}
	l := record.Link{Base: [2][]record.Value{{record.OfInt(1)}, {record.OfInt(2)}}}
	l.Now[record.Left] = []record.Value{record.OfInt(3)}
	if l.Shown(record.Left)[0] != record.OfInt(3) || l.Shown(record.Right)[0] != record.OfInt(2) {
		t.Errorf("shown are %v and %v", l.Shown(record.Left), l.Shown(record.Right))
	}
	if record.Left.Other() != record.Right || record.Right.Other() != record.Left || record.Left.String() != "left" {
		t.Error("sides are mixed up")
	}
}

// FuzzDecodeValues: damaged bytes give an error, never a panic, and what is read can be written again.
func FuzzDecodeValues(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{1, byte(record.Text), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add(record.AppendValues(nil, []record.Value{{}, record.UnknownValue, record.NullValue, record.OfBool(true), record.OfInt(-1),
		record.OfFloat(0.5), record.OfText("x"), record.OfTime(time.Unix(1, 2)), record.OfList([]record.Value{record.OfInt(1)})}))
	f.Fuzz(func(t *testing.T, data []byte) {
		vs, err := record.DecodeValues(data)
		if err != nil {
			return
		}
		again, err := record.DecodeValues(record.AppendValues(nil, vs))
		if err != nil || len(again) != len(vs) {
			t.Fatalf("%d values became %d (%v)", len(vs), len(again), err)
		}
		for i, v := range vs {
			if again[i] != v {
				t.Fatalf("%v became %v", v, again[i])
			}
			_, _, _ = v.String(), v.Any(), v.Items()
		}
	})
}

// FuzzUnmarshal: whatever JSON is read comes back the same when it was written.
func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{`null`, `1`, `1.50`, `1e400`, `"x"`, `[1,{"b":1,"a":2}]`, `{"$time":"2026-05-04T12:00:00Z"}`, `{"$absent":true}`, `{"$unknown":true}`, `{"$time":"soon"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v, again record.Value
		if json.Unmarshal(data, &v) != nil {
			return
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &again); err != nil || again != v {
			t.Fatalf("%s became %s, then %v (%v)", data, out, again, err)
		}
		if out2, _ := json.Marshal(again); !bytes.Equal(out, out2) {
			t.Fatalf("%s, then %s", out, out2)
		}
	})
}
