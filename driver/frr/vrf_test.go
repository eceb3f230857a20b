package frr

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// frrInRed puts the interface red0 into the VRF red.
func frrInRed(f *FRR) {
	f.Open(driver.Options{VRF: func(iface string) (string, error) {
		return map[string]string{"red0": "red"}[iface], nil
	}})
}

// inRed is a route whose service is in the VRF red.
func inRed(r driver.Route) driver.Route {
	r.Interface = "red0"
	return r
}

func TestFRRInto(t *testing.T) {
	for text, want := range map[string]string{
		"show bgp ipv4 unicast 192.0.2.1/32 json":                     "show bgp vrf red ipv4 unicast 192.0.2.1/32 json",
		"show bgp neighbors json":                                     "show bgp vrf red neighbors json",
		"show bgp summary json":                                       "show bgp vrf red summary json",
		"show ip ospf json":                                           "show ip ospf vrf red json",
		"show ip ospf database external self-originate json":          "show ip ospf vrf red database external self-originate json",
		"show ipv6 ospf6 database as-external self-originated json":   "show ipv6 ospf6 vrf red database as-external self-originated json",
		"show isis database detail":                                   "show isis vrf red database detail",
		"show ip rip":                                                 "show ip rip vrf red",
		"show ip rip status":                                          "show ip rip vrf red status",
		"show ipv6 ripng status":                                      "show ipv6 ripng vrf red status",
		"show babel neighbor":                                         "show babel neighbor", // knows no VRFs
		"look at 'show ipv6 route 2001:db8::/48' in vtysh":            "look at 'show ipv6 route vrf red 2001:db8::/48' in vtysh",
		"add 'ip route 203.0.113.0/24 blackhole' to frr.conf":         "add 'ip route 203.0.113.0/24 blackhole vrf red' to frr.conf",
		"add 'router bgp ASN' with its neighbors to frr.conf":         "add 'router bgp ASN vrf red' with its neighbors to frr.conf",
		"under 'router bgp 65001 vrf red' to frr.conf":                "under 'router bgp 65001 vrf red' to frr.conf",
		"router bgp 65001\n neighbor 10.0.0.1 activate":               "router bgp 65001 vrf red\n neighbor 10.0.0.1 activate",
		"add 'redistribute connected' under 'router isis NAME'":       "add 'redistribute connected' under 'router isis NAME vrf red'",
		"router bgp 1.10\n neighbor x":                                "router bgp 1.10 vrf red\n neighbor x",
		"under 'router isis MY-TAG' to":                               "under 'router isis MY-TAG vrf red' to",
		"router ospf6\n timers lsa min-arrival 0":                     "router ospf6 vrf red\n timers lsa min-arrival 0",
		"it has no router bgp to announce 192.0.2.1/32 in":            "it has no router bgp to announce 192.0.2.1/32 in",
		"check 'network IFACE' under 'router rip', and UDP port 520":  "check 'network IFACE' under 'router rip vrf red', and UDP port 520",
		"check 'network IFACE' under 'router ripng', and UDP port 52": "check 'network IFACE' under 'router ripng vrf red', and UDP port 52",
	} {
		if got := intoVRF("red", text); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
		if got := intoVRF("", text); got != text {
			t.Errorf("no VRF: %s became %s", text, got)
		}
	}
	for _, text := range []string{"under 'router bgp 65001 vrf cust-1' to", "router isis A vrf cust-1\n x", "router bgp 1 vrf cust-1"} {
		if got := intoVRF("cust-1", text); got != text {
			t.Errorf("%s became %s", text, got)
		}
	}
}

// What is missing is said of the VRF that the service is in.
func TestFRRFindingsVRF(t *testing.T) {
	net4 := frrPrefixOnly("203.0.113.0/24", driver.Announced)
	for name, tc := range map[string]struct {
		daemon, run string
		routes      []driver.Route
		want        []string
	}{
		"no router": {"bgpd", "router bgp 65001\n", []driver.Route{inRed(frrRouteOf(frr4, driver.Announced, false))}, []string{
			"router-bgp-missing: bgpd in VRF red: it has no router bgp to announce 192.0.2.53/32 in: add 'router bgp ASN vrf red' with its neighbors to frr.conf",
		}},
		"both":      {"bgpd", "router bgp 65001\nrouter bgp 65001 vrf red\n", []driver.Route{inRed(frrRouteOf(frr4, driver.Announced, false)), net4}, nil},
		"no prefix": {"bgpd", "router bgp 65001 vrf red\n", []driver.Route{inRed(frrRouteOf(frr4, driver.Announced, false))}, nil},
		"unchecked there": {"bgpd", "router bgp 65001\nrouter bgp 65001 vrf red\n no bgp network import-check\n", []driver.Route{inRed(frrRouteOf(frr4, driver.Announced, false))}, []string{
			"import-check-off: bgpd in VRF red: it announces 192.0.2.53/32 whether the address is there or not, so that a withdrawal depends on it taking commands: add 'bgp network import-check' under 'router bgp 65001 vrf red' to frr.conf, and take an 'frr version' before 7.4, which turns it off, out of it",
		}},
		"prepend in another": {"bgpd", "router bgp 65001\n neighbor 10.0.0.1 route-map KEEPCAST-EBGP out\nrouter bgp 65001 vrf red\n", []driver.Route{inRed(frrRouteOf(frr4, driver.Announced, true))}, []string{
			"prepend-unused: bgpd in VRF red: the path of 192.0.2.53/32 is not made longer, for no neighbor has the route-map KEEPCAST-EBGP: add 'neighbor X route-map KEEPCAST-EBGP out' for each eBGP neighbor to frr.conf, or 'call KEEPCAST-EBGP' as the last entry of its own route-map",
		}},
		"another AS": {"bgpd", "router bgp 65001\nrouter bgp 65009 vrf red\n neighbor 10.0.0.1 route-map KEEPCAST-EBGP out\n", []driver.Route{inRed(frrRouteOf(frr4, driver.Announced, true))}, []string{
			"prepend-other-as: bgpd in VRF red: the path of 192.0.2.53/32 is made longer by AS 65001, the number of another instance, not by its own 65009: give 'router bgp 65009 vrf red' the same AS, or use another attribute than prepend for what is in it",
		}},
		"an only AS": {"bgpd", "router bgp 65009 vrf red\n neighbor 10.0.0.1 route-map KEEPCAST-EBGP out\n", []driver.Route{inRed(frrRouteOf(frr4, driver.Announced, true))}, nil},
		"ospf in the default one": {"ospfd", "router ospf\n redistribute connected route-map KEEPCAST\n", []driver.Route{inRed(frrRouteOf(frr4, driver.Announced, false))}, []string{
			"gate-unused: ospfd in VRF red: it does not announce 192.0.2.53/32 by the gate KEEPCAST: add 'redistribute connected route-map KEEPCAST' under 'router ospf vrf red' to frr.conf",
		}},
		"ospf": {"ospfd", "router ospf vrf red\n redistribute connected route-map KEEPCAST\n", []driver.Route{inRed(frrRouteOf(frr4, driver.Announced, false))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := testFRR(t.TempDir(), tc.daemon)
			d := f.daemon(tc.daemon)
			d.major = 8
			frrInRed(f)
			m, err := f.managed(frrState(tc.routes...))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range d.findings(parseRunning(tc.run), frrState(tc.routes...), m) {
				got = append(got, f.Name+": "+f.Error())
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// The kernel does not tell which VRF it is: nothing is moved, and that is the error.
func TestFRRVRFUnknown(t *testing.T) {
	broken := errors.New("the VRF of red0: netlink socket: too many open files")
	f := testFRR(t.TempDir(), "bgpd")
	f.Open(driver.Options{VRF: func(string) (string, error) { return "", broken }})
	state := frrState(inRed(frrRouteOf(frr4, driver.Announced, false)))
	if err := f.Apply(t.Context(), state); drivertest.ErrText(err) != broken.Error() {
		t.Errorf("got %v", err)
	}
	if _, err := f.Observe(t.Context()); drivertest.ErrText(err) != broken.Error() {
		t.Errorf("got %v", err)
	}
}

// Two VRFs side by side in one bgpd: each prefix is in its own instance, moves with
// its interface, and the operator's lines in the other stay. The kernel knows no VRF
// red here, so bgpd does not check there that the address is present; that it
// does, and that the router hears it, is the machine test's to show (kernel).
func TestFRRRealVRF(t *testing.T) {
	r := newRealFRR(t, "bgpd", "ospfd", "isisd")
	r.enter("bgpd", "router bgp 65001 vrf red\n bgp router-id 10.99.0.1\n no bgp network import-check\n no bgp ebgp-requires-policy\n neighbor 10.99.9.2 remote-as 65002\n address-family ipv4 unicast\n  network "+frr4+"\n exit-address-family\nexit\n")
	r.enter("ospfd", "router ospf vrf red\n redistribute connected route-map KEEPCAST\nexit\n")
	r.enter("isisd", "router isis A vrf red\n net 49.0001.0000.0000.0001.00\n redistribute ipv4 connected level-2 route-map KEEPCAST\nexit\n")
	f := testFRR(r.dir, "bgpd")
	defer f.Close()
	vrf := map[string]string{"red0": "red"}
	f.Open(driver.Options{VRF: func(iface string) (string, error) { return vrf[iface], nil }})
	r.addr("add", frr4)

	const red4 = "192.0.2.99/32"
	lines := func() string {
		c := parseRunning(r.ask("bgpd", "show running-config"))
		var out []string
		for vrf, bgp := range c.instances() {
			for _, p := range []string{frr4, red4} {
				if rest, there := bgp.networks[netip.MustParsePrefix(p)]; there {
					out = append(out, strings.TrimSpace(fmt.Sprintf("%q %s %s", vrf, p, rest)))
				}
			}
		}
		return strings.Join(out, ", ")
	}
	check := func(want string, routes ...driver.Route) {
		t.Helper()
		frrApply(t, f, routes...)
		if got := lines(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	const own, ours = `"red" ` + frr4, " route-map KEEPCAST-ANNOUNCED" // own: the operator's
	here, there := frrRouteOf(frr4, driver.Announced, false), inRed(frrRouteOf(red4, driver.Announced, false))
	check(`"" `+frr4+ours+`, `+own+`, "red" `+red4+ours, here, there)
	frrObserves(t, f, frr4, red4)
	seen, err := f.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names, takes []string
	for _, n := range seen.Neighbors {
		names = append(names, n.Name)
		if n.Takes(netip.MustParsePrefix(red4)) {
			takes = append(takes, n.Name)
		}
	}
	if !slices.Contains(names, "10.99.0.2") || !slices.Equal(takes, []string{"10.99.9.2 in VRF red"}) {
		t.Errorf("neighbors %q, of which %q take %s", names, takes, red4)
	}
	if down := "error session-down bgpd neighbor 10.99.9.2 in VRF red"; !slices.Contains(frrFindings(seen), down) {
		t.Errorf("%s is not among %q", down, frrFindings(seen))
	}

	check(`"" `+frr4+ours+`, `+own+`, "red" `+red4+" route-map KEEPCAST-E4178A60-DEGRADED", here, inRed(frrRouteOf(red4, driver.Announced, true)))
	check(`"" `+frr4+ours+`, `+own, here, inRed(frrRouteOf(red4, driver.Delivered, false)))
	check(`"" `+frr4+ours+`, `+own+`, "red" `+red4+ours, here, there)
	vrf["red0"] = "" // taken out of the VRF
	check(`"" `+frr4+ours+`, "" `+red4+ours+`, `+own, here, there)
	vrf["red0"] = "red"
	check(own)

	// The IGPs: one route-map for all VRFs, and each is asked by itself.
	g := testFRR(r.dir, "ospfd", "isisd")
	defer g.Close()
	frrInRed(g)
	frrApply(t, g, there)
	frrObserves(t, g) // there is no such interface
	for _, f := range g.Examine(t.Context(), frrState(there)) {
		if f.Level == driver.LevelError && f.Name != "no-neighbor" || f.Name == "no-neighbor" && !strings.HasSuffix(f.Subject, " in VRF red") {
			t.Errorf("%s %s: %v", f.Level, f.Name, f)
		}
	}
}
