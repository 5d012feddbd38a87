package record_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine/record"
)

func TestCoerce(t *testing.T) {
	noon := record.OfTime(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))
	typ := func(k record.Kind) record.Type { return record.Type{Kind: k} }
	snow := record.Type{Kind: record.Text, Layout: time.DateTime}
	text := record.OfText
	tests := []struct {
		name string
		t    record.Type
		in   record.Value
		want record.Value
		bad  bool
	}{
		{name: "a loose layout writes times", t: record.Type{Kind: record.Text, Layout: time.DateTime, Loose: true}, in: noon, want: text("2026-05-04 12:00:00")},
		{name: "a loose layout leaves text that looks like a time", t: record.Type{Kind: record.Text, Layout: time.DateTime, Loose: true}, in: text("2026-05-04"), want: text("2026-05-04")},
		{name: "anything takes all", in: record.OfInt(1), want: record.OfInt(1)},
		{name: "null stays null", t: typ(record.Int), in: record.NullValue, want: record.NullValue},
		{name: "unknown stays unknown", t: typ(record.Text), in: record.UnknownValue, want: record.UnknownValue},
		{name: "absent stays absent", t: typ(record.Text), in: record.Value{}, want: record.Value{}},
		{name: "a number on a text path", t: typ(record.Text), in: record.OfInt(1), want: text("1")},
		{name: "a float on a text path", t: typ(record.Text), in: record.OfFloat(1.5), want: text("1.5")},
		{name: "a bool on a text path", t: typ(record.Text), in: record.OfBool(true), want: text("true")},
		{name: "a list on a text path", t: typ(record.Text), in: record.OfList([]record.Value{record.OfInt(1)}), want: text("[1]")},
		{name: "a time on a text path", t: typ(record.Text), in: noon, want: text("2026-05-04T12:00:00Z")},
		{name: "a time on a text path with a layout", t: snow, in: noon, want: text("2026-05-04 12:00:00")},
		{name: "text of a time gets the layout", t: snow, in: text("2026-05-04T14:00:00+02:00"), want: text("2026-05-04 12:00:00")},
		{name: "other text stays on a path with a layout", t: snow, in: text("soon"), want: text("soon")},
		{name: "empty text stays on a path with a layout", t: snow, in: text(""), want: text("")},
		{name: "text on a number path", t: typ(record.Int), in: text(" 1 "), want: record.OfInt(1)},
		{name: "empty text on a number path", t: typ(record.Int), in: text(" "), want: record.NullValue},
		{name: "a bool on a number path", t: typ(record.Int), in: record.OfBool(true), want: record.OfInt(1)},
		{name: "a fraction on an int path", t: typ(record.Int), in: record.OfFloat(1.5), bad: true},
		{name: "text of a fraction on an int path", t: typ(record.Int), in: text("1.5"), bad: true},
		{name: "text of a fraction on a float path", t: typ(record.Float), in: text("1.5"), want: record.OfFloat(1.5)},
		{name: "an int on a float path", t: typ(record.Float), in: record.OfInt(1), want: record.OfInt(1)},
		{name: "words on a number path", t: typ(record.Float), in: text("one"), bad: true},
		{name: "text on a bool path", t: typ(record.Bool), in: text("True"), want: record.OfBool(true)},
		{name: "zero on a bool path", t: typ(record.Bool), in: record.OfInt(0), want: record.OfBool(false)},
		{name: "two on a bool path", t: typ(record.Bool), in: record.OfInt(2), bad: true},
		{name: "minus one on a bool path", t: typ(record.Bool), in: record.OfInt(-1), bad: true},
		{name: "words on a bool path", t: typ(record.Bool), in: text("perhaps"), bad: true},
		{name: "text on a time path", t: typ(record.Time), in: text("2026-05-04 12:00:00"), want: noon},
		{name: "a day on a time path", t: typ(record.Time), in: text("2026-05-04"), want: record.OfTime(time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC))},
		{name: "empty text on a time path", t: typ(record.Time), in: text(""), want: record.NullValue},
		{name: "words on a time path", t: typ(record.Time), in: text("soon"), bad: true},
		{name: "a year beyond the range on a time path", t: typ(record.Time), in: text("2400-01-01"), bad: true},
		{name: "a number on a time path", t: typ(record.Time), in: record.OfInt(1), bad: true},
		{name: "one element on a list path", t: typ(record.List), in: text("a"), want: record.OfList([]record.Value{text("a")})},
		{name: "text on an object path", t: typ(record.Object), in: text("{}"), bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.t.Coerce(tt.in)
			if (err != nil) != tt.bad || !tt.bad && got != tt.want {
				t.Errorf("got %v %v (%v), want %v", got.Kind(), got, err, tt.want)
			}
		})
	}
}

func TestCoercingTwiceChangesNothingMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := record.Type{Kind: record.Kind(rapid.IntRange(int(record.Null)+1, int(record.Object)).Draw(t, "kind"))}
		if typ.Kind == record.Text && rapid.Bool().Draw(t, "with a layout") {
			typ.Layout = time.DateTime
		}
		once, err := typ.Coerce(anyValue().Draw(t, "value"))
		if err != nil {
			return
		}
		if twice, err := typ.Coerce(once); err != nil || twice != once {
			t.Fatalf("%v, then %v (%v)", once, twice, err)
		}
	})
}
