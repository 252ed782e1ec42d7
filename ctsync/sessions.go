package ctsync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// Session is one live session as a Table shows it.
type Session struct {
	Key       []byte
	Backend4  uint16         // of IPv4 packets, 0 while none came
	Backend6  uint16         // of IPv6 packets, 0 while none came
	Confirmed bool           // a backend has answered it
	Shared    bool           // spoken by two clients in turns
	Placed    bool           // bound by hand
	Seen      int64          // last decision, nanoseconds on the daemon's clock
	First     int64          // first decision, likewise, in whole seconds
	Client    netip.AddrPort // of the flow it is on; invalid while unknown
	Listener  netip.AddrPort // of the flow it is on
	Live      bool           // that flow has an entry
	Candidate netip.AddrPort // a new client that no backend has answered yet, or the other one of a shared session
}

// ErrNotServed says that a backend serves none of a service's families.
var ErrNotServed = errors.New("the backend serves none of the service's families")

// Session is the live session of a key.
func (t *Table) Session(key []byte) (Session, bool) {
	t.sync.mu.Lock()
	defer t.sync.mu.Unlock()
	at, hash := t.locate(key)
	sh := &t.shards[at]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i := sh.find(hash, key)
	if i == 0 {
		return Session{}, false
	}
	return t.show(makeHandle(at, i)), true
}

// Each hands fn the sessions from a cursor on until fn returns false, and
// returns the cursor to go on from, 0 at the end. A walk starts at 0. Sessions
// that come or go meanwhile may be missed or not. fn may call the table.
func (t *Table) Each(cursor uint64, fn func(Session) bool) uint64 {
	var page []Session
	var next []uint64
	for h := handle(cursor); ; {
		page, next = page[:0], next[:0]
		h = t.walk(h, func(at handle, _ *shard) {
			page, next = append(page, t.show(at)), append(next, uint64(at)+1)
		})
		for i := range page {
			if !fn(page[i]) {
				return next[i]
			}
		}
		if h == 0 {
			return 0
		}
	}
}

// walk hands fn the live sessions of one chunk of places from h on, and
// returns where the next one begins, 0 at the end. Sync.mu and the shard are
// locked while fn runs.
func (t *Table) walk(h handle, fn func(handle, *shard)) handle {
	t.sync.mu.Lock()
	defer t.sync.mu.Unlock()
	sh := &t.shards[h.shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i := max(h.number(), 1)
	for end := min(i|(chunkSize-1)+1, sh.records.size); i < end; i++ {
		if sh.records.at(i).live() {
			fn(makeHandle(h.shard(), i), sh)
		}
	}
	switch {
	case i < sh.records.size:
		return makeHandle(h.shard(), i)
	case h.shard()+1 < shardCount:
		return makeHandle(h.shard()+1, 0)
	default:
		return 0
	}
}

// show is the session in a place; Sync.mu and the shard are locked.
func (t *Table) show(h handle) Session {
	sh := &t.shards[h.shard()]
	r := sh.records.at(h.number())
	s := Session{
		Key: slices.Clone(sh.key(h.number())), Backend4: r.backend[0], Backend6: r.backend[1],
		Confirmed: r.confirmed(), Placed: r.flags&recordPlaced != 0, Seen: r.seen,
		First: int64(r.first) * int64(time.Second),
	}
	tr := t.known(h)
	if tr == nil || tr.gen != r.gen {
		return s
	}
	c := t.sync.core
	if tr.base != 0 {
		s.Client, s.Listener, s.Live = c.flows.client(tr.base), c.flows.listener(tr.base), !c.flows.at(tr.base).dead()
	}
	for i := tr.roams; i != 0; i = c.roams.at(i).next {
		s.Candidate = c.flows.client(c.roams.at(i).flow)
		s.Shared = s.Shared || c.roams.at(i).has(roamShared)
	}
	return s
}

// Delete forgets a session, its elements in the kernel's sessions maps and the
// entry of its flow, and reports whether there was one. Its next packet is
// decided anew.
func (t *Table) Delete(ctx context.Context, v *balancer.View, key []byte) (bool, error) {
	at, hash := t.locate(key)
	sh := &t.shards[at]
	t.sync.mu.Lock()
	t.sync.catchUp()
	sh.mu.Lock()
	i := sh.find(hash, key)
	var gen uint32
	if i != 0 {
		gen = sh.records.at(i).gen
	}
	sh.mu.Unlock()
	if i != 0 {
		t.sync.core.cut(t, makeHandle(at, i), gen, reasonRemoved, t.sync.opts.Now())
		sh.mu.Lock()
		if r := sh.records.at(i); r.live() && r.gen == gen {
			t.remove(sh, i)
		}
		sh.mu.Unlock()
	}
	t.sync.unlock()
	if v.Pinning != balancer.PinSession {
		return i != 0, nil
	}
	es := []balancer.Element{{Key: key}, {Key: key, V6: true}}
	if err := t.sync.deleteElements(ctx, v, ofFamilies(v, es)); err != nil {
		return i != 0, fmt.Errorf("delete session: %w", err)
	}
	return i != 0, nil
}

// Placed is what became of a session that was placed by hand.
type Placed struct {
	Created bool // there was no such session before
	OldFlow OldFlow
}

// OldFlow is what became of the flow that a placed session was on.
type OldFlow string

// What can become of it.
const (
	FlowNone    OldFlow = "none"    // there was none that lives
	FlowKept    OldFlow = "kept"    // it leads to that backend already
	FlowDeleted OldFlow = "deleted" // its entry is being deleted
	FlowShared  OldFlow = "shared"  // other sessions are on it, for which it stays
)

// Place binds a session to a backend by hand, whatever the ring says, in each
// family that the backend serves. The session is made if it does not live; the
// entry of the flow that it was on is deleted. The error is ErrFull where there is
// no room for it.
func (t *Table) Place(ctx context.Context, v *balancer.View, now int64, key []byte, backend uint16) (Placed, error) {
	if len(key) > t.stride {
		return Placed{}, fmt.Errorf("place session: the key has %d bytes, the service's keys have at most %d", len(key), t.stride)
	}
	var es []balancer.Element
	for _, v6 := range [...]bool{false, true} {
		if v.Serves(backend, v6) {
			es = append(es, balancer.Element{Key: key, V6: v6, Backend: backend, Timeout: v.Service.SessionTTL})
		}
	}
	es = ofFamilies(v, es)
	if len(es) == 0 {
		return Placed{}, fmt.Errorf("place session on backend %d: %w", backend, ErrNotServed)
	}
	placed, err := t.rebind(v, now, key, es)
	if err != nil {
		return placed, fmt.Errorf("place session: %w", err)
	}
	if v.Pinning != balancer.PinSession {
		return placed, nil
	}
	if err := ctx.Err(); err != nil {
		return placed, err
	}
	zoneBase, _, _ := t.sync.numbers()
	if err := t.writeOver(ctx, v, zoneBase, es); err != nil {
		return placed, fmt.Errorf("place session: %w", err)
	}
	return placed, nil
}

// writeOver writes a session's elements. In a full map those that it has make room
// for the new ones; where it has none the map knows nothing of the session, and its
// packets are Go's to decide, unless the kernel decides itself.
func (t *Table) writeOver(ctx context.Context, v *balancer.View, zoneBase uint16, es []balancer.Element) error {
	err := t.sync.opts.Elements.Put(v, zoneBase, es)
	if !errors.Is(err, ErrFull) {
		return err
	}
	if err := t.sync.deleteElements(ctx, v, es); err != nil {
		return err
	}
	err = t.sync.opts.Elements.Put(v, zoneBase, es)
	if errors.Is(err, ErrFull) && v.Datapath != balancer.DatapathKernel {
		return nil
	}
	return err
}

// rebind binds the session of a key as elements say, and cuts it off the
// flows that it was on.
func (t *Table) rebind(v *balancer.View, now int64, key []byte, es []balancer.Element) (Placed, error) {
	t.sync.mu.Lock()
	defer t.sync.unlock()
	t.sync.catchUp()
	_, lived := t.Find(key, v, es[0].V6)
	b := t.Bind(now, key, v, es[0].V6, es[0].Backend)
	if b.Session.Gen == 0 {
		return Placed{}, ErrFull
	}
	placed := Placed{Created: !lived, OldFlow: FlowNone}
	h := refHandle(b.Session)
	sh := &t.shards[h.shard()]
	sh.mu.Lock()
	r := sh.records.at(h.number())
	moved := !b.Created
	if r.gen == b.Session.Gen {
		r.flags |= recordPlaced
		was, to := r.backend, [2]uint16{}
		for _, e := range es {
			to[family(e.V6)] = e.Backend
		}
		moved = was[0] != 0 && was[0] != to[0] || was[1] != 0 && was[1] != to[1]
		sh.bindTo(h.number(), to)
	}
	sh.mu.Unlock()
	c := t.sync.core
	if tr := c.trackOf(t, h, b.Session.Gen); tr != nil && tr.base != 0 && !c.flows.at(tr.base).dead() {
		placed.OldFlow = FlowKept
		if base := tr.base; moved {
			c.cut(t, h, b.Session.Gen, reasonPlaced, now)
			placed.OldFlow = FlowDeleted
			if c.flows.at(base).used() {
				placed.OldFlow = FlowShared
			}
		}
	} else if moved {
		c.cut(t, h, b.Session.Gen, reasonPlaced, now)
	}
	return placed, nil
}

// trackOf is what is known of a session's flows; nil where nothing is.
func (c *core) trackOf(t *Table, h handle, gen uint32) *track {
	if tr := t.known(h); tr != nil && tr.gen == gen {
		return tr
	}
	return nil
}

// ofFamilies is the elements of the families that a service listens on.
func ofFamilies(v *balancer.View, es []balancer.Element) []balancer.Element {
	return slices.DeleteFunc(es, func(e balancer.Element) bool { return !v.Listens(e.V6) })
}

// cut takes a session off all its flows, whose entries are deleted unless
// others are on them.
func (c *core) cut(t *Table, h handle, gen uint32, reason string, now int64) {
	tr := c.trackOf(t, h, gen)
	if tr == nil {
		return
	}
	w := why{reason: reason, since: now, cause: now}
	for tr.roams != 0 {
		g := c.roams.at(tr.roams).flow
		c.dropRoam(tr, tr.roams)
		c.condemn(t, h, gen, g, 0, w)
		c.flows.settle(g)
	}
	if f := c.leave(t, h, tr); f != 0 {
		c.condemn(t, h, gen, f, 0, w)
		c.flows.settle(f)
	}
}
