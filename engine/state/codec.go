package state

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// nanos stores a time; the zero time is 0. Times beyond what 64 bits hold become the last ones that fit: a
// tomb until the year 9999 stays a tomb.
func nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() > 2261:
		return math.MaxInt64
	case t.Year() < 1679:
		return math.MinInt64
	}
	return t.UnixNano()
}

func instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// sortable maps hashes to integers whose signed order is the hashes' unsigned order, and back.
func sortable(hash uint64) int64     { return int64(hash ^ 1<<63) }
func unsortable(stored int64) uint64 { return uint64(stored) ^ 1<<63 }

// values stores vs; nil stays nil, which SQL keeps as NULL.
func values(vs []record.Value) []byte {
	if vs == nil {
		return nil
	}
	return record.AppendValues(nil, vs)
}

// fields stores f in the order of its paths.
func fields(f record.Fields) []byte {
	if f == nil {
		return nil
	}
	paths := make([]string, 0, len(f))
	for p := range f {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	vs := make([]record.Value, len(paths))
	dst := binary.AppendUvarint(nil, uint64(len(paths)))
	for i, p := range paths {
		dst = appendText(dst, p)
		vs[i] = f[p]
	}
	return appendValues(dst, vs)
}

func readFields(b []byte) (record.Fields, error) {
	if b == nil {
		return nil, nil
	}
	r := reader{b: b}
	paths := make([]string, r.size())
	for i := range paths {
		paths[i] = r.text()
	}
	vs := r.values()
	if err := r.end(); err != nil {
		return nil, err
	}
	if len(vs) != len(paths) {
		return nil, errDamagedBlob
	}
	f := make(record.Fields, len(paths))
	for i, p := range paths {
		f[p] = vs[i]
	}
	return f, nil
}

// pair stores the values that a rule showed on both sides.
func pair(p [2][]record.Value) []byte { return appendValues(appendValues(nil, p[0]), p[1]) }

func readPair(b []byte) ([2][]record.Value, error) {
	r := reader{b: b}
	p := [2][]record.Value{r.values(), r.values()}
	return p, r.end()
}

func choice(c *reconcile.Choice) []byte {
	if c == nil {
		return nil
	}
	dst := appendText([]byte{byte(c.Side)}, c.By)
	return appendValues(appendValues(dst, c.Seen[0]), c.Seen[1])
}

func readChoice(b []byte) (*reconcile.Choice, error) {
	if b == nil {
		return nil, nil
	}
	r := reader{b: b}
	c := &reconcile.Choice{Side: record.Side(r.byte()), By: r.text(), Seen: [2][]record.Value{r.values(), r.values()}}
	return c, r.end()
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendValues appends vs after their length, so that something can follow. nil is a length of 0.
func appendValues(dst []byte, vs []record.Value) []byte {
	enc := values(vs)
	return append(binary.AppendUvarint(dst, uint64(len(enc))), enc...)
}

var errDamagedBlob = errors.New("stored data is damaged")

// A reader takes a blob apart. After the first thing that does not fit everything is zero and end says so.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	r.b, r.err = nil, errDamagedBlob
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail()
	}
	return r.err
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	x := r.b[0]
	r.b = r.b[1:]
	return x
}

func (r *reader) uint() uint64 {
	x, w := binary.Uvarint(r.b)
	if w <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[w:]
	return x
}

func (r *reader) int() int64 {
	x, w := binary.Varint(r.b)
	if w <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[w:]
	return x
}

func (r *reader) fixed() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	x := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return x
}

// size reads a count of things that take at least a byte each, so that damage cannot ask for all memory.
func (r *reader) size() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte {
	n := r.size()
	x := r.b[:n]
	r.b = r.b[n:]
	return x
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) values() []record.Value {
	b := r.bytes()
	if len(b) == 0 {
		return nil
	}
	vs, err := record.DecodeValues(b)
	if err != nil {
		r.fail()
	}
	return vs
}
