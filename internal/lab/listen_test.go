package lab

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Ordinary users of most distributions get small buffers: with one socket,
// their tests would lose datagrams.
func TestSocketsShareAnAddress(t *testing.T) {
	addr := netip.MustParseAddrPort("127.0.0.1:1195")
	var asked int
	list, err := listenShared(addr, nil, func(buffer int) int { asked = buffer; return 4 })
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := closeAll(list); err != nil {
			t.Error(err)
		}
	}()
	if len(list) != 4 || asked <= 0 {
		t.Fatalf("%d sockets, want 4, for a buffer of %d bytes", len(list), asked)
	}
	const senders = 100
	for range senders {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	everySocketReceives(t, list, senders)
	// Two servers by mistake at one address would each see a part.
	if more, err := listenShared(addr, nil, func(int) int { return 4 }); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("the address is in use: %v, want EADDRINUSE", errors.Join(err, closeAll(more)))
	}
}

// The answers that all clients get come from one listener.
func TestSocketsShareClients(t *testing.T) {
	n, err := NewNamespace("clients")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for _, family := range []struct {
		name   string
		prefix netip.Prefix
		client func(int) netip.Addr
		any    netip.Addr
		server string
	}{
		{"IPv4", ClientsIPv4, ClientIPv4, netip.IPv4Unspecified(), "127.0.0.1:1194"},
		{"IPv6", ClientsIPv6, ClientIPv6, netip.IPv6Unspecified(), "[::1]:1194"},
	} {
		t.Run(family.name, func(t *testing.T) {
			if err := n.ownPrefix(family.prefix); err != nil {
				t.Fatal(err)
			}
			var list []*socket
			var conn *net.UDPConn
			err := n.Do(func() (err error) {
				list, err = listenShared(netip.AddrPortFrom(family.any, 1196), nil, func(int) int { return 4 })
				if err != nil {
					return err
				}
				conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(family.server)))
				return err
			})
			defer func() { _ = closeAll(list) }()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := spreadByClient(list, family.any.Is4()); err != nil {
				t.Fatal(err)
			}
			const clients = 100
			for i := range clients {
				if _, err := conn.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(family.client(i), 1196)); err != nil {
					t.Fatal(err)
				}
			}
			everySocketReceives(t, list, clients)
		})
	}
}

// everySocketReceives checks that the datagrams arrive and every socket has
// its part.
func everySocketReceives(t *testing.T, list []*socket, datagrams int) {
	t.Helper()
	counts, total := make([]int, len(list)), 0
	WaitFor(t, 10*time.Second, "every datagram comes to one of the sockets", func() bool {
		for i, s := range list {
			n := waiting(t, s)
			counts[i], total = counts[i]+n, total+n
		}
		return total == datagrams
	})
	for i, n := range counts {
		if n == 0 {
			t.Errorf("socket %d of %d got none of %d datagrams", i, len(counts), datagrams)
		}
	}
}

// waiting takes what is in a socket's buffer and returns how much that was.
func waiting(t *testing.T, s *socket) (n int) {
	t.Helper()
	b := receiveBatches.get()
	defer receiveBatches.put(b)
	b.prepare(false)
	err := s.conn.Control(func(fd uintptr) { n = recvmmsg(fd, b, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}
