package api

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// One client that is too fast is slowed, and nobody else.
func TestLimiter(t *testing.T) {
	l := newLimiter(10, 5)
	now := time.Unix(1_700_000_000, 0)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range 5 {
		if _, ok := l.take(a, now); !ok {
			t.Fatalf("request %d of a burst of 5 is refused", i+1)
		}
	}
	wait, ok := l.take(a, now)
	if ok || wait <= 0 || wait > 100*time.Millisecond {
		t.Errorf("the sixth: %v, wait %v", ok, wait)
	}
	if _, ok := l.take(b, now); !ok {
		t.Error("another client is refused")
	}
	if _, ok := l.take(a, now.Add(wait)); !ok {
		t.Error("refused after the time it was told to wait")
	}
	// A client has a whole /64 of IPv6 addresses.
	for i := range 5 {
		l.take(netip.MustParseAddr("2001:db8::").Next(), now)
		_ = i
	}
	if _, ok := l.take(netip.MustParseAddr("2001:db8::ffff"), now); ok {
		t.Error("another address of the same /64 has a burst of its own")
	}
}

func TestLimiterIsBounded(t *testing.T) {
	l := newLimiter(10, 5)
	now := time.Unix(1_700_000_000, 0)
	for i := range 5 * limiterSize {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(i))
		l.take(netip.AddrFrom4(a), now)
	}
	if n := len(l.clients) + len(l.before); n > 2*limiterSize {
		t.Errorf("%d clients are remembered", n)
	}
}
