package frr

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A network that is reached with a metric gets other attributes: bgpd 10.3 would die
// of it, so there the network is taken away first; 8.4 has just the new line.
func TestFRRRealRetake(t *testing.T) {
	const net4, net6 = "203.0.113.0/24", "2001:db8:aa::/48"
	r := newRealFRR(t, "bgpd")
	for _, p := range []string{net4, net6} {
		frrRun(t, "ip route add blackhole "+p+" metric 100")
	}
	proxy := newFRRProxy(t, r.dir, "bgpd", mgmtdName)
	f := testFRR(proxy.dir, "bgpd")
	defer f.Close()
	degraded := func(p string) driver.Route {
		g := frrPrefixOnly(p, driver.Announced)
		g.Degraded, g.Attributes = true, drivertest.Worse()
		return g
	}
	there := func(p string) func() bool {
		return func() bool {
			return bgpOriginates(r.ask("bgpd", "show bgp "+map[bool]string{true: "ipv6", false: "ipv4"}[p == net6]+" unicast "+p+" json"))
		}
	}
	for i, routes := range [][]driver.Route{
		{frrPrefixOnly(net4, driver.Announced), frrPrefixOnly(net6, driver.Announced)},
		{degraded(net4), degraded(net6)},
		{frrPrefixOnly(net4, driver.Announced), frrPrefixOnly(net6, driver.Announced)},
		{}, // and at once again:
		{frrPrefixOnly(net4, driver.Announced), frrPrefixOnly(net6, driver.Announced)},
		// and by another template, which has the same route-map set more:
		{frrPrefixOnly(net4, driver.Announced), frrPrefixOnly(net6, driver.Announced)},
	} {
		if i == 5 {
			f.Open(driver.Options{Templates: frrWorse(t)})
		}
		proxy.taken()
		frrApply(t, f, routes...)
		if len(routes) == 0 {
			continue
		}
		frrUntil(t, net4, there(net4))
		frrUntil(t, net6, there(net6))
		sent := proxy.taken()
		major, err := majorOf(r.ask("bgpd", "show version"))
		if err != nil {
			t.Fatal(err)
		}
		if major < diesOfUpdate && slices.ContainsFunc(sent, func(c string) bool { return strings.HasPrefix(c, "no network ") }) {
			t.Errorf("taken away without need: %q", sent)
		}
	}
}

// Somebody deletes the route-map that network lines name, and the next state enters such
// lines again. bgpd 8.4 would end, not at the first time.
func TestFRRRealRouteMapDeleted(t *testing.T) {
	r := newRealFRR(t, "bgpd")
	f := testFRR(r.dir, "bgpd")
	defer f.Close()
	for _, delay := range []string{"no bgp route-map delay-timer", "bgp route-map delay-timer 0"} {
		r.enter("bgpd", delay)
		for i := range 60 {
			frrApply(t, f, frrThree(driver.Announced, false)...)
			r.ask("bgpd", "configure terminal", "no route-map KEEPCAST-ANNOUNCED", "end")
			frrApply(t, f, frrThree(driver.Announced, i%2 == 0)...)
			frrApply(t, f)
		}
	}
}

func TestBGPAncillary(t *testing.T) {
	const head, line = "--- qmem libfrr ---\nBuffer : 5 24 120 5 120\n--- qmem bgpd ---\nBGP instance : 1 12496 12496 1 12496\n", "BGP ancillary route info      :        "
	for text, want := range map[string]bool{
		head: false,
		head + line + "0     72           0        1        72\n":  false,
		head + line + "12     72         864       13       936\n": true,
		"% Unknown command.": true,
		"":                   true,
	} {
		if got := bgpAncillary(text); got != want {
			t.Errorf("%t of %q", got, text)
		}
	}
}

// A keepcast that dies while the delay-timer is not the operator's leaves a list
// from which the next one knows what it was, wherever it was cut short.
func TestFRRRealDelayCutShort(t *testing.T) {
	r := newRealFRR(t, "bgpd")
	routes := []driver.Route{frrRouteOf(frr4, driver.Announced, false)}
	first := testFRR(r.dir, "bgpd")
	defer first.Close()
	frrApply(t, first, routes...)
	for delay, operators := range map[string]string{"": "no bgp route-map delay-timer", "600": "bgp route-map delay-timer 600", "0": "bgp route-map delay-timer 0"} {
		t.Run("delay "+delay, func(t *testing.T) {
			r.ask("bgpd", "configure terminal", operators, "end")
			before := r.ask("bgpd", "show running-config")
			lines := expireDelay(delay, []string{"KEEPCAST-ANNOUNCED"})[0].lines
			for n := range lines {
				r.ask("bgpd", slices.Concat([]string{"configure terminal"}, lines[:n+1], []string{"end"})...)
				next := testFRR(r.dir, "bgpd")
				frrApply(t, next, routes...)
				next.Close()
				if d := cmp.Diff(before, r.ask("bgpd", "show running-config")); d != "" {
					t.Errorf("after %q (-before +now):\n%s", lines[n], d)
				}
			}
		})
	}
}
