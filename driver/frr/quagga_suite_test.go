package frr

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// What every driver has to do, with the real bgpd of Quagga. Its ospfd would not come to
// what is wanted in time: what it has just withdrawn it announces a minute later.
func TestQuaggaRealSuite(t *testing.T) {
	drivertest.TestDriver(t, func(t *testing.T) drivertest.Rig {
		r := newRealQuagga(t, "bgpd")
		r.addSuite()
		proxy := newFRRProxy(t, r.dir, "zebra", "bgpd")
		templates, changes := t.TempDir(), 0
		return drivertest.Rig{
			New:       func() driver.Driver { return testQuagga(proxy.dir, "bgpd") },
			Interface: "anycast0",
			Templates: templates,
			Announces: r.quaggaTable,
			Dump:      func() []string { return configLines(readQuagga(r.ask("bgpd", "show running-config"))) },
			Changes:   func() int { changes += len(proxy.taken()); return changes },
			Break: func() (string, func()) {
				return `bgpd refused "ipv6 prefix-list KEEPCAST6 seq 5 permit 2001:db8:53::53/128 nonsense": % [BGP] Unknown command: `, spoilQuagga(t, templates)
			},
			Disturb: r.disturb,
			Stop: func() func() {
				back := hide(t, proxy.dir, "bgpd.vty")
				r.stop("bgpd")
				return func() {
					r.start("bgpd")
					back()
				}
			},
			Steps: 10,
		}
	})
}

// quaggaTable returns what bgpd has a path to, with the MED that its outgoing route-map
// sets.
func (r *realQuagga) quaggaTable() map[netip.Prefix]uint32 {
	r.t.Helper()
	out := map[netip.Prefix]uint32{}
	run := parseQuagga(r.ask("bgpd", "show running-config"))
	for _, question := range []string{"show ip bgp", "show bgp"} {
		for line := range strings.Lines(r.ask("bgpd", question)) {
			words := strings.Fields(line)
			if len(words) < 2 || !strings.HasPrefix(words[0], "*") {
				continue
			}
			p, err := netip.ParsePrefix(words[1])
			if err != nil { // a network of class C, which Quagga writes without its length
				p = netip.PrefixFrom(netip.MustParseAddr(words[1]), 24)
			}
			out[p.Masked()] = 0
			if m := quaggaMED.FindStringSubmatch(run.passes(gateOf(p.Addr())+"-EBGP", p.Masked().String())); m != nil {
				med, err := strconv.ParseUint(m[1], 10, 32)
				if err != nil {
					r.t.Fatal(err)
				}
				out[p.Masked()] = uint32(med)
			}
		}
	}
	return out
}

// disturb does what somebody in vtysh may do, or a crash of bgpd. A list that is gone changes
// nothing by itself. After a crash of zebra, bgpd takes no more notice of a list that changes
// while the address stays, as it does in the suite.
func (r *realQuagga) disturb(rnd *rand.Rand) string {
	r.t.Helper()
	lines := [][]string{
		{"bgpd", "ip prefix-list KEEPCAST seq 777 permit 192.0.2.54/32"},
		{"bgpd", "no route-map KEEPCAST"},
		{"bgpd", "router bgp 65001", "network 192.0.2.54/32"},
		{"bgpd", "restart"},
	}[rnd.IntN(4)]
	if lines[1] == "restart" {
		r.restart(lines[0])
		return "restarts " + lines[0]
	}
	return r.meddle(lines)
}
