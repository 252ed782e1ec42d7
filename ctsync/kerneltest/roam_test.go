package kerneltest

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ti-mo/conntrack"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/internal/lab"
)

// noElements is the sessions maps of a kernel that has learned nothing.
type noElements struct{}

func (noElements) Put(*balancer.View, uint16, []balancer.Element) error         { return nil }
func (noElements) Delete(*balancer.View, []balancer.Element) error              { return nil }
func (noElements) DeleteBound(*balancer.View, uint16, []balancer.Element) error { return nil }
func (noElements) Dump(*balancer.View, uint16, func(balancer.Element) bool) error {
	return nil
}

// running is a Sync at work on a bed's conntrack.
type running struct {
	*bed
	sync  *ctsync.Sync
	view  *balancer.View
	began time.Time

	mu      sync.Mutex // guards deleted
	deleted []event.Event
}

func start(t *testing.T) *running {
	t.Helper()
	r := &running{bed: newBed(t), began: time.Now()}
	service := &balancer.Service{
		Name: "vpn", Listen: []netip.AddrPort{listener4},
		Key:   balancer.Key{Variants: []balancer.Variant{{Fields: []balancer.Field{{Length: 8}}}}},
		Slots: 251, Seed: 1, SessionTTL: time.Hour, MaxSessions: 1 << 20,
		Stale: balancer.StaleOnReply, ConfirmTimeout: 10 * time.Second,
		Backends: []balancer.Backend{{ID: 7, Name: "a", Addresses: []netip.Addr{backend4.Addr()}, Port: backend4.Port(), Weight: 1, Admin: balancer.AdminUp}},
	}
	var snap *balancer.Snapshot
	r.sync = ctsync.New(ctsync.Options{
		Conntrack: r.kernel, Elements: noElements{}, Snapshot: func() *balancer.Snapshot { return snap },
		Changes: new(sync.Mutex), Now: r.now, Log: slog.New(slog.DiscardHandler),
		Events: func(e event.Event) {
			if e.Kind == event.StaleDeleted {
				r.mu.Lock()
				r.deleted = append(r.deleted, e)
				r.mu.Unlock()
			}
		},
	})
	r.view = balancer.NewView(service, balancer.Capabilities{PayloadOffset: 64, KeyBytes: 60}, nil, r.sync.Table(service, 8, ""))
	snap = balancer.NewSnapshot(balancer.Marks{Mask: 0xffff}, 0, []*balancer.View{r.view})
	if snap.Marks.Ours() != ours {
		t.Fatalf("our mark is %#x", snap.Marks.Ours())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.sync.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	lab.WaitFor(t, 5*time.Second, "the first dump", func() bool { return r.sync.Stats().Dumps > 0 })
	return r
}

func (r *running) now() int64 { return int64(time.Since(r.began)) }

func (r *running) deletions() []event.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.deleted)
}

func (r *running) flow(i int) conntrack.Flow {
	return flow(client(i), listener4, backend4, 7, ours)
}

// arrive is a packet of a session from a client: the fact first, as a queue
// hands it on before its verdict, then the entry.
func (r *running) arrive(session, from int, newFlow bool) {
	r.t.Helper()
	key := binary.BigEndian.AppendUint64(nil, uint64(session))
	b := r.view.Bindings.Bind(r.now(), key, r.view, false, 7)
	r.sync.Put([]balancer.Fact{{
		View: r.view, Session: b.Session, Client: client(from), Listener: listener4, Backend: 7, NewFlow: newFlow, At: r.now(),
	}})
	r.create(r.flow(from))
}

// wantDelays waits for deletions and checks how long after the answer each was.
func (r *running) wantDelays(n int, limit time.Duration) {
	r.t.Helper()
	limit = lab.Slow(limit)
	lab.WaitFor(r.t, 20*time.Second, "all deletions", func() bool { return len(r.deletions()) >= n })
	var delays []time.Duration
	for _, e := range r.deletions() {
		if e.Reason != "replied" {
			r.t.Fatalf("told %+v", e)
		}
		delays = append(delays, e.Delay)
	}
	slices.Sort(delays)
	r.t.Logf("delay of %d deletions: median %v, 99 of 100 %v, longest %v", len(delays), delays[len(delays)/2], delays[len(delays)*99/100], delays[len(delays)-1])
	if late := delays[len(delays)-1]; late > limit {
		r.t.Errorf("a deletion came %v after the answer, want at most %v", late, limit)
	}
	if len(delays) != n {
		r.t.Errorf("%d deletions, want %d", len(delays), n)
	}
}

func TestThousandRoamsAtOnce(t *testing.T) {
	const n = 1000
	r := start(t)
	for i := range n {
		r.arrive(i, i, false)
		r.answer(r.flow(i))
	}
	for i := range n {
		r.arrive(i, n+i, true)
	}
	for i := range n {
		r.answer(r.flow(n + i))
	}
	answered := time.Now()
	r.wantDelays(n, 200*time.Millisecond)
	t.Logf("all gone %v after the last answer", time.Since(answered))
	left := r.dump(ours, ours)
	if len(left) != n {
		t.Errorf("%d entries are left, want %d", len(left), n)
	}
	for _, e := range left {
		if slices.ContainsFunc(r.deletions(), func(d event.Event) bool { return d.OldClient == e.Client }) {
			t.Fatalf("the entry of %v was told as deleted, and is there", e.Client)
		}
	}
}

func TestTenThousandRoamsASecond(t *testing.T) {
	const sessions, seconds, rate = 2000, 2, 10000
	r := start(t)
	for i := range sessions {
		r.arrive(i, i, false)
		r.answer(r.flow(i))
	}
	next := sessions
	began := time.Now()
	for roams := range seconds * rate {
		if ahead := time.Duration(roams)*time.Second/rate - time.Since(began); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
		r.arrive(roams%sessions, next, true)
		r.answer(r.flow(next))
		next++
	}
	t.Logf("%d roams in %v", seconds*rate, time.Since(began))
	r.wantDelays(seconds*rate, 200*time.Millisecond)
	if left := r.dump(ours, ours); len(left) != sessions {
		t.Errorf("%d entries are left of %d sessions", len(left), sessions)
	}
	if st := r.sync.Stats(); st.LostFacts != 0 || st.LostEvents != 0 || st.KernelDrops != 0 || st.Pending != 0 {
		t.Errorf("lost or left over: %+v", st)
	}
}
