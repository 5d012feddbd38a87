package state

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// A table is a part of what is remembered, under the same name in both kinds of database.
type table struct {
	name    string
	columns []string
	// numbered tables have an id, and the next one is more than the largest ever: see numbers.
	numbered bool
}

// contents is all that a state remembers, in an order in which it can be stored. Of a lease only the fence is memory: who
// has it now is not.
var contents = []table{
	{"sync", cols("id name live held detached"), false},
	{"shape", cols("id sync side paths"), false},
	{"lease", cols("sync fence"), false},
	{"link", cols(`id sync status key_left key_right was_left was_right label_left label_right version_left version_right shape_left shape_right
		base_left base_right sent_left sent_right now_left now_right ended meant`), true},
	{"print", cols("sync side hash print"), false},
	{"cursor", cols("sync side since rules endpoint at full_scan count measured clock_offset clock_error system zone newest audit"), false},
	{"origin", cols("link side path rule run at author"), false},
	{"history", cols("id sync link side key path value replaced_by rule run at author cause who"), true},
	{"waiting", cols("id sync conflict link key_left key_right field since tries next choice seen shown body kind side entry"), false},
	{"intent", cols("id sync link kind side key twin marker version expected source new at run by"), true},
	{"tomb", cols("sync side key link until reason"), false},
	{"run", cols("id sync good body started"), true},
	{"used_plan", cols("digest at"), false},
	{"approval", cols("sync digest by at until"), false},
	{"thread", cols("id sync link side own copy hash at run source"), false},
	{"attachment", cols("id sync link side own hash size copy refused at run"), false},
	{"listened", cols("sync side kind path rules since at link"), false},
	{"pause", cols("sync by at why"), false},
	{"told", cols("sync side key mark at tries next"), false},
	{"slip", cols("name body until"), false},
	{"act", cols("id at by action subject why"), false},
}

func cols(list string) []string { return strings.Fields(list) }

// each hands all rows of a table to f, in no order.
func (t *table) each(c *conn, f func(row) error) error {
	return c.each("SELECT "+strings.Join(t.columns, ", ")+" FROM "+t.name, f)
}

// A sum is a digest of rows that does not depend on their order: the databases sort some text differently.
type sum struct {
	lanes [4]uint64
	rows  int64
	buf   []byte
}

func (s *sum) add(table string, r row) {
	b := appendText(s.buf[:0], table)
	for _, v := range r {
		switch v := v.(type) {
		case nil:
			b = append(b, 'n')
		case int64:
			b = binary.AppendVarint(append(b, 'i'), v)
		case string:
			b = appendText(append(b, 't'), v)
		case []byte:
			b = appendText(append(b, 'b'), string(v))
		}
	}
	s.buf = b
	h := sha256.Sum256(b)
	for i := range s.lanes {
		s.lanes[i] += binary.LittleEndian.Uint64(h[8*i:])
	}
	s.rows++
}

func (s *sum) String() string {
	var b []byte
	for _, l := range s.lanes {
		b = binary.LittleEndian.AppendUint64(b, l)
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// counters adds the largest numbers that were ever given out.
func (s *sum) counters(c *conn) (map[string]int64, error) {
	last := map[string]int64{}
	for _, t := range contents {
		if !t.numbered {
			continue
		}
		n, err := c.last(t.name)
		if err != nil {
			return nil, err
		}
		last[t.name] = n
		s.add("numbers of "+t.name, row{driver.Value(n)})
	}
	return last, nil
}

// Digest is of all that is remembered: two states with the same one are the same, wherever they are.
func (s *Store) Digest(ctx context.Context) (string, error) {
	var all sum
	err := s.readAll(ctx, func(c *conn) error { return all.read(c) })
	if err != nil {
		return "", fmt.Errorf("digest of the state: %w", err)
	}
	return all.String(), nil
}

// read starts anew and sums everything up.
func (s *sum) read(c *conn) error {
	*s = sum{buf: s.buf}
	for _, t := range contents {
		if err := t.each(c, func(r row) error { s.add(t.name, r); return nil }); err != nil {
			return err
		}
	}
	_, err := s.counters(c)
	return err
}
