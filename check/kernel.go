package check

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// The oldest kernel that roamlb is tested with.
const oldestMajor, oldestMinor = 6, 1

// kernel looks at the version. What counts are the features, each tried by
// itself: an older kernel may have them all.
func (h *host) kernel() []Result {
	const name = "kernel version"
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return skip(name, "uname: %v", err)
	}
	return kernelVersion(name, unix.ByteSliceToString(uts.Release[:]))
}

func kernelVersion(name, release string) []Result {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return skip(name, "%s, which is no version that can be compared", release)
	}
	if major > oldestMajor || major == oldestMajor && minor >= oldestMinor {
		return ok(name, "%s", release)
	}
	return one(Result{
		Name: name, Status: Warn, Found: release,
		Want: fmt.Sprintf("%d.%d or newer: roamlb is not tested with older ones", oldestMajor, oldestMinor),
	})
}
