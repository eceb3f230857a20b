package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
)

const (
	netlinkTimeout = 10 * time.Second // the kernel answers at once; this is for a lost answer
	dumpTries      = 10               // a dump is interrupted when something changes meanwhile
)

// view is what the kernel had when it was asked, and the socket to change it
// with. A method that finds its work done already, by whomever, is content.
type view struct {
	h        *netlink.Handle
	ns       netns.NsHandle
	log      *slog.Logger
	iface    string
	link     netlink.Link                  // nil: there is no such interface
	addrs    map[netip.Addr][]netlink.Addr // on the interface; an IPv4 one can be there with several lengths
	vrf      *netlink.Vrf                  // that the interface is in; nil for none
	promoted bool                          // see promote
}

// localTable is a place of local delivery routes, and the device that they name.
type localTable struct{ table, dev int }

// tables returns where local delivery routes for addr belong. The first is where
// packets that arrive find them.
func (v *view) tables(addr netip.Addr) []localTable {
	switch {
	case v.vrf == nil:
		return []localTable{{unix.RT_TABLE_LOCAL, loopback}}
	case addr.Is6():
		return []localTable{{int(v.vrf.Table), v.vrf.Index}}
	}
	// Before it answers from an IPv4 address, the kernel looks it up in the table
	// local, whatever the VRF, and takes the route's device for where it is
	// (__ip_dev_find).
	return []localTable{{int(v.vrf.Table), v.vrf.Index}, {unix.RT_TABLE_LOCAL, v.vrf.Index}}
}

// read asks the kernel for an interface and its addresses.
func (k *Kernel) read(ctx context.Context, iface string) (*view, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h, err := k.acting.take()
	if err != nil {
		return nil, err
	}
	v := &view{h: h, ns: k.ns, log: k.log, iface: iface, addrs: map[netip.Addr][]netlink.Addr{}}
	if err := v.fill(); err != nil {
		k.acting.put(h)
		return nil, err
	}
	return v, nil
}

func (v *view) fill() error {
	link, err := linkNamed(v.h, v.iface)
	if link == nil || err != nil {
		return err
	}
	v.link = link
	on, err := dump(func() ([]netlink.Addr, error) { return v.h.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("listing the addresses of %s: %w", v.iface, err)
	}
	for _, a := range on {
		addr := prefixOf(a).Addr()
		v.addrs[addr] = append(v.addrs[addr], a)
	}
	v.vrf, err = vrfOf(v.h, link)
	return err
}

// announced returns the addresses on the interface as routes, if it is up; they
// name it unless it is that of their state.
func (v *view) announced(own string) []driver.Route {
	var out []driver.Route
	if v.link == nil || v.link.Attrs().Flags&net.FlagUp == 0 {
		return nil
	}
	for _, on := range v.addrs {
		for _, a := range on {
			if !usable(a) {
				continue
			}
			r := driver.Route{Prefix: prefixOf(a), Presence: driver.Announced}
			if v.iface != own {
				r.Interface = v.iface
			}
			out = append(out, r)
		}
	}
	return out
}

// delivered lists the addresses that have keepcast's local delivery route in a table. Only
// Observe asks: with a full BGP table the kernel takes 10 ms and more to answer,
// as IPv4 keeps all tables in one, and a withdrawal must not wait for that.
func (v *view) delivered(table int) (map[netip.Addr]bool, error) {
	// With strict checking the kernel itself picks our routes out of that
	// table. Kernels before 4.20 do not know it: then we pick. It is off
	// otherwise, for it refuses the library's form of route get.
	_ = v.h.SetStrictCheck(true)
	defer v.h.SetStrictCheck(false) //nolint:errcheck // as above
	own := &netlink.Route{Table: table, Protocol: LocalProtocol, Type: unix.RTN_LOCAL}
	out := map[netip.Addr]bool{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		found, err := dump(func() ([]netlink.Route, error) {
			return v.h.RouteListFiltered(family, own, netlink.RT_FILTER_TABLE)
		})
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("listing the local delivery routes: %w", err)
		}
		for _, r := range found {
			// The library compares one field of a filter and ignores the others.
			if r.Protocol != own.Protocol || r.Type != own.Type || r.Priority != LocalMetric || r.Dst == nil {
				continue
			}
			if p := prefixFrom(r.Dst); p.IsSingleIP() {
				out[p.Addr()] = true
			}
		}
	}
	return out, nil
}

// dump lists again when something changed while the kernel was listing: the
// list may then lack an address that has to go.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	var all []T
	var err error
	for range dumpTries {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// usable tells whether the kernel serves a. An IPv6 address that failed
// duplicate address detection is on the interface, but it is dead.
func usable(a netlink.Addr) bool { return a.Flags&unix.IFA_F_DADFAILED == 0 }

func prefixOf(a netlink.Addr) netip.Prefix {
	p := prefixFrom(a.IPNet)
	if a.Peer != nil { // then the length is the peer's
		bits, _ := a.Peer.Mask.Size()
		p = netip.PrefixFrom(p.Addr(), bits)
	}
	return p
}

func prefixFrom(n *net.IPNet) netip.Prefix {
	addr, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr, bits)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func sortRoutes(rs []driver.Route) {
	slices.SortFunc(rs, func(a, b driver.Route) int { return a.Prefix.Compare(b.Prefix) })
}
