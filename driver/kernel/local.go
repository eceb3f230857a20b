package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
)

// Local returns nil when the kernel would deliver packets for addr on this host,
// in the VRF of a managed interface or in none, else driver.ErrElsewhere in an error that
// says where they would go, or what kept it from asking. It is what keeps a check from
// asking another host's service behind the same anycast address.
func (k *Kernel) Local(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if k.delivers(addr) {
		return nil
	}
	h, err := k.asking.take()
	if err != nil {
		return err
	}
	defer k.asking.put(h)
	elsewhere := local(h, addr, "")
	for _, name := range k.interfaces() {
		if elsewhere == nil {
			return nil
		}
		if vrf, _ := vrfNamed(h, name); vrf != nil && local(h, addr, vrf.Name) == nil {
			return nil
		}
	}
	return elsewhere
}

// delivers reports whether the kernel would deliver packets for addr on this host, in no VRF.
// That is so with nearly each probe, so it is asked the short way.
func (k *Kernel) delivers(addr netip.Addr) bool {
	q := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	to := nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Dst_len: uint8(addr.BitLen())}}
	if addr.Is6() {
		to.Family = unix.AF_INET6
	}
	q.AddData(&to)
	q.AddData(nl.NewRtAttr(unix.RTA_DST, addr.AsSlice()))
	local := false
	err := k.routes.Ask(q, func(route []byte) {
		local = len(route) >= unix.SizeofRtMsg && nl.DeserializeRtMsg(route).Type == unix.RTN_LOCAL
	})
	return err == nil && local
}

// Addresses returns every address of the host, as an Announced route with its length and the
// interface that it is on, if that is up. That of keepcast's local delivery routes is none.
func (k *Kernel) Addresses() ([]driver.Route, error) {
	h, err := k.asking.take()
	if err != nil {
		return nil, err
	}
	defer k.asking.put(h)
	links, err := dump(h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	up := map[int]string{}
	for _, l := range links {
		if l.Attrs().Flags&net.FlagUp != 0 {
			up[l.Attrs().Index] = l.Attrs().Name
		}
	}
	on, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("listing the addresses: %w", err)
	}
	var out []driver.Route
	for _, a := range on {
		if name := up[a.LinkIndex]; name != "" && usable(a) {
			out = append(out, driver.Route{Prefix: prefixOf(a), Presence: driver.Announced, Interface: name})
		}
	}
	sortRoutes(out)
	return out, nil
}

// local asks the kernel where it would send packets for addr from within a VRF;
// "": from outside of any.
func local(h *netlink.Handle, addr netip.Addr, vrf string) error {
	found, err := h.RouteGetWithOptions(net.IP(addr.AsSlice()), &netlink.RouteGetOptions{VrfName: vrf})
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		// There is none, or one of type unreachable, prohibit or blackhole.
		return fmt.Errorf("%s %w, and there is no route to it: %w", addr, driver.ErrElsewhere, err)
	case err != nil:
		return fmt.Errorf("asking where %s is: %w", addr, err)
	}
	// The type decides, not the table: without policy rules the kernel answers
	// table main for IPv4 local routes as well.
	if len(found) == 0 {
		return fmt.Errorf("%s %w, and there is no route to it", addr, driver.ErrElsewhere)
	}
	r := found[0]
	if r.Type == unix.RTN_LOCAL {
		return nil
	}
	where := fmt.Sprintf("interface %d", r.LinkIndex)
	if link, err := h.LinkByIndex(r.LinkIndex); err == nil {
		where = link.Attrs().Name
	}
	if r.Gw != nil {
		where = fmt.Sprintf("%s on %s", r.Gw, where)
	}
	return fmt.Errorf("%s %w: it would be sent to %s", addr, driver.ErrElsewhere, where)
}
