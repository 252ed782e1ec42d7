package ctsync

import (
	"net/netip"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

// The reasons of deletions, as events tell them.
const (
	reasonReplied    = "replied"         // the backend has answered at the new address
	reasonUnreplied  = "never-replied"   // the old entry never had a reply: nothing to cut
	reasonImmediate  = "immediate"       // the service's policy
	reasonBackend    = "backend-removed" // the old backend serves nobody any longer
	reasonReconciled = "reconciled"      // found by a dump, and silent since
	reasonSilent     = "silent"          // one of a shared session's clients fell silent
	reasonPlaced     = "placed"          // bound to another backend by hand
	reasonRemoved    = "removed"         // the session was deleted by hand
	reasonForeign    = "foreign"         // older than the service, never translated
)

// why is why a flow is left. Without a reason its entry ends by itself.
type why struct {
	reason  string
	since   int64 // the client must not have spoken on it after that
	cause   int64 // of the deletion: when the roam or its proof was
	packets uint64
	counted bool // packets is how many the client had sent by the roam
	began   bool // the new flow did, with the roam; else it may be older
	only    bool // it was a candidate only
}

// roam handles a session that is seen on flow g although another flow is its
// base.
func (c *core) roam(t *Table, h handle, tr *track, f *balancer.Fact, g uint32, old bool) {
	base, to := c.flows.at(tr.base), c.flows.at(g)
	v := t.view
	policy := v.Service.Stale
	gone := !v.Serves(base.backend, c.flows.listener(tr.base).Addr().Is6())
	// The event was faster than the fact.
	proven := to.witnessed(f.At) || f.NewFlow && to.has(flowWitnessed)
	joined := old && to.has(flowReplied) && !proven
	if joined && to.has(flowClaimed) && !base.dead() && !gone && base.has(flowReplied) && isOnReply(policy) {
		// Several sessions behind one socket, or somebody who has a flow of his
		// own and another's session id: no answer here can prove anything.
		t.joins++
		return
	}

	tries, since := c.tries(tr, g, f.At)
	if tries >= manyTries && f.At-since < int64(triesPause) && isOnReply(policy) && !gone {
		return // it ends by itself
	}
	tr.lastAt = f.At
	moved := c.roamed(t, h, tr, g)
	if !old {
		c.overtaken(t, h, tr, g)
	}
	c.tried(t, h, tr, g, tries)
	w := why{since: f.At, cause: f.At, began: f.NewFlow}
	switch {
	case base.dead(), policy == balancer.StaleNever:
		c.move(t, h, tr, g, w)
	case gone:
		w.reason = reasonBackend
		c.move(t, h, tr, g, w)
	case moved && c.turned(tr, f.Client, f.At):
		c.share(t, h, tr, g, f.At)
	case policy == balancer.StaleImmediate:
		w.reason = reasonImmediate
		c.move(t, h, tr, g, w)
	case !base.has(flowReplied):
		w.reason = reasonUnreplied
		c.move(t, h, tr, g, w)
	case proven:
		w.reason, w.cause = reasonReplied, max(to.turned, f.At)
		gen := tr.gen
		c.move(t, h, tr, g, w)
		t.confirm(h, gen)
	default:
		c.await(t, h, tr, g, f.At, !w.began)
	}
}

// roamed reports whether the client of flow g is another than the session's,
// and tells so.
func (c *core) roamed(t *Table, h handle, tr *track, g uint32) bool {
	from, to := c.flows.client(tr.base), c.flows.client(g)
	if from == to {
		return false
	}
	t.roamed++
	c.tell(event.Event{
		Kind: event.Roam, Service: t.name, Session: t.key(h, tr.gen),
		OldClient: from, NewClient: to, Backend: backendName(t.view, c.flows.at(g).backend),
	})
	return true
}

func isOnReply(s balancer.Stale) bool {
	return s != balancer.StaleImmediate && s != balancer.StaleNever
}

// turned counts the alternations of two clients, and reports when there were
// enough of them in a short time.
func (c *core) turned(tr *track, to netip.AddrPort, at int64) bool {
	if tr.left&^turnsMask != c.clientHash(to) {
		tr.left &^= turnsMask
		return false
	}
	if tr.left&turnsMask == 0 || at-tr.turnsSince > int64(flapWindow) {
		tr.left, tr.turnsSince = tr.left&^turnsMask, at
	}
	tr.left++
	return tr.left&turnsMask >= flapTurns
}

// clientHash tells the clients of one session apart. It is never 0, and leaves
// the bits of turnsMask clear.
func (c *core) clientHash(client netip.AddrPort) uint32 {
	return c.flows.hash(client, 0)&^turnsMask | turnsMask + 1
}

// move makes g the base of a session in the place of what was. A candidate
// that is not g is given up.
func (c *core) move(t *Table, h handle, tr *track, g uint32, w why) {
	for r := tr.roams; r != 0; {
		rec := c.roams.at(r)
		next := rec.next
		switch {
		case rec.flow == g && rec.has(roamShared):
			c.unshared(t, h, tr, tr.base, g)
			c.dropRoam(tr, r)
		case rec.flow == g:
			c.dropRoam(tr, r)
		case !rec.has(roamShared):
			c.supersede(t, h, tr, r, g, w.cause, w.began)
		}
		r = next
	}
	from := c.flows.client(tr.base)
	f := c.leave(t, h, tr)
	c.settleOn(t, h, tr, g)
	if from != c.flows.client(g) {
		tr.left = c.clientHash(from) | tr.left&turnsMask
	}
	if w.reason != "" {
		c.condemn(t, h, tr.gen, f, g, w)
	}
	c.flows.settle(f)
}

// tries is on how many flows in a row a session was seen of late, none of them
// answered, and since when on the latest. Packets that are forged by the
// thousand must set off neither as many deletions nor as many events.
func (c *core) tries(tr *track, g uint32, at int64) (n uint8, since int64) {
	last := c.flows.at(tr.base)
	since = last.born
	if r := c.waiting(tr); r != 0 {
		last, since = c.flows.at(c.roams.at(r).flow), c.roams.at(r).at
	}
	if last.dead() || last == c.flows.at(g) || age(at, since) > flapWindow {
		return 0, since
	}
	return last.tries, since
}

// tried notes that a session is seen on flow g after so many others that nobody
// answered.
func (c *core) tried(t *Table, h handle, tr *track, g uint32, n uint8) {
	to := c.flows.at(g)
	if to.has(flowReplied) {
		return
	}
	to.tries = min(n+1, manyTries+1)
	if to.tries == manyTries {
		c.tell(event.Event{
			Kind: event.Contested, Service: t.name, Session: t.key(h, tr.gen),
			OldClient: c.flows.client(tr.base), NewClient: c.flows.client(g),
			Backend: backendName(t.view, to.backend), Count: manyTries,
			Detail: "its key comes from many clients that nobody answers: most of them are ignored from now on",
		})
	}
}

// waiting is the session's roam whose answer is awaited, 0 for none.
func (c *core) waiting(tr *track) uint32 {
	for r := tr.roams; r != 0; r = c.roams.at(r).next {
		if !c.roams.at(r).has(roamShared) {
			return r
		}
	}
	return 0
}

// await makes g the candidate of a session until its backend answers there, or
// confirm_timeout is over. It is weak where g may be older than the session's
// arrival: only an answer that is seen to come is a proof then.
func (c *core) await(t *Table, h handle, tr *track, g uint32, at int64, weak bool) {
	if r := c.waiting(tr); r != 0 {
		c.supersede(t, h, tr, r, g, at, !weak)
	}
	r := c.addRoam(t, h, tr, g, at, 0)
	rec := c.roams.at(r)
	if weak {
		rec.flags |= roamWeak
	}
	c.timer(r, at+int64(t.confirmTimeout()))
	if c.counted {
		c.measure(r)
	}
}

// supersede gives up a candidate for flow g, on which the session was seen since.
// The candidate's flow was never answered, so its entry goes at once unless others
// use it. began says that g did with that.
func (c *core) supersede(t *Table, h handle, tr *track, r, g uint32, now int64, began bool) {
	f := c.roams.at(r).flow
	c.dropRoam(tr, r)
	if !c.flows.at(f).has(flowReplied) {
		c.condemn(t, h, tr.gen, f, g, why{reason: reasonUnreplied, since: now, cause: now, began: began, only: true})
	}
	c.flows.settle(f)
}

// answered notes that a flow's backend has answered: its session counts as
// confirmed, and the sessions that wait for this have roamed. The answer was
// seen to come, or else it may have come long ago.
func (c *core) answered(g uint32, now int64, seen bool) {
	fl := c.flows.at(g)
	fl.flags |= flowReplied
	if seen {
		fl.flags |= flowWitnessed
	}
	fl.turned, fl.tries = now, 0
	if fl.firstGen != 0 && c.tables[fl.table] != nil {
		c.tables[fl.table].confirm(fl.first, fl.firstGen)
	}
	for r := fl.roams; r != 0; {
		rec := c.roams.at(r)
		next := rec.nextOnFlow
		if !rec.has(roamShared) && (seen || !rec.has(roamWeak)) {
			c.prove(r, why{reason: reasonReplied, cause: now})
		}
		r = next
	}
}

// prove ends a roam: the session is at its new flow.
func (c *core) prove(r uint32, w why) {
	rec := c.roams.at(r)
	t, h := rec.table, rec.session
	tr := t.known(h)
	w.since, w.packets, w.counted, w.began = rec.at, rec.packets, rec.has(roamCounted), !rec.has(roamWeak)
	gen := tr.gen
	c.move(t, h, tr, rec.flow, w)
	t.confirm(h, gen)
}

// addRoam links a session and a flow.
func (c *core) addRoam(t *Table, h handle, tr *track, g uint32, at int64, flags roamFlags) uint32 {
	r := c.roams.take()
	rec, fl := c.roams.at(r), c.flows.at(g)
	*rec = roam{
		table: t, session: h, gen: rec.gen + 1, flow: g,
		next: tr.roams, nextOnFlow: fl.roams, at: at, flags: roamLive | flags,
	}
	if rec.has(roamShared) {
		t.shared++
	} else {
		t.waiting++
	}
	if fl.roams != 0 {
		c.roams.at(fl.roams).prevOnFlow = r
	}
	tr.roams, fl.roams = r, r
	fl.flags = fl.flags&^flowLeft | flowClaimed
	c.flows.settle(g)
	return r
}

// dropRoam unlinks a session and a flow. The caller settles the flow.
func (c *core) dropRoam(tr *track, r uint32) {
	rec := c.roams.at(r)
	if rec.has(roamShared) {
		rec.table.shared--
	} else {
		rec.table.waiting--
	}
	for at := &tr.roams; *at != 0; at = &c.roams.at(*at).next {
		if *at == r {
			*at = rec.next
			break
		}
	}
	if rec.prevOnFlow != 0 {
		c.roams.at(rec.prevOnFlow).nextOnFlow = rec.nextOnFlow
	} else {
		c.flows.at(rec.flow).roams = rec.nextOnFlow
	}
	if rec.nextOnFlow != 0 {
		c.roams.at(rec.nextOnFlow).prevOnFlow = rec.prevOnFlow
	}
	rec.flags, rec.table = 0, nil
	c.roams.give(r)
}

// roamTo is a session's roam onto flow g, 0 for none.
func (c *core) roamTo(tr *track, g uint32) uint32 {
	for r := tr.roams; r != 0; r = c.roams.at(r).next {
		if c.roams.at(r).flow == g {
			return r
		}
	}
	return 0
}

func (t *Table) confirmTimeout() time.Duration { return t.view.Service.ConfirmTimeout }
