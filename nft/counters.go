package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

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
	// Refused counts packets of sources that a service does not serve, by the
	// names of those services that do not serve everybody. It begins anew when
	// the service gets other rules.
	Refused map[string]Counter
}

// Counters reads the counters of the snapshot's services and backends. The maps
// have an element a backend; of rules only those are read that refuse sources.
func (r *Ruleset) Counters(s *balancer.Snapshot) (Counters, error) {
	for range 5 {
		out, err := r.counters(s)
		if !errors.Is(err, errInterrupted) {
			return out, err
		}
	}
	return Counters{}, fmt.Errorf("read counters: %w", errInterrupted)
}

func (r *Ruleset) counters(s *balancer.Snapshot) (Counters, error) {
	out := Counters{Backends: make(map[uint16]Counter), Refused: make(map[string]Counter)}
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
	for _, v := range s.Views {
		if len(v.Service.Allow)+len(v.Service.Deny) == 0 {
			continue
		}
		var sum Counter
		for _, v6 := range families(v) {
			// Of a service's steer chain, only the rules that refuse count.
			if err := readRuleCounters(r.conn, "steer"+suffix(v6)+"-"+v.Service.Name, sum.add); err != nil {
				return Counters{}, err
			}
		}
		out.Refused[v.Service.Name] = sum
	}
	return out, nil
}

// readRuleCounters hands every counter of a chain's rules to fn. A chain that is
// not there has none.
func readRuleCounters(c *conn, chain string, fn func(Counter)) error {
	body := appendString(appendString(nil, unix.NFTA_RULE_TABLE, TableName), unix.NFTA_RULE_CHAIN, chain)
	return c.dump(msgGetRule, "list rules of "+chain, body, func(_ uint16, b []byte) {
		eachAttr(b, func(typ uint16, d []byte) {
			if typ != unix.NFTA_RULE_EXPRESSIONS {
				return
			}
			eachAttr(d, func(_ uint16, expression []byte) {
				if count, ok := decodeCounter(expression); ok {
					fn(count)
				}
			})
		})
	})
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
					fn(key, elementCounter(d))
				}
			})
		})
	})
}

// elementCounter finds the counter of an element.
func elementCounter(b []byte) (out Counter) {
	eachAttr(b, func(typ uint16, expression []byte) {
		if typ == unix.NFTA_SET_ELEM_EXPR {
			out, _ = decodeCounter(expression)
		}
	})
	return out
}

// decodeCounter reads an expression, NFTA_EXPR_NAME and NFTA_EXPR_DATA, if it is
// a counter: in its data NFTA_COUNTER_BYTES is 1 and NFTA_COUNTER_PACKETS is 2.
func decodeCounter(expression []byte) (out Counter, ok bool) {
	const counterBytes, counterPackets = 1, 2
	eachAttr(expression, func(typ uint16, d []byte) {
		switch typ {
		case unix.NFTA_EXPR_NAME:
			ok = cString(d) == "counter"
		case unix.NFTA_EXPR_DATA:
			if !ok { // the name comes first
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
		}
	})
	return out, ok
}
