package suite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/openapi"
)

// manyServices is a configuration of services with ten backends each, as JSON.
func manyServices(n int) []byte {
	type object map[string]any
	services := make([]object, n)
	for i := range services {
		backends := make([]object, 10)
		for j := range backends {
			backends[j] = object{"name": fmt.Sprint("b", j), "address": lab.BackendIPv4(1 + j), "port": 20000 + i}
		}
		services[i] = object{
			"name": fmt.Sprintf("s%04d", i), "slots": 251, "key": object{"offset": keyOffset, "length": keyLength},
			"listen": []object{{"address": lab.ListenerIPv4(0), "port": 10000 + i}}, "backends": backends,
		}
	}
	text, err := json.Marshal(object{"services": services})
	if err != nil {
		panic(err) // of text and numbers
	}
	return text
}

// timed is how long rounds of something took, the quickest first.
func timed(rounds int, do func(i int)) []time.Duration {
	took := make([]time.Duration, rounds)
	for i := range took {
		begin := time.Now()
		do(i)
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	return took
}

// With a thousand services the API answers as with one: who scripts it waits for
// the disk and the kernel, and not for all the services that do not change. What
// is limited is the quickest: others are busy on this machine.
func TestAPIWithManyServices(t *testing.T) {
	n := 200
	if long() {
		n = 1000
	}
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	c := b.api()
	begin := time.Now()
	put, err := c.PutConfigWithBodyWithResponse(t.Context(), &openapi.PutConfigParams{IfMatch: &anyState}, "application/json", bytes.NewReader(manyServices(n)))
	if err != nil {
		t.Fatal(err)
	}
	if put.JSON200 == nil {
		t.Fatalf("PUT config: %s: %s", put.HTTPResponse.Status, put.Body)
	}
	t.Logf("%d services of 10 backends: %v", n, time.Since(begin))

	patch := timed(41, func(i int) {
		r, err := c.PatchBackendWithBodyWithResponse(t.Context(), fmt.Sprintf("s%04d", 7*i%n), "b3", &openapi.PatchBackendParams{IfMatch: &anyState},
			"application/merge-patch+json", strings.NewReader(fmt.Sprintf(`{"weight": %d}`, i+2)))
		if err != nil {
			t.Fatal(err)
		}
		if r.JSON200 == nil {
			t.Fatalf("PATCH backend: %s: %s", r.HTTPResponse.Status, r.Body)
		}
	})
	cursor := fmt.Sprintf("s%04d", n/2)
	page := timed(21, func(int) {
		r, err := c.ListServicesWithResponse(t.Context(), &openapi.ListServicesParams{Cursor: &cursor})
		if err != nil {
			t.Fatal(err)
		}
		if r.JSON200 == nil || len(r.JSON200.Items) != min(100, n/2-1) {
			t.Fatalf("GET services: %s: %.200s", r.HTTPResponse.Status, r.Body)
		}
	})
	t.Logf("a change of one: median %v, least %v; a page of 100: median %v, least %v", patch[len(patch)/2], patch[0], page[len(page)/2], page[0])
	if limit := slow(20 * time.Millisecond); patch[0] > limit {
		t.Errorf("a change of one took %v at least, want %v at most", patch[0], limit)
	}
	if limit := slow(50 * time.Millisecond); page[0] > limit {
		t.Errorf("a page of services took %v at least, want %v at most", page[0], limit)
	}
}
