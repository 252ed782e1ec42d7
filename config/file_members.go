package config

import (
	"net/netip"

	"github.com/roamlb/roamlb/balancer"
)

// fileMembers is the whole file.
var fileMembers = []member[File]{
	part("api", apiMembers, func(f *File) *API { return &f.API }),
	text("state", func(f *File) *string { return &f.State }),
	text("netns", func(f *File) *string { return &f.NetNS }),
	text("nft", func(f *File) *NFT { return &f.NFT }),
	part("queues", queueMembers, func(f *File) *balancer.Queues { return &f.Queues }),
	markMask,
	number("zone_base", zoneBaseSpan, func(f *File) *uint16 { return &f.ZoneBase }),
	part("log", logMembers, func(f *File) *Log { return &f.Log }),
	objects("services", serviceMembers, DefaultService, func(f *File) *[]balancer.Service { return &f.Services }),
}

// markMask is read and written in hex.
var markMask = member[File]{
	name: "mark_mask",
	read: func(d *decoder, at string, n *node, to *File) {
		if v, ok := d.mask(at, n, markMaskSpan); ok {
			to.MarkMask = uint32(v)
		}
	},
	write: func(from *File) *node { return maskNode(from.MarkMask) },
}

var apiMembers = []member[API]{
	{
		name: "listen",
		read: func(d *decoder, at string, n *node, to *API) {
			if a, ok := d.endpoint(at, n); ok {
				to.Listen = a
			}
		},
		write: func(from *API) *node { return endpointNode(from.Listen) },
	},
	text("socket", func(a *API) *string { return &a.Socket }),
	text("socket_group", func(a *API) *string { return &a.SocketGroup }),
	part("tls", tlsMembers, func(a *API) *TLS { return &a.TLS }),
	text("auth", func(a *API) *Auth { return &a.Auth }),
	boolean("insecure", func(a *API) *bool { return &a.Insecure }),
}

var tlsMembers = []member[TLS]{
	text("cert", func(t *TLS) *string { return &t.Cert }),
	text("key", func(t *TLS) *string { return &t.Key }),
	text("client_ca", func(t *TLS) *string { return &t.ClientCA }),
}

var queueMembers = []member[balancer.Queues]{
	number("first", queueFirstSpan, func(q *balancer.Queues) *uint16 { return &q.First }),
	number("count", queueCountSpan, func(q *balancer.Queues) *uint16 { return &q.Count }),
	number("length", queueLengthSpan, func(q *balancer.Queues) *uint32 { return &q.Length }),
}

var logMembers = []member[Log]{
	text("level", func(l *Log) *LogLevel { return &l.Level }),
	text("format", func(l *Log) *LogFormat { return &l.Format }),
	text("keys", func(l *Log) *LogKeys { return &l.Keys }),
}

// endpointNode is the opposite of the decoder's endpoint.
func endpointNode(a netip.AddrPort) *node {
	if !a.IsValid() {
		return textNode("")
	}
	return textNode(a.String())
}
