package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/roamlb/roamlb/internal/lab"
)

// eachFamily runs a test with IPv4 and IPv6 addresses: of a client, a
// listener and a backend.
func eachFamily(t *testing.T, f func(t *testing.T, a addresses)) {
	t.Run("IPv4", func(t *testing.T) {
		f(t, addresses{lab.ClientIPv4, lab.ListenerIPv4, lab.BackendIPv4})
	})
	t.Run("IPv6", func(t *testing.T) {
		f(t, addresses{lab.ClientIPv6, lab.ListenerIPv6, lab.BackendIPv6})
	})
}

type addresses struct{ client, listener, backend func(int) netip.Addr }

func at(addr netip.Addr) netip.AddrPort { return netip.AddrPortFrom(addr, port) }

// exchange sends one datagram and returns the reply, or fails the test.
func exchange(t *testing.T, c *lab.Clients, src, dst netip.AddrPort, payload string) lab.Reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	r, err := c.Exchange(ctx, src, dst, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	if r.At != src || r.From != dst || len(r.Payload) != len(payload)+1 {
		t.Errorf("%s to %s: reply %q at %s from %s", src, dst, r.Payload, r.At, r.From)
	}
	return r
}

// Every measurement rests on this: the first packet from anywhere arrives.
func TestNetworkRoutesClientsToBackends(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 4})
	clients := newClients(t, n, lab.ClientOptions{})
	for _, b := range n.Backends {
		newEcho(t, b, lab.EchoOptions{})
	}
	eachFamily(t, func(t *testing.T, a addresses) {
		for i := 1; i <= 4; i++ {
			r := exchange(t, clients, at(a.client(i)), at(a.backend(i)), fmt.Sprint("to ", i))
			if r.Number() != i {
				t.Errorf("backend %d answered for backend %d", r.Number(), i)
			}
		}
	})
}

func TestNetworkHasListeners(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	clients := newClients(t, n, lab.ClientOptions{})
	eachFamily(t, func(t *testing.T, a addresses) {
		if err := n.AddListener(a.listener(1)); err != nil {
			t.Fatal(err)
		}
		e, err := lab.NewEcho(n.LB, lab.EchoOptions{Number: 9}, at(a.listener(0)), at(a.listener(1)))
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		for i := range 2 {
			if r := exchange(t, clients, at(a.client(0)), at(a.listener(i)), "listener"); r.Number() != 9 {
				t.Errorf("%d answered, want the load balancer", r.Number())
			}
		}
	})
}

func TestNetworkAddBackendAddress(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 2})
	clients := newClients(t, n, lab.ClientOptions{})
	eachFamily(t, func(t *testing.T, a addresses) {
		moved := at(a.backend(202))
		if err := n.AddBackendAddress(n.Backend(2), moved.Addr()); err != nil {
			t.Fatal(err)
		}
		e, err := lab.NewEcho(n.Backend(2).Namespace, lab.EchoOptions{}, moved)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		exchange(t, clients, at(a.client(0)), moved, "moved")
	})
}

// Clients and backends on the load balancer's own host count too.
func TestNetworkBackendsReachEachOther(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 2})
	newEcho(t, n.Backend(2), lab.EchoOptions{})
	eachFamily(t, func(t *testing.T, a addresses) {
		clients := lab.NewClients(n.Backend(1).Namespace, lab.ClientOptions{})
		defer clients.Close()
		exchange(t, clients, at(a.backend(1)), at(a.backend(2)), "neighbour")
	})
}

func TestTwoNetworksAreSeparate(t *testing.T) {
	one := newNetwork(t, lab.NetworkOptions{Backends: 1})
	two := newNetwork(t, lab.NetworkOptions{Backends: 1})
	seen := newEcho(t, one.Backend(1), lab.EchoOptions{})
	newEcho(t, two.Backend(1), lab.EchoOptions{})
	exchange(t, newClients(t, two, lab.ClientOptions{}), at(lab.ClientIPv4(0)), at(lab.BackendIPv4(1)), "two")
	if seen.Total() != 0 {
		t.Error("a datagram went from one network to the other")
	}
}

func TestNetworkOptions(t *testing.T) {
	if _, err := lab.NewNetwork(lab.NetworkOptions{Backends: 201}); err == nil {
		t.Error("201 backends: want an error")
	}
	n := newNetwork(t, lab.NetworkOptions{})
	if len(n.Backends) != 3 {
		t.Errorf("%d backends, want 3", len(n.Backends))
	}
}
