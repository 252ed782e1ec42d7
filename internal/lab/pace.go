package lab

import (
	"context"
	"time"
)

// pace spreads datagrams over time.
type pace struct {
	start time.Time
	rate  int // datagrams a second; 0: no limit
}

// next waits until the datagram after the first done ones is due, and returns
// how many are by then, at most limit. It returns 0 when ctx has ended.
func (p pace) next(ctx context.Context, done, limit int) int {
	for ctx.Err() == nil {
		if p.rate == 0 {
			return limit
		}
		elapsed := time.Since(p.start)
		if due := int(elapsed.Seconds()*float64(p.rate)) + 1 - done; due > 0 {
			return min(due, limit)
		}
		wait := time.Duration(float64(done)/float64(p.rate)*float64(time.Second)) - elapsed
		// A sleep costs more than a few datagrams: gather some.
		timer := time.NewTimer(max(wait, 200*time.Microsecond))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return 0
}
