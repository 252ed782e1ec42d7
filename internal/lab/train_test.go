package lab_test

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// Benchmarks count by these two: what a train sends must arrive once each, and
// in time, or their figures are of something else.
func TestTrainArrivesAtSink(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	raw := newRaw(t, n, n.Clients)
	to := netip.AddrPortFrom(n.Backend(1).IPv4, port)
	const count = 1000
	packets := make([][]byte, count)
	for i := range packets {
		packets[i] = lab.UDPPacket(netip.AddrPortFrom(lab.ClientIPv4(i), 20000), to, binary.BigEndian.AppendUint32(nil, uint32(i)), lab.PacketOptions{})
	}
	var mu sync.Mutex // guards seen and stamps
	seen, stamps := make(map[uint32]int), make([]int64, count)
	sink, err := lab.NewSink(n.Backend(1).Namespace, to, lab.SinkOptions{Timed: true, Take: func(p []byte, at int64) {
		mu.Lock()
		defer mu.Unlock()
		i := binary.BigEndian.Uint32(p)
		seen[i]++
		stamps[i] = at
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	}()
	train := raw.Train(packets)
	if sent, err := train.Send(t.Context(), 500, 2*count, 0); sent != 2*count || err != nil {
		t.Fatalf("the train sent %d of %d, %v", sent, 2*count, err)
	}
	sent := make([]int64, count)
	begin := time.Now()
	if err := train.SendTimed(t.Context(), 10_000, sent); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 99*time.Millisecond {
		t.Errorf("%d packets at 10,000 a second took %v", count, took)
	}
	lab.WaitFor(t, wait, "all have arrived", func() bool { return sink.Total() == 3*count })
	if dropped, err := sink.Dropped(); dropped != 0 || err != nil {
		t.Errorf("the sink dropped %d, %v", dropped, err)
	}
	mu.Lock()
	defer mu.Unlock()
	for i := range uint32(count) {
		if seen[i] != 3 {
			t.Fatalf("packet %d arrived %d times, want 3", i, seen[i])
		}
		if delay := time.Duration(stamps[i] - sent[i]); delay < 0 || delay > wait {
			t.Fatalf("packet %d arrived %v after it was sent", i, delay)
		}
	}
}
