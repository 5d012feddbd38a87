package protocol

import (
	"errors"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// kinds are in the order of Error_Kind.
var kinds = []error{nil, connectors.ErrNotFound, connectors.ErrStale, connectors.ErrRefused, connectors.ErrBusy, connectors.ErrOutcome,
	connectors.ErrDenied, connectors.ErrAuth, connectors.ErrConfig, connectors.ErrProtocol, connectors.ErrOffline}

// OfError is err for the wire; nil for nil. One that says no kind has none there either.
func OfError(err error) *Error {
	if err == nil {
		return nil
	}
	x := &Error{Detail: err.Error()}
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		x.Detail = e.Detail
		if x.Detail == "" && e.Err != nil {
			x.Detail = e.Err.Error()
		}
		x.Hint, x.Fields, x.RetryAfterMs = e.Hint, e.Fields, e.RetryAfter.Milliseconds()
	}
	for i, kind := range kinds {
		if i > 0 && errors.Is(err, kind) {
			x.Kind = Error_Kind(i)
			break
		}
	}
	return x
}

// ToError is what the wire says of op; nil for nil. A kind that is not known is the one given.
func ToError(x *Error, op string, unknown error) *connectors.Error {
	if x == nil {
		return nil
	}
	kind := unknown
	if i := int(x.Kind); i > 0 && i < len(kinds) {
		kind = kinds[i]
	}
	const longest = time.Hour // what nobody waits for is not asked
	wait := min(max(0, time.Duration(min(x.RetryAfterMs, longest.Milliseconds()))*time.Millisecond), longest)
	return &connectors.Error{Kind: kind, Op: op, Detail: x.Detail, Hint: x.Hint, Fields: x.Fields, RetryAfter: wait}
}
