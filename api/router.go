package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/daemon"
	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/openapi"
	"github.com/roamlb/roamlb/store"
	"github.com/roamlb/roamlb/web"
)

const (
	clientRate  = 1000 // requests a second of a client
	clientBurst = 2000
	wrongRate   = 10 // wrong tokens a second of a client
	wrongBurst  = 20
)

// newHandler makes the handler of each of the two ways in.
func newHandler(o Options, own names) (func(viaSocket bool) http.Handler, error) {
	c, err := loadContract()
	if err != nil {
		return nil, fmt.Errorf("read the API's description: %w", err)
	}
	auth := &authenticator{auth: o.File.API.Auth, state: o.Daemon.State, failed: newLimiter(wrongRate, wrongBurst), now: time.Now}
	h := &handlers{Daemon: o.Daemon, file: o.File, version: o.Version, log: o.Log, auth: auth, contract: c}
	h.requests = newRequests()
	h.metrics = newMetrics(h)
	mux := chi.NewRouter()
	h.pages = web.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { notFound.because("no such path").write(w, r) }))
	mux.NotFound(h.pages.ServeHTTP)
	mux.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) { refuseMethod(mux, w, r) })
	routes := openapi.NewStrictHandlerWithOptions(h, nil, openapi.StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  unreadable,
		ResponseErrorHandlerFunc: h.failed,
	})
	openapi.HandlerWithOptions(routes, openapi.ChiServerOptions{BaseRouter: mux, ErrorHandlerFunc: unreadable})

	kept := newReplays(time.Now)
	rates := newLimiter(clientRate, clientBurst)
	return func(viaSocket bool) http.Handler {
		next := checked(c, mux, h, idempotent(kept, conditional(mux)))
		next = identified(auth, viaSocket, buffered(next))
		if viaSocket {
			next = profiled(next)
		} else {
			next = limited(rates, time.Now, sameOrigin(own, next))
		}
		return recovered(o.Log, secured(oncePath(next)))
	}, nil
}

// oncePath has the router work on the path as it was sent, so that names in it
// are decoded once, by what reads the parameter.
func oncePath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		again := r.Clone(r.Context())
		again.URL.RawPath = r.URL.EscapedPath()
		next.ServeHTTP(w, again)
	})
}

// checked refuses what the description does not allow, and whom.
// While the daemon starts there is nothing to be told yet.
func checked(c *contract, mux *chi.Mux, h *handlers, next http.Handler) http.Handler {
	inner := typed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := c.check(operationOf(r), r); p != nil {
			p.write(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op := c.find(mux, r)
		h.requests.counted(op, admitted(op, h.Health, inner, next)).ServeHTTP(w, r)
	})
}

// admitted lets pass to inner who may do an operation, and to next whoever asks
// for what is none.
func admitted(op *operation, health func() daemon.Health, inner, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := principalOf(r.Context())
		switch {
		case op == nil: // the router answers, but strangers learn nothing
			if who.Scope == "" && strings.HasPrefix(r.URL.Path, "/v1/") {
				unauthorized.because("send a token").write(w, r)
				return
			}
			next.ServeHTTP(w, r)
			return
		case op.open():
		case who.Scope == "":
			unauthorized.because("send a token").write(w, r)
			return
		case op.scope(r.Method) == store.ScopeWrite && !who.mayWrite():
			forbidden.because("the token %s may only read", who.Name).write(w, r)
			return
		case op.id() == "getRuleset": // while the daemon waits for rules, it prints them
		case !health().Ready:
			unavailable.because("the daemon is %s", strings.Join(health().Reasons, "; ")).later(time.Second).write(w, r)
			return
		}
		inner.ServeHTTP(w, withOperation(r, op))
	})
}

// conditional puts what only the request's headers say where handlers find it,
// and answers HEAD as GET.
func conditional(mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			r = r.Clone(r.Context())
			r.Method = http.MethodGet // net/http drops the body
		}
		mux.ServeHTTP(w, withCondition(r))
	})
}

// refuseMethod answers 405 with the methods that there are.
func refuseMethod(mux *chi.Mux, w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if mux.Match(chi.NewRouteContext(), method, r.URL.RawPath) {
			allowed = append(allowed, method)
			if method == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
	}
	p := wrongMethod.because("there is %s", strings.Join(allowed, ", "))
	p.allow = strings.Join(allowed, ", ")
	p.write(w, r)
}

// unreadable answers a request that the generated server could not read.
func unreadable(w http.ResponseWriter, r *http.Request, err error) {
	var param *openapi.InvalidParamFormatError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &param):
		invalid.because("").of(param.ParamName, "%v", param.Err).write(w, r)
	case errors.As(err, &kind):
		// Package config says it better, of the bodies it knows.
		if p := preciseProblem(r); p != nil {
			p.write(w, r)
			return
		}
		invalid.because("").at("/"+strings.ReplaceAll(kind.Field, ".", "/"), "must be %s, not %s", kind.Type, kind.Value).write(w, r)
	default:
		if p := preciseProblem(r); p != nil {
			p.write(w, r)
			return
		}
		malformed.because("%v", err).write(w, r)
	}
}

// preciseProblem is what package config says of a body; nil where it knows
// nothing of it.
func preciseProblem(r *http.Request) *Problem {
	body := bodyOf(r.Context())
	var err error
	switch operationOf(r).id() {
	case "createService", "putService", "previewRing":
		_, err = config.ParseService(body)
	case "createBackend", "putBackend":
		_, err = config.ParseBackend(body, nil)
	case "putConfig":
		_, err = config.ParseDocument(body, config.Default())
	case "patchService", "patchBackend":
		err = config.CheckPatch(body)
	}
	if err == nil {
		return nil
	}
	return problemOf(err)
}

// failed answers a request whose handler returned an error.
func (h *handlers) failed(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		h.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	p.write(w, r)
}

// problemOf is how an error is told. All errors come through here.
func problemOf(err error) *Problem {
	var problem *Problem
	var wrong *config.Error
	var exhausted *store.ExhaustedError
	var rules *nft.RulesError
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &wrong):
		return problemOfConfig(wrong)
	case errors.As(err, &exhausted):
		return conflict.because("%v", exhausted)
	case errors.As(err, &rules):
		p := needsRules.because("%v", rules)
		p.Rules = rules.Rules
		return p
	case errors.Is(err, daemon.ErrDegraded), errors.Is(err, nft.ErrNoTable):
		return unavailable.because("%v", err).later(5 * time.Second)
	case errors.Is(err, daemon.ErrNotApplied):
		return notApplied.because("%v", err)
	default:
		return internal.because("%v", err)
	}
}

// problemOfConfig is all that is wrong with a document. What is no JSON at all
// is malformed.
func problemOfConfig(wrong *config.Error) *Problem {
	kind := invalid
	if len(wrong.Problems) == 1 && wrong.Problems[0].Pointer == "" && strings.HasPrefix(wrong.Problems[0].Message, "is not ") {
		kind = malformed
	}
	p := kind.because("")
	for i := range wrong.Problems {
		p.note(wrong.Problems[i].Pointer, "%s", wrong.Problems[i].Message)
	}
	if wrong.More > 0 {
		p.note("", "and %d more", wrong.More)
	}
	return p
}
