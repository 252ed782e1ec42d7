package nft

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// unbound is a session table that knows nobody: the kernel alone is tested
// here.
type unbound struct{}

func (unbound) Bind(_ int64, _ []byte, _ *balancer.View, _ bool, candidate uint16) balancer.Binding {
	return balancer.Binding{Backend: candidate}
}

func (unbound) Told(_ int64, _ []byte, _ *balancer.View, _ bool, backend uint16) balancer.Binding {
	return balancer.Binding{Backend: backend}
}

func (unbound) Find([]byte, *balancer.View, bool) (balancer.Binding, bool) {
	return balancer.Binding{}, false
}

// bed is a network whose balancer has a Ruleset, and an echo on every backend.
type bed struct {
	*lab.Network
	rules   *Ruleset
	clients *lab.Clients
	echoes  []*lab.Echo
}

const (
	port      = 1194
	keyOffset = 1
	keyLength = 8
)

func newBed(t *testing.T) *bed {
	t.Helper()
	n, err := lab.NewNetwork(lab.NetworkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{Network: n}
	if err := n.LB.Do(func() (err error) { b.rules, err = Open(); return err }); err != nil {
		t.Fatal(err)
	}
	b.clients = lab.NewClients(n.Clients, lab.ClientOptions{ICMPErrors: true})
	for _, be := range n.Backends {
		e, err := be.Echo(port, lab.EchoOptions{Number: byte(be.Number), Key: func(p []byte) []byte { return p[min(keyOffset, len(p)):min(keyOffset+keyLength, len(p))] }})
		if err != nil {
			t.Fatal(err)
		}
		b.echoes = append(b.echoes, e)
	}
	t.Cleanup(func() {
		for _, e := range b.echoes {
			e.Close()
		}
		if err := errors.Join(b.clients.Close(), b.rules.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// service has the network's three backends, with ids that equal their numbers.
func (b *bed) service(change func(*balancer.Service)) *balancer.Service {
	s := &balancer.Service{
		Name: "vpn", Listen: []netip.AddrPort{netip.AddrPortFrom(lab.ListenerIPv4(0), port), netip.AddrPortFrom(lab.ListenerIPv6(0), port)},
		Key:     balancer.Key{Variants: []balancer.Variant{{Fields: []balancer.Field{{Offset: keyOffset, Length: keyLength}}}}, Fallback: balancer.FallbackSource},
		Pinning: balancer.PinAuto, Slots: 251, Seed: 4711, MaxSessions: 10000, NoBackend: balancer.NoBackendReject,
	}
	for _, be := range b.Backends {
		s.Backends = append(s.Backends, balancer.Backend{
			ID: uint16(be.Number), Name: fmt.Sprint("b", be.Number), Addresses: []netip.Addr{be.IPv4, be.IPv6}, Port: port, Weight: 1,
		})
	}
	if change != nil {
		change(s)
	}
	return s
}

// apply puts services into the kernel and returns their views.
func (b *bed) apply(t *testing.T, services ...*balancer.Service) []*balancer.View {
	t.Helper()
	var views []*balancer.View
	for _, s := range services {
		views = append(views, balancer.NewView(s, b.rules.Features().Capabilities, nil, unbound{}))
	}
	snap := balancer.NewSnapshot(balancer.Marks{Mask: 0xffff}, 0, views)
	if err := b.rules.Apply(Compile(snap, balancer.Queues{Count: 2}, b.rules.Features())); err != nil {
		t.Fatal(err)
	}
	return views
}

func key(session int) []byte {
	return binary.BigEndian.AppendUint64(nil, 0xfeed000000000000+uint64(session)*2654435761)
}

func payload(session int) []byte { return append([]byte{0x48}, key(session)...) }

func client(v6 bool, i int) netip.AddrPort {
	if v6 {
		return netip.AddrPortFrom(lab.ClientIPv6(i), 40000)
	}
	return netip.AddrPortFrom(lab.ClientIPv4(i), 40000)
}

func listener(v6 bool) netip.AddrPort {
	if v6 {
		return netip.AddrPortFrom(lab.ListenerIPv6(0), port)
	}
	return netip.AddrPortFrom(lab.ListenerIPv4(0), port)
}

func (b *bed) exchange(t *testing.T, list []lab.Datagram) []lab.Reply {
	t.Helper()
	replies, err := b.clients.ExchangeAll(t.Context(), list, 20000, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if lost := lab.Unanswered(replies); len(lost) > 0 {
		t.Fatalf("%d of %d datagrams had no answer, the first from %v", len(lost), len(list), list[lost[0]].Src)
	}
	return replies
}

// Without Go the kernel must send every session where Go would, or a daemon
// that is away misplaces sessions: whatever loads a key takes.
func TestKernelDecidesAsGo(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []balancer.Field
	}{
		{"one field", []balancer.Field{{Offset: keyOffset, Length: keyLength}}},
		{"a mask of two loads", []balancer.Field{{Offset: 1, Length: 18, Mask: bytes.Repeat([]byte{0xfe}, 18)}}},
		{"a mask of four loads", []balancer.Field{{Offset: 0, Length: 51, Mask: bytes.Repeat([]byte{0x0f, 0xf7, 0xff}, 17)}}},
		{"several fields", []balancer.Field{{Offset: 2, Length: 19, Mask: bytes.Repeat([]byte{0x7f}, 19)}, {Offset: 30, Length: 3}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			v := b.apply(t, b.service(func(s *balancer.Service) { s.Key.Variants[0].Fields = c.fields }))[0]
			const sessions = 300
			random := rand.New(rand.NewPCG(1, uint64(len(c.fields))))
			payloads := make([][]byte, sessions)
			for i := range payloads {
				payloads[i] = payload(i)
				for range 60 {
					payloads[i] = append(payloads[i], byte(random.Uint32()))
				}
			}
			for _, v6 := range []bool{false, true} {
				var list []lab.Datagram
				for i := range 2 * sessions { // then the same sessions, each from another client
					list = append(list, lab.Datagram{Src: client(v6, i), Dst: listener(v6), Payload: payloads[i%sessions]})
				}
				for i, r := range b.exchange(t, list) {
					key, _, ok := v.Extractor.Extract(nil, payloads[i%sessions])
					if want := int(v.Ring(v6).At(v.Hash(key))); !ok || r.Number() != want || r.From != listener(v6) {
						t.Fatalf("IPv6 %v: session %d was answered by backend %d from %v, want %d from %v", v6, i%sessions, r.Number(), r.From, want, listener(v6))
					}
				}
				known := 0
				if err := b.rules.Dump(v, 0, func(e balancer.Element) bool {
					known += map[bool]int{v6: 1}[e.V6]
					return true
				}); err != nil || known != sessions {
					t.Errorf("IPv6 %v: the kernel has recorded %d of %d sessions: %v", v6, known, sessions, err)
				}
			}
		})
	}
}

// What is decided once must be known from then on, or every packet asks again.
func TestSessionsAreRecorded(t *testing.T) {
	b := newBed(t)
	v := b.apply(t, b.service(nil))[0]
	for _, v6 := range []bool{false, true} {
		b.exchange(t, []lab.Datagram{{Src: client(v6, 1), Dst: listener(v6), Payload: payload(7)}})
	}
	known := make(map[bool]balancer.Element)
	if err := b.rules.Dump(v, 0, func(e balancer.Element) bool { known[e.V6] = e; return true }); err != nil {
		t.Fatal(err)
	}
	want := v.Ring(false).At(v.Hash(key(7)))
	for _, v6 := range []bool{false, true} {
		e := known[v6]
		if e.Backend != want || string(e.Key) != string(key(7)) || e.Timeout <= 0 || e.Timeout > UnconfirmedTimeout {
			t.Errorf("IPv6 %v: the kernel knows %+v, want backend %d", v6, e, want)
		}
	}
}

// Every session has an entry of its own: one client socket, many backends.
func TestOneSocketManySessions(t *testing.T) {
	b := newBed(t)
	v := b.apply(t, b.service(nil))[0]
	var list []lab.Datagram
	for i := range 64 {
		list = append(list, lab.Datagram{Src: client(false, 0), Dst: listener(false), Payload: payload(i)})
	}
	seen := make(map[int]bool)
	for i, r := range b.exchange(t, list) {
		if want := int(v.Ring(false).At(v.Hash(key(i)))); r.Number() != want {
			t.Errorf("session %d was answered by backend %d, want %d", i, r.Number(), want)
		}
		seen[r.Number()] = true
	}
	if len(seen) != 3 {
		t.Errorf("the socket reached %d backends, want 3", len(seen))
	}
}

func TestKeylessPacketsGoBySource(t *testing.T) {
	for _, fallback := range []balancer.Fallback{balancer.FallbackSource, balancer.FallbackSourcePort} {
		t.Run(string(fallback), func(t *testing.T) {
			b := newBed(t)
			v := b.apply(t, b.service(func(s *balancer.Service) { s.Key.Fallback = fallback }))[0]
			for _, v6 := range []bool{false, true} {
				var list []lab.Datagram
				for i := range 100 {
					list = append(list, lab.Datagram{Src: client(v6, i), Dst: listener(v6), Payload: []byte{1, byte(i)}})
				}
				for i, r := range b.exchange(t, list) {
					if want := int(v.Ring(v6).At(v.SourceHash(client(v6, i)))); r.Number() != want {
						t.Fatalf("IPv6 %v: client %d was answered by backend %d, want %d", v6, i, r.Number(), want)
					}
				}
			}
		})
	}
}

// Flow pinning without Go goes by the key where nft can load it, so that a full
// queue sends nobody elsewhere, and else by the source.
func TestFlowPinningWithoutGo(t *testing.T) {
	for _, c := range []struct {
		name string
		key  func(*balancer.Service)
		want func(v *balancer.View, at netip.AddrPort, session int) uint32
	}{
		{"by the key", nil, func(v *balancer.View, _ netip.AddrPort, session int) uint32 { return v.Hash(key(session)) }},
		{"beyond nft", func(s *balancer.Service) { s.Key.Variants[0].Fields[0].Length = 61 }, func(v *balancer.View, at netip.AddrPort, _ int) uint32 {
			return v.SourceHash(at)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			v := b.apply(t, b.service(func(s *balancer.Service) {
				s.Pinning = balancer.PinFlow
				if c.key != nil {
					c.key(s)
				}
			}))[0]
			for _, v6 := range []bool{false, true} {
				var list []lab.Datagram
				for i := range 100 {
					list = append(list, lab.Datagram{Src: client(v6, i), Dst: listener(v6), Payload: payload(i)})
				}
				for i, r := range b.exchange(t, list) {
					if want := int(v.Ring(v6).At(c.want(v, client(v6, i), i))); r.Number() != want || r.From != listener(v6) {
						t.Fatalf("IPv6 %v: client %d was answered by backend %d from %v, want %d", v6, i, r.Number(), r.From, want)
					}
				}
			}
		})
	}
}

// A backend's own packet leaves as the listener and leaves nothing behind that
// would change the client's port or backend.
func TestBackendSpeaksFirst(t *testing.T) {
	b := newBed(t)
	v := b.apply(t, b.service(nil))[0]
	for _, v6 := range []bool{false, true} {
		for session := range 30 {
			at := client(v6, 5000+session)
			own := int(v.Ring(v6).At(v.Hash(key(session))))
			for i, e := range b.echoes { // each backend in turn, its own and others'
				hello := fmt.Append(nil, "hello ", i, session, v6)
				want, err := b.clients.Expect(at, func(r lab.Reply) bool { return string(r.Payload) == string(hello) })
				if err != nil {
					t.Fatal(err)
				}
				from := netip.AddrPortFrom(b.Backends[i].IPv4, port)
				if v6 {
					from = netip.AddrPortFrom(b.Backends[i].IPv6, port)
				}
				if err := e.SendFrom(from, at, hello); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				r, err := want.Wait(ctx)
				cancel()
				if err != nil {
					t.Fatalf("IPv6 %v, client %v: the packet of backend %d did not arrive: %v", v6, at, i+1, err)
				}
				if r.From != listener(v6) {
					t.Fatalf("the packet of backend %d came from %v, want %v", i+1, r.From, listener(v6))
				}
			}
			r := b.exchange(t, []lab.Datagram{{Src: at, Dst: listener(v6), Payload: payload(session)}})[0]
			if r.Number() != own {
				t.Fatalf("session %d was answered by backend %d, want %d", session, r.Number(), own)
			}
			if got := b.echoes[own-1].Seen(key(session)).From; got != at {
				t.Fatalf("the backend saw %v, want the client's own %v", got, at)
			}
		}
	}
}

func TestNobody(t *testing.T) {
	for _, pin := range []balancer.Pinning{balancer.PinSession, balancer.PinFlow} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprint(pin, " ", v6), func(t *testing.T) {
				b := newBed(t)
				b.apply(t, b.service(func(s *balancer.Service) {
					s.Pinning = pin
					for i := range s.Backends {
						s.Backends[i].Admin = balancer.AdminDown
					}
				}))
				if err := b.clients.Send(client(v6, 1), listener(v6), payload(1)); err != nil {
					t.Fatal(err)
				}
				lab.WaitFor(t, 2*time.Second, "ICMP port unreachable", func() bool { return len(b.clients.Errors()) > 0 })
			})
		}
	}
}

// Applying the same twice, adopting it from another process and repairing it
// changes nothing; whatever others do to it is named and put right.
func TestApplyAdoptRepair(t *testing.T) {
	b := newBed(t)
	svc := b.service(func(s *balancer.Service) {
		s.Allow = []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:db8:f::/48")}
		s.Deny = []netip.Prefix{netip.MustParsePrefix("198.18.9.0/24")}
		s.Timeouts = balancer.Timeouts{Unreplied: 7 * time.Second, Replied: 70 * time.Second}
	})
	v := b.apply(t, svc)[0]
	want := Compile(balancer.NewSnapshot(balancer.Marks{Mask: 0xffff}, 0, []*balancer.View{v}), balancer.Queues{Count: 2}, b.rules.Features())
	check := func(when string) {
		t.Helper()
		have, err := read(b.rules.conn, TableName, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := differences(have, want, nil); len(d) > 0 {
			t.Fatalf("%s: %v", when, d)
		}
		p := diff(have, want)
		if len(p.fill)+len(p.change) > 0 {
			t.Fatalf("%s: the way to the same table has %d fills and %d changes, want none", when, len(p.fill), len(p.change))
		}
	}
	check("after apply")
	for _, vandal := range []struct {
		name string
		reqs []request
	}{
		{"flush ruleset", []request{delTable(TableName)}},
		{"a chain emptied", []request{flushChain(TableName, "steer4-vpn")}},
		{"a rule more", []request{addRule(TableName, "steer4-vpn", &Rule{Comment: "evil", Exprs: drop()})}},
		{"a chain hooked elsewhere", []request{
			flushChain(TableName, "prerouting-bind"), delChain(TableName, "prerouting-bind"),
			addChain(TableName, &Chain{Name: "prerouting-bind", Hook: &Hook{Type: "filter", Hook: hookPrerouting, Priority: -298}}),
		}},
		{"a chain more", []request{addChain(TableName, &Chain{Name: "theirs"})}},
		{"an element gone", elements(msgDelSetElem, TableName, "zones", []Element{{Key: host32(2)}})},
		{"an element changed", append(elements(msgDelSetElem, TableName, "zones", []Element{{Key: host32(2)}}),
			elements(msgNewSetElem, TableName, "zones", []Element{{Key: host32(2), Data: host16(3)}})...)},
	} {
		if err := b.rules.conn.commit(vandal.reqs); err != nil {
			t.Fatalf("%s: %v", vandal.name, err)
		}
		d, err := b.rules.Verify()
		if err != nil || len(d) == 0 {
			t.Errorf("%s: not seen (%v)", vandal.name, err)
		}
		if err := b.rules.Repair(); err != nil {
			t.Fatalf("%s: %v", vandal.name, err)
		}
		check(vandal.name)
	}
	var other *Ruleset
	if err := b.LB.Do(func() (err error) { other, err = Open(); return err }); err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Apply(want); err != nil {
		t.Fatal(err)
	}
	check("adopted")
	b.exchange(t, []lab.Datagram{{Src: client(false, 1), Dst: listener(false), Payload: payload(1)}})
	if err := b.clients.Send(netip.AddrPortFrom(netip.MustParseAddr("198.18.9.1"), 40000), listener(false), payload(2)); err != nil {
		t.Fatal(err)
	}
}

// What names another backend by now is not to go, nor what there is no room for
// to come.
func TestDeleteBound(t *testing.T) {
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprintf("full %v", full), func(t *testing.T) {
			b := newBed(t)
			v := b.apply(t, b.service(func(s *balancer.Service) {
				if full {
					s.MaxSessions = 4
				}
			}))[0]
			element := func(session int, backend uint16) balancer.Element {
				return balancer.Element{Key: key(session), Backend: backend, Timeout: time.Hour}
			}
			var there []balancer.Element
			for i := range 4 {
				there = append(there, element(i, uint16(1+i%2)))
			}
			if err := b.rules.Put(v, 0, there); err != nil {
				t.Fatal(err)
			}
			if full {
				if err := b.rules.Put(v, 0, []balancer.Element{element(4, 3)}); !errors.Is(err, unix.ENFILE) {
					t.Fatalf("a fifth session: %v, want ENFILE", err)
				}
			}
			before := b.sessions(t, v)
			doomed := []balancer.Element{element(0, 1), element(1, 1), element(2000, 1), element(2, 1), element(3, 3)}
			for i := range doomed {
				doomed[i].Timeout = 0
			}
			if err := b.rules.DeleteBound(v, 0, doomed); err != nil {
				t.Fatal(err)
			}
			delete(before, string(key(0)))
			delete(before, string(key(2)))
			if diff := gocmp.Diff(before, b.sessions(t, v)); diff != "" {
				t.Errorf("sessions (-want +got):\n%s", diff)
			}
		})
	}
}

// sessions are the backends in a service's map of IPv4 sessions, by key.
func (b *bed) sessions(t *testing.T, v *balancer.View) map[string]uint16 {
	t.Helper()
	out := make(map[string]uint16)
	err := b.rules.Dump(v, 0, func(e balancer.Element) bool {
		if !e.V6 {
			out[string(e.Key)] = e.Backend
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
