package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
)

var update = flag.Bool("update", false, "write the golden files")

var comparer = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// A file that an earlier build of this format version wrote must be read, or
// an upgrade loses every backend's id and every service's seed.
func TestFormatStaysReadable(t *testing.T) {
	golden := filepath.Join("testdata", "state.json")
	data, err := encode(fullState())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := decode(mustRead(t, golden))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullState(), got, comparer); diff != "" {
		t.Errorf("the golden file reads otherwise (-want +got):\n%s", diff)
	}
	if want := mustRead(t, golden); !bytes.Equal(want, data) {
		t.Errorf("the format has changed: raise Version, or say why old files still read, and run with -update\nwas %s\nis  %s", want, data)
	}
}

// The first files of this format have neither probes nor drains.
func TestFirstFormatIsRead(t *testing.T) {
	got, err := decode(mustRead(t, filepath.Join("testdata", "state-first.json")))
	if err != nil {
		t.Fatal(err)
	}
	want := fullState()
	want.Services[0].Health, want.Draining = nil, nil
	if diff := cmp.Diff(want, got, comparer); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Who goes back a version must be told that this is what is wrong, and not be
// sent to look for a damage: both of a format of another number, and of one that
// has only more in it.
func TestNewerFilesAreRefused(t *testing.T) {
	data, err := encode(fullState())
	if err != nil {
		t.Fatal(err)
	}
	for name, newer := range map[string][]byte{
		"version": bytes.Replace(data, []byte(`"version":1`), []byte(`"version":2`), 1),
		"member":  seal([]byte(`{"Revision":7,"Tenants":[]}`)),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			if err := os.WriteFile(path, newer, 0o600); err != nil {
				t.Fatal(err)
			}
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(path)
			var refused *NewerError
			if err == nil {
				s.Close()
			}
			if !errors.As(err, &refused) || refused.Path != path || !strings.Contains(err.Error(), path) {
				t.Errorf("opened with %v, want a *NewerError that names the file", err)
			}
			after, err := os.Stat(path)
			if err != nil || !after.ModTime().Equal(before.ModTime()) || !bytes.Equal(mustRead(t, path), newer) {
				t.Errorf("the file was touched: %v", err)
			}
		})
	}
}

// The state that the other tests write leaves no member at its zero value:
// one that is added later is forgotten by nobody.
func TestFormatTestCoversEveryMember(t *testing.T) {
	v := reflect.ValueOf(fullService())
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("fullService leaves %s empty", v.Type().Field(i).Name)
		}
	}
}

// A damaged file read as a state would move sessions to other backends, and
// overwriting it would take the operator's last copy.
func TestOpenRefusesEveryDamage(t *testing.T) {
	data, err := encode(fullState())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state.json")
	refused := func(what string, at int, damaged []byte) {
		t.Helper()
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err == nil {
			s.Close()
			t.Fatalf("%s %d: opened", what, at)
		}
		var d *DamagedError
		var n *NewerError
		if !errors.As(err, &d) && !errors.As(err, &n) {
			t.Fatalf("%s %d: error %T: %v", what, at, err, err)
		}
		if !strings.Contains(err.Error(), path) {
			t.Fatalf("%s %d: the error does not name the file: %v", what, at, err)
		}
		if !bytes.Equal(mustRead(t, path), damaged) {
			t.Fatalf("%s %d: the file was changed", what, at)
		}
	}
	for i := range data {
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << (i % 8)
		refused("flipped byte", i, damaged)
		refused("cut at byte", i, data[:i])
	}
	for i, tail := range []string{"x", "\n", " ", "\x00\x00\x00", string(data)} {
		refused("garbage after the end", i, append(bytes.Clone(data), tail...))
	}
	assertFiles(t, path, "state.json", "state.json.lock")
}

// As above, without the files: every bit, among them those that only turn a
// letter into its capital.
func TestDecodeRefusesEveryFlippedBit(t *testing.T) {
	data, err := encode(fullState())
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		for bit := range 8 {
			damaged := bytes.Clone(data)
			damaged[i] ^= 1 << bit
			if _, err := decode(damaged); err == nil {
				t.Fatalf("byte %d, bit %d flipped: read", i, bit)
			}
		}
	}
}

func TestDecodeSaysWhatIsWrong(t *testing.T) {
	data, err := encode(fullState())
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, with string) []byte {
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("%q is not in the file", old)
		}
		return bytes.Replace(data, []byte(old), []byte(with), 1)
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "damaged at byte 0: it is empty"},
		{"cut", data[:40], "damaged at byte 40: it ends before the state does"},
		{"not JSON", []byte("services:\n"), "damaged at byte 0: invalid character 's'"},
		{"other JSON", []byte(`{"services":[]}`), `its format is ""`},
		{"content changed", replace(`"vpn"`, `"vpm"`), "its checksum is not that of its content"},
		{"space in the head", replace(`"format":"`, `"format": "`), "damaged at byte 10: this is not as it was written"},
		{"newer", replace(`"version":1`, `"version":2`), "format version 2, this roamlb reads up to 1"},
		{"unknown member", seal([]byte(`{"Revision":1,"Tenants":[]}`)), `was written by a newer roamlb: it has a member "Tenants"`},
		{"unknown member of a service", seal([]byte(`{"Services":[{"Name":"a","Seed":1,"Colour":"red"}]}`)), `a member "Colour", which this one does not know`},
		{"id twice", seal([]byte(`{"Revision":1,"LastID":1,"Freed":[{"ID":1},{"ID":1}]}`)), "id 1 is that of the freed ids and of the freed ids"},
		{"id lost", seal([]byte(`{"Revision":1,"LastID":2,"Freed":[{"ID":1}]}`)), "1 of the 2 ids given out are neither"},
		{"id 0", seal([]byte(`{"Services":[{"Name":"a","Seed":1,"Backends":[{"Name":"b"}]}]}`)), "id 0 of backend"},
		{"no seed", seal([]byte(`{"Services":[{"Name":"a"}]}`)), `service "a" has no seed`},
		{"name twice", seal([]byte(`{"Services":[{"Name":"a","Seed":1},{"Name":"a","Seed":1}]}`)), `two services are named "a"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decode(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
}

// Whatever stands in the file, reading it neither panics nor yields a state
// that cannot be written and read again.
func FuzzDecode(f *testing.F) {
	data, err := encode(fullState())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-2])
	f.Add(seal([]byte(`{}`)))
	f.Add(seal([]byte(`null`)))
	f.Add(seal([]byte(`{"Services":[{"Name":"a","Seed":1,"Listen":["192.0.2.1:1"],"Allow":[""]}]}`)))
	f.Add([]byte(`{"format":"roamlb-state","version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The checksum would stop nearly all that the fuzzer finds: let it
		// work on the state inside, too.
		for _, content := range [][]byte{data, seal(data)} {
			s, err := decode(content)
			if err != nil {
				continue
			}
			again, err := encode(s)
			if err != nil {
				t.Fatalf("read but cannot be written: %v", err)
			}
			s2, err := decode(again)
			if err != nil {
				t.Fatalf("written but cannot be read: %v", err)
			}
			if diff := cmp.Diff(s, s2, comparer); diff != "" {
				t.Fatalf("reads otherwise (-first +second):\n%s", diff)
			}
		}
	})
}

// A state that is encoded after another holds what it would hold alone: what
// is remembered of services must not outlive a change.
func TestEncoderRemembersNothingWrong(t *testing.T) {
	var e encoder
	one := fullState()
	two := one
	two.Services = slices.Clone(one.Services)
	two.Services[0].Slots++
	three := two
	three.Services = append(slices.Clone(two.Services[:1:1]), balancer.Service{Name: "more", Seed: 1})
	none := one
	none.Services = []balancer.Service{}
	for i, s := range []State{one, two, one, three, none, {}, two} {
		got, err := e.encode(s)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(seal(body)), string(got)); diff != "" {
			t.Errorf("state %d (-alone +after others):\n%s", i, diff)
		}
	}
}
