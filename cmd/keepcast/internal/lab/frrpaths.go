package lab

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// frrBGP decodes `show bgp FAMILY unicast PREFIX json`.
func frrBGP(text string) ([]Path, error) {
	var shown struct {
		Paths []struct {
			Bestpath struct{ Overall bool }
			Metric   int64
			Aspath   struct{ String string }
			Peer     struct{ RouterID string }

			LocPrf                    int64
			Community, LargeCommunity struct{ String string }
		}
	}
	if err := json.Unmarshal([]byte(text), &shown); err != nil {
		return nil, err
	}
	var all []Path
	for _, p := range shown.Paths {
		if hostOf(p.Peer.RouterID) == "" {
			continue // of the router itself
		}
		if p.Aspath.String == "Local" {
			p.Aspath.String = "" // empty: of the router's own AS
		}
		all = append(all, Path{
			Host: hostOf(p.Peer.RouterID), Best: p.Bestpath.Overall,
			Metric: p.Metric, ASPath: strings.Fields(p.Aspath.String), LocalPref: p.LocPrf,
			Communities:      frrCommunities(p.Community.String),
			LargeCommunities: frrCommunities(p.LargeCommunity.String),
		})
	}
	return all, nil
}

// frrCommunities are the communities of text, numbers for the names that FRR gives
// to some (RFC 1997, RFC 7999, RFC 8326).
func frrCommunities(text string) []string {
	var all []string
	for c := range strings.FieldsSeq(text) {
		if number, ok := map[string]string{
			"graceful-shutdown": "65535:0", "blackhole": "65535:666",
			"no-export": "65535:65281", "no-advertise": "65535:65282", "local-AS": "65535:65283",
		}[c]; ok {
			c = number
		}
		all = append(all, c)
	}
	slices.Sort(all)
	return all
}

func (r *Router) frrPaths(ctx context.Context, prefix netip.Prefix) ([]Path, error) {
	var all []Path
	var err error
	switch r.lab.options.Protocol {
	case BGP:
		out, err := r.show(ctx, "bgpd", "show bgp ipv"+family(prefix.Addr())+" unicast "+prefix.String()+" json")
		if err != nil {
			return nil, err
		}
		return frrBGP(out)
	case OSPF:
		all, err = r.frrOSPF(ctx, prefix)
	case ISIS:
		var out string
		if out, err = r.show(ctx, "isisd", "show isis database detail"); err == nil {
			all = frrISIS(out, prefix)
		}
	case RIP:
		daemon, command := "ripd", "show ip rip"
		if prefix.Addr().Is6() {
			daemon, command = "ripngd", "show ipv6 ripng"
		}
		var out string
		if out, err = r.show(ctx, daemon, command); err == nil {
			all = frrRIP(out, prefix)
		}
	case Babel:
		var out string
		if out, err = r.show(ctx, "babeld", "show babel route"); err == nil {
			all = frrBabel(out, prefix)
		}
	}
	if err != nil {
		return nil, err
	}
	return r.markBest(prefix, all)
}

var (
	ospfRouter = regexp.MustCompile(`(?m)^\s*Advertising Router: (\S+)`)
	ospfMetric = regexp.MustCompile(`(?m)^\s*Metric: +(\d+)`)
	ospfAge    = regexp.MustCompile(`(?m)^\s*(?:LS age|Age): +(\d+)`)
)

// maxAge is the age in seconds of an LSA that is being withdrawn (RFC 2328, B).
const maxAge = 3600

// frrOSPF reads the external LSAs for the prefix. Text, because the JSON of
// ospf6d 8.4 leaves the metric out.
func (r *Router) frrOSPF(ctx context.Context, prefix netip.Prefix) ([]Path, error) {
	daemon, command, start := "ospfd", "show ip ospf database external "+prefix.Addr().String(), "LS age:"
	if prefix.Addr().Is6() {
		daemon, command, start = "ospf6d", "show ipv6 ospf6 database as-external detail", "Age:"
	}
	out, err := r.show(ctx, daemon, command)
	if err != nil {
		return nil, err
	}
	return ospfLSAs(out, start, prefix), nil
}

// ospfLSAs takes the text apart where an LSA starts.
func ospfLSAs(text, start string, prefix netip.Prefix) []Path {
	var all []Path
	for _, lsa := range strings.Split(text, start)[1:] {
		lsa = start + lsa
		router, metric, age := ospfRouter.FindStringSubmatch(lsa), ospfMetric.FindStringSubmatch(lsa), ospfAge.FindStringSubmatch(lsa)
		if prefix.Addr().Is6() && !strings.Contains(lsa, "Prefix: "+prefix.String()+"\n") {
			continue
		}
		if router == nil || metric == nil || age == nil || age[1] == strconv.Itoa(maxAge) || hostOf(router[1]) == "" {
			continue
		}
		m, _ := strconv.ParseInt(metric[1], 10, 64)
		all = append(all, Path{Host: hostOf(router[1]), Metric: m})
	}
	return all
}

// frrISIS reads `show isis database detail`, in which the LSPs carry the names
// of their routers. (The JSON of 8.4 repeats its keys, so prefixes get lost.)
//
//	a.00-00              *    152   0x00000005  0xbbcf    1190    0/0/0
//	  Extended IP Reachability: 192.0.2.53/32 (Metric: 0)
func frrISIS(text string, prefix netip.Prefix) []Path {
	var all []Path
	var host string
	lsp := regexp.MustCompile(`^(\S+)\.\d\d-\d\d\s`)
	reach := regexp.MustCompile(`Reachability: ` + regexp.QuoteMeta(prefix.String()) + ` \(Metric: (\d+)\)`)
	for line := range strings.Lines(text) {
		if m := lsp.FindStringSubmatch(line); m != nil {
			host = m[1]
		} else if m := reach.FindStringSubmatch(line); m != nil && (host == "a" || host == "b") {
			metric, _ := strconv.ParseInt(m[1], 10, 64)
			all = append(all, Path{Host: host, Metric: metric})
		}
	}
	return all
}

func (r *Router) frrConverged(ctx context.Context) error {
	shows := map[string][][2]string{
		BGP:  {{"bgpd", "show bgp ipv4 unicast summary"}, {"bgpd", "show bgp ipv6 unicast summary"}},
		OSPF: {{"ospfd", "show ip ospf neighbor"}, {"ospf6d", "show ipv6 ospf6 neighbor"}},
		ISIS: {{"isisd", "show isis neighbor"}},
		// RIP has no neighbors, only what they announce.
		Babel: {{"babeld", "show babel neighbor"}},
	}[r.lab.options.Protocol]
	for _, show := range shows {
		out, err := r.show(ctx, show[0], show[1])
		if err != nil {
			return err
		}
		if len(frrUp.FindAllString(out, -1)) != r.neighbors() {
			return errors.New(show[1] + ":\n" + out)
		}
	}
	return nil
}

// frrUp matches the line of a neighbor that is there, in each of the shows: of
// BGP the uptime and the number of prefixes, of OSPF the state, of IS-IS it too, of Babel
// a cost that is not infinite.
var frrUp = regexp.MustCompile(`(?m) \d\d:\d\d:\d\d +\d+ +\d+ \S+$| Full/|^ \S+ +\S+ +\d +Up |^Neighbor .* txcost \d{1,4} `)
