package ctsync

import (
	"testing"

	"github.com/roamlb/roamlb/balancer"
)

func BenchmarkBindKnown(b *testing.B) {
	const sessions = 100000
	w := newWorld(b, func(s *balancer.Service) { s.MaxSessions = 4 * sessions })
	v, table := w.view(), w.table()
	for i := range sessions {
		table.Bind(1, key(i), v, false, 1)
	}
	keys := make([][]byte, 4096)
	for i := range keys {
		keys[i] = key(i * 17)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Bind(int64(i), keys[i%len(keys)], v, false, 2)
	}
}

func BenchmarkBindFlood(b *testing.B) {
	w := newWorld(b, func(s *balancer.Service) { s.MaxSessions = 100000 })
	v, table := w.view(), w.table()
	k := key(0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k[0], k[1], k[2], k[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
		table.Bind(int64(i), k, v, false, 2)
	}
}

// BenchmarkRoam is a roam from its fact to the deletion, without the kernel's
// share.
func BenchmarkRoam(b *testing.B) {
	w := newWorld(b, nil)
	backend := w.first(key(1), clientA)
	w.reply(clientA, backend)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		w.clock += 1e9
		w.exchange(key(1), client(i%10000))
		w.told, w.ct.deleted = w.told[:0], w.ct.deleted[:0]
	}
}
