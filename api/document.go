package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/openapi"
	"github.com/roamlb/roamlb/store"
)

// GetConfig is GET /v1/config.
func (h *handlers) GetConfig(ctx context.Context, _ openapi.GetConfigRequestObject) (openapi.GetConfigResponseObject, error) {
	st := h.State()
	tag := allTag(&st)
	if conditionIn(ctx).notModified(tag) {
		return openapi.GetConfig304Response{Headers: openapi.NotModifiedResponseHeaders{ETag: &tag}}, nil
	}
	doc, err := h.configDoc(ctx, &st)
	return openapi.GetConfig200JSONResponse{ConfigFoundJSONResponse: doc}, err
}

func (h *handlers) configDoc(ctx context.Context, st *store.State) (openapi.ConfigFoundJSONResponse, error) {
	var out openapi.ConfigFoundJSONResponse
	if err := json.Unmarshal(config.MarshalSettings(h.file), &out.Body); err != nil {
		return out, fmt.Errorf("show settings: %w", err)
	}
	out.Body.Services = make([]openapi.Service, len(st.Services))
	snapshot := h.Snapshot()
	for i := range st.Services {
		s := &st.Services[i]
		doc, err := serviceDoc(s, snapshot.View(s.Name), principalOf(ctx).mayWrite())
		if err != nil {
			return out, err
		}
		out.Body.Services[i] = doc
	}
	tag := allTag(st)
	out.Headers.ETag = &tag
	return out, nil
}

// PutConfig is PUT /v1/config.
func (h *handlers) PutConfig(ctx context.Context, _ openapi.PutConfigRequestObject) (openapi.PutConfigResponseObject, error) {
	f, err := config.ParseDocument(bodyOf(ctx), h.file)
	if err != nil {
		return nil, err
	}
	st, err := h.Change(context.WithoutCancel(ctx), principalOf(ctx).Actor, func(have []balancer.Service) ([]balancer.Service, error) {
		now := h.State()
		now.Services = have
		if p := conditionIn(ctx).allows(allTag(&now)); p != nil {
			return nil, p
		}
		return f.Services, nil
	})
	if err != nil {
		return nil, err
	}
	doc, err := h.configDoc(ctx, &st)
	return openapi.PutConfig200JSONResponse{ConfigFoundJSONResponse: doc}, err
}
