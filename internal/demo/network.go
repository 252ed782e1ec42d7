package demo

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// The services' ports, at the listeners and at the backends.
const (
	vpnPort  = 4500 // stale entries are deleted
	keptPort = 4501 // stale entries are kept: to show what plain conntrack does with one
)

// weights of the backends, in the order of their numbers.
var weights = []int{1, 2, 5}

// patience is how long an answer may take before it counts as lost.
const patience = 2 * time.Second

// serverName is the name of backend i, counted from 0, and the byte that ends
// its answers.
func serverName(i int) string { return string(rune('a' + i)) }

// inkOf is the colour of backend i, counted from 0, and of what it answers.
func inkOf(i int) ink { return []ink{"36", "33", "35"}[i] }

// listener is where the clients of a family send.
func listener(port uint16, v6 bool) netip.AddrPort {
	if v6 {
		return netip.AddrPortFrom(lab.ListenerIPv6(0), port)
	}
	return netip.AddrPortFrom(lab.ListenerIPv4(0), port)
}

// bed is a network with clients, and an echo on every backend.
type bed struct {
	*lab.Network
	clients *lab.Clients
	servers []*server
}

// server is an echo that can be told to keep silent about one session.
type server struct {
	*lab.Echo
	held atomic.Pointer[session]
	game *lab.Echo // of another service, and can be silent by itself
}

func newBed() (b *bed, err error) {
	b = &bed{}
	if b.Network, err = lab.NewNetwork(lab.NetworkOptions{Backends: len(weights)}); err != nil {
		return nil, err
	}
	b.clients = lab.NewClients(b.Clients, lab.ClientOptions{})
	for i, be := range b.Backends {
		v := &server{}
		var at []netip.AddrPort
		for _, port := range []uint16{vpnPort, keptPort, tunnelPort} {
			at = append(at, netip.AddrPortFrom(be.IPv4, port), netip.AddrPortFrom(be.IPv6, port))
		}
		v.Echo, err = lab.NewEcho(be.Namespace, lab.EchoOptions{
			Number: serverName(i)[0], Key: v.heldKey,
			Answer: func(payload []byte) bool { return v.heldKey(payload) == nil },
		}, at...)
		if err != nil {
			return nil, errors.Join(err, b.close())
		}
		b.servers = append(b.servers, v)
		if v.game, err = be.Echo(gamePort, lab.EchoOptions{Number: serverName(i)[0]}); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return b, nil
}

func (b *bed) close() error {
	var errs []error
	for _, v := range b.servers {
		errs = append(errs, v.Close())
		if v.game != nil {
			errs = append(errs, v.game.Close())
		}
	}
	return errors.Join(append(errs, b.clients.Close(), b.Close())...)
}

// heldKey is the payload's session if that is the one that is not answered.
func (v *server) heldKey(payload []byte) []byte {
	held, of := v.held.Load(), sessionOf(payload)
	if held == nil || !slices.Equal(of, held[:]) {
		return nil
	}
	return of
}

// answerer is the backend, counted from 0, that sent a reply: -1 for none.
func answerer(r lab.Reply) int {
	if i := r.Number() - int(serverName(0)[0]); r.Answered() && i >= 0 && i < len(weights) {
		return i
	}
	return -1
}

// exchange sends one datagram of a session and returns the reply, a zero one if
// there was none, and how long it took. The error is ctx's or that the kernel
// refused to send.
func (b *bed) exchange(ctx context.Context, from, to netip.AddrPort, of session) (lab.Reply, time.Duration, error) {
	begun := time.Now()
	replies, err := b.exchangeAll(ctx, []lab.Datagram{{Src: from, Dst: to, Payload: of.payload()}})
	if err != nil {
		return lab.Reply{}, 0, err
	}
	return replies[0], replies[0].Time.Sub(begun), nil
}

// exchangeAll sends datagrams at a moderate rate and returns a reply for each,
// a zero one where none came. It never has more under way than the sockets'
// buffers hold.
func (b *bed) exchangeAll(ctx context.Context, list []lab.Datagram) ([]lab.Reply, error) {
	const rate, atOnce = 5000, 200
	replies := make([]lab.Reply, 0, len(list))
	for part := range slices.Chunk(list, atOnce) {
		more, err := b.clients.ExchangeAll(ctx, part, rate, patience)
		if err != nil {
			return nil, err
		}
		replies = append(replies, more...)
	}
	return replies, nil
}
