package frr

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// bgpSettled is how long a path and a session must have been there before it is
// worth a word that the one is not sent to the other.
const bgpSettled = 5 * time.Second

// bgpPeer is a neighbor in `show bgp neighbors json`.
type bgpPeer struct {
	State        string `json:"bgpState"`
	LocalAS      uint32 `json:"localAs"`
	RemoteAS     uint32 `json:"remoteAs"`
	RouterID     string `json:"localRouterId"`
	Shut         bool   `json:"adminShutDown"`
	Reset        string `json:"lastResetDueTo"`
	Notification string `json:"lastNotificationReason"`
	Up           int64  `json:"bgpTimerUpMsec"`                     // how long, in milliseconds
	Hold         int64  `json:"bgpTimerHoldTimeMsecs"`              // in milliseconds
	Interval     int64  `json:"minBtwnAdvertisementRunsTimerMsecs"` // in milliseconds
	BFD          *struct {
		Status string `json:"status"`
	} `json:"peerBfdInfo"`
	Families     map[string]bgpPolicy `json:"addressFamilyInfo"` // those activated here, under ipv4Unicast and so on
	Capabilities struct {
		Families map[string]struct {
			Both     bool `json:"advertisedAndReceived"`
			Received bool `json:"received"`
		} `json:"multiprotocolExtensions"`
	} `json:"neighborCapabilities"`
}

// bgpPolicy is what a neighbor lets out of one address family.
type bgpPolicy struct {
	Missing  string `json:"outboundEbgpRequiresPolicy"` // set if RFC 8212 holds everything back
	RouteMap string `json:"routeMapForOutgoingAdvertisements"`
	Filtered bool   `json:"outboundPathPolicyConfig"` // by a route-map, a list or the like
}

// bgpPeers reads `show bgp neighbors json`.
func bgpPeers(text string) map[string]bgpPeer {
	var raw map[string]json.RawMessage
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&raw); err != nil {
		return nil
	}
	out := map[string]bgpPeer{}
	for name, v := range raw {
		var p bgpPeer
		_ = json.Unmarshal(v, &p) // what is of another type than known is left out
		if p.State != "" {
			out[name] = p
		}
	}
	return out
}

// up tells whether the session is established.
func (p bgpPeer) up() bool { return p.State == "Established" }

// takes tells whether the neighbor can be sent the family of a: it is activated
// here and, as far as a session tells, there. One without the multiprotocol
// extensions (RFC 4760) takes IPv4.
func (p bgpPeer) takes(a netip.Addr) bool {
	if _, active := p.Families[bgpFamily(a)]; !active {
		return false
	}
	if !p.up() || p.Capabilities.Families[bgpFamily(a)].Both {
		return true
	}
	for _, c := range p.Capabilities.Families {
		if c.Both || c.Received {
			return false
		}
	}
	return a.Is4()
}

// bgpFamily returns FRR's name for the family in JSON.
func bgpFamily(a netip.Addr) string {
	if a.Is4() {
		return "ipv4Unicast"
	}
	return "ipv6Unicast"
}

// neighbor returns p as it is told, with what an operator can do if it is down.
func (p bgpPeer) neighbor(name string) frrNeighbor {
	n := frrNeighbor{Neighbor: driver.Neighbor{
		Name: name, Protocol: "bgp", Up: p.up(), IPv4: p.takes(netip.IPv4Unspecified()), IPv6: p.takes(netip.IPv6Unspecified()),
	}}
	if n.Up {
		return n
	}
	why := p.Reset
	if p.Notification != "" {
		why += " (" + p.Notification + ")"
	}
	n.Detail = "the session is in state " + p.State
	switch {
	case p.Shut:
		n.shut, n.Detail, n.fix = true, "it is shut down in the configuration", "no neighbor "+name+" shutdown"
	case strings.Contains(p.Notification, "Bad Peer AS"):
		n.Detail += ": its AS is not the configured one"
		n.fix = fmt.Sprintf("compare 'neighbor %s remote-as %d' here with its own AS, and its remote-as with %d", name, p.RemoteAS, p.LocalAS)
	case strings.Contains(p.Notification, "Unsupported Capability"):
		n.Detail += ": the two have no address family in common"
		n.fix = "activate the same address families for each other on both sides"
	case p.Reset == "Waiting for NHT" || p.Reset == "No path to specified Neighbor":
		n.Detail += ": there is no route to it"
		n.fix = "check the link to it and 'show ip route " + name + "' (a neighbor more than one hop away needs ebgp-multihop)"
	default:
		if why != "" {
			n.Detail += ": " + why
		}
		n.fix = fmt.Sprintf("check that TCP port 179 of %s can be reached, and that it has this host as a neighbor of AS %d, with the same password", name, p.LocalAS)
	}
	return n
}

// bgpPath is what `show bgp AFI unicast P json` tells of a prefix.
type bgpPath struct {
	To    map[string]any `json:"advertisedTo"`
	Paths []struct {
		Valid, Local bool
		Since        struct {
			Epoch int64 `json:"epoch"`
		} `json:"lastUpdate"`
	} `json:"paths"`
}

func bgpPathOf(text string) bgpPath {
	var p bgpPath
	_ = json.NewDecoder(strings.NewReader(text)).Decode(&p) // without such a prefix it is {}
	return p
}

// originated tells since when the prefix is announced by this host: a path of its
// own is valid. Other hosts announce the same prefix.
func (p bgpPath) originated() (since time.Time, ok bool) {
	for _, path := range p.Paths {
		if path.Local && path.Valid {
			return time.Unix(path.Since.Epoch, 0), true
		}
	}
	return time.Time{}, false
}

// lookBGP asks bgpd for each prefix, and for its neighbors.
func (d *frrDaemon) lookBGP(ctx context.Context, vrf string, permitted map[netip.Prefix]bool, asked driver.State, on frrHost) (frrSight, error) {
	paths, err := d.paths(ctx, vrf, sortedPrefixes(permitted))
	if err != nil {
		return frrSight{}, err
	}
	answers, err := d.ask(ctx, vrf, "show bgp neighbors json")
	if err != nil {
		return frrSight{}, err
	}
	peers := bgpPeers(answers[0])
	var neighbors []frrNeighbor
	for _, name := range slices.Sorted(maps.Keys(peers)) {
		neighbors = append(neighbors, peers[name].neighbor(name))
	}
	s := meeting(d.vty.Daemon, neighbors)
	s.held = permitted
	prefixOnly := map[netip.Prefix]bool{}
	for _, r := range asked.Announced() {
		prefixOnly[r.Prefix.Masked()] = r.PrefixOnly
	}
	for _, p := range sortedPrefixes(permitted) {
		since, ok := paths[p].originated()
		if !ok {
			delete(s.held, p)
			if prefixOnly[p] || on.present[p] && on.owned[p] {
				s.findings = append(s.findings, bgpNotInRIB(p, prefixOnly[p]))
			}
			continue
		}
		s.exported[p] = slices.Sorted(maps.Keys(paths[p].To))
		if len(s.exported[p]) == 0 && time.Since(since) > bgpSettled {
			s.findings = append(s.findings, bgpNotExported(p, peers)...)
		}
	}
	return s, nil
}

// paths asks bgpd for prefixes of a VRF, one by one: it finds one at once, but walks
// through a table that may hold the whole Internet.
func (d *frrDaemon) paths(ctx context.Context, vrf string, prefixes []netip.Prefix) (map[netip.Prefix]bgpPath, error) {
	out := map[netip.Prefix]bgpPath{}
	for some := range slices.Chunk(prefixes, frrBatch) {
		var questions []string
		for _, p := range some {
			questions = append(questions, "show bgp "+strings.TrimPrefix(frrFamily(p.Addr()), "address-family ")+" "+p.String()+" json")
		}
		answers, err := d.ask(ctx, vrf, questions...)
		if err != nil {
			return nil, err
		}
		for i, p := range some {
			out[p] = bgpPathOf(answers[i])
		}
	}
	return out, nil
}
