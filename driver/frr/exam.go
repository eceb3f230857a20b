package frr

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// exam is what one daemon answered to an examination. The functions in spec.exams and
// spec.vrfExams read it.
type exam struct {
	spec      spec
	vrf       string // that the state, the neighbors and the router blocks are of
	version   string // `show version`
	running   string // `show running-config`
	state     string // as the spec asks for it
	neighbors string // as the spec asks for them
	zebra     string // the running configurations of those that the daemon depends on
	desired   driver.State
}

// frrVersion says whether keepcast is tested with this version of FRR.
func (e exam) frrVersion() []driver.Finding {
	oldest, newest := version{8, 4}, version{10, 3} // of those that the tests run with
	v, ok := versionOf(e.version)
	f := driver.Finding{Name: "version-untested", Level: driver.LevelInfo, Subject: e.spec.name}
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

// ownRouterID says whether the router id may be, or is, an anycast address. Hosts with the
// same id disturb each other, and ospfd of FRR 10 changes it, which resets its
// adjacencies, with each announcement and withdrawal.
func (e exam) ownRouterID() []driver.Finding {
	block, isSet := "", false
	eachLine(e.running, func(blocks []string, text string) {
		if strings.HasPrefix(text, "router ") && block == "" {
			block = text
		}
		isSet = isSet || len(blocks) == 1 && strings.HasPrefix(text, e.spec.routerID+" ")
	})
	eachLine(e.zebra, func(blocks []string, text string) {
		here := e.vrf == "" && len(blocks) == 0 || len(blocks) == 1 && blocks[0] == "vrf "+e.vrf
		isSet = isSet || here && (strings.HasPrefix(text, "ip router-id ") || strings.HasPrefix(text, "router-id "))
	})
	id := e.id()
	f := driver.Finding{Name: "router-id", Subject: e.spec.name, Fix: block + "\n " + e.spec.routerID + " A.B.C.D\nwith an address of this host alone"}
	for _, r := range e.desired.Routes {
		if r.Prefix.Addr().String() == id {
			f.Level, f.Text = driver.LevelError, "has the anycast address "+id+" as router id: other hosts have the same one, and it may change with the address, which resets sessions"
			return []driver.Finding{f}
		}
	}
	if isSet || block == "" {
		return nil
	}
	f.Level, f.Text = driver.LevelWarning, "has no router id of its own (now "+id+"): it takes the highest address on the host, at its next start maybe an anycast one"
	return []driver.Finding{f}
}

// id returns the router id that the daemon has now: of FRR's JSON, or of Quagga's
// "BGP router identifier A," and "Router ID: A".
func (e exam) id() string {
	id := ""
	eachObject(e.state, func(o map[string]any) {
		if s, _ := o["routerId"].(string); id == "" {
			id = s
		}
	})
	for _, before := range []string{"BGP router identifier ", "Router ID: "} {
		if _, rest, ok := strings.Cut(e.state, before); ok {
			id = rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789."))]
		}
	}
	return id
}

// redistributed says which redistribute lines lead past the gate.
func (e exam) redistributed() []driver.Finding {
	prefixOnly := slices.ContainsFunc(e.desired.Routes, func(r driver.Route) bool { return r.PrefixOnly })
	var out []driver.Finding
	eachLine(e.running, func(blocks []string, line string) {
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
				Name: "redistribute-unfiltered", Level: driver.LevelWarning, Subject: e.spec.name + " " + line,
				Text: "has no route-map: it announces " + what,
				Fix:  nested(append(slices.Clone(blocks), e.filtered(blocks, line))),
			})
		}
	})
	return out
}

// filters tells whether a router block is the daemon's own, for mgmtd shows those of
// several, and one whose redistribution takes a route-map.
func (e exam) filters(block string) bool {
	return !e.spec.filters && slices.Contains(strings.Fields(block), e.spec.router)
}

// filtered returns the redistribute line as it should be.
func (e exam) filtered(blocks []string, line string) string {
	switch {
	case e.spec.redistribute == "": // keepcast has network lines there, and no such route-map
		return line + " route-map MINE\nwith a route-map of yours that denies the anycast addresses"
	case !e.spec.ipv4 || strings.HasPrefix(line, "redistribute ipv6 ") || slices.Contains(blocks, familyHeader(netip.IPv6Unspecified())):
		return line + " route-map " + mark + "6"
	}
	return line + " route-map " + mark
}

// nested writes lines each one deeper than the one before.
func nested(lines []string) string {
	var b strings.Builder
	for i, l := range lines {
		b.WriteString(strings.Repeat(" ", i) + l + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// delayTimer says that bgpd never looks at a changed route-map.
func (e exam) delayTimer() []driver.Finding {
	var out []driver.Finding
	eachLine(e.running, func(blocks []string, line string) {
		if len(blocks) == 0 && line == "bgp route-map delay-timer 0" {
			out = append(out, driver.Finding{
				Name: "delay-timer", Level: driver.LevelWarning, Subject: e.spec.name,
				Text: "has 'bgp route-map delay-timer 0', which means never: a changed route-map or list of yours has no effect until you clear the sessions",
				Fix:  "no bgp route-map delay-timer",
			})
		}
	})
	return out
}

// ungated says which prefixes have no gate but the daemon's own: no address that keepcast
// could take off the host stands behind them. That gate is closed after a start, for
// nothing of it is saved, and a route-map that is missing denies.
func (e exam) ungated() []driver.Finding {
	var prefixes []string
	fix := ""
	for _, r := range e.desired.Routes {
		p := r.Prefix.Masked()
		if !r.PrefixOnly || !e.spec.carries(p.Addr()) {
			continue
		}
		prefixes = append(prefixes, p.String())
		if fix == "" && p.Bits() > 0 {
			fix = fmt.Sprintf("if the service has an address within %s, write it with that length in place of the prefix: addresses: [A/%d]", p, p.Bits())
		}
	}
	if len(prefixes) == 0 {
		return nil
	}
	return []driver.Finding{{
		Name: "prefix-ungated", Level: driver.LevelWarning, Subject: e.spec.name,
		Text: "has to take commands to withdraw " + strings.Join(prefixes, ", ") + ": no address could go instead, so it stays announced for as long as " + e.spec.name + " takes none",
		Fix:  cmp.Or(fix, "no address can stand for a default route: watch /readyz, which tells of a daemon that takes no commands"),
	}}
}
