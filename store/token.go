package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// Scope is what a token may do.
type Scope string

// The scopes.
const (
	ScopeRead  Scope = "read"
	ScopeWrite Scope = "write" // and read
)

// Token lets its holder use the API. Its secret is not kept.
type Token struct {
	Name    string
	Scope   Scope
	SHA256  []byte // of the secret
	Created time.Time
}

const (
	// tokenPrefix lets people and secret scanners know a token by its look.
	tokenPrefix = "rlb_"
	// tokenBytes of randomness are in a token.
	tokenBytes = 32
)

// NewToken makes a token, and its secret: "rlb_" and 43 base64url digits.
func NewToken(name string, scope Scope, now time.Time) (Token, string) {
	b := make([]byte, tokenBytes)
	rand.Read(b) // never fails
	secret := tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
	return Token{Name: name, Scope: scope, SHA256: hashSecret(secret), Created: now.UTC().Truncate(time.Second)}, secret
}

// hashSecret is what is kept of a secret. A plain hash will do: the secret is
// random and long, so that nobody can guess it.
func hashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// FindToken is the token with this secret. Looking for the hash takes a time
// that tells nothing of use: whoever knows a hash does not know its secret.
func (s *State) FindToken(secret string) (Token, bool) {
	digits, ok := strings.CutPrefix(secret, tokenPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(digits)
	if !ok || err != nil || len(b) != tokenBytes {
		return Token{}, false
	}
	hash := string(hashSecret(secret))
	for _, t := range s.Tokens {
		if string(t.SHA256) == hash {
			return t, true
		}
	}
	return Token{}, false
}

// validTokens reports the first reason why tokens cannot be kept.
func validTokens(tokens []Token) error {
	names := make(map[string]bool, len(tokens))
	for _, t := range tokens {
		switch {
		case t.Name == "" || names[t.Name]:
			return fmt.Errorf("two tokens are named %q, or one has no name", t.Name)
		case t.Scope != ScopeRead && t.Scope != ScopeWrite:
			return fmt.Errorf("token %q has the scope %q", t.Name, t.Scope)
		case len(t.SHA256) != sha256.Size:
			return fmt.Errorf("token %q has a hash of %d bytes", t.Name, len(t.SHA256))
		}
		names[t.Name] = true
	}
	return nil
}
