package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
)

// An effect says what a call that was never answered may have done.
type effect bool

const (
	reads  effect = false
	writes effect = true
)

// lost is the kind of failure of a call whose answer did not come, or cannot be believed.
func (e effect) lost() error {
	if e == writes {
		return connectors.ErrOutcome
	}
	return connectors.ErrProtocol
}

// A reply has an error in the place of its content.
type reply interface{ GetError() *protocol.Error }

// unary asks once. The reply comes beside an error that is the plugin's own.
func unary[R reply](ctx context.Context, h *host, op string, e effect, do func(context.Context, protocol.ConnectorClient) (R, error)) (R, error) {
	return unaryWithin(ctx, h, h.timeout, op, e, do)
}

// unaryWithin is unary with a patience of its own.
func unaryWithin[R reply](ctx context.Context, h *host, patience time.Duration, op string, e effect, do func(context.Context, protocol.ConnectorClient) (R, error)) (R, error) {
	var none R
	leave, err := h.turns.Take(ctx)
	if err != nil {
		return none, fmt.Errorf("%s: %w", op, err)
	}
	defer leave()
	s, err := h.session(ctx)
	if err != nil {
		return none, h.unsent(op, err)
	}
	quiet := time.AfterFunc(patience, func() { s.end(silence(patience)) })
	defer quiet.Stop()
	r, err := do(ctx, s.connector)
	if err != nil {
		return none, h.broke(ctx, s, op, e, err)
	}
	if x := r.GetError(); x != nil {
		return r, h.word(x, op, e.lost())
	}
	return r, nil
}

// stream asks once and hands on each message of the answer. An error of each ends it and comes back as it is.
func stream[M any](ctx context.Context, h *host, op string, open func(context.Context, protocol.ConnectorClient) (grpc.ServerStreamingClient[M], error), each func(*M) error) error {
	return streamWithin(ctx, h, h.timeout, op, open, each)
}

// streamWithin is stream with a patience of its own, which each message begins anew.
func streamWithin[M any](ctx context.Context, h *host, patience time.Duration, op string, open func(context.Context, protocol.ConnectorClient) (grpc.ServerStreamingClient[M], error), each func(*M) error) error {
	leave, err := h.turns.Take(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	waiting := true // for the answer to begin: what comes of it may ask for more, and must not wait for itself
	defer func() {
		if waiting {
			leave()
		}
	}()
	s, err := h.session(ctx)
	if err != nil {
		return h.unsent(op, err)
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(patience, func() { s.end(silence(patience)) })
	defer quiet.Stop()
	in, err := open(inner, s.connector)
	if err != nil {
		return h.broke(ctx, s, op, reads, err)
	}
	for {
		quiet.Reset(patience)
		m, err := in.Recv()
		quiet.Stop()
		if waiting {
			waiting = false
			leave()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return h.broke(ctx, s, op, reads, err)
		}
		if x := any(m).(reply).GetError(); x != nil {
			return h.word(x, op, connectors.ErrProtocol)
		}
		if err := each(m); err != nil {
			return err
		}
	}
}

const silent = "it was silent for "

func silence(d time.Duration) string { return silent + d.String() }

// unsent is the error of a call for which there was no plugin.
func (h *host) unsent(op string, err error) error {
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		return e
	}
	return fmt.Errorf("%s: %w", op, err)
}

// broke is the error of a call that ended without an answer.
func (h *host) broke(ctx context.Context, s *session, op string, e effect, err error) error {
	kind := e.lost()
	if ctx.Err() != nil {
		if e == reads {
			return fmt.Errorf("%s: %w", op, ctx.Err())
		}
		return &connectors.Error{Kind: kind, Op: op, Err: ctx.Err()}
	}
	st, _ := status.FromError(err)
	switch st.Code() {
	case codes.ResourceExhausted:
		if strings.Contains(st.Message(), "trying to send") {
			return h.fails(connectors.ErrRefused, op, "what is to be written is larger than the 16 MiB of a message to a plugin", "")
		}
		return h.fails(kind, op, fmt.Sprintf("its answer has a message of more than %d MiB", protocol.MaxMessage>>20), "a plugin sends large answers in several messages; report it to who wrote this one")
	case codes.Unimplemented:
		return h.fails(kind, op, "it says that it can do this, and has no such method: "+st.Message(), "report it to who wrote the plugin")
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded, codes.Unknown, codes.Internal:
	default:
		return h.fails(kind, op, fmt.Sprintf("it answered with the status %s: %s", st.Code(), st.Message()), "")
	}
	// A process that dies is noticed by its calls before it is seen to be gone.
	grace := endTimeout
	if st.Code() != codes.Unavailable {
		grace /= 20
	}
	select {
	case <-s.done:
	case <-time.After(grace):
		return h.fails(kind, op, fmt.Sprintf("it answered with the status %s: %s", st.Code(), st.Message()), "")
	}
	if e == reads {
		kind = connectors.ErrOffline
	}
	h.bury(s)
	hint := "it is started again for the next call; see what it says in the log (--log-level info)"
	if strings.HasPrefix(s.fate(), silent) {
		hint = "raise timeout in the connection if the system behind it takes longer"
	}
	return h.fails(kind, op, s.how(), hint)
}

// fails is an error about the plugin.
func (h *host) fails(kind error, op, detail, hint string) *connectors.Error {
	return &connectors.Error{Kind: kind, Op: op, Detail: fmt.Sprintf("plugin %s: %s", h.config.Program, h.clean(detail)), Hint: hint}
}

// lie is the error of a read whose answer breaks the protocol; of a write it is for the effect to say.
func (h *host) lie(op, detail string) *connectors.Error { return h.disbelieve(reads, op, detail) }

func (h *host) disbelieve(e effect, op, detail string) *connectors.Error {
	return h.fails(e.lost(), op, "it broke the protocol: "+detail,
		fmt.Sprintf("nothing of this answer is used; report it to who wrote the plugin. What else it does wrong shows fieldsync check %s --conformance COLLECTION, on an empty collection", h.env.Name))
}

// word is what the plugin itself says went wrong.
func (h *host) word(x *protocol.Error, op string, unknown error) *connectors.Error {
	e := protocol.ToError(x, op, unknown)
	e.Detail, e.Hint = h.clean(e.Detail), h.clean(e.Hint)
	e.Fields = e.Fields[:min(len(e.Fields), 20)]
	for i := range e.Fields {
		e.Fields[i] = h.clean(e.Fields[i])
	}
	return e
}
