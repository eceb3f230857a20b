package frr

import (
	"net/netip"
	"strings"
)

// frrRole is what one daemon of FRR is for, and what it needs so that it looks at
// a changed list again at once; without that it takes 5 s, isisd for ever.
type frrRole struct {
	ipv4, ipv6 bool
	again      frrAgain
	mgmtd      bool // from FRR 10 on, mgmtd configures it
}

type frrAgain int

const (
	// againNothing: babeld, where nothing helps. It never retracts what it has
	// sent; the neighbors find out by their own timers.
	againNothing   frrAgain = iota
	againNetwork            // bgpd: what it has put off is done at once
	againSame               // ospfd: the same redistribute line once more
	againWithdrawn          // isisd: the redistribute line taken away and made again, which it merges
	// againAlone: ospf6d, ripd and ripngd. A redistribute line taken away and made
	// again takes every route of it from the neighbors, for up to 5 s. That
	// is done for networks without an address, if no other one suffers by it;
	// for the rest, the address decides.
	againAlone
)

// FRRDaemons returns the daemons of FRR that keepcast can drive.
func FRRDaemons() []string {
	return []string{"bgpd", "ospfd", "ospf6d", "isisd", "ripd", "ripngd", "babeld"}
}

// frrRoleOf returns the role of a daemon that keepcast can drive.
func frrRoleOf(daemon string) (frrRole, bool) {
	switch daemon {
	case "bgpd":
		return frrRole{ipv4: true, ipv6: true, again: againNetwork}, true
	case "ospfd":
		return frrRole{ipv4: true, again: againSame}, true
	case "ospf6d":
		return frrRole{ipv6: true, again: againAlone}, true
	case "isisd":
		return frrRole{ipv4: true, ipv6: true, again: againWithdrawn}, true
	case "ripd":
		return frrRole{ipv4: true, again: againAlone, mgmtd: true}, true
	case "ripngd":
		return frrRole{ipv6: true, again: againAlone, mgmtd: true}, true
	case "babeld":
		return frrRole{ipv4: true, ipv6: true, again: againNothing}, true
	}
	return frrRole{}, false
}

// carries tells whether the daemon announces addresses of the family of a.
func (r frrRole) carries(a netip.Addr) bool {
	return a.Is4() && r.ipv4 || a.Is6() && r.ipv6
}

// owns tells whether a list or route-map of keepcast's is of a family that the
// daemon carries: in mgmtd those of ripd and ripngd are side by side.
func (r frrRole) owns(name string) bool {
	if name == frrMark+"6" || strings.HasPrefix(name, frrMark+"6-") {
		return r.ipv6
	}
	return r.ipv4
}

// frrGateOf returns the name of the list and route-map for the family of a.
func frrGateOf(a netip.Addr) string {
	if a.Is6() {
		return frrMark + "6"
	}
	return frrMark
}
