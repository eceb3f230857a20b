package bird

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// namesOf is the names, levels and subjects of findings.
func namesOf(all []driver.Finding) []string {
	var out []string
	for _, f := range all {
		out = append(out, f.Name+" "+string(f.Level)+" "+f.Subject)
	}
	return out
}

// examines waits until Examine finds that.
func (r *realBIRD) examines(b *Driver, want driver.State, findings ...string) []driver.Finding {
	r.T.Helper()
	var all []driver.Finding
	if !drivertest.WaitFor(func() bool {
		all = b.Examine(r.T.Context(), want)
		return cmp.Equal(findings, namesOf(all))
	}) {
		r.T.Fatalf("%s\n%s", cmp.Diff(findings, namesOf(all)), strings.Join(someFindings(all), "\n"))
	}
	return all
}

// A whole host is looked over, and then broken in one way after the other.
func TestRealExamine(t *testing.T) {
	host, router := pairOf(t, birdStatics+`
protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; graceful restart on; ipv4 { import all; export filter keepcast_ebgp; }; }
protocol bgp i4 { local 10.98.0.1 as 65001; neighbor 10.98.0.2 as 65001; hold time 9; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ibgp; }; }
protocol ospf v2 o4 { tick 1; ipv4 { import all; export filter keepcast_igp; }; area 0 { interface "nh0" 10.99.0.0/30 { type ptp; hello 10; dead 40; }; }; }
`, drivertest.RouterConf+`
protocol ospf v2 o4 { tick 1; ipv4 { import none; export none; }; area 0 { interface "nr0" 10.99.0.0/30 { type ptp; hello 10; dead 40; }; }; }
`, "192.0.2.53/32")
	b := testDriver(host.Dir)
	defer b.Close()
	dns := routeOf("192.0.2.53/32", driver.Announced)
	want := stateOf(dns)
	all := host.examines(b, want, "daemon-down error bird")
	if !strings.Contains(all[0].Text, "bird is not running: dial unix "+b.Socket) || all[0].Fix == "" {
		t.Error(all)
	}
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, dns))
	host.start()
	router.start()
	slow := []string{"bgp-graceful-restart warning bird protocol e4", "no-bfd warning bird protocol e4", "no-bfd warning bird protocol o4 on nh0"}
	scan := "device-scan info bird"
	all = host.examines(b, want, append(slow, scan)...)
	for i, text := range []string{
		"up to 120 s", "only after 4m0s (hold time)", "only after 40s (dead)", "only every 60 s",
	} {
		if !strings.Contains(all[i].Text, text) {
			t.Errorf("%q is not about %q", all[i].Text, text)
		}
	}
	b.AS = 0
	host.examines(b, stateOf(degradedRoute("192.0.2.53/32")), slices.Concat([]string{"prepend-unused warning bird"}, slow, []string{scan})...)
	b.AS = 65001
	if n := host.Configures(); n != 0 {
		t.Errorf("it configured %d times", n)
	}
	host.Say("disable keepcast")
	host.examines(b, want, append(append([]string{"protocol-disabled error bird protocol keepcast"}, slow...), scan)...)
	host.Say("enable keepcast")

	// Nobody is announced to; the router id is an anycast address.
	host.ID = "192.0.2.53"
	host.Protocols(birdStatics)
	host.Say("configure")
	host.Stop()
	host.start()
	host.examines(b, want, "gate-unused error bird", "router-id error bird", scan)
	host.examines(b, stateOf(), "gate-unused error bird", scan)
	host.ID = "10.99.0.1"

	// Another snippet on disk; none at all; a configuration that is refused.
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b))
	host.examines(b, stateOf(), "gate-unused error bird", "snippet-differs error bird", scan)
	host.Config("nonsense")
	host.examines(b, stateOf(), "configuration-refused error bird", "gate-unused error bird", "snippet-differs error bird", scan)
	drivertest.WriteFile(t, filepath.Join(host.Dir, "bird.conf"), "log \""+host.Dir+"/bird.log\" all;\nprotocol bfd {}\n")
	host.Say("configure")
	host.examines(b, stateOf(), "device-missing error bird", "include-missing error bird", "router-id warning bird", scan)

	// BIRD runs as another user, who may not read the snippet.
	if err := os.Chown(b.Socket, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.Snippet, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(host.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	all = host.examines(b, stateOf(), "device-missing error bird", "include-missing error bird", "snippet-unreadable error bird", "router-id warning bird", scan)
	if fix := "chgrp 65534 " + b.Snippet + " && chmod g+r " + b.Snippet; all[2].Fix != fix {
		t.Errorf("got %q, want %q", all[2].Fix, fix)
	}
	os.Remove(b.Snippet)
	host.examines(b, stateOf(), "device-missing error bird", "include-missing error bird", "snippet-missing error bird", "router-id warning bird", scan)
}

func TestVersion(t *testing.T) {
	for version, old := range map[string]bool{
		"1.6.4": true, "2.0.2": true, "2.0.7": false, "2.0.12": false, "2.17.5": false, "v2.14": false, "3.0": false, "3.4.0": false, "2.0": true, "": false, "NIX": false,
	} {
		if got := len(findVersion(version)) > 0; got != old {
			t.Errorf("%q is too old: %v, want %v", version, got, old)
		}
	}
}

func TestSlowBGP(t *testing.T) {
	const address, hold, restart = "Neighbor address", "Hold timer", "Local capabilities Restart time"
	for name, tc := range map[string]struct {
		details map[string]string
		watched map[string]bool
		want    []string
	}{
		"not up":           {map[string]string{address: "10.0.0.1"}, nil, nil},
		"fast":             {map[string]string{address: "10.0.0.1", hold: "8.1/9"}, nil, nil},
		"slow":             {map[string]string{address: "10.0.0.1", hold: "200.1/240"}, nil, []string{"no-bfd"}},
		"endless":          {map[string]string{address: "10.0.0.1", hold: "0.000/0"}, nil, []string{"no-bfd"}},
		"slow, but BFD":    {map[string]string{address: "fe80::1%nh0", hold: "200.1/240"}, map[string]bool{"fe80::1": true}, nil},
		"slow, BFD is not": {map[string]string{address: "10.0.0.1", hold: "200.1/240"}, map[string]bool{"10.0.0.1": false}, []string{"no-bfd"}},
		"graceful restart": {map[string]string{address: "10.0.0.1", hold: "8.1/9", restart: "120", "Neighbor capabilities Graceful restart": "yes"}, nil, []string{"bgp-graceful-restart"}},
		"nonsense":         {map[string]string{hold: "x/y"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range slowBGPToNotice(protocol{name: "up", kind: "bgp", details: tc.details}, tc.watched) {
				got = append(got, f.Name)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	main := filepath.Join(dir, "bird.conf")
	drivertest.WriteFile(t, main, "# router id 1;\n/* protocol\n device { scan time 1; } */ include \"other.conf\";\n  include \"d/*.conf\";\n")
	if _, ok := readFiles(filepath.Join(dir, "none")); ok {
		t.Error("read a file that is not there")
	}
	if err := os.MkdirAll(filepath.Join(dir, "d", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, filepath.Join(dir, "other.conf"), "router id 10.0.0.1;")
	drivertest.WriteFile(t, filepath.Join(dir, "d", "a.conf"), "protocol device {\n scan time 7; }\ninclude \"deep/b.conf\";\n")
	drivertest.WriteFile(t, filepath.Join(dir, "d", "deep", "b.conf"), "include \"../a.conf\";\ndebug all;")
	got, ok := readFiles(main)
	// The first include is not at the beginning of its line.
	if words := strings.Fields(got); !ok || cmp.Diff([]string{"include", `"other.conf";`, "include", `"d/*.conf";`, "router", "id", "10.0.0.1;", "protocol", "device", "{", "scan", "time", "7;", "}", "include", `"deep/b.conf";`, "include", `"../a.conf";`, "debug", "all;"}, words) != "" {
		t.Errorf("%v %q", ok, words)
	}
	for text, every := range map[string]string{
		"protocol device {}": "60", "": "60", "protocol device {\n scan time 7; }": "", "protocol device d1 { scan time 11; }": "11",
		"protocol device { interface \"x\"; scan time 10; }": "", "protocol kernel { scan time 5; } protocol device {}": "60", "protocol device { scan time 99999999999999999999; }": "",
	} {
		found := findScan(text)
		if (every == "") != (len(found) == 0) || every != "" && !strings.Contains(found[0].Text, " "+every+" s ") {
			t.Errorf("%q: %v", text, found)
		}
	}
}

// Why BIRD can't be asked is said with what to do about it.
func TestExamineUnreachable(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(command string) string
		want   string
	}{
		"restricted": {func(c string) string {
			if c == "configure check" {
				return "8007 Access denied\n"
			}
			return "1000-BIRD 3.4.0\n1011-Router ID is 10.0.0.1\n0013 Daemon is up and running\n"
		}, `socket-restricted: bird: bird refuses "configure check": Access denied: .*: name the socket of bird's -s option, .*`},
		"no BIRD": {func(string) string { return "what?\n" }, `daemon-unreachable: bird: reading bird's answer to "show status": no line .*: see that this is the control socket of a bird that works: .*/bird.ctl`},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := newFakeBIRD(t, func(_ int, command string) string {
				if command == "" {
					return hello
				}
				return tc.answer(command)
			})
			b := testDriver(filepath.Dir(c.Socket))
			got := someFindings(b.Examine(t.Context(), stateOf()))
			matched := false
			for _, text := range got {
				matched = matched || regexp.MustCompile("^"+tc.want+"$").MatchString(text)
			}
			if !matched {
				t.Errorf("got  %q\nwant %s", got, tc.want)
			}
		})
	}
	_, b := readyDriver(t)
	dir := filepath.Dir(b.Socket)
	for _, err := range []error{os.Chmod(dir, 0o755), os.Chmod(b.Socket, 0o660), os.Chown(b.Socket, 0, 1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		want := "socket-forbidden: bird: keepcast may not use its control socket " + b.Socket + ": add the user that keepcast runs as to group daemon (mode of the socket is 0660) and restart keepcast"
		if d := cmp.Diff([]string{want}, someFindings(b.Examine(t.Context(), stateOf()))); d != "" {
			t.Error(d)
		}
	})
}

// A BIRD that hangs holds Examine up no longer than its timeouts.
func TestExamineHangs(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	_, c := newFakeBIRD(t, func(_ int, command string) string {
		if command == "" {
			return hello
		}
		<-release
		return ""
	})
	b := testDriver(filepath.Dir(c.Socket))
	b.Timeout = 50 * time.Millisecond
	if got := namesOf(b.Examine(t.Context(), stateOf())); !cmp.Equal(got, []string{"daemon-unreachable error bird"}) {
		t.Error(got)
	}
}
