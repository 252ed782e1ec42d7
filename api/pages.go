package api

import (
	"context"
	"net/http"

	"github.com/roamlb/roamlb/openapi"
)

// GetHealth is GET /healthz.
func (h *handlers) GetHealth(context.Context, openapi.GetHealthRequestObject) (openapi.GetHealthResponseObject, error) {
	return openapi.GetHealth200JSONResponse{Status: openapi.HealthStatusOk, Reasons: []string{}}, nil
}

// GetReadiness is GET /readyz.
func (h *handlers) GetReadiness(context.Context, openapi.GetReadinessRequestObject) (openapi.GetReadinessResponseObject, error) {
	state := h.Health()
	doc := openapi.Health{Status: openapi.HealthStatusOk, Reasons: state.Reasons}
	if doc.Reasons == nil {
		doc.Reasons = []string{}
	}
	switch {
	case state.Degraded:
		doc.Status = openapi.HealthStatusDegraded
	case !state.Ready:
		doc.Status = openapi.HealthStatusStarting
	default:
		return openapi.GetReadiness200JSONResponse(doc), nil
	}
	return openapi.GetReadiness503JSONResponse(doc), nil
}

// raw is an answer that is no document of the description's: a handler writes
// it.
type raw struct {
	handler http.Handler
	request *http.Request
}

func (a raw) answer(w http.ResponseWriter) error {
	a.handler.ServeHTTP(w, a.request)
	return nil
}

// VisitGetMetricsResponse is of openapi.GetMetricsResponseObject.
func (a raw) VisitGetMetricsResponse(w http.ResponseWriter) error { return a.answer(w) }

// VisitGetDescriptionResponse is of openapi.GetDescriptionResponseObject.
func (a raw) VisitGetDescriptionResponse(w http.ResponseWriter) error { return a.answer(w) }

// VisitGetDocsResponse is of openapi.GetDocsResponseObject.
func (a raw) VisitGetDocsResponse(w http.ResponseWriter) error { return a.answer(w) }

// GetDescription is GET /openapi.json.
func (h *handlers) GetDescription(ctx context.Context, _ openapi.GetDescriptionRequestObject) (openapi.GetDescriptionResponseObject, error) {
	return raw{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(h.contract.text) // the client may be gone
	}), request: requestIn(ctx)}, nil
}

// docsMissing is what /docs says where the viewer was not built.
const docsMissing = "<!doctype html><meta charset=utf-8><title>roamlb API</title>" +
	"<p>The documentation's viewer is not in this build: make it with Node 20 or newer and <code>make web</code>. " +
	"The description itself is <a href=\"/openapi.json\">/openapi.json</a>.\n"

// GetDocs is GET /docs.
func (h *handlers) GetDocs(ctx context.Context, _ openapi.GetDocsRequestObject) (openapi.GetDocsResponseObject, error) {
	return raw{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(docsMissing))
	}), request: requestIn(ctx)}, nil
}
