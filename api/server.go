package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/roamlb/roamlb/config"
)

const (
	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = time.Minute // of one answer; streams set their own deadlines
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
	farewell      = 3 * time.Second // that requests have to end in
)

// Server answers the API on the Unix socket and over TCP.
type Server struct {
	settings config.API
	certs    *certificates // nil: no TLS
	socket   net.Listener  // nil: none
	tcp      net.Listener  // nil: none
	handler  func(viaSocket bool) http.Handler
	log      *slog.Logger
}

// Listen opens the listeners that the settings ask for. After an error none is
// open. The Unix socket is usable by its owner and the group as soon as Listen
// returns; requests wait until Run.
func Listen(ctx context.Context, o Options) (*Server, error) {
	s := &Server{settings: o.File.API, log: o.Log}
	if o.File.API.TLS.Cert != "" {
		certs, err := loadCertificates(o.File.API.TLS, o.Log)
		if err != nil {
			return nil, fmt.Errorf("api.tls: %w", err)
		}
		s.certs = certs
	}
	var err error
	if s.tcp, err = listenTCP(ctx, o.File.API, s.certs); err != nil {
		return nil, err
	}
	if s.socket, err = listenSocket(ctx, o.File.API); err != nil {
		return nil, errors.Join(err, s.close())
	}
	var own names
	if s.certs != nil {
		own = s.certs.hostNames
	}
	if s.handler, err = newHandler(o, own); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// close closes the listeners.
func (s *Server) close() error {
	var errs []error
	for _, l := range []net.Listener{s.tcp, s.socket} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// Addr is where the API answers over TCP; nil for nowhere.
func (s *Server) Addr() net.Addr {
	if s.tcp == nil {
		return nil
	}
	return s.tcp.Addr()
}

// Run answers requests until ctx ends, and returns nil then. It is called once.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, way := range []struct {
		listener  net.Listener
		viaSocket bool
	}{{s.tcp, false}, {s.socket, true}} {
		if way.listener == nil {
			continue
		}
		s.log.Info("API", "listen", way.listener.Addr().String())
		server := &http.Server{
			Handler:           s.handler(way.viaSocket),
			ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
			MaxHeaderBytes: maxHeader,
			ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what clients do wrong
			BaseContext:    func(net.Listener) context.Context { return ctx },   // streams end with it
		}
		g.Go(func() error { return serveUntil(ctx, server, way.listener) })
	}
	err := g.Wait()
	if s.settings.Socket != "" {
		// Go removes it with the listener; that it is gone already is no matter.
		_ = os.Remove(s.settings.Socket)
	}
	return err
}

// serveUntil serves until ctx ends; requests under way then have a moment to end.
func serveUntil(ctx context.Context, server *http.Server, l net.Listener) error {
	ended := make(chan error, 1) // one buffered: nobody waits for it after a failure
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve API on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close() // whoever still hangs on is cut off
	}
	<-ended
	return nil
}
