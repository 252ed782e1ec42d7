package api_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/nft"
)

// bind makes live sessions as packets would, numbered from a number on.
func (w *world) bind(from, n int) {
	w.t.Helper()
	v := w.daemon.Snapshot().View("vpn")
	for i := from; i < from+n; i++ {
		v.Bindings.Bind(w.daemon.Now(), sessionKey(i), v, false, v.Ring(false).At(v.Hash(sessionKey(i))))
	}
}

func sessionKey(i int) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(i+1)*0x9e3779b97f4a7c15)
}

// Who pages through the sessions sees each one that lives all the time, once,
// however many come and go meanwhile.
func TestSessionPagesWhileSessionsComeAndGo(t *testing.T) {
	w := newWorld(t, strings.Replace(services, "key:", "max_sessions: 8000000\n    key:", 1))
	n := 5_000
	if os.Getenv("ROAMLB_LONG") != "" {
		n = 1_000_000
	}
	w.bind(0, n)
	v := w.daemon.Snapshot().View("vpn")
	table := v.Bindings.(*ctsync.Table)
	ctx, cancel := context.WithCancel(t.Context())
	var churn sync.WaitGroup
	churn.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			at := 10_000_000 + i
			w.bind(at, 1)
			if i >= 500 {
				if _, err := table.Delete(t.Context(), v, sessionKey(at-500)); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	seen := make(map[string]int)
	pages, slowest := 0, time.Duration(0)
	for cursor := ""; ; pages++ {
		begin := time.Now()
		a := w.do("GET", "/v1/services/vpn/sessions?limit=1000"+cursor, nil).want(t, 200)
		slowest = max(slowest, time.Since(begin))
		for _, item := range a.member(t, "items").([]any) {
			seen[item.(map[string]any)["key"].(string)]++
		}
		next, more := a.member(t, "next").(string)
		if !more {
			break
		}
		cursor = "&cursor=" + next
	}
	cancel()
	churn.Wait()
	missing, twice := 0, 0
	for i := range n {
		switch seen[hex.EncodeToString(sessionKey(i))] {
		case 1:
		case 0:
			missing++
		default:
			twice++
		}
	}
	t.Logf("%d sessions, %d pages, the slowest in %v", n, pages, slowest)
	if missing != 0 || twice != 0 {
		t.Errorf("of %d sessions that lived all the time %d were not shown, %d more than once", n, missing, twice)
	}
}

func TestSessionFilters(t *testing.T) {
	w := newWorld(t, services)
	w.bind(0, 200)
	v := w.daemon.Snapshot().View("vpn")
	onA := 0
	for i := range 200 {
		if b, _ := v.Bindings.Find(sessionKey(i), v, false); v.Backend(b.Backend).Name == "a" {
			onA++
		}
	}
	count := func(token, query string) int {
		t.Helper()
		return len(w.doWith(token, "GET", "/v1/services/vpn/sessions?limit=1000"+query, nil).want(t, 200).member(t, "items").([]any))
	}
	if got := count(w.token, ""); got != 200 {
		t.Errorf("%d sessions, want 200", got)
	}
	if got := count(w.token, "&backend=a"); got != onA || onA == 0 {
		t.Errorf("%d sessions on a, want %d", got, onA)
	}
	key := hex.EncodeToString(sessionKey(7))
	if got := count(w.token, "&key_prefix="+key[:8]); got != 1 {
		t.Errorf("%d sessions begin with %s", got, key[:8])
	}
	if got := count(w.token, "&client=198.18.0.1"); got != 0 {
		t.Errorf("%d sessions of a client that never spoke", got)
	}
	w.do("GET", "/v1/services/vpn/sessions?client=nowhere", nil).want(t, 422, `"parameter":"client"`)
	w.do("GET", "/v1/services/vpn/sessions?backend=z", nil).want(t, 422, `"parameter":"backend"`)

	// Who may only read finds a session by its hash, and never sees a key.
	reader := w.readToken()
	hash := event.HashKey(w.daemon.State().Secret, sessionKey(7))
	if got := count(reader, "&key_hash="+hash); got != 1 {
		t.Errorf("%d sessions have the hash", got)
	}
	shown := w.doWith(reader, "GET", "/v1/services/vpn/sessions/"+hash, nil).want(t, 200, hash)
	if strings.Contains(string(shown.text), key) {
		t.Error("the key is shown to who may only read")
	}
	w.doWith(reader, "GET", "/v1/services/vpn/sessions/"+key, nil).want(t, 403)
	w.do("GET", "/v1/services/vpn/sessions/"+key, nil).want(t, 200, key)
	w.do("GET", "/v1/services/vpn/sessions/0000000000000000", nil).want(t, 404)
	w.do("PUT", "/v1/services/vpn/sessions/0000", `{"backend": "a"}`).want(t, 422, "that many")
	w.do("PUT", "/v1/services/vpn/sessions/"+key, `{"backend": "z"}`).want(t, 422, `"pointer":"/backend"`)
	w.do("PUT", "/v1/services/vpn/sessions/"+key, `{"backend": "b"}`).want(t, 200, `"placed":true`, `"created":false`)
	w.do("PATCH", "/v1/services/vpn/backends/b", `{"admin": "down"}`, "If-Match", "*").want(t, 200)
	w.do("PUT", "/v1/services/vpn/sessions/"+key, `{"backend": "b"}`).want(t, 409)
	w.do("DELETE", "/v1/services/vpn/sessions/"+hash, nil).want(t, 204)
	w.do("DELETE", "/v1/services/vpn/sessions/"+key, nil).want(t, 404)
}

// More sessions are placed than there is room for: they take the places of others,
// and the kernel says of none what is not so any more.
func TestPlaceWhereThereIsNoRoom(t *testing.T) {
	w := newWorld(t, strings.Replace(services, "key:", "max_sessions: 9\n    key:", 1))
	var rules *nft.Ruleset
	if err := w.within(func() (err error) { rules, err = nft.Open(); return err }); err != nil {
		t.Fatal(err)
	}
	defer rules.Close()
	for round := range 3 {
		for i := range 40 {
			backend := string("ab"[(i+round)%2])
			w.do("PUT", "/v1/services/vpn/sessions/"+hex.EncodeToString(sessionKey(i)), fmt.Sprintf(`{"backend": %q}`, backend)).
				want(t, 200, `"placed":true`)
			s := w.daemon.Snapshot()
			v := s.View("vpn")
			err := rules.Dump(v, s.ZoneBase, func(e balancer.Element) bool {
				if name := v.Backend(e.Backend).Name; bytes.Equal(e.Key, sessionKey(i)) && name != backend {
					t.Errorf("round %d: session %d is on %s, the kernel says %s", round, i, backend, name)
				}
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// An operator looks before he leaps: what the preview says is what then happens,
// and looking changes nothing.
func TestPreview(t *testing.T) {
	w := newWorld(t, services)
	w.bind(0, 500)
	have := w.daemon.Snapshot().View("vpn")
	onB := 0
	for i := range 500 {
		if b, _ := have.Bindings.Find(sessionKey(i), have, false); have.Backend(b.Backend).Name == "b" {
			onB++
		}
	}
	before, state := w.stateFile(), w.daemon.State().Revision
	without := `{"name": "vpn", "listen": [{"address": "192.0.2.10", "port": 1194}, {"address": "2001:db8::10", "port": 1194}], "key": {"offset": 1, "length": 8},
		"backends": [{"name": "a", "addresses": ["198.51.100.1", "2001:db8:b::1"], "port": 1194}]}`
	a := w.do("POST", "/v1/services/vpn/ring/preview", without).want(t, 200, "backend b is gone", `"from":"b","slots"`)
	if got := a.member(t, "sessions.moved"); got != float64(onB) {
		t.Errorf("%v sessions would move, %d are on b", got, onB)
	}
	if got := a.member(t, "sessions.total"); got != float64(500) {
		t.Errorf("%v sessions in all", got)
	}
	if w.stateFile() != before || w.daemon.State().Revision != state || w.daemon.Snapshot().View("vpn") != have {
		t.Error("a preview has changed something")
	}
	w.do("PUT", "/v1/services/vpn", without, "If-Match", "*").want(t, 200)
	now := w.daemon.Snapshot().View("vpn")
	moved := 0
	for i := range 500 {
		if b, ok := now.Bindings.Find(sessionKey(i), now, false); !ok || b.Backend == 0 || now.Backend(b.Backend).Name != "a" {
			moved++
		}
	}
	if moved != onB {
		t.Errorf("%d sessions have moved, %d were told", moved, onB)
	}
	w.do("POST", "/v1/services/vpn/ring/preview", strings.Replace(without, `"length": 8`, `"length": 4`, 1)).want(t, 200, fmt.Sprintf(`"forgotten":%d`, now.Bindings.(*ctsync.Table).Len()))
	w.do("POST", "/v1/services/none/ring/preview", without).want(t, 404)
}

// Who hunts one session reads its events alone, and since when it is there; who
// drains a backend sees how many sessions are left on it.
func TestOneSessionAndWhatIsLeft(t *testing.T) {
	w := newWorld(t, services)
	w.bind(0, 50)
	key := hex.EncodeToString(sessionKey(7))
	begun := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	a := w.do("GET", "/v1/services/vpn/sessions/"+key, nil).want(t, 200)
	if first := a.member(t, "first_seen").(string); first < begun {
		t.Errorf("first seen at %s, which is before %s", first, begun)
	}
	for _, one := range []int{7, 8} {
		w.do("PUT", "/v1/services/vpn/sessions/"+hex.EncodeToString(sessionKey(one)), `{"backend": "b"}`).want(t, 200)
	}
	a = w.do("GET", "/v1/events?session="+key, nil).want(t, 200, `"reason":"place"`)
	if n := len(a.member(t, "items").([]any)); n != 1 {
		t.Errorf("%d events of a session that had one", n)
	}
	hash := event.HashKey(w.daemon.State().Secret, sessionKey(7))
	reader := w.readToken()
	w.doWith(reader, "GET", "/v1/events?session="+key, nil).want(t, 403)
	w.doWith(reader, "GET", "/v1/events?session="+hash, nil).want(t, 200, `"reason":"place"`)

	w.do("PATCH", "/v1/services/vpn/backends/a", `{"admin": "drain"}`, "If-Match", "*").want(t, 200)
	v := w.daemon.Snapshot().View("vpn")
	left := v.Bindings.(*ctsync.Table).Bound(v.Service.Backends[0].ID)
	w.do("GET", "/v1/stats", nil).want(t, 200, `"draining_since"`, fmt.Sprintf(`"name":"a","packets":0,"sessions":%d`, left))
}
