package checks

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
)

// Guard says why an address must not be probed now, or nil.
//
// An anycast address that is not on this host is answered by another host, and
// the check would lie. So a connection to an address that keepcast manages is
// refused unless the kernel would deliver it locally.
type Guard func(netip.Addr) error

type guardKey struct{}

// WithGuard returns a context under which Dialer asks g before each connection.
func WithGuard(ctx context.Context, g Guard) context.Context {
	return context.WithValue(ctx, guardKey{}, g)
}

type deviceKey struct{}

// WithDevice returns a context under which Dialer binds each connection to the
// network device that device names at that moment, a VRF; an empty name: to none.
// Its error fails the connection.
func WithDevice(ctx context.Context, device func() (string, error)) context.Context {
	return context.WithValue(ctx, deviceKey{}, device)
}

// device returns the one of WithDevice; none: to bind to none.
func device(ctx context.Context) (string, error) {
	if of, ok := ctx.Value(deviceKey{}).(func() (string, error)); ok {
		return of()
	}
	return "", nil
}

// Dialer is what every check connects with. The guard and the follower see the address that
// is really connected to, after name resolution and redirects. A run is over long before TCP
// would ask whether the other side still lives.
func Dialer() *net.Dialer {
	return &net.Dialer{ControlContext: control, KeepAlive: -1}
}

// control is called with each new socket, before it is connected.
func control(ctx context.Context, network, address string, conn syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil // a unix socket: always local, and in no VRF
	}
	name, err := device(ctx)
	if err == nil {
		err = bind(conn, name)
	}
	if err != nil {
		return health.Void(err)
	}
	if err := guarded(ctx, to.Addr().Unmap()); err != nil {
		return health.Void(err)
	}
	aim(ctx, network, to)
	if network == "tcp4" || network == "tcp6" {
		hasten(to, conn)
	}
	return nil
}

// hasten begins to connect a TCP socket before net does. Towards this host it has connected, or
// was refused, when connect(2) returns with EINPROGRESS. When net connects it once more, it is
// told how that ended, and need not wait for epoll(7). Where it has not ended yet, or could not
// begin, net is told so just as well.
func hasten(to netip.AddrPort, conn syscall.RawConn) {
	_ = onSocket(conn, func(fd int) error { return connectTo(fd, to) })
}

// guarded asks the guard, if there is one.
func guarded(ctx context.Context, to netip.Addr) error {
	if g, ok := ctx.Value(guardKey{}).(Guard); ok && g != nil {
		return g(to)
	}
	return nil
}

// bind binds a socket to a network device. Since Linux 5.7 that takes no privilege.
func bind(conn syscall.RawConn, device string) error {
	if device == "" {
		return nil
	}
	if err := onSocket(conn, func(fd int) error { return unix.BindToDevice(fd, device) }); err != nil {
		return fmt.Errorf("binding to %s, the VRF of the service's interface: %w", device, err)
	}
	return nil
}

// connectTo connects a socket. One that is raw or of datagrams is then sent what comes from there
// alone, and an ICMP error is an error of the socket.
func connectTo(fd int, to netip.AddrPort) error {
	addr := to.Addr().Unmap()
	inet6 := &unix.SockaddrInet6{Port: int(to.Port()), Addr: addr.As16()}
	var at unix.Sockaddr = inet6
	if addr.Is4() {
		at = &unix.SockaddrInet4{Port: int(to.Port()), Addr: addr.As4()}
	} else if zone := addr.Zone(); zone != "" {
		link, err := net.InterfaceByName(zone)
		if err != nil {
			return err
		}
		inet6.ZoneId = uint32(link.Index)
	}
	return os.NewSyscallError("connect", unix.Connect(fd, at))
}

// onSocket does something with the descriptor of a socket.
func onSocket(conn syscall.RawConn, do func(fd int) error) error {
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// controlWith is control of a socket that has an option of the integer 1, too.
func controlWith(level, option int) func(context.Context, string, string, syscall.RawConn) error {
	return func(ctx context.Context, network, address string, conn syscall.RawConn) error {
		if err := onSocket(conn, func(fd int) error { return unix.SetsockoptInt(fd, level, option, 1) }); err != nil {
			return err
		}
		return control(ctx, network, address, conn)
	}
}

// OnlyLocal returns the Guard that lets a managed address be probed only while
// local, asked for it, returns nil: the kernel would deliver it on this host.
func OnlyLocal(managed func(netip.Addr) bool, local func(netip.Addr) error) Guard {
	return func(to netip.Addr) error {
		if !managed(to) {
			return nil
		}
		if err := local(to); err != nil {
			return fmt.Errorf("not probed, since only an answer of this host counts: %w", err)
		}
		return nil
	}
}
