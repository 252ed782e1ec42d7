package config

import (
	"net/netip"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// File is what a configuration file says: the daemon's settings and the
// services, in the file's order. Services have no ids yet (0), and the seed 0
// where the file gives none.
type File struct {
	API      API
	State    string // path of the state on disk
	NetNS    string // the data plane's network namespace, a name or a path; "": the current one
	NFT      NFT
	Queues   balancer.Queues // Count 0: one a CPU, resolved by the daemon
	MarkMask uint32          // packet mark bits that may carry a backend's id
	ZoneBase uint16          // added to a backend's id to give its conntrack zone
	Log      Log
	Services []balancer.Service
}

// API says where and to whom the daemon's API answers.
type API struct {
	Listen      netip.AddrPort // the zero AddrPort: no TCP
	Socket      string         // path of the Unix socket; "": none
	SocketGroup string         // group that may use the socket, a name or a number; "": the daemon's own
	TLS         TLS
	Auth        Auth
	Insecure    bool // allow TCP beyond loopback without TLS
}

// TLS names the PEM files for the API over TCP. All empty: plain HTTP.
type TLS struct {
	Cert     string
	Key      string
	ClientCA string // "": clients need no certificate
}

// Log says what the daemon logs and how.
type Log struct {
	Level  LogLevel
	Format LogFormat
	Keys   LogKeys
}

// Auth says how API clients show who they are.
type Auth string

// The kinds of authentication.
const (
	AuthToken Auth = "token"
	AuthNone  Auth = "none" // loopback and socket only
)

// NFT says whose the nftables rules are.
type NFT string

// The owners of the rules.
const (
	NFTManaged  NFT = "managed"  // ours: one table, kept as it should be
	NFTExternal NFT = "external" // the operator's: we write elements only
)

// LogLevel is the least severity that is logged.
type LogLevel string

// The levels, from the most talkative.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// LogFormat is the notation of log lines.
type LogFormat string

// The formats.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// LogKeys says how session keys, which are secrets, appear in the log.
type LogKeys string

// The ways to show a key.
const (
	LogKeysHash LogKeys = "hash"
	LogKeysFull LogKeys = "full"
)

// Default returns the configuration of an empty file.
func Default() *File {
	return &File{
		API: API{
			Listen: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 7070),
			Socket: "/run/roamlb/roamlb.sock",
			Auth:   AuthToken,
		},
		State:    "/var/lib/roamlb/state.json",
		NFT:      NFTManaged,
		Queues:   balancer.Queues{Length: 1024},
		MarkMask: 0x0000ffff,
		Log:      Log{Level: LogInfo, Format: LogText, Keys: LogKeysHash},
	}
}

// DefaultService returns a service with the defaults of all members that have
// one. It lacks a name, listeners, a key's fields and backends.
func DefaultService() balancer.Service {
	return balancer.Service{
		Key:            balancer.Key{Fallback: balancer.FallbackSource},
		Pinning:        balancer.PinAuto,
		Datapath:       balancer.DatapathQueue,
		Slots:          4093,
		SessionTTL:     2 * time.Hour,
		MaxSessions:    1_000_000,
		Stale:          balancer.StaleOnReply,
		ConfirmTimeout: 10 * time.Second,
		SNAT:           balancer.SNATNone,
		NoBackend:      balancer.NoBackendReject,
		AllDown:        balancer.AllDownAsNoBackend,
		DrainTimeout:   10 * time.Minute,
	}
}

// DefaultBackend returns a backend with the defaults of all members that have
// one. It lacks a name, addresses and a port.
func DefaultBackend() balancer.Backend {
	return balancer.Backend{Weight: 1, Admin: balancer.AdminUp}
}

// DefaultHealth returns probes with the defaults of all members that have one.
// They lack a kind. Those of HTTP ask for / and expect a status of 200 to 299
// where nothing else is said.
func DefaultHealth() balancer.Health {
	return balancer.Health{
		Interval: 5 * time.Second,
		Timeout:  2 * time.Second,
		Rise:     2,
		Fall:     3,
		Jitter:   10,
	}
}
