package kernel

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ensureLink makes the interface if it is missing, and brings it up.
func (v *view) ensureLink() error {
	if v.link == nil {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = v.iface
		err := v.h.LinkAdd(&netlink.Dummy{LinkAttrs: attrs})
		switch {
		case errors.Is(err, unix.EOPNOTSUPP):
			return fmt.Errorf("making %s: this kernel has no dummy interfaces: %w"+
				" (run modprobe dummy, or make an interface of that name yourself; any type will do)", v.iface, err)
		case err != nil && !errors.Is(err, unix.EEXIST):
			return fmt.Errorf("making %s: %w%s", v.iface, err, hint(err, v.iface))
		}
		if v.link, err = v.h.LinkByName(v.iface); err != nil {
			return fmt.Errorf("interface %s: %w", v.iface, err)
		}
	}
	if v.link.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := v.h.LinkSetUp(v.link); err != nil {
		return fmt.Errorf("bringing %s up: %w%s", v.iface, err, hint(err, v.iface))
	}
	return nil
}

// From the kernel's uapi headers linux/if_link.h and linux/ip.h.
const (
	iflaInetConf        = 1  // IFLA_INET_CONF
	devconfPromoteIndex = 20 // IPV4_DEVCONF_PROMOTE_SECONDARIES
)

// promote keeps the secondaries of a when a goes. The first IPv4 address of a
// subnet on an interface is its primary, and unless promote_secondaries is on
// the kernel deletes the others of that subnet with it: other services'
// addresses, and the operator's own. So the setting is switched on before the
// first primary goes that has any. It is done by netlink, for /proc/sys is
// read-only to a hardened unit.
func (v *view) promote(a netlink.Addr) error {
	if v.promoted || a.IP.To4() == nil || a.Flags&unix.IFA_F_SECONDARY != 0 || !v.hasSecondaries(a) {
		return nil
	}
	if err := v.setPromote(); err != nil {
		return fmt.Errorf("switching net.ipv4.conf.%s.promote_secondaries on, without which %s takes the others of its subnet along: %w",
			v.iface, prefixOf(a), err)
	}
	v.log.Info("switched promote_secondaries on", "interface", v.iface, "address", prefixOf(a))
	v.promoted = true
	return nil
}

func (v *view) hasSecondaries(a netlink.Addr) bool {
	subnet := prefixOf(a).Masked()
	for _, on := range v.addrs {
		if slices.ContainsFunc(on, func(b netlink.Addr) bool {
			return b.Flags&unix.IFA_F_SECONDARY != 0 && prefixOf(b).Masked() == subnet
		}) {
			return true
		}
	}
	return false
}

func (v *view) setPromote() error {
	s, err := nl.GetNetlinkSocketAt(v.ns, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer s.Close()
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(v.link.Attrs().Index)
	req.AddData(msg)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	conf := spec.AddRtAttr(unix.AF_INET, nil).AddRtAttr(iflaInetConf, nil)
	conf.AddRtAttr(devconfPromoteIndex, nl.Uint32Attr(1))
	req.AddData(spec)
	_, err = req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// linkNamed returns an interface, nil if it is not there.
func linkNamed(h *netlink.Handle, name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if err != nil {
		if err = unlessMissing(err); err != nil {
			err = fmt.Errorf("interface %s: %w", name, err)
		}
		return nil, err
	}
	return link, nil
}

// unlessMissing returns the error unless it says that an interface is not there.
func unlessMissing(err error) error {
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
		return nil
	}
	return err
}
