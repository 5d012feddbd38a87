package connectortest

import (
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

func editsFound(b *bench) {
	ch, ok := connectors.As[connectors.Chronicler](b.Collection)
	if !ok {
		b.Fatal("not a Chronicler")
	}
	key := b.fill(0, 1)[0]
	up := b.updater()
	write := func(text, version string) record.Record {
		b.Helper()
		r, err := up.Update(b.Context(), b.Paths, key, version, record.Fields{b.Text: record.OfText(text)})
		if err != nil {
			b.Fatal(err)
		}
		return own(r)
	}
	before := b.one(key)
	alone := write("the first of ours", before.Version)
	if ch.Overtaken(before.Version, alone.Version) {
		b.Errorf("one write from version %s to %s was taken for more", before.Version, alone.Version)
	}
	b.edit(key, record.Fields{b.Text: record.OfText("a person's")})
	b.settle()
	after := write("the second of ours", alone.Version)
	if !ch.Overtaken(alone.Version, after.Version) {
		b.Errorf("a person wrote between version %s and %s, and nobody says so", alone.Version, after.Version)
	}
	var got []connectors.Edit
	err := ch.Edits(b.Context(), key, []string{b.Text}, alone.Version, func(e connectors.Edit) error {
		if e.Path != b.Text {
			b.Errorf("an edit of %s, which was not asked for", e.Path)
		}
		if e.Own && e.New == record.OfText("a person's") {
			b.Errorf("the edit to %s by %q is said to be our own", e.New, e.Author)
		}
		got = append(got, e)
		return nil
	})
	if err != nil || len(got) < 2 {
		b.Fatalf("edits: %v, %v", got, err)
	}
	for i, want := range [][2]string{{"the first of ours", "a person's"}, {"a person's", "the second of ours"}} {
		if e := got[len(got)-2+i]; e.Old != record.OfText(want[0]) || e.New != record.OfText(want[1]) {
			b.Errorf("edit %d goes from %s to %s, want %v", i, e.Old, e.New, want)
		}
	}
}
