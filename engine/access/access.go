// Package access says who asks the service for something, and what each may do.
//
// A role includes those before it: who may run may decide, and who may decide may look.
package access

import (
	"context"
	"fmt"
)

// A Role is what a caller may do with the service.
type Role int

const (
	Nobody Role = iota
	Look        // read every page and its JSON twin
	Decide      // and settle conflicts and holds, approve plans, restore values
	Run         // and start, pause and resume syncs
)

var roles = [...]string{"nobody", "look", "decide", "run"}

func (r Role) String() string {
	if r < Nobody || int(r) >= len(roles) {
		return fmt.Sprintf("role %d", int(r))
	}
	return roles[r]
}

// ParseRole is the role of a name as String writes it. Nobody cannot be named.
func ParseRole(name string) (Role, error) {
	for r := Look; int(r) < len(roles); r++ {
		if roles[r] == name {
			return r, nil
		}
	}
	return Nobody, fmt.Errorf("no role %q: it is look, decide or run", name)
}

// A Caller is who asks: the name that the account of what was done will bear, and the role.
type Caller struct {
	Name string // "loopback", a token's name, an e-mail address, a certificate's subject
	Role Role
}

type key struct{}

// With is ctx on behalf of c.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, key{}, c)
}

// From is the caller on whose behalf ctx is; the zero Caller, who may do nothing, where none is known.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(key{}).(Caller)
	return c
}
