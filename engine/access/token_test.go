package access_test

import (
	"context"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/engine/access"
)

type ctx = context.Context

func TestTokens(t *testing.T) {
	t.Parallel()
	a, b := access.NewToken(), access.NewToken()
	if a == b || len(a) < 50 || !strings.HasPrefix(a, "fieldsync_") {
		t.Errorf("tokens are %d characters long, the same twice: %v", len(a), a == b)
	}
	h, err := access.ParseHash(access.HashOf(a).String())
	if err != nil || h != access.HashOf(a) || h == access.HashOf(b) {
		t.Errorf("a hash does not come back: %v", err)
	}
	for _, s := range []string{"", a, "sha256:", "sha256:zz", strings.TrimPrefix(h.String(), "sha256:"), h.String() + "00", "md5:" + h.String()[7:]} {
		if _, err := access.ParseHash(s); err == nil {
			t.Errorf("ParseHash(%q) gave no error", s)
		}
	}
}
