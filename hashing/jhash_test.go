package hashing

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The vectors come from a C compiler: those of the three texts are the ones that
// lookup3.c publishes for hashlittle, the others are include/linux/jhash.h over
// the bytes 3, 10, 17, ... with the length added to the seed 0x5eed0000.
//
// A wrong one would send a session elsewhere as soon as the kernel decides in
// the daemon's stead.
func TestJhashVectors(t *testing.T) {
	const text = "Four score and seven years ago"
	for _, tt := range []struct {
		name string
		key  []byte
		seed uint32
		want uint32
	}{
		{"empty", nil, 0, 0xdeadbeef},
		{"empty, seeded", []byte{}, 0xdeadbeef, 0xbd5b7dde},
		{"text", []byte(text), 0, 0x17770551},
		{"text, seeded", []byte(text), 1, 0xcd628161},
		{"zero byte", []byte{0}, 1, 0x62cd61b3},
		{"255 bytes, highest seed", series(255), math.MaxUint32, 0x85f8c065},
	} {
		if got := Jhash(tt.key, tt.seed); got != tt.want {
			t.Errorf("%s: got %#08x, want %#08x", tt.name, got, tt.want)
		}
	}
	for i, want := range [64]uint32{
		0xb46b48d5, 0xd919828b, 0x9d66149d, 0xa778ab76, 0xa47cbd65, 0xba633e38,
		0x85807ff9, 0xde87fc31, 0xe60cd212, 0xe395a9ba, 0x28a43435, 0x6e5abc4b,
		0xcd153a49, 0x1cc941fb, 0x279fb4b9, 0x258fb767, 0x02294bf0, 0x7dc75d74,
		0xb0e89d85, 0x6bb3f497, 0x4659fdee, 0x0d9f4648, 0x8d8e909e, 0xbd031221,
		0xe4cdcd7e, 0x04f988dc, 0x8980550b, 0x27ef62e6, 0xd6554007, 0xb609fc7d,
		0x2a9a3ec4, 0x2a156fca, 0xcd496b63, 0xde2473d5, 0x33ecf622, 0x9933e119,
		0x64a49889, 0xe73c499c, 0xfebbb2b3, 0xad430acf, 0xe535ec36, 0xf91087f7,
		0xe57f9ac1, 0x36f08eec, 0x698b1329, 0x65be2d52, 0x326b15f4, 0x36274de9,
		0xec03ea71, 0x46a8bf24, 0x127ff40b, 0x2589b48c, 0x8a442b2f, 0xa8abf61d,
		0xff4c425b, 0x2ac70813, 0x8710b5a0, 0x962b70a6, 0x810723bb, 0x864b7e2b,
		0x124de4e2, 0x6aef1f07, 0xc217139d, 0xa80c7a9e,
	} {
		length := i + 1
		if got := Jhash(series(length), 0x5eed0000+uint32(length)); got != want {
			t.Errorf("%d bytes: got %#08x, want %#08x", length, got, want)
		}
	}
}

// series returns the bytes 3, 10, 17 and so on.
func series(length int) []byte {
	b := make([]byte, length)
	for i := range b {
		b[i] = byte(i*7 + 3)
	}
	return b
}

func TestScaleVectors(t *testing.T) {
	for _, tt := range []struct{ hash, n, want uint32 }{
		{0, 4093, 0},
		{math.MaxUint32, 4093, 4092},
		{1 << 31, 4093, 2046},
		{math.MaxUint32, 0, 0},
		{math.MaxUint32, 1, 0},
		{math.MaxUint32, math.MaxUint32, math.MaxUint32 - 1},
		{0xdeadbeef, 65537, 57006},
	} {
		if got := Scale(tt.hash, tt.n); got != tt.want {
			t.Errorf("Scale(%#x, %d) = %d, want %d", tt.hash, tt.n, got, tt.want)
		}
	}
}

// A slot beyond the ring would crash the daemon or miss in the kernel's map.
func TestScaleStaysInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint32Min(1).Draw(t, "n")
		low, high := rapid.Uint32().Draw(t, "hash"), rapid.Uint32().Draw(t, "other hash")
		if low > high {
			low, high = high, low
		}
		if got := Scale(high, n); got >= n {
			t.Errorf("Scale(%d, %d) = %d is no slot", high, n, got)
		}
		if Scale(low, n) > Scale(high, n) {
			t.Errorf("Scale(%d, %d) is above Scale(%d, %d)", low, n, high, n)
		}
	})
}

// A key of a few bytes that differs in one bit must not favour some slots: each
// backend would not get its share of counting session ids.
func TestJhashSpreadsCounters(t *testing.T) {
	const slots, keys = 61, 61 * 1000
	var counts [slots]int
	for i := range keys {
		key := []byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
		counts[Scale(Jhash(key, 1), slots)]++
	}
	// 1000 each, with a standard deviation of about 32.
	for slot, n := range counts {
		if n < 840 || n > 1160 {
			t.Errorf("slot %d has %d of %d keys", slot, n, keys)
		}
	}
}

func TestJhashDoesNotAllocate(t *testing.T) {
	key := series(60)
	var sum uint32
	if n := testing.AllocsPerRun(100, func() { sum += Scale(Jhash(key, sum), 4093) }); n != 0 {
		t.Errorf("%v allocations a hash, want none on the packet path", n)
	}
}

func BenchmarkJhash(b *testing.B) {
	for _, bm := range []struct {
		name   string
		length int
	}{{"4 bytes", 4}, {"8 bytes", 8}, {"20 bytes", 20}, {"60 bytes", 60}} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			key := series(bm.length)
			var sum uint32
			for b.Loop() {
				sum += Scale(Jhash(key, sum), 4093)
			}
		})
	}
}
