package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/openapi"
)

const (
	// streamBatch is how many events are taken from the buffer at a time.
	streamBatch = 256
	// streamPulse is how often a quiet stream shows that it lives.
	streamPulse = 15 * time.Second
	// streamPatience is how long a reader may take for what it was sent.
	streamPatience = 30 * time.Second
)

// eventID names an event across runs of the daemon.
func eventID(boot string, seq uint64) string { return boot + "-" + strconv.FormatUint(seq, 10) }

// seqOf is the number in an event's id, if it is of this run.
func seqOf(id, boot string) (uint64, bool) {
	of, number, ok := strings.Cut(id, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	return seq, ok && err == nil && of == boot
}

// eventFilter is what a reader wants to see.
type eventFilter struct {
	kinds   []string
	service string
	session func(key []byte) bool // nil for any
}

func (f eventFilter) wants(e *event.Entry) bool {
	return (len(f.kinds) == 0 || slices.Contains(f.kinds, string(e.Kind))) && (f.service == "" || f.service == e.Service) &&
		(f.session == nil || len(e.Session) > 0 && f.session(e.Session))
}

// GetEvents is GET /v1/events.
func (h *handlers) GetEvents(ctx context.Context, r openapi.GetEventsRequestObject) (openapi.GetEventsResponseObject, error) {
	var f eventFilter
	if r.Params.Kind != nil {
		f.kinds = *r.Params.Kind
	}
	if r.Params.Service != nil {
		f.service = *r.Params.Service
	}
	if r.Params.Session != nil {
		var err error
		if f.session, err = h.shower(ctx).is(*r.Params.Session); err != nil {
			return nil, err
		}
	}
	request := requestIn(ctx)
	if accept := request.Header.Get("Accept"); strings.Contains(accept, "text/event-stream") {
		s := &stream{log: h.Events(), filter: f, show: h.shower(ctx), valid: func() bool { return h.stillKnown(request) }, ctx: ctx}
		if r.Params.LastEventID != nil {
			s.last, s.resumed = *r.Params.LastEventID, true
		}
		return s, nil
	}
	return h.eventPage(ctx, f, r.Params)
}

// eventPage is what the buffer holds behind a cursor.
func (h *handlers) eventPage(ctx context.Context, f eventFilter, p openapi.GetEventsParams) (openapi.GetEventsResponseObject, error) {
	log, show := h.Events(), h.shower(ctx)
	seq, limit := uint64(0), defaultLimit
	if p.Limit != nil {
		limit = int(*p.Limit)
	}
	if p.Cursor != nil {
		var ok bool
		if seq, ok = seqOf(*p.Cursor, log.Boot()); !ok {
			return nil, badCursor()
		}
	}
	list := openapi.EventList{Items: []openapi.Event{}}
	for {
		entries, _ := log.Since(seq, streamBatch)
		for i := range entries {
			seq = entries[i].Seq
			if f.wants(&entries[i]) {
				list.Items = append(list.Items, eventDoc(log.Boot(), &entries[i], show))
			}
			if len(list.Items) == limit {
				list.Next = some(eventID(log.Boot(), seq))
				return openapi.GetEvents200JSONResponse(list), nil
			}
		}
		if len(entries) < streamBatch {
			return openapi.GetEvents200JSONResponse(list), nil
		}
	}
}

// stream answers with server-sent events until the reader or the daemon goes,
// or the token is deleted. A slow reader misses events, and is told; nothing
// waits for it.
type stream struct {
	log     *event.Log
	filter  eventFilter
	show    keyShower
	valid   func() bool
	ctx     context.Context //nolint:containedctx // of the request, as long as the answer lives
	last    string          // the last id that the reader has
	resumed bool
}

// VisitGetEventsResponse is of openapi.GetEventsResponseObject.
func (s *stream) VisitGetEventsResponse(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	out := sender{w: w, control: http.NewResponseController(w)}
	seq := s.log.Last()
	if s.resumed {
		had, ok := seqOf(s.last, s.log.Boot())
		if ok && had <= seq {
			seq = had
		} else {
			out.send("reset", eventID(s.log.Boot(), seq), map[string]string{"detail": "the daemon has started again: what was before is not known here"})
		}
	}
	out.comment("roamlb events")
	for out.err == nil && s.ctx.Err() == nil && s.valid() {
		entries, missed := s.log.Since(seq, streamBatch)
		if missed > 0 {
			out.send("missed", "", map[string]uint64{"count": missed})
		}
		for i := range entries {
			seq = entries[i].Seq
			if s.filter.wants(&entries[i]) {
				doc := eventDoc(s.log.Boot(), &entries[i], s.show)
				out.send(doc.Kind, doc.ID, doc)
			}
		}
		out.flush()
		if len(entries) > 0 {
			continue
		}
		pulse, cancel := context.WithTimeout(s.ctx, streamPulse)
		err := s.log.Wait(pulse, seq)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			out.comment("")
			out.flush()
		}
	}
	return nil // the answer has begun: nothing else can be told
}

// sender writes server-sent events, until something fails.
type sender struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (s *sender) write(format string, args ...any) {
	if s.err != nil {
		return
	}
	if s.err = s.control.SetWriteDeadline(time.Now().Add(streamPatience)); s.err == nil {
		_, s.err = fmt.Fprintf(s.w, format, args...)
	}
}

// send sends one event. JSON text has no line breaks.
func (s *sender) send(name, id string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		s.err = err
		return
	}
	if id != "" {
		s.write("id: %s\n", id)
	}
	s.write("event: %s\ndata: %s\n\n", name, text)
}

func (s *sender) comment(text string) { s.write(": %s\n\n", text) }

func (s *sender) flush() {
	if s.err == nil {
		s.err = s.control.Flush()
	}
}
