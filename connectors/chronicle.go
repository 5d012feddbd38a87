package connectors

import (
	"context"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A Chronicler has no conditional writes and knows what happened to its records instead: what came between the
// caller's read and its write, and was overwritten, can be found afterwards.
type Chronicler interface {
	// Overtaken reports whether more happened to a record between two of its versions than the one write that led
	// from before to after. Rules of the system's own may be the reason; false where the versions do not tell.
	Overtaken(before, after string) bool

	// Edits emits how these paths of a record changed from version before on, oldest first. One that led to that
	// version may come too. ErrDenied where nothing was kept, or this user may not read it.
	Edits(ctx context.Context, key string, paths []string, before string, emit func(Edit) error) error
}

// An Edit is one value of a record that was replaced.
type Edit struct {
	Path     string
	Old, New record.Value
	Author   string    // "" where the system does not say
	Own      bool      // by the account that this connection logs in with; false where that is not known
	Time     time.Time // by the system's clock
}
