package api

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A page that has given its own name the daemon's address must get nowhere.
func TestHosts(t *testing.T) {
	own := func() []string { return []string{"lb.example", "*.wild.example"} }
	for host, want := range map[string]bool{
		"127.0.0.1:7070": true, "[::1]:7070": true, "[2001:db8::1]": true, "localhost:7070": true, "LOCALHOST": true,
		"lb.example:7070": true, "LB.example": true, "a.wild.example": true,
		"evil.example": false, "wild.example": false, "a.b.wild.example": false, "": false, "localhost.evil.example": false,
		"127.0.0.1.evil.example": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		if got := checkHost(own, r) == nil; got != want {
			t.Errorf("host %q: %v, want %v", host, got, want)
		}
	}
}

// A page elsewhere must not use the cookie of somebody who is signed in here.
func TestOrigins(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		header map[string]string
		cookie bool
		tls    bool
		want   bool
	}{
		{"a program", http.MethodPost, nil, false, false, true},
		{"the dashboard", http.MethodPost, map[string]string{"Origin": "http://127.0.0.1:7070", "Sec-Fetch-Site": "same-origin"}, true, false, true},
		{"the dashboard under TLS", http.MethodPost, map[string]string{"Origin": "https://127.0.0.1:7070"}, true, true, true},
		{"another scheme", http.MethodPost, map[string]string{"Origin": "http://127.0.0.1:7070"}, true, true, false},
		{"another site", http.MethodPost, map[string]string{"Origin": "http://evil.example"}, true, false, false},
		{"another port", http.MethodPost, map[string]string{"Origin": "http://127.0.0.1:8080"}, true, false, false},
		{"null", http.MethodPost, map[string]string{"Origin": "null"}, true, false, false},
		{"another site without a cookie", http.MethodDelete, map[string]string{"Origin": "http://evil.example"}, false, false, false},
		{"only said to be cross-site", http.MethodPost, map[string]string{"Sec-Fetch-Site": "cross-site"}, true, false, false},
		{"reads with the cookie from elsewhere", http.MethodGet, map[string]string{"Origin": "http://evil.example"}, true, false, false},
		{"follows a link", http.MethodGet, map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, true, false, true},
		{"reads without a cookie", http.MethodGet, map[string]string{"Origin": "http://evil.example"}, false, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "/v1/services", nil)
			r.Host = "127.0.0.1:7070"
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			if got := checkOrigin(r, tt.cookie) == nil; got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
