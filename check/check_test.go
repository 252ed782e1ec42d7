package check

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	mnl "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// On a host that has what it takes nobody is bothered.
func TestAllIsWell(t *testing.T) {
	n := newNetwork(t)
	results := run(t, n, input(n))
	if worst := Worst(results); worst != OK {
		t.Errorf("worst is %s: %+v", worst, results)
	}
	for _, r := range results {
		if r.Status != OK && r.Name != "own table" {
			t.Errorf("%+v", r)
		}
		if r.Fixable || r.Want != "" || r.Fix != "" {
			t.Errorf("there is nothing to do, but: %+v", r)
		}
	}
	if len(results) < len(checks) {
		t.Errorf("%d results of %d checks", len(results), len(checks))
	}
}

// Without a service there is still a host to look at: `roamlb check` is what
// one runs first.
func TestEmptyConfiguration(t *testing.T) {
	n := newNetwork(t)
	results := run(t, n, Input{Config: balancer.Config{MarkMask: 0xffff, Queues: balancer.Queues{Count: 1}}})
	if worst := Worst(results); worst != OK {
		t.Errorf("worst is %s: %+v", worst, results)
	}
	expect(t, results, "listeners", Skip)
	expect(t, results, "backends", Skip)
	expect(t, results, "IPv4 forwarding", Skip, "not needed")
}

func TestRunStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := Run(ctx, Input{}); got != nil {
		t.Errorf("%d results", len(got))
	}
}

// generation is the ruleset's: each commit, by whomever, raises it.
func generation() (uint32, error) {
	conn, err := dialNfnetlink()
	if err != nil {
		return 0, err
	}
	defer conn.close()
	msg := request{typ: nftMsg(unix.NFT_MSG_GETGEN)}.append(nil, 1)
	if err := unix.Sendto(conn.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	buf := make([]byte, 4096)
	if _, _, err := unix.Recvfrom(conn.fd, buf, 0); err != nil {
		return 0, err
	}
	// nlmsghdr, nfgenmsg, then NFTA_GEN_ID: u32 in network order
	return binary.BigEndian.Uint32(buf[unix.NLMSG_HDRLEN+4+unix.NLA_HDRLEN:]), nil
}

// The check runs on hosts that carry traffic: it leaves no trace in nftables,
// not even one that a monitor would see.
func TestRunCommitsNothing(t *testing.T) {
	n := newNetwork(t)
	in(t, n, func() error {
		conn := &nftables.Conn{}
		conn.AddTable(&nftables.Table{Name: "other", Family: nftables.TableFamilyINet})
		if err := conn.Flush(); err != nil {
			return err
		}
		before, err := generation()
		if err != nil {
			return err
		}
		for range 3 {
			Run(t.Context(), input(n))
		}
		after, err := generation()
		if err != nil {
			return err
		}
		if before == 0 || before != after {
			t.Errorf("generation %d before, %d after", before, after)
		}
		tables, err := conn.ListTables()
		if len(tables) != 1 {
			t.Errorf("%d tables, want the one that was there", len(tables))
		}
		return err
	})
}

// Without rights the check says which, instead of failing at each item for
// reasons of its own.
func TestWithoutRights(t *testing.T) {
	n := newNetwork(t)
	i := input(n)
	done := make(chan []Result)
	go func() {
		var results []Result
		defer func() { done <- results }()
		err := n.LB.Do(func() error {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var data [2]unix.CapUserData
			if err := unix.Capget(&header, &data[0]); err != nil {
				return err
			}
			all := data
			data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
			if err := unix.Capset(&header, &data[0]); err != nil {
				return err
			}
			results = Run(t.Context(), i)
			return unix.Capset(&header, &all[0])
		})
		if err != nil {
			t.Error(err)
		}
	}()
	results := <-done
	expect(t, results, "nftables", Fail, "operation not permitted", "CAP_NET_ADMIN")
	expect(t, results, "nfqueue", Fail, "CAP_NET_ADMIN")
	expect(t, results, "conntrack netlink", Fail, "CAP_NET_ADMIN")
	if len(of(results, "nft jhash")) != 0 {
		t.Error("features are reported that nobody could try")
	}
}

func TestWorst(t *testing.T) {
	for _, tt := range []struct {
		statuses []Status
		want     Status
	}{
		{nil, Skip},
		{[]Status{Skip, OK}, OK},
		{[]Status{Warn, OK, Skip}, Warn},
		{[]Status{Warn, Fail, OK}, Fail},
	} {
		var results []Result
		for _, s := range tt.statuses {
			results = append(results, Result{Status: s})
		}
		if got := Worst(results); got != tt.want {
			t.Errorf("worst of %v is %s, want %s", tt.statuses, got, tt.want)
		}
	}
}

func TestKernelVersion(t *testing.T) {
	for release, want := range map[string]Status{
		"6.18.44-fc": OK, "6.1.0-28-amd64": OK, "7.0.1": OK, "10.2": OK,
		"5.15.0-91-generic": Warn, "6.0.19": Warn, "unknown": Skip,
	} {
		if got := kernelVersion("kernel", release)[0]; got.Status != want {
			t.Errorf("%s is %s, want %s", release, got.Status, want)
		}
	}
}

// A kernel that lacks one feature fails that one alone, and takes the second
// way where there is one.
func TestFeatureResults(t *testing.T) {
	r := make([]request, 1)
	answers := []error{unix.ENOENT, nil, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOENT, nil, unix.EINVAL, unix.ENOENT}
	var got []Status
	var how []string
	for _, f := range []feature{
		{ways: []way{{how: "first", requests: r}, {how: "second", requests: r}}},
		{ways: []way{{requests: r}}},
		{ways: []way{{requests: r}}, optional: true},
		{ways: []way{{requests: make([]request, 2)}}},
		{ways: []way{{requests: r, answer: unix.EINVAL}}},
		{ways: []way{{requests: r, answer: unix.EINVAL}}},
	} {
		result := f.result(&answers)
		got, how = append(got, result.Status), append(how, result.Found)
	}
	if want := []Status{OK, Fail, OK, Fail, OK, Fail}; !slices.Equal(got, want) || how[0] != "second" || len(answers) != 0 {
		t.Errorf("%v %q, want %v and the second way", got, how, want)
	}
}

// The kernel answers each request by itself: one that it refuses does not
// hide the others.
func TestRehearse(t *testing.T) {
	n := newNetwork(t)
	tr := trial{table: "t", chain: "c", dynamic: "m"}
	unknown := tr.rule([][]byte{attributesOf("nosuch")})
	in(t, n, func() error {
		answers, err := rehearse([]request{tr.newTable(), tr.newChain(), unknown, tr.newDynamicMap(), tr.timeoutObject(), unknown})
		if err != nil {
			return err
		}
		if diff := cmp.Diff([]bool{true, true, false, true, false, false}, taken(answers)); diff != "" {
			t.Errorf("taken (-want +got):\n%s", diff)
		}
		if !errors.Is(answers[4], unix.EINVAL) {
			t.Errorf("a timeout object for nothing: %v, want EINVAL", answers[4])
		}
		return nil
	})
}

func attributesOf(expression string) []byte {
	return nested(expression, func(*mnl.AttributeEncoder) {})
}

func taken(answers []error) []bool {
	var out []bool
	for _, err := range answers {
		out = append(out, err == nil)
	}
	return out
}
