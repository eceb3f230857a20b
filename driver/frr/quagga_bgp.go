package frr

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// quaggaSettled is how long a path must have been there before it is worth a word
// that it is sent to nobody: the default advertisement-interval is 30 s.
const quaggaSettled = 40 * time.Second

// quaggaPeer is a neighbor in `show ip bgp neighbors`.
type quaggaPeer struct {
	name, state, reset string
	localAS            string
	shut               bool
	interval, hold     int               // in seconds
	active, both       map[string]bool   // address families: activated here, and on both sides
	routeMap           map[string]string // that leads out, by address family
}

// quaggaPeers reads `show ip bgp neighbors`.
func quaggaPeers(text string) []quaggaPeer {
	var out []quaggaPeer
	family := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "BGP neighbor is "); ok {
			name, rest, _ := strings.Cut(rest, ",")
			_, as, _ := strings.Cut(rest, "local AS ")
			as, _, _ = strings.Cut(as, ",")
			out, family = append(out, quaggaPeer{name: name, localAS: as, active: map[string]bool{}, both: map[string]bool{}, routeMap: map[string]string{}}), ""
			continue
		}
		if len(out) == 0 {
			continue
		}
		p := &out[len(out)-1]
		if rest, ok := strings.CutPrefix(line, "For address family: "); ok {
			family = rest
			p.active[family] = true
			continue
		}
		p.add(family, line)
	}
	return out
}

// add takes in a line about the neighbor.
func (p *quaggaPeer) add(family, line string) {
	key, value, _ := strings.Cut(line, " = ")
	switch {
	case key == "BGP state":
		p.state, _, _ = strings.Cut(value, ",")
	case strings.HasPrefix(line, "Administratively shut down"):
		p.shut = true
	case strings.HasPrefix(line, "Address family ") || strings.HasPrefix(line, "Address Family "):
		name, how, _ := strings.Cut(line[len("Address family "):], ": ")
		p.both[name] = how == "advertised and received"
	case strings.HasPrefix(line, "Minimum time between advertisement runs is "):
		p.interval = firstNumber(line)
	case strings.Contains(line, "hold time is ") && p.hold == 0:
		_, rest, _ := strings.Cut(line, "hold time is ")
		p.hold = firstNumber(rest)
	case strings.HasPrefix(line, "Route map for outgoing advertisements is "):
		p.routeMap[family] = strings.TrimLeft(line[strings.LastIndex(line, " ")+1:], "*")
	case strings.HasPrefix(line, "Last reset ") && strings.Contains(line, "due to "):
		_, p.reset, _ = strings.Cut(line, "due to ")
	}
}

// firstNumber returns the first number in a text, or 0.
func firstNumber(text string) int {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		n, err := strconv.Atoi(word)
		if err == nil {
			return n
		}
	}
	return 0
}

// takes tells whether the neighbor can be sent the family of a.
func (p quaggaPeer) takes(a netip.Addr) bool {
	family := familyOf(a) + " Unicast"
	if !p.active[family] || p.state != "Established" {
		return p.active[family]
	}
	return p.both[family] || len(p.both) == 0 && a.Is4() // knows nothing of RFC 4760
}

// neighbor returns p as it is told, with what an operator can do if it is down.
func (p quaggaPeer) neighbor() frrNeighbor {
	n := frrNeighbor{Neighbor: driver.Neighbor{
		Name: p.name, Protocol: "bgp", Up: p.state == "Established",
		IPv4: p.takes(netip.IPv4Unspecified()), IPv6: p.takes(netip.IPv6Unspecified()),
	}}
	switch {
	case n.Up:
	case p.shut:
		n.shut, n.Detail, n.fix = true, "it is shut down in the configuration", "no neighbor "+p.name+" shutdown"
	default:
		n.Detail = strings.TrimSuffix("the session is in state "+p.state+": "+p.reset, ": ")
		n.fix = fmt.Sprintf("check that TCP port 179 of %s can be reached, and that it has this host as a neighbor of AS %s, with the same password", p.name, p.localAS)
	}
	return n
}

// lookBGP asks bgpd for each prefix, and for its neighbors.
func (d *quaggaDaemon) lookBGP(ctx context.Context, permitted map[netip.Prefix]bool) (frrSight, error) {
	texts, err := d.vty.Ask(ctx, "show ip bgp neighbors")
	if err != nil {
		return frrSight{}, err
	}
	peers := quaggaPeers(texts[0])
	var neighbors []frrNeighbor
	for _, p := range peers {
		neighbors = append(neighbors, p.neighbor())
	}
	s := meeting(d.vty.Daemon, neighbors)
	s.held = map[netip.Prefix]bool{}
	for some := range slices.Chunk(sortedPrefixes(permitted), frrBatch) {
		var questions []string
		for _, p := range some {
			question := "show ip bgp "
			if p.Addr().Is6() {
				question = "show bgp ipv6 "
			}
			questions = append(questions, question+p.String())
		}
		if texts, err = d.vty.Ask(ctx, questions...); err != nil {
			return frrSight{}, err
		}
		for i, p := range some {
			to, since, ok := quaggaPath(texts[i])
			if !ok {
				continue
			}
			s.held[p], s.exported[p] = false, to
			if len(to) == 0 && time.Since(since) > quaggaSettled {
				s.findings = append(s.findings, quaggaNotExported(p, peers)...)
			}
		}
	}
	return s, nil
}

// quaggaNotExported says why a prefix that bgpd has is sent to nobody, although
// there are sessions that are up.
func quaggaNotExported(p netip.Prefix, peers []quaggaPeer) []driver.Finding {
	var up, filtered []string
	for _, peer := range peers {
		if peer.state != "Established" || !peer.takes(p.Addr()) {
			continue
		}
		up = append(up, peer.name)
		if name := peer.routeMap[familyOf(p.Addr())+" Unicast"]; name != "" {
			filtered = append(filtered, peer.name+" "+name)
		}
	}
	f := driver.Finding{Name: "not-exported", Level: driver.LevelError, Subject: "bgpd " + p.String()}
	switch {
	case len(up) == 0:
		return nil
	case len(filtered) > 0:
		f.Text = "is sent to no neighbor: the outgoing route-map denies it (" + strings.Join(filtered, ", ") + ")"
		f.Fix = "permit it there, or use the route-map " + frrMark + "-EBGP (in address-family ipv6 " + frrMark + "6-EBGP)"
	default:
		f.Text = "is sent to no neighbor, although nothing is known to hold it back (" + strings.Join(up, ", ") + " is up)"
		f.Fix = "neighbor " + up[0] + " advertisement-interval 1"
	}
	return []driver.Finding{f}
}

// findings returns what stands between keepcast's gate in the daemon and the
// neighbors.
func (d *quaggaDaemon) findings(run quaggaConfig, want driver.State) []driver.Finding {
	return append(d.lacks(run, want), d.unused(run, want)...)
}

// lacks returns findings for what the operator's configuration has to have, so
// that anything is announced.
func (d *quaggaDaemon) lacks(run quaggaConfig, want driver.State) []driver.Finding {
	if d.vty.Daemon == "bgpd" && run.router == "" && len(want.Announced()) > 0 {
		return []driver.Finding{{
			Name: "router-bgp-missing", Level: driver.LevelError, Subject: d.vty.Daemon, Text: "has no router bgp",
			Fix: "router bgp ASN\n redistribute connected route-map " + frrMark + "\n neighbor A remote-as N\n neighbor A advertisement-interval 1",
		}}
	}
	var out []driver.Finding
	told := map[string]bool{}
	for _, r := range want.Announced() {
		if f := d.unusedGate(run, want, r); f.Name != "" && d.role.carries(r.Prefix.Addr()) && !told[f.Subject] {
			out = append(out, f)
			told[f.Subject] = true
		}
	}
	return out
}

// unusedGate returns a finding if a route does not get to the gate.
func (d *quaggaDaemon) unusedGate(run quaggaConfig, want driver.State, r driver.Route) driver.Finding {
	p, name, family := r.Prefix.Masked(), frrMark, "ip"
	if p.Addr().Is6() {
		name, family = frrMark+"6", "ipv6"
	}
	f := driver.Finding{Name: "gate-unused", Level: driver.LevelError, Subject: d.vty.Daemon + " " + name, Text: "does not announce " + p.String()}
	source := "connected"
	switch {
	case d.vty.Daemon == "isisd" && r.PrefixOnly:
		f.Name, f.Subject, f.Text = "prefix-only", d.vty.Daemon+" "+p.String(), "cannot announce a network that has no address: its redistribution never takes one back"
		f.Fix = "take isisd out of the service's drivers, or give the network an address"
		return f
	case d.vty.Daemon == "isisd":
		if run.runsISIS(want, r) {
			return driver.Finding{}
		}
		f.Subject = d.vty.Daemon + " " + want.InterfaceOf(r) + " " + family
		f.Fix = "interface " + want.InterfaceOf(r) + "\n " + family + " router isis NAME\n isis passive"
		return f
	case d.vty.Daemon == "bgpd" && r.PrefixOnly:
		return driver.Finding{} // by a network line
	case r.PrefixOnly:
		source = "static"
	}
	for _, l := range run.redistributed {
		if l.routeMap == name && (strings.Fields(l.line)[1] == "connected") == !r.PrefixOnly {
			return driver.Finding{}
		}
	}
	f.Fix = "router ospf\n redistribute " + source + " route-map " + name
	if d.vty.Daemon == "bgpd" {
		f.Fix = nested(append(quaggaBlocks([]string{run.router, frrFamily(p.Addr())}), "redistribute "+source+" route-map "+name))
	}
	return f
}
