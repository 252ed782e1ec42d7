package lab_test
import ("testing";"time";"net/netip";"github.com/roamlb/roamlb/internal/lab";"encoding/binary")
func TestTmpPorts(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	clients := newClients(t, n, lab.ClientOptions{})
	newEcho(t, n.Backend(1), lab.EchoOptions{})
	list := numbered(5000, lab.ClientIPv4, at(lab.BackendIPv4(1)))
	for i := range list { list[i].Src = netip.AddrPortFrom(lab.ClientIPv4(0), uint16(20_000+i)) }
	for range 3 {
	s := time.Now()
	r, err := clients.ExchangeAll(t.Context(), list, 0, wait)
	t.Log(time.Since(s), len(lab.Unanswered(r)), err)
	}
}
func TestTmpRate(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	clients := newClients(t, n, lab.ClientOptions{})
	e := newEcho(t, n.Backend(1), lab.EchoOptions{Key: firstEight})
	list := numbered(50000, lab.ClientIPv4, at(lab.BackendIPv4(1)))
	for _, rate := range []int{20000, 50000, 100000, 0} {
	s := time.Now()
	r, err := clients.ExchangeAll(t.Context(), list, rate, time.Second)
	d := time.Since(s)
	t.Log(rate, d, "pps", int(float64(len(list))/d.Seconds()), "lost", len(lab.Unanswered(r)), err, e.Total())
	}
}
func TestTmpFlood(t *testing.T) {
	n := newNetwork(t, lab.NetworkOptions{Backends: 1})
	e := newEcho(t, n.Backend(1), lab.EchoOptions{Key: firstEight})
	raw := newRaw(t, n, n.Clients)
	for _, silent := range []bool{true,false} {
	e.SetSilent(silent)
	for _, rate := range []int{100000, 200000, 0} {
		e.Reset(); before := e.Replies()
		s := time.Now()
		sent, err := raw.Flood(t.Context(), lab.FloodOptions{To: at(lab.BackendIPv4(1)), Count: 200000, Rate: rate, Length: 20,
			Fill: func(i int, p []byte) { binary.BigEndian.PutUint64(p, uint64(i)) }})
		d := time.Since(s)
		time.Sleep(300*time.Millisecond)
		t.Log(silent, rate, d, int(float64(sent)/d.Seconds()), err, "arrived", e.Total(), "replied", e.Replies()-before)
	}}
}
