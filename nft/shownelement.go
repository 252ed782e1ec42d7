package nft

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"
)

// shownElement is an element; of an interval, its first value, or with end the
// one behind its last.
type shownElement struct {
	key, keyEnd, data []byte
	verdict           *ruling
	object            string
	end, any          bool
	timeout, expires  uint64 // ms
	stateful          []instruction
	comment           string
}

func decodeShownElement(b []byte) shownElement {
	const keyEnd, expressions, anyKey = 10, 11, 0x2 // NFTA_SET_ELEM_KEY_END, _EXPRESSIONS, NFT_SET_ELEM_CATCHALL
	a := parseAttrs(b)
	e := shownElement{
		key: a.value(unix.NFTA_SET_ELEM_KEY), keyEnd: a.value(keyEnd), data: a.value(unix.NFTA_SET_ELEM_DATA), verdict: a.ruling(unix.NFTA_SET_ELEM_DATA),
		object: a.str(unix.NFTA_SET_ELEM_OBJREF), timeout: a.u64(unix.NFTA_SET_ELEM_TIMEOUT), expires: a.u64(unix.NFTA_SET_ELEM_EXPIRATION),
		comment: udataText(a[unix.NFTA_SET_ELEM_USERDATA], 0),
	}
	flags := a.u32(unix.NFTA_SET_ELEM_FLAGS)
	e.end, e.any = flags&unix.NFT_SET_ELEM_INTERVAL_END != 0, flags&anyKey != 0
	if a.has(unix.NFTA_SET_ELEM_EXPR) {
		e.stateful = []instruction{decodeInstruction(a[unix.NFTA_SET_ELEM_EXPR])}
	} else {
		e.stateful = decodeInstructions(a[expressions])
	}
	return e
}

// elementKey writes an element's key, or the interval from it to last.
func (s *shownSet) elementKey(e *shownElement, last []byte) string {
	switch {
	case e.any:
		return "*"
	case last != nil:
		return s.interval(e, last)
	case e.keyEnd != nil && !bytes.Equal(e.key, e.keyEnd):
		return strings.Join(concatTexts(s.key.id, e.key, e.keyEnd), " . ")
	}
	if c, ok := s.asked.(concat); ok {
		return c.values(scope{}, e.key)
	}
	return s.key.value().text(e.key)
}

// rest is what stands behind an element's key.
func (s *shownSet) rest(e *shownElement, st style) string {
	out := ""
	stateful := e.stateful
	if stateful == nil {
		stateful = s.stateful // an element that no packet has met
	}
	if stateful != nil {
		out += " " + statefulText(stateful, st)
	}
	if e.timeout > 0 {
		out += " timeout " + duration(e.timeout)
	}
	if e.expires > 0 && !st.stateless {
		out += " expires " + duration(e.expires)
	}
	if e.comment != "" {
		out += ` comment "` + printable(e.comment) + `"`
	}
	switch {
	case e.verdict != nil:
		out += " : " + e.verdict.text()
	case s.flags&setObject != 0:
		out += ` : "` + printable(e.object) + `"`
	case s.flags&setMap != 0:
		out += " : " + s.data.value().text(e.data)
	}
	return out
}
