package checks

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
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

// Dialer is what every check connects with. The guard sees the address that is
// really connected to, after name resolution and redirects.
func Dialer() *net.Dialer {
	return &net.Dialer{ControlContext: guarded}
}

func guarded(ctx context.Context, _, address string, _ syscall.RawConn) error {
	g, ok := ctx.Value(guardKey{}).(Guard)
	if !ok || g == nil {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil // a unix socket: always local
	}
	return g(to.Addr().Unmap())
}

// OnlyLocal returns the Guard that lets a managed address be probed only while
// local, asked for it, returns nil: the kernel would deliver it on this host.
func OnlyLocal(managed func(netip.Addr) bool, local func(netip.Addr) error) Guard {
	return func(to netip.Addr) error {
		if !managed(to) {
			return nil
		}
		if err := local(to); err != nil {
			return fmt.Errorf("not probed, since another host would answer: %w", err)
		}
		return nil
	}
}
