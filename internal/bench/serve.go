package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/daemon"
	"github.com/roamlb/roamlb/event"
)

// served is the daemon, as "roamlb serve" runs it, with an ear for questions.
type served struct {
	hup     chan struct{}
	profile *os.File

	mu     sync.Mutex         // guards events
	events map[event.Kind]int // how many of each kind
}

// memory is the answer to "memory", in bytes.
type memory struct {
	Heap   uint64 // in use, after a collection
	System uint64 // that the runtime holds
}

// serve runs the daemon with a configuration file until there are no questions
// left.
func serve(path string) error {
	s := &served{hup: make(chan struct{}, 1), events: make(map[event.Kind]int)}
	load := func() (*config.File, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return config.Parse(path, text)
	}
	file, err := load()
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	d, err := daemon.New(daemon.Options{
		File: file, Reload: load, HUP: s.hup, Events: s.note,
		Log:   slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Ready: func() { close(ready) },
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	select {
	case <-ready:
	case err := <-ended:
		return errors.Join(errors.New("the daemon ended before it served"), err)
	}
	err = attend(s.answer)
	stop()
	return errors.Join(err, <-ended)
}

func (s *served) note(e event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[e.Kind]++
}

// answer answers a question.
func (s *served) answer(line string) (any, error) {
	question, rest, _ := strings.Cut(line, " ")
	switch question {
	case "memory":
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return memory{Heap: m.HeapAlloc, System: m.Sys - m.HeapReleased}, nil
	case "allocations": // since the start
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.Mallocs, nil
	case "events":
		s.mu.Lock()
		defer s.mu.Unlock()
		return maps.Clone(s.events), nil
	case "reload": // and how long that takes, in nanoseconds
		return s.reload()
	case "profile": // of the processor, into a file; without one: the end of it
		return "ok", s.profileTo(rest)
	default:
		return nil, fmt.Errorf("no answer to %q", line)
	}
}

// reload has the configuration file read again and waits until the kernel has
// what it says.
func (s *served) reload() (time.Duration, error) {
	changes := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.events[event.ConfigChanged]
	}
	before, begin := changes(), time.Now()
	s.hup <- struct{}{}
	for changes() == before {
		if time.Since(begin) > time.Minute {
			return 0, errors.New("the reload was refused")
		}
		time.Sleep(100 * time.Microsecond)
	}
	return time.Since(begin), nil
}

func (s *served) profileTo(path string) (err error) {
	if path == "" {
		pprof.StopCPUProfile()
		return s.profile.Close()
	}
	if s.profile, err = os.Create(path); err != nil {
		return err
	}
	return pprof.StartCPUProfile(s.profile)
}
