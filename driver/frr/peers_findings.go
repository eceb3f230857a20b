package frr

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// notInRIB says that a network line has no effect: bgpd announces a network only if zebra
// has it (`bgp network import-check`, on by default).
func (d *daemon) notInRIB(p netip.Prefix, prefixOnly bool) driver.Finding {
	f := driver.Finding{
		Name: "import-check", Level: driver.LevelError, Subject: d.name + " " + p.String(),
		Text: "has its network line, but is not announced: zebra has no route for it, which bgpd wants to see first (bgp network import-check)",
		Fix:  fmt.Sprintf("look at 'show %s route %s' in vtysh: the address must be there, on an interface that is up", ipOf(p.Addr()), p),
	}
	if prefixOnly {
		f.Fix = fmt.Sprintf("add '%s route %s blackhole' to frr.conf", ipOf(p.Addr()), p)
	}
	return f
}

// notWatched says that a network line has no effect for bgpd has not asked zebra.
func (d *daemon) notWatched(p netip.Prefix) driver.Finding {
	return driver.Finding{
		Name: "import-check", Level: driver.LevelError, Subject: d.name + " " + p.String(),
		Text: "has its network line, but is not announced: zebra does not watch its route for bgpd, as after zebra was restarted alone",
		Fix:  "nothing: keepcast enters the line anew once bgpd is connected to zebra; if it stays so, restart all of FRR: systemctl restart frr",
	}
}

// notExported says why a prefix that bgpd has is sent to nobody, although there are
// sessions that are up.
func (d *daemon) notExported(p netip.Prefix, peers []peer) []driver.Finding {
	var unpermitted, filtered, free, other []string // names of peers
	first := map[string]peer{}
	for _, peer := range peers {
		out, active := peer.active[familyOf(p.Addr())]
		name := peer.name
		switch {
		case !peer.up() || peer.upFor < d.bgp.grace:
			continue
		case !peer.takes(p.Addr()):
			other = append(other, name)
		case out.missing:
			unpermitted = append(unpermitted, name)
		case active && (out.routeMap != "" || out.filtered):
			name = strings.TrimSpace(name + " " + out.routeMap)
			filtered = append(filtered, name)
		default:
			free = append(free, name)
		}
		first[name] = peer
	}
	f := driver.Finding{Name: "not-exported", Level: driver.LevelError, Subject: d.name + " " + p.String()}
	block := func(name, line string) string {
		return nested(append(d.dialect.headers([]string{"router bgp " + first[name].localAS, familyHeader(p.Addr())}), "neighbor "+name+" "+line))
	}
	switch outMap := d.dialect.outMap(p.Addr()); {
	case len(unpermitted) > 0:
		f.Text = "is sent to no neighbor: " + strings.Join(unpermitted, ", ") + " has no outgoing policy, without which eBGP sends nothing (RFC 8212, bgp ebgp-requires-policy)"
		f.Fix = block(unpermitted[0], "route-map "+outMap+" out")
	case len(filtered) > 0:
		f.Text = "is sent to no neighbor: the outgoing route-map or list denies it (" + strings.Join(filtered, ", ") + ")"
		f.Fix = "permit it there, or use the route-map " + outMap
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
	return fmt.Sprintf("router bgp N\n neighbor A remote-as M\n %s\n  neighbor A activate", familyHeader(a))
}
