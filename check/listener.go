package check

import (
	"fmt"
	"net/netip"
)

func (h *host) allListeners() []netip.AddrPort {
	var all []netip.AddrPort
	for i := range h.Config.Services {
		all = append(all, h.Config.Services[i].Listen...)
	}
	return all
}

// listeners: an address that is not this host's can still be routed to it,
// but that is another host's to decide.
func (h *host) listeners() []Result {
	const name = "listeners"
	all := h.allListeners()
	switch {
	case len(all) == 0:
		return skip(name, "no service is configured")
	case h.network == nil:
		return skip(name, "%v", h.netErr)
	}
	var results []Result
	seen := make(map[netip.Addr]bool)
	for _, l := range all {
		addr := l.Addr()
		if seen[addr] {
			continue
		}
		seen[addr] = true
		r, err := h.network.route(addr)
		if err == nil && r.local {
			continue
		}
		link, where := "lo", "no route leads to it"
		if err == nil {
			where = "it is sought by " + h.network.linkName(r.link)
			if !r.gateway { // in a network of ours: neighbours ask for it there
				link = h.network.linkName(r.link)
			}
		}
		results = append(results, Result{
			Name: name, Status: Warn, Found: fmt.Sprintf("%s is not an address of this host, %s", addr, where),
			Want: "an address of this host, or a route to this host in the network that clients come from",
			Fix:  fmt.Sprintf("ip address add %s/%d dev %s", addr, addr.BitLen(), shellWord(link)),
		})
	}
	if results == nil {
		return ok(name, "%d addresses, all of this host", len(seen))
	}
	return results
}
