package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

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
	// Refused counts packets from sources that a service does not serve, by its
	// name, for services with allow or deny. It begins anew when the rules of
	// the service do: with another key, allow or deny.
	Refused map[string]Counter
}

// Counters reads the counters of the snapshot's backends. The maps have an
// element a backend; no other is read.
func (r *Ruleset) Counters(s *balancer.Snapshot) (Counters, error) {
	for range 5 { // again where a change came between
		c, err := r.counters(s)
		if !errors.Is(err, errInterrupted) {
			return c, err
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
		if err := r.refused(v, out.Refused); err != nil {
			return Counters{}, err
		}
	}
	return out, nil
}

// refused adds what the rules have counted that a service's chains begin with
// (see refusals).
func (r *Ruleset) refused(v *balancer.View, out map[string]Counter) error {
	rules := 0
	for _, prefixes := range [][]netip.Prefix{v.Service.Allow, v.Service.Deny} {
		if len(prefixes) > 0 {
			rules++
		}
	}
	if rules == 0 {
		return nil
	}
	name := v.Service.Name
	var sum Counter
	for _, v6 := range v.Families() {
		left := rules
		chain := r.chainOf("steer"+suffix(v6)+"-", name)
		body := appendString(appendString(nil, unix.NFTA_RULE_TABLE, TableName), unix.NFTA_RULE_CHAIN, chain)
		err := r.conn.dump(msgGetRule, "list rules of "+chain, body, func(_ uint16, b []byte) {
			if left > 0 {
				sum.add(ruleCounter(b))
			}
			left--
		})
		if err != nil {
			return err
		}
	}
	out[name] = sum
	return nil
}

// chainOf is the name of a service's chain of a kind.
func (r *Ruleset) chainOf(kind, service string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted != nil {
		for _, p := range r.wanted.parts {
			if i := slices.IndexFunc(p.chains, func(c *Chain) bool { return p.name == service && strings.HasPrefix(c.Name, kind) }); i >= 0 {
				return p.chains[i].Name
			}
		}
	}
	return kind + service
}

// ruleCounter is what the counters among a rule's expressions say.
func ruleCounter(b []byte) Counter {
	var out Counter
	eachAttr(b, func(typ uint16, d []byte) {
		if typ != unix.NFTA_RULE_EXPRESSIONS {
			return
		}
		eachAttr(d, func(_ uint16, d []byte) {
			var name string
			eachAttr(d, func(typ uint16, v []byte) {
				switch {
				case typ == unix.NFTA_EXPR_NAME:
					name = cString(v)
				case typ == unix.NFTA_EXPR_DATA && name == "counter":
					out.add(counterData(v))
				}
			})
		})
	})
	return out
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

// decodeCounter reads the counter among an element's expressions.
func decodeCounter(b []byte) Counter {
	var out Counter
	eachAttr(b, func(typ uint16, d []byte) {
		if typ != unix.NFTA_SET_ELEM_EXPR {
			return
		}
		eachAttr(d, func(typ uint16, d []byte) {
			if typ == unix.NFTA_EXPR_DATA {
				out = counterData(d)
			}
		})
	})
	return out
}

// counterData reads a counter's NFTA_EXPR_DATA.
func counterData(b []byte) Counter {
	const counterBytes, counterPackets = 1, 2 // NFTA_COUNTER_BYTES, _PACKETS
	var out Counter
	eachAttr(b, func(typ uint16, v []byte) {
		switch {
		case len(v) < 8:
		case typ == counterBytes:
			out.Bytes = binary.BigEndian.Uint64(v)
		case typ == counterPackets:
			out.Packets = binary.BigEndian.Uint64(v)
		}
	})
	return out
}
