package frr

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// bgpAnswers are what bgpd is asked, and how its answers are read. It is asked for each
// prefix: it finds one at once, but walks through a table that may hold the whole
// Internet.
type bgpAnswers struct {
	path      func(p netip.Prefix) string // the question about a prefix
	readPath  func(text string) bgpPath
	readPeers func(text string) []peer // sorted by name
	// grace is how long a path and a session must both have existed before it is a
	// finding that the path is not sent to the neighbor.
	grace time.Duration
	// untold: a session tells the same whether its neighbor was asked for graceful restart or
	// not. The configuration tells.
	untold bool
	// importCheck: a network is announced only if zebra has a route for it.
	importCheck bool
}

// bgpPath is what bgpd tells of a prefix. Other hosts announce the same one.
type bgpPath struct {
	to    []string  // the neighbors that it is advertised to
	own   bool      // there is a path of this host
	valid bool      // that is valid
	since time.Time // when the valid one came, as far as is known
}

// peer is a neighbor of bgpd.
type peer struct {
	name, state         string
	localAS, remoteAS   string
	shut                bool   // the operator took it down
	reset, notification string // why the session went
	upFor               time.Duration
	hold, interval      time.Duration     // hold time, advertisement-interval
	bfd                 string            // the state of its BFD session, "" without BFD
	active              map[string]policy // address families that are activated here
	both                map[string]bool   // address families that it speaks: whether both do
	restart             gracefulRestart
}

// gracefulRestart is what a neighbor was asked for, in case bgpd goes away without a word.
type gracefulRestart struct {
	asked     bool          // to wait for bgpd to come back, for so long:
	wait      time.Duration // the restart time
	longLived bool          // it would wait on for the stale time (RFC 9494)
	syncing   bool          // bgpd has not yet told it all that is announced (End-of-RIB)
}

// lasts returns for how long the neighbor goes on sending packets to a host whose bgpd is
// gone; stale is the stale time of bgpd. A neighbor that was only asked for long-lived
// graceful restart waits for both times, too (BIRD does).
func (g gracefulRestart) lasts(stale time.Duration) time.Duration {
	if !g.longLived {
		stale = 0
	}
	if !g.asked && stale == 0 {
		return 0
	}
	return g.wait + stale
}

// parts names the times that lasts adds up, if there are two.
func (g gracefulRestart) parts(stale time.Duration) string {
	if stale == 0 || !g.longLived || g.wait == 0 {
		return ""
	}
	return fmt.Sprintf(" (restart time %d s, then long-lived %d s)", g.wait/time.Second, stale/time.Second)
}

// session returns what the neighbor does once the session is gone, and whether that is to
// be noted: a session that somebody shut down left nothing behind.
func (p peer) session(stale time.Duration) (s driver.Session, noted bool) {
	if !p.up() {
		return driver.Session{}, p.shut
	}
	lasts := p.restart.lasts(stale)
	return driver.Session{IPv4: lasts, IPv6: lasts, Reason: gracefully, Syncing: lasts > 0 && p.restart.syncing}, true
}

// peers reads the neighbors of an instance.
func (a *bgpAnswers) peers(text string, bgp *bgpInstance) []peer {
	out := a.readPeers(text)
	for i := range out {
		out[i].restart.asked = out[i].restart.asked && (bgp.graceful || !a.untold)
	}
	return out
}

// established is the state of a session that is up.
const established = "Established"

// policy is what a neighbor lets out of one address family.
type policy struct {
	missing  bool   // RFC 8212 holds everything back
	routeMap string // that leads out
	filtered bool   // by a list or the like
}

// up tells whether the session is established.
func (p peer) up() bool { return p.state == established }

// takes tells whether the neighbor can be sent the family of a: it is activated here and,
// as far as a session tells, there. One without the multiprotocol extensions (RFC 4760)
// takes IPv4.
func (p peer) takes(a netip.Addr) bool {
	if _, active := p.active[familyOf(a)]; !active || !p.up() {
		return active
	}
	return p.both[familyOf(a)] || len(p.both) == 0 && a.Is4()
}

// neighbor returns p as it is told, with what an operator can do if it is down.
func (p peer) neighbor() neighbor {
	n := neighbor{Neighbor: driver.Neighbor{
		Name: p.name, Protocol: "bgp", Up: p.up(), IPv4: p.takes(netip.IPv4Unspecified()), IPv6: p.takes(netip.IPv6Unspecified()),
	}}
	if n.Up {
		return n
	}
	why := p.reset
	if p.notification != "" {
		why += " (" + p.notification + ")"
	}
	n.Detail = "the session is in state " + p.state
	switch {
	case p.shut:
		n.shut, n.Detail, n.fix = true, "it is shut down in the configuration", "no neighbor "+p.name+" shutdown"
	case strings.Contains(p.notification, "Bad Peer AS"):
		n.Detail += ": its AS is not the configured one"
		n.fix = fmt.Sprintf("compare 'neighbor %s remote-as %s' here with its own AS, and its remote-as with %s", p.name, p.remoteAS, p.localAS)
	case strings.Contains(p.notification, "Unsupported Capability"):
		n.Detail += ": the two have no address family in common"
		n.fix = "activate the same address families for each other on both sides"
	case p.reset == "Waiting for NHT" || p.reset == "No path to specified Neighbor":
		n.Detail += ": there is no route to it"
		n.fix = "check the link to it and 'show ip route " + p.name + "' (a neighbor more than one hop away needs ebgp-multihop)"
	default:
		if why != "" {
			n.Detail += ": " + why
		}
		n.fix = fmt.Sprintf("check that TCP port 179 of %s can be reached, and that it has this host as a neighbor of AS %s, with the same password", p.name, p.localAS)
	}
	return n
}

// observeBGP asks bgpd for each prefix that it is to announce, and for its neighbors. It
// asks for those of keepcast's that are not permitted, too: bgpd may have kept one.
func (d *daemon) observeBGP(ctx context.Context, vrf string, bgp *bgpInstance, permitted map[netip.Prefix]bool, asked driver.State, m managed) (observation, error) {
	all := m.ownedIn(vrf)
	maps.Copy(all, permitted)
	paths, err := d.paths(ctx, vrf, sortedPrefixes(all))
	if err != nil {
		return observation{}, err
	}
	answers, err := d.ask(ctx, vrf, d.neighbors)
	if err != nil {
		return observation{}, err
	}
	peers := d.bgp.peers(answers[0], bgp)
	var neighbors []neighbor
	for _, p := range peers {
		neighbors = append(neighbors, p.neighbor())
	}
	o := observationOf(d.name, neighbors)
	for _, p := range peers {
		if s, noted := p.session(bgp.longLived); noted {
			o.sessions[p.name] = s
		}
	}
	var invalid []netip.Prefix // though there is a network line, and it should be on the host
	prefixOnly := map[netip.Prefix]bool{}
	for _, r := range asked.Announced() {
		prefixOnly[r.Prefix.Masked()] = r.PrefixOnly
	}
	for _, p := range sortedPrefixes(all) {
		path := paths[p]
		if _, open := permitted[p]; !open {
			if path.valid && len(path.to) > 0 {
				o.held[p], o.exported[p] = false, path.to
			}
			continue
		}
		if !path.valid {
			if d.bgp.importCheck && (prefixOnly[p] || m.present[p] && m.owned[p]) {
				invalid = append(invalid, p)
			}
			continue
		}
		o.held[p], o.exported[p] = permitted[p], path.to
		if len(path.to) == 0 && time.Since(path.since) > d.bgp.grace {
			o.findings = append(o.findings, d.notExported(p, peers)...)
		}
	}
	found, err := d.notValid(ctx, vrf, invalid, prefixOnly)
	o.findings = append(o.findings, found...)
	return o, err
}

// notValid says which networks bgpd does not take for valid, and why. An address that has
// just come is on its way from the kernel by zebra to bgpd. So zebra is asked, and then
// bgpd again: what is told is wrong in both.
func (d *daemon) notValid(ctx context.Context, vrf string, invalid []netip.Prefix, prefixOnly map[netip.Prefix]bool) ([]driver.Finding, error) {
	if len(invalid) == 0 {
		return nil, nil
	}
	watched, known := d.watched(ctx, vrf)
	paths, err := d.paths(ctx, vrf, invalid)
	if err != nil {
		return nil, err
	}
	var out []driver.Finding
	for _, p := range invalid {
		there, asked := watched[p.Addr()]
		switch {
		case paths[p].valid, known && there:
		case known && !asked:
			out = append(out, d.notWatched(p))
		default:
			out = append(out, d.notInRIB(p, prefixOnly[p]))
		}
	}
	return out, nil
}

// paths asks bgpd for prefixes of a VRF, one by one.
func (d *daemon) paths(ctx context.Context, vrf string, prefixes []netip.Prefix) (map[netip.Prefix]bgpPath, error) {
	out := map[netip.Prefix]bgpPath{}
	for some := range slices.Chunk(prefixes, batchSize) {
		var questions []string
		for _, p := range some {
			questions = append(questions, d.bgp.path(p))
		}
		answers, err := d.ask(ctx, vrf, questions...)
		if err != nil {
			return nil, err
		}
		for i, p := range some {
			out[p] = d.bgp.readPath(answers[i])
		}
	}
	return out, nil
}
