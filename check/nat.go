package check

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// priorityTranslate is where our table translates, in nat prerouting and output.
const priorityTranslate = -100

// earlierNAT looks for nat chains that come before ours: the first that
// translates a flow is the only one.
func (h *host) earlierNAT() []Result {
	const name = "nat before ours"
	if h.ruleErr != nil {
		return skip(name, "cannot be listed: %v", h.ruleErr)
	}
	var results []Result
	for _, c := range h.rules.chains {
		if c.Type != nftables.ChainTypeNAT || !c.at(nftables.ChainHookPrerouting, nftables.ChainHookOutput) || *c.Priority >= priorityTranslate {
			continue
		}
		results = append(results, Result{
			Name: name, Status: Warn, Found: fmt.Sprintf("%s has priority %d", c, *c.Priority),
			Want: fmt.Sprintf("no rule there that translates packets to a listener: it comes before ours (%d) and would win", priorityTranslate),
			Fix:  fmt.Sprintf("nft list chain %s %s %s", nftFamily(c.Table.Family), shellWord(c.Table.Name), shellWord(c.Name)),
		})
	}
	if results == nil {
		return ok(name, "none")
	}
	return results
}

// untracked looks for rules that take packets out of conntrack: such a packet
// is not translated.
func (h *host) untracked() []Result {
	const name = "untracked packets"
	if h.ruleErr != nil {
		return skip(name, "cannot be listed: %v", h.ruleErr)
	}
	var results []Result
	for _, c := range h.rules.chains {
		if !slices.ContainsFunc(c.rules, untracks) {
			continue
		}
		results = append(results, Result{
			Name: name, Status: Warn, Found: fmt.Sprintf("%s has rules that take packets out of conntrack", c),
			Want: "no such rule for packets to a listener: they are not sent on",
			Fix:  fmt.Sprintf("nft list chain %s %s %s", nftFamily(c.Table.Family), shellWord(c.Table.Name), shellWord(c.Name)),
		})
	}
	if results == nil {
		return ok(name, "no rule makes any")
	}
	return results
}

func untracks(r *nftables.Rule) bool {
	return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		switch e := e.(type) {
		case *expr.Notrack:
			return true
		case *expr.Target:
			// struct xt_ct_target_info*: u16 flags, bit 0 is notrack
			info := xtInfo(e.Info)
			return e.Name == "NOTRACK" || e.Name == "CT" && len(info) >= 2 && binary.NativeEndian.Uint16(info)&1 != 0
		default:
			return false
		}
	})
}
