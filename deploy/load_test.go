//go:build packages

package deploy

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// load is traffic of sessions through the service: it counts the datagrams that
// no backend answered, and those that another backend answered than the
// session's first one.
type load struct {
	conns    []*net.UDPConn
	backends []*net.UDPConn
	stop     chan struct{}
	sender   sync.WaitGroup
	readers  sync.WaitGroup

	mu       sync.Mutex // guards the following
	sent     int
	open     map[uint64]uint64 // session by datagram, not answered yet
	home     map[uint64]byte   // backend by session
	answered int
	misplace int
}

const (
	loadSockets = 20
	loadPause   = 5 * time.Millisecond // between datagrams: the processor is emulated
	newSession  = 3                    // every third datagram begins a session
)

// begin begins to send.
func begin(t *testing.T) *load {
	t.Helper()
	l := &load{stop: make(chan struct{}), open: make(map[uint64]uint64), home: make(map[uint64]byte)}
	for i := range 3 {
		c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(fmt.Sprintf("198.51.100.%d:1194", i+1))))
		if err != nil {
			t.Fatal(err)
		}
		l.backends = append(l.backends, c)
		l.readers.Go(func() { echo(c, byte(i+1)) })
	}
	for range loadSockets {
		c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.10:1194")))
		if err != nil {
			t.Fatal(err)
		}
		l.conns = append(l.conns, c)
		l.readers.Go(func() { l.read(c) })
	}
	l.sender.Go(func() { l.send(t, uint64(time.Now().UnixNano())) })
	return l
}

// echo answers datagrams with themselves and the backend's number.
func echo(c *net.UDPConn, number byte) {
	b := make([]byte, 1500)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return // closed
		}
		_, _ = c.WriteToUDPAddrPort(append(b[:n:n], number), from) // one that is lost is counted
	}
}

// A datagram: a byte, the key, a number of its own.
func datagram(session, number uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte{0x48}, session*0x9e3779b97f4a7c15)
	return binary.BigEndian.AppendUint64(b, number)
}

func (l *load) send(t *testing.T, base uint64) {
	tick := time.NewTicker(loadPause)
	defer tick.Stop()
	var sessions []uint64
	for i := uint64(0); ; i++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		if i%newSession == 0 {
			sessions = append(sessions, base+i)
		}
		session := sessions[int(i*7)%len(sessions)]
		if i%newSession == 0 {
			session = base + i
		}
		l.mu.Lock()
		l.sent++
		l.open[base+i] = session
		l.mu.Unlock()
		// A session keeps to a socket: this is no test of roaming.
		if _, err := l.conns[session%loadSockets].Write(datagram(session, base+i)); err != nil {
			t.Errorf("send: %v", err)
		}
	}
}

func (l *load) read(c *net.UDPConn) {
	b := make([]byte, 1500)
	for {
		n, err := c.Read(b)
		if err != nil {
			return // closed
		}
		if n != 18 {
			continue
		}
		number, backend := binary.BigEndian.Uint64(b[9:]), b[17]
		l.mu.Lock()
		if session, ok := l.open[number]; ok {
			delete(l.open, number)
			l.answered++
			if home, ok := l.home[session]; ok && home != backend {
				l.misplace++
			}
			l.home[session] = backend
		}
		l.mu.Unlock()
	}
}

// finish ends the traffic, waits for what is on its way, and demands that
// nothing was lost or misplaced.
func (l *load) finish(t *testing.T, when string) {
	t.Helper()
	close(l.stop)
	l.sender.Wait()
	deadline := time.Now().Add(10 * time.Second)
	left := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.open)
	}
	for left() > 0 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	for _, c := range append(l.conns, l.backends...) {
		c.Close()
	}
	l.readers.Wait()
	t.Logf("%s: %d packets sent, %d sessions, %d lost, %d misplaced", when, l.sent, len(l.home), len(l.open), l.misplace)
	if l.answered == 0 || len(l.open) > 0 || l.misplace > 0 {
		t.Errorf("%s: %d of %d lost, %d misplaced", when, len(l.open), l.sent, l.misplace)
	}
}
