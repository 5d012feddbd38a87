package access

import "context"

// An Audit keeps what the caller of ctx does, to what, and the reason given for it, if any. It is asked before the act: what
// cannot be kept must not be done.
type Audit func(ctx context.Context, action, subject, why string) error
