package nfq

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// copyMessage is a message with a copy, as the kernel lays it out:
// __build_packet_message of net/netfilter/nfnetlink_log.c.
func copyMessage(prefix string, mark uint32, packet []byte) []byte {
	b := beginMessage(nil, msgCopy, balancer.LogGroup)
	b = appendAttr(b, 1, 0x08, 0x00, 0) // NFULA_PACKET_HDR
	b = appendAttr(b, copyPrefix, append([]byte(prefix), 0)...)
	if mark != 0 {
		b = appendWord(b, copyMark, mark)
	}
	return endMessage(appendAttr(b, copyPayload, packet...), 0)
}

// What the kernel has decided must be known as it was, or its entries are
// taken for others'.
func TestCopiesBecomeFacts(t *testing.T) {
	packet4 := lab.UDPPacket(client4, listener4(sessionPort), keyOf(99), lab.PacketOptions{})
	packet6 := lab.UDPPacket(client6, listener6(sessionPort), keyOf(99), lab.PacketOptions{})
	to := func(p uint16) []byte {
		return lab.UDPPacket(client4, listener4(p), keyOf(99), lab.PacketOptions{})
	}
	fact := func(client netip.AddrPort, listener netip.AddrPort, backend uint16, newFlow bool) []balancer.Fact {
		return []balancer.Fact{{
			Session: balancer.SessionRef{Index: 99, Gen: 1}, Client: client, Listener: listener, Backend: backend, NewFlow: newFlow, At: 42,
		}}
	}
	for _, c := range []struct {
		name string
		b    []byte
		want []balancer.Fact
	}{
		{"a new flow", copyMessage("new", 2, packet4), fact(client4, listener4(sessionPort), 2, true)},
		{"a known flow", copyMessage("known", 3, packet4), fact(client4, listener4(sessionPort), 3, false)},
		{"IPv6", copyMessage("new", 1, packet6), fact(client6, listener6(sessionPort), 1, true)},
		{"of no backend", copyMessage("new", 0, packet4), nil},
		{"of a backend that is gone", copyMessage("new", 77, packet4), nil},
		{"of a service that Go decides for", copyMessage("new", 2, to(flowPort)), nil},
		{"of a service that is gone", copyMessage("new", 2, to(9)), nil},
		{"without its key", copyMessage("new", 2, lab.UDPPacket(client4, listener4(sessionPort), nil, lab.PacketOptions{})), nil},
		{"damaged", copyMessage("new", 2, packet4[:15]), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, rest, ok := nextMessage(c.b)
			if !ok || m.kind != msgCopy || len(rest) != 0 {
				t.Fatalf("message of type %#x, %d bytes behind it: %t", m.kind, len(rest), ok)
			}
			var told teller
			told.begin(testSnapshot(&fakeBindings{}), 42)
			told.hear(m.body)
			for i := range told.facts {
				told.facts[i].View = nil
			}
			if len(c.want)+len(told.facts) == 0 {
				return
			}
			if diff := cmp.Diff(c.want, told.facts, cmp.Comparer(func(a, b balancer.Fact) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Garbage for each copy would mean pauses for the queues too.
func TestCopiesDoNotAllocate(t *testing.T) {
	m, _, _ := nextMessage(copyMessage("new", 2, lab.UDPPacket(client4, listener4(sessionPort), keyOf(99), lab.PacketOptions{})))
	var told teller
	s := testSnapshot(&fakeBindings{})
	hear := func() {
		told.begin(s, 42)
		told.hear(m.body)
	}
	hear()
	if n := testing.AllocsPerRun(100, hear); n != 0 || len(told.facts) != 1 {
		t.Errorf("%v allocations for %d facts, want none", n, len(told.facts))
	}
}

func FuzzCopy(f *testing.F) {
	f.Add(copyMessage("known", 2, lab.UDPPacket(client4, listener4(sessionPort), keyOf(1), lab.PacketOptions{}))[headerLen:])
	f.Add(copyMessage("new", 0, nil)[headerLen:])
	s := testSnapshot(&fakeBindings{})
	f.Fuzz(func(t *testing.T, body []byte) {
		var told teller
		told.begin(s, 42)
		told.hear(body)
		for _, fact := range told.facts {
			if fact.View.Backend(fact.Backend) == nil {
				t.Errorf("a fact about no backend: %+v", fact)
			}
		}
	})
}
