package access_test

import (
	"testing"

	"github.com/fieldsync/fieldsync/engine/access"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	for _, r := range []access.Role{access.Look, access.Decide, access.Run} {
		got, err := access.ParseRole(r.String())
		if err != nil || got != r {
			t.Errorf("ParseRole(%q) = %v, %v", r, got, err)
		}
	}
	for _, name := range []string{"", "nobody", "root", "Look"} {
		if r, err := access.ParseRole(name); err == nil {
			t.Errorf("ParseRole(%q) = %v, want an error", name, r)
		}
	}
}

func TestWhoIsNotKnownMayDoNothing(t *testing.T) {
	t.Parallel()
	if c := access.From(t.Context()); c.Role != access.Nobody {
		t.Errorf("a caller nobody vouched for has the role %v", c.Role)
	}
	want := access.Caller{Name: "ops", Role: access.Decide}
	if got := access.From(access.With(t.Context(), want)); got != want {
		t.Errorf("From = %v, want %v", got, want)
	}
}
