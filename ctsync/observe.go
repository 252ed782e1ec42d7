package ctsync

import (
	"net/netip"

	"github.com/roamlb/roamlb/balancer"
)

// event takes in what conntrack said of an entry of ours.
func (c *core) event(e *Event, now int64) {
	if c.snap == nil {
		return
	}
	c.counted = c.counted || e.Counted
	i, k := c.resolve(&e.Entry)
	switch {
	case e.Destroyed:
		if i != 0 {
			c.destroyed(i, e.ID, now)
		}
	case e.Status&SeenReply == 0:
	case i == 0 && k.backend == 0: // of no service that there is now
	default:
		if i == 0 {
			if i = c.flows.add(k, now, c.epoch); i == 0 {
				return
			}
		}
		c.seen(i, &e.Entry, now, true)
	}
}

// destroyed notes the end of an entry, unless it was an earlier one with the
// same tuple.
func (c *core) destroyed(i uint32, id uint32, now int64) {
	fl := c.flows.at(i)
	if fl.id != 0 && fl.id != id {
		return
	}
	if fl.id == 0 && age(now, fl.born) < infancy && !fl.has(flowDoomed) {
		return
	}
	c.ended(i, now)
	c.flows.settle(i)
}

// seen notes an entry as an event showed it, or a dump.
func (c *core) seen(i uint32, e *Entry, now int64, event bool) {
	c.flows.unrest(i)
	fl := c.flows.at(i)
	if fl.dead() || fl.id != 0 && fl.id != e.ID {
		c.flows.renew(i, now, c.epoch)
	}
	fl.id, fl.epoch = e.ID, c.epoch
	// The only change that the kernel tells of is the first answer: it is the
	// proof even where a dump has shown that answer before.
	if e.Status&SeenReply != 0 && (!fl.has(flowReplied) || event && !fl.has(flowWitnessed)) {
		c.answered(i, now, event)
	}
	c.flows.settle(i)
}

// entry takes in an entry of ours that a dump showed.
func (c *core) entry(e *Entry, now int64) {
	if c.snap == nil {
		return
	}
	c.counted = c.counted || e.Counted
	i, k := c.resolve(e)
	if i == 0 {
		if k.backend == 0 {
			return
		}
		if i = c.flows.add(k, now, c.epoch); i == 0 {
			return
		}
	}
	c.seen(i, e, now, false)
	// What was left with proof, and could not be deleted then.
	fl := c.flows.at(i)
	if !fl.has(flowLive) || !fl.has(flowLeft) || fl.used() || fl.has(flowBusy|flowForgotten|flowDead) {
		return
	}
	v := c.snap.Lookup(e.Listener)
	if v == nil || c.silence(e) < v.Service.ConfirmTimeout {
		return
	}
	if t, ok := v.Bindings.(*Table); ok && t.id != 0 {
		c.condemn(t, 0, 0, i, 0, why{reason: reasonReconciled, since: now - int64(v.Service.ConfirmTimeout), cause: now})
		c.flows.settle(i)
	}
}

// resolve is the flow of an entry, 0 where it is not known, and its key. The
// key's backend is 0 where no service has such a listener and backend now.
func (c *core) resolve(e *Entry) (uint32, flowKey) {
	k := flowKey{client: e.Client, listener: e.Listener, zoned: e.Zone != 0}
	if k.zoned {
		k.backend = e.Zone - c.snap.ZoneBase
		i := c.flows.find(k)
		if v := c.snap.Lookup(e.Listener); v == nil || v.Backend(k.backend) == nil {
			k.backend = 0
		}
		return i, k
	}
	id, ok := c.backendAt(e.Listener, e.Backend)
	if ok {
		k.backend = id
		return c.flows.find(k), k
	}
	// The backend has another address by now; the entry is known by its id.
	return c.flows.search(e.Client, e.Listener, func(f *flow) bool {
		return !f.has(flowZoned) && !f.dead() && f.id == e.ID && e.ID != 0
	}), k
}

// backendAt is the backend of a listener's service that answers from an
// address.
func (c *core) backendAt(listener, addr netip.AddrPort) (uint16, bool) {
	v := c.snap.Lookup(listener)
	if v == nil {
		return 0, false
	}
	byAddr, ok := c.addresses[v]
	if !ok {
		byAddr = make(map[netip.AddrPort]uint16, len(v.Service.Backends))
		for i := range v.Service.Backends {
			b := &v.Service.Backends[i]
			for _, a := range b.Addresses {
				byAddr[netip.AddrPortFrom(a, b.Port)] = b.ID
			}
		}
		if c.addresses == nil {
			c.addresses = make(map[*balancer.View]map[netip.AddrPort]uint16)
		}
		c.addresses[v] = byAddr
	}
	id, ok := byAddr[addr]
	return id, ok
}

// began notes the start of a dump.
func (c *core) began() {
	c.epoch++
	c.reaper = reaper{}
}

// completed notes the end of a dump: what it did not show is gone, but for what
// came while it ran.
func (c *core) completed(began int64) {
	c.reaper = reaper{next: 1, before: began - int64(infancy)}
}

// reaper walks over the flows after a dump.
type reaper struct {
	next   uint32 // 0: nothing to do
	before int64  // only flows that were there by then
}

// reap looks at n more flows and notes those that are gone. It reports whether
// there are more.
func (c *core) reap(n int, now int64) bool {
	for r := &c.reaper; r.next != 0 && n > 0; n-- {
		if r.next >= c.flows.slab.size {
			r.next = 0
			break
		}
		i := r.next
		r.next++
		fl := c.flows.at(i)
		if fl.has(flowLive) && !fl.dead() && fl.epoch != c.epoch && fl.born < r.before && !fl.has(flowBusy) {
			c.ended(i, now)
			c.flows.settle(i)
		}
	}
	return c.reaper.next != 0
}
