package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// names says which host names lead here besides addresses and localhost: those
// of the TLS certificate.
type names func() []string

// checkHost refuses a name that is not ours: a page elsewhere could have given
// its own name our address (DNS rebinding) and would pass for the same origin.
func checkHost(own names, r *http.Request) *Problem {
	host := hostOnly(r.Host)
	if _, err := netip.ParseAddr(host); err == nil || strings.EqualFold(host, "localhost") {
		return nil
	}
	if own != nil {
		for _, name := range own() {
			if covers(name, host) {
				return nil
			}
		}
	}
	return misdirected.because("use an address, localhost, or a name of the TLS certificate").header("Host", "is %q", r.Host)
}

// hostOnly is a Host header's host, without port and brackets.
func hostOnly(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.Trim(host, "[]")
}

// covers reports whether a certificate's name, of which the first label may be
// a star, is a host's.
func covers(name, host string) bool {
	if strings.EqualFold(name, host) {
		return true
	}
	parent, ok := strings.CutPrefix(name, "*.")
	if !ok {
		return false
	}
	_, rest, ok := strings.Cut(host, ".")
	return ok && strings.EqualFold(parent, rest)
}

// checkOrigin refuses what a page of another origin has a browser send: it
// would bring the user's cookie along. Programs send neither header.
func checkOrigin(r *http.Request, cookie bool) *Problem {
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	if safe && !cookie {
		return nil
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		if !safe || r.Header.Get("Sec-Fetch-Mode") != "navigate" {
			return forbidden.because("a page of another origin may not do this").header("Sec-Fetch-Site", "is %q", r.Header.Get("Sec-Fetch-Site"))
		}
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || !strings.EqualFold(u.Host, r.Host) || u.Scheme != scheme(r) {
		return forbidden.because("a page of another origin may not do this").header("Origin", "is %q, want %s://%s", origin, scheme(r), r.Host)
	}
	return nil
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}
