package check

import (
	"context"
	"fmt"
	"slices"

	"github.com/roamlb/roamlb/nft"

	"github.com/google/nftables"
)

// tableName is our table's, of family inet.
const tableName = nft.TableName

// ruleset is the chains and rules of all tables but ours, as nft's netlink
// shows them: those of iptables-nft are among them, those of iptables-legacy
// are not.
type ruleset struct {
	own    bool // our table is there
	chains []chain
}

type chain struct {
	*nftables.Chain
	rules []*nftables.Rule
	err   error // why rules could not be read
}

func isOwn(t *nftables.Table) bool {
	return t.Family == nftables.TableFamilyINet && t.Name == tableName
}

// String names the chain as nft does.
func (c chain) String() string {
	return fmt.Sprintf("table %s %s chain %s", nftFamily(c.Table.Family), c.Table.Name, c.Name)
}

func nftFamily(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyINet:
		return "inet"
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	case nftables.TableFamilyARP:
		return "arp"
	case nftables.TableFamilyNetdev:
		return "netdev"
	case nftables.TableFamilyBridge:
		return "bridge"
	default:
		return fmt.Sprintf("family %d", f)
	}
}

// sees reports whether packets of a family pass chains of c's table.
func (c chain) sees(v6 bool) bool {
	switch c.Table.Family {
	case nftables.TableFamilyINet:
		return true
	case nftables.TableFamilyIPv4:
		return !v6
	case nftables.TableFamilyIPv6:
		return v6
	default:
		return false
	}
}

// at reports whether c is a base chain of one of these hooks.
func (c chain) at(hooks ...*nftables.ChainHook) bool {
	if c.Hooknum == nil || c.Priority == nil {
		return false
	}
	return slices.ContainsFunc(hooks, func(h *nftables.ChainHook) bool { return *h == *c.Hooknum })
}

// readRuleset lists what the IP families have. It stops early when ctx ends.
func readRuleset(ctx context.Context) (*ruleset, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, err
	}
	// Closing a socket that was only read from has nothing to report.
	defer func() { _ = conn.CloseLasting() }()
	tables, err := conn.ListTables()
	if err != nil {
		return nil, err
	}
	all := &ruleset{own: slices.ContainsFunc(tables, isOwn)}
	chains, err := conn.ListChains()
	if err != nil {
		return nil, err
	}
	for _, ch := range chains {
		c := chain{Chain: ch}
		if isOwn(c.Table) || !c.sees(false) && !c.sees(true) {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.rules, c.err = conn.GetRules(c.Table, c.Chain)
		all.chains = append(all.chains, c)
	}
	return all, nil
}
