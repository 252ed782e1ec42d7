package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// bed is a network for one measurement: nothing of the one before is in it.
type bed struct {
	net     *lab.Network
	raw     *lab.RawSender
	dir     string
	members []string // of roamlb's service
	sinks   []*lab.Sink
	echoes  []*lab.Echo
}

func newBed(members ...string) (b *bed, err error) {
	b = &bed{members: members}
	if b.dir, err = os.MkdirTemp("", "roamlb-bench-"); err != nil {
		return nil, err
	}
	if b.net, err = lab.NewNetwork(lab.NetworkOptions{Backends: backends}); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if b.raw, err = b.net.RawSender(b.net.Clients); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bed) close() error {
	var errs []error
	for _, s := range b.sinks {
		errs = append(errs, s.Close())
	}
	for _, e := range b.echoes {
		errs = append(errs, e.Close())
	}
	if b.raw != nil {
		errs = append(errs, b.raw.Close())
	}
	if b.net != nil {
		errs = append(errs, b.net.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// listen makes every backend a sink; take is called for what arrives there.
func (b *bed) listen(timed bool, take func(backend uint8, payload []byte, at int64)) error {
	for _, be := range b.net.Backends {
		number := uint8(be.Number)
		s, err := lab.NewSink(be.Namespace, netip.AddrPortFrom(be.IPv4, port), lab.SinkOptions{
			Timed: timed, Take: func(p []byte, at int64) { take(number, p, at) },
		})
		if err != nil {
			return err
		}
		b.sinks = append(b.sinks, s)
	}
	return nil
}

// answer makes every backend an echo.
func (b *bed) answer(seen func(lab.Arrival)) error {
	for _, be := range b.net.Backends {
		e, err := be.Echo(port, lab.EchoOptions{OnArrival: seen})
		if err != nil {
			return err
		}
		b.echoes = append(b.echoes, e)
	}
	return nil
}

// last is when the last datagram was read.
func (b *bed) last() time.Time {
	var t time.Time
	for _, s := range b.sinks {
		if l := s.Last(); l.After(t) {
			t = l
		}
	}
	return t
}

// dropped is how many datagrams the sinks have lost, which is our fault.
func (b *bed) dropped() (int, error) {
	sum := 0
	for _, s := range b.sinks {
		n, err := s.Dropped()
		if err != nil {
			return 0, err
		}
		sum += int(n)
	}
	return sum, nil
}

// await waits until as many have arrived, or none has come for a while.
func await(ctx context.Context, arrived func() uint64, want int) error {
	const look, patience = 2 * time.Millisecond, 300 * time.Millisecond
	before, since := arrived(), time.Now()
	for before < uint64(want) && time.Since(since) < lab.Slow(patience) {
		if err := sleep(ctx, look); err != nil {
			return fmt.Errorf("wait for what was sent: %w", err)
		}
		if n := arrived(); n != before {
			before, since = n, time.Now()
		}
	}
	return nil
}
