package nfq

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keeperProcess is the keeper as the daemon sees it.
type keeperProcess struct {
	process *os.Process
	pipe    int // to write; its end tells the keeper that the daemon is gone
	started time.Time
	ended   chan struct{} // closed when the process has ended
	status  string        // how; to be read once ended is closed
}

const (
	// keeperRespawn is the least time between two starts of a keeper.
	keeperRespawn = time.Second
	// keeperFarewell is how long the keeper may take to end when told to.
	keeperFarewell = 2 * time.Second
)

// startKeeper starts the keeper and hands it duplicates of all sockets.
func (q *Queues) startKeeper() error {
	k, err := spawnKeeper(q.readers, q.mem)
	if err != nil {
		return fmt.Errorf("start keeper: %w", err)
	}
	q.keeper = k
	return nil
}

// tendKeeper starts the keeper again when it has died.
func (q *Queues) tendKeeper() {
	if q.keeper == nil {
		return
	}
	select {
	case <-q.keeper.ended:
	default:
		return
	}
	if time.Since(q.keeper.started) < keeperRespawn {
		return
	}
	q.opts.Log.Warn("keeper died, start another", "status", q.keeper.status)
	q.keeper.closePipe()
	for _, r := range q.readers {
		// It may have died at its work: we go on as if it were done.
		r.slot.state.CompareAndSwap(keeperActs, keeperDone)
	}
	if err := q.startKeeper(); err != nil {
		q.keeper.started = time.Now()
		q.opts.Log.Error("packets that wait would be lost if the daemon were killed", "error", err)
	}
}

// spawnKeeper starts the keeper. It runs the program that this process runs,
// even where the file has been replaced meanwhile, in a session of its own, so
// that the terminal's signals do not reach it.
func spawnKeeper(readers []*reader, mem *shared) (k *keeperProcess, err error) {
	files := make([]int, 0, keeperSockets+len(readers))
	defer func() {
		for _, fd := range files {
			err = errors.Join(err, unix.Close(fd))
		}
	}()
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	files = append(files, null)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	files = append(files, pipe[0])
	inherit := []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(pipe[0]), uintptr(mem.fd)}
	for _, r := range readers {
		fd, err := r.sock.dup()
		if err != nil {
			return nil, errors.Join(err, unix.Close(pipe[1]))
		}
		files = append(files, fd)
		inherit = append(inherit, uintptr(fd))
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{keeperName}, &syscall.ProcAttr{
		Dir: "/",
		// One thread that sleeps: the runtime needs no more.
		// The race detector's settings go along, all else would only take room.
		Env:   []string{keeperEnv + "=" + strconv.Itoa(len(readers)), "GOMAXPROCS=1", "GORACE=" + os.Getenv("GORACE")},
		Files: inherit,
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fork: %w", err), unix.Close(pipe[1]))
	}
	k = &keeperProcess{pipe: pipe[1], started: time.Now(), ended: make(chan struct{})}
	if k.process, err = os.FindProcess(pid); err != nil {
		return nil, errors.Join(err, unix.Close(pipe[1]))
	}
	go k.wait()
	return k, nil
}

// wait reaps the keeper; dismiss waits for it.
func (k *keeperProcess) wait() {
	defer close(k.ended)
	state, err := k.process.Wait()
	if err != nil {
		k.status = err.Error()
		return
	}
	k.status = state.String()
}

// dismiss tells the keeper that everything is answered, and waits for its end.
func (k *keeperProcess) dismiss() error {
	if k.pipe >= 0 {
		// If the keeper has died already, that is as well.
		_, _ = unix.Write(k.pipe, []byte{0})
	}
	k.closePipe()
	select {
	case <-k.ended:
		return nil
	case <-time.After(keeperFarewell):
	}
	err := k.process.Kill()
	<-k.ended
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end keeper: %w", err)
	}
	return nil
}

// closePipe closes our end of the pipe, once.
func (k *keeperProcess) closePipe() {
	if k.pipe >= 0 {
		_ = unix.Close(k.pipe)
		k.pipe = -1
	}
}
