package store

import (
	"strings"
	"testing"
	"time"
)

// A token is found by its secret alone, which is not kept.
func TestTokens(t *testing.T) {
	now := time.Unix(1_700_000_000, 5)
	a, secret := NewToken("ops", ScopeWrite, now)
	b, other := NewToken("dev", ScopeRead, now)
	st := State{Tokens: []Token{a, b}}
	if got, ok := st.FindToken(secret); !ok || got.Name != "ops" || got.Scope != ScopeWrite {
		t.Errorf("found %+v, %v", got, ok)
	}
	if got, ok := st.FindToken(other); !ok || got.Name != "dev" {
		t.Errorf("found %+v, %v", got, ok)
	}
	for _, bad := range []string{"", "rlb_", "rlb_short", "xxx_" + secret[4:], secret + "A", strings.ToUpper(secret), secret[4:]} {
		if _, ok := st.FindToken(bad); ok {
			t.Errorf("%q is a token's secret", bad)
		}
	}
	text, err := encode(State{Revision: 1, Secret: []byte("s"), Tokens: st.Tokens})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), secret) || strings.Contains(string(text), secret[4:]) {
		t.Error("the state file holds a secret")
	}
	back, err := decode(text)
	if err != nil || len(back.Tokens) != 2 || !back.Tokens[0].Created.Equal(a.Created) {
		t.Errorf("read back %+v, %v", back.Tokens, err)
	}
}

// A state that somebody edited must not open the API.
func TestWrongTokensAreRefused(t *testing.T) {
	good, _ := NewToken("ops", ScopeRead, time.Unix(1, 0))
	for name, change := range map[string]func(*Token){
		"no name":        func(t *Token) { t.Name = "" },
		"no scope":       func(t *Token) { t.Scope = "" },
		"another scope":  func(t *Token) { t.Scope = "root" },
		"a hash too few": func(t *Token) { t.SHA256 = nil },
	} {
		bad := good
		change(&bad)
		if err := (&State{Tokens: []Token{bad}}).validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := (&State{Tokens: []Token{good, good}}).validate(); err == nil {
		t.Error("two of one name: no error")
	}
}
