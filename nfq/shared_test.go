package nfq

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The keeper must see what the daemon writes, for the right queue.
func TestSharedMemory(t *testing.T) {
	mem, err := newShared(65000, 300)
	if err != nil {
		t.Fatal(err)
	}
	defer mem.close()
	fd, err := unix.Dup(mem.fd)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openShared(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if other.size() != 300 {
		t.Fatalf("%d slots, want 300", other.size())
	}
	mem.slot(299).last.Store(77)
	mem.slot(299).rounds.Add(1)
	if s := other.slot(299); s.queue.Load() != 65299 || s.last.Load() != 77 || s.rounds.Load() != 1 || s.state.Load() != daemonServes {
		t.Errorf("queue %d, last %d, %d rounds, state %d", s.queue.Load(), s.last.Load(), s.rounds.Load(), s.state.Load())
	}
	if s := other.slot(298); s.queue.Load() != 65298 || s.last.Load() != 0 {
		t.Errorf("queue %d, last %d", s.queue.Load(), s.last.Load())
	}
}

// A keeper of another version must not read what it does not understand.
func TestSharedMemoryOfAnotherLayout(t *testing.T) {
	for name, change := range map[string]func(*shared){
		"magic": func(s *shared) { s.header().magic.Store(1) },
		"size":  func(s *shared) { s.header().queues.Store(3) },
	} {
		mem, err := newShared(1, 2)
		if err != nil {
			t.Fatal(err)
		}
		change(mem)
		fd, err := unix.Dup(mem.fd)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openShared(fd); err == nil {
			t.Errorf("another %s is taken", name)
		}
		if err := mem.close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := openShared(-1); err == nil {
		t.Error("no memory is taken")
	}
}

func TestKernelTable(t *testing.T) {
	got := parseKernelTable([]byte("   40   4242     3 2   512     7     8      100  1\n   41 2519712212     0 2 65531     0     0        0  1\nnonsense\n"))
	want := map[uint16]KernelStats{40: {Owner: 4242, Waiting: 3, Dropped: 7, UserDropped: 8}, 41: {Owner: 2519712212}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
