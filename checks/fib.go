package checks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The routes of the kernel are asked for by hand: the library reads a table to its end,
// whatever was found.

// fibRoute is a route as the kernel tells it.
type fibRoute struct {
	dst      netip.Prefix
	sources  bool // it is only for packets from some addresses (IPv6)
	table    uint32
	kind     uint8 // RTN_UNICAST, ...
	protocol RouteProtocol
	metric   uint32
	hops     []fibHop
	nexthop  uint32 // the id of a nexthop object; 0: none
}

// fibHop is one nexthop of a route.
type fibHop struct {
	index int32 // of the interface
	via   netip.Addr
	flags uint32 // RTNH_F_DEAD, ...
}

const rtaNexthop = 30 // RTA_NH_ID of linux/rtnetlink.h

// parseRoute reads a struct rtmsg and its attributes. It returns false for what is none.
func parseRoute(data []byte) (*fibRoute, bool) {
	if len(data) < unix.SizeofRtMsg {
		return nil, false
	}
	family, bits := data[0], int(data[1])
	r := &fibRoute{sources: data[2] != 0, table: uint32(data[4]), protocol: RouteProtocol(data[5]), kind: data[7]}
	first := fibHop{flags: binary.NativeEndian.Uint32(data[8:])}
	addr := netip.IPv4Unspecified()
	switch family {
	case unix.AF_INET:
	case unix.AF_INET6:
		addr = netip.IPv6Unspecified()
	default:
		return nil, false
	}
	attributes, _ := attributesIn(data[unix.SizeofRtMsg:])
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.RTA_DST:
			addr, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_TABLE:
			r.table = number(a.Value)
		case unix.RTA_PRIORITY:
			r.metric = number(a.Value)
		case rtaNexthop:
			r.nexthop = number(a.Value)
		case unix.RTA_MULTIPATH:
			r.hops = parseHops(a.Value)
		default:
			first.read(a)
		}
	}
	if r.hops == nil && first.index != 0 {
		r.hops = []fibHop{first}
	}
	r.dst, _ = addr.Prefix(bits) // not valid if it is none
	return r, r.dst.IsValid() && addr.Is4() == (family == unix.AF_INET)
}

// parseHops reads the nexthops of a multipath route, each a struct rtnexthop with attributes.
func parseHops(data []byte) []fibHop {
	var hops []fibHop
	for len(data) >= unix.SizeofRtNexthop {
		length := int(binary.NativeEndian.Uint16(data))
		if length < unix.SizeofRtNexthop || length > len(data) {
			break
		}
		hop := fibHop{index: int32(number(data[4:8])), flags: uint32(data[2])}
		attributes, _ := attributesIn(data[unix.SizeofRtNexthop:length])
		for _, a := range attributes {
			hop.read(a)
		}
		hops = append(hops, hop)
		data = data[min(len(data), aligned(length)):]
	}
	return hops
}

// read takes an attribute that is of a nexthop.
func (h *fibHop) read(a syscall.NetlinkRouteAttr) {
	switch a.Attr.Type {
	case unix.RTA_OIF:
		h.index = int32(number(a.Value))
	case unix.RTA_GATEWAY:
		h.via, _ = netip.AddrFromSlice(a.Value)
	case unix.RTA_VIA: // struct rtvia: the family of an IPv4 route's IPv6 gateway, and its address
		if len(a.Value) > 2 {
			h.via, _ = netip.AddrFromSlice(a.Value[2:])
		}
	}
}

// number reads an attribute of 32 bits; one that has others is 0.
func number(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}

// words returns the route in those of ip route.
func (r *fibRoute) words(names *linkNames) string {
	var b strings.Builder
	if kind, ok := rejects()[r.kind]; ok {
		b.WriteString(kind + " ")
	}
	if r.dst.Bits() == 0 {
		b.WriteString("default")
	} else {
		b.WriteString(r.dst.String())
	}
	if len(r.hops) == 1 {
		b.WriteString(r.hops[0].words(names))
	}
	if r.nexthop != 0 && len(r.hops) == 0 {
		fmt.Fprintf(&b, " nhid %d", r.nexthop)
	}
	b.WriteString(" proto " + r.protocol.String())
	if r.metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.metric)
	}
	if len(r.hops) > 1 {
		for _, hop := range r.hops[:min(len(r.hops), mostRoutes)] {
			b.WriteString(" nexthop" + hop.words(names))
		}
	}
	return b.String()
}

func (h fibHop) words(names *linkNames) string {
	words := ""
	if h.via.IsValid() {
		words = " via " + h.via.String()
	}
	name, err := names.of(h.index)
	if err != nil {
		name = "if" + strconv.Itoa(int(h.index))
	}
	words += " dev " + name
	if h.flags&unix.RTNH_F_DEAD != 0 {
		words += " dead"
	}
	if h.flags&unix.RTNH_F_LINKDOWN != 0 {
		words += " linkdown"
	}
	return words
}

// rejects are the names of the types of routes that deliver nothing elsewhere.
func rejects() map[uint8]string {
	return map[uint8]string{
		unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast", unix.RTN_MULTICAST: "multicast",
		unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw",
	}
}

// tableName returns the name of a table as ip route has it, or its number.
func tableName(table uint32) string {
	switch table {
	case unix.RT_TABLE_MAIN:
		return "main"
	case unix.RT_TABLE_LOCAL:
		return "local"
	case unix.RT_TABLE_DEFAULT:
		return "default"
	}
	return strconv.FormatUint(uint64(table), 10)
}

// linkNames finds the names of interfaces, each once.
type linkNames struct {
	open  func() (*netlink.Handle, error) // is called with the first that is looked for
	h     *netlink.Handle
	known map[int32]string
}

func (n *linkNames) of(index int32) (string, error) {
	if name, ok := n.known[index]; ok {
		return name, nil
	}
	if n.h == nil {
		h, err := n.open()
		if err != nil {
			return "", err
		}
		n.h = h
	}
	link, err := n.h.LinkByIndex(int(index))
	switch _, missing := errors.AsType[netlink.LinkNotFoundError](err); {
	case missing: // it went after the route was told
		n.known[index] = "if" + strconv.Itoa(int(index))
	case err != nil:
		return "", err
	default:
		n.known[index] = link.Attrs().Name
	}
	return n.known[index], nil
}

func (n *linkNames) close() {
	if n.h != nil {
		n.h.Close()
	}
}
