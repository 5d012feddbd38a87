package servicenow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

const (
	maxBatch = 200
	// batchPath is always versioned.
	batchPath = "/api/now/v1/batch"
	// maxBatched keeps a batch below what an instance takes (5 MB a request in it, 10 MB in all, in base64); a write that
	// is larger goes alone.
	maxBatched = 1 << 20
)

// A batched is a write on its way in a batch.
type batched struct {
	ctx  context.Context
	call *call
	buf  *bytes.Buffer // of the caller, who waits
	done chan outcome
}

// An outcome is what came of one write.
type outcome struct {
	answer *answer
	err    error
}

// batching makes the gatherer of writes. A batch saves the way there and back of each write; on the instance they run
// one after another, with no way back: each is answered, and settled, as if it had come alone.
func (c *client) batching(size, slots int) {
	c.writes = &gatherer[*batched]{size: size, slots: slots, linger: defaultLinger}
	c.writes.send = c.sendBatch
}

// together sends a write with others that come at the same time.
func (c *client) together(ctx context.Context, cl *call, buf *bytes.Buffer) (*answer, error) {
	b := &batched{ctx: ctx, call: cl, buf: buf, done: make(chan outcome, 1)}
	c.writes.add(b)
	o := <-b.done // a write that is on its way is waited for, whatever the context says
	return o.answer, o.err
}

// sendBatch sends a group of writes and tells each caller what came of its own.
func (c *client) sendBatch(group []*batched) {
	open := slices.DeleteFunc(group, func(b *batched) bool {
		if err := b.ctx.Err(); err != nil {
			b.done <- outcome{err: fmt.Errorf("%s: %w", b.call.op, err)}
			return true
		}
		return false
	})
	for len(open) > 0 {
		n, size := 0, 0
		for n < len(open) && (n == 0 || size+len(open[n].call.body) <= 4*maxBatched) {
			size += len(open[n].call.body)
			n++
		}
		if n == 1 || c.writes.most() == 1 {
			for _, b := range open[:n] {
				c.alone(b)
			}
		} else {
			c.batch(open[:n])
		}
		open = open[n:]
	}
}

// alone sends one write as it is.
func (c *client) alone(b *batched) {
	a, err := c.direct(b.ctx, b.call, b.buf)
	b.done <- outcome{a, err}
}

// batchRequest and batchAnswer are the Batch API's own.
type batchRequest struct {
	ID       string         `json:"batch_request_id"`
	Requests []batchElement `json:"rest_requests"`
}

type batchElement struct {
	ID      string        `json:"id"`
	Method  string        `json:"method"`
	URL     string        `json:"url"`
	Quiet   bool          `json:"exclude_response_headers"`
	Headers []batchHeader `json:"headers"`
	Body    []byte        `json:"body,omitempty"` // base64, as encoding/json writes bytes
}

type batchHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

var batchHeaders = []batchHeader{{"Content-Type", "application/json"}, {"Accept", "application/json"}}

type batchAnswer struct {
	Serviced []struct {
		ID     string `json:"id"`
		Status int    `json:"status_code"`
		Body   []byte `json:"body"`
	} `json:"serviced_requests"`
	Unserviced []string `json:"unserviced_requests"`
}

// batch sends several writes in one request.
func (c *client) batch(group []*batched) {
	req := batchRequest{ID: "1"}
	for i, b := range group {
		req.Requests = append(req.Requests, batchElement{ID: strconv.Itoa(i), Method: b.call.method, URL: strings.TrimPrefix(c.url(b.call), c.addr.root),
			Quiet: true, Headers: batchHeaders, Body: b.call.body})
	}
	body, err := json.Marshal(req)
	if err != nil {
		c.tellAll(group, err)
		return
	}
	var buf bytes.Buffer
	cl := &call{op: fmt.Sprintf("write %d records", len(group)), method: http.MethodPost, api: "batch", body: body}
	a, err := c.direct(context.WithoutCancel(group[0].ctx), cl, &buf)
	switch {
	case errors.Is(err, connectors.ErrConfig), errors.Is(err, connectors.ErrRefused), errors.Is(err, connectors.ErrDenied), errors.Is(err, connectors.ErrNotFound):
		// Nothing of it was carried out: this instance has no Batch API, or not for this user.
		c.log.Warn("the instance takes no batches; writes go one by one", "err", err, "hint", connectors.Hint(err))
		c.writes.shrink(1)
		for _, b := range group {
			c.alone(b)
		}
		return
	case err != nil:
		c.tellAll(group, err)
		return
	}
	var got batchAnswer
	if err := json.Unmarshal(a.body, &got); err != nil || len(got.Serviced)+len(got.Unserviced) == 0 {
		c.tellAll(group, c.distrust(cl, "the answer says nothing of the batch", err))
		return
	}
	c.settle(group, got)
}

// settle tells each caller what came of its write. What was not reached when the time of the batch was over goes again,
// alone; but the first of it may have been running, so of that one nobody knows.
func (c *client) settle(group []*batched, got batchAnswer) {
	for _, s := range got.Serviced {
		i, err := strconv.Atoi(s.ID)
		if err != nil || i < 0 || i >= len(group) || group[i] == nil {
			continue // about nothing that was asked for
		}
		b := group[i]
		group[i] = nil
		b.buf.Reset()
		b.buf.Write(s.Body)
		a := &answer{status: s.Status, header: http.Header{}, body: b.buf.Bytes()}
		err = c.classify(b.call, a)
		b.done <- outcome{a, err}
	}
	if len(got.Unserviced) > 0 {
		c.writes.shrink(len(got.Serviced))
		c.log.Debug("the time of a batch was over", "serviced", len(got.Serviced), "unserviced", len(got.Unserviced))
	}
	running := true
	for i, b := range group {
		if b == nil {
			continue
		}
		if running || !slices.Contains(got.Unserviced, strconv.Itoa(i)) {
			running = false
			b.done <- outcome{err: &connectors.Error{Kind: connectors.ErrOutcome, Op: b.call.op, Detail: "the batch that it was in ended before it was answered",
				Hint: "a batch has 30 seconds on the instance: make batch smaller"}}
			continue
		}
		c.alone(b)
	}
}

// tellAll is a failure of a whole batch, for each write that was in it.
func (c *client) tellAll(group []*batched, err error) {
	for _, b := range group {
		b.done <- outcome{err: forOp(err, b.call.op)}
	}
}

// Batch says how many writes go in one request, where the mapping allows it: so many may be asked for at once. Import
// sets take rows one by one.
func (t *Table) Batch() int {
	if t.conn.client.writes == nil || t.imports != nil {
		return 1
	}
	return t.conn.batch
}

// A single is a read of one record on its way with others.
type single struct {
	ctx   context.Context
	cols  *columns
	key   string
	found record.Record
	there bool
	done  chan error
}

// readOne reads one record together with others that are read at the same time: before each write of a batch, its record.
func (t *Table) readOne(ctx context.Context, cols *columns, key string, emit func(record.Record) error) error {
	s := &single{ctx: ctx, cols: cols, key: key, done: make(chan error, 1)}
	t.singles.add(s)
	select {
	case err := <-s.done:
		if err != nil || !s.there {
			return err
		}
		return emit(s.found)
	case <-ctx.Done():
		return fmt.Errorf("read %s: %w", t.name, ctx.Err())
	}
}

// readTogether reads the records of a group by one list of keys for each list of fields.
func (t *Table) readTogether(group []*single) {
	byFields := map[string][]*single{}
	for _, s := range group {
		byFields[s.cols.fields] = append(byFields[s.cols.fields], s)
	}
	for _, alike := range byFields {
		byKey := map[string][]*single{}
		var keys []string
		for _, s := range alike {
			if byKey[s.key] == nil {
				keys = append(keys, s.key)
			}
			byKey[s.key] = append(byKey[s.key], s)
		}
		slices.Sort(keys)
		// The request belongs to all who wait for it.
		err := t.readKeys(context.WithoutCancel(alike[0].ctx), alike[0].cols, keys, func(r record.Record) error {
			for _, s := range byKey[r.Key] {
				s.found, s.there = owned(r), true
			}
			return nil
		})
		for _, s := range alike {
			s.done <- err
		}
	}
}
