package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// Counter is packets and their bytes, as the kernel counts them.
type Counter struct{ Packets, Bytes uint64 }

func (c *Counter) add(o Counter) {
	c.Packets += o.Packets
	c.Bytes += o.Bytes
}

// Counters are what the kernel's table has counted since its maps were made.
type Counters struct {
	// Backends counts the first packets of flows that were sent to a backend,
	// by its id.
	Backends map[uint16]Counter
	// DroppedAnswers counts packets of backends that serve several services
	// and spoke first.
	DroppedAnswers Counter
}

// Counters reads the counters of the snapshot's backends. The maps have an
// element a backend; no other is read.
func (r *Ruleset) Counters(s *balancer.Snapshot) (Counters, error) {
	out := Counters{Backends: make(map[uint16]Counter)}
	for _, v6 := range []bool{false, true} {
		n := suffix(v6)
		for name, id := range map[string]func([]byte) uint16{
			"targets" + n:     func(key []byte) uint16 { return binary.NativeEndian.Uint16(key) - s.ZoneBase },
			"flowtargets" + n: func(key []byte) uint16 { return s.Marks.ID(binary.NativeEndian.Uint32(key)) },
		} {
			err := readCounters(r.conn, name, func(key []byte, c Counter) {
				sum := out.Backends[id(key)]
				sum.add(c)
				out.Backends[id(key)] = sum
			})
			if err != nil {
				return Counters{}, err
			}
		}
		err := readCounters(r.conn, "answersdropped"+n, func(_ []byte, c Counter) { out.DroppedAnswers.add(c) })
		if err != nil {
			return Counters{}, err
		}
	}
	return out, nil
}

// readCounters hands the key and counter of every element of a map to fn. A
// map that is not there has none.
func readCounters(c *conn, name string, fn func(key []byte, count Counter)) error {
	body := appendString(appendString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, TableName), unix.NFTA_SET_ELEM_LIST_SET, name)
	return c.dump(msgGetSetElem, "list elements of "+name, body, func(_ uint16, b []byte) {
		eachAttr(b, func(typ uint16, d []byte) {
			if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				return
			}
			eachAttr(d, func(_ uint16, d []byte) {
				if key := decodeElement(d).Key; len(key) >= 2 {
					fn(key, decodeCounter(d))
				}
			})
		})
	})
}

// decodeCounter reads the counter among an element's expressions:
// NFTA_SET_ELEM_EXPR with NFTA_EXPR_DATA, in which NFTA_COUNTER_BYTES is 1 and
// NFTA_COUNTER_PACKETS is 2.
func decodeCounter(b []byte) Counter {
	const counterBytes, counterPackets = 1, 2
	var out Counter
	eachAttr(b, func(typ uint16, d []byte) {
		if typ != unix.NFTA_SET_ELEM_EXPR {
			return
		}
		eachAttr(d, func(typ uint16, d []byte) {
			if typ != unix.NFTA_EXPR_DATA {
				return
			}
			eachAttr(d, func(typ uint16, v []byte) {
				switch {
				case len(v) < 8:
				case typ == counterBytes:
					out.Bytes = binary.BigEndian.Uint64(v)
				case typ == counterPackets:
					out.Packets = binary.BigEndian.Uint64(v)
				}
			})
		})
	})
	return out
}
