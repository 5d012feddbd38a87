package file

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

type verb uint8

const (
	create verb = iota
	update
	remove
)

var verbs = [...]string{"create in ", "update ", "delete "}

// A change is one write that waits for a rewrite of its file.
type change struct {
	in           *collection
	verb         verb
	key, version string
	fields       record.Fields

	raw     []byte   // the record afterwards
	columns []string // CSV: the header it was written under
	err     error
	done    chan struct{}
}

func (ch *change) op() string {
	if ch.verb == create {
		return verbs[create] + ch.in.Name
	}
	return verbs[ch.verb] + ch.in.Name + " " + ch.key
}

func (ch *change) fail(kind error, detail, hint string, fields ...string) {
	ch.err = &connectors.Error{Kind: kind, Op: ch.op(), Detail: detail, Hint: hint, Fields: fields}
}

// A queue gathers the changes of one file while it is being rewritten, so that a thousand of them need far fewer
// than a thousand rewrites.
type queue struct {
	mu      sync.Mutex
	waiting []*change
	working bool
	pause   func() // before the last look at the file; nil but in tests
}

// Create adds a record at the end. Without a key among f, it gets the next number of the file's keys.
func (c *collection) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	return c.submit(ctx, paths, &change{verb: create, key: f[c.Key].Plain(), fields: f})
}

// Update changes a record if version is "" or that of its bytes.
func (c *collection) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	return c.submit(ctx, paths, &change{verb: update, key: key, version: version, fields: f})
}

// Delete removes a record if version is "" or that of its bytes.
func (c *collection) Delete(ctx context.Context, key, version string) error {
	_, err := c.submit(ctx, nil, &change{verb: remove, key: key, version: version})
	return err
}

func (c *collection) submit(ctx context.Context, paths []string, ch *change) (record.Record, error) {
	ch.in, ch.done = c, make(chan struct{})
	if err := ctx.Err(); err != nil {
		return record.Record{}, fmt.Errorf("%s: %w", ch.op(), err)
	}
	if _, err := c.decoder(c.columns, paths); err != nil {
		return record.Record{}, located(ch.op(), c.Path, err) // now, before anything is written
	}
	q := c.queue
	q.mu.Lock()
	q.waiting = append(q.waiting, ch)
	if !q.working {
		q.working = true
		go q.work()
	}
	q.mu.Unlock()
	select {
	case <-ch.done:
	case <-ctx.Done():
		if q.withdraw(ch) {
			return record.Record{}, fmt.Errorf("%s: %w", ch.op(), ctx.Err())
		}
		<-ch.done // it is being written; its outcome is known in a moment
	}
	if ch.err != nil || ch.verb == remove {
		return record.Record{}, ch.err
	}
	r, err := ch.result(paths)
	if err != nil {
		return record.Record{}, &connectors.Error{Kind: connectors.ErrOutcome, Op: ch.op(), Detail: "written, but not understood afterwards: " + err.Error(), Err: err}
	}
	return r, nil
}

// result decodes what was written.
func (ch *change) result(paths []string) (record.Record, error) {
	dec, err := ch.in.decoder(ch.columns, paths)
	if err != nil {
		return record.Record{}, err
	}
	p, err := dec.reparse(ch.raw)
	if err != nil {
		return record.Record{}, err
	}
	return dec.show(p)
}

// decoder makes one that reads single records.
func (c *collection) decoder(columns, paths []string) (decoder, error) {
	if c.Format == "csv" {
		return newCSVDecoder(c, &table{sep: c.Separator[0], columns: columns}, paths)
	}
	return newJSONDecoder(c, paths), nil
}

func (q *queue) withdraw(ch *change) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, ch)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	return i >= 0
}

// work rewrites until nothing waits. It is not bound to a caller's context: it works for all of them.
func (q *queue) work() {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.working = false
			q.mu.Unlock()
			return
		}
		var batch, later []*change
		for _, ch := range q.waiting {
			if ch.in == q.waiting[0].in {
				batch = append(batch, ch)
			} else {
				later = append(later, ch)
			}
		}
		q.waiting = later
		q.mu.Unlock()
		batch[0].in.rewrite(batch)
		for _, ch := range batch {
			close(ch.done)
		}
	}
}

// errMoved says that somebody replaced or wrote the file while it was being rewritten.
var errMoved = errors.New("the file was changed by another program")

// rewrite carries out a batch. Each change gets its result or error.
func (c *collection) rewrite(batch []*change) {
	var err error
	for range 5 {
		for _, ch := range batch {
			ch.raw, ch.err = nil, nil
		}
		if err = c.attempt(batch); !errors.Is(err, errMoved) {
			break
		}
	}
	for _, ch := range batch {
		switch {
		case errors.Is(err, errMoved):
			ch.fail(connectors.ErrBusy, err.Error()+" again and again", "it is tried again")
		case err != nil && ch.err == nil:
			// The error is shared, so each change gets one with its own operation.
			e, ok := errors.AsType[*connectors.Error](located("", c.Path, err))
			if !ok {
				e = &connectors.Error{Kind: connectors.ErrProtocol, Err: err}
			}
			own := *e
			own.Op = ch.op()
			ch.err = &own
		case err == nil && ch.err == nil:
			c.wrote(ch.fields)
		}
	}
}

// attempt streams the file into a new one beside it and renames that into place.
func (c *collection) attempt(batch []*change) (err error) {
	p, err := c.open("", nil)
	if err != nil {
		return err
	}
	defer p.file.Close()
	tmp, err := os.CreateTemp(filepath.Dir(c.Path), "."+filepath.Base(c.Path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if tmp != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	w := &writer{Writer: bufio.NewWriterSize(tmp, 1<<20), json: c.Format == "json", eol: p.eol}
	changed, err := c.stream(p, w, batch)
	if err != nil || !changed {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := tmp.Chmod(p.info.Mode().Perm()); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if c.queue.pause != nil {
		c.queue.pause()
	}
	now, err := os.Stat(c.Path)
	if err != nil {
		return err
	}
	if !os.SameFile(now, p.info) || now.Size() != p.info.Size() || !now.ModTime().Equal(p.info.ModTime()) {
		return errMoved
	}
	if err := os.Rename(tmp.Name(), c.Path); err != nil {
		return err
	}
	tmp = nil
	return syncDir(filepath.Dir(c.Path))
}

// syncDir makes a rename durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return &connectors.Error{Kind: connectors.ErrOutcome, Detail: err.Error(), Err: err}
	}
	return nil
}

// A writer puts pieces together again.
type writer struct {
	*bufio.Writer
	json  bool
	eol   string
	count int
	lead  []byte // of the newest piece
}

// put relies on bufio keeping the first error until Flush.
func (w *writer) put(lead, raw []byte) {
	if w.json && w.count > 0 {
		_ = w.WriteByte(',')
	}
	w.count++
	_, _ = w.Write(lead)
	_, _ = w.Write(raw)
	if !w.json {
		_, _ = w.WriteString(w.eol)
	}
}

// stream copies p to w with the batch carried out. false: it changes nothing.
func (c *collection) stream(p *pass, w *writer, batch []*change) (changed bool, err error) {
	byKey := map[string][]*change{}
	given := map[string]*change{}
	var creates []*change
	var texts []string
	for _, ch := range batch {
		switch {
		case ch.verb != create:
			byKey[ch.key] = append(byKey[ch.key], ch)
			texts = append(texts, ch.key)
			continue
		case ch.key != "" && given[ch.key] != nil:
			ch.taken()
			continue
		case ch.key != "":
			given[ch.key] = ch
		}
		creates = append(creates, ch)
	}
	if s, ok := p.src.(*table); ok {
		for _, ch := range batch {
			ch.columns = s.columns
		}
	}
	sieve := newSieve(texts)
	lines := map[string]int{}
	var keys numbering
	_, _ = w.Write(p.src.head())
	for {
		at, err := p.src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
		w.lead = append(w.lead[:0], at.lead...)
		if len(creates) == 0 && !sieve.mayHold(at.raw) {
			w.put(at.lead, at.raw)
			continue
		}
		key, err := p.dec.keyOf(at)
		if err != nil {
			return false, err
		}
		keys.numeric = len(creates) > 0 && p.dec.numeric(at)
		if len(creates) > 0 {
			// numeric parsed the record again, and key pointed into what it replaced.
			if key, err = p.dec.keyOf(at); err != nil {
				return false, err
			}
			keys.seen(key)
		}
		if ch := given[key]; ch != nil {
			ch.taken()
		}
		mine := byKey[key]
		if len(mine) == 0 {
			w.put(at.lead, at.raw)
			continue
		}
		key = mine[0].key
		if before, twice := lines[key]; twice {
			return false, twoLines("", key, before, at.line)
		}
		lines[key] = at.line
		raw := c.apply(p.dec, at, mine)
		changed = changed || !bytes.Equal(raw, at.raw)
		if raw != nil {
			w.put(at.lead, raw)
		}
	}
	for _, ch := range batch {
		if _, found := lines[ch.key]; !found && ch.verb == update {
			ch.fail(connectors.ErrNotFound, "", "")
		}
	}
	made, err := c.add(p.dec, w, &keys, creates, given)
	if err != nil {
		return false, err
	}
	_, _ = w.Write(p.src.tail())
	return changed || made, nil
}

func (ch *change) taken() {
	ch.fail(connectors.ErrRefused, fmt.Sprintf("there is a record %q already", ch.key), "", ch.in.Key)
}

// apply carries out the changes of one record, in the order they came, and returns its bytes afterwards; nil
// when it is gone.
func (c *collection) apply(dec decoder, at piece, mine []*change) []byte {
	raw := bytes.Clone(at.raw)
	for _, ch := range mine {
		switch {
		case raw == nil:
			if ch.verb == update {
				ch.fail(connectors.ErrNotFound, "", "")
			}
			continue
		case ch.version != "" && ch.version != version(raw):
			ch.fail(connectors.ErrStale, "", "")
			continue
		case ch.verb == remove:
			raw = nil
			continue
		}
		if v, given := ch.fields[c.Key]; given && v.Plain() != ch.key {
			ch.fail(connectors.ErrRefused, "a key does not change", "", c.Key)
			continue
		}
		now, err := dec.reparse(raw)
		if err == nil {
			now.line = at.line
			raw, err = edited(dec, now, ch.fields, raw)
		}
		if err != nil {
			ch.err = located(ch.op(), c.Path, err)
			continue
		}
		ch.raw = bytes.Clone(raw)
	}
	return raw
}

// edited keeps raw where the edit fails.
func edited(dec decoder, p piece, f record.Fields, raw []byte) ([]byte, error) {
	out, err := dec.edit(p, f)
	if err != nil {
		return raw, err
	}
	return out, nil
}

// add puts the new records at the end.
func (c *collection) add(dec decoder, w *writer, keys *numbering, creates []*change, given map[string]*change) (made bool, err error) {
	if w.count == 0 && w.json {
		w.lead = []byte("\n")
	}
	if !w.json {
		w.lead = nil
	}
	for _, ch := range creates {
		if ch.err != nil {
			continue
		}
		key := ch.key
		for key == "" || ch.key == "" && given[key] != nil {
			key = keys.next()
		}
		raw, err := dec.create(key, keys.numeric, ch.fields)
		if err != nil {
			ch.err = located(ch.op(), c.Path, err)
			continue
		}
		keys.seen(key)
		ch.raw = raw
		w.put(w.lead, raw)
		made = true
	}
	return made, nil
}
