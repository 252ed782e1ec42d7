package ctsync

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// The daemon hangs just after it has seen a roam. When it goes on, the time of
// the roam is over before the event of the answer is read, or the event is lost.
// Else the entry that the session left would stay until it times out, since all
// that comes from the new client from then on proves nothing.
func TestAnswerThatIsHeardOfTooLate(t *testing.T) {
	for _, tt := range []struct {
		name      string
		announced bool // at track, else by steer
		lost      bool // the event
		reason    string
	}{
		{"announced", true, false, "replied"},
		{"announced, the event is lost", true, true, "replied"},
		{"by steer", false, false, "reconciled"},
		{"by steer, the event is lost", false, true, "reconciled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, b, f := roaming(t, nil)
			f.NewFlow = tt.announced
			w.s.Put([]balancer.Fact{f})
			w.settle()
			w.clock += int64(time.Second)
			late := w.answer(w.ct.entries[w.tuple(clientB, b)])
			w.clock += int64(w.service.ConfirmTimeout)
			w.settle()
			if !tt.lost {
				w.ct.onEvent([]Event{late})
				w.settle()
			}
			w.wantOn(key(1), clientB)
			w.wantClients("after the daemon hung", clientB)
			w.wantDeletions(tt.reason)
		})
	}
}

// answeredThenSeen is a session at a new address whose answer there is heard of
// before the session is.
func (w *world) answeredThenSeen(k []byte, at netip.AddrPort) {
	w.clock += int64(time.Millisecond)
	f := w.decide(k, at)
	f.NewFlow = true
	w.packet(at, f.Backend)
	w.ct.onEvent([]Event{w.answer(w.ct.entries[w.tuple(at, f.Backend)])})
	w.settle()
	w.clock += int64(time.Millisecond)
	f.At = w.clock // the copy is read by now
	w.s.Put([]balancer.Fact{f})
	w.settle()
}

// The kernel decides by itself, and all that it tells of a roam comes at once:
// the answer at the new address, the roam, and only then the answer that the old
// address had. What looked like an entry that was never answered goes still.
func TestAnswersThatAreHeardOfInTheWrongOrder(t *testing.T) {
	for _, lost := range []bool{false, true} { // the old address's
		w := newWorld(t, nil)
		f := w.decide(key(1), clientA)
		f.NewFlow = true
		w.packet(clientA, f.Backend)
		old := w.answer(w.ct.entries[w.tuple(clientA, f.Backend)])
		w.s.Put([]balancer.Fact{f})
		w.settle()
		w.answeredThenSeen(key(1), clientB)
		if !lost {
			w.ct.onEvent([]Event{old})
		}
		w.settle()
		w.wantOn(key(1), clientB)
		w.wantClients("after the answers", clientB)
		w.wantDeletions("replied")
	}
}

// The same with a candidate between: its answer comes last, or never.
func TestAnswerOfAGivenUpCandidateComesLast(t *testing.T) {
	for _, lost := range []bool{false, true} {
		w, b, f := roaming(t, nil)
		w.s.Put([]balancer.Fact{f})
		w.settle()
		late := w.answer(w.ct.entries[w.tuple(clientB, b)])
		w.answeredThenSeen(key(1), clientC)
		if !lost {
			w.ct.onEvent([]Event{late})
		}
		w.settle()
		w.wantOn(key(1), clientC)
		w.wantClients("after the answers", clientC)
		w.wantDeletions("replied", "replied")
	}
}

// A client must keep its entry where conntrack knows of no answer at the new
// address, and the roam must not wait for ever.
func TestLookThatFindsNoAnswer(t *testing.T) {
	for name, change := range map[string]func(w *world, of Tuple){
		"nobody has answered": func(*world, Tuple) {},
		"the entry is gone":   func(w *world, of Tuple) { delete(w.ct.entries, of) },
		"the entry is another's": func(w *world, of Tuple) {
			w.ct.entries[of].Mark, w.ct.entries[of].Status = 0, SeenReply
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, b, f := roaming(t, nil)
			w.s.Put([]balancer.Fact{f})
			w.settle()
			change(w, w.tuple(clientB, b))
			w.pass(2 * w.service.ConfirmTimeout)
			w.wantOn(key(1), clientA)
			w.wantDeletions()
			if w.ct.entries[w.tuple(clientA, b)] == nil {
				t.Error("the client's entry is gone")
			}
			if n := w.s.Stats().Services["vpn"].Waiting; n != 0 {
				t.Errorf("%d roams still wait", n)
			}
		})
	}
}

// A look that fails says nothing: there must be another one.
func TestLookThatFailsIsRepeated(t *testing.T) {
	w, b, f := roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.answer(w.ct.entries[w.tuple(clientB, b)])
	w.ct.fail = errors.New("no memory")
	w.pass(w.service.ConfirmTimeout + time.Second)
	w.wantOn(key(1), clientA)
	w.wantDeletions()
	w.ct.fail = nil
	w.pass(w.service.ConfirmTimeout)
	w.wantOn(key(1), clientB)
	w.wantClients("after the second look", clientB)
	w.wantDeletions("replied")
}

// The daemon hangs between noting a roam and sending its verdict: conntrack has
// no entry yet when the time is over, and the answer comes after that.
func TestLookBeforeThePacketGoesOn(t *testing.T) {
	w, b, f := roaming(t, nil)
	delete(w.ct.entries, w.tuple(clientB, b)) // it is confirmed when the packet leaves
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.clock += int64(w.service.ConfirmTimeout)
	w.settle()
	w.packet(clientB, b)
	w.reply(clientB, b)
	w.wantOn(key(1), clientB)
	w.wantClients("after the answer", clientB)
	w.wantDeletions("replied")
}
