package check

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// From include/uapi/linux/netfilter/nfnetlink_conntrack.h and nfnetlink_compat.h.
const (
	ipctnlMsgCtGetStats     = 5 // IPCTNL_MSG_CT_GET_STATS
	nfnlgrpConntrackUpdate  = 2 // NFNLGRP_CONNTRACK_UPDATE
	nfnlgrpConntrackDestroy = 3 // NFNLGRP_CONNTRACK_DESTROY
)

const (
	sysctlConntrackMax    = "net/netfilter/nf_conntrack_max"
	sysctlConntrackCount  = "net/netfilter/nf_conntrack_count"
	sysctlConntrackEvents = "net/netfilter/nf_conntrack_events"
	sysctlConntrackAcct   = "net/netfilter/nf_conntrack_acct"
)

// conntrackNetlink asks for a number and joins the event groups.
func (h *host) conntrackNetlink() []Result {
	const name = "conntrack netlink"
	conn, err := dialNfnetlink()
	if err == nil {
		defer conn.close()
		err = conn.execute(request{typ: unix.NFNL_SUBSYS_CTNETLINK<<8 | ipctnlMsgCtGetStats})
	}
	if err != nil {
		return one(Result{
			Name: name, Status: Fail, Found: fmt.Sprintf("does not answer: %v", err),
			Want: "CAP_NET_ADMIN and a kernel with CONFIG_NF_CT_NETLINK: stale entries are deleted by it",
			Fix:  "modprobe nf_conntrack_netlink",
		})
	}
	for _, group := range []int{nfnlgrpConntrackUpdate, nfnlgrpConntrackDestroy} {
		if err := unix.SetsockoptInt(conn.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return one(Result{Name: name, Status: Fail, Found: fmt.Sprintf("no events: %v", err), Want: "CAP_NET_ADMIN in this network namespace"})
		}
	}
	return ok(name, "answers, and its events can be had")
}

// conntrackEvents: 0 is off, 1 on, 2 on while somebody listens (since 5.19).
func (h *host) conntrackEvents() []Result {
	const name = "conntrack events"
	n, err := readSysctl(sysctlConntrackEvents)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return one(Result{Name: name, Status: Fail, Found: "the kernel has none", Want: "CONFIG_NF_CONNTRACK_EVENTS: they tell that a backend has answered at a client's new address"})
	case err != nil:
		return skip(name, "%v", err)
	case n != 0:
		return ok(name, "on")
	}
	return one(Result{
		Name: name, Status: Fail, Found: "off",
		Want: "on: they tell that a backend has answered at a client's new address; without them old entries go late",
		Fix:  "sysctl -w " + setting{sysctlConntrackEvents, 1}.argument(),
	})
}

// conntrackSize: every session has an entry, so the table should hold as many
// as the services may have sessions.
func (h *host) conntrackSize() []Result {
	const name = "conntrack table"
	size, err := readSysctl(sysctlConntrackMax)
	if err != nil {
		return skip(name, "%v", err)
	}
	count, err := readSysctl(sysctlConntrackCount)
	if err != nil {
		return skip(name, "%v", err)
	}
	sessions := 0
	for i := range h.Config.Services {
		sessions += h.Config.Services[i].MaxSessions
	}
	return one(conntrackRoom(name, count, size, sessions))
}

func conntrackRoom(name string, count, size, sessions int) Result {
	r := Result{Name: name, Status: OK, Found: fmt.Sprintf("%d of %d entries used, %d sessions allowed", count, size, sessions)}
	// Roams hold two entries for a while, and there are others' flows.
	target := sessions + sessions/4
	switch {
	case count >= size-size/10:
		r.Status, r.Want = Fail, "free entries: a packet that finds none is dropped"
		return r.wanting(setting{sysctlConntrackMax, max(target, 2*size)})
	case size < sessions:
		r.Status, r.Want = Warn, "an entry for each session that the services' max_sessions allow, or a lower max_sessions"
		return r.wanting(setting{sysctlConntrackMax, target})
	default:
		return r
	}
}

// conntrackCounters is information: both settings do.
func (h *host) conntrackCounters() []Result {
	const name = "conntrack counters"
	switch n, err := readSysctl(sysctlConntrackAcct); {
	case err != nil:
		return skip(name, "%v", err)
	case n == 0:
		return ok(name, "off: whether an old client has spoken again is told by its entry's remaining timeout, to the second (net.netfilter.nf_conntrack_acct=1 tells it exactly)")
	default:
		return ok(name, "on")
	}
}
