package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/internal/confine"
)

// enterConfined puts the process into the data plane's network namespace and
// takes from it what the daemon does not need. It returns the version of the
// kernel's Landlock.
func enterConfined(file *config.File) (landlock int, err error) {
	note, err := replace(func() (string, error) {
		if err := setNetNS(file.NetNS); err != nil {
			return "", err
		}
		limits, err := limitsFor(file)
		if err != nil {
			return "", err
		}
		landlock, err := confine.Thread(limits)
		return strconv.Itoa(landlock), err
	})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(note)
}

// limitsFor is what the daemon needs for a configuration.
func limitsFor(file *config.File) (confine.Limits, error) {
	l := confine.Limits{
		Capabilities: confine.NetAdmin,
		Dirs:         []confine.Dir{{Path: filepath.Dir(file.State), Mode: 0o700}},
	}
	if file.API.Socket != "" {
		l.Dirs = append(l.Dirs, confine.Dir{Path: filepath.Dir(file.API.Socket), Mode: 0o755})
	}
	if g := file.API.SocketGroup; g != "" {
		if known, err := user.LookupGroup(g); err == nil {
			g = known.Gid
		}
		// A group that there is not is the API's to complain about.
		if gid, err := strconv.Atoi(g); err == nil {
			l.Groups = []int{gid}
		}
	}
	self, err := confine.Self()
	if err != nil {
		return l, fmt.Errorf("read own capabilities: %w", err)
	}
	// Whoever made it ambient wants it kept; root has it without being asked.
	if self.Ambient&confine.NetRaw != 0 || probesByICMP(file.Services) {
		l.Capabilities |= confine.NetRaw
	}
	return l, nil
}

func probesByICMP(services []balancer.Service) bool {
	return slices.ContainsFunc(services, func(s balancer.Service) bool { return s.Health != nil && s.Health.Kind == balancer.ProbeICMP })
}

// sayConfined logs what the process has left, as the kernel tells it.
func sayConfined(log *slog.Logger, file *config.File, landlock int) {
	self, err := confine.Self()
	if err != nil {
		log.Warn("read own capabilities", "error", err)
		return
	}
	limits, err := limitsFor(file)
	if err != nil {
		log.Warn("read own capabilities", "error", err)
		return
	}
	writes := "where the user may: the kernel has no Landlock"
	if landlock > 0 {
		var dirs []string
		for _, d := range limits.Dirs {
			dirs = append(dirs, d.Path)
		}
		slices.Sort(dirs)
		writes = strings.Join(slices.Compact(dirs), " ")
	}
	log.Info("confined", "uid", os.Getuid(), "capabilities", self.Permitted.String(), "no_new_privs", self.NoNewPrivs,
		"landlock", landlock, "writes", writes)
}
