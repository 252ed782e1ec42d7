package ctsync

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/netip"
	"slices"
	"time"
)

// Load takes over what Save has written: sessions with their bindings, and the
// flows they were on, which the first dump will confirm or bury. Sessions of a
// service whose table is there with another layout are left out; those of
// services that nobody asks a Table for are dropped later. Nothing of a
// damaged snapshot is taken: the error is ErrDamaged. It is called before Run.
func (s *Sync) Load(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("load sessions: %w", err)
	}
	n := len(data) - crc32.Size
	if n < 0 || crc32.Checksum(data[:n], castagnoli) != binary.BigEndian.Uint32(data[n:]) {
		return fmt.Errorf("load sessions: checksum: %w", ErrDamaged)
	}
	data, ok := bytes.CutPrefix(data[:n], []byte(snapshotHeader))
	if !ok {
		return fmt.Errorf("load sessions: header: %w", ErrDamaged)
	}
	// Once to see that all of it makes sense, once to take it.
	nothing := func(savedTable) func(*savedSession) { return func(*savedSession) {} }
	if !parse(data, nothing) {
		return fmt.Errorf("load sessions: %w", ErrDamaged)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	var tables []*Table
	parse(data, func(st savedTable) func(*savedSession) {
		t := s.byName[st.name]
		if t == nil {
			t = s.table(st.name, st.stride, st.layout)
			t.loaded = true
		}
		if t.layout != st.layout || t.stride != st.stride {
			return func(*savedSession) {}
		}
		tables = append(tables, t)
		return func(ss *savedSession) { t.restore(ss, now) }
	})
	for _, t := range tables {
		for i := range t.shards {
			t.shards[i].sortLists()
		}
	}
	return nil
}

// savedTable is the head of one table in a snapshot.
type savedTable struct {
	name, layout string
	stride       int
}

// parse hands open each table, and what open returned the table's sessions. It
// reports whether everything made sense.
func parse(data []byte, open func(savedTable) func(*savedSession)) bool {
	r := reader{data: data}
	var visit func(*savedSession)
	var stride int
	for !r.bad {
		switch r.byte() {
		case snapshotEnd:
			return !r.bad && len(r.data) == 0
		case snapshotTable:
			st := savedTable{name: string(r.bytes()), layout: string(r.bytes()), stride: int(r.number(maxStride))}
			if r.bad {
				return false
			}
			visit, stride = open(st), st.stride
		case snapshotSession:
			ss := r.session()
			if r.bad || visit == nil || len(ss.key) > stride {
				return false
			}
			visit(&ss)
		default:
			return false
		}
	}
	return false
}

// maxStride is the longest key there can be: a UDP payload's length.
const maxStride = 65507

// reader takes a snapshot apart. After something that makes no sense it is bad
// and gives zeros.
type reader struct {
	data []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.data) {
		r.bad = true
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.data)
	if r.bad || n <= 0 || v > most {
		r.bad = true
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) bytes() []byte { return r.take(int(r.number(math.MaxInt32))) }

func (r *reader) age() time.Duration {
	return time.Duration(r.number(uint64(math.MaxInt64/time.Millisecond/2))) * time.Millisecond
}

func (r *reader) addr() netip.AddrPort {
	a, ok := netip.AddrFromSlice(r.bytes())
	port := r.take(2)
	if !ok || port == nil || a.Is4In6() {
		r.bad = true
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port))
}

func (r *reader) session() savedSession {
	ss := savedSession{
		key:     r.bytes(),
		backend: [2]uint16{uint16(r.number(math.MaxUint16)), uint16(r.number(math.MaxUint16))},
		flags:   r.byte(),
		age:     r.age(),
	}
	if ss.flags&savedFirst != 0 {
		ss.first = r.age()
	}
	if ss.flags&savedFlow == 0 {
		return ss
	}
	ss.client, ss.listener = r.addr(), r.addr()
	ss.flowOf, ss.flow = uint16(r.number(math.MaxUint16)), r.byte()
	ss.id, ss.flowAge = uint32(r.number(math.MaxUint32)), r.age()
	if ss.client.Addr().Is4() != ss.listener.Addr().Is4() || ss.flowOf == 0 {
		r.bad = true
	}
	return ss
}

// restore makes a saved session, unless it is there already. Sync.mu is locked.
func (t *Table) restore(ss *savedSession, now int64) {
	at, hash := t.locate(ss.key)
	sh := &t.shards[at]
	sh.mu.Lock()
	if sh.find(hash, ss.key) != 0 {
		sh.mu.Unlock()
		return
	}
	kind := unanswered
	i := sh.insert(hash, ss.key, now-int64(ss.age))
	if ss.flags&savedConfirmed != 0 {
		sh.confirm(i)
		kind = answered
	}
	t.counts[kind].Add(1)
	r := sh.records.at(i)
	if ss.flags&savedFirst != 0 {
		r.first = seconds(now - int64(ss.first))
	}
	sh.bindTo(i, ss.backend)
	if ss.flags&savedPlaced != 0 {
		r.flags |= recordPlaced
	}
	gen := r.gen
	sh.mu.Unlock()
	if ss.flags&savedFlow != 0 {
		t.sync.core.restore(t, makeHandle(at, i), gen, ss, now)
	}
}

// restore puts a saved session on its flow.
func (c *core) restore(t *Table, h handle, gen uint32, ss *savedSession, now int64) {
	k := flowKey{ss.client, ss.listener, ss.flowOf, ss.flow&savedZoned != 0}
	g := c.flows.find(k)
	if g == 0 {
		// Old enough for the first dump to bury it.
		then := now - int64(max(ss.flowAge, 2*infancy))
		if g = c.flows.add(k, then, c.epoch); g == 0 {
			return
		}
		fl := c.flows.at(g)
		fl.id = ss.id
		if ss.flow&savedReplied != 0 {
			fl.flags |= flowReplied
			fl.turned = then
		}
		if ss.flow&savedDead != 0 {
			fl.flags = fl.flags&^flowReplied | flowDead
			fl.turned = then
		}
	}
	tr := t.track(h)
	*tr = track{gen: gen, lastAt: now - int64(ss.age)}
	c.settleOn(t, h, tr, g)
}

// sortLists brings the lists of a shard that was filled in any order into that
// of the last decisions.
func (s *shard) sortLists() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var order []uint32
	for i := uint32(1); i < s.records.size; i++ {
		if s.records.at(i).live() {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(s.records.at(a).seen, s.records.at(b).seen) })
	s.lists = [2]list{}
	for kind := range s.oldest {
		s.oldest[kind].Store(nobody)
	}
	for _, i := range order {
		s.push(i)
	}
}
