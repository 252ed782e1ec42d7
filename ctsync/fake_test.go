package ctsync

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// fakeConntrack is conntrack without a kernel: entries with ids, marks and
// timeouts on the test's clock.
type fakeConntrack struct {
	now func() int64

	mu       sync.Mutex // guards everything below
	entries  map[Tuple]*fakeEntry
	nextID   uint32
	dumps    int // calls of Dump
	deleted  []Entry
	counted  bool
	fail     error         // of the next calls
	onEvent  func([]Event) // who listens
	onLost   func()
	onDelete func(*fakeEntry) // before an entry is deleted
	between  func()           // called once, between a Get and what follows
}

type fakeEntry struct {
	Entry
	refreshed int64 // by a packet of either direction
	spoke     int64 // last packet of the client
}

const (
	fakeUnreplied = 30 * time.Second
	fakeReplied   = 120 * time.Second
)

func (e *fakeEntry) lifetime() time.Duration {
	if e.Status&Assured != 0 {
		return fakeReplied
	}
	return fakeUnreplied
}

func (f *fakeConntrack) show(e *fakeEntry) Entry {
	s := e.Entry
	left := int64(e.lifetime()) - (f.now() - e.refreshed)
	s.Timeout = time.Duration(left / int64(time.Second) * int64(time.Second))
	s.Counted = f.counted
	return s
}

func (f *fakeConntrack) Get(tuples []Tuple) ([]Entry, []error) {
	f.mu.Lock()
	entries, errs := make([]Entry, len(tuples)), make([]error, len(tuples))
	for i, t := range tuples {
		if e := f.entries[t]; f.fail != nil {
			errs[i] = f.fail
		} else if e == nil {
			errs[i] = ErrNotFound
		} else {
			entries[i] = f.show(e)
		}
	}
	between := f.between
	f.between = nil
	f.mu.Unlock()
	if between != nil {
		between()
	}
	return entries, errs
}

func (f *fakeConntrack) Delete(entries []Entry) []error {
	f.mu.Lock()
	errs := make([]error, len(entries))
	var events []Event
	for i := range entries {
		e := f.entries[entries[i].Tuple]
		switch {
		case f.fail != nil:
			errs[i] = f.fail
		case e == nil || e.ID != entries[i].ID:
			errs[i] = ErrNotFound
		default:
			if f.onDelete != nil {
				f.onDelete(e)
			}
			delete(f.entries, e.Tuple)
			f.deleted = append(f.deleted, e.Entry)
			events = append(events, Event{Entry: e.Entry, Destroyed: true})
		}
	}
	listen := f.onEvent
	f.mu.Unlock()
	if listen != nil && len(events) > 0 {
		listen(events)
	}
	return errs
}

func (f *fakeConntrack) Dump(value, mask uint32, fn func(*Entry) bool) error {
	f.mu.Lock()
	f.dumps++
	var list []Entry
	for _, e := range f.entries {
		if e.Mark&mask == value {
			list = append(list, f.show(e))
		}
	}
	err := f.fail
	f.mu.Unlock()
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
	for i := range list {
		if !fn(&list[i]) {
			break
		}
	}
	return nil
}

func (f *fakeConntrack) Events(ctx context.Context, mask uint32, ready func(), fn func([]Event), lost func()) error {
	f.mu.Lock()
	f.onEvent, f.onLost = fn, lost
	f.mu.Unlock()
	ready()
	<-ctx.Done()
	f.mu.Lock()
	f.onEvent, f.onLost = nil, nil
	f.mu.Unlock()
	return ctx.Err()
}

func (f *fakeConntrack) Timeouts() (time.Duration, time.Duration) { return fakeUnreplied, fakeReplied }

// fakeElements is the sessions maps without a kernel.
type fakeElements struct {
	mu    sync.Mutex // guards everything below
	maps  map[string]balancer.Element
	dumps int // calls of Dump
	fail  error
}

func elementName(v *balancer.View, e balancer.Element) string {
	fam := "4"
	if e.V6 {
		fam = "6"
	}
	return v.Service.Name + fam + string(e.Key)
}

func (f *fakeElements) Put(v *balancer.View, _ uint16, es []balancer.Element) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range es {
		e.Key = slices.Clone(e.Key)
		f.maps[elementName(v, e)] = e
	}
	return f.fail
}

func (f *fakeElements) Delete(v *balancer.View, es []balancer.Element) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range es {
		delete(f.maps, elementName(v, e))
	}
	return f.fail
}

func (f *fakeElements) DeleteBound(v *balancer.View, _ uint16, es []balancer.Element) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range es {
		if name := elementName(v, e); f.maps[name].Backend == e.Backend {
			delete(f.maps, name)
		}
	}
	return f.fail
}

func (f *fakeElements) Dump(v *balancer.View, _ uint16, fn func(balancer.Element) bool) error {
	f.mu.Lock()
	f.dumps++
	var list []balancer.Element
	for name, e := range f.maps {
		if name == elementName(v, e) {
			list = append(list, e)
		}
	}
	err := f.fail
	f.mu.Unlock()
	for _, e := range list {
		if !fn(e) {
			break
		}
	}
	return err
}

func (f *fakeElements) get(v *balancer.View, key []byte, v6 bool) (balancer.Element, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.maps[elementName(v, balancer.Element{Key: key, V6: v6})]
	return e, ok
}
