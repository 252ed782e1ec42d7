package check

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// forwardChains: packets to backends on other hosts pass every forward chain,
// ours has no say there. Rules are read only as far as they are certain: one that
// accepts what bears our ct mark, one that refuses everything.
func (h *host) forwardChains() []Result {
	const name = "forward chains"
	switch {
	case h.ruleErr != nil:
		return skip(name, "cannot be listed: %v", h.ruleErr)
	case h.network == nil:
		return skip(name, "%v", h.netErr)
	case !h.forwards(false) && !h.forwards(true):
		return skip(name, "not needed: no backend is on another host")
	}
	var results []Result
	seen := 0
	for _, c := range h.rules.chains {
		if !c.at(nftables.ChainHookForward) || !h.passes(c) {
			continue
		}
		seen++
		refusal := h.refusal(c)
		if refusal == "" {
			continue
		}
		results = append(results, Result{
			Name: name, Status: Warn, Found: fmt.Sprintf("%s %s", c, refusal),
			Want: "a rule before that which accepts packets of connections that bear roamlb's ct mark; keep it where that ruleset is kept",
			Fix:  h.acceptCommand(c),
		})
	}
	if results == nil {
		return ok(name, "other tables have %d, and none is seen to refuse our packets", seen)
	}
	return results
}

// passes reports whether packets that we send on to other hosts pass c's table.
func (h *host) passes(c chain) bool {
	return c.sees(false) && h.forwards(false) || c.sees(true) && h.forwards(true)
}

// refusal says how the chain refuses our packets, "" where it does not.
func (h *host) refusal(c chain) string {
	if c.err != nil {
		return fmt.Sprintf("cannot be read: %v", c.err)
	}
	for _, r := range c.rules {
		if h.acceptsOurs(r) {
			return ""
		}
		if kind := refusesAll(r); kind != "" {
			return "ends in a rule that " + kind + " everything"
		}
	}
	if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
		return "has policy drop"
	}
	return ""
}

// refusesAll says what an unconditional rule does with every packet.
func refusesAll(r *nftables.Rule) string {
	kind := ""
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter, *expr.Log:
		case *expr.Reject:
			kind = "rejects"
		case *expr.Verdict:
			if e.Kind != expr.VerdictDrop {
				return ""
			}
			kind = "drops"
		default:
			return ""
		}
	}
	return kind
}

// acceptsOurs reports whether the rule accepts packets of every entry that
// bears our mark, with no other condition:
//
//	ct mark & OURS == OURS accept
//	ct mark & OURS != 0 accept
//	-m connmark --mark OURS/OURS -j ACCEPT
func (h *host) acceptsOurs(r *nftables.Rule) bool {
	ours := h.marks.Ours()
	var mask uint32 // of the ct mark in the register
	matches, accepts := false, false
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter:
		case *expr.Ct:
			if e.Key != expr.CtKeyMARK || e.SourceRegister {
				return false
			}
			mask = ^uint32(0)
		case *expr.Bitwise:
			if mask == 0 || word(e.Xor) != 0 {
				return false
			}
			mask &= word(e.Mask)
		case *expr.Cmp:
			equal := e.Op == expr.CmpOpEq && mask == ours && word(e.Data) == ours
			set := e.Op == expr.CmpOpNeq && mask&ours != 0 && word(e.Data) == 0
			if !equal && !set {
				return false
			}
			matches = true
		case *expr.Match:
			// struct xt_connmark_mtinfo1: mark, mask, invert
			info := xtInfo(e.Info)
			if e.Name == "comment" {
				continue
			}
			if e.Name != "connmark" || len(info) < 9 || word(info[4:]) != ours || word(info) != ours || info[8] != 0 {
				return false
			}
			matches = true
		case *expr.Verdict:
			accepts = e.Kind == expr.VerdictAccept
		default:
			return false
		}
	}
	return matches && accepts
}

// word is a mark as nftables and xtables keep it: in the host's byte order; 0
// for what is no mark.
func word(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// xtInfo is the raw structure of an xtables extension that the library does
// not decode.
func xtInfo(i xt.InfoAny) []byte {
	if raw, ok := i.(*xt.Unknown); ok {
		return *raw
	}
	return nil
}

func (h *host) acceptCommand(c chain) string {
	ours := h.marks.Ours()
	if c.Table.Name == "filter" && c.Name == "FORWARD" && c.Table.Family != nftables.TableFamilyINet {
		program := "iptables"
		if c.Table.Family == nftables.TableFamilyIPv6 {
			program = "ip6tables"
		}
		return fmt.Sprintf("%s -I FORWARD -m connmark --mark %#x/%#x -j ACCEPT", program, ours, ours)
	}
	return fmt.Sprintf("nft insert rule %s %s %s 'ct mark & %#x == %#x accept'",
		nftFamily(c.Table.Family), shellWord(c.Table.Name), shellWord(c.Name), ours, ours)
}

// legacyTables: what iptables-legacy holds is not seen through nftables.
func (h *host) legacyTables() []Result {
	const name = "iptables-legacy"
	var found []string
	for program, file := range map[string]string{"iptables-legacy": "ip_tables_names", "ip6tables-legacy": "ip6_tables_names"} {
		text, err := os.ReadFile("/proc/thread-self/net/" + file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return skip(name, "%v", err)
		}
		if tables := strings.Fields(string(text)); len(tables) > 0 {
			found = append(found, fmt.Sprintf("%s has tables %s", program, strings.Join(tables, ", ")))
		}
	}
	if found == nil {
		return ok(name, "has no tables")
	}
	return one(Result{
		Name: name, Status: Warn, Found: strings.Join(found, "; "),
		Want: "no rule there that drops forwarded packets or sets bits of our marks: they are not looked at here",
		Fix:  "iptables-legacy-save",
	})
}
