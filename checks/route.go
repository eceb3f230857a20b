package checks

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func init() {
	register(Kind{
		Name: "route",
		Doc: "Asks the kernel whether its routing table has a route to exactly this destination, with a nexthop that lives. " +
			"A host that has lost its upstream, and with it the default route, then no longer attracts traffic. " +
			"A change is noticed at once, whatever the interval. Routes that reject (unreachable, blackhole, prohibit, throw) do not count, " +
			"nor does one whose nexthops are all dead or have no carrier. " +
			"On a router with a full table a run takes less than a millisecond, as long as the route is the best one to its destination or is that of " +
			"`0.0.0.0/0`. Else the table is read, which takes about a second for a million routes.",
		Example: "destination: 0.0.0.0/0\nprotocol: bgp\n",
		New:     func() Checker { return new(Route) },
		AtOnce:  "the route changes",
		Counted: true,
	})
}

// Route is fit when the kernel has a route to a destination.
type Route struct {
	Destination netip.Prefix  `config:"destination" required:"true" doc:"The destination, as in '0.0.0.0/0' or '::/0' for the default route. A longer or a shorter one does not do."`
	Protocol    RouteProtocol `config:"protocol" default:"any" doc:"Who made the route: a name of /etc/iproute2/rt_protos, as 'ip route' shows it, or its number. FRR writes the protocol that it learned it by (its own static routes: 196), BIRD always 'bird', Quagga always 'zebra'."`
	Interface   string        `config:"interface" doc:"Name of the interface that it leads to. Any will do if left out."`
	Gateway     netip.Addr    `config:"gateway" doc:"Address of the router that it leads to. Any will do if left out."`
	Table       uint32        `config:"table" default:"254" min:"1" doc:"Number of the routing table; 254 is 'main'. A VRF has its own, as 'ip vrf' shows. A table that no rule leads to is read in each run."`
}

// Validate implements Validator.
func (r *Route) Validate() error {
	switch dst := r.Destination; {
	case !dst.IsValid():
		return errors.New("destination: no prefix is given")
	case dst.Addr().Is4In6():
		return fmt.Errorf("destination: %s is IPv4, written as IPv6", dst)
	case dst != dst.Masked():
		return fmt.Errorf("destination: %s has bits beyond its length (%s?)", dst, dst.Masked())
	case r.Gateway.Zone() != "":
		return fmt.Errorf("gateway: %s has a zone (set interface instead)", r.Gateway)
	case r.Gateway.Is4In6():
		return fmt.Errorf("gateway: %s is an IPv4 address (%s?)", r.Gateway, r.Gateway.Unmap())
	case r.Gateway.Is4() && dst.Addr().Is6():
		return fmt.Errorf("gateway: an IPv6 route (%s) has no IPv4 gateway (%s)", dst, r.Gateway)
	}
	return interfaceName(r.Interface)
}

// Check implements Checker.
func (r *Route) Check(ctx context.Context) error {
	table, err := openRoutes(ctx)
	if err != nil {
		return err
	}
	defer table.close()
	names := &linkNames{open: func() (*netlink.Handle, error) { return kernel(ctx) }, known: map[int32]string{}}
	defer names.close()

	best, err := table.best(probeOf(r.Destination))
	if err != nil {
		return fmt.Errorf("asking the kernel for the route to %s: %w", r.Destination, unanswered(err))
	}
	switch {
	case best == nil || best.table != r.Table:
	case r.named(best):
		if why, err := r.judge(best, names); why == "" {
			return r.seen(ctx, best, names, err)
		}
	case best.dst.Bits() < r.Destination.Bits(): // of those that live, the longest is the best
		return cmp.Or(r.seen(ctx, best, names, nil), r.none())
	}
	return r.search(ctx, table, names)
}

// named reports whether a route has the destination, in the table.
func (r *Route) named(found *fibRoute) bool {
	return found.dst == r.Destination && found.table == r.Table
}

// probeOf returns an address within the prefix, to ask the kernel for the best route to it.
// :: itself is often sent to a route of its own, that rejects. Of 4000::/3 the IETF has given nothing away
// (RFC 4291 section 4), so none but the default route leads there.
func probeOf(p netip.Prefix) netip.Addr {
	if p.Addr().Is6() && p.Bits() == 0 {
		return netip.MustParseAddr("4000::")
	}
	return p.Addr()
}

// search walks through the table. What the kernel takes for the best route to an address
// may be another one: a longer one, one of lower metric, or one of another table.
func (r *Route) search(ctx context.Context, table *routeTable, names *linkNames) error {
	var others []string
	var fit *fibRoute
	var failed error
	err := table.each(r.Destination.Addr(), r.Table, func(found *fibRoute) bool {
		if !r.named(found) {
			return true
		}
		var why string
		if why, failed = r.judge(found, names); failed != nil {
			return false
		}
		if why == "" {
			fit = found
			return false
		}
		if len(others) < mostRoutes {
			others = append(others, found.words(names)+" ("+why+")")
		}
		return true
	})
	switch err = cmp.Or(failed, err); {
	case err != nil:
		return fmt.Errorf("asking the kernel for its routes: %w", unanswered(err))
	case fit != nil:
		return r.seen(ctx, fit, names, nil)
	case others == nil:
		return r.none()
	}
	sight(ctx).saw("routes", "%s", strings.Join(others, ", "))
	return fmt.Errorf("no route to %s in table %s that counts, only %s", r.wanted(), tableName(r.Table), strings.Join(others, ", "))
}

// none says that there is no route at all.
func (r *Route) none() error {
	return fmt.Errorf("no route to %s in table %s", r.wanted(), tableName(r.Table))
}

// mostRoutes bounds what an error tells: a table has a route for each metric.
const mostRoutes = 4

// seen notes the route that was found, or that is the best one.
func (r *Route) seen(ctx context.Context, found *fibRoute, names *linkNames, err error) error {
	if err == nil && sight(ctx) != nil {
		sight(ctx).saw("route", "%s", found.words(names))
	}
	return err
}

// wanted returns what is looked for, in the words of ip route.
func (r *Route) wanted() string {
	words := r.Destination.String()
	if r.Gateway.IsValid() {
		words += " via " + r.Gateway.String()
	}
	if r.Interface != "" {
		words += " dev " + r.Interface
	}
	if r.Protocol != 0 {
		words += " proto " + r.Protocol.String()
	}
	return words
}

// judge says why a route to the destination does not count, or nothing if it does.
func (r *Route) judge(found *fibRoute, names *linkNames) (why string, err error) {
	switch {
	case found.kind != unix.RTN_UNICAST:
		return "it rejects", nil
	case found.sources:
		return "for some sources only", nil
	case r.Protocol != 0 && found.protocol != r.Protocol:
		return "another protocol", nil
	case len(found.hops) == 0 && (r.Interface != "" || r.Gateway.IsValid()):
		return "its nexthop is not told while the sysctl nexthop_compat_mode is 0", nil
	case len(found.hops) == 0:
		return "", nil
	}
	for _, hop := range found.hops {
		why, err = r.judgeHop(hop, names)
		if why == "" || err != nil {
			return why, err
		}
	}
	if len(found.hops) > 1 {
		why = "none of its nexthops counts"
	}
	return why, nil
}

func (r *Route) judgeHop(hop fibHop, names *linkNames) (why string, err error) {
	if r.Gateway.IsValid() && hop.via != r.Gateway {
		return "another gateway", nil
	}
	if r.Interface != "" {
		if name, err := names.of(hop.index); err != nil || name != r.Interface {
			return "another interface", err
		}
	}
	switch {
	case hop.flags&unix.RTNH_F_DEAD != 0:
		return "its nexthop is dead", nil
	case hop.flags&unix.RTNH_F_LINKDOWN != 0:
		return "its link is down", nil
	}
	return "", nil
}

// Watch implements Watcher. It calls changed for notices of routes to the destination, and
// those of links, IPv4 addresses and nexthops: a link loses its carrier, and with an address,
// or a nexthop, routes go of which not every kernel says something.
func (r *Route) Watch(ctx context.Context, changed func()) error {
	groups := []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_NEXTHOP, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE}
	if r.Destination.Addr().Is6() {
		groups[len(groups)-1] = unix.RTNLGRP_IPV6_ROUTE
	}
	return follow(ctx, groups, onlyLength(r.Destination.Bits()), r.concerns, changed)
}

func (r *Route) concerns(n syscall.NetlinkMessage) bool {
	if n.Header.Type != unix.RTM_NEWROUTE && n.Header.Type != unix.RTM_DELROUTE {
		return true
	}
	found, ok := parseRoute(n.Data)
	return ok && r.named(found)
}

// onlyLength has the kernel drop notices of routes of another length. A router with a full
// table would be woken a million times when a session comes up.
func onlyLength(bits int) []unix.SockFilter {
	// Offsets into struct nlmsghdr (16 bytes) and struct rtmsg behind it. BPF loads in
	// network order, the type is in the machine's.
	const typeAt, lengthAt = 4, 16 + 1
	kind := func(t uint16) uint32 { return uint32(binary.BigEndian.Uint16(nl.Uint16Attr(t))) }
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: typeAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: kind(unix.RTM_NEWROUTE), Jt: 1},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: kind(unix.RTM_DELROUTE), Jf: 2},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: lengthAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(bits), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff}, // keep the whole message
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
}
