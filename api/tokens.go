package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/openapi"
	"github.com/roamlb/roamlb/store"
)

// maxTokens bounds the state.
const maxTokens = 1024

// ListTokens is GET /v1/tokens.
func (h *handlers) ListTokens(_ context.Context, r openapi.ListTokensRequestObject) (openapi.ListTokensResponseObject, error) {
	tokens := slices.Clone(h.State().Tokens)
	slices.SortFunc(tokens, func(a, b store.Token) int { return strings.Compare(a.Name, b.Name) })
	shown, next := page(tokens, func(t *store.Token) string { return t.Name }, r.Params.Limit, r.Params.Cursor)
	list := openapi.TokenList{Items: make([]openapi.Token, len(shown)), Next: next}
	for i := range shown {
		list.Items[i] = tokenDoc(&shown[i])
	}
	return openapi.ListTokens200JSONResponse(list), nil
}

// CreateToken is POST /v1/tokens.
func (h *handlers) CreateToken(ctx context.Context, r openapi.CreateTokenRequestObject) (openapi.CreateTokenResponseObject, error) {
	t, secret := store.NewToken(r.Body.Name, store.ScopeRead, time.Now())
	if r.Body.Scope != nil {
		t.Scope = store.Scope(*r.Body.Scope)
	}
	err := h.ChangeTokens(context.WithoutCancel(ctx), principalOf(ctx).Actor, func(have []store.Token) ([]store.Token, error) {
		if slices.ContainsFunc(have, func(o store.Token) bool { return o.Name == t.Name }) {
			return nil, conflict.because("there is a token %s already", t.Name).at("/name", "is taken")
		}
		if len(have) >= maxTokens {
			return nil, conflict.because("there are %d tokens, the most that are kept", maxTokens)
		}
		return append(slices.Clone(have), t), nil
	})
	if err != nil {
		return nil, err
	}
	at := "/v1/tokens/" + url.PathEscape(t.Name)
	return openapi.CreateToken201JSONResponse{
		Body:    openapi.NewToken{Name: t.Name, Scope: openapi.Scope(t.Scope), Created: t.Created.UTC(), Secret: secret},
		Headers: openapi.CreateToken201ResponseHeaders{Location: &at},
	}, nil
}

// DeleteToken is DELETE /v1/tokens/{name}.
func (h *handlers) DeleteToken(ctx context.Context, r openapi.DeleteTokenRequestObject) (openapi.DeleteTokenResponseObject, error) {
	err := h.ChangeTokens(context.WithoutCancel(ctx), principalOf(ctx).Actor, func(have []store.Token) ([]store.Token, error) {
		left := slices.DeleteFunc(slices.Clone(have), func(t store.Token) bool { return t.Name == r.Name })
		if len(left) == len(have) {
			return nil, notFound.because("there is no token %s", r.Name)
		}
		return left, nil
	})
	return openapi.DeleteToken204Response{}, err
}

// Login is POST /v1/login.
func (h *handlers) Login(ctx context.Context, r openapi.LoginRequestObject) (openapi.LoginResponseObject, error) {
	request := requestIn(ctx)
	t, problem := h.auth.login(request, r.Body.Token)
	if problem != nil {
		return nil, problem
	}
	value := cookieValue(h.State().Secret, t.Name, t.SHA256, time.Now().Add(cookieLife))
	cookie := sessionCookie(value, request.TLS != nil).String()
	h.Tell(event.Event{
		Kind: event.Audit, Reason: "sign-in", Actor: event.Actor{Name: t.Name, From: request.RemoteAddr},
	})
	return openapi.Login200JSONResponse{
		Body: openapi.Identity{Name: t.Name, Scope: openapi.Scope(t.Scope)}, Headers: openapi.Login200ResponseHeaders{SetCookie: &cookie},
	}, nil
}

// login is the token of a secret that somebody signs in with.
func (a *authenticator) login(r *http.Request, secret string) (store.Token, *Problem) {
	client := clientAddress(r)
	if t, ok := a.bySecret(secret); ok && !a.failed.exhausted(client, a.now()) {
		return t, nil
	}
	if wait, ok := a.failed.take(client, a.now()); !ok {
		return store.Token{}, tooMany.because("too many wrong tokens from %s", client).later(wait)
	}
	return store.Token{}, unauthorized.because("there is no such token").at("/token", "is not known")
}

// GetIdentity is GET /v1/login.
func (h *handlers) GetIdentity(ctx context.Context, _ openapi.GetIdentityRequestObject) (openapi.GetIdentityResponseObject, error) {
	who := principalOf(ctx)
	return openapi.GetIdentity200JSONResponse{Name: who.Name, Scope: openapi.Scope(who.Scope)}, nil
}

// Logout is DELETE /v1/login.
func (h *handlers) Logout(ctx context.Context, _ openapi.LogoutRequestObject) (openapi.LogoutResponseObject, error) {
	cookie := sessionCookie("", requestIn(ctx).TLS != nil).String()
	return openapi.Logout204Response{Headers: openapi.Logout204ResponseHeaders{SetCookie: &cookie}}, nil
}

// stillKnown reports whether who sent a request long ago would be let in now.
func (h *handlers) stillKnown(r *http.Request) bool {
	who := principalOf(r.Context())
	if who.From == socketFrom {
		return true
	}
	again, problem := h.auth.identify(r, false)
	return problem == nil && again.Scope == who.Scope
}
