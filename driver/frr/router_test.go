package frr

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// frrSessions is what an operator has in bgpd for the tests with a router: the path
// is made longer towards 10.99.0.2, and towards fd99::2 behind his own filter.
const frrSessions = `ipv6 prefix-list MINE6 seq 5 permit 2001:db8:1::/48
route-map OUT permit 10
 match ipv6 address prefix-list MINE6
exit
route-map OUT permit 20
 call KEEPCAST-EBGP
exit
router bgp 65001
 neighbor 10.99.0.2 timers connect 1
 neighbor fd99::2 timers connect 1
 neighbor 10.98.0.2 remote-as 65001
 neighbor 10.98.0.2 timers connect 1
 address-family ipv4 unicast
  neighbor 10.99.0.2 route-map KEEPCAST-EBGP out
 exit-address-family
 address-family ipv6 unicast
  neighbor fd99::2 route-map OUT out
 exit-address-family
exit
`

// bird starts a BIRD at the other end of nh0.
func (r *realFRR) bird(conf string) *drivertest.BIRD {
	r.t.Helper()
	router := drivertest.NewBIRD(r.t)
	router.ID = "10.99.0.2"
	router.Config(conf)
	frrRun(r.t, "ip link set nr0 netns "+router.NS)
	for _, words := range []string{"link set nr0 up", "addr add 10.99.0.2/30 dev nr0", "addr add 10.98.0.2/30 dev nr0", "addr add fd99::2/64 dev nr0 nodad"} {
		router.IP("-n " + router.NS + " " + words)
	}
	frrRun(r.t, "ip addr add 10.98.0.1/30 dev nh0")
	router.Start()
	return router
}

// frrPaths are the attributes of a route that a test looks at.
var frrPaths = regexp.MustCompile(`(?m)^\s*(?:BGP|bgp|RIP|rip|Babel|babel)[._](as_path|path|med|local_pref|community|large_community|metric): *(.*?) *$`)

// heardFrom returns what the router has of a prefix from a session, "" for nothing.
func heardFrom(r *drivertest.BIRD, session, prefix string) string {
	r.T.Helper()
	out := r.Say("show route " + prefix + " protocol " + session + " all")
	if !strings.Contains(out, prefix) {
		return ""
	}
	var got []string
	for _, m := range frrPaths.FindAllStringSubmatch(out, -1) {
		got = append(got, m[1]+"="+m[2])
	}
	return strings.Join(got, " ")
}

// frrHears waits until the router hears that.
func frrHears(t *testing.T, router *drivertest.BIRD, session, prefix, want string) {
	t.Helper()
	got := ""
	defer func() {
		if t.Failed() {
			t.Logf("%s: %s: heard %q last", session, prefix, got)
		}
	}()
	frrUntil(t, session+" hears "+prefix+" "+want, func() bool {
		got = heardFrom(router, session, prefix)
		return got == want
	})
}

// peersUp is bgpd with sessions to a router that are up, in that operator's timer.
func peersUp(t *testing.T, timer string) (*realFRR, *drivertest.BIRD) {
	r := newRealFRR(t, "bgpd")
	r.enter("bgpd", timer+"\n"+frrSessions)
	router := r.bird(drivertest.RouterConf)
	for _, session := range []string{"e4", "e6", "i4"} {
		frrUntil(t, session+" is up", func() bool { return strings.Contains(router.Say("show protocols "+session), "Established") })
	}
	return r, router
}

// What the neighbors are sent, whatever the operator's delay-timer is: with 600 and
// with 0, nothing that waits for it would come within the test. The sessions are
// up before keepcast is there for the first time, which is when it matters.
func TestFRRRealPaths(t *testing.T) {
	for name, timer := range map[string]string{
		"default": "no bgp route-map delay-timer", "600 s": "bgp route-map delay-timer 600", "off": "bgp route-map delay-timer 0",
	} {
		t.Run(name, func(t *testing.T) {
			r, router := peersUp(t, timer)
			f := testFRR(r.dir, "bgpd")
			defer f.Close()
			before := r.operators("bgpd")
			r.addr("add", frr4)
			r.addr("add", frr6+" nodad")
			up4, up6 := frrRouteOf(frr4, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false)
			frrApply(t, f, up4, up6)
			frrHears(t, router, "e4", frr4, "as_path=65001 med=0 local_pref=100")
			frrHears(t, router, "i4", frr4, "as_path= med=0 local_pref=100")
			frrHears(t, router, "e6", frr6, "as_path=65001 med=0 local_pref=100")
			for session, theirs := range map[string]string{"e4": "198.51.101.0/24", "e6": "2001:db8:99::/48"} {
				if got := heardFrom(router, session, theirs); got != "" {
					t.Errorf("%s is sent %s, which is not keepcast's: %s", session, theirs, got)
				}
			}

			frrApply(t, f, frrRouteOf(frr4, driver.Announced, true), frrRouteOf(frr6, driver.Announced, true))
			frrHears(t, router, "e4", frr4, "as_path=65001 65001 65001 med=1000 local_pref=100")
			frrHears(t, router, "i4", frr4, "as_path= med=1000 local_pref=50")
			frrHears(t, router, "e6", frr6, "as_path=65001 65001 65001 med=1000 local_pref=100")
			frrApply(t, f, frrRich(frr4, false), up6)
			const more = " community=(65001,20) (65001,100) (65535,0) large_community=(65001, 1, 4294967295) (65001, 2, 10)"
			frrHears(t, router, "e4", frr4, "as_path=65001 65001 65001 65001 med=0 local_pref=100"+more)
			frrHears(t, router, "i4", frr4, "as_path= med=0 local_pref=200"+more)
			frrHears(t, router, "e6", frr6, "as_path=65001 med=0 local_pref=100")

			// An operator's template changes what the route-maps do, not which ones are named.
			f.Open(driver.Options{Templates: frrWorse(t)})
			frrApply(t, f, up4, up6)
			frrHears(t, router, "e4", frr4, "as_path=65001 med=77 local_pref=100")
			frrHears(t, router, "i4", frr4, "as_path= med=0 local_pref=66")
			frrHears(t, router, "e6", frr6, "as_path=65001 med=77 local_pref=100")
			f.Open(driver.Options{})
			frrApply(t, f, up4, up6)
			frrHears(t, router, "e4", frr4, "as_path=65001 med=0 local_pref=100")
			frrHears(t, router, "i4", frr4, "as_path= med=0 local_pref=100")

			frrApply(t, f, frrRouteOf(frr4, driver.Delivered, false), up6) // the address stays: the gate alone
			frrHears(t, router, "e4", frr4, "")
			frrHears(t, router, "i4", frr4, "")
			if got := r.operators("bgpd"); got != before {
				t.Errorf("the operator's lines changed\nfrom %s\nto   %s", before, got)
			}
		})
	}
}

// frrWorse returns a directory with a template that sets other attributes in
// KEEPCAST-EBGP and KEEPCAST-ANNOUNCED.
func frrWorse(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../templates/frr.conf.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	other := strings.NewReplacer("route-map KEEPCAST-EBGP permit {{.Seq}}\n", "route-map KEEPCAST-EBGP permit {{.Seq}}\n set metric 77\n", " set tag {{.Tag}}\n", " set tag {{.Tag}}\n set local-preference 66\n")
	if err := os.WriteFile(filepath.Join(dir, "frr.conf.tmpl"), []byte(other.Replace(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What is announced for iBGP with a prepend is not taken for a loop, and a change
// of one route is one message about it to each neighbor.
func TestFRRRealQuiet(t *testing.T) {
	r, router := peersUp(t, "")
	f := testFRR(r.dir, "bgpd")
	defer f.Close()
	r.addr("add", frr4)
	r.addr("add", "192.0.2.54/32")
	two := frrRouteOf("192.0.2.54/32", driver.Announced, false)
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, false), two)
	frrHears(t, router, "e4", two.Prefix.String(), "as_path=65001 med=0 local_pref=100")
	frrHears(t, router, "e4", frr4, "as_path=65001 med=0 local_pref=100")
	before := router.Imports("e4")
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, true), two)
	frrHears(t, router, "e4", frr4, "as_path=65001 65001 65001 med=1000 local_pref=100")
	frrApply(t, f, frrRouteOf(frr4, driver.Delivered, false), two)
	frrHears(t, router, "e4", frr4, "")
	if before != "updates 2, withdraws 0" || router.Imports("e4") != "updates 3, withdraws 1" {
		t.Errorf("from %s to %s", before, router.Imports("e4"))
	}
}

// The own AS of the prepending follows the operator's.
func TestFRRRealOtherAS(t *testing.T) {
	r := newRealFRR(t, "bgpd")
	f := testFRR(r.dir, "bgpd")
	defer f.Close()
	r.addr("add", frr4)
	prepends := func() []string {
		var out []string
		for _, e := range parseRunning(r.ask("bgpd", "show running-config")).entries {
			for _, l := range e.lines {
				if strings.HasPrefix(l, "set as-path prepend ") && len(strings.Fields(l)) == 5 {
					out = append(out, l)
				}
			}
		}
		return out
	}
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, true))
	if got := prepends(); !slices.Equal(got, []string{"set as-path prepend 65001 65001"}) {
		t.Errorf("got %q", got)
	}
	r.ask("bgpd", "configure terminal", "no router bgp 65001", "end")
	if err := f.Apply(t.Context(), frrState(frrRouteOf(frr4, driver.Announced, true))); err == nil {
		t.Error("no error without router bgp")
	}
	if got := prepends(); len(got) > 0 {
		t.Errorf("without router bgp: %q", got)
	}
	r.ask("bgpd", "configure terminal", "router bgp 4200000001", "end")
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, true))
	if got := prepends(); !slices.Equal(got, []string{"set as-path prepend 4200000001 4200000001"}) {
		t.Errorf("got %q", got)
	}
}

// Nothing stays behind of services that are gone, whatever they were announced with.
func TestFRRRealNothingLeft(t *testing.T) {
	all := frrEvery()
	r := newRealFRR(t, all...)
	f := testFRR(r.dir, all...)
	defer f.Close()
	whole := func() string {
		var out []string
		for _, d := range all {
			c := parseRunning(r.ask(r.configuredBy(d), "show running-config"))
			for _, k := range sortedKeys(c.entries) {
				out = append(out, d+": "+k.command(c.entries[k].head)+" "+strings.Join(c.entries[k].lines, "; "))
			}
			for _, p := range sortedPrefixes(c.networks) {
				out = append(out, d+": "+networkLine(p, c.networks[p]))
			}
		}
		return strings.Join(out, "\n")
	}
	frrApply(t, f)
	before := whole()
	frrRun(t, "ip route add blackhole 203.0.113.0/24")
	r.addr("add", frr4)
	net := frrPrefixOnly("203.0.113.0/24", driver.Announced)
	want := frrState(frrRich(frr4, true), frrRich("192.0.2.54/32", false), frrRouteOf(frr6, driver.Announced, true), net)
	err := f.Apply(t.Context(), want)
	for line := range strings.SplitSeq(drivertest.ErrText(err), "\n") {
		if !strings.Contains(line, "by the gate") { // the operator has no redistribute lines for the network
			t.Errorf("got %q", line)
		}
	}
	if text := whole(); !strings.Contains(text, degradedSuffix) || !strings.Contains(text, "-8-DEGRADED") && !strings.Contains(text, "-5-DEGRADED") {
		t.Errorf("nothing was made:\n%s", text)
	}
	frrApply(t, f)
	if after := whole(); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
}

// An operator who saved while an address was announced: a bgpd that starts with that
// is closed at once when keepcast comes to it.
func TestFRRRealSavedOpen(t *testing.T) {
	r := newRealFRR(t, "bgpd")
	f := testFRR(r.dir, "bgpd")
	defer f.Close()
	r.addr("add", frr4)
	frrRun(t, "ip route add blackhole 203.0.113.0/24")
	net := netip.MustParsePrefix("203.0.113.0/24")
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, true), frrPrefixOnly(net.String(), driver.Announced))
	saved := r.ask("bgpd", "show running-config")
	r.stop("bgpd")
	r.start("bgpd")
	var lines []string
	for l := range strings.Lines(saved) {
		if !strings.HasPrefix(l, "frr ") && !strings.HasPrefix(l, "hostname ") && !strings.HasPrefix(l, "service ") && l != "end\n" {
			lines = append(lines, l)
		}
	}
	r.enter("bgpd", strings.Join(lines, ""))
	if r.networks(frr4, net.String()) == "" {
		t.Fatal("the saved configuration has no open gate")
	}
	frrApply(t, f, frrRouteOf(frr4, driver.Delivered, false), frrPrefixOnly(net.String(), driver.Delivered))
	if got := r.networks(frr4, net.String()); got != "" {
		t.Errorf("still open: %s", got)
	}
}
