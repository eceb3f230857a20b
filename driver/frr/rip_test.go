package frr

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// The router's side. Its timeouts are longer than a test waits: what goes within
// it was told to be gone.
const (
	frrRouterRIP = `
protocol rip r4 { ipv4 { import all; export none; }; interface "nr0" { update time 5; timeout time 300; garbage time 300; }; }
protocol rip ng r6 { ipv6 { import all; export none; }; interface "nr0" { update time 5; timeout time 300; garbage time 300; }; }
`
	frrRouterBabel = `
protocol babel b { ipv4 { import all; export none; }; ipv6 { import all; export none; }; interface "nr0" { type wired; hello interval 1 s; update interval 1 s; }; }
`
)

// RIP in both families: announced, degraded and withdrawn by the address; then by
// the gate alone, of which the neighbors have to be told, too.
func TestFRRRealRIP(t *testing.T) {
	r := newRealFRR(t, "ripd", "ripngd")
	router := r.bird(frrRouterRIP)
	f := testFRR(r.dir, "ripd", "ripngd")
	defer f.Close()
	blind := r.configuredBy("ripngd") == "ripngd"
	degraded6 := "metric=9"
	if blind {
		degraded6 = "metric=2"
	}
	second := "192.0.2.54/32"
	routes := func(p driver.Presence, degraded bool) []driver.Route {
		return []driver.Route{frrRouteOf(frr4, p, degraded), frrRouteOf(frr6, p, degraded), frrRouteOf(second, driver.Announced, false)}
	}
	for _, a := range []string{frr4, second, frr6 + " nodad"} {
		r.addr("add", a)
	}
	frrApply(t, f, routes(driver.Delivered, false)...)
	frrHears(t, router, "r4", second, "metric=2")
	if got := heardFrom(router, "r4", frr4) + heardFrom(router, "r6", frr6) + heardFrom(router, "r4", "10.98.0.0/30"); got != "" {
		t.Errorf("heard of what is withdrawn, or the operator's: %s", got)
	}
	frrApply(t, f, routes(driver.Announced, false)...)
	frrHears(t, router, "r4", frr4, "metric=2")
	frrHears(t, router, "r6", frr6, "metric=2")
	frrApply(t, f, routes(driver.Announced, true)...)
	frrHears(t, router, "r4", frr4, "metric=9")
	frrHears(t, router, "r6", frr6, degraded6)
	frrApply(t, f, routes(driver.Announced, false)...)
	frrHears(t, router, "r4", frr4, "metric=2")

	// RIP holds the news back that the address is gone while it has just sent some: a
	// gate that denies would then swallow it.
	r.addr("del", second)
	frrHears(t, router, "r4", second, "")
	r.addr("add", second)
	r.addr("del", frr4)
	r.addr("del", frr6)
	frrApply(t, f, routes(driver.Delivered, false)...)
	frrHears(t, router, "r4", frr4, "")
	frrHears(t, router, "r6", frr6, "")

	// The gate alone.
	frrApply(t, f, routes(driver.Announced, false)...)
	r.addr("add", frr4)
	r.addr("add", frr6+" nodad")
	frrHears(t, router, "r4", frr4, "metric=2")
	frrHears(t, router, "r6", frr6, "metric=2")
	frrApply(t, f, routes(driver.Delivered, false)...)
	frrHears(t, router, "r4", frr4, "")
	if !blind {
		frrHears(t, router, "r6", frr6, "")
	} else if parseRunning(r.ask("ripngd", "show running-config")).allows(frr6) {
		t.Error("ripngd goes on sending it")
	}
	frrHears(t, router, "r4", second, "metric=2")
}

// Babel: the list decides what is sent, and the neighbors forget the rest.
func TestFRRRealBabel(t *testing.T) {
	r := newRealFRR(t, "babeld")
	router := r.bird(frrRouterBabel)
	f := testFRR(r.dir, "babeld")
	defer f.Close()
	r.addr("add", frr4)
	r.addr("add", frr6+" nodad")
	hears := func(want bool) {
		t.Helper()
		frrUntil(t, "the router's routes", func() bool {
			return (heardFrom(router, "b", frr4) != "") == want && (heardFrom(router, "b", frr6) != "") == want
		})
	}
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false))
	hears(true)
	if got := heardFrom(router, "b", "10.98.0.0/30"); got != "" {
		t.Errorf("heard of the operator's network: %s", got)
	}
	frrApply(t, f, frrRouteOf(frr4, driver.Delivered, false), frrRouteOf(frr6, driver.Delivered, false))
	hears(false)
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false))
	hears(true)
	r.addr("del", frr4)
	r.addr("del", frr6)
	hears(false)
}

// mgmtd refuses what comes while it commits for another: keepcast says it again, and
// gives the reason if that goes on.
func TestFRRLocked(t *testing.T) {
	const line = "ip prefix-list KEEPCAST seq 5 permit 192.0.2.53/32"
	for name, tc := range map[string]struct {
		refuse int
		want   string
	}{
		"not":      {0, ""},
		"a while":  {3, ""},
		"for ever": {1 << 30, `mgmtd refused "` + line + `": % command failed, could not lock candidate DS (status 255)`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			drivertest.NewVtyServer(t, filepath.Join(dir, "ripd.vty"), func(command string) string {
				return map[string]string{"show version": "FRRouting 10.3 (vm) on Linux.\n"}[command] + "\x00\x00\x00\x00"
			})
			refuse, has := tc.refuse, ""
			mgmtd := drivertest.NewVtyServer(t, filepath.Join(dir, "mgmtd.vty"), func(command string) string {
				switch command {
				case "show running-config":
					return has + "\x00\x00\x00\x00"
				case line:
					if refuse--; refuse >= 0 {
						return "% command failed, could not lock candidate DS\n\x00\x00\x00\xff"
					}
					has = line + "\n"
				}
				return "\x00\x00\x00\x00"
			})
			if err := os.WriteFile(filepath.Join(dir, "frr.conf.tmpl"), []byte("! daemon: ripd\n"+line+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			f := testFRR(dir, "ripd")
			defer f.Close()
			f.Open(driver.Options{Templates: dir})
			f.Timeout = 500 * time.Millisecond
			if err := f.Apply(t.Context(), frrState()); drivertest.ErrText(err) != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if n := strings.Count(mgmtd.Received(), line); tc.refuse < 10 && n != tc.refuse+1 {
				t.Errorf("said %d times: %s", n, mgmtd.Received())
			}
			refuse = 0
			if err := f.Apply(t.Context(), frrState()); err != nil {
				t.Errorf("free again: %v", err)
			}
		})
	}
}

// Networks without an address: each daemon opens and closes the gate for one, and
// the others stay announced all the time.
func TestFRRRealPrefixOnly(t *testing.T) {
	const netA, netB, netA6, netB6 = "203.0.113.0/24", "198.18.0.0/15", "2001:db8:a::/48", "2001:db8:b::/48"
	all := []string{"bgpd", "ospfd", "ospf6d", "isisd", "ripd", "ripngd"}
	r := newRealFRR(t, all...)
	router := r.bird(frrRouterRIP)
	for d, lines := range map[string]string{
		"ospfd": "router ospf\n redistribute kernel route-map KEEPCAST", "ospf6d": "router ospf6\n redistribute kernel route-map KEEPCAST6",
		"isisd": "router isis A\n redistribute ipv4 kernel level-2 route-map KEEPCAST\n redistribute ipv6 kernel level-2 route-map KEEPCAST6",
		"ripd":  "router rip\n redistribute kernel route-map KEEPCAST", "ripngd": "router ripng\n redistribute kernel route-map KEEPCAST6",
	} {
		r.enter(r.configuredBy(d), lines)
	}
	for _, p := range []string{netA, netB, netA6, netB6} {
		frrRun(t, "ip route add blackhole "+p)
	}
	proxy := newFRRProxy(t, r.dir, append(slices.Clone(all), mgmtdName)...)
	f := testFRR(proxy.dir, all...)
	defer f.Close()
	apply := func(a, b driver.Presence) []string {
		t.Helper()
		proxy.taken()
		frrApply(t, f, frrPrefixOnly(netA, a), frrPrefixOnly(netA6, a), frrPrefixOnly(netB, b), frrPrefixOnly(netB6, b))
		return proxy.taken()
	}
	// has waits until each daemon announces A and B, or not.
	has := func(a, b bool) {
		t.Helper()
		blind := r.configuredBy("ripngd") == "ripngd" // then it stops, but tells nobody
		for p, want := range map[string]bool{netA: a, netB: b, netA6: a, netB6: b} {
			prefix := netip.MustParsePrefix(p)
			for _, d := range []string{"bgpd", "ospfd", "ospf6d", "isisd"} {
				if !frrSpec(d).carries(prefix.Addr()) {
					continue
				}
				frrUntil(t, d+" and "+p, func() bool {
					got, err := testFRR(r.dir, d).daemon(d).database(t, prefix)
					return err == nil && got == want
				})
			}
			if session := map[bool]string{true: "r4", false: "r6"}[prefix.Addr().Is4()]; want || !blind || session == "r4" {
				frrUntil(t, session+" and "+p, func() bool { return (heardFrom(router, session, p) != "") == want })
			}
		}
	}
	toggled := func(commands []string, router string) bool {
		commands = slices.Compact(commands) // mgmtd is told again what it was too busy for
		i := slices.Index(commands, router)
		return i >= 0 && strings.HasPrefix(commands[i+1], "no redistribute kernel")
	}
	apply(driver.Delivered, driver.Delivered)
	has(false, false)
	if sent := apply(driver.Announced, driver.Delivered); !toggled(sent, "router ospf6") {
		t.Errorf("the first one has to wait: %q", sent)
	}
	has(true, false)
	if sent := apply(driver.Announced, driver.Announced); toggled(sent, "router ospf6") || toggled(sent, "router rip") {
		t.Errorf("the first one suffers by the second: %q", sent)
	}
	has(true, true)
	if sent := apply(driver.Delivered, driver.Announced); toggled(sent, "router ospf6") || toggled(sent, "router rip") {
		t.Errorf("the second one suffers by the first: %q", sent)
	}
	has(false, true)
	if sent := apply(driver.Delivered, driver.Delivered); !toggled(sent, "router ospf6") || !toggled(sent, "router ripng") {
		t.Errorf("the last one has to wait: %q", sent)
	}
	has(false, false)
	frrApply(t, f)
	has(false, false)
}

// database tells whether the daemon itself announces the prefix.
func (d *daemon) database(t *testing.T, p netip.Prefix) (bool, error) {
	defer d.vty.Close()
	if err := d.open(t.Context()); err != nil {
		return false, err
	}
	if d.vty.Daemon == "bgpd" {
		found, err := d.paths(t.Context(), "", []netip.Prefix{p})
		return found[p].valid, err
	}
	answers, err := d.vty.Ask(t.Context(), d.originated)
	if err != nil {
		return false, err
	}
	return d.readOriginated(answers[0])[p], nil
}
