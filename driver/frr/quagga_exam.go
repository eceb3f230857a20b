package frr

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// quaggaVersion says whether it is the Quagga that the driver was written for.
func (e exam) quaggaVersion() []driver.Finding {
	line, _, _ := strings.Cut(e.version, "\n")
	if strings.HasPrefix(line, "Quagga 1.2.") {
		return nil
	}
	f := driver.Finding{Name: "version-untested", Level: driver.LevelInfo, Subject: e.spec.name, Text: "says that it is " + strings.TrimSpace(line) + "; keepcast was tried with Quagga 1.2.4"}
	if strings.HasPrefix(line, "FRRouting ") {
		f.Name, f.Level, f.Text, f.Fix = "wrong-daemon", driver.LevelError, "is one of FRR", "kind: frr"
	}
	return []driver.Finding{f}
}

// quaggaPeers says what makes the neighbors of bgpd learn late.
func (e exam) quaggaPeers() []driver.Finding {
	var out []driver.Finding
	running := parseRunning(e.running)
	for _, p := range e.spec.bgp.peers(e.neighbors, running.instance(e.vrf)) {
		f := driver.Finding{Name: "advertisement-interval", Level: driver.LevelWarning, Subject: e.spec.name + " neighbor " + p.name, Fix: "router bgp " + p.localAS + "\n neighbor " + p.name + " advertisement-interval 1"}
		switch {
		case p.shut:
			continue
		case p.interval > time.Second:
			f.Text = fmt.Sprintf("has an advertisement-interval of %d s: an announcement, and a second change, has to wait for it", p.interval/time.Second)
			out = append(out, f)
		case p.interval == 0:
			f.Text = "has an advertisement-interval of 0, with which bgpd of Quagga 1.2 spins at 100 % CPU"
			out = append(out, f)
		}
		if lasts := p.restart.lasts(0); lasts > 0 {
			out = append(out, driver.Finding{
				Name: "bgp-graceful-restart", Level: driver.LevelWarning, Subject: f.Subject, Text: gracefulText(lasts, ""),
				Fix: "router bgp " + p.localAS + "\n no bgp graceful-restart\nthen 'clear ip bgp " + p.name + "'",
			})
		}
		if p.hold > bfdlessHold {
			f.Name, f.Text = "no-bfd", fmt.Sprintf("has no BFD, which Quagga lacks: if this host or the link dies without a word, it notices after the hold time of %d s", p.hold/time.Second)
			f.Fix = "router bgp " + p.localAS + "\n neighbor " + p.name + " timers 3 9"
			out = append(out, f)
		}
	}
	return out
}

// quaggaThrottle says that ospfd computes its routes late.
func (e exam) quaggaThrottle() []driver.Finding {
	_, rest, _ := strings.Cut(e.state, "Maximum hold time between consecutive SPFs ")
	number, _, _ := strings.Cut(rest, " ")
	if firstNumber(number) <= 500 {
		return nil
	}
	return []driver.Finding{{
		Name: "ospf-throttle", Level: driver.LevelWarning, Subject: e.spec.name,
		Text: fmt.Sprintf("has slow timers: routes computed anew wait for up to %s ms", number),
		Fix:  "router ospf\n timers throttle spf 0 50 500\nand the same on the routers",
	}}
}

// quaggaISIS says what must not be in isisd: redistribution, and adjacencies on the
// interface of the addresses.
func (e exam) quaggaISIS() []driver.Finding {
	var out []driver.Finding
	passive := map[string]bool{}
	eachLine(e.running, func(blocks []string, line string) {
		switch {
		case len(blocks) == 0:
		case strings.HasPrefix(line, "redistribute "):
			out = append(out, driver.Finding{
				Name: "isis-redistribute", Level: driver.LevelError, Subject: e.spec.name + " " + line,
				Text: "announces what it redistributes for ever: isisd of Quagga 1.2 never takes it out of its LSP",
				Fix:  nested(append(slices.Clone(blocks), "no "+line)),
			})
		case line == "isis passive" && strings.HasPrefix(blocks[0], "interface "):
			passive[strings.Fields(blocks[0])[1]] = true
		}
	})
	for _, iface := range e.desired.Interfaces() {
		if speaks := parseRunning(e.running).isis[iface]; len(speaks) > 0 && !passive[iface] {
			out = append(out, driver.Finding{
				Name: "isis-active", Level: driver.LevelInfo, Subject: e.spec.name + " " + iface,
				Text: "sends hellos on the interface of the addresses, where no router is", Fix: "interface " + iface + "\n isis passive",
			})
		}
	}
	return out
}
