package check

import (
	"fmt"

	"github.com/roamlb/roamlb/store"
)

// daemon is what is known of a running one.
type daemon struct {
	running bool
	pid     int   // 0: not known
	err     error // why it is not known whether one runs
	asked   bool
}

func findDaemon(state string) daemon {
	if state == "" {
		return daemon{}
	}
	pid, running, err := store.Owner(state)
	return daemon{running: running, pid: pid, err: err, asked: true}
}

// known reports whether it is certain that a daemon runs or does not.
func (d daemon) known() bool { return d.asked && d.err == nil }

func (d daemon) String() string {
	switch {
	case !d.asked:
		return "whether a daemon runs is not known"
	case d.running && d.pid != 0:
		return fmt.Sprintf("a daemon runs (process %d)", d.pid)
	case d.running:
		return "a daemon runs"
	case d.err != nil:
		return fmt.Sprintf("whether a daemon runs is not known (%v)", d.err)
	default:
		return "no daemon runs"
	}
}

// ownTable compares whether our table is there with whether a daemon is.
func (h *host) ownTable() []Result {
	const name = "own table"
	if h.ruleErr != nil {
		return skip(name, "cannot be listed: %v", h.ruleErr)
	}
	there := "no table inet " + tableName
	if h.rules.own {
		there = "table inet " + tableName + " is there"
	}
	if !h.daemon.known() {
		return skip(name, "%s, %s", there, h.daemon)
	}
	r := Result{Name: name, Status: OK, Found: fmt.Sprintf("%s, %s", there, h.daemon)}
	switch {
	case h.daemon.running && !h.rules.own && len(h.Config.Services) > 0:
		r.Status = Fail
		r.Want = "the daemon's table: without it nothing is balanced; the daemon may work in another network namespace"
		r.Fix = "systemctl restart roamlb"
	case !h.daemon.running && h.rules.own:
		r.Status = Warn
		r.Want = "a daemon beside the table: until one runs the kernel goes on balancing by itself, without roams and health"
		r.Fix = "systemctl start roamlb, or to end balancing: roamlb flush"
	}
	return one(r)
}
