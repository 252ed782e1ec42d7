package daemon

import (
	"context"
	"maps"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/event"
)

// Why a drain is over.
const (
	reasonDrained      = "drained"       // nobody was left
	reasonDrainTimeout = "drain-timeout" // and the sessions that were left have gone elsewhere
)

// noteDrains remembers since when the backends of a snapshot drain, and forgets
// those that do no longer.
func (d *Daemon) noteDrains(s *balancer.Snapshot) {
	draining, drained := make(map[uint16]time.Time), make(map[uint16]bool)
	state := d.store.State()
	for _, v := range s.Views {
		for i := range v.Service.Backends {
			b := &v.Service.Backends[i]
			if b.Admin != balancer.AdminDrain {
				continue
			}
			since, ok := d.draining[b.ID]
			if !ok {
				// From here on the clock can be set and the drain takes its time.
				since = time.Now()
				if at, ok := state.DrainingSince(b.ID); ok {
					since = since.Add(-max(since.Sub(at), 0))
				}
			}
			draining[b.ID] = since
			if d.drained[b.ID] {
				drained[b.ID] = true
			}
		}
	}
	d.draining, d.drained = draining, drained
}

// drainEnd is a drain that is over.
type drainEnd struct {
	id   uint16
	tell event.Event
}

// endDrains lets go of backends that nobody is on any more, or whose time to
// drain is over.
func (d *Daemon) endDrains(ctx context.Context) {
	d.change.Lock()
	defer d.change.Unlock()
	if d.degraded.Load() != nil {
		return // not before that is mended
	}
	var over []drainEnd
	for _, v := range d.snapshot.Load().Views {
		for i := range v.Service.Backends {
			if end, ok := d.drainOver(v, &v.Service.Backends[i]); ok {
				over = append(over, end)
			}
		}
	}
	if len(over) == 0 {
		return
	}
	before := d.drained
	d.drained = maps.Clone(before)
	for _, end := range over {
		d.drained[end.id] = true
	}
	if err := d.switchTo(context.WithoutCancel(ctx), d.store.State().Services, func() error { return nil }); err != nil {
		d.drained = before
		d.log.Error("take drained backends down", "error", err)
		return
	}
	for _, end := range over {
		d.events.add(end.tell)
	}
}

// drainOver reports whether a backend's drain is over now.
func (d *Daemon) drainOver(v *balancer.View, b *balancer.Backend) (drainEnd, bool) {
	since, drains := d.draining[b.ID]
	if !drains || d.drained[b.ID] {
		return drainEnd{}, false
	}
	end := drainEnd{id: b.ID, tell: event.Event{
		Kind: event.BackendState, Service: v.Service.Name, Backend: b.Name, State: "down", Age: time.Since(since),
	}}
	switch {
	case end.tell.Age >= v.Service.DrainTimeout:
		end.tell.Reason = reasonDrainTimeout
		if t, ok := v.Bindings.(*ctsync.Table); ok {
			end.tell.Count = t.Bound(b.ID)
		}
		end.tell.Detail = "its sessions go elsewhere"
	case !d.sync.Holds(v, b.ID):
		end.tell.Reason = reasonDrained
		end.tell.Detail = "nobody is on it any more"
	default:
		return drainEnd{}, false
	}
	return end, true
}

// DrainingSince is since when a backend is drained; false for one that is not.
// It may be called from any goroutine.
func (d *Daemon) DrainingSince(id uint16) (time.Time, bool) {
	st := d.store.State()
	return st.DrainingSince(id)
}
