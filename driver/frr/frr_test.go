package frr

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/community"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func testFRR(dir string, daemons ...string) *FRR {
	f := newFRR()
	f.Directory, f.Snippet, f.Daemons, f.Timeout = dir, filepath.Join(dir, "keepcast-frr.conf"), daemons, 10*time.Second
	return f
}

// frrRouteOf is a route with the attributes that the configuration sets where
// nothing else is configured.
func frrRouteOf(prefix string, p driver.Presence, degraded bool) driver.Route {
	r := driver.Route{Prefix: netip.MustParsePrefix(prefix), Service: "dns", Presence: p, Degraded: degraded}
	if degraded {
		r.Attributes = driver.Attributes{MED: new(uint32(1000)), LocalPref: new(uint32(50)), Prepend: 2, Metric: new(uint32(20000))}
	}
	return r
}

func frrState(routes ...driver.Route) driver.State {
	return driver.State{Interface: "anycast0", Routes: routes}
}

// frrEvery are the daemons that keepcast can drive.
func frrEvery() []string { return frrDialect().names() }

// frrRich is a route with all that a route can be announced with.
func frrRich(prefix string, degraded bool) driver.Route {
	r := frrRouteOf(prefix, driver.Announced, degraded)
	r.Attributes = driver.Attributes{
		MED: new(uint32(0)), LocalPref: new(uint32(200)), Prepend: 3, Metric: new(uint32(5)),
		Communities:      []community.Standard{{High: 65535, Low: 0}, {High: 65001, Low: 100}, {High: 65001, Low: 20}},
		LargeCommunities: []community.Large{{Global: 65001, Local1: 2, Local2: 10}, {Global: 65001, Local1: 1, Local2: 4294967295}},
	}
	return r
}

func frrPrefixOnly(prefix string, p driver.Presence) driver.Route {
	r := frrRouteOf(prefix, p, false)
	r.PrefixOnly = true
	return r
}

func frrGoldens() map[string]frrGoldenCase {
	plain := frrRouteOf("192.0.2.60/32", driver.Announced, true)
	plain.Attributes = driver.Attributes{}
	return map[string]frrGoldenCase{
		"frr-none.golden": {frrEvery(), frrState()},
		"frr-some.golden": {frrEvery(), frrState(
			frrRouteOf("192.0.2.54/32", driver.Announced, true), frrRouteOf("192.0.2.53/32", driver.Announced, false), frrRouteOf("192.0.2.55/32", driver.Delivered, false),
			frrRouteOf("203.0.113.1/24", driver.Announced, false), frrRouteOf("2001:db8:53::53/128", driver.Announced, true), frrRouteOf("2001:db8:53::54/128", driver.Absent, true),
		)},
		"frr-rich.golden": {frrEvery(), frrState(
			frrRich("192.0.2.54/32", true), frrRich("192.0.2.55/32", false), plain, frrPrefixOnly("198.51.100.0/24", driver.Announced),
			frrRich("2001:db8:53::53/128", true), frrPrefixOnly("2001:db8:54::/48", driver.Delivered),
		)},
		"frr-bgpd.golden": {[]string{"bgpd"}, frrState(frrRouteOf("192.0.2.53/32", driver.Announced, false))},
	}
}

type frrGoldenCase struct {
	daemons []string
	want    driver.State
}

func TestFRRGolden(t *testing.T) {
	for name, tc := range frrGoldens() {
		t.Run(name, func(t *testing.T) {
			got, err := testFRR("/run/frr", tc.daemons...).Render(tc.want)
			if err != nil {
				t.Fatal(err)
			}
			drivertest.Golden(t, name, got)
			if out, err := vtyshReads(t, got); err != nil || out != "" {
				t.Errorf("vtysh refuses it: %v: %s", err, out)
			}
			slices.Reverse(tc.want.Routes)
			again, err := testFRR("/run/frr", tc.daemons...).Render(tc.want)
			if d := cmp.Diff(string(got), string(again)); err != nil || d != "" {
				t.Errorf("the same state in another order renders otherwise: %v\n%s", err, d)
			}
		})
	}
}

// A snippet that FRR must refuse, so that the test above is known to be able to fail.
func TestFRRGoldenBroken(t *testing.T) {
	broken, err := os.ReadFile("testdata/frr-broken.golden")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := vtyshReads(t, broken); err == nil || !strings.Contains(out, "% Unknown command") {
		t.Errorf("vtysh took it: %v: %s", err, out)
	}
}

// vtyshReads has the real vtysh check a snippet.
func vtyshReads(t *testing.T, snippet []byte) (string, error) {
	t.Helper()
	program := drivertest.Program(t, "vtysh")
	path := filepath.Join(t.TempDir(), "frr.conf")
	asNumber := regexp.MustCompile(`\bAS\b`)
	if err := os.WriteFile(path, asNumber.ReplaceAll(snippet, []byte("65001")), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "-C", "-f", path).CombinedOutput()
	return string(out), err
}

func TestFRRValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*FRR)
		want   string
	}{
		"good":          {func(*FRR) {}, ""},
		"no daemons":    {func(f *FRR) { f.Daemons = nil }, "daemons: none given (bgpd, ospfd, ospf6d, isisd, ripd, ripngd, babeld)"},
		"not yet":       {func(f *FRR) { f.Daemons = []string{"bgpd", "eigrpd"} }, `daemons: "eigrpd" cannot be driven (bgpd, ospfd, ospf6d, isisd, ripd, ripngd, babeld can)`},
		"twice":         {func(f *FRR) { f.Daemons = []string{"bgpd", "bgpd"} }, `daemons: "bgpd" twice`},
		"relative path": {func(f *FRR) { f.Snippet = "frr.conf" }, `snippet: "frr.conf" is not an absolute path`},
		"several":       {func(f *FRR) { f.Directory, f.Daemons = "", nil }, "directory: \"\" is not an absolute path\ndaemons: none given (bgpd, ospfd, ospf6d, isisd, ripd, ripngd, babeld)"},
	} {
		t.Run(name, func(t *testing.T) {
			f := testFRR("/run/frr", "bgpd")
			tc.change(f)
			if got := drivertest.ErrText(f.Validate()); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestFRRKind(t *testing.T) {
	k := Kind()
	d := k.New()
	_, watches := d.(driver.Watcher)
	_, renders := d.(driver.Renderer)
	_, validates := d.(driver.Validator)
	_, opens := d.(driver.Opener)
	if !watches || !renders || !validates || !opens {
		t.Errorf("Watcher %v, Renderer %v, Validator %v, Opener %v", watches, renders, validates, opens)
	}
}

func TestFRRTemplateOfOperator(t *testing.T) {
	for name, tc := range map[string]struct{ template, want string }{
		"no section":  {"! daemon: ospfd\n", `template frr.conf.tmpl: no section "! daemon: bgpd"`},
		"foreign":     {"! daemon: bgpd\nrouter bgp\n no neighbor 10.0.0.1\n", `template frr.conf.tmpl: section bgpd: "no neighbor 10.0.0.1" is nothing keepcast can keep up to date (only prefix-list entries with seq and route-map entries named KEEPCAST..., and network lines in router bgp)`},
		"not a field": {"{{.Nonsense}}", "can't evaluate field Nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "frr.conf.tmpl"), []byte(tc.template), 0o644); err != nil {
				t.Fatal(err)
			}
			f := testFRR(dir, "bgpd")
			f.Open(driver.Options{Templates: dir})
			if err := f.Apply(t.Context(), frrState()); !strings.Contains(drivertest.ErrText(err), tc.want) {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestFRROriginates(t *testing.T) {
	show := func(m map[netip.Prefix]bool) string {
		var out []string
		for _, p := range sortedPrefixes(m) {
			out = append(out, p.String())
		}
		return strings.Join(out, " ")
	}
	one := func(b bool) map[netip.Prefix]bool {
		if b {
			return map[netip.Prefix]bool{netip.MustParsePrefix("0.0.0.0/0"): true}
		}
		return nil
	}
	for name, tc := range map[string]struct {
		got  map[netip.Prefix]bool
		want string
	}{
		"bgp own":          {one(bgpOriginates(`{"prefix":"192.0.2.7/32","paths":[{"valid":true,"sourced":true,"local":true}]}`)), "0.0.0.0/0"},
		"bgp no address":   {one(bgpOriginates(`{"paths":[{"valid":false,"sourced":true,"local":true}]}`)), ""},
		"bgp another's":    {one(bgpOriginates(`{"paths":[{"valid":true,"peer":{"peerId":"10.99.0.2"}}]}`)), ""},
		"bgp both":         {one(bgpOriginates(`{"paths":[{"valid":true},{"valid":true,"local":true}]}`)), "0.0.0.0/0"},
		"bgp none":         {one(bgpOriginates("{\n}\n")), ""},
		"ospf 8.4":         {ospfOriginates(`{ "routerId": "10.99.0.1", "AS External Link States": { "192.0.2.7": { "lsaAge": 6, "linkStateId": "192.0.2.7", "networkMask": 32 }, "192.0.2.8": { "lsaAge": 3600, "linkStateId": "192.0.2.8", "networkMask": 32 } } }`), "192.0.2.7/32"},
		"ospf later":       {ospfOriginates(`{"routerId":"10.99.0.1","asExternalLinkStates":[{"lsaAge":6,"linkStateId":"203.0.113.255","networkMask":24}]}`), "203.0.113.0/24"},
		"ospf off":         {ospfOriginates("% OSPF is not enabled on vrf default\n"), ""},
		"ospf6":            {ospf6Originates(`{"asScopedLinkStateDb":[{"lsa":[{"type":"ASE","age":3,"payload":"2001:db8::7/128"},{"age":3600,"payload":"2001:db8::8/128"}]}]}`), "2001:db8::7/128"},
		"isis":             {isisOriginates(frrISIS), "192.0.2.7/32 2001:db8::7/128"},
		"isis, no router":  {isisOriginates(""), ""},
		"isis, a cut line": {isisOriginates("vm.00-00 *\n  IPv6 Reachability: 2001:db8::7"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := show(tc.got); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

const frrISIS = `Area A:
IS-IS Level-2 link-state database:
LSP ID                  PduLen  SeqNumber   Chksum  Holdtime  ATT/P/OL
vm.00-00             *     87   0x00000004  0xe704    1177    0/0/0
  Protocols Supported: IPv4, IPv6
  Hostname: vm
  Extended Reachability: 0000.0000.0002.00 (Metric: 10)
  Extended IP Reachability: 192.0.2.7/32 (Metric: 10)
vm.00-01             *     87   0x00000004  0xe704    1177    0/0/0
  MT IPv6 Reachability: 2001:db8::7/128 (Metric: 20000)
other.00-00                87   0x00000004  0xe704    1177    0/0/0
  Extended IP Reachability: 192.0.2.8/32 (Metric: 10)

    2 LSPs

`

func FuzzFRROriginates(f *testing.F) {
	f.Add(frrISIS)
	f.Add(`{"a":[{"linkStateId":"10.0.0.0","networkMask":-8,"lsaAge":1},{"payload":"::/0"},{"local":true,"valid":true}]}`)
	f.Fuzz(func(_ *testing.T, text string) {
		bgpOriginates(text)
		ospfOriginates(text)
		ospf6Originates(text)
		isisOriginates(text)
	})
}
