package bench

import (
	"context"
	"fmt"
	"os"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// callback serves queue 0 as the library's documentation shows it: one
// callback and one verdict a packet. It is given what spares it losses: a long
// queue, a large buffer, short copies.
func callback() error {
	const length, copied, overhead = 1024, 128, 2048
	v, err := newView()
	if err != nil {
		return err
	}
	queue, err := nfqueue.Open(&nfqueue.Config{
		NfQueue: 0, MaxQueueLen: length, MaxPacketLen: copied, Copymode: nfqueue.NfQnlCopyPacket, AfFamily: unix.AF_UNSPEC,
	})
	if err != nil {
		return fmt.Errorf("open queue: %w", err)
	}
	defer queue.Close()
	if err := queue.SetOption(netlink.NoENOBUFS, true); err != nil {
		return fmt.Errorf("set queue option: %w", err)
	}
	if err := queue.Con.SetReadBuffer(length * (copied + overhead)); err != nil {
		return fmt.Errorf("size queue buffer: %w", err)
	}
	err = queue.RegisterWithErrorFunc(context.Background(), func(a nfqueue.Attribute) int {
		if a.PacketID == nil || a.Payload == nil {
			return 0
		}
		mark := uint32(decide(v, *a.Payload))
		if err := queue.SetVerdictWithOption(*a.PacketID, nfqueue.NfAccept, nfqueue.WithMark(mark)); err != nil {
			fmt.Fprintln(os.Stderr, "verdict:", err)
		}
		return 0
	}, func(error) int { return 0 })
	if err != nil {
		return fmt.Errorf("register at queue: %w", err)
	}
	return attend(nil)
}

// decide is the ring's backend for an IPv4 packet; 0 for one without a key.
func decide(v *balancer.View, packet []byte) uint16 {
	const udpHeader = 8
	if len(packet) == 0 {
		return 0
	}
	at := int(packet[0]&0x0f)*4 + udpHeader + keyOffset
	if len(packet) < at+keyLength {
		return 0
	}
	return v.Ring(false).At(v.Hash(packet[at : at+keyLength]))
}
