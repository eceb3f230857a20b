package frr

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// An operator read of two gates, and was not told that a prefix without an address has but
// the daemon's own.
func TestUngated(t *testing.T) {
	prefixes := func(all ...string) driver.State {
		routes := []driver.Route{frrRouteOf(frr4, driver.Announced, false)}
		for _, p := range all {
			routes = append(routes, frrPrefixOnly(p, driver.Delivered))
		}
		return frrState(routes...)
	}
	const ( // of the texts
		begin = ": has to take commands to withdraw "
		end   = ": no address could go instead, so it stays announced for as long as "
	)
	for name, tc := range map[string]struct {
		spec    spec
		desired driver.State
		want    []string
	}{
		"addresses alone": {frrSpec("bgpd"), prefixes(), nil},
		"of both families": {frrSpec("bgpd"), prefixes("203.0.113.0/24", "2001:db8:a::/48"), []string{
			"bgpd" + begin + "203.0.113.0/24, 2001:db8:a::/48" + end + "bgpd takes none: if the service has an address within 203.0.113.0/24, write it with that length in place of the prefix: addresses: [A/24]",
		}},
		"of one": {frrSpec("ospf6d"), prefixes("203.0.113.0/24", "2001:db8:a::/48"), []string{
			"ospf6d" + begin + "2001:db8:a::/48" + end + "ospf6d takes none: if the service has an address within 2001:db8:a::/48, write it with that length in place of the prefix: addresses: [A/48]",
		}},
		"of the other": {frrSpec("ripd"), prefixes("2001:db8:a::/48"), nil},
		"a default route": {frrSpec("bgpd"), prefixes("0.0.0.0/0"), []string{
			"bgpd" + begin + "0.0.0.0/0" + end + "bgpd takes none: no address can stand for a default route: watch /readyz, which tells of a daemon that takes no commands",
		}},
		"Quagga": {quaggaDialect().spec("ospfd"), prefixes("203.0.113.0/24"), []string{
			"ospfd" + begin + "203.0.113.0/24" + end + "ospfd takes none: if the service has an address within 203.0.113.0/24, write it with that length in place of the prefix: addresses: [A/24]",
		}},
		"isisd of Quagga has none at all": {quaggaDialect().spec("isisd"), prefixes("203.0.113.0/24"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := exam{spec: tc.spec, desired: tc.desired}
			if d := cmp.Diff(tc.want, frrNamed(e.findings(tc.spec.exams), "prefix-ungated")); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// After a reboot with FRR and without keepcast nobody takes a prefix off that was announced
// before: so what an operator has in frr.conf alone must announce none, of which the page on
// covering prefixes tells. All that is connected stands for what the router does hear.
func TestFRRRealPrefixAfterReboot(t *testing.T) {
	const net4, net6, own4, own6 = "203.0.113.0/24", "2001:db8:a::/48", "192.0.2.99/32", "2001:db8:99::99/128"
	daemons := []string{"ospfd", "ospf6d", "isisd", "ripd", "ripngd"}
	r := newRealFRR(t, daemons...)
	r.addr("add", own4)
	r.addr("add", own6+" nodad")
	frrRun(t, "ip route add blackhole "+net4)
	frrRun(t, "ip route add blackhole "+net6)
	router := r.bird(frrRouterRIP)
	for d, lines := range map[string][2]string{ // past the gate, and through it
		"ospfd":  {"router ospf\n redistribute connected", " redistribute kernel route-map KEEPCAST"},
		"ospf6d": {"router ospf6\n redistribute connected", " redistribute kernel route-map KEEPCAST6"},
		"isisd": {
			"router isis A\n redistribute ipv4 connected level-2\n redistribute ipv6 connected level-2",
			" redistribute ipv4 kernel level-2 route-map KEEPCAST\n redistribute ipv6 kernel level-2 route-map KEEPCAST6",
		},
		"ripd":   {"router rip\n no redistribute connected\n redistribute connected", " redistribute kernel route-map KEEPCAST"},
		"ripngd": {"no router ripng\nrouter ripng\n network nh0\n timers basic 5 30 30\n redistribute connected", " redistribute kernel route-map KEEPCAST6"},
	} {
		r.enter(r.configuredBy(d), lines[0]+"\n"+lines[1])
	}
	for _, d := range []string{"ospfd", "ospf6d", "isisd"} {
		for own, net := range map[string]string{own4: net4, own6: net6} {
			if !frrSpec(d).carries(frrRouteOf(own, 0, false).Prefix.Addr()) {
				continue
			}
			has := func(p string) bool {
				got, err := testFRR(r.dir, d).daemon(d).database(t, frrRouteOf(p, 0, false).Prefix)
				return err == nil && got
			}
			frrUntil(t, d+" announces "+own, func() bool { return has(own) })
			if has(net) {
				t.Errorf("%s announces %s", d, net)
			}
		}
	}
	for session, p := range map[string][2]string{"r4": {own4, net4}, "r6": {own6, net6}} {
		frrHears(t, router, session, p[0], "metric=2")
		if got := heardFrom(router, session, p[1]); got != "" {
			t.Errorf("%s hears %s: %s", session, p[1], got)
		}
	}
}

// babeld takes a list that is missing for one that permits everything: after a reboot it
// announced what keepcast had withdrawn. The lines of the page close it, and keepcast opens
// it in their place.
func TestFRRRealBabelAfterReboot(t *testing.T) {
	const net4 = "203.0.113.0/24"
	r := newRealFRR(t, "babeld")
	router := r.bird(frrRouterBabel)
	frrRun(t, "ip route add blackhole "+net4)
	// What it redistributes before it is connected to zebra, 8.4 may never be told of.
	frrUntil(t, "babeld hears of zebra", func() bool { return strings.Contains(r.ask("babeld", "show babel route"), "10.99.0.0/30") })
	r.enter("babeld", "router babel\n redistribute ipv4 kernel\n")
	frrHears(t, router, "b", net4, "metric=96")
	r.enter("babeld", "ip prefix-list KEEPCAST seq 65535 deny any\nipv6 prefix-list KEEPCAST6 seq 65535 deny any\n")
	frrHears(t, router, "b", net4, "")
	f := testFRR(r.dir, "babeld")
	defer f.Close()
	announced := frrState(frrPrefixOnly(net4, driver.Announced))
	if err := f.Apply(t.Context(), announced); drivertest.ErrText(err) != "" {
		t.Fatal(err)
	}
	frrHears(t, router, "b", net4, "metric=96")
	_ = f.Apply(t.Context(), frrState(frrPrefixOnly(net4, driver.Delivered)))
	frrHears(t, router, "b", net4, "")
}
