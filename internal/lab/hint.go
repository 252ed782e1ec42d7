package lab

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// hints are the switches by which hosts forbid user namespaces: where the
// file has the value, the line is what to do.
var hints = []struct{ file, value, line string }{
	{"/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
	{"/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"},
	{"/proc/sys/user/max_net_namespaces", "0", "sysctl user.max_net_namespaces=10000"},
}

// hint returns what to do about err, which kept us from new namespaces: text
// to append to the error, empty where err has another cause.
func hint(err error) string {
	switch {
	case errors.Is(err, unix.EINVAL):
		return "; hint: this kernel has no user namespaces, run as root"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		for _, h := range hints {
			text, err := os.ReadFile(h.file)
			if err == nil && strings.TrimSpace(string(text)) == h.value {
				return "; hint: " + h.line + ", or run as root"
			}
		}
		return "; hint: this host or container forbids user namespaces (seccomp, AppArmor or a limit under /proc/sys/user), run as root"
	}
	return ""
}
