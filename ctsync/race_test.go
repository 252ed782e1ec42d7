package ctsync

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

// roaming is a session that was answered at A and has just been seen at B,
// whose fact the test hands on, or not.
func roaming(t *testing.T, change func(*balancer.Service)) (w *world, backend uint16, f balancer.Fact) {
	t.Helper()
	w = newWorld(t, change)
	backend = w.first(key(1), clientA)
	w.reply(clientA, backend)
	w.pass(5 * time.Second)
	f = w.decide(key(1), clientB)
	f.NewFlow = true
	w.packet(clientB, backend)
	return w, backend, f
}

// answer is a backend's first answer that conntrack has noted, as an event.
func (w *world) answer(e *fakeEntry) Event {
	e.Status |= SeenReply
	e.refreshed = w.clock
	return Event{Entry: w.ct.show(e)}
}

func TestAnswerOvertakesTheFact(t *testing.T) {
	for _, announced := range []bool{true, false} { // at track, or by steer
		w, b, f := roaming(t, nil)
		f.NewFlow = announced
		w.clock += int64(time.Millisecond)
		w.ct.onEvent([]Event{w.answer(w.ct.entries[w.tuple(clientB, b)])})
		w.settle()
		w.wantClients("the event alone", clientA, clientB)
		w.clock += int64(time.Millisecond)
		w.s.Put([]balancer.Fact{f})
		w.settle()
		w.wantClients("after the fact", clientB)
		w.wantOn(key(1), clientB)
		w.wantDeletions("replied")
	}
}

func TestSeveralFirstPacketsOfAFlow(t *testing.T) {
	// Five packets were queued before the first was translated; one is read only
	// after the backend has answered.
	w, b, f := roaming(t, nil)
	for range 4 {
		w.s.Put([]balancer.Fact{f})
		w.clock += int64(time.Millisecond)
		f.At = w.clock
	}
	w.settle()
	w.reply(clientB, b)
	w.wantDeletions("replied")
	w.clock += int64(time.Millisecond)
	f.At = w.clock
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.wantOn(key(1), clientB)
	w.wantClients("after the late one", clientB)
	w.wantDeletions()
	if n := w.s.Stats().Services["vpn"].Roams; n != 1 {
		t.Errorf("%d roams counted, want one", n)
	}
}

func TestLatePacketOfAnAnsweredNewFlowIsProof(t *testing.T) {
	// Two sessions behind one socket roam together. The second one's packet is
	// announced too, but its fact comes when the flow is answered already.
	w, b, f := roaming(t, nil)
	two := key(2)
	for n := 2; w.decide(two, clientC).Backend != b; n++ {
		two = key(n)
	}
	w.first(two, clientC)
	w.reply(clientC, b)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.reply(clientB, b)
	w.clock += int64(time.Millisecond)
	g := w.decide(two, clientB)
	g.NewFlow = true
	w.s.Put([]balancer.Fact{g})
	w.settle()
	w.wantOn(two, clientB)
	w.wantClients("both roamed", clientB)
	w.wantDeletions("replied", "replied")
}

func TestOlderFactChangesNothing(t *testing.T) {
	w, b, f := roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.reply(clientB, b)
	old := f
	old.Client, old.At, old.NewFlow = clientC, f.At-1, true
	w.s.Put([]balancer.Fact{old})
	w.settle()
	w.wantOn(key(1), clientB)
	if n := w.s.Stats().Services["vpn"]; n.Roams != 1 || n.Waiting != 0 {
		t.Errorf("an older fact made a roam: %+v", n)
	}
}

func TestTupleThatWasMadeAnewIsNotDeleted(t *testing.T) {
	// Between the look and the deletion the entry ends, and somebody makes
	// another one with the same tuple.
	w, b, f := roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.ct.between = func() {
		delete(w.ct.entries, w.tuple(clientA, b))
		w.packet(clientA, b)
	}
	w.reply(clientB, b)
	w.wantClients("the id is another", clientA, clientB)
	w.wantDeletions()

	// The same before the look.
	w, b, f = roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	delete(w.ct.entries, w.tuple(clientA, b))
	w.packet(clientA, b)
	w.reply(clientB, b)
	w.wantClients("the id is another", clientA, clientB)
	w.wantDeletions()
}

func TestForeignEntryWithTheTupleIsNotDeleted(t *testing.T) {
	w, b, f := roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.ct.entries[w.tuple(clientA, b)].Mark = 0
	w.reply(clientB, b)
	w.wantClients("not our mark", clientA, clientB)
	w.wantDeletions()
}

func TestSomebodyComesOntoAFlowThatIsAboutToGo(t *testing.T) {
	for name, who := range map[string]func(w *world, b uint16) []byte{
		"the same session comes back": func(*world, uint16) []byte { return key(1) },
		"another session on the old address": func(w *world, b uint16) []byte {
			k := key(100)
			for n := 101; w.decide(k, clientC).Backend != b; n++ {
				k = key(n)
			}
			return k
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, b, f := roaming(t, nil)
			k := who(w, b)
			w.s.Put([]balancer.Fact{f})
			w.settle()
			w.ct.between = func() { // steer hands it to Go: no element
				w.s.Put([]balancer.Fact{w.decide(k, clientA)})
				w.packet(clientA, b)
			}
			w.clock += int64(time.Millisecond)
			w.reply(clientB, b)
			w.check()
			if name == "another session on the old address" {
				w.wantClients("in use again", clientA, clientB)
				w.wantOn(k, clientA)
				w.wantDeletions()
			}
			w.wantOn(key(1), clientB)
		})
	}
}

func TestEndOfAnEntryThatIsUnderDeletion(t *testing.T) {
	w, b, f := roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.ct.between = func() {
		e := w.ct.entries[w.tuple(clientA, b)]
		delete(w.ct.entries, e.Tuple)
		w.s.inbox.putEvents([]Event{{Entry: e.Entry, Destroyed: true}}, w.clock)
	}
	w.reply(clientB, b)
	w.wantDeletions()
	if st := w.s.Stats(); st.Flows != 1 || st.Pending != 0 {
		t.Errorf("left over: %+v", st)
	}
}

func TestEndIsNotMistakenForThatOfTheNextEntry(t *testing.T) {
	// The client is announced anew before the end of its old entry, which was
	// deleted by somebody else, is read.
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	w.pass(5 * time.Second)
	old := w.ct.entries[w.tuple(clientA, b)].Entry
	delete(w.ct.entries, old.Tuple)
	w.speak(key(1), clientA)
	w.ct.onEvent([]Event{{Entry: old, Destroyed: true}})
	w.settle()
	if _, ok := w.s.ClientFlow(clientA, listener4); !ok {
		t.Error("the new entry is taken for ended")
	}
}

func TestBaseEndsWhileTheCandidateWaits(t *testing.T) {
	w, b, f := roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	e := w.ct.entries[w.tuple(clientA, b)]
	delete(w.ct.entries, e.Tuple)
	w.ct.onEvent([]Event{{Entry: e.Entry, Destroyed: true}})
	w.settle()
	w.pass(11 * time.Second)
	w.wantOn(key(1), clientB)
	w.wantDeletions()
}

func TestNewerCandidateTakesThePlaceOfTheOlder(t *testing.T) {
	w, b, f := roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.pass(time.Second)
	w.speak(key(1), clientC)
	w.wantClients("the older one was never answered", clientA, clientC)
	w.wantOn(key(1), clientA)
	w.reply(clientC, b)
	w.wantClients("answered", clientC)
	w.wantDeletions("never-replied", "replied")
}

func TestSessionEvictedWhileItsFactIsUnderWay(t *testing.T) {
	w, b, f := roaming(t, func(s *balancer.Service) { s.MaxSessions = 4 })
	// Its place is given to others, which are answered.
	for n := 2; n < 10; n++ {
		c := netip.AddrPortFrom(clientC.Addr(), uint16(n))
		w.reply(c, w.first(key(n), c))
		w.pass(time.Second)
	}
	if _, ok := w.table().Session(key(1)); ok {
		t.Fatal("session 1 was not evicted")
	}
	told := 0
	for _, e := range w.tells(event.Evicted) {
		told += e.Count
	}
	if told != 5 {
		t.Errorf("told of %d evictions, want 5", told)
	}
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.reply(clientB, b)
	w.wantDeletions()
}

func TestFlowOfAnEvictedSessionIsNotDeleted(t *testing.T) {
	// Two sessions are on one flow. One is evicted, still alive; then the other
	// one leaves: the flow may be the first one's.
	w := newWorld(t, nil)
	one, two := key(1), key(2)
	b := w.first(one, clientA)
	for n := 2; w.decide(two, clientA).Backend != b; n++ {
		two = key(n)
	}
	w.first(two, clientA)
	w.reply(clientA, b)
	w.first(two, clientA)
	at, hash := w.table().locate(one)
	sh := &w.table().shards[at]
	w.table().remove(sh, sh.find(hash, one))
	w.pass(time.Second) // the sweeper finds out
	w.exchange(two, clientB)
	w.wantOn(two, clientB)
	w.wantClients("an evicted session may be on A's flow", clientA, clientB)
	w.wantDeletions()
}

func TestServiceRemovedWithFactsUnderWay(t *testing.T) {
	w, b, f := roaming(t, nil)
	w.s.DropTable("vpn")
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.reply(clientB, b)
	w.pass(time.Second)
	w.check()
	// Again there, with the old facts still coming.
	w.publish()
	if w.table() == f.View.Bindings {
		t.Fatal("the dropped table is back")
	}
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.first(key(1), clientA)
	w.wantOn(key(1), clientA)
	w.check()
}

func TestLostEndIsFoundByADump(t *testing.T) {
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	w.pass(5 * time.Second)
	delete(w.ct.entries, w.tuple(clientA, b))
	w.dump()
	if _, ok := w.s.ClientFlow(clientA, listener4); ok {
		t.Error("a flow whose entry is gone is taken for live")
	}
}

func TestLostAnswerIsFoundByADump(t *testing.T) {
	w, b, f := roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.ct.entries[w.tuple(clientB, b)].Status |= SeenReply
	w.dump()
	w.wantOn(key(1), clientB)
	w.wantClients("after the dump", clientB)
	w.wantDeletions("replied")
}

func TestDeletionThatFailsIsTriedAgain(t *testing.T) {
	w, b, f := roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.ct.fail = errors.New("no memory")
	w.reply(clientB, b)
	w.wantClients("the kernel refuses", clientA, clientB)
	w.pass(time.Second)
	w.ct.fail = nil
	w.pass(2 * time.Second)
	w.wantClients("it does not any longer", clientB)

	// It refuses for long: a dump finds what is left, once it is silent.
	w, b, f = roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.ct.fail = errors.New("no memory")
	w.reply(clientB, b)
	w.pass(8 * time.Second)
	w.ct.fail = nil
	w.pass(5 * time.Second)
	w.reply(clientB, b)
	w.wantClients("given up", clientA, clientB)
	w.dump()
	w.wantClients("after the dump", clientB)
	w.wantDeletions("reconciled")
}

func TestLostFactsAreToldAndMadeGood(t *testing.T) {
	w, _, f := roaming(t, nil)
	facts := make([]balancer.Fact, 1000)
	for i := range facts {
		facts[i] = f
	}
	lose := func() {
		for range maxFacts/len(facts) + 2 {
			w.s.Put(facts)
		}
	}
	follows := func() bool {
		select {
		case <-w.s.reconcile:
			return true
		default:
			return false
		}
	}
	lose()
	w.pass(2 * time.Second)
	lost := w.s.Stats().LostFacts
	if lost == 0 {
		t.Fatal("nothing was lost")
	}
	e := w.tells(event.Overflow)
	if len(e) != 1 || e[0].Count != int(lost) {
		t.Errorf("told %+v, want one overflow of %d", e, lost)
	}
	if follows() {
		t.Error("a dump follows at once")
	}
	w.pass(2 * time.Second)
	if !follows() {
		t.Error("no dump follows")
	}
	if !w.s.maps.Swap(false) {
		t.Error("no takeover follows")
	}

	// It goes on and on.
	for second := range 13 {
		lose()
		w.pass(time.Second)
		w.s.Missed()
		if dump := follows(); dump && second < 9 {
			t.Fatalf("a dump after %d seconds, amid losses", second+1)
		} else if dump {
			return
		}
	}
	t.Error("losses without an end are never made good")
}

func TestSharedSessionWhoseBaseEnds(t *testing.T) {
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	for i := range 8 {
		w.pass(5 * time.Millisecond)
		w.exchange(key(1), []netip.AddrPort{clientB, clientA}[i%2])
	}
	s, _ := w.table().Session(key(1))
	if !s.Shared {
		t.Fatal("not shared")
	}
	e := w.ct.entries[w.tuple(s.Client, b)]
	delete(w.ct.entries, e.Tuple)
	w.ct.onEvent([]Event{{Entry: e.Entry, Destroyed: true}})
	w.settle()
	w.first(key(1), clientC)
	w.reply(clientC, b)
	w.wantOn(key(1), clientC)
	w.pass(15 * time.Second)
	w.wantClients("the third one has it", clientC)
	w.check()
}

func TestThirdClientOfASharedSession(t *testing.T) {
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	for i := range 8 {
		w.pass(5 * time.Millisecond)
		w.exchange(key(1), []netip.AddrPort{clientB, clientA}[i%2])
	}
	w.told = nil
	for range 12 {
		w.exchange(key(1), clientC)
		w.pass(2 * time.Second)
	}
	w.wantOn(key(1), clientC)
	w.wantClients("the two others are silent", clientC)
	w.check()
	if n := w.s.Stats().Services["vpn"].Shared; n != 0 {
		t.Errorf("%d sessions are shared", n)
	}
}

func TestEntryWhoseTimeoutIsNotKnown(t *testing.T) {
	// Somebody gave the entries a timeout of his own: it does not tell when the
	// client spoke last. The answer is proof enough.
	w, b, f := roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.ct.entries[w.tuple(clientA, b)].refreshed += int64(time.Hour)
	w.reply(clientB, b)
	w.wantClients("after the answer", clientB)
	w.wantDeletions("replied")
}

func TestTimeoutsOfTheServiceCount(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) {
		s.Timeouts = balancer.Timeouts{Unreplied: 20 * time.Second, Replied: 40 * time.Second}
	})
	w.s.feed(1)
	for _, tt := range []struct {
		entry Entry
		want  time.Duration
	}{
		{Entry{Tuple: Tuple{clientA, listener4, 0}}, 20 * time.Second},
		{Entry{Tuple: Tuple{clientA, listener4, 0}, Status: SeenReply}, 20 * time.Second},
		{Entry{Tuple: Tuple{clientA, listener4, 0}, Status: SeenReply | Assured}, 40 * time.Second},
		{Entry{Tuple: Tuple{clientA, clientB, 0}, Status: SeenReply | Assured}, 120 * time.Second},
	} {
		if got := w.s.core.lifetime(&tt.entry); got != tt.want {
			t.Errorf("%+v lives %v, want %v", tt.entry, got, tt.want)
		}
	}
}

func TestManagingBeforeAnythingIsKnown(t *testing.T) {
	w := newWorld(t, nil)
	tuple := w.tuple(clientA, 2)
	w.ct.entries[tuple] = &fakeEntry{Entry: Entry{Tuple: tuple, ID: 1, Mark: w.snap.Marks.Ours()}, refreshed: w.clock}
	if _, err := w.s.Evict(t.Context(), []Eviction{{View: w.view(), Backend: 2, Reason: "x", Sessions: true}}); err != nil || len(w.ct.entries) != 0 {
		t.Errorf("%v, %d entries left", err, len(w.ct.entries))
	}
	w.snap = nil
	if n, err := w.s.DeleteForeign(t.Context(), nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	w.s.Put([]balancer.Fact{{View: &balancer.View{}}})
	w.settle()
}

func TestAnswerToACandidateThatWasGivenUpProvesNothing(t *testing.T) {
	// The session is seen at B, then at C. B's answer was there already, and
	// its event is lost: the entry of B is not the unanswered one it was taken
	// for.
	w, b, f := roaming(t, nil)
	w.s.Put([]balancer.Fact{f})
	w.settle()
	w.pass(time.Second)
	w.ct.entries[w.tuple(clientB, b)].Status |= SeenReply
	w.speak(key(1), clientC)
	w.wantClients("nothing is proven", clientA, clientB, clientC)
	w.wantOn(key(1), clientA)
	w.wantDeletions()
}

func TestEntryThatADumpHasFoundIsNoProof(t *testing.T) {
	// B's entry is somebody's, and answered long ago. Go has just found it by a
	// dump when it ends unheard of, and the session is announced from there.
	for _, announced := range []bool{true, false} {
		w := newWorld(t, nil)
		b := w.first(key(1), clientA)
		w.reply(clientA, b)
		listen := w.ct.onEvent
		w.ct.onEvent = func([]Event) {}
		w.packet(clientB, b)
		w.reply(clientB, b)
		w.dump()
		w.ct.onEvent = listen
		f := w.decide(key(1), clientB)
		if f.NewFlow = announced; announced {
			delete(w.ct.entries, w.tuple(clientB, b))
			w.packet(clientB, b)
		}
		w.s.Put([]balancer.Fact{f})
		w.settle()
		w.wantOn(key(1), clientA)
		w.wantDeletions()
		if announced {
			w.reply(clientB, b)
			w.wantOn(key(1), clientB)
			w.wantDeletions("replied")
		}
	}
}

// A daemon that lags hears of all the answers only after it has seen a session
// at each of its addresses: none of the old entries may stay for that.
func TestManyRoamsBeforeTheirAnswersAreHeardOf(t *testing.T) {
	for _, heard := range []int{0, 1} { // of how many clients the answer is heard of in time
		w := newWorld(t, nil)
		var late []Event
		w.ct.onEvent = func(es []Event) { late = append(late, es...) }
		clients := []netip.AddrPort{clientA, clientB, clientC, client(9)}
		for i, at := range clients {
			w.clock += int64(10 * time.Millisecond)
			f := w.decide(key(1), at)
			f.NewFlow = true
			w.packet(at, f.Backend)
			w.s.Put([]balancer.Fact{f})
			w.clock += int64(time.Millisecond)
			answer := []Event{w.answer(w.ct.entries[w.tuple(at, f.Backend)])}
			if i < heard {
				w.s.inbox.putEvents(answer, w.clock)
				w.settle()
			} else {
				late = append(late, answer...)
			}
		}
		w.settle()
		w.wantClients("before the answers are heard of", clients...)
		w.clock += int64(2 * time.Second)
		w.s.inbox.putEvents(late, w.clock)
		w.pass(2 * time.Second)
		w.wantOn(key(1), client(9))
		w.wantClients("after that", client(9))
		w.wantDeletions("replied", "replied", "replied")
	}
}

// The same where the events are lost, and only a dump shows that there were answers.
func TestManyRoamsWhoseAnswersAreNeverHeardOf(t *testing.T) {
	w := newWorld(t, nil)
	w.ct.onEvent = func([]Event) {}
	clients := []netip.AddrPort{clientA, clientB, clientC}
	for _, at := range clients {
		w.clock += int64(10 * time.Millisecond)
		f := w.decide(key(1), at)
		f.NewFlow = true
		w.packet(at, f.Backend)
		w.s.Put([]balancer.Fact{f})
		w.answer(w.ct.entries[w.tuple(at, f.Backend)])
	}
	w.settle()
	w.dump()
	w.pass(w.service.ConfirmTimeout + time.Second)
	w.wantOn(key(1), clientC)
	w.wantClients("after the dump", clientC)
	w.wantDeletions("replied", "reconciled") // the last roam is the only one that a dump can prove
}

// Who was answered once, but not since his session's id was sent from elsewhere,
// keeps his entry, however late that answer is heard of.
func TestLateAnswerOfAVictimProvesNothing(t *testing.T) {
	w := newWorld(t, nil)
	victim := w.decide(key(1), clientA)
	victim.NewFlow = true
	w.packet(clientA, victim.Backend)
	late := []Event{w.answer(w.ct.entries[w.tuple(clientA, victim.Backend)])}
	w.s.Put([]balancer.Fact{victim})
	for _, forger := range []netip.AddrPort{clientB, clientC} {
		w.clock += int64(time.Millisecond)
		f := w.decide(key(1), forger)
		f.NewFlow = true
		w.packet(forger, f.Backend)
		w.s.Put([]balancer.Fact{f})
	}
	w.settle()
	w.clock += int64(time.Second)
	w.s.inbox.putEvents(late, w.clock)
	w.pass(15 * time.Second)
	if e := w.ct.entries[w.tuple(clientA, victim.Backend)]; e == nil {
		t.Error("the victim's entry is gone")
	}
	w.check()
}
