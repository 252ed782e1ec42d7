package suite

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
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
	atLeisure(t)
	b := newBed(t, bedOptions{})
	offsets, pinnings := []int{1, 3000}, []string{"auto", "flow"}
	var services []string
	for i, offset := range offsets {
		for j, pinning := range pinnings {
			services = append(services, b.serviceNamed(fmt.Sprintf("s%d%d", i, j), uint16(port+len(services)),
				"pinning: "+pinning, fmt.Sprintf("key: {offset: %d, length: 8}", offset)))
		}
	}
	b.serve(services...)
	for i := range services {
		what := fmt.Sprintf("key at %d, pinning %s", offsets[i/len(pinnings)], pinnings[i%len(pinnings)])
		to := func(v6 bool) netip.AddrPort { return netip.AddrPortFrom(listener(v6).Addr(), uint16(port+i)) }
		seen := make(map[int]bool)
		for session := range 20 {
			v6 := session%2 == 1
			p := deep(session, offsets[i/len(pinnings)])
			home := b.exchange(0, lab.Datagram{Src: client(v6, session, uint16(20000+i)), Dst: to(v6), Payload: p})[0].Number()
			seen[home] = true
			at := client(!v6, session, uint16(20000+i)) // the session roams, its fragments last first
			reply := b.expect(at, p)
			list := lab.Fragments(lab.UDPPacket(at, to(!v6), p, lab.PacketOptions{}), 1400, uint32(100*i+session+1))
			slices.Reverse(list)
			b.sendRaw(b.Clients, list...)
			if r := reply(); r.Number() != home || r.From != to(!v6) {
				t.Fatalf("%s: session %d moved from backend %d to %d (answer from %v) when it roamed", what, session, home, r.Number(), r.From)
			}
		}
		if len(seen) < 2 {
			t.Errorf("%s: all sessions are at one backend: the key was not read", what)
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
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: " + pinning))
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
					b.sendRaw(b.Clients, lab.UDPPacket(at, listener(true), p, lab.PacketOptions{Extensions: headers}))
					if r := reply(); r.Number() != home {
						t.Fatalf("headers %v: session %d moved from backend %d to %d when it roamed", headers, session, home, r.Number())
					}
					waitFor(t, 5*time.Second, "the entry it left is gone", func() bool { return len(b.entriesOf(old)) == 0 })
				}
			}
		})
	}
}
