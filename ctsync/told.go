package ctsync

import (
	"github.com/roamlb/roamlb/balancer"
)

// Told is of balancer.Bindings: a packet of a service whose sessions the
// kernel decides has gone to backend.
func (t *Table) Told(now int64, key []byte, v *balancer.View, v6 bool, backend uint16) balancer.Binding {
	if !v.Serves(backend, v6) { // it has gone down since: the entry is on its way out
		return t.Bind(now, key, v, v6, v.Ring(v6).At(v.Hash(key)))
	}
	b := t.Bind(now, key, v, v6, backend)
	if b.Backend != backend {
		if b = t.follow(now, b, v6, backend); b.Backend != backend {
			t.strays.add(key)
		}
	}
	if b.Created && elsewhere(v, key, b.Backend) {
		// The kernel has decided by the ring before this one, or by one family's.
		t.strays.add(key)
	}
	return b
}

// follow binds a session to where the kernel sends it, unless Go's binding
// counts for more.
func (t *Table) follow(now int64, b balancer.Binding, v6 bool, backend uint16) balancer.Binding {
	sh := &t.shards[b.Session.Shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if b.Session.Gen == 0 {
		return b // there was no room for one
	}
	r := sh.records.at(b.Session.Index)
	if r.gen == b.Session.Gen && r.live() && !r.confirmed() && r.flags&recordPlaced == 0 {
		sh.bindFamily(b.Session.Index, v6, backend, now)
		b.Backend, b.Created = backend, true
	}
	return b
}
