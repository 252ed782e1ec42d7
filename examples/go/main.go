// Command drain drains a backend of a running roamlb and waits until no session
// is on it any more. It shows the Go client that is generated from the API's
// description.
//
//	drain SERVICE BACKEND
//
// ROAMLB_SOCKET says where the daemon's socket is.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/roamlb/roamlb/openapi"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: drain SERVICE BACKEND")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := drain(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "drain:", err)
		os.Exit(1)
	}
}

// dial makes a client that talks over the daemon's Unix socket.
func dial() (*openapi.ClientWithResponses, error) {
	socket := os.Getenv("ROAMLB_SOCKET")
	if socket == "" {
		socket = "/run/roamlb/roamlb.sock"
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	return openapi.NewClientWithResponses("http://localhost", openapi.WithHTTPClient(&http.Client{Transport: transport}))
}

func drain(ctx context.Context, service, backend string) error {
	api, err := dial()
	if err != nil {
		return err
	}
	// The tag says which state of the backend the change is meant for.
	have, err := api.GetBackendWithResponse(ctx, service, backend, nil)
	if err != nil {
		return err
	}
	if have.JSON200 == nil {
		return fmt.Errorf("%s: %s", have.HTTPResponse.Status, have.Body)
	}
	tag := have.HTTPResponse.Header.Get("ETag")
	changed, err := api.PatchBackendWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, service, backend,
		&openapi.PatchBackendParams{IfMatch: &tag}, openapi.MergePatch{"admin": "drain"})
	if err != nil {
		return err
	}
	if changed.JSON200 == nil {
		return fmt.Errorf("%s: %s", changed.HTTPResponse.Status, changed.Body)
	}
	for {
		left, err := sessions(ctx, api, service, backend)
		if err != nil {
			return err
		}
		fmt.Printf("%d sessions on backend %s\n", left, backend)
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// sessions counts the live sessions on a backend, page by page.
func sessions(ctx context.Context, api *openapi.ClientWithResponses, service, backend string) (int, error) {
	limit := int32(1000)
	params := openapi.ListSessionsParams{Backend: &backend, Limit: &limit}
	for n := 0; ; {
		page, err := api.ListSessionsWithResponse(ctx, service, &params)
		if err != nil {
			return 0, err
		}
		if page.JSON200 == nil {
			return 0, fmt.Errorf("%s: %s", page.HTTPResponse.Status, page.Body)
		}
		n += len(page.JSON200.Items)
		if page.JSON200.Next == nil {
			return n, nil
		}
		params.Cursor = page.JSON200.Next
	}
}
