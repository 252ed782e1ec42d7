package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// The experiments with large configurations.
const (
	change = "change"
	start  = "start"
)

// change measures how long a new weight takes of one among a hundred backends:
// from the wish to the kernel, by way of the file and the state on disk.
func (r *runner) change(context.Context) error {
	const servers = 100
	text := func(weight int) string {
		var s strings.Builder
		fmt.Fprintf(&s, "  - name: large\n    listen: [{address: %q, port: %d}]\n    key: {offset: %d, length: %d}\n    slots: %d\n    backends:\n",
			listener.Addr(), listener.Port(), keyOffset, keyLength, r.opts.Size.Slots)
		for i := range servers {
			w := 10
			if i == servers/2 {
				w = weight
			}
			fmt.Fprintf(&s, "      - {name: b%d, address: %q, port: %d, weight: %d}\n", i, lab.BackendIPv4(i+1), port, w)
		}
		return s.String()
	}
	return r.each([]string{session}, func(contender) (Sample, error) {
		took, _, err := r.large(text(10), text(5))
		return Sample{Experiment: change, Values: map[string]float64{seconds: took.Seconds()}}, err
	})
}

// start measures how long the daemon takes until it serves many services.
func (r *runner) start(context.Context) error {
	const servers, slots, perAddress = 10, 251, 50_000
	var s strings.Builder
	for i := range r.opts.Size.Services {
		at := netip.AddrPortFrom(listener.Addr(), uint16(1024+i%perAddress))
		fmt.Fprintf(&s, "  - name: s%d\n    listen: [{address: %q, port: %d}]\n    key: {offset: %d, length: %d}\n    slots: %d\n    backends:\n",
			i, at.Addr(), at.Port(), keyOffset, keyLength, slots)
		for b := range servers {
			fmt.Fprintf(&s, "      - {name: b%d, address: %q, port: %d}\n", b, lab.BackendIPv4(b+1), 1024+i)
		}
	}
	return r.each([]string{session}, func(contender) (Sample, error) {
		_, took, err := r.large(s.String(), "")
		return Sample{Experiment: start, Values: map[string]float64{seconds: took.Seconds()}}, err
	})
}

// large serves services, and then others where there are such. It returns how
// long the change and the start took.
func (r *runner) large(services, next string) (changed, started time.Duration, err error) {
	b, err := newBed()
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	head := fmt.Sprintf("api: {listen: \"\", socket: \"\"}\nstate: %q\nservices:\n", filepath.Join(b.dir, "state.json"))
	path, err := writeConfig(b.dir, head+services)
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	c, err := startChild(b.net.LB, b.dir, "serve", path)
	if err != nil {
		return 0, 0, err
	}
	started = time.Since(begin)
	defer func() { err = errors.Join(err, c.stop()) }()
	if next == "" {
		return 0, started, nil
	}
	if err := os.WriteFile(path, []byte(head+next), 0o600); err != nil {
		return 0, 0, err
	}
	return changed, started, c.ask("reload", &changed)
}
