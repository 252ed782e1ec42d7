package nft

import (
	"slices"
	"strings"
)

// Difference is one thing in the table that is not as it should be.
type Difference struct {
	Object string   // e.g. "chain prerouting-steer", "map zones"
	What   string   // what is the matter with it, in words
	Have   []string // what is there and should not be, as nft lists it; no seeds
	Want   []string // what should be and is not there
}

func (d Difference) String() string { return d.Object + " " + d.What }

// Diff writes differences as a diff does: what was there behind a minus, what
// should be behind a plus. What is more than most lines is left out, and counted.
func Diff(ds []Difference, most int) string {
	var lines []string
	for _, d := range ds {
		lines = append(lines, " "+d.Object+" {")
		for _, l := range d.Have {
			lines = append(lines, "-\t"+l)
		}
		for _, l := range d.Want {
			lines = append(lines, "+\t"+l)
		}
		lines = append(lines, " }")
	}
	if more := len(lines) - most; more > 0 {
		lines = append(lines[:most], "# and "+plural(more, "line")+" more")
	}
	return strings.Join(lines, "\n")
}

// listings are two tables as they are shown.
type listings struct{ have, want *listing }

// shownStyle leaves out what changes by itself, and the seeds: whoever may only
// read sees events too.
var shownStyle = style{stateless: true, redact: true}

// differ gathers the differences of two tables. Without listings they say
// nothing but where they are.
type differ struct {
	shown *listings
	found []Difference
}

func (d *differ) add(object, what string, have, want []string) {
	d.found = append(d.found, Difference{Object: object, What: what, Have: have, Want: want})
}

// differences says where have is not as want is; none where it is. Learned
// elements are nobody's to compare.
func differences(have, want *Table, shown *listings) []Difference {
	d := &differ{shown: shown}
	object := "table inet " + want.Name
	if have.empty() {
		d.add(object, "is gone", nil, []string{plural(len(want.Chains), "chain") + ", " + plural(len(want.Maps), "map")})
		return d.found
	}
	if have.flags != 0 {
		d.add(object, "has flags", d.tableHead(), nil)
	}
	indexHave, indexWant := newIndex(have), newIndex(want)
	d.chains(have, indexHave, want, indexWant)
	d.maps(have, indexHave, want, indexWant)
	d.timeouts(have, indexHave, want, indexWant)
	for _, s := range have.strays {
		d.add("object "+s.name, "is not ours", d.objectLines(false, s.name), nil)
	}
	return d.found
}

func (d *differ) chains(have *Table, x index, want *Table, y index) {
	for _, w := range want.Chains {
		object := "chain " + w.Name
		h := x.chains[w.Name]
		if h == nil {
			d.add(object, "is gone", nil, d.chainLines(false, w))
			continue
		}
		if !sameHook(h.Hook, w.Hook) || h.Drops {
			d.add(object, "is hooked otherwise", d.chainHead(true, w.Name), d.chainHead(false, w.Name))
		}
		if !sameRules(h.Rules, w.Rules) {
			gone, missing := unlikeRules(h.Rules, w.Rules)
			d.add(object, "has other rules", d.ruleLines(true, w.Name, gone), d.ruleLines(false, w.Name, missing))
		}
	}
	for _, h := range have.Chains {
		if y.chains[h.Name] == nil {
			d.add("chain "+h.Name, "is not ours", d.chainLines(true, h), nil)
		}
	}
}

func (d *differ) maps(have *Table, x index, want *Table, y index) {
	for _, w := range want.Maps {
		object := "map " + title(w.Name)
		h := x.maps[w.Name]
		switch {
		case h == nil:
			d.add(object, "is gone", nil, d.mapHead(false, w.Name))
			continue
		case !h.sameMake(w):
			d.add(object, "is of another make", d.mapHead(true, w.Name), d.mapHead(false, w.Name))
			continue
		case w.Learned:
			continue
		}
		add, del := elementChanges(h, w)
		if len(add)+len(del) > 0 {
			d.add(object, "has other elements", d.elementLines(true, w.Name, del), d.elementLines(false, w.Name, add))
		}
	}
	for _, h := range have.Maps {
		if y.maps[h.Name] == nil {
			d.add("map "+title(h.Name), "is not ours", d.mapHead(true, h.Name), nil)
		}
	}
}

func (d *differ) timeouts(have *Table, x index, want *Table, y index) {
	for _, w := range want.Timeouts {
		object := "ct timeout " + w.Name
		if h, ok := x.timeouts[w.Name]; !ok {
			d.add(object, "is gone", nil, d.objectLines(false, w.Name))
		} else if !h.same(w) {
			d.add(object, "has other values", d.objectLines(true, w.Name), d.objectLines(false, w.Name))
		}
	}
	for _, h := range have.Timeouts {
		if _, ok := y.timeouts[h.Name]; !ok {
			d.add("ct timeout "+h.Name, "is not ours", d.objectLines(true, h.Name), nil)
		}
	}
}

// unlikeRules are the places of the rules that two lists do not have in common:
// the fewest that must go, and come, to make one of the other.
func unlikeRules(have, want []Rule) (gone, missing []int) {
	// same[i][j] is the length of the longest list that have[i:] and want[j:]
	// both hold in this order.
	same := make([][]int, len(have)+1)
	for i := range same {
		same[i] = make([]int, len(want)+1)
	}
	for i := range slices.Backward(have) {
		for j := len(want) - 1; j >= 0; j-- {
			same[i][j] = max(same[i+1][j], same[i][j+1])
			if have[i].Tag() == want[j].Tag() {
				same[i][j] = max(same[i][j], 1+same[i+1][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(have) && j < len(want) {
		switch {
		case have[i].Tag() == want[j].Tag() && same[i][j] == 1+same[i+1][j+1]:
			i, j = i+1, j+1
		case same[i+1][j] >= same[i][j+1]:
			gone = append(gone, i)
			i++
		default:
			missing = append(missing, j)
			j++
		}
	}
	for ; i < len(have); i++ {
		gone = append(gone, i)
	}
	for ; j < len(want); j++ {
		missing = append(missing, j)
	}
	return gone, missing
}

func sameHook(a, b *Hook) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func sameRules(a, b []Rule) bool {
	return slices.EqualFunc(a, b, func(x, y Rule) bool { return x.Tag() == y.Tag() })
}
