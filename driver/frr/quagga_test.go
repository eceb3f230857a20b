package frr

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/community"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func testQuagga(dir string, daemons ...string) *Quagga {
	q := newQuagga()
	q.Directory, q.Snippet, q.Daemons, q.AS, q.Timeout = dir, filepath.Join(dir, "keepcast-quagga.conf"), daemons, 65001, 10*time.Second
	return q
}

// quaggaThere is a prefix that every host has an address of.
const quaggaThere = "127.0.0.0/8"

var (
	quaggaWorse = driver.Attributes{MED: new(uint32(1000)), LocalPref: new(uint32(50)), Prepend: 2, Communities: []community.Standard{{High: 65535, Low: 65281}, {High: 65001, Low: 100}}, Metric: new(uint32(20000))}
	quaggaOther = driver.Attributes{MED: new(uint32(7)), Communities: []community.Standard{{High: 65535, Low: 0}}}
)

func quaggaRouteOf(prefix string, p driver.Presence, a driver.Attributes) driver.Route {
	return driver.Route{Prefix: netip.MustParsePrefix(prefix), Service: "dns", Presence: p, Degraded: !a.IsZero(), Attributes: a}
}

func quaggaApply(t *testing.T, q *Quagga, routes ...driver.Route) {
	t.Helper()
	if err := q.Apply(t.Context(), frrState(routes...)); err != nil {
		t.Fatal(err)
	}
}

var quaggaBGPd = []string{
	"bgp router-id 10.0.0.11", "redistribute connected route-map KEEPCAST", "neighbor 10.0.0.1 remote-as 65002",
	"neighbor 10.0.0.1 route-map KEEPCAST-EBGP out",
}

func TestQuaggaGolden(t *testing.T) {
	network := quaggaRouteOf("203.0.113.0/24", driver.Announced, driver.Attributes{})
	network.PrefixOnly = true
	routes := []driver.Route{
		quaggaRouteOf("192.0.2.53/32", driver.Announced, driver.Attributes{}), quaggaRouteOf("192.0.2.54/32", driver.Announced, quaggaWorse), quaggaRouteOf("192.0.2.55/32", driver.Delivered, driver.Attributes{}),
		quaggaRouteOf("2001:db8:53::53/128", driver.Announced, quaggaWorse), quaggaRouteOf("2001:db8:53::54/128", driver.Announced, quaggaOther), network,
	}
	for name, want := range map[string]driver.State{"quagga-some.golden": frrState(routes...), "quagga-none.golden": frrState()} {
		t.Run(name, func(t *testing.T) {
			q := testQuagga("/run/quagga", quaggaDialect().names()...)
			got, err := q.Render(want)
			if err != nil {
				t.Fatal(err)
			}
			drivertest.Golden(t, name, got)
			sections, err := quaggaDialect().parseSections(got)
			if err != nil || len(sections) != 2 {
				t.Errorf("sections %v, %v", sections, err)
			}
			slices.Reverse(want.Routes)
			if again, err := q.Render(want); err != nil || string(got) != string(again) {
				t.Errorf("the same state in another order renders otherwise: %v", err)
			}
		})
	}
}

// bgpd: what is permitted, with what, and which commands that takes.
func TestQuaggaBGP(t *testing.T) {
	dir := t.TempDir()
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", quaggaBGPd...)
	bgpd.family6 = []string{"redistribute connected route-map KEEPCAST6", "neighbor fd99::2 activate", "neighbor fd99::2 route-map KEEPCAST6-EBGP out"}
	q := testQuagga(dir, "bgpd")
	defer q.Close()
	has := func(what string, want map[string]string) {
		t.Helper()
		got := map[string]string{}
		for key := range want {
			name, prefix, _ := strings.Cut(key, " ")
			got[key] = bgpd.passes(name, prefix)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	redone := func() bool {
		return slices.ContainsFunc(bgpd.taken(), func(c string) bool {
			return strings.HasPrefix(c, "clear") || strings.Contains(c, "redistribute")
		})
	}
	quaggaApply(t, q, quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}), quaggaRouteOf(frr6, driver.Announced, driver.Attributes{}), quaggaRouteOf("192.0.2.9/32", driver.Delivered, driver.Attributes{}))
	has("announced", map[string]string{
		"KEEPCAST " + frr4: "permit", "KEEPCAST6 " + frr6: "permit", "KEEPCAST-EBGP " + frr4: "permit", "KEEPCAST6-OUT " + frr6: "permit",
		"KEEPCAST 192.0.2.9/32": "deny", "KEEPCAST-EBGP 192.0.2.9/32": "deny", "KEEPCAST 10.0.0.0/24": "deny",
	})
	if redone() {
		t.Error("bgpd had to redistribute again for an address that is not on the host")
	}
	quaggaApply(t, q, quaggaRouteOf(frr4, driver.Announced, quaggaWorse), quaggaRouteOf(frr6, driver.Announced, quaggaOther), quaggaRouteOf("192.0.2.9/32", driver.Delivered, driver.Attributes{}))
	has("degraded", map[string]string{
		"KEEPCAST " + frr4:       "permit",
		"KEEPCAST-EBGP " + frr4:  "permit, set as-path prepend 65001 65001, set community 65001:100 65535:65281 additive, set local-preference 50, set metric 1000",
		"KEEPCAST-OUT " + frr4:   "permit, set community 65001:100 65535:65281 additive, set local-preference 50, set metric 1000",
		"KEEPCAST6-EBGP " + frr6: "permit, set community 65535:0 additive, set metric 7",
	})
	bgpd.taken()
	quaggaApply(t, q, quaggaRouteOf(frr4, driver.Announced, quaggaWorse), quaggaRouteOf(frr6, driver.Announced, quaggaOther), quaggaRouteOf("192.0.2.9/32", driver.Delivered, driver.Attributes{}))
	if sent := bgpd.taken(); len(sent) > 0 {
		t.Errorf("the same state again sent %q", sent)
	}
	quaggaApply(t, q, quaggaRouteOf(frr4, driver.Delivered, driver.Attributes{}))
	has("withdrawn", map[string]string{"KEEPCAST " + frr4: "deny", "KEEPCAST-EBGP " + frr4: "deny", "KEEPCAST6 " + frr6: "deny"})
	quaggaApply(t, q)
	var left []string
	for _, l := range bgpd.lists {
		left = append(left, strings.Fields(l)[2]+" "+strings.Join(strings.Fields(l)[5:], " "))
	}
	slices.Sort(left)
	if d := cmp.Diff([]string{"KEEPCAST deny any", "KEEPCAST6 deny any"}, left); d != "" {
		t.Errorf("lists left behind (-want +got):\n%s", d)
	}
}

// What changes for a prefix that is on the host has to be looked at.
func TestQuaggaBGPObserve(t *testing.T) {
	dir := t.TempDir()
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", quaggaBGPd...)
	q := testQuagga(dir, "bgpd")
	defer q.Close()
	bgpd.show("show ip bgp "+quaggaThere, quaggaOwn)
	toggle := []string{"configure terminal", "router bgp 65001", "redistribute connected route-map KEEPCAST", "no redistribute connected", "redistribute connected route-map KEEPCAST"}
	soft := []string{"clear ip bgp * soft out", "clear bgp ipv6 * soft out"}
	for _, step := range []struct {
		what string
		to   driver.Route
		want []string
	}{
		{"opened", quaggaRouteOf(quaggaThere, driver.Announced, driver.Attributes{}), slices.Concat(toggle, soft)},
		{"degraded", quaggaRouteOf(quaggaThere, driver.Announced, quaggaWorse), soft},
		{"otherwise degraded", quaggaRouteOf(quaggaThere, driver.Announced, quaggaOther), soft},
		{"closed", quaggaRouteOf(quaggaThere, driver.Absent, driver.Attributes{}), slices.Concat(toggle, soft)},
	} {
		quaggaApply(t, q, step.to)
		sent := bgpd.taken()
		if len(sent) < len(step.want) || !slices.Equal(sent[len(sent)-len(step.want):], step.want) {
			t.Errorf("%s: sent %q, which does not end in %q", step.what, sent, step.want)
		}
		if !slices.Equal(step.want, soft) != slices.Contains(sent, "no redistribute connected") {
			t.Errorf("%s: sent %q", step.what, sent)
		}
	}
}

// An entry that somebody changed is made anew, not added to.
func TestQuaggaRepairs(t *testing.T) {
	dir := t.TempDir()
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", quaggaBGPd...)
	bgpd.blocks["route-map KEEPCAST permit 10"] = []string{"match ip address prefix-list KEEPCAST", "set metric 5"}
	bgpd.blocks["route-map KEEPCAST6 deny 10"] = []string{"match ip address prefix-list MINE"}
	bgpd.blocks["route-map KEEPCAST-OUT permit 7"] = []string{}
	bgpd.lists = []string{"ip prefix-list KEEPCAST seq 77 permit " + frr4, "ip prefix-list KEEPCAST seq 5 permit 0.0.0.0/0", "ip prefix-list MINE seq 5 permit 10.0.0.0/8"}
	q := testQuagga(dir, "bgpd")
	defer q.Close()
	quaggaApply(t, q, quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}))
	for _, name := range []string{"KEEPCAST", "KEEPCAST-OUT", "KEEPCAST-EBGP"} {
		if got, other := bgpd.passes(name, frr4), bgpd.passes(name, "10.0.0.0/8"); got != "permit" || other != "deny" {
			t.Errorf("%s: %s, and anything else: %s", name, got, other)
		}
	}
	if !slices.Contains(bgpd.lists, "ip prefix-list MINE seq 5 permit 10.0.0.0/8") {
		t.Errorf("somebody else's list is gone: %q", bgpd.lists)
	}
}

// A network without an address is a network line, which nothing else is.
func TestQuaggaNetworks(t *testing.T) {
	dir := t.TempDir()
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", append(slices.Clone(quaggaBGPd), "network 198.51.100.0/24", "network "+frr4)...)
	bgpd.family6 = []string{"redistribute connected route-map KEEPCAST6"}
	q := testQuagga(dir, "bgpd")
	defer q.Close()
	four, six := quaggaRouteOf("203.0.113.0/24", driver.Announced, driver.Attributes{}), quaggaRouteOf("2001:db8:1::/48", driver.Announced, driver.Attributes{})
	four.PrefixOnly, six.PrefixOnly = true, true
	networks := func(want ...string) {
		t.Helper()
		var got []string
		for _, l := range slices.Concat(bgpd.blocks["router bgp 65001"], bgpd.family6) {
			if p, ok := strings.CutPrefix(l, "network "); ok {
				got = append(got, p)
			}
		}
		if d := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); d != "" {
			t.Errorf("networks (-want +got):\n%s", d)
		}
	}
	// The address with a network line would never be withdrawn: that goes.
	quaggaApply(t, q, quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}), four, six)
	networks("198.51.100.0/24", "203.0.113.0/24", "2001:db8:1::/48")
	four.Presence, six.Presence = driver.Absent, driver.Absent
	quaggaApply(t, q, quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}), four, six)
	networks("198.51.100.0/24")
}

// ospfd: metrics, the same redistribute line once more, and what got lost.
func TestQuaggaOSPF(t *testing.T) {
	dir := t.TempDir()
	ospfd := newFakeQuagga(t, dir, "ospfd", "router ospf", "redistribute connected metric-type 1 route-map KEEPCAST")
	q := testQuagga(dir, "ospfd")
	defer q.Close()
	there := func(a driver.Attributes) []driver.Route {
		return []driver.Route{quaggaRouteOf(quaggaThere, driver.Announced, a), quaggaRouteOf(frr6, driver.Announced, driver.Attributes{})}
	}
	again := []string{"configure terminal", "router ospf", "redistribute connected metric-type 1 route-map KEEPCAST"}
	redone := func(what string, want bool) {
		t.Helper()
		sent := ospfd.taken()
		if got := len(sent) >= 3 && slices.Equal(sent[len(sent)-3:], again); got != want {
			t.Errorf("%s: sent %q", what, sent)
		}
	}
	quaggaApply(t, q, there(driver.Attributes{})...)
	redone("announced", true)
	quaggaApply(t, q, there(driver.Attributes{})...)
	redone("no LSA came of it", true)
	ospfd.show("show ip ospf database external self-originate", quaggaLSA(60, "127.0.0.0", 8))
	quaggaApply(t, q, there(driver.Attributes{})...)
	redone("the LSA is there", false)
	ospfd.show("show ip ospf database external self-originate", quaggaLSA(3600, "127.0.0.0", 8))
	quaggaApply(t, q, there(driver.Attributes{})...)
	redone("the LSA is on its way out", true)
	quaggaApply(t, q, there(quaggaWorse)...)
	redone("degraded", true)
	if got := ospfd.passes("KEEPCAST", quaggaThere); got != "permit, set metric 20000" {
		t.Error(got)
	}
	quaggaApply(t, q, there(quaggaOther)...)
	if got := ospfd.passes("KEEPCAST", quaggaThere); got != "permit" {
		t.Errorf("other attributes than a metric: %s", got)
	}
}

// isisd: nothing is ever sent; the interface has to speak IS-IS.
func TestQuaggaISISd(t *testing.T) {
	dir := t.TempDir()
	isisd := newFakeQuagga(t, dir, "isisd", "router isis A", "net 49.0001.0000.0000.0001.00")
	q := testQuagga(dir, "isisd")
	defer q.Close()
	want := frrState(quaggaRouteOf(frr4, driver.Announced, quaggaWorse), quaggaRouteOf(frr6, driver.Announced, driver.Attributes{}), quaggaRouteOf("192.0.2.9/32", driver.Absent, driver.Attributes{}))
	isisd.blocks["interface anycast0"] = []string{"ip router isis A", "isis passive"}
	if got := frrFound(findingsIn(q.Apply(t.Context(), want))); !slices.Equal(got, []string{"error gate-unused isisd anycast0 ipv6"}) {
		t.Errorf("found %q", got)
	}
	isisd.blocks["interface anycast0"] = []string{"ip router isis A", "ipv6 router isis A", "isis passive"}
	quaggaApply(t, q, want.Routes...)
	network := quaggaRouteOf("203.0.113.0/24", driver.Announced, driver.Attributes{})
	network.PrefixOnly = true
	if got := frrFound(findingsIn(q.Apply(t.Context(), frrState(network)))); !slices.Equal(got, []string{"error prefix-only isisd 203.0.113.0/24"}) {
		t.Errorf("found %q", got)
	}
	if sent := isisd.taken(); len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}
}

func quaggaAt(directory, snippet string, daemons ...string) *Quagga {
	q := newQuagga()
	q.Directory, q.Snippet, q.Daemons = directory, snippet, daemons
	return q
}

func TestQuaggaValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		q    *Quagga
		want string
	}{
		"fine":     {quaggaAt("/run/quagga", "/var/lib/keepcast/quagga.conf", "bgpd", "isisd"), ""},
		"relative": {quaggaAt("run", "quagga.conf", "bgpd"), "directory: \"run\" is not an absolute path\nsnippet: \"quagga.conf\" is not an absolute path"},
		"none":     {quaggaAt("/r", "/s"), "daemons: none given (bgpd, ospfd, isisd)"},
		"not one":  {quaggaAt("/r", "/s", "ripd", "bgpd", "bgpd"), "daemons: \"ripd\" cannot be driven (bgpd, ospfd, isisd can)\ndaemons: \"bgpd\" twice"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := drivertest.ErrText(tc.q.Validate()); got != tc.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
