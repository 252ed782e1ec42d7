package nft

import (
	"fmt"
	"strings"
)

// How a difference is shown: the lines of the one listing or the other. Each of
// these returns nothing where there are no listings.

func (d *differ) listing(have bool) *listing {
	switch {
	case d.shown == nil:
		return nil
	case have:
		return d.shown.have
	default:
		return d.shown.want
	}
}

// title is a map's name without what would tell a seed.
func title(name string) string {
	s := shownSet{name: name}
	return s.title(shownStyle)
}

func (d *differ) tableHead() []string {
	l := d.listing(true)
	if l == nil {
		return nil
	}
	return trimmed(l.flagLines())
}

func (d *differ) chainHead(have bool, name string) []string {
	l := d.listing(have)
	if l == nil || l.chainOf[name] == nil {
		return nil
	}
	return trimmed(l.chainOf[name].head()[1:])
}

// ruleLines are a chain's rules at some places.
func (d *differ) ruleLines(have bool, name string, at []int) []string {
	l := d.listing(have)
	if l == nil || l.chainOf[name] == nil {
		return nil
	}
	rules := l.chainOf[name].rules
	var out []string
	for _, i := range at {
		if i < len(rules) {
			out = append(out, l.rule(&rules[i], shownStyle))
		}
	}
	return out
}

// chainLines are all that is in a chain.
func (d *differ) chainLines(have bool, c *Chain) []string {
	at := make([]int, len(c.Rules))
	for i := range at {
		at[i] = i
	}
	return append(d.chainHead(have, c.Name), d.ruleLines(have, c.Name, at)...)
}

func (d *differ) mapHead(have bool, name string) []string {
	l := d.listing(have)
	if l == nil || l.setNamed[name] == nil {
		return nil
	}
	return trimmed(l.setNamed[name].head(shownStyle)[1:])
}

func (d *differ) elementLines(have bool, name string, es []Element) []string {
	l := d.listing(have)
	if l == nil || l.setNamed[name] == nil || len(es) == 0 {
		return nil
	}
	s := *l.setNamed[name]
	if s.flags&setInterval == 0 {
		wanted := make(map[string]bool, len(es))
		for i := range es {
			wanted[string(es[i].Key)] = true
		}
		all := s.elements
		s.elements = nil
		for _, e := range all {
			if wanted[string(e.key)] {
				s.elements = append(s.elements, e)
			}
		}
	}
	var out []string
	s.eachText(shownStyle, func(t string) { out = append(out, t) })
	return out
}

func (d *differ) objectLines(have bool, name string) []string {
	l := d.listing(have)
	if l == nil {
		return nil
	}
	for i := range l.objects {
		if lines := l.objects[i].lines(shownStyle); l.objects[i].name == name {
			if len(lines) > 2 {
				lines = lines[1 : len(lines)-1]
			}
			return trimmed(lines)
		}
	}
	return nil
}

func trimmed(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.TrimSpace(l)
	}
	return out
}

// plural is a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
