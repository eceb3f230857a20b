package checks

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
)

func init() {
	register(Kind{
		Name: "interface",
		Doc: "Asks the kernel whether a network interface can carry packets: it is up, has carrier, and its state is UP, or UNKNOWN " +
			"as of those that have no state (loopback, tun). A change is noticed at once, whatever the interval. " +
			"An interface that is missing, is down or has no carrier makes the check down at once; `patience` is for links that flap.",
		Example: "interface: eth0\n",
		New:     func() Checker { return new(Interface) },
		AtOnce:  "the interface changes",
		Instant: true,
	})
}

// Interface is fit when a network interface is operational.
type Interface struct {
	Interface string `config:"interface" required:"true" doc:"Name of the interface, as 'ip link' shows it."`
}

// Validate implements Validator.
func (i *Interface) Validate() error { return interfaceName(i.Interface) }

// Check implements Checker.
func (i *Interface) Check(ctx context.Context) error {
	link, err := askLink(ctx, i.Interface)
	if err != nil {
		return err
	}
	if link == nil {
		return health.Certain(fmt.Errorf("there is no interface %s", i.Interface))
	}
	attrs := link.Attrs()
	sight(ctx).saw("link", "%s of type %s: <%s> state %s", attrs.Name, link.Type(), flagsOf(attrs), stateOf(attrs))
	return i.judge(attrs)
}

// judge says why an interface is not operational (RFC 2863 section 3.1.14, and
// operstates.rst of the kernel).
func (i *Interface) judge(attrs *netlink.LinkAttrs) error {
	state := attrs.OperState
	switch {
	case attrs.RawFlags&unix.IFF_UP == 0:
		return health.Certain(fmt.Errorf("%s is down: run ip link set %s up", i.Interface, i.Interface))
	case attrs.RawFlags&unix.IFF_LOWER_UP == 0:
		return health.Certain(fmt.Errorf("%s has no carrier (state %s)", i.Interface, stateOf(attrs)))
	case state != netlink.OperUp && state != netlink.OperUnknown: // it waits for something, such as 802.1X
		return fmt.Errorf("%s is in state %s, expected UP", i.Interface, stateOf(attrs))
	}
	return nil
}

// Watch implements Watcher. It calls changed for each notice of that interface, also when it
// is made, deleted or renamed.
func (i *Interface) Watch(ctx context.Context, changed func()) error {
	link, err := askLink(ctx, i.Interface)
	if err != nil {
		return err
	}
	own := map[int32]bool{}
	if link != nil {
		own[int32(link.Attrs().Index)] = true
	}
	concerns := func(n syscall.NetlinkMessage) bool { return concernsLink(n, i.Interface, own) }
	return follow(ctx, []uint{unix.RTNLGRP_LINK}, nil, concerns, changed)
}

// concernsLink reports whether a notice is about the interface of that name, or one that had
// it; own are the indexes of those.
func concernsLink(n syscall.NetlinkMessage, name string, own map[int32]bool) bool {
	if len(n.Data) < unix.SizeofIfInfomsg {
		return false
	}
	index := int32(binary.NativeEndian.Uint32(n.Data[4:]))
	if n.Header.Type == unix.RTM_DELLINK {
		defer delete(own, index)
	}
	for _, a := range attributes(n, unix.SizeofIfInfomsg) {
		if a.Attr.Type == unix.IFLA_IFNAME && unix.ByteSliceToString(a.Value) == name {
			own[index] = true
			return true
		}
	}
	if own[index] { // it has another name now
		delete(own, index)
		return true
	}
	return false
}

// flagsOf returns those flags of an interface that matter, in the words of ip link.
func flagsOf(attrs *netlink.LinkAttrs) string {
	var words []string
	for _, f := range []struct {
		flag uint32
		word string
	}{
		{unix.IFF_LOOPBACK, "LOOPBACK"},
		{unix.IFF_POINTOPOINT, "POINTOPOINT"},
		{unix.IFF_DORMANT, "DORMANT"},
		{unix.IFF_UP, "UP"},
		{unix.IFF_LOWER_UP, "LOWER_UP"},
	} {
		if attrs.RawFlags&f.flag != 0 {
			words = append(words, f.word)
		}
	}
	if attrs.RawFlags&unix.IFF_UP != 0 && attrs.RawFlags&unix.IFF_LOWER_UP == 0 {
		words = append([]string{"NO-CARRIER"}, words...)
	}
	return strings.Join(words, ",")
}

// stateOf returns the operational state of an interface in the words of ip link.
func stateOf(attrs *netlink.LinkAttrs) string {
	return strings.ToUpper(strings.ReplaceAll(attrs.OperState.String(), "-", ""))
}
