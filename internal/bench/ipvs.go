package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/internal/lab"
)

// From include/uapi/linux/ip_vs.h: commands and attributes of the generic
// netlink family "IPVS".
const (
	ipvsNewService = 1
	ipvsNewDest    = 5

	ipvsService = unix.NLA_F_NESTED | 1
	ipvsDest    = 2

	ipvsServiceFamily    = 1
	ipvsServiceProtocol  = 2
	ipvsServiceAddr      = 3
	ipvsServicePort      = 4
	ipvsServiceScheduler = 6
	ipvsServiceFlags     = 7
	ipvsServiceTimeout   = 8
	ipvsServiceNetmask   = 9

	ipvsDestAddr    = 1
	ipvsDestPort    = 2
	ipvsDestMethod  = 3 // 0: NAT
	ipvsDestWeight  = 4
	ipvsDestUpper   = 5
	ipvsDestLower   = 6
	ipvsDestFamily  = 11
	ipvsAddrLen     = 16 // union nf_inet_addr
	ipvsVersion     = 1
	ipvsFlagsLen    = 8
	ipvsFullNetmask = 0xffffffff
)

// ipvs is IPVS as ipvsadm sets it up: a UDP service with a scheduler, and all
// backends by NAT.
type ipvs struct {
	conn   *netlink.Conn
	family uint16
}

// openIPVS opens IPVS in a namespace; its modules are loaded if need be.
func openIPVS(n *lab.Namespace) (*ipvs, error) {
	// With the kernel's 4096 hash buckets 200,000 flows would be slow. Where it
	// is loaded already, or built in, it stays as it is.
	_ = exec.Command("modprobe", "ip_vs", "conn_tab_bits=18").Run()
	i := &ipvs{}
	err := n.Do(func() (err error) { i.conn, err = netlink.Dial(unix.NETLINK_GENERIC, nil); return err })
	if err != nil {
		return nil, fmt.Errorf("open ipvs: %w", err)
	}
	answer, err := i.ask(unix.GENL_ID_CTRL, unix.CTRL_CMD_GETFAMILY, 0, func(a *netlink.AttributeEncoder) {
		a.String(unix.CTRL_ATTR_FAMILY_NAME, "IPVS")
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("find ipvs: %w", err), i.conn.Close())
	}
	for _, m := range answer {
		a, err := netlink.NewAttributeDecoder(m.Data[min(4, len(m.Data)):])
		if err != nil {
			return nil, errors.Join(err, i.conn.Close())
		}
		for a.Next() {
			if a.Type() == unix.CTRL_ATTR_FAMILY_ID {
				i.family = a.Uint16()
			}
		}
	}
	return i, nil
}

// ask sends a command and returns what is answered: only the acknowledgement
// where the flags ask for one.
func (i *ipvs) ask(family uint16, command uint8, flags netlink.HeaderFlags, attributes func(*netlink.AttributeEncoder)) ([]netlink.Message, error) {
	a := netlink.NewAttributeEncoder()
	attributes(a)
	data, err := a.Encode()
	if err != nil {
		return nil, err
	}
	// struct genlmsghdr { u8 cmd; u8 version; u16 reserved; }
	return i.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(family), Flags: netlink.Request | flags},
		Data:   append([]byte{command, ipvsVersion, 0, 0}, data...),
	})
}

// addIPVS balances the listener by a scheduler.
func addIPVS(n *lab.Namespace, scheduler string) error {
	i, err := openIPVS(n)
	if err != nil {
		return err
	}
	defer i.conn.Close()
	service, err := ipvsServiceOf(scheduler)
	if err != nil {
		return err
	}
	if _, err := i.ask(i.family, ipvsNewService, netlink.Acknowledge, func(a *netlink.AttributeEncoder) { a.Bytes(ipvsService, service) }); err != nil {
		return fmt.Errorf("add ipvs service: %w", err)
	}
	for b := range backends {
		_, err := i.ask(i.family, ipvsNewDest, netlink.Acknowledge, func(a *netlink.AttributeEncoder) {
			a.Bytes(ipvsService, service)
			a.Nested(ipvsDest, func(a *netlink.AttributeEncoder) error {
				a.Bytes(ipvsDestAddr, ipvsAddr(lab.BackendIPv4(b+1)))
				a.Bytes(ipvsDestPort, binary.BigEndian.AppendUint16(nil, port))
				a.Uint32(ipvsDestMethod, 0)
				a.Uint32(ipvsDestWeight, 1)
				a.Uint32(ipvsDestUpper, 0)
				a.Uint32(ipvsDestLower, 0)
				a.Uint16(ipvsDestFamily, unix.AF_INET)
				return nil
			})
		})
		if err != nil {
			return fmt.Errorf("add ipvs backend: %w", err)
		}
	}
	return nil
}

// ipvsServiceOf is the attributes of the listener's service.
func ipvsServiceOf(scheduler string) ([]byte, error) {
	a := netlink.NewAttributeEncoder()
	a.Uint16(ipvsServiceFamily, unix.AF_INET)
	a.Uint16(ipvsServiceProtocol, unix.IPPROTO_UDP)
	a.Bytes(ipvsServiceAddr, ipvsAddr(listener.Addr()))
	a.Bytes(ipvsServicePort, binary.BigEndian.AppendUint16(nil, listener.Port()))
	a.String(ipvsServiceScheduler, scheduler)
	a.Bytes(ipvsServiceFlags, make([]byte, ipvsFlagsLen))
	a.Uint32(ipvsServiceTimeout, 0)
	a.Uint32(ipvsServiceNetmask, ipvsFullNetmask)
	return a.Encode()
}

// ipvsAddr is union nf_inet_addr: an IPv4 address, filled up.
func ipvsAddr(a netip.Addr) []byte { return append(a.AsSlice(), make([]byte, ipvsAddrLen-4)...) }
