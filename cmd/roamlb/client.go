package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/openapi"
)

// Exit statuses of the commands that ask the API; README and man pages list
// them.
const (
	exitNotFound    exitCode = 3
	exitConflict    exitCode = 4 // it has changed meanwhile, or contradicts what there is
	exitRefused     exitCode = 5 // no token, or one that may not
	exitUnreachable exitCode = 6
)

// connection says where the daemon's API is.
type connection struct {
	socket, server, tokenFile, ca string
	timeout                       time.Duration
}

// connectionFlags adds the flags of a command that asks the API.
func (c *connection) flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.socket, "socket", envOr("ROAMLB_SOCKET", config.Default().API.Socket), "the daemon's Unix `socket`; ROAMLB_SOCKET")
	f.StringVar(&c.server, "server", os.Getenv("ROAMLB_SERVER"), "`url` of the API, in place of the socket; ROAMLB_SERVER")
	f.StringVar(&c.tokenFile, "token-file", os.Getenv("ROAMLB_TOKEN_FILE"), "`file` with the token for --server; ROAMLB_TOKEN_FILE")
	f.StringVar(&c.ca, "ca", os.Getenv("ROAMLB_CA"), "PEM `file` of the authority that signed the server's certificate; ROAMLB_CA")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long an answer may take")
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// unreachableError says that the daemon could not be asked.
type unreachableError struct {
	at  string
	err error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("cannot reach the daemon at %s: %v; is \"roamlb serve\" running? --socket and --server say where", e.at, e.err)
}

func (e *unreachableError) Unwrap() error { return e.err }

// dial makes a client. stream says that answers may take for ever.
func (c *connection) dial(stream bool) (*openapi.Client, error) {
	transport := &http.Transport{}
	server, at := c.server, c.server
	if server == "" {
		server, at = "http://localhost", c.socket
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.socket)
		}
	}
	if !strings.Contains(server, "://") {
		return nil, fmt.Errorf("--server %q: want a URL such as http://127.0.0.1:7070", server)
	}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca %s: no certificate in it", c.ca)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	doer := &reaching{at: at, client: http.Client{Transport: transport}}
	if !stream {
		doer.client.Timeout = c.timeout
	}
	return openapi.NewClient(server, openapi.WithHTTPClient(doer), openapi.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return nil
	}))
}

// token is the secret for a server; the socket needs none.
func (c *connection) token() (string, error) {
	if c.server == "" || c.tokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// reaching tells failures to reach the daemon from its answers.
type reaching struct {
	at     string
	client http.Client
}

// Do is of openapi.HttpRequestDoer.
func (r *reaching) Do(request *http.Request) (*http.Response, error) {
	response, err := r.client.Do(request)
	if err != nil && request.Context().Err() == nil {
		return nil, &unreachableError{at: r.at, err: err}
	}
	return response, err
}

// problemError is the daemon's refusal.
type problemError struct{ openapi.Problem }

func (e *problemError) Error() string {
	var b strings.Builder
	b.WriteString(lowerFirst(e.Title))
	if e.Detail != nil && *e.Detail != "" {
		b.WriteString(": " + *e.Detail)
	}
	if e.Errors != nil {
		for _, f := range *e.Errors {
			where := ""
			for _, w := range []*string{f.Pointer, f.Parameter, f.Header} {
				if w != nil && *w != "" {
					where = *w + ": "
				}
			}
			b.WriteString("\n  " + where + f.Detail)
		}
	}
	if e.Rules != nil {
		b.WriteString("\n\n" + *e.Rules)
	}
	return b.String()
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// read takes an answer into out; nil: it has no body. The error is a
// *problemError where the daemon refused.
func read(response *http.Response, err error, out any) error {
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		var p problemError
		if json.Unmarshal(body, &p.Problem) != nil || p.Title == "" {
			return fmt.Errorf("the server answers %s: is that roamlb?", response.Status)
		}
		return &p
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// statusOf is the exit status of an error; 0: an ordinary one.
func statusOf(err error) exitCode {
	var p *problemError
	var u *unreachableError
	switch {
	case errors.As(err, &u):
		return exitUnreachable
	case !errors.As(err, &p):
		return 0
	}
	switch p.Status {
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return exitConflict
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitRefused
	default:
		return 0
	}
}
