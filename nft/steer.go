package nft

import (
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"

	"github.com/roamlb/roamlb/balancer"
)

// variantPayload is how a rule loads one variant of a key.
type variantPayload struct {
	match [][]byte // the variant's conditions; ends the rule where one does not hold
	key   [][]byte // loads the key from register 0 on; ends the rule where the packet is too short
	n     int      // the key's length in bytes
	last  bool     // no later variant could match
}

// end is the first register behind the key.
func (p *variantPayload) end() reg { return reg(0).after(p.n) }

func (c *compiler) layoutsOf(s *service) []variantPayload {
	vs := s.Service.Key.Variants
	out := make([]variantPayload, len(vs))
	for i := range vs {
		v := &vs[i]
		p := variantPayload{n: v.KeyLen(), last: i == len(vs)-1}
		for _, m := range v.Match {
			p.match = append(p.match, c.matches(m)...)
		}
		r := reg(0)
		for _, f := range v.Fields {
			p.key = append(p.key, c.field(r, f, len(v.Fields) == 1)...)
			r = r.after(f.Length)
		}
		out[i] = p
	}
	return out
}

// payload loads bytes of the UDP payload: `@th,64+8*off,8*n`, or `@ih` where
// this kernel's transport loads do not reach.
func (c *compiler) payload(r reg, off, n int) expr.Any {
	const udpHeader = 8
	if off+udpHeader <= c.features.TransportOffset {
		return transport(r, uint32(off+udpHeader), uint32(n))
	}
	return &expr.Payload{DestRegister: r.nr(), Base: payloadBaseInner, Offset: uint32(off), Len: uint32(n)}
}

const payloadBaseInner = 3 // NFT_PAYLOAD_INNER_HEADER

// maskBytes is how long a mask can be, as a constant of a rule.
const maskBytes = 16

// field loads a field of the key, and masks it in pieces where its mask is too
// long for one constant. Of a key that is alone a field, nft 1.0.6 lists the
// pieces only where they fill their registers: where not, the first piece is
// loaded with all that follows, and nft shows only what it is masked with.
func (c *compiler) field(r reg, f balancer.Field, alone bool) [][]byte {
	if f.Mask == nil {
		return encode(c.payload(r, f.Offset, f.Length))
	}
	var out [][]byte
	for at := 0; at < f.Length; at += maskBytes {
		m := f.Mask[at:min(at+maskBytes, f.Length)]
		n := len(m)
		if at == 0 && alone && f.Length%regBytes != 0 {
			n = f.Length
		}
		out = append(out, encode(c.payload(r, f.Offset+at, n))...)
		out = append(out, masked(r, m)...)
		r = r.after(len(m))
	}
	return out
}

// masked ANDs a register run with up to sixteen bytes; nil changes nothing.
func masked(r reg, m []byte) [][]byte {
	if m == nil {
		return nil
	}
	return encode(&expr.Bitwise{SourceRegister: r.nr(), DestRegister: r.nr(), Len: uint32(len(m)), Mask: m, Xor: make([]byte, len(m))})
}

func (c *compiler) matches(m balancer.Match) [][]byte {
	return join(encode(c.payload(0, m.Offset, len(m.Value))), masked(0, m.Mask), encode(cmp(0, true, m.Value)))
}

// refusals are the rules that drop packets of sources the service does not
// serve.
func (c *compiler) refusals(s *service) []Rule {
	var rules []Rule
	svc := s.Service
	if len(svc.Deny) > 0 {
		name := c.prefixSet("deny"+s.name, s.v6, svc.Deny)
		// ip saddr @deny counter drop
		rules = append(rules, Rule{Comment: svc.Name + ": refused sources", Exprs: join(encode(loadSource(0, s.v6)), in(name), counter(), drop())})
	}
	if len(svc.Allow) > 0 {
		name := c.prefixSet("allow"+s.name, s.v6, svc.Allow)
		// ip saddr != @allow counter drop
		rules = append(rules, Rule{Comment: svc.Name + ": sources not among the allowed", Exprs: join(encode(loadSource(0, s.v6)), notIn(name), counter(), drop())})
	}
	return rules
}

func (c *compiler) prefixSet(name string, v6 bool, prefixes []netip.Prefix) string {
	m := c.addMap(&Map{Name: name, Key: addrType(v6), Intervals: true})
	for _, r := range ranges(prefixes, v6) {
		m.Elements = append(m.Elements, Element{Key: r[0].AsSlice()})
		if r[1].IsValid() {
			m.Elements = append(m.Elements, Element{Key: r[1].AsSlice(), End: true})
		}
	}
	return name
}

// ranges turns prefixes of a family into disjoint [first, behind the last)
// pairs; the last pair's end is invalid where it would lie behind the last
// address.
func ranges(prefixes []netip.Prefix, v6 bool) [][2]netip.Addr {
	var ps []netip.Prefix
	for _, p := range prefixes {
		if p.Addr().Is6() == v6 {
			ps = append(ps, p.Masked())
		}
	}
	slices.SortFunc(ps, func(a, b netip.Prefix) int {
		if d := a.Addr().Compare(b.Addr()); d != 0 {
			return d
		}
		return a.Bits() - b.Bits()
	})
	var out [][2]netip.Addr
	for _, p := range ps {
		if n := len(out); n > 0 && (!out[n-1][1].IsValid() || p.Addr().Less(out[n-1][1])) {
			continue // within the one before
		}
		last := p.Addr().AsSlice()
		for i := p.Bits(); i < len(last)*8; i++ {
			last[i/8] |= 0x80 >> (i % 8)
		}
		end, _ := netip.AddrFromSlice(last)
		end = end.Next()
		if n := len(out); n > 0 && out[n-1][1] == p.Addr() {
			out[n-1][1] = end // they touch
			continue
		}
		out = append(out, [2]netip.Addr{p.Addr(), end})
	}
	return out
}

// steerChain: a known session's zone is set and its packet is done; any other
// packet gets the miss mark, and the queue if it has a key and Go decides.
func (c *compiler) steerChain(s *service) {
	svc := s.Service.Name
	rules := c.refusals(s)
	miss := c.marks.Miss()
	for i := range s.layouts {
		p := &s.layouts[i]
		sessions := s.sessions[p.n].Name
		rules = append(
			rules,
			// KEY: ct original zone set KEY map @sessions accept
			Rule{Comment: svc + ": a known session", Exprs: join(p.match, p.key, lookup(0, 0, sessions), zoneSet(0), accept())},
		)
		if s.Datapath != balancer.DatapathKernel {
			// KEY: meta mark set meta mark | miss queue
			rules = append(rules, Rule{
				Comment: svc + ": a session's first packet",
				Exprs:   join(p.match, p.key, markSet(0, c.marks.All(), miss), c.toGo()),
			})
		}
		if !p.last {
			// the variant's, but too short for its key, or what the kernel decides
			rules = append(rules, Rule{Comment: svc + ": no later variant's", Exprs: join(p.match, markSet(0, c.marks.All(), miss), accept())})
		}
	}
	rules = append(rules, Rule{Comment: svc + ": on to bind", Exprs: join(markSet(0, c.marks.All(), miss), accept())})
	c.addChain("steer"+s.name, rules...)
	c.dispatch(c.steer, s, "steer"+s.name)
}
