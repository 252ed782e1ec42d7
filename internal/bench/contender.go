package bench

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// contender is one way to balance.
type contender struct {
	name  string // as results and tables call it
	about string // for people
	start func(*bed) (*running, error)
	busy  time.Duration                             // how long it is, behind its start
	home  func(v *balancer.View, session int) uint8 // the backend where a session belongs; 0 for any
}

// The contenders' names.
const (
	dnat      = "dnat"
	hash      = "hash"
	session   = "session"
	flow      = "flow"
	kernel    = "kernel"
	simple    = "callback"
	ipvsMH    = "ipvs-mh"
	ipvsSH    = "ipvs-sh"
	unlimited = 0 // as a rate: as fast as possible
)

// allContenders is the order of tables.
var allContenders = []string{dnat, hash, session, flow, kernel, simple, ipvsMH, ipvsSH}

// startUp is how long roamlb is busy with its start: it compares with conntrack,
// which is still empty, twice.
const startUp = 2 * time.Second

// contenders are all of them, with IPVS or not: not every kernel has it, and
// to ask for it loads its modules.
func contenders(v *balancer.View, opts *Options) []contender {
	busy := startUp
	if opts.Smoke {
		busy = 0
	}
	list := []contender{
		{name: dnat, about: "plain nft DNAT to one backend", home: first, start: func(b *bed) (*running, error) {
			return &running{}, addDNAT(b.net.LB)
		}},
		{name: hash, about: "nft jhash of the key into a map, in the kernel", home: homeOf, start: func(b *bed) (*running, error) {
			return &running{}, addHash(b.net.LB, v)
		}},
		{name: session, about: "roamlb, session pinning", home: homeOf, start: roamlb(), busy: busy},
		{name: flow, about: "roamlb, flow pinning", home: homeOf, start: roamlb("pinning: flow"), busy: busy},
		{name: kernel, about: "roamlb, session pinning, datapath kernel", home: homeOf, start: roamlb("datapath: kernel"), busy: busy},
		{name: simple, about: "go-nfqueue, one callback and one verdict a packet", home: homeOf, start: func(b *bed) (*running, error) {
			if err := addCallback(b.net.LB); err != nil {
				return nil, err
			}
			c, err := startChild(b.net.LB, b.dir, "callback")
			return &running{child: c}, err
		}},
	}
	if !opts.IPVS {
		return list
	}
	for name, scheduler := range map[string]string{ipvsMH: "mh", ipvsSH: "sh"} {
		list = append(list, contender{name: name, about: "IPVS by NAT, scheduler " + scheduler, home: anywhere, start: func(b *bed) (*running, error) {
			return &running{}, addIPVS(b.net.LB, scheduler)
		}})
	}
	return list
}

// started starts the contender and waits until it is done with that.
func (c *contender) started(b *bed) (*running, error) {
	r, err := c.start(b)
	if err == nil {
		time.Sleep(c.busy)
	}
	return r, err
}

func first(*balancer.View, int) uint8    { return 1 }
func anywhere(*balancer.View, int) uint8 { return 0 }

// roamlb starts the daemon with further members of the service.
func roamlb(members ...string) func(*bed) (*running, error) {
	return func(b *bed) (*running, error) {
		path, err := writeConfig(b.dir, configText(b.dir, append(members, b.members...)...))
		if err != nil {
			return nil, err
		}
		c, err := startChild(b.net.LB, b.dir, "serve", path)
		return &running{child: c, daemon: true}, err
	}
}

// running is a contender at work.
type running struct {
	child  *child // nil where the kernel does it all
	daemon bool   // the child is roamlb
}

// time is how long its process has run so far.
func (r *running) time() (time.Duration, error) {
	if r.child == nil {
		return 0, nil
	}
	return processTime(r.child.cmd.Process.Pid)
}

// stop ends the process.
func (r *running) stop() error {
	if r == nil || r.child == nil {
		return nil
	}
	return r.child.stop()
}

// answers is what roamlb's queues have done.
type answers struct{ packets, bursts int }

// asked is what roamlb has answered in user space. It is known once the daemon
// has stopped.
func (r *running) asked() (sum answers, err error) {
	if !r.daemon {
		return sum, nil
	}
	found := false
	for _, line := range r.child.lines() {
		if !strings.Contains(line, "msg=queue ") {
			continue
		}
		packets, err := numberAfter(line, " packets=")
		if err != nil {
			return sum, err
		}
		bursts, err := numberAfter(line, " bursts=")
		if err != nil {
			return sum, err
		}
		sum, found = answers{sum.packets + packets, sum.bursts + bursts}, true
	}
	if !found {
		return sum, errors.New("the daemon does not say what it saw")
	}
	return sum, nil
}

// numberAfter is the number that a line of the daemon's log gives by a name.
func numberAfter(line, name string) (int, error) {
	_, rest, _ := strings.Cut(line, name)
	n, err := strconv.Atoi(strings.Fields(rest + " -")[0])
	if err != nil {
		return 0, fmt.Errorf("read the daemon's log: %q", line)
	}
	return n, nil
}

// allocations is how many of Go's roamlb has made so far.
func (r *running) allocations() (n uint64, err error) {
	if r.daemon {
		err = r.child.ask("allocations", &n)
	}
	return n, err
}
