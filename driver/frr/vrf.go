package frr

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// on returns what the daemons are told of the host, and the VRF of each prefix: that
// of the interface that carries its service. FRR has an instance of each protocol
// for each VRF. The error is that the kernel did not tell.
func (f *FRR) on(want driver.State) (frrHost, error) {
	on := frrHostOf(want)
	on.vrfs = map[netip.Prefix]string{}
	of := map[string]string{"": ""}
	for _, r := range want.Routes {
		iface := want.InterfaceOf(r)
		if _, asked := of[iface]; !asked && f.host.VRF != nil {
			vrf, err := f.host.VRF(iface)
			if err != nil {
				return on, err
			}
			of[iface] = vrf
		}
		on.vrfs[r.Prefix.Masked()] = of[iface]
	}
	return on, nil
}

// in returns the part of a state that is in a VRF.
func (h frrHost) in(vrf string, s driver.State) driver.State {
	s.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r driver.Route) bool { return h.vrfs[r.Prefix.Masked()] != vrf })
	return s
}

// ownedIn returns the managed prefixes that are in a VRF.
func (h frrHost) ownedIn(vrf string) map[netip.Prefix]bool {
	out := maps.Clone(h.owned)
	maps.DeleteFunc(out, func(p netip.Prefix, _ bool) bool { return h.vrfs[p] != vrf })
	return out
}

// ownedElsewhere returns the managed prefixes that are in another VRF.
func (h frrHost) ownedElsewhere(vrf string) map[netip.Prefix]bool {
	out := maps.Clone(h.owned)
	maps.DeleteFunc(out, func(p netip.Prefix, _ bool) bool { return h.vrfs[p] == vrf })
	return out
}

// where returns the VRFs that have anything of keepcast's: those of what is asked for
// and those of network lines; before the first Apply also those of a gate.
func (h frrHost) where(run frrConfig, asked driver.State) []string {
	all := map[string]bool{}
	for _, r := range asked.Routes {
		all[h.vrfs[r.Prefix.Masked()]] = true
	}
	for vrf, bgp := range run.instances() {
		all[vrf] = all[vrf] || len(bgp.entered(h.ownedIn(vrf))) > 0
	}
	if len(asked.Routes) == 0 {
		all[""] = true
		for _, r := range run.redistribute {
			all[frrVRFOf(r.router)] = true
		}
	}
	maps.DeleteFunc(all, func(_ string, here bool) bool { return !here })
	return slices.Sorted(maps.Keys(all))
}

// frrVRFOf returns the VRF that the header of a router block names, "" for none.
func frrVRFOf(header string) string {
	words := strings.Fields(header)
	if i := slices.Index(words, "vrf"); i >= 0 && i+1 < len(words) && words[i+1] != "default" {
		return words[i+1]
	}
	return ""
}

// frrInto returns a text with its commands, questions and headers of router blocks,
// as they are for a VRF.
func frrInto(vrf, text string) string {
	if vrf == "" {
		return text
	}
	commands := regexp.MustCompile(`\bshow (ip |ipv6 )?(bgp|ospf6?|isis|rip|ripng|route)\b|\brouter (bgp ([\d.]*\d|ASN|N)\b|ospf6?\b|isis [^\s']+|ripng\b|rip\b)( vrf [^\s']+)?|\b(ip|ipv6) route \S+ blackhole\b`)
	return commands.ReplaceAllStringFunc(text, func(command string) string {
		before, _, _ := strings.Cut(command, " vrf ")
		return before + " vrf " + vrf
	})
}

// frrInstanceOf returns a configuration without the router blocks of other VRFs.
func frrInstanceOf(vrf, text string) string {
	var b strings.Builder
	inside := true
	for line := range strings.Lines(text) {
		if line[0] != ' ' {
			inside = !strings.HasPrefix(line, "router ") || frrVRFOf(line) == vrf
		}
		if inside {
			b.WriteString(line)
		}
	}
	return b.String()
}

// foundIn names the VRF in findings about it.
func foundIn(vrf string, found []driver.Finding) []driver.Finding {
	if vrf == "" {
		return found
	}
	out := slices.Clone(found)
	for i, f := range found {
		out[i].Subject += " in VRF " + vrf
		out[i].Text, out[i].Fix = frrInto(vrf, f.Text), frrInto(vrf, f.Fix)
	}
	return out
}

// in names the VRF in what was seen in it, and marks its neighbors as none of
// others.
func (s frrSight) in(vrf string, elsewhere map[netip.Prefix]bool) frrSight {
	name := func(neighbor string) string {
		if vrf == "" {
			return neighbor
		}
		return neighbor + " in VRF " + vrf
	}
	for i := range s.neighbors {
		s.neighbors[i].Name, s.neighbors[i].Elsewhere = name(s.neighbors[i].Name), elsewhere
	}
	for _, to := range s.exported {
		for i := range to {
			to[i] = name(to[i])
		}
	}
	s.findings = foundIn(vrf, s.findings)
	return s
}

// join adds what was seen in another VRF.
func (s *frrSight) join(other frrSight) {
	if s.held == nil {
		s.held, s.exported = map[netip.Prefix]bool{}, map[netip.Prefix][]string{}
	}
	maps.Copy(s.held, other.held)
	for p, to := range other.exported {
		s.exported[p] = append(s.exported[p], to...)
	}
	s.neighbors = append(s.neighbors, other.neighbors...)
	s.findings = append(s.findings, other.findings...)
}

// findingsOf are the findings about the configuration of all VRFs.
func (d *frrDaemon) findingsOf(run frrConfig, want driver.State, on frrHost) []driver.Finding {
	var out []driver.Finding
	for _, vrf := range on.where(run, want) {
		out = append(out, foundIn(vrf, d.findings(run.in(vrf), on.in(vrf, want)))...)
	}
	return append(out, otherAS(d.vty.Daemon, run, want, on)...)
}

// otherAS says that a path is made longer by the AS of another instance of BGP: they
// share KEEPCAST-EBGP.
func otherAS(daemon string, run frrConfig, want driver.State, on frrHost) []driver.Finding {
	for _, r := range want.Announced() {
		vrf := on.vrfs[r.Prefix.Masked()]
		bgp, there := run.vrfs[vrf]
		if r.Attributes.Prepend == 0 || !there || bgp.router == "" || bgp.as() == run.as() {
			continue
		}
		return []driver.Finding{{
			Name: "prepend-other-as", Level: driver.LevelWarning, Subject: daemon + " in VRF " + vrf,
			Text: fmt.Sprintf("the path of %s is made longer by AS %s, the number of another instance, not by its own %s", r.Prefix.Masked(), run.as(), bgp.as()),
			Fix:  "give 'router bgp " + bgp.as() + " vrf " + vrf + "' the same AS, or use another attribute than prepend for what is in it",
		}}
	}
	return nil
}
