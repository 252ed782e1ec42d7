package suite

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// program is the program under test.
var program string

func TestMain(m *testing.M) {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lab.Main(m)
}

// prepare builds the program, once for the process outside the namespaces and
// the one inside.
func prepare() error {
	if program = os.Getenv("ROAMLB_BIN"); program != "" {
		return nil
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("roamlb-suite-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	fresh := filepath.Join(dir, fmt.Sprint("build-", os.Getpid()))
	args := []string{"build", "-o", fresh}
	if raceEnabled() {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "../cmd/roamlb")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build roamlb: %w\n%s", err, out)
	}
	// Named by its content: runs at the same time do not disturb each other.
	data, err := os.ReadFile(fresh)
	if err != nil {
		return err
	}
	program = filepath.Join(dir, fmt.Sprintf("roamlb-%x", sha256.Sum256(data))[:40])
	if err := os.Rename(fresh, program); err != nil {
		return err
	}
	return os.Setenv("ROAMLB_BIN", program)
}

// raceEnabled says whether the program is built with the race detector.
func raceEnabled() bool { return os.Getenv("ROAMLB_RACE") != "" }

// kernelDecides says whether services have datapath kernel, wherever a test
// does not say otherwise.
func kernelDecides() bool { return os.Getenv("ROAMLB_DATAPATH") == "kernel" }

// copiesCome waits for as long as copies of packets may be under way; where the
// daemon has been asked, there are none.
func (b *bed) copiesCome() {
	if kernelDecides() {
		time.Sleep(slow(100 * time.Millisecond))
	}
}

// kernelIsTold waits until the kernel knows, where it decides, whom the daemon
// would send elsewhere than its ring: that takes a second at most.
func (b *bed) kernelIsTold() {
	if kernelDecides() {
		time.Sleep(slow(1500 * time.Millisecond))
	}
}

// scaled is a count times ROAMLB_SCALE, at least low.
func scaled(n, low int) int {
	f, err := strconv.ParseFloat(os.Getenv("ROAMLB_SCALE"), 64)
	if err != nil {
		f = 1
	}
	return max(low, int(float64(n)*f))
}

// atLeisure lets a test of little traffic, or that mostly waits, run beside others, when
// those are done whose traffic is timed. An emulated kernel has no time for two.
func atLeisure(t *testing.T) {
	if !lab.Emulated() {
		t.Parallel()
	}
}

// waitFor is lab.WaitFor with a limit that fits the race detector too.
func waitFor(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	lab.WaitFor(t, raced(limit), what, cond)
}

// paced is a rate of datagrams a second that the place can take: an emulated
// kernel a tenth.
func paced(rate int) int {
	if lab.Emulated() {
		return max(100, rate/10)
	}
	return rate
}

// long says whether tests run in full however long it takes.
func long() bool { return os.Getenv("ROAMLB_LONG") != "" }

// slow stretches a limit on time where everything takes longer: under the race
// detector, and under a kernel that is emulated.
func slow(d time.Duration) time.Duration { return lab.Slow(raced(d)) }

// raced stretches a limit on time for a program with the race detector.
func raced(d time.Duration) time.Duration {
	if raceEnabled() {
		return 2 * d
	}
	return d
}
