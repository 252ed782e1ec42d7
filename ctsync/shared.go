package ctsync

import (
	"math"
	"time"

	"github.com/roamlb/roamlb/event"
)

// share lets a session keep two flows: its base, and g, which another client
// speaks on by turns. Of a third flow nothing more is promised than that its
// entry goes once it is silent.
func (c *core) share(t *Table, h handle, tr *track, g uint32, at int64) {
	for r := tr.roams; r != 0; {
		rec := c.roams.at(r)
		next := rec.next
		if rec.has(roamShared) {
			third := rec.flow
			c.dropRoam(tr, r)
			c.flows.at(third).flags |= flowLeft
			c.flows.settle(third)
		}
		r = next
	}
	c.timer(c.addRoam(t, h, tr, g, at, roamShared), at+int64(t.confirmTimeout()))
	tr.left &^= turnsMask
	c.tell(event.Event{
		Kind: event.Shared, Service: t.name, Session: t.key(h, tr.gen),
		OldClient: c.flows.client(tr.base), NewClient: c.flows.client(g),
		Backend: backendName(t.view, c.flows.at(g).backend),
	})
}

// watch looks at both flows of a shared session, and again after a while.
func (c *core) watch(r uint32, now int64) {
	rec := c.roams.at(r)
	tr := rec.table.known(rec.session)
	c.timer(r, now+int64(rec.table.confirmTimeout()))
	rec.quiet = unknownQuiet
	for _, f := range [...]uint32{tr.base, rec.flow} {
		c.jobs.push(job{kind: jobWatch, flow: f, roam: r, roamGen: rec.gen, table: rec.table, session: rec.session, gen: tr.gen})
	}
}

// The quiet of a shared session's flow where there is more to say than a time.
const (
	unknownQuiet = -1
	endedQuiet   = math.MaxInt64 // it has no entry any more
)

// heard notes for how long a flow of a shared session has been quiet, first
// the base, then the other one. Of two that are silent the one goes that has
// been for longer; while that cannot be told, both stay.
func (c *core) heard(j *job, quiet time.Duration, now int64) {
	const resolution = time.Second // of an entry's timeout
	rec := c.roams.at(j.roam)
	base := j.table.known(j.session).base
	if j.flow == base {
		rec.quiet = quiet
		return
	}
	enough := j.table.confirmTimeout()
	switch {
	case rec.quiet == unknownQuiet:
	case quiet == endedQuiet:
		c.fellSilent(j.roam, j.flow, now)
	case rec.quiet >= enough && rec.quiet-resolution > quiet:
		c.fellSilent(j.roam, base, now)
	case quiet >= enough && quiet-resolution > rec.quiet:
		c.fellSilent(j.roam, j.flow, now)
	}
}

// fellSilent ends the sharing of a session: one of its two flows is silent, or
// has ended.
func (c *core) fellSilent(r, silent uint32, now int64) {
	rec := c.roams.at(r)
	t, h := rec.table, rec.session
	tr := t.known(h)
	w := why{reason: reasonSilent, since: now - int64(t.confirmTimeout()), cause: now}
	if silent == tr.base {
		c.move(t, h, tr, rec.flow, w)
		return
	}
	c.unshared(t, h, tr, silent, tr.base)
	c.dropRoam(tr, r)
	c.condemn(t, h, tr.gen, silent, tr.base, w)
	c.flows.settle(silent)
}

// unshared tells that a session has one client again: that of flow g, and no
// longer that of f.
func (c *core) unshared(t *Table, h handle, tr *track, f, g uint32) {
	tr.left = 0
	c.tell(event.Event{
		Kind: event.Unshared, Service: t.name, Session: t.key(h, tr.gen),
		OldClient: c.flows.client(f), NewClient: c.flows.client(g),
		Backend: backendName(t.view, c.flows.at(g).backend),
	})
}
