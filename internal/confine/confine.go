// Package confine takes from a process what it does not need: capabilities, the
// right to gain any, and the right to write files or run programs. What an
// attacker who has taken the process over can still do is what is left.
//
// The kernel keeps all of it by thread. So a thread is confined and then
// executes the program again, which leaves no other.
package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Limits is what a process keeps.
type Limits struct {
	// Capabilities that it keeps where it has them.
	Capabilities Set
	// Dirs are where it may make, write and remove files; those that are
	// missing are made. Everywhere else, /dev/null apart, it can only read.
	Dirs []Dir
	// Groups are joined first, where the process may: to give a file to a group
	// that one is in takes no capability.
	Groups []int
}

// Dir is a directory.
type Dir struct {
	Path string
	Mode fs.FileMode // that it is made with
}

// Thread confines the calling thread, which must be locked to its goroutine and
// never unlocked. It returns the version of the kernel's Landlock, 0 where there
// is none: everything but the limits on files, programs and signals holds there
// too. After an error the thread may be confined in part.
func Thread(l Limits) (landlock int, err error) {
	for _, d := range l.Dirs {
		if err := os.MkdirAll(d.Path, d.Mode); err != nil {
			return 0, err
		}
	}
	joinGroups(l.Groups)
	if err := dropBounding(l.Capabilities); err != nil {
		return 0, err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("set no_new_privs: %w", err)
	}
	version, err := restrictSelf(l)
	if err != nil && !errors.Is(err, errNoLandlock) {
		return 0, err
	}
	return version, limitCapabilities(l.Capabilities)
}

// joinGroups makes groups supplementary ones of the thread. Whoever may not
// cannot be in need of it either: what then cannot be done says so itself.
func joinGroups(groups []int) {
	if len(groups) == 0 {
		return
	}
	have, err := unix.Getgroups()
	if err != nil {
		return
	}
	list := make([]uint32, 0, len(have)+len(groups))
	for _, g := range slices.Concat(have, groups) {
		list = append(list, uint32(g))
	}
	// The system call itself: Go's function has all threads follow.
	_, _, _ = unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(list)), uintptr(unsafe.Pointer(&list[0])), 0)
}
