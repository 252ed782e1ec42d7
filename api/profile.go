package api

import (
	"net/http"
	"net/http/pprof"
	"strings"
)

const profilePath = "/debug/pprof/"

// profiled answers what "go tool pprof" asks, for whoever may use the Unix
// socket; over TCP there is no such thing. A profile tells of secrets, and
// taking one costs time.
func profiled(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(profilePath, pprof.Index)
	mux.HandleFunc(profilePath+"cmdline", pprof.Cmdline)
	mux.HandleFunc(profilePath+"profile", pprof.Profile)
	mux.HandleFunc(profilePath+"symbol", pprof.Symbol)
	mux.HandleFunc(profilePath+"trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, profilePath) {
			mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
