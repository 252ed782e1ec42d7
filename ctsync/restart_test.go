package ctsync

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

func (w *world) save() []byte {
	w.t.Helper()
	var b bytes.Buffer
	if err := w.s.Save(&b); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

// restart is a daemon that was away for a while and starts again, with a
// snapshot or, if nil, without.
func (w *world) restart(away time.Duration, snapshot []byte) {
	w.t.Helper()
	w.ct.onEvent = func([]Event) {}
	w.clock += int64(away)
	w.start()
	if snapshot != nil {
		if err := w.s.Load(bytes.NewReader(snapshot)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.dump()
}

func (w *world) all() map[string]Session {
	m := make(map[string]Session)
	w.table().Each(0, func(s Session) bool {
		m[string(s.Key)] = s
		return true
	})
	return m
}

func TestSnapshotGivesBackWhoWasWhere(t *testing.T) {
	w := newWorld(t, nil)
	crowd(w, 200)
	w.first(key(1000), client6)
	if _, err := w.table().Place(context.Background(), w.view(), w.clock, key(1001), 2); err != nil {
		t.Fatal(err)
	}
	w.pass(3 * time.Second)
	want := w.all()
	snapshot := w.save()
	saved := w.clock
	w.restart(5*time.Second, snapshot)
	opts := cmp.Options{cmpopts.IgnoreFields(Session{}, "Seen", "First"), cmpopts.EquateComparable(clientA)}
	if diff := cmp.Diff(want, w.all(), opts); diff != "" {
		t.Errorf("sessions after the restart (-want +got):\n%s", diff)
	}
	for k, s := range w.all() { // ages, to the millisecond
		if got, was := w.clock-s.Seen, saved-want[k].Seen; got-was > int64(time.Millisecond) || was-got > int64(time.Millisecond) {
			t.Fatalf("session %x was seen %v ago, %v before", k, time.Duration(got), time.Duration(was))
		}
		if got, was := w.clock-s.First, saved-want[k].First; got-was > int64(time.Second) || was-got > int64(time.Second) {
			t.Fatalf("session %x was first seen %v ago, %v before", k, time.Duration(got), time.Duration(was))
		}
	}
	if got, want := w.s.Stats().Services["vpn"].Unanswered, 2; got != want {
		t.Errorf("%d sessions are unanswered, want %d", got, want)
	}
	w.check()

	// A roam goes on as if nothing had been.
	b, _ := w.table().Find(key(7), w.view(), false)
	w.exchange(key(7), clientB)
	if e := w.tells(event.StaleDeleted); len(e) != 1 || e[0].OldClient != client(7) || e[0].Reason != "replied" || b.Backend == 0 {
		t.Errorf("told %+v", e)
	}
}

func TestSnapshotKeepsTheOrderOfEviction(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) { s.MaxSessions = 40 })
	crowd(w, 40)
	w.pass(time.Second)
	for i := range 10 { // the oldest speak again
		w.first(key(i), client(i))
		w.pass(time.Second)
	}
	w.restart(0, w.save())
	for i := range 20 {
		w.reply(client(100+i), w.first(key(100+i), client(100+i)))
	}
	for i := range 10 {
		if _, ok := w.table().Find(key(i), w.view(), false); !ok {
			t.Errorf("session %d was seen last, and is lost", i)
		}
	}
}

func TestEntriesThatEndedWhileAwayAreBuried(t *testing.T) {
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	snapshot := w.save()
	delete(w.ct.entries, w.tuple(clientA, b))
	w.restart(time.Minute, snapshot)
	if s, ok := w.table().Session(key(1)); !ok || s.Live || s.Client != clientA {
		t.Errorf("session %+v, %v, want it on A with a dead entry", s, ok)
	}
	w.exchange(key(1), clientB)
	w.wantOn(key(1), clientB)
	w.wantDeletions()
}

func TestRoamWhileAwayIsFound(t *testing.T) {
	// The session moved while the daemon was away; the kernel translated it.
	w := newWorld(t, nil)
	b := w.first(key(1), clientA)
	w.reply(clientA, b)
	w.stream(clientA, b)
	w.learn(balancer.Element{Key: key(1), Backend: b, Timeout: 9 * time.Minute})
	w.pass(3 * time.Second)
	snapshot := w.save()
	w.ct.onEvent = func([]Event) {}
	w.packet(clientB, b)
	w.reply(clientB, b)
	w.stream(clientB, b)
	w.restart(20*time.Second, snapshot)
	w.clock += int64(time.Millisecond)
	if _, err := w.s.takeOverView(context.Background(), w.view(), zoneBase); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.elements.get(w.view(), key(1), false); ok {
		t.Fatal("the session's element is left: its client does not show")
	}
	w.first(key(1), clientB)
	w.wantClients("at sight", clientA, clientB)
	for range 6 {
		w.pass(2 * time.Second)
		w.packet(clientB, b)
	}
	w.wantClients("A was silent since", clientB)
	w.wantOn(key(1), clientB)
	w.wantDeletions("reconciled")
}

func TestTakeoverOfTheKernelsBindings(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, nil)
	put := func(n int, backend uint16, timeout time.Duration) {
		w.learn(balancer.Element{Key: key(n), Backend: backend, Timeout: timeout})
	}
	// Go knows 1 (shown and live), 2 (answered, elsewhere), 3 (by the ring
	// alone); the kernel knows them too, and 4, 5 and 6.
	b1 := w.first(key(1), clientA)
	w.reply(clientA, b1)
	put(1, b1, 9*time.Minute)
	b2 := w.first(key(2), clientB)
	w.reply(clientB, b2)
	put(2, b2%3+1, 9*time.Minute)
	b3 := w.decide(key(3), clientC).Backend
	put(3, b3%3+1, 9*time.Minute)
	put(4, 2, 9*time.Minute)
	put(5, 3, 20*time.Second)
	put(6, 9, 9*time.Minute) // of a backend that is gone
	if _, err := w.s.takeOverView(ctx, w.view(), zoneBase); err != nil {
		t.Fatal(err)
	}
	var wantHidden []int
	for _, tt := range []struct {
		n         int
		backend   uint16
		confirmed bool
		kept      bool // its element
	}{
		{1, b1, true, true},
		{2, b2, true, false},
		{3, b3%3 + 1, false, false},
		{4, 2, true, false},
		{5, 3, false, false},
		{6, 0, false, false},
	} {
		got, _ := w.table().Find(key(tt.n), w.view(), false)
		if got.Backend != tt.backend || got.Confirmed != tt.confirmed {
			t.Errorf("session %d: backend %d, confirmed %v, want %d, %v", tt.n, got.Backend, got.Confirmed, tt.backend, tt.confirmed)
		}
		if _, ok := w.elements.get(w.view(), key(tt.n), false); ok != tt.kept {
			t.Errorf("session %d: element kept %v, want %v", tt.n, ok, tt.kept)
		}
		if v := w.view(); !tt.kept && tt.backend != 0 && v.Ring(false).At(v.Hash(key(tt.n))) != tt.backend {
			wantHidden = append(wantHidden, tt.n)
		}
	}
	if len(wantHidden) == 0 {
		t.Error("nobody is off the ring: the test shows nothing")
	}
	// Those whose client has not shown itself are not written back.
	for _, e := range offRing(w.view(), shownOnes) {
		if bytes.Equal(e.Key, key(4)) || bytes.Equal(e.Key, key(5)) {
			t.Errorf("session %x would be hidden again", e.Key)
		}
	}
	// Unless the kernel is about to decide alone.
	var hidden []int
	for _, e := range w.s.HiddenOffRing(w.view()) {
		hidden = append(hidden, int(binary.BigEndian.Uint64(e.Key)))
	}
	slices.Sort(hidden)
	if diff := cmp.Diff(wantHidden, hidden); diff != "" {
		t.Errorf("hidden off the ring (-want +got):\n%s", diff)
	}
	w.elements.fail = errors.New("no memory")
	if _, err := w.s.takeOverView(ctx, w.view(), zoneBase); !errors.Is(err, w.elements.fail) {
		t.Errorf("error %v, want that of the elements", err)
	}
}

func TestTakeoverStaysWithinMaxSessions(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) { s.MaxSessions = 100 })
	crowd(w, 60)
	for i := range 500 {
		w.learn(balancer.Element{Key: key(1000 + i), Backend: 1, Timeout: time.Duration(i%2*500) * time.Second})
	}
	if _, err := w.s.takeOverView(context.Background(), w.view(), zoneBase); err != nil {
		t.Fatal(err)
	}
	if n := w.table().Len(); n > 100 {
		t.Errorf("%d sessions, max_sessions is 100", n)
	}
	for i := range 60 {
		if _, ok := w.table().Find(key(i), w.view(), false); !ok {
			t.Fatal("a known session had to go for one of the kernel's")
		}
	}
}

func TestDamagedSnapshotIsRefusedWhole(t *testing.T) {
	w := newWorld(t, nil)
	crowd(w, 50)
	good := w.save()
	for name, bad := range map[string][]byte{
		"empty":      {},
		"cut":        good[:len(good)-5],
		"one bit":    append(append(bytes.Clone(good[:100]), good[100]^1), good[101:]...),
		"more":       append(bytes.Clone(good), 0),
		"other file": sealed([]byte("something else\n\x00")),
		"no end":     sealed([]byte(snapshotHeader)),
		"nonsense":   sealed([]byte(snapshotHeader + "\x07\x00")),
		"half way":   sealed(good[:len(good)-20]),
		"no table":   sealed([]byte(snapshotHeader + "\x02\x01a\x00\x00\x00\x00\x00")),
	} {
		w.start()
		if err := w.s.Load(bytes.NewReader(bad)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v, want ErrDamaged", name, err)
		}
		if n := w.table().Len(); n != 0 {
			t.Errorf("%s: %d sessions were taken", name, n)
		}
	}
	broken := errors.New("input/output error")
	if err := w.s.Load(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the reader", err)
	}
	if err := w.s.Save(failingWriter{broken}); !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the writer", err)
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

func sealed(body []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, castagnoli))
}

func TestSnapshotOfAnotherLayoutIsLeftOut(t *testing.T) {
	w := newWorld(t, nil)
	crowd(w, 10)
	good := w.save()
	s := New(w.s.opts)
	table := s.Table(w.service, 8, "v2")
	if err := s.Load(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	if n := table.Len(); n != 0 {
		t.Errorf("%d sessions whose keys are laid out otherwise", n)
	}
	// Loaded before anybody asks for a table, and asked for with the same layout.
	s = New(w.s.opts)
	if err := s.Load(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	if n := s.Table(w.service, 8, "v1").Len(); n != 10 {
		t.Errorf("%d sessions, want 10", n)
	}
	if n := s.Table(w.service, 8, "v2").Len(); n != 0 {
		t.Errorf("%d sessions whose keys are laid out otherwise", n)
	}
	kept := s.Table(w.service, 4, "v2")
	if again := s.Table(w.service, 4, "v2"); again != kept {
		t.Error("a table is not kept")
	}
}

func TestTablesOfServicesThatAreGoneAreDropped(t *testing.T) {
	w := newWorld(t, nil)
	w.s.Table(&balancer.Service{Name: "old"}, 4, "x").Bind(w.clock, []byte("abcd"), w.view(), false, 1)
	snapshot := w.save()
	w.start()
	if err := w.s.Load(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * time.Second)
	if st := w.s.Stats().Services["old"]; st.Sessions != 1 {
		t.Fatal("not loaded, or dropped before it can be known that nobody wants it")
	}
	w.dump()
	w.pass(2 * time.Second)
	if _, ok := w.s.Stats().Services["old"]; ok {
		t.Error("the sessions of a service that is gone are kept for ever")
	}
	if _, ok := w.s.Stats().Services["vpn"]; !ok {
		t.Error("the sessions of a service that is there are dropped")
	}
}

func FuzzLoad(f *testing.F) {
	w := newWorld(f, nil)
	crowd(w, 3)
	w.first(key(9), client6)
	good := w.save()
	f.Add(good[len(snapshotHeader) : len(good)-crc32.Size])
	f.Add([]byte{snapshotEnd})
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld(t, nil)
		data := sealed(append([]byte(snapshotHeader), body...))
		if err := w.s.Load(bytes.NewReader(data)); err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			if len(w.all()) != 0 {
				t.Fatal("something of a damaged snapshot was taken")
			}
			return
		}
		w.check()
		w.dump()
		w.pass(2 * time.Second)
		w.check()
		if err := w.s.Save(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
}
