package checks

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// endpoint is where a server listens that has a port or a unix socket, and how to speak
// with it: the settings that the kinds of check for such servers have in common.
type endpoint struct {
	address   string // host:port, or the path of a unix socket
	transport string // tcp or tls
	tls       TLS
}

// isSocket reports whether the server listens on a unix socket.
func (e endpoint) isSocket() bool { return strings.HasPrefix(e.address, "/") }

// maxSocketPath is the longest path of a unix socket (unix(7)); a NUL ends it.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// validate is the part of Validate that is about the settings of an endpoint.
func (e endpoint) validate() error {
	if e.isSocket() {
		switch {
		case e.transport == "tls":
			return errors.New("transport: tls is not spoken over a unix socket")
		case e.tls.isSet():
			return errors.New("tls: not for a unix socket")
		case len(e.address) > maxSocketPath:
			return fmt.Errorf("address: %q is longer than the %d bytes that a unix socket may have", e.address, maxSocketPath)
		}
		return nil
	}
	host, port, err := net.SplitHostPort(e.address)
	if err != nil || host == "" {
		return fmt.Errorf("address: %q is neither a host and a port, as in 127.0.0.1:25 or [::1]:25, nor the path of a socket", e.address)
	}
	if err := cmp.Or(validHost(host), validPort(port)); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if e.transport != "tls" && e.tls.isSet() {
		return errors.New("tls: only with transport: tls")
	}
	return e.tls.Validate()
}

// target is Target of a check with an endpoint; the zero Addr for a unix socket.
func (e endpoint) target() netip.Addr {
	host, _, err := net.SplitHostPort(e.address)
	if err != nil || e.isSocket() {
		return netip.Addr{}
	}
	return literal(host)
}

// host is Host of a check with an endpoint, and of one that reads a password from a file
// if that is not "".
func (e endpoint) host(passwordFile string) func() ([]string, error) {
	return e.tls.hostWith(passwordFile, func() error {
		_, err := passwordIn(passwordFile)
		return err
	})
}

// secure returns how TLS is to be spoken; nil if not at all.
func (e endpoint) secure() (*tls.Config, error) {
	if e.transport != "tls" {
		return nil, nil
	}
	return e.tls.configFor(e.address)
}

// connect opens a connection, over TLS from the start if that is the transport.
func (e endpoint) connect(ctx context.Context) (net.Conn, error) {
	secure, err := e.secure()
	if err != nil {
		return nil, err
	}
	return e.connectBy(ctx, secure)
}

// connectBy opens a connection, over TLS from the start if secure is not nil.
func (e endpoint) connectBy(ctx context.Context, secure *tls.Config) (net.Conn, error) {
	if e.isSocket() {
		return connect(ctx, "unix", e.address, nil)
	}
	return connect(ctx, "tcp", e.address, secure)
}

// passwordIn returns the password in the first line of a file; "" if there is no file.
func passwordIn(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	return secretIn("password_file", file)
}

// unreadable adds to an error of opening a file what to do where keepcast may not read it.
func unreadable(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: the user that keepcast runs as has to be able to read it, as with chown root:keepcast and chmod 640", err)
}

// secretIn returns the secret in the first line of the file that a setting names.
func secretIn(setting, file string) (string, error) {
	text, err := readFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", setting, unreadable(err))
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
		return "", fmt.Errorf("%s: the first line of %s is empty", setting, file)
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return "", fmt.Errorf("%s: the first line of %s has a NUL", setting, file)
	}
	return string(line), nil
}

// quoted is excerpt of what a server said that knows a password. It may repeat it.
func quoted(said, password string) string {
	if password != "" {
		said = strings.ReplaceAll(said, password, masked)
	}
	return excerpt([]byte(said))
}
