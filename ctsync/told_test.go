package ctsync

import (
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// told is a packet that the kernel has sent to a backend, and its copy.
func (w *world) toldOf(k []byte, backend uint16) balancer.Binding {
	b := w.table().Told(w.clock, k, w.view(), false, backend)
	w.s.Put([]balancer.Fact{{
		View: w.view(), Session: b.Session, Client: clientA, Listener: listener4, Backend: backend, NewFlow: true, At: w.clock,
	}})
	w.packet(clientA, backend)
	w.settle()
	return b
}

// Go must believe the kernel where that decides, but for sessions whose
// backend has answered: those keep it, and the kernel is told.
func TestToldBindings(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) { s.Datapath = balancer.DatapathKernel })
	k := key(1)
	home := w.view().Ring(false).At(w.view().Hash(k))
	other := home%3 + 1

	if b := w.toldOf(k, home); b.Backend != home || !b.Created || w.table().stray.Load() {
		t.Fatalf("a session on the ring: %+v, stray %t", b, w.table().stray.Load())
	}
	if b := w.toldOf(k, other); b.Backend != other {
		t.Fatalf("a session that nobody has answered: %+v, want it where the kernel sends it", b)
	}
	if !w.table().stray.Swap(false) {
		t.Error("it is off the ring: the kernel would move it when it forgets")
	}
	w.reply(clientA, other)
	if b := w.toldOf(k, home); b.Backend != other {
		t.Fatalf("a session that was answered: %+v, want it to stay", b)
	}
	if !w.table().stray.Load() {
		t.Error("the kernel does not learn where the session belongs")
	}
	if es := w.s.OffRing(w.view()); len(es) != 1 || es[0].Backend != other || es[0].Timeout != w.view().Service.SessionTTL {
		t.Errorf("to be written: %+v", es)
	}
}

// A session that the kernel decided by the ring before this one has to be
// written, or it moves with the kernel's memory.
func TestToldOffTheRing(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) { s.Datapath = balancer.DatapathKernel })
	k := key(2)
	other := w.view().Ring(false).At(w.view().Hash(k))%3 + 1
	if b := w.toldOf(k, other); b.Backend != other {
		t.Fatalf("%+v, want what the kernel has done", b)
	}
	if !w.table().stray.Load() {
		t.Error("the kernel would move it when it forgets")
	}
}

// Taking over the kernel's sessions must not make it forget those that its
// ring would send elsewhere: nobody would put them right.
func TestTakeoverLeavesTheKernelsOffRingSessions(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) { s.Datapath = balancer.DatapathKernel })
	on, off := key(3), key(4)
	homeOf := func(k []byte) uint16 { return w.view().Ring(false).At(w.view().Hash(k)) }
	put := func(k []byte, backend uint16) {
		if err := w.elements.Put(w.view(), zoneBase, []balancer.Element{{Key: k, Backend: backend, Timeout: time.Minute}}); err != nil {
			t.Fatal(err)
		}
	}
	put(on, homeOf(on))
	put(off, homeOf(off)%3+1)
	if _, err := w.s.takeOverView(t.Context(), w.view(), zoneBase); err != nil {
		t.Fatal(err)
	}
	left := make(map[string]uint16)
	err := w.elements.Dump(w.view(), zoneBase, func(e balancer.Element) bool { left[string(e.Key)] = e.Backend; return true })
	if err != nil {
		t.Fatal(err)
	}
	if _, there := left[string(on)]; there {
		t.Error("the session on the ring is not asked to show its client")
	}
	if left[string(off)] != homeOf(off)%3+1 {
		t.Error("the session off the ring is forgotten: it moves")
	}
	if es := w.s.OffRing(w.view()); len(es) != 1 {
		t.Errorf("%d sessions to be renewed, want the one off the ring", len(es))
	}
}
