package frr

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/community"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestFRRAttribute(t *testing.T) {
	for line, want := range map[string]string{
		"set metric 100": "set metric 100",
		"set community 65001:100 graceful-shutdown blackhole additive": "set community 65001:100 65535:0 65535:666 additive",
		"set community 65535:666 65535:0 65001:100 65001:100 additive": "set community 65001:100 65535:0 65535:666 additive",
		"set community local-AS no-export internet":                    "set community 0:0 65535:65281 65535:65283",
		"set large-community 65001:2:10 65001:1:2 additive":            "set large-community 65001:1:2 65001:2:10 additive",
		"set community none":                                               "set community none",
		"set community additive":                                           "set community additive",
		"set community":                                                    "set community",
		"match community graceful-shutdown":                                "match community graceful-shutdown",
		"set community no-export 65001:100 65001:9 additive":               "set community 65001:9 65001:100 65535:65281 additive",
		"set community 65001:100 65001:100":                                "set community 65001:100",
		"set community local-AS internet no-advertise additive":            "set community 0:0 65535:65282 65535:65283 additive",
		"set metric 5":                                                     "set metric 5",
		"set community accept-own route-filter-v6 no-peer llgr-stale NEXT": "set community 65535:1 65535:5 65535:6 65535:65284 NEXT",
	} {
		if got := canonicalAttribute(strings.Fields(line)); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", line, got, want)
		}
	}
}

// Equal attributes have one name, others another one; a metric alone is none of
// BGP's.
func TestFRRMapOf(t *testing.T) {
	names := map[string]string{}
	for what, r := range map[string]driver.Route{
		"nothing":             {},
		"degraded":            {Degraded: true},
		"med 0":               {Attributes: driver.Attributes{MED: new(uint32(0))}},
		"local_pref 0":        {Attributes: driver.Attributes{LocalPref: new(uint32(0))}},
		"prepend":             {Attributes: driver.Attributes{Prepend: 1}},
		"degraded, prepend":   {Attributes: driver.Attributes{Prepend: 1}, Degraded: true},
		"community":           {Attributes: driver.Attributes{Communities: []community.Standard{{High: 1, Low: 2}}}},
		"large community":     {Attributes: driver.Attributes{LargeCommunities: []community.Large{{Global: 1, Local1: 2, Local2: 3}}}},
		"another community":   {Attributes: driver.Attributes{Communities: []community.Standard{{High: 1, Low: 3}}}},
		"prepend, med 0":      {Attributes: driver.Attributes{Prepend: 1, MED: new(uint32(0))}},
		"prepend, local_pref": {Attributes: driver.Attributes{Prepend: 1, LocalPref: new(uint32(0))}},
	} {
		name := mapOf(r).Name
		if other, twice := names[name]; twice {
			t.Errorf("%s and %s: %s", what, other, name)
		}
		names[name] = what
		if r.Degraded != strings.HasSuffix(name, degradedSuffix) {
			t.Errorf("%s: %s", what, name)
		}
		r.Attributes.Metric = new(uint32(7))
		if got := mapOf(r).Name; got != name {
			t.Errorf("%s: a metric makes %s of it", what, got)
		}
	}
	a := mapOf(driver.Route{Attributes: driver.Attributes{Communities: []community.Standard{{High: 1, Low: 2}, {High: 3, Low: 4}}}})
	b := mapOf(driver.Route{Attributes: driver.Attributes{Communities: []community.Standard{{High: 3, Low: 4}, {High: 1, Low: 2}, {High: 3, Low: 4}}}})
	if a.Name != b.Name {
		t.Errorf("another order, another name: %s, %s", a.Name, b.Name)
	}
}

// A change of one route does not change a line about another.
func TestFRRRenderStable(t *testing.T) {
	lines := func(routes ...driver.Route) []string {
		text, err := testFRR("/run/frr", frrEvery()...).Render(frrState(routes...))
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(strings.Split(string(text), "\n"), func(l string) bool { return !strings.Contains(l, frr4) && !strings.Contains(l, frr6) })
	}
	ours := []driver.Route{frrRouteOf(frr4, driver.Announced, true), frrRich(frr6, false)}
	want := lines(append([]driver.Route{frrRouteOf("192.0.2.1/32", driver.Announced, false), frrRouteOf("2001:db8::/128", driver.Absent, false)}, ours...)...)
	for _, other := range []driver.Route{frrRich("192.0.2.1/32", false), frrRich("192.0.2.1/32", true), frrRouteOf("192.0.2.1/32", driver.Announced, true), frrRouteOf("192.0.2.1/32", driver.Absent, false)} {
		if d := cmp.Diff(want, lines(append([]driver.Route{other, frrRich("2001:db8::/128", true)}, ours...)...)); d != "" {
			t.Errorf("(-before +after):\n%s", d)
		}
	}
}

func TestFRRMajor(t *testing.T) {
	for text, want := range map[string]string{
		"FRRouting 8.4.4 (vm) on Linux(6.18).\nCopyright": "8 ",
		"FRRouting 10.3 (vm).\n":                          "10 ",
		"":                                                `0 show version: "" names no version of FRR`,
		"Quagga 1.2.4 (vm).\nCopyright":                   `0 show version: "Quagga 1.2.4 (vm)." names no version of FRR`,
		"FRRouting x.3":                                   `0 show version: "FRRouting x.3" names no version of FRR`,
	} {
		n, err := majorOf(text)
		if got := strings.Join([]string{fmt.Sprint(n), drivertest.ErrText(err)}, " "); got != want {
			t.Errorf("%q\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// ripngd before FRR 10: only its list counts. What is gone from the host stays
// permitted, so that the neighbors are told.
func TestFRRForBlind(t *testing.T) {
	snippet, err := testFRR("/run/frr", "ripngd").Render(frrState(
		frrRouteOf("2001:db8::1/128", driver.Announced, true), frrRouteOf("2001:db8::2/128", driver.Delivered, false), frrRouteOf("2001:db8::3/128", driver.Delivered, false), frrPrefixOnly("2001:db8:4::/48", driver.Delivered),
	))
	if err != nil {
		t.Fatal(err)
	}
	sections, err := frrDialect().parseSections(snippet)
	if err != nil {
		t.Fatal(err)
	}
	on := managed{
		present:    map[netip.Prefix]bool{netip.MustParsePrefix("2001:db8::1/128"): true, netip.MustParsePrefix("2001:db8::2/128"): true},
		prefixOnly: map[netip.Prefix]bool{netip.MustParsePrefix("2001:db8:4::/48"): true},
	}
	var got []string
	c := sections["ripngd"].forBlind(on)
	for _, k := range sortedKeys(c.entries) {
		got = append(got, k.command(c.entries[k].head))
	}
	want := []string{
		"ipv6 prefix-list KEEPCAST6 seq 5 permit 2001:db8::1/128", "ipv6 prefix-list KEEPCAST6 seq 10 deny 2001:db8::2/128",
		"ipv6 prefix-list KEEPCAST6 seq 15 permit 2001:db8::3/128", "ipv6 prefix-list KEEPCAST6 seq 20 deny 2001:db8:4::/48", "route-map KEEPCAST6 permit 65535",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestFRRFindings(t *testing.T) {
	const (
		up4, net4, up6, worse = "192.0.2.1/32", "203.0.113.0/24", "2001:db8::1/128", "192.0.2.9/32"
	)
	for name, tc := range map[string]struct {
		daemon, run string
		routes      []string
		want        []string
	}{
		"nothing announced": {"ospfd", "", nil, nil},
		"other family":      {"ospfd", "", []string{up6}, nil},
		"ospfd":             {"ospfd", "router ospf\n redistribute connected route-map KEEPCAST\n", []string{up4, worse}, nil},
		"ospfd, twice the same": {"ospfd", "router ospf\n redistribute connected\n", []string{up4, worse}, []string{
			"error gate-unused: ospfd: it does not announce 192.0.2.1/32 by the gate KEEPCAST: add 'redistribute connected route-map KEEPCAST' under 'router ospf' to frr.conf",
		}},
		"ospfd, network": {"ospfd", "router ospf\n redistribute connected route-map KEEPCAST\n", []string{net4}, []string{
			"error gate-unused: ospfd: it does not announce 203.0.113.0/24 by the gate KEEPCAST: add 'redistribute static route-map KEEPCAST' under 'router ospf' to frr.conf",
		}},
		"ospfd, kernel route": {"ospfd", "router ospf\n redistribute kernel route-map KEEPCAST\n", []string{net4}, nil},
		"ospfd, network only": {"ospfd", "router ospf\n redistribute static route-map KEEPCAST\n", []string{up4}, []string{
			"error gate-unused: ospfd: it does not announce 192.0.2.1/32 by the gate KEEPCAST: add 'redistribute connected route-map KEEPCAST' under 'router ospf' to frr.conf",
		}},
		"isisd, passive": {"isisd", "interface anycast0\n ip router isis A\nrouter isis A\n", []string{up4}, nil},
		"isisd, passive, degraded": {"isisd", "interface anycast0\n ip router isis A\n isis passive\nrouter isis A\n redistribute ipv4 connected level-2 route-map KEEPCAST\n", []string{worse}, []string{
			"warning metric-ignored: isisd: it can't announce 192.0.2.9/32 with a metric of its own, for it runs IS-IS on anycast0 and so announces it with the metric of that interface, too: take 'ip router isis' and 'ipv6 router isis' off anycast0 and redistribute connected instead, or withdraw instead of degrading",
		}},
		"isisd, degraded":                  {"isisd", "interface nh0\n ip router isis A\nrouter isis A\n redistribute ipv4 connected level-2 route-map KEEPCAST\n", []string{worse}, nil},
		"isisd, passive, degraded in IPv4": {"isisd", "interface anycast0\n ipv6 router isis A\nrouter isis A\n redistribute ipv4 connected level-2 route-map KEEPCAST\n", []string{worse}, nil},
		"isisd, passive, network": {"isisd", "interface anycast0\n ip router isis A\nrouter isis A\n", []string{net4}, []string{
			"error gate-unused: isisd: it does not announce 203.0.113.0/24 by the gate KEEPCAST: add 'redistribute ipv4 static level-2 route-map KEEPCAST' under 'router isis NAME' to frr.conf",
		}},
		"ripngd, blind": {"ripngd", "router ripng\n redistribute connected route-map KEEPCAST6\n", []string{up6}, []string{
			"error gate-unused: ripngd: it does not announce 2001:db8::1/128 by the gate KEEPCAST6: add 'ipv6 distribute-list prefix KEEPCAST6 out INTERFACE' under 'router ripng' to frr.conf",
		}},
		"babeld": {"babeld", "router babel\n redistribute ipv4 connected\n redistribute ipv6 connected\n distribute-list prefix KEEPCAST out nh0\n ipv6 distribute-list prefix KEEPCAST6 out nh0\n", []string{up4, up6}, nil},
		"babeld, one family": {"babeld", "router babel\n redistribute ipv6 connected\n ipv6 distribute-list prefix KEEPCAST6 out nh0\n", []string{up4, up6}, []string{
			"error gate-unused: babeld: it does not announce 192.0.2.1/32 by the gate KEEPCAST: add 'redistribute ipv4 connected' and 'distribute-list prefix KEEPCAST out INTERFACE' under 'router babel' to frr.conf",
		}},
		"babeld, degraded": {"babeld", "router babel\n redistribute ipv4 connected\n distribute-list prefix KEEPCAST out nh0\n", []string{worse}, []string{
			"warning metric-ignored: babeld: it can't announce 192.0.2.9/32 with a metric of its own: withdraw instead of degrading, or use another protocol",
		}},
		"bgpd, no router": {"bgpd", "router bgp 65001 vrf RED\n", []string{up4}, []string{
			"error router-bgp-missing: bgpd: it has no router bgp to announce 192.0.2.1/32 in, only one for VRF RED: add 'router bgp ASN' with its neighbors to frr.conf, or put the interface of the service into VRF RED",
		}},
		"bgpd, no router at all": {"bgpd", "", []string{up4}, []string{
			"error router-bgp-missing: bgpd: it has no router bgp to announce 192.0.2.1/32 in: add 'router bgp ASN' with its neighbors to frr.conf",
		}},
		"bgpd, a VRF beside": {"bgpd", "router bgp 65002 vrf RED\nrouter bgp 65001\n", []string{up4}, nil},
		"bgpd, no prepend":   {"bgpd", "router bgp 65001\n", []string{up4}, nil},
		"bgpd, prepend unused": {"bgpd", "router bgp 65001\n", []string{worse}, []string{
			"warning prepend-unused: bgpd: the path of 192.0.2.9/32 is not made longer, for no neighbor has the route-map KEEPCAST-EBGP: add 'neighbor X route-map KEEPCAST-EBGP out' for each eBGP neighbor to frr.conf, or 'call KEEPCAST-EBGP' as the last entry of its own route-map",
		}},
		"bgpd, no import check": {"bgpd", "router bgp 65001\n no bgp network import-check\n", []string{net4, up6}, []string{
			"warning import-check-off: bgpd: it announces 2001:db8::1/128 whether the address is there or not, so that a withdrawal depends on it taking commands: add 'bgp network import-check' under 'router bgp 65001' to frr.conf, and take an 'frr version' before 7.4, which turns it off, out of it",
		}},
		"bgpd, no import check, network": {"bgpd", "router bgp 65001\n no bgp network import-check\n", []string{net4}, nil},
		"bgpd, no import check in a VRF": {"bgpd", "router bgp 65001\nrouter bgp 65001 vrf RED\n no bgp network import-check\n", []string{up6}, nil},
		"bgpd, prepend":                  {"bgpd", "router bgp 65001\n address-family ipv4 unicast\n  neighbor 10.0.0.1 route-map KEEPCAST-EBGP out\n", []string{worse}, nil},
		"bgpd, prepend by call":          {"bgpd", "router bgp 65001\nroute-map OUT permit 20\n call KEEPCAST-EBGP\n", []string{worse}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := testFRR(t.TempDir(), tc.daemon).daemon(tc.daemon)
			d.major = 8
			var routes []driver.Route
			for _, p := range tc.routes {
				r := frrRouteOf(p, driver.Announced, p == worse)
				r.PrefixOnly = p == net4
				routes = append(routes, r)
			}
			var got []string
			for _, f := range d.vrfFindings(parseRunning(tc.run), frrState(routes...)) {
				got = append(got, string(f.Level)+" "+f.Name+": "+f.Error())
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestFRRExpireDelay(t *testing.T) {
	for delay, want := range map[string]string{
		"":    "ip prefix-list KEEPCAST-DELAY- seq 5 deny any; bgp route-map delay-timer 0; no bgp route-map delay-timer; no ip prefix-list KEEPCAST-DELAY- seq 5 deny any",
		"600": "ip prefix-list KEEPCAST-DELAY-600 seq 5 deny any; bgp route-map delay-timer 0; bgp route-map delay-timer 600; no ip prefix-list KEEPCAST-DELAY-600 seq 5 deny any",
		"0":   "ip prefix-list KEEPCAST-DELAY-0 seq 5 deny any; bgp route-map delay-timer 600; route-map KEEPCAST-A deny 65535; no route-map KEEPCAST-A deny 65535; route-map KEEPCAST-B deny 65535; no route-map KEEPCAST-B deny 65535; bgp route-map delay-timer 0; no ip prefix-list KEEPCAST-DELAY-0 seq 5 deny any",
	} {
		run := parseRunning("ip prefix-list KEEPCAST seq 5 deny any\nroute-map KEEPCAST-B permit 10\nroute-map KEEPCAST-A permit 1\nroute-map KEEPCAST-A permit 2\n")
		if got := strings.Join(expireDelay(delay, run.routeMaps())[0].lines, "; "); got != want {
			t.Errorf("%q\ngot  %s\nwant %s", delay, got, want)
		}
	}
}

// However many route-maps there are, each write puts the operator's timer back.
func TestFRRExpireDelayMany(t *testing.T) {
	names := []string{}
	for i := range 200 {
		names = append(names, fmt.Sprint("KEEPCAST-", i))
	}
	edited := 0
	for _, s := range expireDelay("0", names) {
		edited += (len(s.lines) - 4) / 2
		if last := s.lines[len(s.lines)-2]; len(s.lines) > batchSize || s.lines[1] != "bgp route-map delay-timer 600" || last != "bgp route-map delay-timer 0" {
			t.Errorf("%d lines: %q ... %q", len(s.lines), s.lines[1], last)
		}
	}
	if edited != len(names) {
		t.Errorf("%d route-maps of %d", edited, len(names))
	}
}

// A daemon of RIP or Babel that was only late with an answer was taken for another one: for
// minutes status said of what it withdrew that neighbors may go on sending.
func TestFRRMeet(t *testing.T) {
	for name, tc := range map[string]struct {
		processes []int
		back      bool
	}{
		"first":                 {[]int{7}, false},
		"the same":              {[]int{7, 7}, false},
		"another":               {[]int{7, 8}, true},
		"another, and it again": {[]int{7, 8, 8}, true},
		"first, out of sight":   {[]int{0}, false},
		"out of sight":          {[]int{0, 0}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var d daemon
			for _, process := range tc.processes {
				d.meet(process)
			}
			if d.back.IsZero() == tc.back {
				t.Errorf("back since %v", d.back)
			}
		})
	}
}
