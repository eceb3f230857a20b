package driver

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// examinesFresh looks a daemon over whose host has none of the addresses yet, and
// returns those of the findings that are named.
func examinesFresh(t *testing.T, e Examiner, named ...string) []string {
	t.Helper()
	network := frrRouteOf("203.0.113.0/24", Announced, false)
	network.GateOnly = true
	want := frrState(frrRouteOf(frr4, Announced, true), frrRouteOf(frr6, Announced, false), network)
	var out []string
	for _, f := range e.Examine(t.Context(), want) {
		if slices.Contains(named, f.Name) {
			out = append(out, f.Error())
		}
	}
	return out
}

// presence are the findings about a route that is there.
var presence = []string{"not-exported", "not-preferred", "import-check"}

// After an installation nothing is announced yet. What the configuration lacks is
// found then, and nothing is said of routes that are not there.
func TestFRRRealExamineFresh(t *testing.T) {
	r := newRealFRR(t, "bgpd", "ospfd")
	for name, tc := range map[string]struct {
		daemon, lines string
		finding       string
		want          []string
	}{
		"bgpd as it should be": {"bgpd", "", "router-bgp-missing", nil},
		"bgpd without router bgp": {"bgpd", "no router bgp 65001", "router-bgp-missing", []string{
			"bgpd: it has no router bgp to announce 192.0.2.53/32 in: add 'router bgp ASN' with its neighbors to frr.conf",
		}},
		"bgpd without neighbour": {"bgpd", "router bgp 65001\n no neighbor 10.99.0.2\n no neighbor fd99::2", "no-neighbour", []string{
			"bgpd: has no neighbour for IPv4, so 192.0.2.53/32 leaves this host by no way of it: router bgp N\n neighbor A remote-as M\n address-family ipv4 unicast\n  neighbor A activate",
		}},
		"bgpd without the route-map": {"bgpd", "", "prepend-unused", []string{
			"bgpd: the path of 192.0.2.53/32 is not made longer, for no neighbor has the route-map KEEPCAST-EBGP: " +
				"add 'neighbor X route-map KEEPCAST-EBGP out' for each eBGP neighbor to frr.conf, or 'call KEEPCAST-EBGP' as the last entry of its own route-map",
		}},
		"ospfd without the static line": {"ospfd", "", "gate-unused", []string{
			"ospfd: it does not announce 203.0.113.0/24 by the gate KEEPCAST: add 'redistribute static route-map KEEPCAST' under 'router ospf' to frr.conf",
		}},
		"ospfd without redistribution": {"ospfd", "router ospf\n no redistribute connected\n no redistribute static", "gate-unused", []string{
			"ospfd: it does not announce 192.0.2.53/32 by the gate KEEPCAST: add 'redistribute connected route-map KEEPCAST' under 'router ospf' to frr.conf",
			"ospfd: it does not announce 203.0.113.0/24 by the gate KEEPCAST: add 'redistribute static route-map KEEPCAST' under 'router ospf' to frr.conf",
		}},
		"ospfd alone": {"ospfd", "", "no-neighbour", []string{
			"ospfd: has no neighbour for IPv4, so 192.0.2.53/32 leaves this host by no way of it: " + frrQuestionsOf("ospfd").neighbourFix,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			defer r.load(tc.daemon)
			r.enter(tc.daemon, tc.lines)
			f := testFRR(r.dir, tc.daemon)
			defer f.Close()
			if d := cmp.Diff(tc.want, examinesFresh(t, f, append(presence, tc.finding)...)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// birdExports is a session that exports so.
func birdExports(filter string) string {
	return "protocol bgp up { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; ipv4 { import all; export " + filter + "; }; }\n"
}

// BIRD lets nothing out, by its configuration. Whether a filter of the operator's
// would let pass what is not there yet, it does not tell.
func TestBIRDRealExamineFresh(t *testing.T) {
	r := newRealBIRD(t).host("")
	b := testBIRD(r.dir)
	defer b.Close()
	birdWrite(t, b.Snippet, birdRender(t, b))
	r.start()
	const cover = "protocol static cover { ipv4 { table keepcast4; }; route 203.0.113.0/24 blackhole; }\n"
	gate := "bird: announces nothing of what passes the gate: no BGP, OSPF, RIP or Babel protocol exports anything: " + b.exportFix()
	const origin = "bird 203.0.113.0/24: has no route in table keepcast4, so there is nothing that the gate could let pass: " +
		"add to bird.conf, below the include line: protocol static { ipv4 { table keepcast4; }; route 203.0.113.0/24 blackhole; }"
	for name, tc := range map[string]struct {
		conf string
		want []string
	}{
		"no session":            {birdStatics + cover, []string{gate}},
		"no network":            {birdStatics + birdExports("filter keepcast_ebgp"), []string{origin}},
		"a session":             {birdStatics + cover + birdExports("filter keepcast_ebgp"), nil},
		"one that exports none": {birdStatics + cover + birdExports("none"), []string{gate}},
		"operator's own filter": {birdStatics + cover + birdExports("where source = RTS_OSPF"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			r.protocols(tc.conf)
			r.say("configure")
			var got []string
			if !birdWait(func() bool {
				got = examinesFresh(t, b, append(presence, "include-missing", "gate-unused", "not-originated")...)
				return cmp.Equal(tc.want, got)
			}) {
				t.Errorf("(-want +got):\n%s", cmp.Diff(tc.want, got))
			}
		})
	}
	r.config(birdStatics) // without the include
	r.say("configure")
	want := []string{"bird: its configuration does not include keepcast's snippet: add the line 'include \"" + b.Snippet + "\";' to bird.conf, above its protocols, then run birdc configure"}
	if d := cmp.Diff(want, examinesFresh(t, b, append(presence, "include-missing", "gate-unused")...)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
