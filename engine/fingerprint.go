package engine

import (
	"context"
	"sort"

	"github.com/cespare/xxhash/v2"

	"github.com/fieldsync/fieldsync/engine/record"
)

// keyHash is what a record's fingerprint is stored under. Two keys of one side with the same hash (about one
// chance in ten million at a million records) look like a record that keeps changing: they are decided again
// in every full scan, and nothing is lost.
func keyHash(key string) uint64 {
	if h := xxhash.Sum64String(key); h != 0 {
		return h
	}
	return 1 // 0 means none
}

// A printer makes fingerprints of records under one set of rules. Rules are part of it, so that an edited
// rule makes every record look moved once and the ordinary way decides them again.
type printer struct {
	seed string
	buf  []byte
}

func newPrinter(digest string) *printer { return &printer{seed: digest} }

func (p *printer) print(values []record.Value) uint64 {
	p.buf = append(p.buf[:0], p.seed...)
	p.buf = record.AppendValues(p.buf, values)
	return xxhash.Sum64(p.buf)
}

func (p *printer) of(key string, values []record.Value) Print {
	return Print{Hash: keyHash(key), Print: p.print(values)}
}

// A printTable is one side's stored fingerprints, 16 bytes and a bit each, sorted by hash.
type printTable struct {
	hashes, prints []uint64
	seen           []uint64 // bitset
}

// newPrintTable makes room for about n entries.
func newPrintTable(n int64) *printTable {
	return &printTable{hashes: make([]uint64, 0, n), prints: make([]uint64, 0, n)}
}

func (t *printTable) add(p Print) {
	t.hashes = append(t.hashes, p.Hash)
	t.prints = append(t.prints, p.Print)
}

func (t *printTable) sealed() *printTable {
	t.seen = make([]uint64, len(t.hashes)/64+1)
	return t
}

// find looks for hash, starting where an even spread of hashes puts it: a few probes at any size.
func (t *printTable) find(hash uint64) (int, bool) {
	lo, hi := 0, len(t.hashes)
	for n := 0; hi-lo > 8 && n < 4; n++ {
		first, last := t.hashes[lo], t.hashes[hi-1]
		if hash < first || hash > last {
			return 0, false
		}
		if last == first {
			break
		}
		at := lo + int(float64(hash-first)/float64(last-first)*float64(hi-1-lo))
		at = min(max(at, lo), hi-1)
		switch {
		case t.hashes[at] == hash:
			return at, true
		case t.hashes[at] < hash:
			lo = at + 1
		default:
			hi = at
		}
	}
	i := lo + sort.Search(hi-lo, func(i int) bool { return t.hashes[lo+i] >= hash })
	return i, i < len(t.hashes) && t.hashes[i] == hash
}

// see marks entry i and reports whether it was marked before.
func (t *printTable) see(i int) bool {
	bit := uint64(1) << (i % 64)
	was := t.seen[i/64]&bit != 0
	t.seen[i/64] |= bit
	return was
}

// unseen reports whether hash is stored and was not seen by the scan.
func (t *printTable) unseen(hash uint64) bool {
	i, ok := t.find(hash)
	return ok && t.seen[i/64]&(1<<(i%64)) == 0
}

// eachUnseen calls f for every hash that the scan did not see.
func (t *printTable) eachUnseen(f func(hash uint64) error) error {
	for i, h := range t.hashes {
		if t.seen[i/64]&(1<<(i%64)) == 0 {
			if err := f(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// settled are the fingerprints that are stored under these hashes.
func (r *Run) settled(ctx context.Context, s record.Side, hashes []uint64) (map[uint64]Print, error) {
	stored := make(map[uint64]Print, len(hashes))
	err := r.book.PrintsOf(ctx, s, hashes, func(p Print) error { stored[p.Hash] = p; return nil })
	return stored, err
}

func hashesOf(keys []string) []uint64 {
	hashes := make([]uint64, len(keys))
	for i, key := range keys {
		hashes[i] = keyHash(key)
	}
	return hashes
}
