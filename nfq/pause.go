package nfq

import "errors"

// WhileEmpty runs f while nothing waits in any queue and nothing is queued:
// what comes meanwhile goes on at once, and the kernel decides. Some changes of
// nftables make the kernel drop all that waits in a network namespace's queues.
// It must not be called from a function of [Options].
func (q *Queues) WhileEmpty(f func() error) error {
	var errs []error
	for _, r := range q.readers {
		if err := r.do(r.empty); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, f())
	}
	for _, r := range q.readers {
		errs = append(errs, r.do(r.refill))
	}
	return errors.Join(errs...)
}

// empty lets everything new go on as it comes, and answers what waits.
func (r *reader) empty() error {
	if err := r.sock.send(appendMaxLen(nil, r.number, 0)); err != nil {
		return err
	}
	for n := r.sock.receive(r.inbox); n > 0; n = r.sock.receive(r.inbox) {
		r.begin()
		for i := range n {
			r.message(r.inbox.message(i))
		}
		r.flush()
	}
	return r.acceptAll(idRoom)
}

// refill lets packets wait again.
func (r *reader) refill() error {
	return r.sock.send(appendMaxLen(nil, r.number, r.opts.Queues.Length))
}
