package hashing

import (
	"encoding/binary"
	"math/bits"
)

// Jhash is the kernel's jhash(key, len(key), seed) of include/linux/jhash.h, and
// thus what nft's jhash expression computes before it scales: Bob Jenkins'
// lookup3 (hashlittle, public domain) over the raw bytes.
//
// The kernel reads the key in words of its own byte order. Jhash always reads
// them as little-endian, so it equals a little-endian kernel on every machine; a
// big-endian kernel hashes the same key to another number.
func Jhash(key []byte, seed uint32) uint32 {
	a := 0xdeadbeef + uint32(len(key)) + seed
	b, c := a, a
	if len(key) == 0 {
		return c
	}
	for ; len(key) > 12; key = key[12:] {
		a += binary.LittleEndian.Uint32(key[0:4])
		b += binary.LittleEndian.Uint32(key[4:8])
		c += binary.LittleEndian.Uint32(key[8:12])
		a, b, c = mix(a, b, c)
	}
	// The last 1 to 12 bytes; those that are missing count as zero.
	var last [12]byte
	copy(last[:], key)
	a += binary.LittleEndian.Uint32(last[0:4])
	b += binary.LittleEndian.Uint32(last[4:8])
	c += binary.LittleEndian.Uint32(last[8:12])
	return final(a, b, c)
}

// Scale maps a hash evenly onto 0 to n-1, as the kernel's reciprocal_scale
// does. Scale(hash, 0) is 0.
func Scale(hash, n uint32) uint32 {
	return uint32(uint64(hash) * uint64(n) >> 32)
}

// mix is lookup3's mix(): it stirs three words reversibly.
func mix(a, b, c uint32) (uint32, uint32, uint32) {
	a -= c
	a ^= bits.RotateLeft32(c, 4)
	c += b
	b -= a
	b ^= bits.RotateLeft32(a, 6)
	a += c
	c -= b
	c ^= bits.RotateLeft32(b, 8)
	b += a
	a -= c
	a ^= bits.RotateLeft32(c, 16)
	c += b
	b -= a
	b ^= bits.RotateLeft32(a, 19)
	a += c
	c -= b
	c ^= bits.RotateLeft32(b, 4)
	b += a
	return a, b, c
}

// final is lookup3's final(): it lets every bit of the three words bear on c.
func final(a, b, c uint32) uint32 {
	c ^= b
	c -= bits.RotateLeft32(b, 14)
	a ^= c
	a -= bits.RotateLeft32(c, 11)
	b ^= a
	b -= bits.RotateLeft32(a, 25)
	c ^= b
	c -= bits.RotateLeft32(b, 16)
	a ^= c
	a -= bits.RotateLeft32(c, 4)
	b ^= a
	b -= bits.RotateLeft32(a, 14)
	c ^= b
	c -= bits.RotateLeft32(b, 24)
	return c
}
