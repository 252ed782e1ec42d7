package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/config"
)

// maxConnections bounds the connections of each listener.
const maxConnections = 256

// listenTCP listens as configured; nil where there is to be no TCP.
func listenTCP(ctx context.Context, c config.API, certs *certificates) (net.Listener, error) {
	if !c.Listen.IsValid() {
		return nil, nil
	}
	if certs == nil && !c.Insecure && !c.Listen.Addr().IsLoopback() {
		return nil, fmt.Errorf("listen on %s: without TLS the API answers on loopback only, unless api.insecure is true", c.Listen)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen.String())
	if err != nil {
		return nil, fmt.Errorf("api.listen: %w", err)
	}
	l = netutil.LimitListener(l, maxConnections)
	if certs != nil {
		l = tls.NewListener(l, certs.server())
	}
	return l, nil
}

// listenSocket listens on the Unix socket, which its owner and a group may use;
// nil where there is to be none.
func listenSocket(ctx context.Context, c config.API) (net.Listener, error) {
	if c.Socket == "" {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(c.Socket), 0o755); err != nil {
		return nil, fmt.Errorf("api.socket: %w", err)
	}
	if err := removeDeadSocket(ctx, c.Socket); err != nil {
		return nil, fmt.Errorf("api.socket: %w", err)
	}
	l, err := bindSocket(ctx, c.Socket)
	if err != nil {
		return nil, fmt.Errorf("api.socket: %w", err)
	}
	if err := permit(c.Socket, c.SocketGroup); err != nil {
		return nil, errors.Join(fmt.Errorf("api.socket_group: %w", err), l.Close())
	}
	return netutil.LimitListener(l, maxConnections), nil
}

// bindSocket makes a socket that nobody else may use yet.
func bindSocket(ctx context.Context, path string) (net.Listener, error) {
	conf := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		// The mode of a socket's descriptor is that of the file that bind makes.
		if e := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); e != nil {
			return e
		}
		return err
	}}
	return conf.Listen(ctx, "unix", path)
}

// removeDeadSocket removes what a daemon that was killed has left; a socket
// that somebody answers on, or what is no socket, is an error.
func removeDeadSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket: move it away", path)
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("another program answers on %s", path), c.Close())
	}
	return os.Remove(path)
}

// permit gives a socket its mode, and its group where one is wanted.
func permit(path, group string) error {
	if group != "" {
		gid, err := groupID(group)
		if err != nil {
			return err
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, 0o660)
}

// groupID is a group's number, of its name or its number.
func groupID(group string) (int, error) {
	if id, err := strconv.Atoi(group); err == nil {
		return id, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}
