package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A pair that agrees is decided once: what is to be remembered of it goes into the spool whole, so that carrying
// out reads it back in one sweep and need not gather its records again. On the first contact of a million
// pairs that is nearly everything there is.

// quietMark is the first byte of such an entry. Other entries are JSON, which begins with a brace.
const quietMark = 1

// appendQuiet encodes a fold that stores a link and fingerprints and closes nothing else.
func appendQuiet(dst []byte, f *Fold) []byte {
	dst = append(dst, quietMark, byte(f.Link.Status))
	dst = binary.AppendVarint(dst, f.Link.ID)
	for _, s := range record.Sides {
		for _, t := range []string{f.Link.Key[s], f.Link.Label[s], f.Link.Version[s]} {
			dst = binary.AppendUvarint(dst, uint64(len(t)))
			dst = append(dst, t...)
		}
		for _, vs := range [][]record.Value{f.Link.Base[s], f.Link.Sent[s], f.Link.Now[s]} {
			if vs == nil {
				dst = binary.AppendUvarint(dst, 0)
				continue
			}
			body := record.AppendValues(nil, vs)
			dst = binary.AppendUvarint(dst, uint64(len(body)))
			dst = append(dst, body...)
		}
		if f.Prints[s] == nil {
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, 1)
		dst = binary.LittleEndian.AppendUint64(dst, f.Prints[s].Hash)
		dst = binary.LittleEndian.AppendUint64(dst, f.Prints[s].Print)
	}
	return dst
}

// bareMark is the first byte of a unit that is a link and at most one action on its records.
const bareMark = 2

// encode writes a unit down. Nearly all are bare, and what is shown of their actions is read by nobody who carries them
// out: it stays as it is, at the end.
func (u *unit) encode() ([]byte, error) {
	var action *plan.Action
	if u.Item != nil {
		action = u.Item.Action
	}
	if u.Threads != nil || u.Files != nil || u.Beside != nil || u.Item != nil && action == nil ||
		action != nil && (action.Kind == plan.Comment || action.Kind == plan.Attachment) {
		return json.Marshal(u)
	}
	dst := append(make([]byte, 0, 64), bareMark)
	for _, flag := range []bool{u.Lead, u.Only, u.Unseen[0], u.Unseen[1], u.Past, action != nil} {
		bit := byte(0)
		if flag {
			bit = 1
		}
		dst = append(dst, bit)
	}
	dst = binary.AppendVarint(dst, u.Link)
	for _, key := range u.Keys {
		dst = append(binary.AppendUvarint(dst, uint64(len(key))), key...)
	}
	if action == nil {
		return dst, nil
	}
	body, err := json.Marshal(action)
	return slices.Concat(dst, []byte(digestOf(body)), body), err
}

// readBare decodes a bare unit.
func readBare(src []byte) (unit, error) {
	var u unit
	r := quietReader{src: src}
	r.take(1)
	acts := false
	for _, flag := range []*bool{&u.Lead, &u.Only, &u.Unseen[0], &u.Unseen[1], &u.Past, &acts} {
		*flag = r.take(1)[0] == 1
	}
	u.Link = r.varint()
	u.Keys = [2]string{string(r.sized()), string(r.sized())}
	if acts {
		u.digest = string(r.take(24))
		u.act = r.take(len(r.src))
	}
	if len(r.src) > 0 {
		r.err = errSpool
	}
	return u, r.err
}

// item is what is shown of a unit.
func (u *unit) item() (plan.Item, error) {
	if u.act == nil {
		return *u.Item, nil
	}
	var a plan.Action
	if err := json.Unmarshal(u.act, &a); err != nil {
		return plan.Item{}, fmt.Errorf("read back the plan: %w", err)
	}
	return plan.Item{Action: &a}, nil
}

var errSpool = errors.New("the run's own data was damaged")

// readQuiet decodes what appendQuiet wrote.
func readQuiet(src []byte) (Fold, error) {
	r := quietReader{src: src}
	f := Fold{Decided: true, Link: &record.Link{}}
	r.take(1)
	f.Link.Status = record.Status(r.take(1)[0])
	f.Link.ID = r.varint()
	for _, s := range record.Sides {
		f.Link.Key[s], f.Link.Label[s], f.Link.Version[s] = string(r.sized()), string(r.sized()), string(r.sized())
		f.Link.Base[s], f.Link.Sent[s], f.Link.Now[s] = r.values(), r.values(), r.values()
		if r.take(1)[0] == 1 {
			b := r.take(16)
			f.Prints[s] = &Print{Hash: binary.LittleEndian.Uint64(b), Print: binary.LittleEndian.Uint64(b[8:])}
		}
	}
	f.Keys = f.Link.Key
	if len(r.src) > 0 {
		r.err = errSpool
	}
	return f, r.err
}

// A quietReader reads on after an error, from zeros.
type quietReader struct {
	src []byte
	err error
}

func (r *quietReader) take(n int) []byte {
	if n < 0 || n > len(r.src) {
		r.err, r.src = errSpool, nil
		return make([]byte, min(max(n, 1), 16))
	}
	b := r.src[:n]
	r.src = r.src[n:]
	return b
}

func (r *quietReader) varint() int64 {
	v, n := binary.Varint(r.src)
	r.take(n)
	return v
}

func (r *quietReader) sized() []byte {
	v, n := binary.Uvarint(r.src)
	r.take(n)
	if v > uint64(len(r.src)) {
		r.err = errSpool
		return nil
	}
	return r.take(int(v))
}

func (r *quietReader) values() []record.Value {
	body := r.sized()
	if len(body) == 0 {
		return nil
	}
	vs, err := record.DecodeValues(body)
	if err != nil {
		r.err = err
	}
	return vs
}
