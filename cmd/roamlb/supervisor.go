package main

import (
	"fmt"
	"log/slog"
	"os"
	"syscall"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/roamlb/roamlb/daemon"
)

// supervisor is systemd, where it started this process and wants to be told.
func supervisor(log *slog.Logger) daemon.Supervisor {
	s := daemon.Supervisor{Tell: func(state string) {
		// Without NOTIFY_SOCKET nobody is told, and that is no error.
		if _, err := systemd.SdNotify(false, state); err != nil {
			log.Debug("tell systemd", "error", err)
		}
	}}
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("watchdog", "error", err)
	}
	s.Watchdog = interval
	return s
}

// firstToken shows the API's first token, but not to the journal: that is kept,
// and read by others. There "roamlb token create" makes one over the socket.
func firstToken() func(secret string) {
	if toJournal(os.Getenv("JOURNAL_STREAM"), os.Stderr) {
		return nil
	}
	return func(secret string) {
		fmt.Fprintf(os.Stderr, "roamlb: the first token of the API, %q, shown this once: %s\n", "admin", secret)
	}
}

// toJournal reports whether a file is the stream that JOURNAL_STREAM names by
// device and inode: sd_journal_stream_fd(3), systemd.exec(5).
func toJournal(stream string, f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
