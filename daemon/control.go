package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/check"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/nfq"
	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/store"
)

// What the API manages the daemon by. All of it is safe for concurrent use.

var (
	// ErrNotApplied says that the kernel or the disk refused a change, and that
	// nothing has changed.
	ErrNotApplied = errors.New("the change could not be made")
	// ErrDegraded says that a change failed and could not be taken back, so that
	// the kernel has something else than the configuration. Changes are refused
	// until that is repaired.
	ErrDegraded = errors.New("the kernel's table is not as configured")
)

// Health is how the daemon is.
type Health struct {
	Ready    bool     // packets are balanced
	Degraded bool     // but not as configured
	Reasons  []string // why either is not as it should be
}

// Health says whether packets are balanced as configured.
func (d *Daemon) Health() Health {
	h := Health{Ready: d.ready.Load()}
	if !h.Ready {
		h.Reasons = append(h.Reasons, "starting: the configuration is not in the kernel yet")
		if lacks := d.lacks.Load(); lacks != nil {
			h.Reasons = append(h.Reasons, *lacks)
		}
	}
	if why := d.degraded.Load(); why != nil {
		h.Degraded = true
		h.Reasons = append(h.Reasons, *why)
	}
	if why := d.broken.Load(); why != nil && !h.Degraded {
		h.Degraded = true
		h.Reasons = append(h.Reasons, "others have changed the kernel's table: "+*why)
	}
	if h.Ready && !d.queue.Serving() {
		h.Degraded = true
		h.Reasons = append(h.Reasons, "a queue's reader hangs, the keeper has answered for it")
	}
	return h
}

// State is what was committed last.
func (d *Daemon) State() store.State { return d.store.State() }

// Snapshot is what packets are decided by; nil before Run has read the state.
func (d *Daemon) Snapshot() *balancer.Snapshot { return d.snapshot.Load() }

// Now is the daemon's monotonic clock, in nanoseconds.
func (d *Daemon) Now() int64 { return d.now() }

// Started is when the daemon started.
func (d *Daemon) Started() time.Time { return d.started }

// File is the settings in effect. Its services are those of the file at the
// start.
func (d *Daemon) File() *config.File { return d.file }

// Events are those that came last.
func (d *Daemon) Events() *event.Log { return d.kept }

// Tell takes an event of the API's into the log and among the events.
func (d *Daemon) Tell(e event.Event) { d.events.add(e) }

// SyncStats is what the session tables have come to.
func (d *Daemon) SyncStats() ctsync.Stats { return d.sync.Stats() }

// QueueStats is what the queues have done.
func (d *Daemon) QueueStats() []nfq.Stats { return d.queue.Stats() }

// CopiesStats is what was read of what the kernel decides by itself.
func (d *Daemon) CopiesStats() nfq.CopiesStats {
	if d.copies == nil {
		return nfq.CopiesStats{}
	}
	return d.copies.Stats()
}

// Reloads is how often the file was read again and taken, and how often it was
// not.
func (d *Daemon) Reloads() (done, failed uint64) {
	return d.reloads.done.Load(), d.reloads.failed.Load()
}

// ConntrackSize is how full the namespace's conntrack table is; ok is false
// where the kernel does not tell.
func (d *Daemon) ConntrackSize() (entries, most int, ok bool) { return d.conntrack.Size() }

// ConntrackDropped is how many packets conntrack has dropped in the namespace,
// most of them for want of room; ok is false where the kernel does not tell.
func (d *Daemon) ConntrackDropped() (packets uint64, ok bool) { return d.conntrack.Dropped() }

// Counters are the kernel's, read now.
func (d *Daemon) Counters() (nft.Counters, error) {
	s := d.snapshot.Load()
	if s == nil {
		return nft.Counters{}, nil
	}
	return d.rules.Counters(s)
}

// Ruleset is the table as the kernel has it, in nft's syntax: with the rings,
// without the sessions that the kernel has learned, and without what only those
// may see who may write where redact is set.
func (d *Daemon) Ruleset(redact bool) (string, error) {
	var text strings.Builder
	err := d.rules.Text(&text, nft.TextOptions{Slots: true, Redact: redact})
	return text.String(), err
}

// Checks looks at the host as "roamlb check" does.
func (d *Daemon) Checks(ctx context.Context) []check.Result {
	if d.opts.Checks == nil {
		return nil
	}
	f := *d.file
	f.Services = d.store.State().Services
	return d.opts.Checks(ctx, &f)
}

// Change makes what edit returns the configuration: on disk and in the kernel,
// or neither. edit gets a copy of the list of services as they are, and must
// not change what they refer to; no other change comes between. Its error is returned as it is. Services come
// back with their ids and seeds. Other errors are ErrDegraded, ErrNotApplied,
// a *store.ExhaustedError, or a *nft.RulesError where the rules are the
// operator's and the change needs others.
func (d *Daemon) Change(
	ctx context.Context, by event.Actor, edit func(have []balancer.Service) ([]balancer.Service, error),
) (store.State, error) {
	d.change.Lock()
	defer d.change.Unlock()
	have := d.store.State()
	if err := d.changeable(); err != nil {
		return have, err
	}
	want, err := edit(slices.Clone(have.Services))
	if err != nil {
		return have, err
	}
	diff := Differences(have.Services, want)
	if len(diff) > 0 {
		// Half a change is none: whoever asked may be gone by the time it is made.
		if err := d.apply(context.WithoutCancel(ctx), want); err != nil {
			return have, err
		}
	}
	d.events.add(event.Event{Kind: event.Audit, Actor: by, Reason: "configuration", Service: onlyService(diff), Detail: describe(diff)})
	d.events.add(event.Event{Kind: event.ConfigChanged, Reason: by.Name, Service: onlyService(diff), Count: len(want), Detail: describe(diff)})
	return d.store.State(), nil
}

// changeable reports as an error that the services cannot be changed now.
// d.change is locked.
func (d *Daemon) changeable() error {
	if why := d.degraded.Load(); why != nil {
		return fmt.Errorf("%w: %s", ErrDegraded, *why)
	}
	return d.serving()
}

// serving reports as an error that the state is not to be written: it is not
// in the kernel yet, or the daemon ends. d.change is locked.
func (d *Daemon) serving() error {
	switch {
	case d.closed:
		return fmt.Errorf("%w: the daemon is stopping", ErrDegraded)
	case !d.ready.Load():
		return fmt.Errorf("%w: the daemon is starting", ErrDegraded)
	default:
		return nil
	}
}

// apply makes services the configuration. d.change is locked.
func (d *Daemon) apply(ctx context.Context, services []balancer.Service) error {
	next, err := d.assign(services)
	if _, ok := errors.AsType[*store.ExhaustedError](err); ok {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	pending, err := d.store.Prepare(next)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	defer pending.Abort()
	err = d.switchTo(ctx, next.Services, pending.Commit)
	if _, ok := errors.AsType[*nft.RulesError](err); ok {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	return nil
}

// describe is differences in a line that a log bears.
func describe(diff []string) string {
	const most = 20
	if len(diff) == 0 {
		return "nothing differs"
	}
	if more := len(diff) - most; more > 0 {
		return strings.Join(diff[:most], "; ") + fmt.Sprintf("; and %d more", more)
	}
	return strings.Join(diff, "; ")
}

// onlyService is the service that differences are about, if it is one.
func onlyService(diff []string) string {
	name := ""
	for _, line := range diff {
		of, _, _ := strings.Cut(strings.TrimPrefix(line, "service "), " ")
		of = strings.TrimSuffix(of, ":")
		if name != "" && name != of {
			return ""
		}
		name = of
	}
	return name
}

// ChangeTokens makes what edit returns the tokens, on disk or not at all. It
// works while the daemon is degraded too: a token that was stolen must go.
func (d *Daemon) ChangeTokens(_ context.Context, by event.Actor, edit func(have []store.Token) ([]store.Token, error)) error {
	d.change.Lock()
	defer d.change.Unlock()
	if err := d.serving(); err != nil {
		return err
	}
	next := d.store.State()
	have := next.Tokens
	want, err := edit(slices.Clone(have))
	if err != nil {
		return err
	}
	next.Tokens = want
	pending, err := d.store.Prepare(next)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	if err := pending.Commit(); err != nil && !errors.Is(err, store.ErrNotDurable) {
		return fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	d.events.add(event.Event{Kind: event.Audit, Actor: by, Reason: "tokens", Detail: tokenChanges(have, want)})
	return nil
}

// tokenChanges says in words which tokens came and went.
func tokenChanges(have, want []store.Token) string {
	var out []string
	missing := func(in []store.Token, t store.Token) bool {
		return !slices.ContainsFunc(in, func(o store.Token) bool { return o.Name == t.Name })
	}
	for _, t := range want {
		if missing(have, t) {
			out = append(out, fmt.Sprintf("token %s (%s) is new", t.Name, t.Scope))
		}
	}
	for _, t := range have {
		if missing(want, t) {
			out = append(out, "token "+t.Name+" is gone")
		}
	}
	return describe(out)
}

// firstToken makes a token where there is none and nobody could use the API
// over TCP.
func (d *Daemon) firstToken(ctx context.Context) error {
	if !d.file.API.Listen.IsValid() || d.file.API.Auth != config.AuthToken || len(d.store.State().Tokens) > 0 || d.opts.FirstToken == nil {
		return nil
	}
	t, secret := store.NewToken("admin", store.ScopeWrite, time.Now())
	err := d.ChangeTokens(ctx, event.Actor{Name: "daemon"}, func([]store.Token) ([]store.Token, error) { return []store.Token{t}, nil })
	if err != nil {
		return fmt.Errorf("make the first token: %w", err)
	}
	d.opts.FirstToken(secret)
	return nil
}

// Plan is what packets would be decided by, were services the configuration:
// their views have today's tables of sessions where the key stays. Nothing
// changes. Backends that are new have no ids of their own yet.
func (d *Daemon) Plan(services []balancer.Service) (*balancer.Snapshot, error) {
	planned, err := d.assignLoosely(services)
	if err != nil {
		return nil, err
	}
	d.change.Lock()
	now := d.snapshot.Load()
	known := look(planned, d.drained, d.probes.Standings(), func(*balancer.Service, uint16) bool { return true }) // new ones will answer
	d.change.Unlock()
	return d.buildFor(known, planned, nil, balancer.Down, func(v *balancer.View) balancer.Bindings {
		was := now.View(v.Service.Name)
		if was == nil || nft.KeyFingerprint(&was.Service.Key) != nft.KeyFingerprint(&v.Service.Key) {
			return nil
		}
		return was.Bindings
	}), nil
}

// assignLoosely gives ids and seeds without a look at what the kernel carries.
func (d *Daemon) assignLoosely(services []balancer.Service) ([]balancer.Service, error) {
	st, err := store.Assigner{
		MarkMask: d.file.MarkMask, ZoneBase: d.file.ZoneBase, Max: d.marks().MaxID(d.file.ZoneBase), Now: time.Now(),
	}.Assign(services, d.store.State())
	if err != nil {
		return nil, err
	}
	return st.Services, nil
}

// tellStates tells of backends that an operator has put into another state.
// Probes, and drains that are over, have told of theirs.
func (d *Daemon) tellStates(before, now *balancer.Snapshot) {
	for _, v := range now.Views {
		was := before.View(v.Service.Name)
		if was == nil || was == v {
			continue
		}
		for i := range v.Service.Backends {
			b := &v.Service.Backends[i]
			if old := was.Backend(b.ID); old == nil || old.Admin == b.Admin {
				continue
			}
			d.events.add(event.Event{
				Kind: event.BackendState, Service: v.Service.Name, Backend: b.Name, State: v.State(b.ID).String(),
				Reason: "admin " + string(b.Admin), Detail: "is " + v.State(b.ID).String(),
			})
		}
	}
}
