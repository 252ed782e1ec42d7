package nft

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// shownObject is a stateful object; of other kinds than ct timeout little is
// shown.
type shownObject struct {
	name, comment      string
	typ                uint32
	v6                 bool
	l4                 byte
	unreplied, replied uint32 // seconds
}

func decodeObject(a *attrs) shownObject {
	const userdata = 8 // NFTA_OBJ_USERDATA
	o := shownObject{name: a.str(unix.NFTA_OBJ_NAME), typ: a.u32(unix.NFTA_OBJ_TYPE), comment: udataText(a[userdata], 0)}
	if o.typ == objectCtTimeout { // see addTimeout
		d := a.nested(unix.NFTA_OBJ_DATA)
		o.v6, o.l4 = d.u16(1) == unix.AF_INET6, d.u8(2)
		policy := d.nested(3)
		o.unreplied, o.replied = policy.u32(1), policy.u32(2)
	}
	return o
}

func (o *shownObject) lines(st style) []string {
	if o.typ != objectCtTimeout || o.l4 != unix.IPPROTO_UDP {
		return []string{fmt.Sprintf("\t# object %s of type %d", printable(o.name), o.typ)}
	}
	lines := []string{"\tct timeout " + printable(o.name) + " {"}
	if o.comment != "" {
		lines = append(lines, "\t\tcomment \""+printable(o.comment)+"\"")
	}
	l3 := "ip"
	if o.v6 {
		l3 = "ip6"
	}
	// what `nft` takes for the default is not written
	var policy []string
	if o.unreplied != 30 {
		policy = append(policy, fmt.Sprintf("unreplied : %d", o.unreplied))
	}
	if o.replied != 120 {
		policy = append(policy, fmt.Sprintf("replied : %d", o.replied))
	}
	lines = append(lines, "\t\tprotocol udp", "\t\tl3proto "+l3)
	if policy != nil || !st.loadable {
		lines = append(lines, "\t\tpolicy = { "+strings.Join(policy, ", ")+" }")
	}
	return append(lines, "\t}")
}
