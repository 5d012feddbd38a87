package connectors

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The kinds of failure. Branch on them with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrStale    = errors.New("changed since it was read")
	ErrRefused  = errors.New("refused")           // for good: the same request will be refused again
	ErrBusy     = errors.New("busy")              // refused for now, nothing happened; RetryAfter may say how long
	ErrOutcome  = errors.New("outcome unknown")   // time-out, reset, server error: it may have happened
	ErrDenied   = errors.New("not allowed")       // rights are missing for this collection or operation
	ErrAuth     = errors.New("log-in refused")    // credentials: nothing on this connection can work
	ErrConfig   = errors.New("wrong settings")    // the mapping names something that is not there
	ErrProtocol = errors.New("unexpected answer") // a read whose answer cannot be trusted: HTML, cut off, error inside a 200
	ErrOffline  = errors.New("cannot be reached") // nothing was sent: name, connection, TLS
)

// An Error is a failure of one operation on a system.
type Error struct {
	Kind       error         // one of the sentinels above
	Op         string        // "scan incident", "update incident 9c57…"
	Detail     string        // what the system said, shortened, without secrets
	Hint       string        // what a person can do about it; "" if nothing
	Fields     []string      // paths (or labels) the system named as the cause
	RetryAfter time.Duration // ErrBusy: how long the system asked to wait
	Err        error         // cause, if any
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	b.WriteString(e.Kind.Error())
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	} else if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// Hint returns the way out that the first Error in err's chain carries, or "".
func Hint(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Hint
	}
	return ""
}
