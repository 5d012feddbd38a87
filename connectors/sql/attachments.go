package sql

import (
	"bytes"
	"context"
	"crypto/sha256"
	dsql "database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// Attachments is an attachments block: a table whose rows are the files of a collection's rows, with their contents.
type Attachments struct {
	Label    string   `hcl:"label,label"`
	Table    string   `hcl:"table"`
	Key      string   `hcl:"key,optional"` // default: id
	Parent   []string `hcl:"parent"`
	Name     string   `hcl:"name"`
	Content  string   `hcl:"content"`
	Type     string   `hcl:"type,optional"` // media type
	Hash     string   `hcl:"hash,optional"` // SHA-256 of the content in hexadecimal digits; what is something else is not used
	Author   string   `hcl:"author,optional"`
	Time     string   `hcl:"time,optional"`
	Internal string   `hcl:"internal,optional"`
	Readers  string   `hcl:"readers,optional"` // "staff" or "public"
}

// A cabinet is an open attachments block. kind and hash may be nil.
type cabinet struct {
	child
	name, content, kind, hash *column
}

const (
	// Databases give and take a value only whole. What is read comes out in pieces, so that this program never holds more
	// than one; what is written has to be in memory, and has to fit there.
	piece   = 1 << 20
	largest = 64 << 20
)

// openCabinets checks the attachments blocks of a collection against the database.
func (t *collection) openCabinets(ctx context.Context, blocks []Attachments) error {
	t.cabinets = map[string]*cabinet{}
	for _, b := range blocks {
		c := &cabinet{}
		var err error
		c.child, err = t.openChild(ctx, childBlock{fmt.Sprintf("attachments %q", b.Label), b.Table, b.Key, b.Parent, b.Author, b.Time, b.Internal, b.Readers},
			t.cabinets[b.Label] != nil, childColumn{"name", b.Name, &c.name}, childColumn{"content", b.Content, &c.content}, childColumn{"type", b.Type, &c.kind}, childColumn{"hash", b.Hash, &c.hash})
		if err != nil {
			return err
		}
		t.cabinets[b.Label] = c
		t.fileList = append(t.fileList, connectors.Thread{Path: b.Label, Readers: c.readers})
	}
	return nil
}

func (t *collection) cabinet(op, path string) (*cabinet, error) {
	if c := t.cabinets[path]; c != nil {
		return c, nil
	}
	if path == "" {
		path = "files" // the mapping names no kind, as there is none
	}
	return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%s declares no attachments %q", t.name, path),
		Hint: fmt.Sprintf("say in the connection where they stand: collection %q { attachments %q { table = \"…\", parent = \"…\", name = \"…\", content = \"…\" } }", t.name, path)}
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Attachments asks for the rows of the table of files, and for the sizes of their contents, which databases know without
// reading them.
func (t *collection) Attachments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Attachment) error) error {
	op := strings.TrimSpace("list attachments "+path) + " of " + t.name
	c, err := t.cabinet(op, path)
	if err != nil {
		return err
	}
	further := []string{"coalesce(octet_length(" + t.conn.quote(c.content.name) + "), 0)", t.conn.shown(c.name)}
	for _, o := range []*column{c.kind, c.hash} {
		if o != nil {
			further = append(further, t.conn.shown(o))
		}
	}
	return t.entries(ctx, op, &c.child, further, keys, since, func(e entry) error {
		a := connectors.Attachment{ID: e.id, Author: e.author, Time: e.time, Name: c.name.decode(e.raw[1]).Plain()}
		if a.Size, err = whole(e.raw[0]); err != nil {
			return &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: "the size of " + a.Name + ": " + err.Error(), Err: err}
		}
		rest := e.raw[2:]
		if c.kind != nil {
			a.Type, rest = c.kind.decode(rest[0]).Plain(), rest[1:]
		}
		if c.hash != nil {
			if hash := c.hash.decode(rest[0]).Plain(); sha256Hex.MatchString(hash) {
				a.Hash = hash
			}
		}
		return emit(e.key, a)
	})
}

// OpenAttachment reads the content in pieces, each in a query of its own: the application that owns the database is never
// kept waiting. A content that changes meanwhile does not have the size that was said, or not the hash.
func (t *collection) OpenAttachment(ctx context.Context, path, key, id string) (io.ReadCloser, error) {
	op := fmt.Sprintf("open attachment %s of %s %s", id, t.name, key)
	c, err := t.cabinet(op, path)
	if err != nil {
		return nil, err
	}
	parent, ok := t.parentArgs(c.parent, key)
	own, found := c.key.codec.key(id)
	if !ok || !found {
		return nil, &connectors.Error{Kind: connectors.ErrNotFound, Op: op}
	}
	r := &pieces{t: t, ctx: ctx, op: op, query: func(at int) *statement {
		s := t.conn.statement()
		s.add("SELECT ", t.conn.piece(c.content, at, piece), " FROM ", from(t.conn, c.rel), " WHERE ", isKey(s, append([]*column{c.key}, c.parent...), append([]any{own}, parent...)))
		return s
	}}
	if err := r.next(); err != nil {
		return nil, err
	}
	return r, nil
}

// pieces is a content that is read piece by piece.
type pieces struct {
	t     *collection
	ctx   context.Context
	op    string
	query func(at int) *statement
	at    int
	rest  []byte
	last  bool
}

func (p *pieces) next() error {
	s := p.query(p.at)
	var b []byte
	err := p.t.conn.read.QueryRowContext(p.ctx, s.text.String(), s.args...).Scan(&b)
	switch {
	case errors.Is(err, dsql.ErrNoRows):
		return &connectors.Error{Kind: connectors.ErrNotFound, Op: p.op}
	case err != nil:
		return p.t.conn.fail(p.op, err, nil)
	}
	p.rest, p.at, p.last = b, p.at+len(b), len(b) < piece
	return nil
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.last {
			return 0, io.EOF
		}
		if err := p.next(); err != nil {
			return 0, err
		}
		if len(p.rest) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pieces) Close() error { return nil }

// Attach inserts a row with the content.
func (t *collection) Attach(ctx context.Context, path, key string, a connectors.Attachment, content io.ReadSeeker) (connectors.Attachment, error) {
	op := fmt.Sprintf("attach %s to %s %s", a.Name, t.name, key)
	c, err := t.cabinet(op, path)
	if err != nil {
		return connectors.Attachment{}, err
	}
	if a.Size > largest {
		return connectors.Attachment{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{c.content.name},
			Detail: fmt.Sprintf("it has %d bytes, and a value of this database may have %d", a.Size, largest), Hint: "lower max_size of the attachments block"}
	}
	var body bytes.Buffer
	body.Grow(int(max(a.Size, 0)))
	if _, err := io.Copy(&body, io.LimitReader(content, largest)); err != nil {
		return connectors.Attachment{}, fmt.Errorf("%s: %w", op, err)
	}
	sum := sha256.Sum256(body.Bytes())
	stored := connectors.Attachment{Name: a.Name, Size: int64(body.Len())}
	data := body.Bytes()
	if data == nil {
		data = []byte{} // an empty file is not null
	}
	columns, args := []*column{c.content}, []any{data}
	put := func(c *column, text string) error {
		arg, err := textFor(op, c, text)
		columns, args = append(columns, c), append(args, arg)
		return err
	}
	err = put(c.name, a.Name)
	if c.kind != nil && err == nil {
		stored.Type = a.Type
		err = put(c.kind, a.Type)
	}
	if c.hash != nil && err == nil {
		stored.Hash = hex.EncodeToString(sum[:])
		err = put(c.hash, stored.Hash)
	}
	if err != nil {
		return connectors.Attachment{}, err
	}
	e, err := t.addEntry(ctx, op, &c.child, key, columns, args)
	if err != nil {
		return connectors.Attachment{}, err
	}
	stored.ID, stored.Author, stored.Time = e.id, e.author, e.time
	return stored, nil
}
