package frr

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// bgpInstance is an instance of BGP: bgpd has one for each VRF.
type bgpInstance struct {
	router    string                  // its header, "" if there is none
	networks  map[netip.Prefix]string // network lines in it; the value is what follows the prefix
	out       map[string]bool         // route-maps of keepcast that lead out to a neighbor
	unchecked bool                    // it announces a network whether there is a route of it or not
	graceful  bool                    // it asks its neighbors for graceful restart
	longLived time.Duration           // stale time of its long-lived graceful restart, 0: it has none
}

func newBGPInstance() bgpInstance {
	return bgpInstance{networks: map[netip.Prefix]string{}, out: map[string]bool{}}
}

// instance returns the instance of BGP in a VRF, an empty one if there is none.
func (c *config) instance(vrf string) *bgpInstance {
	if vrf == "" {
		return &c.bgpInstance
	}
	if c.vrfs == nil {
		c.vrfs = map[string]*bgpInstance{}
	}
	if c.vrfs[vrf] == nil {
		c.vrfs[vrf] = new(newBGPInstance())
	}
	return c.vrfs[vrf]
}

// add takes in a line of the instance.
func (b *bgpInstance) add(blocks []string, line string, words []string) bool {
	if len(blocks) == 1 && (line == familyHeader(netip.IPv4Unspecified()) || line == familyHeader(netip.IPv6Unspecified())) {
		return true
	}
	if name := routeMapOf(words); words[0] == "neighbor" && words[len(words)-1] == "out" && strings.HasPrefix(name, mark) {
		b.out[name] = true
	}
	// Shown only where it is off, by this line or by an "frr version" before 7.4.
	b.unchecked = b.unchecked || line == "no bgp network import-check"
	b.graceful = b.graceful || line == "bgp graceful-restart"
	if rest, ok := strings.CutPrefix(line, "bgp long-lived-graceful-restart stale-time "); ok {
		b.longLived = time.Duration(firstNumber(rest)) * time.Second
	}
	if len(words) < 2 || words[0] != "network" {
		return false
	}
	p, err := netip.ParsePrefix(words[1])
	if err != nil || len(blocks) == 2 && blocks[1] != familyHeader(p.Addr()) || len(blocks) > 2 {
		return false
	}
	b.networks[p.Masked()] = strings.Join(words[2:], " ")
	return true
}

// instances calls yield with each instance and its VRF, the default one first, the
// others by name.
func (c config) instances() iter.Seq2[string, *bgpInstance] {
	return func(yield func(string, *bgpInstance) bool) {
		for _, vrf := range append([]string{""}, slices.Sorted(maps.Keys(c.vrfs))...) {
			if !yield(vrf, c.instance(vrf)) {
				return
			}
		}
	}
}

// inVRF returns the configuration as it is for what is in a VRF.
func (c config) inVRF(vrf string) config {
	c.redistribute = slices.DeleteFunc(slices.Clone(c.redistribute), func(r redistribution) bool { return vrfOf(r.router()) != vrf })
	c.bgpInstance = *c.instance(vrf)
	return c
}

// spread puts each network line into the instance of its VRF.
func (c *config) spread(vrfs map[netip.Prefix]string) {
	for _, p := range sortedPrefixes(c.networks) {
		if vrfs[p] != "" {
			c.instance(vrfs[p]).networks[p] = c.networks[p]
			delete(c.networks, p)
		}
	}
}

// still returns the part of the configuration that is the same in another: the network
// lines, and the redistribute lines.
func (c config) still(now config) config {
	out := config{redistribute: c.redistribute, bgpInstance: newBGPInstance()}
	for vrf, bgp := range c.instances() {
		here := out.instance(vrf)
		here.router, here.unchecked = bgp.router, bgp.unchecked
		for p, rest := range bgp.networks {
			if there, has := now.instance(vrf).networks[p]; has && there == rest {
				here.networks[p] = rest
			}
		}
	}
	return out
}

// entered returns the prefixes of keepcast's network lines; the value tells
// whether as degraded.
func (b bgpInstance) entered(owned map[netip.Prefix]bool) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for p, rest := range b.networks {
		name := routeMapOf(strings.Fields(rest))
		if owned[p] || strings.HasPrefix(name, mark) {
			out[p] = strings.HasSuffix(name, "-DEGRADED")
		}
	}
	return out
}

// as returns the number of the own AS as the operator spells it, or "".
func (b bgpInstance) as() string {
	if words := strings.Fields(b.router); len(words) > 2 {
		return words[2]
	}
	return ""
}

// as returns the number of the own AS: of the default instance, or else of another.
func (c config) as() string {
	number := ""
	for _, bgp := range c.instances() {
		number = cmp.Or(number, bgp.as())
	}
	return number
}
