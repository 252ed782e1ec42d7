package nfq

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// simpleQueue serves a queue as the library's documentation shows it: one
// callback and one verdict a packet. It decides by the same judge.
func (w *world) simpleQueue(q balancer.Queues) (answered *atomic.Uint64, stop func()) {
	w.t.Helper()
	var lib *nfqueue.Nfqueue
	err := w.net.LB.Do(func() (err error) {
		lib, err = nfqueue.Open(&nfqueue.Config{
			NfQueue: q.First, MaxQueueLen: q.Length, MaxPacketLen: startCopyRange,
			Copymode: nfqueue.NfQnlCopyPacket, Flags: nfqueue.NfQaCfgFlagFailOpen, AfFamily: unix.AF_UNSPEC,
		})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := lib.SetOption(netlink.NoENOBUFS, true); err != nil {
		w.t.Fatal(err)
	}
	if err := lib.Con.SetReadBuffer(int(q.Length) * (startCopyRange + 2048)); err != nil {
		w.t.Fatal(err)
	}
	answered = &atomic.Uint64{}
	j := &judge{snapshot: testSnapshot(&fakeBindings{})}
	err = lib.RegisterWithErrorFunc(context.Background(), func(a nfqueue.Attribute) int {
		j.facts = j.facts[:0]
		v := j.judge(&queued{id: *a.PacketID, mark: *a.Mark, data: *a.Payload})
		if err := lib.SetVerdictWithOption(*a.PacketID, int(v.code), nfqueue.WithMark(v.mark)); err != nil {
			w.t.Error(err)
		}
		answered.Add(1)
		return 0
	}, func(error) int { return 0 })
	if err != nil {
		w.t.Fatal(err)
	}
	return answered, func() { closeOrFail(w.t, lib.Close) }
}

// New sessions come as fast as they like, and those that the reader is too
// slow for are decided without Go.
func TestRateOfBurstsAndOfSinglePackets(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds and both CPUs")
	}
	const count, rounds = 10000, 3
	q := queues(1, count)
	w := newWorld(t, q)
	measure := func(answered func() uint64) float64 {
		start := time.Now()
		w.send(lab.FloodOptions{To: listener4(sessionPort), Count: count, Length: 12, Seed: 1})
		sent := time.Since(start)
		// The link may drop some of a flood: what counts is what was queued.
		last, at := uint64(0), time.Now()
		lab.WaitFor(t, wait, "everything is answered", func() bool {
			if n := answered(); n != last {
				last, at = n, time.Now()
			}
			return last >= count || time.Since(at) > 300*time.Millisecond
		})
		rate := float64(last) / at.Sub(start).Seconds()
		t.Logf("%d of %d answered, %.0f/s, sent within %v", last, count, rate, sent)
		return rate
	}
	var single, bursts float64
	for range rounds {
		answered, stop := w.simpleQueue(q)
		single += measure(answered.Load)
		stop()
		s := w.serve(Options{Queues: q, Snapshot: snapshotOf(testSnapshot(&fakeBindings{}))})
		bursts += measure(func() uint64 { return s.Stats()[0].Verdicts })
		s.stop()
	}
	t.Logf("packets a second, bursts to single packets: %.2f", bursts/single)
	if bursts < single {
		t.Error("the reader is slower than the library's own way")
	}
}
