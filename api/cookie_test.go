package api

import (
	"strings"
	"testing"
	"time"
)

// A sign-in ends with its time, its token, and the state's secret, and nobody
// can make one up.
func TestCookie(t *testing.T) {
	secret, hash := []byte("secret"), []byte("hash")
	now := time.Unix(1_700_000_000, 0)
	value := cookieValue(secret, "ops", hash, now.Add(time.Hour))
	name, signed, ok := readCookie(value, now)
	if !ok || name != "ops" || !signed(secret, hash) {
		t.Fatalf("a good one: %q, %v", name, ok)
	}
	if signed([]byte("another"), hash) || signed(secret, []byte("another")) {
		t.Error("it counts under another secret or for another token")
	}
	if _, _, ok := readCookie(value, now.Add(time.Hour)); ok {
		t.Error("it counts when its time is over")
	}
	later := strings.Split(cookieValue(secret, "ops", hash, now.Add(2*time.Hour)), ".")
	parts := strings.Split(value, ".")
	if _, signed, ok := readCookie(parts[0]+"."+later[1]+"."+parts[2], now); ok && signed(secret, hash) {
		t.Error("its time can be changed")
	}
	if _, signed, ok := readCookie("root."+parts[1]+"."+parts[2], now); ok && signed(secret, hash) {
		t.Error("its name can be changed")
	}
	for _, bad := range []string{"", "a", "a.b", "a.b.c", "a.b.c.d", "..", strings.Repeat(".", 100)} {
		if _, _, ok := readCookie(bad, now); ok {
			t.Errorf("%q counts", bad)
		}
	}
}
