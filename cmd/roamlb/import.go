package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
)

func importCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Take over services from other load balancers", Args: cobra.NoArgs}
	cmd.AddCommand(importIPVS(c))
	return cmd
}

func importIPVS(c *connection) *cobra.Command {
	var offset, length int
	var doApply, dryRun bool
	cmd := &cobra.Command{
		Use:   "ipvs [FILE]",
		Short: "Take over UDP services from \"ipvsadm -Sn\"",
		Long: `Read what "ipvsadm -Sn" prints, from a file or standard input, and print the UDP
services in it as a configuration file; with --apply, give them to the daemon.
IPVS knows nothing of payloads: --offset and --length say where the session's
key stands. What cannot be taken over is told on standard error.`,
		Example: "  ipvsadm -Sn | roamlb import ipvs --offset 1 --length 8 --apply",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := cmd.InOrStdin()
			if len(args) == 1 && args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			services, err := readIPVS(in, cmd.ErrOrStderr(), balancer.Field{Offset: offset, Length: length})
			if err != nil {
				return err
			}
			if len(services) == 0 {
				return errors.New("there is no UDP service with an address in it")
			}
			if doApply || dryRun {
				api, err := c.dial(false)
				if err != nil {
					return err
				}
				return apply(cmd.Context(), cmd.OutOrStdout(), api, services, false, dryRun)
			}
			f := config.Default()
			f.Services = services
			if err := f.Validate(); err != nil {
				return err
			}
			return writeServices(cmd.OutOrStdout(), services)
		},
	}
	cmd.Flags().IntVar(&offset, "offset", 0, "where the key begins in the payload, in bytes")
	cmd.Flags().IntVar(&length, "length", 0, "the key's length in bytes")
	cmd.Flags().BoolVar(&doApply, "apply", false, "give the services to the daemon")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what --apply would change")
	_ = cmd.MarkFlagRequired("length")
	return cmd
}

// writeServices writes services as a configuration file.
func writeServices(out io.Writer, services []balancer.Service) error {
	var text strings.Builder
	text.WriteString("services:\n")
	for i := range services {
		one := strings.TrimRight(string(config.MarshalServiceYAML(&services[i])), "\n")
		text.WriteString("  - " + strings.ReplaceAll(one, "\n", "\n    ") + "\n")
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// ipvs reads the lines of ipvsadm -Sn.
type ipvs struct {
	services []balancer.Service
	key      balancer.Field
	told     io.Writer
}

// readIPVS are the UDP services of ipvsadm's own format: a line "-A -u
// ADDRESS:PORT -s SCHEDULER ..." for a service, and "-a -u ADDRESS:PORT -r
// ADDRESS:PORT -m -w WEIGHT ..." for a server of it.
func readIPVS(in io.Reader, told io.Writer, key balancer.Field) ([]balancer.Service, error) {
	r := ipvs{key: key, told: told}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		if text := strings.TrimSpace(lines.Text()); text != "" && text[0] != '#' {
			if err := r.line(strings.Fields(text)); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
		}
	}
	return r.services, lines.Err()
}

// skip tells of a line that is not taken over.
func (r *ipvs) skip(words []string, why string) error {
	_, err := fmt.Fprintf(r.told, "not taken over: %s (%s)\n", strings.Join(words, " "), why)
	return err
}

func (r *ipvs) line(words []string) error {
	value := func(flags ...string) string {
		for i, w := range words[:len(words)-1] {
			if slices.Contains(flags, w) {
				return words[i+1]
			}
		}
		return ""
	}
	listener := value("-u", "--udp-service")
	if listener == "" {
		return r.skip(words, "no UDP service with an address")
	}
	at, err := netip.ParseAddrPort(listener)
	if err != nil {
		return fmt.Errorf("%q is no address and port: was it printed with -n?", listener)
	}
	switch words[0] {
	case "-A", "--add-service":
		r.add(at)
		return nil
	case "-a", "--add-server":
		return r.server(words, at, value("-r", "--real-server"), value("-w", "--weight"))
	}
	return r.skip(words, "an unknown command")
}

// add makes a service of a listener.
func (r *ipvs) add(at netip.AddrPort) {
	s := config.DefaultService()
	s.Name = fmt.Sprintf("ipvs-%s-%d", strings.Trim(strings.NewReplacer(".", "-", ":", "-").Replace(at.Addr().String()), "-"), at.Port())
	for strings.Contains(s.Name, "--") {
		s.Name = strings.ReplaceAll(s.Name, "--", "-")
	}
	s.Listen = []netip.AddrPort{at}
	s.Key.Variants = []balancer.Variant{{Fields: []balancer.Field{r.key}}}
	r.services = append(r.services, s)
}

func (r *ipvs) server(words []string, at netip.AddrPort, server, weight string) error {
	to, err := netip.ParseAddrPort(server)
	if err != nil {
		return fmt.Errorf("%q is no address and port of a server", server)
	}
	for i := range r.services {
		s := &r.services[i]
		if s.Listen[0] != at {
			continue
		}
		b := config.DefaultBackend()
		b.Name = fmt.Sprintf("b%d", len(s.Backends)+1)
		b.Addresses, b.Port = []netip.Addr{to.Addr()}, to.Port()
		if weight != "" {
			if b.Weight, err = strconv.Atoi(weight); err != nil {
				return fmt.Errorf("weight %q is no number", weight)
			}
		}
		for _, w := range words {
			if w == "-g" || w == "--gatewaying" || w == "-i" || w == "--ipip" {
				// Direct routing and tunnels become NAT: the way back has to lead here.
				if _, err := fmt.Fprintf(r.told, "%s was reached by %s, and is by NAT now: its answers must come back through this host\n", server, w); err != nil {
					return err
				}
			}
		}
		s.Backends = append(s.Backends, b)
		return nil
	}
	return r.skip(words, "its service is not there")
}
