package nfq

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// shared is the memory that the daemon shares with its keeper: anonymous, so
// that nobody else can open it. It begins with a slot that holds the header
// and has one slot a queue.
type shared struct {
	fd  int
	mem []byte
}

// sharedMagic says that the memory is what the keeper takes it for, and in
// which layout.
const sharedMagic = 0x726c6b31

// slotLen is a cache line: the queues of several CPUs do not share one.
const slotLen = 64

// sharedHeader is the first slot.
type sharedHeader struct {
	magic  atomic.Uint32
	queues atomic.Uint32
}

// slot is what the daemon and the keeper tell each other about a queue.
type slot struct {
	queue  atomic.Uint32 // its number
	last   atomic.Uint32 // id of the packet that the daemon has read last
	rounds atomic.Uint64 // grows with every round of reading and answering: the daemon's pulse
	state  atomic.Uint32 // whose the queue is: one of the states
}

// The states of a slot. Only the keeper leaves daemonServes, and only the
// daemon leaves keeperDone, so that the two never configure a queue at once.
const (
	daemonServes = iota
	keeperActs   // the keeper is about to answer
	keeperDone   // the keeper has answered what waited; all passes unseen
)

// The slots have their place in the memory.
var (
	_ [slotLen - unsafe.Sizeof(slot{})]byte
	_ [slotLen - unsafe.Sizeof(sharedHeader{})]byte
)

// newShared makes the memory for queues from first on.
func newShared(first, count uint16) (*shared, error) {
	fd, err := unix.MemfdCreate("roamlb-queues", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	if err := unix.Ftruncate(fd, int64(count)*slotLen+slotLen); err != nil {
		return nil, errors.Join(fmt.Errorf("size shared memory: %w", err), unix.Close(fd))
	}
	s, err := mapShared(fd)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	s.header().magic.Store(sharedMagic)
	s.header().queues.Store(uint32(count))
	for i := range int(count) {
		s.slot(i).queue.Store(uint32(first) + uint32(i))
	}
	return s, nil
}

// openShared maps the memory that the daemon handed down.
func openShared(fd int) (*shared, error) {
	s, err := mapShared(fd)
	if err != nil {
		return nil, err
	}
	h := s.header()
	if h.magic.Load() != sharedMagic || s.size() != int(h.queues.Load()) {
		return nil, errors.Join(errors.New("shared memory of another layout"), s.close())
	}
	return s, nil
}

func mapShared(fd int) (*shared, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, fmt.Errorf("stat shared memory: %w", err)
	}
	if stat.Size < slotLen || stat.Size > slotLen<<16 {
		return nil, fmt.Errorf("shared memory of %d bytes", stat.Size)
	}
	mem, err := unix.Mmap(fd, 0, int(stat.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map shared memory: %w", err)
	}
	return &shared{fd: fd, mem: mem}, nil
}

func (s *shared) header() *sharedHeader { return (*sharedHeader)(unsafe.Pointer(&s.mem[0])) }

// size is the number of slots for queues.
func (s *shared) size() int { return len(s.mem)/slotLen - 1 }

// slot returns the slot of the i-th queue.
func (s *shared) slot(i int) *slot {
	return (*slot)(unsafe.Pointer(&s.mem[(i+1)*slotLen]))
}

// close unmaps the memory; its slots must not be used any more.
func (s *shared) close() error {
	return errors.Join(unix.Munmap(s.mem), unix.Close(s.fd))
}
