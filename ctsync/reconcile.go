package ctsync

import (
	"context"
	"errors"
	"time"
)

var errNoSnapshot = errors.New("nothing to decide by yet")

const (
	// dumpEvery is how often conntrack is dumped where nothing was lost.
	dumpEvery = 30 * time.Second
	// dumpShare is how much longer than a dump the pause after it is: 2 % of a
	// core.
	dumpShare = 50
	// dumpRetry is the pause after a dump that failed, or came too early.
	dumpRetry = time.Second
)

// dumpStats is what dumps have found.
type dumpStats struct {
	done    uint64
	failed  uint64
	last    time.Duration
	entries int
}

// owed is a comparison with conntrack for what was lost, once it is over: while
// there is too much to do it would take time that lacks already, and at its end
// miss what was lost meanwhile.
type owed struct {
	due         bool
	since, last int64 // when something was lost first, and last
	maps        bool  // the kernel's sessions maps are to be taken over too
}

const (
	calm   = 2 * time.Second  // so long nothing was lost: it is over
	unrest = 10 * time.Second // it may never be
)

func (o *owed) note(now int64, maps bool) {
	if !o.due {
		o.due, o.since = true, now
	}
	o.last, o.maps = now, o.maps || maps
}

// makeGood asks for what is owed when its time has come. s.mu is locked.
func (s *Sync) makeGood(now int64) {
	o := &s.owed
	if s.missed.Swap(false) {
		o.note(now, true)
	}
	if !o.due || now-o.last < int64(calm) && now-o.since < int64(unrest) {
		return
	}
	if o.maps {
		s.maps.Store(true)
	}
	*o = owed{}
	signal(s.reconcile)
}

// compare dumps conntrack now and then, and soon after something was lost.
func (s *Sync) compare(ctx context.Context) {
	periodic := time.NewTimer(dumpEvery)
	defer periodic.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.reconcile:
		case <-periodic.C:
		}
		began := time.Now()
		err := s.dump(ctx)
		pause := time.Since(began) * dumpShare
		if err != nil && ctx.Err() == nil {
			pause = dumpRetry
			signal(s.reconcile)
			if !errors.Is(err, errNoSnapshot) {
				s.opts.Log.Warn("conntrack dump broke off, dumping again", "error", err)
			}
		}
		if !sleep(ctx, pause) {
			return
		}
		periodic.Reset(dumpEvery)
	}
}

// dump hands the core every entry of ours and what is missing among them.
func (s *Sync) dump(ctx context.Context) error {
	const atOnce = 256
	s.mu.Lock()
	s.catchUp()
	began := s.opts.Now()
	snap := s.core.snap
	s.core.unreplied, s.core.replied = s.opts.Conntrack.Timeouts()
	if snap != nil {
		s.core.began()
	}
	s.unlock()
	if snap == nil {
		return errNoSnapshot
	}
	n := 0
	batch := make([]Entry, 0, atOnce)
	flush := func() {
		s.mu.Lock()
		s.core.use(s.opts.Snapshot())
		now := s.opts.Now()
		for i := range batch {
			s.core.entry(&batch[i], now)
		}
		s.unlock()
		n += len(batch)
		batch = batch[:0]
	}
	ours := snap.Marks.Ours()
	err := s.opts.Conntrack.Dump(ours, ours, func(e *Entry) bool {
		if batch = append(batch, *e); len(batch) == atOnce {
			flush()
		}
		return ctx.Err() == nil
	})
	flush()
	if err == nil {
		err = ctx.Err()
	}
	s.mu.Lock()
	if err == nil {
		s.core.completed(began)
		s.dumps.done++
		s.dumps.last, s.dumps.entries = age(s.opts.Now(), began), n
		s.opts.Log.Debug("conntrack compared", "entries", n, "took", s.dumps.last)
		if s.maps.Swap(false) {
			signal(s.takeover)
		}
	} else {
		s.dumps.failed++
	}
	s.unlock()
	return err
}
