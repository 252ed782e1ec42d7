package suite

import (
	"context"
	"testing"
	"time"
)

// A link that goes down and comes back, and a backend whose address is gone for
// a while, cost what was sent to them meanwhile, and nothing afterwards.
func TestLinksAndAddressesComeAndGo(t *testing.T) {
	atLeisure(t)
	for _, c := range []struct {
		name    string
		members []string
		harm    func(b *bed) (mend func() error, err error)
		all     bool // the sessions of every backend are cut off
	}{
		{"a link of a backend", nil, func(b *bed) (func() error, error) { return b.LB.Down("backend-1") }, false},
		{"a masqueraded link", []string{"snat: masquerade"}, func(b *bed) (func() error, error) { return b.LB.Down("backend-1") }, false},
		{"the link of the clients", nil, func(b *bed) (func() error, error) { return b.LB.Down("clients") }, true},
		{"the addresses of a backend", nil, func(b *bed) (func() error, error) { return b.DropAddresses(b.Backend(1)) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service(c.members...))
			live := numbers(0, 300)
			home := b.settle(live)
			chat := b.chat(live, home, paced(3000))
			time.Sleep(slow(100 * time.Millisecond))
			before := chat.total.Load()
			mend, err := c.harm(b)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(slow(300 * time.Millisecond))
			if err := mend(); err != nil {
				t.Fatal(err)
			}
			other := 900 // the clients' side of a link comes up by itself
			waitFor(t, 5*time.Second, "packets pass again", func() bool {
				other++
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				for _, v6 := range []bool{false, true} {
					if _, err := b.clients.Exchange(ctx, client(v6, other, 20000), listener(v6), payload(other, 0)); err != nil {
						return false
					}
				}
				return true
			})
			meanwhile := int(chat.total.Load() - before)
			time.Sleep(slow(100 * time.Millisecond))
			got := chat.toll(func(backend int) bool { return c.all || backend == 1 })
			t.Logf("%d datagrams, %d while it was away, %d lost", got.sent, meanwhile, got.cutLost)
			onTheirWay := 5 * chatBurst // when the link went
			if got.cutLost == 0 || got.cutLost > meanwhile+onTheirWay || got.othersLost > 0 || got.moved > 0 || got.misplaced > 0 {
				t.Errorf("%+v: want some lost of the %d that were sent meanwhile, and no session elsewhere", got, meanwhile)
			}
			for i, at := range b.place(live, 3_000_000) {
				if at != home[i] {
					t.Errorf("session %d was at backend %d and is at %d", i, home[i], at)
				}
			}
		})
	}
}
