package checks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/keepcast/keepcast/checks/health"
)

// connect opens a connection to address under the guard, and over TLS if secure
// is not nil. It takes no longer than ctx allows.
func connect(ctx context.Context, network, address string, secure *tls.Config) (net.Conn, error) {
	conn, err := dialBy(ctx, Dialer(), network, address)
	if err != nil || secure == nil {
		return conn, err
	}
	return startTLS(ctx, conn, secure)
}

// dialBy is connect by a Dialer that has an option more, without TLS.
func dialBy(ctx context.Context, by *net.Dialer, network, address string) (net.Conn, error) {
	s := sight(ctx)
	dialing := ctx
	if s != nil {
		dialing = s.resolving(ctx)
		s.waits("a connection to %s", address)
	}
	conn, err := by.DialContext(dialing, network, address)
	if err != nil {
		return nil, unable(ctx, err)
	}
	if s != nil {
		s.saw("connected", "%s to %s, from %s", network, conn.RemoteAddr(), conn.LocalAddr())
	}
	return conn, nil
}

// startTLS goes on over TLS. On an error it closes conn.
func startTLS(ctx context.Context, conn net.Conn, secure *tls.Config) (net.Conn, error) {
	s := sight(ctx)
	s.waits("the TLS handshake")
	over := tls.Client(conn, secure)
	if err := over.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("tls handshake: %w", trusting(explain(ctx, err)))
	}
	s.sawTLS(over.ConnectionState())
	return over, nil
}

// resolving returns a context under which a look-up of a name is noted.
func (s *Sight) resolving(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(i httptrace.DNSStartInfo) { s.waits("the resolver of this host, for %s", i.Host) },
		DNSDone: func(i httptrace.DNSDoneInfo) {
			if i.Err != nil {
				return // the error of the run says it
			}
			var to []string
			for _, a := range i.Addrs {
				to = append(to, a.String())
			}
			s.saw("resolved", "%s", strings.Join(to, " "))
			s.waits("a connection to %s", strings.Join(to, " or "))
		},
	})
}

// resolveHost returns the address of a host, for a socket that Dialer does not make; of
// several the first.
func resolveHost(ctx context.Context, host string) (netip.Addr, error) {
	if to, err := netip.ParseAddr(host); err == nil {
		return to.Unmap(), nil
	}
	s := sight(ctx)
	s.waits("the address of %s", host)
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, unable(ctx, err)
	}
	s.saw("resolved", "%s", all[0].Unmap())
	return all[0].Unmap(), nil
}

// unable marks an error of connecting as void where its chain does not tell that
// keepcast lacked something, and as certain where nothing listens any more. What a unix
// socket says that nobody accepts on would be taken for a want of keepcast's own.
func unable(ctx context.Context, err error) error {
	if _, byName := errors.AsType[*net.DNSError](err); byName && lacksFiles() {
		return health.Void(err)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && errors.Is(err, syscall.EADDRNOTAVAIL) && lacksPorts(ctx, op.Addr) {
		return health.Void(err)
	}
	if queueFull(err) {
		return errors.New("the server does not accept connections: the queue of its socket is full")
	}
	return refused(ctx, err)
}

// queueFull reports whether a unix socket has a full queue of those who want to be accepted.
func queueFull(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Net == "unix" && errors.Is(err, syscall.EAGAIN)
}

// lacksFiles reports whether there is no descriptor to be had. A resolver that can't open
// /etc/hosts or /etc/resolv.conf goes on without them, and finds no name.
func lacksFiles() bool {
	file, err := os.Open(os.DevNull)
	if err != nil {
		return true
	}
	file.Close()
	return false
}

// lacksPorts reports whether a TCP connection failed because all local ports are in use
// towards that address. The kernel has the same error for a host without an IPv6 address
// to connect from; then UDP, which sends nothing yet, fails, too.
func lacksPorts(ctx context.Context, to net.Addr) bool {
	if _, tcp := to.(*net.TCPAddr); !tcp {
		return false
	}
	conn, err := Dialer().DialContext(ctx, "udp", to.String())
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// closeWith closes c when ctx is done, so that no read or write outlives it.
// The function it returns closes c before that.
func closeWith(ctx context.Context, c io.Closer) (closeNow func()) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	return func() {
		stop()
		c.Close()
	}
}

// timeoutError is a deadline that passed, in one word instead of the many in
// which the libraries put it.
type timeoutError struct{}

func (timeoutError) Error() string { return "timed out" }

// Is makes the error count as a deadline that passed (errors.Is).
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// explain turns what a library says about an exchange that ended too soon into
// what happened.
func explain(ctx context.Context, err error) error {
	var op *net.OpError
	switch {
	case health.IsVoid(err):
		return err // whatever else is so
	case errors.As(err, &op) && op.Op == "dial":
		return err // names the address and the reason by itself
	case errors.Is(err, syscall.ECONNREFUSED): // over UDP, which learns of it late
		return refused(ctx, err)
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return timeoutError{}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("closed by the other side")
	}
	return err
}

// readUntil reads until what came matches want. It returns what came in any
// case, and an error if r ended or limit bytes came without a match.
func readUntil(r io.Reader, want *regexp.Regexp, limit int) ([]byte, error) {
	buf, n := make([]byte, limit), 0
	for n < limit {
		m, err := r.Read(buf[n:])
		n += m
		if want.Match(buf[:n]) {
			return buf[:n], nil
		}
		if err != nil {
			return buf[:n], err
		}
	}
	return buf, fmt.Errorf("no match in the first %d bytes", limit)
}

// quotation is what a service said, of which whoever prints it gets the excerpt. For a
// Sight that may be nil: then no excerpt is made.
type quotation []byte

func (q quotation) String() string { return excerpt(q) }

// excerpt quotes the start of what a service said, as one short line for a log.
func excerpt(said []byte) string {
	const most = 120
	text := strings.TrimSpace(strings.ToValidUTF8(string(said), "\uFFFD"))
	if r := []rune(text); len(r) > most {
		return fmt.Sprintf("%q...", string(r[:most]))
	}
	return fmt.Sprintf("%q", text)
}
