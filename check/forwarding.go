package check

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	sysctlForward4 = "net/ipv4/ip_forward"
	sysctlForward6 = "net/ipv6/conf/all/forwarding"
)

// forwards reports whether packets of a family have to go on to other hosts: a
// service listens on it and has a backend elsewhere.
func (h *host) forwards(v6 bool) bool {
	for _, t := range h.targets() {
		if t.addr.Is6() != v6 {
			continue
		}
		if r, err := h.network.route(t.addr); err == nil && !r.local {
			return true
		}
	}
	return false
}

// forwarding4: ip_forward is the switch for all interfaces, and each has one
// of its own that counts for the packets that come in by it.
func (h *host) forwarding4() []Result {
	const name = "IPv4 forwarding"
	if r := h.noForwarding(name, false); r != nil {
		return r
	}
	const want = "on: clients' packets go on to backends on other hosts"
	switch n, err := readSysctl(sysctlForward4); {
	case err != nil:
		return skip(name, "%v", err)
	case n == 0:
		return one(Result{Name: name, Status: Fail, Found: "off", Want: want}.wanting(setting{sysctlForward4, 1}))
	}
	var results []Result
	for _, link := range h.involved(false) {
		own := "net/ipv4/conf/" + link + "/forwarding"
		if n, err := readSysctl(own); err == nil && n == 0 {
			r := Result{Name: name, Status: Fail, Found: fmt.Sprintf("off for packets that come in by %s", link), Want: want}
			results = append(results, r.wanting(setting{own, 1}))
		}
	}
	if results == nil {
		return ok(name, "on")
	}
	return results
}

func (h *host) forwarding6() []Result {
	const name = "IPv6 forwarding"
	if r := h.noForwarding(name, true); r != nil {
		return r
	}
	switch n, err := readSysctl(sysctlForward6); {
	case err != nil:
		return skip(name, "%v", err)
	case n != 0:
		return ok(name, "on")
	}
	r := Result{Name: name, Status: Fail, Found: "off", Want: "on: clients' packets go on to backends on other hosts"}
	return one(r.wanting(append(h.keepAdvertised(), setting{sysctlForward6, 1})...))
}

// keepAdvertised is what keeps routes learned from router advertisements: a
// host that forwards ignores these unless accept_ra is 2, and would lose its
// default route.
func (h *host) keepAdvertised() []setting {
	var set []setting
	seen := make(map[int]bool)
	for _, r := range h.network.routes[index(true)] {
		if r.Protocol != unix.RTPROT_RA || seen[r.LinkIndex] {
			continue
		}
		seen[r.LinkIndex] = true
		accept := "net/ipv6/conf/" + h.network.linkName(r.LinkIndex) + "/accept_ra"
		if n, err := readSysctl(accept); err == nil && n == 1 {
			set = append(set, setting{accept, 2})
		}
	}
	return set
}

// noForwarding is the result where forwarding is of no matter, else nil.
func (h *host) noForwarding(name string, v6 bool) []Result {
	switch {
	case h.network == nil:
		return skip(name, "%v", h.netErr)
	case !h.forwards(v6):
		return skip(name, "not needed: no backend on another host is reached over %s", familyName(v6))
	}
	return nil
}

// reversePath: 1 is strict, 2 loose, 0 off; the larger of an interface's own
// value and that for all counts.
func (h *host) reversePath() []Result {
	const name = "reverse path filter"
	if h.network == nil {
		return skip(name, "%v", h.netErr)
	}
	all, err := readSysctl("net/ipv4/conf/all/rp_filter")
	if err != nil {
		return skip(name, "%v", err)
	}
	var results []Result
	for _, link := range h.involved(false) {
		own := "net/ipv4/conf/" + link + "/rp_filter"
		n, err := readSysctl(own)
		if err != nil || max(n, all) != 1 || h.network.lone() {
			continue
		}
		r := Result{
			Name: name, Status: Warn, Found: "strict on " + link,
			Want: "loose: strict drops, without a trace, packets that come in by another interface than the one the way back uses",
		}
		results = append(results, r.wanting(setting{own, 2}))
	}
	if results == nil {
		return ok(name, "lets packets pass")
	}
	return results
}
