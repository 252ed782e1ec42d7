package ctsync

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

func TestRoamDeletesTheOldEntryOnceTheBackendHasAnswered(t *testing.T) {
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	w.pass(20 * time.Second)

	w.speak(key(1), clientB)
	w.wantClients("before the answer", clientA, clientB)
	w.wantOn(key(1), clientA)
	if roams := w.tells(event.Roam); len(roams) != 1 || roams[0].OldClient != clientA || roams[0].NewClient != clientB || roams[0].Backend != w.view().Backend(b).Name {
		t.Errorf("told of roams %+v, want one from A to B", roams)
	}
	w.pass(3 * time.Millisecond)
	w.reply(clientB, b)
	w.wantClients("after the answer", clientB)
	w.wantOn(key(1), clientB)
	e := w.tells(event.StaleDeleted)
	if len(e) != 1 {
		t.Fatalf("told of %d deletions, want one", len(e))
	}
	if e[0].Service != "vpn" || !slices.Equal(e[0].Session, key(1)) || e[0].OldClient != clientA || e[0].NewClient != clientB ||
		e[0].Reason != "replied" || e[0].Age < 20*time.Second || e[0].Backend != w.view().Backend(b).Name || e[0].Time.IsZero() {
		t.Errorf("told %+v", e[0])
	}
	w.check()
}

func TestSpoofedPacketCutsNobody(t *testing.T) {
	// A stolen session id from an address that the backend never answers.
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	w.speak(key(1), clientB)
	w.pass(15 * time.Second)
	w.wantClients("after confirm_timeout", clientA, clientB)
	w.wantOn(key(1), clientA)
	w.wantDeletions()
	if n := w.s.Stats().Services["vpn"].Waiting; n != 0 {
		t.Errorf("%d roams still wait", n)
	}
	w.exchange(key(1), clientA)
	w.pass(25 * time.Second)
	w.wantOn(key(1), clientA)
}

func TestForgedRoamsAreBounded(t *testing.T) {
	for name, answered := range map[string]bool{"of a session that was answered": true, "of one that never was": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			b := w.first(key(1), clientA)
			if answered {
				w.reply(clientA, b)
			}
			const seconds = 2
			for i := range 1000 * seconds {
				w.speak(key(1), netip.AddrPortFrom(clientB.Addr(), uint16(2000+i)))
				w.pass(time.Millisecond)
			}
			told := make(map[event.Kind]int)
			for _, e := range w.told {
				told[e.Kind]++
			}
			limit := manyTries + seconds*int(time.Second/triesPause) + 1
			if roams, deleted := told[event.Roam], told[event.StaleDeleted]; roams < manyTries || roams > limit || deleted > limit {
				t.Errorf("told of %d roams and %d deletions, want %d and at most %d", roams, deleted, manyTries, limit)
			}
			if n := told[event.Contested]; n != 1 {
				t.Errorf("told %d times that the session is contested, want once", n)
			}
			// Who has the session can still roam.
			w.pass(triesPause)
			w.speak(key(1), clientC)
			w.reply(clientC, b)
			w.wantOn(key(1), clientC)
			w.check()
		})
	}
}

func TestJoinToAnExistingFlowProvesNothing(t *testing.T) {
	// The attacker has a flow of his own to the backend, answered long ago, and
	// sends a stolen session id on it.
	w := newWorld(t, nil)
	victim, own := key(1), key(2)
	b := w.first(victim, clientA)
	w.reply(clientA, b)
	for n := 2; w.decide(own, clientB).Backend != b; n++ {
		own = key(n)
	}
	w.first(own, clientB)
	w.reply(clientB, b)
	w.pass(time.Second)
	for range 3 { // the kernel's element has run out: steer hands it to Go
		w.first(victim, clientB)
		w.reply(clientB, b)
		w.pass(3 * time.Second)
	}
	w.wantOn(victim, clientA)
	w.wantClients("entries", clientA, clientB)
	w.wantDeletions()
	if n := w.s.Stats().Services["vpn"].Joins; n == 0 {
		t.Error("the joins are not counted")
	}
}

func TestUnansweredEntryGoesAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.first(key(1), clientA)
	w.speak(key(1), clientB)
	w.wantClients("after the roam", clientB)
	w.wantOn(key(1), clientB)
	w.wantDeletions("never-replied")
}

func TestUnansweredEntryThatWasAnsweredAfterAllStays(t *testing.T) {
	// The event of the answer was lost, so that only a look at the entry tells.
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.ct.entries[w.tuple(clientA, b)].Status |= SeenReply
	w.speak(key(1), clientB)
	w.wantClients("after the roam", clientA, clientB)
	w.wantOn(key(1), clientA)
	w.wantDeletions()
	w.reply(clientB, b)
	w.wantOn(key(1), clientB)
	w.wantDeletions("replied")
	w.wantClients("after the answer", clientB)
}

func TestPolicies(t *testing.T) {
	for _, tt := range []struct {
		stale   balancer.Stale
		reasons []string
		entries int
	}{
		{balancer.StaleImmediate, []string{"immediate"}, 1},
		{balancer.StaleNever, nil, 2},
	} {
		t.Run(string(tt.stale), func(t *testing.T) {
			w := newWorld(t, func(s *balancer.Service) { s.Stale = tt.stale })
			b := w.first(key(1), clientA)
			w.reply(clientA, b)
			w.speak(key(1), clientB)
			w.wantOn(key(1), clientB)
			w.reply(clientB, b)
			w.pass(15 * time.Second)
			if got := len(w.clients()); got != tt.entries {
				t.Errorf("%d entries, want %d", got, tt.entries)
			}
			w.wantDeletions(tt.reasons...)
		})
	}
}

func TestSharedEntryIsDeletedByTheLastToLeave(t *testing.T) {
	w := newWorld(t, nil)
	one, two := key(1), key(2)
	b := w.first(one, clientA)
	for n := 2; w.decide(two, clientA).Backend != b; n++ {
		two = key(n)
	}
	w.first(two, clientA)
	w.reply(clientA, b)
	w.pass(time.Second)

	w.speak(one, clientB)
	w.reply(clientB, b)
	w.wantOn(one, clientB)
	w.wantClients("one of two has left", clientA, clientB)
	w.wantDeletions()

	w.speak(two, clientC)
	w.reply(clientC, b)
	w.wantClients("both have left", clientB, clientC)
	w.wantDeletions("replied")
}

func TestOldClientThatStillSpeaksKeepsItsEntry(t *testing.T) {
	for _, counted := range []bool{false, true} {
		w := newWorld(t, nil)
		w.ct.counted = counted
		b := w.first(key(1), clientA)
		w.reply(clientA, b)
		w.stream(clientA, b)
		w.dump()
		w.pass(5 * time.Second)
		w.speak(key(1), clientB)
		w.pass(3 * time.Second)
		w.speak(key(1), clientA)
		w.pass(time.Second)
		w.reply(clientB, b)
		w.wantClients("both speak", clientA, clientB)
		if e := w.tells(event.Shared); len(e) != 1 {
			t.Errorf("counted %v: told of %d shared sessions, want one", counted, len(e))
		}
		for range 8 { // the new client goes on, the old one is silent
			w.pass(2 * time.Second)
			w.speak(key(1), clientB)
		}
		w.wantClients("the old one is silent", clientB)
		w.wantDeletions("silent")
		w.wantOn(key(1), clientB)
	}
}

func TestFlappingSessionKeepsBothClients(t *testing.T) {
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	for i := range 1000 {
		w.pass(5 * time.Millisecond)
		c := clientB
		if i%2 == 1 {
			c = clientA
		}
		w.exchange(key(1), c)
	}
	w.wantClients("flapping", clientA, clientB)
	if n := len(w.ct.deleted); n > 3 {
		t.Errorf("%d deletions in 1,000 alternations, want at most 3", n)
	}
	if n := len(w.tells(event.Shared)); n != 1 {
		t.Errorf("told of %d shared sessions, want one", n)
	}
	if n := w.s.Stats().Services["vpn"].Shared; n != 1 {
		t.Errorf("%d sessions are shared, want one", n)
	}
	// B falls silent.
	for range 20 {
		w.pass(time.Second)
		w.exchange(key(1), clientA)
	}
	w.wantClients("one is silent", clientA)
	if n := len(w.tells(event.Unshared)); n != 1 {
		t.Errorf("told of %d sessions that are shared no longer, want one", n)
	}
	w.wantOn(key(1), clientA)
	w.check()
}

func TestSessionIsConfirmedByAnAnswer(t *testing.T) {
	w := newWorld(t, nil)
	confirmed := func(k []byte) bool {
		b, _ := w.table().Find(k, w.view(), false)
		return b.Confirmed
	}
	one, two := key(1), key(2)
	b := w.first(one, clientA)
	if confirmed(one) {
		t.Error("confirmed without an answer")
	}
	w.reply(clientA, b)
	if !confirmed(one) {
		t.Error("not confirmed by the answer")
	}
	// Another session on the same, answered flow: at its second decision.
	for n := 2; w.decide(two, clientA).Backend != b; n++ {
		two = key(n)
	}
	w.pass(time.Millisecond)
	w.first(two, clientA)
	if confirmed(two) {
		t.Error("a session that joins an answered flow is confirmed at once")
	}
	w.first(two, clientA)
	if !confirmed(two) {
		t.Error("a session that joins an answered flow is not confirmed at its second decision")
	}
}

func TestFamilies(t *testing.T) {
	// A session that goes from IPv4 to IPv6 keeps its backend.
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	w.pass(time.Second)
	if got := w.speak(key(1), client6); got != b {
		t.Errorf("in the other family the session is on backend %d, was on %d", got, b)
	}
	w.reply(client6, b)
	w.wantClients("after the roam", client6)
	w.wantDeletions("replied")

	// Where its backend has no address of the family, it gets a second one.
	w = newWorld(t, func(s *balancer.Service) { s.Backends[0].Addresses = s.Backends[0].Addresses[:1] })
	k := key(1)
	for n := 2; w.decide(k, clientA).Backend != 1; n++ {
		k = key(n)
	}
	w.first(k, clientA)
	w.reply(clientA, 1)
	b6 := w.first(k, client6)
	if b6 == 1 {
		t.Fatal("an IPv6 packet on a backend without an IPv6 address")
	}
	w.reply(client6, b6)
	w.wantDeletions("replied")
	w.wantClients("after the roam", client6)
	if back := w.first(k, clientB); back != 1 {
		t.Errorf("back in IPv4 it is on backend %d, was on 1", back)
	}
}

func TestTakeoverIsTold(t *testing.T) {
	w := newWorld(t, nil)
	one, two := key(1), key(2)
	b := w.first(one, clientA)
	w.reply(clientA, b)
	for n := 2; w.decide(two, clientA).Backend == b; n++ {
		two = key(n)
	}
	w.told = nil
	other := w.first(two, clientA)
	e := w.tells(event.Takeover)
	if len(e) != 1 || e[0].NewClient != clientA || !slices.Equal(e[0].Session, two) || e[0].Backend != w.view().Backend(other).Name {
		t.Errorf("told %+v, want one takeover of A by session %x", e, two)
	}
	w.wantOn(one, clientA)
	w.wantOn(two, clientA)
	if got, ok := w.s.ClientFlow(clientA, listener4); !ok || got == 0 {
		t.Error("the client's flow is not known")
	}
}

func TestClientFlow(t *testing.T) {
	w := newWorld(t, nil)
	if _, ok := w.s.ClientFlow(clientA, listener4); ok {
		t.Error("a flow of nobody")
	}
	b := w.first(key(1), clientA)
	if got, ok := w.s.ClientFlow(clientA, listener4); !ok || got != b {
		t.Errorf("got backend %d, %v, want %d", got, ok, b)
	}
	w.pass(time.Minute)
	if _, ok := w.s.ClientFlow(clientA, listener4); ok {
		t.Error("an error message would go along a flow whose entry has ended")
	}
}

func TestSessionEnds(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) { s.SessionTTL = 5 * time.Minute })
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	w.stream(clientA, b)
	for range 10 { // it is not decided again, but its entry lives
		w.pass(time.Minute)
		w.packet(clientA, b)
	}
	if w.table().Len() != 1 {
		t.Fatal("a session with a live entry has ended")
	}
	w.pass(fakeReplied + 4*time.Minute)
	if w.table().Len() != 1 {
		t.Fatal("a session has ended before session_ttl after its entry's end")
	}
	w.pass(3 * time.Minute)
	if w.table().Len() != 0 {
		t.Error("a session does not end")
	}
	if n := w.s.Stats().Flows; n != 0 {
		t.Errorf("%d flows are kept without sessions and entries", n)
	}
	w.check()
}
