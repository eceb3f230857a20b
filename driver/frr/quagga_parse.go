package frr

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// quaggaConfig is what matters to keepcast in the running configuration of a
// daemon of Quagga.
type quaggaConfig struct {
	frrConfig
	redistributed []quaggaRedistribute
	used          map[string]bool // route-maps of keepcast that lead out to a neighbor, or are called
}

// quaggaRedistribute is a line of the operator that names a route-map of keepcast.
type quaggaRedistribute struct {
	blocks         []string // it stands in
	line, routeMap string
}

// quaggaRunning reads what `show running-config` of one daemon prints.
func quaggaRunning(text string) quaggaConfig {
	text = quaggaText(text)
	c := quaggaConfig{frrConfig: frrRunning(text), used: map[string]bool{}}
	frrLines(text, func(blocks []string, line string) {
		words := strings.Fields(line)
		name := frrRouteMap(words)
		switch {
		case len(blocks) == 0:
		case words[0] == "redistribute" && strings.HasPrefix(name, frrMark):
			c.redistributed = append(c.redistributed, quaggaRedistribute{quaggaBlocks(blocks), line, name})
		case words[0] == "neighbor" && words[len(words)-1] == "out" && strings.HasPrefix(name, frrMark):
			c.used[name] = true
		case words[0] == "call" && strings.HasPrefix(words[len(words)-1], frrMark):
			c.used[words[len(words)-1]] = true
		}
	})
	return c
}

// quaggaText writes a configuration as FRR would: bgpd of Quagga shows an address
// family with no more indentation than the header before it, and IPv6 unicast as
// "address-family ipv6".
func quaggaText(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "address-family ipv6":
			inside, line = true, " "+frrFamily(netip.IPv6Unspecified())+"\n"
		case strings.HasPrefix(trimmed, "address-family "):
			inside, line = true, " "+trimmed+"\n"
		case trimmed == "exit-address-family" || !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "!"):
			inside = false
		case inside:
			line = "  " + trimmed + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// quaggaBlocks turns the headers back into what Quagga takes.
func quaggaBlocks(blocks []string) []string {
	var out []string
	for _, b := range blocks {
		switch b {
		case frrFamily(netip.IPv4Unspecified()): // its lines are directly under router bgp
		case frrFamily(netip.IPv6Unspecified()):
			out = append(out, "address-family ipv6")
		default:
			out = append(out, b)
		}
	}
	return out
}

// quaggaPath reads `show ip bgp P`: to whom the prefix is advertised, and since
// when a valid path of this host's own is there.
func quaggaPath(text string) (to []string, since time.Time, ok bool) {
	advertised, own, valid := false, false, false
	for line := range strings.Lines(text) {
		words := strings.Fields(strings.ReplaceAll(line, ",", " "))
		switch {
		case len(words) == 0:
		case strings.Contains(line, "Advertised to non peer-group peers:"):
			advertised = true
		case advertised:
			to, advertised = words, false
		case len(words) > 3 && words[1] == "from": // "0.0.0.0 from 0.0.0.0 (ROUTER-ID)"
			own, valid = words[2] == "0.0.0.0" || words[2] == "::", false
		case words[0] == "Origin":
			valid = own && slices.Contains(words, "valid") && slices.Contains(words, "sourced")
			ok = ok || valid
		case valid && strings.Contains(line, "Last update: "):
			_, date, _ := strings.Cut(line, "update: ")
			since, _ = time.ParseInLocation(time.ANSIC, strings.TrimSpace(date), time.Local) // unknown counts as long ago
		}
	}
	return to, since, ok
}

// quaggaOSPF reads `show ip ospf database external self-originate`.
func quaggaOSPF(text string) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	var id netip.Addr
	flushed := false
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		word, _, _ := strings.Cut(value, " ")
		switch key {
		case "LS age":
			flushed = word == "3600"
		case "Link State ID":
			id, _ = netip.ParseAddr(word)
		case "Network Mask":
			if p, err := netip.ParsePrefix(id.String() + word); err == nil && !flushed {
				out[p.Masked()] = true
			}
		}
	}
	return out
}

// quaggaISIS reads `show isis database detail`: lines such as "Metric : 10
// IPv4-Extended : 192.0.2.53/32" in the LSPs that an asterisk marks as this host's.
func quaggaISIS(text string) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	own := false
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if !strings.HasPrefix(line, " ") {
			own = len(words) > 1 && words[1] == "*"
			continue
		}
		if !own || len(words) < 6 || words[0] != "Metric" || !strings.HasPrefix(words[3], "IPv") {
			continue
		}
		p, err := netip.ParsePrefix(words[5])
		if addr, isAddr := netip.ParseAddr(words[5]); isAddr == nil && len(words) > 6 { // with a mask behind it
			p, err = netip.PrefixFrom(addr, maskBits(words[6])), nil
		}
		if err == nil && p.IsValid() {
			out[p.Masked()] = true
		}
	}
	return out
}

// maskBits returns the length of a dotted mask, or -1.
func maskBits(mask string) int {
	a, err := netip.ParseAddr(mask)
	if err != nil || !a.Is4() {
		return -1
	}
	bits := 0
	for _, b := range a.As4() {
		for ; b&0x80 != 0; b <<= 1 {
			bits++
		}
	}
	return bits
}

// quaggaOSPFNeighbors reads `show ip ospf neighbor`: id, priority, state, times,
// address and interface in columns.
func quaggaOSPFNeighbors(text string) []frrNeighbor {
	isAddress := func(word string) bool { _, err := netip.ParseAddr(word); return err == nil }
	var out []frrNeighbor
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 6 || !isAddress(words[0]) {
			continue
		}
		at := 3 + slices.IndexFunc(words[3:], isAddress)
		if at < 3 || at+1 == len(words) {
			continue
		}
		iface, _, _ := strings.Cut(words[at+1], ":")
		out = append(out, ospfNeighbor("ospf", words[0], iface, words[2])...)
	}
	for i := range out {
		out[i].IPv4 = true
	}
	return byName(out)
}
