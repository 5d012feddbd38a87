package state

import (
	"slices"

	"github.com/fieldsync/fieldsync/engine/record"
)

// meantBlob stores what writes replaced unseen, under the names of its paths: rules may change before it is settled.
// Nearly all links have none.
func (b *book) meantBlob(ms []record.Meant) any {
	if len(ms) == 0 {
		return nil
	}
	var dst []byte
	for _, m := range ms {
		dst = appendText(append(dst, byte(m.Side)), b.paths[m.Side][m.Slot])
		dst = appendValues(dst, []record.Value{m.Value, m.Wrote, m.Stored, record.OfInt(nanos(m.At))})
		dst = appendText(dst, m.Author)
	}
	return dst
}

// meant reads it back; paths that the rules no longer name are left out.
func (b *book) meant(stored []byte) ([]record.Meant, error) {
	if stored == nil {
		return nil, nil
	}
	var out []record.Meant
	err := eachMeant(stored, func(path string, m record.Meant) {
		if m.Slot = slices.Index(b.paths[m.Side], path); m.Slot >= 0 {
			out = append(out, m)
		}
	})
	return out, err
}

func eachMeant(stored []byte, emit func(path string, m record.Meant)) error {
	r := reader{b: stored}
	for r.err == nil && len(r.b) > 0 {
		m := record.Meant{Side: record.Side(r.byte())}
		path, vs, author := r.text(), r.values(), r.text()
		if r.err != nil || m.Side > record.Right || len(vs) != 4 {
			return errDamagedBlob
		}
		m.Value, m.Wrote, m.Stored, m.At, m.Author = vs[0], vs[1], vs[2], instant(vs[3].Int()), author
		emit(path, m)
	}
	return r.err
}
