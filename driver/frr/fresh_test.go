package frr

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

// examinesFresh looks a daemon over whose host has none of the addresses yet, and
// returns those of the findings that are named.
func examinesFresh(t *testing.T, e driver.Examiner, named ...string) []string {
	t.Helper()
	network := frrRouteOf("203.0.113.0/24", driver.Announced, false)
	network.PrefixOnly = true
	want := frrState(frrRouteOf(frr4, driver.Announced, true), frrRouteOf(frr6, driver.Announced, false), network)
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
		"bgpd without neighbor": {"bgpd", "router bgp 65001\n no neighbor 10.99.0.2\n no neighbor fd99::2", "no-neighbor", []string{
			"bgpd: has no neighbor for IPv4, so 192.0.2.53/32 leaves this host by no way of it: router bgp N\n neighbor A remote-as M\n address-family ipv4 unicast\n  neighbor A activate",
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
		"ospfd alone": {"ospfd", "", "no-neighbor", []string{
			"ospfd: has no neighbor for IPv4, so 192.0.2.53/32 leaves this host by no way of it: " + frrSpec("ospfd").neighborFix,
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
