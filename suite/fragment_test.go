package suite

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// deep is a payload that takes three fragments, with the session's key at an
// offset.
func deep(session, offset int) []byte {
	p := make([]byte, 4000)
	for i := range p {
		p[i] = byte(i * 7)
	}
	binary.BigEndian.PutUint32(p[16:], uint32(session)) // tells the datagrams apart
	copy(p[offset:], sessionKey(session))
	return p
}

// Large datagrams come in fragments, of which the key is in one: whichever it
// is, and in whatever order they come, the session stays.
func TestFragments(t *testing.T) {
	for _, offset := range []int{1, 3000} {
		for _, pinning := range []string{"auto", "flow"} {
			t.Run(fmt.Sprintf("key at %d, %s", offset, pinning), func(t *testing.T) {
				b := newBed(t, bedOptions{})
				b.serve(b.service("pinning: "+pinning, fmt.Sprintf("key: {offset: %d, length: 8}", offset)))
				raw, err := b.RawSender(b.Clients)
				if err != nil {
					t.Fatal(err)
				}
				defer raw.Close()
				seen := make(map[int]bool)
				for i := range 20 {
					v6 := i%2 == 1
					p := deep(i, offset)
					home := b.exchange(0, lab.Datagram{Src: client(v6, i, 20000), Dst: listener(v6), Payload: p})[0].Number()
					seen[home] = true
					at := client(!v6, i, 20000) // the session roams, its fragments last first
					reply := b.expect(at, p)
					list := lab.Fragments(lab.UDPPacket(at, listener(!v6), p, lab.PacketOptions{}), 1400, uint32(i+1))
					for j := len(list) - 1; j >= 0; j-- {
						if _, err := raw.Send(list[j]); err != nil {
							t.Fatal(err)
						}
					}
					if r := reply(); r.Number() != home || r.From != listener(!v6) {
						t.Fatalf("session %d moved from backend %d to %d (answer from %v) when it roamed", i, home, r.Number(), r.From)
					}
				}
				if len(seen) < 2 {
					t.Error("all sessions are at one backend: the key was not read")
				}
			})
		}
	}
}

// expect waits for the answer to a datagram that is sent by other means.
func (b *bed) expect(at netip.AddrPort, request []byte) func() lab.Reply {
	b.t.Helper()
	e, err := b.clients.Expect(at, func(r lab.Reply) bool { return strings.HasPrefix(string(r.Payload), string(request)) })
	if err != nil {
		b.t.Fatal(err)
	}
	return func() lab.Reply {
		b.t.Helper()
		return b.wait(e)
	}
}

// wait waits for what a client expects.
func (b *bed) wait(e *lab.Expectation) lab.Reply {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Second)
	defer cancel()
	r, err := e.Wait(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// Hosts and networks that add IPv6 extension headers must not lose their
// session, nor leave it a stale entry.
func TestExtensionHeaders(t *testing.T) {
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: " + pinning))
			raw, err := b.RawSender(b.Clients)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			for i, headers := range [][]lab.Extension{
				{{Header: lab.HopByHop}},
				{{Header: lab.DestinationOptions}},
				{{Header: lab.HopByHop, Length: 64}, {Header: lab.DestinationOptions, Length: 192}},
			} {
				for j := range 8 {
					session := 10*i + j
					old, at := client(true, session, 20000), client(true, 1000+session, 20000)
					home := b.exchange(0, datagram(old, session, 0))[0].Number()
					p := payload(session, 1)
					reply := b.expect(at, p)
					if _, err := raw.Send(lab.UDPPacket(at, listener(true), p, lab.PacketOptions{Extensions: headers})); err != nil {
						t.Fatal(err)
					}
					if r := reply(); r.Number() != home {
						t.Fatalf("headers %v: session %d moved from backend %d to %d when it roamed", headers, session, home, r.Number())
					}
					lab.WaitFor(t, 5*time.Second, "the entry it left is gone", func() bool { return len(b.entriesOf(old)) == 0 })
				}
			}
		})
	}
}
