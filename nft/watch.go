package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Watcher reports changes of our table that somebody else made.
type Watcher struct {
	nl     *netlink.Conn
	port   uint32        // whose changes are ours
	missed chan struct{} // one buffered: somebody's change may have gone unseen
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
	w := &Watcher{nl: nl, port: port, missed: make(chan struct{}, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watcher = w
	return w, nil
}

// aside runs a change of many elements while nobody watches: for each of them
// the kernel would make a notification, which takes longer than the change.
// Whether others have changed anything meanwhile shows in the number of
// transactions. n is how many the change makes if all goes well. r.mu is
// locked.
func (r *Ruleset) aside(n int, change func() error) error {
	w := r.watcher
	if w == nil {
		return change()
	}
	before, err := r.conn.generation()
	if err != nil {
		return err
	}
	if w.nl.LeaveGroup(groupNFTables) != nil {
		return change() // the watcher is closed
	}
	failed := change()
	if w.nl.JoinGroup(groupNFTables) != nil {
		return failed // closed meanwhile
	}
	after, err := r.conn.generation()
	if err != nil || failed != nil || after-before != uint32(n) {
		select {
		case w.missed <- struct{}{}:
		default:
		}
	}
	return failed
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

// Run calls changed, on goroutines of its own, after every transaction of
// others that touched our table, and whenever some may have gone unseen. It
// returns nil when ctx ends, and closes the watcher.
func (w *Watcher) Run(ctx context.Context, changed func()) error {
	stop := context.AfterFunc(ctx, func() { w.nl.Close() })
	ended := make(chan struct{})
	var missed sync.WaitGroup
	missed.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-w.missed:
				changed()
			}
		}
	})
	defer func() {
		close(ended)
		missed.Wait()
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
