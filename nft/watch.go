package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Watcher reports changes of our table that somebody else made.
type Watcher struct {
	nl   *netlink.Conn
	port uint32 // whose changes are ours
}

// Watch joins nftables' notifications in the calling thread's network
// namespace; what r changes is not reported.
func (r *Ruleset) Watch() (*Watcher, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{Groups: 1 << (groupNFTables - 1)})
	if err != nil {
		return nil, fmt.Errorf("watch nftables: %w", err)
	}
	_ = nl.SetReadBuffer(4 << 20) // a small one only means that more is verified
	port := r.conn.portID()
	if err := nl.SetBPF(othersOnly(port)); err != nil {
		return nil, errors.Join(fmt.Errorf("watch nftables: %w", err), nl.Close())
	}
	return &Watcher{nl: nl, port: port}, nil
}

// othersOnly lets no notification in of what one port did. Those of a large
// change of ours would fill the buffer, and what was lost could be anybody's.
func othersOnly(port uint32) []bpf.RawInstruction {
	// A datagram holds notifications of one transaction. nlmsg_pid, in the
	// host's order, is at 12 of struct nlmsghdr; BPF loads big endian.
	const pidAt = 12
	b := binary.NativeEndian.AppendUint32(nil, port)
	raw, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: pidAt, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(b), SkipFalse: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1<<32 - 1},
	})
	if err != nil {
		panic(err) // a constant program
	}
	return raw
}

// Run calls changed, on its own goroutine, after every transaction of others
// that touched our table, and whenever notifications were lost. It returns nil
// when ctx ends, and closes the watcher.
func (w *Watcher) Run(ctx context.Context, changed func()) error {
	stop := context.AfterFunc(ctx, func() { w.nl.Close() })
	defer func() {
		if stop() {
			w.nl.Close()
		}
	}()
	touched := false
	for {
		msgs, err := w.nl.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			changed()
			continue
		case err != nil:
			return fmt.Errorf("watch nftables: %w", err)
		}
		for _, m := range msgs {
			if uint16(m.Header.Type)>>8 != subsys || m.Header.PID == w.port {
				continue
			}
			if uint16(m.Header.Type)&0xff == msgNewGen { // a transaction's last message
				if touched {
					changed()
				}
				touched = false
				continue
			}
			touched = touched || mentions(m.Data, TableName)
		}
	}
}

// Close leaves the notifications, where Run was not called.
func (w *Watcher) Close() error { return w.nl.Close() }

// mentions reports whether a notification is about a table: its name is the
// first attribute of tables', chains', rules', sets', elements' and objects'
// messages alike.
func mentions(body []byte, table string) bool {
	if len(body) < 4 || body[0] != familyINet {
		return false
	}
	const nameAttr = 1 // NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE ...
	found := false
	eachAttr(body[4:], func(typ uint16, d []byte) {
		if typ == nameAttr {
			found = cString(d) == table
		}
	})
	return found
}
