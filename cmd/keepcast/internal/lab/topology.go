package lab

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// uplink is the interface of hosts and client; the router's interfaces are
// named after the node at the far end.
const uplink = "eth0"

// connect lays a cable from each other node to the router, two from a host with a
// second daemon, and makes the hosts' anycast interfaces.
func (l *Lab) connect() error {
	for i, name := range []string{"a", "b", "c"} {
		near, far := ends(i+1, name, uplink)
		if err := l.cable(l.nodes["r"], near, l.nodes[name], far); err != nil {
			return fmt.Errorf("link r to %s: %w", name, err)
		}
		if err := l.nodes[name].defaultRoutes(far); err != nil {
			return fmt.Errorf("default route of %s: %w", name, err)
		}
		if !near.ToHost {
			continue
		}
		if err := l.nodes[name].addAnycastInterface(Interface); err != nil {
			return fmt.Errorf("%s on %s: %w", Interface, name, err)
		}
	}
	if !l.options.Second {
		return nil
	}
	near, far := ends(secondNumber, "a"+secondMark, secondUplink)
	if err := l.cable(l.nodes["r"], near, l.nodes["a"], far); err != nil {
		return fmt.Errorf("second link r to a: %w", err)
	}
	return wrap(l.nodes["a"].addAnycastInterface(SecondInterface), "%s on a", SecondInterface)
}

// ends are the router's end and the far end of the cable with that number.
func ends(number int, name, farName string) (near, far link) {
	net4, net6 := fmt.Sprintf("10.99.%d.", number), fmt.Sprintf("fd99:%d::", number)
	far = link{
		Name: farName, Peer: "r", ToRouter: true, Cost: 10,
		Local4: netip.MustParseAddr(net4 + "1"), Remote4: netip.MustParseAddr(net4 + "2"),
		Local6: netip.MustParseAddr(net6 + "1"), Remote6: netip.MustParseAddr(net6 + "2"),
	}
	near = link{
		Name: name, Peer: name, ToHost: name != "c", Cost: 10 * number, Hops: number,
		Local4: far.Remote4, Remote4: far.Local4, Local6: far.Remote6, Remote6: far.Local6,
	}
	return near, far
}

func (l *Lab) cable(r *Node, near link, n *Node, far link) error {
	veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: far.Name, PeerNamespace: netlink.NsFd(n.ns)}
	veth.Name = near.Name
	if err := r.nl.LinkAdd(veth); err != nil {
		return err
	}
	if err := r.plugIn(near); err != nil {
		return err
	}
	return n.plugIn(far)
}

// plugIn gives the interface its addresses and sets it up.
func (n *Node) plugIn(k link) error {
	n.links = append(n.links, k)
	dev, err := n.nl.LinkByName(k.Name)
	if err != nil {
		return err
	}
	if err := n.nl.LinkSetUp(dev); err != nil {
		return err
	}
	for _, p := range []netip.Prefix{netip.PrefixFrom(k.Local4, 30), netip.PrefixFrom(k.Local6, 64)} {
		if err := n.nl.AddrAdd(dev, &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("address %s: %w", p, err)
		}
	}
	return nil
}

func (n *Node) defaultRoutes(k link) error {
	for _, gw := range []netip.Addr{k.Remote4, k.Remote6} {
		if err := n.nl.RouteAdd(&netlink.Route{Gw: gw.AsSlice()}); err != nil {
			return fmt.Errorf("via %s: %w", gw, err)
		}
	}
	return nil
}

// addAnycastInterface makes a dummy, or an ifb on a kernel without dummies: that
// too passes nothing on and never asks for neighbors.
func (n *Node) addAnycastInterface(name string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	err := n.nl.LinkAdd(&netlink.Dummy{LinkAttrs: attrs})
	if err != nil {
		if second := n.nl.LinkAdd(&netlink.Ifb{LinkAttrs: attrs}); second != nil {
			return fmt.Errorf("dummy: %w; ifb: %w", err, second)
		}
	}
	dev, err := n.nl.LinkByName(name)
	if err != nil {
		return err
	}
	return n.nl.LinkSetUp(dev)
}

// AddAddress puts an anycast address on the host's interface by hand, where no
// keepcast does it: IPv6 with preferred lifetime 0, as keepcast would.
func (h *Host) AddAddress(a netip.Addr) error {
	addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen())), Flags: unix.IFA_F_NODAD}
	if a.Is6() {
		addr.ValidLft, addr.PreferedLft = 1<<32-1, 0
	}
	dev, err := h.nl.LinkByName(h.Interface())
	if err == nil {
		err = h.nl.AddrAdd(dev, addr)
	}
	return wrap(err, "adding %s on %s", a, h.name)
}

// RemoveAddress takes an anycast address off the host's interface.
func (h *Host) RemoveAddress(a netip.Addr) error {
	dev, err := h.nl.LinkByName(h.Interface())
	if err == nil {
		err = h.nl.AddrDel(dev, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen()))})
	}
	return wrap(err, "removing %s on %s", a, h.name)
}

// Addresses returns the addresses on the host's anycast interface, without
// link-local ones.
func (h *Host) Addresses() ([]netip.Prefix, error) {
	dev, err := h.nl.LinkByName(h.Interface())
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", h.Interface(), h.name, err)
	}
	list, err := h.nl.AddrList(dev, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", h.Interface(), h.name, err)
	}
	var all []netip.Prefix
	for _, a := range list {
		if p := prefixOf(a.IPNet); !p.Addr().IsLinkLocalUnicast() {
			all = append(all, p)
		}
	}
	return all, nil
}

// Anycast returns the n-th further pair of anycast addresses, from 0 to 199, for
// hosts with many services.
func Anycast(n int) (v4, v6 netip.Addr) {
	return netip.AddrFrom4([4]byte{198, 51, 100, byte(n + 1)}),
		netip.MustParseAddr(fmt.Sprintf("2001:db8:100::%x", n+1))
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits)
}

// number is that of a daemon of the node in the routing protocols.
func (n *Node) number(instance string) int {
	if instance == Second {
		return secondNumber
	}
	return 1 + strings.Index("abr", n.name)
}

// routerID is the router ID of the daemon with that number.
func routerID(number int) string { return fmt.Sprintf("10.99.0.%d", number) }
