// Package serve turns a connector that is written to the contract of package connectors into a plugin: a program that
// fieldsync starts and talks to over gRPC.
//
//	func main() { serve.Plugin("shop 1.4", shop.New) }
//
// is all of it. The settings block of the mapping is decoded into what shop.New returns, as it would be inside fieldsync.
// What the connector logs and what it prints on its error stream comes out in fieldsync's log. Plugin does not return:
// the process ends when fieldsync closes its standard input. A connector that panics ends it, too, and is started again.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/json"
	"google.golang.org/grpc"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
)

// Plugin serves a connector with these settings until fieldsync ends. name is the plugin's and its version, for people.
func Plugin(name string, settings func() connectors.Config) {
	if os.Getenv(protocol.Handshake.MagicCookieKey) != protocol.Handshake.MagicCookieValue {
		fmt.Fprintf(os.Stderr, "This is a plugin of fieldsync (%s). Put it into the folder plugins beside the mapping files, and name it there:\n\n"+
			"connection \"plugin\" \"NAME\" {\n  program = %q\n}\n", name, "NAME OF THE FILE")
		os.Exit(1)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0) // fieldsync has ended, perhaps without a word
	}()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: protocol.Handshake,
		Plugins:         goplugin.PluginSet{protocol.Name: &protocol.Plugin{Serves: &server{name: name, settings: settings}}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.MaxRecvMsgSize(protocol.MaxMessage), grpc.MaxSendMsgSize(protocol.MaxMessage))...)
		},
		Logger: hclog.NewNullLogger(),
	})
}

// A server answers for one connection.
type server struct {
	protocol.UnimplementedConnectorServer
	name     string
	settings func() connectors.Config

	mu    sync.Mutex
	conn  connectors.Connection
	named map[string]connectors.Collection
}

func (s *server) Open(_ context.Context, q *protocol.OpenRequest) (*protocol.OpenReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn, err := s.open(q)
	if err != nil {
		return &protocol.OpenReply{Error: protocol.OfError(err)}, nil
	}
	s.conn, s.named = conn, map[string]connectors.Collection{}
	return &protocol.OpenReply{Name: s.name}, nil
}

func (s *server) open(q *protocol.OpenRequest) (connectors.Connection, error) {
	wrong := func(err error) error {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + q.Connection, Detail: "settings: " + err.Error(), Hint: "correct the settings block of connection " + q.Connection}
	}
	f, diags := json.Parse([]byte(q.Settings), "settings")
	if diags.HasErrors() {
		return nil, wrong(diags)
	}
	settings := s.settings()
	if diags := gohcl.DecodeBody(f.Body, nil, settings); diags.HasErrors() {
		d := diags[0] // the place would be one in the JSON, which nobody has written
		return nil, wrong(errors.New(d.Summary + ": " + d.Detail))
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	limits := connectors.Limits{Rate: q.Rate, Concurrency: int(q.Concurrency)}
	return settings.Open(connectors.Env{Name: q.Connection, Log: log, Now: time.Now, Dir: q.Folder, Limits: limits, HTTP: guard.Client(limits, log, nil, nil)})
}

var errNotOpen = &connectors.Error{Kind: connectors.ErrProtocol, Op: "call", Detail: "nothing was opened yet"}

// collection finds one by name, once.
func (s *server) collection(ctx context.Context, name string) (connectors.Collection, error) {
	s.mu.Lock()
	conn, c := s.conn, s.named[name]
	s.mu.Unlock()
	if conn == nil {
		return nil, errNotOpen
	}
	if c != nil {
		return c, nil
	}
	c, err := conn.Collection(ctx, name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.named[name] = c
	return c, nil
}

// able is a collection as one with an ability.
func able[T any](ctx context.Context, s *server, name string) (T, error) {
	var none T
	c, err := s.collection(ctx, name)
	if err != nil {
		return none, err
	}
	a, ok := connectors.As[T](c)
	if !ok {
		return none, &connectors.Error{Kind: connectors.ErrConfig, Op: "call", Detail: fmt.Sprintf("collection %q cannot do this", name)}
	}
	return a, nil
}

func (s *server) Collection(ctx context.Context, q *protocol.CollectionRequest) (*protocol.CollectionReply, error) {
	c, err := s.collection(ctx, q.Name)
	if err != nil {
		return &protocol.CollectionReply{Error: protocol.OfError(err)}, nil
	}
	a := &protocol.Abilities{
		Find: can[connectors.Finder](c), Within: can[connectors.Scoper](c), Create: can[connectors.Creator](c), Update: can[connectors.Updater](c), Delete: can[connectors.Deleter](c),
		Retire: can[connectors.Retirer](c), Count: can[connectors.Counter](c), Deleted: can[connectors.DeleteLog](c), Require: can[connectors.Requirer](c),
		Locate: can[connectors.Locator](c), Notify: can[connectors.Notifier](c), Chronicle: can[connectors.Chronicler](c),
		Comments: can[connectors.CommentReader](c), AddComment: can[connectors.Commenter](c), EditComment: can[connectors.CommentEditor](c),
		Attachments: can[connectors.AttachmentReader](c), Attach: can[connectors.Attacher](c),
	}
	if cond, ok := connectors.As[connectors.Conditional](c); ok {
		a.Conditional = cond.Conditional()
	}
	if settler, ok := connectors.As[connectors.Settler](c); ok {
		a.SettlesMs = settler.Settles().Milliseconds()
	}
	if b, ok := connectors.As[connectors.Batcher](c); ok {
		a.Batch = int32(b.Batch())
	}
	return &protocol.CollectionReply{Abilities: a}, nil
}

func can[T any](c connectors.Collection) bool {
	_, ok := connectors.As[T](c)
	return ok
}

// Describe gives a collection that does not describe itself an open schema.
func (s *server) Describe(ctx context.Context, q *protocol.DescribeRequest) (*protocol.DescribeReply, error) {
	c, err := s.collection(ctx, q.Collection)
	if err != nil {
		return &protocol.DescribeReply{Error: protocol.OfError(err)}, nil
	}
	d, ok := connectors.As[connectors.Describer](c)
	if !ok {
		return &protocol.DescribeReply{Schema: &protocol.Schema{Open: true, Hidden: true}}, nil
	}
	schema, err := d.Describe(ctx)
	return &protocol.DescribeReply{Schema: protocol.OfSchema(schema), Error: protocol.OfError(err)}, nil
}

func (s *server) Check(ctx context.Context, _ *protocol.CheckRequest) (*protocol.CheckReply, error) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn == nil {
		return &protocol.CheckReply{Error: protocol.OfError(errNotOpen)}, nil
	}
	checker, ok := conn.(connectors.Checker)
	if !ok {
		return &protocol.CheckReply{}, nil
	}
	found, err := checker.Check(ctx)
	reply := &protocol.CheckReply{Error: protocol.OfError(err)}
	for _, f := range found {
		reply.Findings = append(reply.Findings, &protocol.Finding{Ok: f.OK, What: f.What, Detail: f.Detail, Hint: f.Hint})
	}
	return reply, nil
}
