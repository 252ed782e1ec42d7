package ctsync

import (
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// ErrFull says that there is no room for a session: in the service's table, or in
// a sessions map of the kernel's, whose error it is.
const ErrFull = unix.ENFILE

// Elements is the kernel's sessions maps of session-pinned services: key to
// zone, zoneBase plus the backend's id. Its methods may be called from any
// goroutine.
type Elements interface {
	// Put writes elements, each in the place of what was there under its key. Where
	// they find no room the error is ErrFull, and what was there may stay.
	Put(v *balancer.View, zoneBase uint16, es []balancer.Element) error
	// Delete removes elements; those that are gone already are no error.
	Delete(v *balancer.View, es []balancer.Element) error
	// DeleteBound is Delete that lets elements stay which name another backend by
	// now.
	DeleteBound(v *balancer.View, zoneBase uint16, es []balancer.Element) error
	// Dump hands fn every element of a service until fn returns false. fn must
	// not keep an element's key, nor use the Elements.
	Dump(v *balancer.View, zoneBase uint16, fn func(balancer.Element) bool) error
}
