package nfq

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// Messages of linux/netfilter/nfnetlink_log.h: enum nfulnl_msg_types.
const (
	msgCopy      = unix.NFNL_SUBSYS_ULOG << 8
	msgLogConfig = unix.NFNL_SUBSYS_ULOG<<8 | 1
)

// Attributes of a copy, enum nfulnl_attr_type.
const (
	copyMark    = 2
	copyPayload = 9
	copyPrefix  = 10
)

// Attributes of a group's configuration, enum nfulnl_attr_config, and values.
const (
	logCommand   = 1
	logMode      = 2
	logBuffer    = 3
	logTimeout   = 4
	logThreshold = 5

	logBind = 1 // NFULNL_CFG_CMD_BIND
	logCopy = 2 // NFULNL_COPY_PACKET
)

// appendGroup appends the request to take a group.
//
//	NFULA_CFG_CMD { u8 command; }
//	NFULA_CFG_MODE { be32 copy_range; u8 copy_mode; u8 pad; }
//	NFULA_CFG_NLBUFSIZ, NFULA_CFG_TIMEOUT, NFULA_CFG_QTHRESH be32
func appendGroup(b []byte, group uint16) []byte {
	start := len(b)
	b = beginMessage(b, msgLogConfig, group)
	binary.NativeEndian.PutUint16(b[start+6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = appendAttr(b, logCommand, logBind)
	mode := binary.BigEndian.AppendUint32(nil, maxCopyRange)
	b = appendAttr(b, logMode, append(mode, logCopy, 0)...)
	b = appendWord(b, logBuffer, copiesBuffer)
	b = appendWord(b, logTimeout, copiesPatience)
	b = appendWord(b, logThreshold, copiesAtOnce)
	return endMessage(b, start)
}

// copied is a packet that went on: the mark names its backend.
type copied struct {
	mark  uint32
	known bool   // conntrack had its flow
	data  []byte // from the IP header on
}

// prefixKnown is the prefix of copies of a known flow, as nft writes it.
var prefixKnown = []byte("known\x00")

// decodeCopied decodes the body of a message of type msgCopy.
func decodeCopied(body []byte) (c copied, ok bool) {
	if len(body) < genericLen {
		return copied{}, false
	}
	rest := body[genericLen:]
	for len(rest) > 0 {
		kind, data, next, whole, more := nextAttr(rest)
		if !more {
			break
		}
		rest = next
		switch {
		case kind == copyPayload:
			c.data, ok = data, true
		case !whole:
		case kind == copyMark && len(data) >= 4:
			c.mark = binary.BigEndian.Uint32(data)
		case kind == copyPrefix:
			c.known = string(data) == string(prefixKnown)
		}
	}
	return c, ok
}

// teller turns copies into facts. One goroutine uses it.
type teller struct {
	snapshot *balancer.Snapshot
	now      int64
	facts    []balancer.Fact // of the burst
	scratch  []byte          // for a key
}

// begin starts a burst: one snapshot and one time for all its copies.
func (t *teller) begin(s *balancer.Snapshot, now int64) {
	t.snapshot, t.now, t.facts = s, now, t.facts[:0]
}

// hear notes where the kernel has sent a packet of a session.
func (t *teller) hear(body []byte) {
	c, ok := decodeCopied(body)
	if !ok || t.snapshot == nil {
		return
	}
	p, ok := decodePacket(c.data, true)
	if !ok {
		return
	}
	d, ok := p.datagram()
	if !ok {
		return
	}
	v := t.snapshot.Lookup(d.destination)
	id := t.snapshot.Marks.ID(c.mark)
	if v == nil || v.Pinning != balancer.PinSession || v.Backend(id) == nil {
		return // of a service, or to a backend, that is gone
	}
	if n := v.Extractor.MaxLen(); cap(t.scratch) < n {
		t.scratch = make([]byte, n)
	}
	key, _, ok := v.Extractor.Extract(t.scratch, d.payload)
	if !ok {
		return
	}
	b := v.Bindings.Told(t.now, key, v, d.source.Addr().Is6(), id)
	if b.Session.Gen == 0 {
		return
	}
	t.facts = append(t.facts, balancer.Fact{
		View: v, Session: b.Session, Client: d.source, Listener: d.destination,
		Backend: id, NewFlow: !c.known, At: t.now,
	})
}
