package servicenow

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// assertionLife is how long a signed assertion is good for. An instance allows for five minutes that clocks are off.
const assertionLife = 5 * time.Minute

// signer makes the assertions of the grant jwt_bearer, as the instance's documentation asks for them: audience and
// issuer are the client, subject is the user. An RSA key signs with RS256, an elliptic one with the ES of its size.
// (The jwt package beside the oauth2 library knows no client secret and no elliptic keys.)
func signer(a Auth) (func(now time.Time) (string, error), error) {
	key, err := privateKey(a.Key.Reveal())
	if err != nil {
		// The parser's own words may repeat what it read.
		return nil, settingsError(`key of auth "oauth" is not a private key`, `write key = file("private.pem"): an RSA or EC key in PEM form, without a passphrase`)
	}
	alg, hash := "RS256", crypto.SHA256
	if ec, ok := key.(*ecdsa.PrivateKey); ok {
		switch ec.Curve.Params().BitSize {
		case 256:
			alg = "ES256"
		case 384:
			alg, hash = "ES384", crypto.SHA384
		case 521:
			alg, hash = "ES512", crypto.SHA512
		default:
			return nil, settingsError(`key of auth "oauth" is on a curve that instances do not take`, "make an RSA key, or one on P-256, P-384 or P-521")
		}
	}
	header := map[string]string{"alg": alg, "typ": "JWT"}
	if a.KeyID != "" {
		header["kid"] = a.KeyID
	}
	return func(now time.Time) (string, error) {
		claims := map[string]any{"iss": a.ClientID, "aud": a.ClientID, "sub": a.Username, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(assertionLife).Unix()}
		var text []byte
		for i, part := range []any{header, claims} {
			b, err := json.Marshal(part)
			if err != nil {
				return "", err
			}
			if i > 0 {
				text = append(text, '.')
			}
			text = base64.RawURLEncoding.AppendEncode(text, b)
		}
		h := hash.New()
		h.Write(text)
		signature, err := sign(key, hash, h.Sum(nil))
		if err != nil {
			return "", &connectors.Error{Kind: connectors.ErrConfig, Op: "log-in", Detail: "the key cannot sign", Hint: "make another key: RSA with 2048 bits or more, or EC"}
		}
		return string(base64.RawURLEncoding.AppendEncode(append(text, '.'), signature)), nil
	}, nil
}

// sign is the signature in the form of RFC 7518: of an elliptic key both numbers, each as wide as the curve.
func sign(key crypto.Signer, hash crypto.Hash, sum []byte) ([]byte, error) {
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return key.Sign(rand.Reader, sum, hash)
	}
	r, s, err := ecdsa.Sign(rand.Reader, ec, sum)
	if err != nil {
		return nil, err
	}
	width := (ec.Curve.Params().BitSize + 7) / 8
	out := make([]byte, 2*width)
	r.FillBytes(out[:width])
	s.FillBytes(out[width:])
	return out, nil
}

// privateKey reads the first private key of a PEM text.
func privateKey(text string) (crypto.Signer, error) {
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("no private key")
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue // certificates and parameters may stand in the same file
		}
		if err != nil {
			return nil, err
		}
		switch k := key.(type) {
		case *rsa.PrivateKey:
			return k, nil
		case *ecdsa.PrivateKey:
			return k, nil
		}
		return nil, fmt.Errorf("a key of type %T", key)
	}
}
