package api

import (
	"context"
	"net/url"
	"slices"
	"strconv"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/openapi"
	"github.com/roamlb/roamlb/store"
)

func backendTag(secret []byte, s *balancer.Service, b *balancer.Backend) string {
	return etag(secret, append([]byte(s.Name+"\n"), config.MarshalBackend(b)...))
}

func noBackend(service, name string) *Problem {
	return notFound.because("service %s has no backend %s", service, name)
}

func findBackend(s *balancer.Service, name string) *balancer.Backend {
	i := slices.IndexFunc(s.Backends, func(b balancer.Backend) bool { return b.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Backends[i]
}

// ListBackends is GET /v1/services/{service}/backends.
func (h *handlers) ListBackends(ctx context.Context, r openapi.ListBackendsRequestObject) (openapi.ListBackendsResponseObject, error) {
	st := h.State()
	s := find(st.Services, r.Service)
	if s == nil {
		return nil, noService(r.Service)
	}
	tag := serviceTag(st.Secret, s)
	if conditionIn(ctx).notModified(tag) {
		return openapi.ListBackends304Response{Headers: openapi.NotModifiedResponseHeaders{ETag: &tag}}, nil
	}
	from, limit := 0, defaultLimit
	if r.Params.Limit != nil {
		limit = int(*r.Params.Limit)
	}
	if r.Params.Cursor != nil {
		n, err := strconv.Atoi(*r.Params.Cursor)
		if err != nil || n < 0 {
			return nil, badCursor()
		}
		from = min(n, len(s.Backends))
	}
	end := min(from+limit, len(s.Backends))
	list := openapi.BackendList{Items: make([]openapi.Backend, 0, end-from)}
	v := h.Snapshot().View(s.Name)
	for i := from; i < end; i++ {
		doc, err := backendDoc(&s.Backends[i], v)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, doc)
	}
	if end < len(s.Backends) {
		list.Next = some(strconv.Itoa(end))
	}
	return openapi.ListBackends200JSONResponse{Body: list, Headers: openapi.ListBackends200ResponseHeaders{ETag: &tag}}, nil
}

func badCursor() *Problem { return invalid.because("").of("cursor", "is none that was given here") }

// GetBackend is GET /v1/services/{service}/backends/{backend}.
func (h *handlers) GetBackend(ctx context.Context, r openapi.GetBackendRequestObject) (openapi.GetBackendResponseObject, error) {
	st := h.State()
	found, err := h.foundBackend(&st, r.Service, r.Backend)
	if err != nil {
		return nil, err
	}
	if conditionIn(ctx).notModified(*found.Headers.ETag) {
		return openapi.GetBackend304Response{Headers: openapi.NotModifiedResponseHeaders{ETag: found.Headers.ETag}}, nil
	}
	return openapi.GetBackend200JSONResponse{BackendFoundJSONResponse: found}, nil
}

// foundBackend answers with a backend of a state.
func (h *handlers) foundBackend(st *store.State, service, name string) (openapi.BackendFoundJSONResponse, error) {
	var out openapi.BackendFoundJSONResponse
	s := find(st.Services, service)
	if s == nil {
		return out, noService(service)
	}
	b := findBackend(s, name)
	if b == nil {
		return out, noBackend(service, name)
	}
	doc, err := backendDoc(b, h.Snapshot().View(service))
	if err != nil {
		return out, err
	}
	tag := backendTag(st.Secret, s, b)
	out.Body, out.Headers.ETag = doc, &tag
	return out, nil
}

// createdBackend answers with a backend that is new.
func (h *handlers) createdBackend(st *store.State, service, name string) (openapi.BackendCreatedJSONResponse, error) {
	found, err := h.foundBackend(st, service, name)
	at := "/v1/services/" + url.PathEscape(service) + "/backends/" + url.PathEscape(name)
	return openapi.BackendCreatedJSONResponse{
		Body: found.Body, Headers: openapi.BackendCreatedResponseHeaders{ETag: found.Headers.ETag, Location: &at},
	}, err
}

// editBackend changes one backend: fn gets its service and it, nil where there
// is none, and returns what it is to be, nil for gone.
func (h *handlers) editBackend(
	ctx context.Context, service, name string, fn func(s *balancer.Service, have *balancer.Backend) (*balancer.Backend, error),
) (store.State, error) {
	return h.edit(ctx, service, func(s *balancer.Service) (*balancer.Service, error) {
		if s == nil {
			return nil, noService(service)
		}
		next, err := fn(s, findBackend(s, name))
		if err != nil {
			return nil, err
		}
		changed := *s
		changed.Backends = slices.Clone(s.Backends)
		at := slices.IndexFunc(changed.Backends, func(b balancer.Backend) bool { return b.Name == name })
		switch {
		case next == nil && at < 0:
			return nil, noBackend(service, name)
		case next == nil:
			changed.Backends = slices.Delete(changed.Backends, at, at+1)
		case at >= 0:
			changed.Backends[at] = *next
		default:
			changed.Backends = append(changed.Backends, *next)
		}
		// There may be more of them now than the service has room for.
		return &changed, config.CheckService(&changed)
	})
}

// allowedBackend is allowed for a backend.
func (h *handlers) allowedBackend(ctx context.Context, s *balancer.Service, have *balancer.Backend) error {
	tag := ""
	if have != nil {
		tag = backendTag(h.State().Secret, s, have)
	}
	if p := conditionIn(ctx).allows(tag); p != nil {
		return p
	}
	return nil
}

// CreateBackend is POST /v1/services/{service}/backends.
func (h *handlers) CreateBackend(ctx context.Context, r openapi.CreateBackendRequestObject) (openapi.CreateBackendResponseObject, error) {
	name := r.Body.Name
	st, err := h.editBackend(ctx, r.Service, name, func(s *balancer.Service, have *balancer.Backend) (*balancer.Backend, error) {
		b, err := config.ParseBackend(bodyOf(ctx), s)
		if err == nil && have != nil {
			err = conflict.because("service %s has a backend %s already: change it with PUT or PATCH", s.Name, name).at("/name", "is taken")
		}
		return &b, err
	})
	if err != nil {
		return nil, err
	}
	made, err := h.createdBackend(&st, r.Service, name)
	return openapi.CreateBackend201JSONResponse{BackendCreatedJSONResponse: made}, err
}

// PutBackend is PUT /v1/services/{service}/backends/{backend}.
func (h *handlers) PutBackend(ctx context.Context, r openapi.PutBackendRequestObject) (openapi.PutBackendResponseObject, error) {
	isNew := false
	st, err := h.editBackend(ctx, r.Service, r.Backend, func(s *balancer.Service, have *balancer.Backend) (*balancer.Backend, error) {
		isNew = have == nil
		if err := h.allowedBackend(ctx, s, have); err != nil {
			return nil, err
		}
		b, err := config.ParseBackend(bodyOf(ctx), s)
		if err == nil && b.Name != r.Backend {
			err = renamed(r.Backend)
		}
		return &b, err
	})
	if err != nil {
		return nil, err
	}
	if isNew {
		made, err := h.createdBackend(&st, r.Service, r.Backend)
		return openapi.PutBackend201JSONResponse{BackendCreatedJSONResponse: made}, err
	}
	found, err := h.foundBackend(&st, r.Service, r.Backend)
	return openapi.PutBackend200JSONResponse{BackendFoundJSONResponse: found}, err
}

// PatchBackend is PATCH /v1/services/{service}/backends/{backend}.
func (h *handlers) PatchBackend(ctx context.Context, r openapi.PatchBackendRequestObject) (openapi.PatchBackendResponseObject, error) {
	st, err := h.editBackend(ctx, r.Service, r.Backend, func(s *balancer.Service, have *balancer.Backend) (*balancer.Backend, error) {
		if have == nil {
			return nil, noBackend(r.Service, r.Backend)
		}
		if err := h.allowedBackend(ctx, s, have); err != nil {
			return nil, err
		}
		b, err := config.PatchBackend(have, bodyOf(ctx), s)
		if err == nil && b.Name != r.Backend {
			err = renamed(r.Backend)
		}
		return &b, err
	})
	if err != nil {
		return nil, err
	}
	found, err := h.foundBackend(&st, r.Service, r.Backend)
	return openapi.PatchBackend200JSONResponse{BackendFoundJSONResponse: found}, err
}

// DeleteBackend is DELETE /v1/services/{service}/backends/{backend}.
func (h *handlers) DeleteBackend(ctx context.Context, r openapi.DeleteBackendRequestObject) (openapi.DeleteBackendResponseObject, error) {
	_, err := h.editBackend(ctx, r.Service, r.Backend, func(s *balancer.Service, have *balancer.Backend) (*balancer.Backend, error) {
		if have == nil {
			return nil, noBackend(r.Service, r.Backend)
		}
		return nil, h.allowedBackend(ctx, s, have)
	})
	return openapi.DeleteBackend204Response{}, err
}
