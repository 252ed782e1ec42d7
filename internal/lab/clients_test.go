package lab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/internal/lab"
)

// firstEight is a key as many protocols have it.
func firstEight(payload []byte) []byte {
	if len(payload) < 8 {
		return nil
	}
	return payload[:8]
}

// numbered returns datagrams, each with its own client address and a payload
// that begins with its number.
func numbered(count int, client func(int) netip.Addr, dst netip.AddrPort) []lab.Datagram {
	list := make([]lab.Datagram, count)
	for i := range list {
		payload := binary.BigEndian.AppendUint64(nil, uint64(i))
		list[i] = lab.Datagram{Src: netip.AddrPortFrom(client(i), port), Dst: dst, Payload: append(payload, "payload"...)}
	}
	return list
}

// Thousands of clients are what shows misplaced sessions.
func TestExchangeAll(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	clients := newClients(t, n, lab.ClientOptions{})
	echo := newEcho(t, n.Backend(1), lab.EchoOptions{Key: firstEight})
	eachFamily(t, func(t *testing.T, a addresses) {
		echo.Reset()
		const count = 2000
		list := numbered(count, a.client, at(a.backend(1)))
		replies, err := clients.ExchangeAll(t.Context(), list, 10_000, wait)
		if err != nil {
			t.Fatal(err)
		}
		if lost := lab.Unanswered(replies); len(lost) != 0 {
			t.Fatalf("%d of %d datagrams have no reply", len(lost), count)
		}
		for i, r := range replies {
			want := lab.Reply{At: list[i].Src, From: list[i].Dst, Payload: append(list[i].Payload, 1), Time: r.Time}
			if diff := cmp.Diff(want, r, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
				t.Fatalf("reply %d (-want +got):\n%s", i, diff)
			}
			if seen := echo.Seen(list[i].Payload[:8]); seen.Count != 1 || seen.From != list[i].Src || seen.At != list[i].Dst {
				t.Fatalf("the backend saw %+v of datagram %d", seen, i)
			}
		}
		if len(echo.SeenAll()) != count || echo.Total() != count {
			t.Errorf("the backend saw %d keys in %d datagrams, want %d", len(echo.SeenAll()), echo.Total(), count)
		}
		lab.WaitFor(t, wait, "the replies are counted", func() bool { return echo.Replies()%count == 0 })
	})
	if got, want := clients.Counts(), (lab.Counts{Sent: 4000, Received: 4000}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

func TestManySourcePorts(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	clients := newClients(t, n, lab.ClientOptions{})
	newEcho(t, n.Backend(1), lab.EchoOptions{})
	eachFamily(t, func(t *testing.T, a addresses) {
		list := numbered(300, func(int) netip.Addr { return a.client(0) }, at(a.backend(1)))
		for i := range list {
			list[i].Src = netip.AddrPortFrom(a.client(0), uint16(20_000+i))
		}
		replies, err := clients.ExchangeAll(t.Context(), list, 10_000, wait)
		if lost := lab.Unanswered(replies); err != nil || len(lost) != 0 {
			t.Errorf("%d of %d datagrams have no reply (%v)", len(lost), len(list), err)
		}
	})
}

// A test that asks "which sessions were cut off" must get those, and end.
func TestExchangeAllReportsSilence(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	clients := newClients(t, n, lab.ClientOptions{})
	echo := newEcho(t, n.Backend(1), lab.EchoOptions{
		Answer: func(payload []byte) bool { return payload[7]%2 == 0 },
	})
	list := numbered(10, lab.ClientIPv4, at(lab.BackendIPv4(1)))
	replies, err := clients.ExchangeAll(t.Context(), list, 0, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 3, 5, 7, 9}, lab.Unanswered(replies)); diff != "" {
		t.Errorf("unanswered (-want +got):\n%s", diff)
	}
	echo.SetSilent(true)
	replies, err = clients.ExchangeAll(t.Context(), list, 0, 50*time.Millisecond)
	if err != nil || len(lab.Unanswered(replies)) != len(list) {
		t.Errorf("%d of %d are unanswered (%v) by a silent backend", len(lab.Unanswered(replies)), len(list), err)
	}
	lab.WaitFor(t, wait, "a silent backend counts", func() bool { return echo.Total() == 20 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := clients.Exchange(ctx, list[0].Src, list[0].Dst, list[0].Payload); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Exchange: %v, want that the time is over", err)
	}
	if r, err := clients.ExchangeAll(t.Context(), nil, 0, time.Hour); err != nil || len(r) != 0 {
		t.Errorf("nothing to send: %v, %v", r, err)
	}
}

// Pushes by a server are what a takeover misdirects.
func TestEchoSendsUnasked(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	received := make(chan lab.Reply, 8)
	clients := newClients(t, n, lab.ClientOptions{OnReply: func(r lab.Reply) { received <- r }})
	echo := newEcho(t, n.Backend(1), lab.EchoOptions{})
	eachFamily(t, func(t *testing.T, a addresses) {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		client := at(a.client(77))
		expectation, err := clients.Expect(client, func(r lab.Reply) bool { return string(r.Payload) == "second" })
		if err != nil {
			t.Fatal(err)
		}
		for _, payload := range []string{"first", "second"} {
			if err := echo.Send(client, []byte(payload)); err != nil {
				t.Fatal(err)
			}
		}
		r, err := expectation.Wait(ctx)
		if err != nil || r.From != at(a.backend(1)) || r.At != client {
			t.Errorf("got %+v (%v), want the push from the service's address", r, err)
		}
		for _, want := range []string{"first", "second"} {
			if r := <-received; string(r.Payload) != want {
				t.Errorf("OnReply got %q, want %q", r.Payload, want)
			}
		}
	})
	if got := clients.Counts().Unclaimed; got != 2 {
		t.Errorf("%d datagrams that nothing expected, want 2", got)
	}
}

func TestArrivalsInOrder(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	arrivals := make(chan string, 100)
	newEcho(t, n.Backend(1), lab.EchoOptions{OnArrival: func(a lab.Arrival) {
		arrivals <- fmt.Sprintf("%s %s %s", a.From, a.At, a.Payload)
	}})
	clients := newClients(t, n, lab.ClientOptions{})
	src, dst := at(lab.ClientIPv4(5)), at(lab.BackendIPv4(1))
	var list []lab.Datagram
	for i := range 100 {
		list = append(list, lab.Datagram{Src: src, Dst: dst, Payload: fmt.Append(nil, i)})
	}
	if _, err := clients.SendAll(list); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if got, want := <-arrivals, fmt.Sprintf("%s %s %d", src, dst, i); got != want {
			t.Fatalf("arrival %d is %q, want %q", i, got, want)
		}
	}
}

// A client must learn at once that a service has no backend.
func TestErrorsPortUnreachable(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	clients := newClients(t, n, lab.ClientOptions{ICMPErrors: true})
	eachFamily(t, func(t *testing.T, a addresses) {
		const count = 100 // more than any rate limit lets pass
		before := len(clients.Errors())
		list := numbered(count, a.client, at(a.backend(1)))
		if sent, err := clients.SendAll(list); err != nil || sent != count {
			t.Fatalf("sent %d of %d: %v; errors about one datagram must not stop others", sent, count, err)
		}
		lab.WaitFor(t, wait, "each datagram is refused", func() bool { return len(clients.Errors()) == before+count })
		for i, e := range clients.Errors()[before:] {
			want := list[i]
			if e.At != want.Src || e.To != want.Dst || e.By != want.Dst.Addr() || e.Errno != syscall.ECONNREFUSED ||
				string(e.Payload) != string(want.Payload) {
				t.Fatalf("error %d is %+v, want a refusal of %+v", i, e, want)
			}
		}
	})
}

// Path MTU discovery through the load balancer is a feature to be tested.
func TestErrorsPacketTooBig(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	clients := newClients(t, n, lab.ClientOptions{ICMPErrors: true, DontFragment: true})
	if err := n.LB.SetMTU("backend-1", 1400); err != nil {
		t.Fatal(err)
	}
	eachFamily(t, func(t *testing.T, a addresses) {
		before := len(clients.Errors())
		src, dst := at(a.client(3)), at(a.backend(1))
		if err := clients.Send(src, dst, make([]byte, 1430)); err != nil {
			t.Fatal(err)
		}
		lab.WaitFor(t, wait, "the router says what passes", func() bool { return len(clients.Errors()) > before })
		if e := clients.Errors()[before]; e.MTU != 1400 || e.Errno != syscall.EMSGSIZE || e.At != src || e.To != dst {
			t.Errorf("error %+v, want MTU 1400", e)
		}
		if err := clients.Send(src, dst, make([]byte, 1430)); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("the second datagram: %v, want EMSGSIZE", err)
		}
	})
}

func TestLargeDatagramsAreFragmented(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	newEcho(t, n.Backend(1), lab.EchoOptions{})
	clients := newClients(t, n, lab.ClientOptions{})
	eachFamily(t, func(t *testing.T, a addresses) {
		exchange(t, clients, at(a.client(0)), at(a.backend(1)), string(make([]byte, 20_000)))
	})
}

func TestClosedClients(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	clients := lab.NewClients(n.Clients, lab.ClientOptions{})
	if err := clients.Send(at(lab.ClientIPv4(0)), at(lab.BackendIPv4(1)), nil); err != nil {
		t.Fatal(err)
	}
	if err := clients.Close(); err != nil {
		t.Fatal(err)
	}
	if err := clients.Send(at(lab.ClientIPv4(0)), at(lab.BackendIPv4(1)), nil); err == nil {
		t.Error("closed clients send")
	}
	if err := clients.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}
