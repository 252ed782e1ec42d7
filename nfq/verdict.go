package nfq

import (
	"net/netip"

	"github.com/roamlb/roamlb/balancer"
)

// Verdicts of linux/netfilter.h.
const (
	verdictDrop   = 0
	verdictAccept = 1
)

// verdict is what becomes of a packet. The kernel replaces the whole packet
// mark by the verdict's: it holds the bits of others too.
type verdict struct {
	code   uint32
	mark   uint32
	marked bool // the mark differs from the packet's
}

// asItCame leaves a packet to the kernel.
var asItCame = verdict{code: verdictAccept}

// judge decides the packets of a queue. One goroutine uses it.
type judge struct {
	flows    func(client, listener netip.AddrPort) (uint16, bool)
	refused  func(backend uint16)
	snapshot *balancer.Snapshot
	now      int64
	facts    []balancer.Fact // of the burst
	scratch  []byte          // for a key
	count    Stats           // of the burst
}

// judge decides a packet.
//
// A packet with the mark's MISS bit comes from chain steer, which the kernel
// looked its session up in vain; the others come from chain track, after
// conntrack, which does not know their flow. What cannot be decided goes on
// with its mark as it is: with MISS still set, chain bind decides by the ring.
func (j *judge) judge(q *queued) verdict {
	j.count.Packets++
	if j.snapshot == nil {
		return asItCame
	}
	p, ok := decodePacket(q.data, q.cut)
	if !ok {
		j.count.Undecoded++
		return asItCame
	}
	miss := q.mark&j.snapshot.Marks.Miss() != 0
	d, ok := p.datagram()
	if !ok {
		return j.other(&p, q.mark, miss)
	}
	v := j.snapshot.Lookup(d.destination)
	switch {
	case v == nil:
		// The service has just gone. Its rules follow, and until then bind and
		// the nat chain do with the packet what they would without us.
		j.count.UnknownListener++
		return asItCame
	case v.Pinning == balancer.PinSession && miss:
		return j.steer(v, &d, q.mark)
	case v.Pinning == balancer.PinSession:
		return j.announced(v, &d)
	case !miss:
		return j.track(v, &d, q.mark)
	default:
		// The service was pinned to sessions until now, and its chain steer is
		// about to go: the ring decides, as it does for Go.
		return asItCame
	}
}

// steer places a session that the kernel does not know. The kernel's own
// decision is as good for a packet without a key.
func (j *judge) steer(v *balancer.View, d *datagram, mark uint32) verdict {
	decision := j.decide(v, d)
	switch decision.Reason {
	case balancer.ByBinding, balancer.ByRing:
		j.note(v, d, &decision, false)
	case balancer.ByNobody:
	default:
		return asItCame
	}
	m := j.snapshot.Marks
	bits := m.Miss() | m.Fresh() | m.WithID(decision.Backend)
	if decision.Confirmed {
		bits |= m.Long()
	}
	if decision.Young {
		bits = bits&^m.Long() | m.Hold()
	}
	return j.withBits(mark, bits)
}

// announced notes a known session that came on a flow which conntrack does not
// know: it has roamed, or lost its entry. Where it goes stands already.
func (j *judge) announced(v *balancer.View, d *datagram) verdict {
	decision := j.decide(v, d)
	j.note(v, d, &decision, true)
	return asItCame
}

// track places a flow of a service that is pinned to flows.
func (j *judge) track(v *balancer.View, d *datagram, mark uint32) verdict {
	decision := j.decide(v, d)
	switch {
	case decision.Reason == balancer.ByDrop && !d.cut:
		j.count.Dropped++
		return verdict{code: verdictDrop}
	case d.cut && (decision.Reason == balancer.ByDrop || decision.Reason == balancer.ByFallback):
		// The key may stand in what was not copied.
		return asItCame
	}
	j.note(v, d, &decision, true)
	m := j.snapshot.Marks
	return j.withBits(mark, m.Fresh()|m.WithID(decision.Backend))
}

// other decides what is not a UDP datagram: an ICMP error about an answer that
// a listener sent, which bears the mark's MISS bit, goes to the backend that
// had answered; one about a client's packet is looked at.
func (j *judge) other(p *packet, mark uint32, miss bool) verdict {
	listener, client, ok := p.quoted()
	if !ok {
		j.count.Undecoded++
		return asItCame
	}
	j.count.Errors++
	if !miss {
		j.heed(p, listener, client)
		return asItCame
	}
	v := j.snapshot.Lookup(listener)
	if v == nil || v.Pinning != balancer.PinSession || j.flows == nil {
		return asItCame
	}
	backend, ok := j.flows(client, listener)
	if !ok || backend == 0 {
		return asItCame
	}
	m := j.snapshot.Marks
	return j.withBits(mark, m.Miss()|m.Fresh()|m.WithID(backend))
}

// heed tells of a backend that refuses the packets of a client: only of one that
// has a flow to it, so that nobody who has none can have backends probed. Behind
// masquerading clients are not to be told from this host.
func (j *judge) heed(p *packet, client, backend netip.AddrPort) {
	if j.refused == nil || !p.refuses() || p.source != backend.Addr() {
		return
	}
	for _, b := range j.snapshot.Probed(backend) {
		if b.View.Service.SNAT == balancer.SNATMasquerade || j.leads(client, b) {
			j.refused(b.ID)
		}
	}
}

// leads reports whether a client has a flow to a backend.
func (j *judge) leads(client netip.AddrPort, b balancer.Probed) bool {
	if j.flows == nil {
		return false
	}
	for _, l := range b.View.Service.Listen {
		if l.Addr().Is4() != client.Addr().Is4() {
			continue
		}
		if id, ok := j.flows(client, l); ok && id == b.ID {
			return true
		}
	}
	return false
}

// decide asks the service, and counts packets without a key.
func (j *judge) decide(v *balancer.View, d *datagram) balancer.Decision {
	if n := v.Extractor.MaxLen(); cap(j.scratch) < n {
		j.scratch = make([]byte, n)
	}
	decision := v.Decide(j.now, d.source, d.payload, j.scratch)
	switch decision.Reason {
	case balancer.ByFallback, balancer.ByDrop:
		j.count.NoKey++
	case balancer.ByNobody:
		j.count.Nobody++
	}
	return decision
}

// note keeps a decision that binds a session for ctsync.
func (j *judge) note(v *balancer.View, d *datagram, decision *balancer.Decision, newFlow bool) {
	if !decision.HasKey() || decision.Backend == 0 {
		return
	}
	j.facts = append(j.facts, balancer.Fact{
		View:     v,
		Session:  decision.Session,
		Client:   d.source,
		Listener: d.destination,
		Backend:  decision.Backend,
		NewFlow:  newFlow,
		At:       j.now,
	})
}

// withBits accepts a packet with our bits of its mark replaced.
func (j *judge) withBits(mark, bits uint32) verdict {
	merged := mark&^j.snapshot.Marks.All() | bits
	return verdict{code: verdictAccept, mark: merged, marked: merged != mark}
}
