package ctsync

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
)

// flows is every flow that is known, found by client and listener. Not safe
// for concurrent use.
type flows struct {
	slab      slab[flow]
	index     index
	seed      maphash.Seed
	listeners listeners
	idle      idleList
}

// maxIdle bounds the flows that are known although no session uses them: one
// that was left, found by a dump, or whose session was evicted.
const maxIdle = 1 << 18

// idleList is the live flows that nobody uses, the oldest first.
type idleList struct {
	head, tail uint32
	n          int
}

func newFlows() flows { return flows{seed: maphash.MakeSeed()} }

func (fs *flows) at(i uint32) *flow { return fs.slab.at(i) }

func (fs *flows) hash(client netip.AddrPort, listener uint16) uint32 {
	var b [20]byte
	addr := client.Addr().As16()
	copy(b[:], addr[:])
	binary.NativeEndian.PutUint16(b[16:], client.Port())
	binary.NativeEndian.PutUint16(b[18:], listener)
	return uint32(maphash.Bytes(fs.seed, b[:]))
}

// find is the flow of a key, 0 for none.
func (fs *flows) find(k flowKey) uint32 {
	return fs.search(k.client, k.listener, func(f *flow) bool {
		return f.backend == k.backend && f.has(flowZoned) == k.zoned
	})
}

// search is the first flow of a client and a listener that match accepts, 0
// for none.
func (fs *flows) search(client, listener netip.AddrPort, match func(*flow) bool) uint32 {
	l := fs.listeners.number(listener)
	if l == 0 {
		return 0
	}
	hash, addr, port := fs.hash(client, l), client.Addr().As16(), client.Port()
	for p, ok := fs.index.first(hash); ok; p, ok = fs.index.next(p) {
		i := fs.index.ref(p, hash)
		if i == 0 {
			continue
		}
		if f := fs.at(i); f.port == port && f.listener == l && f.client == addr && match(f) {
			return i
		}
	}
	return 0
}

// add makes the flow of a key that has none; 0 where there are too many
// listeners. The caller puts it to use, or to rest.
func (fs *flows) add(k flowKey, now int64, epoch uint8) uint32 {
	l := fs.listeners.hold(k.listener)
	if l == 0 {
		return 0
	}
	i := fs.slab.take()
	f := fs.at(i)
	*f = flow{
		client: k.client.Addr().As16(), port: k.client.Port(), listener: l, backend: k.backend,
		born: now, flags: flowLive, epoch: epoch,
	}
	if k.zoned {
		f.flags |= flowZoned
	}
	fs.index.insert(fs.hash(k.client, l), i)
	return i
}

// lead reports whether a live flow leads to a backend. It looks at all of them.
func (fs *flows) lead(backend uint16) bool {
	for i := uint32(1); i < fs.slab.size; i++ {
		if f := fs.at(i); f.backend == backend && f.has(flowLive) && !f.dead() {
			return true
		}
	}
	return false
}

// settle is called when a flow may have lost its last use: a dead one goes, a
// live one rests.
func (fs *flows) settle(i uint32) {
	f := fs.at(i)
	switch {
	case f.used() || f.has(flowBusy):
		fs.unrest(i)
	case f.dead():
		fs.drop(i)
	case !fs.resting(i):
		fs.rest(i)
		if fs.idle.n > maxIdle {
			fs.drop(fs.idle.head)
		}
	}
}

func (fs *flows) drop(i uint32) {
	fs.unrest(i)
	f := fs.at(i)
	fs.index.remove(fs.hash(fs.client(i), f.listener), i)
	fs.listeners.release(f.listener)
	f.flags = 0
	fs.slab.give(i)
}

// renew makes the flow stand for an entry that has just been made.
func (fs *flows) renew(i uint32, now int64, epoch uint8) {
	f := fs.at(i)
	f.flags &^= flowDead | flowReplied | flowWitnessed | flowLeft | flowForgotten | flowDoomed
	f.born, f.turned, f.id, f.epoch = now, 0, 0, epoch
}

func (fs *flows) client(i uint32) netip.AddrPort {
	f := fs.at(i)
	addr := netip.AddrFrom16(f.client)
	if fs.listeners.addr(f.listener).Addr().Is4() {
		addr = addr.Unmap()
	}
	return netip.AddrPortFrom(addr, f.port)
}

func (fs *flows) listener(i uint32) netip.AddrPort { return fs.listeners.addr(fs.at(i).listener) }

func (fs *flows) resting(i uint32) bool {
	return fs.idle.head == i || fs.at(i).prev != 0
}

func (fs *flows) rest(i uint32) {
	f, l := fs.at(i), &fs.idle
	f.prev, f.next = l.tail, 0
	if l.tail != 0 {
		fs.at(l.tail).next = i
	} else {
		l.head = i
	}
	l.tail = i
	l.n++
}

func (fs *flows) unrest(i uint32) {
	if !fs.resting(i) {
		return
	}
	f, l := fs.at(i), &fs.idle
	if f.prev != 0 {
		fs.at(f.prev).next = f.next
	} else {
		l.head = f.next
	}
	if f.next != 0 {
		fs.at(f.next).prev = f.prev
	} else {
		l.tail = f.prev
	}
	f.prev, f.next = 0, 0
	l.n--
}

// listeners gives listeners numbers, so that a flow need not hold an address.
type listeners struct {
	numbers map[netip.AddrPort]uint16
	entries []listenerEntry // by number; 0 is none
	free    []uint16
}

type listenerEntry struct {
	addr  netip.AddrPort
	flows uint32
}

const maxListeners = 1<<16 - 1

func (ls *listeners) number(l netip.AddrPort) uint16 { return ls.numbers[l] }

func (ls *listeners) addr(n uint16) netip.AddrPort { return ls.entries[n].addr }

// hold counts a flow for a listener and returns its number; 0 when no number
// is left.
func (ls *listeners) hold(l netip.AddrPort) uint16 {
	n := ls.numbers[l]
	if n == 0 {
		switch {
		case len(ls.free) > 0:
			n = ls.free[len(ls.free)-1]
			ls.free = ls.free[:len(ls.free)-1]
		case len(ls.entries) > maxListeners:
			return 0
		default:
			if ls.numbers == nil {
				ls.numbers, ls.entries = make(map[netip.AddrPort]uint16), make([]listenerEntry, 1)
			}
			n = uint16(len(ls.entries))
			ls.entries = append(ls.entries, listenerEntry{})
		}
		ls.entries[n] = listenerEntry{addr: l}
		ls.numbers[l] = n
	}
	ls.entries[n].flows++
	return n
}

func (ls *listeners) release(n uint16) {
	e := &ls.entries[n]
	if e.flows--; e.flows == 0 {
		delete(ls.numbers, e.addr)
		ls.free = append(ls.free, n)
	}
}
