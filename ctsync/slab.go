package ctsync

const (
	chunkBits = 6
	chunkSize = 1 << chunkBits
)

// slab holds records by number, in chunks: growing copies nothing, and a
// record keeps its address. Number 0 is no record. Not safe for concurrent use.
type slab[T any] struct {
	chunks []*[chunkSize]T
	size   uint32   // numbers that were ever given out, and number 0
	free   []uint32 // numbers given back
}

// at is the record of a number that was taken.
func (s *slab[T]) at(i uint32) *T { return &s.chunks[i>>chunkBits][i&(chunkSize-1)] }

// take gives out a number. Its record is as it was when it was given back.
func (s *slab[T]) take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	if s.size == 0 {
		s.size = 1
	}
	if int(s.size>>chunkBits) == len(s.chunks) {
		s.chunks = append(s.chunks, new([chunkSize]T))
	}
	s.size++
	return s.size - 1
}

// give takes a number back.
func (s *slab[T]) give(i uint32) { s.free = append(s.free, i) }

// held is how many records are given out.
func (s *slab[T]) held() int { return max(int(s.size)-1, 0) - len(s.free) }
