package suite

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/roamlb/roamlb/nft"
)

// ruleset is the nftables of the balancer's namespace, as another program sees
// and changes it.
type ruleset struct {
	*nftables.Conn
	t     *testing.T
	table *nftables.Table // roamlb's
}

func (b *bed) ruleset() *ruleset {
	b.t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(b.LB.Fd()), nftables.AsLasting())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.CloseLasting() })
	return &ruleset{Conn: c, t: b.t, table: &nftables.Table{Name: nft.TableName, Family: nftables.TableFamilyINet}}
}

// commit makes the changes that are pending.
func (r *ruleset) commit() {
	r.t.Helper()
	if err := r.Flush(); err != nil {
		r.t.Fatal(err)
	}
}

// chains are the chains of roamlb's table.
func (r *ruleset) chains() []*nftables.Chain {
	r.t.Helper()
	all, err := r.ListChainsOfTableFamily(r.table.Family)
	if err != nil {
		r.t.Fatal(err)
	}
	var ours []*nftables.Chain
	for _, c := range all {
		if c.Table.Name == r.table.Name {
			ours = append(ours, c)
		}
	}
	return ours
}

// hooked are the names of its base chains.
func (r *ruleset) hooked() (names []string) {
	r.t.Helper()
	for _, c := range r.chains() {
		if c.Hooknum != nil {
			names = append(names, c.Name)
		}
	}
	return names
}

// rules are the rules of one of roamlb's chains.
func (r *ruleset) rules(chain string) []*nftables.Rule {
	r.t.Helper()
	rules, err := r.GetRules(r.table, &nftables.Chain{Name: chain, Table: r.table})
	if err != nil {
		r.t.Fatal(err)
	}
	return rules
}

// elements are the elements of one of roamlb's maps.
func (r *ruleset) elements(m string) []nftables.SetElement {
	r.t.Helper()
	list, err := r.GetSetElements(&nftables.Set{Name: m, Table: r.table})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// fingerprint changes with every rule that is made anew, and with every map
// that comes or goes.
func (r *ruleset) fingerprint() string {
	r.t.Helper()
	var s strings.Builder
	for _, c := range r.chains() {
		fmt.Fprintf(&s, "%s\n", c.Name)
		for _, rule := range r.rules(c.Name) {
			fmt.Fprintf(&s, "\t%d %x\n", rule.Handle, rule.UserData)
		}
	}
	for _, m := range r.maps() {
		fmt.Fprintf(&s, "%s\n", m)
	}
	return s.String()
}

// maps are the names of roamlb's maps and sets.
func (r *ruleset) maps() []string {
	r.t.Helper()
	sets, err := r.GetSets(r.table)
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for _, m := range sets {
		names = append(names, m.Name)
	}
	return names
}

// learned are the names of the maps that the kernel fills by itself.
func (r *ruleset) learned() []string {
	return slices.DeleteFunc(r.maps(), func(name string) bool { return !strings.HasPrefix(name, "sessions") })
}

// comment is what nft prints behind a rule: the user data's first member,
// type 0, ending in a NUL (libnftnl, udata.c).
func comment(r *nftables.Rule) string {
	d := r.UserData
	if len(d) < 2 || d[0] != 0 || len(d) < 2+int(d[1]) {
		return ""
	}
	return string(bytes.TrimRight(d[2:2+int(d[1])], "\x00"))
}

// counted are the packets that a rule's counter has seen.
func counted(r *nftables.Rule) uint64 {
	for _, e := range r.Exprs {
		if c, ok := e.(*expr.Counter); ok {
			return c.Packets
		}
	}
	return 0
}
