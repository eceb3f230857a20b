package checks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
)

func init() {
	register(Kind{
		Name: "address",
		Doc: "Asks the kernel whether an address is on this host, and can be used: its interface is up, and it is not " +
			"tentative (IPv6). A change is noticed at once, whatever the interval. An address that is missing makes the check down at once. " +
			"Do not name an address of a service that keepcast manages: it takes that away when it withdraws, and the check would not succeed until it comes back.",
		Example: "address: 192.0.2.1\ninterface: eth0\n",
		New:     func() Checker { return new(Address) },
		AtOnce:  "the address comes or goes",
		Instant: true,
	})
}

// Address is fit when an address is on this host.
type Address struct {
	Address   netip.Addr `config:"address" required:"true" doc:"The address."`
	Interface string     `config:"interface" doc:"Name of the interface that it is to be on. Any will do if left out."`
}

// Validate implements Validator.
func (a *Address) Validate() error {
	switch addr := a.Address; {
	case addr.Zone() != "":
		return fmt.Errorf("address: %s has a zone (set interface instead)", addr)
	case addr.Is4In6():
		return fmt.Errorf("address: %s is an IPv4 address (%s?)", addr, addr.Unmap())
	case !addr.IsValid(), addr.IsUnspecified(), addr.IsMulticast():
		return fmt.Errorf("address: %s is no address that an interface can have", addr)
	}
	return interfaceName(a.Interface)
}

// Check implements Checker.
func (a *Address) Check(ctx context.Context) error {
	h, err := kernel(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	var on netlink.Link
	if a.Interface != "" {
		if on, err = linkNamed(h, a.Interface); err != nil {
			return err
		}
		if on == nil {
			return health.Certain(fmt.Errorf("%s is missing: there is no interface %s", a.Address, a.Interface))
		}
	}
	all, err := h.AddrList(on, a.family())
	// Of a list that changed while it was read, what is there is right.
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("asking the kernel for its addresses: %w", unanswered(err))
	}
	interrupted := err != nil
	if on != nil {
		sight(ctx).saw("addresses", "%s has %s", a.Interface, wordsOf(all))
	}
	all = slices.DeleteFunc(all, func(found netlink.Addr) bool { return addrOf(found) != a.Address })
	if len(all) == 0 {
		return a.missing(interrupted)
	}
	for _, found := range all { // a link-local one may be on several
		if err = a.judge(ctx, h, found); err == nil {
			return nil
		}
	}
	return err
}

// family returns the address family to ask for.
func (a *Address) family() int {
	if a.Address.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// missing words that the address is not there. Of a list that changed while it was read that
// is not certain.
func (a *Address) missing(interrupted bool) error {
	err := fmt.Errorf("%s is not on this host", a.Address)
	if a.Interface != "" {
		err = fmt.Errorf("%s is not on %s", a.Address, a.Interface)
	}
	if interrupted {
		return err
	}
	return health.Certain(err)
}

// judge says why an address that is there can't be used.
func (a *Address) judge(ctx context.Context, h *netlink.Handle, found netlink.Addr) error {
	link, err := h.LinkByIndex(found.LinkIndex)
	if err != nil { // it went after the addresses were listed
		return fmt.Errorf("asking the kernel for the interface of %s: %w", a.Address, unanswered(err))
	}
	name := link.Attrs().Name
	sight(ctx).saw("address", "%s on %s, which is <%s>", wordsOf([]netlink.Addr{found}), name, flagsOf(link.Attrs()))
	switch {
	case link.Attrs().RawFlags&unix.IFF_UP == 0: // an IPv6 address is tentative then
		return health.Certain(fmt.Errorf("%s can't be used: %s is down (run ip link set %s up)", a.Address, name, name))
	case found.Flags&unix.IFA_F_DADFAILED != 0:
		return fmt.Errorf("%s on %s can't be used: another host has it (dadfailed)", a.Address, name)
	case found.Flags&unix.IFA_F_TENTATIVE != 0 && found.Flags&unix.IFA_F_OPTIMISTIC == 0:
		return fmt.Errorf("%s on %s is tentative: it can't be used yet", a.Address, name)
	}
	return nil
}

// Watch implements Watcher. It calls changed for each notice of that address, and of any
// interface: an IPv4 address stays on one that goes down.
func (a *Address) Watch(ctx context.Context, changed func()) error {
	groups := []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR}
	return follow(ctx, groups, nil, a.concerns, changed)
}

// concerns reports whether a notice is of an interface or of the address.
func (a *Address) concerns(n syscall.NetlinkMessage) bool {
	switch n.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return true
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return slices.ContainsFunc(attributes(n, unix.SizeofIfAddrmsg), func(attr syscall.NetlinkRouteAttr) bool {
			found, ok := netip.AddrFromSlice(attr.Value)
			return (attr.Attr.Type == unix.IFA_LOCAL || attr.Attr.Type == unix.IFA_ADDRESS) && ok && found == a.Address
		})
	}
	return false
}

// addrOf returns the address itself, without its network.
func addrOf(a netlink.Addr) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.IP)
	return addr.Unmap()
}

// wordsOf returns addresses in the words of ip address.
func wordsOf(all []netlink.Addr) string {
	if len(all) == 0 {
		return "none"
	}
	const most = 20
	var words []string
	for _, a := range all[:min(len(all), most)] {
		bits, _ := a.Mask.Size()
		word := fmt.Sprintf("%s/%d", addrOf(a), bits)
		switch {
		case a.Flags&unix.IFA_F_DADFAILED != 0:
			word += " dadfailed"
		case a.Flags&unix.IFA_F_TENTATIVE != 0:
			word += " tentative"
		}
		words = append(words, word)
	}
	if more := len(all) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, ", ")
}
