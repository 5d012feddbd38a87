package sim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
)

// verified returns the claims of a compact JSON web token that the key's owner has signed (RFC 7515, RS and ES with
// 256, 384 and 512 bits).
func verified(key, token string) (body []byte, ok bool) {
	block, _ := pem.Decode([]byte(key))
	parts := strings.Split(token, ".")
	if block == nil || len(parts) != 3 {
		return nil, false
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, false
	}
	var decoded [3][]byte
	for i, p := range parts {
		if decoded[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			return nil, false
		}
	}
	var header struct {
		Alg string `json:"alg"`
	}
	if json.Unmarshal(decoded[0], &header) != nil || len(header.Alg) != 5 {
		return nil, false
	}
	hash, known := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[header.Alg[2:]]
	if !known {
		return nil, false
	}
	h := hash.New()
	h.Write([]byte(parts[0] + "." + parts[1]))
	sum, signature := h.Sum(nil), decoded[2]
	switch k := public.(type) {
	case *rsa.PublicKey:
		ok = header.Alg[:2] == "RS" && rsa.VerifyPKCS1v15(k, hash, sum, signature) == nil
	case *ecdsa.PublicKey:
		half := len(signature) / 2
		ok = header.Alg[:2] == "ES" && half > 0 && ecdsa.Verify(k, sum, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	}
	return decoded[1], ok
}
