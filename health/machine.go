package health

import "time"

// State is what the probes say of a backend.
type State uint8

// The states of a backend.
const (
	// Waiting: no probe has been answered yet, nor failed often enough. It
	// keeps the sessions that it has and gets no new ones.
	Waiting State = iota
	Down          // probes fail
	Up            // probes are answered
)

// String is the state in a word.
func (s State) String() string { return [...]string{"waiting", "down", "up"}[s] }

// The slow start's steps: the ring is made anew at each.
const (
	slowSteps  = 5
	firstShare = 10 // percent
	fullShare  = 100
)

// hurry is by how much pauses are shorter while a backend waits for its first
// answer, or is suspect.
const hurry = 5

// thresholds are what a machine goes by.
type thresholds struct {
	rise, fall int
	interval   time.Duration
	jitter     int // percent
	slowStart  time.Duration
}

// machine is one backend's state: pure, time comes in. The zero machine with
// thresholds is a backend of which nothing is known.
type machine struct {
	thresholds
	state   State
	suspect bool      // up, and there is reason to doubt it
	streak  int       // results in a row that speak against state
	back    time.Time // when it came back from Down; zero: it never was
}

// result takes in how a probe ended, and reports whether the state is another.
// The first answer takes a backend that waits up.
func (m *machine) result(now time.Time, answered bool) bool {
	if answered {
		m.suspect = false
	}
	if answered == (m.state == Up) && m.state != Waiting {
		m.streak = 0
		return false
	}
	m.streak++
	switch {
	case m.state == Waiting && answered:
		return m.become(Up)
	case m.state == Down && m.streak >= m.rise:
		m.back = now
		return m.become(Up)
	case m.state != Down && m.streak >= m.fall:
		return m.become(Down)
	}
	return false
}

// assume takes a backend that waits for up: it cannot be probed, which is not
// its fault. It reports whether the state is another.
func (m *machine) assume() bool {
	return m.state == Waiting && m.become(Up)
}

func (m *machine) become(s State) bool {
	m.state, m.streak, m.suspect = s, 0, false
	return true
}

// doubt takes in that a packet to the backend was refused; it reports whether
// that is news: the backend is to be probed at once.
func (m *machine) doubt() bool {
	if m.state != Up || m.suspect {
		return false
	}
	m.suspect = true
	return true
}

// pause is from the beginning of one probe to that of the next; random is in
// [0, 1). It is never longer than the interval, so that fall intervals and a
// timeout are a bound.
func (m *machine) pause(random float64) time.Duration {
	p := m.interval
	if m.suspect || m.state == Waiting {
		p /= hurry
	}
	return p - time.Duration(random*float64(m.jitter)/100*float64(p))
}

// share is how much of its weight a backend has, in percent, and when it has
// more: the zero time where it has all.
func (m *machine) share(now time.Time) (percent int, until time.Time) {
	if m.state != Up || m.back.IsZero() || m.slowStart == 0 {
		return fullShare, time.Time{}
	}
	step := int(now.Sub(m.back) * slowSteps / m.slowStart)
	if step >= slowSteps {
		return fullShare, time.Time{}
	}
	step = max(step, 0)
	// Rounded up: at the time of the next step it is due.
	until = m.back.Add((m.slowStart*time.Duration(step+1) + slowSteps - 1) / slowSteps)
	return firstShare + (fullShare-firstShare)*step/slowSteps, until
}
