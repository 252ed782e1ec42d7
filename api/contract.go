package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/go-chi/chi/v5"

	"github.com/roamlb/roamlb/openapi"
	"github.com/roamlb/roamlb/store"
)

// contract is the description, by which requests are checked before they reach
// a handler.
type contract struct {
	doc *openapi3.T
	// text is the description as JSON.
	text []byte
}

func loadContract() (*contract, error) {
	doc, err := openapi.GetSpec()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return &contract{doc: doc, text: text}, nil
}

// operation is what a request asks for.
type operation struct {
	*openapi3.Operation
	path   string // as the description writes it
	params map[string]string
}

// find is the operation that a request asks for, nil where there is none.
func (c *contract) find(mux *chi.Mux, r *http.Request) *operation {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	rc := chi.NewRouteContext()
	if !mux.Match(rc, method, r.URL.RawPath) {
		return nil
	}
	item := c.doc.Paths.Value(rc.RoutePattern())
	if item == nil || item.GetOperation(method) == nil {
		return nil
	}
	op := &operation{Operation: item.GetOperation(method), path: rc.RoutePattern(), params: make(map[string]string)}
	for i, name := range rc.URLParams.Keys {
		value, err := url.PathUnescape(rc.URLParams.Values[i])
		if err != nil {
			value = rc.URLParams.Values[i] // which no parameter's pattern allows
		}
		op.params[name] = value
	}
	return op
}

// id is the operation's id as the description writes it: what is embedded of
// that has the first letter in upper case.
func (o *operation) id() string { return strings.ToLower(o.OperationID[:1]) + o.OperationID[1:] }

// open reports whether everybody may ask for it.
func (o *operation) open() bool { return o.Security != nil && len(*o.Security) == 0 }

// scope is what it takes to ask for it.
func (o *operation) scope(method string) store.Scope {
	switch o.id() {
	case "explain", "previewRing": // a body, and no effect
		return store.ScopeRead
	case "listTokens":
		return store.ScopeWrite
	}
	if method == http.MethodGet || method == http.MethodHead {
		return store.ScopeRead
	}
	return store.ScopeWrite
}

// precise names the operations whose bodies package config checks, member by
// member and with better words.
var precise = map[string]bool{
	"createService": true, "putService": true, "patchService": true, "previewRing": true,
	"createBackend": true, "putBackend": true, "patchBackend": true, "putConfig": true,
}

// check says as a problem what of a request is not as described.
func (c *contract) check(op *operation, r *http.Request) *Problem {
	if p := op.acceptable(r); p != nil {
		return p
	}
	options := &openapi3filter.Options{
		MultiError: true, ExcludeRequestBody: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
	}
	err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: op.params, Options: options,
		Route: &routers.Route{Spec: c.doc, Path: op.path, PathItem: c.doc.Paths.Value(op.path), Method: r.Method, Operation: op.Operation},
	})
	p := &Problem{}
	if err != nil {
		faults(p, err)
	}
	if p.unknownQuery(op, c.doc.Paths.Value(op.path), r); op.RequestBody != nil && !precise[op.id()] {
		p.body(op, bodyOf(r.Context()))
	}
	if len(p.Errors) == 0 {
		return nil
	}
	told := invalid.because("")
	if p.Status != 0 {
		told = malformed.because("")
	}
	told.Errors = p.Errors
	return told
}

// faults gathers what a validation of parameters found.
func faults(p *Problem, err error) {
	var request *openapi3filter.RequestError
	var many openapi3.MultiError
	switch {
	case errors.As(err, &request) && request.Parameter != nil:
		for _, reason := range reasons(request) {
			if request.Parameter.In == openapi3.ParameterInHeader {
				p.header(request.Parameter.Name, "%s", reason)
			} else {
				p.of(request.Parameter.Name, "%s", reason)
			}
		}
	case errors.As(err, &many):
		for _, one := range many {
			faults(p, one)
		}
	default:
		p.at("", "%v", err)
	}
}

// reasons is why a parameter's value is wrong.
func reasons(e *openapi3filter.RequestError) []string {
	var many openapi3.MultiError
	if !errors.As(e.Err, &many) {
		if e.Err == nil {
			return []string{e.Reason}
		}
		many = openapi3.MultiError{e.Err}
	}
	var out []string
	for _, one := range many {
		var schema *openapi3.SchemaError
		var parse *openapi3filter.ParseError
		switch {
		case errors.As(one, &schema):
			out = append(out, plainReason(schema))
		case errors.As(one, &parse) && parse.Reason != "":
			out = append(out, parse.Reason)
		default:
			out = append(out, one.Error())
		}
	}
	return out
}

// plainReason is a schema error without the place, which is told apart.
func plainReason(e *openapi3.SchemaError) string {
	reason := e.Reason
	if rest, ok := strings.CutPrefix(reason, "at '"); ok {
		if _, after, found := strings.Cut(rest, "': "); found {
			reason = after
		}
	}
	return reason
}

// unknownQuery refuses parameters that the operation does not have: a filter
// that was misspelt would show everything.
func (p *Problem) unknownQuery(op *operation, item *openapi3.PathItem, r *http.Request) {
	known := make(map[string]bool)
	for _, params := range []openapi3.Parameters{item.Parameters, op.Parameters} {
		for _, param := range params {
			if param.Value.In == openapi3.ParameterInQuery {
				known[param.Value.Name] = true
			}
		}
	}
	for name, values := range r.URL.Query() {
		switch {
		case !known[name]:
			p.of(name, "is not a known parameter")
		case len(values) > 1 && name != "kind":
			p.of(name, "is given %d times", len(values))
		}
	}
}

// body checks a body by its schema.
func (p *Problem) body(op *operation, body []byte) {
	media := op.RequestBody.Value.Content.Get("application/json")
	if media == nil {
		return
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		p.Status = http.StatusBadRequest
		p.at("", "is not JSON: %v", err)
		return
	}
	err := media.Schema.Value.VisitJSON(value, openapi3.MultiErrors(), openapi3.VisitAsRequest())
	var many openapi3.MultiError
	switch {
	case err == nil:
		return
	case !errors.As(err, &many):
		many = openapi3.MultiError{err}
	}
	for _, one := range many {
		var schema *openapi3.SchemaError
		if !errors.As(one, &schema) {
			p.at("", "%v", one)
			continue
		}
		var pointer strings.Builder
		for _, part := range schema.JSONPointer() {
			pointer.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
		}
		p.at(pointer.String(), "%s", plainReason(schema))
	}
}

// acceptable says as a problem that the client takes none of the operation's
// representations.
func (o *operation) acceptable(r *http.Request) *Problem {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if accept == "" {
		return nil
	}
	var offers []string
	for status, response := range o.Responses.Map() {
		if !strings.HasPrefix(status, "2") {
			continue
		}
		for media := range response.Value.Content {
			offers = append(offers, media)
		}
	}
	if len(offers) == 0 {
		return nil
	}
	for _, offer := range offers {
		if accepts(accept, offer) {
			return nil
		}
	}
	return notAcceptable.because("there is %s", strings.Join(offers, " and ")).header("Accept", "is %q", accept)
}

// accepts reports whether an Accept header takes a media type, RFC 9110 section
// 12.5.1. Of weights it knows that 0 is no.
func accepts(accept, media string) bool {
	best, ok := -1, false
	for entry := range strings.SplitSeq(accept, ",") {
		parts := strings.Split(entry, ";")
		wanted := strings.ToLower(strings.TrimSpace(parts[0]))
		kind, _, _ := strings.Cut(media, "/")
		precision := -1
		switch wanted {
		case media:
			precision = 2
		case kind + "/*":
			precision = 1
		case "*/*":
			precision = 0
		}
		if precision <= best {
			continue
		}
		best, ok = precision, true
		for _, param := range parts[1:] {
			name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			if strings.EqualFold(name, "q") && strings.Trim(value, "0.") == "" {
				ok = false
			}
		}
	}
	return ok
}
