package ctsync

import (
	"net/netip"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

// core is the state machine of flows. It is stepped with facts, events,
// entries of dumps and time, and asks for deletions by way of jobs. It does no
// I/O and reads no clock: now is always handed in. Not safe for concurrent
// use; Sync.mu guards it.
type core struct {
	snap    *balancer.Snapshot
	flows   flows
	roams   slab[roam]
	tables  []*Table // by id; 0 is none
	timers  timers
	jobs    jobQueue
	later   []job  // that failed and pause
	epoch   uint8  // of the last dump that began
	reaper  reaper // takes out what a dump did not show
	counted bool   // entries carry packet counters

	sweeping  int                                          // id of the table that the sweeper is at
	addresses map[*balancer.View]map[netip.AddrPort]uint16 // what backends answer from, for entries in zone 0
	unreplied time.Duration                                // the namespace's timeouts of UDP entries
	replied   time.Duration
	out       []event.Event // to be told, oldest first; the time is missing
}

const (
	// twinWindow is how long the first packets of a new flow may keep being
	// announced: those that waited in a queue before the first was translated.
	twinWindow = 2 * time.Second
	// infancy is how old a flow must be for the end of an entry of unknown id
	// to be its end, and not that of its predecessor with the same tuple.
	infancy = time.Second
	// flapWindow is in what time flapTurns alternations of two clients make a
	// session a shared one.
	flapWindow = 10 * time.Second
	flapTurns  = 3
	// manyTries is on how many flows in a row, none of them answered, a session
	// can be seen before only one in triesPause counts: somebody forges its
	// packets.
	manyTries  = 16
	triesPause = 100 * time.Millisecond
	// grace is how long packets of a backend may still be under way to the old
	// address after a roam, without being taken for a sign of life of its client.
	grace = time.Second
)

func newCore() *core {
	return &core{flows: newFlows(), tables: make([]*Table, 1), unreplied: 30 * time.Second, replied: 120 * time.Second}
}

// adopt gives a table an id. Of more than 65,535 the last ones get none: their
// sessions are bound, and nothing more is known of them.
func (c *core) adopt(t *Table) {
	for id := 1; id < len(c.tables); id++ {
		if c.tables[id] == nil {
			c.tables[id], t.id = t, uint16(id)
			return
		}
	}
	if len(c.tables) > 1<<16-1 {
		return
	}
	t.id = uint16(len(c.tables))
	c.tables = append(c.tables, t)
}

// abandon forgets a table's sessions.
func (c *core) abandon(t *Table) {
	for at := range t.tracks {
		for k, chunk := range t.tracks[at] {
			if chunk == nil {
				continue
			}
			for i := range chunk {
				if tr := &chunk[i]; tr.gen != 0 {
					c.forget(t, makeHandle(uint32(at), uint32(k*chunkSize+i)), tr, flowForgotten)
				}
			}
		}
		t.tracks[at] = nil
	}
	c.tables[t.id] = nil
	t.id = 0
}

// use takes a new snapshot.
func (c *core) use(s *balancer.Snapshot) {
	if s == c.snap {
		return
	}
	c.snap = s
	clear(c.addresses)
	for _, t := range c.tables[1:] {
		if t == nil || s == nil {
			continue
		}
		if v := s.View(t.name); v != nil && v.Bindings == balancer.Bindings(t) {
			t.view = v
		}
	}
}

// fact takes in one decision.
func (c *core) fact(f *balancer.Fact) {
	t, ok := f.View.Bindings.(*Table)
	if !ok || t.id == 0 || f.Session.Gen == 0 || f.Backend == 0 {
		return // of a service that is gone, or of no session
	}
	if t.view == nil {
		t.view = f.View
	}
	g, old := c.spoken(f)
	if g == 0 {
		return
	}
	h := refHandle(f.Session)
	tr := t.track(h)
	switch newer := int32(f.Session.Gen - tr.gen); {
	case tr.gen == 0:
		*tr = track{gen: f.Session.Gen}
	case newer > 0: // the place was another session's, which was evicted
		c.forget(t, h, tr, flowForgotten)
		*tr = track{gen: f.Session.Gen}
	case newer < 0: // the session was evicted while its fact was under way
		c.flows.at(g).flags |= flowForgotten
		c.flows.settle(g)
		return
	}
	c.place(t, h, tr, f, g, old)
	c.flows.at(g).flags |= flowClaimed
	c.flows.settle(g)
}

// spoken is the flow that a fact speaks of, made if need be, and whether
// conntrack had its entry before. The caller settles it.
func (c *core) spoken(f *balancer.Fact) (g uint32, old bool) {
	k := flowKey{f.Client, f.Listener, f.Backend, f.View.Pinning == balancer.PinSession}
	g = c.flows.find(k)
	if g == 0 {
		return c.flows.add(k, f.At, c.epoch), false
	}
	c.flows.unrest(g) // it must outlive what follows
	fl := c.flows.at(g)
	switch {
	case fl.dead():
	case !f.NewFlow:
		return g, true
	default:
		c.suspect(f, g)
		found := fl.has(flowReplied) && !fl.has(flowWitnessed) // by a dump, who knows how old
		if f.At-fl.born <= int64(twinWindow) && !found && !fl.has(flowDoomed) {
			return g, false
		}
		// Announced again: the old entry has ended, and its event was lost or is
		// still under way.
	}
	c.flows.renew(g, f.At, c.epoch)
	return g, false
}

// place says what a fact means for its session, which is on, or is going to,
// flow g.
func (c *core) place(t *Table, h handle, tr *track, f *balancer.Fact, g uint32, old bool) {
	c.advance(t, h, tr, f.At)
	fl := c.flows.at(g)
	if tr.base == g || c.roamTo(tr, g) != 0 {
		tr.lastAt = max(tr.lastAt, f.At)
		if fl.has(flowReplied) && old && tr.base == g {
			t.confirm(h, tr.gen) // its second decision on a flow that is answered
		}
		return
	}
	if f.At < tr.lastAt {
		return // an older fact never overwrites a newer one
	}
	if tr.base == 0 {
		tr.lastAt = f.At
		c.settleOn(t, h, tr, g)
		if !old {
			c.overtaken(t, h, tr, g)
		} else if fl.witnessed(f.At) {
			t.confirm(h, tr.gen) // the event was faster than the fact
		}
		return
	}
	c.roam(t, h, tr, f, g, old)
}

// settleOn makes g the base of a session that has none.
func (c *core) settleOn(t *Table, h handle, tr *track, g uint32) {
	fl := c.flows.at(g)
	tr.base = g
	fl.bases++
	fl.flags = fl.flags&^flowLeft | flowClaimed
	if fl.firstGen == 0 {
		fl.setFirst(t, h, tr.gen)
	}
	c.flows.settle(g)
}

// leave takes a session off its base, and leaves the flow to the caller.
func (c *core) leave(t *Table, h handle, tr *track) uint32 {
	f := tr.base
	if f == 0 {
		return 0
	}
	fl := c.flows.at(f)
	fl.bases--
	if fl.isFirst(t, h) {
		fl.firstGen = 0
	}
	tr.base = 0
	return f
}

// advance lets a session whose base has ended go on to its candidate: there is
// nothing left that could be cut.
func (c *core) advance(t *Table, h handle, tr *track, at int64) {
	if tr.base == 0 || !c.flows.at(tr.base).dead() {
		return
	}
	for r := tr.roams; r != 0; r = c.roams.at(r).next {
		g := c.roams.at(r).flow
		if c.flows.at(g).dead() {
			continue
		}
		c.move(t, h, tr, g, why{cause: at})
		return
	}
}

// forget takes a session off all its flows, whose entries stay. The flag is
// set on them.
func (c *core) forget(t *Table, h handle, tr *track, flag flowFlags) {
	for tr.roams != 0 {
		g := c.roams.at(tr.roams).flow
		c.dropRoam(tr, tr.roams)
		c.flows.at(g).flags |= flag
		c.flows.settle(g)
	}
	if f := c.leave(t, h, tr); f != 0 {
		c.flows.at(f).flags |= flag
		c.flows.settle(f)
	}
	*tr = track{}
}

// overtaken tells when a client address that was one session's now carries
// another on another backend.
func (c *core) overtaken(t *Table, h handle, tr *track, g uint32) {
	fl := c.flows.at(g)
	var before *flow
	c.flows.search(c.flows.client(g), c.flows.listener(g), func(o *flow) bool {
		if o != fl && !o.dead() && o.firstGen != 0 && !o.isFirst(t, h) {
			before = o
		}
		return before != nil
	})
	if before == nil {
		return
	}
	t.takeovers++
	client := c.flows.client(g)
	c.tell(event.Event{
		Kind: event.Takeover, Service: t.name, Session: t.key(h, tr.gen),
		OldClient: client, NewClient: client, Backend: backendName(t.view, fl.backend),
		Detail: "the address was a session's on backend " + backendName(t.view, before.backend),
	})
}

func (c *core) tell(e event.Event) { c.out = append(c.out, e) }

func backendName(v *balancer.View, id uint16) string {
	if v != nil {
		if b := v.Backend(id); b != nil {
			return b.Name
		}
	}
	return ""
}

// age is how long ago something was, never negative.
func age(now, then int64) time.Duration { return time.Duration(max(now-then, 0)) }
