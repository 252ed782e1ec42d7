package api

import (
	"context"
	"runtime"
	"slices"
	"strings"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/openapi"
)

// GetStats is GET /v1/stats.
func (h *handlers) GetStats(context.Context, openapi.GetStatsRequestObject) (openapi.GetStatsResponseObject, error) {
	counters, err := h.Counters()
	if err != nil {
		return nil, err
	}
	sync, copies := h.SyncStats(), h.CopiesStats()
	doc := openapi.Stats{
		Started: h.Started().UTC(), Services: []openapi.ServiceStats{}, Queues: []openapi.QueueStats{},
		Copies: int64(copies.Copies), LostCopies: int64(copies.Losses),
		Flows: int32(sync.Flows), Pending: int32(sync.Pending), LostFacts: int64(sync.LostFacts),
		LostEvents: int64(sync.LostEvents), KernelDrops: int64(sync.KernelDrops), Dumps: int64(sync.Dumps),
	}
	for _, v := range h.views() {
		s := sync.Services[v.Service.Name]
		one := openapi.ServiceStats{
			Name: v.Service.Name, Sessions: int32(s.Sessions), Unanswered: int32(s.Unanswered), Shared: int32(s.Shared),
			Waiting: int32(s.Waiting), Roams: int64(s.Roams), Takeovers: int64(s.Takeovers), Deleted: int64(s.Deleted),
			Joins: int64(s.Joins), Evicted: int64(s.Evicted), Backends: []openapi.BackendStats{},
		}
		for i := range v.Service.Backends {
			one.Backends = append(one.Backends, h.backendStats(&v.Service.Backends[i], v, counters))
		}
		doc.Services = append(doc.Services, one)
	}
	for _, q := range h.QueueStats() {
		doc.Queues = append(doc.Queues, openapi.QueueStats{
			Queue: int32(q.Queue), Packets: int64(q.Packets), Bursts: int64(q.Bursts), Verdicts: int64(q.Verdicts),
			NoKey: int64(q.NoKey), Nobody: int64(q.Nobody), Dropped: int64(q.Dropped), Missed: int64(q.Missed),
			Crowded: int64(q.Crowded), KeeperAnswers: int64(q.KeeperAnswers),
		})
	}
	return openapi.GetStats200JSONResponse(doc), nil
}

// views are the services by name; none while the daemon starts.
func (h *handlers) views() []*balancer.View {
	s := h.Snapshot()
	if s == nil {
		return nil
	}
	return s.Views
}

func (h *handlers) backendStats(b *balancer.Backend, v *balancer.View, c nft.Counters) openapi.BackendStats {
	count := c.Backends[b.ID]
	doc := openapi.BackendStats{
		Name: b.Name, State: openapi.BackendStatsState(stateName(b, v)), Weight: int32(b.Weight),
		Packets: int64(count.Packets), Bytes: int64(count.Bytes),
	}
	if t, ok := v.Bindings.(*ctsync.Table); ok {
		bound := int32(t.Bound(b.ID))
		doc.Sessions = &bound
	}
	if since, ok := h.DrainingSince(b.ID); ok && b.Admin == balancer.AdminDrain {
		doc.DrainingSince = some(since.UTC())
	}
	return doc
}

// GetChecks is GET /v1/checks.
func (h *handlers) GetChecks(ctx context.Context, _ openapi.GetChecksRequestObject) (openapi.GetChecksResponseObject, error) {
	results := h.Checks(ctx)
	list := openapi.CheckList{Items: make([]openapi.Check, len(results))}
	for i := range results {
		list.Items[i] = checkDoc(&results[i])
	}
	return openapi.GetChecks200JSONResponse(list), nil
}

// GetVersion is GET /v1/version.
func (h *handlers) GetVersion(context.Context, openapi.GetVersionRequestObject) (openapi.GetVersionResponseObject, error) {
	return openapi.GetVersion200JSONResponse{Version: h.version, API: h.contract.doc.Info.Version, Go: runtime.Version()}, nil
}

// GetRuleset is GET /v1/ruleset.
func (h *handlers) GetRuleset(ctx context.Context, r openapi.GetRulesetRequestObject) (openapi.GetRulesetResponseObject, error) {
	who := principalOf(ctx)
	var text string
	var err error
	if r.Params.Form != nil && *r.Params.Form == openapi.Print {
		if !who.mayWrite() {
			return nil, forbidden.because("the rules tell seeds, and the token %s may only read", who.Name)
		}
		text, err = h.Rules()
	} else {
		text, err = h.Ruleset(!who.mayWrite())
	}
	if err != nil {
		return nil, err
	}
	accept := strings.Join(requestIn(ctx).Header.Values("Accept"), ",")
	if accept != "" && accepts(accept, "application/json") && !slices.Contains(strings.Split(accept, ","), "text/plain") && !strings.Contains(accept, "*/*") {
		return openapi.GetRuleset200JSONResponse{Text: text}, nil
	}
	return openapi.GetRuleset200TextResponse(text), nil
}
