package config

import (
	"math/bits"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/roamlb/roamlb/balancer"
)

// checker checks values, and values against each other. Its pointers are into
// the complete form of a configuration.
type checker struct {
	report
	// member returns the pointer that the text has for one into the complete
	// form, and whether the member was read, so that there is something to say
	// about it. nil: there is no text.
	member func(at string) (string, bool)
}

// add notes a problem of a member, if that was read.
func (c *checker) add(at, format string, args ...any) {
	if c.member != nil {
		written, ok := c.member(at)
		if !ok {
			return
		}
		at = written
	}
	c.report.add(at, format, args...)
}

// namePattern is the form of the names of services, variants and backends.
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (c *checker) file(f *File) {
	c.api("/api", &f.API)
	if c.path("/state", f.State) && strings.HasSuffix(f.State, "/") {
		c.add("/state", "must be a file, not a directory")
	}
	c.netns("/netns", f.NetNS)
	oneOf(c, "/nft", f.NFT, NFTManaged, NFTExternal)
	c.queues("/queues", f.Queues)
	c.ids(f)
	oneOf(c, "/log/level", f.Log.Level, LogDebug, LogInfo, LogWarn, LogError)
	oneOf(c, "/log/format", f.Log.Format, LogText, LogJSON)
	oneOf(c, "/log/keys", f.Log.Keys, LogKeysHash, LogKeysFull)
	c.services("/services", f.Services)
}

func (c *checker) api(at string, a *API) {
	addr := a.Listen.Addr()
	beyond := a.Listen.IsValid() && !addr.IsLoopback()
	switch {
	case !a.Listen.IsValid():
	case addr.Is4In6():
		c.add(at+"/listen", "is an IPv4 address in IPv6 form: write %s", addr.Unmap())
	case addr.IsMulticast():
		c.add(at+"/listen", "is a multicast address")
	case beyond && a.TLS.Cert == "" && !a.Insecure:
		c.add(at+"/listen", "is beyond loopback and needs api.tls, or api.insecure: true")
	}
	if a.Socket != "" && c.path(at+"/socket", a.Socket) && len(a.Socket) > maxSocket {
		c.add(at+"/socket", "is %d bytes long; a Unix socket's path has at most %d", len(a.Socket), maxSocket)
	}
	if a.SocketGroup != "" && (!isWord(a.SocketGroup) || strings.ContainsAny(a.SocketGroup, ":/")) {
		c.add(at+"/socket_group", "must be a group's name or number, not %s", show(a.SocketGroup))
	}
	c.tls(at+"/tls", &a.TLS)
	oneOf(c, at+"/auth", a.Auth, AuthToken, AuthNone)
	if a.Auth == AuthNone && beyond {
		c.add(at+"/auth", "cannot be none while api.listen is beyond loopback")
	}
}

func (c *checker) tls(at string, t *TLS) {
	for _, file := range []struct{ name, path string }{
		{"cert", t.Cert}, {"key", t.Key}, {"client_ca", t.ClientCA},
	} {
		if file.path != "" {
			c.path(join(at, file.name), file.path)
		}
	}
	switch {
	case t.Cert == "" && t.Key != "":
		c.add(at+"/cert", "is missing: cert and key belong together")
	case t.Cert != "" && t.Key == "":
		c.add(at+"/key", "is missing: cert and key belong together")
	case t.Cert == "" && t.ClientCA != "":
		c.add(at+"/client_ca", "needs cert and key")
	}
}

// path checks that a text is an absolute path.
func (c *checker) path(at, p string) bool {
	switch {
	case p == "":
		c.add(at, "is missing")
	case !utf8.ValidString(p):
		c.add(at, "is not UTF-8: %s", show(p))
	case strings.ContainsFunc(p, unicode.IsControl):
		c.add(at, "has a control character: %s", show(p))
	case len(p) > maxTextLength:
		c.add(at, "is %d bytes long; a path has at most %d", len(p), maxTextLength)
	case !path.IsAbs(p):
		c.add(at, "must be an absolute path, not %s", show(p))
	default:
		return true
	}
	return false
}

func (c *checker) netns(at, s string) {
	switch {
	case s == "":
	case strings.Contains(s, "/"):
		c.path(at, s)
	case s == ".", s == "..", !isWord(s):
		c.add(at, "must be the name or the absolute path of a network namespace, not %s", show(s))
	}
}

// isWord tells whether a text is fit for the name of something on the host.
func isWord(s string) bool {
	return len(s) <= 255 && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

func (c *checker) queues(at string, q balancer.Queues) {
	c.number(at+"/length", int64(q.Length), queueLengthSpan)
	if !c.number(at+"/count", int64(q.Count), queueCountSpan) {
		return
	}
	if last := int(q.First) + int(q.Count); last > queueSpace {
		c.add(at+"/first", "leaves no room for %s: the last number is %d", count(int(q.Count), "queue"), queueSpace-1)
	}
}

// ids checks that mark_mask is usable and that it and the zones have an id for
// each backend.
func (c *checker) ids(f *File) {
	backends := 0
	for i := range f.Services {
		backends += len(f.Services[i].Backends)
	}
	if c.number("/zone_base", int64(f.ZoneBase), zoneBaseSpan) {
		if room := maxID - int(f.ZoneBase); backends > room {
			c.add("/zone_base", "leaves %s for %s", count(room, "zone"), count(backends, "backend"))
		}
	}
	width := bits.OnesCount32(f.MarkMask)
	switch low := bits.TrailingZeros32(f.MarkMask); {
	case f.MarkMask == 0:
		c.add("/mark_mask", "must have bits set")
	case f.MarkMask>>low != 1<<width-1:
		c.add("/mark_mask", "must be one run of bits, not %#08x", f.MarkMask)
	case width < minMarkBits:
		c.add("/mark_mask", "has %s; at least %d are needed", count(width, "bit"), minMarkBits)
	case low+width > 32-helperBits:
		c.add("/mark_mask", "leaves no room for the %d helper bits above it: its highest bit can be %#08x",
			helperBits, uint32(1)<<(31-helperBits))
	case backends > min(1<<width-1, maxID):
		c.add("/mark_mask", "has ids for %d backends, and there are %d", min(1<<width-1, maxID), backends)
	}
}

// name checks a name and tells whether it is fit for comparing.
func (c *checker) name(at, s string) bool {
	if !namePattern.MatchString(s) {
		c.add(at, "must be 1 to 63 lower-case letters, digits and inner dashes, not %s", show(s))
		return false
	}
	return true
}

func (c *checker) number(at string, v int64, in span) bool {
	if !in.holds(v) {
		c.add(at, "must be %d to %d, not %d", in.lo, in.hi, v)
		return false
	}
	return true
}

func (c *checker) duration(at string, v time.Duration, in span) bool {
	switch {
	case !in.holds(int64(v)):
		c.add(at, "must be %s to %s, not %s",
			formatDuration(time.Duration(in.lo)), formatDuration(time.Duration(in.hi)), formatDuration(v))
	case v%time.Millisecond != 0:
		c.add(at, "must be whole milliseconds, not %s", v)
	default:
		return true
	}
	return false
}

// oneOf checks that a value is a known one.
func oneOf[S ~string](c *checker, at string, v S, known ...S) {
	if slices.Contains(known, v) {
		return
	}
	words := make([]string, len(known))
	for i, k := range known {
		words[i] = string(k)
		if k == "" {
			words[i] = `""`
		}
	}
	choice := words[len(words)-1]
	if len(words) > 1 {
		choice = strings.Join(words[:len(words)-1], ", ") + " or " + choice
	}
	c.add(at, "must be %s, not %s", choice, show(string(v)))
}

// unicast checks an address of a listener or backend.
func (c *checker) unicast(at string, a netip.Addr) bool {
	switch {
	case !a.IsValid():
		c.add(at, "is missing")
	case a.Is4In6():
		c.add(at, "is an IPv4 address in IPv6 form: write %s", a.Unmap())
	case a.Zone() != "":
		c.add(at, "has an interface (%s); addresses here have none", show("%"+a.Zone()))
	case a.IsUnspecified():
		c.add(at, "is %s, which is no address of its own", a)
	case a.IsMulticast():
		c.add(at, "is a multicast address")
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		c.add(at, "is the broadcast address")
	default:
		return true
	}
	return false
}
