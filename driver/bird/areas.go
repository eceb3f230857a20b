package bird

import (
	"net/netip"
	"slices"

	"github.com/keepcast/keepcast/driver"
)

// areas returns what "show route" is asked about to hear of all the prefixes, and maybe of
// others. BIRD 2 finds one prefix at once, but walks through a whole table that may hold
// the Internet, so there it is one by one. In BIRD 3 each question about a main table costs
// milliseconds where that is large, whether for one prefix or for an area of the table. So
// there one question is about all prefixes that are close to each other.
func (b *Driver) areas(prefixes []netip.Prefix) []string {
	var out []string
	if b.ctl == nil || older(b.ctl.Version, "3") {
		for _, p := range prefixes {
			out = append(out, p.String())
		}
		return out
	}
	closeTo := map[netip.Prefix][]netip.Prefix{}
	for _, p := range prefixes {
		closeTo[region(p)] = append(closeTo[region(p)], p)
	}
	for _, near := range closeTo {
		if len(near) == 1 {
			out = append(out, near[0].String())
		} else {
			out = append(out, "in "+commonPrefix(near).String())
		}
	}
	slices.Sort(out)
	return out
}

// region is what prefixes that are close to each other have in common. One that is larger
// is a region of its own: all of it would be a walk through the table.
func region(p netip.Prefix) netip.Prefix {
	bits := 8
	if p.Addr().Is6() {
		bits = 24
	}
	return netip.PrefixFrom(p.Addr(), min(bits, p.Bits())).Masked()
}

// commonPrefix returns the longest prefix that covers all of a family's prefixes.
func commonPrefix(all []netip.Prefix) netip.Prefix {
	common := all[0]
	for _, p := range all[1:] {
		for bits := min(common.Bits(), p.Bits()); ; bits-- {
			common = netip.PrefixFrom(common.Addr(), bits).Masked()
			if common.Contains(p.Addr()) {
				break
			}
		}
	}
	return common
}

// prefixesOf returns the prefixes of routes as they are announced, each once.
func prefixesOf(routes []driver.Route) []netip.Prefix {
	var out []netip.Prefix
	for p := range (driver.State{Routes: routes}).Managed() {
		out = append(out, p)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}
