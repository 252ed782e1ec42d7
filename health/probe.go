package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// ErrInconclusive is in the errors of probes that could not be made: they say
// nothing of the backend.
var ErrInconclusive = errors.New("the probe cannot be made")

// Prober makes the probes of one service. It may be used by several goroutines.
type Prober interface {
	// Probe asks an address for an answer and returns nil if it was as it has
	// to be. It ends with ctx, and opens its sockets on the calling thread.
	Probe(ctx context.Context, to netip.AddrPort) error
}

// NewProber returns what makes the probes that h asks for. The error says what
// is wrong with h, or that a file which it names cannot be read.
func NewProber(h *balancer.Health) (Prober, error) {
	match, err := pattern(h.Expect.Match)
	if err != nil {
		return nil, err
	}
	switch h.Kind {
	case balancer.ProbeUDP:
		return &udpProbe{spec: h, match: match}, nil
	case balancer.ProbeICMP:
		return &echoProbe{spec: h}, nil
	case balancer.ProbeTCP:
		return &tcpProbe{spec: h}, nil
	case balancer.ProbeHTTP, balancer.ProbeHTTPS:
		return newHTTPProbe(h, match)
	default:
		return nil, fmt.Errorf("unknown kind of probe %q", h.Kind)
	}
}

// probeOne asks one address.
func probeOne(ctx context.Context, to netip.AddrPort, timeout time.Duration, p Prober) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := p.Probe(ctx, to); err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	return nil
}

// unable is the prober of what cannot be probed.
type unable struct{ err error }

func (u unable) Probe(context.Context, netip.AddrPort) error {
	return fmt.Errorf("%w: %w", ErrInconclusive, u.err)
}

// pattern compiles a regular expression; nil for an empty one.
func pattern(text string) (*regexp.Regexp, error) {
	if text == "" {
		return nil, nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("expect: %w", err)
	}
	return re, nil
}

// ownFaults are errors of this host, not of a backend: of rights, of room, of a
// source address that it does not have.
var ownFaults = []error{
	unix.EPERM, unix.EACCES, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM,
	unix.EADDRNOTAVAIL, unix.EADDRINUSE, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT,
}

// judged is an error of a probe as the operator is to read it, inconclusive
// where it is this host's own.
func judged(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), context.Canceled) { // we are ending
		return fmt.Errorf("%w: %w", ErrInconclusive, err)
	}
	for _, own := range ownFaults {
		if errors.Is(err, own) {
			return fmt.Errorf("%w: %w", ErrInconclusive, err)
		}
	}
	var timeout net.Error
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return errors.New("refused: nothing listens there")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer in time")
	}
	return err
}

// endWith makes a connection's calls end with ctx. The caller calls the result
// when it is done with the connection.
func endWith(ctx context.Context, c interface{ SetDeadline(time.Time) error }) func() bool {
	if at, ok := ctx.Deadline(); ok {
		// What cannot have a deadline fails at once.
		_ = c.SetDeadline(at)
	}
	return context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
}

// show is the beginning of bytes for people.
func show(b []byte) string {
	const most = 16
	if len(b) > most {
		return fmt.Sprintf("%x... (%d bytes)", b[:most], len(b))
	}
	return fmt.Sprintf("%x", b)
}
