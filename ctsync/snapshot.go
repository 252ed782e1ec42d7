package ctsync

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// A snapshot is a header, records, and the CRC-32C of both in four bytes, big
// endian. Numbers are unsigned varints, byte strings and addresses have their
// length in front. Times are ages in milliseconds: a clock that was set
// meanwhile does no harm.
//
//	table:   1 name layout stride
//	session: 2 key backend4 backend6 flags age, and if flags say so:
//	         age since it was first seen
//	         client listener backend flags id age
//	end:     0
const snapshotHeader = "roamlb sessions 1\n"

const (
	snapshotEnd     = 0
	snapshotTable   = 1
	snapshotSession = 2
)

// The flags of a saved session and of its flow.
const (
	savedConfirmed = 1 << iota
	savedPlaced
	savedFlow
	savedFirst

	savedZoned   = 1
	savedReplied = 2
	savedDead    = 4
)

// ErrDamaged says that a snapshot is not what Save has written.
var ErrDamaged = errors.New("damaged snapshot")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// savedSession is one session of a snapshot.
type savedSession struct {
	key      []byte
	backend  [2]uint16
	flags    uint8
	age      time.Duration // since the last decision
	first    time.Duration // since the first one
	client   netip.AddrPort
	listener netip.AddrPort
	flowOf   uint16 // the flow's backend
	flow     uint8  // its flags
	id       uint32
	flowAge  time.Duration // since it was announced; of a dead one, since it ended
}

// Save writes what is known of sessions and of the flows they are on, as ages
// rather than times. The packet path goes on meanwhile; each session is as it
// was at some moment.
func (s *Sync) Save(w io.Writer) error {
	sum := crc32.New(castagnoli)
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<16)
	buf := []byte(snapshotHeader)
	s.mu.Lock()
	s.catchUp()
	tables := slices.SortedFunc(maps.Values(s.byName), func(a, b *Table) int { return cmp.Compare(a.name, b.name) })
	s.unlock()
	for _, t := range tables {
		buf = append(buf, snapshotTable)
		buf = appendBytes(appendBytes(buf, []byte(t.name)), []byte(t.layout))
		buf = binary.AppendUvarint(buf, uint64(t.stride))
		for h, more := handle(0), true; more; more = h != 0 {
			h = t.walk(h, func(at handle, _ *shard) {
				ss := t.saved(at, s.opts.Now())
				buf = ss.append(append(buf, snapshotSession))
			})
			if _, err := out.Write(buf); err != nil {
				return fmt.Errorf("save sessions: %w", err)
			}
			buf = buf[:0]
		}
	}
	if _, err := out.Write(append(buf, snapshotEnd)); err != nil {
		return fmt.Errorf("save sessions: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("save sessions: %w", err)
	}
	if _, err := w.Write(binary.BigEndian.AppendUint32(nil, sum.Sum32())); err != nil {
		return fmt.Errorf("save sessions: %w", err)
	}
	return nil
}

// saved is the session in a place, its key still the shard's. Sync.mu and the
// shard are locked.
func (t *Table) saved(h handle, now int64) savedSession {
	sh := &t.shards[h.shard()]
	r := sh.records.at(h.number())
	ss := savedSession{
		key: sh.key(h.number()), backend: r.backend, flags: savedFirst,
		age: age(now, r.seen), first: age(now, int64(r.first)*int64(time.Second)),
	}
	if r.confirmed() {
		ss.flags |= savedConfirmed
	}
	if r.flags&recordPlaced != 0 {
		ss.flags |= savedPlaced
	}
	tr := t.known(h)
	if tr == nil || tr.gen != r.gen || tr.base == 0 {
		return ss
	}
	fs := &t.sync.core.flows
	fl := fs.at(tr.base)
	ss.flags |= savedFlow
	ss.client, ss.listener, ss.flowOf, ss.id = fs.client(tr.base), fs.listener(tr.base), fl.backend, fl.id
	ss.flowAge = age(now, fl.born)
	if fl.has(flowZoned) {
		ss.flow |= savedZoned
	}
	if fl.has(flowReplied) {
		ss.flow |= savedReplied
	}
	if fl.dead() {
		ss.flow |= savedDead
		ss.flowAge = age(now, fl.turned)
	}
	return ss
}

func (ss *savedSession) append(b []byte) []byte {
	b = appendBytes(b, ss.key)
	b = binary.AppendUvarint(b, uint64(ss.backend[0]))
	b = binary.AppendUvarint(b, uint64(ss.backend[1]))
	b = append(b, ss.flags)
	b = binary.AppendUvarint(b, uint64(ss.age/time.Millisecond))
	if ss.flags&savedFirst != 0 {
		b = binary.AppendUvarint(b, uint64(ss.first/time.Millisecond))
	}
	if ss.flags&savedFlow == 0 {
		return b
	}
	b = appendAddr(appendAddr(b, ss.client), ss.listener)
	b = binary.AppendUvarint(b, uint64(ss.flowOf))
	b = append(b, ss.flow)
	b = binary.AppendUvarint(b, uint64(ss.id))
	return binary.AppendUvarint(b, uint64(ss.flowAge/time.Millisecond))
}

func appendBytes(b, s []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }

func appendAddr(b []byte, a netip.AddrPort) []byte {
	b = appendBytes(b, a.Addr().AsSlice())
	return binary.BigEndian.AppendUint16(b, a.Port())
}
