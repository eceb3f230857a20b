package frr

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// quaggaBGP is what bgpd of Quagga is asked, and how its text is read.
func quaggaBGP() *bgpAnswers {
	return &bgpAnswers{
		path: func(p netip.Prefix) string {
			if p.Addr().Is6() {
				return "show bgp ipv6 " + p.String()
			}
			return "show ip bgp " + p.String()
		},
		readPath: quaggaPath, readPeers: quaggaPeers, untold: true,
		grace: 40 * time.Second, // the default advertisement-interval is 30 s
	}
}

// readQuagga writes a configuration as FRR would: bgpd of Quagga shows an address
// family with no more indentation than the header before it, and IPv6 unicast as
// "address-family ipv6".
func readQuagga(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "address-family ipv6":
			inside, line = true, " "+familyHeader(netip.IPv6Unspecified())+"\n"
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

// quaggaHeaders turns the headers back into what Quagga takes.
func quaggaHeaders(blocks []string) []string {
	var out []string
	for _, b := range blocks {
		switch b {
		case familyHeader(netip.IPv4Unspecified()): // its lines are directly under router bgp
		case familyHeader(netip.IPv6Unspecified()):
			out = append(out, "address-family ipv6")
		default:
			out = append(out, b)
		}
	}
	return out
}

// quaggaPath reads `show ip bgp P`: to whom the prefix is advertised, and since when a
// valid path of this host is there.
func quaggaPath(text string) bgpPath {
	var out bgpPath
	advertised, own, valid := false, false, false
	for line := range strings.Lines(text) {
		words := strings.Fields(strings.ReplaceAll(line, ",", " "))
		switch {
		case len(words) == 0:
		case strings.Contains(line, "Advertised to non peer-group peers:"):
			advertised = true
		case advertised:
			out.to, advertised = words, false
		case len(words) > 3 && words[1] == "from": // "0.0.0.0 from 0.0.0.0 (ROUTER-ID)"
			own, valid = words[2] == "0.0.0.0" || words[2] == "::", false
			out.own = out.own || own
		case words[0] == "Origin":
			valid = own && slices.Contains(words, "valid") && slices.Contains(words, "sourced")
			out.valid = out.valid || valid
		case valid && strings.Contains(line, "Last update: "):
			_, date, _ := strings.Cut(line, "update: ")
			out.since, _ = time.ParseInLocation(time.ANSIC, strings.TrimSpace(date), time.Local) // unknown counts as long ago
		}
	}
	return out
}

// quaggaPeers reads `show ip bgp neighbors`. It does not tell since when a session is up:
// that counts as long ago.
func quaggaPeers(text string) []peer {
	var out []peer
	family := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "BGP neighbor is "); ok {
			name, rest, _ := strings.Cut(rest, ",")
			_, as, _ := strings.Cut(rest, "local AS ")
			as, _, _ = strings.Cut(as, ",")
			out = append(out, peer{name: name, localAS: as, upFor: math.MaxInt64, active: map[string]policy{}, both: map[string]bool{}})
			family = ""
			continue
		}
		if len(out) == 0 {
			continue
		}
		p := &out[len(out)-1]
		if rest, ok := strings.CutPrefix(line, "For address family: "); ok {
			family = quaggaFamily(rest)
			p.active[family] = policy{}
			continue
		}
		p.addQuagga(family, line)
	}
	return out
}

// quaggaFamily returns the words for Quagga's name of a family.
func quaggaFamily(name string) string { return strings.TrimSuffix(name, " Unicast") }

// addQuagga takes in a line of Quagga's about the neighbor.
func (p *peer) addQuagga(family, line string) {
	key, value, _ := strings.Cut(line, " = ")
	switch {
	case key == "BGP state":
		p.state, _, _ = strings.Cut(value, ",")
	case strings.HasPrefix(line, "Administratively shut down"):
		p.shut = true
	case strings.HasPrefix(line, "Address family ") || strings.HasPrefix(line, "Address Family "):
		name, how, _ := strings.Cut(line[len("Address family "):], ": ")
		p.both[quaggaFamily(name)] = how == "advertised and received"
	case strings.HasPrefix(line, "Graceful Restart Capab"): // Quagga's own spelling is "Capabilty"
		p.restart.asked, p.restart.wait = strings.HasSuffix(line, ": advertised and received"), quaggaRestart
	case strings.HasPrefix(line, "End-of-RIB send:"):
		for family, both := range p.both {
			p.restart.syncing = p.restart.syncing || both && !strings.Contains(line, family)
		}
	case strings.HasPrefix(line, "Minimum time between advertisement runs is "):
		p.interval = time.Duration(firstNumber(line)) * time.Second
	case strings.Contains(line, "hold time is ") && p.hold == 0:
		_, rest, _ := strings.Cut(line, "hold time is ")
		p.hold = time.Duration(firstNumber(rest)) * time.Second
	case strings.HasPrefix(line, "Route map for outgoing advertisements is "):
		out := p.active[family]
		out.routeMap = strings.TrimLeft(line[strings.LastIndex(line, " ")+1:], "*")
		p.active[family] = out
	case strings.HasPrefix(line, "Last reset ") && strings.Contains(line, "due to "):
		_, p.reset, _ = strings.Cut(line, "due to ")
	}
}

// firstNumber returns the first number in a text, or 0.
func firstNumber(text string) int {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		n, err := strconv.Atoi(word)
		if err == nil {
			return n
		}
	}
	return 0
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

// quaggaISISAddresses reads `show isis interface detail`: the prefixes of the addresses
// that isisd takes its interfaces to have, one a line.
func quaggaISISAddresses(text string) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for line := range strings.Lines(text) {
		if p, err := netip.ParsePrefix(strings.TrimSpace(line)); err == nil {
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
func quaggaOSPFNeighbors(text string) []neighbor {
	isAddress := func(word string) bool { _, err := netip.ParseAddr(word); return err == nil }
	var out []neighbor
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
