package nfq

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// queuedMessage is a message with a packet, as the kernel lays it out:
// nfqnl_build_packet_message of net/netfilter/nfnetlink_queue.c.
func queuedMessage(id, mark uint32, packet []byte, copied int) []byte {
	b := beginMessage(nil, msgPacket, 40)
	b = appendAttr(b, attrPacketHdr, byte(id>>24), byte(id>>16), byte(id>>8), byte(id), 0x08, 0x00, 0)
	b = appendWord(b, 5, 3) // NFQA_IFINDEX_INDEV
	if mark != 0 {
		b = appendWord(b, attrMark, mark)
	}
	b = appendAttr(b, 8, make([]byte, 12)...) // NFQA_HWADDR
	if copied < len(packet) {
		b = appendWord(b, attrCapLen, uint32(len(packet)))
	}
	b = append(appendAttr(b, attrPayload), packet[:copied]...)
	last := len(b) - copied - attrLen
	binary.NativeEndian.PutUint16(b[last:], uint16(attrLen+copied))
	return endMessage(b, 0)
}

func TestDecodeQueued(t *testing.T) {
	packet := []byte("a packet of 20 bytes")
	cut := func(b []byte, n int) []byte { return b[:len(b)-n] }
	for _, c := range []struct {
		name string
		b    []byte
		want queued
	}{
		{"whole", queuedMessage(7, 0x40010000, packet, 20), queued{id: 7, mark: 0x40010000, data: packet}},
		{"without a mark", queuedMessage(8, 0, packet, 20), queued{id: 8, data: packet}},
		{"copied in part", queuedMessage(9, 1, packet, 5), queued{id: 9, mark: 1, data: packet[:5], cut: true}},
		{"longer than the buffer", cut(queuedMessage(10, 1, packet, 20), 18), queued{id: 10, mark: 1, data: packet[:2], cut: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, rest, ok := nextMessage(c.b)
			if !ok || m.kind != msgPacket || len(rest) != 0 {
				t.Fatalf("message of type %#x, %d bytes behind it: %t", m.kind, len(rest), ok)
			}
			got, ok := decodeQueued(m.body)
			if !ok {
				t.Fatal("a packet that nobody will answer: it waits until the queue is full")
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(queued{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What the kernel never sends must not bring the daemon down.
func TestDecodeDamagedMessages(t *testing.T) {
	whole := queuedMessage(7, 1, []byte("packet"), 6)
	for n := range len(whole) {
		if m, _, ok := nextMessage(whole[:n]); ok {
			decodeQueued(m.body)
			refusal(m.body)
		}
	}
	long := append([]byte(nil), whole...)
	binary.NativeEndian.PutUint32(long, 1<<31)
	if m, _, ok := nextMessage(long); !ok || len(m.body) != len(whole)-headerLen {
		t.Errorf("a message that says it is longer: %d bytes, %t", len(m.body), ok)
	}
	binary.NativeEndian.PutUint32(long, 3)
	if _, _, ok := nextMessage(long); ok {
		t.Error("a message shorter than its header")
	}
	if _, ok := decodeQueued(appendWord(make([]byte, genericLen), attrMark, 1)); ok {
		t.Error("a packet without an id")
	}
}

// The bytes of a verdict, as linux/netfilter/nfnetlink_queue.h has them: with
// others every packet would be lost or lose its mark.
func TestVerdictBytes(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the bytes below are those of a little-endian machine")
	}
	want := []byte{
		40, 0, 0, 0, 1, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // nlmsghdr
		0, 0, 0, 40, // nfgenmsg
		12, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0x12, 0x34, // NFQA_VERDICT_HDR
		8, 0, 3, 0, 0x40, 0x03, 0x00, 0x02, // NFQA_MARK
	}
	got := appendVerdict(nil, msgVerdict, 40, 0x1234, verdictAccept, 0x40030002, true)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = []byte{
		28, 0, 0, 0, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 40,
		8, 0, 3, 0, 0, 0, 4, 0, // NFQA_CFG_QUEUE_MAXLEN
	}
	if diff := cmp.Diff(want, appendMaxLen(nil, 40, 1024)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = []byte{
		9, 0, 2, 0, 0, 0, 1, 0x30, 2, 0, 0, 0, // NFQA_CFG_PARAMS, filled up
	}
	if diff := cmp.Diff(want, appendCopyRange(nil, 40, 304)[headerLen+genericLen:]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRefusal(t *testing.T) {
	code := int32(-int32(unix.ENOENT))
	body := binary.NativeEndian.AppendUint32(nil, uint32(code))
	body = append(body, appendVerdict(nil, msgVerdict, 40, 1, verdictAccept, 0, false)...)
	if code, request, ok := refusal(body); !ok || code != unix.ENOENT || request != msgVerdict {
		t.Errorf("error %v of message %#x, %t", code, request, ok)
	}
}
