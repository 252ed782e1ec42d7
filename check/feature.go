package check

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// From include/uapi/linux/netfilter/nf_tables.h, where golang.org/x/sys/unix
// has no name for it.
const (
	nftMsgDestroySetElem = 0x1e // NFT_MSG_DESTROYSETELEM, since 6.3
	nftObjectCtTimeout   = 7    // NFT_OBJECT_CT_TIMEOUT
	nftDynsetOpDelete    = 2    // NFT_DYNSET_OP_DELETE
)

// feature is something that our table needs of nftables. The kernel has it if
// it takes all the requests of any of the ways.
type feature struct {
	name     string
	ways     []way
	needs    string // kernel configuration or version
	lack     string // what it means not to have it
	optional bool   // there is another way
}

type way struct {
	how      string // shown where there are several
	requests []request
	answer   unix.Errno // of a kernel that has it, where that is not success
}

// lacks is why the kernel does not have it, by what it answered; nil where it does.
func (w *way) lacks(err error) error {
	if w.answer != 0 && errors.Is(err, w.answer) {
		return nil
	}
	return err
}

// trial holds the names of what a rehearsed transaction makes.
type trial struct{ table, chain, dynamic string }

// featureList is what is tried. A regular chain is enough: expressions are
// refused when a rule with them is added. A base chain would be seen by packets.
func (t trial) featureList() []feature {
	rule := func(es ...[]byte) []request { return []request{t.rule(es)} }
	// register 1: eight bytes of the UDP payload; register 2: the zone
	key, zone := encode(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 9, Len: 8}), encode(&expr.Ct{Register: 2, Key: expr.CtKeyZONE})
	dynset := func(op, timeout uint64) []byte {
		return nested("dynset", func(a *netlink.AttributeEncoder) {
			a.String(unix.NFTA_DYNSET_SET_NAME, t.dynamic)
			a.Uint32(unix.NFTA_DYNSET_OP, uint32(op))
			a.Uint32(unix.NFTA_DYNSET_SREG_KEY, 1)
			a.Uint32(unix.NFTA_DYNSET_SREG_DATA, 2)
			if timeout != 0 {
				a.Uint64(unix.NFTA_DYNSET_TIMEOUT, timeout) // milliseconds
			}
		})
	}
	return []feature{
		{
			name: "nft queue", needs: "CONFIG_NFT_QUEUE, or CONFIG_NFT_COMPAT with CONFIG_NETFILTER_XT_TARGET_NFQUEUE",
			lack: "no packet can be given to roamlb to decide",
			ways: []way{
				{how: "queue expression", requests: rule(encode(&expr.Queue{Total: 1, Flag: expr.QueueFlagBypass}))},
				// struct xt_NFQ_info_v3: queue, number of queues, flags (1: bypass)
				{how: "xt target NFQUEUE", requests: rule(encode(&expr.Target{Name: "NFQUEUE", Rev: 3, Info: &xt.Unknown{0, 0, 1, 0, 1, 0}}))},
			},
		},
		{
			name: "nft ct zone", needs: "CONFIG_NFT_CT and CONFIG_NF_CONNTRACK_ZONES", lack: "a session's packets cannot be bound to its backend",
			// Where a zone can be read it can be set. To try a rule that sets one
			// would cost what waits in the queues, see nft's own probe.
			ways: []way{{requests: rule(zone)}},
		},
		{
			name: "nft dynamic maps", needs: "Linux 5.4", lack: "the kernel cannot learn sessions by itself",
			// update @m { @th,72,64 timeout 30s : ct zone }; delete @m { ... }
			ways: []way{{requests: append(rule(key, zone, dynset(unix.NFT_DYNSET_OP_UPDATE, 30_000)), rule(key, zone, dynset(nftDynsetOpDelete, 0))...)}},
		},
		{
			name: "nft jhash", needs: "CONFIG_NFT_HASH", lack: "the kernel cannot pick a backend when the daemon is away",
			ways: []way{{requests: rule(key, encode(&expr.Hash{SourceRegister: 1, DestRegister: 2, Length: 8, Modulus: 4093, Seed: 1, Type: expr.HashTypeJenkins}))}},
		},
		{
			name: "nft destroy element", needs: "Linux 6.3", optional: true, lack: "expired sessions are deleted one by one, which is slower",
			ways: []way{{requests: []request{t.destroyElement()}}},
		},
		{
			name: "nft log", needs: "CONFIG_NFT_LOG and CONFIG_NETFILTER_NETLINK_LOG", optional: true, lack: "services with datapath kernel are decided by the daemon",
			// log group 29811
			ways: []way{{requests: rule(encode(&expr.Log{Key: 1 << unix.NFTA_LOG_GROUP, Group: balancer.LogGroup}))}},
		},
		{
			name: "nft nat", needs: "CONFIG_NFT_NAT, CONFIG_NFT_MASQ, CONFIG_NF_TABLES_INET, Linux 5.2", lack: "packets cannot be sent on to backends",
			ways: []way{{requests: append(rule(
				encode(&expr.Immediate{Register: 1, Data: []byte{198, 51, 100, 1}}),
				encode(&expr.Immediate{Register: 2, Data: []byte{0, 7}}),
				encode(&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2}),
			), rule(encode(&expr.Masq{}))...)}},
		},
		{
			name: "nft reject", needs: "CONFIG_NFT_REJECT_INET", lack: "clients are not told when no backend can serve them",
			ways: []way{{requests: rule(encode(&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH}))}},
		},
		{
			name: "nft ct event", needs: "CONFIG_NF_CONNTRACK_EVENTS", lack: "no answer to a roamed client is seen, and its old entry stays",
			ways: []way{{requests: rule(
				encode(&expr.Immediate{Register: 1, Data: binary.NativeEndian.AppendUint32(nil, 1)}),
				encode(&expr.Ct{Key: expr.CtKeyEVENTMASK, Register: 1, SourceRegister: true}),
			)}},
		},
		{
			name: "nft ct timeout", needs: "CONFIG_NF_CONNTRACK_TIMEOUT", lack: "services cannot have timeouts of their own",
			ways: []way{{requests: []request{t.timeoutObject()}, answer: unix.EINVAL}},
		},
	}
}

// features tries what our table is made of.
func (h *host) features() []Result {
	t := trial{table: fmt.Sprintf("roamlb-check-%d", os.Getpid()), chain: "try", dynamic: "map"}
	list := t.featureList()
	all := []request{t.newTable(), t.newChain(), t.newDynamicMap()}
	setup := len(all)
	for _, f := range list {
		for _, w := range f.ways {
			all = append(all, w.requests...)
		}
	}
	answers, err := rehearse(all)
	if err == nil {
		err = errors.Join(answers[:setup]...)
	}
	if err != nil {
		return one(noNftables(err))
	}
	results := ok("nftables", "usable with these rights")
	answers = answers[setup:]
	for _, f := range list {
		results = append(results, f.result(&answers))
	}
	return results
}

func rehearse(rs []request) ([]error, error) {
	conn, err := dialNfnetlink()
	if err != nil {
		return nil, err
	}
	defer conn.close()
	return conn.rehearse(rs)
}

func noNftables(err error) Result {
	r := Result{Name: "nftables", Status: Fail, Found: fmt.Sprintf("cannot be changed: %v", err)}
	switch {
	case errors.Is(err, unix.EPERM):
		r.Want = "CAP_NET_ADMIN in this network namespace"
		r.Fix = "run as root, or with systemd: AmbientCapabilities=CAP_NET_ADMIN"
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT):
		r.Want = "a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"
		r.Fix = "modprobe nf_tables"
	default:
		r.Want = "a table with a chain and a map with timeouts"
	}
	return r
}

// result takes the feature's answers off the front of the list.
func (f feature) result(answers *[]error) Result {
	var found string
	var refused error
	for _, w := range f.ways {
		err := w.lacks(errors.Join((*answers)[:len(w.requests)]...))
		*answers = (*answers)[len(w.requests):]
		switch {
		case found != "":
		case err != nil:
			refused = err
		case w.how == "":
			found = "works"
		default:
			found = w.how
		}
	}
	if found != "" {
		return Result{Name: f.name, Status: OK, Found: found}
	}
	if f.optional {
		return Result{Name: f.name, Status: OK, Found: fmt.Sprintf("not here (%s has it): %s", f.needs, f.lack)}
	}
	return Result{Name: f.name, Status: Fail, Found: fmt.Sprintf("missing (%v): %s", refused, f.lack), Want: f.needs}
}
