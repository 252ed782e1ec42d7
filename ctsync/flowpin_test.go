package ctsync

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

func flowPinned(s *balancer.Service) { s.Pinning = balancer.PinFlow }

// announce is a packet that track hands to Go, of a flow-pinned service.
func (w *world) announce(k []byte, client netip.AddrPort) uint16 {
	w.t.Helper()
	f := w.decide(k, client)
	f.NewFlow = true
	w.s.Put([]balancer.Fact{f})
	w.packet(client, f.Backend)
	w.settle()
	return f.Backend
}

func TestFlowPinnedRoam(t *testing.T) {
	w := newWorld(t, flowPinned)
	b := w.announce(key(1), clientA)
	w.reply(clientA, b)
	w.pass(5 * time.Second)
	w.announce(key(1), clientB)
	w.wantClients("before the answer", clientA, clientB)
	w.reply(clientB, b)
	w.wantClients("after the answer", clientB)
	w.wantDeletions("replied")
	for tuple := range w.ct.entries {
		if tuple.Zone != 0 {
			t.Errorf("entry in zone %d", tuple.Zone)
		}
	}
}

func TestEntryOlderThanTheServiceIsDeletedOnSight(t *testing.T) {
	// Its client's packets never get translated, and are announced each.
	w := newWorld(t, flowPinned)
	tuple := Tuple{Client: clientA, Listener: listener4}
	w.ct.entries[tuple] = &fakeEntry{Entry: Entry{Tuple: tuple, ID: 5, Backend: listener4}, refreshed: w.clock}
	for range 10 {
		f := w.decide(key(1), clientA)
		f.NewFlow = true
		w.s.Put([]balancer.Fact{f})
		w.settle()
		w.pass(100 * time.Millisecond)
		w.packet(clientA, f.Backend)
	}
	if e := w.ct.entries[tuple]; e == nil || e.ID == 5 {
		t.Fatalf("the client still talks past the service: %+v", e)
	}
	if n := len(w.ct.deleted); n != 1 {
		t.Errorf("%d deletions, want one", n)
	}
	w.wantDeletions("foreign")
	w.wantOn(key(1), clientA)
}

func TestDeleteForeign(t *testing.T) {
	w := newWorld(t, flowPinned)
	w.announce(key(1), clientA)
	add := func(client, listener netip.AddrPort, zone uint16, mark uint32, status Status, id uint32) {
		tuple := Tuple{Client: client, Listener: listener, Zone: zone}
		w.ct.entries[tuple] = &fakeEntry{Entry: Entry{Tuple: tuple, ID: id, Mark: mark, Status: status}, refreshed: w.clock}
	}
	add(clientB, listener4, 0, 0x40000000, 0, 1)                       // the one to go
	add(clientB, listener4, 7, 0, 0, 2)                                // somebody's zone
	add(clientB, netip.MustParseAddrPort("192.0.2.10:53"), 0, 0, 0, 3) // another port
	add(clientC, listener4, 0, 0, DstNAT, 4)                           // somebody's translation
	add(client6, listener6, 0, w.snap.Marks.Ours(), DstNAT, 6)         // ours
	n, err := w.s.DeleteForeign(context.Background(), w.service.Listen)
	if err != nil || n != 1 || len(w.ct.deleted) != 1 || w.ct.deleted[0].ID != 1 {
		t.Errorf("deleted %d (%v): %+v, want the entry of B alone", n, err, w.ct.deleted)
	}
	if e := w.tells(event.StaleDeleted); len(e) != 1 || e[0].Service != "vpn" || e[0].OldClient != clientB || e[0].Reason != "foreign" {
		t.Errorf("told %+v", e)
	}
}

func TestBackendIsKnownByTheAddressOfItsAnswers(t *testing.T) {
	// Of a flow that Go did not decide, and of a backend that has moved since.
	w := newWorld(t, flowPinned)
	w.packet(clientA, 2)
	w.reply(clientA, 2)
	if b, ok := w.s.ClientFlow(clientA, listener4); !ok || b != 2 {
		t.Errorf("the flow is with backend %d, %v, want 2", b, ok)
	}
	before := w.view()
	w.service.Backends[1].Addresses = []netip.Addr{netip.MustParseAddr("198.51.100.99")}
	w.publish()
	w.packet(clientB, 2)
	n, err := w.s.Evict(t.Context(), []Eviction{{View: before, Backend: 2, Reason: "address-changed"}})
	if err != nil || n != 1 {
		t.Errorf("deleted %d entries (%v), want one", n, err)
	}
	w.settle()
	w.wantClients("after the change", clientB)
	w.wantDeletions("address-changed")
	if _, ok := w.s.ClientFlow(clientA, listener4); ok {
		t.Error("the deleted entry's flow lives")
	}
}
