package suite

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/openapi"
)

// client is a client of the daemon's API, over its socket.
func (b *bed) api() *openapi.ClientWithResponses {
	b.t.Helper()
	c, err := openapi.NewClientWithResponses("http://localhost", openapi.WithHTTPClient(b.http()))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// http is a client of whatever the daemon answers over its socket.
func (b *bed) http() *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", b.socket())
	}}
	b.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: slow(20 * time.Second)}
}

// get is what the daemon answers for a path.
func (b *bed) get(path string) []byte {
	b.t.Helper()
	c := b.http()
	defer c.CloseIdleConnections()
	r, err := c.Get("http://localhost" + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		b.t.Fatalf("GET %s: %s, %v: %.200s", path, r.Status, err, text)
	}
	return text
}

// metric is one of the daemon's, the sum over its labels but for those that are
// given.
func (b *bed) metric(name string, labels ...string) float64 {
	b.t.Helper()
	sum, found := 0.0, false
	for line := range strings.Lines(string(b.get("/metrics"))) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		if slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(rest, l) }) {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			b.t.Fatal(err)
		}
		sum, found = sum+v, true
	}
	if !found {
		b.t.Fatalf("there is no metric %s", name)
	}
	return sum
}

var anyState = "*"

// patch changes a service by a merge patch.
func (b *bed) patch(c *openapi.ClientWithResponses, service, patch string) {
	b.t.Helper()
	r, err := c.PatchServiceWithBodyWithResponse(b.t.Context(), service, &openapi.PatchServiceParams{IfMatch: &anyState},
		"application/merge-patch+json", strings.NewReader(patch))
	if err != nil {
		b.t.Fatal(err)
	}
	if r.JSON200 == nil {
		b.t.Fatalf("patch %s: %s: %s", patch, r.HTTPResponse.Status, r.Body)
	}
}

// explain asks what would happen to a payload.
func (b *bed) explain(c *openapi.ClientWithResponses, src netip.AddrPort, payload []byte) openapi.Explanation {
	b.t.Helper()
	from, to := src.String(), listener(src.Addr().Is6()).String()
	r, err := c.ExplainWithResponse(b.t.Context(), nil, openapi.Packet{Packet: hex.EncodeToString(payload), Client: &from, Listener: &to})
	if err != nil {
		b.t.Fatal(err)
	}
	if r.JSON200 == nil {
		b.t.Fatalf("explain %x: %s: %s", payload, r.HTTPResponse.Status, r.Body)
	}
	return *r.JSON200
}

// What an operator is told of a packet must be what the kernel and the daemon
// do with it: of sessions new and known, of packets without a key, whatever the
// pinning.
func TestExplainAgreesWithTheDataPlane(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: "+pinning, "key:\n  variants:\n    - {name: long, match: [{offset: 0, value: \"48\"}], fields: [{offset: 1, length: 8}]}\n"+
				"    - {name: short, match: [{offset: 0, mask: \"c0\", value: \"80\"}], fields: [{offset: 2, length: 3}, {offset: 6, length: 2, mask: \"0fff\"}]}\n  fallback: source-port",
				b.backends(map[int]string{2: "weight: 3"})))
			c := b.api()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			kinds := make(map[string]int)
			for i := range scaled(400, 80) {
				p := make([]byte, random.IntN(14))
				for j := range p {
					p[j] = byte(random.Uint32())
				}
				if len(p) > 0 {
					p[0] = []byte{0x48, 0x80, 0xbf, 0x10}[random.IntN(4)]
				}
				if random.IntN(3) == 0 { // a session that may be known
					p = append([]byte{0x48}, sessionKey(random.IntN(20))...)
				}
				p = append(p, byte(i>>8), byte(i)) // tells its answer from others'
				src := client(random.IntN(2) == 1, i+1, 20000)
				e := b.explain(c, src, p)
				if e.Verdict != "balanced" || e.Backend == nil {
					t.Fatalf("packet %d, %x: explained as %+v", i, p, e)
				}
				r := b.exchange(0, lab.Datagram{Src: src, Dst: listener(src.Addr().Is6()), Payload: p})[0]
				if got, want := fmt.Sprintf("b%d", r.Number()), e.Backend.Name; got != want {
					t.Errorf("packet %d, %x from %v is at %s, was explained to go to %s: %+v", i, p, src, got, want, e)
				}
				variant := "no variant"
				if e.Variant != nil {
					variant = *e.Variant
				}
				kinds[variant+", by "+string(e.Reason)]++
			}
			t.Log(kinds)
			for _, kind := range []string{"long, by ring", "long, by binding", "short, by ring", "no variant, by fallback", "long, by fallback"} {
				if kinds[kind] == 0 {
					t.Errorf("no packet was %s: the test shows too little", kind)
				}
			}
		})
	}
}

// Placing moves a live session with its next packet, and its old flow's entry
// does not stay to catch others.
func TestPlacingMovesASession(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	c := b.api()
	for session := range 12 {
		src := client(session%2 == 1, session+1, 20000)
		home := b.exchange(0, datagram(src, session, 0))[0].Number()
		b.copiesCome()
		other := home%3 + 1
		key := hex.EncodeToString(sessionKey(session))
		r, err := c.PlaceSessionWithResponse(t.Context(), "vpn", key, openapi.Placing{Backend: fmt.Sprintf("b%d", other)})
		if err != nil {
			t.Fatal(err)
		}
		if r.JSON200 == nil || r.JSON200.OldFlow != "deleted" || r.JSON200.Created {
			t.Fatalf("%s: %s", r.HTTPResponse.Status, r.Body)
		}
		waitFor(t, 2*time.Second, "the old flow's entry is gone", func() bool {
			return !slices.ContainsFunc(b.entriesOf(src), func(e entry) bool {
				return e.backend.Addr() == b.Backend(home).IPv4 || e.backend.Addr() == b.Backend(home).IPv6
			})
		})
		if got := b.exchange(0, datagram(src, session, 1))[0].Number(); got != other {
			t.Errorf("session %d was placed on backend %d and is at %d", session, other, got)
		}
		if got := b.exchange(0, datagram(client(session%2 == 0, 100+session, 20000), session, 2))[0].Number(); got != other {
			t.Errorf("session %d roamed, was placed on backend %d and is at %d", session, other, got)
		}
		s, err := c.GetSessionWithResponse(t.Context(), "vpn", key)
		if err != nil || s.JSON200 == nil || !s.JSON200.Placed {
			t.Errorf("%v: %s", err, s.Body)
		}
	}
}

// The key can be moved while packets flow, as the first such scheduler's proc
// file allowed: nothing is lost by it.
func TestKeyIsPatchedUnderLoad(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	c := b.api()
	var list []lab.Datagram
	for i := range scaled(6000, 600) {
		list = append(list, datagram(client(i%2 == 1, i+1, 20000), i, 0))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 6 {
			time.Sleep(slow(100 * time.Millisecond))
			b.patch(c, "vpn", fmt.Sprintf(`{"key": {"offset": %d, "length": %d}}`, i%3, 8-i%2*4))
		}
	}()
	b.exchange(5000, list...) // demands every answer
	<-done
	r, err := c.GetServiceWithResponse(t.Context(), "vpn", nil)
	if err != nil || r.JSON200 == nil || *r.JSON200.Key.Offset != 2 || *r.JSON200.Key.Length != 4 {
		t.Errorf("%v: %s", err, r.Body)
	}
}

// Whoever manages the balancer must not slow it: new flows are answered, all of
// them and at their rate, while the API is asked and told as fast as it answers.
func TestNewFlowsWhileTheAPIIsHammered(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.queues = patientQueues
	b.serve(b.service())
	c := b.api()
	rate, rounds, demanded := 10_000, 5, 0.95
	if raceEnabled() || lab.Emulated() { // they are too slow to tell
		rate, rounds, demanded = 4000, 2, 0
	}
	round := 0
	// flows has new ones answered and returns how many a second were.
	flows := func() float64 {
		round++
		list := make([]lab.Datagram, scaled(rate, 1000))
		for i := range list {
			list[i] = datagram(client(i%2 == 1, i+10, uint16(20000+round)), round*len(list)+i, 0)
		}
		first, last := time.Time{}, time.Time{}
		for _, r := range b.exchange(rate, list...) { // demands every answer
			if first.IsZero() || r.Time.Before(first) {
				first = r.Time
			}
			if r.Time.After(last) {
				last = r.Time
			}
		}
		return float64(len(list)) / last.Sub(first).Seconds()
	}
	flows() // the daemon has warmed up
	var ratios []float64
	var asked, told int
	for len(ratios) < rounds || median(ratios) < demanded && len(ratios) < 3*rounds { // others may be busy here
		alone := flows()
		stop := b.hammer(c)
		ratios = append(ratios, flows()/alone)
		a, n := stop()
		asked, told = asked+a, told+n
	}
	t.Logf("%d new flows a second, %d rounds: the rate with the API hammered to that without: %.3f; the API was asked %d and told %d times", rate, len(ratios), ratios, asked, told)
	if asked < 10 || told < 10 {
		t.Errorf("the API was asked %d and told %d times: the test shows nothing", asked, told)
	}
	if m := median(ratios); m < demanded {
		t.Errorf("the rate falls to %.3f of what it is", m)
	}
}

func median(list []float64) float64 {
	return slices.Sorted(slices.Values(list))[len(list)/2]
}

// hammer asks and tells the API as fast as it answers until stop is called,
// which returns how often.
func (b *bed) hammer(c *openapi.ClientWithResponses) (stop func() (asked, told int)) {
	ctx, cancel := context.WithCancel(b.t.Context())
	var asked, told int
	var wg sync.WaitGroup
	wg.Go(func() {
		for ; ctx.Err() == nil; asked += 2 {
			limit := int32(1000)
			if _, err := c.ListSessionsWithResponse(ctx, "vpn", &openapi.ListSessionsParams{Limit: &limit}); err != nil && ctx.Err() == nil {
				b.t.Error(err)
			}
			if _, err := c.GetStatsWithResponse(ctx); err != nil && ctx.Err() == nil {
				b.t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for ; ctx.Err() == nil; told++ {
			b.patch(c, "vpn", fmt.Sprintf(`{"session_ttl": "%dm"}`, 60+told%2))
		}
	})
	return func() (int, int) {
		cancel()
		wg.Wait()
		return asked, told
	}
}

// What was acknowledged is there after a crash, whenever that comes.
func TestAcknowledgedChangesSurviveSIGKILL(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{silent: true})
	b.serve(b.service())
	rounds := 10
	if long() {
		rounds = 500
	}
	weight := 1
	for round := range rounds {
		c := b.api()
		acknowledged := weight
		killed := make(chan struct{})
		time.AfterFunc(time.Duration(rand.IntN(30))*time.Millisecond, func() { b.daemon.kill(); close(killed) })
		for {
			r, err := c.PatchBackendWithApplicationMergePatchPlusJSONBodyWithResponse(t.Context(), "vpn", "b1",
				&openapi.PatchBackendParams{IfMatch: &anyState}, openapi.MergePatch{"weight": weight + 1})
			if err != nil {
				break
			}
			if r.JSON200 == nil {
				t.Fatalf("%s: %s", r.HTTPResponse.Status, r.Body)
			}
			weight++
			acknowledged = weight
		}
		<-killed
		b.start()
		r, err := b.api().GetBackendWithResponse(t.Context(), "vpn", "b1", nil)
		if err != nil || r.JSON200 == nil {
			t.Fatalf("%v: %+v", err, r)
		}
		switch got := int(r.JSON200.Weight); got {
		case acknowledged, acknowledged + 1: // the one in flight may have been made
			weight = got
		default:
			t.Fatalf("round %d: the weight is %d, %d was acknowledged", round, got, acknowledged)
		}
	}
}

// Everything that happens to a session is told to who follows the events.
func TestEventsTellOfRoams(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	c := b.api()
	b.exchange(0, datagram(client(false, 1, 20000), 1, 0))
	b.exchange(0, datagram(client(false, 2, 20000), 1, 1))
	key := hex.EncodeToString(sessionKey(1))
	waitFor(t, 5*time.Second, "the roam and the deletion are told", func() bool {
		r, err := c.GetEventsWithResponse(t.Context(), nil, func(_ context.Context, r *http.Request) error {
			r.Header.Set("Accept", "application/json")
			return nil
		})
		if err != nil || r.JSON200 == nil {
			t.Fatalf("%v: %s", err, r.Body)
		}
		kinds := make(map[string]bool)
		for _, e := range r.JSON200.Items {
			if e.Session != nil && e.Session.Key != nil && *e.Session.Key == key {
				kinds[e.Kind] = true
			}
		}
		return kinds["roam"] && kinds["stale-deleted"]
	})
}

// The counters of the kernel are those of real packets.
func TestStatsCountFlows(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	n := 60
	var list []lab.Datagram
	for i := range n {
		list = append(list, datagram(client(i%2 == 1, i+1, 20000), i, 0))
	}
	at := make(map[string]int64)
	for _, r := range b.exchange(1000, list...) {
		at[fmt.Sprintf("b%d", r.Number())]++
	}
	b.copiesCome()
	r, err := b.api().GetStatsWithResponse(t.Context())
	if err != nil || r.JSON200 == nil {
		t.Fatalf("%v: %s", err, r.Body)
	}
	for _, be := range r.JSON200.Services[0].Backends {
		if be.Packets != at[be.Name] || be.Bytes == 0 {
			t.Errorf("backend %s: %d flows are counted, %d came", be.Name, be.Packets, at[be.Name])
		}
	}
	if got := r.JSON200.Services[0].Sessions; got != int32(n) {
		t.Errorf("%d sessions, want %d", got, n)
	}
}
