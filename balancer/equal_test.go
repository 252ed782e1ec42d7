package balancer

import (
	"net/netip"
	"reflect"
	"testing"
)

// filled has something in every member, two in every list.
func filled() *Service {
	s := &Service{}
	fill(reflect.ValueOf(s).Elem())
	return s
}

func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.1")))
		return
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.MustParseAddrPort("192.0.2.1:1")))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("192.0.2.0/24")))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i))
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
	default:
		v.SetUint(3)
	}
}

// places calls visit for every value within v that is no struct or list of
// structs, and for every list.
func places(path string, v reflect.Value, visit func(string, reflect.Value)) {
	switch {
	case v.Kind() == reflect.Struct && v.Type().PkgPath() == reflect.TypeFor[Service]().PkgPath():
		for i := range v.NumField() {
			places(path+"."+v.Type().Field(i).Name, v.Field(i), visit)
		}
	case v.Kind() == reflect.Pointer:
		visit(path, v)
		places(path, v.Elem(), visit)
	case v.Kind() == reflect.Slice:
		visit(path, v)
		for i := range v.Len() {
			places(path+"[]", v.Index(i), visit)
		}
	default:
		visit(path, v)
	}
}

// A member that Equal forgets could not be changed at run time any more: the
// daemon would find nothing to do.
func TestEqualSeesEveryMember(t *testing.T) {
	a := filled()
	if !a.Equal(filled()) {
		t.Fatal("two that are made alike differ")
	}
	copied := *a
	if !a.Equal(&copied) {
		t.Fatal("a copy differs")
	}
	n := 0
	b := filled()
	places("Service", reflect.ValueOf(b).Elem(), func(path string, v reflect.Value) {
		n++
		was := reflect.New(v.Type()).Elem()
		was.Set(v)
		v.SetZero()
		if a.Equal(b) || b.Equal(a) {
			t.Errorf("a change of %s is not seen", path)
		}
		v.Set(was)
		if !a.Equal(b) {
			t.Fatalf("%s cannot be put back", path)
		}
	})
	if n < 40 {
		t.Errorf("only %d places were looked at", n)
	}
}
