package frr

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/community"
)

func TestQuaggaTables(t *testing.T) {
	shown := func(all map[netip.Prefix]bool) string {
		var out []string
		for _, p := range sortedPrefixes(all) {
			out = append(out, p.String())
		}
		return strings.Join(out, " ")
	}
	for name, tc := range map[string]struct{ got, want string }{
		"ospf":          {shown(quaggaOSPF(quaggaLSA(60, "192.0.2.53", 32) + quaggaLSA(3600, "192.0.2.54", 32) + quaggaLSA(1, "203.0.113.255", 24))), "192.0.2.53/32 203.0.113.0/24"},
		"ospf, none":    {shown(quaggaOSPF("\n       OSPF Router with ID (10.0.0.11)\n")), ""},
		"ospf, cut":     {shown(quaggaOSPF("  Network Mask: /24\n")), ""},
		"isis":          {shown(quaggaISIS(quaggaLSPs)), "10.0.0.0/24 192.0.2.53/32 2001:db8:53::53/128"},
		"isis, cut":     {shown(quaggaISIS("a.00-00 * 1\n  Metric      : 10       IPv4-Internal : 10.0.0.0\n  Metric : 1 IPv4-Internal : 10.0.0.0 x\n")), ""},
		"ospf adj":      {strings.Join(frrShown(quaggaOSPFNeighbors(quaggaAdjacencies)), "; "), "ospf 10.0.0.1 on eth0 IPv4 up; ospf 10.0.0.3 on eth1 IPv4: the adjacency is in state Init: its hellos arrive here, but ours not there"},
		"ospf adj none": {strings.Join(frrShown(quaggaOSPFNeighbors("")), "; "), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("got  %s\nwant %s", tc.got, tc.want)
			}
		})
	}
}

func TestQuaggaPath(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		to   []string
		date string
		ok   bool
	}{
		"own":     {quaggaOwn, []string{"10.0.0.1", "fd99::2"}, "2026-11-22", true},
		"silent":  {quaggaSilent, nil, "2020-11-22", true},
		"foreign": {quaggaForeign, nil, "0001-01-01", false},
		"none":    {"% Network not in table\n", nil, "0001-01-01", false},
	} {
		t.Run(name, func(t *testing.T) {
			got := quaggaPath(tc.text)
			if !slices.Equal(got.to, tc.to) || got.since.Format("2006-01-02") != tc.date || got.valid != tc.ok {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestQuaggaPeers(t *testing.T) {
	var all []neighbor
	for _, p := range quaggaPeers(quaggaNeighbors) {
		all = append(all, p.neighbor())
	}
	want := []string{
		"10.0.0.1 IPv4 up", // IPv6 is activated here, but not there
		"10.0.0.2 IPv4: the session is in state Active: Peer closed the session",
		"fd99::2 IPv6 up",
		"10.0.0.3 IPv4: it is shut down in the configuration",
	}
	if d := cmp.Diff(want, frrShown(all)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What is observed: the neighbors, to whom each address goes, and what is found.
func TestQuaggaObserve(t *testing.T) {
	dir := t.TempDir()
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", "redistribute connected route-map KEEPCAST", "neighbor 10.0.0.1 remote-as 65002")
	bgpd.family6 = []string{"redistribute connected route-map KEEPCAST6"}
	bgpd.show("show ip bgp neighbors", quaggaNeighbors)
	bgpd.show("show ip bgp "+frr4, quaggaOwn)
	bgpd.show("show bgp ipv6 "+frr6, quaggaSilent)
	bgpd.show("show ip bgp 192.0.2.54/32", quaggaForeign)
	isisd := newFakeQuagga(t, dir, "isisd", "router isis A")
	isisd.blocks["interface anycast0"] = []string{"ip router isis A", "ipv6 router isis A"}
	isisd.show("show isis database detail", quaggaLSPs)
	isisd.show("show isis neighbor detail", "Area A:\n r1                  \n    Interface: eth0, Level: 2, State: Up, Expires in 28s\n    Circuit type: L2, Speaks: IPv4, IPv6\n")
	q := testQuagga(dir, "bgpd", "isisd")
	defer q.Close()
	seen, err := q.Observe(t.Context())
	if err != nil || len(seen.Routes) != 0 {
		t.Errorf("before the first Apply: %v, %v", seen.Routes, err)
	}
	quaggaApply(t, q, quaggaRouteOf(frr4, driver.Announced, quaggaWorse), quaggaRouteOf(frr6, driver.Announced, driver.Attributes{}), quaggaRouteOf("192.0.2.54/32", driver.Announced, driver.Attributes{}))
	seen, err = q.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{frr4 + ": 10.0.0.1, fd99::2, isis r1 on eth0", frr6 + ": isis r1 on eth0"}, frrExports(seen)); d != "" {
		t.Errorf("exports (-want +got):\n%s", d)
	}
	if seen.Routes[0].Degraded || seen.Routes[1].Degraded || len(seen.Neighbors) != 5 {
		t.Errorf("seen %+v", seen)
	}
	want := []string{
		"warning session-down bgpd neighbor 10.0.0.2", "info session-down bgpd neighbor 10.0.0.3",
		"error not-exported bgpd " + frr6, "warning attributes-unused bgpd KEEPCAST", "warning metric-ignored isisd",
	}
	if d := cmp.Diff(want, frrFindings(seen)); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
	bgpd.says("neighbor 10.0.0.1 route-map KEEPCAST-EBGP out")
	if seen, err = q.Observe(t.Context()); err != nil || !seen.Routes[0].Degraded {
		t.Errorf("with the route-map at a neighbor: seen %+v, %v", seen.Routes, err)
	}
	fresh := testQuagga(dir, "bgpd", "isisd")
	defer fresh.Close()
	seen, err = fresh.Observe(t.Context())
	if d := cmp.Diff([]string{frr4 + ": 10.0.0.1, fd99::2, isis r1 on eth0", frr6 + ": isis r1 on eth0"}, frrExports(seen)); d != "" || err != nil {
		t.Errorf("a new keepcast (-want +got):\n%s%v", d, err)
	}
	alone := testQuagga(dir, "isisd")
	defer alone.Close()
	if seen, err = alone.Observe(t.Context()); err != nil || len(seen.Routes) != 0 {
		t.Errorf("isisd alone, before the first Apply: %v, %v", seen.Routes, err)
	}
}

func TestQuaggaLacks(t *testing.T) {
	network := quaggaRouteOf("203.0.113.0/24", driver.Announced, driver.Attributes{})
	network.PrefixOnly = true
	large := quaggaRouteOf(frr4, driver.Announced, driver.Attributes{LargeCommunities: []community.Large{{Global: 1, Local1: 2, Local2: 3}}})
	both := large
	both.Attributes.MED = new(uint32(1))
	for name, tc := range map[string]struct {
		daemon, running string
		route           driver.Route
		want            []string
	}{
		"no bgp":                {"bgpd", "!\n", quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}), []string{"error router-bgp-missing bgpd"}},
		"no bgp, nothing to do": {"bgpd", "!\n", quaggaRouteOf(frr4, driver.Absent, driver.Attributes{}), nil},
		"bgp, unused":           {"bgpd", "router bgp 1\n redistribute connected route-map MINE\n", quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}), []string{"error gate-unused bgpd KEEPCAST"}},
		"bgp, used":             {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\n", quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}), nil},
		"bgp, IPv6 unused":      {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\n", quaggaRouteOf(frr6, driver.Announced, driver.Attributes{}), []string{"error gate-unused bgpd KEEPCAST6"}},
		"bgp, network":          {"bgpd", "router bgp 1\n", network, nil},
		"bgp, called":           {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\nroute-map MINE permit 5\n call KEEPCAST-OUT\n", quaggaRouteOf(frr4, driver.Announced, quaggaWorse), nil},
		"bgp, no out map":       {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\n neighbor 10.0.0.1 route-map KEEPCAST-EBGP in\n", quaggaRouteOf(frr4, driver.Announced, quaggaWorse), []string{"warning attributes-unused bgpd KEEPCAST"}},
		"bgp, all but prepend":  {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\n neighbor 10.0.0.1 route-map KEEPCAST-EBGP out\n", quaggaRouteOf(frr4, driver.Announced, quaggaWorse), nil},
		"bgp, large and others": {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\n", both, []string{"warning attribute-unsupported bgpd " + frr4, "warning attributes-unused bgpd KEEPCAST"}},
		"isis, metric":          {"isisd", "interface anycast0\n ip router isis A\n", quaggaRouteOf(frr4, driver.Announced, quaggaWorse), []string{"warning metric-ignored isisd"}},
		"isis, no metric":       {"isisd", "interface anycast0\n ip router isis A\n", quaggaRouteOf(frr4, driver.Announced, quaggaOther), nil},
		"ospf, metric":          {"ospfd", "router ospf\n redistribute connected route-map KEEPCAST\n", quaggaRouteOf(frr4, driver.Announced, quaggaWorse), nil},
		"bgp, large":            {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\n", large, []string{"warning attribute-unsupported bgpd " + frr4}},
		"ospf, network":         {"ospfd", "router ospf\n redistribute connected route-map KEEPCAST\n", network, []string{"error gate-unused ospfd KEEPCAST"}},
		"ospf, static":          {"ospfd", "router ospf\n redistribute static route-map KEEPCAST\n", network, nil},
		"ospf, IPv6":            {"ospfd", "router ospf\n", quaggaRouteOf(frr6, driver.Announced, driver.Attributes{}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := testQuagga(t.TempDir(), tc.daemon).daemon(tc.daemon)
			run, want := parseQuagga(tc.running), frrState(tc.route)
			if d := cmp.Diff(tc.want, frrFound(d.vrfFindings(run, want))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// Without a number there is nothing to prepend.
func TestQuaggaPrependNothing(t *testing.T) {
	q := testQuagga(t.TempDir(), "bgpd")
	q.AS = 0
	run := parseQuagga("router bgp 65001\n redistribute connected route-map KEEPCAST\n neighbor 10.0.0.1 route-map KEEPCAST-EBGP out\n")
	found := q.daemon("bgpd").vrfFindings(run, frrState(quaggaRouteOf(frr4, driver.Announced, quaggaWorse), quaggaRouteOf("192.0.2.9/32", driver.Announced, quaggaWorse)))
	want := []driver.Finding{{
		Name: "prepend-unused", Level: driver.LevelWarning, Subject: "bgpd", Text: "the path of 192.0.2.9/32 is not made longer: the driver's setting as is 0",
		Fix: "as: 65001\nin the driver's settings, the own AS number",
	}}
	if d := cmp.Diff(want, found); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Different groups never share a number.
func TestQuaggaNumbers(t *testing.T) {
	groups := []*quaggaGroup{{Name: "A", Seq: 65534}, {Name: "B", Seq: 65534}, {Name: "C", Seq: 1}}
	number(groups)
	if got := []int{groups[0].Seq, groups[1].Seq, groups[2].Seq}; !slices.Equal(got, []int{65534, 1, 2}) {
		t.Errorf("got %v", got)
	}
}

// FuzzQuagga looks for a panic in whatever reads an answer, and for a configuration
// that does not come to rest.
func FuzzQuagga(f *testing.F) {
	for _, text := range []string{quaggaOwn, quaggaNeighbors, quaggaLSPs, quaggaAdjacencies, quaggaLSA(1, "10.0.0.0", 8), "router bgp 1\n!\n address-family ipv6\n network 2001:db8::/32\n exit-address-family\n!\nroute-map KEEPCAST permit 5\n set community no-export\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quaggaPath(text)
		quaggaOSPF(text)
		quaggaISIS(text)
		quaggaOSPFNeighbors(text)
		for _, p := range quaggaPeers(text) {
			p.neighbor()
		}
		exam{spec: quaggaDialect().spec("bgpd"), running: readQuagga(text), neighbors: text, state: text}.all()
		exam{spec: quaggaDialect().spec("isisd"), running: readQuagga(text)}.all()
		c := parseQuagga(text)
		if steps := quaggaDialect().diff(c, c, managed{}); len(steps) > 0 && c.router != "" {
			t.Errorf("the difference to itself is %v", steps)
		}
		if once := readQuagga(text); readQuagga(once) != once {
			t.Errorf("%q becomes %q and then %q", text, once, readQuagga(once))
		}
	})
}
