package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc, USER_HZ: a hundredth of a second
// everywhere.
const tick = 10 * time.Millisecond

// machineTime is the time that all processors have been at work since the
// machine's start, whoever it was for.
func machineTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, fmt.Errorf("read /proc/stat: %q", line)
	}
	var busy time.Duration
	// user nice system idle iowait irq softirq steal
	for _, i := range []int{1, 2, 3, 6, 7} {
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		busy += time.Duration(n) * tick
	}
	return busy, nil
}

// processTime is the time that a process has run, in its own code and in the
// kernel, where it works for others too: what a verdict lets go on is sent to
// its backend on the time of who gave it.
func processTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything; utime and stime are the 12th
	// and 13th field behind it.
	f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("read /proc/%d/stat: %q", pid, text)
	}
	var sum time.Duration
	for _, v := range f[11:13] {
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// settle waits until the machine has next to nothing to do, such as taking the
// last network down, as long as there is patience, and returns how busy it was
// in the end, as a share of one processor. It looks once at least.
func settle(ctx context.Context, patience time.Duration) (float64, error) {
	const look, quiet = 100 * time.Millisecond, 0.15
	load := 0.0
	deadline := time.Now().Add(patience)
	for looks, calm := 0, 0; looks == 0 || calm < 2 && time.Now().Before(deadline); looks++ {
		before, err := machineTime()
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		if err := sleep(ctx, look); err != nil {
			return 0, err
		}
		after, err := machineTime()
		if err != nil {
			return 0, err
		}
		load = float64(after-before) / float64(time.Since(begin))
		calm++
		if load > quiet {
			calm = 0
		}
	}
	return load, nil
}

// sleep waits, or returns the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
