package bird

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/community"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A host with every protocol, and its router, which keeps what it learns by each
// in a table of its own.
const (
	every = birdStatics + `
protocol static cover { ipv4 { table keepcast4; }; route 203.0.113.0/24 blackhole; route 198.51.100.0/25 blackhole; }
protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ebgp; }; }
protocol bgp i4 { local 10.98.0.1 as 65001; neighbor 10.98.0.2 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ibgp; }; }
protocol bgp 'dead-4' { local 10.99.0.1 as 65001; neighbor 10.99.0.3 as 65003; ipv4 { import all; export filter keepcast_ebgp; }; }
protocol bgp quiet4 { local 10.99.0.1 as 65001; neighbor 10.99.0.4 as 65004; ipv4 { import all; export none; }; }
protocol ospf v2 o4 { tick 1; ipv4 { import all; export filter keepcast_igp; }; area 0 { interface "nh0" 10.99.0.0/30 { type ptp; hello 1; dead 4; }; }; }
protocol ospf v3 o6 { tick 1; ipv6 { import all; export filter keepcast_igp; }; area 0 { interface "nh0" { type ptp; hello 1; dead 4; }; }; }
protocol rip r4 { ipv4 { import all; export filter keepcast_igp; }; interface "nh0" { update time 2; }; }
protocol rip ng r6 { ipv6 { import all; export filter keepcast_igp; }; interface "nh0" { update time 2; }; }
protocol babel b46 { ipv4 { import all; export filter keepcast_igp; }; ipv6 { import all; export filter keepcast_igp; }; interface "nh0" { type wired; hello interval 1 s; update interval 1 s; }; }
`
	everyRouter = `
ipv4 table to4; ipv6 table to6; ipv4 table tr4; ipv6 table tr6; ipv4 table tb4; ipv6 table tb6;
protocol bgp e4 { local 10.99.0.2 as 65002; neighbor 10.99.0.1 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export none; }; }
protocol bgp i4 { local 10.98.0.2 as 65001; neighbor 10.98.0.1 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export none; }; }
protocol ospf v2 o4 { tick 1; ipv4 { table to4; import all; export none; }; area 0 { interface "nr0" { type ptp; hello 1; dead 4; }; }; }
protocol ospf v3 o6 { tick 1; ipv6 { table to6; import all; export none; }; area 0 { interface "nr0" { type ptp; hello 1; dead 4; }; }; }
protocol rip r4 { ipv4 { table tr4; import all; export none; }; interface "nr0" { update time 2; }; }
protocol rip ng r6 { ipv6 { table tr6; import all; export none; }; interface "nr0" { update time 2; }; }
protocol babel b46 { ipv4 { table tb4; import all; export none; }; ipv6 { table tb6; import all; export none; }; interface "nr0" { type wired; hello interval 1 s; update interval 1 s; }; }
`
)

var (
	anyBGP   = regexp.MustCompile(`(?i)^\s+(bgp|ospf|rip|babel)[._](as_path|path|med|local_pref|community|large_community|metric2|metric):(.*)`)
	headings = regexp.MustCompile(`^[0-9a-f:.]+/\d+`)
)

// attributes returns what the router learnt of a prefix by a protocol: its
// attributes sorted, "absent" without it.
func (r *realBIRD) attributes(prefix, protocol string) string {
	r.T.Helper()
	var out []string
	seen := false
	for _, table := range []string{"master4", "master6", "to4", "to6", "tr4", "tr6", "tb4", "tb6"} {
		if strings.Contains(prefix, ":") != strings.HasSuffix(table, "6") {
			continue
		}
		for line := range strings.Lines(r.Say("show route " + prefix + " table " + table + " protocol " + protocol + " all")) {
			seen = seen || headings.MatchString(line)
			if m := anyBGP.FindStringSubmatch(line); m != nil {
				name, value := strings.ToLower(m[2]), strings.ReplaceAll(strings.TrimSpace(m[3]), ", ", ",")
				if name == "path" { // as 3.x calls it
					name = "as_path"
				}
				out = append(out, name+"="+value)
			}
		}
	}
	if !seen {
		return "absent"
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// Each attribute that the gate sets is what the router of each protocol sees, as
// far as the protocol has it, of an address and of a network that the operator
// originates; and is gone again with the degradation.
func TestRealAttributes(t *testing.T) {
	host, router := pairOf(t, every, everyRouter, "192.0.2.53/32", "192.0.2.54/32", "2001:db8:53::53/128")
	b := testDriver(host.Dir)
	defer b.Close()
	worst := drivertest.Worse()
	worst.Communities = []community.Standard{{High: 65535, Low: 0}, {High: 65001, Low: 100}}
	worst.LargeCommunities = []community.Large{{Global: 65001, Local1: 1, Local2: 2}}
	dns, two, dns6 := routeOf("192.0.2.53/32", driver.Announced), routeOf("192.0.2.54/32", driver.Announced), routeOf("2001:db8:53::53/128", driver.Announced)
	cover, shut := routeOf("203.0.113.0/24", driver.Announced), routeOf("198.51.100.0/25", driver.Absent)
	cover.PrefixOnly, shut.PrefixOnly = true, true
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, dns, two, dns6, cover, shut))
	host.start()
	router.start()
	hears := func(prefix string, want map[string]string) {
		t.Helper()
		for protocol, attributes := range want {
			var got string
			if !drivertest.WaitFor(func() bool { got = router.attributes(prefix, protocol); return got == attributes }) {
				t.Fatalf("%s by %s: got %q, want %q", prefix, protocol, got, attributes)
			}
		}
	}
	bgp := "as_path=65001 local_pref=100"
	normal := map[string]string{"e4": bgp, "i4": "as_path= local_pref=100", "o4": "metric2=10000", "r4": "metric=2", "b46": "metric=96"}
	bad := map[string]string{
		"e4": "as_path=65001 65001 65001 community=(65001,100) (65535,0) large_community=(65001,1,2) local_pref=100 med=1000",
		"i4": "as_path= community=(65001,100) (65535,0) large_community=(65001,1,2) local_pref=50 med=1000",
		"o4": "metric2=20000", "r4": "metric=9", "b46": "metric=20096",
	}
	normal6, bad6 := map[string]string{"o6": "metric2=10000", "r6": "metric=2"}, map[string]string{"o6": "metric2=20000", "r6": "metric=9"}
	hears("192.0.2.53/32", normal)
	hears("203.0.113.0/24", normal)
	hears("2001:db8:53::53/128", normal6)

	degraded := func(r driver.Route) driver.Route { r.Degraded, r.Attributes = true, worst; return r }
	applyRoutes(t, b, degraded(dns), two, degraded(dns6), degraded(cover), shut)
	hears("192.0.2.53/32", bad)
	hears("203.0.113.0/24", bad)
	hears("2001:db8:53::53/128", bad6)
	hears("192.0.2.54/32", normal)
	hears("198.51.100.0/25", map[string]string{"e4": "absent", "o4": "absent"})

	cover.Presence, shut.Presence = driver.Absent, driver.Announced
	applyRoutes(t, b, dns, two, dns6, cover, shut)
	hears("192.0.2.53/32", normal)
	hears("2001:db8:53::53/128", normal6)
	hears("203.0.113.0/24", map[string]string{"e4": "absent", "i4": "absent", "o4": "absent", "r4": "absent"})
	hears("198.51.100.0/25", normal)
}

// To whom each prefix is sent, and what is found on the way.
func TestRealNeighborsObserved(t *testing.T) {
	host, router := pairOf(t, every, everyRouter, "192.0.2.53/32", "2001:db8:53::53/128")
	b := testDriver(host.Dir)
	defer b.Close()
	originatesNothing(t, b)
	routes := []driver.Route{routeOf("192.0.2.53/32", driver.Announced), routeOf("2001:db8:53::53/128", driver.Announced), routeOf("203.0.113.0/24", driver.Announced)}
	routes[2].PrefixOnly = true
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, routes...))
	host.start()
	router.start()
	applyRoutes(t, b, routes...)
	link, rip := regexp.MustCompile(`fe80::[0-9a-f:]+`), regexp.MustCompile(`(r[46]) [^,\n]+`)
	observed := func() (to, up, down, found string) {
		s, err := b.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var lines, ups, downs []string
		for _, r := range s.Routes {
			lines = append(lines, r.Prefix.String()+": "+strings.Join(r.ExportedTo, ", "))
		}
		for _, n := range s.Neighbors {
			if n.Up {
				ups = append(ups, n.Name)
			} else {
				downs = append(downs, n.Name)
			}
		}
		text := func(words []string, sep string) string {
			return rip.ReplaceAllString(link.ReplaceAllString(strings.Join(words, sep), "LINK"), "$1")
		}
		slices.Sort(ups)
		slices.Sort(downs)
		var names []string
		for _, f := range s.Findings {
			names = append(names, f.Name+" "+string(f.Level)+" "+f.Subject)
		}
		return text(lines, "\n"), text(ups, ", "), text(downs, ", "), text(names, ", ")
	}
	sees := func(wantTo, wantUp, wantDown, wantFound string) {
		t.Helper()
		var to, up, down, found string
		if !drivertest.WaitFor(func() bool {
			to, up, down, found = observed()
			return to == wantTo && up == wantUp && down == wantDown && found == wantFound
		}) {
			t.Fatal(cmp.Diff([]string{wantTo, wantUp, wantDown, wantFound}, []string{to, up, down, found}))
		}
	}
	// RIP hears a router that only listens or not; the list has the order of the protocols.
	const all4, all6 = "e4, i4, o4 10.99.0.2, r4, b46 LINK%nh0", "o6 LINK%nh0, r6, b46 LINK%nh0"
	const up, dead = "b46 LINK%nh0, e4, i4, o4 10.99.0.2, o6 LINK%nh0, r4, r6", "session-down warning bird neighbor dead-4"
	sees("192.0.2.53/32: "+all4+"\n2001:db8:53::53/128: "+all6+"\n203.0.113.0/24: "+all4, up, "dead-4", dead)

	// One session less; a filter that lets only one prefix pass.
	host.Say("disable i4")
	sees("192.0.2.53/32: "+strings.Replace(all4, " i4,", "", 1)+"\n2001:db8:53::53/128: "+all6+"\n203.0.113.0/24: "+strings.Replace(all4, " i4,", "", 1),
		strings.Replace(up, " i4,", "", 1), "dead-4, i4", dead+", session-down info bird neighbor i4")
	host.Protocols(`
protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; ipv4 { import all; export where net = 192.0.2.53/32; }; }
`)
	host.Say("configure")
	sees("192.0.2.53/32: e4\n2001:db8:53::53/128: ", "e4", "", "not-originated error bird 203.0.113.0/24, not-exported error bird 2001:db8:53::53/128")
}

// A route that another host announces for the same prefix has no mark, whatever
// it carries, and so is not sent on when the own one is gone.
func TestRealOtherHost(t *testing.T) {
	const other = `
protocol static st { ipv4; route 192.0.2.53/32 unreachable; }
protocol bgp e4 { local 10.99.0.2 as 65002; neighbor 10.99.0.1 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export all; }; }
protocol ospf v2 o4 { tick 1; ipv4 { import none; export all; }; area 0 { interface "nr0" { type ptp; hello 1; dead 4; }; }; }
`
	const third = birdStatics + `
protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ebgp; }; }
protocol ospf v2 o4 { tick 1; ipv4 { import all; export filter keepcast_igp; }; area 0 { interface "nh0" 10.99.0.0/30 { type ptp; hello 1; dead 4; }; }; }
`
	host, router := pairOf(t, third, "include \"keepcast.conf\";\n"+other, "192.0.2.53/32")
	b, theirs := testDriver(host.Dir), testDriver(router.Dir)
	defer b.Close()
	dns := routeOf("192.0.2.53/32", driver.Announced)
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, dns))
	drivertest.WriteFile(t, theirs.Snippet, renderRoutes(t, theirs, dns)) // their filters are keepcast's, too
	host.start()
	router.start()
	drivertest.Eventually(t, "the other host's route", func() bool {
		out := host.Say("show route 192.0.2.53/32")
		return strings.Contains(out, "[e4") && strings.Contains(out, "[o4")
	})
	applyRoutes(t, b, dns)
	observes(t, b, "192.0.2.53/32")
	host.IP("-n " + host.NS + " addr del 192.0.2.53/32 dev anycast0")
	observes(t, b)
	for _, protocol := range []string{"e4", "o4"} {
		if out := host.Say("show route 192.0.2.53/32 export " + protocol); strings.Contains(out, "192.0.2.53") {
			t.Errorf("the other host's route is announced by %s:\n%s", protocol, out)
		}
	}
	if found, err := b.routes(t.Context(), "192.0.2.53/32 table master4"); err != nil || len(found) > 0 {
		t.Errorf("the other host's route is marked: %v %v", found, err)
	}
}
