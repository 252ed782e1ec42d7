package api

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/store"
)

// Principal is who asks.
type Principal struct {
	event.Actor
	Scope store.Scope
}

// mayWrite reports whether the principal may change things and see secrets.
func (p Principal) mayWrite() bool { return p.Scope == store.ScopeWrite }

type principalKey struct{}

// principalOf is who sent the request that a context belongs to. Without one,
// nobody: no scope at all.
func principalOf(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// authenticator finds out who asks.
type authenticator struct {
	auth   config.Auth
	state  func() store.State
	failed *limiter // wrong tokens, by client address
	now    func() time.Time
}

// socketFrom is where requests over the Unix socket come from.
const socketFrom = "unix socket"

// identify is who sent a request, by what it carries. Without a token it is
// nobody, and no error: some operations are open.
func (a *authenticator) identify(r *http.Request, viaSocket bool) (Principal, *Problem) {
	if viaSocket {
		return Principal{event.Actor{Name: "socket", From: socketFrom}, store.ScopeWrite}, nil
	}
	from := r.RemoteAddr
	if a.auth == config.AuthNone {
		return Principal{event.Actor{Name: "anyone", From: from}, store.ScopeWrite}, nil
	}
	header := r.Header.Get("Authorization")
	cookie, err := r.Cookie(cookieName)
	if header == "" && err != nil {
		return Principal{}, nil
	}
	client := clientAddress(r)
	if a.failed.exhausted(client, a.now()) {
		return Principal{}, tooMany.because("too many wrong tokens from %s", client).later(time.Second)
	}
	token, ok := store.Token{}, false
	if header != "" {
		token, ok = a.byBearer(header)
	} else {
		token, ok = a.byCookie(cookie.Value)
	}
	if !ok {
		if _, left := a.failed.take(client, a.now()); !left {
			return Principal{}, tooMany.because("too many wrong tokens from %s", client).later(time.Second)
		}
		return Principal{}, unauthorized.because("the token is not known: it may have been deleted, or the sign-in is over")
	}
	return Principal{event.Actor{Name: token.Name, From: from}, token.Scope}, nil
}

// byBearer is the token whose secret an Authorization header holds.
func (a *authenticator) byBearer(header string) (store.Token, bool) {
	kind, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(kind, "Bearer") {
		return store.Token{}, false
	}
	return a.bySecret(strings.TrimSpace(secret))
}

// bySecret is the token with this secret.
func (a *authenticator) bySecret(secret string) (store.Token, bool) {
	st := a.state()
	return st.FindToken(secret)
}

// byCookie is the token that a sign-in was made with.
func (a *authenticator) byCookie(value string) (store.Token, bool) {
	name, signed, ok := readCookie(value, a.now())
	if !ok {
		return store.Token{}, false
	}
	st := a.state()
	for _, t := range st.Tokens {
		if t.Name == name {
			return t, signed(st.Secret, t.SHA256)
		}
	}
	return store.Token{}, false
}

// clientAddress is the address that a request came from; the zero Addr over
// the Unix socket.
func clientAddress(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr()
}
