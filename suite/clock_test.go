package suite

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// stopwatch measures how long we and the daemon take for something, without
// the time in which a thread of ours and one of the daemon's wanted to run and
// others had all CPUs: what the issue promises in milliseconds is not about
// machines that have no time.
type stopwatch struct {
	b     *bed
	begin time.Time
	waits map[string]time.Duration // by thread
}

func (b *bed) stopwatch() *stopwatch {
	return &stopwatch{b: b, begin: time.Now(), waits: b.waits()}
}

// took is the time since the start, less the longest wait of one of our threads
// and of one of the daemon's.
func (s *stopwatch) took() time.Duration { return time.Since(s.begin) - s.waited() }

func (s *stopwatch) waited() time.Duration {
	longest := make(map[string]time.Duration) // by process
	for thread, wait := range s.b.waits() {
		process, _, _ := strings.Cut(thread, "/")
		longest[process] = max(longest[process], wait-s.waits[thread])
	}
	sum := time.Duration(0)
	for _, wait := range longest {
		sum += wait
	}
	return sum
}

// waits is for how long each thread, as PID/TID, has waited for a CPU so far:
// the second number of schedstat (Documentation/scheduler/sched-stats.rst).
func (b *bed) waits() map[string]time.Duration {
	b.t.Helper()
	out := make(map[string]time.Duration)
	for _, pid := range []int{os.Getpid(), b.daemon.cmd.Process.Pid} {
		files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/schedstat")
		if err != nil {
			b.t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				continue // the thread has ended, or the kernel does not say
			}
			if f := strings.Fields(string(data)); len(f) > 1 {
				ns, _ := strconv.ParseInt(f[1], 10, 64)
				out[strconv.Itoa(pid)+"/"+filepath.Base(filepath.Dir(file))] = time.Duration(ns)
			}
		}
	}
	return out
}
