package ctsync

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Kernel is the conntrack table of one network namespace. It implements
// Conntrack.
type Kernel struct {
	query    sync.Mutex // one exchange at a time on asked
	asked    *socket
	seq      uint32
	dump     sync.Mutex // one dump at a time on dumped
	dumped   *socket
	dumpSeq  uint32
	listen   sync.Mutex // one listener at a time on heard
	heard    *socket
	timeouts [2]*os.File // the sysctls of the unreplied and of streams; nil where they are hidden
	size     [2]*os.File // the sysctls of how many entries there are, and may be; nil where they are hidden
}

var _ Conntrack = (*Kernel)(nil)

const (
	// An exchange holds no more messages than the answers' queue surely takes.
	exchangeAtOnce = 64
	answerSize     = 4096
	answerQueue    = 2 << 20

	eventsAtOnce = 64
	eventSize    = 4096
	eventQueue   = 16 << 20 // 100,000 events take about 80 MB/s of it

	dumpSize  = 64 << 10 // the kernel fills up to 32 KiB a datagram
	dumpQueue = 1 << 20
)

// NewKernel opens the conntrack table of the calling thread's network
// namespace; it stays that one's wherever the methods are called. It needs
// CAP_NET_ADMIN there. The caller closes it.
func NewKernel() (*Kernel, error) {
	k := &Kernel{}
	var err error
	for _, open := range []func() error{
		func() error { k.asked, err = openSocket(exchangeAtOnce, answerSize, answerQueue); return err },
		func() error { k.dumped, err = openSocket(1, dumpSize, dumpQueue); return err },
		func() error { k.heard, err = openSocket(eventsAtOnce, eventSize, eventQueue); return err },
	} {
		if err := open(); err != nil {
			return nil, errors.Join(fmt.Errorf("open conntrack: %w", err), k.Close())
		}
	}
	for i, name := range [...]string{"nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"} {
		// Where /proc hides them the kernel's defaults have to do.
		k.timeouts[i], _ = os.Open("/proc/sys/net/netfilter/" + name)
	}
	for i, name := range [...]string{"nf_conntrack_count", "nf_conntrack_max"} {
		k.size[i], _ = os.Open("/proc/sys/net/netfilter/" + name)
	}
	return k, nil
}

// Close releases what NewKernel opened. Methods that wait return.
func (k *Kernel) Close() error {
	var failed error
	for _, s := range [...]*socket{k.asked, k.dumped, k.heard} {
		if s != nil {
			failed = errors.Join(failed, s.close())
		}
	}
	for _, f := range slices.Concat(k.timeouts[:], k.size[:]) {
		if f != nil {
			failed = errors.Join(failed, f.Close())
		}
	}
	return failed
}

// Timeouts is of Conntrack.
func (k *Kernel) Timeouts() (unreplied, replied time.Duration) {
	const defaultUnreplied, defaultReplied = 30 * time.Second, 120 * time.Second
	return readSeconds(k.timeouts[0], defaultUnreplied), readSeconds(k.timeouts[1], defaultReplied)
}

// Size is how many entries the namespace's table has, whosever they are, and how
// many it may have; ok is false where the kernel does not tell.
func (k *Kernel) Size() (entries, most int, ok bool) {
	entries, first := readNumber(k.size[0])
	most, second := readNumber(k.size[1])
	return entries, most, first && second
}

// readNumber reads a sysctl anew from its open file.
func readNumber(f *os.File) (int, bool) {
	if f == nil {
		return 0, false
	}
	var b [32]byte
	n, _ := f.ReadAt(b[:], 0)
	v, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	return v, err == nil
}

// readSeconds reads a sysctl anew from its open file.
func readSeconds(f *os.File, otherwise time.Duration) time.Duration {
	if s, ok := readNumber(f); ok && s > 0 {
		return time.Duration(s) * time.Second
	}
	return otherwise
}

// Get is of Conntrack.
func (k *Kernel) Get(tuples []Tuple) ([]Entry, []error) {
	entries, errs := make([]Entry, len(tuples)), make([]error, len(tuples))
	k.exchange(len(tuples), errs, func(r *request, i int, seq uint32) {
		t := &tuples[i]
		// Without NLM_F_ACK each request has one answer: the entry or an error.
		r.begin(msgGet, unix.NLM_F_REQUEST, seq, t.family())
		r.tuple(t)
		r.end()
	}, func(i int, body []byte) error {
		if !decodeEntry(body, &entries[i]) || entries[i].Tuple != tuples[i] {
			return ErrNotFound // in a zone of both directions
		}
		return nil
	})
	return entries, errs
}

// Delete is of Conntrack. The kernel compares the id with that of the entry it
// finds.
func (k *Kernel) Delete(entries []Entry) []error {
	errs := make([]error, len(entries))
	k.exchange(len(entries), errs, func(r *request, i int, seq uint32) {
		e := &entries[i]
		r.begin(msgDelete, unix.NLM_F_REQUEST|unix.NLM_F_ACK, seq, e.family())
		r.tuple(&e.Tuple)
		r.attr32(ctaID, e.ID)
		r.end()
	}, func(int, []byte) error { return nil })
	return errs
}

// exchange sends n requests, some in one datagram, and waits for the answer to
// each: the kernel does them in order. answer takes those that are no errors.
func (k *Kernel) exchange(n int, errs []error, write func(*request, int, uint32), answer func(int, []byte) error) {
	k.query.Lock()
	defer k.query.Unlock()
	var r request
	for from := 0; from < n; from += exchangeAtOnce {
		to := min(from+exchangeAtOnce, n)
		first := k.seq + 1
		r.buf = r.buf[:0]
		for i := from; i < to; i++ {
			k.seq++
			write(&r, i, k.seq)
		}
		if err := k.answers(r.buf, first, errs[from:to], func(i int, body []byte) error { return answer(from+i, body) }); err != nil {
			for i := from; i < n; i++ {
				errs[i] = err
			}
			return
		}
	}
}

// answers sends requests, numbered from first on, and files their answers.
func (k *Kernel) answers(requests []byte, first uint32, errs []error, answer func(int, []byte) error) error {
	if err := k.asked.deadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := k.asked.send(requests); err != nil {
		return err
	}
	for missing := len(errs); missing > 0; {
		err := k.asked.receive(func(b []byte, cut bool) {
			for {
				m, rest, ok := cutMessage(b)
				if !ok {
					return
				}
				b = rest
				i := int(m.seq - first)
				if i < 0 || i >= len(errs) { // to a request that was given up
					continue
				}
				missing--
				switch {
				case m.kind == unix.NLMSG_ERROR:
					errs[i] = errorOf(m.body)
				case cut:
					errs[i] = unix.EMSGSIZE
				default:
					errs[i] = answer(i, m.body)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// errorOf is the outcome in the body of an NLMSG_ERROR:
//
//	struct nlmsgerr { s32 error; struct nlmsghdr msg; }  host order; 0 is success
func errorOf(body []byte) error {
	if len(body) < 4 {
		return unix.EBADMSG
	}
	switch errno := unix.Errno(-int32(binary.NativeEndian.Uint32(body))); errno {
	case 0:
		return nil
	case unix.ENOENT:
		return ErrNotFound
	default:
		return errno
	}
}

// Dump is of Conntrack. The kernel filters by the mark.
func (k *Kernel) Dump(value, mask uint32, fn func(*Entry) bool) error {
	var e Entry
	wanted := true
	return k.list(msgGet, func(r *request) {
		r.attr32(ctaMark, value)
		r.attr32(ctaMarkMask, mask)
	}, func(body []byte) {
		if wanted && decodeEntry(body, &e) {
			wanted = fn(&e) // the rest of the dump has to be read all the same
		}
	})
}

// Dropped is how many packets conntrack has dropped in the namespace so far,
// most of them the first ones of flows that it had no room for; ok is false
// where the kernel does not tell. The count of each CPU wraps at 32 bits.
func (k *Kernel) Dropped() (packets uint64, ok bool) {
	err := k.list(msgStats, func(*request) {}, func(body []byte) { packets += decodeDrops(body) })
	return packets, err == nil
}

// list asks for a list of something and hands fn the body of each message.
func (k *Kernel) list(kind uint16, what func(*request), fn func(body []byte)) error {
	k.dump.Lock()
	defer k.dump.Unlock()
	k.dumpSeq++
	var r request
	r.begin(kind, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, k.dumpSeq, unix.NFPROTO_UNSPEC)
	what(&r)
	r.end()
	if err := k.dumped.deadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := k.dumped.send(r.buf); err != nil {
		return fmt.Errorf("ask for a dump: %w", err)
	}
	var failed error
	for done := false; !done; {
		err := k.dumped.receive(func(b []byte, cut bool) {
			if cut {
				failed = unix.EMSGSIZE
			}
			for {
				m, rest, ok := cutMessage(b)
				if !ok {
					return
				}
				b = rest
				switch {
				case m.seq != k.dumpSeq:
				case m.kind == unix.NLMSG_DONE:
					done = true
				case m.kind == unix.NLMSG_ERROR:
					done, failed = true, errorOf(m.body)
				default:
					fn(m.body)
				}
			}
		})
		if err != nil {
			return fmt.Errorf("read dump: %w", err)
		}
		if err := k.dumped.deadline(time.Now().Add(patience)); err != nil {
			return err
		}
	}
	return failed
}

// Events is of Conntrack.
func (k *Kernel) Events(ctx context.Context, mask uint32, ready func(), fn func([]Event), lost func()) error {
	k.listen.Lock()
	defer k.listen.Unlock()
	filter, err := bpf.Assemble(markFilter(mask))
	if err != nil {
		return fmt.Errorf("assemble event filter: %w", err)
	}
	if err := k.heard.conn.SetBPF(filter); err != nil {
		return fmt.Errorf("filter events: %w", err)
	}
	if err := k.heard.deadline(time.Time{}); err != nil {
		return err
	}
	for _, group := range [...]uint32{groupUpdate, groupDestroy} {
		if err := k.heard.conn.JoinGroup(group); err != nil {
			return fmt.Errorf("join conntrack's events: %w", err)
		}
		defer func() { _ = k.heard.conn.LeaveGroup(group) }() // the next call joins again anyway
	}
	stop := context.AfterFunc(ctx, func() { _ = k.heard.deadline(time.Unix(1, 0)) }) // fails if closed, which ends this too
	defer stop()
	ready()
	events := make([]Event, 0, eventsAtOnce)
	for {
		events = events[:0]
		err := k.heard.receive(func(b []byte, cut bool) {
			if cut {
				lost()
				return
			}
			m, _, ok := cutMessage(b)
			if !ok || m.kind != msgNew && m.kind != msgDelete {
				return
			}
			events = append(events, Event{Destroyed: m.kind == msgDelete})
			if e := &events[len(events)-1]; !decodeEntry(m.body, &e.Entry) || e.Mark&mask == 0 {
				events = events[:len(events)-1]
			}
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.ENOBUFS):
			lost() // the socket goes on
		case err != nil:
			return fmt.Errorf("read conntrack's events: %w", err)
		}
		if len(events) > 0 {
			fn(events)
		}
	}
}

// markFilter lets through messages of conntrack that carry a mark with one of
// some bits: the events of other entries then cost neither room nor a wake-up.
func markFilter(mask uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadConstant{Dst: bpf.RegA, Val: headerLen + familyLen},
		bpf.LoadConstant{Dst: bpf.RegX, Val: ctaMark},
		bpf.LoadExtension{Num: bpf.ExtNetlinkAttr}, // A: where that attribute is, 0 for nowhere
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 4},
		bpf.TAX{},
		bpf.LoadIndirect{Off: attrLen, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: mask, SkipTrue: 1},
		bpf.RetConstant{Val: ^uint32(0)},
		bpf.RetConstant{Val: 0},
	}
}
