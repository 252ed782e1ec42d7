package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// From include/uapi/linux/netfilter/nfnetlink_queue.h.
const (
	nfqnlMsgConfig    = 2 // NFQNL_MSG_CONFIG
	nfqaCfgCmd        = 1 // NFQA_CFG_CMD: struct {command u8, pad u8, pf be16}
	nfqnlCfgCmdBind   = 1
	nfqnlCfgCmdUnbind = 2
)

// boundQueues are the NFQUEUE numbers that some socket of this namespace
// holds, with its netlink port, which mostly is the process's id. Columns of
// nfnetlink_queue: number, port, packets waiting, copy mode, ...
func boundQueues() (map[uint16]uint32, error) {
	text, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the module is not there, and so no queue
	}
	if err != nil {
		return nil, err
	}
	queues := make(map[uint16]uint32)
	for line := range strings.Lines(string(text)) {
		var number uint16
		var port uint32
		if _, err := fmt.Sscan(line, &number, &port); err == nil {
			queues[number] = port
		}
	}
	return queues, nil
}

// queueBinding binds a queue that nobody uses. One of ours would, without a
// daemon, for a moment take in packets that our table sends there, and lose them.
func (h *host) queueBinding() []Result {
	const name = "nfqueue"
	bound, err := boundQueues()
	if err != nil {
		bound = nil // then the number is only very likely free: EBUSY says so
	}
	ours := h.ownQueues()
	number := uint16(0xffff)
	for bound[number] != 0 || slices.Contains(ours, number) {
		number--
	}
	err = tryQueue(number)
	if err == nil || errors.Is(err, unix.EBUSY) {
		return ok(name, "can be bound")
	}
	r := Result{Name: name, Status: Fail, Found: fmt.Sprintf("cannot be bound: %v", err), Want: "a kernel with CONFIG_NETFILTER_NETLINK_QUEUE"}
	if errors.Is(err, unix.EPERM) {
		r.Want = "CAP_NET_ADMIN in this network namespace"
	} else {
		r.Fix = "modprobe nfnetlink_queue"
	}
	return one(r)
}

func tryQueue(number uint16) error {
	conn, err := dialNfnetlink()
	if err != nil {
		return err
	}
	defer conn.close() // ends the binding in any case
	if err := conn.configureQueue(number, nfqnlCfgCmdBind); err != nil {
		return err
	}
	return conn.configureQueue(number, nfqnlCfgCmdUnbind)
}

func (n *nfnetlink) configureQueue(number uint16, command byte) error {
	return n.execute(request{
		typ:   unix.NFNL_SUBSYS_QUEUE<<8 | nfqnlMsgConfig,
		resID: number,
		attrs: attributes(func(a *netlink.AttributeEncoder) { a.Bytes(nfqaCfgCmd, []byte{command, 0, 0, 0}) }),
	})
}

func (h *host) ownQueues() []uint16 {
	var ours []uint16
	q := h.Config.Queues
	for i := range q.Count {
		ours = append(ours, q.First+i)
	}
	return ours
}

// queueOwners looks who holds the queues that we are to use.
func (h *host) queueOwners() []Result {
	const name = "queue numbers"
	bound, err := boundQueues()
	if err != nil {
		return skip(name, "cannot be listed: %v", err)
	}
	if h.daemon.running {
		return ok(name, "%s and holds them", h.daemon)
	}
	var results []Result
	for _, number := range h.ownQueues() {
		port, taken := bound[number]
		if !taken {
			continue
		}
		r := Result{
			Name: name, Status: Fail, Found: fmt.Sprintf("queue %d is held by netlink port %d", number, port),
			Want: "queues of our own: one that another program holds cannot be bound",
			Fix:  "set queues.first to a range that is free",
		}
		if !h.daemon.known() { // it may be the daemon's
			r.Status = Warn
		}
		results = append(results, r)
	}
	if results == nil {
		return ok(name, "%d to %d are free", h.Config.Queues.First, int(h.Config.Queues.First)+int(h.Config.Queues.Count)-1)
	}
	return results
}
