package frr

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

const (
	frr4  = "192.0.2.53/32"
	frr4b = "203.0.113.1/24"
	frr6  = "2001:db8:53::53/128"
)

var frrAll = []string{"bgpd", "ospfd", "ospf6d", "isisd"}

// frrThree are three routes; the first and the last can be degraded.
func frrThree(p driver.Presence, degraded bool) []driver.Route {
	return []driver.Route{frrRouteOf(frr4, p, degraded), frrRouteOf(frr4b, p, false), frrRouteOf(frr6, p, degraded)}
}

// frrLife is all daemons with a driver, by way of a proxy.
func frrLife(t *testing.T) (*realFRR, *FRR, *frrProxy, func(sees ...string)) {
	r := newRealFRR(t, frrAll...)
	proxy := newFRRProxy(t, r.dir, frrAll...)
	f := testFRR(proxy.dir, frrAll...)
	t.Cleanup(func() { f.Close() })
	before := map[string]string{}
	for _, d := range frrAll {
		before[d] = r.operators(d)
	}
	return r, f, proxy, func(sees ...string) {
		t.Helper()
		frrObserves(t, f, sees...)
		for _, d := range frrAll {
			if diff := cmp.Diff(before[d], r.operators(d)); diff != "" {
				t.Errorf("%s: the operator's lines changed (-before +now):\n%s", d, diff)
			}
		}
	}
}

// Announced and withdrawn, with all daemons; the operator's lines are the same all
// the time.
func TestFRRRealLife(t *testing.T) {
	r, f, proxy, check := frrLife(t)
	frrApply(t, f, frrThree(driver.Delivered, false)...)
	check()
	proxy.taken()
	frrApply(t, f, frrThree(driver.Announced, false)...)
	if slices.ContainsFunc(proxy.taken(), func(c string) bool { return strings.Contains(c, "redistribute") }) {
		t.Error("isisd or ospfd had to look again for addresses that are not on the host")
	}
	check() // permitted, but nothing is there to announce
	r.addr("add", frr4)
	r.addr("add", frr4b)
	r.addr("add", frr6+" nodad")
	check(frr4, frr4b, frr6)
	if got := r.networks(frr4, frr6); got != frr4+" route-map KEEPCAST-ANNOUNCED, "+frr6+" route-map KEEPCAST-ANNOUNCED" {
		t.Errorf("bgpd: %s", got)
	}

	// The address goes first, as the kernel driver does it.
	r.addr("del", frr4)
	frrApply(t, f, frrRouteOf(frr4, driver.Delivered, false), frrRouteOf(frr4b, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false))
	check(frr4b, frr6)
	// And the gate alone, as with manage_addresses: false.
	frrApply(t, f, frrThree(driver.Delivered, false)...)
	check()
	p := frrRouteOf(frr4b, 0, false).Prefix.Masked()
	for d, question := range map[string]string{"ospfd": "show ip ospf database external self-originate json", "isisd": "show isis database detail"} {
		frrUntil(t, d+" gave "+p.String()+" up", func() bool {
			text := r.ask(d, question)
			return !ospfOriginates(text)[p] && !isisOriginates(text)[p]
		})
	}
	if got := r.networks(frr4, p.String(), frr6); got != "" {
		t.Errorf("bgpd still has %s", got)
	}
	frrApply(t, f)
	check()
}

// Degraded, and back; an Apply that changes nothing sends nothing.
func TestFRRRealDegraded(t *testing.T) {
	r, f, proxy, check := frrLife(t)
	r.addr("add", frr4)
	r.addr("add", frr4b)
	r.addr("add", frr6+" nodad")
	frrApply(t, f, frrThree(driver.Announced, false)...)
	check(frr4, frr4b, frr6)
	frrApply(t, f, frrThree(driver.Announced, true)...)
	check(frr4+"!", frr4b, frr6+"!")
	for d, want := range map[string][2]string{
		"bgpd":   {"show bgp ipv4 unicast " + frr4 + " json", `"metric":1000,`},
		"ospfd":  {"show ip ospf database external self-originate json", `"metric":20000`},
		"ospf6d": {"show ipv6 ospf6 database as-external self-originated detail json", `"metric":20000,`},
		"isisd":  {"show isis database detail", frr6 + " (Metric: 20000)"},
	} {
		frrUntil(t, d+" announces with "+want[1], func() bool {
			return strings.Contains(strings.ReplaceAll(r.ask(d, want[0]), `": `, `":`), want[1])
		})
	}

	proxy.taken()
	frrApply(t, f, frrThree(driver.Announced, true)...)
	if sent := proxy.taken(); len(sent) > 0 {
		t.Errorf("the same state again sent %q", sent)
	}
	fresh := testFRR(proxy.dir, frrAll...)
	defer fresh.Close()
	frrObserves(t, fresh, frr4+"!", "203.0.113.0/24", frr6+"!") // adopts what is there, before any Apply
	frrApply(t, fresh, frrThree(driver.Announced, true)...)
	want := []string{
		"configure terminal", "router isis A", "no redistribute ipv4 connected level-2 metric 20 route-map KEEPCAST", "redistribute ipv4 connected level-2 metric 20 route-map KEEPCAST",
		"configure terminal", "router isis A", "no redistribute ipv6 connected level-2 route-map KEEPCAST6", "redistribute ipv6 connected level-2 route-map KEEPCAST6",
	}
	if d := cmp.Diff(want, proxy.taken()); d != "" {
		t.Errorf("a new keepcast, the same state (-want +sent):\n%s", d)
	}

	frrApply(t, f, frrThree(driver.Announced, false)...)
	check(frr4, frr4b, frr6)
	frrUntil(t, "isisd is back to the operator's metric", func() bool {
		return strings.Contains(r.ask("isisd", "show isis database detail"), frr4+" (Metric: 20)")
	})
}

// An operator's `write memory` saves keepcast's lines behind the redistribute lines;
// isisd then resolves these before their route-map is there, and would deny for ever.
func TestFRRRealSavedByOperator(t *testing.T) {
	r := newRealFRR(t, "isisd")
	f := testFRR(r.dir, "isisd")
	defer f.Close()
	r.addr("add", frr4)
	r.addr("add", frr6+" nodad")
	routes := []driver.Route{frrRouteOf(frr4, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false)}
	frrApply(t, f, routes...)
	frrObserves(t, f, frr4, frr6)
	saved, err := f.Render(frrState(routes...))
	if err != nil {
		t.Fatal(err)
	}
	r.stop("isisd")
	r.start("isisd")
	r.load("isisd")
	r.enter("isisd", string(saved))
	frrApply(t, f, routes...)
	frrObserves(t, f, frr4, frr6)
}

// The set of addresses changes: entries move in the lists, and nothing stale stays.
func TestFRRRealAddressesChange(t *testing.T) {
	r := newRealFRR(t, "bgpd", "ospfd")
	f := testFRR(r.dir, "bgpd", "ospfd")
	defer f.Close()
	one := func(p string) driver.Route { return frrRouteOf(p, driver.Announced, false) }
	for _, set := range [][]driver.Route{
		{one("192.0.2.1/32"), one("192.0.2.2/32"), one("192.0.2.3/32")},
		{one("192.0.2.2/32"), one("192.0.2.3/32")},
		{one("192.0.2.0/32"), one("192.0.2.2/32"), one("192.0.2.1/32"), one("192.0.2.4/32")},
		{frrRouteOf("192.0.2.4/32", driver.Absent, false), one("192.0.2.0/32")},
		{},
	} {
		frrApply(t, f, set...)
		var want []string
		for _, route := range frrState(set...).Announced() {
			want = append(want, route.Prefix.String())
		}
		var got []string
		for _, p := range sortedPrefixes(parseRunning(r.ask("ospfd", "show running-config")).listed()) {
			got = append(got, p.String())
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("ospfd permits (-want +got):\n%s", d)
		}
		got = nil
		for _, p := range sortedPrefixes(parseRunning(r.ask("bgpd", "show running-config")).entered(nil)) {
			got = append(got, p.String())
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("bgpd has (-want +got):\n%s", d)
		}
	}
}
