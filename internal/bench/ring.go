package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/internal/lab"
)

// backends is how many each network has.
const backends = 3

// seed is the same in every run: equal keys go to equal backends.
const seed = 0x5eed

// configText is the configuration of a service with all backends. Members are
// YAML lines of the service, beyond those that every one has.
func configText(dir string, members ...string) string {
	var s strings.Builder
	fmt.Fprintf(&s, `api: {listen: "", socket: ""}
state: %q
services:
  - name: bench
    listen: [{address: %q, port: %d}]
    key: {offset: %d, length: %d}
    seed: %d
    max_sessions: 8000000
`, filepath.Join(dir, "state.json"), listener.Addr(), listener.Port(), keyOffset, keyLength, seed)
	for _, m := range members {
		fmt.Fprintf(&s, "    %s\n", m)
	}
	s.WriteString("    backends:\n")
	for i := range backends {
		fmt.Fprintf(&s, "      - {name: b%d, address: %q, port: %d}\n", i+1, lab.BackendIPv4(i+1), port)
	}
	return s.String()
}

// writeConfig writes a configuration into a directory and returns its path.
func writeConfig(dir, text string) (string, error) {
	path := filepath.Join(dir, "roamlb.yaml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// newView is the service as roamlb sees it, whose ring all that hash share. The
// first start gives the backends their ids in the file's order.
func newView() (*balancer.View, error) {
	file, err := config.Parse("bench", []byte(configText("/nowhere")))
	if err != nil {
		return nil, err
	}
	svc := &file.Services[0]
	for i := range svc.Backends {
		svc.Backends[i].ID = uint16(i + 1)
	}
	return balancer.NewView(svc, balancer.Capabilities{}, nil, nil), nil
}

// homeOf is the number of the backend that the ring names for a session.
func homeOf(v *balancer.View, session int) uint8 {
	return uint8(v.Ring(false).At(v.Hash(sessionKey(session))))
}
