package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

const (
	polled = 1024 // records between two looks at the context
	sifted = 8    // keys or values up to which raw records are searched before they are parsed
)

// A collection is one file.
type collection struct {
	File  // with an absolute path and every default filled in
	queue *queue

	mu      sync.Mutex
	columns []string                    // CSV, in the order of the header
	seen    map[string]connectors.Field // JSON, by path
}

// A pass is one reading of the file.
type pass struct {
	file *os.File
	info os.FileInfo
	src  source
	dec  decoder
	eol  string
}

func (c *collection) open(op string, paths []string) (*pass, error) {
	f, err := os.Open(c.Path)
	if err != nil {
		return nil, fail(op, c.Path, err)
	}
	p, err := c.prepare(f, paths)
	if err != nil {
		return nil, errors.Join(located(op, c.Path, err), f.Close())
	}
	return p, nil
}

func (c *collection) prepare(f *os.File, paths []string) (*pass, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	p := &pass{file: f, info: info, eol: "\n"}
	switch c.Format {
	case "csv":
		s, err := newTable(f, c.Separator[0])
		if err != nil {
			return nil, err
		}
		p.src, p.eol = s, s.eol
		p.dec, err = newCSVDecoder(c, s, paths)
		return p, err
	case "ndjson":
		p.src, err = newLines(f)
	default:
		p.src, err = newArray(f)
	}
	p.dec = newJSONDecoder(c, paths)
	return p, err
}

// located gives an error of a source or a decoder its operation.
func located(op, path string, err error) error {
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		if e.Op == "" {
			e.Op = op
		}
		return e
	}
	return fail(op, path, err)
}

// whole fails if the file was written to while it was read: what was seen may never have been there.
func (p *pass) whole(op string) error {
	now, err := p.file.Stat()
	if err != nil {
		return fail(op, p.file.Name(), err)
	}
	if now.Size() != p.info.Size() || !now.ModTime().Equal(p.info.ModTime()) {
		return &connectors.Error{Kind: connectors.ErrBusy, Op: op, Detail: "the file was written to while it was read", Hint: "have its writer make a new file and rename it"}
	}
	return nil
}

// Scan reads the file whole.
func (c *collection) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	op := "scan " + c.Name
	if q.Native != "" {
		return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "a file has no query language", Hint: "use where in place of query in the side"}
	}
	p, err := c.open(op, q.Paths)
	if err != nil {
		return connectors.Window{}, err
	}
	defer p.file.Close()
	var hashes []uint64
	for n := 0; ; n++ {
		if n%polled == 0 && ctx.Err() != nil {
			return connectors.Window{}, fmt.Errorf("%s: %w", op, ctx.Err())
		}
		at, err := p.src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return connectors.Window{}, located(op, c.Path, err)
		}
		r, err := p.dec.show(at)
		if err != nil {
			return connectors.Window{}, located(op, c.Path, err)
		}
		hashes = append(hashes, xxhash.Sum64String(r.Key))
		if err := emit(r); err != nil {
			return connectors.Window{}, err
		}
	}
	if err := p.whole(op); err != nil {
		return connectors.Window{}, err
	}
	return connectors.Window{}, c.unique(op, hashes)
}

// unique fails if two records have one key. Eight bytes a record are enough to suspect it; only then the file
// is read again to name the lines.
func (c *collection) unique(op string, hashes []uint64) error {
	slices.Sort(hashes)
	suspects := map[uint64]bool{}
	for i := 1; i < len(hashes); i++ {
		if hashes[i] == hashes[i-1] {
			suspects[hashes[i]] = true
		}
	}
	if len(suspects) == 0 {
		return nil
	}
	lines := map[string]int{}
	return c.pieces(op, func(p *pass, at piece) error {
		key, err := p.dec.keyOf(at)
		if err != nil || !suspects[xxhash.Sum64String(key)] {
			return err
		}
		if before, twice := lines[key]; twice {
			return twoLines(op, key, before, at.line)
		}
		lines[strings.Clone(key)] = at.line
		return nil
	})
}

func twoLines(op, key string, a, b int) error {
	return &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: fmt.Sprintf("lines %d and %d have the same key %q", a, b, key), Hint: "give each record a key of its own"}
}

// pieces hands every record over.
func (c *collection) pieces(op string, each func(*pass, piece) error) error {
	p, err := c.open(op, nil)
	if err != nil {
		return err
	}
	defer p.file.Close()
	for {
		at, err := p.src.next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = each(p, at)
		}
		if err != nil {
			return located(op, c.Path, err)
		}
	}
}

// Read goes through the file once for all keys.
func (c *collection) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	asked := make(map[string]bool, len(keys))
	for _, k := range keys {
		asked[k] = true
	}
	op := "read " + c.Name
	lines := map[string]int{}
	return c.sift(ctx, op, paths, keys, func(r record.Record, line int) (bool, error) {
		if !asked[r.Key] {
			return false, nil
		}
		if before, twice := lines[r.Key]; twice {
			return false, twoLines(op, r.Key, before, line)
		}
		lines[r.Key] = line
		return true, nil
	}, emit)
}

// Find goes through the file once for all values.
func (c *collection) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	op := "find " + c.Name
	slot := slices.Index(paths, path)
	if slot < 0 {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%q is searched and not asked for", path)}
	}
	asked := make(map[record.Value]bool, len(values))
	var texts []string
	for _, v := range values {
		if fit, err := c.typeOf(path).Coerce(v); err == nil {
			v = fit
		}
		if v.Known() && !v.Empty() && !asked[v] {
			asked[v] = true
			texts = append(texts, v.Text()) // a number has many spellings, so it is "" and nothing is passed over
		}
	}
	return c.sift(ctx, op, paths, texts, func(r record.Record, _ int) (bool, error) { return asked[r.Values[slot]], nil }, emit)
}

// sift emits the records that want says yes to. Each of them contains one of texts.
func (c *collection) sift(ctx context.Context, op string, paths, texts []string, want func(record.Record, int) (bool, error), emit func(record.Record) error) error {
	if len(texts) == 0 {
		return ctx.Err()
	}
	p, err := c.open(op, paths)
	if err != nil {
		return err
	}
	defer p.file.Close()
	sieve := newSieve(texts)
	for n := 0; ; n++ {
		if n%polled == 0 && ctx.Err() != nil {
			return fmt.Errorf("%s: %w", op, ctx.Err())
		}
		at, err := p.src.next()
		if err == io.EOF {
			return p.whole(op)
		}
		if err != nil {
			return located(op, c.Path, err)
		}
		if !sieve.mayHold(at.raw) {
			continue
		}
		r, err := p.dec.show(at)
		if err != nil {
			return located(op, c.Path, err)
		}
		yes, err := want(r, at.line)
		if err != nil {
			return err
		}
		if yes {
			if err := emit(r); err != nil {
				return err
			}
		}
	}
}

// A sieve passes records over without parsing them when none of a few texts is in their bytes. Where something
// is escaped, the bytes prove nothing.
type sieve [][]byte

func newSieve(texts []string) sieve {
	if len(texts) > sifted {
		return nil
	}
	var s sieve
	for _, t := range texts {
		if strings.ContainsAny(t, "\"\\\r\n\t") || t == "" {
			return nil
		}
		s = append(s, []byte(t))
	}
	return s
}

func (s sieve) mayHold(raw []byte) bool {
	if s == nil || bytes.IndexByte(raw, '\\') >= 0 {
		return true
	}
	for _, t := range s {
		if bytes.Contains(raw, t) {
			return true
		}
	}
	return false
}
