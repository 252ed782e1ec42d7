package check

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// nfnetlink is a raw NETLINK_NETFILTER socket. The netlink libraries stop at
// a batch's first error and do not say whose it is; here every message's own
// answer counts.
type nfnetlink struct {
	fd  int
	seq uint32
}

// request is one message: include/uapi/linux/netfilter/nfnetlink.h.
type request struct {
	typ    uint16 // subsystem << 8 | message
	flags  uint16 // beside NLM_F_REQUEST
	family uint8
	resID  uint16
	attrs  []byte
}

const answerTimeout = 5 * time.Second

func dialNfnetlink() (*nfnetlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	tv := unix.NsecToTimeval(int64(answerTimeout))
	if err := errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
	); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	return &nfnetlink{fd: fd}, nil
}

func (n *nfnetlink) close() { unix.Close(n.fd) }

// execute sends one request and returns the kernel's answer.
func (n *nfnetlink) execute(r request) error {
	r.flags |= unix.NLM_F_ACK
	answers, err := n.exchange([]request{r}, 0)
	if err != nil {
		return err
	}
	return answers[0]
}

// rehearse has the kernel try an nftables transaction and returns its answer
// to each request, nil where it takes it. The first request makes a table; a last one
// that makes it again cannot succeed, so that the kernel undoes the rest:
// nothing is ever committed. The error is of the transaction as a whole: no
// rights, no nftables.
func (n *nfnetlink) rehearse(rs []request) ([]error, error) {
	batch := []request{{typ: unix.NFNL_MSG_BATCH_BEGIN, resID: unix.NFNL_SUBSYS_NFTABLES}}
	for _, r := range rs {
		r.flags |= unix.NLM_F_ACK
		batch = append(batch, r)
	}
	again := batch[1]
	again.flags |= unix.NLM_F_EXCL
	batch = append(batch, again, request{typ: unix.NFNL_MSG_BATCH_END, resID: unix.NFNL_SUBSYS_NFTABLES})
	answers, err := n.exchange(batch, len(batch)-2)
	if err != nil {
		return nil, err
	}
	if answers[0] != nil {
		return nil, answers[0]
	}
	return answers[1 : len(rs)+1], nil
}

// exchange sends requests in one datagram and collects the answers by their
// sequence numbers, up to that of request last. An answer to request 0 of
// several, a batch's begin, is one to the whole batch.
func (n *nfnetlink) exchange(rs []request, last int) ([]error, error) {
	first := n.seq + 1
	var out []byte
	for _, r := range rs {
		n.seq++
		out = r.append(out, n.seq)
	}
	if err := unix.Sendto(n.fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("sendto", err)
	}
	answers := make([]error, len(rs))
	buf := make([]byte, 64<<10)
	for {
		size, _, err := unix.Recvfrom(n.fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("recvfrom", err)
		}
		for msg := buf[:size]; len(msg) >= unix.NLMSG_HDRLEN; {
			length := int(binary.NativeEndian.Uint32(msg))
			if length < unix.NLMSG_HDRLEN || length > len(msg) {
				return nil, fmt.Errorf("netlink message of %d bytes in %d", length, len(msg))
			}
			i, answer := decodeAnswer(msg[:length], first)
			if i >= 0 && i < len(answers) {
				answers[i] = answer
				if i == last || i == 0 && answer != nil {
					return answers, nil
				}
			}
			msg = msg[min(len(msg), (length+3)&^3):]
		}
	}
}

// append writes the message: struct nlmsghdr (length, type, flags, sequence,
// port, all in host order), struct nfgenmsg (family, version 0, resource id
// in network order), attributes.
func (r request) append(b []byte, seq uint32) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+4+len(r.attrs)))
	b = binary.NativeEndian.AppendUint16(b, r.typ)
	b = binary.NativeEndian.AppendUint16(b, r.flags|unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, r.family, unix.NFNETLINK_V0)
	b = binary.BigEndian.AppendUint16(b, r.resID)
	return append(b, r.attrs...) // attributes end aligned
}

// decodeAnswer returns which request, counted from sequence number first, an
// NLMSG_ERROR answers, and with what; -1 for other messages. Its payload
// begins with the negative errno, 0 for success.
func decodeAnswer(msg []byte, first uint32) (int, error) {
	if binary.NativeEndian.Uint16(msg[4:]) != unix.NLMSG_ERROR || len(msg) < unix.NLMSG_HDRLEN+4 {
		return -1, nil
	}
	i := int(int32(binary.NativeEndian.Uint32(msg[8:]) - first))
	if errno := -int32(binary.NativeEndian.Uint32(msg[unix.NLMSG_HDRLEN:])); errno != 0 {
		return i, unix.Errno(errno)
	}
	return i, nil
}
