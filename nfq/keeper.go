package nfq

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What waits in a queue is dropped by the kernel when the queue's socket is
// closed, and so when the daemon is killed. The keeper is a child process that
// holds duplicates of the sockets: they keep their netlink port, so the kernel
// takes its messages for the daemon's. It sleeps until the daemon is gone, or
// until packets wait and the daemon does nothing for two seconds. Then it lets
// pass all that comes, and all that waits.

// keeperEnv marks the process as a keeper. Its value is the number of queues.
const keeperEnv = "ROAMLB_KEEPER"

// keeperName is what the process is called.
const keeperName = "roamlb-keeper"

// Descriptors that the keeper inherits, behind the three standard ones.
const (
	keeperPipe    = 3 // to read: a byte when the daemon closes, the end when it is gone
	keeperMemory  = 4 // struct shared
	keeperSockets = 5 // and on: one a queue, in the order of the slots
)

const (
	keeperTick = 250 * time.Millisecond
	// hangTicks in a row with packets waiting and no sign of life are a hang.
	// Ticks, not time: when the whole machine was stopped none have passed.
	hangTicks = 8
)

// KeeperMain must be called first thing in main, and in the TestMain of
// packages that run the daemon in process. In the keeper's process it runs the
// keeper and exits; in all others it returns at once.
func KeeperMain() {
	queues := os.Getenv(keeperEnv)
	if queues == "" {
		return
	}
	// The daemon's end decides about ours. Whoever stops a whole service at
	// once must not end the keeper first; SIGABRT is that of systemd's watchdog.
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGABRT)
	// What ps shows would else be the name of /proc/self/exe. Only a name, and
	// this is the process's first thread. The file in /proc cannot be written by
	// a daemon that is confined.
	name, _ := unix.BytePtrFromString(keeperName)
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0)
	k, err := newKeeper(queues)
	if err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
		os.Exit(2)
	}
	k.run()
	os.Exit(0)
}

// keeper is the keeper's whole state.
type keeper struct {
	mem     *shared
	watched []watched
	buf     []byte
}

// watched is a queue as the keeper sees it.
type watched struct {
	*slot
	socket int
	rounds uint64 // at the last tick
	still  int    // ticks in a row that looked like a hang
}

func newKeeper(queues string) (*keeper, error) {
	n, err := strconv.Atoi(queues)
	if err != nil {
		return nil, fmt.Errorf("%s is not to be set by hand", keeperEnv)
	}
	mem, err := openShared(keeperMemory)
	if err != nil {
		return nil, err
	}
	if n != mem.size() {
		return nil, fmt.Errorf("shared memory for %d queues, not %d", mem.size(), n)
	}
	k := &keeper{mem: mem}
	for i := range n {
		k.watched = append(k.watched, watched{slot: mem.slot(i), socket: keeperSockets + i})
	}
	return k, nil
}

// daemon is what the pipe tells of the daemon.
type daemon int

const (
	daemonLives  daemon = iota
	daemonCloses        // it has answered everything itself
	daemonGone
)

// run watches until the daemon has ended.
func (k *keeper) run() {
	for {
		switch k.await() {
		case daemonLives:
			for i := range k.watched {
				k.watch(&k.watched[i])
			}
		case daemonGone:
			for i := range k.watched {
				k.answer(&k.watched[i])
				// At once: the next daemon may be waiting for the number.
				_ = unix.Close(k.watched[i].socket)
			}
			return
		default:
			return
		}
	}
}

// await waits for a tick or the daemon's end.
func (k *keeper) await() daemon {
	fds := []unix.PollFd{{Fd: keeperPipe, Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, int(keeperTick.Milliseconds())); err != nil || n == 0 {
		return daemonLives
	}
	var b [1]byte
	switch n, err := unix.Read(keeperPipe, b[:]); {
	case n == 1:
		return daemonCloses
	case errors.Is(err, unix.EINTR):
		return daemonLives
	default:
		return daemonGone
	}
}

// watch answers for a daemon that hangs. It does so queue by queue: one thread
// may hang and the others not.
func (k *keeper) watch(w *watched) {
	rounds := w.slot.rounds.Load()
	if rounds != w.rounds || w.state.Load() != daemonServes || !readable(w.socket) {
		w.rounds, w.still = rounds, 0
		return
	}
	if w.still++; w.still < hangTicks {
		return
	}
	w.still = 0
	if w.state.CompareAndSwap(daemonServes, keeperActs) {
		k.answer(w)
		w.state.Store(keeperDone)
	}
}

// answer lets pass what comes and then what waits. Errors have nobody who
// could do better: of the two most likely ones, one means that nothing waits,
// and the other that the queue is gone.
func (k *keeper) answer(w *watched) {
	queue := uint16(w.queue.Load())
	_ = sendKernel(w.socket, appendMaxLen(k.buf[:0], queue, 0))
	_ = sendKernel(w.socket, appendAcceptAll(k.buf[:0], queue, w.last.Load()+idRoom))
}

// readable reports whether messages wait at a socket.
func readable(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1 && fds[0].Revents&unix.POLLIN != 0
}
