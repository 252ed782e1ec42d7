package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/roamlb/roamlb/config"
)

// certificates serves a certificate, and asks for clients' where a CA is given,
// from files that are read again when they have changed. Safe for concurrent
// use.
type certificates struct {
	files config.TLS
	log   *slog.Logger

	mu     sync.Mutex // guards the following
	looked time.Time
	stamps [3]stamp
	config *tls.Config
	names  []string
}

// stamp tells states of a file apart.
type stamp struct {
	modified time.Time
	size     int64
}

// lookEvery is how often the files are looked at, at the most.
const lookEvery = time.Second

// loadCertificates reads the files for the first time.
func loadCertificates(files config.TLS, log *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, log: log}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// server is the configuration of a listener.
func (c *certificates) server() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil },
	}
}

// current is the configuration by the files as they are now, or as they were
// when they could last be read.
func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		if c.stampsNow() != c.stamps {
			if err := c.read(); err != nil {
				c.log.Error("the certificate as it was serves on", "error", err)
			}
		}
	}
	return c.config
}

// hostNames are what the certificate says this host is called.
func (c *certificates) hostNames() []string {
	c.current()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.names
}

func (c *certificates) stampsNow() (out [3]stamp) {
	for i, path := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			out[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return out
}

// read reads the files; c.mu is locked, or nobody has c yet. After an error
// what was read before stays.
func (c *certificates) read() error {
	stamps := c.stampsNow()
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("read TLS certificate: %w", err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if c.files.ClientCA != "" {
		pem, err := os.ReadFile(c.files.ClientCA)
		if err != nil {
			return fmt.Errorf("read TLS client CA: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return errors.New("read TLS client CA " + c.files.ClientCA + ": no certificate in it")
		}
		conf.ClientCAs, conf.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	c.stamps, c.config, c.names = stamps, conf, nil
	if pair.Leaf != nil {
		c.names = pair.Leaf.DNSNames
	}
	return nil
}
