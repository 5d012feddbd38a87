// Package protocol is what fieldsync and a connector in another process say to each other: version 1.
//
// It is fieldsync.proto, what is generated from it, and the way from its messages to the nouns of packages connectors and
// record and back. Both ends in Go use it; a connector in another language needs the proto file alone. Errors
// are about messages that keep no promise of the protocol. They say what was sent; the caller says by whom.
package protocol

import (
	"context"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Made with protoc (Debian: protobuf-compiler) and the two generators, pinned like this:
// go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12 google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1
//
//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative fieldsync.proto

// Version is of the protocol, in the first line that a plugin prints.
const Version = 1

// MaxMessage is the most bytes that one message may have.
const MaxMessage = 16 << 20

// MaxKey is the most bytes that a key may have.
const MaxKey = 4 << 10

// PieceSize is how many bytes of a file travel in one message.
const PieceSize = 256 << 10

// Name is what the one service of a plugin is called among those of its process.
const Name = "connector"

// Handshake is what tells a plugin that it was started by fieldsync, and not by a person. It is no secret.
var Handshake = goplugin.HandshakeConfig{ProtocolVersion: Version, MagicCookieKey: "FIELDSYNC_PLUGIN", MagicCookieValue: "fieldsync.plugin.v1"}

// Plugin ties the service to go-plugin. Serves is nil in fieldsync itself.
type Plugin struct {
	goplugin.NetRPCUnsupportedPlugin
	Serves ConnectorServer
}

// GRPCServer registers the plugin's side.
func (p *Plugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	RegisterConnectorServer(s, p.Serves)
	return nil
}

// GRPCClient makes fieldsync's side.
func (p *Plugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return NewConnectorClient(c), nil
}
