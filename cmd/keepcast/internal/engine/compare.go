package engine

import (
	"maps"
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

// gates returns with which attributes each prefix passes the gate.
func gates(s driver.State) map[netip.Prefix]driver.Attributes {
	out := map[netip.Prefix]driver.Attributes{}
	for _, r := range s.Announced() {
		out[r.Prefix.Masked()] = r.Attributes
	}
	return out
}

// urgent reports whether the way from applied to want has a step that must not
// wait: a gate that opens, attributes that change, or a closing gate that is
// the only one, as it always is for a network that has no address.
func urgent(applied, want driver.State, gated bool) bool {
	before, after := gates(applied), gates(want)
	for p, attributes := range after {
		if was, open := before[p]; !open || !was.Equal(attributes) {
			return true
		}
	}
	if !gated {
		return len(before) != len(after)
	}
	return slices.ContainsFunc(applied.Announced(), func(r driver.Route) bool {
		_, stays := after[r.Prefix.Masked()]
		return r.GateOnly && !stays
	})
}

// same reports whether two states mean the same to a routing daemon.
func same(a, b driver.State) bool {
	return maps.EqualFunc(gates(a), gates(b), driver.Attributes.Equal)
}

// fulfilled reports whether every address that want names is there as wanted.
func fulfilled(seen, want driver.State) bool {
	type place struct {
		on string
		p  netip.Prefix
	}
	have := map[place]driver.Presence{}
	delivered := map[netip.Addr]bool{} // local delivery is of the address alone, wherever it was
	for _, r := range seen.Routes {
		if r.Presence == driver.Delivered {
			delivered[r.Prefix.Addr()] = true
			continue
		}
		at := place{seen.On(r), r.Prefix}
		have[at] = max(have[at], r.Presence)
	}
	for _, r := range want.Routes {
		if r.GateOnly {
			continue
		}
		there := have[place{want.On(r), r.Prefix}]
		if there == driver.Absent && delivered[r.Prefix.Addr()] {
			there = driver.Delivered
		}
		if there != r.Presence {
			return false
		}
	}
	return true
}
