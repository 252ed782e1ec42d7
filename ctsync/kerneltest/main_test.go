// Package kerneltest tests ctsync against the kernel's conntrack, in network
// namespaces of its own: root or an unprivileged user namespace will do.
package kerneltest

import (
	"testing"

	"github.com/roamlb/roamlb/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
