package frr

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// frrMark begins every name that keepcast gives to something inside FRR. Lists
// and route-maps of such a name are keepcast's; no other ones are.
const frrMark = "KEEPCAST"

// Names in FRR that mean something to keepcast when it reads them again.
const (
	frrDegraded  = "-DEGRADED"  // ends the name of what a degraded route is announced with
	frrWithdrawn = "-WITHDRAWN" // ends the name of a list of what is told to be gone
	frrEBGP      = frrMark + "-EBGP"
)

// frrKey names a prefix-list entry or a route-map entry.
type frrKey struct {
	kind string // "ip prefix-list", "ipv6 prefix-list" or "route-map"
	name string
	seq  int
}

// frrEntry is the content of a prefix-list entry or route-map entry.
type frrEntry struct {
	head  string   // what follows the number: "permit 192.0.2.1/32"; of a route-map "permit" or "deny"
	lines []string // the match and set lines of a route-map entry, sorted
}

// equal tells whether two entries say the same; one that is not there says nothing.
func (e frrEntry) equal(other frrEntry) bool {
	return e.head == other.head && slices.Equal(e.lines, other.lines)
}

// command returns the line that makes the entry, or begins it.
func (k frrKey) command(head string) string {
	if k.kind == "route-map" {
		return fmt.Sprintf("%s %s %s %d", k.kind, k.name, head, k.seq)
	}
	return fmt.Sprintf("%s %s seq %d %s", k.kind, k.name, k.seq, head)
}

// frrRedistribute is a line of the operator that names a route-map of keepcast, or
// any in babeld, which takes no route-map there.
type frrRedistribute struct {
	router   string // the block it stands in: "router ospf"
	line     string
	routeMap string
}

// connected tells whether it is about the addresses of the host, and not about
// routes such as static ones.
func (r frrRedistribute) connected() bool {
	return slices.Contains(strings.Fields(r.line), "connected")
}

// frrConfig is what matters to keepcast in a running configuration, or in a
// section of the snippet.
type frrConfig struct {
	entries      map[frrKey]frrEntry
	frrBGP                          // of the default VRF
	vrfs         map[string]*frrBGP // of the other VRFs, by their names
	redistribute []frrRedistribute
	filtered     map[string]bool     // lists of keepcast that filter what is sent, by a distribute-list of the operator
	isis         map[string][]string // interface: address families ("ip", "ipv6") that IS-IS runs there
	delay        string              // the operator's route-map delay-timer in BGP, in seconds, "" without one
	cutShort     bool                // what runs is not that: a keepcast died before it was back
	ebgpCalled   bool                // a route-map of the operator calls KEEPCAST-EBGP
}

// frrRunning reads what `show running-config` of one daemon prints.
func frrRunning(text string) frrConfig {
	c, _ := frrParse(text)
	return c
}

// frrParse picks keepcast's matter out of a configuration and also returns the
// lines that are none of it.
func frrParse(text string) (c frrConfig, foreign []string) {
	c = frrConfig{entries: map[frrKey]frrEntry{}, frrBGP: newFRRBGP(), isis: map[string][]string{}, filtered: map[string]bool{}}
	frrLines(text, func(blocks []string, line string) {
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

// frrLines calls visit with each line and the headers of the blocks it is in.
// FRR shows blocks by indentation; comments and the exit lines are left out.
func frrLines(text string, visit func(blocks []string, line string)) {
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
func (c *frrConfig) add(blocks []string, line string) bool {
	words := strings.Fields(line)
	if len(blocks) > 0 {
		return c.addInner(blocks, line, words)
	}
	switch {
	case len(words) >= 6 && (words[0] == "ip" || words[0] == "ipv6") && words[1] == "prefix-list" && words[3] == "seq":
		key := frrKey{kind: words[0] + " prefix-list", name: words[2]}
		return c.addEntry(key, words[4], frrValue(words[5:]))
	case len(words) == 4 && words[0] == "route-map":
		return c.addEntry(frrKey{kind: words[0], name: words[1]}, words[3], words[2])
	case len(words) >= 2 && words[0] == "router" && words[1] == "bgp":
		bgp := c.instance(frrVRFOf(line))
		if bgp.router != "" || slices.Contains(words, "view") {
			return false
		}
		bgp.router = line
		return bgp == &c.frrBGP // keepcast finds out itself which VRF a network is in
	case len(words) == 4 && line == "bgp route-map delay-timer "+words[3] && !c.cutShort:
		c.delay = words[3]
	}
	return false
}

// addEntry takes in an entry of a list or route-map of keepcast.
func (c *frrConfig) addEntry(key frrKey, seq, head string) bool {
	n, err := strconv.Atoi(seq)
	if err != nil || !strings.HasPrefix(key.name, frrMark) {
		return false
	}
	if delay, cutShort := strings.CutPrefix(key.name, frrDelay); cutShort {
		c.delay, c.cutShort = delay, true
		return true
	}
	key.seq = n
	c.entries[key] = frrEntry{head: head}
	return true
}

// addInner takes in a line inside a block.
func (c *frrConfig) addInner(blocks []string, line string, words []string) bool {
	outer := strings.Fields(blocks[0])
	switch {
	case outer[0] == "route-map" && len(outer) == 4 && len(blocks) == 1:
		n, err := strconv.Atoi(outer[3])
		key := frrKey{kind: outer[0], name: outer[1], seq: n}
		e, ours := c.entries[key]
		if err != nil || !ours {
			c.ebgpCalled = c.ebgpCalled || line == "call "+frrEBGP
			return false
		}
		e.lines = append(e.lines, frrAttribute(words))
		c.entries[key] = e
		return true
	case len(outer) > 1 && outer[0] == "router" && outer[1] == "bgp" && blocks[0] == c.instance(frrVRFOf(blocks[0])).router:
		return c.instance(frrVRFOf(blocks[0])).add(blocks, line, words)
	case outer[0] == "router" && words[0] == "redistribute":
		if name := frrRouteMap(words); strings.HasPrefix(name, frrMark) || blocks[0] == "router babel" {
			c.redistribute = append(c.redistribute, frrRedistribute{router: blocks[0], line: line, routeMap: name})
		}
	case outer[0] == "router" && slices.Contains(words, "distribute-list"):
		if i := slices.Index(words, "prefix"); i >= 0 && i+2 < len(words) && words[i+2] == "out" {
			c.filtered[words[i+1]] = true
		}
	case outer[0] == "interface" && len(outer) > 1 && len(words) >= 3 && words[1] == "router" && words[2] == "isis":
		c.isis[outer[1]] = append(c.isis[outer[1]], words[0])
	}
	return false
}

// frrFamily returns the header of the BGP address family of an address.
func frrFamily(a netip.Addr) string {
	if a.Is4() {
		return "address-family ipv4 unicast"
	}
	return "address-family ipv6 unicast"
}

// frrRouteMap returns the word after "route-map", or "".
func frrRouteMap(words []string) string {
	if i := slices.Index(words, "route-map"); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

// frrValue joins words, prefixes in their one canonical spelling.
func frrValue(words []string) string {
	out := slices.Clone(words)
	for i, w := range out {
		if p, err := netip.ParsePrefix(w); err == nil {
			out[i] = p.Masked().String()
		}
	}
	return strings.Join(out, " ")
}
