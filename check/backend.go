package check

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/roamlb/roamlb/balancer"
)

// target is one address that packets are sent on to.
type target struct {
	service *balancer.Service
	backend *balancer.Backend
	addr    netip.Addr
}

func (t target) String() string {
	return fmt.Sprintf("%s/%s at %s", t.service.Name, t.backend.Name, netip.AddrPortFrom(t.addr, t.backend.Port))
}

// targets are the backends' addresses that packets are sent on to.
func (h *host) targets() []target {
	var all []target
	for i := range h.Config.Services {
		all = append(all, targetsOf(&h.Config.Services[i])...)
	}
	return all
}

// targetsOf are those of the families that the service listens on.
func targetsOf(svc *balancer.Service) []target {
	var listens [2]bool
	for _, l := range svc.Listen {
		listens[index(l.Addr().Is6())] = true
	}
	var all []target
	for i := range svc.Backends {
		for _, a := range svc.Backends[i].Addresses {
			if listens[index(a.Is6())] {
				all = append(all, target{svc, &svc.Backends[i], a})
			}
		}
	}
	return all
}

// backends: is there a way to each, and where one is on this host, does its
// socket answer from the right address?
func (h *host) backends() []Result {
	const name = "backends"
	all := h.targets()
	switch {
	case len(all) == 0:
		return skip(name, "none is configured")
	case h.network == nil:
		return skip(name, "%v", h.netErr)
	}
	sockets, err := readUDPSockets()
	if err != nil {
		return skip(name, "%v", err)
	}
	var results []Result
	for _, t := range all {
		r, err := h.network.route(t.addr)
		switch {
		case err != nil:
			results = append(results, Result{
				Name: name, Status: Fail, Found: fmt.Sprintf("%s cannot be reached: %v", t, err),
				Want: "a route to it",
				Fix:  fmt.Sprintf("ip route add %s/%d via GATEWAY", t.addr, t.addr.BitLen()),
			})
		case r.local:
			results = append(results, t.localResult(name, sockets)...)
		}
	}
	if results == nil {
		return ok(name, "a route leads to each of %d addresses", len(all))
	}
	return results
}

// localResult looks at a backend on this host; nil where it is well.
func (t target) localResult(name string, sockets udpSockets) []Result {
	at := netip.AddrPortFrom(t.addr, t.backend.Port)
	r := Result{Name: name, Status: Warn}
	switch {
	case t.addr.Is4() && t.addr.IsLoopback():
		r.Found = fmt.Sprintf("%s is a loopback address", t)
		r.Want = "an address that packets from outside may be sent on to; these are dropped"
		r.Fix = "give the backend another address of this host"
	case sockets.bound(at):
		return nil
	case sockets.wildcard(at):
		r.Found = fmt.Sprintf("%s is on this host and its socket is bound to every address", t)
		r.Want = "a socket bound to the address itself: one bound to every address may answer from another, which no client expects"
		r.Fix = fmt.Sprintf("have the server listen on %s", at)
	default:
		r.Found = fmt.Sprintf("%s is on this host, and nothing listens there", t)
		r.Want = "a server in this network namespace"
		r.Fix = fmt.Sprintf("start the server so that it listens on %s", at)
	}
	return one(r)
}

// returnPaths: without source NAT a backend sees the client's address, and its
// answers have to come back through this host to get the listener's. What can
// be told from here is where they might not.
func (h *host) returnPaths() []Result {
	const name = "return path"
	if h.network == nil {
		return skip(name, "%v", h.netErr)
	}
	var results []Result
	checked := false
	for i := range h.Config.Services {
		svc := &h.Config.Services[i]
		if svc.SNAT == balancer.SNATMasquerade {
			continue
		}
		checked = true
		if r, bad := h.returnPath(svc); bad {
			r.Name = name
			results = append(results, r)
		}
	}
	switch {
	case results != nil:
		return results
	case !checked:
		return skip(name, "no service is without masquerading")
	default:
		return ok(name, "no way around this host is seen; a backend's route to the clients must lead here")
	}
}

func (h *host) returnPath(svc *balancer.Service) (r Result, bad bool) {
	holders := make(map[int]bool) // links that hold a listener
	for _, l := range svc.Listen {
		holders[h.network.holders[l.Addr()]] = true
	}
	var doubtful []string
	var via netip.Addr
	for _, t := range targetsOf(svc) {
		way, err := h.network.route(t.addr)
		if err != nil || way.local {
			continue
		}
		switch {
		case way.gateway:
			doubtful = append(doubtful, fmt.Sprintf("%s (%s, behind a gateway)", t.backend.Name, t.addr))
		case holders[way.link]:
			doubtful = append(doubtful, fmt.Sprintf("%s (%s, in a listener's network, where clients are answered directly)", t.backend.Name, t.addr))
		default:
			continue
		}
		via = way.source
	}
	if doubtful == nil {
		return Result{}, false
	}
	const most = 5
	if len(doubtful) > most {
		doubtful = append(doubtful[:most], fmt.Sprintf("and %d more", len(doubtful)-most))
	}
	return Result{
		Status: Warn, Found: fmt.Sprintf("%s: %s", svc.Name, strings.Join(doubtful, ", ")),
		Want: "answers that come back through this host: a client drops one that comes from the backend's own address",
		Fix:  fmt.Sprintf("route the clients' networks via this host on the backend (ip route replace default via %s), or set snat: masquerade", via),
	}, true
}
