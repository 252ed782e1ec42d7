package api

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/openapi"
	"github.com/roamlb/roamlb/store"
)

const defaultLimit = 100

// page is the part of a list that begins behind a cursor, and the next cursor.
// keys rise; a cursor is the last one that was shown.
func page[T any](items []T, key func(*T) string, limit *openapi.Limit, cursor *openapi.Cursor) ([]T, *string) {
	n := defaultLimit
	if limit != nil {
		n = int(*limit)
	}
	if cursor != nil {
		at, found := slices.BinarySearchFunc(items, *cursor, func(item T, c string) int { return cmp.Compare(key(&item), c) })
		if found {
			at++
		}
		items = items[at:]
	}
	if len(items) <= n {
		return items, nil
	}
	next := key(&items[n-1])
	return items[:n], &next
}

// byName are the services in the order of their names.
func byName(services []balancer.Service) []balancer.Service {
	sorted := slices.Clone(services)
	slices.SortFunc(sorted, func(a, b balancer.Service) int { return cmp.Compare(a.Name, b.Name) })
	return sorted
}

func serviceTag(secret []byte, s *balancer.Service) string {
	return etag(secret, config.MarshalService(s))
}

// allTag is the tag of all services together.
func allTag(st *store.State) string {
	var all []byte
	for _, s := range byName(st.Services) {
		all = append(append(all, config.MarshalService(&s)...), '\n')
	}
	return etag(st.Secret, all)
}

func noService(name string) *Problem { return notFound.because("there is no service %s", name) }

// find is a service of a list; nil where there is none.
func find(services []balancer.Service, name string) *balancer.Service {
	i := slices.IndexFunc(services, func(s balancer.Service) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &services[i]
}

// ListServices is GET /v1/services.
func (h *handlers) ListServices(ctx context.Context, r openapi.ListServicesRequestObject) (openapi.ListServicesResponseObject, error) {
	st := h.State()
	tag := allTag(&st)
	if conditionIn(ctx).notModified(tag) {
		return openapi.ListServices304Response{Headers: openapi.NotModifiedResponseHeaders{ETag: &tag}}, nil
	}
	some, next := page(byName(st.Services), func(s *balancer.Service) string { return s.Name }, r.Params.Limit, r.Params.Cursor)
	list := openapi.ServiceList{Items: make([]openapi.Service, len(some)), Next: next}
	snapshot := h.Snapshot()
	for i := range some {
		doc, err := serviceDoc(&some[i], snapshot.View(some[i].Name), principalOf(ctx).mayWrite())
		if err != nil {
			return nil, err
		}
		list.Items[i] = doc
	}
	return openapi.ListServices200JSONResponse{Body: list, Headers: openapi.ListServices200ResponseHeaders{ETag: &tag}}, nil
}

// GetService is GET /v1/services/{service}.
func (h *handlers) GetService(ctx context.Context, r openapi.GetServiceRequestObject) (openapi.GetServiceResponseObject, error) {
	st := h.State()
	s := find(st.Services, r.Service)
	if s == nil {
		return nil, noService(r.Service)
	}
	tag := serviceTag(st.Secret, s)
	if conditionIn(ctx).notModified(tag) {
		return openapi.GetService304Response{Headers: openapi.NotModifiedResponseHeaders{ETag: &tag}}, nil
	}
	found, err := h.found(ctx, &st, r.Service)
	return openapi.GetService200JSONResponse{ServiceFoundJSONResponse: found}, err
}

// found answers with a service of a state.
func (h *handlers) found(ctx context.Context, st *store.State, name string) (openapi.ServiceFoundJSONResponse, error) {
	var out openapi.ServiceFoundJSONResponse
	s := find(st.Services, name)
	if s == nil {
		return out, noService(name) // somebody was fast
	}
	doc, err := serviceDoc(s, h.Snapshot().View(name), principalOf(ctx).mayWrite())
	if err != nil {
		return out, err
	}
	tag := serviceTag(st.Secret, s)
	out.Body, out.Headers.ETag = doc, &tag
	return out, nil
}

// created answers with a service that is new.
func (h *handlers) created(ctx context.Context, st *store.State, name string) (openapi.ServiceCreatedJSONResponse, error) {
	found, err := h.found(ctx, st, name)
	at := "/v1/services/" + url.PathEscape(name)
	return openapi.ServiceCreatedJSONResponse{
		Body: found.Body, Headers: openapi.ServiceCreatedResponseHeaders{ETag: found.Headers.ETag, Location: &at},
	}, err
}

// edit changes one service: fn gets it, nil where there is none, and returns
// what it is to be, nil for gone. A client that goes away meanwhile stops
// nothing.
func (h *handlers) edit(ctx context.Context, name string, fn func(have *balancer.Service) (*balancer.Service, error)) (store.State, error) {
	return h.Change(context.WithoutCancel(ctx), principalOf(ctx).Actor, func(have []balancer.Service) ([]balancer.Service, error) {
		at := slices.IndexFunc(have, func(s balancer.Service) bool { return s.Name == name })
		var old *balancer.Service
		if at >= 0 {
			old = &have[at]
		}
		next, err := fn(old)
		if err != nil {
			return nil, err
		}
		list := slices.Clone(have)
		switch {
		case next == nil && at >= 0:
			return slices.Delete(list, at, at+1), nil
		case next == nil:
			return nil, noService(name)
		case at >= 0:
			list[at] = *next
		default:
			at = len(list)
			list = append(list, *next)
		}
		return list, h.beside(list, at)
	})
}

// beside checks a service beside all others. Pointers are into its own
// document.
func (h *handlers) beside(list []balancer.Service, at int) error {
	f := *h.file
	f.Services = list
	err := f.CheckServices()
	if err == nil {
		return nil
	}
	p := problemOf(err)
	own := fmt.Sprintf("/services/%d", at)
	for i := range p.Errors {
		pointer := ""
		if rest, ok := strings.CutPrefix(*p.Errors[i].Pointer, own+"/"); ok {
			pointer = "/" + rest
		}
		p.Errors[i].Pointer = &pointer
	}
	return p
}

// CreateService is POST /v1/services.
func (h *handlers) CreateService(ctx context.Context, _ openapi.CreateServiceRequestObject) (openapi.CreateServiceResponseObject, error) {
	s, err := config.ParseService(bodyOf(ctx))
	if err != nil {
		return nil, err
	}
	st, err := h.edit(ctx, s.Name, func(have *balancer.Service) (*balancer.Service, error) {
		if have != nil {
			return nil, conflict.because("there is a service %s already: change it with PUT or PATCH", s.Name).at("/name", "is taken")
		}
		return &s, nil
	})
	if err != nil {
		return nil, err
	}
	made, err := h.created(ctx, &st, s.Name)
	return openapi.CreateService201JSONResponse{ServiceCreatedJSONResponse: made}, err
}

// PutService is PUT /v1/services/{service}.
func (h *handlers) PutService(ctx context.Context, r openapi.PutServiceRequestObject) (openapi.PutServiceResponseObject, error) {
	s, err := config.ParseService(bodyOf(ctx))
	if err != nil {
		return nil, err
	}
	if s.Name != r.Service {
		return nil, renamed(r.Service)
	}
	isNew := false
	st, err := h.edit(ctx, r.Service, func(have *balancer.Service) (*balancer.Service, error) {
		isNew = have == nil
		return &s, h.allowed(ctx, have)
	})
	if err != nil {
		return nil, err
	}
	if isNew {
		made, err := h.created(ctx, &st, s.Name)
		return openapi.PutService201JSONResponse{ServiceCreatedJSONResponse: made}, err
	}
	found, err := h.found(ctx, &st, s.Name)
	return openapi.PutService200JSONResponse{ServiceFoundJSONResponse: found}, err
}

func renamed(name string) *Problem {
	return invalid.because("").at("/name", "must be %q, as in the path: what has another name is another", name)
}

// allowed reports as an error when the request's conditions keep it from
// changing a service; nil for one that does not exist.
func (h *handlers) allowed(ctx context.Context, have *balancer.Service) error {
	tag := ""
	if have != nil {
		tag = serviceTag(h.State().Secret, have)
	}
	if p := conditionIn(ctx).allows(tag); p != nil {
		return p
	}
	return nil
}

// PatchService is PATCH /v1/services/{service}.
func (h *handlers) PatchService(ctx context.Context, r openapi.PatchServiceRequestObject) (openapi.PatchServiceResponseObject, error) {
	st, err := h.edit(ctx, r.Service, func(have *balancer.Service) (*balancer.Service, error) {
		if have == nil {
			return nil, noService(r.Service)
		}
		if err := h.allowed(ctx, have); err != nil {
			return nil, err
		}
		s, err := config.PatchService(have, bodyOf(ctx))
		if err == nil && s.Name != have.Name {
			err = renamed(have.Name)
		}
		return &s, err
	})
	if err != nil {
		return nil, err
	}
	found, err := h.found(ctx, &st, r.Service)
	return openapi.PatchService200JSONResponse{ServiceFoundJSONResponse: found}, err
}

// DeleteService is DELETE /v1/services/{service}.
func (h *handlers) DeleteService(ctx context.Context, r openapi.DeleteServiceRequestObject) (openapi.DeleteServiceResponseObject, error) {
	_, err := h.edit(ctx, r.Service, func(have *balancer.Service) (*balancer.Service, error) {
		if have == nil {
			return nil, noService(r.Service)
		}
		return nil, h.allowed(ctx, have)
	})
	return openapi.DeleteService204Response{}, err
}
