package frr

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/community"
	"github.com/keepcast/keepcast/templates"
)

// tagBase is the tag of each route that keepcast announces in bgpd. The tag is
// tagBase+n if the own AS is to be prepended n times towards eBGP neighbors. A tag is
// not sent to anybody. (4786 is the RFC on the operation of anycast services.)
const tagBase = 4786000

// The route-map entries of a family: their numbers are stable, so that a change of
// one group touches no other's.
const (
	seqGroup = 2     // the first that a group of routes can have; 1 is that of the withdrawn ones in RIP
	seqBase  = 65535 // that of the routes without a metric of their own
)

// frrData is what the template frr.conf.tmpl is given.
type frrData struct {
	Daemons  []string     `doc:"The driver's setting daemons."`
	IPv4     *frrLists    `doc:"What is to be done with IPv4."`
	IPv6     *frrLists    `doc:"What is to be done with IPv6."`
	Maps     []frrMap     `doc:"The route-maps that the network lines of both families name, sorted by name."`
	Prepends []frrPrepend `doc:"The entries of KEEPCAST-EBGP; always the same."`
}

// frrLists is what the daemons are told of one address family.
type frrLists struct {
	Name    string     `doc:"KEEPCAST or KEEPCAST6: the route-map, and the list of all that is announced; other lists begin with it."`
	IP      string     `doc:"ip or ipv6."`
	Routes  []frrRoute `doc:"What keepcast manages, sorted by prefix, each once."`
	Metrics []frrGroup `doc:"The announced routes that have a metric or are degraded, in groups of one metric."`
	Hops    []frrGroup `doc:"The same, with the metric in the scale of RIP."`
}

// frrRoute is a route as the template sees it.
type frrRoute struct {
	Prefix     netip.Prefix `doc:"The prefix as it is announced, host bits zero: 192.0.2.53/32."`
	Service    string       `doc:"The name of the service."`
	Seq        int          `doc:"The number of its entries in prefix-lists."`
	Announced  bool         `doc:"Whether it is to be announced, degraded or not."`
	Degraded   bool         `doc:"Whether its service is degraded."`
	PrefixOnly bool         `doc:"Whether it is one of the prefixes of the service, which has no address."`
	Map        string       `doc:"The route-map of its network line; empty unless it is announced."`
	metric     *uint32
}

// frrGroup are the announced routes of one metric.
type frrGroup struct {
	IP     string     `doc:"ip or ipv6."`
	List   string     `doc:"The name of its prefix-list."`
	Seq    int        `doc:"The number of its entry in the route-map."`
	Metric *uint32    `doc:"The metric; nil: the daemon's own."`
	Routes []frrRoute `doc:"Its routes, sorted by prefix."`
}

// frrMap is a route-map that sets the BGP attributes of a route.
type frrMap struct {
	Name             string               `doc:"Its name, which comes from its attributes."`
	Tag              int                  `doc:"The tag that it leaves for KEEPCAST-EBGP."`
	MED              *uint32              `doc:"MED, or nil."`
	LocalPref        *uint32              `doc:"Local preference, or nil."`
	Communities      []community.Standard `doc:"Communities, sorted."`
	LargeCommunities []community.Large    `doc:"Large communities, sorted."`
}

// frrPrepend is an entry of KEEPCAST-EBGP.
type frrPrepend struct {
	Seq  int    `doc:"Its number."`
	Tag  int    `doc:"The tag that it matches."`
	Path string `doc:"The word AS, as often as the own AS is to be repeated; keepcast puts the number of the running router bgp in its place."`
}

// renderFRR renders the snippet of FRR.
func renderFRR(s settings, dir string, desired driver.State) ([]byte, error) {
	data := frrData{
		Daemons: s.daemons, Prepends: prependsOf(),
		IPv4: &frrLists{Name: mark, IP: "ip"}, IPv6: &frrLists{Name: mark + "6", IP: "ipv6"},
	}
	used := map[string]frrMap{mark + "-ANNOUNCED": mapOf(driver.Route{})}
	managed, announced := byPrefix(desired)
	for _, p := range sortedPrefixes(managed) {
		family := data.IPv6
		if p.Addr().Is4() {
			family = data.IPv4
		}
		route := frrRoute{Prefix: p, Service: managed[p].Service, PrefixOnly: managed[p].PrefixOnly, Seq: 5 * (len(family.Routes) + 1)}
		if r, ok := announced[p]; ok {
			m := mapOf(r)
			used[m.Name] = m
			route.Announced, route.Degraded, route.Map, route.metric = true, r.Degraded, m.Name, r.Attributes.Metric
		}
		family.Routes = append(family.Routes, route)
	}
	for _, family := range []*frrLists{data.IPv4, data.IPv6} {
		family.Metrics = family.groups(func(m uint32) uint32 { return m })
		family.Hops = family.groups(func(m uint32) uint32 { return min(max(m, 1), driver.RIPMetricMax) })
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		data.Maps = append(data.Maps, used[name])
	}
	return templates.Render(dir, frrTemplate, data)
}

// byPrefix returns the managed and the announced routes by their masked prefixes.
func byPrefix(desired driver.State) (managed, announced map[netip.Prefix]driver.Route) {
	managed, announced = map[netip.Prefix]driver.Route{}, map[netip.Prefix]driver.Route{}
	for _, r := range slices.Backward(desired.Routes) {
		managed[r.Prefix.Masked()] = r
	}
	for _, r := range desired.Announced() {
		announced[r.Prefix.Masked()] = r
	}
	return managed, announced
}

// mapOf returns the route-map with the attributes of r. Its name comes from
// them alone: a route that changes touches no line of another's. The last word
// tells Observe that the route is degraded.
func mapOf(r driver.Route) frrMap {
	a := r.Attributes
	m := frrMap{
		Name: mark, Tag: tagBase + a.Prepend, MED: a.MED, LocalPref: a.LocalPref,
		Communities: slices.Clone(a.Communities), LargeCommunities: slices.Clone(a.LargeCommunities),
	}
	slices.SortFunc(m.Communities, func(a, b community.Standard) int {
		return cmp.Or(cmp.Compare(a.High, b.High), cmp.Compare(a.Low, b.Low))
	})
	slices.SortFunc(m.LargeCommunities, func(a, b community.Large) int {
		return cmp.Or(cmp.Compare(a.Global, b.Global), cmp.Compare(a.Local1, b.Local1), cmp.Compare(a.Local2, b.Local2))
	})
	m.Communities, m.LargeCommunities = slices.Compact(m.Communities), slices.Compact(m.LargeCommunities)
	a.Metric = nil // is none of BGP's
	switch {
	case !a.IsZero():
		m.Name += fmt.Sprintf("-%08X", hashOf(m.Tag, numberText(m.MED), numberText(m.LocalPref), m.Communities, m.LargeCommunities))
	case !r.Degraded:
		m.Name += "-ANNOUNCED"
	}
	if r.Degraded {
		m.Name += degradedSuffix
	}
	return m
}

// prependsOf returns the entries of KEEPCAST-EBGP.
func prependsOf() []frrPrepend {
	all := []frrPrepend{}
	for n := 1; n <= driver.PrependMax; n++ {
		all = append(all, frrPrepend{Seq: n, Tag: tagBase + n, Path: strings.TrimPrefix(strings.Repeat(" AS", n), " ")})
	}
	return append(all, frrPrepend{Seq: 10 * driver.PrependMax, Tag: tagBase})
}

// groups returns the announced routes with something of their own by their
// metric, which scale brings into that of the protocol.
func (f *frrLists) groups(scale func(uint32) uint32) []frrGroup {
	byList := map[string]frrGroup{}
	for _, r := range f.Routes {
		g := frrGroup{IP: f.IP, List: f.Name}
		if r.metric != nil {
			m := scale(*r.metric)
			g.Metric, g.List = &m, fmt.Sprintf("%s-%d", f.Name, m)
		}
		if r.Degraded {
			g.List += degradedSuffix
		}
		if !r.Announced || g.List == f.Name {
			continue
		}
		if have, ok := byList[g.List]; ok {
			g = have
		}
		g.Routes = append(g.Routes, r)
		byList[g.List] = g
	}
	groups := []frrGroup{}
	taken := map[int]bool{}
	for _, name := range slices.Sorted(maps.Keys(byList)) {
		g := byList[name]
		for g.Seq = seqGroup + int(hashOf(name)%60000); taken[g.Seq]; g.Seq++ {
		}
		taken[g.Seq] = true
		groups = append(groups, g)
	}
	return groups
}

// hashOf returns a number that is the same for the same words, always.
func hashOf(words ...any) uint32 {
	h := fnv.New32a()
	fmt.Fprintln(h, words...)
	return h.Sum32()
}

// numberText returns the number in decimal, or "" for none.
func numberText(n *uint32) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}
