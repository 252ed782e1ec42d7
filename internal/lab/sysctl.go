package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// SetSysctl sets a sysctl of the namespace, such as "net.ipv4.ip_forward" or,
// with an interface name that has a dot, "net/ipv4/conf/eth0.1/rp_filter".
// Not every sysctl can be set in a namespace, and in a user namespace fewer
// can: net.netfilter.nf_conntrack_max is fs.ErrPermission there. Names that
// do not begin with "net" belong to the whole host and are refused.
func (n *Namespace) SetSysctl(name, value string) error {
	return n.setSysctls([]sysctl{{name, value}})
}

// Sysctl returns a sysctl of the namespace, without the line's end.
func (n *Namespace) Sysctl(name string) (string, error) {
	path, err := sysctlPath(name)
	if err != nil {
		return "", err
	}
	var text []byte
	err = n.Do(func() (err error) {
		text, err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", name, err)
	}
	return strings.TrimSpace(string(text)), nil
}

type sysctl struct{ name, value string }

func (n *Namespace) setSysctls(list []sysctl) error {
	return n.Do(func() error {
		for _, s := range list {
			if err := writeSysctl(s); err != nil {
				return fmt.Errorf("set sysctl %s=%s in namespace %s: %w", s.name, s.value, n.name, err)
			}
		}
		return nil
	})
}

// writeSysctl sets a sysctl of the calling thread's namespace: below
// /proc/sys/net the kernel goes by the thread that opens the file.
func writeSysctl(s sysctl) error {
	path, err := sysctlPath(s.name)
	if err != nil {
		return err
	}
	// Without O_CREATE, which would turn "no such sysctl" into "not permitted".
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(s.value)
	return err
}

func sysctlPath(name string) (string, error) {
	if !strings.Contains(name, "/") {
		name = strings.ReplaceAll(name, ".", "/")
	}
	path := filepath.Join("/proc/sys", name)
	if !strings.HasPrefix(path, "/proc/sys/net/") {
		return "", fmt.Errorf("sysctl %s is not a namespace's", name)
	}
	return path, nil
}
