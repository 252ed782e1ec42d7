package api_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// The life of a service: what a script that drives roamlb relies on.
func TestServiceLife(t *testing.T) {
	w := newWorld(t, services)
	game := `{"name": "game", "listen": [{"address": "192.0.2.11", "port": 27015}], "key": {"offset": 0, "length": 4}, "backends": [{"name": "x", "address": "198.51.100.9", "port": 27015}]}`
	made := w.do("POST", "/v1/services", game).want(t, 201)
	tag := made.Header.Get("ETag")
	if made.Header.Get("Location") != "/v1/services/game" || tag == "" {
		t.Errorf("headers %v", made.Header)
	}
	w.do("POST", "/v1/services", game).want(t, 409, `"pointer":"/name"`)
	got := w.do("GET", "/v1/services/game", nil).want(t, 200, `"session_ttl":"2h"`, `"effective":{"datapath":"queue","datapath_reason":"as configured","pinning":"session","reason":"nft can load the key"}`, `"state":"up"`)
	if got.Header.Get("ETag") != tag {
		t.Errorf("the tag is %s, was %s when made", got.Header.Get("ETag"), tag)
	}
	seed := got.member(t, "seed")
	w.do("GET", "/v1/services/game", nil, "If-None-Match", tag).want(t, 304)
	w.do("GET", "/v1/services", nil).want(t, 200, `"name":"game"`, `"name":"vpn"`)

	w.do("PUT", "/v1/services/game", game).want(t, 428)
	w.do("PUT", "/v1/services/game", game, "If-Match", `"nonsense"`).want(t, 412)
	w.do("PUT", "/v1/services/vpn", game, "If-Match", "*").want(t, 422, `"pointer":"/name"`)
	changed := w.do("PUT", "/v1/services/game", strings.Replace(game, `"length": 4`, `"length": 8`, 1), "If-Match", tag).want(t, 200, `"length":8`)
	if changed.member(t, "seed") != seed {
		t.Error("a PUT without a seed has changed it: every session would move")
	}
	w.do("PUT", "/v1/services/game", game, "If-Match", tag).want(t, 412)
	tag = changed.Header.Get("ETag")
	patched := w.do("PATCH", "/v1/services/game", `{"stale": "never"}`, "If-Match", tag, "Content-Type", "application/merge-patch+json").want(t, 200, `"stale":"never"`, `"name":"x"`)
	w.do("PATCH", "/v1/services/game", `{"stale": "soon", "pining": "flow"}`, "If-Match", patched.Header.Get("ETag")).want(t, 422, `"pointer":"/stale"`, `"pointer":"/pining"`, "did you mean pinning")
	w.do("DELETE", "/v1/services/game", nil).want(t, 428)
	w.do("DELETE", "/v1/services/game", nil, "If-Match", patched.Header.Get("ETag")).want(t, 204)
	w.do("GET", "/v1/services/game", nil).want(t, 404)
	w.do("DELETE", "/v1/services/game", nil, "If-Match", "*").want(t, 404)
	w.do("PUT", "/v1/services/game", game).want(t, 201)
	w.do("PUT", "/v1/services/game", game, "If-None-Match", "*").want(t, 412)
}

// Who asks for a data path that cannot be must be told what he has instead.
func TestEffectiveDatapath(t *testing.T) {
	w := newWorld(t, services)
	for _, c := range []struct{ change, want string }{
		{`{"datapath": "kernel"}`, `"effective":{"datapath":"kernel","datapath_reason":"as configured","pinning":"session"`},
		{`{"pinning": "flow"}`, `"effective":{"datapath":"queue","datapath_reason":"the daemon pins flows","pinning":"flow"`},
		{`{"pinning": "auto"}`, `"effective":{"datapath":"kernel"`},
	} {
		w.do("PATCH", "/v1/services/vpn", c.change, "If-Match", "*").want(t, 200, `"datapath":"kernel"`, c.want)
	}
	packet := `{"packet": "480102030405060708", "client": "198.18.0.1:4000", "listener": "192.0.2.10:1194"}`
	w.do("POST", "/v1/explain", packet).want(t, 200, `"datapath":"kernel"`, "nftables decides the first one")
	w.do("PATCH", "/v1/services/vpn", `{"datapath": "kernal"}`, "If-Match", "*").want(t, 422, `"pointer":"/datapath"`)
}

// The state survives, and says the same.
func TestRestartKeepsServices(t *testing.T) {
	w := newWorld(t, services)
	w.do("PATCH", "/v1/services/vpn", `{"session_ttl": "5m"}`, "If-Match", "*").want(t, 200)
	before := w.do("GET", "/v1/services/vpn", nil)
	token := w.token
	w.stop()
	w.token = ""
	w.start(services)
	if w.token != "" {
		t.Error("a second start has made a token again")
	}
	w.token = token
	after := w.do("GET", "/v1/services/vpn", nil).want(t, 200, `"session_ttl":"5m"`)
	if before.Header.Get("ETag") != after.Header.Get("ETag") || string(before.text) != string(after.text) {
		t.Errorf("before %s\nafter %s", before.text, after.text)
	}
}

func TestBackendLife(t *testing.T) {
	w := newWorld(t, services)
	at := "/v1/services/vpn/backends"
	service := w.do("GET", "/v1/services/vpn", nil).Header.Get("ETag")
	made := w.do("POST", at, `{"name": "c", "address": "198.51.100.3", "port": 1194}`).want(t, 201, `"weight":1`, `"id":3`)
	if made.Header.Get("Location") != at+"/c" {
		t.Errorf("headers %v", made.Header)
	}
	if w.do("GET", "/v1/services/vpn", nil).Header.Get("ETag") == service {
		t.Error("a new backend does not move the service's tag")
	}
	w.do("POST", at, `{"name": "c", "address": "198.51.100.4", "port": 1194}`).want(t, 409)
	w.do("POST", at, `{"name": "d", "address": "198.51.100.3", "port": 1194}`).want(t, 422, `"pointer":"/address"`)
	w.do("POST", at, `{"name": "d", "address": "192.0.2.10", "port": 1194}`).want(t, 422, "round in circles")
	w.do("PATCH", at+"/c", `{"admin": "drain"}`, "If-Match", made.Header.Get("ETag")).want(t, 200, `"state":"drain"`)
	w.do("PATCH", at+"/c", `{"weight": 5}`, "If-Match", made.Header.Get("ETag")).want(t, 412)
	w.do("PUT", at+"/c", `{"name": "c", "address": "198.51.100.3", "port": 1194, "weight": 2, "id": 77, "state": "down"}`, "If-Match", "*").want(t, 200, `"id":3`, `"state":"up"`)
	w.do("GET", at+"?limit=2", nil).want(t, 200, `"next":"2"`)
	w.do("GET", at+"?limit=2&cursor=2", nil).want(t, 200, `"name":"c"`)
	w.do("GET", at+"?cursor=x", nil).want(t, 422, `"parameter":"cursor"`)
	w.do("DELETE", at+"/c", nil, "If-Match", "*").want(t, 204)
	w.do("GET", at+"/c", nil).want(t, 404)
	w.do("GET", "/v1/services/none/backends/c", nil).want(t, 404)
}

// Two who write at once: neither is lost, and neither overwrites what it has
// not seen.
func TestNoUpdateIsLost(t *testing.T) {
	w := newWorld(t, services)
	clients, each := 64, 1
	if os.Getenv("ROAMLB_LONG") != "" {
		each = 5
	}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := 0; i < each; {
				a := w.do("GET", "/v1/services/vpn/backends/a", nil)
				weight := int(a.member(t, "weight").(float64))
				r := w.do("PATCH", "/v1/services/vpn/backends/a", fmt.Sprintf(`{"weight": %d}`, weight+1), "If-Match", a.Header.Get("ETag"))
				switch r.StatusCode {
				case 200:
					i++
				case 412: // somebody was faster: not all at once again
					time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
				default:
					t.Errorf("client %d: status %d: %s", c, r.StatusCode, r.text)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := w.do("GET", "/v1/services/vpn/backends/a", nil).member(t, "weight"); got != float64(1+clients*each) {
		t.Errorf("the weight is %v after %d increments from 1", got, clients*each)
	}
}

func TestConfigDocument(t *testing.T) {
	w := newWorld(t, services)
	got := w.do("GET", "/v1/config", nil).want(t, 200, `"mark_mask":"0x0000ffff"`)
	var doc map[string]any
	if err := json.Unmarshal(got.text, &doc); err != nil {
		t.Fatal(err)
	}
	before := w.stateFile()
	w.do("PUT", "/v1/config", doc).want(t, 428)
	same := w.do("PUT", "/v1/config", doc, "If-Match", got.Header.Get("ETag")).want(t, 200)
	if same.Header.Get("ETag") != got.Header.Get("ETag") {
		t.Error("what was read and sent back is another configuration")
	}
	if w.stateFile() != before {
		t.Error("a PUT of what there is has written the state again")
	}
	doc["state"] = "/elsewhere"
	w.do("PUT", "/v1/config", doc, "If-Match", "*").want(t, 422, `"pointer":"/state"`, "read-only")
	w.do("PUT", "/v1/config", `{"services": []}`, "If-Match", "*").want(t, 200, `"services":[]`)
	w.do("GET", "/v1/services", nil).want(t, 200, `"items":[]`)
}

func TestServicesPage(t *testing.T) {
	w := newWorld(t, "services: []")
	for i := range 7 {
		w.do("POST", "/v1/services", fmt.Sprintf(`{"name": "s%d", "listen": [{"address": "192.0.2.10", "port": %d}], "key": {"offset": 0, "length": 4}}`, 6-i, 1000+i)).want(t, 201)
	}
	var names []string
	for cursor := ""; ; {
		a := w.do("GET", "/v1/services?limit=3"+cursor, nil).want(t, 200)
		for _, item := range a.member(t, "items").([]any) {
			names = append(names, item.(map[string]any)["name"].(string))
		}
		next, ok := a.member(t, "next").(string)
		if !ok {
			break
		}
		cursor = "&cursor=" + next
	}
	if got := strings.Join(names, " "); got != "s0 s1 s2 s3 s4 s5 s6" {
		t.Errorf("pages hold %s", got)
	}
	w.do("GET", "/v1/services?limit=0", nil).want(t, 422, `"parameter":"limit"`)
	w.do("GET", "/v1/services?limit=many", nil).want(t, 422, `"parameter":"limit"`)
	w.do("GET", "/v1/services?limt=3", nil).want(t, 422, `"parameter":"limt"`)
	w.do("GET", "/v1/services?limit=3&limit=4", nil).want(t, http.StatusUnprocessableEntity, `"parameter":"limit"`)
}

func TestIdempotentCreation(t *testing.T) {
	w := newWorld(t, "services: []")
	body := `{"name": "s", "listen": [{"address": "192.0.2.10", "port": 1}], "key": {"offset": 0, "length": 4}}`
	first := w.do("POST", "/v1/services", body, "Idempotency-Key", "k1").want(t, 201)
	again := w.do("POST", "/v1/services", body, "Idempotency-Key", "k1").want(t, 201)
	if again.Header.Get("Idempotency-Replayed") != "true" || again.Header.Get("ETag") != first.Header.Get("ETag") || string(again.text) != string(first.text) {
		t.Errorf("again: %v %s", again.Header, again.text)
	}
	w.do("POST", "/v1/services", strings.Replace(body, `"s"`, `"t"`, 1), "Idempotency-Key", "k1").want(t, 422, `"header":"Idempotency-Key"`)
	w.do("POST", "/v1/services", body, "Idempotency-Key", "k2").want(t, 409)
}
