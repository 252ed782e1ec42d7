package store

import "time"

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
