package ctsync

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

// strays is how many sessions are to be written soon, and forgets them.
func (w *world) strays() int {
	keys, all := w.table().strays.take()
	if all {
		return w.table().Len()
	}
	return len(keys)
}

// Go must believe the kernel where that decides, but for sessions whose
// backend has answered: those keep it, and the kernel is told.
func TestToldBindings(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) { s.Datapath = balancer.DatapathKernel })
	k := key(1)
	home := w.view().Ring(false).At(w.view().Hash(k))
	other := home%3 + 1

	if b := w.toldOf(k, home); b.Backend != home || !b.Created || w.strays() != 0 {
		t.Fatalf("a session on the ring: %+v, or it is a stray", b)
	}
	if b := w.toldOf(k, other); b.Backend != other {
		t.Fatalf("a session that nobody has answered: %+v, want it where the kernel sends it", b)
	}
	if w.strays() != 1 {
		t.Error("it is off the ring: the kernel would move it when it forgets")
	}
	w.reply(clientA, other)
	if b := w.toldOf(k, home); b.Backend != other {
		t.Fatalf("a session that was answered: %+v, want it to stay", b)
	}
	if w.strays() != 1 {
		t.Error("the kernel does not learn where the session belongs")
	}
	ttl := w.service.SessionTTL
	want := []balancer.Element{{Key: k, Backend: other, Timeout: ttl}, {Key: k, V6: true, Backend: other, Timeout: ttl}}
	if diff := cmp.Diff(want, w.s.OffRing(w.view())); diff != "" {
		t.Errorf("to be written (-want +got):\n%s", diff)
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
	if w.strays() != 1 {
		t.Error("the kernel would move it when it forgets")
	}
}

// A session that roams to the other family must find its backend there: the
// kernel alone would go by that family's ring.
func TestToldKnowsTheOtherFamily(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) {
		s.Datapath = balancer.DatapathKernel
		s.Backends[2].Addresses = s.Backends[2].Addresses[:1] // has no IPv6 address
	})
	var k []byte
	four := func(v6 bool) uint16 { return w.view().Ring(v6).At(w.view().Hash(k)) }
	for i := 0; k == nil || four(false) == 3 || four(false) == four(true); i++ {
		k = key(100 + i)
	}
	home := four(false)
	w.toldOf(k, home)
	es := w.s.due(w.view(), w.table())
	want := []balancer.Element{{Key: k, V6: true, Backend: home, Timeout: w.service.SessionTTL}}
	if diff := cmp.Diff(want, es); diff != "" {
		t.Errorf("what is written for the kernel (-want +got):\n%s", diff)
	}
	if es := w.s.due(w.view(), w.table()); len(es) != 0 {
		t.Errorf("%d elements are written again, want none", len(es))
	}
}

// A copy that was under way while its backend went down must not bind a session
// to it.
func TestToldOfABackendThatIsDown(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) { s.Datapath = balancer.DatapathKernel })
	k := key(5)
	home := w.view().Ring(false).At(w.view().Hash(k))
	w.states = map[uint16]balancer.State{home: balancer.Down}
	w.publish()
	want := w.view().Ring(false).At(w.view().Hash(k))
	if b := w.table().Told(w.clock, k, w.view(), false, home); b.Backend != want || want == home {
		t.Errorf("bound to backend %d, want %d, which the ring names now", b.Backend, want)
	}
	if n := w.table().Bound(home); n != 0 {
		t.Errorf("%d sessions are bound to a backend that is down", n)
	}
}

// When more sessions are to be written than are noted, none may be forgotten.
func TestMoreStraysThanAreNoted(t *testing.T) {
	var s strays
	for i := range straysKept {
		s.add(key(i))
	}
	if keys, all := s.take(); len(keys) != straysKept || all {
		t.Errorf("%d keys, all of them %t, want %d", len(keys), all, straysKept)
	}
	for i := range straysKept + 1 {
		s.add(key(i))
	}
	if _, all := s.take(); !all {
		t.Error("one is forgotten")
	}
	if keys, all := s.take(); len(keys) != 0 || all {
		t.Errorf("%d keys are written again, all of them %t", len(keys), all)
	}
}

// Taking over the kernel's sessions must not make it forget those that its
// ring would send elsewhere, if only since the takeover has begun: nobody would
// put them right.
func TestTakeoverLeavesTheKernelsOffRingSessions(t *testing.T) {
	for _, ringChanges := range []bool{false, true} {
		w := newWorld(t, func(s *balancer.Service) { s.Datapath = balancer.DatapathKernel })
		homeOf := func(k []byte) uint16 { return w.view().Ring(false).At(w.view().Hash(k)) }
		put := func(k []byte, backend uint16) {
			if err := w.elements.Put(w.view(), zoneBase, []balancer.Element{{Key: k, Backend: backend, Timeout: time.Minute}}); err != nil {
				t.Fatal(err)
			}
		}
		was := make(map[string]uint16)
		for i := range 50 {
			was[string(key(i))] = homeOf(key(i))
			put(key(i), homeOf(key(i)))
		}
		off := key(50)
		was[string(off)] = homeOf(off)%3 + 1
		put(off, was[string(off)])
		if ringChanges {
			w.changes.before = func() {
				w.service.Backends[0].Weight *= 2
				w.publish()
			}
		}
		if _, err := w.s.takeOverView(t.Context(), w.view(), zoneBase); err != nil {
			t.Fatal(err)
		}
		left := make(map[string]uint16)
		err := w.elements.Dump(w.view(), zoneBase, func(e balancer.Element) bool { left[string(e.Key)] = e.Backend; return true })
		if err != nil {
			t.Fatal(err)
		}
		moving := 0 // by the ring of now
		for k, backend := range was {
			moves := homeOf([]byte(k)) != backend
			if moves {
				moving++
			}
			switch kept, there := left[k]; {
			case moves && kept != backend:
				t.Errorf("session %x off the ring is forgotten: it moves", k)
			case !moves && there:
				t.Errorf("session %x on the ring is not asked to show its client", k)
			}
		}
		if ringChanges == (moving == 1) {
			t.Errorf("the ring moves %d of 51 sessions, with a change: %t", moving, ringChanges)
		}
		if es := w.s.OffRing(w.view()); len(es) != 2*moving {
			t.Errorf("%d elements to be renewed, want those of %d off the ring, in both families", len(es), moving)
		}
	}
}
