package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// A Token lets a program, or a person who types it in, do what its role allows. Only its hash is kept. It is random and
// long, so that no slow hash is needed.
type Token struct {
	Name string
	Hash Hash
	Role Role
}

// A Hash is the SHA-256 of a token.
type Hash [sha256.Size]byte

const (
	tokenMark = "fieldsync_" // so that those who look for leaked credentials find it
	hashMark  = "sha256:"
)

// NewToken makes a token.
func NewToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails: the program ends instead
	return tokenMark + base64.RawURLEncoding.EncodeToString(b[:])
}

// HashOf is the hash of a token.
func HashOf(token string) Hash { return sha256.Sum256([]byte(token)) }

func (h Hash) String() string { return hashMark + hex.EncodeToString(h[:]) }

// ParseHash reads a hash as String writes it.
func ParseHash(s string) (Hash, error) {
	digits, ok := strings.CutPrefix(s, hashMark)
	b, err := hex.DecodeString(digits)
	if !ok || err != nil || len(b) != sha256.Size {
		return Hash{}, errors.New("a token's hash is \"sha256:\" and 64 hexadecimal digits")
	}
	return Hash(b), nil
}

// tokenOf finds the token with this hash. Every token is compared, each in constant time.
func tokenOf(list []Token, h Hash) (found Token, ok bool) {
	for _, t := range list {
		if subtle.ConstantTimeCompare(t.Hash[:], h[:]) == 1 {
			found, ok = t, true
		}
	}
	return found, ok
}
