package guard

import (
	"context"
	"io"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// reading embeds the interface alone, so that of what is behind it nothing that writes shows through.
type reading struct{ connectors.Collection }

// Deleted lets a log of deletions through; without one there are none to tell of.
func (r reading) Deleted(ctx context.Context, since string, emit func(key string) error) error {
	if log, ok := r.Collection.(connectors.DeleteLog); ok {
		return log.Deleted(ctx, since, emit)
	}
	return nil
}

// listening reads comments and attachments, too, and adds none.
type listening struct {
	reading
	connectors.CommentReader
	connectors.AttachmentReader
}

// silent stands for comments or attachments that a collection does not have although it has the other of both.
type silent struct{}

var errSilentCollection = &connectors.Error{Kind: connectors.ErrConfig, Op: "list", Detail: "the collection keeps none that can be read",
	Hint: "take the block out, or let it flow to this side only"}

func (silent) Comments(context.Context, string, []string, time.Time, func(string, connectors.Comment) error) error {
	return errSilentCollection
}

func (silent) Attachments(context.Context, string, []string, time.Time, func(string, connectors.Attachment) error) error {
	return errSilentCollection
}

func (silent) OpenAttachment(context.Context, string, string, string) (io.ReadCloser, error) {
	return nil, errSilentCollection
}

// ReadOnly returns c without the abilities to create, update, delete, comment and attach. Whether it can be described,
// searched, asked for required paths and listened to stays as it was. A preview works on nothing else: that it
// writes nothing is not a matter of care.
func ReadOnly(c connectors.Collection) connectors.Collection {
	r := reading{c}
	d, describes := c.(connectors.Describer)
	f, finds := c.(connectors.Finder)
	q, requires := c.(connectors.Requirer)
	h, hears := c.(connectors.CommentReader)
	a, opens := c.(connectors.AttachmentReader)
	if hears || opens {
		l := listening{r, silent{}, silent{}}
		if hears {
			l.CommentReader = h
		}
		if opens {
			l.AttachmentReader = a
		}
		return hearing(l, d, f, q)
	}
	switch {
	case describes && finds && requires:
		return struct {
			reading
			connectors.Describer
			connectors.Finder
			connectors.Requirer
		}{r, d, f, q}
	case describes && finds:
		return struct {
			reading
			connectors.Describer
			connectors.Finder
		}{r, d, f}
	case describes && requires:
		return struct {
			reading
			connectors.Describer
			connectors.Requirer
		}{r, d, q}
	case finds && requires:
		return struct {
			reading
			connectors.Finder
			connectors.Requirer
		}{r, f, q}
	case describes:
		return struct {
			reading
			connectors.Describer
		}{r, d}
	case finds:
		return struct {
			reading
			connectors.Finder
		}{r, f}
	case requires:
		return struct {
			reading
			connectors.Requirer
		}{r, q}
	}
	return r
}

// hearing is ReadOnly of a collection with comments or attachments; the abilities that it lacks are nil.
func hearing(r listening, d connectors.Describer, f connectors.Finder, q connectors.Requirer) connectors.Collection {
	switch {
	case d != nil && f != nil && q != nil:
		return struct {
			listening
			connectors.Describer
			connectors.Finder
			connectors.Requirer
		}{r, d, f, q}
	case d != nil && f != nil:
		return struct {
			listening
			connectors.Describer
			connectors.Finder
		}{r, d, f}
	case d != nil && q != nil:
		return struct {
			listening
			connectors.Describer
			connectors.Requirer
		}{r, d, q}
	case f != nil && q != nil:
		return struct {
			listening
			connectors.Finder
			connectors.Requirer
		}{r, f, q}
	case d != nil:
		return struct {
			listening
			connectors.Describer
		}{r, d}
	case f != nil:
		return struct {
			listening
			connectors.Finder
		}{r, f}
	case q != nil:
		return struct {
			listening
			connectors.Requirer
		}{r, q}
	}
	return r
}
