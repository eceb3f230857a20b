package frr

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mark begins every name that keepcast gives to something inside a daemon. Lists and
// route-maps of such a name are keepcast's; no other ones are.
const mark = "KEEPCAST"

// Names that mean something to keepcast when it reads them again.
const (
	degradedSuffix  = "-DEGRADED"  // ends the name of what a degraded route is announced with
	withdrawnSuffix = "-WITHDRAWN" // ends the name of a list of what is told to be gone
	ebgpMap         = mark + "-EBGP"
)

// entryKey names a prefix-list entry or a route-map entry.
type entryKey struct {
	kind string // "ip prefix-list", "ipv6 prefix-list" or "route-map"
	name string
	seq  int
}

// entry is the content of a prefix-list entry or route-map entry.
type entry struct {
	head  string   // what follows the number: "permit 192.0.2.1/32"; of a route-map "permit" or "deny"
	lines []string // the match and set lines of a route-map entry, sorted
}

// equal tells whether two entries say the same; one that is not there says nothing.
func (e entry) equal(other entry) bool {
	return e.head == other.head && slices.Equal(e.lines, other.lines)
}

// command returns the line that makes the entry, or begins it.
func (k entryKey) command(head string) string {
	if k.kind == "route-map" {
		return fmt.Sprintf("%s %s %s %d", k.kind, k.name, head, k.seq)
	}
	return fmt.Sprintf("%s %s seq %d %s", k.kind, k.name, k.seq, head)
}

// redistribution is a redistribute line of the operator that names a route-map of
// keepcast, or any in babeld, which takes no route-map there.
type redistribution struct {
	blocks   []string // it stands in: "router ospf"
	line     string
	routeMap string
}

// router returns the header of the router block that the line stands in.
func (r redistribution) router() string { return r.blocks[0] }

// equal tells whether two lines are the same one.
func (r redistribution) equal(other redistribution) bool {
	return r.line == other.line && slices.Equal(r.blocks, other.blocks)
}

// connected tells whether it is about the addresses of the host, and not about routes
// such as static ones.
func (r redistribution) connected() bool {
	return slices.Contains(strings.Fields(r.line), "connected")
}

// config is what matters to keepcast in a running configuration, or in a section of the
// snippet.
type config struct {
	entries      map[entryKey]entry
	bgpInstance                          // of the default VRF
	vrfs         map[string]*bgpInstance // of the other VRFs, by their names
	redistribute []redistribution
	filtered     map[string]bool          // lists of keepcast that filter what is sent, by a distribute-list of the operator
	called       map[string]bool          // route-maps of keepcast that one of the operator's calls
	isis         map[string][]string      // interface: address families ("ip", "ipv6") that IS-IS runs there
	graces       map[string]time.Duration // that OSPF asks its neighbors to wait for while it restarts, by VRF
	delay        string                   // the operator's route-map delay-timer in BGP, in seconds, "" without one
	cutShort     bool                     // another value runs: a keepcast died before it put this one back
}

// parseRunning reads what `show running-config` of one daemon prints.
func parseRunning(text string) config {
	c, _ := parseConfig(text)
	return c
}

// parseConfig picks keepcast's matter out of a configuration and also returns the
// lines that are none of it.
func parseConfig(text string) (c config, foreign []string) {
	c = config{entries: map[entryKey]entry{}, bgpInstance: newBGPInstance(), isis: map[string][]string{}, filtered: map[string]bool{}, called: map[string]bool{}}
	eachLine(text, func(blocks []string, line string) {
		if !c.add(blocks, line) {
			foreign = append(foreign, line)
		}
	})
	for k, e := range c.entries {
		slices.Sort(e.lines)
		c.entries[k] = e
	}
	return c, foreign
}

// eachLine calls visit with each line and the headers of the blocks it is in.
// FRR shows blocks by indentation; comments and the exit lines are left out.
func eachLine(text string, visit func(blocks []string, line string)) {
	var blocks []string
	var indents []int
	for raw := range strings.Lines(text) {
		line := strings.TrimSpace(raw)
		if line == "" || line[0] == '!' || line[0] == '#' || line == "end" || line == "exit" || strings.HasPrefix(line, "exit-") {
			continue
		}
		indent := len(raw) - len(strings.TrimLeft(raw, " \t"))
		for len(indents) > 0 && indents[len(indents)-1] >= indent {
			indents, blocks = indents[:len(indents)-1], blocks[:len(blocks)-1]
		}
		visit(blocks, line)
		blocks, indents = append(blocks, line), append(indents, indent)
	}
}

// add takes in a line and returns whether it is keepcast's matter.
func (c *config) add(blocks []string, line string) bool {
	words := strings.Fields(line)
	if len(blocks) > 0 {
		return c.addInner(blocks, line, words)
	}
	switch {
	case len(words) >= 6 && (words[0] == "ip" || words[0] == "ipv6") && words[1] == "prefix-list" && words[3] == "seq":
		key := entryKey{kind: words[0] + " prefix-list", name: words[2]}
		return c.addEntry(key, words[4], canonical(words[5:]))
	case len(words) == 4 && words[0] == "route-map":
		return c.addEntry(entryKey{kind: words[0], name: words[1]}, words[3], words[2])
	case len(words) >= 2 && words[0] == "router" && words[1] == "bgp":
		bgp := c.instance(vrfOf(line))
		if bgp.router != "" || slices.Contains(words, "view") {
			return false
		}
		bgp.router = line
		return bgp == &c.bgpInstance // keepcast finds out itself which VRF a network is in
	case len(words) == 4 && line == "bgp route-map delay-timer "+words[3] && !c.cutShort:
		c.delay = words[3]
	}
	return false
}

// addEntry takes in an entry of a list or route-map of keepcast.
func (c *config) addEntry(key entryKey, seq, head string) bool {
	n, err := strconv.Atoi(seq)
	if err != nil || !strings.HasPrefix(key.name, mark) {
		return false
	}
	if delay, cutShort := strings.CutPrefix(key.name, delayMark); cutShort {
		c.delay, c.cutShort = delay, true
		return true
	}
	key.seq = n
	c.entries[key] = entry{head: head}
	return true
}

// addInner takes in a line inside a block.
func (c *config) addInner(blocks []string, line string, words []string) bool {
	outer := strings.Fields(blocks[0])
	switch outer[0] {
	case "route-map":
		return len(outer) == 4 && len(blocks) == 1 && c.addToRouteMap(outer, words)
	case "router":
		return c.addToRouter(blocks, outer, line, words)
	case "interface":
		if len(outer) > 1 && len(words) >= 3 && words[1] == "router" && words[2] == "isis" {
			c.isis[outer[1]] = append(c.isis[outer[1]], words[0])
		}
	}
	return false
}

// addToRouteMap takes in a line of an entry of a route-map, with the header outer.
func (c *config) addToRouteMap(outer, words []string) bool {
	n, err := strconv.Atoi(outer[3])
	key := entryKey{kind: outer[0], name: outer[1], seq: n}
	e, ours := c.entries[key]
	if err == nil && ours {
		e.lines = append(e.lines, canonicalAttribute(words))
		c.entries[key] = e
		return true
	}
	if words[0] == "call" && len(words) == 2 && strings.HasPrefix(words[1], mark) {
		c.called[words[1]] = true
	}
	return false
}

// addToRouter takes in a line of a router block, with the header outer.
func (c *config) addToRouter(blocks, outer []string, line string, words []string) bool {
	if words[0] == "redistribute" {
		if name := routeMapOf(words); strings.HasPrefix(name, mark) || blocks[0] == "router babel" {
			c.redistribute = append(c.redistribute, redistribution{blocks: slices.Clone(blocks), line: line, routeMap: name})
		}
	}
	if words[0] == "graceful-restart" && len(blocks) == 1 {
		c.addGrace(vrfOf(blocks[0]), words)
	}
	if i := slices.Index(words, "prefix"); slices.Contains(words, "distribute-list") && i >= 0 && i+2 < len(words) && words[i+2] == "out" {
		c.filtered[words[i+1]] = true
	}
	if len(outer) < 2 || outer[1] != "bgp" {
		return false
	}
	bgp := c.instance(vrfOf(blocks[0]))
	return blocks[0] == bgp.router && bgp.add(blocks, line, words)
}

// familyHeader returns the header of the BGP address family of an address.
func familyHeader(a netip.Addr) string {
	if a.Is4() {
		return "address-family ipv4 unicast"
	}
	return "address-family ipv6 unicast"
}

// routeMapOf returns the word after "route-map", or "".
func routeMapOf(words []string) string {
	if i := slices.Index(words, "route-map"); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

// canonical joins words, prefixes in their one canonical spelling.
func canonical(words []string) string {
	out := slices.Clone(words)
	for i, w := range out {
		if p, err := netip.ParsePrefix(w); err == nil {
			out[i] = p.Masked().String()
		}
	}
	return strings.Join(out, " ")
}

// routeMaps returns the names of the route-maps, sorted.
func (c config) routeMaps() []string {
	var names []string
	for k := range c.entries {
		if k.kind == "route-map" {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
