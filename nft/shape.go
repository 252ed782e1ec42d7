package nft

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"regexp"
)

// shapeOf is a name for all that is static of a part: its rules, and the make of
// its maps. Parts that differ in elements only have one name.
func shapeOf(t *Table) string {
	h := fnv.New32a()
	number := func(n uint64) { h.Write(binary.BigEndian.AppendUint64(nil, n)) }
	for _, c := range t.Chains {
		fmt.Fprintf(h, "chain %s;", c.Name)
		for i := range c.Rules {
			number(c.Rules[i].Tag())
		}
	}
	for _, m := range t.Maps {
		fmt.Fprintf(h, "map %s %d %v %v %d %v;", m.Name, m.flags(), m.Key, m.Data, m.Size, m.Timeout)
	}
	for _, o := range t.Timeouts {
		fmt.Fprintf(h, "timeout %s;", o.Name)
	}
	return fmt.Sprintf("-x%08x", h.Sum32())
}

// What depends on seeds, which could be found by it: the ends of names that
// shapeOf and slotsMap made.
var (
	shapes = regexp.MustCompile(`-x[0-9a-f]{8}\b`)
	rings  = regexp.MustCompile(`\b(slots[46]-[a-z0-9-]+)-[0-9a-f]{8}\b`)
	seeds  = regexp.MustCompile(`\bseed 0x[0-9a-f]+`)
)

// withoutSecrets is a line without what tells a seed.
func withoutSecrets(line string) string {
	line = seeds.ReplaceAllString(line, "seed (hidden)")
	return shapes.ReplaceAllString(rings.ReplaceAllString(line, "$1"), "")
}

func (d Difference) withoutSecrets() Difference {
	all := func(lines []string) []string {
		out := make([]string, len(lines))
		for i, l := range lines {
			out[i] = withoutSecrets(l)
		}
		return out
	}
	return Difference{Object: withoutSecrets(d.Object), What: d.What, Have: all(d.Have), Want: all(d.Want)}
}
