package frr

import (
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/keepcast/keepcast/driver"
)

// managed is what a daemon is told of the prefixes that keepcast manages, besides its
// section.
type managed struct {
	owned      map[netip.Prefix]bool   // all of them
	present    map[netip.Prefix]bool   // every prefix that an address on the host has now, managed or not
	prefixOnly map[netip.Prefix]bool   // those without an address
	vrfs       map[netip.Prefix]string // the VRF of each, "" for the default one
}

// managed returns what the daemons are told, with the VRF of each prefix: that of the
// interface that carries its service. FRR has an instance of each protocol for each VRF.
// The error is that the kernel did not tell.
func (s *suite) managed(desired driver.State) (managed, error) {
	m := managed{
		owned: desired.Managed(), present: onHost(desired.Managed()),
		prefixOnly: map[netip.Prefix]bool{}, vrfs: map[netip.Prefix]string{},
	}
	known := map[string]string{"": ""} // VRFs by interface
	for _, r := range desired.Routes {
		p, iface := r.Prefix.Masked(), desired.InterfaceOf(r)
		if r.PrefixOnly {
			m.prefixOnly[p] = true
		}
		if _, asked := known[iface]; !asked && s.opts.VRF != nil {
			vrf, err := s.opts.VRF(iface)
			if err != nil {
				return m, err
			}
			known[iface] = vrf
		}
		m.vrfs[p] = known[iface]
	}
	return m, nil
}

// onHost returns the prefixes of the addresses that the host has now, or those of
// otherwise if the kernel does not tell.
func onHost(otherwise map[netip.Prefix]bool) map[netip.Prefix]bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return otherwise
	}
	out := map[netip.Prefix]bool{}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out[p.Masked()] = true
		}
	}
	return out
}

// has tells whether there can be a route of p in the kernel, for a daemon to see.
func (m managed) has(p netip.Prefix) bool { return m.present[p] || m.prefixOnly[p] }

// onHost returns every prefix that there can be a route of.
func (m managed) onHost() map[netip.Prefix]bool {
	out := maps.Clone(m.present)
	maps.Copy(out, m.prefixOnly)
	return out
}

// inVRF returns the part of a state that is in a VRF.
func (m managed) inVRF(vrf string, s driver.State) driver.State {
	s.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r driver.Route) bool { return m.vrfs[r.Prefix.Masked()] != vrf })
	return s
}

// ownedIn returns the managed prefixes that are in a VRF.
func (m managed) ownedIn(vrf string) map[netip.Prefix]bool {
	out := maps.Clone(m.owned)
	maps.DeleteFunc(out, func(p netip.Prefix, _ bool) bool { return m.vrfs[p] != vrf })
	return out
}

// ownedElsewhere returns the managed prefixes that are in another VRF.
func (m managed) ownedElsewhere(vrf string) map[netip.Prefix]bool {
	out := maps.Clone(m.owned)
	maps.DeleteFunc(out, func(p netip.Prefix, _ bool) bool { return m.vrfs[p] == vrf })
	return out
}

// vrfsOf returns the VRFs that have anything of keepcast's: those of what is asked for
// and those of network lines; before the first Apply also those of a gate.
func (m managed) vrfsOf(run config, asked driver.State) []string {
	all := map[string]bool{}
	for _, r := range asked.Routes {
		all[m.vrfs[r.Prefix.Masked()]] = true
	}
	for vrf, bgp := range run.instances() {
		all[vrf] = all[vrf] || len(bgp.entered(m.ownedIn(vrf))) > 0
	}
	if len(asked.Routes) == 0 {
		all[""] = true
		for _, r := range run.redistribute {
			all[vrfOf(r.router())] = true
		}
	}
	maps.DeleteFunc(all, func(_ string, has bool) bool { return !has })
	return slices.Sorted(maps.Keys(all))
}
