package frr

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/templates"
)

// quaggaLast is the number of the last entry of a route-map, which takes what no
// group does. It is the highest that there is.
const quaggaLast = 65535

// quaggaRoute is a route as the template sees it.
type quaggaRoute struct {
	Prefix     netip.Prefix `doc:"The prefix as it is announced, host bits zero: 192.0.2.53/32."`
	Service    string       `doc:"The name of the service."`
	Seq        int          `doc:"The number of its entries in prefix-lists."`
	Announced  bool         `doc:"Whether it is to be announced, degraded or not."`
	PrefixOnly bool         `doc:"Whether it is announced and one of the prefixes of the service, which has no address."`
}

// quaggaData is what the template quagga.conf.tmpl is given.
type quaggaData struct {
	AS      uint32         `doc:"The driver's setting as; 0: nothing is prepended."`
	Daemons []string       `doc:"The driver's setting daemons."`
	IPv4    []quaggaRoute  `doc:"What keepcast manages of IPv4, sorted by prefix, each once."`
	IPv6    []quaggaRoute  `doc:"The same of IPv6."`
	Groups  []*quaggaGroup `doc:"The announced routes that have attributes, in groups of the same attributes."`
}

// quaggaGroup is the announced routes with the same attributes, for the template.
// Its name and number come from the attributes alone, so that no change of one
// service touches the lines of another.
type quaggaGroup struct {
	driver.Attributes               // of all its routes
	Name              string        `doc:"Its name, which comes from its attributes."`
	Seq               int           `doc:"The number of its entry in a route-map."`
	IPv4              []quaggaRoute `doc:"Its routes of IPv4."`
	IPv6              []quaggaRoute `doc:"Its routes of IPv6."`
	Path              []uint32      `doc:"The own AS, as often as it is to be repeated."`
}

// renderQuagga renders the snippet of Quagga.
func renderQuagga(s settings, dir string, desired driver.State) ([]byte, error) {
	data := quaggaData{AS: s.as, Daemons: s.daemons}
	managed, announced := byPrefix(desired)
	groups := map[string]*quaggaGroup{}
	for _, p := range sortedPrefixes(managed) {
		r, ok := announced[p]
		list := &data.IPv6
		if p.Addr().Is4() {
			list = &data.IPv4
		}
		route := quaggaRoute{Prefix: p, Service: managed[p].Service, Seq: 5 * (len(*list) + 1), Announced: ok, PrefixOnly: ok && r.PrefixOnly}
		*list = append(*list, route)
		if ok && !r.Attributes.IsZero() {
			quaggaGroupOf(groups, r.Attributes, s.as).add(route)
		}
	}
	for _, g := range groups {
		data.Groups = append(data.Groups, g)
	}
	slices.SortFunc(data.Groups, func(a, b *quaggaGroup) int { return cmp.Compare(a.Name, b.Name) })
	number(data.Groups)
	return templates.Render(dir, quaggaTemplate, data)
}

// quaggaGroupOf returns the group of these attributes.
func quaggaGroupOf(groups map[string]*quaggaGroup, a driver.Attributes, as uint32) *quaggaGroup {
	text := canonicalAttributes(a)
	h := fnv.New32a()
	_, _ = h.Write([]byte(text)) // never fails (hash.Hash)
	name := fmt.Sprintf("%08X", h.Sum32())
	if groups[text] == nil {
		groups[text] = &quaggaGroup{Attributes: a, Name: name, Seq: 1 + int(h.Sum32()%(quaggaLast-1)), Path: slices.Repeat([]uint32{as}, a.Prepend)}
	}
	return groups[text]
}

func (g *quaggaGroup) add(r quaggaRoute) {
	if r.Prefix.Addr().Is4() {
		g.IPv4 = append(g.IPv4, r)
	} else {
		g.IPv6 = append(g.IPv6, r)
	}
}

// number sees to it that no two groups have the same number.
func number(groups []*quaggaGroup) {
	taken := map[int]bool{quaggaLast: true}
	for _, g := range groups {
		for taken[g.Seq] {
			g.Seq = 1 + g.Seq%(quaggaLast-1)
		}
		taken[g.Seq] = true
	}
}

// canonicalAttributes writes attributes so that equal ones are written equally.
func canonicalAttributes(a driver.Attributes) string {
	var b strings.Builder
	for _, n := range []*uint32{a.MED, a.LocalPref, a.Metric} {
		if n != nil {
			fmt.Fprintf(&b, "%d", *n)
		}
		b.WriteByte(';')
	}
	fmt.Fprint(&b, a.Prepend, a.Communities)
	return b.String()
}
