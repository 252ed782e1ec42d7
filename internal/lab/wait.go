package lab

import "time"

// WaitFor calls cond until it is true, and fails the test with "what" when
// that does not happen in time. It asks at once, then every millisecond and,
// as time goes on, up to every 20 ms.
func WaitFor(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, timeout time.Duration, what string, cond func() bool,
) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for pause := time.Millisecond; !cond(); pause = min(pause*3/2, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting after %v: %s", timeout, what)
			return
		}
		time.Sleep(pause)
	}
}
