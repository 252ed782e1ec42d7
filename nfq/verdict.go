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

// other decides what is not a UDP datagram: an ICMP error from chain steer
// about an answer that a listener sent goes to the backend that had answered.
func (j *judge) other(p *packet, mark uint32, miss bool) verdict {
	listener, client, ok := p.quoted()
	if !ok {
		j.count.Undecoded++
		return asItCame
	}
	j.count.Errors++
	v := j.snapshot.Lookup(listener)
	if !miss || v == nil || v.Pinning != balancer.PinSession || j.flows == nil {
		return asItCame
	}
	backend, ok := j.flows(client, listener)
	if !ok || backend == 0 {
		return asItCame
	}
	m := j.snapshot.Marks
	return j.withBits(mark, m.Miss()|m.Fresh()|m.WithID(backend))
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
