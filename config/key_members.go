package config

import "github.com/roamlb/roamlb/balancer"

// shortKeyMembers is a key of one variant with one field.
var shortKeyMembers = []member[balancer.Key]{
	must(number("offset", offsetSpan, func(k *balancer.Key) *int { return &k.Variants[0].Fields[0].Offset })),
	must(number("length", lengthSpan, func(k *balancer.Key) *int { return &k.Variants[0].Fields[0].Length })),
	hexBytes("mask", func(k *balancer.Key) *[]byte { return &k.Variants[0].Fields[0].Mask }),
	fallback,
}

// longKeyMembers is any key. It refuses what belongs to the short form.
var longKeyMembers = []member[balancer.Key]{
	must(objects("variants", variantMembers, zero[balancer.Variant], func(k *balancer.Key) *[]balancer.Variant { return &k.Variants })),
	fallback,
	besideVariants("offset"),
	besideVariants("length"),
	besideVariants("mask"),
}

var fallback = text("fallback", func(k *balancer.Key) *balancer.Fallback { return &k.Fallback })

func besideVariants(name string) member[balancer.Key] {
	return member[balancer.Key]{
		name: name,
		read: func(d *decoder, at string, _ *node, _ *balancer.Key) {
			d.spoil(at, "cannot stand beside variants: it is short for one variant with one field")
		},
		write: func(*balancer.Key) *node { return nil },
	}
}

var variantMembers = []member[balancer.Variant]{
	optionalText("name", func(v *balancer.Variant) *string { return &v.Name }),
	objects("match", matchMembers, zero[balancer.Match], func(v *balancer.Variant) *[]balancer.Match { return &v.Match }),
	must(objects("fields", fieldMembers, zero[balancer.Field], func(v *balancer.Variant) *[]balancer.Field { return &v.Fields })),
}

var matchMembers = []member[balancer.Match]{
	must(number("offset", offsetSpan, func(m *balancer.Match) *int { return &m.Offset })),
	hexBytes("mask", func(m *balancer.Match) *[]byte { return &m.Mask }),
	must(hexBytes("value", func(m *balancer.Match) *[]byte { return &m.Value })),
}

var fieldMembers = []member[balancer.Field]{
	must(number("offset", offsetSpan, func(f *balancer.Field) *int { return &f.Offset })),
	must(number("length", lengthSpan, func(f *balancer.Field) *int { return &f.Length })),
	hexBytes("mask", func(f *balancer.Field) *[]byte { return &f.Mask }),
}

// readKey reads the long form where there are variants, else the short one.
func readKey(d *decoder, at string, n *node, to *balancer.Service) {
	if n.kind == object && n.has("variants") {
		readObject(d, at, n, longKeyMembers, &to.Key)
		return
	}
	to.Key.Variants = []balancer.Variant{{Fields: make([]balancer.Field, 1)}}
	readObject(d, at, n, shortKeyMembers, &to.Key)
}

// writeKey writes the short form where it says all.
func writeKey(from *balancer.Service) *node {
	if v := from.Key.Variants; len(v) == 1 && v[0].Name == "" && len(v[0].Match) == 0 && len(v[0].Fields) == 1 {
		return writeObject(shortKeyMembers, &from.Key)
	}
	return writeObject(longKeyMembers, &from.Key)
}
