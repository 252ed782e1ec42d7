package confine

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Set is a set of capabilities, bit n for the capability of number n, as in
// linux/capability.h.
type Set uint64

// Capabilities that the daemon can need.
const (
	NetAdmin Set = 1 << unix.CAP_NET_ADMIN // nftables, conntrack, NFQUEUE
	NetRaw   Set = 1 << unix.CAP_NET_RAW   // probes over raw ICMP sockets
)

// String lists capabilities by name, or by number where they are none of the
// above.
func (s Set) String() string {
	var names []string
	for c := range 64 {
		switch bit := Set(1) << c; {
		case s&bit == 0:
		case bit == NetAdmin:
			names = append(names, "cap_net_admin")
		case bit == NetRaw:
			names = append(names, "cap_net_raw")
		default:
			names = append(names, strconv.Itoa(c))
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, " ")
}

// Status is what /proc tells of a process.
type Status struct {
	Permitted, Ambient, Bounding Set
	NoNewPrivs                   bool
}

// Self is the status of this process.
func Self() (Status, error) { return ReadStatus("/proc/thread-self/status") }

// ReadStatus reads a file of the kind of /proc/PID/status.
func ReadStatus(path string) (Status, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Status{}, err
	}
	var s Status
	sets := map[string]*Set{"CapPrm": &s.Permitted, "CapAmb": &s.Ambient, "CapBnd": &s.Bounding}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		if set := sets[name]; set != nil {
			bits, err := strconv.ParseUint(value, 16, 64)
			if err != nil {
				return Status{}, fmt.Errorf("%s: %s: %w", path, name, err)
			}
			*set = Set(bits)
		}
		if name == "NoNewPrivs" {
			s.NoNewPrivs = value == "1"
		}
	}
	return s, nil
}

// dropBounding takes from the thread what it could gain by executing a program
// that has capabilities, where it may do so: no_new_privs does the same.
func dropBounding(keep Set) error {
	s, err := Self()
	if err != nil {
		return err
	}
	if s.Permitted&(1<<unix.CAP_SETPCAP) == 0 {
		return nil
	}
	for c := range 64 {
		if (s.Bounding&^keep)&(1<<c) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
		}
	}
	return nil
}

// limitCapabilities leaves the thread those of keep that it has, in a way that
// the programs that it executes have them too: the keeper is one.
func limitCapabilities(keep Set) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // the low and the high 32 bits
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for i := range data {
		kept := data[i].Permitted & uint32(keep>>(32*i))
		data[i] = unix.CapUserData{Effective: kept, Permitted: kept, Inheritable: kept}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("limit capabilities: %w", err)
	}
	kept := Set(data[0].Permitted) | Set(data[1].Permitted)<<32
	for c := range 64 {
		if kept&(1<<c) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
			return fmt.Errorf("keep capability %d: %w", c, err)
		}
	}
	return nil
}
