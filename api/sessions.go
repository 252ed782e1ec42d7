package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/openapi"
)

// lookedAt is how many sessions one request for a list looks at, at the most.
const lookedAt = 200_000

// table is a service's live sessions.
func (h *handlers) table(service string) (*balancer.View, *ctsync.Table, error) {
	v, err := h.view(service)
	if err != nil {
		return nil, nil, err
	}
	t, ok := v.Bindings.(*ctsync.Table)
	if !ok {
		return nil, nil, noService(service)
	}
	return v, t, nil
}

// ListSessions is GET /v1/services/{service}/sessions.
func (h *handlers) ListSessions(ctx context.Context, r openapi.ListSessionsRequestObject) (openapi.ListSessionsResponseObject, error) {
	v, table, err := h.table(r.Service)
	if err != nil {
		return nil, err
	}
	show := h.shower(ctx)
	wanted, err := sessionFilter(v, r.Params, show)
	if err != nil {
		return nil, err
	}
	cursor, limit := uint64(0), defaultLimit
	if r.Params.Cursor != nil {
		if cursor, err = strconv.ParseUint(*r.Params.Cursor, 36, 32); err != nil {
			return nil, badCursor()
		}
	}
	if r.Params.Limit != nil {
		limit = int(*r.Params.Limit)
	}
	list := openapi.SessionList{Items: []openapi.Session{}}
	seen := 0
	for {
		cursor = table.Each(cursor, func(s ctsync.Session) bool {
			seen++
			if wanted(&s) {
				list.Items = append(list.Items, h.sessionDoc(v, &s, show))
			}
			return len(list.Items) < limit && seen < lookedAt && ctx.Err() == nil
		})
		if cursor == 0 || len(list.Items) >= limit || seen >= lookedAt || ctx.Err() != nil {
			break
		}
	}
	if cursor != 0 {
		list.Next = some(strconv.FormatUint(cursor, 36))
	}
	return openapi.ListSessions200JSONResponse(list), nil
}

// sessionFilter tells which sessions a request wants.
func sessionFilter(v *balancer.View, p openapi.ListSessionsParams, show keyShower) (func(*ctsync.Session) bool, error) {
	var all []func(*ctsync.Session) bool
	if p.Client != nil {
		at, err := clientFilter(*p.Client)
		if err != nil {
			return nil, err
		}
		all = append(all, func(s *ctsync.Session) bool { return at(s.Client) || at(s.Candidate) })
	}
	if p.Backend != nil {
		b := findBackend(v.Service, *p.Backend)
		if b == nil {
			return nil, invalid.because("").of("backend", "service %s has no backend %s", v.Service.Name, *p.Backend)
		}
		all = append(all, func(s *ctsync.Session) bool { return s.Backend4 == b.ID || s.Backend6 == b.ID })
	}
	if p.KeyPrefix != nil {
		if !show.full {
			return nil, forbidden.because("keys are secrets: search by key_hash, or with a token that may write").of("key_prefix", "needs the scope write")
		}
		prefix, err := hex.DecodeString(*p.KeyPrefix)
		if err != nil {
			return nil, invalid.because("").of("key_prefix", "is not hex")
		}
		all = append(all, func(s *ctsync.Session) bool { return bytes.HasPrefix(s.Key, prefix) })
	}
	if p.KeyHash != nil {
		all = append(all, func(s *ctsync.Session) bool { return event.HashKey(show.secret, s.Key) == *p.KeyHash })
	}
	return func(s *ctsync.Session) bool {
		for _, one := range all {
			if !one(s) {
				return false
			}
		}
		return true
	}, nil
}

// clientFilter is of an address, or of an address and port.
func clientFilter(text string) (func(netip.AddrPort) bool, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return func(at netip.AddrPort) bool { return at.IsValid() && at.Addr() == a }, nil
	}
	ap, err := netip.ParseAddrPort(text)
	if err != nil {
		return nil, invalid.because("").of("client", "must be an address, or an address and port")
	}
	return func(at netip.AddrPort) bool { return at == ap }, nil
}

// keyOf is the key that a path names: in hex, or by its hash, for which all
// sessions are looked at.
func keyOf(ctx context.Context, table *ctsync.Table, text string, show keyShower) ([]byte, error) {
	if !isHash(text) {
		key, err := hex.DecodeString(text)
		if err != nil {
			return nil, invalid.because("").of("key", "is not hex")
		}
		return key, nil
	}
	var key []byte
	for cursor := uint64(0); ctx.Err() == nil; {
		cursor = table.Each(cursor, func(s ctsync.Session) bool {
			if event.HashKey(show.secret, s.Key) == text {
				key = s.Key
			}
			return key == nil && ctx.Err() == nil
		})
		if key != nil {
			return key, nil
		}
		if cursor == 0 {
			break
		}
	}
	return nil, notFound.because("no live session has this hash")
}

// GetSession is GET /v1/services/{service}/sessions/{key}.
func (h *handlers) GetSession(ctx context.Context, r openapi.GetSessionRequestObject) (openapi.GetSessionResponseObject, error) {
	v, table, err := h.table(r.Service)
	if err != nil {
		return nil, err
	}
	show := h.shower(ctx)
	if !show.full && !isHash(r.Key) {
		// That a key lives is known to who guesses it; that is told to nobody.
		return nil, forbidden.because("keys are secrets: name the session by its key_hash").of("key", "needs the scope write")
	}
	key, err := keyOf(ctx, table, r.Key, show)
	if err != nil {
		return nil, err
	}
	s, ok := table.Session(key)
	if !ok {
		return nil, notFound.because("no live session has this key")
	}
	return openapi.GetSession200JSONResponse(h.sessionDoc(v, &s, show)), nil
}

// PlaceSession is PUT /v1/services/{service}/sessions/{key}.
func (h *handlers) PlaceSession(ctx context.Context, r openapi.PlaceSessionRequestObject) (openapi.PlaceSessionResponseObject, error) {
	v, table, err := h.table(r.Service)
	if err != nil {
		return nil, err
	}
	show := h.shower(ctx)
	key, err := keyOf(ctx, table, r.Key, show)
	if err != nil {
		return nil, err
	}
	if !hasKeyLength(v, len(key)) {
		return nil, invalid.because("").of("key", "has %d bytes: no variant of the service's key has that many", len(key))
	}
	b := findBackend(v.Service, r.Body.Backend)
	if b == nil {
		return nil, invalid.because("").at("/backend", "service %s has no backend %s", r.Service, r.Body.Backend)
	}
	placed, err := table.Place(context.WithoutCancel(ctx), v, h.Now(), key, b.ID)
	switch {
	case errors.Is(err, ctsync.ErrNotServed):
		return nil, conflict.because("backend %s is %s", b.Name, stateName(b, v)).at("/backend", "serves nobody now")
	case errors.Is(err, ctsync.ErrFull):
		return nil, conflict.because("the service has no room for another session: max_sessions is %d", v.Service.MaxSessions)
	case err != nil:
		return nil, err
	}
	h.audit(ctx, "place", v.Service.Name, key, b.Name)
	s, ok := table.Session(key)
	if !ok {
		return nil, conflict.because("the session ended at once: the service's table is full")
	}
	return openapi.PlaceSession200JSONResponse{
		Session: h.sessionDoc(v, &s, show), Created: placed.Created, OldFlow: openapi.PlacedOldFlow(placed.OldFlow),
	}, nil
}

func hasKeyLength(v *balancer.View, n int) bool {
	for i := range v.Service.Key.Variants {
		if v.Service.Key.Variants[i].KeyLen() == n {
			return true
		}
	}
	return false
}

// DeleteSession is DELETE /v1/services/{service}/sessions/{key}.
func (h *handlers) DeleteSession(ctx context.Context, r openapi.DeleteSessionRequestObject) (openapi.DeleteSessionResponseObject, error) {
	v, table, err := h.table(r.Service)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(ctx, table, r.Key, h.shower(ctx))
	if err != nil {
		return nil, err
	}
	existed, err := table.Delete(context.WithoutCancel(ctx), v, key)
	if err != nil {
		return nil, err
	}
	if !existed {
		return nil, notFound.because("no live session has this key")
	}
	h.audit(ctx, "forget", v.Service.Name, key, "")
	return openapi.DeleteSession204Response{}, nil
}

// audit tells of a write that is no change of the configuration.
func (h *handlers) audit(ctx context.Context, deed, service string, key []byte, backend string) {
	h.Tell(event.Event{
		Kind: event.Audit, Actor: principalOf(ctx).Actor,
		Reason: deed, Service: service, Session: key, Backend: backend,
	})
}
