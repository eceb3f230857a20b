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

// vrfOf returns the VRF that the header of a router block names, "" for none.
func vrfOf(header string) string {
	words := strings.Fields(header)
	if i := slices.Index(words, "vrf"); i >= 0 && i+1 < len(words) && words[i+1] != "default" {
		return words[i+1]
	}
	return ""
}

// intoVRF returns a text with its commands, questions and headers of router blocks,
// as they are for a VRF.
func intoVRF(vrf, text string) string {
	if vrf == "" {
		return text
	}
	commands := regexp.MustCompile(`\bshow (ip |ipv6 )?(bgp|ospf6?|isis|rip|ripng|route)\b|\brouter (bgp ([\d.]*\d|ASN|N)\b|ospf6?\b|isis [^\s']+|ripng\b|rip\b)( vrf [^\s']+)?|\b(ip|ipv6) route \S+ blackhole\b`)
	return commands.ReplaceAllStringFunc(text, func(command string) string {
		before, _, _ := strings.Cut(command, " vrf ")
		return before + " vrf " + vrf
	})
}

// instanceOf returns a configuration without the router blocks of other VRFs.
func instanceOf(vrf, text string) string {
	var b strings.Builder
	inside := true
	for line := range strings.Lines(text) {
		if line[0] != ' ' {
			inside = !strings.HasPrefix(line, "router ") || vrfOf(line) == vrf
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
		out[i].Text, out[i].Fix = intoVRF(vrf, f.Text), intoVRF(vrf, f.Fix)
	}
	return out
}

// inVRF names the VRF in what was observed in it, and marks its neighbors as none of
// others.
func (o observation) inVRF(vrf string, elsewhere map[netip.Prefix]bool) observation {
	name := func(neighbor string) string {
		if vrf == "" {
			return neighbor
		}
		return neighbor + " in VRF " + vrf
	}
	for i := range o.neighbors {
		o.neighbors[i].Name, o.neighbors[i].Elsewhere = name(o.neighbors[i].Name), elsewhere
	}
	for _, to := range o.exported {
		for i := range to {
			to[i] = name(to[i])
		}
	}
	sessions := map[string]driver.Session{}
	for neighbor, s := range o.sessions {
		sessions[name(neighbor)] = s
	}
	o.findings, o.sessions = foundIn(vrf, o.findings), sessions
	return o
}

// join adds what was observed in another VRF.
func (o *observation) join(other observation) {
	maps.Copy(o.held, other.held)
	for p, to := range other.exported {
		o.exported[p] = append(o.exported[p], to...)
	}
	o.neighbors = append(o.neighbors, other.neighbors...)
	o.findings = append(o.findings, other.findings...)
	maps.Copy(o.sessions, other.sessions)
}

// otherAS says that a path is made longer by the AS of another instance of BGP: they
// share KEEPCAST-EBGP.
func otherAS(daemon string, run config, desired driver.State, m managed) []driver.Finding {
	for _, r := range desired.Announced() {
		vrf := m.vrfs[r.Prefix.Masked()]
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
