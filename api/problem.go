package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Problem is a problem document, RFC 9457 section 3. It is an error.
type Problem struct {
	Type     string  `json:"type"`
	Title    string  `json:"title"`
	Status   int     `json:"status"`
	Detail   string  `json:"detail,omitempty"`
	Instance string  `json:"instance,omitempty"` // the request's path
	Errors   []Fault `json:"errors,omitempty"`   // every member that is wrong
	Rules    string  `json:"rules,omitempty"`    // what to load before the change is asked for again

	retryAfter time.Duration // 0: not told
	allow      string        // methods, of a 405
}

// Fault is one thing that is wrong with a request. One of Pointer, Parameter
// and Header says where; a pointer may be empty for the whole body.
type Fault struct {
	Pointer   *string `json:"pointer,omitempty"`   // JSON pointer (RFC 6901) into the body
	Parameter string  `json:"parameter,omitempty"` // of the path or the query
	Header    string  `json:"header,omitempty"`
	Detail    string  `json:"detail"`
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// problemKind is a type of problem: the tail of its URN, its status and title.
type problemKind struct {
	name   string
	status int
	title  string
}

// The kinds of problem.
var (
	malformed      = problemKind{"malformed", http.StatusBadRequest, "The request cannot be read"}
	unauthorized   = problemKind{"unauthorized", http.StatusUnauthorized, "A valid token is needed"}
	forbidden      = problemKind{"forbidden", http.StatusForbidden, "Not allowed"}
	notFound       = problemKind{"not-found", http.StatusNotFound, "There is no such thing"}
	wrongMethod    = problemKind{"method-not-allowed", http.StatusMethodNotAllowed, "The resource has no such method"}
	notAcceptable  = problemKind{"not-acceptable", http.StatusNotAcceptable, "There is no such representation"}
	conflict       = problemKind{"conflict", http.StatusConflict, "The request contradicts what there is"}
	needsRules     = problemKind{"needs-rules", http.StatusConflict, "The change needs other rules: load these, and ask again"}
	stale          = problemKind{"precondition-failed", http.StatusPreconditionFailed, "It has changed meanwhile"}
	tooLarge       = problemKind{"too-large", http.StatusRequestEntityTooLarge, "The body is too large"}
	wrongMedia     = problemKind{"unsupported-media-type", http.StatusUnsupportedMediaType, "The body has another type than is read here"}
	misdirected    = problemKind{"misdirected", http.StatusMisdirectedRequest, "This host does not go by that name"}
	invalid        = problemKind{"invalid", http.StatusUnprocessableEntity, "The request is not valid"}
	needsCondition = problemKind{"precondition-required", http.StatusPreconditionRequired, "Say what you change, with If-Match"}
	tooMany        = problemKind{"too-many-requests", http.StatusTooManyRequests, "Too many requests"}
	internal       = problemKind{"internal", http.StatusInternalServerError, "A defect in roamlb"}
	notApplied     = problemKind{"not-applied", http.StatusInternalServerError, "The change could not be made, and nothing has changed"}
	unavailable    = problemKind{"unavailable", http.StatusServiceUnavailable, "Not at the moment"}
)

// because makes a problem of this kind.
func (k problemKind) because(format string, args ...any) *Problem {
	return &Problem{Type: "urn:roamlb:problem:" + k.name, Title: k.title, Status: k.status, Detail: fmt.Sprintf(format, args...)}
}

// note adds a fault at a JSON pointer.
func (p *Problem) note(pointer, format string, args ...any) {
	p.Errors = append(p.Errors, Fault{Pointer: &pointer, Detail: fmt.Sprintf(format, args...)})
}

// noteParameter adds a fault of a parameter.
func (p *Problem) noteParameter(name, format string, args ...any) {
	p.Errors = append(p.Errors, Fault{Parameter: name, Detail: fmt.Sprintf(format, args...)})
}

// noteHeader adds a fault of a header.
func (p *Problem) noteHeader(name, format string, args ...any) {
	p.Errors = append(p.Errors, Fault{Header: name, Detail: fmt.Sprintf(format, args...)})
}

// at is note for a problem that is being made; so are of and header.
func (p *Problem) at(pointer, format string, args ...any) *Problem {
	p.note(pointer, format, args...)
	return p
}

func (p *Problem) of(parameter, format string, args ...any) *Problem {
	p.noteParameter(parameter, format, args...)
	return p
}

func (p *Problem) header(name, format string, args ...any) *Problem {
	p.noteHeader(name, format, args...)
	return p
}

// later says when to try again.
func (p *Problem) later(after time.Duration) *Problem {
	p.retryAfter = after
	return p
}

const problemType = "application/problem+json"

// write answers a request with the problem.
func (p *Problem) write(w http.ResponseWriter, r *http.Request) {
	told := *p
	told.Instance = r.URL.EscapedPath()
	body, err := json.Marshal(&told)
	if err != nil {
		http.Error(w, told.Title, told.Status) // of text and numbers: cannot happen
		return
	}
	h := w.Header()
	h.Set("Content-Type", problemType)
	h.Set("Cache-Control", "no-store")
	h.Del("ETag")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.retryAfter+time.Second-1)/time.Second)))
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="roamlb"`)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}
