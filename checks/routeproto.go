package checks

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// RouteProtocol is who made a route of the kernel (rtm_protocol of rtnetlink(7)): 0 is anybody.
type RouteProtocol uint8

// protocolNames are those of /etc/iproute2/rt_protos of iproute2 6.1, which a host may lack.
func protocolNames() map[RouteProtocol]string {
	return map[RouteProtocol]string{
		0: "any", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt", 11: "zebra", 12: "bird",
		13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp", 18: "keepalived", 42: "babel", 99: "openr",
		186: "bgp", 187: "isis", 188: "ospf", 189: "rip", 192: "eigrp",
	}
}

// Syntax names the syntax for the reference.
func (RouteProtocol) Syntax() string { return "routing protocol" }

// String returns the name, or the number of one that has none.
func (p RouteProtocol) String() string {
	if name, ok := protocolNames()[p]; ok {
		return name
	}
	return strconv.Itoa(int(p))
}

// MarshalText writes what UnmarshalText reads.
func (p RouteProtocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a name of rt_protos, or a number from 1 to 255.
func (p *RouteProtocol) UnmarshalText(text []byte) error {
	for number, name := range protocolNames() {
		if name == string(text) {
			*p = number
			return nil
		}
	}
	n, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil || n == 0 {
		return fmt.Errorf("%q is no routing protocol (a number from 1 to 255, or one of: %v)", text, protocolList())
	}
	*p = RouteProtocol(n)
	return nil
}

// protocolList returns the names in the order of their numbers.
func protocolList() []string {
	var names []string
	known := protocolNames()
	for _, p := range slices.Sorted(maps.Keys(known)) {
		names = append(names, known[p])
	}
	return names
}
