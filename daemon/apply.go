package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/store"
)

// idRest is how long a backend's id is not given out again after it was freed:
// longer than a packet can wait in a queue with its mark.
const idRest = time.Minute

func (d *Daemon) marks() balancer.Marks { return balancer.Marks{Mask: d.file.MarkMask} }

// assign gives the services of a file their ids and seeds.
func (d *Daemon) assign(services []balancer.Service) (store.State, error) {
	used := sync.OnceValue(d.idsInUse)
	have := d.store.State()
	return store.Assigner{
		MarkMask: d.file.MarkMask, ZoneBase: d.file.ZoneBase,
		Max: d.marks().MaxID(d.file.ZoneBase), Rest: idRest, Now: time.Now(), SeedsByName: d.external(),
		InUse: func(id uint16) bool {
			// Without a state the kernel may know ids of a lost one; with one,
			// those that were never given out are nobody's.
			return (have.Revision == 0 || id <= have.LastID) && used()[id]
		},
	}.Assign(services, have)
}

// idsInUse are the ids that a conntrack entry or a sessions element carries.
func (d *Daemon) idsInUse() map[uint16]bool {
	used := make(map[uint16]bool)
	base := d.file.ZoneBase
	warn := func(err error) {
		if err != nil {
			d.log.Warn("find backend ids in use", "error", err)
		}
	}
	if s := d.snapshot.Load(); s != nil {
		for _, v := range s.Views {
			warn(d.rules.Dump(v, base, func(e balancer.Element) bool { used[e.Backend] = true; return true }))
		}
	}
	ours := d.marks().Ours()
	warn(d.conntrack.Dump(ours, ours, func(e *ctsync.Entry) bool {
		if e.Zone > base {
			used[e.Zone-base] = true
		}
		return true
	}))
	return used
}

// startState is what the daemon begins with: the state on disk, or at the
// first start the file's services.
func (d *Daemon) startState() (store.State, error) {
	have := d.store.State()
	if have.Revision == 0 {
		return d.assign(d.file.Services)
	}
	if diff := Differences(have.Services, d.file.Services); len(diff) > 0 {
		d.log.Warn("the file's services differ from the state's, which count; reload (SIGHUP) takes the file's", "differences", diff)
	}
	for i := range have.Services {
		for _, b := range have.Services[i].Backends {
			if limit := d.marks().MaxID(d.file.ZoneBase); b.ID > limit {
				return have, fmt.Errorf("backend %q of service %q has id %d, mark_mask and zone_base allow ids up to %d", b.Name, have.Services[i].Name, b.ID, limit)
			}
		}
	}
	have.MarkMask, have.ZoneBase = d.file.MarkMask, d.file.ZoneBase
	return have, nil
}

// build makes the snapshot of services. also are further backends by service
// name, all in the given state: those that leave and serve nobody any more, or
// those that arrive and own no slots yet.
// tables gives each service its table of sessions.
func (d *Daemon) build(services []balancer.Service, also map[string][]balancer.Backend, as balancer.State, tables tables) *balancer.Snapshot {
	return d.buildFor(d.outlook, services, also, as, tables)
}

// buildFor is build with another outlook.
func (d *Daemon) buildFor(
	known outlook, services []balancer.Service, also map[string][]balancer.Backend, as balancer.State, tables tables,
) *balancer.Snapshot {
	views := make([]*balancer.View, len(services))
	f := d.rules.Features()
	for i := range services {
		if v := d.compiled(&services[i], known, also); v != nil {
			views[i] = v
			continue
		}
		svc := services[i]
		states := known.states
		if more := also[svc.Name]; len(more) > 0 {
			states = maps.Clone(states)
			for _, b := range more {
				svc.Backends = slices.DeleteFunc(slices.Clone(svc.Backends), func(o balancer.Backend) bool { return o.ID == b.ID })
				svc.Backends = append(svc.Backends, b)
				states[b.ID] = as
			}
		}
		v := known.weighed(balancer.NewView(&svc, f.Capabilities, states, nil))
		v.Bindings = tables(v)
		views[i] = v
	}
	slices.SortFunc(views, func(a, b *balancer.View) int { return strings.Compare(a.Service.Name, b.Service.Name) })
	return balancer.NewSnapshot(d.marks(), d.file.ZoneBase, views)
}

// compiled is the view of a service that is as it was; nil where there is none.
// Whoever finds the same view in two snapshots knows that there is nothing to do
// for its service.
func (d *Daemon) compiled(svc *balancer.Service, known outlook, also map[string][]balancer.Backend) *balancer.View {
	s := d.snapshot.Load()
	if s == nil || len(also[svc.Name]) > 0 {
		return nil
	}
	v := s.View(svc.Name)
	if v == nil || v.Bindings == nil || v.IsWeighed() || !v.Service.Equal(svc) {
		return nil
	}
	for i := range svc.Backends {
		b := &svc.Backends[i]
		want, ok := known.states[b.ID]
		if !ok {
			want = b.Admin.State()
		}
		if v.State(b.ID) != want || known.shares[b.ID] != 0 {
			return nil
		}
	}
	return v
}

// tables is where a view's table of sessions comes from.
type tables func(*balancer.View) balancer.Bindings

// listeners are those of all services.
func listeners(s *balancer.Snapshot) []netip.AddrPort {
	var ls []netip.AddrPort
	for _, v := range s.Views {
		ls = append(ls, v.Service.Listen...)
	}
	return ls
}

// newListeners are those that next's services listen on and old's do not, or
// with another pinning.
func newListeners(old, next *balancer.Snapshot) []netip.AddrPort {
	var ls []netip.AddrPort
	for _, v := range next.Views {
		for _, l := range v.Service.Listen {
			if was := old.Lookup(l); was == nil || was.Pinning != v.Pinning {
				ls = append(ls, l)
			}
		}
	}
	return ls
}

// newTables keeps the tables of services whose key stays, and makes others
// beside those that are in use.
func (d *Daemon) newTables(v *balancer.View) balancer.Bindings {
	return d.sync.Replacement(v.Service, v.Extractor.MaxLen(), nft.KeyFingerprint(&v.Service.Key))
}

// tablesOf are those of a snapshot.
func tablesOf(s *balancer.Snapshot) tables {
	return func(v *balancer.View) balancer.Bindings { return s.View(v.Service.Name).Bindings }
}

// eachTable hands the tables of a snapshot to do.
func eachTable(s *balancer.Snapshot, do func(*ctsync.Table)) {
	for _, v := range s.Views {
		if t, ok := v.Bindings.(*ctsync.Table); ok {
			do(t)
		}
	}
}

func (d *Daemon) compile(s *balancer.Snapshot) *nft.Table {
	return d.compiler.Compile(s)
}

// realise makes the kernel's table that of s; before as for nft.Ruleset.Switch.
func (d *Daemon) realise(s *balancer.Snapshot, before func() error) error {
	t := d.compile(s)
	if err := d.table.Switch(t, before); err != nil {
		return err
	}
	d.compiler.Applied(t)
	return nil
}

// install puts the state that the daemon begins with into the kernel, where
// much of it may stand already.
func (d *Daemon) install(next store.State) error {
	d.change.Lock()
	defer d.change.Unlock()
	s := d.snapshot.Load()
	if err := d.queue.SetCopyRange(s.CopyRange()); err != nil {
		return err
	}
	var pending *store.Pending
	if err := d.require(s, next); err != nil {
		return err
	}
	have := d.store.State()
	if have.Revision == 0 || have.MarkMask != next.MarkMask || have.ZoneBase != next.ZoneBase {
		p, err := d.store.Prepare(next)
		if err != nil {
			return err
		}
		pending = p
		if err := d.purge(have); err != nil {
			pending.Abort()
			return err
		}
	}
	if err := d.realise(s, nil); err != nil {
		if pending != nil {
			pending.Abort()
		}
		return err
	}
	if pending != nil {
		if err := pending.Commit(); err != nil && !errors.Is(err, store.ErrNotDurable) {
			return errors.Join(err, d.rules.Flush())
		}
	}
	d.noteDrains(s)
	d.sync.TakeOver()
	return nil
}

// purge removes what the kernel has of another time: a table without its
// state, or with other zones and marks. What it has learned means other
// backends now, and entries that lack our mark would be queued for ever.
func (d *Daemon) purge(have store.State) error {
	if err := d.rules.Flush(); err != nil {
		return fmt.Errorf("remove the table of another time: %w", err)
	}
	if have.Revision == 0 {
		return nil
	}
	ours := balancer.Marks{Mask: have.MarkMask}.Ours()
	var entries []ctsync.Entry
	if err := d.conntrack.Dump(ours, ours, func(e *ctsync.Entry) bool { entries = append(entries, *e); return true }); err != nil {
		return fmt.Errorf("find the entries of another time: %w", err)
	}
	for _, err := range d.conntrack.Delete(entries) {
		if err != nil && !errors.Is(err, ctsync.ErrNotFound) {
			return fmt.Errorf("delete the entries of another time: %w", err)
		}
	}
	d.log.Info("mark_mask or zone_base has changed: began anew", "entries", len(entries))
	return nil
}

// deleteForeign removes entries to listeners of ours that are older than the
// service: their NAT is settled without us.
func (d *Daemon) deleteForeign(ctx context.Context, ls []netip.AddrPort) {
	if len(ls) == 0 {
		return
	}
	if _, err := d.sync.DeleteForeign(ctx, ls); err != nil {
		d.log.Warn("delete conntrack entries older than their service", "error", err)
	}
}

// Reload reads the file again and takes its services: all, or nothing and an
// error.
func (d *Daemon) Reload(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			d.reloads.failed.Add(1)
		} else {
			d.reloads.done.Add(1)
		}
	}()
	f, err := d.opts.Reload()
	if err != nil {
		return err
	}
	if members := needRestart(d.file, f); len(members) > 0 {
		return fmt.Errorf("these members take effect at the next start only: %v", members)
	}
	_, err = d.Change(ctx, event.Actor{Name: "file"}, func([]balancer.Service) ([]balancer.Service, error) { return f.Services, nil })
	return err
}

// switchTo changes the data plane to services in the order that loses nothing:
// the kernel learns the backends that arrive before Go names them; then Go's
// snapshot and the ring change; then the sessions and entries of backends that
// serve nobody any more go, their translation last. commit is called once the
// kernel has changed; if it fails the old configuration is put back.
func (d *Daemon) switchTo(ctx context.Context, services []balancer.Service, commit func() error) error {
	old := d.snapshot.Load()
	before := d.outlook
	d.outlook = d.lookAt(services)
	leaving, arriving := leavingBackends(old, services), d.arrivingBackends(old, services)
	mid := d.build(services, leaving, balancer.Down, d.newTables)
	if err := d.table.Require(d.compile(mid)); err != nil {
		d.outlook = before
		eachTable(mid, d.sync.Discard)
		return err
	}
	if err := d.enter(old, mid, arriving, commit); err != nil {
		d.outlook = before
		if undo := d.back(ctx, old, mid); undo != nil {
			err = errors.Join(err, undo)
			d.degrade(undone{old, mid}, undo)
		}
		eachTable(mid, d.sync.Discard)
		return err
	}
	eachTable(mid, d.sync.Keep)
	// From here on the change stands; what fails is said and done again by the
	// reconciler or the next change.
	warn := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			d.log.Warn("after a change", "step", what, "error", err)
		}
	}
	warn("write sessions off the ring", d.writeOffRing(old, mid, mid))
	warn("send away what backends hold", d.evict(ctx, old, mid))
	if len(leaving) > 0 {
		warn("remove backends' translation", d.put(d.build(services, nil, balancer.Down, tablesOf(mid))))
	}
	d.noteDrains(d.snapshot.Load())
	d.aimProbes(services, old)
	d.tellStates(old, d.snapshot.Load())
	d.tellKept(before.kept, d.outlook.kept)
	for _, v := range old.Views {
		if mid.View(v.Service.Name) == nil {
			d.sync.DropTable(v.Service.Name)
		}
	}
	d.deleteForeign(ctx, newListeners(old, mid))
	return nil
}

// enter makes mid what the kernel and Go decide by, and has it committed.
func (d *Daemon) enter(old, mid *balancer.Snapshot, arriving map[string][]balancer.Backend, commit func() error) error {
	if len(arriving) > 0 {
		prepared := d.build(servicesOf(old), arriving, balancer.Draining, tablesOf(old))
		if err := d.realise(prepared, nil); err != nil {
			return err
		}
	}
	if err := d.put(mid); err != nil {
		return err
	}
	if err := commit(); err != nil && !errors.Is(err, store.ErrNotDurable) {
		return err
	}
	return nil
}

// put makes s what packets are decided by, in Go first and then in the kernel,
// which learns before who is not where the new ring says. Where the change
// empties the queues Go takes it while they are empty: until then nobody binds
// sessions by a ring that the kernel, which decides alone meanwhile, has not.
func (d *Daemon) put(s *balancer.Snapshot) error {
	was := d.snapshot.Load()
	began := d.now() // before a moment in which no queue decides: what is under way at the look began later
	if err := d.queue.SetCopyRange(max(was.CopyRange(), s.CopyRange())); err != nil {
		return err
	}
	if err := d.writeOffRing(was, was, s); err != nil {
		return err
	}
	if err := d.realise(s, func() error {
		d.snapshot.Store(s)
		return d.writeBoundSince(began, was, s)
	}); err != nil {
		return err
	}
	return d.queue.SetCopyRange(s.CopyRange())
}

// back restores the old configuration after the change to mid failed, in the
// order in which backends leave: those that did not come are let go of before
// their translation ends.
func (d *Daemon) back(ctx context.Context, old, mid *balancer.Snapshot) error {
	services := servicesOf(old)
	gone := leavingBackends(mid, services)
	restored := d.build(services, nil, balancer.Down, tablesOf(old))
	first := restored
	if len(gone) > 0 {
		first = d.build(services, gone, balancer.Down, tablesOf(old))
	}
	// The kernel may go by mid's ring still, and Go has bound sessions by the
	// old one since.
	err := d.writeOffRing(old, mid, mid)
	if err == nil {
		err = d.put(first)
	}
	if err != nil {
		return fmt.Errorf("put the old configuration back: %w", err)
	}
	if len(gone) == 0 {
		return nil
	}
	var list []ctsync.Eviction
	for name, backends := range gone {
		for _, b := range backends {
			list = append(list, ctsync.Eviction{View: mid.View(name), Backend: b.ID, Reason: "change-undone", Sessions: true})
		}
	}
	_, err = d.sync.Evict(ctx, list)
	return errors.Join(err, d.put(restored))
}

// servicesOf are the services that a snapshot was made of.
func servicesOf(s *balancer.Snapshot) []balancer.Service {
	services := make([]balancer.Service, len(s.Views))
	for i, v := range s.Views {
		services[i] = *v.Service
	}
	return services
}

// arrivingBackends are those that services may send packets to and old may
// not, of services that stay: new ones, and those that come up. The kernel must
// know their zones before Go's verdicts name them.
func (d *Daemon) arrivingBackends(old *balancer.Snapshot, services []balancer.Service) map[string][]balancer.Backend {
	out := make(map[string][]balancer.Backend)
	for i := range services {
		svc := &services[i]
		v := old.View(svc.Name)
		if v == nil {
			continue
		}
		for _, b := range svc.Backends {
			st, ok := d.outlook.states[b.ID]
			if !ok {
				st = b.Admin.State()
			}
			if st != balancer.Down && v.State(b.ID) == balancer.Down {
				out[svc.Name] = append(out[svc.Name], b)
			}
		}
	}
	return out
}

// leavingBackends are those of old whose id is not in services any more, of
// services that stay.
func leavingBackends(old *balancer.Snapshot, services []balancer.Service) map[string][]balancer.Backend {
	out := make(map[string][]balancer.Backend)
	for i := range services {
		svc := &services[i]
		v := old.View(svc.Name)
		if v == nil {
			continue
		}
		for _, b := range v.Service.Backends {
			if !slices.ContainsFunc(svc.Backends, func(n balancer.Backend) bool { return n.ID == b.ID }) {
				out[svc.Name] = append(out[svc.Name], b)
			}
		}
	}
	return out
}
