package demo

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// What moves while the network stays up.
const (
	keepSessions = 8
	keepEvery    = 125 * time.Millisecond // between datagrams: a session speaks once a second
	keepMoves    = 24                     // of that many datagrams one comes from a new place
)

// keep leaves everything as it is, with a little traffic, until ctx ends.
func (s *show) keep(ctx context.Context) error {
	s.scene = 0
	s.showHandles()
	pool := make([]session, keepSessions)
	at := make([]netip.AddrPort, keepSessions)
	for i := range pool {
		pool[i], at[i] = newSession(), s.crowd.fresh(i%2 == 1)
	}
	var sent, answered, misplaced, moved int
	for ; ; sent++ {
		i := sent % keepSessions
		if sent%keepMoves == i*3 && sent >= keepMoves {
			at[i] = moves[moved%len(moves)].apply(at[i], &s.crowd)
			moved++
		}
		reply, _, err := s.bed.exchange(ctx, at[i], listener(vpnPort, at[i].Addr().Is6()), pool[i])
		if err != nil {
			return err
		}
		if by := answerer(reply); by >= 0 {
			answered++
			if by != s.settings.home(pool[i]) {
				misplaced++
			}
		}
		s.progress("%d sessions: %s datagrams, %s lost, %d misplaced, %s roams; Ctrl-C ends it",
			keepSessions, count(sent+1), count(sent+1-answered), misplaced, count(moved))
		sleep(ctx, keepEvery)
	}
}

// showHandles says how to look at the network and play with it.
func (s *show) showHandles() {
	s.blank()
	s.write(strong.of("The network stays up."), normal.of(" %d sessions go on and move every few seconds. Ctrl-C ends it.", keepSessions))
	s.blank()
	s.text("In another terminal, as the same user, paste this first: two functions that run a command in the load balancer's " +
		"namespace and in the clients'.")
	s.code(enter("lb", s.bed.LB), enter("client", s.bed.Clients))
	s.text("The rules, these with rings and sessions, the entries, and how entries come and go:")
	s.code("lb nft -t list table inet roamlb", "lb nft list table inet roamlb", "lb conntrack -L -o id,ktimestamp", "lb conntrack -E -p udp")
	s.text("A datagram by hand. The answer's last letter is the backend. Each one comes from another port, so session1 roams; " +
		"another eight letters are another session:")
	const payload = "1session1 hello "
	to := listener(vpnPort, false)
	s.code(fmt.Sprintf(`client bash -c 'exec 3<>/dev/udp/%s/%d; printf "%s" >&3; head -c %d <&3; echo'`,
		to.Addr(), to.Port(), payload, len(payload)+1))
	s.text("The daemon by its API: what it has, its sessions, what happens to them, and what it would do with a packet:")
	s.code("export ROAMLB_SOCKET="+s.settings.socket, program()+" get services", program()+" sessions vpn", program()+" events --follow",
		fmt.Sprintf("%s explain %x --client 198.18.0.7:40000 --listener %s", program(), payload, to))
	s.text("The daemon's log, its configuration, and how to read that again:")
	s.code("tail -f "+s.settings.log, "cat "+s.settings.config, fmt.Sprintf("kill -HUP %d", s.daemon.pid()))
}

// program is the path of this program, as a shell finds it.
func program() string {
	path, err := os.Executable()
	if err != nil {
		return "roamlb"
	}
	return path
}

// code writes lines to be pasted.
func (s *screen) code(lines ...string) {
	for _, line := range lines {
		s.write(normal.of("%s", indent), ink("36").of("%s", line))
	}
	s.blank()
}

// enter is a shell function that runs a command in a namespace.
func enter(name string, n *lab.Namespace) string {
	way := ""
	if ownUser() {
		way = fmt.Sprintf("-t %d -U --preserve-credentials ", os.Getpid())
	}
	return fmt.Sprintf(`%s() { nsenter %s--net=%s "$@"; }`, name, way, n.Path())
}

// ownUser tells whether this process is in a user namespace that [lab.Reexec]
// made: one with a single user in it.
func ownUser() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	fields := bytes.Fields(text)
	return err == nil && len(fields) == 3 && string(fields[2]) == "1"
}
