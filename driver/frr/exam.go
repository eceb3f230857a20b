package frr

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// bfdlessHold is how long a dead neighbor may go unnoticed before the lack of BFD
// is worth a word.
const bfdlessHold = 10 * time.Second

// findings returns what is to be said of the daemon and all its VRFs.
func (e frrExam) findings() []driver.Finding {
	return slices.Concat(e.versions(), e.redistributed(), e.delayTimer())
}

// instance returns what is to be said of its instance in one VRF.
func (e frrExam) instance() []driver.Finding {
	switch e.daemon {
	case "bgpd":
		return slices.Concat(e.routerID(), e.bgpTimers())
	case "ospfd", "ospf6d":
		return slices.Concat(e.routerID(), e.throttle(), e.bfd())
	case "isisd":
		return slices.Concat(e.lspInterval(), e.bfd())
	}
	return nil
}

// versions says whether keepcast is tested with this version.
func (e frrExam) versions() []driver.Finding {
	oldest, newest := frrVersion{8, 4}, frrVersion{10, 3} // of those that the tests run with
	v, ok := frrVersionOf(e.version)
	f := driver.Finding{Name: "version-untested", Level: driver.LevelInfo, Subject: e.daemon}
	switch {
	case strings.HasPrefix(e.version, "Quagga "):
		f.Name, f.Level, f.Text, f.Fix = "wrong-daemon", driver.LevelError, "is one of Quagga", "kind: quagga"
	case !ok:
		f.Text = "does not tell a version of FRR"
	case v.before(oldest):
		f.Level, f.Text, f.Fix = driver.LevelWarning, "is FRR "+v.String()+"; keepcast is tested with "+oldest.String()+" and later ones, and relies on what these do", "upgrade FRR"
	case newest.before(v):
		f.Text = "is FRR " + v.String() + "; keepcast is tested up to " + newest.String()
	default:
		return nil
	}
	return []driver.Finding{f}
}

// routerID says whether the router id may be, or is, an anycast address: hosts with
// the same id disturb each other, and ospfd of FRR 10 changes it, which resets
// its adjacencies, with each announcement and withdrawal.
func (e frrExam) routerID() []driver.Finding {
	line, block := map[string]string{"bgpd": "bgp router-id", "ospfd": "ospf router-id", "ospf6d": "ospf6 router-id"}[e.daemon], ""
	if line == "" {
		return nil
	}
	isSet := false
	frrLines(e.running, func(blocks []string, text string) {
		if strings.HasPrefix(text, "router ") && block == "" {
			block = text
		}
		isSet = isSet || len(blocks) == 1 && strings.HasPrefix(text, line+" ")
	})
	frrLines(e.zebra, func(blocks []string, text string) {
		here := e.vrf == "" && len(blocks) == 0 || len(blocks) == 1 && blocks[0] == "vrf "+e.vrf
		isSet = isSet || here && (strings.HasPrefix(text, "ip router-id ") || strings.HasPrefix(text, "router-id "))
	})
	id := e.id()
	f := driver.Finding{Name: "router-id", Subject: e.daemon, Fix: block + "\n " + line + " A.B.C.D\nwith an address of this host alone"}
	for _, r := range e.want.Routes {
		if r.Prefix.Addr().String() == id {
			f.Level, f.Text = driver.LevelError, "has the anycast address "+id+" as router id: other hosts have the same one, and it may change with the address, which resets sessions"
			return []driver.Finding{f}
		}
	}
	if isSet || block == "" {
		return nil
	}
	f.Level, f.Text = driver.LevelWarning, "has no router id of its own (now "+id+"): FRR takes the highest address on the host, at its next start maybe an anycast one"
	return []driver.Finding{f}
}

// id returns the router id that the daemon has now: of FRR's JSON, or of Quagga's
// "BGP router identifier A," and "Router ID: A".
func (e frrExam) id() string {
	id := ""
	eachObject(e.state, func(o map[string]any) {
		if s, _ := o["routerId"].(string); id == "" {
			id = s
		}
	})
	for _, before := range []string{"BGP router identifier ", "Router ID: "} {
		if _, rest, ok := strings.Cut(e.state, before); ok {
			id = strings.FieldsFunc(rest+",", func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })[0]
		}
	}
	return id
}

// redistributed says which redistribute lines lead past the gate.
func (e frrExam) redistributed() []driver.Finding {
	prefixOnly := slices.ContainsFunc(e.want.Routes, func(r driver.Route) bool { return r.PrefixOnly })
	var out []driver.Finding
	frrLines(e.running, func(blocks []string, line string) {
		words := strings.Fields(line)
		if len(blocks) == 0 || len(words) < 2 || words[0] != "redistribute" || slices.Contains(words, "route-map") || !e.filters(blocks[0]) {
			return
		}
		source := words[1]
		if source == "ipv4" || source == "ipv6" {
			source = words[min(2, len(words)-1)] // isisd names the family first
		}
		what := map[string]string{
			"connected": "every network of the host, its anycast addresses too, whatever keepcast's gate says",
			"kernel":    "whatever is in the kernel; in FRR 10 also IPv6 anycast addresses, whatever keepcast's gate says",
		}[source]
		if source == "static" && prefixOnly {
			what = "the networks that keepcast gates, whatever its gate says"
		}
		if what != "" {
			out = append(out, driver.Finding{
				Name: "redistribute-unfiltered", Level: driver.LevelWarning, Subject: e.daemon + " " + line,
				Text: "has no route-map: it announces " + what,
				Fix:  nested(append(slices.Clone(blocks), e.filtered(blocks, line))),
			})
		}
	})
	return out
}

// filters tells whether a router block is the daemon's own, for mgmtd shows those of
// several, and one whose redistribution takes a route-map.
func (e frrExam) filters(block string) bool {
	kind := strings.TrimSuffix(e.daemon, "d")
	return e.daemon != "babeld" && slices.Contains(strings.Fields(block), kind)
}

// nested writes lines each one deeper than the one before.
func nested(lines []string) string {
	var b strings.Builder
	for i, l := range lines {
		b.WriteString(strings.Repeat(" ", i) + l + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// filtered returns the redistribute line as it should be.
func (e frrExam) filtered(blocks []string, line string) string {
	switch {
	case e.daemon == "bgpd" && !e.quagga: // keepcast has network lines there, and no such route-map
		return line + " route-map MINE\nwith a route-map of yours that denies the anycast addresses"
	case e.daemon == "ospf6d" || e.daemon == "ripngd" || strings.HasPrefix(line, "redistribute ipv6 ") || slices.Contains(blocks, frrFamily(netip.IPv6Unspecified())):
		return line + " route-map " + frrMark + "6"
	}
	return line + " route-map " + frrMark
}

// delayTimer says that bgpd never looks at a changed route-map.
func (e frrExam) delayTimer() []driver.Finding {
	if e.daemon != "bgpd" {
		return nil
	}
	var out []driver.Finding
	frrLines(e.running, func(blocks []string, line string) {
		if len(blocks) == 0 && line == "bgp route-map delay-timer 0" {
			out = append(out, driver.Finding{
				Name: "delay-timer", Level: driver.LevelWarning, Subject: e.daemon,
				Text: "has 'bgp route-map delay-timer 0', which means never: a changed route-map or list of yours has no effect until you clear the sessions",
				Fix:  "no bgp route-map delay-timer",
			})
		}
	})
	return out
}

// bgpTimers says what makes the neighbors learn late.
func (e frrExam) bgpTimers() []driver.Finding {
	peers := bgpPeers(e.neighbors)
	var out []driver.Finding
	for _, name := range slices.Sorted(maps.Keys(peers)) {
		p, hold := peers[name], time.Duration(peers[name].Hold)*time.Millisecond
		add := func(finding, text, fix string) {
			out = append(out, driver.Finding{Name: finding, Level: driver.LevelWarning, Subject: e.daemon + " neighbor " + name, Text: text, Fix: fmt.Sprintf("router bgp %d\n neighbor %s %s", p.LocalAS, name, fix)})
		}
		if p.Interval > 0 {
			add("advertisement-interval", fmt.Sprintf("has an advertisement-interval of %d s: a second change has to wait for it", p.Interval/1000), "advertisement-interval 0")
		}
		switch {
		case p.Shut:
		case p.BFD == nil && hold > bfdlessHold:
			add("no-bfd", fmt.Sprintf("has no BFD: if this host or the link dies without a word, it notices after the hold time of %s", hold),
				"bfd\nand the same there, with bfdd=yes in /etc/frr/daemons; or 'timers 3 9'")
		case p.BFD != nil && p.up() && p.BFD.Status != "Up":
			add("bfd-down", "has BFD, but its BFD session is "+strings.ToLower(p.BFD.Status), "bfd\nalso there, UDP ports 3784 and 4784 open, and bfdd running on both")
		}
	}
	return out
}

// throttle says which timers of OSPF hold a quick second change back.
func (e frrExam) throttle() []driver.Finding {
	var timers struct {
		LSA int `json:"lsaMinIntervalMsecs"` // ospfd only
		SPF int `json:"holdtimeMaxMsecs"`    // of ospf6d holdTimeMaxMsecs; encoding/json reads both
	}
	_ = json.Unmarshal([]byte(e.state), &timers) // without OSPF it is no JSON
	const quick = 500
	if timers.LSA <= quick && timers.SPF <= quick {
		return nil
	}
	fix := "router ospf6\n timers throttle spf 0 50 500\n timers lsa min-arrival 0\nand the same on the routers"
	if e.daemon == "ospfd" {
		fix = "router ospf\n timers throttle lsa all 0\n timers throttle spf 0 50 500\n timers lsa min-arrival 0\nand the same on the routers"
	}
	return []driver.Finding{{
		Name: "ospf-throttle", Level: driver.LevelWarning, Subject: e.daemon,
		Text: "has slow timers: a second change of a prefix within seconds waits, up to 9 s with those of FRR",
		Fix:  fix,
	}}
}

// lspInterval says that isisd holds a second change back.
func (e frrExam) lspInterval() []driver.Finding {
	const preset = 30 // of FRR, in seconds
	worst, block, level2 := 0, "", false
	frrLines(e.running, func(blocks []string, line string) {
		words := strings.Fields(line)
		switch {
		case len(blocks) == 0 && strings.HasPrefix(line, "router isis "):
			block = line
		case line == "is-type level-2-only":
			level2 = true
		case len(blocks) != 1 || blocks[0] != block || level2 && slices.Contains(words, "level-1"):
		case words[0] == "lsp-timers":
			_, rest, _ := strings.Cut(line, "gen-interval ")
			worst = max(worst, firstNumber(rest))
		case words[0] == "lsp-gen-interval": // Quagga
			seconds, _ := strconv.Atoi(words[len(words)-1])
			worst = max(worst, seconds)
		}
	})
	if worst == 0 {
		worst = preset
	}
	if block == "" || worst <= 1 {
		return nil
	}
	return []driver.Finding{{
		Name: "isis-lsp-interval", Level: driver.LevelWarning, Subject: e.daemon,
		Text: fmt.Sprintf("sends its LSP at most every %d s: a second change within that time waits for it", worst),
		Fix:  block + "\n lsp-gen-interval 1\n spf-interval 1\nand spf-interval 1 on the routers",
	}}
}

// bfd says on which interfaces a dead neighbor is noticed late.
func (e frrExam) bfd() []driver.Finding {
	line := map[string]string{"ospfd": "ip ospf bfd", "ospf6d": "ipv6 ospf6 bfd", "isisd": "isis bfd"}[e.daemon]
	hold := map[string]int{} // by interface, in seconds
	for _, n := range frrQuestionsOf(e.daemon).readNeighbors(e.neighbors) {
		hold[n.iface] = map[string]int{"ospfd": 40, "ospf6d": 40, "isisd": 30}[e.daemon]
	}
	frrLines(e.running, func(blocks []string, text string) {
		if len(blocks) != 1 || !strings.HasPrefix(blocks[0], "interface ") {
			return
		}
		iface, words := strings.Fields(blocks[0])[1], strings.Fields(text)
		if _, speaks := hold[iface]; !speaks {
			return
		}
		if strings.HasPrefix(text, line) {
			delete(hold, iface)
		} else if slices.Contains(words, "dead-interval") {
			seconds, err := strconv.Atoi(words[len(words)-1])
			if err == nil {
				hold[iface] = seconds
			}
		}
	})
	var out []driver.Finding
	for _, iface := range slices.Sorted(maps.Keys(hold)) {
		if time.Duration(hold[iface])*time.Second <= bfdlessHold {
			continue
		}
		out = append(out, driver.Finding{
			Name: "no-bfd", Level: driver.LevelWarning, Subject: e.daemon + " " + iface,
			Text: fmt.Sprintf("has no BFD: if this host or the link dies without a word, the router notices after %d s", hold[iface]),
			Fix:  "interface " + iface + "\n " + line + "\nand the same on the router, with bfdd=yes in /etc/frr/daemons",
		})
	}
	return out
}
