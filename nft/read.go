package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// read gives the table as the kernel has it: chains with the tags of their
// rules, maps with their elements (but of learned ones), timeouts. A table
// that is not there is empty.
func read(c *conn, name string) (*Table, error) {
	t := &Table{Name: name}
	err := c.dump(msgGetChain, "list chains", appendString(nil, unix.NFTA_CHAIN_TABLE, name), func(_ uint16, b []byte) {
		if ch := decodeChain(b, name); ch != nil {
			t.Chains = append(t.Chains, ch)
		}
	})
	if err != nil {
		return nil, err
	}
	chains := newIndex(t).chains
	err = c.dump(msgGetRule, "list rules", appendString(nil, unix.NFTA_RULE_TABLE, name), func(_ uint16, b []byte) { decodeRule(b, name, chains) })
	if err != nil {
		return nil, err
	}
	err = c.dump(msgGetSet, "list maps", appendString(nil, unix.NFTA_SET_TABLE, name), func(_ uint16, b []byte) {
		if m := decodeMap(b, name); m != nil {
			t.Maps = append(t.Maps, m)
		}
	})
	if err != nil {
		return nil, err
	}
	body := appendU32(appendString(nil, unix.NFTA_OBJ_TABLE, name), unix.NFTA_OBJ_TYPE, objectCtTimeout)
	err = c.dump(msgGetObj, "list ct timeouts", body, func(_ uint16, b []byte) {
		eachAttr(b, func(typ uint16, d []byte) {
			if typ == unix.NFTA_OBJ_NAME {
				t.Timeouts = append(t.Timeouts, Timeout{Name: cString(d)}) // its values are in its name
			}
		})
	})
	if err != nil {
		return nil, err
	}
	for _, m := range t.Maps {
		if m.Learned {
			continue
		}
		err := readElements(c, name, m.Name, func(e Element) bool { m.Elements = append(m.Elements, e); return true })
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

func decodeChain(b []byte, table string) *Chain {
	ch := &Chain{}
	mine := false
	eachAttr(b, func(typ uint16, d []byte) {
		switch typ {
		case unix.NFTA_CHAIN_TABLE:
			mine = cString(d) == table
		case unix.NFTA_CHAIN_NAME:
			ch.Name = cString(d)
		case unix.NFTA_CHAIN_TYPE:
			ch.hook().Type = cString(d)
		case unix.NFTA_CHAIN_HOOK:
			eachAttr(d, func(typ uint16, d []byte) {
				switch {
				case len(d) < 4:
				case typ == unix.NFTA_HOOK_HOOKNUM:
					ch.hook().Hook = binary.BigEndian.Uint32(d)
				case typ == unix.NFTA_HOOK_PRIORITY:
					ch.hook().Priority = int32(binary.BigEndian.Uint32(d))
				}
			})
		}
	})
	if !mine {
		return nil
	}
	return ch
}

func (c *Chain) hook() *Hook {
	if c.Hook == nil {
		c.Hook = &Hook{}
	}
	return c.Hook
}

// decodeRule adds a rule of a table to its chain.
func decodeRule(b []byte, name string, chains map[string]*Chain) {
	var table, chain string
	r := Rule{tag: noTag}
	eachAttr(b, func(typ uint16, d []byte) {
		switch typ {
		case unix.NFTA_RULE_TABLE:
			table = cString(d)
		case unix.NFTA_RULE_CHAIN:
			chain = cString(d)
		case unix.NFTA_RULE_USERDATA:
			if tag := tagOf(d); tag != 0 {
				r.tag = tag
			}
		}
	})
	if ch := chains[chain]; ch != nil && table == name {
		ch.Rules = append(ch.Rules, r)
	}
}

// noTag stands for a rule that is not ours: no rule of ours has it, for all
// that is likely.
const noTag = 1

func decodeMap(b []byte, table string) *Map {
	m := &Map{}
	mine := false
	var flags uint32
	eachAttr(b, func(typ uint16, d []byte) {
		switch typ {
		case unix.NFTA_SET_TABLE:
			mine = cString(d) == table
		case unix.NFTA_SET_NAME:
			m.Name = cString(d)
		case unix.NFTA_SET_FLAGS:
			flags = binary.BigEndian.Uint32(d)
		case unix.NFTA_SET_KEY_LEN:
			m.Key.Len = binary.BigEndian.Uint32(d)
		case unix.NFTA_SET_DATA_LEN:
			m.Data.Len = binary.BigEndian.Uint32(d)
		case unix.NFTA_SET_DATA_TYPE:
			m.Data.ID = binary.BigEndian.Uint32(d)
		}
	})
	if !mine || flags&setAnonymous != 0 { // an anonymous one goes with its rule
		return nil
	}
	m.Learned = flags&setDynamic != 0
	m.Intervals = flags&setInterval != 0
	return m
}

// readElements hands every element of a map to fn until it returns false.
func readElements(c *conn, table, name string, fn func(Element) bool) error {
	body := appendString(appendString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, table), unix.NFTA_SET_ELEM_LIST_SET, name)
	more := true
	return c.dump(msgGetSetElem, "list elements of "+name, body, func(_ uint16, b []byte) {
		eachAttr(b, func(typ uint16, d []byte) {
			if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				return
			}
			eachAttr(d, func(_ uint16, d []byte) {
				if more {
					more = fn(decodeElement(d))
				}
			})
		})
	})
}

// decodeElement copies what it keeps.
func decodeElement(b []byte) Element {
	var e Element
	eachAttr(b, func(typ uint16, d []byte) {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			eachAttr(d, func(_ uint16, v []byte) { e.Key = bytes.Clone(v) })
		case unix.NFTA_SET_ELEM_FLAGS:
			e.End = binary.BigEndian.Uint32(d)&unix.NFT_SET_ELEM_INTERVAL_END != 0
		case unix.NFTA_SET_ELEM_EXPIRATION:
			e.Timeout = time.Duration(binary.BigEndian.Uint64(d)) * time.Millisecond
		case unix.NFTA_SET_ELEM_DATA:
			eachAttr(d, func(typ uint16, v []byte) {
				if typ != unix.NFTA_DATA_VERDICT {
					e.Data = bytes.Clone(v)
					return
				}
				eachAttr(v, func(typ uint16, v []byte) {
					if typ == unix.NFTA_VERDICT_CHAIN {
						e.Goto = cString(v)
					}
				})
			})
		}
	})
	return e
}

// Differences says in words where have is not as want is; none where it is.
// Learned elements are nobody's to compare.
func Differences(have, want *Table) []string {
	var out []string
	say := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	if len(have.Chains) == 0 && len(have.Maps) == 0 {
		return []string{"the table is gone"}
	}
	indexHave, indexWant := newIndex(have), newIndex(want)
	for _, w := range want.Chains {
		h := indexHave.chains[w.Name]
		switch {
		case h == nil:
			say("chain %s is gone", w.Name)
		case !sameHook(h.Hook, w.Hook):
			say("chain %s is hooked elsewhere", w.Name)
		case !sameRules(h.Rules, w.Rules):
			say("chain %s has other rules (%d, should be %d)", w.Name, len(h.Rules), len(w.Rules))
		}
	}
	for _, h := range have.Chains {
		if indexWant.chains[h.Name] == nil {
			say("chain %s is not ours", h.Name)
		}
	}
	for _, w := range want.Maps {
		h := indexHave.maps[w.Name]
		if h == nil {
			say("map %s is gone", w.Name)
			continue
		}
		if add, del := elementChanges(h, w); len(add)+len(del) > 0 && !w.Learned {
			say("map %s: %d elements are missing or changed, %d should not be there", w.Name, len(add), len(del))
		}
	}
	for _, h := range have.Maps {
		if indexWant.maps[h.Name] == nil {
			say("map %s is not ours", h.Name)
		}
	}
	return out
}

func sameHook(a, b *Hook) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func sameRules(a, b []Rule) bool {
	return slices.EqualFunc(a, b, func(x, y Rule) bool { return x.Tag() == y.Tag() })
}
