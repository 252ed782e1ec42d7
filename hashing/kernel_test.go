//go:build linux

package hashing

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	kernelRules  = 256 // each with a key, seed and modulus of its own
	kernelRounds = 16  // datagrams for each
	datagramSize = 160 // nft of older kernels loads no byte beyond 255
	registers    = 64  // bytes that nft has for a packet
)

// kernelRule is a layout and how the kernel is asked to hash its keys.
type kernelRule struct {
	fields        []Field
	layout        *Layout
	seed, modulus uint32
}

// The kernel decides in the daemon's stead when that is away, and looks sessions
// up by the same bytes: where it does not agree with Extract, Jhash and Scale, a
// restart of the daemon sends sessions elsewhere.
func TestKernelAgrees(t *testing.T) {
	if !enterNamespace(t) {
		return
	}
	rng := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	rules := make([]kernelRule, kernelRules)
	for i := range rules {
		rules[i] = randomRule(rng, i)
	}
	conn, seen := installRules(t, rules)

	// The hook runs before a send returns. The socket sends to itself, so that no
	// ICMP error comes back; that its buffer overflows is no matter.
	local := netip.MustParseAddr("192.0.2.1")
	bringUp(t, local)
	socket, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	want, payloads := make(map[uint32]uint32), make(map[uint32][]byte)
	for number := range uint32(kernelRules * kernelRounds) {
		r := &rules[number%kernelRules]
		payload := make([]byte, datagramSize)
		for i := range payload {
			payload[i] = byte(rng.Uint32())
		}
		binary.BigEndian.PutUint32(payload, number%kernelRules<<16|number/kernelRules)
		key, _, ok := r.layout.Extract(nil, payload)
		if !ok {
			t.Fatalf("no key of %+v in %x", r.fields, payload)
		}
		id := binary.BigEndian.Uint32(payload)
		want[id], payloads[id] = Scale(Jhash(key, r.seed), r.modulus), payload
		if _, err := socket.WriteTo(payload, socket.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}

	elements, err := conn.GetSetElements(seen)
	if err != nil {
		t.Fatal(err)
	}
	if len(elements) != len(want) {
		t.Errorf("the kernel recorded %d hashes of %d", len(elements), len(want))
	}
	for _, e := range elements {
		id := binary.BigEndian.Uint32(e.Key)
		if got := binary.NativeEndian.Uint32(e.Val); got != want[id] {
			r := &rules[id>>16]
			t.Errorf("seed %#x, modulus %d, fields %+v, payload %x: the kernel has %d, Go %d",
				r.seed, r.modulus, r.fields, payloads[id], got, want[id])
		}
	}
}

// randomRule makes the rule with number i: the first 64 a single field of each
// length as it is, hashed whole; the next 64 a single one with a mask; the
// others up to four fields.
func randomRule(rng *rand.Rand, i int) kernelRule {
	r := kernelRule{
		// nft makes up a seed where it gets 0, and takes no modulus below 2. The
		// highest shows every hash but 0 as itself less one.
		seed:    1 + rng.Uint32N(math.MaxUint32),
		modulus: math.MaxUint32,
	}
	if i >= 64 {
		r.modulus = 2 + rng.Uint32()>>rng.IntN(31)%(math.MaxUint32-1)
	}
	room, count := registers, 1
	if i >= 128 {
		count = 2 + rng.IntN(3)
	}
	for left := count; left > 0; left-- {
		f := Field{Length: 1 + rng.IntN(room-registerSize*(left-1))}
		if count == 1 {
			f.Length = 1 + i%registers
		}
		room -= f.Length + padding(f.Length)
		f.Offset = 4 + rng.IntN(datagramSize-4-f.Length+1)
		if i >= 64 && (count == 1 || rng.IntN(2) == 0) {
			f.Mask = make([]byte, f.Length)
			for j := range f.Mask {
				f.Mask[j] = byte(rng.Uint32())
			}
		}
		r.fields = append(r.fields, f)
	}
	r.layout = NewLayout([]Variant{{Fields: r.fields}})
	return r
}

// installRules applies the rules, one each, and returns the map they record in:
// a datagram's first four bytes to the hash.
func installRules(t *testing.T, rules []kernelRule) (*nftables.Conn, *nftables.Set) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	// table inet hashing {
	//   map seen { typeof @th,64,32 : meta mark; flags dynamic; size 8192; }
	//   chain output { type filter hook output priority filter; }
	// }
	table := conn.AddTable(&nftables.Table{Name: "hashing", Family: nftables.TableFamilyINet})
	seen := &nftables.Set{
		Table: table, Name: "seen", IsMap: true, Dynamic: true, Size: 2 * kernelRules * kernelRounds,
		KeyType: nftables.TypeInteger, DataType: nftables.TypeMark,
	}
	if err := conn.AddSet(seen, nil); err != nil {
		t.Fatal(err)
	}
	chain := conn.AddChain(&nftables.Chain{
		Table: table, Name: "output", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter,
	})
	for i := range rules {
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rules[i].exprs(uint16(i), seen)})
	}
	if err := conn.Flush(); err != nil {
		t.Fatalf("apply %d rules: %v", len(rules), err)
	}
	return conn, seen
}

// exprs is the rule for datagrams that begin with its number:
//
//	@th,64,16 NUMBER add @seen { @th,64,32 : jhash FIELD . FIELD mod MODULUS seed SEED } accept
//
// The key takes all of the registers if need be. The hash overwrites its
// beginning, which the kernel has read by then, and the map's key is loaded
// after.
func (r *kernelRule) exprs(number uint16, seen *nftables.Set) []expr.Any {
	const first, second = unix.NFT_REG32_00, unix.NFT_REG32_01
	exprs := []expr.Any{
		load(0, 2, first),
		&expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: binaryutil.BigEndian.PutUint16(number)},
	}
	register := uint32(first)
	for _, f := range r.fields {
		exprs = append(exprs, load(f.Offset, f.Length, register))
		exprs = append(exprs, and(register, f.Mask)...)
		register += uint32(f.Length+padding(f.Length)) / registerSize
	}
	return append(exprs,
		&expr.Hash{
			SourceRegister: first, DestRegister: first, Length: uint32(r.layout.MaxLen()),
			Seed: r.seed, Modulus: r.modulus, Type: expr.HashTypeJenkins,
		},
		load(0, 4, second),
		&expr.Dynset{SetName: seen.Name, SetID: seen.ID, Operation: unix.NFT_DYNSET_OP_ADD, SrcRegKey: second, SrcRegData: first},
		&expr.Verdict{Kind: expr.VerdictAccept},
	)
}

// load is the load of bytes of a UDP payload.
func load(offset, length int, register uint32) expr.Any {
	const header = 8
	return &expr.Payload{
		DestRegister: register, Base: expr.PayloadBaseTransportHeader,
		Offset: uint32(header + offset), Len: uint32(length),
	}
}

// and masks registers in place, 16 bytes at a time: no bitwise expression has
// room for more.
func and(register uint32, mask []byte) []expr.Any {
	const most = 16
	var exprs []expr.Any
	for ; len(mask) > 0; register += most / registerSize {
		part := mask[:min(most, len(mask))]
		mask = mask[len(part):]
		exprs = append(exprs, &expr.Bitwise{
			SourceRegister: register, DestRegister: register, Len: uint32(len(part)),
			Mask: part, Xor: make([]byte, len(part)),
		})
	}
	return exprs
}

// bringUp gives the namespace's loopback interface an address.
func bringUp(t *testing.T, addr netip.Addr) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatalf("bring lo up: %v", err)
	}
	address := &netlink.Addr{IPNet: netlink.NewIPNet(addr.AsSlice())}
	if err := netlink.AddrAdd(lo, address); err != nil {
		t.Fatalf("add %v to lo: %v", addr, err)
	}
}

// enterNamespace moves the test into a network namespace of its own and returns
// true. Where that is not permitted, it runs the test once more in a new user
// namespace, fails if that fails, and returns false.
func enterNamespace(t *testing.T) bool {
	t.Helper()
	// Never unlocked: the thread ends with the test, and its namespace with it.
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		return true
	}
	const inside = "ROAMLB_TEST_USER_NAMESPACE"
	if !errors.Is(err, unix.EPERM) || os.Getenv(inside) != "" {
		t.Fatalf("make a network namespace: %v", err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if cmd.Process == nil && os.Getenv("CI") == "" {
		t.Skipf("neither a network namespace nor a user namespace can be made here: %v", err)
	}
	// A run without the test would pass too.
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in a user namespace: %v\n%s", err, out)
	}
	return false
}
