package api

import (
	"context"
	"slices"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/daemon"
	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/openapi"
)

// view is what decides a service's packets.
func (h *handlers) view(service string) (*balancer.View, error) {
	s := h.Snapshot()
	if s != nil {
		if v := s.View(service); v != nil {
			return v, nil
		}
	}
	return nil, noService(service)
}

// GetRing is GET /v1/services/{service}/ring.
func (h *handlers) GetRing(_ context.Context, r openapi.GetRingRequestObject) (openapi.GetRingResponseObject, error) {
	v, err := h.view(r.Service)
	if err != nil {
		return nil, err
	}
	list := openapi.RingList{Items: []openapi.Ring{}}
	for _, v6 := range v.Families() {
		ring := ringDoc(v, v6)
		if r.Params.Slots != nil && *r.Params.Slots {
			slots := make([]string, len(v.Ring(v6)))
			for i, id := range v.Ring(v6) {
				slots[i] = backendName(v, id)
			}
			ring.Slots = &slots
		}
		list.Items = append(list.Items, ring)
	}
	return openapi.GetRing200JSONResponse(list), nil
}

// ringDoc is a service's ring of a family, without its slots.
func ringDoc(v *balancer.View, v6 bool) openapi.Ring {
	ring := v.Ring(v6)
	owned := make(map[uint16]int, len(v.Service.Backends))
	for _, id := range ring {
		owned[id]++
	}
	total := 0
	takes := func(b *balancer.Backend) bool { return v.State(b.ID) == balancer.Up && b.Address(v6).IsValid() }
	for i := range v.Service.Backends {
		if b := &v.Service.Backends[i]; takes(b) {
			total += b.Weight
		}
	}
	doc := openapi.Ring{Family: family(v6), Size: int32(len(ring)), Shares: []openapi.Share{}}
	for i := range v.Service.Backends {
		b := &v.Service.Backends[i]
		share := openapi.Share{Backend: b.Name, Weight: int32(b.Weight), Slots: int32(owned[b.ID]), Share: float64(owned[b.ID]) / float64(len(ring))}
		if takes(b) && total > 0 {
			share.Ideal = float64(b.Weight) / float64(total)
		}
		doc.Shares = append(doc.Shares, share)
	}
	return doc
}

// PreviewRing is POST /v1/services/{service}/ring/preview.
func (h *handlers) PreviewRing(ctx context.Context, r openapi.PreviewRingRequestObject) (openapi.PreviewRingResponseObject, error) {
	have, err := h.view(r.Service)
	if err != nil {
		return nil, err
	}
	next, err := h.planned(ctx, r.Service)
	if err != nil {
		return nil, err
	}
	doc := openapi.Preview{
		Effective: effective(next), Rings: []openapi.RingChange{},
		Differences: daemon.Differences([]balancer.Service{*have.Service}, []balancer.Service{*next.Service}),
	}
	if doc.Differences == nil {
		doc.Differences = []string{}
	}
	for _, v6 := range next.Families() {
		c := balancer.CompareRings(have, next, v6)
		doc.Rings = append(doc.Rings, openapi.RingChange{
			Family: family(v6), Slots: int32(c.Slots), Moved: int32(c.Moved),
			Share: float64(c.Moved) / float64(c.Slots), Moves: ringMoves(c.Moves),
		})
	}
	doc.Sessions = compareSessions(have, next)
	return openapi.PreviewRing200JSONResponse{Body: doc}, nil
}

// planned is the service of a request as it would be.
func (h *handlers) planned(ctx context.Context, service string) (*balancer.View, error) {
	s, err := config.ParseService(bodyOf(ctx))
	if err != nil {
		return nil, err
	}
	if s.Name != service {
		return nil, renamed(service)
	}
	list := slices.Clone(h.State().Services)
	at := slices.IndexFunc(list, func(o balancer.Service) bool { return o.Name == s.Name })
	if at < 0 {
		return nil, noService(service)
	}
	list[at] = s
	if err := h.beside(list, at); err != nil {
		return nil, err
	}
	snapshot, err := h.Plan(list)
	if err != nil {
		return nil, err
	}
	return snapshot.View(s.Name), nil
}

// compareSessions says what would become of the live sessions.
func compareSessions(have, next *balancer.View) openapi.SessionsChange {
	table, ok := have.Bindings.(*ctsync.Table)
	if !ok {
		return openapi.SessionsChange{Moves: []openapi.SessionMove{}}
	}
	if nft.KeyFingerprint(&have.Service.Key) != nft.KeyFingerprint(&next.Service.Key) {
		n := int32(table.Len())
		return openapi.SessionsChange{Total: n, Forgotten: n, Moves: []openapi.SessionMove{}}
	}
	total, moved := 0, 0
	counts := make(map[[2]string]int)
	for cursor := uint64(0); ; {
		cursor = table.Each(cursor, func(s ctsync.Session) bool {
			total++
			backend, v6 := s.Backend4, false
			if backend == 0 {
				backend, v6 = s.Backend6, true
			}
			if from, to := balancer.Moves(have, next, s.Key, backend, v6); from != to {
				counts[[2]string{from, to}]++
				moved++
			}
			return true
		})
		if cursor == 0 {
			break
		}
	}
	return openapi.SessionsChange{Total: int32(total), Moved: int32(moved), Moves: sessionMoves(balancer.Summed(counts))}
}
