package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// FloodOptions describe a flood: many datagrams, each from another source
// address and port.
type FloodOptions struct {
	To     netip.AddrPort // where it goes
	Count  int            // datagrams; must be above 0
	Rate   int            // datagrams a second; 0: as fast as possible
	Length int            // of each payload, in bytes
	// Fill writes the payload of datagram i, counted from 0; payload is zero
	// or what an earlier call wrote. A nil Fill leaves zeros.
	Fill func(i int, payload []byte)
	// Source returns the source of datagram i, of To's family. Nil: a random
	// address of ClientsIPv4 or ClientsIPv6 and a random port above 1023, the
	// same in every flood with the same Seed.
	Source func(i int) netip.AddrPort
	Seed   uint64
}

// Flood sends a flood and returns how many datagrams the kernel took: all of
// them, unless ctx ends or the kernel refuses some.
func (r *RawSender) Flood(ctx context.Context, opts FloodOptions) (sent int, err error) {
	if opts.Count <= 0 || opts.Rate < 0 || opts.Length < 0 {
		return 0, fmt.Errorf("flood: count %d, rate %d, length %d", opts.Count, opts.Rate, opts.Length)
	}
	if opts.Source == nil {
		opts.Source = randomSource(opts.To.Addr().Is4(), opts.Seed)
	}
	f := flood{opts: opts, packets: make([][]byte, batchSize)}
	p := pace{start: time.Now(), rate: opts.Rate}
	for done := 0; done < opts.Count; {
		n := p.next(ctx, done, min(batchSize, opts.Count-done))
		if n == 0 {
			return sent, fmt.Errorf("flood: %w", ctx.Err())
		}
		f.prepare(done, n)
		took, refused := r.Send(f.packets[:n]...)
		sent += took
		if refused != nil && err == nil {
			err = fmt.Errorf("flood: %w", refused)
		}
		done += n
	}
	return sent, err
}

// flood makes packets in memory that it uses again.
type flood struct {
	opts    FloodOptions
	packets [][]byte
}

// prepare makes the n packets that follow the first done ones.
func (f *flood) prepare(done, n int) {
	for i := range n {
		src := f.opts.Source(done + i)
		if f.packets[i] == nil {
			f.packets[i] = UDPPacket(src, f.opts.To, make([]byte, f.opts.Length), PacketOptions{})
		}
		packet := f.packets[i]
		payload := packet[len(packet)-f.opts.Length:]
		if f.opts.Fill != nil {
			f.opts.Fill(done+i, payload)
		}
		header := ipv6HeaderSize
		if src.Addr().Is4() {
			header = ipv4HeaderSize
			from := src.Addr().As4()
			copy(packet[12:], from[:])
			putIPv4Checksum(packet[:header])
		} else {
			from := src.Addr().As16()
			copy(packet[8:], from[:])
		}
		putUDPHeader(packet[header:], src, f.opts.To, true)
	}
}

// randomSource returns a FloodOptions.Source.
func randomSource(ipv4 bool, seed uint64) func(int) netip.AddrPort {
	random := rand.New(rand.NewPCG(seed, 0))
	return func(int) netip.AddrPort {
		port := uint16(1024 + random.IntN(1<<16-1024))
		if ipv4 {
			return netip.AddrPortFrom(ClientIPv4(random.IntN(1<<17-2)), port)
		}
		return netip.AddrPortFrom(ClientIPv6(random.IntN(1<<24)), port)
	}
}
