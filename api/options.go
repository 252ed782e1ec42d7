package api

import (
	"log/slog"
	"net/http"

	"github.com/roamlb/roamlb/config"
)

// Options is what the API works with.
type Options struct {
	Settings config.API
	Log      *slog.Logger
}

func newHandler(o Options, own names) func(viaSocket bool) http.Handler { return nil }
