package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"time"
)

const (
	cookieName = "roamlb_session"
	// cookieLife is how long a sign-in lasts.
	cookieLife = 12 * time.Hour
)

// cookieValue names a token until a time, signed so that nobody else can make
// one: token name, seconds of Unix time, signature. It outlives a restart of
// the daemon and ends with its token, whose hash is signed too.
func cookieValue(secret []byte, name string, hash []byte, until time.Time) string {
	stamp := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	enc := base64.RawURLEncoding
	return name + "." + enc.EncodeToString(stamp) + "." + enc.EncodeToString(signature(secret, name, hash, stamp))
}

// readCookie is the token name of a cookie's value, if it is not over. Whether
// it was signed for the token that has the name now, verify tells.
func readCookie(value string, now time.Time) (name string, verify func(secret, hash []byte) bool, ok bool) {
	parts := strings.Split(value, ".")
	if len(parts) != 3 {
		return "", nil, false
	}
	enc := base64.RawURLEncoding.Strict()
	stamp, err := enc.DecodeString(parts[1])
	if err != nil || len(stamp) != 8 {
		return "", nil, false
	}
	mac, err := enc.DecodeString(parts[2])
	if err != nil || now.Unix() >= int64(binary.BigEndian.Uint64(stamp)) {
		return "", nil, false
	}
	return parts[0], func(secret, hash []byte) bool {
		return hmac.Equal(mac, signature(secret, parts[0], hash, stamp))
	}, true
}

func signature(secret []byte, name string, hash, stamp []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("session cookie\x00" + name + "\x00"))
	h.Write(hash)
	h.Write(stamp)
	return h.Sum(nil)
}

// sessionCookie is the cookie of a sign-in; an empty value ends it.
func sessionCookie(value string, secure bool) *http.Cookie {
	c := &http.Cookie{
		Name: cookieName, Value: value, Path: "/", HttpOnly: true, Secure: secure,
		SameSite: http.SameSiteStrictMode, MaxAge: int(cookieLife / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}
