package suite

import (
	"fmt"
	"testing"
	"time"
)

// drained says whether a backend's drain has ended for a reason.
func (b *bed) drained(number int, reason string) bool {
	b.t.Helper()
	for _, l := range b.daemon.events("backend-state") {
		if l.str("backend") == fmt.Sprint("b", number) && l.str("reason") == reason {
			return true
		}
	}
	return false
}

// A backend that is drained must keep whoever is on it, take nobody new, and be
// let go as soon as nobody is left, so that its host can be switched off.
func TestDrainEndsWhenNobodyIsLeft(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	// Sessions end soon after their last packet: entries after 2 s, they 1 s later.
	short := []string{"session_ttl: 1s", "timeouts: {unreplied: 2s, replied: 2s}", "drain_timeout: 1h"}
	b.serve(b.service(short...))
	live := numbers(0, 60)
	home := b.settle(live)
	if refusal := b.reload(b.service(append(short, b.backends(map[int]string{1: "admin: drain"}))...)); refusal != "" {
		t.Fatal(refusal)
	}
	for round := range 8 { // they go on: longer than any of the timeouts
		for i, at := range b.place(live, 2+round) {
			if at != home[i] {
				t.Fatalf("session %d moved while its backend drains", i)
			}
		}
		for _, at := range b.place(numbers(1000*(round+1), 30), 0) {
			if at == 1 {
				t.Fatal("a new session at a draining backend")
			}
		}
		if b.drained(1, "drained") {
			t.Fatal("the backend was let go while sessions were on it")
		}
		time.Sleep(500 * time.Millisecond)
	}
	waitFor(t, 20*time.Second, "the drained backend is let go", func() bool {
		b.entries() // the kernel buries entries that have run out when it is asked for them, or minutes later
		return b.drained(1, "drained")
	})
	if b.drained(1, "drain-timeout") {
		t.Error("the drain is said to have timed out")
	}
	for _, at := range b.place(live, 100) {
		if at == 1 {
			t.Fatal("a session at a backend whose drain is over")
		}
	}
}

// A restart of the daemon must neither give a drain its time anew nor end it
// while sessions are left.
func TestDrainOutlivesTheDaemon(t *testing.T) {
	atLeisure(t)
	for _, how := range []struct {
		name string
		end  func(*daemon)
	}{{"SIGKILL", (*daemon).kill}, {"SIGTERM", (*daemon).stop}} {
		t.Run(how.name, func(t *testing.T) {
			atLeisure(t)
			b := newBed(t, bedOptions{})
			timeout := slow(8 * time.Second)
			draining := b.service(fmt.Sprintf("drain_timeout: %s", timeout), b.backends(map[int]string{1: "admin: drain"}))
			b.serve(b.service())
			live := numbers(0, 60)
			home := b.settle(live)
			if refusal := b.reload(draining); refusal != "" {
				t.Fatal(refusal)
			}
			began := time.Now()
			time.Sleep(timeout / 2)
			how.end(b.daemon)
			b.start()
			for i, at := range b.place(live, 2) {
				if at != home[i] {
					t.Fatalf("session %d moved while its backend drains", i)
				}
			}
			waitFor(t, timeout, "the drained backend is let go", func() bool { return b.drained(1, "drain-timeout") })
			// To the second: the state keeps no more.
			if took := time.Since(began); took < timeout-time.Second || took > timeout+slow(3*time.Second) {
				t.Errorf("the drain took %v, want %v", took, timeout)
			}
			for _, at := range b.place(live, 3) {
				if at == 1 {
					t.Fatal("a session at a backend whose drain is over")
				}
			}
		})
	}
}
