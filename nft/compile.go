package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// TableName is the one table that is ours, in family inet.
const TableName = "roamlb"

// How long a session stays in the kernel's map before its next packet is
// decided again.
const (
	UnconfirmedTimeout = 30 * time.Second // no backend has answered it yet
	ConfirmedTimeout   = 10 * time.Minute
)

// Features are what the kernel's nft can do, found by trying (see Probe).
type Features struct {
	balancer.Capabilities
	NativeQueue     bool // the expression `queue`; else the xt target NFQUEUE
	TransportOffset int  // the largest offset of a load from the transport header
	DestroyElements bool // deleting elements that may be gone, since Linux 6.3
}

// Compile gives the table that realises a snapshot. It is pure.
func Compile(s *balancer.Snapshot, q balancer.Queues, f Features) *Table {
	return NewCompiler(q, f).Compile(s)
}

// compiler gathers a part of a table: that of one view, or what there is but
// once.
type compiler struct {
	marks    balancer.Marks
	zoneBase uint16
	queues   balancer.Queues
	features Features
	shape    string // what ends the names of a service's chains and maps, see shapeOf
	table    *Table // what is this part's alone
	common   []*Map // the maps that all services share, with this part's elements
	origins  []origin
	few      bool // the maps from listeners to chains have few elements, all of them

	// One of each a family, IPv4 first. They are among common.
	steer, bind, records    [2]*Map         // daddr . dport -> verdict
	translate               [2]*Map         // the same
	listeners, quoted       [2]*Map         // sets of daddr . dport; quoted: of session pinning only
	copied                  [2]*Map         // the same: where the kernel decides, and Go is told
	probed                  [2]*Map         // set of address . port of the backends that are probed
	targets, flowTargets    [2]*Map         // zone, or mark -> address . port
	answersFrom, sharedFrom [2]*Map         // a backend's address . port
	zones                   *Map            // mark -> zone
	ids                     *Map            // zone -> mark, of the backends of those
	zoned                   map[uint16]bool // ids that zones has
}

func fam(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

// suffix tells the families' objects apart by name.
func suffix(v6 bool) string {
	if v6 {
		return "6"
	}
	return "4"
}

func (c *compiler) addMap(m *Map) *Map {
	c.table.Maps = append(c.table.Maps, m)
	return m
}

// addCommon adds a map that all services share.
func (c *compiler) addCommon(m *Map) *Map {
	m.Shared = true
	c.common = append(c.common, m)
	return m
}

func (c *compiler) addChain(name string, rules ...Rule) {
	c.table.Chains = append(c.table.Chains, &Chain{Name: name, Rules: rules})
}

// shared makes the maps that all services share.
func (c *compiler) shared() {
	c.zones = c.addCommon(&Map{Name: "zones", Key: typeMarkValue, Data: typeZone})
	c.ids = c.addCommon(&Map{Name: "ids", Key: typeZone, Data: typeMarkValue})
	for _, v6 := range []bool{false, true} {
		i, n := fam(v6), suffix(v6)
		dst := addrPortType(v6)
		c.listeners[i] = c.addCommon(&Map{Name: "listeners" + n, Key: dst})
		c.quoted[i] = c.addCommon(&Map{Name: "quoted" + n, Key: dst})
		c.copied[i] = c.addCommon(&Map{Name: "copied" + n, Key: dst})
		c.probed[i] = c.addCommon(&Map{Name: "probed" + n, Key: dst})
		c.steer[i] = c.addCommon(&Map{Name: "steer" + n, Key: dst, Data: typeGoto})
		c.bind[i] = c.addCommon(&Map{Name: "bind" + n, Key: dst, Data: typeGoto})
		c.records[i] = c.addCommon(&Map{Name: "record" + n, Key: dst, Data: typeGoto})
		c.translate[i] = c.addCommon(&Map{Name: "translate" + n, Key: dst, Data: typeGoto})
		c.targets[i] = c.addCommon(&Map{Name: "targets" + n, Key: typeZone, Data: dst, Counter: true})
		c.flowTargets[i] = c.addCommon(&Map{Name: "flowtargets" + n, Key: typeMarkValue, Data: dst, Counter: true})
		c.answersFrom[i] = c.addCommon(&Map{Name: "answers" + n, Key: dst, Data: dst})
		c.sharedFrom[i] = c.addCommon(&Map{Name: "answersdropped" + n, Key: dst, Counter: true})
	}
}

// service adds what one service needs in one family.
func (c *compiler) service(v *balancer.View, v6 bool) {
	s := &service{View: v, v6: v6, name: suffix(v6) + "-" + v.Service.Name + c.shape}
	if v.Loadable {
		s.layouts = c.layoutsOf(s)
	}
	c.elementsOf(s)
	c.slotsMap(s)
	if v.Pinning == balancer.PinSession {
		c.sessionMaps(s)
		c.steerChain(s)
		c.bindChains(s)
	} else if len(v.Service.Allow)+len(v.Service.Deny) > 0 {
		c.addChain("steer"+s.name, c.refusals(s)...)
		c.dispatch(c.steer, s, "steer"+s.name)
	}
	c.translateChain(s)
	c.originsOf(s)
}

// zone is the conntrack zone of a backend.
func (c *compiler) zone(id uint16) uint16 { return c.zoneBase + id }

// service is a view in one family, with the names of its objects.
type service struct {
	*balancer.View
	v6       bool
	name     string           // family and service, the tail of every name
	sessions map[int]*Map     // by key length
	slots    string           // name of its slots map
	layouts  []variantPayload // as many as variants; none where nft cannot load the key
}

// dispatch sends the service's listeners to its chain.
func (c *compiler) dispatch(maps [2]*Map, s *service, chain string) {
	for _, l := range s.listeners() {
		m := maps[fam(s.v6)]
		m.Elements = append(m.Elements, Element{Key: addrPortKey(l), Goto: chain})
	}
}

func (s *service) listeners() []netip.AddrPort {
	return slices.DeleteFunc(slices.Clone(s.Service.Listen), func(l netip.AddrPort) bool { return l.Addr().Is6() != s.v6 })
}

// elementsOf adds the service's listeners and backends to the shared maps.
func (c *compiler) elementsOf(s *service) {
	i := fam(s.v6)
	for _, l := range s.listeners() {
		asked := c.listeners[i]
		if s.Datapath == balancer.DatapathKernel {
			asked = c.copied[i]
		}
		asked.Elements = append(asked.Elements, Element{Key: addrPortKey(l)})
		if s.Pinning == balancer.PinSession {
			c.quoted[i].Elements = append(c.quoted[i].Elements, Element{Key: addrPortKey(l)})
		}
	}
	for b := range s.Service.Backends {
		be := &s.Service.Backends[b]
		a := be.Address(s.v6)
		if !a.IsValid() {
			continue
		}
		to := addrPortKey(netip.AddrPortFrom(a, be.Port))
		if s.Pinning == balancer.PinSession {
			c.targets[i].Elements = append(c.targets[i].Elements, Element{Key: host16(c.zone(be.ID)), Data: to})
			c.addZone(be.ID, s.State(be.ID))
			c.addID(s, be.ID)
		} else if s.State(be.ID) != balancer.Down {
			c.flowTargets[i].Elements = append(c.flowTargets[i].Elements, Element{Key: host32(c.marks.Fresh() | c.marks.WithID(be.ID)), Data: to})
		}
	}
}

// addZone lets bind take a backend's id; a backend that is down takes no packet.
func (c *compiler) addZone(id uint16, st balancer.State) {
	key := host32(c.marks.WithID(id))
	if st == balancer.Down || c.zoned[id] {
		return
	}
	c.zoned[id] = true
	c.zones.Elements = append(c.zones.Elements, Element{Key: key, Data: host16(c.zone(id))})
}

// addID lets the copies of a service's packets name a backend.
func (c *compiler) addID(s *service, id uint16) {
	e := Element{Key: host16(c.zone(id)), Data: host32(c.marks.WithID(id))}
	known := func(o Element) bool { return bytes.Equal(o.Key, e.Key) }
	if s.Datapath == balancer.DatapathKernel && !slices.ContainsFunc(c.ids.Elements, known) {
		c.ids.Elements = append(c.ids.Elements, e)
	}
}

// sessionMaps makes the maps that hold live bindings: one a key length.
func (c *compiler) sessionMaps(s *service) {
	s.sessions = make(map[int]*Map)
	for i := range s.Service.Key.Variants {
		n := s.Service.Key.Variants[i].KeyLen()
		if s.sessions[n] == nil {
			s.sessions[n] = c.addMap(&Map{
				Name: sessionsMap(s.Service, s.v6, n), Key: Type{ID: typeInteger, Len: uint32(n)}, Data: typeZone,
				Size: uint32(s.Service.MaxSessions), Timeout: UnconfirmedTimeout, Learned: true,
			})
		}
	}
}

// sessionsMap is the name of the map that holds a service's sessions of a
// family whose keys are n bytes long. It carries what another key or another
// size would change: those begin with an empty map.
func sessionsMap(s *balancer.Service, v6 bool, n int) string {
	return fmt.Sprintf("sessions%s-%s-%d-%s-%d", suffix(v6), s.Name, n, KeyFingerprint(&s.Key), s.MaxSessions)
}

// KeyFingerprint tells definitions of a key apart.
func KeyFingerprint(k *balancer.Key) string {
	h := fnv.New32a()
	for _, v := range k.Variants {
		fmt.Fprintf(h, "v")
		for _, m := range v.Match {
			fmt.Fprintf(h, "m%d:%x:%x", m.Offset, m.Mask, m.Value)
		}
		for _, f := range v.Fields {
			fmt.Fprintf(h, "f%d:%d:%x", f.Offset, f.Length, f.Mask)
		}
	}
	return fmt.Sprintf("%08x", h.Sum32())
}

// slotsMap is the service's ring: slot to zone, or in flow pinning to address
// and port. Its name carries what a change of would need all of it rewritten.
func (c *compiler) slotsMap(s *service) {
	h := fnv.New32a()
	fmt.Fprintf(h, "%d/%d/%s", s.Service.Seed, s.Service.Slots, s.Pinning)
	s.slots = fmt.Sprintf("slots%s-%08x", s.name, h.Sum32())
	m := c.addMap(&Map{Name: s.slots, Key: typeSlot, Data: typeZone, Size: s.Service.Slots})
	if s.Pinning == balancer.PinFlow {
		m.Data = addrPortType(s.v6)
	}
	ring := s.Ring(s.v6)
	if ring.Empty() {
		return
	}
	data := make(map[uint16][]byte, len(s.Service.Backends))
	m.Elements = make([]Element, len(ring))
	for i, id := range ring {
		d, ok := data[id]
		if !ok {
			d = host16(c.zone(id))
			if s.Pinning == balancer.PinFlow {
				b := s.Backend(id)
				d = addrPortKey(netip.AddrPortFrom(b.Address(s.v6), b.Port))
			}
			data[id] = d
		}
		m.Elements[i] = Element{Key: host32(uint32(i)), Data: d}
	}
}

// addrPortKey lays an address and a port as concatenations do: the port padded
// to four bytes.
func addrPortKey(a netip.AddrPort) []byte {
	b := a.Addr().AsSlice()
	b = binary.BigEndian.AppendUint16(b, a.Port())
	return append(b, 0, 0)
}

func host16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }
