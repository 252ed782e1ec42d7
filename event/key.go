package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// HashKey stands for a session's key where that is not to be told: lines about
// one session can be found by it. secret is the state's.
func HashKey(secret, key []byte) string {
	h := hmac.New(sha256.New, secret)
	h.Write(key)
	return "h:" + hex.EncodeToString(h.Sum(nil)[:8])
}
