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
	counts, total := make([]int, len(list)), 0
	WaitFor(t, 10*time.Second, "every datagram comes to one of the sockets", func() bool {
		for i, s := range list {
			n := waiting(t, s)
			counts[i], total = counts[i]+n, total+n
		}
		return total == senders
	})
	for i, n := range counts {
		if n == 0 {
			t.Errorf("socket %d of %d got none of %d flows", i, len(counts), senders)
		}
	}
	// Two servers by mistake at one address would each see a part.
	if more, err := listenShared(addr, nil, func(int) int { return 4 }); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("the address is in use: %v, want EADDRINUSE", errors.Join(err, closeAll(more)))
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
