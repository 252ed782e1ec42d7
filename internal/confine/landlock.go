package confine

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// linux/landlock.h. Each version of the kernel's Landlock has more rights that
// can be taken; those that it does not know must not be asked for.

var errNoLandlock = errors.New("the kernel has no Landlock")

// Rights of files beyond reading, by the version that has them.
const (
	rights1 = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	rights2 = rights1 | unix.LANDLOCK_ACCESS_FS_REFER
	rights3 = rights2 | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	rights5 = rights3 | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// What may be done where.
const (
	inDirs = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE
	toNull    = unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	toProgram = unix.LANDLOCK_ACCESS_FS_EXECUTE
)

// handled is what a version of Landlock is asked to refuse unless a rule allows
// it. Its limits on TCP are left aside: a socket of MPTCP passes them by.
func handled(version int) unix.LandlockRulesetAttr {
	var a unix.LandlockRulesetAttr
	switch {
	case version >= 5:
		a.Access_fs = rights5
	case version >= 3:
		a.Access_fs = rights3
	case version == 2:
		a.Access_fs = rights2
	default:
		a.Access_fs = rights1
	}
	if version >= 6 {
		a.Scoped = unix.LANDLOCK_SCOPE_SIGNAL
	}
	return a
}

// restrictSelf limits the thread and returns the version of Landlock.
func restrictSelf(l Limits) (version int, err error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 { // ENOSYS: not built in; EOPNOTSUPP: not switched on
		return 0, errNoLandlock
	}
	version = int(v)
	attr := handled(version)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return 0, fmt.Errorf("landlock: make a ruleset: %w", errno)
	}
	defer unix.Close(int(fd))
	r := ruleset{fd: int(fd), handled: attr}
	if err := r.fill(l); err != nil {
		return 0, fmt.Errorf("landlock: %w", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return 0, fmt.Errorf("landlock: restrict the process: %w", errno)
	}
	return version, nil
}

// ruleset is one that is being made.
type ruleset struct {
	fd      int
	handled unix.LandlockRulesetAttr
}

func (r ruleset) fill(l Limits) error {
	for _, d := range l.Dirs {
		if err := r.allow(d.Path, inDirs); err != nil {
			return err
		}
	}
	if err := r.allow(os.DevNull, toNull); err != nil {
		return err
	}
	for _, program := range programs() {
		if err := r.allow(program, toProgram); err != nil {
			return err
		}
	}
	return nil
}

// allow allows what is done to a file, or to what is below a directory.
func (r ruleset) allow(path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("allow %s: %w", path, err)
	}
	defer unix.Close(fd)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights & r.handled.Access_fs, Parent_fd: int32(fd)}
	return r.add(unix.LANDLOCK_RULE_PATH_BENEATH, unsafe.Pointer(&rule), "allow "+path)
}

func (r ruleset) add(kind uintptr, rule unsafe.Pointer, what string) error {
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), kind, uintptr(rule), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("%s: %w", what, errno)
	}
	return nil
}

// programs are those that may be run: this one, as the keeper, and where it is
// linked dynamically what loads it.
func programs() []string {
	const self = "/proc/self/exe"
	list := []string{self}
	f, err := elf.Open(self)
	if err != nil {
		return list
	}
	defer f.Close()
	section := f.Section(".interp")
	if section == nil {
		return list
	}
	if name, err := section.Data(); err == nil {
		list = append(list, strings.TrimRight(string(name), "\x00"))
	}
	return list
}
