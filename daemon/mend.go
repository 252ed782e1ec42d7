package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/nft"
)

// mend makes the kernel's table what it should be, whatever others or a change
// that failed have made of it. What cannot be mended is said by Health, and
// tried again soon.
func (d *Daemon) mend(ctx context.Context) {
	d.change.Lock()
	defer d.change.Unlock()
	begin := d.now()
	diff, err := d.putRight(ctx)
	if err != nil {
		text := err.Error()
		d.broken.Store(&text)
		d.log.Warn("repair table, trying again", "error", err)
		return
	}
	d.broken.Store(nil)
	d.drift = ""
	if len(diff) == 0 {
		return
	}
	s := d.snapshot.Load()
	d.deleteForeign(ctx, listeners(s))
	if err := d.writeOffRing(nil, s, s); err != nil {
		d.log.Warn("write sessions off the ring", "error", err)
	}
	d.sync.Reconcile()
	d.events.add(event.Event{
		Kind: event.Repaired, Count: len(diff), Detail: describe(diff), Delay: time.Duration(d.now() - begin),
	})
}

// putRight says in words what had to be put right, none for nothing.
func (d *Daemon) putRight(ctx context.Context) ([]string, error) {
	if d.degraded.Load() != nil {
		// What was applied last may be just what is not to be.
		if err := d.back(ctx, d.undone.old, d.undone.mid); err != nil {
			return nil, err
		}
		d.degraded.Store(nil)
		d.undone = undone{}
		return []string{"a change that had failed is taken back"}, nil
	}
	found, err := d.rules.Verify()
	if err != nil {
		return nil, fmt.Errorf("compare table: %w", err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	diff := inWords(found)
	if text := nft.Diff(found, driftLines); text != d.drift { // else it is told already
		d.drift = text
		d.events.add(event.Event{Kind: event.Drift, Count: len(diff), Detail: describe(diff), Diff: text})
	}
	if err := d.rules.Repair(); err != nil {
		return nil, err
	}
	if left, err := d.rules.Verify(); err != nil {
		return nil, fmt.Errorf("compare table: %w", err)
	} else if len(left) > 0 {
		return nil, fmt.Errorf("others keep changing the table: %s", describe(inWords(left)))
	}
	return diff, nil
}

// driftLines is how many lines of a diff an event bears.
const driftLines = 200

func inWords(ds []nft.Difference) []string {
	out := make([]string, len(ds))
	for i, d := range ds {
		out[i] = d.String()
	}
	return out
}

// degrade notes a change that could be neither made nor taken back, and why.
func (d *Daemon) degrade(change undone, why error) {
	text := why.Error()
	d.undone = change
	d.degraded.Store(&text)
	d.events.add(event.Event{Kind: event.Degraded, Detail: text})
}
