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
	one   bool // it knows one backend only
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

// contenders are all that this kernel can run.
func contenders(v *balancer.View) []contender {
	return []contender{
		{name: dnat, about: "plain nft DNAT to one backend", one: true, start: func(b *bed) (*running, error) {
			return &running{}, addDNAT(b.net.LB)
		}},
		{name: hash, about: "nft jhash of the key into a map, in the kernel", start: func(b *bed) (*running, error) {
			return &running{}, addHash(b.net.LB, v)
		}},
		{name: session, about: "roamlb, session pinning", start: roamlb()},
		{name: flow, about: "roamlb, flow pinning", start: roamlb("pinning: flow")},
		{name: kernel, about: "roamlb, session pinning, datapath kernel", start: roamlb("datapath: kernel")},
		{name: simple, about: "go-nfqueue, one callback and one verdict a packet", start: func(b *bed) (*running, error) {
			if err := addCallback(b.net.LB); err != nil {
				return nil, err
			}
			c, err := startChild(b.net.LB, b.dir, "callback")
			return &running{child: c}, err
		}},
	}
}

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

// asked is how many packets roamlb has answered in user space. It is known
// once the daemon has stopped.
func (r *running) asked() (int, error) {
	if !r.daemon {
		return 0, nil
	}
	sum, found := 0, false
	for _, line := range r.child.lines() {
		if !strings.Contains(line, "msg=queue ") {
			continue
		}
		_, rest, _ := strings.Cut(line, " packets=")
		n, err := strconv.Atoi(strings.Fields(rest + " -")[0])
		if err != nil {
			return 0, fmt.Errorf("read the daemon's log: %q", line)
		}
		sum, found = sum+n, true
	}
	if !found {
		return 0, errors.New("the daemon does not say what it saw")
	}
	return sum, nil
}
