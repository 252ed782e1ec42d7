package daemon

import (
	"errors"
	"fmt"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/nft"
)

// writeOffRing records the live sessions that next's rings would send
// elsewhere than to the backends that they have, so that the kernel keeps them
// too. It has the maps of now. Of views that are before's as well it knows
// already, but for those that a takeover has hidden from it; a before of nil is
// for one that knows nothing.
func (d *Daemon) writeOffRing(before, now, next *balancer.Snapshot) error {
	return d.writeSessions(now, next, func(was, v *balancer.View) []balancer.Element {
		if before != nil && before.View(v.Service.Name) == v {
			return d.sync.HiddenOffRing(v)
		}
		return offRing(was, v, d.sync.OffRing)
	})
}

// writeBoundSince is writeOffRing for those that were bound while it was at work,
// or later.
func (d *Daemon) writeBoundSince(began int64, now, next *balancer.Snapshot) error {
	return d.writeSessions(now, next, func(was, v *balancer.View) []balancer.Element {
		if was == v {
			return nil
		}
		return offRing(was, v, func(v *balancer.View) []balancer.Element { return d.sync.OffRingSince(v, began) })
	})
}

// offRing is what find gives of a view's sessions, where the maps of was can hold
// them.
func offRing(was, v *balancer.View, find func(*balancer.View) []balancer.Element) []balancer.Element {
	if was.Pinning != balancer.PinSession || v.Pinning != balancer.PinSession ||
		nft.KeyFingerprint(&was.Service.Key) != nft.KeyFingerprint(&v.Service.Key) {
		return nil
	}
	return find(v)
}

// writeSessions writes what find gives for each service of next that now has
// too, into the maps of now.
func (d *Daemon) writeSessions(now, next *balancer.Snapshot, find func(was, v *balancer.View) []balancer.Element) error {
	for _, v := range next.Views {
		was := now.View(v.Service.Name)
		if was == nil {
			continue
		}
		es := find(was, v)
		if len(es) == 0 {
			continue
		}
		err := d.table.Put(was, next.ZoneBase, es)
		if errors.Is(err, ctsync.ErrFull) {
			// Go keeps them all the same; only without it would they move.
			d.events.add(event.Event{Kind: event.TableFull, Service: v.Service.Name, Detail: "sessions off the ring found no room"})
			continue
		}
		if err != nil {
			return fmt.Errorf("write sessions of %s off the new ring: %w", v.Service.Name, err)
		}
	}
	return nil
}
