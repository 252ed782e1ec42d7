package nft

import (
	"bytes"
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// read gives the table as the kernel has it: chains with the tags of their
// rules, maps with their elements (but of learned ones), timeouts. A table
// that is not there is empty. What the kernel lists goes to shown too, if that
// is not nil: the same table as text.
func read(c *conn, name string, shown *listing) (*Table, error) {
	t := &Table{Name: name}
	list := func(typ uint16, what string, attr uint16, each func(b []byte)) error {
		return c.dump(typ, what, appendString(nil, attr, name), func(typ uint16, b []byte) {
			if shown != nil {
				shown.message(typ, bytes.Clone(b))
			}
			each(b)
		})
	}
	err := list(msgGetTable, "list tables", unix.NFTA_TABLE_NAME, func(b []byte) {
		if a := parseAttrs(b); a.str(unix.NFTA_TABLE_NAME) == name {
			t.flags = a.u32(unix.NFTA_TABLE_FLAGS)
		}
	})
	if err != nil {
		return nil, err
	}
	err = list(msgGetChain, "list chains", unix.NFTA_CHAIN_TABLE, func(b []byte) {
		if ch := decodeChain(b, name); ch != nil {
			t.Chains = append(t.Chains, ch)
		}
	})
	if err != nil {
		return nil, err
	}
	chains := newIndex(t).chains
	err = list(msgGetRule, "list rules", unix.NFTA_RULE_TABLE, func(b []byte) { decodeRule(b, name, chains) })
	if err != nil {
		return nil, err
	}
	err = list(msgGetSet, "list maps", unix.NFTA_SET_TABLE, func(b []byte) {
		if m := decodeMap(b, name); m != nil {
			t.Maps = append(t.Maps, m)
		}
	})
	if err != nil {
		return nil, err
	}
	err = list(msgGetObj, "list objects", unix.NFTA_OBJ_TABLE, func(b []byte) { t.decodeObject(b) })
	if err != nil {
		return nil, err
	}
	return t, t.readElements(c, shown)
}

// readElements reads the elements of the maps that are not learned.
func (t *Table) readElements(c *conn, shown *listing) error {
	for _, m := range t.Maps {
		if m.Learned {
			continue
		}
		see := func(e Element) bool { m.Elements = append(m.Elements, e); return true }
		if err := readElements(c, t.Name, m.Name, see, shown); err != nil {
			return err
		}
	}
	return nil
}

// decodeObject adds a ct timeout to the table, or the name of an object of
// another kind, which is somebody else's.
func (t *Table) decodeObject(b []byte) {
	a := parseAttrs(b)
	if a.str(unix.NFTA_OBJ_TABLE) != t.Name {
		return
	}
	o := decodeObject(&a)
	if o.typ != objectCtTimeout || o.l4 != unix.IPPROTO_UDP {
		t.strays = append(t.strays, stray{o.name, o.typ})
		return
	}
	t.Timeouts = append(t.Timeouts, Timeout{
		Name: o.name, V6: o.v6, Unreplied: time.Duration(o.unreplied) * time.Second, Replied: time.Duration(o.replied) * time.Second,
	})
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
		case unix.NFTA_CHAIN_POLICY:
			ch.Drops = len(d) >= 4 && binary.BigEndian.Uint32(d) != nfAccept
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
	a := parseAttrs(b)
	if a.str(unix.NFTA_SET_TABLE) != table || a.u32(unix.NFTA_SET_FLAGS)&setAnonymous != 0 { // an anonymous one goes with its rule
		return nil
	}
	m := &Map{
		Name:    a.str(unix.NFTA_SET_NAME),
		Key:     Type{ID: a.u32(unix.NFTA_SET_KEY_TYPE), Len: a.u32(unix.NFTA_SET_KEY_LEN)},
		Data:    Type{ID: a.u32(unix.NFTA_SET_DATA_TYPE), Len: a.u32(unix.NFTA_SET_DATA_LEN)},
		Flags:   a.u32(unix.NFTA_SET_FLAGS),
		Timeout: time.Duration(a.u64(unix.NFTA_SET_TIMEOUT)) * time.Millisecond,
		Counter: a.has(nftaSetExpr),
	}
	desc := a.nested(unix.NFTA_SET_DESC)
	m.Size = desc.u32(unix.NFTA_SET_DESC_SIZE)
	m.Learned = m.Flags&setDynamic != 0
	m.Intervals = m.Flags&setInterval != 0
	return m
}

// readElements hands every element of a map to fn until it returns false, and
// all of them to shown if that is not nil.
func readElements(c *conn, table, name string, fn func(Element) bool, shown *listing) error {
	body := appendString(appendString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, table), unix.NFTA_SET_ELEM_LIST_SET, name)
	more := true
	return c.dump(msgGetSetElem, "list elements of "+name, body, func(typ uint16, b []byte) {
		if shown != nil {
			shown.message(typ, bytes.Clone(b))
		}
		eachElement(b, func(e Element) { more = more && fn(e) })
	})
}

// getElements gives what a map holds under the keys of elements, in their order;
// zero for what it does not hold.
func getElements(c *conn, table, name string, es []Element) ([]Element, error) {
	reqs := make([]request, 0, len(es))
	for i := range es {
		reqs = append(reqs, elements(msgGetSetElem, table, name, es[i:i+1])...)
	}
	out := make([]Element, len(es))
	err := c.ask(reqs, func(i int, attrs []byte) {
		eachElement(attrs, func(e Element) { out[i] = e })
	})
	return out, err
}

// eachElement hands fn the elements of a message.
func eachElement(attrs []byte, fn func(Element)) {
	eachAttr(attrs, func(typ uint16, d []byte) {
		if typ == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			eachAttr(d, func(_ uint16, d []byte) { fn(decodeElement(d)) })
		}
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
