package driver

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
)

// testBIRD returns a driver with the settings that the config package would give
// it, and its files in dir.
func testBIRD(dir string) *BIRD {
	return &BIRD{
		Socket: filepath.Join(dir, "bird.ctl"), Snippet: filepath.Join(dir, "keepcast.conf"), Timeout: 5 * time.Second,
		AS: 65001, host: Host{Log: slog.New(slog.DiscardHandler)},
	}
}

// packagedBIRD has its snippet where the packages have it.
func packagedBIRD() *BIRD {
	b := testBIRD("/etc/bird")
	b.Snippet = "/var/lib/keepcast/bird.conf"
	return b
}

func birdRoutes(routes ...Route) State { return State{Interface: "anycast0", Routes: routes} }

func birdRouteOf(prefix string, p Presence) Route {
	return Route{Prefix: netip.MustParsePrefix(prefix), Service: "dns", Presence: p}
}

func birdDegraded(prefix string) Route {
	r := birdRouteOf(prefix, Announced)
	r.Degraded, r.Attributes = true, worse()
	return r
}

func birdWith(prefix string, a Attributes) Route {
	r := birdRouteOf(prefix, Announced)
	r.Attributes = a
	return r
}

func birdNetwork(prefix string, p Presence) Route {
	r := birdRouteOf(prefix, p)
	r.GateOnly, r.Interface = true, "nowhere0"
	return r
}

func birdOn(iface, prefix string, p Presence) Route {
	r := birdRouteOf(prefix, p)
	r.Interface = iface
	return r
}

// birdGoldens are the snippets that are compared byte for byte and then read by
// the real bird.
var birdGoldens = map[string]struct {
	as   uint32
	want State
}{
	"bird-none.golden": {65001, birdRoutes()},
	"bird-some.golden": {65001, birdRoutes(
		birdRouteOf("2001:db8:53::53/128", Announced),
		birdRouteOf("203.0.113.1/24", Announced),
		birdRouteOf("203.0.113.2/24", Announced), // the same prefix once more
		birdRouteOf("192.0.2.53/32", Announced),
		birdRouteOf("192.0.2.54/32", Delivered),
		birdRouteOf("192.0.2.55/32", Absent),
	)},
	"bird-degraded.golden": {65001, birdRoutes(
		birdRouteOf("192.0.2.53/32", Announced), birdDegraded("192.0.2.54/32"), birdDegraded("192.0.2.55/32"),
		birdDegraded("2001:db8:53::53/128"),
	)},
	"bird-attributes.golden": {65001, birdRoutes(
		birdWith("192.0.2.53/32", Attributes{Prepend: 3, Communities: []Community{{65001, 100}}}),
		birdWith("192.0.2.54/32", Attributes{
			MED: new(uint32(0)), LocalPref: new(uint32(4294967295)), Prepend: 10, Metric: new(uint32(16777214)),
			Communities: []Community{{65535, 0}, {65535, 65281}}, LargeCommunities: []LargeCommunity{{4294967295, 0, 1}, {65001, 1, 2}},
		}),
		birdWith("2001:db8:53::53/128", Attributes{Metric: new(uint32(5)), LargeCommunities: []LargeCommunity{{65001, 1, 2}}}),
	)},
	"bird-prefixes.golden":   {65001, birdRoutes(birdNetwork("203.0.113.0/24", Announced), birdNetwork("2001:db8::/48", Announced), birdNetwork("198.51.100.0/24", Absent))},
	"bird-interfaces.golden": {65001, birdRoutes(birdOn("any-1", "192.0.2.53/32", Announced), birdOn("any.2:v", "2001:db8:53::53/128", Delivered), birdRouteOf("192.0.2.54/32", Announced))},
	"bird-noas.golden":       {0, birdRoutes(birdDegraded("192.0.2.53/32"), birdRouteOf("2001:db8:53::/64", Announced))},
}

func TestBIRDGolden(t *testing.T) {
	for name, tc := range birdGoldens {
		t.Run(name, func(t *testing.T) {
			b := packagedBIRD()
			b.AS = tc.as
			got, err := b.Render(tc.want)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, got)
			if out, err := birdReads(t, string(got)); err != nil {
				t.Errorf("bird refuses it: %s", out)
			} else if out != "" {
				t.Errorf("bird warns: %s", out)
			}
		})
	}
}

// A snippet that BIRD must refuse, so that the test above is known to be able to fail.
func TestBIRDGoldenBroken(t *testing.T) {
	broken, err := os.ReadFile("testdata/bird-broken.golden")
	if err != nil {
		t.Fatal(err)
	}
	out, err := birdReads(t, string(broken))
	if err == nil || !strings.Contains(out, "syntax error") {
		t.Errorf("bird took it: %v: %s", err, out)
	}
}

// birdReads has the real bird read an operator's configuration with the snippet.
func birdReads(t *testing.T, snippet string) (string, error) {
	t.Helper()
	program := birdProgram(t)
	dir := t.TempDir()
	birdWrite(t, filepath.Join(dir, "keepcast.conf"), snippet)
	birdWrite(t, filepath.Join(dir, "bird.conf"), `router id 10.99.0.1;
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

func birdWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The fingerprint stands for the whole text: it is the same for the same text
// and another for each other one.
func TestBIRDFingerprint(t *testing.T) {
	seen := map[string]string{}
	for name, tc := range birdGoldens {
		b := packagedBIRD()
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

func TestBIRDRenderErrors(t *testing.T) {
	dir := t.TempDir()
	birdWrite(t, filepath.Join(dir, birdTemplate), "filter keepcast_gate { reject; }\n")
	unmarked := t.TempDir()
	birdWrite(t, filepath.Join(unmarked, birdTemplate), "define keepcast_state = \"{{.State}}\";\n")
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
			b := packagedBIRD()
			b.SetHost(Host{Log: b.host.Log, Templates: tc.templates})
			if _, err := b.Render(State{Interface: tc.iface}); err == nil || err.Error() != tc.err {
				t.Errorf("got  %v\nwant %s", err, tc.err)
			}
		})
	}
}

func TestBIRDValidate(t *testing.T) {
	b := packagedBIRD()
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
func TestBIRDFault(t *testing.T) {
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
			refused := &birdError{Command: "configure check", Code: birdConfigError, Text: tc.text}
			refusal := `bird refuses "configure check": ` + tc.text + " (code 8002)"
			err := packagedBIRD().fault(refused, nil)
			if want := tc.want + " (the old snippet is back in place): " + refusal; birdText(err) != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			err = packagedBIRD().fault(refused, fs.ErrPermission)
			want := tc.want + ": " + refusal + "; bird cannot start like this, since putting the old snippet back: permission denied"
			if birdText(err) != want || !errors.Is(err, refused) || !errors.Is(err, fs.ErrPermission) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestBIRDKind(t *testing.T) {
	k, err := KindByName("bird")
	if err != nil {
		t.Fatal(err)
	}
	d := k.New()
	for what, ok := range map[string]bool{
		"Watcher": birdIs[Watcher](d), "Renderer": birdIs[Renderer](d), "Validator": birdIs[Validator](d), "Closer": birdIs[Closer](d), "Examiner": birdIs[Examiner](d), "Follower": birdIs[Follower](d), "Hoster": birdIs[Hoster](d),
	} {
		if !ok {
			t.Errorf("bird is no %s", what)
		}
	}
	if err := d.(Closer).Close(); err != nil {
		t.Error(err)
	}
}

func birdIs[T any](d Driver) bool {
	_, ok := d.(T)
	return ok
}
