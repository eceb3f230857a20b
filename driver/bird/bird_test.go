package bird

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/community"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// testDriver returns a driver with the settings that the config package would give
// it, and its files in dir.
func testDriver(dir string) *Driver {
	return &Driver{
		Socket: filepath.Join(dir, "bird.ctl"), Snippet: filepath.Join(dir, "keepcast.conf"), Timeout: 5 * time.Second,
		AS: 65001, opts: driver.Options{Log: slog.New(slog.DiscardHandler)},
	}
}

// packagedDriver has its snippet where the packages have it.
func packagedDriver() *Driver {
	b := testDriver("/etc/bird")
	b.Snippet = "/var/lib/keepcast/bird.conf"
	return b
}

func stateOf(routes ...driver.Route) driver.State {
	return driver.State{Interface: "anycast0", Routes: routes}
}

func routeOf(prefix string, p driver.Presence) driver.Route {
	return driver.Route{Prefix: netip.MustParsePrefix(prefix), Service: "dns", Presence: p}
}

func degradedRoute(prefix string) driver.Route {
	r := routeOf(prefix, driver.Announced)
	r.Degraded, r.Attributes = true, drivertest.Worse()
	return r
}

func routeWith(prefix string, a driver.Attributes) driver.Route {
	r := routeOf(prefix, driver.Announced)
	r.Attributes = a
	return r
}

func prefixRoute(prefix string, p driver.Presence) driver.Route {
	r := routeOf(prefix, p)
	r.PrefixOnly, r.Interface = true, "nowhere0"
	return r
}

func routeOn(iface, prefix string, p driver.Presence) driver.Route {
	r := routeOf(prefix, p)
	r.Interface = iface
	return r
}

// goldens are the snippets that are compared byte for byte and then read by
// the real bird.
var goldens = map[string]struct {
	as   uint32
	want driver.State
}{
	"none.golden": {65001, stateOf()},
	"some.golden": {65001, stateOf(
		routeOf("2001:db8:53::53/128", driver.Announced),
		routeOf("203.0.113.1/24", driver.Announced),
		routeOf("203.0.113.2/24", driver.Announced), // the same prefix once more
		routeOf("192.0.2.53/32", driver.Announced),
		routeOf("192.0.2.54/32", driver.Delivered),
		routeOf("192.0.2.55/32", driver.Absent),
	)},
	"degraded.golden": {65001, stateOf(
		routeOf("192.0.2.53/32", driver.Announced), degradedRoute("192.0.2.54/32"), degradedRoute("192.0.2.55/32"),
		degradedRoute("2001:db8:53::53/128"),
	)},
	"attributes.golden": {65001, stateOf(
		routeWith("192.0.2.53/32", driver.Attributes{Prepend: 3, Communities: []community.Standard{{High: 65001, Low: 100}}}),
		routeWith("192.0.2.54/32", driver.Attributes{
			MED: new(uint32(0)), LocalPref: new(uint32(4294967295)), Prepend: 10, Metric: new(uint32(16777214)),
			Communities: []community.Standard{{High: 65535, Low: 0}, {High: 65535, Low: 65281}}, LargeCommunities: []community.Large{{Global: 4294967295, Local1: 0, Local2: 1}, {Global: 65001, Local1: 1, Local2: 2}},
		}),
		routeWith("2001:db8:53::53/128", driver.Attributes{Metric: new(uint32(5)), LargeCommunities: []community.Large{{Global: 65001, Local1: 1, Local2: 2}}}),
	)},
	"prefixes.golden": {65001, stateOf(prefixRoute("203.0.113.0/24", driver.Announced), prefixRoute("2001:db8::/48", driver.Announced), prefixRoute("198.51.100.0/24", driver.Absent))},
	"networks.golden": {65001, stateOf(
		routeOf("192.0.2.53/32", driver.Delivered), routeOf("2001:db8:53::53/128", driver.Announced),
		networkOf("dns", "192.0.2.0/24", driver.Absent), networkOf("dns", "2001:db8:53::/48", driver.Announced),
		networkOf("exit", "0.0.0.0/0", driver.Announced), networkOf("exit", "::/0", driver.Announced),
	)},
	"interfaces.golden": {65001, stateOf(routeOn("any-1", "192.0.2.53/32", driver.Announced), routeOn("any.2:v", "2001:db8:53::53/128", driver.Delivered), routeOf("192.0.2.54/32", driver.Announced))},
	"noas.golden":       {0, stateOf(degradedRoute("192.0.2.53/32"), routeOf("2001:db8:53::/64", driver.Announced))},
}

func TestGolden(t *testing.T) {
	for name, tc := range goldens {
		t.Run(name, func(t *testing.T) {
			b := packagedDriver()
			b.AS = tc.as
			got, err := b.Render(tc.want)
			if err != nil {
				t.Fatal(err)
			}
			drivertest.Golden(t, name, got)
			if out, err := parses(t, string(got)); err != nil {
				t.Errorf("bird refuses it: %s", out)
			} else if out != "" {
				t.Errorf("bird warns: %s", out)
			}
		})
	}
}

// A snippet that BIRD must refuse, so that the test above is known to be able to fail.
func TestGoldenBroken(t *testing.T) {
	broken, err := os.ReadFile("testdata/broken.golden")
	if err != nil {
		t.Fatal(err)
	}
	out, err := parses(t, string(broken))
	if err == nil || !strings.Contains(out, "syntax error") {
		t.Errorf("bird took it: %v: %s", err, out)
	}
}

// parses has the real bird read an operator's configuration with the snippet.
func parses(t *testing.T, snippet string) (string, error) {
	t.Helper()
	program := drivertest.BIRDProgram(t)
	dir := t.TempDir()
	drivertest.WriteFile(t, filepath.Join(dir, "keepcast.conf"), snippet)
	drivertest.WriteFile(t, filepath.Join(dir, "bird.conf"), `router id 10.99.0.1;
protocol device {}
include "`+dir+`/keepcast.conf";
protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; ipv4 { import all; export filter keepcast_ebgp; }; }
protocol bgp i6 { local fd99::1 as 65001; neighbor fd99::2 as 65001; ipv6 { import all; export filter keepcast_ibgp; }; }
protocol ospf v2 o4 { ipv4 { export filter keepcast_igp; }; area 0 {}; }
filter mine { keepcast_to_ebgp(); keepcast_to_ibgp(); keepcast_to_igp(); if source = RTS_STATIC then accept; reject; }
protocol rip r4 { ipv4 { export filter mine; }; }
protocol babel b6 { ipv6 { export filter keepcast_igp; }; }
protocol static cover { ipv4 { table keepcast4; }; route 203.0.113.0/24 blackhole; }
`)
	out, err := exec.Command(program, "-p", "-c", filepath.Join(dir, "bird.conf")).CombinedOutput()
	return string(out), err
}

// The fingerprint stands for the whole text: it is the same for the same text
// and another for each other one.
func TestFingerprint(t *testing.T) {
	seen := map[string]string{}
	for name, tc := range goldens {
		b := packagedDriver()
		b.AS = tc.as
		_, state, err := b.render(tc.want)
		if err != nil {
			t.Fatal(err)
		}
		_, again, _ := b.render(tc.want)
		if state != again || seen[state] != "" || len(state) != 12 {
			t.Errorf("%s: %q, then %q; also that of %q", name, state, again, seen[state])
		}
		seen[state] = name
	}
}

func TestRenderErrors(t *testing.T) {
	dir := t.TempDir()
	drivertest.WriteFile(t, filepath.Join(dir, templateName), "filter keepcast_gate { reject; }\n")
	unmarked := t.TempDir()
	drivertest.WriteFile(t, filepath.Join(unmarked, templateName), "define keepcast_state = \"{{.State}}\";\n")
	for name, tc := range map[string]struct {
		iface, templates, err string
	}{
		"no interface":        {"", "", `interface "": BIRD's configuration cannot name it`},
		"quote in interface":  {`any"0`, "", `interface "any\"0": BIRD's configuration cannot name it`},
		"interface pattern":   {"any*", "", `interface "any*": BIRD's configuration cannot name it`},
		"quote in another":    {"any'0", "", `interface "any'0": BIRD's configuration cannot name it`},
		"template with no id": {"any0", dir, `template bird.conf.tmpl: it must have the line 'define keepcast_state = "{{.State}}";'`},
		"template, no mark":   {"any0", unmarked, `template bird.conf.tmpl: it must have the line 'attribute int keepcast_announced;', and its gate set that`},
	} {
		t.Run(name, func(t *testing.T) {
			b := packagedDriver()
			b.Open(driver.Options{Log: b.opts.Log, Templates: tc.templates})
			if _, err := b.Render(driver.State{Interface: tc.iface}); err == nil || err.Error() != tc.err {
				t.Errorf("got  %v\nwant %s", err, tc.err)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	b := packagedDriver()
	if err := b.Validate(); err != nil {
		t.Error(err)
	}
	b.Socket = "bird.ctl"
	if err := b.Validate(); err == nil || err.Error() != `socket: "bird.ctl" is no absolute path that fits into bird.conf` {
		t.Error(err)
	}
	b.Socket, b.Snippet = "/run/bird.ctl", "/etc/\"/k"
	if err := b.Validate(); err == nil || err.Error() != `snippet: "/etc/\"/k" is no absolute path that fits into bird.conf` {
		t.Error(err)
	}
}

// Whose the fault is depends on the file that BIRD names.
func TestFault(t *testing.T) {
	const (
		ours   = "keepcast's snippet is at fault"
		theirs = "bird's configuration is at fault outside of keepcast's snippet, correct it there"
	)
	for name, tc := range map[string]struct{ text, want string }{
		"ours":          {"/var/lib/keepcast/bird.conf:30:5 syntax error", ours},
		"ours, 2.0.2":   {"/var/lib/keepcast/bird.conf, line 30: syntax error", ours},
		"in a chroot":   {"/keepcast/bird.conf:30:5 syntax error", ours},
		"theirs":        {"/etc/bird/bird.conf:3:1 syntax error", theirs},
		"no path":       {"bird.conf:3:1 syntax error", theirs},
		"no such file":  {"/etc/bird/bird.conf: No such file or directory", theirs},
		"without place": {"out of luck", theirs},
	} {
		t.Run(name, func(t *testing.T) {
			refused := &ctl.Refusal{Command: "configure check", Code: ctl.CodeConfigError, Text: tc.text}
			refusal := `bird refuses "configure check": ` + tc.text + " (code 8002)"
			err := packagedDriver().blame(refused, nil)
			if want := tc.want + " (the old snippet is back in place): " + refusal; drivertest.ErrText(err) != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			err = packagedDriver().blame(refused, fs.ErrPermission)
			want := tc.want + ": " + refusal + "; bird cannot start like this, since putting the old snippet back: permission denied"
			if drivertest.ErrText(err) != want || !errors.Is(err, refused) || !errors.Is(err, fs.ErrPermission) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestKind(t *testing.T) {
	k := Kind()
	d := k.New()
	for what, ok := range map[string]bool{
		"Watcher": isKind[driver.Watcher](d), "Renderer": isKind[driver.Renderer](d), "Validator": isKind[driver.Validator](d), "Examiner": isKind[driver.Examiner](d), "Opener": isKind[driver.Opener](d),
	} {
		if !ok {
			t.Errorf("bird is no %s", what)
		}
	}
	if err := d.(driver.Opener).Close(); err != nil {
		t.Error(err)
	}
}

func isKind[T any](d driver.Driver) bool {
	_, ok := d.(T)
	return ok
}
