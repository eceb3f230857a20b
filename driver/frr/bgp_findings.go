package frr

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// bgpNotInRIB says that a network line has no effect: bgpd announces a network only
// if zebra has it (`bgp network import-check`, on by default).
func bgpNotInRIB(p netip.Prefix, prefixOnly bool) driver.Finding {
	command := "ip"
	if p.Addr().Is6() {
		command = "ipv6"
	}
	f := driver.Finding{
		Name: "import-check", Level: driver.LevelError, Subject: "bgpd " + p.String(),
		Text: "has its network line, but is not announced: zebra has no route for it, which bgpd wants to see first (bgp network import-check)",
		Fix:  fmt.Sprintf("look at 'show %s route %s' in vtysh: the address must be there, on an interface that is up", command, p),
	}
	if prefixOnly {
		f.Fix = fmt.Sprintf("add '%s route %s blackhole' to frr.conf", command, p)
	}
	return f
}

// bgpNotExported says why a prefix that bgpd has is sent to nobody, although there
// are sessions that are up.
func bgpNotExported(p netip.Prefix, peers map[string]bgpPeer) []driver.Finding {
	var policy, filtered, free, other []string
	for _, name := range slices.Sorted(maps.Keys(peers)) {
		peer := peers[name]
		family, active := peer.Families[bgpFamily(p.Addr())]
		switch {
		case !peer.up() || peer.Up < bgpSettled.Milliseconds():
		case !peer.takes(p.Addr()):
			other = append(other, name)
		case family.Missing != "":
			policy = append(policy, name)
		case active && (family.RouteMap != "" || family.Filtered):
			filtered = append(filtered, strings.TrimSpace(name+" "+family.RouteMap))
		default:
			free = append(free, name)
		}
	}
	f := driver.Finding{Name: "not-exported", Level: driver.LevelError, Subject: "bgpd " + p.String()}
	block := func(name, line string) string {
		return fmt.Sprintf("router bgp %d\n %s\n  neighbor %s %s", peers[name].LocalAS, frrFamily(p.Addr()), name, line)
	}
	switch {
	case len(policy) > 0:
		f.Text = "is sent to no neighbor: " + strings.Join(policy, ", ") + " has no outgoing policy, without which eBGP sends nothing (RFC 8212, bgp ebgp-requires-policy)"
		f.Fix = block(policy[0], "route-map "+frrMark+"-EBGP out")
	case len(filtered) > 0:
		f.Text = "is sent to no neighbor: the outgoing route-map or list denies it (" + strings.Join(filtered, ", ") + ")"
		f.Fix = "permit it there, or use the route-map " + frrMark + "-EBGP"
	case len(free) > 0:
		f.Text = "is sent to no neighbor, although nothing is known to hold it back (" + strings.Join(free, ", ") + " is up)"
		f.Fix = fmt.Sprintf("look at 'show bgp neighbors %s advertised-routes' in vtysh, and at the neighbor's advertisement-interval", free[0])
	case len(other) > 0:
		f.Text = "is sent to no neighbor: " + familyOf(p.Addr()) + " is not activated on both sides of a session (" + strings.Join(other, ", ") + " is up)"
		f.Fix = block(other[0], "activate") + "\nand the same there"
	default:
		return nil // no session is up: that is told of each
	}
	return []driver.Finding{f}
}

// bgpNeighborFix says what to do about a family without neighbor.
func bgpNeighborFix(a netip.Addr) string {
	return fmt.Sprintf("router bgp N\n neighbor A remote-as M\n %s\n  neighbor A activate", frrFamily(a))
}
