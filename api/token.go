package api

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// tokenPrefix lets people and secret scanners know a token by its look.
const tokenPrefix = "rlb_"

// tokenBytes of randomness are in a token.
const tokenBytes = 32

// NewToken makes the secret of a token: "rlb_" and 43 base64url digits.
func NewToken() string {
	b := make([]byte, tokenBytes)
	rand.Read(b) //nolint:errcheck // never fails, see crypto/rand
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// HashToken is what is kept of a token's secret. A plain hash will do: the
// secret is random and long, so that nobody can guess it.
func HashToken(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }

// looksLikeToken reports whether a text can be a token at all.
func looksLikeToken(secret string) bool {
	digits, ok := strings.CutPrefix(secret, tokenPrefix)
	if !ok {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(digits)
	return err == nil && len(b) == tokenBytes
}
