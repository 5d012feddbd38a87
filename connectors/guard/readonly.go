package guard

import (
	"context"
	"io"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// reading embeds the interface alone, so that of what is behind it nothing that writes shows through. It has every
// method that reads, and says in Can which of them lead anywhere.
type reading struct{ connectors.Collection }

// ReadOnly returns c without the abilities to create, update, delete, comment and attach. Whether it can be described,
// searched, asked for required paths and listened to stays as it was. A preview works on nothing else: that it
// writes nothing is not a matter of care.
func ReadOnly(c connectors.Collection) connectors.Collection { return reading{c} }

func has[T any](r reading) bool {
	_, ok := connectors.As[T](r.Collection)
	return ok
}

// Can reports which abilities to read are behind r.
func (r reading) Can(ability any) bool {
	switch ability.(type) {
	case *connectors.Describer:
		return has[connectors.Describer](r)
	case *connectors.Finder:
		return has[connectors.Finder](r)
	case *connectors.Scoper:
		return has[connectors.Scoper](r)
	case *connectors.Requirer:
		return has[connectors.Requirer](r)
	case *connectors.DeleteLog:
		return has[connectors.DeleteLog](r)
	case *connectors.CommentReader:
		return has[connectors.CommentReader](r)
	case *connectors.AttachmentReader:
		return has[connectors.AttachmentReader](r)
	case *connectors.Splitter:
		return has[connectors.Splitter](r)
	}
	return false
}

// as is the ability behind r, or why there is none: who asks without looking at Can hears it.
func as[T any](r reading, op string) (T, error) {
	ability, ok := connectors.As[T](r.Collection)
	if !ok {
		return ability, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "this collection has no such ability"}
	}
	return ability, nil
}

func (r reading) Describe(ctx context.Context) (*connectors.Schema, error) {
	d, err := as[connectors.Describer](r, "describe")
	if err != nil {
		return nil, err
	}
	return d.Describe(ctx)
}

func (r reading) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	f, err := as[connectors.Finder](r, "find")
	if err != nil {
		return err
	}
	return f.Find(ctx, paths, path, values, emit)
}

func (r reading) Within(ctx context.Context, native string, keys []string, emit func(key string) error) error {
	s, err := as[connectors.Scoper](r, "within")
	if err != nil {
		return err
	}
	return s.Within(ctx, native, keys, emit)
}

func (r reading) Split(ctx context.Context, q connectors.Query, most int) ([]string, connectors.Window, error) {
	s, err := as[connectors.Splitter](r, "split")
	if err != nil {
		return nil, connectors.Window{}, err
	}
	return s.Split(ctx, q, most)
}

func (r reading) Require(ctx context.Context, paths []string) error {
	q, err := as[connectors.Requirer](r, "require")
	if err != nil {
		return err
	}
	return q.Require(ctx, paths)
}

func (r reading) Deleted(ctx context.Context, since string, emit func(key string) error) error {
	log, err := as[connectors.DeleteLog](r, "deleted")
	if err != nil {
		return err
	}
	return log.Deleted(ctx, since, emit)
}

func (r reading) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	c, err := as[connectors.CommentReader](r, "comments")
	if err != nil {
		return err
	}
	return c.Comments(ctx, path, keys, since, emit)
}

func (r reading) Attachments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Attachment) error) error {
	a, err := as[connectors.AttachmentReader](r, "attachments")
	if err != nil {
		return err
	}
	return a.Attachments(ctx, path, keys, since, emit)
}

func (r reading) OpenAttachment(ctx context.Context, path, key, id string) (io.ReadCloser, error) {
	a, err := as[connectors.AttachmentReader](r, "open file")
	if err != nil {
		return nil, err
	}
	return a.OpenAttachment(ctx, path, key, id)
}
