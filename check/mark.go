package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables/expr"

	"github.com/roamlb/roamlb/balancer"
)

// agent is a program known to set mark bits, by the names of its chains or
// tables.
type agent struct {
	name   string
	prefix string
	bits   uint32 // that its documentation claims, also where no rule shows it
}

var agents = []agent{
	{"kube-proxy", "KUBE-", 0x0000c000}, // --iptables-masquerade-bit 14, the drop mark is bit 15
	{"kube-proxy", "kube-proxy", 0x0000c000},
	{"Calico", "cali-", 0xffff0000},   // FelixConfiguration iptablesMarkMask
	{"Cilium", "CILIUM_", 0xffff0f00}, // magic 0x0f00, identities above; set in BPF
	{"Tailscale", "ts-", 0x00ff0000},  // util/linuxfw
	{"Docker", "DOCKER", 0},           // none of its own
}

func agentOf(c chain) (agent, bool) {
	i := slices.IndexFunc(agents, func(a agent) bool {
		return strings.HasPrefix(c.Name, a.prefix) || strings.HasPrefix(c.Table.Name, a.prefix)
	})
	if i < 0 {
		return agent{}, false
	}
	return agents[i], true
}

// markWriter is somebody who sets bits of a mark.
type markWriter struct {
	who    string
	ct     bool // the ct mark, else the packet mark
	bits   uint32
	chains []string
}

// foreignMarks looks for other tables' rules that set bits which are ours. The
// bits of the packet mark are in use only between two of our chains, so such a rule
// may be harmless: that depends on where it stands and what it matches.
func (h *host) foreignMarks() []Result {
	const name = "marks of others"
	if h.ruleErr != nil {
		return skip(name, "cannot be listed: %v", h.ruleErr)
	}
	writers, taken := h.markWriters()
	var results []Result
	for _, w := range writers {
		field, ours := "packet", h.marks.All()
		if w.ct {
			field, ours = "ct", h.marks.CTAll()
		}
		if w.bits&ours == 0 {
			continue
		}
		results = append(results, Result{
			Name: name, Status: Warn,
			Found: fmt.Sprintf("%s sets bits %#08x of the %s mark (%s), of which %#08x are ours", w.who, w.bits, field, summary(w.chains), w.bits&ours),
			Want:  "bits that nobody else sets",
			Fix:   freeMaskAdvice(taken),
		})
	}
	if results == nil {
		return ok(name, "nobody is seen to set bits %#08x", h.marks.All())
	}
	return results
}

// markWriters joins what rules set by agent, or table, and mark; taken is
// every bit that somebody sets.
func (h *host) markWriters() (writers []*markWriter, taken uint32) {
	note := func(who string, ct bool, bits uint32, where string) {
		taken |= bits
		i := slices.IndexFunc(writers, func(w *markWriter) bool { return w.who == who && w.ct == ct })
		if i < 0 {
			i = len(writers)
			writers = append(writers, &markWriter{who: who, ct: ct})
		}
		w := writers[i]
		w.bits |= bits
		if !slices.Contains(w.chains, where) {
			w.chains = append(w.chains, where)
		}
	}
	for _, c := range h.rules.chains {
		who := fmt.Sprintf("table %s %s", nftFamily(c.Table.Family), c.Table.Name)
		if a, known := agentOf(c); known {
			who = a.name
			if a.bits != 0 {
				note(who, false, a.bits, "as it documents")
			}
		}
		for _, r := range c.rules {
			packet, ct := marksSet(r.Exprs)
			if packet != 0 {
				note(who, false, packet, c.String())
			}
			if ct != 0 {
				note(who, true, ct, c.String())
			}
		}
	}
	return writers, taken
}

func summary(list []string) string {
	const most = 3
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

// marksSet is which bits of the packet mark and of the ct mark a rule can
// change. It follows the marks through the registers: bits that are loaded,
// masked and stored again stay as they are.
func marksSet(exprs []expr.Any) (packet, ct uint32) {
	const all = ^uint32(0)
	// A register that holds a mark, and which of its bits were changed since.
	type kept struct {
		ct      bool
		changed uint32
	}
	regs := make(map[uint32]kept)
	stored := func(reg uint32, ct bool) uint32 {
		if k, ok := regs[reg]; ok && k.ct == ct {
			return k.changed
		}
		return all
	}
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Meta:
			switch {
			case e.SourceRegister && e.Key == expr.MetaKeyMARK:
				packet |= stored(e.Register, false)
			case !e.SourceRegister && e.Key == expr.MetaKeyMARK:
				regs[e.Register] = kept{ct: false}
			case !e.SourceRegister:
				delete(regs, e.Register)
			}
		case *expr.Ct:
			switch {
			case e.SourceRegister && e.Key == expr.CtKeyMARK:
				ct |= stored(e.Register, true)
			case !e.SourceRegister && e.Key == expr.CtKeyMARK:
				regs[e.Register] = kept{ct: true}
			case !e.SourceRegister:
				delete(regs, e.Register)
			}
		case *expr.Bitwise:
			k, ok := regs[e.SourceRegister]
			if !ok || len(e.Mask) != 4 || len(e.Xor) != 4 { // not a mask and a value
				delete(regs, e.DestRegister)
				continue
			}
			k.changed |= ^word(e.Mask) | word(e.Xor)
			regs[e.DestRegister] = k
		case *expr.Target:
			p, c := targetSets(e)
			packet |= p
			ct |= c
		default:
			if reg, ok := destination(e); ok {
				delete(regs, reg)
			}
		}
	}
	return packet, ct
}

// destination is the register that an expression fills with something that
// is no mark.
func destination(e expr.Any) (uint32, bool) {
	switch e := e.(type) {
	case *expr.Immediate:
		return e.Register, true
	case *expr.Payload:
		return e.DestRegister, true
	case *expr.Lookup:
		return e.DestRegister, e.IsDestRegSet
	case *expr.Hash:
		return e.DestRegister, true
	case *expr.Numgen:
		return e.Register, true
	case *expr.Fib:
		return e.Register, true
	case *expr.Exthdr:
		return e.DestRegister, true
	}
	return 0, false
}

// targetSets is the bits that an xtables target of iptables-nft changes.
func targetSets(t *expr.Target) (packet, ct uint32) {
	info := xtInfo(t.Info)
	switch {
	case t.Name == "MARK" && len(info) >= 8:
		// struct xt_mark_tginfo2: mark, mask; (old & ~mask) ^ mark
		return word(info) | word(info[4:]), 0
	case t.Name == "CONNMARK" && len(info) >= 13:
		// struct xt_connmark_tginfo1: ctmark, ctmask, nfmask, mode
		switch ctmark, ctmask, nfmask := word(info), word(info[4:]), word(info[8:]); info[12] {
		case 0: // set: (ct & ~ctmask) ^ ctmark
			return 0, ctmark | ctmask
		case 1: // save: (ct & ~ctmask) ^ (packet & nfmask)
			return 0, ctmask | nfmask
		default: // restore: (packet & ~nfmask) ^ (ct & ctmask)
			return nfmask | ctmask, 0
		}
	}
	return 0, 0
}

// freeMask is the widest run of at most 16 bits that, with the helper bits
// above it, nobody sets; 0 where there is none that holds 255 ids.
func freeMask(taken uint32) uint32 {
	for width := 16; width >= 8; width-- {
		for shift := 0; shift+width+balancer.HelperBits <= 32; shift++ {
			mask := (uint32(1)<<width - 1) << shift
			if (balancer.Marks{Mask: mask}).All()&taken == 0 {
				return mask
			}
		}
	}
	return 0
}

func freeMaskAdvice(taken uint32) string {
	if mask := freeMask(taken); mask != 0 {
		return fmt.Sprintf("set mark_mask: %#08x", mask)
	}
	return "have those rules set only the bits they need, or see that they do not match packets to a listener"
}
