package driver

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	birdSessions = birdStatics + `
protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ebgp; }; }
protocol bgp e6 { local fd99::1 as 65001; neighbor fd99::2 as 65002; connect delay time 1; error wait time 1, 2; ipv6 { import all; export filter keepcast_ebgp; }; }
protocol bgp i4 { local 10.98.0.1 as 65001; neighbor 10.98.0.2 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ibgp; }; }
`
	birdRouter = `
protocol bgp e4 { local 10.99.0.2 as 65002; neighbor 10.99.0.1 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export none; }; }
protocol bgp e6 { local fd99::2 as 65002; neighbor fd99::1 as 65001; connect delay time 1; error wait time 1, 2; ipv6 { import all; export none; }; }
protocol bgp i4 { local 10.98.0.2 as 65001; neighbor 10.98.0.1 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export none; }; }
`
)

// birdPair is a host and its router, with eBGP and iBGP sessions between them.
func birdPair(t *testing.T, addrs ...string) (host, router *realBIRD) {
	t.Helper()
	return birdPairOf(t, birdSessions, birdRouter, addrs...)
}

// birdPairOf is a host and its router with those protocols.
func birdPairOf(t *testing.T, hosts, routers string, addrs ...string) (host, router *realBIRD) {
	t.Helper()
	host, router = newRealBIRD(t).host(hosts, addrs...), newRealBIRD(t)
	router.id = "10.99.0.2"
	router.config(routers)
	host.ip("link add nh0 netns " + host.ns + " type veth peer name nr0 netns " + router.ns)
	for _, cmd := range []string{
		"-n HOST addr add 10.99.0.1/30 dev nh0", "-n HOST addr add 10.98.0.1/30 dev nh0", "-n HOST addr add fd99::1/64 dev nh0 nodad",
		"-n ROUTER addr add 10.99.0.2/30 dev nr0", "-n ROUTER addr add 10.98.0.2/30 dev nr0", "-n ROUTER addr add fd99::2/64 dev nr0 nodad",
		"-n HOST link set nh0 up", "-n ROUTER link set nr0 up",
	} {
		host.ip(strings.NewReplacer("HOST", host.ns, "ROUTER", router.ns).Replace(cmd))
	}
	return host, router
}

// learnt returns what the router has of a session: each prefix with the named
// attributes, sorted.
func (r *realBIRD) learnt(session string) []string {
	r.t.Helper()
	table := "master4"
	if strings.HasSuffix(session, "6") {
		table = "master6"
	}
	var out []string
	for line := range strings.Lines(r.say("show route table " + table + " protocol " + session + " all")) {
		if m := birdPrefix.FindString(line); m != "" {
			out = append(out, m)
		}
		if m := birdAttribute.FindStringSubmatch(line); m != nil {
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
	birdPrefix    = regexp.MustCompile(`^[0-9a-f:.]+/\d+`)
	birdAttribute = regexp.MustCompile(`(?i)bgp[._](as_path|path|med|local_pref):(.*)`)
	birdImports   = regexp.MustCompile(`Import (updates|withdraws):\s+(\d+)`)
)

// imports returns how many updates and withdraws came in a session since it is up.
func (r *realBIRD) imports(session string) string {
	r.t.Helper()
	out := r.say("show protocols all " + session)
	var counts []string
	for _, m := range birdImports.FindAllStringSubmatch(out, -1) {
		counts = append(counts, m[1]+" "+m[2])
	}
	if !strings.Contains(out, "Established") {
		return "not established"
	}
	return strings.Join(counts, ", ")
}

// What the neighbours learn, and that a change of one prefix costs each of them
// one message about that prefix and nothing else.
func TestBIRDRealNeighbours(t *testing.T) {
	host, router := birdPair(t, "192.0.2.53/32", "192.0.2.54/32", "2001:db8:53::53/128")
	b := testBIRD(host.dir)
	defer b.Close()
	dns, two, dns6 := birdRouteOf("192.0.2.53/32", Announced), birdRouteOf("192.0.2.54/32", Announced), birdRouteOf("2001:db8:53::53/128", Announced)
	birdWrite(t, b.Snippet, birdRender(t, b, dns, two, dns6))
	host.start()
	router.start()
	heard := func(session, routes, imports string) {
		t.Helper()
		var gotRoutes, gotImports string
		if !birdWait(func() bool {
			gotRoutes, gotImports = strings.Join(router.learnt(session), ", "), router.imports(session)
			return gotRoutes == routes && gotImports == imports
		}) {
			t.Fatalf("%s\ngot  %s; %s\nwant %s; %s", session, gotRoutes, gotImports, routes, imports)
		}
	}
	heard("e4", "192.0.2.53/32 as_path=65001 local_pref=100, 192.0.2.54/32 as_path=65001 local_pref=100", "updates 2, withdraws 0")
	heard("i4", "192.0.2.53/32 as_path= local_pref=100, 192.0.2.54/32 as_path= local_pref=100", "updates 2, withdraws 0")
	heard("e6", "2001:db8:53::53/128 as_path=65001 local_pref=100", "updates 1, withdraws 0")

	birdApply(t, b, birdDegraded("192.0.2.53/32"), two, dns6)
	heard("e4", "192.0.2.53/32 as_path=65001 65001 65001 med=1000 local_pref=100, 192.0.2.54/32 as_path=65001 local_pref=100", "updates 3, withdraws 0")
	heard("i4", "192.0.2.53/32 as_path= med=1000 local_pref=50, 192.0.2.54/32 as_path= local_pref=100", "updates 3, withdraws 0")

	birdApply(t, b, birdRouteOf("192.0.2.53/32", Delivered), two, dns6)
	heard("e4", "192.0.2.54/32 as_path=65001 local_pref=100", "updates 3, withdraws 1")
	heard("i4", "192.0.2.54/32 as_path= local_pref=100", "updates 3, withdraws 1")

	birdApply(t, b, dns, two, dns6)
	heard("e4", "192.0.2.53/32 as_path=65001 local_pref=100, 192.0.2.54/32 as_path=65001 local_pref=100", "updates 4, withdraws 1")
	heard("e6", "2001:db8:53::53/128 as_path=65001 local_pref=100", "updates 1, withdraws 0")
}
