package ctsync

import "net/netip"

// job is a look at a conntrack entry, mostly with the intent to delete it.
type job struct {
	kind    jobKind
	flow    uint32
	tuple   Tuple
	tries   int
	notYet  int64 // not to be done before
	judged  Entry // what is to be deleted, once that is decided
	table   *Table
	session handle
	gen     uint32 // of the session
	roam    uint32 // of a watch, a measurement or a look for an answer
	roamGen uint32

	// Of a deletion.
	why
	key       []byte
	newClient netip.AddrPort
	backend   string
}

type jobKind uint8

const (
	jobDelete  jobKind = iota // delete the entry of a flow that nobody uses
	jobWatch                  // see whether a client of a shared session is silent
	jobMeasure                // count what a client had sent when its session roamed
	jobForeign                // delete the entry if it is older than the service
	jobAnswer                 // see whether the backend has answered on the flow of a roam
)

// jobQueue is jobs in order.
type jobQueue struct {
	jobs []job
	head int
}

func (q *jobQueue) push(j job) { q.jobs = append(q.jobs, j) }

func (q *jobQueue) len() int { return len(q.jobs) - q.head }

func (q *jobQueue) pop() (job, bool) {
	if q.len() == 0 {
		return job{}, false
	}
	j := q.jobs[q.head]
	q.jobs[q.head] = job{}
	q.head++
	if q.head*2 >= len(q.jobs) {
		n := copy(q.jobs, q.jobs[q.head:])
		clear(q.jobs[n:])
		q.jobs, q.head = q.jobs[:n], 0
		if n == 0 && cap(q.jobs) > maxKeptJobs {
			q.jobs = nil
		}
	}
	return j, true
}

// maxKeptJobs bounds the memory that a burst leaves behind.
const maxKeptJobs = 4096
