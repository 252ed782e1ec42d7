package daemon

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/store"
)

// steps are changes of a busy service and of its neighbours, each made of what
// there is. Backends 1 and 2 stay.
func steps(n *lab.Network) []struct {
	name string
	edit func([]balancer.Service) []balancer.Service
} {
	vpn := func(change func(*balancer.Service)) func([]balancer.Service) []balancer.Service {
		return func(have []balancer.Service) []balancer.Service { return changed(have, "vpn", change) }
	}
	backend := func(i int, change func(*balancer.Backend)) func([]balancer.Service) []balancer.Service {
		return vpn(func(s *balancer.Service) { change(&s.Backends[i]) })
	}
	return []struct {
		name string
		edit func([]balancer.Service) []balancer.Service
	}{
		{"a backend comes", vpn(func(s *balancer.Service) { s.Backends = append(s.Backends, service(n, "", 1, 3).Backends...) })},
		{"a weight", backend(0, func(b *balancer.Backend) { b.Weight = 5 })},
		{"a backend drains", backend(2, func(b *balancer.Backend) { b.Admin = balancer.AdminDrain })},
		{"a neighbour comes", func(have []balancer.Service) []balancer.Service {
			return append(have, service(n, "web", 2000, 1, 3))
		}},
		{"it comes up again", backend(2, func(b *balancer.Backend) { b.Admin = balancer.AdminUp })},
		{"a neighbour changes", func(have []balancer.Service) []balancer.Service {
			return changed(have, "web", func(s *balancer.Service) { s.Backends[0].Weight = 3 })
		}},
		{"weight 0", backend(2, func(b *balancer.Backend) { b.Weight = 0 })},
		{"a setting", vpn(func(s *balancer.Service) { s.DrainTimeout *= 2 })},
		{"more slots", vpn(func(s *balancer.Service) { s.Slots = 509 })},
		{"a neighbour goes", func(have []balancer.Service) []balancer.Service {
			return slices.DeleteFunc(have, func(s balancer.Service) bool { return s.Name == "web" })
		}},
		{"a weight again", backend(1, func(b *balancer.Backend) { b.Weight = 2 })},
	}
}

// Changing services is daily work: no packet may be lost by it, nobody moved,
// whether they are in Go's table or in the kernel's.
func TestChangeUnderTraffic(t *testing.T) {
	b := newBed(t, 3, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1, 2)} })
	home := b.place(0, 200, 0, port)
	l := b.startLoad(10_000, 0, 0)
	for i, step := range steps(b.Network) {
		st, err := b.Change(t.Context(), operator, func(have []balancer.Service) ([]balancer.Service, error) { return step.edit(have), nil })
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		b.stay(step.name, home, i+1)
		if diff := cmp.Diff(st.Services, b.State().Services, cmpAddr); diff != "" {
			t.Errorf("%s: answered (-) and kept (+):\n%s", step.name, diff)
		}
		if diff, err := b.rules.Verify(); err != nil || len(diff) > 0 {
			t.Errorf("%s: the kernel has something else: %v %v", step.name, diff, err)
		}
	}
	l.stop("changes")
	if got := b.events(event.ConfigChanged); len(got) != len(steps(b.Network)) {
		t.Errorf("%d events of a changed configuration, want %d", len(got), len(steps(b.Network)))
	}
	for _, e := range b.events(event.Audit) {
		if e.Reason == "configuration" && (e.Actor != operator || e.Detail == "") {
			t.Errorf("audit event %+v, want who and what", e)
		}
	}
	var states []string
	for _, e := range b.events(event.BackendState) {
		states = append(states, e.Backend+" "+e.Detail)
	}
	if diff := cmp.Diff([]string{"b3 is drain", "b3 is up"}, states); diff != "" {
		t.Errorf("events of backends' states (-want +got):\n%s", diff)
	}
	// What is on disk is what a restart serves, and it moves nobody.
	want := b.kernel()
	b.end()
	b.start()
	if diff := cmp.Diff(want, b.kernel()); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
	b.stay("after a restart", home, 100)
}

// What one service gives up another may take in the same change: listeners, and
// the answers of a backend that both have had.
func TestServicesSwapWhatTheyHave(t *testing.T) {
	b := newBed(t, 3, func(n *lab.Network) []balancer.Service {
		return []balancer.Service{service(n, "a", port, 1), service(n, "b", 2000, 2), service(n, "c", 2001, 2, 3), service(n, "d", 2002, 3)}
	})
	have := b.State().Services
	swapped := slices.Clone(have)
	swapped[0].Listen, swapped[1].Listen = have[1].Listen, have[0].Listen
	swapped[2].Backends = swapped[2].Backends[1:]
	for i, want := range [][]balancer.Service{swapped, have, swapped[1:], swapped[:1], have, swapped} {
		b.mustSet(want)
		if diff, err := b.rules.Verify(); err != nil || len(diff) > 0 {
			t.Fatalf("change %d: the kernel has something else: %v %v", i, diff, err)
		}
	}
	for i, at := range b.place(0, 20, 0, port) {
		if at != 2 {
			t.Errorf("session %d came to backend %d, want the other service's", i, at)
		}
	}
}

// Many who change at once must each find their change made, and no other's
// undone.
func TestChangesAtOnce(t *testing.T) {
	const writers, rounds = 16, 5
	b := newBed(t, 1, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1)} })
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for range rounds {
				_, err := b.Change(t.Context(), operator, func(have []balancer.Service) ([]balancer.Service, error) {
					return changed(have, "vpn", func(s *balancer.Service) { s.Backends[0].Weight++ }), nil
				})
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	all.Wait()
	if got, want := b.State().Services[0].Backends[0].Weight, 1+writers*rounds; got != want {
		t.Errorf("the weight is %d after %d changes, want %d", got, writers*rounds, want)
	}
}

// Who finds nothing to change, or says no, must leave all as it was.
func TestChangeThatIsNone(t *testing.T) {
	b := newBed(t, 1, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1)} })
	before := b.State()
	stale := errors.New("stale")
	if _, err := b.Change(t.Context(), operator, func(have []balancer.Service) ([]balancer.Service, error) { return nil, stale }); !errors.Is(err, stale) || errors.Is(err, ErrNotApplied) {
		t.Errorf("the error of who says no came back as %v", err)
	}
	st, err := b.Change(t.Context(), operator, func(have []balancer.Service) ([]balancer.Service, error) { return have, nil })
	if err != nil || st.Revision != before.Revision {
		t.Errorf("nothing to change: revision %d, %v; want %d", st.Revision, err, before.Revision)
	}
	if diff := cmp.Diff(before, b.State(), cmpAddr); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

// A plan says what a change would do, and does nothing.
func TestPlan(t *testing.T) {
	b := newBed(t, 3, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1, 2)} })
	before, kernel := b.State(), b.kernel()
	want := append(changed(before.Services, "vpn", func(s *balancer.Service) {
		s.Backends = append(s.Backends, service(b.Network, "", 1, 3).Backends...)
	}), service(b.Network, "web", 2000, 1))
	plan, err := b.Plan(want)
	if err != nil {
		t.Fatal(err)
	}
	if plan.View("vpn").Bindings != b.Snapshot().View("vpn").Bindings {
		t.Error("the plan does not know today's sessions")
	}
	if plan.View("web").Bindings != nil {
		t.Error("the plan of a new service has sessions")
	}
	if diff := cmp.Diff(before, b.State(), cmpAddr); diff != "" {
		t.Errorf("the state (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(kernel, b.kernel()); diff != "" {
		t.Errorf("the kernel (-before +after):\n%s", diff)
	}
	b.mustSet(want)
	if diff := cmp.Diff(plan.View("vpn").Ring(false), b.Snapshot().View("vpn").Ring(false)); diff != "" {
		t.Errorf("the ring (-planned +made):\n%s", diff)
	}
	rekeyed := changed(want, "vpn", func(s *balancer.Service) {
		s.Key.Variants = []balancer.Variant{{Fields: []balancer.Field{{Offset: 2, Length: 8}}}}
	})
	if plan, err := b.Plan(rekeyed); err != nil || plan.View("vpn").Bindings != nil {
		t.Errorf("under another key the plan has sessions, or there is none: %v", err)
	}
}

// The first start shows a token once; it outlives changes and restarts, and
// can be taken away.
func TestTokens(t *testing.T) {
	b := newBed(t, 1, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1)} })
	st := b.State()
	if got, ok := st.FindToken(b.token); !ok || got.Scope != store.ScopeWrite || got.Name != "admin" {
		t.Fatalf("the first token %q is %+v, %v", b.token, got, ok)
	}
	first := b.token
	b.mustSet(changed(st.Services, "vpn", func(s *balancer.Service) { s.Backends[0].Weight = 2 }))
	b.token = ""
	b.end()
	b.start()
	st = b.State()
	if _, ok := st.FindToken(first); !ok || b.token != "" {
		t.Errorf("after a restart the token counts: %v, and another is shown: %v", ok, b.token != "")
	}
	more, _ := store.NewToken("ops", store.ScopeRead, b.Started())
	if err := b.ChangeTokens(t.Context(), operator, func([]store.Token) ([]store.Token, error) { return []store.Token{more}, nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ops"}, tokenNames(b.State())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	audits := b.events(event.Audit)
	last := audits[len(audits)-1]
	if want := "token ops (read) is new; token admin is gone"; last.Detail != want || last.Actor != operator {
		t.Errorf("audit %+v, want %q by %v", last, want, operator)
	}
}

// A service whose pinning changes loses no packet by it and moves nobody: what was
// decided for the one kind does not meet the other's rules, nor do entries of the
// new kind go with the old ones. What begins with flows has no chains before
// conntrack until the first change.
func TestPinningChangesUnderTraffic(t *testing.T) {
	for _, kinds := range [][2]balancer.Pinning{{balancer.PinFlow, balancer.PinSession}, {balancer.PinSession, balancer.PinFlow}} {
		t.Run(string(kinds[0])+" first", func(t *testing.T) {
			b := newBed(t, 3, func(n *lab.Network) []balancer.Service {
				s := service(n, "vpn", port, 1, 2, 3)
				s.Pinning = kinds[0]
				return []balancer.Service{s}
			})
			home := b.place(0, 200, 0, port)
			l := b.startLoad(10_000, 0, 0)
			for i := range 11 {
				b.mustSet(changed(b.State().Services, "vpn", func(s *balancer.Service) { s.Pinning = kinds[(i+1)%2] }))
				b.stay(fmt.Sprintf("after %d changes", i+1), home, i+1)
			}
			l.stop("changes of the pinning")
		})
	}
}
