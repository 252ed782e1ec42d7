package ctsync

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// entryBody is the body of a message about an entry, as the kernel writes it.
func entryBody(e *Entry) []byte {
	var r request
	r.begin(msgNew, 0, 1, e.family())
	r.tuple(&e.Tuple)
	reply := Tuple{Client: e.Backend, Listener: e.Client}
	at := len(r.buf)
	r.tuple(&reply)
	r.buf[at+2] = ctaTupleReply
	r.attr32(ctaID, e.ID)
	r.attr32(ctaStatus, uint32(e.Status))
	r.attr32(ctaTimeout, uint32(e.Timeout/time.Second))
	r.attr32(ctaMark, e.Mark)
	if e.Counted {
		r.nest(ctaCountersOrig, func() { r.attr(countersPackets, 0, 0, 0, 0, 0, 0, byte(e.Packets>>8), byte(e.Packets)) })
	}
	r.end()
	return r.buf[headerLen:]
}

func TestDecodeEntry(t *testing.T) {
	for name, e := range map[string]Entry{
		"in a zone": {
			Tuple: Tuple{clientA, listener4, 7}, Backend: netip.MustParseAddrPort("198.51.100.1:1194"),
			ID: 0xfffffffe, Mark: 0x40010000, Status: SeenReply | DstNAT, Timeout: 29 * time.Second,
		},
		"counted": {Tuple: Tuple{clientB, listener4, 0}, Backend: clientC, ID: 1, Packets: 300, Counted: true},
		"IPv6":    {Tuple: Tuple{client6, listener6, 65535}, Backend: client6, ID: 2, Mark: 1},
	} {
		var got Entry
		if !decodeEntry(entryBody(&e), &got) || got != e {
			t.Errorf("%s: got %+v, want %+v", name, got, e)
		}
	}
}

func TestDecodeDrops(t *testing.T) {
	var r request
	r.begin(msgStats, 0, 1, unix.NFPROTO_UNSPEC)
	for kind := uint16(2); kind < 15; kind++ { // in the order of the kernel's enum
		r.attr32(kind, 1000+uint32(kind))
	}
	r.end()
	body := r.buf[headerLen:]
	if got := decodeDrops(body); got != 1000+10 {
		t.Errorf("%d packets dropped, want those of CTA_STATS_DROP", got)
	}
	for n := range body {
		decodeDrops(body[:n]) // must not panic
	}
}

func TestDecodeRefuses(t *testing.T) {
	e := Entry{Tuple: Tuple{clientA, listener4, 7}, Backend: clientB, ID: 1}
	good := entryBody(&e)
	for n := range good {
		var got Entry
		decodeEntry(good[:n], &got) // must not panic
	}
	tcp := bytes.Clone(good)
	tcp[bytes.Index(tcp, []byte{5, 0, protoNum, 0, unix.IPPROTO_UDP})+4] = unix.IPPROTO_TCP
	var r request
	r.buf = bytes.Clone(good)
	r.attr16(ctaZone, 9)
	for name, body := range map[string][]byte{
		"nothing": nil, "no attributes": good[:familyLen], "TCP": tcp, "a zone of both directions": r.buf,
	} {
		var got Entry
		if decodeEntry(body, &got) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	e := Entry{Tuple: Tuple{clientA, listener4, 7}, Backend: clientB, ID: 1, Counted: true}
	f.Add(entryBody(&e))
	e.Tuple = Tuple{client6, listener6, 0}
	f.Add(entryBody(&e))
	f.Fuzz(func(t *testing.T, body []byte) {
		var got Entry
		if decodeEntry(body, &got) && (!got.Client.IsValid() || !got.Listener.IsValid()) {
			t.Errorf("an entry without addresses: %+v", got)
		}
		for b := body; ; {
			_, rest, ok := cutMessage(b)
			if !ok {
				break
			}
			b = rest
		}
	})
}

func TestErrorOf(t *testing.T) {
	for _, tt := range []struct {
		body []byte
		want error
	}{
		{[]byte{0, 0, 0, 0}, nil},
		{[]byte{0xfe, 0xff, 0xff, 0xff}, ErrNotFound},
		{[]byte{0xff, 0xff, 0xff, 0xff}, unix.EPERM},
		{[]byte{0xff}, unix.EBADMSG},
	} {
		if got := errorOf(tt.body); !errors.Is(got, tt.want) {
			t.Errorf("%x: got %v, want %v", tt.body, got, tt.want)
		}
	}
}

func TestDecodingDoesNotAllocate(t *testing.T) {
	e := Entry{Tuple: Tuple{client6, listener6, 7}, Backend: client6, ID: 1, Counted: true}
	body := entryBody(&e)
	if n := testing.AllocsPerRun(100, func() { decodeEntry(body, &e) }); n != 0 {
		t.Errorf("%v allocations an event, want none", n)
	}
}

func BenchmarkDecodeEntry(b *testing.B) {
	e := Entry{Tuple: Tuple{clientA, listener4, 7}, Backend: clientB, ID: 1, Counted: true}
	body := entryBody(&e)
	b.ReportAllocs()
	for b.Loop() {
		decodeEntry(body, &e)
	}
}
