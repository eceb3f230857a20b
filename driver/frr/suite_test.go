package frr

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// suiteDaemons are those of the suite, in FRR and in Quagga.
var suiteDaemons = []string{"bgpd", "ospfd"}

// frrKernel has ospfd redistribute the suite's networks, which are blackhole routes.
const frrKernel = "router ospf\n redistribute kernel route-map KEEPCAST\n"

func TestFRRSuite(t *testing.T) {
	drivertest.TestDriver(t, func(t *testing.T) drivertest.Rig {
		r := newRealFRR(t, suiteDaemons...)
		r.enter("ospfd", frrKernel)
		r.addSuite()
		for _, p := range drivertest.Networks() {
			frrRun(t, "ip route add blackhole "+p)
		}
		proxy := newFRRProxy(t, r.dir, suiteDaemons...)
		templates, changes := t.TempDir(), 0
		return drivertest.Rig{
			New:       func() driver.Driver { return testFRR(proxy.dir, suiteDaemons...) },
			Interface: "anycast0",
			Templates: templates,
			Announces: func() map[netip.Prefix]uint32 { return byBoth(r.bgpTable(), r.ospfTable()) },
			Dump: func() []string {
				return append(configLines(r.ask("bgpd", "show running-config")), configLines(r.ask("ospfd", "show running-config"))...)
			},
			Changes: func() int { changes += len(proxy.taken()); return changes },
			Break: func() (string, func()) {
				return `bgpd refused "set nonsense": % [BGP] Unknown command: set nonsense`, spoil(t, templates, frrTemplate,
					" set tag {{.Tag}}\n", " set tag {{.Tag}}\n set nonsense\n",
					"  network {{.Prefix}} route-map {{.Map}}\n", "  network {{.Prefix}} route-map {{.Map}} nonsense\n")
			},
			Disturb: r.disturb,
			Stop: func() func() {
				back := hide(t, proxy.dir, "bgpd.vty")
				r.stop("bgpd")
				return func() {
					r.start("bgpd")
					r.load("bgpd")
					back()
				}
			},
			Steps: 10,
		}
	})
}

func TestQuaggaSuite(t *testing.T) {
	drivertest.TestDriver(t, func(t *testing.T) drivertest.Rig {
		dir, templates, changes := t.TempDir(), t.TempDir(), 0
		bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", append(slices.Clone(quaggaBGPd), "network 198.51.100.0/25")...)
		bgpd.family6 = []string{"redistribute connected route-map KEEPCAST6", "neighbor fd99::2 activate", "neighbor fd99::2 route-map KEEPCAST6-EBGP out"}
		bgpd.table = quaggaBGPTable(drivertest.Addresses())
		ospfd := newFakeQuagga(t, dir, "ospfd", "router ospf", "redistribute connected route-map KEEPCAST", "redistribute static route-map KEEPCAST")
		ospfd.table = quaggaOSPFTable(slices.Concat(drivertest.Addresses(), drivertest.Networks()))
		return drivertest.Rig{
			New:       func() driver.Driver { return testQuagga(dir, suiteDaemons...) },
			Interface: "anycast0",
			Templates: templates,
			Announces: func() map[netip.Prefix]uint32 { return byBoth(bgpd.announces(), ospfd.announces()) },
			Dump:      func() []string { return append(configLines(bgpd.shows()), configLines(ospfd.shows())...) },
			Changes:   func() int { changes += len(bgpd.taken()) + len(ospfd.taken()); return changes },
			Break: func() (string, func()) {
				return `bgpd refused "ipv6 prefix-list KEEPCAST6 seq 5 permit 2001:db8:53::53/128 nonsense": % Command incomplete.`, spoilQuagga(t, templates)
			},
			Disturb: func(rnd *rand.Rand) string { return []*fakeQuagga{bgpd, ospfd}[rnd.IntN(2)].disturb(rnd) },
		}
	})
}

// byBoth returns what bgpd and, of IPv4, ospfd announce, with the MED of bgpd.
func byBoth(bgp, ospf map[netip.Prefix]uint32) map[netip.Prefix]uint32 {
	out := map[netip.Prefix]uint32{}
	for p, med := range bgp {
		out[p] = med
		if _, both := ospf[p]; p.Addr().Is4() && !both {
			out[p] = drivertest.Partly
		}
	}
	for p := range ospf {
		if _, both := bgp[p]; !both {
			out[p] = drivertest.Partly
		}
	}
	return out
}

// configLines returns the lines of a running configuration, each with the headers of its
// blocks.
func configLines(text string) (out []string) {
	eachLine(text, func(blocks []string, line string) {
		out = append(out, strings.Join(append(slices.Clone(blocks), line), " / "))
	})
	return out
}

// spoil gives the operator a template of his own, the embedded one with replacements, and
// returns what takes it away.
func spoil(t *testing.T, dir, name string, oldnew ...string) (mend func()) {
	t.Helper()
	path := filepath.Join(dir, name)
	drivertest.WriteFile(t, path, strings.NewReplacer(oldnew...).Replace(drivertest.ReadFile(t, "../../templates/"+name)))
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// spoilQuagga has Quagga refuse the lists of IPv6.
func spoilQuagga(t *testing.T, dir string) (mend func()) {
	t.Helper()
	const list = "ipv6 prefix-list KEEPCAST6 seq {{.Seq}} {{if .Announced}}permit{{else}}deny{{end}} {{.Prefix}}"
	return spoil(t, dir, quaggaTemplate, list, list+" nonsense")
}

// hide moves a file away, and returns what moves it back.
func hide(t *testing.T, dir, name string) (back func()) {
	t.Helper()
	path := filepath.Join(dir, name)
	move(t, path, path+".away")
	return func() { move(t, path+".away", path) }
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// addSuite puts the addresses of the suite on the host.
func (r *realFRR) addSuite() {
	r.t.Helper()
	for _, a := range drivertest.Addresses() {
		if strings.Contains(a, ":") {
			a += " nodad"
		}
		r.addr("add", a)
	}
}

// bgpTable returns what bgpd has a valid path to, with its MED.
func (r *realFRR) bgpTable() map[netip.Prefix]uint32 {
	r.t.Helper()
	out := map[netip.Prefix]uint32{}
	for _, family := range []string{"ipv4", "ipv6"} {
		var said struct {
			Routes map[netip.Prefix][]struct {
				Valid  bool
				Metric uint32
			}
		}
		if err := json.Unmarshal([]byte(r.ask("bgpd", "show bgp "+family+" unicast json")), &said); err != nil {
			r.t.Fatal(err)
		}
		for p, paths := range said.Routes {
			if len(paths) > 0 && paths[0].Valid {
				out[p] = paths[0].Metric
			}
		}
	}
	return out
}

var frrLSA = regexp.MustCompile(`(?s)LS age: (\d+).*?Link State ID: (\S+).*?Network Mask: (/\d+).*?Metric: (\d+)`)

// ospfTable returns what ospfd originates, with its metric.
func (r *realFRR) ospfTable() map[netip.Prefix]uint32 {
	r.t.Helper()
	out := map[netip.Prefix]uint32{}
	for _, m := range frrLSA.FindAllStringSubmatch(r.ask("ospfd", "show ip ospf database external self-originate"), -1) {
		metric, err := strconv.ParseUint(m[4], 10, 32)
		if err != nil {
			r.t.Fatal(err)
		}
		if m[1] != "3600" { // else it is on its way out
			out[netip.MustParsePrefix(m[2]+m[3]).Masked()] = uint32(metric)
		}
	}
	return out
}

// disturb does what somebody in vtysh may do, or a crash.
func (r *realFRR) disturb(rnd *rand.Rand) string {
	r.t.Helper()
	lines := [][]string{
		{"ospfd", "no ip prefix-list KEEPCAST"},
		{"ospfd", "ip prefix-list KEEPCAST seq 7 permit 192.0.2.54/32"},
		{"bgpd", "no route-map KEEPCAST-ANNOUNCED"},
		{"bgpd", "router bgp 65001", "address-family ipv4 unicast", "network 192.0.2.54/32"},
		{"bgpd", "router bgp 65001", "address-family ipv6 unicast", "no network 2001:db8:53::53/128"},
		{"bgpd", "router bgp 65001", "address-family ipv6 unicast", "network 2001:db8:77::/48 route-map KEEPCAST-ANNOUNCED"},
		{"restart"},
	}[rnd.IntN(7)]
	if lines[0] != "restart" {
		if lines[0] == "ospfd" { // it looks at what it redistributes at once, and not after 5 s
			lines = append(lines, "router ospf", "redistribute connected metric-type 1 route-map KEEPCAST", "redistribute kernel route-map KEEPCAST")
		}
		return r.meddle(lines)
	}
	for _, d := range suiteDaemons {
		r.stop(d)
		r.start(d)
		r.load(d)
	}
	r.enter("ospfd", frrKernel)
	return "restarts FRR"
}

// meddle enters lines in the daemon that is named first, and returns what it does.
func (r *realFRR) meddle(lines []string) string {
	r.t.Helper()
	_, _ = r.tell(lines[0], slices.Concat([]string{"configure terminal"}, lines[1:], []string{"end"})...) // it may be so already
	return "tells " + strings.Join(lines, " / ")
}
