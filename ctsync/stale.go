package ctsync

import "context"

// jobsAtOnce is how many entries are looked at, and deleted, in one go.
const jobsAtOnce = 64

// deleteStale carries out the core's jobs.
func (s *Sync) deleteStale(ctx context.Context) {
	var jobs []job
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.work:
		}
		for ctx.Err() == nil {
			if jobs = s.deleteSome(jobs[:0]); len(jobs) == 0 {
				break
			}
		}
	}
}

// deleteSome carries out some of the jobs that are due and returns them: looks
// the entries up, has the core judge them by all that is known at that moment,
// and deletes those that are still stale.
func (s *Sync) deleteSome(jobs []job) []job {
	s.mu.Lock()
	jobs = s.core.due(jobs, jobsAtOnce)
	s.unlock()
	if len(jobs) == 0 {
		return nil
	}
	tuples := make([]Tuple, len(jobs))
	for i := range jobs {
		tuples[i] = jobs[i].tuple
	}
	entries, errs := s.opts.Conntrack.Get(tuples)

	s.mu.Lock()
	s.catchUp()
	now := s.opts.Now()
	var doomed []Entry
	var condemned []int
	for i := range jobs {
		if s.core.judge(&jobs[i], &entries[i], errs[i], now) {
			doomed = append(doomed, jobs[i].judged)
			condemned = append(condemned, i)
		}
	}
	s.unlock()
	if len(doomed) == 0 {
		return jobs
	}
	errs = s.opts.Conntrack.Delete(doomed)

	s.mu.Lock()
	now = s.opts.Now()
	for i, k := range condemned {
		s.core.finish(&jobs[k], errs[i], now)
	}
	s.unlock()
	return jobs
}
