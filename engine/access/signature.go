package access

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Signature is how a system signs the webhooks that it sends.
type Signature struct {
	Secret    string
	Header    string // that holds the signature
	Prefix    string // of it: "sha256="
	Algorithm string // of Algorithms
	// Timestamp is the header that says when it was signed; "": none does, and a request can be sent again.
	Timestamp string
	// Signed is what the signature is of: {timestamp} and {body} stand for both.
	Signed string
}

// Algorithms are those that Signature knows. With plain the header holds the secret itself.
var Algorithms = []string{"sha256", "sha512", "sha1", "plain"}

// Own is how fieldsync signs what it sends, and what it expects where nothing else is said.
var Own = Signature{Header: "X-Fieldsync-Signature", Prefix: "sha256=", Algorithm: "sha256", Timestamp: "X-Fieldsync-Timestamp", Signed: "{timestamp}.{body}"}

// Window is how far a timestamp may be from now.
const Window = 5 * time.Minute

// ErrUnsigned is every way in which a signature is wrong. What it says is for the log, not for who has sent it.
var ErrUnsigned = errors.New("the signature does not fit")

// Verify reports whether a request was signed with the secret, and within Window of now. Signatures are compared in
// constant time, in hexadecimal or base64, whichever they are.
func (s Signature) Verify(h http.Header, body []byte, now time.Time) error {
	given := h.Get(s.Header)
	if given == "" {
		return fmt.Errorf("%w: there is no header %s", ErrUnsigned, s.Header)
	}
	given, ok := strings.CutPrefix(given, s.Prefix)
	if !ok || s.Secret == "" {
		return fmt.Errorf("%w: %s does not begin with %q", ErrUnsigned, s.Header, s.Prefix)
	}
	if s.Algorithm == "plain" {
		a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.Secret)) // so that its length is not told either
		if subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
			return fmt.Errorf("%w: %s does not hold the secret", ErrUnsigned, s.Header)
		}
		return nil
	}
	stamp := ""
	if s.Timestamp != "" {
		stamp = h.Get(s.Timestamp)
		at, err := instant(stamp)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnsigned, s.Timestamp, err)
		}
		if off := now.Sub(at).Abs(); off > Window {
			return fmt.Errorf("%w: %s is %s off; set the clocks right", ErrUnsigned, s.Timestamp, off.Round(time.Second))
		}
	}
	mac := hmac.New(map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New, "sha1": sha1.New}[s.Algorithm], []byte(s.Secret))
	for rest := s.Signed; rest != ""; {
		plain, name, found := strings.Cut(rest, "{")
		mac.Write([]byte(plain))
		if !found {
			break
		}
		if name, rest, _ = strings.Cut(name, "}"); name == "timestamp" {
			mac.Write([]byte(stamp))
		} else {
			mac.Write(body)
		}
	}
	if !hmac.Equal(digits(given, mac.Size()), mac.Sum(nil)) {
		return ErrUnsigned
	}
	return nil
}

// digits reads a signature of n bytes as text; nil if it is none.
func digits(s string, n int) []byte {
	if b, err := hex.DecodeString(s); err == nil && len(b) == n {
		return b
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if b, err := e.DecodeString(s); err == nil && len(b) == n {
			return b
		}
	}
	return nil
}

// instant reads seconds or milliseconds since 1970, or a time as RFC 3339 writes it.
func instant(s string) (time.Time, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil:
		return time.Parse(time.RFC3339, s)
	case n > 1e11:
		return time.UnixMilli(n), nil
	}
	return time.Unix(n, 0), nil
}
