package frr

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// quaggaTable is what a daemon of Quagga announces, each prefix with its MED.
type quaggaTable map[netip.Prefix]uint32

// quaggaBGPTable is that of a bgpd whose host has these addresses.
func quaggaBGPTable(addresses []string) func(config) quaggaTable {
	return func(c config) quaggaTable {
		out := quaggaTable{}
		for _, a := range addresses {
			if p := netip.MustParsePrefix(a).Masked(); c.passes(gateOf(p.Addr()), p.String()) != "deny" {
				out[p] = 0
			}
		}
		for p := range c.networks {
			out[p] = 0
		}
		for p := range out {
			if m := quaggaMED.FindStringSubmatch(c.passes(gateOf(p.Addr())+"-EBGP", p.String())); m != nil {
				med, _ := strconv.ParseUint(m[1], 10, 32)
				out[p] = uint32(med)
			}
		}
		return out
	}
}

var quaggaMED = regexp.MustCompile(`set metric (\d+)`)

// quaggaOSPFTable is that of an ospfd; prefixes are the addresses and static routes of its host.
func quaggaOSPFTable(prefixes []string) func(config) quaggaTable {
	return func(c config) quaggaTable {
		out := quaggaTable{}
		for _, text := range prefixes {
			if p := netip.MustParsePrefix(text).Masked(); p.Addr().Is4() && c.passes(mark, p.String()) != "deny" {
				out[p] = 0
			}
		}
		return out
	}
}

// answer is what the daemon answers to a question.
func (q quaggaTable) answer(question string) string {
	words := strings.Fields(question)
	switch p, err := netip.ParsePrefix(words[len(words)-1]); {
	case err == nil:
		if _, there := q[p]; there {
			return quaggaSilent
		}
		return "% Network not in table"
	case question == "show ip ospf database external self-originate":
		var b strings.Builder
		for p := range q {
			b.WriteString(quaggaLSA(60, p.Addr().String(), p.Bits()))
		}
		return b.String()
	}
	return ""
}

// announces returns what it announces now.
func (f *fakeQuagga) announces() quaggaTable {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.table(parseQuagga(f.running()))
}

// passes tells, as bgpd would, whether a route-map lets a prefix pass, and with
// which set lines.
func (f *fakeQuagga) passes(routeMap, prefix string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return parseQuagga(f.running()).passes(routeMap, prefix)
}

// passes tells it of a configuration.
func (c config) passes(routeMap, prefix string) string {
	for _, k := range sortedKeys(c.entries) {
		if k.kind != "route-map" || k.name != routeMap {
			continue
		}
		matched, sets := true, []string{"permit"}
		for _, line := range c.entries[k].lines {
			words := strings.Fields(line)
			if words[0] == "match" {
				matched = matched && c.inList(words[len(words)-1], netip.MustParsePrefix(prefix))
			} else {
				sets = append(sets, line)
			}
		}
		if matched {
			return strings.Join(sets, ", ")
		}
	}
	return "deny"
}

// parseQuagga reads a running configuration of Quagga.
func parseQuagga(text string) config { return parseRunning(readQuagga(text)) }

// inList tells whether a prefix-list permits p.
func (c config) inList(name string, p netip.Prefix) bool {
	for _, k := range sortedKeys(c.entries) {
		if action, value, _ := strings.Cut(c.entries[k].head, " "); k.kind != "route-map" && k.name == name && (value == p.String() || value == "any") {
			return action == "permit"
		}
	}
	return false
}

// shows returns the running configuration.
func (f *fakeQuagga) shows() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return readQuagga(f.running())
}

// disturb does what somebody in vtysh may do, or a crash.
func (f *fakeQuagga) disturb(rnd *rand.Rand) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch rnd.IntN(4) {
	case 0:
		f.lists = nil
		return "takes the lists away"
	case 1:
		f.lists = append(f.lists, "ip prefix-list KEEPCAST seq 777 permit 0.0.0.0/0")
		return "permits all"
	case 2:
		f.blocks["route-map KEEPCAST permit 5"] = []string{}
		return "makes a route-map entry"
	}
	maps.DeleteFunc(f.blocks, func(header string, _ []string) bool { return strings.HasPrefix(header, "route-map ") })
	f.lists = nil
	return "restarts the daemon"
}
