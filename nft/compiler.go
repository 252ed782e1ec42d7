package nft

import (
	"slices"

	"github.com/roamlb/roamlb/balancer"
)

// Compiler compiles one snapshot after the other, and what two of them have in
// common but once: views are immutable. Its tables know of each other what they
// share, so that Apply looks at nothing else. Not safe for concurrent use.
type Compiler struct {
	queues   balancer.Queues
	features Features
	external bool
	base     *base
	parts    map[*balancer.View]*part
	last     []*part // of the last snapshot
	owners   owners  // of the addresses in it
	answers  *answers
	hooks    []*Chain // of the last snapshot
	steered  bool     // the kernel may have the chains before conntrack, see Applied
	round    int
}

// base is what a table holds but once. Equal bases are the same.
type base struct {
	marks    balancer.Marks
	zoneBase uint16
	common   []*Map // without elements
	chains   []*Chain
	timeouts []Timeout
}

// part is what a table holds for one view. Immutable.
type part struct {
	name     string // of the service
	chains   []*Chain
	maps     []*Map
	timeouts []Timeout
	common   [][]Element // of the maps that all share, in the base's order
	origins  []origin
	used     int // the round in which it was used last
}

// answers is the maps that depend on several services at once, by their place
// among the common ones, for a table of services that share backends. Immutable.
type answers struct{ elements map[int][]Element }

// partsKept is for how many snapshots a part is kept that none of them uses: a
// change makes three, and one that fails goes back.
const partsKept = 4

// NewCompiler returns a Compiler for these queues and this kernel.
func NewCompiler(q balancer.Queues, f Features) *Compiler {
	return &Compiler{queues: q, features: f, parts: make(map[*balancer.View]*part)}
}

// NewExternalCompiler returns a Compiler of tables whose chains and rules are in
// the operator's file. Names of a service's chains and maps say there what kind
// of rules they are: a service that needs others gets them beside those it has,
// and changes over by its elements alone.
func NewExternalCompiler(q balancer.Queues, f Features) *Compiler {
	c := NewCompiler(q, f)
	c.external = true
	return c
}

// Applied says that the kernel has a table that Compile gave. Base chains that it
// has stay: the kernel drops what waits in the namespace's queues when one goes.
func (c *Compiler) Applied(t *Table) {
	c.steered = c.steered || slices.ContainsFunc(t.hooks, func(h *Chain) bool { return h.Hook.Priority == prioSteer })
}

// Compile gives the table that realises a snapshot.
func (c *Compiler) Compile(s *balancer.Snapshot) *Table {
	if c.base == nil || c.base.marks != s.Marks || c.base.zoneBase != s.ZoneBase {
		external, steered := c.external, c.steered
		*c = *NewCompiler(c.queues, c.features)
		c.external, c.steered = external, steered
		c.base, c.owners = c.compileBase(s), newOwners()
	}
	c.round++
	parts := make([]*part, len(s.Views))
	for i, v := range s.Views {
		p := c.parts[v]
		if p == nil {
			p = c.compileView(v)
			c.parts[v] = p
		}
		p.used = c.round
		parts[i] = p
	}
	for v, p := range c.parts {
		if c.round-p.used > partsKept {
			delete(c.parts, v)
		}
	}
	if was, is := unlike(c.last, parts); c.owners.change(was, is) {
		c.answers = nil
		if c.owners.shared > 0 {
			c.answers = c.compileAnswers(parts)
		}
	}
	c.last = parts
	if h := c.hooksOf(parts); !slices.EqualFunc(h, c.hooks, sameChain) {
		c.hooks = h
	}
	return newTable(c.base, parts, c.answers, c.hooks)
}

func sameChain(a, b *Chain) bool { return a.Name == b.Name && sameRules(a.Rules, b.Rules) }

// fewListeners is how many rules that compare cost about as much as a map.
const fewListeners = 4

// hooksOf gives the base chains for parts. Those of an operator's file are the same
// whatever the services.
func (c *Compiler) hooksOf(parts []*part) []*Chain {
	x := c.compiler(c.base.marks, c.base.zoneBase)
	steered := c.steered || c.external
	listeners := 0
	for i, m := range x.common {
		n := 0
		for _, p := range parts {
			n += len(p.common[i])
		}
		switch m {
		case x.steer[0], x.steer[1]:
			steered = steered || n > 0
		case x.translate[0], x.translate[1]:
			listeners += n
		}
	}
	if x.few = listeners <= fewListeners && !c.external; x.few {
		for i, m := range x.common {
			m.Elements = gather(parts, nil, i)
		}
	}
	x.hooks(steered)
	return x.table.Chains
}

func (c *Compiler) compiler(marks balancer.Marks, zoneBase uint16) *compiler {
	x := &compiler{marks: marks, zoneBase: zoneBase, queues: c.queues, features: c.features, table: &Table{}, zoned: make(map[uint16]bool)}
	x.shared()
	return x
}

func (c *Compiler) compileBase(s *balancer.Snapshot) *base {
	b := &base{marks: s.Marks, zoneBase: s.ZoneBase, timeouts: []Timeout{{Name: "answers4"}, {Name: "answers6", V6: true}}}
	x := c.compiler(s.Marks, s.ZoneBase)
	x.bound()
	x.recorded()
	x.told()
	x.errorChains()
	b.common, b.chains = x.common, x.table.Chains
	return b
}

func (c *Compiler) compileView(v *balancer.View) *part {
	x := c.viewed(v, "")
	if c.external {
		x = c.viewed(v, shapeOf(x.table))
	}
	p := &part{name: v.Service.Name, chains: x.table.Chains, maps: x.table.Maps, timeouts: x.table.Timeouts, origins: x.origins}
	for _, m := range x.common {
		p.common = append(p.common, m.Elements)
	}
	return p
}

func (c *Compiler) viewed(v *balancer.View, shape string) *compiler {
	x := c.compiler(c.base.marks, c.base.zoneBase)
	x.shape = shape
	for _, v6 := range v.Families() {
		x.service(v, v6)
	}
	return x
}

func (c *Compiler) compileAnswers(parts []*part) *answers {
	x := c.compiler(c.base.marks, c.base.zoneBase)
	x.answers(parts, &c.owners)
	a := &answers{elements: make(map[int][]Element)}
	for i, m := range x.common {
		if slices.Contains(x.answersFrom[:], m) || slices.Contains(x.sharedFrom[:], m) || slices.Contains(x.probed[:], m) {
			a.elements[i] = m.Elements
		}
	}
	return a
}

// newTable puts parts together.
func newTable(b *base, parts []*part, a *answers, hooks []*Chain) *Table {
	t := &Table{Name: TableName, base: b, parts: parts, answers: a, hooks: hooks}
	t.Chains = slices.Clone(b.chains)
	t.Timeouts = slices.Clone(b.timeouts)
	for i, m := range b.common {
		whole := *m
		whole.gather = func() []Element { return gather(parts, a, i) }
		t.Maps = append(t.Maps, &whole)
	}
	for _, p := range parts {
		t.Chains = append(t.Chains, p.chains...)
		t.Maps = append(t.Maps, p.maps...)
		t.Timeouts = append(t.Timeouts, p.timeouts...)
	}
	t.Chains = append(t.Chains, hooks...)
	return t
}

// gather is the elements of a map that all share, by its place.
func gather(parts []*part, a *answers, i int) []Element {
	if a != nil {
		if es, ok := a.elements[i]; ok {
			return es
		}
	}
	n := 0
	for _, p := range parts {
		n += len(p.common[i])
	}
	all := make([]Element, 0, n)
	for _, p := range parts {
		all = append(all, p.common[i]...)
	}
	return all
}

// apart is two tables of one Compiler without what they share.
func apart(have, want *Table) (h, w *Table) {
	was, is := unlike(have.parts, want.parts)
	b := &base{common: have.base.common}
	wasHooks, isHooks := have.hooks, want.hooks
	if slices.Equal(wasHooks, isHooks) {
		wasHooks, isHooks = nil, nil
	}
	var wasAnswers, isAnswers *answers
	if have.answers != nil && have.answers == want.answers {
		none := &answers{elements: make(map[int][]Element)}
		for i := range have.answers.elements {
			none.elements[i] = nil
		}
		wasAnswers, isAnswers = none, none
	} else if have.answers != nil || want.answers != nil {
		wasAnswers, isAnswers = have.allAnswers(want), want.allAnswers(have)
	}
	return newTable(b, was, wasAnswers, wasHooks), newTable(b, is, isAnswers, isHooks)
}

// allAnswers is the answers of t, in the maps that o's are in where t's services
// share no backends.
func (t *Table) allAnswers(o *Table) *answers {
	if t.answers != nil {
		return t.answers
	}
	a := &answers{elements: make(map[int][]Element)}
	for i := range o.answers.elements {
		a.elements[i] = gather(t.parts, nil, i)
	}
	return a
}

// unlike is what two lists of parts, both in the order of names, do not have in
// common.
func unlike(a, b []*part) (was, is []*part) {
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case j == len(b) || i < len(a) && a[i].name < b[j].name:
			was = append(was, a[i])
			i++
		case i == len(a) || b[j].name < a[i].name:
			is = append(is, b[j])
			j++
		default:
			if a[i] != b[j] {
				was, is = append(was, a[i]), append(is, b[j])
			}
			i++
			j++
		}
	}
	return was, is
}
