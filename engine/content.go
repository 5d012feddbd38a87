package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// errTooLarge is the cause of a refusal where a file has more bytes than may be read, whatever its system says.
var errTooLarge = errors.New("too large")

// A shelf is where one record of a side keeps its files.
type shelf struct {
	link int64
	side record.Side
	path string
	key  string
}

func (r *Run) shelf(l *record.Link, s record.Side) shelf {
	return shelf{l.ID, s, r.rules.Attachments.Paths[s], l.Key[s]}
}

// reader is the system's ability to list and open files.
func (r *Run) reader(s record.Side) (connectors.AttachmentReader, error) {
	if reader, ok := connectors.As[connectors.AttachmentReader](r.job.Ends[s].Handle); ok {
		return reader, nil
	}
	return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: "list attachments", Detail: r.job.Ends[s].Collection + " keeps no attachments that can be read",
		Hint: "take the attachments block out, or let it flow to this side only"}
}

// A content is that of a file on its way from one system to the other. It stands on disk, however small it is, so that no
// file is ever in memory, and under no name, so that nothing is left of it when the process dies.
type content struct {
	*os.File
	size int64
	hash string
}

// Close lets go of the content, and of its name where the operating system would not do without one.
func (c *content) Close() error {
	err := c.File.Close()
	if rerr := os.Remove(c.Name()); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

// fetch reads a file of at most so many bytes into a temporary one.
func (r *Run) fetch(ctx context.Context, at shelf, a connectors.Attachment, most int64) (*content, error) {
	f, err := os.CreateTemp("", "fieldsync-*")
	if err != nil {
		return nil, noRoom(a, err)
	}
	_ = os.Remove(f.Name()) // it lives on without a name; where that cannot be, Close removes it
	c := &content{File: f}
	if c.size, c.hash, err = r.pour(ctx, at, a, most, f); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func noRoom(a connectors.Attachment, err error) error {
	return &connectors.Error{Kind: connectors.ErrBusy, Op: "keep " + a.Name + " for a moment", Err: err, Hint: "make room for temporary files, or set TMPDIR to a folder that has some"}
}

// pour reads a file from beginning to end, but no more than so many bytes of it, and returns its size and the SHA-256 of
// its content. It takes nothing that differs from what the system says of the file.
func (r *Run) pour(ctx context.Context, at shelf, a connectors.Attachment, most int64, to io.Writer) (int64, string, error) {
	reader, err := r.reader(at.side)
	if err != nil {
		return 0, "", err
	}
	in, err := reader.OpenAttachment(ctx, at.path, at.key, a.ID)
	if err != nil {
		return 0, "", err
	}
	defer in.Close()
	sum, out := sha256.New(), &writing{to: to}
	n, err := io.Copy(io.MultiWriter(sum, out), io.LimitReader(in, most+1))
	hash := hex.EncodeToString(sum.Sum(nil))
	fail := func(kind error, detail string, cause error) (int64, string, error) {
		return n, "", &connectors.Error{Kind: kind, Op: fmt.Sprintf("read file %s of %s %s", a.Name, r.name(at.side), at.key), Detail: detail, Err: cause,
			Hint: "nothing of it is used; it is read again later, and if this stays, look at the file in its own system"}
	}
	switch {
	case out.err != nil:
		return n, "", noRoom(a, out.err)
	case err != nil:
		if _, ok := errors.AsType[*connectors.Error](err); ok || ctx.Err() != nil {
			return n, "", err
		}
		return fail(connectors.ErrProtocol, "it was cut off: "+err.Error(), err)
	case n > most:
		return fail(connectors.ErrRefused, "it has more than "+plan.Bytes(most).String(), errTooLarge)
	case a.Size >= 0 && n != a.Size:
		return fail(connectors.ErrProtocol, fmt.Sprintf("its system says %d bytes and delivers %d", a.Size, n), nil)
	case a.Hash != "" && a.Hash != hash:
		return fail(connectors.ErrProtocol, "its content does not have the hash that its system names", nil)
	}
	return n, hash, nil
}

// A writing keeps its own errors apart from those of whoever is read.
type writing struct {
	to  io.Writer
	err error
}

func (w *writing) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	if err != nil {
		w.err = err
	}
	return n, err
}

// hashOf is the hash of a file's content: what the system says, else what reading it once in this run gave.
func (r *Run) hashOf(ctx context.Context, at shelf, a connectors.Attachment, most int64) (string, error) {
	if a.Hash != "" {
		return a.Hash, nil
	}
	b, key := r.beside, spot{plan.Attachment, at.side, at.link, a.ID}
	b.mu.Lock()
	hash := b.hashes[key]
	b.mu.Unlock()
	if hash != "" {
		return hash, nil
	}
	_, hash, err := r.pour(ctx, at, a, most, io.Discard)
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	b.hashes[key] = hash
	b.mu.Unlock()
	return hash, nil
}
