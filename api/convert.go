package api

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/check"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/openapi"
	"github.com/roamlb/roamlb/store"
)

// This file alone turns domain types into the description's.

// some is a pointer to a value; none where it is the zero value.
func some[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// serviceDoc is a service as the API shows it. Its members are those of the
// configuration file, written by package config.
func serviceDoc(s *balancer.Service, v *balancer.View, secrets bool) (openapi.Service, error) {
	var doc openapi.Service
	if err := json.Unmarshal(config.MarshalService(s), &doc); err != nil {
		return doc, fmt.Errorf("show service %s: %w", s.Name, err)
	}
	if !secrets {
		doc.Seed = nil
	}
	if doc.Backends == nil {
		doc.Backends = []openapi.Backend{}
	}
	for i := range doc.Backends {
		finishBackend(&doc.Backends[i], &s.Backends[i], v)
	}
	e := effective(v)
	doc.Effective = &e
	return doc, nil
}

func backendDoc(b *balancer.Backend, v *balancer.View) (openapi.Backend, error) {
	var doc openapi.Backend
	if err := json.Unmarshal(config.MarshalBackend(b), &doc); err != nil {
		return doc, fmt.Errorf("show backend %s: %w", b.Name, err)
	}
	finishBackend(&doc, b, v)
	return doc, nil
}

// finishBackend adds what is read-only.
func finishBackend(doc *openapi.Backend, b *balancer.Backend, v *balancer.View) {
	id := int32(b.ID)
	state := openapi.BackendState(stateName(b, v))
	doc.ID, doc.State = &id, &state
}

// stateName is what a backend is to the decision; v is nil where the service
// has just come or gone.
func stateName(b *balancer.Backend, v *balancer.View) string {
	state := b.Admin.State()
	if v != nil && v.Backend(b.ID) != nil {
		state = v.State(b.ID)
	}
	switch state {
	case balancer.Up:
		return "up"
	case balancer.Draining:
		return "drain"
	default:
		return "down"
	}
}

func effective(v *balancer.View) openapi.Effective {
	if v == nil {
		const why = "not in effect yet"
		path := openapi.EffectiveDatapathQueue
		return openapi.Effective{Pinning: openapi.EffectivePinning(balancer.PinSession), Reason: why, Datapath: &path, DatapathReason: some(why)}
	}
	path := openapi.EffectiveDatapath(v.Datapath)
	return openapi.Effective{
		Pinning: openapi.EffectivePinning(v.Pinning), Reason: v.PinReason,
		Datapath: &path, DatapathReason: &v.PathReason,
	}
}

func family(v6 bool) openapi.Family {
	if v6 {
		return "ipv6"
	}
	return "ipv4"
}

// backendName is the name of a backend of a view; empty for none.
func backendName(v *balancer.View, id uint16) string {
	if b := v.Backend(id); b != nil {
		return b.Name
	}
	return ""
}

// at is a time on the daemon's clock as others have it.
func (h *handlers) at(then int64) time.Time {
	return time.Now().Add(-time.Duration(h.Now() - then)).UTC()
}

// sessionDoc is a session as the API shows it.
func (h *handlers) sessionDoc(v *balancer.View, s *ctsync.Session, show keyShower) openapi.Session {
	doc := openapi.Session{
		Service: v.Service.Name, Live: s.Live, Confirmed: s.Confirmed, Shared: s.Shared, Placed: s.Placed,
		LastSeen: h.at(s.Seen), FirstSeen: some(h.at(s.First)),
	}
	doc.Key, doc.KeyHash = show.key(s.Key)
	four, six := backendName(v, s.Backend4), backendName(v, s.Backend6)
	switch {
	case four == "":
		doc.Backend = some(six)
	case six == "" || six == four:
		doc.Backend = some(four)
	default:
		doc.Backend, doc.Backend6 = some(four), some(six)
	}
	if s.Client.IsValid() {
		doc.Client, doc.Listener = some(s.Client.String()), some(s.Listener.String())
	}
	if s.Candidate.IsValid() {
		doc.Candidate = some(s.Candidate.String())
	}
	return doc
}

// eventDoc is an event as the API shows it.
func eventDoc(boot string, e *event.Entry, show keyShower) openapi.Event {
	doc := openapi.Event{
		ID: eventID(boot, e.Seq), Time: e.Time.UTC(), Kind: string(e.Kind),
		Service: some(e.Service), Backend: some(e.Backend), Reason: some(e.Reason), Detail: some(e.Detail), Diff: some(e.Diff),
		Actor: some(e.Actor.Name), From: some(e.Actor.From), Count: some(int32(e.Count)),
		Age: some(e.Age.Seconds()), Delay: some(e.Delay.Seconds()),
	}
	if len(e.Session) > 0 {
		var s openapi.EventSession
		s.Key, s.KeyHash = show.key(e.Session)
		doc.Session = &s
	}
	if e.OldClient.IsValid() {
		doc.OldClient = some(e.OldClient.String())
	}
	if e.NewClient.IsValid() {
		doc.NewClient = some(e.NewClient.String())
	}
	return doc
}

func tokenDoc(t *store.Token) openapi.Token {
	return openapi.Token{Name: t.Name, Scope: openapi.Scope(t.Scope), Created: t.Created.UTC()}
}

func checkDoc(r *check.Result) openapi.Check {
	return openapi.Check{Name: r.Name, Status: openapi.CheckStatus(r.Status), Found: r.Found, Want: some(r.Want), Fix: some(r.Fix)}
}

// moveDocs are moves of the ring.
func ringMoves(moves []balancer.Move) []openapi.RingMove {
	out := make([]openapi.RingMove, len(moves))
	for i, m := range moves {
		out[i] = openapi.RingMove{From: some(m.From), To: some(m.To), Slots: int32(m.Count)}
	}
	return out
}

func sessionMoves(moves []balancer.Move) []openapi.SessionMove {
	out := make([]openapi.SessionMove, len(moves))
	for i, m := range moves {
		out[i] = openapi.SessionMove{From: some(m.From), To: some(m.To), Sessions: int32(m.Count)}
	}
	return out
}
