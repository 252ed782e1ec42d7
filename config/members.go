package config

import "time"

// member is one member of the object that a T is: its name, and how it is read
// and written. An object is its table of members; there is no other list.
type member[T any] struct {
	name     string
	required bool
	readOnly bool // of the API's documents, and ignored there; unknown elsewhere
	read     func(d *decoder, at string, n *node, to *T)
	write    func(from *T) *node // nil instead of a node: it is left out
}

// shown is a member that the API shows and nobody sets.
func shown[T any](name string) member[T] {
	return member[T]{
		name: name, readOnly: true,
		read:  func(*decoder, string, *node, *T) {},
		write: func(*T) *node { return nil },
	}
}

// must makes a member a required one.
func must[T any](m member[T]) member[T] {
	m.required = true
	return m
}

// text is a member that is text.
func text[T any, S ~string](name string, field func(*T) *S) member[T] {
	return member[T]{
		name: name,
		read: func(d *decoder, at string, n *node, to *T) {
			if s, ok := d.text(at, n); ok {
				*field(to) = S(s)
			}
		},
		write: func(from *T) *node { return textNode(string(*field(from))) },
	}
}

// optionalText is a member that is text and is left out when empty.
func optionalText[T any](name string, field func(*T) *string) member[T] {
	m := text(name, field)
	m.write = func(from *T) *node {
		if *field(from) == "" {
			return nil
		}
		return textNode(*field(from))
	}
	return m
}

// number is a member that is a decimal number.
func number[T any, I ~int | ~uint16 | ~uint32](name string, in span, field func(*T) *I) member[T] {
	return member[T]{
		name: name,
		read: func(d *decoder, at string, n *node, to *T) {
			if v, ok := d.number(at, n, in); ok {
				*field(to) = I(v)
			}
		},
		write: func(from *T) *node { return numberNode(int64(*field(from))) },
	}
}

// boolean is a member that is true or false.
func boolean[T any](name string, field func(*T) *bool) member[T] {
	return member[T]{
		name: name,
		read: func(d *decoder, at string, n *node, to *T) {
			if v, ok := d.boolean(at, n); ok {
				*field(to) = v
			}
		},
		write: func(from *T) *node { return boolNode(*field(from)) },
	}
}

// duration is a member that is a duration.
func duration[T any](name string, field func(*T) *time.Duration) member[T] {
	return member[T]{
		name: name,
		read: func(d *decoder, at string, n *node, to *T) {
			if v, ok := d.duration(at, n); ok {
				*field(to) = v
			}
		},
		write: func(from *T) *node { return durationNode(*field(from)) },
	}
}

// hexBytes is a member that is bytes in hex and is left out when there are none.
func hexBytes[T any](name string, field func(*T) *[]byte) member[T] {
	return member[T]{
		name: name,
		read: func(d *decoder, at string, n *node, to *T) {
			if v, ok := d.hex(at, n); ok {
				*field(to) = v
			}
		},
		write: func(from *T) *node {
			if len(*field(from)) == 0 {
				return nil
			}
			return hexNode(*field(from))
		},
	}
}

// part is a member that is an object.
func part[T, P any](name string, table []member[P], field func(*T) *P) member[T] {
	return member[T]{
		name: name,
		read: func(d *decoder, at string, n *node, to *T) {
			readObject(d, at, n, table, field(to))
		},
		write: func(from *T) *node { return writeObject(table, field(from)) },
	}
}

// objects is a member that is a list of objects, each of which starts as
// initial returns it. The list is left out when empty.
func objects[T, E any](name string, table []member[E], initial func() E, field func(*T) *[]E) member[T] {
	read := func(d *decoder, at string, n *node) E {
		e := initial()
		readObject(d, at, n, table, &e)
		return e
	}
	write := func(e *E) *node { return writeObject(table, e) }
	return entries(name, read, write, field)
}

// zero is what an entry of objects starts as that has no defaults.
func zero[E any]() E {
	var e E
	return e
}

// entries is a member that is a list. It is left out when empty.
func entries[T, E any](
	name string, read func(*decoder, string, *node) E, write func(*E) *node, field func(*T) *[]E,
) member[T] {
	return member[T]{
		name: name,
		read: func(d *decoder, at string, n *node, to *T) {
			if !d.is(at, n, list) {
				return
			}
			all := make([]E, 0, len(n.items))
			for i, item := range n.items {
				all = append(all, read(d, index(at, i), item))
			}
			if len(all) > 0 {
				*field(to) = all
			}
		},
		write: func(from *T) *node {
			all := *field(from)
			if len(all) == 0 {
				return nil
			}
			n := &node{kind: list}
			for i := range all {
				n.items = append(n.items, write(&all[i]))
			}
			return n
		},
	}
}

// fixed is a member that knows one value yet, its default. Other values come in
// later versions.
func fixed[T any](name, value string) member[T] {
	return member[T]{
		name: name,
		read: func(d *decoder, at string, n *node, _ *T) {
			if n.kind == scalar && n.text == value {
				return
			}
			if n.kind == scalar || n.kind == object || n.kind == list {
				d.spoil(at, "can only be %s: anything else is not available in this version", value)
				return
			}
			d.is(at, n, scalar)
		},
		write: func(*T) *node { return textNode(value) },
	}
}

// readObject reads an object's members into to, which holds the defaults, and
// reports members that the table does not have or that are missing.
func readObject[T any](d *decoder, at string, n *node, table []member[T], to *T) {
	if !d.is(at, n, object) {
		return
	}
	names := make([]string, 0, len(table))
	for i := range table {
		if d.document || !table[i].readOnly {
			names = append(names, table[i].name)
		}
	}
	d.members(at, n, names)
	for i := range table {
		m := &table[i]
		p, ok := n.get(m.name)
		switch {
		case ok:
			m.read(d, join(at, m.name), p.value, to)
		case m.required:
			d.spoil(join(at, m.name), "is missing")
		}
	}
}

// writeObject is the opposite of readObject.
func writeObject[T any](table []member[T], from *T) *node {
	n := &node{kind: object}
	for i := range table {
		if value := table[i].write(from); value != nil {
			n.members = append(n.members, pair{name: table[i].name, value: value})
		}
	}
	return n
}
