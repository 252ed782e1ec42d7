package lab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// collect starts an Echo that keeps what arrives.
func collect(t *testing.T, b *lab.Backend) func() []string {
	var mu sync.Mutex
	var payloads []string
	newEcho(t, b, lab.EchoOptions{OnArrival: func(a lab.Arrival) {
		mu.Lock()
		defer mu.Unlock()
		payloads = append(payloads, string(a.Payload))
	}})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(payloads)
	}
}

// A wrong length or checksum would be dropped on the way, and the test that
// sends such a packet would prove nothing.
func TestRawPacketsArrive(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	received := collect(t, n.Backend(1))
	raw := newRaw(t, n, n.Clients)
	payload := make([]byte, 3001)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	short := payload[:100]
	reversed := func(list [][]byte) [][]byte { slices.Reverse(list); return list }
	v4 := func(payload []byte, opts lab.PacketOptions) []byte {
		return lab.UDPPacket(at(lab.ClientIPv4(1)), at(lab.BackendIPv4(1)), payload, opts)
	}
	v6 := func(payload []byte, extensions ...lab.Extension) []byte {
		return lab.UDPPacket(at(lab.ClientIPv6(1)), at(lab.BackendIPv6(1)), payload, lab.PacketOptions{Extensions: extensions})
	}
	hop, dst := lab.Extension{Header: lab.HopByHop}, lab.Extension{Header: lab.DestinationOptions, Length: 64}
	for _, test := range []struct {
		name    string
		packets [][]byte
		want    []byte
	}{
		{"IPv4", [][]byte{v4(short, lab.PacketOptions{})}, short},
		{"IPv4 of odd length", [][]byte{v4(payload[:99], lab.PacketOptions{TTL: 3, ID: 7, DontFragment: true})}, payload[:99]},
		{"IPv4 without a payload", [][]byte{v4(nil, lab.PacketOptions{})}, nil},
		{"IPv4 without a checksum", [][]byte{v4(short, lab.PacketOptions{NoChecksum: true})}, short},
		{"IPv4 with options", [][]byte{v4(short, lab.PacketOptions{IPv4Options: []byte{1, 1, 1, 1, 1}})}, short},
		{"IPv4 fragments", lab.Fragments(v4(payload, lab.PacketOptions{}), 576, 1), payload},
		{"IPv4 fragments, last first", reversed(lab.Fragments(v4(payload, lab.PacketOptions{}), 1000, 2)), payload},
		{"IPv6", [][]byte{v6(short)}, short},
		{"IPv6 with a hop-by-hop header", [][]byte{v6(short, hop)}, short},
		{"IPv6 with destination options", [][]byte{v6(short, dst)}, short},
		{"IPv6 with both", [][]byte{v6(short, hop, dst)}, short},
		{"IPv6 fragments", lab.Fragments(v6(payload), 1280, 3), payload},
		{"IPv6 fragments, last first", reversed(lab.Fragments(v6(payload), 1280, 4)), payload},
		{"IPv6 fragments behind a hop-by-hop header", lab.Fragments(v6(payload, hop, dst), 1280, 5), payload},
		{"IPv6 atomic fragment", lab.Fragments(v6(short), 1280, 6), short},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(received())
			if sent, err := raw.Send(test.packets...); err != nil || sent != len(test.packets) {
				t.Fatalf("sent %d of %d: %v", sent, len(test.packets), err)
			}
			lab.WaitFor(t, wait, "the datagram arrives", func() bool { return len(received()) > before })
			if got := received()[before]; got != string(test.want) {
				t.Errorf("%d bytes arrived, not the %d sent", len(got), len(test.want))
			}
		})
	}
	if _, err := raw.Send(v4(payload, lab.PacketOptions{})); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("a packet beyond the MTU: %v, want EMSGSIZE", err)
	}
}

// ICMP errors about replies have to find the backend: their makers must be
// believed by a real kernel.
func TestRawICMPErrors(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	clients := newClients(t, n, lab.ClientOptions{ICMPErrors: true, DontFragment: true})
	newEcho(t, n.Backend(1), lab.EchoOptions{})
	raw := newRaw(t, n, n.Backend(1).Namespace)
	eachFamily(t, func(t *testing.T, a addresses) {
		client, backend, router := at(a.client(9)), at(a.backend(1)), a.backend(99)
		exchange(t, clients, client, backend, "opens the port")
		inner := lab.UDPPacket(client, backend, make([]byte, 1400), lab.PacketOptions{})
		before := len(clients.Errors())
		if _, err := raw.Send(lab.PortUnreachable(router, inner), lab.PacketTooBig(router, 1300, inner)); err != nil {
			t.Fatal(err)
		}
		lab.WaitFor(t, wait, "both errors arrive", func() bool { return len(clients.Errors()) == before+2 })
		list := clients.Errors()[before:]
		for i, e := range list {
			if e.At != client || e.To != backend || e.By != router {
				t.Errorf("error %d: %+v, want from %s about %s to %s", i, e, router, client, backend)
			}
		}
		if list[0].Errno != syscall.ECONNREFUSED || list[1].MTU != 1300 {
			t.Errorf("errors %v and %v with MTU %d, want a refusal and 1300", list[0].Errno, list[1].Errno, list[1].MTU)
		}
	})
}

// A flood that loses or repeats datagrams would hide what the balancer does.
func TestFlood(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	echo := newEcho(t, n.Backend(1), lab.EchoOptions{Key: firstEight})
	echo.SetSilent(true)
	raw := newRaw(t, n, n.Clients)
	eachFamily(t, func(t *testing.T, a addresses) {
		echo.Reset()
		const count = 10_000
		sent, err := raw.Flood(t.Context(), lab.FloodOptions{
			To: at(a.backend(1)), Count: count, Rate: 10_000, Length: 20,
			Fill: func(i int, payload []byte) { binary.BigEndian.PutUint64(payload, uint64(i)) },
		})
		if err != nil || sent != count {
			t.Fatalf("sent %d of %d: %v", sent, count, err)
		}
		lab.WaitFor(t, wait, "the flood arrives", func() bool { return echo.Total() == count })
		sources := make(map[string]bool)
		for _, seen := range echo.SeenAll() {
			sources[seen.From.String()] = true
		}
		if len(echo.SeenAll()) != count || len(sources) < count*99/100 {
			t.Errorf("%d payloads from %d sources, want %d and nearly as many", len(echo.SeenAll()), len(sources), count)
		}
	})
}

func TestFloodEnds(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	raw := newRaw(t, n, n.Clients)
	ctx, cancel := context.WithCancel(t.Context())
	opts := lab.FloodOptions{To: at(lab.BackendIPv4(1)), Count: 1_000_000, Rate: 1000, Fill: func(i int, _ []byte) {
		if i == 5 {
			cancel()
		}
	}}
	if sent, err := raw.Flood(ctx, opts); !errors.Is(err, context.Canceled) || sent < 5 || sent > 5+64 {
		t.Errorf("sent %d, %v; want the flood to end with its context", sent, err)
	}
	if _, err := raw.Flood(t.Context(), lab.FloodOptions{To: opts.To}); err == nil {
		t.Error("a flood without a count has no bound")
	}
}

// A test that takes a backend down under load must not hang.
func TestEchoClosesUnderLoad(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	echo := newEcho(t, n.Backend(1), lab.EchoOptions{})
	raw := newRaw(t, n, n.Clients)
	ctx, cancel := context.WithCancel(t.Context())
	flooded := make(chan error)
	go func() {
		_, err := raw.Flood(ctx, lab.FloodOptions{To: at(lab.BackendIPv4(1)), Count: 1 << 30})
		flooded <- err
	}()
	lab.WaitFor(t, wait, "the flood arrives", func() bool { return echo.Total() > 1000 })
	closed := make(chan error)
	go func() { closed <- echo.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(wait):
		t.Error("Close waits for the end of the flood")
	}
	cancel()
	if err := <-flooded; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRawSenderNeedsALink(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	if _, err := n.RawSender(n.LB); err == nil {
		t.Error("the load balancer has no link to itself")
	}
	if _, err := lab.NewRawSender(n.LB, "no-such-link", make([]byte, 6)); err == nil {
		t.Error("no such link: want an error")
	}
}
