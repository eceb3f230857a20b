package frr

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// Examine implements Examiner, on connections of its own.
func (q *Quagga) Examine(ctx context.Context, want driver.State) []driver.Finding {
	var out []driver.Finding
	zebra := q.vtyOf("zebra")
	running := ""
	if _, err := zebra.Open(ctx); err != nil {
		out = append(out, quaggaUnreachable("zebra", err))
	} else if texts, err := zebra.Ask(ctx, "show running-config"); err == nil {
		running = texts[0]
	}
	defer zebra.Close() //nolint:errcheck // nothing was written
	sections, err := q.sections(want)
	if err != nil {
		return append(out, badTemplate(quaggaTemplate, err))
	}
	on := quaggaHost(want)
	found := make([][]driver.Finding, len(q.Daemons))
	_ = sideBySide(q.Daemons, func(i int, name string) error { // what goes wrong is among the findings
		d := q.daemon(name)
		found[i] = d.examine(ctx, sections[name], want, on, running)
		return d.vty.Close() // nothing was written
	})
	return slices.Concat(out, slices.Concat(found...), examineSaved("/etc/quagga", append([]string{"Quagga"}, q.Daemons...), want))
}

// examine asks one daemon all that an examination wants to know.
func (d *quaggaDaemon) examine(ctx context.Context, section frrConfig, want driver.State, on frrHost, zebra string) []driver.Finding {
	sight, err := d.look(ctx, section, want, on)
	if err != nil {
		return []driver.Finding{quaggaUnreachable(d.vty.Daemon, err)}
	}
	state, neighbors := "show ip ospf", "show ip ospf neighbor"
	switch d.vty.Daemon {
	case "bgpd":
		state, neighbors = "show ip bgp summary", "show ip bgp neighbors"
	case "isisd":
		state, neighbors = "show isis summary", "show isis neighbor detail"
	}
	texts, err := d.vty.Ask(ctx, "show version", "show running-config", state, neighbors)
	if err != nil {
		return append(sight.findings, quaggaUnreachable(d.vty.Daemon, err))
	}
	e := frrExam{
		daemon: d.vty.Daemon, version: texts[0], running: quaggaText(texts[1]), state: texts[2], neighbors: texts[3],
		zebra: zebra, want: want, quagga: true,
	}
	return append(sight.findings, e.quaggaFindings()...)
}

// quaggaUnreachable says that a daemon can't be asked.
func quaggaUnreachable(daemon string, err error) driver.Finding {
	return unreachable(daemon, err, daemon, "quaggavty", "systemctl start "+daemon)
}

// quaggaFindings returns all that is to be said of a daemon of Quagga.
func (e frrExam) quaggaFindings() []driver.Finding {
	out := slices.Concat(e.quaggaVersion(), e.routerID())
	switch e.daemon {
	case "bgpd":
		return slices.Concat(out, e.redistributed(), e.quaggaBGP())
	case "ospfd":
		return slices.Concat(out, e.redistributed(), e.quaggaSPF())
	}
	return slices.Concat(out, e.lspInterval(), e.quaggaISIS())
}

// quaggaVersion says whether it is the Quagga that the driver was written for.
func (e frrExam) quaggaVersion() []driver.Finding {
	line, _, _ := strings.Cut(e.version, "\n")
	if strings.HasPrefix(line, "Quagga 1.2.") {
		return nil
	}
	f := driver.Finding{Name: "version-untested", Level: driver.LevelInfo, Subject: e.daemon, Text: "says that it is " + strings.TrimSpace(line) + "; keepcast was tried with Quagga 1.2.4"}
	if strings.HasPrefix(line, "FRRouting ") {
		f.Name, f.Level, f.Text, f.Fix = "wrong-daemon", driver.LevelError, "is one of FRR", "kind: frr"
	}
	return []driver.Finding{f}
}

// quaggaBGP says what makes the neighbors of bgpd learn late.
func (e frrExam) quaggaBGP() []driver.Finding {
	var out []driver.Finding
	for _, p := range quaggaPeers(e.neighbors) {
		f := driver.Finding{Name: "advertisement-interval", Level: driver.LevelWarning, Subject: e.daemon + " neighbor " + p.name, Fix: "router bgp " + p.localAS + "\n neighbor " + p.name + " advertisement-interval 1"}
		switch {
		case p.shut:
			continue
		case p.interval > 1:
			f.Text = fmt.Sprintf("has an advertisement-interval of %d s: an announcement, and a second change, has to wait for it", p.interval)
			out = append(out, f)
		case p.interval == 0:
			f.Text = "has an advertisement-interval of 0, with which bgpd of Quagga 1.2 spins at 100 % CPU"
			out = append(out, f)
		}
		if p.hold > int(bfdlessHold.Seconds()) {
			f.Name, f.Text = "no-bfd", fmt.Sprintf("has no BFD, which Quagga lacks: if this host or the link dies without a word, it notices after the hold time of %d s", p.hold)
			f.Fix = "router bgp " + p.localAS + "\n neighbor " + p.name + " timers 3 9"
			out = append(out, f)
		}
	}
	return out
}

// quaggaSPF says that ospfd computes its routes late.
func (e frrExam) quaggaSPF() []driver.Finding {
	_, rest, _ := strings.Cut(e.state, "Maximum hold time between consecutive SPFs ")
	number, _, _ := strings.Cut(rest, " ")
	if firstNumber(number) <= 500 {
		return nil
	}
	return []driver.Finding{{
		Name: "ospf-throttle", Level: driver.LevelWarning, Subject: e.daemon,
		Text: fmt.Sprintf("has slow timers: routes computed anew wait for up to %s ms", number),
		Fix:  "router ospf\n timers throttle spf 0 50 500\nand the same on the routers",
	}}
}

// quaggaISIS says what must not be in isisd: redistribution, and adjacencies on the
// interface of the addresses.
func (e frrExam) quaggaISIS() []driver.Finding {
	var out []driver.Finding
	passive := map[string]bool{}
	frrLines(e.running, func(blocks []string, line string) {
		switch {
		case len(blocks) == 0:
		case strings.HasPrefix(line, "redistribute "):
			out = append(out, driver.Finding{
				Name: "isis-redistribute", Level: driver.LevelError, Subject: e.daemon + " " + line,
				Text: "announces what it redistributes for ever: isisd of Quagga 1.2 never takes it out of its LSP",
				Fix:  nested(append(slices.Clone(blocks), "no "+line)),
			})
		case line == "isis passive" && strings.HasPrefix(blocks[0], "interface "):
			passive[strings.Fields(blocks[0])[1]] = true
		}
	})
	for _, iface := range e.want.Interfaces() {
		if speaks := frrRunning(e.running).isis[iface]; len(speaks) > 0 && !passive[iface] {
			out = append(out, driver.Finding{
				Name: "isis-active", Level: driver.LevelInfo, Subject: e.daemon + " " + iface,
				Text: "sends hellos on the interface of the addresses, where no router is", Fix: "interface " + iface + "\n isis passive",
			})
		}
	}
	return out
}
