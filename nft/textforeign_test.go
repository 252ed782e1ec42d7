package nft

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// foreign is a table of our name as an operator might have made it. What its
// rules say our own do not, but mean something to whoever looks for the cause of
// trouble.
const foreign = `
table inet roamlb {
	comment "theirs"

	ct timeout slow {
		protocol udp
		l3proto ip
		policy = { replied : 300 }
	}

	set some {
		type ipv4_addr
		policy memory
		size 100
		flags interval,timeout
		counter
		timeout 1h
		gc-interval 1m30s
		comment "a few"
		elements = { 192.0.2.1, 198.51.100.0/24, 203.0.113.7-203.0.113.9, 224.0.0.0/3 }
	}

	set anyone {
		type ipv6_addr
		flags interval
		auto-merge
		elements = { ::/0 }
	}

	set ports {
		type inet_service
		flags constant
		elements = { 53 comment "names", 67, 68, 69, 123, 161, 443 }
	}

	map doors {
		type inet_service : verdict
		flags interval
		elements = { 53 : accept, 1000-2000 : drop, 3000 : jump other }
	}

	map marks {
		type ipv4_addr . inet_service : mark
		elements = { 192.0.2.1 . 53 : 0x00000001, 192.0.2.1 . 256 : 0x00000002, 10.0.0.1 . 1 : 0x00000003, 192.0.2.1 . 512 : 0x00000004 }
	}

	map default {
		type mark : ipv4_addr
		elements = { 0x0000000a : 192.0.2.1, * : 192.0.2.2 }
	}

	set spans {
		type ipv4_addr . inet_service
		flags interval
		elements = { 192.0.2.0/24 . 53-60 }
	}

	set seen {
		type mark
		size 128
		flags dynamic,timeout
		timeout 1m
	}

	chain other {
		comment "where others go"
	}

	chain forward {
		type filter hook forward priority filter + 5; policy drop;
		ct state established,related accept
		ct state invalid drop
		ct status dnat counter accept
		ct status ! snat drop
		ct direction reply return
		ct original zone 7 accept
		iifname "eth0" oifname != "wg*" accept
		meta l4proto tcp tcp dport 22 counter name "x" drop
		ip saddr 192.0.2.0/24 ip daddr != 198.51.100.0/24 accept
		ip saddr & 255.0.255.0 == 10.0.1.0 accept
		ip saddr 192.0.2.1-192.0.2.9 udp dport != 1000-2000 accept
		ip ttl > 5 udp length < 100 continue
		meta nfproto ipv6 counter
		meta nfproto ipv4 meta l4proto udp counter udp dport 53 accept
		ip saddr @some jump other
		ip6 daddr @anyone return
		udp dport @ports log prefix "dns: " group 3 snaplen 64 queue-threshold 2
		tcp dport != @ports log level info
		udp dport vmap @doors
		udp dport { 53, 67-68 } accept
		udp dport vmap { 53 : accept, 67 : goto other }
		ip saddr . udp sport { 192.0.2.1 . 53, 192.0.2.2 . 54 } accept
		meta mark set ip saddr . udp dport map @marks
		meta mark set meta mark ^ 0x00000001
		meta mark set 0x0000002a ct mark set meta mark
		ct zone set 5 ct event set new,destroy,assured
		ct timeout set "slow"
		ip saddr . udp dport @spans drop
		add @seen { meta mark } update @seen { meta mark timeout 1m30s counter }
		meta length > 1500 reject with icmpx host-unreachable
		meta l4proto tcp reject with tcp reset
		meta mark 0x00000001-0x00000005 reject
		jhash ip saddr . udp sport mod 16 seed 0xcafe offset 3 5 accept
		meta mark set symhash mod 4
		@th,160,32 & 0xff00ff == 0x10002 @ih,8,16 0x102 @ll,0,48 0x1 drop
	}

	chain nat {
		type nat hook postrouting priority srcnat - 1; policy accept;
		meta nfproto ipv4 snat ip to 192.0.2.1
		meta l4proto udp snat ip to 192.0.2.1-192.0.2.5:1024-2048 persistent
		meta l4proto udp snat ip6 to [2001:db8::1]:4000 random,persistent
		meta nfproto ipv6 snat ip6 to 2001:db8::1-2001:db8::5 fully-random
		meta l4proto udp masquerade to :1024-2048 random
		snat ip to meta mark map @default
	}

	chain early {
		type filter hook input priority -310; policy accept;
	}
}
`

// Whatever is in the table, operators must see the same with nft and without.
func TestTextOfForeignTable(t *testing.T) {
	tool := goldenTool(t)
	b := newBed(t)
	text := strings.ReplaceAll(foreign, "counter name \"x\"", "counter")
	var complaints bytes.Buffer
	cmd := exec.Command(tool, "-f", "-")
	cmd.Stdin, cmd.Stderr = strings.NewReader(text), &complaints
	if err := b.LB.Run(cmd); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, complaints.String())
	}
	same := func(s string) string { return timeLeft.ReplaceAllString(s, "expires T") }
	o := TextOptions{Slots: true, Sessions: true}
	sameText(t, "the text is not as nft lists", same(list(t, b.LB, tool)), same(textOf(t, b.rules, o)))
}
