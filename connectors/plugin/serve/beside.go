package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
)

// beat is how often a plugin that listens says that it is alive. The protocol asks for 20 seconds.
const beat = 10 * time.Second

// Notify passes hints on in one goroutine, since a stream has one sender.
func (s *server) Notify(q *protocol.NotifyRequest, out protocol.Connector_NotifyServer) error {
	n, err := able[connectors.Notifier](out.Context(), s, q.Collection)
	if err != nil {
		return out.Send(&protocol.NotifyReply{Error: protocol.OfError(err)})
	}
	ctx, cancel := context.WithCancel(out.Context())
	defer cancel()
	hints, ended := make(chan string), make(chan error, 1)
	go func() {
		ended <- n.Notify(ctx, func(key string) {
			select {
			case hints <- key:
			case <-ctx.Done():
			}
		})
	}()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		m := &protocol.NotifyReply{Alive: true}
		select {
		case m.Key = <-hints:
			m.Alive = false
		case <-tick.C:
		case err := <-ended:
			if err == nil {
				return nil
			}
			return out.Send(&protocol.NotifyReply{Error: protocol.OfError(err)})
		}
		if err := out.Send(m); err != nil {
			return err
		}
	}
}

// asked are keys as the contract has them: nil for all records.
func asked(all bool, keys []string) []string {
	if all {
		return nil
	}
	return append([]string{}, keys...)
}

func (s *server) Comments(q *protocol.CommentsRequest, out protocol.Connector_CommentsServer) error {
	c, err := able[connectors.CommentReader](out.Context(), s, q.Collection)
	var since time.Time
	if err == nil {
		since, err = protocol.ToTime(q.Since)
	}
	p := &page[*protocol.Comment]{send: func(list []*protocol.Comment) error { return out.Send(&protocol.CommentsReply{Comments: list}) }}
	if err == nil {
		err = c.Comments(out.Context(), q.Path, asked(q.All, q.Keys), since, func(key string, c connectors.Comment) error {
			return p.add(protocol.OfComment(key, c), len(c.Text))
		})
	}
	return finish(err, p.flush, func(e *protocol.Error) error { return out.Send(&protocol.CommentsReply{Error: e}) })
}

func (s *server) AddComment(ctx context.Context, q *protocol.AddCommentRequest) (*protocol.CommentReply, error) {
	c, err := able[connectors.Commenter](ctx, s, q.Collection)
	var made connectors.Comment
	if err == nil {
		made, err = c.AddComment(ctx, q.Path, q.Key, q.Text)
	}
	return said(q.Key, made, err), nil
}

func (s *server) EditComment(ctx context.Context, q *protocol.EditCommentRequest) (*protocol.CommentReply, error) {
	c, err := able[connectors.CommentEditor](ctx, s, q.Collection)
	var made connectors.Comment
	if err == nil {
		made, err = c.EditComment(ctx, q.Path, q.Key, q.Id, q.Was, q.Text)
	}
	return said(q.Key, made, err), nil
}

func said(key string, c connectors.Comment, err error) *protocol.CommentReply {
	if err != nil {
		return &protocol.CommentReply{Error: protocol.OfError(err)}
	}
	return &protocol.CommentReply{Comment: protocol.OfComment(key, c)}
}

func (s *server) Attachments(q *protocol.AttachmentsRequest, out protocol.Connector_AttachmentsServer) error {
	a, err := able[connectors.AttachmentReader](out.Context(), s, q.Collection)
	var since time.Time
	if err == nil {
		since, err = protocol.ToTime(q.Since)
	}
	p := &page[*protocol.Attachment]{send: func(list []*protocol.Attachment) error {
		return out.Send(&protocol.AttachmentsReply{Attachments: list})
	}}
	if err == nil {
		err = a.Attachments(out.Context(), q.Path, asked(q.All, q.Keys), since, func(key string, a connectors.Attachment) error {
			return p.add(protocol.OfAttachment(key, a), len(a.Name))
		})
	}
	return finish(err, p.flush, func(e *protocol.Error) error { return out.Send(&protocol.AttachmentsReply{Error: e}) })
}

func (s *server) OpenAttachment(q *protocol.OpenAttachmentRequest, out protocol.Connector_OpenAttachmentServer) error {
	a, err := able[connectors.AttachmentReader](out.Context(), s, q.Collection)
	var content io.ReadCloser
	if err == nil {
		content, err = a.OpenAttachment(out.Context(), q.Path, q.Key, q.Id)
	}
	if err != nil {
		return out.Send(&protocol.Piece{Error: protocol.OfError(err)})
	}
	defer content.Close()
	for {
		piece := make([]byte, protocol.PieceSize)
		n, err := io.ReadFull(content, piece)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return out.Send(&protocol.Piece{Error: protocol.OfError(err)})
		}
		if err := out.Send(&protocol.Piece{Content: piece[:n], End: ended}); err != nil || ended {
			return err
		}
	}
}

// Attach keeps the content in a file without a name until it is there whole: the connector may read it more than once.
func (s *server) Attach(in protocol.Connector_AttachServer) error {
	a, err := s.attach(in)
	if err != nil {
		return in.SendAndClose(&protocol.AttachReply{Error: protocol.OfError(err)})
	}
	return in.SendAndClose(&protocol.AttachReply{Attachment: a})
}

func (s *server) attach(in protocol.Connector_AttachServer) (*protocol.Attachment, error) {
	first, err := in.Recv()
	if err != nil {
		return nil, err
	}
	a, err := able[connectors.Attacher](in.Context(), s, first.Collection)
	if err != nil {
		return nil, err
	}
	_, what, err := protocol.ToAttachment(first.Attachment)
	if err != nil {
		return nil, err
	}
	refused := func(err error) error {
		return &connectors.Error{Kind: connectors.ErrRefused, Op: "attach", Detail: err.Error(), Err: err}
	}
	spool, err := os.CreateTemp("", "attachment-")
	if err != nil {
		return nil, refused(err)
	}
	defer spool.Close()
	if err := os.Remove(spool.Name()); err != nil {
		return nil, refused(err)
	}
	var size int64
	for m := first; err == nil; m, err = in.Recv() {
		if _, werr := spool.Write(m.Content); werr != nil {
			return nil, refused(werr)
		}
		size += int64(len(m.Content))
	}
	if !errors.Is(err, io.EOF) {
		return nil, refused(err)
	}
	if size != what.Size {
		return nil, refused(fmt.Errorf("%d bytes came, and %d were to come", size, what.Size))
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return nil, refused(err)
	}
	made, err := a.Attach(in.Context(), first.Path, first.Key, what, spool)
	if err != nil {
		return nil, err
	}
	return protocol.OfAttachment(first.Key, made), nil
}

func (s *server) Overtaken(ctx context.Context, q *protocol.OvertakenRequest) (*protocol.OvertakenReply, error) {
	ch, err := able[connectors.Chronicler](ctx, s, q.Collection)
	return &protocol.OvertakenReply{Overtaken: err == nil && ch.Overtaken(q.Before, q.After)}, nil
}

func (s *server) Edits(q *protocol.EditsRequest, out protocol.Connector_EditsServer) error {
	ch, err := able[connectors.Chronicler](out.Context(), s, q.Collection)
	p := &page[*protocol.Edit]{send: func(list []*protocol.Edit) error { return out.Send(&protocol.EditsReply{Edits: list}) }}
	if err == nil {
		err = ch.Edits(out.Context(), q.Key, q.Paths, q.Before, func(e connectors.Edit) error {
			return p.add(protocol.OfEdit(e), len(e.Old.Text())+len(e.New.Text()))
		})
	}
	return finish(err, p.flush, func(e *protocol.Error) error { return out.Send(&protocol.EditsReply{Error: e}) })
}
