package ctsync

import (
	"errors"
	"slices"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

// condemn asks for the deletion of the entry of flow f, which a session has
// left for g (0: for nothing), unless somebody may be on it still: then who
// leaves last asks.
func (c *core) condemn(t *Table, h handle, gen uint32, f, g uint32, w why) {
	fl := c.flows.at(f)
	if fl.dead() || fl.used() || fl.has(flowForgotten) {
		return
	}
	if fl.has(flowBusy) {
		// The job under way is most likely the same wish; if not, a dump finds it.
		if w.reason != reasonUnreplied {
			fl.flags |= flowLeft
		}
		return
	}
	fl.flags |= flowBusy
	j := job{
		kind: jobDelete, flow: f, table: t, session: h, gen: gen, why: w,
		key: t.key(h, gen), backend: backendName(t.view, fl.backend),
	}
	if g != 0 {
		j.newClient = c.flows.client(g)
	}
	c.jobs.push(j)
}

// measure asks how many packets the client of a session's base has sent by
// the time of a roam.
func (c *core) measure(r uint32) {
	rec := c.roams.at(r)
	tr := rec.table.known(rec.session)
	c.jobs.push(job{kind: jobMeasure, flow: tr.base, roam: r, roamGen: rec.gen, table: rec.table, session: rec.session, gen: tr.gen})
}

// suspect asks for a look at the entry of a flow-pinned flow that keeps being
// announced: it may be older than the service and so never be translated.
func (c *core) suspect(f *balancer.Fact, g uint32) {
	const patience = 250 * time.Millisecond
	fl := c.flows.at(g)
	if fl.has(flowZoned|flowBusy) || age(f.At, fl.born) < patience {
		return
	}
	fl.flags |= flowBusy
	c.jobs.push(job{kind: jobForeign, flow: g, why: why{reason: reasonForeign, cause: f.At}, backend: backendName(f.View, fl.backend)})
}

// due appends jobs that are to be done now, at most n.
func (c *core) due(jobs []job, n int) []job {
	for n > 0 {
		j, ok := c.jobs.pop()
		if !ok {
			break
		}
		if !c.wanted(&j) {
			c.release(&j)
			continue
		}
		j.tuple = c.tuple(j.flow)
		jobs = append(jobs, j)
		n--
	}
	return jobs
}

// tuple is how conntrack finds a flow's entry.
func (c *core) tuple(i uint32) Tuple {
	f := c.flows.at(i)
	t := Tuple{Client: c.flows.client(i), Listener: c.flows.listener(i)}
	if f.has(flowZoned) {
		t.Zone = c.snap.Zone(f.backend)
	}
	return t
}

// wanted reports whether a job still makes sense.
func (c *core) wanted(j *job) bool {
	if c.snap == nil {
		return false
	}
	switch j.kind {
	case jobDelete:
		fl := c.flows.at(j.flow)
		return !fl.used() && !fl.dead()
	case jobForeign:
		return !c.flows.at(j.flow).dead()
	default:
		rec := c.roams.at(j.roam)
		if !rec.has(roamLive) || rec.gen != j.roamGen {
			return false
		}
		tr := rec.table.known(rec.session)
		return tr.base == j.flow || j.kind != jobMeasure && rec.flow == j.flow
	}
}

// release ends a job that is about a flow.
func (c *core) release(j *job) {
	if j.kind == jobDelete || j.kind == jobForeign {
		c.flows.at(j.flow).flags &^= flowBusy | flowDoomed
		c.flows.settle(j.flow)
	}
}

// judge looks at what conntrack says of a job's entry. It reports whether the
// entry is to be deleted; j.judged is what was seen. Every job that it does not
// want deleted is done.
func (c *core) judge(j *job, e *Entry, err error, now int64) bool {
	switch {
	case !c.wanted(j) || c.tuple(j.flow) != j.tuple:
		c.release(j)
		return false
	case errors.Is(err, ErrNotFound):
		c.ended(j.flow, now)
		if j.kind == jobWatch {
			c.heard(j, endedQuiet, now)
		}
		c.release(j)
		return false
	case err != nil:
		c.again(j, now)
		return false
	}
	c.counted = c.counted || e.Counted
	j.judged = *e
	switch j.kind {
	case jobForeign:
		if e.Mark&c.snap.Marks.Ours() == 0 && e.Status&DstNAT == 0 {
			c.flows.at(j.flow).flags |= flowDoomed
			return true
		}
	case jobDelete:
		switch c.stale(j, e, now) {
		case isStale:
			c.flows.at(j.flow).flags |= flowDoomed
			return true
		case notYet:
			c.postpone(j, now)
			return false
		}
	case jobWatch:
		c.heard(j, c.silence(e), now)
	case jobAnswer:
		c.looked(j, e, now)
	case jobMeasure:
		if rec := c.roams.at(j.roam); e.Counted {
			rec.packets = e.Packets
			rec.flags |= roamCounted
		}
	}
	c.release(j)
	return false
}

// staleness is what is to become of an entry whose flow was left.
type staleness uint8

const (
	notStale staleness = iota
	isStale
	notYet // for all that is known by now
)

// stale says whether the entry of a flow that was left is what it was taken
// for, and is still to go.
func (c *core) stale(j *job, e *Entry, now int64) staleness {
	fl := c.flows.at(j.flow)
	switch {
	case !c.belongs(fl, e):
		c.ended(j.flow, now)
		return notStale
	case fl.id != 0 && fl.id != e.ID:
		// Another one with the same tuple: somebody's who came after.
		c.flows.renew(j.flow, now, c.epoch)
		fl.id = e.ID
		return notStale
	}
	fl.id = e.ID
	if j.reason == reasonUnreplied && e.Status&SeenReply != 0 {
		fl.flags |= flowReplied
		fl.turned = now
		switch {
		case c.answeredSince(j):
			j.reason = reasonReplied
		case !j.only && c.reconsider(j):
			return notStale
		case age(now, j.cause) <= j.table.confirmTimeout():
			return notYet
		case c.isAnswered(j): // as a roam that is weak
			j.reason = reasonReconciled
		default:
			return notStale
		}
	}
	switch j.reason {
	case reasonReplied, reasonReconciled, reasonSilent:
		if c.spokenSince(j, e, now) {
			c.stays(j, now)
			return notStale
		}
	}
	return isStale
}

// postpone puts off a deletion for which there is no proof: the answer may have
// come, and not be heard of yet.
func (c *core) postpone(j *job, now int64) {
	const looks, least = 16, 100 * time.Millisecond
	j.notYet = now + int64(max(j.table.confirmTimeout()/looks, least))
	c.later = append(c.later, *j)
}

// belongs reports whether an entry with a flow's tuple is ours and leads to
// the flow's backend.
func (c *core) belongs(fl *flow, e *Entry) bool {
	if e.Mark&c.snap.Marks.Ours() == 0 {
		return false
	}
	if fl.has(flowZoned) {
		return true
	}
	id, ok := c.backendAt(e.Listener, e.Backend)
	return ok && id == fl.backend || !ok && fl.id == e.ID // it has moved since
}

// spokenSince reports whether a client has sent on its old flow after its
// session had roamed.
func (c *core) spokenSince(j *job, e *Entry, now int64) bool {
	if j.counted && e.Counted {
		return e.Packets != j.packets // fewer: the entry is not even the same
	}
	passed := c.lifetime(e) - e.Timeout // since the last packet, or up to a second less
	if passed < 0 {
		// Somebody gave it another timeout, so that nothing can be told from it.
		// An answer at the new address is proof enough, a guess is not.
		return j.reason != reasonReplied
	}
	return now-int64(passed) > j.since+int64(grace)
}

// silence is for how long no packet can have passed on an entry, at least.
func (c *core) silence(e *Entry) time.Duration {
	return max(c.lifetime(e)-e.Timeout-time.Second, 0)
}

// lifetime is the timeout that each packet gives an entry anew.
func (c *core) lifetime(e *Entry) time.Duration {
	unreplied, replied := c.unreplied, c.replied
	if v := c.snap.Lookup(e.Listener); v != nil && v.Service.Timeouts.Unreplied != 0 {
		unreplied, replied = v.Service.Timeouts.Unreplied, v.Service.Timeouts.Replied
	}
	if e.Status&Assured != 0 {
		return replied
	}
	return unreplied
}

// answeredSince reports whether the backend has provably answered the session
// of a job where it went, or anywhere since: the old flow's first answer was
// told of too late, the proof is there nevertheless. On a flow that began with
// the roam every answer is one, even if it was heard of before the roam was.
func (c *core) answeredSince(j *job) bool {
	tr := c.sessionOf(j)
	if tr == nil || tr.base == 0 {
		return false
	}
	g := c.flows.at(tr.base)
	if g.witnessed(j.since) {
		return true
	}
	began := j.began && c.flows.client(tr.base) == j.newClient
	return began && !g.dead() && (g.has(flowWitnessed) || g.has(flowReplied) && g.turned >= j.since)
}

// isAnswered reports whether the session of a job is on a flow that its backend
// has answered, whenever that was.
func (c *core) isAnswered(j *job) bool {
	tr := c.sessionOf(j)
	return tr != nil && tr.base != 0 && c.flows.at(tr.base).has(flowReplied)
}

// reconsider takes back a move that was made because the old flow had no
// answer: it has one after all, so now the new flow must prove itself. It
// reports whether the session was still there.
func (c *core) reconsider(j *job) bool {
	tr := c.sessionOf(j)
	if tr == nil || tr.base == 0 || c.flows.client(tr.base) != j.newClient || tr.roams != 0 {
		return false
	}
	t, h, g := j.table, j.session, tr.base
	fl := c.flows.at(g)
	if fl.dead() {
		return false
	}
	c.leave(t, h, tr)
	c.settleOn(t, h, tr, j.flow)
	c.await(t, h, tr, g, j.since, !j.began || fl.has(flowReplied))
	return true
}

// stays deals with a flow whose client has spoken after its session had
// roamed: the session has two clients then.
func (c *core) stays(j *job, now int64) {
	if tr := c.sessionOf(j); tr != nil && tr.base != 0 && c.flows.client(tr.base) == j.newClient {
		c.share(j.table, j.session, tr, j.flow, now)
		return
	}
	c.flows.at(j.flow).flags |= flowLeft
}

// sessionOf is the session that left a job's flow, nil where it is forgotten.
func (c *core) sessionOf(j *job) *track {
	if j.table.id == 0 || j.gen == 0 {
		return nil
	}
	if tr := j.table.known(j.session); tr != nil && tr.gen == j.gen {
		return tr
	}
	return nil
}

// finish notes how a deletion went.
func (c *core) finish(j *job, err error, now int64) {
	fl := c.flows.at(j.flow)
	switch {
	case err == nil:
		c.deleted(j, now)
		fallthrough
	case errors.Is(err, ErrNotFound):
		if fl.has(flowDoomed) { // else it was announced anew meanwhile
			c.ended(j.flow, now)
		}
		c.release(j)
	default:
		fl.flags &^= flowDoomed
		c.again(j, now)
	}
}

// deleted tells of a deletion.
func (c *core) deleted(j *job, now int64) {
	e := event.Event{
		Kind: event.StaleDeleted, Session: j.key, OldClient: j.tuple.Client, NewClient: j.newClient,
		Backend: j.backend, Reason: j.reason, Age: age(now, c.flows.at(j.flow).born), Delay: age(now, j.cause),
	}
	if j.table != nil {
		j.table.deleted++
		e.Service = j.table.name
	} else if v := c.snap.Lookup(j.tuple.Listener); v != nil {
		e.Service = v.Service.Name
	}
	c.tell(e)
}

// again puts off a job that conntrack had an error for; after some tries a
// dump has to find what is left.
func (c *core) again(j *job, now int64) {
	if j.kind == jobWatch || j.kind == jobMeasure || j.kind == jobAnswer {
		return // it will be looked at again, or does without
	}
	const tries, pause = 5, 100 * time.Millisecond
	if j.tries++; j.tries < tries {
		j.notYet = now + int64(pause)<<j.tries
		c.later = append(c.later, *j)
		return
	}
	if j.kind == jobDelete && j.reason != reasonUnreplied { // which has not been proven
		c.flows.at(j.flow).flags |= flowLeft
	}
	c.release(j)
}

// retry brings back the jobs whose pause is over.
func (c *core) retry(now int64) {
	c.later = slices.DeleteFunc(c.later, func(j job) bool {
		if j.notYet <= now {
			c.jobs.push(j)
			return true
		}
		return false
	})
}

// ended notes that a flow's entry is gone. Sessions stay on it until they are
// seen elsewhere or end.
func (c *core) ended(i uint32, now int64) {
	fl := c.flows.at(i)
	if fl.dead() {
		return
	}
	fl.flags = fl.flags&^(flowLeft|flowForgotten|flowReplied|flowWitnessed) | flowDead
	fl.turned = now
}
