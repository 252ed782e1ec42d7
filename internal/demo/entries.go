package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/internal/lab"
)

// entry is a conntrack entry of a UDP flow to a listener.
type entry struct {
	client, listener netip.AddrPort // as the packet came
	backend          netip.AddrPort // where replies come from
	zone             uint16         // of the original direction
	answered         bool
}

// entryTable reads a namespace's conntrack table. It is one goroutine's.
type entryTable struct{ conn *conntrack.Conn }

func openEntries(n *lab.Namespace) (*entryTable, error) {
	t := &entryTable{}
	err := n.Do(func() (err error) {
		t.conn, err = conntrack.Dial(nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open conntrack: %w (needs CONFIG_NF_CT_NETLINK)", err)
	}
	return t, nil
}

func (t *entryTable) close() error { return t.conn.Close() }

// dump returns the entries of UDP flows that keep agrees to.
func (t *entryTable) dump(keep func(entry) bool) ([]entry, error) {
	flows, err := t.conn.Dump(nil)
	if err != nil {
		return nil, fmt.Errorf("dump conntrack: %w", err)
	}
	var list []entry
	for i := range flows {
		f := &flows[i]
		if f.TupleOrig.Proto.Protocol != unix.IPPROTO_UDP {
			continue
		}
		e := entry{
			client:   netip.AddrPortFrom(f.TupleOrig.IP.SourceAddress, f.TupleOrig.Proto.SourcePort),
			listener: netip.AddrPortFrom(f.TupleOrig.IP.DestinationAddress, f.TupleOrig.Proto.DestinationPort),
			backend:  netip.AddrPortFrom(f.TupleReply.IP.SourceAddress, f.TupleReply.Proto.SourcePort),
			zone:     max(f.Zone, f.TupleOrig.Zone),
			answered: f.Status.SeenReply(),
		}
		if keep(e) {
			list = append(list, e)
		}
	}
	return list, nil
}

// exists tells whether the entry is still there.
func (t *entryTable) exists(e entry) (bool, error) {
	f := conntrack.Flow{TupleOrig: tuple(e.client, e.listener), TupleReply: tuple(e.backend, e.client)}
	f.TupleOrig.Zone = e.zone
	_, err := t.conn.Get(f)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up conntrack entry: %w", err)
	}
	return true, nil
}

// awaitEnd waits until the entry is gone and returns the time; the zero time if
// it is still there after the limit.
func (t *entryTable) awaitEnd(ctx context.Context, e entry, limit time.Duration) (time.Time, error) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		if ctx.Err() != nil {
			return time.Time{}, ctx.Err()
		}
		there, err := t.exists(e)
		if err != nil {
			return time.Time{}, err
		}
		if !there {
			return time.Now(), nil
		}
		time.Sleep(100 * time.Microsecond)
	}
	return time.Time{}, nil
}

func tuple(from, to netip.AddrPort) conntrack.Tuple {
	return conntrack.Tuple{
		IP: conntrack.IPTuple{SourceAddress: from.Addr(), DestinationAddress: to.Addr()},
		Proto: conntrack.ProtoTuple{
			Protocol: unix.IPPROTO_UDP, SourcePort: from.Port(), DestinationPort: to.Port(),
		},
	}
}
