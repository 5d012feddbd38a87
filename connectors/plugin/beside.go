package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
)

// A beside holds what comes of comments or files against what was asked.
type beside struct {
	*collection
	op    string
	asked map[string]bool // nil: all records
	n     int
}

func (c *collection) beside(op string, keys []string) *beside {
	b := &beside{collection: c, op: op}
	if keys != nil {
		b.asked = make(map[string]bool, len(keys))
		for _, key := range keys {
			b.asked[key] = true
		}
	}
	return b
}

func (b *beside) check(key, id string, err error) error {
	b.n++
	switch {
	case err != nil:
		return b.lie(b.op, err.Error())
	case key == "" || len(key) > protocol.MaxKey || id == "" || len(id) > protocol.MaxKey:
		return b.lie(b.op, "something without its own id and the key of its record")
	case b.asked != nil && !b.asked[key]:
		return b.lie(b.op, fmt.Sprintf("something of record %q, which was not asked for", key))
	case b.n > b.maxRecords:
		return b.lie(b.op, fmt.Sprintf("more than %d entries", b.maxRecords))
	}
	return nil
}

// Comments hands on those of the records that were asked for.
func (c *collection) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	b := c.beside("read "+path+" of "+c.name, keys)
	return stream(ctx, c.host, b.op, func(ctx context.Context, p protocol.ConnectorClient) (grpc.ServerStreamingClient[protocol.CommentsReply], error) {
		return p.Comments(ctx, &protocol.CommentsRequest{Collection: c.name, Path: path, All: keys == nil, Keys: keys, Since: protocol.OfTime(since)})
	}, func(m *protocol.CommentsReply) error {
		for _, x := range m.Comments {
			key, comment, err := protocol.ToComment(x)
			if err := b.check(key, comment.ID, err); err != nil {
				return err
			}
			if err := emit(key, comment); err != nil {
				return err
			}
		}
		return nil
	})
}

// AddComment adds one, and looks whether it is there.
func (c *collection) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	op := "comment on " + key
	reply, err := unary(ctx, c.host, op, writes, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.CommentReply, error) {
		return p.AddComment(ctx, &protocol.AddCommentRequest{Collection: c.name, Path: path, Key: key, Text: text})
	})
	return c.commented(ctx, op, path, key, "", reply, err)
}

// EditComment changes one, and looks whether it has changed.
func (c *collection) EditComment(ctx context.Context, path, key, id, was, text string) (connectors.Comment, error) {
	op := "edit a comment of " + key
	reply, err := unary(ctx, c.host, op, writes, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.CommentReply, error) {
		return p.EditComment(ctx, &protocol.EditCommentRequest{Collection: c.name, Path: path, Key: key, Id: id, Was: was, Text: text})
	})
	return c.commented(ctx, op, path, key, id, reply, err)
}

func (c *collection) commented(ctx context.Context, op, path, key, id string, reply *protocol.CommentReply, err error) (connectors.Comment, error) {
	var none connectors.Comment
	if err != nil {
		return none, err
	}
	_, said, err := protocol.ToComment(reply.Comment)
	if err != nil {
		return none, c.disbelieve(writes, op, err.Error())
	}
	if id != "" && said.ID != id {
		return none, c.disbelieve(writes, op, fmt.Sprintf("comment %q came back", said.ID))
	}
	if said.ID == "" {
		return said, nil // it was stored and cannot be read, which the contract allows
	}
	since := said.Time
	if id != "" {
		since = time.Time{} // it was written some time ago
	}
	found := false
	err = c.Comments(ctx, path, []string{key}, since, func(_ string, shown connectors.Comment) error {
		found = found || shown.ID == said.ID && shown.Text == said.Text
		return nil
	})
	if err != nil {
		return none, unsettled(err)
	}
	if !found {
		return none, c.disbelieve(writes, op, fmt.Sprintf("comment %q is said to be stored, and does not read so", said.ID))
	}
	return said, nil
}

// Attachments hands on what there is of the records that were asked for.
func (c *collection) Attachments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Attachment) error) error {
	b := c.beside("list "+path+" of "+c.name, keys)
	return stream(ctx, c.host, b.op, func(ctx context.Context, p protocol.ConnectorClient) (grpc.ServerStreamingClient[protocol.AttachmentsReply], error) {
		return p.Attachments(ctx, &protocol.AttachmentsRequest{Collection: c.name, Path: path, All: keys == nil, Keys: keys, Since: protocol.OfTime(since)})
	}, func(m *protocol.AttachmentsReply) error {
		for _, x := range m.Attachments {
			key, a, err := protocol.ToAttachment(x)
			if err := b.check(key, a.ID, err); err != nil {
				return err
			}
			if err := emit(key, a); err != nil {
				return err
			}
		}
		return nil
	})
}

// OpenAttachment returns once the content has begun, and reads it as it comes. A content that stops without its end ends in an error.
func (c *collection) OpenAttachment(ctx context.Context, path, key, id string) (io.ReadCloser, error) {
	op := "open file " + id + " of " + key
	ctx, cancel := context.WithCancel(ctx)
	in, out := io.Pipe()
	began := make(chan error, 1)
	go func() {
		defer cancel()
		ended, said := false, false
		err := stream(ctx, c.host, op, func(ctx context.Context, p protocol.ConnectorClient) (grpc.ServerStreamingClient[protocol.Piece], error) {
			return p.OpenAttachment(ctx, &protocol.OpenAttachmentRequest{Collection: c.name, Path: path, Key: key, Id: id})
		}, func(m *protocol.Piece) error {
			if !said {
				said = true
				began <- nil
			}
			if ended {
				return c.lie(op, "something behind the end of a file")
			}
			ended = m.End
			_, err := out.Write(m.Content)
			return err
		})
		if err == nil && !ended {
			err = c.lie(op, "the content stopped without its end")
		}
		if !said {
			began <- err
		}
		_ = out.CloseWithError(err) // nil is the end
	}()
	if err := <-began; err != nil {
		return nil, err
	}
	return &content{in, cancel}, nil
}

// A content stops its stream when it is closed.
type content struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (c *content) Close() error {
	c.cancel()
	return c.PipeReader.Close()
}

// Attach sends the file, and looks whether it is there as it was sent.
func (c *collection) Attach(ctx context.Context, path, key string, a connectors.Attachment, body io.ReadSeeker) (connectors.Attachment, error) {
	var none connectors.Attachment
	op := "attach to " + key
	var own error             // of reading the content: nothing was stored then
	const slowest = 256 << 10 // bytes a second, at which nobody is called silent yet
	patience := c.timeout + time.Duration(a.Size/slowest)*time.Second
	reply, err := unaryWithin(ctx, c.host, patience, op, writes, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.AttachReply, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		out, err := p.Attach(ctx)
		if err != nil {
			return nil, err
		}
		m := &protocol.AttachRequest{Collection: c.name, Path: path, Key: key, Attachment: protocol.OfAttachment("", connectors.Attachment{Name: a.Name, Type: a.Type, Size: a.Size})}
		for {
			if err := out.Send(m); err != nil {
				break // its reason comes with the reply
			}
			piece := make([]byte, protocol.PieceSize)
			n, err := io.ReadFull(body, piece)
			if n == 0 && errors.Is(err, io.EOF) {
				break
			}
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				own = err
				return nil, err
			}
			m = &protocol.AttachRequest{Content: piece[:n]}
		}
		return out.CloseAndRecv()
	})
	if own != nil {
		return none, fmt.Errorf("%s: %w", op, own)
	}
	if err != nil {
		return none, err
	}
	_, said, err := protocol.ToAttachment(reply.Attachment)
	switch {
	case err != nil:
		return none, c.disbelieve(writes, op, err.Error())
	case said.ID == "":
		return none, c.disbelieve(writes, op, "a file without an id")
	case said.Size >= 0 && said.Size != a.Size || a.Hash != "" && said.Hash != "" && said.Hash != a.Hash:
		return none, c.disbelieve(writes, op, fmt.Sprintf("a file of %d bytes and the hash %q came back; %d bytes of the hash %q were sent", said.Size, said.Hash, a.Size, a.Hash))
	}
	found := false
	err = c.Attachments(ctx, path, []string{key}, said.Time, func(_ string, shown connectors.Attachment) error {
		found = found || shown.ID == said.ID
		return nil
	})
	if err != nil {
		return none, unsettled(err)
	}
	if !found {
		return none, c.disbelieve(writes, op, fmt.Sprintf("file %q is said to be stored, and is not listed", said.ID))
	}
	return said, nil
}
