package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"

	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/event"
)

// keyShower shows session keys, which are secrets, to one principal: in hex to
// those who may write, and where the operator chose to log them; else under a
// keyed hash.
type keyShower struct {
	full   bool
	secret []byte
}

func (h *handlers) shower(ctx context.Context) keyShower {
	return keyShower{
		full:   principalOf(ctx).mayWrite() || h.file.Log.Keys == config.LogKeysFull,
		secret: h.State().Secret,
	}
}

// key is a key as it is shown; one of the two.
func (s keyShower) key(key []byte) (inHex, hash *string) {
	if s.full {
		text := hex.EncodeToString(key)
		return &text, nil
	}
	text := event.HashKey(s.secret, key)
	return nil, &text
}

// is tells the key that a request names from others: in hex, or by its hash.
func (s keyShower) is(text string) (func(key []byte) bool, error) {
	if isHash(text) {
		return func(key []byte) bool { return event.HashKey(s.secret, key) == text }, nil
	}
	if !s.full {
		return nil, forbidden.because("keys are secrets: search by key_hash, or with a token that may write").of("session", "needs the scope write")
	}
	wanted, err := hex.DecodeString(text)
	if err != nil {
		return nil, invalid.because("").of("session", "is not hex")
	}
	return func(key []byte) bool { return bytes.Equal(key, wanted) }, nil
}

// isHash reports whether a path's key is a hash.
func isHash(key string) bool { return strings.HasPrefix(key, "h:") }
