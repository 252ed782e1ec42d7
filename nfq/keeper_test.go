package nfq

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/internal/lab"
)

// keepersOf returns the process ids of a daemon's keepers that live.
func keepersOf(t *testing.T, daemon int) []int {
	t.Helper()
	children, err := lab.Children(daemon)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(children, func(pid int) bool { return !isKeeper(pid) })
}

// isKeeper reports whether a process is a keeper and alive.
func isKeeper(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.HasPrefix(line, []byte(keeperName))
}

// keeper waits until the daemon's keeper is at its work, and returns its
// process id.
func (d *daemonProcess) keeper() (pid int) {
	d.t.Helper()
	lab.WaitFor(d.t, wait, "the daemon has a keeper", func() bool {
		list := keepersOf(d.t, d.cmd.Process.Pid)
		if len(list) == 1 {
			pid = list[0]
		}
		return len(list) == 1 && ignores(d.t, pid, unix.SIGTERM) && ignores(d.t, pid, unix.SIGINT) && ignores(d.t, pid, unix.SIGHUP)
	})
	return pid
}

func (d *daemonProcess) logged(text string) bool {
	return d.has(func(l daemonLine) bool { return strings.Contains(l.Log, text) })
}

func (d *daemonProcess) saw(kind event.Kind) bool {
	return d.has(func(l daemonLine) bool { return l.Event == kind })
}

// waiting waits until many packets wait in the queues of a slow daemon.
func (w *world) waiting() {
	w.t.Helper()
	lab.WaitFor(w.t, wait, "packets wait", func() bool {
		return w.rules.queued("steer", sessionPort) > w.sink.Total()+200
	})
}

// background sends while the test does something else; the function that it
// returns waits for the end.
func (w *world) background(count, rate int) (done func()) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		w.flood(listener4(sessionPort), count, rate)
	}()
	return func() { <-sent }
}

// What waits for a verdict when the daemon is killed must not be lost: it is
// the first packet of every session that begins just then.
func TestKilledDaemonLosesNothing(t *testing.T) {
	const count = 3000
	for _, keeper := range []bool{true, false} {
		t.Run(fmt.Sprintf("keeper=%t", keeper), func(t *testing.T) {
			rounds := 5
			if !keeper {
				rounds = 1
			}
			q := queues(2, 1024)
			w := newWorld(t, q)
			for round := range rounds {
				d := startDaemon(t, w.net.LB, daemonConfig{Queues: q, Keeper: keeper, Delay: time.Millisecond})
				sent := w.background(count, 6000)
				w.waiting()
				d.signal(syscall.SIGKILL)
				d.wait()
				sent()
				if keeper {
					w.arrived((round + 1) * count)
					continue
				}
				time.Sleep(100 * time.Millisecond)
				if n := w.sink.Total(); n == count {
					t.Error("nothing is lost without a keeper either: this test shows nothing")
				} else {
					t.Logf("%d packets are lost without a keeper", count-n)
				}
			}
		})
	}
}

// After a crash the supervisor starts the daemon anew at once, and that must
// not fail because the keeper is still at its work.
func TestRestartRightAfterKill(t *testing.T) {
	const count = 6000
	q := queues(2, 1024)
	w := newWorld(t, q)
	d := startDaemon(t, w.net.LB, daemonConfig{Queues: q, Keeper: true, Delay: time.Millisecond})
	d.keeper()
	sent := w.background(count, 6000)
	w.waiting()
	d.signal(syscall.SIGKILL)
	second := startDaemon(t, w.net.LB, daemonConfig{Queues: q, Keeper: true})
	d.wait()
	sent()
	w.flood(listener4(sessionPort), 100, 1000)
	w.arrived(count + 100)
	stats := second.stop()
	if stats[0].Packets+stats[1].Packets == 0 {
		t.Error("the second daemon has seen no packet")
	}
}

// A machine that stalls for a second must find everything as it was.
func TestShortStopLosesNothing(t *testing.T) {
	const count = 6000
	q := queues(2, 1024)
	w := newWorld(t, q)
	d := startDaemon(t, w.net.LB, daemonConfig{Queues: q, Keeper: true})
	sent := w.background(count, 3000)
	lab.WaitFor(t, wait, "packets come", func() bool { return w.sink.Total() > 500 })
	d.signal(syscall.SIGSTOP)
	time.Sleep(time.Second)
	d.signal(syscall.SIGCONT)
	sent()
	w.arrived(count)
	if d.saw(event.Keeper) {
		t.Error("the keeper has answered within a second")
	}
	d.stop()
}

// A daemon that hangs must not keep clients waiting, and must be back at work
// when it goes on.
func TestHangIsAnsweredAndOver(t *testing.T) {
	const count = 30000
	q := queues(2, 1024)
	w := newWorld(t, q)
	d := startDaemon(t, w.net.LB, daemonConfig{Queues: q, Keeper: true})
	// The first packets, of which some wait: what comes later finds the queues
	// full and passes.
	w.flood(listener4(sessionPort), 100, 1000)
	w.arrived(100)
	d.signal(syscall.SIGSTOP)
	stopped := time.Now()
	w.flood(listener4(sessionPort), 500, 1000)
	lab.WaitFor(t, wait, "the keeper answers", func() bool { return w.sink.Total() == 600 })
	if took := time.Since(stopped); took > lab.Slow(3500*time.Millisecond) {
		t.Errorf("clients waited %v", took)
	} else {
		t.Logf("the keeper answered after %v", took)
	}
	sent := w.background(count, 10000)
	lab.WaitFor(t, wait, "packets pass meanwhile", func() bool { return w.sink.Total() > 1000 })
	d.signal(syscall.SIGCONT)
	lab.WaitFor(t, wait, "the daemon says so", func() bool { return d.saw(event.Keeper) })
	sent()
	w.arrived(600 + count)
	// Whether it serves again shows with the packets that it sees: all of these
	// are new.
	before := w.sink.Total()
	w.flood(listener6(sessionPort), 100, 1000)
	w.arrived(int(before) + 100)
	stats := d.stop()
	var sum Stats
	for i := range stats {
		sum.add(&stats[i])
	}
	if sum.KeeperAnswers != 2 {
		t.Errorf("the keeper has answered for %d queues, want 2", sum.KeeperAnswers)
	}
	if sum.Verdicts < 100+100 || sum.Missed == 0 {
		t.Errorf("after the hang: %+v", sum)
	}
	t.Logf("%+v", sum)
}

// Without a keeper the next crash would cost packets, so one that died must be
// replaced, and an operator must be able to see that.
func TestKeeperIsReplaced(t *testing.T) {
	q := queues(1, 1024)
	w := newWorld(t, q)
	d := startDaemon(t, w.net.LB, daemonConfig{Queues: q, Keeper: true, Delay: time.Millisecond})
	first := d.keeper()
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lab.WaitFor(t, wait, "another keeper", func() bool {
		list := keepersOf(t, d.cmd.Process.Pid)
		return len(list) == 1 && list[0] != first
	})
	if !d.logged("keeper died") {
		t.Error("the log does not tell")
	}
	sent := w.background(2000, 6000)
	w.waiting()
	d.signal(syscall.SIGKILL)
	d.wait()
	sent()
	w.arrived(2000)
}

// A terminal's interrupt, or a supervisor that signals the whole service, must
// not end the keeper before the daemon; but with the daemon it must end.
func TestKeeperLivesAsLongAsTheDaemon(t *testing.T) {
	for _, last := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(last.String(), func(t *testing.T) {
			q := queues(2, 1024)
			w := newWorld(t, q)
			d := startDaemon(t, w.net.LB, daemonConfig{Queues: q, Keeper: true})
			pid := d.keeper()
			if session, err := unix.Getsid(pid); err != nil || session != pid {
				t.Errorf("the keeper is in session %d: %v", session, err)
			}
			memory := memoryOf(t, pid)
			t.Logf("keeper: %s", memory)
			for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
				if err := unix.Kill(pid, s); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(2 * keeperTick)
			if !isKeeper(pid) {
				t.Fatal("the keeper is gone before the daemon")
			}
			d.signal(last)
			d.wait()
			lab.WaitFor(t, wait, "the keeper ends", func() bool { return !isKeeper(pid) })
		})
	}
}

// ignores reports whether a process ignores a signal.
func ignores(t *testing.T, pid int, s unix.Signal) bool {
	t.Helper()
	mask, err := strconv.ParseUint(statusOf(t, pid, "SigIgn"), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return mask&(1<<(s-1)) != 0
}

func memoryOf(t *testing.T, pid int) string {
	return fmt.Sprintf("private %s, of files %s, threads %s", statusOf(t, pid, "RssAnon"), statusOf(t, pid, "RssFile"), statusOf(t, pid, "Threads"))
}

// statusOf returns a field of /proc/PID/status.
func statusOf(t *testing.T, pid int, field string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == field {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no %s in the status of process %d", field, pid)
	return ""
}
