package bird

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

const sessions = birdStatics + `
protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ebgp; }; }
protocol bgp e6 { local fd99::1 as 65001; neighbor fd99::2 as 65002; connect delay time 1; error wait time 1, 2; ipv6 { import all; export filter keepcast_ebgp; }; }
protocol bgp i4 { local 10.98.0.1 as 65001; neighbor 10.98.0.2 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ibgp; }; }
`

// pair is a host and its router, with eBGP and iBGP sessions between them.
func pair(t *testing.T, addrs ...string) (host, router *realBIRD) {
	t.Helper()
	return pairOf(t, sessions, drivertest.RouterConf, addrs...)
}

// pairOf is a host and its router with those protocols.
func pairOf(t *testing.T, hosts, routers string, addrs ...string) (host, router *realBIRD) {
	t.Helper()
	host, router = newRealBIRD(t).host(hosts, addrs...), newRealBIRD(t)
	router.ID = "10.99.0.2"
	router.Config(routers)
	host.IP("link add nh0 netns " + host.NS + " type veth peer name nr0 netns " + router.NS)
	for _, cmd := range []string{
		"-n HOST addr add 10.99.0.1/30 dev nh0", "-n HOST addr add 10.98.0.1/30 dev nh0", "-n HOST addr add fd99::1/64 dev nh0 nodad",
		"-n ROUTER addr add 10.99.0.2/30 dev nr0", "-n ROUTER addr add 10.98.0.2/30 dev nr0", "-n ROUTER addr add fd99::2/64 dev nr0 nodad",
		"-n HOST link set nh0 up", "-n ROUTER link set nr0 up",
	} {
		host.IP(strings.NewReplacer("HOST", host.NS, "ROUTER", router.NS).Replace(cmd))
	}
	return host, router
}

// learnt returns what the router has of a session: each prefix with the named
// attributes, sorted.
func (r *realBIRD) learnt(session string) []string {
	r.T.Helper()
	table := "master4"
	if strings.HasSuffix(session, "6") {
		table = "master6"
	}
	var out []string
	for line := range strings.Lines(r.Say("show route table " + table + " protocol " + session + " all")) {
		if m := prefix.FindString(line); m != "" {
			out = append(out, m)
		}
		if m := attribute.FindStringSubmatch(line); m != nil {
			name := m[1]
			if name == "path" { // as 3.x calls it
				name = "as_path"
			}
			out[len(out)-1] += " " + name + "=" + strings.TrimSpace(m[2])
		}
	}
	slices.Sort(out)
	return out
}

var (
	prefix    = regexp.MustCompile(`^[0-9a-f:.]+/\d+`)
	attribute = regexp.MustCompile(`(?i)bgp[._](as_path|path|med|local_pref):(.*)`)
)

// What the neighbors learn, and that a change of one prefix costs each of them
// one message about that prefix and nothing else.
func TestRealNeighbors(t *testing.T) {
	host, router := pair(t, "192.0.2.53/32", "192.0.2.54/32", "2001:db8:53::53/128")
	b := testDriver(host.Dir)
	defer b.Close()
	dns, two, dns6 := routeOf("192.0.2.53/32", driver.Announced), routeOf("192.0.2.54/32", driver.Announced), routeOf("2001:db8:53::53/128", driver.Announced)
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, dns, two, dns6))
	host.start()
	router.start()
	heard := func(session, routes, imports string) {
		t.Helper()
		var gotRoutes, gotImports string
		if !drivertest.WaitFor(func() bool {
			gotRoutes, gotImports = strings.Join(router.learnt(session), ", "), router.Imports(session)
			return gotRoutes == routes && gotImports == imports
		}) {
			t.Fatalf("%s\ngot  %s; %s\nwant %s; %s", session, gotRoutes, gotImports, routes, imports)
		}
	}
	heard("e4", "192.0.2.53/32 as_path=65001 local_pref=100, 192.0.2.54/32 as_path=65001 local_pref=100", "updates 2, withdraws 0")
	heard("i4", "192.0.2.53/32 as_path= local_pref=100, 192.0.2.54/32 as_path= local_pref=100", "updates 2, withdraws 0")
	heard("e6", "2001:db8:53::53/128 as_path=65001 local_pref=100", "updates 1, withdraws 0")

	applyRoutes(t, b, degradedRoute("192.0.2.53/32"), two, dns6)
	heard("e4", "192.0.2.53/32 as_path=65001 65001 65001 med=1000 local_pref=100, 192.0.2.54/32 as_path=65001 local_pref=100", "updates 3, withdraws 0")
	heard("i4", "192.0.2.53/32 as_path= med=1000 local_pref=50, 192.0.2.54/32 as_path= local_pref=100", "updates 3, withdraws 0")

	applyRoutes(t, b, routeOf("192.0.2.53/32", driver.Delivered), two, dns6)
	heard("e4", "192.0.2.54/32 as_path=65001 local_pref=100", "updates 3, withdraws 1")
	heard("i4", "192.0.2.54/32 as_path= local_pref=100", "updates 3, withdraws 1")

	applyRoutes(t, b, dns, two, dns6)
	heard("e4", "192.0.2.53/32 as_path=65001 local_pref=100, 192.0.2.54/32 as_path=65001 local_pref=100", "updates 4, withdraws 1")
	heard("e6", "2001:db8:53::53/128 as_path=65001 local_pref=100", "updates 1, withdraws 0")
}
