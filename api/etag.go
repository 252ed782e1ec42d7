package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// etag is the strong entity tag of a configuration's canonical text, quotes
// included. It is keyed: the text holds the seed, a secret that is short enough
// to be guessed from a plain hash.
func etag(secret, canonical []byte) string {
	h := hmac.New(sha256.New, secret)
	h.Write(canonical)
	return `"` + hex.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// condition is what a request asks of the resource before it is changed, RFC
// 9110 section 13.1. Each is nil where the header was not sent.
type condition struct {
	match     *string // If-Match
	noneMatch *string // If-None-Match
}

func conditionOf(r *http.Request) condition {
	var c condition
	if v := r.Header.Values("If-Match"); len(v) > 0 {
		all := strings.Join(v, ",")
		c.match = &all
	}
	if v := r.Header.Values("If-None-Match"); len(v) > 0 {
		all := strings.Join(v, ",")
		c.noneMatch = &all
	}
	return c
}

// allows reports as a problem when a change of what has this tag ("" for what
// does not exist yet) may not go on. What exists is changed only by those who
// say which state of it they have seen.
func (c condition) allows(tag string) *Problem {
	exists := tag != ""
	switch {
	case c.noneMatch != nil && exists && matches(*c.noneMatch, tag, weak):
		return stale.because("it exists already").header("If-None-Match", "names the state that it has: %s", tag)
	case c.match != nil && !exists:
		return stale.because("it does not exist").header("If-Match", "names a state of what does not exist")
	case c.match != nil && !matches(*c.match, tag, strong):
		return stale.because("somebody else has changed it: read it again, and decide anew").header("If-Match", "is not its present tag, %s", tag)
	case c.match == nil && exists && c.noneMatch == nil:
		return needsCondition.because("send the ETag that you were given with it: %s now", tag).header("If-Match", "is missing")
	case c.match == nil && exists:
		return needsCondition.because("If-None-Match alone cannot change what exists").header("If-Match", "is missing")
	}
	return nil
}

// notModified reports whether a reader has this state already.
func (c condition) notModified(tag string) bool {
	return c.noneMatch != nil && matches(*c.noneMatch, tag, weak)
}

// strong and weak are the two comparisons of RFC 9110 section 8.8.3.2.
const (
	strong = false
	weak   = true
)

// matches reports whether a list of entity tags, or "*", has the tag.
func matches(list, tag string, weakly bool) bool {
	for rest := list; ; {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			return false
		}
		if rest[0] == '*' {
			return true
		}
		isWeak := strings.HasPrefix(rest, "W/")
		rest = strings.TrimPrefix(rest, "W/")
		if rest == "" || rest[0] != '"' {
			return false // not a list of tags: it names nothing
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return false
		}
		if rest[:end+2] == tag && (weakly || !isWeak) {
			return true
		}
		rest = rest[end+2:]
	}
}
