package kerneltest

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/ti-mo/conntrack"

	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/internal/lab"
)

func TestGet(t *testing.T) {
	b := newBed(t)
	client6 := netip.AddrPortFrom(lab.ClientIPv6(1), 5000)
	zoned := ctsync.Tuple{Client: client(1), Listener: listener4, Zone: 7}
	plain := ctsync.Tuple{Client: client(1), Listener: listener4}
	six := ctsync.Tuple{Client: client6, Listener: listener6, Zone: 7}
	f := flow(client(1), listener4, backend4, 7, ours|0x400)
	b.create(f, flow(client(1), listener4, netip.AddrPortFrom(lab.BackendIPv4(2), 53), 0, 0x400), flow(client6, listener6, backend6, 7, ours))

	e := b.want(zoned)
	if e.Tuple != zoned || e.Backend != backend4 || e.Mark != ours|0x400 || e.ID == 0 || e.Status&ctsync.SeenReply != 0 ||
		e.Timeout < 25*time.Second || e.Timeout > 30*time.Second || e.Counted {
		t.Errorf("the entry in zone 7: %+v", e)
	}
	b.answer(f)
	if e := b.want(zoned); e.Status&ctsync.SeenReply == 0 {
		t.Errorf("answered: %+v", e)
	}
	if e := b.want(plain); e.Tuple != plain || e.Backend != netip.AddrPortFrom(lab.BackendIPv4(2), 53) || e.Mark != 0x400 {
		t.Errorf("the entry in zone 0: %+v", e)
	}
	if e := b.want(six); e.Tuple != six || e.Backend != backend6 {
		t.Errorf("the IPv6 entry: %+v", e)
	}
	for _, other := range []ctsync.Tuple{
		{Client: client(1), Listener: listener4, Zone: 8},
		{Client: client(2), Listener: listener4, Zone: 7},
		{Client: client6, Listener: listener6},
	} {
		if e, err := b.get(other); !errors.Is(err, ctsync.ErrNotFound) {
			t.Errorf("%+v: %+v, %v, want nothing", other, e, err)
		}
	}
	// The same, at once and mixed with others.
	entries, errs := b.kernel.Get([]ctsync.Tuple{six, {Client: client(9), Listener: listener4}, plain, zoned})
	if errs[0] != nil || errs[1] == nil || errs[2] != nil || errs[3] != nil || entries[0].Tuple != six || entries[2].Tuple != plain || entries[3].Tuple != zoned {
		t.Errorf("got %+v, %v", entries, errs)
	}
}

func TestPacketsAreCountedWhereTheKernelCounts(t *testing.T) {
	b := newBed(t)
	if err := b.ns.SetSysctl("net.netfilter.nf_conntrack_acct", "1"); err != nil {
		t.Fatal(err)
	}
	b.create(flow(client(1), listener4, backend4, 7, ours))
	if e := b.want(ctsync.Tuple{Client: client(1), Listener: listener4, Zone: 7}); !e.Counted {
		t.Errorf("packets are not counted: %+v", e)
	}
}

func TestDeleteIsExact(t *testing.T) {
	b := newBed(t)
	tuple := ctsync.Tuple{Client: client(1), Listener: listener4, Zone: 7}
	f := flow(client(1), listener4, backend4, 7, ours)
	other := netip.AddrPortFrom(lab.BackendIPv4(2), 1194)
	b.create(
		f, flow(client(1), listener4, other, 8, ours), flow(client(2), listener4, backend4, 7, ours),
		flow(client(1), listener4, netip.AddrPortFrom(lab.BackendIPv4(3), 1194), 0, ours),
	)
	e := b.want(tuple)

	wrong := e
	wrong.ID ^= 1
	if err := b.kernel.Delete([]ctsync.Entry{wrong})[0]; !errors.Is(err, ctsync.ErrNotFound) {
		t.Errorf("deleting with a wrong id: %v, want %v", err, ctsync.ErrNotFound)
	}
	b.want(tuple)
	wrong = e
	wrong.Zone = 9
	if err := b.kernel.Delete([]ctsync.Entry{wrong})[0]; !errors.Is(err, ctsync.ErrNotFound) {
		t.Errorf("deleting in a wrong zone: %v, want %v", err, ctsync.ErrNotFound)
	}
	if n := len(b.dump(ours, ours)); n != 4 {
		t.Fatalf("%d entries are left after deletions that name none, want 4", n)
	}
	if errs := b.kernel.Delete([]ctsync.Entry{wrong, e, e}); errs[0] == nil || errs[1] != nil || !errors.Is(errs[2], ctsync.ErrNotFound) {
		t.Errorf("a wrong one, a right one, the same again: %v", errs)
	}
	if _, err := b.get(tuple); !errors.Is(err, ctsync.ErrNotFound) {
		t.Errorf("the deleted entry: %v", err)
	}
	if n := len(b.dump(ours, ours)); n != 3 {
		t.Errorf("%d entries are left, want the 3 others", n)
	}
	// Made anew, the old id does not fit.
	same := 0
	for range 20 {
		b.create(f)
		again := b.want(tuple)
		err := b.kernel.Delete([]ctsync.Entry{e})[0]
		if again.ID == e.ID {
			same++
		} else if !errors.Is(err, ctsync.ErrNotFound) {
			t.Fatalf("the old id %d deleted the entry %d: %v", e.ID, again.ID, err)
		}
		b.kernel.Delete([]ctsync.Entry{again})
	}
	t.Logf("%d of 20 entries made anew had the first one's id", same)
}

func TestDumpFiltersByMark(t *testing.T) {
	b := newBed(t)
	const n = 3000
	for i := range n {
		mark := uint32(ours | 0x800)
		if i%3 == 0 {
			mark = 0x800
		}
		b.create(flow(client(i), listener4, backend4, uint16(i%5), mark))
	}
	b.create(flow(netip.AddrPortFrom(lab.ClientIPv6(1), 5000), listener6, backend6, 7, ours))
	tcp := conntrack.NewFlow(6, 0, client(1).Addr(), listener4.Addr(), 1, 2, 100, ours)
	b.create(tcp)
	both := flow(client(1), listener4, backend4, 0, ours)
	both.Zone = 9
	b.create(both)

	mine := b.dump(ours, ours)
	if want := n - n/3 + 1; len(mine) != want {
		t.Errorf("%d entries with our mark, want %d: all UDP, none in a zone of both directions", len(mine), want)
	}
	seen := make(map[ctsync.Tuple]bool)
	for _, e := range mine {
		if e.Mark&ours == 0 || e.ID == 0 || seen[e.Tuple] {
			t.Fatalf("entry %+v", e)
		}
		seen[e.Tuple] = true
	}
	if others := b.dump(0, ours); len(others) != n/3 {
		t.Errorf("%d entries without our mark, want %d", len(others), n/3)
	}
	stopped := 0
	if err := b.kernel.Dump(ours, ours, func(*ctsync.Entry) bool { stopped++; return stopped < 5 }); err != nil || stopped != 5 {
		t.Errorf("a dump that is stopped at 5 entries: %d, %v", stopped, err)
	}
	if again := b.dump(ours, ours); len(again) != len(mine) {
		t.Errorf("the dump after one that was stopped has %d entries, want %d", len(again), len(mine))
	}
}

func TestEvents(t *testing.T) {
	b := newBed(t)
	h := b.listen(0)
	f := flow(client(1), listener4, backend4, 7, ours|0x400)
	foreign := flow(client(2), listener4, backend4, 7, 0x400)
	six := flow(netip.AddrPortFrom(lab.ClientIPv6(1), 5000), listener6, backend6, 0, ours)
	b.create(f, foreign, six)
	for _, f := range []conntrack.Flow{foreign, f, six} {
		b.answer(f)
	}
	tuple := ctsync.Tuple{Client: client(1), Listener: listener4, Zone: 7}
	e := b.want(tuple)
	for _, e := range append(b.dump(0, ours), b.dump(ours, ours)...) {
		if err := b.kernel.Delete([]ctsync.Entry{e})[0]; err != nil {
			t.Fatal(err)
		}
	}
	lab.WaitFor(t, 5*time.Second, "the events", func() bool { return len(h.all()) >= 4 })
	var answered, ended int
	for _, ev := range h.all() {
		if ev.Mark&ours == 0 {
			t.Errorf("event of an entry that is not ours: %+v", ev)
		}
		if ev.Tuple != tuple {
			continue
		}
		if ev.ID != e.ID || ev.Mark != ours|0x400 || ev.Backend != backend4 || ev.Status&ctsync.SeenReply == 0 {
			t.Errorf("event %+v of entry %+v", ev, e)
		}
		if ev.Destroyed {
			ended++
		} else {
			answered++
		}
	}
	if answered != 1 || ended != 1 {
		t.Errorf("%d events of an answer and %d of an end, want one each", answered, ended)
	}
}

func TestLostEventsAreTold(t *testing.T) {
	b := newBed(t)
	h := b.listen(200 * time.Millisecond)
	const n = 40000 // more than the queue holds
	for i := range n {
		f := flow(client(i), listener4, backend4, 7, ours)
		b.create(f)
	}
	for _, e := range b.dump(ours, ours) {
		b.kernel.Delete([]ctsync.Entry{e})
	}
	lab.WaitFor(t, 30*time.Second, "word of the loss", func() bool { return h.losses() > 0 })
}

// An operator learns of a full table by what it drops: the kernel must tell.
func TestDroppedIsTold(t *testing.T) {
	b := newBed(t)
	b.create(flow(client(1), listener4, backend4, 7, ours))
	if n, ok := b.kernel.Dropped(); n != 0 || !ok {
		t.Errorf("%d packets were dropped, told %v; want none, and that they are counted", n, ok)
	}
	if got := b.dump(ours, ours); len(got) != 1 {
		t.Errorf("a dump afterwards shows %d entries, want 1", len(got))
	}
}

func TestTimeouts(t *testing.T) {
	b := newBed(t)
	if err := b.ns.SetSysctl("net.netfilter.nf_conntrack_udp_timeout", "17"); err != nil {
		t.Fatal(err)
	}
	unreplied, replied := b.kernel.Timeouts()
	if unreplied != 17*time.Second || replied != 120*time.Second {
		t.Errorf("timeouts %v and %v, want 17s and 2m0s", unreplied, replied)
	}
	if err := b.ns.SetSysctl("net.netfilter.nf_conntrack_udp_timeout_stream", "60"); err != nil {
		t.Fatal(err)
	}
	if _, replied = b.kernel.Timeouts(); replied != time.Minute {
		t.Errorf("after a change the timeout is %v, want 1m0s", replied)
	}
}

func TestPaceOfDeletions(t *testing.T) {
	// 10,000 roams/s need 10,000 looks and as many deletions.
	b := newBed(t)
	const n = 10000
	tuples := make([]ctsync.Tuple, n)
	for i := range n {
		b.create(flow(client(i), listener4, backend4, 7, ours))
		tuples[i] = ctsync.Tuple{Client: client(i), Listener: listener4, Zone: 7}
	}
	began := time.Now()
	for from := 0; from < n; from += 64 {
		to := min(from+64, n)
		entries, errs := b.kernel.Get(tuples[from:to])
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.kernel.Delete(entries)...); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	t.Logf("%d looks and deletions in %v", n, took)
	if took > lab.Slow(time.Second) {
		t.Errorf("%d looks and deletions took %v, want less than a second", n, took)
	}
	if left := b.dump(ours, ours); len(left) != 0 {
		t.Errorf("%d entries are left", len(left))
	}
}
