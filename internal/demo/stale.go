package demo

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// staleLimit is how long a stale entry may stay after the proof that it is one.
const staleLimit = 2 * time.Second

// stale shows the entry that a roamed session leaves, and how long it stays.
func (s *show) stale(ctx context.Context) error {
	of := s.settings.sessionAt(1)
	from, to := s.places.fresh(false), s.places.fresh(false)
	s.text("Session %s moves from %s to %s. It has sent from there, and the backend keeps its answer back: "+
		"for all that is known, a thief of the session sent this.", of, from, to)
	s.progress("moving")
	if _, _, err := s.bed.exchange(ctx, from, listener(vpnPort, false), of); err != nil {
		return err
	}
	before, err := s.roamUnanswered(ctx, of, from, to)
	if err != nil {
		return err
	}
	s.showEntries(before, from)
	old := slices.IndexFunc(before, func(e entry) bool { return e.client == from })
	s.claim(len(before) == 2 && old >= 0, "before the answer %d of 2 entries are there: nothing is deleted on suspicion", len(before))
	if old < 0 {
		return nil
	}
	s.pause(ctx, time.Second)
	s.progress("waiting for the deletion")
	answer, err := s.answerHeld(ctx, of, to)
	if err != nil {
		return err
	}
	gone, err := s.entries.awaitEnd(ctx, before[old], staleLimit)
	if err != nil {
		return err
	}
	after, err := s.entriesOf(from, to)
	if err != nil {
		return err
	}
	s.showEnd(answer, gone, after, from)
	s.pause(ctx, time.Second)
	return s.timeStale(ctx)
}

// showEnd shows the entries after the answer, and when the old one went; the
// zero time if it did not.
func (s *screen) showEnd(answer lab.Reply, gone time.Time, after []entry, old netip.AddrPort) {
	s.blank()
	switch {
	case !answer.Answered():
		s.text("The backend has answered, but nothing has arrived at the client.")
	case gone.IsZero():
		s.text("The backend has answered, and %s after that:", span(staleLimit))
	default:
		s.text("The backend has answered, and %s after that answer reached the client:", span(gone.Sub(answer.Time)))
	}
	s.showEntries(after, old)
	live := len(after) == 1 && after[0].client != old
	s.claim(answer.Answered() && live, "after the answer %d of 2 entries left, the old one gone: %v", len(after), !gone.IsZero())
}

// roamUnanswered lets the session send from a new client while its backend
// keeps silent, and returns the session's entries once the datagram is there.
func (s *show) roamUnanswered(ctx context.Context, of session, from, to netip.AddrPort) ([]entry, error) {
	home := s.bed.servers[s.settings.home(of)]
	home.held.Store(&of)
	if err := s.bed.clients.Send(to, listener(vpnPort, false), of.payload()); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); home.Seen(of[:]).Count == 0 && time.Now().Before(deadline); {
		if sleep(ctx, time.Millisecond); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return s.entriesOf(from, to)
}

// answerHeld lets the backend answer after all, and returns what the client got.
func (s *show) answerHeld(ctx context.Context, of session, to netip.AddrPort) (lab.Reply, error) {
	home := s.bed.servers[s.settings.home(of)]
	home.held.Store(nil)
	seen := home.Seen(of[:])
	if seen.Count == 0 {
		return lab.Reply{}, nil
	}
	expected, err := s.bed.clients.Expect(to, nil)
	if err != nil {
		return lab.Reply{}, err
	}
	answer := append(of.payload(), serverName(s.settings.home(of))[0])
	if err := home.SendFrom(seen.At, seen.From, answer); err != nil {
		return lab.Reply{}, err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reply, err := expected.Wait(waiting)
	if err != nil && ctx.Err() == nil {
		return lab.Reply{}, nil // lost, which the caller shows
	}
	return reply, err
}

// entriesOf are the entries of clients at the first service.
func (s *show) entriesOf(clients ...netip.AddrPort) ([]entry, error) {
	return s.entries.dump(func(e entry) bool {
		return e.listener.Port() == vpnPort && slices.Contains(clients, e.client)
	})
}

// showEntries lists entries, that of the old client first.
func (s *screen) showEntries(list []entry, old netip.AddrPort) {
	t := table{{"zone", 4, true}, {"client", 18, false}, {"listener", 15, false}, {"backend", 17, false}, {"", 15, false}}
	rank := func(e entry) int {
		if e.client == old {
			return -1
		}
		return int(e.zone)
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(rank(a), rank(b)) })
	s.head(t)
	for _, e := range list {
		state := normal.of("not answered")
		if e.answered {
			state = normal.of("answered")
		}
		if e.client == old {
			state = ink("33").of("left behind")
		}
		s.row(t, normal.of("%d", e.zone), normal.of("%s", e.client), normal.of("%s", e.listener), normal.of("%s", e.backend), state)
	}
}

// timeStale times the end of many stale entries.
func (s *show) timeStale(ctx context.Context) error {
	n := s.opts.Size.Stale
	s.blank()
	s.text("%d more sessions roam, one after the other, over IPv4, IPv6 and between the two. From the answer to the deletion:", n)
	zones, err := s.zones()
	if err != nil {
		return err
	}
	var delays []time.Duration
	for i := 0; i < n && i-len(delays) < 3; i++ { // each failure costs seconds
		s.progress("%d of %d", i+1, n)
		delay, ok, err := s.timeOne(ctx, i, zones)
		if err != nil {
			return err
		}
		if ok {
			delays = append(delays, delay)
		}
	}
	s.showDelays(delays, n)
	return nil
}

// zones are the zones of the backends, as conntrack shows them.
func (s *show) zones() ([]uint16, error) {
	zones := make([]uint16, len(weights))
	_, err := s.entries.dump(func(e entry) bool {
		for i, b := range s.bed.Backends {
			if e.listener.Port() == vpnPort && (e.backend.Addr() == b.IPv4 || e.backend.Addr() == b.IPv6) {
				zones[i] = e.zone
			}
		}
		return false
	})
	return zones, err
}

// timeOne lets a new session roam and returns how long after the answer its
// old entry was gone; ok is false if there was no answer or no end.
func (s *show) timeOne(ctx context.Context, i int, zones []uint16) (delay time.Duration, ok bool, err error) {
	of := newSession()
	v6 := []bool{i%2 == 1, i/2%2 == 1}
	var at [2]netip.AddrPort
	var reply lab.Reply
	for j := range at {
		at[j] = s.crowd.fresh(v6[j])
		if reply, _, err = s.bed.exchange(ctx, at[j], listener(vpnPort, v6[j]), of); err != nil || !reply.Answered() {
			return 0, false, err
		}
	}
	home := s.bed.Backends[s.settings.home(of)]
	backend := netip.AddrPortFrom(home.IPv4, vpnPort)
	if v6[0] {
		backend = netip.AddrPortFrom(home.IPv6, vpnPort)
	}
	old := entry{client: at[0], listener: listener(vpnPort, v6[0]), backend: backend, zone: zones[home.Number-1]}
	gone, err := s.entries.awaitEnd(ctx, old, staleLimit)
	if err != nil || gone.IsZero() {
		return 0, false, err
	}
	return gone.Sub(reply.Time), true, nil
}

// showDelays draws how the delays of n deletions are spread.
func (s *screen) showDelays(delays []time.Duration, n int) {
	limits := []time.Duration{1, 2, 5, 10, 50}
	in := make([]int, len(limits)+1)
	for _, d := range delays {
		i := slices.IndexFunc(limits, func(l time.Duration) bool { return d < l*time.Millisecond })
		if i < 0 {
			i = len(limits)
		}
		in[i]++
	}
	t := table{{"", 13, false}, {"", 5, true}, {"", 55, false}}
	for i, k := range in {
		label := fmt.Sprintf("more than %d", limits[len(limits)-1])
		if i < len(limits) {
			label = fmt.Sprintf("under %d ms", limits[i])
		}
		if k > 0 || i < 3 {
			s.row(t, dim.of("%s", label), normal.of("%d", k), ink("36").of("%s", s.bar(float64(k), float64(max(n, 1)), 50)))
		}
	}
	text := ""
	if slices.Sort(delays); len(delays) > 0 {
		text = fmt.Sprintf(": half within %s, all within %s", span(delays[len(delays)/2]), span(delays[len(delays)-1]))
	}
	s.claim(len(delays) == n, "%d of %d stale entries deleted%s", len(delays), n, text)
}
