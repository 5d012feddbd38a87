package file

import (
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A decoder reads, edits and makes records of one format. It belongs to one goroutine.
type decoder interface {
	keyOf(piece) (string, error)
	show(piece) (record.Record, error) // valid until the next call
	edit(piece, record.Fields) ([]byte, error)
	create(key string, numeric bool, f record.Fields) ([]byte, error)
	reparse(raw []byte) (piece, error)
	numeric(piece) bool
}

// header makes the text of a record that its holder keeps longest, all of it in one allocation.
type header struct{ buf []byte }

func (h *header) of(raw []byte, key, label, author string) record.Record {
	h.buf = append(h.buf[:0], key...)
	h.buf = strconv.AppendUint(h.buf, xxhash.Sum64(raw), 16)
	v := len(h.buf)
	h.buf = append(append(h.buf, label...), author...)
	s := string(h.buf)
	k := len(key)
	return record.Record{Key: s[:k], Version: s[k:v], Label: s[v : v+len(label)], Author: s[v+len(label):]}
}

// version is what header.of puts into Version.
func version(raw []byte) string { return strconv.FormatUint(xxhash.Sum64(raw), 16) }
