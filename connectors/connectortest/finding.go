package connectortest

import (
	"errors"
	"maps"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// specials are markers that query languages like to misread. Each has a decoy that a careless query finds in
// its place; no marker of the list is a decoy of another.
var specials = []struct{ marker, decoy string }{
	{"caret^and", "caret"},
	{"x^ORmarker=y", "y"},
	{"one,two", "two"},
	{"it's", "its"},
	{`say "hi"`, "say hi"},
	{"100%", "100 times"},
	{"a_c", "abc"},
	{`back\slash`, "backslash"},
	{"a&b=c", "a"},
	{"a+b", "a b"},
	{"#hash?mark", "hash"},
	{"semi;colon--", "semi"},
	{"(round) [square] {curly}", "round"},
	{"javascript:gs.nil()", "javascript"},
	{"two\nlines", "two lines"},
	{"grüße 日本 🚒", "grusse"},
	{"MixedCase", "mixedcase"},
	{"42", "042"},
	{"7", "7.0"},
}

// finder is the collection as one that can be searched.
func (b *bench) finder() connectors.Finder {
	b.Helper()
	f, ok := connectors.As[connectors.Finder](b.Collection)
	if !ok {
		b.Fatal("not a Finder")
	}
	return f
}

func findSome(b *bench) {
	keys := b.fill(0, 6)
	got := b.find(b.Sample(1)[b.Marker], record.OfText("nobody-has-this"), b.Sample(4)[b.Marker])
	if len(got) != 2 {
		b.Errorf("delivered %v, want %v", names(got), []string{keys[1], keys[4]})
	}
	for _, i := range []int{1, 4} {
		if r, ok := got[keys[i]]; ok {
			b.holds("find", r, b.Sample(i))
		} else {
			b.Errorf("record %s was not delivered", keys[i])
		}
	}
	if got := b.find(record.OfText("nobody-has-this")); len(got) != 0 {
		b.Errorf("a value that nobody has delivered %v", names(got))
	}
}

func findNone(b *bench) {
	b.fill(0, 2)
	if got := b.find(); len(got) != 0 {
		b.Errorf("no values delivered %v", names(got))
	}
}

func findSeveral(b *bench) {
	marker := b.Sample(0)[b.Marker]
	twin := b.Sample(1)
	twin[b.Marker] = marker
	want := []string{b.add(b.Sample(0)), b.add(twin)}
	b.add(b.Sample(2))
	got := b.find(marker)
	if len(got) != 2 || got[want[0]].Key == "" || got[want[1]].Key == "" {
		b.Errorf("delivered %v, want %v", names(got), want)
	}
}

func findMany(b *bench) {
	keys := b.fill(0, 40)
	var values []record.Value
	for i := range 300 {
		values = append(values, b.Sample(i)[b.Marker])
	}
	got := b.find(values...)
	if len(got) != len(keys) {
		b.Errorf("%d records were delivered, want %d", len(got), len(keys))
	}
}

func findSpecial(b *bench) {
	added := map[string]string{} // key by marker as stored
	for i, s := range specials {
		for j, text := range []string{s.marker, s.decoy} {
			f := b.Sample(2*i + j)
			f[b.Marker] = record.OfText(text)
			key := b.add(f)
			stored := b.one(key).Values[b.slot(b.Marker)]
			if stored.Text() != text {
				b.Logf("the marker %q is stored as %s", text, stored)
			}
			if j == 0 && stored.Text() != "" {
				added[stored.Text()] = key
			}
		}
	}
	for marker, key := range added {
		got := b.find(record.OfText(marker))
		if len(got) != 1 || got[key].Key == "" {
			b.Errorf("marker %q delivered %v, want record %s alone", marker, names(got), key)
		}
	}
	var all []record.Value
	for marker := range maps.Keys(added) {
		all = append(all, record.OfText(marker))
	}
	if got := b.find(all...); len(got) != len(added) {
		b.Errorf("all special markers at once deliver %d records, want %d", len(got), len(added))
	}
}

func findNoPath(b *bench) {
	b.fill(0, 2)
	f := b.finder()
	n := 0
	err := f.Find(b.Context(), []string{noPath}, noPath, []record.Value{record.OfText("x")}, func(record.Record) error { n++; return nil })
	if n != 0 {
		b.Errorf("%d records were delivered", n)
	}
	if err != nil && !errors.Is(err, connectors.ErrConfig) {
		b.Errorf("the error is %v, want one of kind ErrConfig", err)
	}
}
