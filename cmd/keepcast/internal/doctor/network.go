package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Network is what the kernel has of interfaces and routes.
type Network struct {
	Links []Link
	// Dummy tells that this kernel has dummy interfaces, so that keepcast can make one.
	Dummy bool
	// IPv4 and IPv6 tell that there is a way out: a route to the internet at large.
	IPv4, IPv6 bool
	// Sources are the addresses that the host itself sends from on that way.
	Sources []netip.Addr
}

// Link is an interface with its addresses.
type Link struct {
	Name, Type string
	Up         bool
	ARP        bool // resolves and answers for addresses on its segment
	Loopback   bool
	Addresses  []Address
}

// Address is an address on an interface.
type Address struct {
	netip.Prefix
	NoPrefixRoute bool // the kernel made no route for its network
	Failed        bool // by duplicate address detection
}

// link returns the interface of that name.
func (n Network) link(name string) (Link, bool) {
	for _, l := range n.Links {
		if l.Name == name {
			return l, true
		}
	}
	return Link{}, false
}

// has returns the address if it is on the interface.
func (l Link) has(a netip.Addr) (Address, bool) {
	for _, on := range l.Addresses {
		if on.Addr() == a {
			return on, true
		}
	}
	return Address{}, false
}

// speaks4 reports whether IPv4 traffic of the host goes over l: it has an
// address there that others can send to.
func (l Link) speaks4() bool {
	if !l.Up || l.Loopback {
		return false
	}
	for _, a := range l.Addresses {
		if a.Addr().Is4() && !a.Addr().IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}

// An address of a root server of the DNS in each family. They are only looked
// up in the routing table: nothing is sent.
var faraway = [2]netip.Addr{netip.AddrFrom4([4]byte{198, 41, 0, 4}), netip.MustParseAddr("2001:503:ba3e::2:30")}

// ReadNetwork asks the kernel.
func ReadNetwork() (Network, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return Network{}, fmt.Errorf("netlink socket: %w", err)
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return Network{}, fmt.Errorf("listing the interfaces: %w", err)
	}
	n := Network{Dummy: hasDummy()}
	n.IPv4 = n.routed(h, faraway[0])
	n.IPv6 = n.routed(h, faraway[1])
	for _, l := range links {
		one, err := readLink(h, l)
		if err != nil {
			return Network{}, err
		}
		n.Links = append(n.Links, one)
	}
	return n, nil
}

func readLink(h *netlink.Handle, l netlink.Link) (Link, error) {
	attrs := l.Attrs()
	out := Link{
		Name: attrs.Name, Type: l.Type(), Up: attrs.Flags&net.FlagUp != 0, Loopback: attrs.Flags&net.FlagLoopback != 0,
		ARP: attrs.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0,
	}
	on, err := h.AddrList(l, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return out, fmt.Errorf("listing the addresses of %s: %w", attrs.Name, err)
	}
	for _, a := range on {
		addr, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		bits, _ := a.Mask.Size()
		out.Addresses = append(out.Addresses, Address{
			Prefix:        netip.PrefixFrom(addr.Unmap(), bits),
			NoPrefixRoute: a.Flags&unix.IFA_F_NOPREFIXROUTE != 0,
			Failed:        a.Flags&unix.IFA_F_DADFAILED != 0,
		})
	}
	return out, nil
}

// routed reports whether there is a route, and notes from which address the host would send.
func (n *Network) routed(h *netlink.Handle, to netip.Addr) bool {
	found, err := h.RouteGet(net.IP(to.AsSlice()))
	for _, r := range found {
		if src, ok := netip.AddrFromSlice(r.Src); ok {
			n.Sources = append(n.Sources, src.Unmap())
		}
	}
	return err == nil && len(found) > 0
}

// hasDummy reports whether the kernel has dummy interfaces: as a module that is
// loaded or can be, or built in.
func hasDummy() bool {
	if _, err := os.Stat("/sys/module/dummy"); err == nil {
		return true
	}
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	dir := filepath.Join("/lib/modules", unix.ByteSliceToString(name.Release[:]))
	for _, list := range []string{"modules.builtin", "modules.dep"} {
		if text, err := os.ReadFile(filepath.Join(dir, list)); err == nil && bytes.Contains(text, []byte("/dummy.ko")) {
			return true
		}
	}
	return false
}
