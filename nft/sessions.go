package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// The sessions maps of session-pinned services: what the kernel has learned,
// and what ctsync writes there.

// elementBatch is how many elements one transaction changes: few enough to
// hold the kernel's commit lock shortly.
const elementBatch = 1000

// elementsAsked is how many elements are asked for at once: their answers, a page
// each, fit into a socket buffer that nobody may enlarge.
const elementsAsked = 40

// Put writes bindings into a service's sessions maps, in the place of what was
// there under the same key, each with its timeout. What finds no room is left
// out, and the error is unix.ENFILE; what belongs to no map of the service is left
// out silently.
func (r *Ruleset) Put(v *balancer.View, zoneBase uint16, es []balancer.Element) error {
	return r.eachBatch(v, es, func(name string, batch []Element) error {
		if err := r.destroy(name, batch, func(del []request) error {
			return r.conn.commit(append(del, elements(msgNewSetElem, TableName, name, batch)...))
		}); err != nil {
			return err
		}
		return nil
	}, zoneBase)
}

// Delete removes bindings; those that are gone already are no error.
func (r *Ruleset) Delete(v *balancer.View, es []balancer.Element) error {
	return r.eachBatch(v, es, func(name string, batch []Element) error {
		return r.destroy(name, batch, r.conn.commit)
	}, 0)
}

// DeleteBound is Delete that lets bindings stay which name another backend than
// given. Their timeouts do not count.
func (r *Ruleset) DeleteBound(v *balancer.View, zoneBase uint16, es []balancer.Element) error {
	return r.eachBatch(v, es, func(name string, batch []Element) error {
		var bound []Element
		for part := range slices.Chunk(batch, elementsAsked) {
			there, err := getElements(r.conn, TableName, name, part)
			if err != nil {
				return err
			}
			for i, e := range part {
				if bytes.Equal(there[i].Data, e.Data) {
					bound = append(bound, e)
				}
			}
		}
		if len(bound) == 0 {
			return nil
		}
		return r.destroy(name, bound, r.conn.commit)
	}, zoneBase)
}

// destroy hands commit the requests that delete a batch whether or not its
// elements are there. Kernels before 6.3 fail a whole transaction for one
// element that is gone: there they are deleted one by one first.
func (r *Ruleset) destroy(name string, batch []Element, commit func([]request) error) error {
	if r.features.DestroyElements {
		return commit(elements(msgDestroySetElem, TableName, name, batch))
	}
	for i := range batch {
		err := r.conn.commit(elements(msgDelSetElem, TableName, name, batch[i:i+1]))
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return commit(nil)
}

func (r *Ruleset) eachBatch(v *balancer.View, es []balancer.Element, do func(string, []Element) error, zoneBase uint16) error {
	byMap := make(map[string][]Element)
	var errs []error
	for _, e := range es {
		name := sessionsMap(v.Service, e.V6, len(e.Key))
		byMap[name] = append(byMap[name], Element{Key: e.Key, Data: host16(zoneBase + e.Backend), Timeout: e.Timeout})
	}
	for name, list := range byMap {
		for len(list) > 0 {
			n := min(elementBatch, len(list))
			err := do(name, list[:n])
			if errors.Is(err, unix.ENOENT) {
				break // the service has no such map, or not any more
			}
			errs = append(errs, err)
			list = list[n:]
		}
	}
	return errors.Join(errs...)
}

// Dump hands every learned binding of a service to fn until it returns false.
// fn must not use the Ruleset. A service that has no maps has no bindings.
func (r *Ruleset) Dump(v *balancer.View, zoneBase uint16, fn func(balancer.Element) bool) error {
	if v.Pinning != balancer.PinSession {
		return nil
	}
	seen := make(map[string]bool)
	for _, v6 := range v.Families() {
		for i := range v.Service.Key.Variants {
			name := sessionsMap(v.Service, v6, v.Service.Key.Variants[i].KeyLen())
			if seen[name] {
				continue
			}
			seen[name] = true
			n := v.Service.Key.Variants[i].KeyLen()
			err := readElements(r.lister, TableName, name, func(e Element) bool {
				if len(e.Key) < n || len(e.Data) < 2 {
					return true
				}
				zone := binary.NativeEndian.Uint16(e.Data)
				return fn(balancer.Element{Key: e.Key[:n], V6: v6, Backend: zone - zoneBase, Timeout: e.Timeout})
			}, nil)
			if err != nil && !errors.Is(err, errInterrupted) {
				return err
			}
		}
	}
	return nil
}
