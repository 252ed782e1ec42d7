package ctsync

// unanswered is what becomes of a roam whose answer was not seen in time. It
// goes on if the old flow has ended meanwhile. A weak one counts as answered if
// its flow is, and if the old flow's client was silent all that time. Else
// conntrack is asked: the event of the answer may have been lost, or may still
// be under way, as after the daemon hung. Where it has no entry the packet may
// wait for its verdict yet: the roam is given up the next time.
func (c *core) unanswered(r uint32, now int64) {
	rec := c.roams.at(r)
	t, h, g := rec.table, rec.session, rec.flow
	tr := t.known(h)
	fl := c.flows.at(g)
	switch {
	case fl.dead():
		c.giveUp(r)
	case tr.base != 0 && c.flows.at(tr.base).dead():
		c.move(t, h, tr, g, why{})
	case rec.has(roamWeak) && fl.has(flowReplied):
		c.prove(r, why{reason: reasonReconciled, cause: rec.at})
	default:
		c.timer(r, now+int64(t.confirmTimeout())) // should the look fail, or find nothing
		c.jobs.push(job{kind: jobAnswer, flow: g, roam: r, roamGen: rec.gen, table: t, session: h, gen: tr.gen})
	}
}

// looked ends a roam whose time is over by what conntrack says of its flow's
// entry.
func (c *core) looked(j *job, e *Entry, now int64) {
	fl := c.flows.at(j.flow)
	if !c.belongs(fl, e) {
		c.ended(j.flow, now)
		c.giveUp(j.roam)
		return
	}
	c.seen(j.flow, e, now, false)
	switch rec := c.roams.at(j.roam); {
	case !rec.has(roamLive) || rec.gen != j.roamGen: // proven by that
	case fl.has(flowReplied): // it is weak
		c.prove(j.roam, why{reason: reasonReconciled, cause: rec.at})
	default:
		c.giveUp(j.roam)
	}
}

// giveUp ends a roam that nobody has answered: the old flow stays.
func (c *core) giveUp(r uint32) {
	rec := c.roams.at(r)
	g := rec.flow
	c.dropRoam(rec.table.known(rec.session), r)
	c.flows.settle(g)
}
