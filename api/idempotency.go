package api

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"net/http"
	"sync"
	"time"
)

const (
	// replayLife is how long an answer is kept for its key.
	replayLife = 24 * time.Hour
	// replayMost is how many are kept; the oldest go first.
	replayMost = 4096
	// replayMostBytes is how long an answer may be to be kept.
	replayMostBytes = 1 << 20
)

// replays keeps the answers to POST requests by their Idempotency-Key, so that
// a client that has not got the answer can ask again without doing it twice.
// In memory: after a restart a second POST of the same name is a conflict, and
// so does no harm. Safe for concurrent use.
type replays struct {
	now func() time.Time

	mu    sync.Mutex // guards the following
	byKey map[replayKey]*replay
	order []*replay // oldest first
	bytes int
}

// replayKey is a key and whose it is.
type replayKey struct{ actor, key string }

type replay struct {
	id      replayKey
	request [sha256.Size]byte // of method, path and body
	at      time.Time
	done    bool
	status  int
	header  http.Header
	body    []byte
}

// replayBytes bounds the bodies that are kept, all together.
const replayBytes = 32 << 20

func newReplays(now func() time.Time) *replays {
	return &replays{now: now, byKey: make(map[replayKey]*replay)}
}

// begin says what to do with a request that carries a key: answer is the first
// one's where there is one, problem why it cannot go on. Where both are nil the
// caller does the work and ends it with finish or forget.
func (s *replays) begin(id replayKey, request [sha256.Size]byte) (answer *replay, problem *Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	switch have := s.byKey[id]; {
	case have == nil:
		one := &replay{id: id, request: request, at: s.now()}
		s.byKey[id] = one
		s.order = append(s.order, one)
		return nil, nil
	case have.request != request:
		return nil, invalid.because("this key came with another request before: use a new one").header("Idempotency-Key", "belongs to another request")
	case !have.done:
		return nil, conflict.because("the first request with this key is still under way").header("Idempotency-Key", "is in use").later(time.Second)
	default:
		return have, nil
	}
}

// finish keeps the answer to a request that was begun. One too large to be kept
// is forgotten.
func (s *replays) finish(id replayKey, status int, header http.Header, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.byKey[id]
	if one == nil {
		return // it took more than a day
	}
	if len(body) > replayMostBytes {
		s.drop(one)
		return
	}
	one.done, one.status, one.header, one.body = true, status, header.Clone(), bytes.Clone(body)
	s.bytes += len(body)
	s.expire()
}

// forget lets the next request with the key do the work: the first one's did
// not come to an end that is worth keeping.
func (s *replays) forget(id replayKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.byKey[id]; one != nil {
		s.drop(one)
	}
}

// expire drops what is too old or too much; s.mu is locked. What is under way
// stays.
func (s *replays) expire() {
	for len(s.order) > 0 {
		one := s.order[0]
		current := s.byKey[one.id] == one
		old := s.now().Sub(one.at) >= replayLife || len(s.byKey) > replayMost || s.bytes > replayBytes
		switch {
		case !current:
		case old && one.done:
			s.drop(one)
		default:
			return
		}
		s.order = s.order[1:]
	}
}

// drop forgets a replay; s.mu is locked. Its place in the order goes later.
func (s *replays) drop(one *replay) {
	s.bytes -= len(one.body)
	delete(s.byKey, one.id)
}

// write answers with what was answered before.
func (r *replay) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	w.Header().Set("Idempotency-Replayed", "true")
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // the client may be gone
}

// recorder passes an answer on and remembers it.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.body.Len() <= replayMostBytes {
		r.body.Write(b)
	}
	return r.ResponseWriter.Write(b)
}
