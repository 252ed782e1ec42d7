package ctsync

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

// A random history of packets, answers, losses, delays and time, beside a
// naive record of what really happened. Whatever happens, nobody is cut off
// without a proof, and nothing is kept for ever.

// history is what really happened.
type history struct {
	*world
	t        *rapid.T
	spots    map[spot][]int64  // when a session was seen somewhere, and Go was told
	answered map[Tuple][]int64 // when the backend sent the first answer of an entry
	held     []balancer.Fact   // facts that are still under way
	deaf     bool              // conntrack's events are lost
}

type spot struct {
	session int
	tuple   Tuple
}

const (
	modelSessions = 4
	modelClients  = 5
)

func (h *history) draw(name string, n int) int { return rapid.IntRange(0, n-1).Draw(h.t, name) }

// see notes that a session was seen, and has Go told of it, now or later.
func (h *history) see(session int, f balancer.Fact) {
	s := spot{session, h.tuple(f.Client, f.Backend)}
	h.spots[s] = append(h.spots[s], f.At)
	if h.draw("late", 8) == 0 {
		h.held = append(h.held, f)
		return
	}
	h.s.Put([]balancer.Fact{f})
	if h.draw("twice", 6) == 0 {
		h.s.Put([]balancer.Fact{f})
	}
}

// speak is a packet of a session, by way of steer where the kernel has no
// element, else by way of track.
func (h *history) speak(steer bool) {
	session, c := h.draw("session", modelSessions), client(h.draw("client", modelClients))
	f := h.decide(key(session), c)
	known := h.ct.entries[h.tuple(c, f.Backend)] != nil
	if f.NewFlow = !steer; steer || !known {
		h.see(session, f)
	}
	h.packet(c, f.Backend)
	h.settle()
}

// reply is a backend's answer to one of the clients.
func (h *history) reply() {
	c := client(h.draw("client", modelClients))
	for _, b := range h.service.Backends {
		e := h.ct.entries[h.tuple(c, b.ID)]
		if e == nil {
			continue
		}
		first := e.Status&SeenReply == 0
		ev := h.answer(e)
		if first {
			h.answered[e.Tuple] = append(h.answered[e.Tuple], h.clock)
			h.ct.onEvent([]Event{ev})
		} else {
			e.Status |= Assured
		}
	}
	h.settle()
}

func (h *history) deliver() {
	for len(h.held) > 0 {
		i := h.draw("which", len(h.held))
		h.s.Put(h.held[i : i+1])
		h.held = append(h.held[:i], h.held[i+1:]...)
		h.settle()
	}
}

// wasLeft reports whether a session was seen on an entry and later, by the
// proof of an answer, elsewhere; where the entry has been silent, not only
// later: of two clients by turns one has to go.
func (h *history) wasLeft(t Tuple, silent bool) bool {
	for s, seen := range h.spots {
		if s.tuple != t {
			continue
		}
		for to, then := range h.spots {
			if to.session != s.session || to.tuple == t {
				continue
			}
			for _, at := range then {
				for _, answer := range h.answered[to.tuple] {
					if silent || at >= seen[0] && answer >= seen[0] {
						return true
					}
				}
			}
		}
	}
	return false
}

// judge checks a deletion the moment it is made.
func (h *history) judge(e *fakeEntry) error {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if i := h.s.core.flowOf(&e.Entry); i != 0 && h.s.core.flows.at(i).used() {
		return fmt.Errorf("the entry of %v is deleted, and is a session's", e.Tuple)
	}
	if h.service.Stale == balancer.StaleImmediate {
		return nil
	}
	if h.service.Stale == balancer.StaleNever {
		return errors.New("a deletion, although the policy is never")
	}
	silent := h.clock-e.spoke >= int64(h.service.ConfirmTimeout-2*time.Second)
	if e.Status&SeenReply != 0 && !h.wasLeft(e.Tuple, silent) {
		return fmt.Errorf("the entry of %v is deleted without a proof", e.Tuple)
	}
	return nil
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{
			t: rt, spots: make(map[spot][]int64), answered: make(map[Tuple][]int64),
		}
		stale := rapid.SampledFrom([]balancer.Stale{balancer.StaleOnReply, balancer.StaleOnReply, balancer.StaleImmediate, balancer.StaleNever}).Draw(rt, "stale")
		pinning := rapid.SampledFrom([]balancer.Pinning{balancer.PinSession, balancer.PinFlow}).Draw(rt, "pinning")
		h.world = newWorld(rt, func(s *balancer.Service) {
			s.Stale, s.Pinning = stale, pinning
			s.SessionTTL = 10 * time.Minute
			s.Backends = s.Backends[:2]
		})
		h.ct.counted = rapid.Bool().Draw(rt, "counted")
		listen := h.ct.onEvent
		h.ct.onEvent = func(es []Event) {
			if !h.deaf {
				listen(es)
			}
		}
		h.ct.onDelete = func(e *fakeEntry) {
			if err := h.judge(e); err != nil {
				rt.Fatal(err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"speak": func(*rapid.T) { h.speak(pinning == balancer.PinSession && h.draw("steer", 3) == 0) },
			"reply": func(*rapid.T) { h.reply() },
			"exchange": func(*rapid.T) {
				h.speak(false)
				h.clock += int64(time.Millisecond)
				h.reply()
			},
			"moment": func(*rapid.T) { h.pass(time.Duration(1+h.draw("ms", 1000)) * time.Millisecond) },
			"while":  func(*rapid.T) { h.pass(time.Duration(1+h.draw("s", 40)) * time.Second) },
			"late":   func(*rapid.T) { h.deliver() },
			"deaf":   func(*rapid.T) { h.deaf = !h.deaf },
			"dump": func(*rapid.T) {
				if h.ct.fail == nil {
					h.dump()
				} else if err := h.s.dump(t.Context()); !errors.Is(err, h.ct.fail) {
					rt.Fatalf("a dump that must fail: %v", err)
				}
			},
			"fails": func(*rapid.T) {
				if h.ct.fail = nil; h.draw("fails", 2) == 0 {
					h.ct.fail = errors.New("no memory")
				}
			},
			"restart": func(*rapid.T) {
				if h.draw("really", 4) != 0 || h.ct.fail != nil {
					return
				}
				snapshot := h.save()
				if h.draw("snapshot", 2) == 0 {
					snapshot = nil
				}
				h.restart(time.Duration(h.draw("away", 20))*time.Second, snapshot)
				listen = h.ct.onEvent
				h.ct.onEvent = func(es []Event) {
					if !h.deaf {
						listen(es)
					}
				}
				h.held = nil
			},
			"": func(*rapid.T) {
				if err := h.s.core.consistent(); err != nil {
					rt.Fatal(err)
				}
				if err := h.table().consistent(); err != nil {
					rt.Fatal(err)
				}
				if n := h.s.core.flows.slab.held(); n > 2*2*modelClients {
					rt.Fatalf("%d flows of %d clients", n, modelClients)
				}
			},
		})
		h.end(rt)
	})
}

// end lets everybody fall silent: nothing may be left.
func (h *history) end(rt *rapid.T) {
	h.ct.fail, h.deaf = nil, false
	h.held = nil
	h.pass(2 * infancy) // a dump does not bury the youngest
	h.dump()
	h.pass(3 * time.Minute)
	st := h.s.Stats()
	if st.Pending != 0 || st.Services["vpn"].Waiting != 0 || st.Services["vpn"].Shared != 0 || st.Idle != 0 {
		rt.Fatalf("all entries have ended, and this is left: %+v", st)
	}
	h.pass(11 * time.Minute)
	if st := h.s.Stats(); st.Flows != 0 || st.Services["vpn"].Sessions != 0 {
		rt.Fatalf("all sessions have ended, and this is left: %+v", st)
	}
	for _, e := range h.tells(event.StaleDeleted) {
		if e.Delay < 0 || e.Age < 0 || e.Reason == "" || e.Service != "vpn" {
			rt.Fatalf("told %+v", e)
		}
	}
}

func TestModelWithoutLosses(t *testing.T) {
	// Nothing is lost and nobody attacks: a session that has moved, and was
	// answered, leaves no entry behind.
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, nil)
		at := make(map[int]netip.AddrPort)
		rt.Repeat(map[string]func(*rapid.T){
			"roam": func(rt *rapid.T) {
				session := rapid.IntRange(0, 5).Draw(rt, "session")
				c := client(1000*session + rapid.IntRange(0, 200).Draw(rt, "client"))
				if _, ok := at[session]; !ok {
					w.reply(c, w.first(key(session), c))
				} else {
					w.exchange(key(session), c)
				}
				at[session] = c
				w.pass(time.Duration(rapid.IntRange(1, 20000).Draw(rt, "ms")) * time.Millisecond)
			},
			"": func(rt *rapid.T) {
				live := make(map[netip.AddrPort]bool)
				for _, c := range w.clients() {
					live[c] = true
				}
				for session, c := range at {
					s, ok := w.table().Session(key(session))
					if !ok || s.Client != c && !s.Shared && live[c] {
						rt.Fatalf("session %d is on %v, it speaks from %v", session, s.Client, c)
					}
					delete(live, c)
					if s.Shared {
						delete(live, s.Client)
						delete(live, s.Candidate)
					}
				}
				if len(live) != 0 {
					rt.Fatalf("left behind: %v", live)
				}
			},
		})
	})
}
