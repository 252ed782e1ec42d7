package config

import (
	"slices"
	"strings"

	"github.com/roamlb/roamlb/balancer"
)

// This file reads and writes parts of a configuration as the API's JSON
// documents. They have the members of the file, and some that are read-only:
// those are ignored where they are sent.

// ParseService reads a service from JSON, every default filled in; without a
// seed it has the seed 0. What has to be unique across services is checked by
// [File.CheckServices]. The error, if any, is an *Error with all problems.
func ParseService(data []byte) (balancer.Service, error) {
	root, problem := readJSON(data)
	if problem != nil {
		return balancer.Service{}, &Error{Problems: []Problem{*problem}}
	}
	return serviceOf(root, nil)
}

// PatchService is what a JSON Merge Patch (RFC 7396) makes of a service.
// Pointers of problems are into the patched document.
func PatchService(s *balancer.Service, patch []byte) (balancer.Service, error) {
	p, problem := readJSON(patch)
	if problem != nil {
		return balancer.Service{}, &Error{Problems: []Problem{*problem}}
	}
	return serviceOf(merge(writeObject(serviceMembers, s), p), p)
}

// serviceOf reads a service of a tree. patch, where there is one, is looked at
// for members that are given twice.
func serviceOf(root, patch *node) (balancer.Service, error) {
	d := newDocumentDecoder(patch)
	s := DefaultService()
	readObject(d, "", root, serviceMembers, &s)
	c := d.checker(root)
	c.name("/name", s.Name)
	c.service("", &s)
	if err := c.err(""); err != nil {
		return balancer.Service{}, err
	}
	return s, nil
}

// ParseBackend reads a backend from JSON, every default filled in, and checks
// it beside the other backends of its service; nil: by itself.
func ParseBackend(data []byte, service *balancer.Service) (balancer.Backend, error) {
	root, problem := readJSON(data)
	if problem != nil {
		return balancer.Backend{}, &Error{Problems: []Problem{*problem}}
	}
	return backendOf(root, nil, service)
}

// PatchBackend is what a JSON Merge Patch makes of a backend.
func PatchBackend(b *balancer.Backend, patch []byte, service *balancer.Service) (balancer.Backend, error) {
	p, problem := readJSON(patch)
	if problem != nil {
		return balancer.Backend{}, &Error{Problems: []Problem{*problem}}
	}
	return backendOf(merge(writeObject(backendMembers, b), p), p, service)
}

func backendOf(root, patch *node, service *balancer.Service) (balancer.Backend, error) {
	d := newDocumentDecoder(patch)
	b := readBackend(d, "", root)
	c := d.checker(root)
	if service == nil {
		service = &balancer.Service{}
	}
	beside := balancer.Service{Listen: service.Listen}
	for i := range service.Backends {
		if service.Backends[i].Name != b.Name {
			beside.Backends = append(beside.Backends, service.Backends[i])
		}
	}
	// Last, so that what two of them may not share is its fault. The others
	// are fine, or the daemon would not have them.
	beside.Backends = append(beside.Backends, b)
	own := index("/backends", len(beside.Backends)-1)
	written := c.member
	c.member = func(at string) (string, bool) {
		rest, ok := strings.CutPrefix(at, own)
		if !ok {
			return at, at == "/backends"
		}
		return written(rest)
	}
	c.backends("/backends", &beside)
	if err := c.err(""); err != nil {
		return balancer.Backend{}, err
	}
	return b, nil
}

// ParseDocument reads the JSON of a whole configuration. Settings that it
// leaves out are those of have; those that differ from them are problems.
func ParseDocument(data []byte, have *File) (*File, error) {
	root, problem := readJSON(data)
	if problem != nil {
		return nil, &Error{Problems: []Problem{*problem}}
	}
	d := newDocumentDecoder(nil)
	f := *have
	f.Services = nil
	readObject(d, "", root, fileMembers, &f)
	if root.kind == object && !root.has("services") {
		d.spoil("/services", "is missing")
	}
	c := d.checker(root)
	settings(&c, have, &f)
	c.services("/services", f.Services)
	c.ids(&f)
	if err := c.err(""); err != nil {
		return nil, err
	}
	return &f, nil
}

// ReadDocument reads the JSON of a whole configuration as the API shows it,
// settings and all.
func ReadDocument(data []byte) (*File, error) {
	root, problem := readJSON(data)
	if problem != nil {
		return nil, &Error{Problems: []Problem{*problem}}
	}
	d := newDocumentDecoder(nil)
	f := Default()
	readObject(d, "", root, fileMembers, f)
	c := d.checker(root)
	c.file(f)
	if err := c.err(""); err != nil {
		return nil, err
	}
	return f, nil
}

// settings reports the settings that differ: they come from the file.
func settings(c *checker, have, want *File) {
	h, w := writeObject(settingMembers(), have), writeObject(settingMembers(), want)
	for i, m := range w.members {
		differs(c, "/"+m.name, h.members[i].value, m.value)
	}
}

func differs(c *checker, at string, have, want *node) {
	if want.kind != object {
		if string(writeJSON(have)) != string(writeJSON(want)) {
			c.add(at, "is %s, and read-only here: it takes effect from the file at the next start", writeJSON(have))
		}
		return
	}
	for i, m := range want.members {
		differs(c, join(at, m.name), have.members[i].value, m.value)
	}
}

// settingMembers are those of a file but for its services.
func settingMembers() []member[File] {
	return slices.DeleteFunc(slices.Clone(fileMembers), func(m member[File]) bool { return m.name == "services" })
}

// MarshalService writes a service as JSON that ParseService takes back to an
// equal one, but for ids. Every member that has a value is written, the seed
// too, which is a secret.
func MarshalService(s *balancer.Service) []byte { return writeJSON(writeObject(serviceMembers, s)) }

// MarshalServiceYAML writes a service as it stands in a file's list.
func MarshalServiceYAML(s *balancer.Service) []byte { return writeYAML(writeObject(serviceMembers, s)) }

// DifferentMembers names the members in which two services differ, as the API
// and the file call them, in the order of their description.
func DifferentMembers(a, b *balancer.Service) []string {
	var names []string
	for _, m := range serviceMembers {
		x, y := m.write(a), m.write(b)
		if (x == nil) != (y == nil) || x != nil && string(writeJSON(x)) != string(writeJSON(y)) {
			names = append(names, m.name)
		}
	}
	return names
}

// MarshalBackend writes a backend as JSON that ParseBackend takes back.
func MarshalBackend(b *balancer.Backend) []byte { return writeJSON(writeObject(backendMembers, b)) }

// MarshalSettings writes what of a file is not a service as JSON.
func MarshalSettings(f *File) []byte { return writeJSON(writeObject(settingMembers(), f)) }

// CheckServices checks what has to be unique across services, and that there
// are enough ids, for a file each of whose services has been checked by itself.
// The error, if any, is an *Error with pointers such as /services/3/listen/0.
func (f *File) CheckServices() error {
	var c checker
	if len(f.Services) > maxServices {
		c.add("/services", "has %d services; at most %d are possible", len(f.Services), maxServices)
	}
	names := make(map[string]int, len(f.Services))
	for i := range f.Services {
		if first, again := names[f.Services[i].Name]; again {
			c.add(index("/services", i)+"/name", "is %s, as that of service %d", show(f.Services[i].Name), first)
		}
		names[f.Services[i].Name] = i
	}
	c.addresses("/services", f.Services)
	c.ids(f)
	return c.err("")
}

// CheckService checks one service by itself. The error, if any, is an *Error.
func CheckService(s *balancer.Service) error {
	var c checker
	c.name("/name", s.Name)
	c.service("", s)
	return c.err("")
}

// CheckPatch reports a merge patch that is no JSON object. The error, if any,
// is an *Error.
func CheckPatch(data []byte) error {
	root, problem := readJSON(data)
	if problem != nil {
		return &Error{Problems: []Problem{*problem}}
	}
	d := newDocumentDecoder(root)
	d.is("", root, object)
	return d.err("")
}

// newDocumentDecoder is a decoder of the API's documents.
func newDocumentDecoder(patch *node) *decoder {
	d := &decoder{spoilt: make(map[string]bool), within: make(map[string]bool), document: true}
	if patch != nil {
		d.twice("", patch)
	}
	return d
}

// twice reports members that a patch gives twice, of which the merged document
// shows one.
func (d *decoder) twice(at string, n *node) {
	seen := make(map[string]bool, len(n.members))
	for _, m := range n.members {
		if seen[m.name] {
			d.spoil(join(at, m.name), "is given twice")
		}
		seen[m.name] = true
		d.twice(join(at, m.name), m.value)
	}
}

// checker goes on with what the decoder has read of a tree.
func (d *decoder) checker(root *node) checker {
	return checker{report: d.report, member: func(at string) (string, bool) {
		at = root.written(at)
		return at, d.usable(at)
	}}
}
