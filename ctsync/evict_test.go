package ctsync

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

func client(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}), 4000)
}

// netipClient is one of very many clients.
func netipClient(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18 + byte(i>>16&1), byte(i >> 8), byte(i)}), uint16(4000+i>>17))
}

// crowd is sessions that are answered, each on an address of its own, and have
// elements.
func crowd(w *world, n int) {
	for i := range n {
		b := w.first(key(i), client(i))
		w.reply(client(i), b)
		w.learn(balancer.Element{Key: key(i), Backend: b, Timeout: 10 * time.Minute})
	}
}

func TestEvictedBackendLosesAllAndItsSessionsGoOn(t *testing.T) {
	for _, pinning := range []balancer.Pinning{balancer.PinSession, balancer.PinFlow} {
		t.Run(string(pinning), func(t *testing.T) {
			const n = 300
			w := newWorld(t, func(s *balancer.Service) { s.Pinning = pinning })
			crowd(w, n)
			// The kernel knows one that Go does not.
			w.learn(balancer.Element{Key: key(n), Backend: 2})
			w.pass(5 * time.Second)
			before := w.view()
			w.states = map[uint16]balancer.State{2: balancer.Down}
			w.publish()
			if _, err := w.s.Evict(t.Context(), []Eviction{{View: before, Backend: 2, Reason: "backend-removed", Sessions: true}}); err != nil {
				t.Fatal(err)
			}
			w.settle()
			for tuple, e := range w.ct.entries {
				if e.Backend.Addr() == before.Backend(2).Addresses[0] {
					t.Fatalf("entry %+v of the backend is left", tuple)
				}
			}
			if pinning == balancer.PinSession {
				for _, e := range w.elements.maps {
					if e.Backend == 2 {
						t.Fatalf("element %x of the backend is left", e.Key)
					}
				}
			}
			for i := range n {
				b := w.decide(key(i), client(i)).Backend
				if b == 2 || b == 0 {
					t.Fatalf("session %d is on backend %d", i, b)
				}
			}
			told := w.tells("stale-deleted")
			if len(told) != len(w.ct.deleted) || len(told) == 0 || told[0].Reason != "backend-removed" || told[0].Backend != "b" || len(told[0].Session) != 8 {
				t.Errorf("told of %d deletions of %d: %+v", len(told), len(w.ct.deleted), told[0])
			}
			if len(w.clients())+len(told) != n {
				t.Errorf("%d entries left, %d deleted of %d", len(w.clients()), len(told), n)
			}
			w.check()
		})
	}
}

// A change that takes many backends away must not look through conntrack, or a
// large map of sessions, for each of them; and it takes no entry that is another's.
func TestManyEvictionsTakeOnePass(t *testing.T) {
	w := newWorld(t, nil)
	crowd(w, 60)
	view := w.view()
	own := func(id uint16) netip.AddrPort { return netip.AddrPortFrom(view.Backend(id).Addresses[0], 1194) }
	elsewhere := netip.MustParseAddrPort("192.0.2.11:1194")
	n := uint32(1)
	add := func(stays bool, listener netip.AddrPort, zone uint16, backend netip.AddrPort) {
		n++
		tuple := Tuple{Client: client(5000 + int(n)), Listener: listener, Zone: zone}
		id := n // above this, they stay
		if stays {
			id += 500
		}
		w.ct.entries[tuple] = &fakeEntry{Entry: Entry{Tuple: tuple, Backend: backend, ID: id, Mark: w.snap.Marks.Ours()}, refreshed: w.clock}
	}
	add(false, elsewhere, zoneBase+2, own(3)) // all of the zone of one that serves nobody
	add(false, listener4, 0, own(2))
	add(true, elsewhere, 0, own(2))
	add(false, listener4, zoneBase+1, own(1))
	add(false, listener4, 0, own(1))
	add(true, elsewhere, zoneBase+1, own(1)) // another service's, or a listener that stays
	add(true, listener4, zoneBase+1, own(3)) // translated before, or since, to somewhere else
	add(true, listener4, 0, own(3))
	crowded := 0
	for _, e := range w.ct.entries {
		if e.ID >= 1000 && e.Backend != own(3) {
			crowded++
		}
	}
	w.ct.dumps, w.elements.dumps = 0, 0
	got, err := w.s.Evict(t.Context(), []Eviction{
		{View: view, Backend: 2, Reason: "backend-down", Sessions: true},
		{View: view, Backend: 1, Reason: "backend-moved"},
		{View: view, Backend: 9, Reason: "backend-removed", Sessions: true}, // nobody's
	})
	if err != nil || got != crowded+4 {
		t.Errorf("deleted %d entries (%v), want %d", got, err, crowded+4)
	}
	for _, e := range w.ct.deleted {
		if e.ID > 500 && e.ID < 1000 {
			t.Errorf("deleted %+v", e)
		}
	}
	for _, e := range w.tells(event.StaleDeleted) {
		if want := map[string]string{"b": "backend-down", "a": "backend-moved"}[e.Backend]; e.Reason != want || e.Service != "vpn" {
			t.Errorf("told of %s of %s: %s, want %s", e.Backend, e.Service, e.Reason, want)
		}
	}
	for _, e := range w.elements.maps {
		if e.Backend == 2 {
			t.Errorf("element %x of the backend that is down is left", e.Key)
		}
	}
	if w.ct.dumps != 1 || w.elements.dumps != 1 {
		t.Errorf("looked through conntrack %d times and through the map %d times, want once", w.ct.dumps, w.elements.dumps)
	}
}

func TestSessionGoesOnWhenItsBackendIsGone(t *testing.T) {
	// Nobody has evicted it yet: the session's next packet goes elsewhere,
	// the old entry needs no proof.
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	w.pass(time.Second)
	w.states = map[uint16]balancer.State{b: balancer.Down}
	w.publish()
	if next := w.first(key(1), clientA); next == b {
		t.Fatal("the session stays with a backend that is down")
	}
	w.wantDeletions("backend-removed")
	if len(w.ct.entries) != 1 {
		t.Errorf("%d entries, want one", len(w.ct.entries))
	}
}

func TestEvictionGoesOnWhenSomethingFails(t *testing.T) {
	w := newWorld(t, nil)
	crowd(w, 20)
	before := w.view()
	w.states = map[uint16]balancer.State{2: balancer.Down}
	w.publish()
	w.elements.fail = errors.New("no memory")
	if _, err := w.s.Evict(t.Context(), []Eviction{{View: before, Backend: 2, Reason: "x", Sessions: true}}); !errors.Is(err, w.elements.fail) {
		t.Errorf("error %v, want that of the elements", err)
	}
	if len(w.ct.deleted) == 0 {
		t.Error("the entries stay for an error about elements")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.s.Evict(ctx, []Eviction{{View: before, Backend: 1, Reason: "x", Sessions: true}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}

// What the kernel has decided while no packet came to Go stays where it is.
func TestEvictionLeavesWhatTheKernelHasDecidedAnew(t *testing.T) {
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	before := w.view()
	w.states = map[uint16]balancer.State{b: balancer.Down}
	w.publish()
	anew := balancer.Element{Key: key(1), Backend: w.view().Ring(false).At(w.view().Hash(key(1)))}
	if err := w.elements.Put(w.view(), zoneBase, []balancer.Element{anew}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.Evict(t.Context(), []Eviction{{View: before, Backend: b, Reason: "x", Sessions: true}}); err != nil {
		t.Fatal(err)
	}
	if e, ok := w.elements.get(w.view(), key(1), false); !ok || e.Backend != anew.Backend {
		t.Errorf("the kernel has %+v (%v), want backend %d", e, ok, anew.Backend)
	}
}

func TestOffRingSince(t *testing.T) {
	w := newWorld(t, nil)
	crowd(w, 20)
	w.pass(time.Second)
	began := w.clock
	w.first(key(30), clientA)
	w.pass(time.Second)
	w.states = map[uint16]balancer.State{1: balancer.Draining, 2: balancer.Draining, 3: balancer.Draining}
	w.publish()
	if all, since := w.s.OffRing(w.view()), w.s.OffRingSince(w.view(), began); len(all) != 21 || len(since) != 1 || !bytes.Equal(since[0].Key, key(30)) {
		t.Errorf("%d sessions, %v since, want 21, and %x", len(all), since, key(30))
	}
}

func TestPlaceAndDelete(t *testing.T) {
	ctx := context.Background()
	for _, pinning := range []balancer.Pinning{balancer.PinSession, balancer.PinFlow} {
		t.Run(string(pinning), func(t *testing.T) {
			w := newWorld(t, func(s *balancer.Service) { s.Pinning = pinning })
			b := w.announce(key(1), clientA)
			w.reply(clientA, b)
			other := b%3 + 1
			if got, err := w.table().Place(ctx, w.view(), w.clock, key(1), b); err != nil || got != (Placed{OldFlow: FlowKept}) {
				t.Fatalf("placed where it is: %+v, %v", got, err)
			}
			if got, err := w.table().Place(ctx, w.view(), w.clock, key(1), other); err != nil || got != (Placed{OldFlow: FlowDeleted}) {
				t.Fatalf("placed elsewhere: %+v, %v", got, err)
			}
			w.settle()
			w.wantClients("placed elsewhere")
			w.wantDeletions("placed")
			e, ok := w.elements.get(w.view(), key(1), false)
			if want := pinning == balancer.PinSession; ok != want || ok && (e.Backend != other || e.Timeout != w.service.SessionTTL) {
				t.Errorf("element %+v, %v", e, ok)
			}
			if got := w.announce(key(1), clientA); got != other {
				t.Errorf("the session is on backend %d, was placed on %d", got, other)
			}
			off := w.s.OffRing(w.view())
			if i := slices.IndexFunc(off, func(e balancer.Element) bool { return slices.Equal(e.Key, key(1)) && !e.V6 }); i < 0 || off[i].Backend != other {
				t.Errorf("off the ring: %+v, want the placed session", off)
			}

			ok, err := w.table().Delete(ctx, w.view(), key(1))
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			w.settle()
			w.wantClients("deleted")
			w.wantDeletions("removed")
			if _, ok := w.elements.get(w.view(), key(1), false); ok {
				t.Error("the deleted session's element is left")
			}
			if ok, err := w.table().Delete(ctx, w.view(), key(1)); ok || err != nil {
				t.Error(ok, err)
			}
			if got := w.announce(key(1), clientA); got != b {
				t.Errorf("after Delete the session is on backend %d, the ring says %d", got, b)
			}

			// A session that does not live yet.
			if got, err := w.table().Place(ctx, w.view(), w.clock, key(2), 3); err != nil || got != (Placed{Created: true, OldFlow: FlowNone}) {
				t.Fatalf("placed before it lives: %+v, %v", got, err)
			}
			if got := w.announce(key(2), clientB); got != 3 {
				t.Errorf("placed on 3, it is on backend %d", got)
			}
			if _, err := w.table().Place(ctx, w.view(), w.clock, key(2), 9); !errors.Is(err, ErrNotServed) {
				t.Errorf("placing on an unknown backend: %v", err)
			}
			if _, err := w.table().Place(ctx, w.view(), w.clock, make([]byte, 9), 3); err == nil {
				t.Error("a key that is too long is placed")
			}
			w.check()
		})
	}
}

func TestOffRingSessionsAreRenewed(t *testing.T) {
	w := newWorld(t, nil)
	crowd(w, 100)
	onTwo := 0
	for i := range 100 {
		if b, _ := w.table().Find(key(i), w.view(), false); b.Backend == 2 {
			onTwo++
		}
	}
	w.states = map[uint16]balancer.State{2: balancer.Draining}
	w.publish()
	off := w.s.OffRing(w.view())
	if len(off) < onTwo || onTwo == 0 {
		t.Errorf("%d elements for the ring's change, want at least the %d of the draining backend", len(off), onTwo)
	}
	for _, e := range off {
		if e.Timeout != w.service.SessionTTL || len(e.Key) != 8 {
			t.Fatalf("element %+v", e)
		}
		b, _ := w.table().Find(e.Key, w.view(), false)
		if b.Backend != e.Backend {
			t.Fatalf("element of session %x says backend %d, it is on %d", e.Key, e.Backend, b.Backend)
		}
	}
	for i := range 100 { // draining keeps its sessions
		was, _ := w.table().Find(key(i), w.view(), false)
		if got := w.decide(key(i), client(i)).Backend; got != was.Backend {
			t.Fatalf("session %d moved from %d to %d for a change of the ring", i, was.Backend, got)
		}
	}
}
