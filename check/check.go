// Package check finds out what a host lacks for roamlb, or has set against
// it, and says what to do about it. It changes nothing but by [Fix], and needs
// no programs: it reads the live kernel, and tries nftables features in a
// transaction that is never committed, which no packet and no other program
// notices.
//
// Everything is looked at in the network namespace of the calling thread. A
// caller that entered one keeps its goroutine locked to that thread.
package check

import (
	"context"
	"fmt"

	"github.com/roamlb/roamlb/balancer"
)

// Status is how a check came out.
type Status string

// The statuses, from good to bad.
const (
	Skip Status = "skip" // not looked at: not needed here, or it cannot be known
	OK   Status = "ok"
	Warn Status = "warn" // may be as it should be: only the operator knows
	Fail Status = "fail" // roamlb cannot do its work
)

func (s Status) rank() int {
	switch s {
	case Skip:
		return 0
	case OK:
		return 1
	case Warn:
		return 2
	default:
		return 3
	}
}

// Result is one finding. A check that looks at several things (listeners,
// interfaces, chains) has a result for each that is not well.
type Result struct {
	Name    string `json:"name"` // of the check; several results can share it
	Status  Status `json:"status"`
	Found   string `json:"found"`          // how it is
	Want    string `json:"want,omitempty"` // how it should be, and why
	Fix     string `json:"fix,omitempty"`  // a command to type, or what to do
	Fixable bool   `json:"fixable"`        // Fix would do it
	set     []setting
}

// Worst is the worst status among results: Skip where there are none.
func Worst(results []Result) Status {
	worst := Skip
	for _, r := range results {
		if r.Status.rank() > worst.rank() {
			worst = r.Status
		}
	}
	return worst
}

// Input is what the host is checked for.
type Input struct {
	// Config is the configuration, resolved: defaults filled in. Backends
	// need no ids yet.
	Config balancer.Config
	// State is the path of the daemon's state file, which tells whether a
	// daemon runs; empty: that is not looked at.
	State string
}

// host is one run's view of the host: read once, so that all checks speak of
// the same moment.
type host struct {
	Input
	marks   balancer.Marks
	daemon  daemon
	network *network
	rules   *ruleset
	netErr  error // why network is nil
	ruleErr error // why rules is nil
}

// checks in the order of their results. The features come first: trying them
// has the kernel load the modules whose settings are read later.
var checks = []func(*host) []Result{
	(*host).kernel,
	(*host).features,
	(*host).queueBinding,
	(*host).queueOwners,
	(*host).conntrackNetlink,
	(*host).conntrackEvents,
	(*host).conntrackSize,
	(*host).conntrackCounters,
	(*host).forwarding4,
	(*host).forwarding6,
	(*host).reversePath,
	(*host).listeners,
	(*host).backends,
	(*host).returnPaths,
	(*host).forwardChains,
	(*host).legacyTables,
	(*host).foreignMarks,
	(*host).earlierNAT,
	(*host).untracked,
	(*host).ownTable,
}

// Run makes every check and returns the results in a fixed order. It takes
// some ten milliseconds, longer where other tables hold very many rules. When
// ctx ends it returns what it has so far. It may run beside the daemon.
func Run(ctx context.Context, in Input) []Result {
	h := &host{Input: in, marks: balancer.Marks{Mask: in.Config.MarkMask}}
	h.daemon = findDaemon(in.State)
	h.network, h.netErr = readNetwork()
	if h.network != nil {
		defer h.network.close()
	}
	h.rules, h.ruleErr = readRuleset(ctx)
	var results []Result
	for _, check := range checks {
		if ctx.Err() != nil {
			return results
		}
		results = append(results, check(h)...)
	}
	return results
}

// one wraps a check's only result.
func one(r Result) []Result { return []Result{r} }

func ok(name, format string, args ...any) []Result {
	return one(Result{Name: name, Status: OK, Found: fmt.Sprintf(format, args...)})
}

func skip(name, format string, args ...any) []Result {
	return one(Result{Name: name, Status: Skip, Found: fmt.Sprintf(format, args...)})
}
