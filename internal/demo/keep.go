package demo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/roamlb/roamlb/internal/lab"
)

// How often a backend of the game falls silent, and for how long: its health
// checks take it down, and bring it back.
const (
	outageEvery = 100 * time.Second
	outage      = 20 * time.Second
)

// keep leaves everything as it is, with a little traffic, until ctx ends.
func (s *show) keep(ctx context.Context) error {
	s.scene = 0
	token, err := s.daemon.firstToken()
	if err != nil {
		return err
	}
	s.showHandles(token)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { s.fallSilent(ctx); return nil })
	g.Go(func() error {
		return newStroll(s.bed).run(ctx, func(sum strollSum) {
			s.progress("%d sessions: %s sent, %s lost, %s to another backend; Ctrl-C ends it",
				sum.sessions, count(sum.sent), count(sum.sent-sum.answered), count(sum.moved))
		})
	})
	return g.Wait()
}

// fallSilent gives the health checks something to see.
func (s *show) fallSilent(ctx context.Context) {
	last := s.bed.servers[len(s.bed.servers)-1]
	for ctx.Err() == nil {
		sleep(ctx, outageEvery-outage)
		last.game.SetSilent(true)
		sleep(ctx, outage)
		last.game.SetSilent(false)
	}
}

// firstToken is the API's token that the first daemon wrote, once, to its log.
func (d *daemon) firstToken() (string, error) {
	text, err := os.ReadFile(d.settings.log)
	if err != nil {
		return "", err
	}
	return string(tokenPattern.Find(text)), nil
}

var tokenPattern = regexp.MustCompile(`rlb_[0-9A-Za-z_-]+`)

// showHandles says how to look at the network and play with it.
func (s *show) showHandles(token string) {
	s.blank()
	s.write(strong.of("The network stays up."), normal.of(" Sessions of three services go on and move. Ctrl-C ends it."))
	s.blank()
	if s.front != nil {
		s.showFront(token)
	}
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

// showFront says how to get to the dashboard.
func (s *show) showFront(token string) {
	if s.opts.Dashboard {
		s.text("The dashboard, for a browser on this host, and the token to sign in with:")
	} else {
		s.text("The dashboard is not built into this program: that needs Node 20.19 or newer, and \"make\". The API answers at the " +
			"same place, with this token:")
	}
	s.code(s.front.url(), token)
	if s.opts.Dashboard {
		s.text("Things to try there: watch Roaming; drain a backend of vpn, and undo it; every %s backend %s of game falls silent, "+
			"and its health checks notice.", span(outageEvery), serverName(len(weights)-1))
		s.blank()
	}
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
