package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The groups of the daemon's netfilter sockets, as bits: NFNLGRP_CONNTRACK_UPDATE
// and NFNLGRP_CONNTRACK_DESTROY of the kernel's linux/netfilter/nfnetlink.h.
const conntrackGroups = 1<<1 | 1<<2

// netlinkSocket is a line of /proc/net/netlink.
type netlinkSocket struct {
	port   string
	groups uint64
	inode  string
}

// netlinkSockets are the netfilter sockets in the daemon's namespace:
//
//	sk  Eth  Pid  Groups  Rmem  Wmem  Dump  Locks  Drops  Inode
func (b *bed) netlinkSockets() []netlinkSocket {
	b.t.Helper()
	var out []netlinkSocket
	for _, f := range b.daemon.table("net/netlink") {
		if len(f) == 10 && f[1] == strconv.Itoa(unix.NETLINK_NETFILTER) {
			groups, err := strconv.ParseUint(f[3], 16, 64)
			if err != nil {
				b.t.Fatal(err)
			}
			out = append(out, netlinkSocket{port: f[2], groups: groups, inode: f[9]})
		}
	}
	return out
}

// table is the fields of the lines of one of the daemon's files below /proc.
func (d *daemon) table(name string) [][]string {
	d.t.Helper()
	text, err := os.ReadFile(d.proc(name))
	if err != nil {
		d.t.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(string(text)) {
		out = append(out, strings.Fields(line))
	}
	return out
}

// proc is the path of one of the daemon's files below /proc.
func (d *daemon) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(d.cmd.Process.Pid), name)
}

// squeeze leaves some of the daemon's sockets room for a message or two, as if
// the host were as busy, and returns what gives them back what they had.
func (b *bed) squeeze(of func(netlinkSocket) bool) (release func()) {
	b.t.Helper()
	inodes := make(map[string]bool)
	for _, s := range b.netlinkSockets() {
		if of(s) {
			inodes["socket:["+s.inode+"]"] = true
		}
	}
	pid := b.daemon.cmd.Process.Pid
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	defer unix.Close(pidfd)
	fds, err := os.ReadDir(b.daemon.proc("fd"))
	if err != nil {
		b.t.Fatal(err)
	}
	had := make(map[int]int) // by our duplicate of the socket
	for _, fd := range fds {
		if to, err := os.Readlink(b.daemon.proc("fd/" + fd.Name())); err != nil || !inodes[to] {
			continue
		}
		number, err := strconv.Atoi(fd.Name())
		if err != nil {
			b.t.Fatal(err)
		}
		ours, err := unix.PidfdGetfd(pidfd, number, 0)
		if err != nil {
			b.t.Fatal(err)
		}
		if had[ours], err = unix.GetsockoptInt(ours, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
			b.t.Fatal(err)
		}
		if err := unix.SetsockoptInt(ours, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil { // the kernel has a least
			b.t.Fatal(err)
		}
	}
	if len(had) == 0 {
		b.t.Fatal("the daemon has no such socket")
	}
	return func() {
		for fd, size := range had {
			if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size/2) != nil { // the kernel doubles it
				_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size/2)
			}
			unix.Close(fd)
		}
	}
}

// queueSockets says which sockets have a queue:
//
//	queue  port  waiting  copy mode ...
func (b *bed) queueSockets() func(netlinkSocket) bool {
	b.t.Helper()
	ports := make(map[string]bool)
	for _, f := range b.daemon.table("net/netfilter/nfnetlink_queue") {
		if len(f) > 1 {
			ports[f[1]] = true
		}
	}
	return func(s netlinkSocket) bool { return ports[s.port] }
}

// A host that is so busy that the kernel finds no room for what it has to tell
// must lose no packet and misplace no session, and what went unseen must be
// found: the entries that roamed sessions have left behind are gone all the
// same, as soon as the daemon has looked for itself.
func TestNetlinkBuffersOverflow(t *testing.T) {
	atLeisure(t) // what went past a queue is found by and by
	for _, c := range []struct {
		name   string
		of     func(*bed) func(netlinkSocket) bool
		metric string // that counts what was lost
		roams  int
	}{
		{"conntrack's events", func(*bed) func(netlinkSocket) bool {
			return func(s netlinkSocket) bool { return s.groups == conntrackGroups }
		}, "roamlb_sync_lost_total", 3},
		{"the queues", (*bed).queueSockets, "roamlb_queue_missed_packets_total", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.queues = patientQueues
			b.serve(b.service(seeded, "datapath: queue", "confirm_timeout: 1s", "timeouts: {unreplied: 5m, replied: 5m}"))
			n := scaled(300, 100)
			live := numbers(0, n)
			home := b.settle(live)
			l := b.startLoadByRing(1_000_000, paced(5000))
			release := b.squeeze(c.of(b))
			seq, at := 1, uint16(21999+c.roams)
			speak := func(at uint16) {
				seq++
				b.stay("while the kernel finds no room", home, from(at, live, seq))
			}
			for i := range c.roams {
				speak(22000 + uint16(i))
			}
			waitFor(t, 5*time.Second, "the loss is told", func() bool {
				time.Sleep(50 * time.Millisecond)
				speak(at)
				return len(b.daemon.events("overflow")) > 0
			})
			release()
			lost := b.metric(c.metric)
			l.outcome(fmt.Sprintf("%s: %.0f lost", c.name, lost))
			began := time.Now()
			waitFor(t, 20*time.Second, "the entries that they left are gone", func() bool {
				time.Sleep(200 * time.Millisecond)
				speak(at)
				return b.left(at, live) <= n/50 // of those that roam unseen one is overlooked at times
			})
			t.Logf("the entries of %d sessions that roamed %d times were gone %v after", n, c.roams, time.Since(began).Round(time.Millisecond))
			if lost == 0 {
				t.Error("nothing was lost: the test shows nothing")
			}
		})
	}
}

// left is how many entries there are of the clients of place and from, but for
// those at a port and the load's.
func (b *bed) left(sourcePort uint16, sessions []int) int {
	b.t.Helper()
	theirs := make(map[string]bool)
	for _, d := range from(sourcePort, sessions, 0) {
		theirs[d.Src.Addr().String()] = true
	}
	n := 0
	for _, e := range b.entries() {
		if p := e.client.Port(); theirs[e.client.Addr().String()] && p != sourcePort && p != loadPort {
			n++
		}
	}
	return n
}
