package reconcile

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/keepcast/keepcast/driver"
)

// announcedBy returns the masked prefixes that a state announces.
func announcedBy(s driver.State) map[netip.Prefix]bool {
	return driver.State{Routes: s.Announced()}.Managed()
}

// gate is how a prefix passes the gate.
type gate struct {
	attributes driver.Attributes
	iface      string // with the address; some daemons look for it there only
}

func (g gate) equal(other gate) bool {
	return g.iface == other.iface && g.attributes.Equal(other.attributes)
}

// gates returns how each announced prefix passes the gate.
func gates(s driver.State) map[netip.Prefix]gate {
	out := map[netip.Prefix]gate{}
	for _, r := range s.Announced() {
		out[r.Prefix.Masked()] = gate{r.Attributes, s.InterfaceOf(r)}
	}
	return out
}

// urgent reports whether a change from applied to desired must not wait: a gate opens
// or changes, or a prefix is withdrawn by its gate alone. A prefix without an address
// is always withdrawn by its gate alone.
func urgent(applied, desired driver.State, addressFirst bool) bool {
	before, after := gates(applied), gates(desired)
	for p, now := range after {
		if was, open := before[p]; !open || !was.equal(now) {
			return true
		}
	}
	if !addressFirst {
		return len(before) != len(after)
	}
	return slices.ContainsFunc(applied.Announced(), func(r driver.Route) bool {
		_, stays := after[r.Prefix.Masked()]
		return r.PrefixOnly && !stays
	})
}

// same reports whether two states mean the same to a routing daemon.
func same(a, b driver.State) bool {
	return maps.EqualFunc(gates(a), gates(b), gate.equal)
}

// differing returns the addresses of desired that are not there as desired.
func differing(observed, desired driver.State) (differ []netip.Prefix) {
	type location struct {
		iface  string
		prefix netip.Prefix
	}
	announced := map[location]bool{}
	delivered := map[netip.Addr]bool{} // local delivery is of the address alone, wherever it was
	for _, r := range observed.Routes {
		switch r.Presence {
		case driver.Announced:
			announced[location{observed.InterfaceOf(r), r.Prefix}] = true
		case driver.Delivered:
			delivered[r.Prefix.Addr()] = true
		}
	}
	for _, r := range desired.Routes {
		if r.PrefixOnly {
			continue
		}
		there := driver.Absent
		switch {
		case announced[location{desired.InterfaceOf(r), r.Prefix}]:
			there = driver.Announced
		case delivered[r.Prefix.Addr()]:
			there = driver.Delivered
		}
		if there != r.Presence {
			differ = append(differ, r.Prefix)
		}
	}
	return differ
}
