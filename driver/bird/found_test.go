package bird

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

const twoSessions = birdStatics + `
protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ebgp; }; }
protocol bgp i4 { local 10.98.0.1 as 65001; neighbor 10.98.0.2 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ibgp; }; }
`

// finds waits until Observe finds that and nothing else.
func (r *realBIRD) finds(b *Driver, findings ...string) {
	r.T.Helper()
	var got []string
	if !drivertest.WaitFor(func() bool {
		s, err := b.Observe(r.T.Context())
		if err != nil {
			r.T.Fatal(err)
		}
		got = someFindings(s.Findings)
		return cmp.Equal(findings, got)
	}) {
		r.T.Fatal(cmp.Diff(findings, got))
	}
}

// Each thing that stands in the way is found, in words, and is over when it is.
func TestRealFindings(t *testing.T) {
	host, router := pairOf(t, twoSessions, drivertest.RouterConf, "192.0.2.53/32")
	b := testDriver(host.Dir)
	defer b.Close()
	originatesNothing(t, b)
	dns, cover := routeOf("192.0.2.53/32", driver.Announced), routeOf("203.0.113.0/24", driver.Announced)
	cover.PrefixOnly = true
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, dns, cover))
	host.start()
	router.start()
	applyRoutes(t, b, dns, cover)
	const originate = "not-originated: bird 203.0.113.0/24: has no route in table keepcast4, so there is nothing that the gate could let pass: " +
		"add to bird.conf, below the include line: protocol static { ipv4 { table keepcast4; }; route 203.0.113.0/24 blackhole; }"
	host.finds(b, originate)
	const cov = "protocol static cover { ipv4 { table keepcast4; }; route 203.0.113.0/24 blackhole; }\n"
	host.Protocols(twoSessions + cov)
	host.Say("configure")
	host.finds(b)

	// Somebody's route for it is preferred.
	host.Protocols(twoSessions + cov + "protocol static rival { ipv4 { preference 250; }; route 192.0.2.53/32 unreachable; }\n")
	host.Say("configure")
	host.finds(b, "not-preferred: bird 192.0.2.53/32: is in BIRD, but the route of protocol rival for it is the chosen one, and only that is announced: "+
		"give that protocol's channel a preference below 241, or take its route away")
	host.Protocols(twoSessions + cov)
	host.Say("configure")
	host.finds(b)

	// The router goes, and comes back.
	router.Stop()
	drivertest.Eventually(t, "both sessions are found to be down", func() bool {
		s, err := b.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return cmp.Equal(namesOf(s.Findings), []string{"session-down error bird neighbor e4", "session-down error bird neighbor i4"})
	})
	router.start()
	host.finds(b)

	// A filter lets nothing pass; nobody exports.
	const filtered = `protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; ipv4 { import all; export FILTER; }; }` + "\n"
	host.Protocols(birdStatics + cov + strings.Replace(filtered, "FILTER", "where source = RTS_OSPF", 1))
	host.Say("configure")
	fix := ": name keepcast_ebgp, keepcast_ibgp or keepcast_igp in the export of the protocols that are to announce it, as the head of " + b.Snippet + " shows"
	host.finds(b, "gate-unused: bird: announces nothing of what passes the gate: no export filter lets it pass: not to e4"+fix)
	host.Protocols(birdStatics + cov + strings.Replace(filtered, "FILTER", "none", 1))
	host.Say("configure")
	host.finds(b, "gate-unused: bird: announces nothing of what passes the gate: no BGP, OSPF, RIP or Babel protocol exports anything of its family"+fix)
	host.Protocols(twoSessions + cov)
	host.Say("configure")
	host.finds(b)

	// A protocol of the snippet is disabled.
	host.Say("disable keepcast")
	host.finds(b, "protocol-disabled: bird protocol keepcast: is down, so what it carries is not announced: if that is not meant, run birdc enable keepcast")
	host.Say("enable keepcast")
	host.finds(b)
}

// Without the include, or with another file's, Observe says the same as Apply does.
func TestRealFindingsInclude(t *testing.T) {
	r, b := readyDriver(t, "192.0.2.53/32")
	dns := routeOf("192.0.2.53/32", driver.Announced)
	drivertest.WriteFile(t, r.Dir+"/copy.conf", renderRoutes(t, b))
	r.Config(`include "` + r.Dir + `/copy.conf";` + "\n")
	r.Say("configure")
	err := b.Apply(t.Context(), stateOf(dns))
	var f driver.Finding
	if !errors.As(err, &f) || f.Name != "snippet-differs" {
		t.Fatal(err)
	}
	r.finds(b, f.Name+": "+f.Error())
	r.Config("")
	r.Say("configure")
	err = b.Apply(t.Context(), stateOf(dns))
	if !errors.As(err, &f) || f.Name != "include-missing" {
		t.Fatal(err)
	}
	r.finds(b, f.Name+": "+f.Error())
	s, err := b.Observe(t.Context())
	if err != nil || s.Neighbors == nil || len(s.Routes) > 0 {
		t.Errorf("%+v %v", s, err)
	}
}

// A service on another interface comes and goes without a flap of the others: each
// of their prefixes was announced once, and never withdrawn.
func TestRealInterfaces(t *testing.T) {
	host, router := pairOf(t, twoSessions, drivertest.RouterConf, "192.0.2.53/32")
	for _, name := range []string{"any-1", "any.2"} {
		host.IP("-n " + host.NS + " link add " + name + " type ifb")
		host.IP("-n " + host.NS + " link set " + name + " up")
	}
	host.IP("-n " + host.NS + " addr add 192.0.2.61/32 dev any-1")
	host.IP("-n " + host.NS + " addr add 192.0.2.62/32 dev any.2")
	b := testDriver(host.Dir)
	defer b.Close()
	dns, one, two := routeOf("192.0.2.53/32", driver.Announced), routeOf("192.0.2.61/32", driver.Announced), routeOf("192.0.2.62/32", driver.Announced)
	one.Interface, two.Interface = "any-1", "any.2"
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, dns))
	host.start()
	router.start()
	drivertest.Eventually(t, "the session", func() bool { return router.Imports("e4") == "updates 1, withdraws 0" })
	learnt := func(imports string, prefixes ...string) {
		t.Helper()
		var got []string
		for i, p := range prefixes {
			prefixes[i] = p + " as_path=65001 local_pref=100"
		}
		if !drivertest.WaitFor(func() bool {
			got = router.learnt("e4")
			return slices.Equal(got, prefixes) && router.Imports("e4") == imports
		}) {
			t.Fatalf("got %q and %s, want %q and %s", got, router.Imports("e4"), prefixes, imports)
		}
	}
	applyRoutes(t, b, dns, one)
	learnt("updates 2, withdraws 0", "192.0.2.53/32", "192.0.2.61/32")
	applyRoutes(t, b, dns, one, two)
	learnt("updates 3, withdraws 0", "192.0.2.53/32", "192.0.2.61/32", "192.0.2.62/32")
	observes(t, b, "192.0.2.53/32", "192.0.2.61/32", "192.0.2.62/32")
	host.finds(b)
	host.Say(`disable "keepcast-any.2"`)
	host.finds(b, `protocol-disabled: bird protocol keepcast-any.2: is down, so what it carries is not announced: if that is not meant, run birdc 'enable "keepcast-any.2"'`)
	host.Say(`enable "keepcast-any.2"`)
	learnt("updates 4, withdraws 1", "192.0.2.53/32", "192.0.2.61/32", "192.0.2.62/32")
	applyRoutes(t, b, dns, two)
	learnt("updates 4, withdraws 2", "192.0.2.53/32", "192.0.2.62/32")
	applyRoutes(t, b, dns)
	learnt("updates 4, withdraws 3", "192.0.2.53/32")
}

// Two BIRDs beside each other on one host each have a gate of their own.
func TestRealTwo(t *testing.T) {
	first, b := readyDriver(t, "192.0.2.53/32", "192.0.2.54/32")
	dir := drivertest.SocketDir(t)
	second := &realBIRD{&drivertest.BIRD{T: t, Dir: dir, Socket: dir + "/bird.ctl", ID: "10.99.0.9", NS: first.NS}}
	t.Cleanup(second.Stop)
	second.Protocols(birdStatics)
	c := testDriver(second.Dir)
	defer c.Close()
	drivertest.WriteFile(t, c.Snippet, renderRoutes(t, c))
	second.start()
	dns, two := routeOf("192.0.2.53/32", driver.Announced), routeOf("192.0.2.54/32", driver.Announced)
	applyRoutes(t, b, dns)
	applyRoutes(t, c, two)
	observes(t, b, "192.0.2.53/32")
	observes(t, c, "192.0.2.54/32")
	applyRoutes(t, c, dns, two)
	observes(t, b, "192.0.2.53/32")
	observes(t, c, "192.0.2.53/32", "192.0.2.54/32")
	second.Stop()
	if _, err := c.Observe(t.Context()); err == nil {
		t.Error("the second is observed without running")
	}
	applyRoutes(t, b)
	observes(t, b)
}
