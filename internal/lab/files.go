package lab

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// filesEnv is how many files the process inside has been given.
const filesEnv = "ROAMLB_LAB_FILES"

// firstFile is the descriptor of the first of them, see [exec.Cmd.ExtraFiles].
const firstFile = 3

// TakeFiles returns the files that the process outside gave to [Reexec], in
// their order; in any other process, and when it is called again, none. They are
// the caller's to close, and are not inherited further.
func TakeFiles() []*os.File {
	count, err := strconv.Atoi(os.Getenv(filesEnv))
	if err != nil || !Inside() {
		return nil
	}
	_ = os.Unsetenv(filesEnv) // never fails for a name that could be read
	var files []*os.File
	for fd := firstFile; fd < firstFile+count; fd++ {
		unix.CloseOnExec(fd)
		files = append(files, os.NewFile(uintptr(fd), "file from outside"))
	}
	return files
}
