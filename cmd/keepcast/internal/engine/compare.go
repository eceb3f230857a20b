package engine

import (
	"net/netip"
	"slices"

	"github.com/keepcast/keepcast/driver"
)

// announcedBy returns the masked prefixes that a state announces.
func announcedBy(s driver.State) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for _, r := range s.Announced() {
		out[r.Prefix.Masked()] = true
	}
	return out
}

// agree reports whether what is seen is what is wanted, as to want's prefixes.
func agree(seen map[netip.Prefix]bool, want driver.State) bool {
	wanted := announcedBy(want)
	for _, r := range want.Routes {
		if p := r.Prefix.Masked(); seen[p] != wanted[p] {
			return false
		}
	}
	return true
}

// gate is what a daemon's gate does with a prefix.
type gate struct{ open, degraded bool }

func gates(s driver.State) map[netip.Prefix]gate {
	out := map[netip.Prefix]gate{}
	for _, r := range s.Announced() {
		out[r.Prefix.Masked()] = gate{true, r.Degraded}
	}
	return out
}

// urgent reports whether the way from applied to want has a step that must not
// wait: a gate that opens, attributes that change, or a closing gate that is
// the only one.
func urgent(applied, want driver.State, gated bool) bool {
	before, after := gates(applied), gates(want)
	for p, g := range after {
		if before[p] != g {
			return true
		}
	}
	return !gated && len(before) != len(after)
}

// same reports whether two states mean the same to a routing daemon.
func same(a, b driver.State) bool {
	before, after := gates(a), gates(b)
	if len(before) != len(after) {
		return false
	}
	for p, g := range after {
		if before[p] != g {
			return false
		}
	}
	return true
}

// missed returns the announced routes that are not among what is seen.
func missed(seen map[netip.Prefix]bool, want driver.State) []driver.Route {
	return slices.DeleteFunc(want.Announced(), func(r driver.Route) bool { return seen[r.Prefix.Masked()] })
}

// fulfilled reports whether every address that want names is there as wanted.
func fulfilled(seen, want driver.State) bool {
	have := map[netip.Prefix]driver.Presence{}
	for _, route := range seen.Routes {
		p := route.Prefix
		if route.Presence == driver.Delivered { // local delivery is of the address alone
			p = netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
		}
		have[p] = max(have[p], route.Presence)
	}
	for _, route := range want.Routes {
		there := have[route.Prefix]
		if there != driver.Announced {
			there = max(there, have[netip.PrefixFrom(route.Prefix.Addr(), route.Prefix.Addr().BitLen())])
		}
		if there != route.Presence {
			return false
		}
	}
	return true
}
