package access_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/access"
)

// The examples that vendors publish: what they sign, and what comes of it.
func TestSignaturesOfOtherSystems(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		s      access.Signature
		header map[string]string
		body   string
		now    string
	}{
		{"GitHub", access.Signature{Secret: "It's a Secret to Everybody", Header: "X-Hub-Signature-256", Prefix: "sha256=", Algorithm: "sha256", Signed: "{body}"},
			map[string]string{"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, "Hello, World!", "2026-03-01T12:00:00Z"},
		{"Zendesk", access.Signature{Secret: "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA=", Header: "X-Zendesk-Webhook-Signature", Algorithm: "sha256",
			Timestamp: "X-Zendesk-Webhook-Signature-Timestamp", Signed: "{body}{timestamp}"},
			map[string]string{"X-Zendesk-Webhook-Signature": "tRDSF7URY8BLCDlaBcQ7FHu051Zk+aAB0NKMP53teMw=", "X-Zendesk-Webhook-Signature-Timestamp": "2021-07-25T10:00:00Z"},
			`{"say": "hello"}`, "2021-07-25T10:04:00Z"},
		{"a secret in a header", access.Signature{Secret: "hush-hush", Header: "Authorization", Prefix: "Bearer ", Algorithm: "plain"},
			map[string]string{"Authorization": "Bearer hush-hush"}, "{}", "2026-03-01T12:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			for k, v := range tt.header {
				h.Set(k, v)
			}
			now, err := time.Parse(time.RFC3339, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.s.Verify(h, []byte(tt.body), now); err != nil {
				t.Errorf("its own example is refused: %v", err)
			}
			if tt.s.Algorithm != "plain" {
				if err := tt.s.Verify(h, []byte(tt.body+" "), now); err == nil {
					t.Error("another body is taken")
				}
			}
			tt.s.Secret += "x"
			if err := tt.s.Verify(h, []byte(tt.body), now); err == nil {
				t.Error("another secret is taken")
			}
		})
	}
}

func TestWhatIsWrongWithASignature(t *testing.T) {
	t.Parallel()
	s := access.Own
	s.Secret = "hush-hush-hush"
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	body := `{"key":"1"}`
	sum := func(stamp string) []byte {
		m := hmac.New(sha256.New, []byte(s.Secret))
		fmt.Fprintf(m, "%s.%s", stamp, body)
		return m.Sum(nil)
	}
	stamp := func(off time.Duration) string { return strconv.FormatInt(now.Add(off).Unix(), 10) }
	hexed := func(stamp string) string { return "sha256=" + hex.EncodeToString(sum(stamp)) }
	milli := strconv.FormatInt(now.UnixMilli(), 10)
	for _, tt := range []struct {
		name, stamp, signature string
		ok                     bool
	}{
		{"now", stamp(0), hexed(stamp(0)), true},
		{"in base64", stamp(0), "sha256=" + base64.StdEncoding.EncodeToString(sum(stamp(0))), true},
		{"in milliseconds", milli, hexed(milli), true},
		{"just not too old", stamp(-access.Window), hexed(stamp(-access.Window)), true},
		{"a clock that is ahead", stamp(access.Window), hexed(stamp(access.Window)), true},
		{"too old", stamp(-access.Window - time.Second), hexed(stamp(-access.Window - time.Second)), false},
		{"too far ahead", stamp(access.Window + time.Second), hexed(stamp(access.Window + time.Second)), false},
		{"the stamp of another", stamp(time.Second), hexed(stamp(0)), false},
		{"no stamp", "", hexed(""), false},
		{"a stamp that is no time", "yesterday", hexed("yesterday"), false},
		{"no signature", stamp(0), "", false},
		{"no prefix", stamp(0), strings.TrimPrefix(hexed(stamp(0)), "sha256="), false},
		{"half a signature", stamp(0), hexed(stamp(0))[:40], false},
		{"an empty signature", stamp(0), "sha256=", false},
		{"nonsense", stamp(0), "sha256=é", false},
	} {
		h := http.Header{}
		h.Set(s.Timestamp, tt.stamp)
		h.Set(s.Header, tt.signature)
		if err := s.Verify(h, []byte(body), now); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		} else if err != nil && strings.Contains(err.Error(), s.Secret) {
			t.Errorf("%s: the secret is in %q", tt.name, err)
		}
	}
	none := s
	none.Secret = ""
	h := http.Header{}
	m := hmac.New(sha256.New, nil)
	fmt.Fprintf(m, "%s.%s", stamp(0), body)
	h.Set(s.Timestamp, stamp(0))
	h.Set(s.Header, "sha256="+hex.EncodeToString(m.Sum(nil)))
	if none.Verify(h, []byte(body), now) == nil {
		t.Error("where there is no secret, everybody knows it")
	}
}
