package plugin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A collection has every ability of the contract as a method, and says in Can which of them the plugin has.
type collection struct {
	*host
	name string
	a    *protocol.Abilities

	mu      sync.Mutex
	key     string                 // path of the key, once it was described
	kinds   map[string]record.Kind // of the paths that were described; nil before
	closed  bool                   // there are no other paths
	cursors []string               // that scans have given, oldest first
}

// Can reports what the plugin says of itself.
func (c *collection) Can(ability any) bool {
	switch ability.(type) {
	case *connectors.Describer, *connectors.Conditional, *connectors.Settler, *connectors.Batcher:
		return true
	case *connectors.Finder:
		return c.a.Find
	case *connectors.Scoper:
		return c.a.Within
	case *connectors.Creator:
		return c.a.Create
	case *connectors.Updater:
		return c.a.Update
	case *connectors.Deleter:
		return c.a.Delete
	case *connectors.Retirer:
		return c.a.Retire
	case *connectors.Counter:
		return c.a.Count
	case *connectors.DeleteLog:
		return c.a.Deleted
	case *connectors.Requirer:
		return c.a.Require
	case *connectors.Locator:
		return c.a.Locate
	case *connectors.Notifier:
		return c.a.Notify
	case *connectors.CommentReader:
		return c.a.Comments
	case *connectors.Commenter:
		return c.a.AddComment
	case *connectors.CommentEditor:
		return c.a.EditComment
	case *connectors.AttachmentReader:
		return c.a.Attachments
	case *connectors.Attacher:
		return c.a.Attach
	case *connectors.Chronicler:
		return c.a.Chronicle
	}
	return false
}

// Conditional is what the plugin says.
func (c *collection) Conditional() bool { return c.a.Conditional }

// Settles is what the plugin says.
func (c *collection) Settles() time.Duration {
	return time.Duration(c.a.SettlesMs) * time.Millisecond
}

// Batch is what the plugin says.
func (c *collection) Batch() int { return max(1, int(c.a.Batch)) }

// Describe asks for the schema, to which every value is held from then on.
func (c *collection) Describe(ctx context.Context) (*connectors.Schema, error) {
	op := "describe " + c.name
	reply, err := unary(ctx, c.host, op, reads, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.DescribeReply, error) {
		return p.Describe(ctx, &protocol.DescribeRequest{Collection: c.name})
	})
	if reply == nil || err != nil && reply.Schema == nil {
		return nil, err
	}
	s, lie := protocol.ToSchema(reply.Schema)
	if lie != nil {
		return nil, c.lie(op, lie.Error())
	}
	if err == nil {
		kinds := make(map[string]record.Kind, len(s.Fields))
		for _, f := range s.Fields {
			kinds[f.Path] = f.Type.Kind
		}
		c.mu.Lock()
		c.key, c.kinds, c.closed = s.Key, kinds, !s.Open && !s.Hidden
		c.mu.Unlock()
	}
	return s, err
}

// Count asks how many records there are.
func (c *collection) Count(ctx context.Context, native string) (int64, error) {
	reply, err := unary(ctx, c.host, "count "+c.name, reads, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.CountReply, error) {
		return p.Count(ctx, &protocol.CountRequest{Collection: c.name, Native: native})
	})
	if err != nil {
		return 0, err
	}
	if reply.Count < 0 {
		return 0, c.lie("count "+c.name, fmt.Sprintf("%d records", reply.Count))
	}
	return reply.Count, nil
}

// Require asks which paths there are not.
func (c *collection) Require(ctx context.Context, paths []string) error {
	_, err := unary(ctx, c.host, "look for paths of "+c.name, reads, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.RequireReply, error) {
		return p.Require(ctx, &protocol.RequireRequest{Collection: c.name, Paths: paths})
	})
	return err
}

// aside is how long is waited for what is only nice to have, and has no context of its own.
const aside = 10 * time.Second

// Locate asks for an address; "" where there is no answer.
func (c *collection) Locate(key string) string {
	ctx, cancel := context.WithTimeout(context.Background(), aside)
	defer cancel()
	reply, err := unary(ctx, c.host, "locate "+key, reads, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.LocateReply, error) {
		return p.Locate(ctx, &protocol.LocateRequest{Collection: c.name, Key: key})
	})
	if err != nil {
		return ""
	}
	return c.clean(reply.Address)
}

// Deleted hands keys on, as many as a scan could have.
func (c *collection) Deleted(ctx context.Context, since string, emit func(key string) error) error {
	op, n := "ask for deletions in "+c.name, 0
	return stream(ctx, c.host, op, func(ctx context.Context, p protocol.ConnectorClient) (grpc.ServerStreamingClient[protocol.DeletedReply], error) {
		return p.Deleted(ctx, &protocol.DeletedRequest{Collection: c.name, Since: since})
	}, func(m *protocol.DeletedReply) error {
		if n += len(m.Keys); n > c.maxRecords {
			return c.lie(op, fmt.Sprintf("more than %d deletions", c.maxRecords))
		}
		for _, key := range m.Keys {
			if key == "" || len(key) > protocol.MaxKey {
				return c.lie(op, fmt.Sprintf("a key of %d bytes", len(key)))
			}
			if err := emit(key); err != nil {
				return err
			}
		}
		return nil
	})
}

// Within hands on keys that were asked for, and no others.
func (c *collection) Within(ctx context.Context, native string, keys []string, emit func(key string) error) error {
	if len(keys) == 0 {
		return nil
	}
	op := "look for the scope of " + c.name
	asked := make(map[string]bool, len(keys))
	for _, key := range keys {
		asked[key] = true
	}
	return stream(ctx, c.host, op, func(ctx context.Context, p protocol.ConnectorClient) (grpc.ServerStreamingClient[protocol.WithinReply], error) {
		return p.Within(ctx, &protocol.WithinRequest{Collection: c.name, Native: native, Keys: keys})
	}, func(m *protocol.WithinReply) error {
		for _, key := range m.Keys {
			if !asked[key] {
				return c.lie(op, fmt.Sprintf("record %q, which was not asked for, or was there before", key))
			}
			delete(asked, key)
			if err := emit(key); err != nil {
				return err
			}
		}
		return nil
	})
}

// alive is how often a plugin that listens says so; silence three times as long is its end.
const alive = 20 * time.Second

// Notify listens. A plugin that is silent for too long has stopped listening without knowing it.
func (c *collection) Notify(ctx context.Context, hint func(key string)) error {
	op := "listen to " + c.name
	return streamWithin(ctx, c.host, 3*alive, op, func(ctx context.Context, p protocol.ConnectorClient) (grpc.ServerStreamingClient[protocol.NotifyReply], error) {
		return p.Notify(ctx, &protocol.NotifyRequest{Collection: c.name})
	}, func(m *protocol.NotifyReply) error {
		if !m.Alive {
			hint(m.Key)
		}
		return nil
	})
}

// Overtaken asks about two versions; false where there is no answer.
func (c *collection) Overtaken(before, after string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), aside)
	defer cancel()
	reply, err := unary(ctx, c.host, "compare versions", reads, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.OvertakenReply, error) {
		return p.Overtaken(ctx, &protocol.OvertakenRequest{Collection: c.name, Before: before, After: after})
	})
	return err == nil && reply.Overtaken
}

// Edits hands on what became of a record.
func (c *collection) Edits(ctx context.Context, key string, paths []string, before string, emit func(connectors.Edit) error) error {
	op, n := "ask for edits of "+key, 0
	asked := map[string]bool{}
	for _, p := range paths {
		asked[p] = true
	}
	return stream(ctx, c.host, op, func(ctx context.Context, p protocol.ConnectorClient) (grpc.ServerStreamingClient[protocol.EditsReply], error) {
		return p.Edits(ctx, &protocol.EditsRequest{Collection: c.name, Key: key, Paths: paths, Before: before})
	}, func(m *protocol.EditsReply) error {
		for _, x := range m.Edits {
			e, err := protocol.ToEdit(x)
			if n++; err == nil && n > 100_000 {
				err = errors.New("more than 100000 edits of one record")
			}
			if err == nil && !asked[e.Path] {
				err = fmt.Errorf("an edit of %q, which was not asked for", e.Path)
			}
			if err != nil {
				return c.lie(op, err.Error())
			}
			if err := emit(e); err != nil {
				return err
			}
		}
		return nil
	})
}
