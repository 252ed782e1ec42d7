package demo

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/internal/lab"
)

// settings are the daemon's, and what follows from them.
type settings struct {
	config string         // path of the configuration file
	log    string         // path of the daemon's log
	socket string         // path of its API's socket
	view   *balancer.View // of the first service; the ring of both is the same
}

// newSettings writes the configuration file into a directory. more is whether it
// has what is only there while the network stays up.
func newSettings(dir string, more bool) (*settings, error) {
	s := &settings{config: filepath.Join(dir, "roamlb.yaml"), log: filepath.Join(dir, "roamlb.log"), socket: filepath.Join(dir, "roamlb.sock")}
	listen, text := "", ""
	if more {
		listen, text = apiAddress.String(), walkingText()
	}
	text = configText(dir, listen, s.socket, rand.Uint32()|1) + text
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	file, err := config.Parse(s.config, []byte(text))
	if err != nil {
		return nil, err
	}
	svc := &file.Services[0]
	for i := range svc.Backends { // any ids do: they have no part in the ring
		svc.Backends[i].ID = uint16(i + 1)
	}
	s.view = balancer.NewView(svc, balancer.Capabilities{}, nil, nil)
	return s, nil
}

// home is the backend, counted from 0, that the ring names for a session.
func (s *settings) home(of session) int {
	return int(s.view.Ring(false).At(s.view.Hash(of[:]))) - 1
}

// sessionAt returns a new session whose home is a certain backend.
func (s *settings) sessionAt(home int) session {
	for {
		if of := newSession(); s.home(of) == home {
			return of
		}
	}
}

// configText is the configuration file.
func configText(dir, listen, socket string, seed uint32) string {
	var backends strings.Builder
	for i, weight := range weights {
		fmt.Fprintf(&backends, "\n      - {name: %s, addresses: [%s, %q], port: PORT, weight: %d}",
			serverName(i), lab.BackendIPv4(i+1), lab.BackendIPv6(i+1), weight)
	}
	service := func(name, more string, port uint16) string {
		return fmt.Sprintf(`
  - name: %s%s
    listen: [%s, %s]
    key: {offset: %d, length: %d}
    seed: %d
    backends:%s`, name, more, flowMapping(listener(port, false)), flowMapping(listener(port, true)),
			keyOffset, keyLength, seed, strings.ReplaceAll(backends.String(), "PORT", fmt.Sprint(port)))
	}
	return fmt.Sprintf(`# The configuration of "roamlb demo".
api: {listen: %q, socket: %q}
state: %q
log: {keys: full} # these sessions are no secrets
services:%s%s`, listen, socket, filepath.Join(dir, "state.json"),
		service("vpn", "", vpnPort),
		service("kept", "\n    stale: never # the entry that a roamed session leaves stays till it expires", keptPort))
}

func flowMapping(a netip.AddrPort) string {
	return fmt.Sprintf("{address: %q, port: %d}", a.Addr(), a.Port())
}
