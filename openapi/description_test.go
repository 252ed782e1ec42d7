package openapi_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/roamlb/roamlb/openapi"
)

var load = sync.OnceValues(openapi.GetSpec)

// description is the one that the daemon serves.
func description(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// operations calls fn with each operation.
func operations(t *testing.T, fn func(t *testing.T, method, path string, op *openapi3.Operation)) {
	t.Helper()
	n := 0
	for path, item := range description(t).Paths.Map() {
		for method, op := range item.Operations() {
			n++
			t.Run(method+" "+path, func(t *testing.T) { fn(t, method, path, op) })
		}
	}
	if n < 36 {
		t.Errorf("%d operations: the description has lost some", n)
	}
}

// Who generates a client from the description gets what the daemon embeds.
func TestDescriptionIsValid(t *testing.T) {
	if err := description(t).Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
}

// A client never has to make sense of an error that is no problem document, and
// of none that the description does not have.
func TestErrorsAreProblems(t *testing.T) {
	operations(t, func(t *testing.T, _, path string, op *openapi3.Operation) {
		if op.Responses.Default() == nil {
			t.Error("has no answer for what else can be wrong")
		}
		for status, r := range op.Responses.Map() {
			if status < "400" || path == "/readyz" && status == "503" {
				continue
			}
			media := r.Value.Content.Get("application/problem+json")
			if media == nil || media.Schema.Ref != "#/components/schemas/Problem" {
				t.Errorf("%s is no problem document", status)
			} else if media.Example == nil {
				t.Errorf("%s has no example", status)
			}
		}
	})
}

// What is sent and answered is shown by an example, so that nobody has to guess.
func TestEverythingHasAnExample(t *testing.T) {
	operations(t, func(t *testing.T, _, _ string, op *openapi3.Operation) {
		if op.RequestBody != nil {
			for kind, media := range op.RequestBody.Value.Content {
				if media.Example == nil {
					t.Errorf("the body %s has no example", kind)
				}
			}
		}
		for _, p := range op.Parameters {
			if p.Value.Example == nil {
				t.Errorf("the parameter %s has no example", p.Value.Name)
			}
		}
		for status, r := range op.Responses.Map() {
			for kind, media := range r.Value.Content {
				if media.Example == nil && kind != "application/openmetrics-text" {
					t.Errorf("%s %s has no example", status, kind)
				}
			}
		}
	})
}

var lowerCamel = regexp.MustCompile(`^[a-z]+([A-Z][a-z]+)*$`)

// Names in generated clients come from here, and retries, lost updates and
// scopes depend on these parameters.
func TestOperationsFollowTheRules(t *testing.T) {
	operations(t, func(t *testing.T, method, path string, op *openapi3.Operation) {
		if !lowerCamel.MatchString(op.OperationID) {
			t.Errorf("operationId %s", op.OperationID)
		}
		has := func(name string) bool { return op.Parameters.GetByInAndName(openapi3.ParameterInHeader, name) != nil }
		live := strings.Contains(path, "/sessions") || strings.Contains(path, "/tokens") || strings.Contains(path, "/login")
		changes := method == http.MethodPut || method == http.MethodPatch || method == http.MethodDelete
		if want := method == http.MethodPost; has("Idempotency-Key") != want {
			t.Errorf("Idempotency-Key: %v, want %v", !want, want)
		}
		if want := changes && !live; has("If-Match") != want || want != (op.Responses.Value("428") != nil) {
			t.Errorf("If-Match and 428: want %v", want)
		}
		writes := changes && !strings.HasSuffix(path, "/login") || slices.Contains([]string{"createService", "createBackend", "createToken", "listTokens"}, op.OperationID)
		if writes != (op.Security != nil && len(*op.Security) == 2) {
			t.Errorf("the scope write: want %v", writes)
		}
	})
}

// A client that sends a misspelt member is told, by the schema too.
func TestWhatIsSentIsClosed(t *testing.T) {
	var closed func(t *testing.T, at string, s *openapi3.SchemaRef)
	closed = func(t *testing.T, at string, s *openapi3.SchemaRef) {
		t.Helper()
		v := s.Value
		if v.Type.Is(openapi3.TypeObject) && (v.AdditionalProperties.Has == nil || *v.AdditionalProperties.Has) {
			t.Errorf("%s takes any member", at)
		}
		for name, p := range v.Properties {
			if !p.Value.ReadOnly {
				closed(t, at+"/"+name, p)
			}
		}
		for _, one := range slices.Concat(v.AllOf, v.OneOf) {
			closed(t, at, one)
		}
		if v.Items != nil {
			closed(t, at+"/0", v.Items)
		}
	}
	operations(t, func(t *testing.T, method, _ string, op *openapi3.Operation) {
		if op.RequestBody == nil || method == http.MethodPatch {
			return
		}
		closed(t, "", op.RequestBody.Value.Content.Get("application/json").Schema)
	})
}

// The generated types keep all that an answer says: the examples come back.
func TestTypesKeepTheExamples(t *testing.T) {
	doc := description(t)
	for name, into := range map[string]any{
		"ServiceFound": &openapi.Service{}, "BackendFound": &openapi.Backend{}, "ConfigFound": &openapi.Config{},
	} {
		want, err := json.Marshal(doc.Components.Responses[name].Value.Content.Get("application/json").Example)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(want, into); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got, err := json.Marshal(into)
		if err != nil {
			t.Fatal(err)
		}
		if !sameJSON(t, want, got) {
			t.Errorf("%s:\n%s\ncame back as\n%s", name, want, got)
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var one, two any
	if err := json.Unmarshal(a, &one); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &two); err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(one) // of what was JSON: cannot fail
	y, _ := json.Marshal(two)
	return string(x) == string(y)
}
