package health

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// subject is a target under observation. It belongs to the Checker's loop.
type subject struct {
	target Target
	prober Prober
	machine
	since   time.Time // of the state
	due     time.Time // of the next probe
	began   time.Time // when the last probe began
	flying  bool      // a probe is on its way
	probed  bool      // one has come back
	early   bool      // it is of the first Set
	gone    bool      // it is no target any more
	blind   bool      // the last probe could not be made
	problem string

	at    time.Time // when something is due: a probe, or a larger share
	place int       // in the agenda
}

// newSubject begins with a target of which nothing is known but whether it
// serves. The first probes are spread by the jitter.
func newSubject(t Target, p Prober, now time.Time) *subject {
	s := &subject{target: t, prober: p, machine: machine{thresholds: t.thresholds()}, since: now}
	if t.Serving {
		s.state = Up
	}
	s.due = now.Add(s.jittered())
	return s
}

// jittered is a random part of the jitter.
func (s *subject) jittered() time.Duration {
	return time.Duration(rand.Float64() * float64(s.jitter) / 100 * float64(s.interval))
}

// become gives the subject another target of the same backend: what is known
// stays.
func (s *subject) become(t Target, p Prober) {
	s.target, s.prober, s.thresholds = t, p, t.thresholds()
	if latest := s.began.Add(s.interval); !s.began.IsZero() && s.due.After(latest) {
		s.due = latest
	}
}

// launch notes that a probe begins.
func (s *subject) launch(now time.Time) {
	s.flying, s.began = true, now
}

// plan sets when something is due next.
func (s *subject) plan(now time.Time) {
	s.at = never
	if !s.flying {
		s.at = s.due
	}
	if _, until := s.share(now); !until.IsZero() && until.Before(s.at) {
		s.at = until
	}
}

// land takes in how a probe ended; nil for no change worth telling.
func (s *subject) land(now time.Time, r *result) *Transition {
	first := !s.probed
	s.flying, s.probed = false, true
	if r.inconclusive {
		s.problem = r.err.Error()
		s.due = s.began.Add(max(s.pause(rand.Float64()), s.interval/2))
		changed := s.assume()
		if changed {
			s.since = now
		}
		if s.blind && !changed {
			return nil
		}
		s.blind = true
		return s.tell(Unprobeable, s.problem)
	}
	s.blind = false
	s.problem = ""
	if r.err != nil {
		s.problem = r.err.Error()
	}
	changed := s.result(now, r.err == nil)
	s.due = s.began.Add(s.pause(rand.Float64()))
	switch {
	case !changed:
		return nil
	case s.state == Up:
		s.since = now
		if first {
			return s.tell(Answered, "the first probe was answered")
		}
		return s.tell(Answered, fmt.Sprintf("after %s", plural(s.rise, "answer")))
	default:
		s.since = now
		return s.tell(Failed, fmt.Sprintf("after %s: %s", plural(s.fall, "failure"), s.problem))
	}
}

// refused takes in that a packet to the backend was refused. The next probe is
// due at once, unless one has just begun: those who make us look are not to
// have us look more often than that.
func (s *subject) refused(now time.Time) *Transition {
	if !s.doubt() {
		return nil
	}
	if at := s.began.Add(s.interval / hurry); s.began.IsZero() || at.Before(now) {
		s.due = now
	} else if at.Before(s.due) {
		s.due = at
	}
	return s.tell(Refused, "a packet to it was refused")
}

func (s *subject) tell(why Reason, detail string) *Transition {
	return &Transition{Target: s.target, State: s.state, Reason: why, Detail: detail}
}

func (s *subject) standing(now time.Time) Standing {
	share, _ := s.share(now)
	return Standing{State: s.state, Suspect: s.suspect, Share: share, Since: s.since, Problem: s.problem}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss in a row", n, what)
}
