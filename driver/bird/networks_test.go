package bird

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func networkOf(service, prefix string, p driver.Presence) driver.Route {
	r := prefixRoute(prefix, p)
	r.Service = service
	return r
}

// A network resolves through an address of its own service and family, the same in whatever
// order they come, and through none that is on the interface with a length.
func TestNetworksVia(t *testing.T) {
	routes := func(service string, addresses ...string) []driver.Route {
		var out []driver.Route
		for _, a := range addresses {
			r := routeOf(a, driver.Absent)
			r.Service = service
			out = append(out, r)
		}
		return append(out, networkOf(service, "203.0.113.0/24", driver.Absent))
	}
	for name, tc := range map[string]struct {
		routes []driver.Route
		want   string
	}{
		"its address":      {append(routeList(t, "192.0.2.9/32"), routes("web", "192.0.2.53/32")...), "192.0.2.53"},
		"the lowest":       {routes("web", "192.0.2.54/32", "192.0.2.53/32"), "192.0.2.53"},
		"the other family": {routes("web", "2001:db8::1/128"), "invalid IP"},
		"with a length":    {routes("web", "203.0.113.1/24"), "invalid IP"},
		"none":             {routes("web"), "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			got := networksOf(stateOf(tc.routes...))
			if len(got) != 1 || got[0].Via.String() != tc.want || got[0].Protocol != "'keepcast_net-203.0.113.0-24'" {
				t.Errorf("%+v, want via %s", got, tc.want)
			}
		})
	}
}

func routeList(t *testing.T, prefixes ...string) []driver.Route {
	t.Helper()
	var out []driver.Route
	for _, p := range prefixes {
		out = append(out, routeOf(p, driver.Announced))
	}
	return out
}

// announcedTo waits until the router has just these prefixes of a session.
func announcedTo(t *testing.T, router *realBIRD, session string, want ...string) {
	t.Helper()
	var got []string
	if !drivertest.WaitFor(func() bool {
		got = nil
		for _, l := range router.learnt(session) {
			p, _, _ := strings.Cut(l, " ")
			got = append(got, p)
		}
		return cmp.Equal(want, got)
	}) {
		t.Fatal(cmp.Diff(want, got))
	}
}

// The covering prefix of a dead service stayed announced until somebody mended bird.conf,
// and was announced by a BIRD that was started without keepcast: it had no gate but a file.
// Now its address is one.
func TestRealNetworkFollowsAddress(t *testing.T) {
	host, router := pairOf(t, sessions+"protocol static operator { ipv4 { table keepcast4; }; route 192.0.2.0/24 blackhole; }\n", drivertest.RouterConf, "192.0.2.53/32", "2001:db8:53::53/128")
	b := testDriver(host.Dir)
	defer b.Close()
	want := []driver.Route{
		routeOf("192.0.2.53/32", driver.Announced), routeOf("2001:db8:53::53/128", driver.Announced),
		networkOf("dns", "192.0.2.0/24", driver.Announced), networkOf("dns", "2001:db8:53::/48", driver.Announced),
	}
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b))
	host.start()
	router.start()
	applyRoutes(t, b, want...)
	all := func() {
		t.Helper()
		announcedTo(t, router, "e4", "192.0.2.0/24", "192.0.2.53/32")
		announcedTo(t, router, "e6", "2001:db8:53::/48", "2001:db8:53::53/128")
	}
	all()
	observes(t, b, "192.0.2.53/32", "2001:db8:53::53/128", "192.0.2.0/24", "2001:db8:53::/48")
	remove := func() {
		host.IP("-n " + host.NS + " addr del 192.0.2.53/32 dev anycast0")
		host.IP("-n " + host.NS + " addr del 2001:db8:53::53/128 dev anycast0")
	}
	host.Protocols("nonsense;\n") // bird.conf is broken, and the service dies
	remove()
	announcedTo(t, router, "e4")
	announcedTo(t, router, "e6")
	host.IP("-n " + host.NS + " addr add 192.0.2.53/32 dev anycast0")
	host.IP("-n " + host.NS + " addr add 2001:db8:53::53/128 dev anycast0 nodad")
	all()
	// Both are killed and the host boots, but only BIRD is started: the snippet is open.
	host.Protocols(sessions)
	host.Stop()
	remove()
	host.start()
	drivertest.Eventually(t, "the sessions", func() bool {
		return !strings.Contains(router.Imports("e4")+router.Imports("e6"), "not established")
	})
	if out := host.Say("show route export e4") + host.Say("show route export e6"); strings.Contains(out, "/24") || strings.Contains(out, "/48") {
		t.Errorf("announced without the address:\n%s", out)
	}
}

// A service with prefixes alone died while bird.conf was broken or the disk was full: its
// prefix stayed announced. Now its protocol is disabled, which needs no file, and enabled
// again when the service is back.
func TestRealNetworkShut(t *testing.T) {
	for name, tc := range map[string]struct {
		hinder func(host *realBIRD, b *Driver)
		mend   func(host *realBIRD, b *Driver)
	}{
		"bird.conf is broken": {
			func(host *realBIRD, _ *Driver) { host.Protocols(sessions + "nonsense;\n") },
			func(host *realBIRD, _ *Driver) { host.Protocols(sessions) },
		},
		"the snippet can't be written": {
			func(_ *realBIRD, b *Driver) { b.Snippet = "/nowhere/keepcast.conf" },
			func(host *realBIRD, b *Driver) { b.Snippet = host.Dir + "/keepcast.conf" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			host, router := pair(t, "192.0.2.53/32")
			b := testDriver(host.Dir)
			defer b.Close()
			dns := routeOf("192.0.2.53/32", driver.Announced)
			open, shut := networkOf("net", "203.0.113.0/24", driver.Announced), networkOf("net", "203.0.113.0/24", driver.Absent)
			drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, dns, open))
			host.start()
			router.start()
			applyRoutes(t, b, dns, open)
			announcedTo(t, router, "e4", "192.0.2.53/32", "203.0.113.0/24")
			loads := host.Configures()
			tc.hinder(host, b)
			if err := b.Apply(t.Context(), stateOf(dns, shut)); err == nil {
				t.Error("no error")
			}
			announcedTo(t, router, "e4", "192.0.2.53/32")
			if s, err := b.Observe(t.Context()); err != nil || strings.Contains(strings.Join(namesOf(s.Findings), " "), "protocol-disabled") {
				t.Errorf("%v %v", s.Findings, err)
			}
			if name == "bird.conf is broken" { // back before that is mended
				applyRoutes(t, b, dns, open)
				announcedTo(t, router, "e4", "192.0.2.53/32", "203.0.113.0/24")
				if n := host.Configures(); n != loads {
					t.Errorf("%d loads", n-loads)
				}
				if err := b.Apply(t.Context(), stateOf(dns, shut)); err == nil {
					t.Error("no error")
				}
			}
			tc.mend(host, b)
			applyRoutes(t, b, dns, shut)
			announcedTo(t, router, "e4", "192.0.2.53/32")
			if out := host.Say("show protocols 'keepcast_net-203.0.113.0-24'"); !strings.Contains(out, " up ") {
				t.Errorf("not enabled by the load:\n%s", out)
			}
			applyRoutes(t, b, dns, open)
			announcedTo(t, router, "e4", "192.0.2.53/32", "203.0.113.0/24")
			if _, err := os.Stat(b.Snippet); err != nil {
				t.Error(err)
			}
		})
	}
}

// Nothing told that the prefix of a service without an address is announced by a BIRD that
// boots without keepcast.
func TestUngated(t *testing.T) {
	desired := stateOf(
		routeOf("192.0.2.53/32", driver.Announced), networkOf("dns", "192.0.2.0/24", driver.Announced),
		networkOf("dns", "2001:db8::/48", driver.Absent), networkOf("dns", "198.51.100.0/24", driver.Announced),
	)
	var running []protocol
	for _, name := range []string{"keepcast", "keepcast_net-192.0.2.0-24", "keepcast_net-2001:db8::-48"} {
		running = append(running, protocol{name: name})
	}
	const text = ": does not follow an address of its service: a BIRD that starts without keepcast announces it if the snippet on disk lets it pass: "
	want := []string{
		"prefix-ungated (warning): bird 198.51.100.0/24" + text + "have the template originate it, as the embedded one does (.Networks)",
		"prefix-ungated (warning): bird 2001:db8::/48" + text + "give its service an address of the family, or have BIRD start after keepcast",
	}
	if d := cmp.Diff(want, someFindings(ungated(desired, running))); d != "" {
		t.Error(d)
	}
}
