package ctsync

// timers says which roam is next to be looked at: a binary heap, the earliest
// at the root. A roam's older timers stay in it and are void.
type timers []timer

type timer struct {
	at      int64
	roam    uint32
	roamGen uint32
}

func (h *timers) push(t timer) {
	*h = append(*h, t)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up].at <= s[i].at {
			return
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
}

// pop takes out the earliest timer that has run out.
func (h *timers) pop(now int64) (timer, bool) {
	s := *h
	if len(s) == 0 || s[0].at > now {
		return timer{}, false
	}
	first, n := s[0], len(s)-1
	s[0] = s[n]
	s = s[:n]
	for i := 0; ; {
		down := 2*i + 1
		if down+1 < n && s[down+1].at < s[down].at {
			down++
		}
		if down >= n || s[i].at <= s[down].at {
			break
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
	*h = s
	return first, true
}

// timer sets when a roam is looked at next.
func (c *core) timer(r uint32, at int64) {
	rec := c.roams.at(r)
	rec.deadline = at
	c.timers.push(timer{at: at, roam: r, roamGen: rec.gen})
}

// expire looks at the roams whose time has come.
func (c *core) expire(now int64) {
	for {
		t, ok := c.timers.pop(now)
		if !ok {
			return
		}
		switch rec := c.roams.at(t.roam); {
		case rec.gen != t.roamGen || !rec.has(roamLive) || rec.deadline != t.at:
		case rec.has(roamShared):
			c.watch(t.roam, now)
		default:
			c.unanswered(t.roam, now)
		}
	}
}
