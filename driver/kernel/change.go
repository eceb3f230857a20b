package kernel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	loopback          = 1                      // the index of lo, the same in every namespace
	localRouteTimeout = 100 * time.Millisecond // other changes wait meanwhile; it is tried again
	localRoutePoll    = time.Millisecond       // it mostly takes less than one
	// forever is the lifetime of an address that does not expire, or the
	// longest that an int holds on a 32-bit machine: 68 years.
	forever = min(math.MaxUint32, math.MaxInt)
)

// deliver makes the kernel serve addr without it being on the interface. To add
// a route that is there already changes nothing, and is cheaper than to look first.
func (v *view) deliver(addr netip.Addr) error {
	return v.eachTable(addr, "adding", v.h.RouteAdd, unix.EEXIST)
}

// undeliver takes back what deliver did, if it did.
func (v *view) undeliver(addr netip.Addr) error {
	return v.eachTable(addr, "removing", v.h.RouteDel, unix.ESRCH)
}

// eachTable does something with the local delivery route for addr in each table
// where it belongs; done is the kernel's word for that it is so already.
func (v *view) eachTable(addr netip.Addr, doing string, do func(*netlink.Route) error, done error) error {
	var errs []error
	for _, t := range v.tables(addr) {
		if err := do(t.route(addr)); err != nil && !errors.Is(err, done) {
			errs = append(errs, fmt.Errorf("%s the local delivery route for %s: %w%s", doing, addr, err, hint(err, "lo")))
		}
	}
	return errors.Join(errs...)
}

// route is the local delivery route for addr in the table.
func (t localTable) route(addr netip.Addr) *netlink.Route {
	r := &netlink.Route{
		Dst:       ipNet(netip.PrefixFrom(addr, addr.BitLen())),
		LinkIndex: t.dev,
		Type:      unix.RTN_LOCAL,
		Table:     t.table,
		Protocol:  LocalProtocol,
		Priority:  LocalMetric,
	}
	if addr.Is4() {
		r.Scope = netlink.SCOPE_HOST // IPv6 routes have no scope
	}
	return r
}

// remove takes addresses off the interface.
func (v *view) remove(on []netlink.Addr) error {
	var errs []error
	for _, a := range on {
		errs = append(errs, v.promote(a))
		gone := netlink.Addr{IPNet: a.IPNet, Peer: a.Peer, Broadcast: net.IPv4zero}
		err := v.h.AddrDel(v.link, &gone)
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("removing %s from %s: %w%s", prefixOf(a), v.iface, err, hint(err, v.iface)))
		}
	}
	return errors.Join(errs...)
}

// add puts p on the interface, in place of the same address with another length.
func (v *view) add(p netip.Prefix) error {
	addr := p.Addr()
	right := func(a netlink.Addr) bool { return usable(a) && prefixOf(a) == p }
	wrong := slices.DeleteFunc(slices.Clone(v.addrs[addr]), right)
	add := !slices.ContainsFunc(v.addrs[addr], right)
	if add && addr.Is6() && len(wrong) > 0 {
		// IPv6 takes an address only once, whatever its length: the wrong one
		// goes first, and meanwhile the route delivers.
		if err := errors.Join(v.deliver(addr), v.remove(wrong)); err != nil {
			return err
		}
		wrong = nil
	}
	if add {
		if err := v.h.AddrAdd(v.link, addrOf(p)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("adding %s to %s: %w%s", p, v.iface, err, hint(err, v.iface))
		}
	}
	return v.remove(wrong)
}

// reannounce sets an address as it is, which the kernel announces like a new one.
func (v *view) reannounce(a netlink.Addr) error {
	if a.Broadcast == nil {
		a.Broadcast = net.IPv4zero // or the library makes one up
	}
	if err := v.h.AddrReplace(v.link, &a); err != nil {
		return fmt.Errorf("setting %s on %s again: %w%s", prefixOf(a), v.iface, err, hint(err, v.iface))
	}
	return nil
}

// recall adds p and removes it again. Without the interface there is nothing to do: what
// went with it was told of by its own messages. Of an IPv6 address that goes before it has
// its local route the kernel says nothing.
func (v *view) recall(ctx context.Context, p netip.Prefix) error {
	if v.link == nil {
		return nil
	}
	a := addrOf(p)
	if err := v.h.AddrAdd(v.link, a); err != nil {
		return fmt.Errorf("adding %s to %s once more: %w%s", p, v.iface, err, hint(err, v.iface))
	}
	var late error
	if p.Addr().Is6() {
		ctx, cancel := context.WithTimeout(ctx, localRouteTimeout)
		defer cancel()
		late = v.awaitLocalRoute(ctx, p.Addr())
	}
	return errors.Join(late, v.remove([]netlink.Addr{*a}))
}

// release drops the local delivery routes of addresses that are on the
// interface by now, each once the kernel delivers without it.
func (v *view) release(ctx context.Context, addrs []netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, localRouteTimeout)
	defer cancel()
	var errs []error
	for _, addr := range addrs {
		if addr.Is6() {
			if err := v.awaitLocalRoute(ctx, addr); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		errs = append(errs, v.undeliver(addr))
	}
	return errors.Join(errs...)
}

// awaitLocalRoute waits until the kernel has its own local route for an IPv6 address
// that was added. It makes that in the background, after it acknowledged the
// address; what arrives before would be lost without ours.
func (v *view) awaitLocalRoute(ctx context.Context, addr netip.Addr) error {
	tick := time.NewTicker(localRoutePoll)
	defer tick.Stop()
	ask := netlink.RouteGetOptions{FIBMatch: true}
	if v.vrf != nil {
		ask.VrfName = v.vrf.Name
	}
	for {
		found, err := v.h.RouteGetWithOptions(net.IP(addr.AsSlice()), &ask)
		if err == nil && len(found) > 0 && found[0].Type == unix.RTN_LOCAL && found[0].Protocol != LocalProtocol {
			return nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return fmt.Errorf("%s is on %s, but the kernel does not deliver it yet: %w (see ip -6 rule, ip -6 route show table local)",
				addr, v.iface, err)
		case <-tick.C:
		}
	}
}

// addrOf is p as it is put on the interface: never noprefixroute, or FRR 10 has
// no connected route to announce; for IPv6 without duplicate address detection,
// and with the preferred lifetime 0 (deprecated), so that the host does not
// pick an anycast address as the source of its own connections.
func addrOf(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p), Broadcast: net.IPv4zero}
	if p.Addr().Is6() {
		a.Flags, a.ValidLft, a.PreferedLft = unix.IFA_F_NODAD, forever, 0
	}
	return a
}

// hint says what to do about the refusals that have one usual cause; iface is
// where the kernel refused something.
func hint(err error, iface string) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return " (keepcast needs CAP_NET_ADMIN)"
	case errors.Is(err, unix.EACCES):
		return fmt.Sprintf(" (IPv6 is off there: sysctl net.ipv6.conf.%s.disable_ipv6=0)", iface)
	case errors.Is(err, unix.ENETDOWN):
		return fmt.Sprintf(" (ip link set %s up)", iface)
	default:
		return ""
	}
}
