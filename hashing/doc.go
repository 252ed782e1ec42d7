// Package hashing holds the pure arithmetic by which a packet finds its
// backend: the bytes of a payload that make a key (Layout), the kernel's hash of
// them (Jhash, Scale) and the ring of slots that the hash points into (Maglev).
//
// Nothing here does I/O, keeps state or reads a clock; everything may be called
// from any number of goroutines at once. Extract, Jhash and Scale run once a
// packet and do not allocate.
package hashing
