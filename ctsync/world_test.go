package ctsync

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

var (
	listener4 = netip.MustParseAddrPort("192.0.2.10:1194")
	listener6 = netip.MustParseAddrPort("[2001:db8::10]:1194")
	clientA   = netip.MustParseAddrPort("198.18.0.1:1000")
	clientB   = netip.MustParseAddrPort("198.18.0.2:1000")
	clientC   = netip.MustParseAddrPort("198.18.0.3:1000")
	client6   = netip.MustParseAddrPort("[2001:db8:f::1]:1000")
)

// world is a Sync in the test's hands: its goroutines do not run, the test
// steps it, and plays the kernel, the clients and the backends.
type world struct {
	t        tester
	s        *Sync
	ct       *fakeConntrack
	elements *fakeElements
	clock    int64
	service  *balancer.Service
	states   map[uint16]balancer.State
	snap     *balancer.Snapshot
	told     []event.Event
	changes  turns
}

// turns is a lock that others may have had before.
type turns struct {
	sync.Mutex
	before func() // what they do
}

func (l *turns) Lock() {
	l.Mutex.Lock()
	if do := l.before; do != nil {
		l.before = nil
		do()
	}
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

const zoneBase = 100

func testService() *balancer.Service {
	return &balancer.Service{
		Name:   "vpn",
		Listen: []netip.AddrPort{listener4, listener6},
		Key: balancer.Key{
			Variants: []balancer.Variant{{Fields: []balancer.Field{{Offset: 0, Length: 8}}}},
			Fallback: balancer.FallbackSource,
		},
		Pinning: balancer.PinAuto, Slots: 251, Seed: 7, SessionTTL: 2 * time.Hour, MaxSessions: 1000,
		Stale: balancer.StaleOnReply, ConfirmTimeout: 10 * time.Second,
		Backends: []balancer.Backend{
			testBackend(1, "a"), testBackend(2, "b"), testBackend(3, "c"),
		},
	}
}

func testBackend(id uint16, name string) balancer.Backend {
	return balancer.Backend{
		ID: id, Name: name, Port: 1194, Weight: 1, Admin: balancer.AdminUp,
		Addresses: []netip.Addr{
			netip.AddrFrom4([4]byte{198, 51, 100, byte(id)}),
			netip.MustParseAddr("2001:db8:b::").Next(),
		},
	}
}

// newWorld makes a world with one service, which change may alter.
func newWorld(t tester, change func(*balancer.Service)) *world {
	t.Helper()
	w := &world{t: t, clock: int64(time.Hour), service: testService()}
	if change != nil {
		change(w.service)
	}
	w.ct = &fakeConntrack{now: func() int64 { return w.clock }, entries: make(map[Tuple]*fakeEntry), nextID: 1000}
	w.elements = &fakeElements{maps: make(map[string]balancer.Element)}
	w.start()
	return w
}

// start makes a Sync that knows nothing, as after a start of the daemon.
func (w *world) start() {
	w.s = New(Options{
		Conntrack: w.ct, Elements: w.elements,
		Events:   func(e event.Event) { w.told = append(w.told, e) },
		Snapshot: func() *balancer.Snapshot { return w.snap },
		Changes:  &w.changes,
		Now:      func() int64 { return w.clock },
		Log:      slog.New(slog.DiscardHandler),
	})
	w.ct.onEvent = func(es []Event) { w.s.inbox.putEvents(es, w.clock) }
	w.publish()
}

// publish makes the service as it is now what decisions go by.
func (w *world) publish() {
	s := *w.service
	s.Backends = slices.Clone(s.Backends)
	v := balancer.NewView(&s, balancer.Capabilities{PayloadOffset: 256, KeyBytes: 60, Copies: true}, w.states, w.s.Table(&s, 8, "v1"))
	w.snap = balancer.NewSnapshot(balancer.Marks{Mask: 0xffff}, zoneBase, []*balancer.View{v})
}

func (w *world) view() *balancer.View { return w.snap.Views[0] }
func (w *world) table() *Table        { return w.view().Bindings.(*Table) }

func key(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func listenerFor(client netip.AddrPort) netip.AddrPort {
	if client.Addr().Is6() {
		return listener6
	}
	return listener4
}

func (w *world) tuple(client netip.AddrPort, backend uint16) Tuple {
	t := Tuple{Client: client, Listener: listenerFor(client)}
	if w.view().Pinning == balancer.PinSession {
		t.Zone = w.snap.Zone(backend)
	}
	return t
}

// decide is Go's decision about a packet.
func (w *world) decide(k []byte, client netip.AddrPort) balancer.Fact {
	v6 := client.Addr().Is6()
	b := w.table().Bind(w.clock, k, w.view(), v6, w.view().Ring(v6).At(w.view().Hash(k)))
	return balancer.Fact{
		View: w.view(), Session: b.Session, Client: client, Listener: listenerFor(client), Backend: b.Backend, At: w.clock,
	}
}

// first is a packet that steer hands to Go: the kernel has no element of its
// session.
func (w *world) first(k []byte, client netip.AddrPort) uint16 {
	w.t.Helper()
	f := w.decide(k, client)
	w.s.Put([]balancer.Fact{f})
	w.packet(client, f.Backend)
	w.settle()
	return f.Backend
}

// speak is a packet of a session that the kernel knows: announced where its
// flow is new, as track does.
func (w *world) speak(k []byte, client netip.AddrPort) uint16 {
	w.t.Helper()
	b, ok := w.table().Find(k, w.view(), false)
	if !ok {
		w.t.Fatalf("session %x is not known", k)
	}
	backend := b.Backend
	if w.ct.entries[w.tuple(client, backend)] == nil {
		f := w.decide(k, client)
		f.NewFlow = true
		backend = f.Backend
		w.s.Put([]balancer.Fact{f})
	}
	w.packet(client, backend)
	w.settle()
	return backend
}

// packet is what conntrack makes of a packet of a client.
func (w *world) packet(client netip.AddrPort, backend uint16) {
	w.ct.mu.Lock()
	defer w.ct.mu.Unlock()
	t := w.tuple(client, backend)
	e := w.ct.entries[t]
	if e == nil {
		w.ct.nextID++
		b := w.view().Backend(backend)
		e = &fakeEntry{Entry: Entry{
			Tuple: t, ID: w.ct.nextID, Mark: w.snap.Marks.Ours() | 0x40000000, Status: DstNAT,
			Backend: netip.AddrPortFrom(b.Address(client.Addr().Is6()), b.Port),
		}}
		w.ct.entries[t] = e
	}
	e.Packets++
	e.refreshed, e.spoke = w.clock, w.clock
}

// reply is a backend's packet to a client.
func (w *world) reply(client netip.AddrPort, backend uint16) {
	w.t.Helper()
	w.ct.mu.Lock()
	e := w.ct.entries[w.tuple(client, backend)]
	if e == nil {
		w.ct.mu.Unlock()
		w.t.Fatalf("reply to %v, which has no entry", client)
		return
	}
	first := e.Status&SeenReply == 0
	e.Status |= SeenReply
	e.refreshed = w.clock
	told := w.ct.show(e)
	w.ct.mu.Unlock()
	if first {
		w.ct.onEvent([]Event{{Entry: told}})
	}
	w.settle()
}

// exchange is a packet and its answer.
func (w *world) exchange(k []byte, client netip.AddrPort) {
	w.t.Helper()
	w.reply(client, w.speak(k, client))
}

// stream makes a client's entry one that has long been talked on.
func (w *world) stream(client netip.AddrPort, backend uint16) {
	w.ct.entries[w.tuple(client, backend)].Status |= Assured
}

// pass lets time pass, a step at a time.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for end := w.clock + int64(d); w.clock < end; {
		w.clock = min(end, w.clock+int64(500*time.Millisecond))
		var gone []Event
		w.ct.mu.Lock()
		for t, e := range w.ct.entries {
			if w.clock-e.refreshed >= int64(e.lifetime()) {
				delete(w.ct.entries, t)
				gone = append(gone, Event{Entry: e.Entry, Destroyed: true})
			}
		}
		w.ct.mu.Unlock()
		if len(gone) > 0 {
			w.ct.onEvent(gone)
		}
		w.settle()
	}
}

// settle lets the Sync do all it has to do at this moment.
func (w *world) settle() {
	for range 100 {
		for w.s.step() {
		}
		if len(w.s.deleteSome(nil)) == 0 && w.s.inboxEmpty() {
			return
		}
	}
	w.t.Fatal("the jobs never end")
}

func (s *Sync) inboxEmpty() bool {
	s.inbox.mu.Lock()
	defer s.inbox.mu.Unlock()
	return len(s.inbox.facts) == 0 && len(s.inbox.events) == 0
}

func (w *world) dump() {
	w.t.Helper()
	if err := w.s.dump(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	for w.s.core.reap(1000, w.clock) {
	}
	w.settle()
}

// clients lists who has an entry.
func (w *world) clients() []netip.AddrPort {
	var list []netip.AddrPort
	for t := range w.ct.entries {
		list = append(list, t.Client)
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	return slices.Compact(list)
}

func (w *world) wantClients(what string, want ...netip.AddrPort) {
	w.t.Helper()
	if got := w.clients(); !slices.Equal(got, want) {
		w.t.Errorf("%s: entries of %v, want %v", what, got, want)
	}
}

// wantOn checks where a session is.
func (w *world) wantOn(k []byte, client netip.AddrPort) {
	w.t.Helper()
	s, ok := w.table().Session(k)
	if !ok || s.Client != client {
		w.t.Errorf("session %x is on %v (%v), want %v", k, s.Client, ok, client)
	}
}

// tells returns the events of a kind that were told, and forgets all.
func (w *world) tells(kind event.Kind) []event.Event {
	got := slices.DeleteFunc(slices.Clone(w.told), func(e event.Event) bool { return e.Kind != kind })
	w.told = nil
	return got
}

func (w *world) wantDeletions(reasons ...string) {
	w.t.Helper()
	var got []string
	for _, e := range w.tells(event.StaleDeleted) {
		got = append(got, e.Reason)
	}
	if !slices.Equal(got, reasons) {
		w.t.Errorf("deletions %v, want %v", got, reasons)
	}
	w.check()
}

// check compares what the core holds with itself.
func (w *world) check() {
	w.t.Helper()
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if err := w.s.core.consistent(); err != nil {
		w.t.Error(err)
	}
}

// learn gives the kernel an element.
func (w *world) learn(e balancer.Element) {
	w.t.Helper()
	if err := w.elements.Put(w.view(), zoneBase, []balancer.Element{e}); err != nil {
		w.t.Fatal(err)
	}
}
