package lab

import (
	"os"
	"time"
)

// Emulated reports whether the kernel runs on a processor that is emulated in
// software, as under "make test-vm": everything takes about ten times as long
// there.
func Emulated() bool { return os.Getenv("ROAMLB_VM") != "" }

// Slow stretches a limit on time where the kernel is emulated.
func Slow(d time.Duration) time.Duration {
	if Emulated() {
		return 10 * d
	}
	return d
}

// TB is the part of testing.TB that [WaitFor] needs: the demo does without
// the testing package.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// WaitFor calls cond until it is true, and fails the test with "what" when
// that does not happen in time, stretched by [Slow]. It asks at once, then after a millisecond and,
// as time goes on, up to every 20 ms. A condition has the last word: it is
// asked once more when the time is over.
func WaitFor(t TB, timeout time.Duration, what string, cond func() bool) {
	t.Helper()
	timeout = Slow(timeout)
	deadline := time.Now().Add(timeout)
	for pause := time.Millisecond; ; pause = min(pause*3/2, 20*time.Millisecond) {
		late := time.Now().After(deadline)
		if cond() {
			return
		}
		if late {
			t.Fatalf("still waiting after %v: %s", timeout, what)
			return
		}
		time.Sleep(pause)
	}
}
