package reconcile_test

import (
	"fmt"
	"testing"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// BenchmarkDecide decides and settles a link with eight two-way rules.
func BenchmarkDecide(b *testing.B) {
	const n = 8
	r := newRules()
	in := linked("", "", "", "")
	for s := range r.Sides {
		r.Sides[s].Paths = nil
		for i := range n {
			v := record.OfText(fmt.Sprintf("some text of an ordinary length, number %d", i))
			r.Sides[s].Paths = append(r.Sides[s].Paths, fmt.Sprint("p", i))
			in.Link.Base[s] = append(in.Link.Base[s], v)
			in.Record[s].Values = append(in.Record[s].Values, v)
		}
	}
	for i := range n {
		r.Fields = append(r.Fields, twoWay(fmt.Sprint("f", i), i, i))
	}
	b.Run("quiet", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if d := reconcile.Decide(r, in); !d.Quiet() {
				b.Fatal("not quiet")
			}
		}
	})
	in.Record[0].Values[3] = record.OfText("edited")
	b.Run("one edit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if d := reconcile.Decide(r, in); len(d.Sets[1]) != 1 {
				b.Fatal("no write")
			}
		}
	})
	b.Run("settle", func(b *testing.B) {
		b.ReportAllocs()
		d := reconcile.Decide(r, in)
		stored := apply(r, in, d)
		for b.Loop() {
			if l := reconcile.Settle(r, in, d, stored, [2]bool{}); l.Status != record.Live {
				b.Fatal("not live")
			}
		}
	})
}
