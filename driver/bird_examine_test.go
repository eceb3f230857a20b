package driver

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// birdNamesOf is the names, levels and subjects of findings.
func birdNamesOf(all []Finding) []string {
	var out []string
	for _, f := range all {
		out = append(out, f.Name+" "+string(f.Level)+" "+f.Subject)
	}
	return out
}

// examines waits until Examine finds that.
func (r *realBIRD) examines(b *BIRD, want State, findings ...string) []Finding {
	r.t.Helper()
	var all []Finding
	if !birdWait(func() bool {
		all = b.Examine(r.t.Context(), want)
		return cmp.Equal(findings, birdNamesOf(all))
	}) {
		r.t.Fatalf("%s\n%s", cmp.Diff(findings, birdNamesOf(all)), strings.Join(birdFindings(all), "\n"))
	}
	return all
}

// A whole host is looked over, and then broken in one way after the other.
func TestBIRDRealExamine(t *testing.T) {
	host, router := birdPairOf(t, birdStatics+`
protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; graceful restart on; ipv4 { import all; export filter keepcast_ebgp; }; }
protocol bgp i4 { local 10.98.0.1 as 65001; neighbor 10.98.0.2 as 65001; hold time 9; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ibgp; }; }
protocol ospf v2 o4 { tick 1; ipv4 { import all; export filter keepcast_igp; }; area 0 { interface "nh0" 10.99.0.0/30 { type ptp; hello 10; dead 40; }; }; }
`, birdRouter+`
protocol ospf v2 o4 { tick 1; ipv4 { import none; export none; }; area 0 { interface "nr0" 10.99.0.0/30 { type ptp; hello 10; dead 40; }; }; }
`, "192.0.2.53/32")
	b := testBIRD(host.dir)
	defer b.Close()
	dns := birdRouteOf("192.0.2.53/32", Announced)
	want := birdRoutes(dns)
	all := host.examines(b, want, "daemon-down breaks bird")
	if !strings.Contains(all[0].Text, "bird is not running: dial unix "+b.Socket) || all[0].Fix == "" {
		t.Error(all)
	}
	birdWrite(t, b.Snippet, birdRender(t, b, dns))
	host.start()
	router.start()
	slow := []string{"bgp-graceful-restart risks bird protocol e4", "no-bfd risks bird protocol e4", "no-bfd risks bird protocol o4 on nh0"}
	scan := "device-scan note bird"
	all = host.examines(b, want, append(slow, scan)...)
	for i, text := range []string{
		"up to 120 s", "only after 4m0s (hold time)", "only after 40s (dead)", "only every 60 s",
	} {
		if !strings.Contains(all[i].Text, text) {
			t.Errorf("%q is not about %q", all[i].Text, text)
		}
	}
	b.AS = 0
	host.examines(b, birdRoutes(birdDegraded("192.0.2.53/32")), slices.Concat([]string{"prepend-unused risks bird"}, slow, []string{scan})...)
	b.AS = 65001
	if n := host.configures(); n != 0 {
		t.Errorf("it configured %d times", n)
	}
	host.say("disable keepcast")
	host.examines(b, want, append(append([]string{"protocol-disabled breaks bird protocol keepcast"}, slow...), scan)...)
	host.say("enable keepcast")

	// Nobody is announced to; the router id is an anycast address.
	host.id = "192.0.2.53"
	host.protocols(birdStatics)
	host.say("configure")
	host.stop()
	host.start()
	host.examines(b, want, "gate-unused breaks bird", "router-id breaks bird", scan)
	host.examines(b, birdRoutes(), "gate-unused breaks bird", scan)
	host.id = "10.99.0.1"

	// Another snippet on disk; none at all; a configuration that is refused.
	birdWrite(t, b.Snippet, birdRender(t, b))
	host.examines(b, birdRoutes(), "gate-unused breaks bird", "snippet-differs breaks bird", scan)
	host.config("nonsense")
	host.examines(b, birdRoutes(), "configuration-refused breaks bird", "gate-unused breaks bird", "snippet-differs breaks bird", scan)
	birdWrite(t, filepath.Join(host.dir, "bird.conf"), "log \""+host.dir+"/bird.log\" all;\nprotocol bfd {}\n")
	host.say("configure")
	host.examines(b, birdRoutes(), "device-missing breaks bird", "include-missing breaks bird", "router-id risks bird", scan)

	// BIRD runs as another user, who may not read the snippet.
	if err := os.Chown(b.Socket, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.Snippet, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(host.dir, 0o711); err != nil {
		t.Fatal(err)
	}
	all = host.examines(b, birdRoutes(), "device-missing breaks bird", "include-missing breaks bird", "snippet-unreadable breaks bird", "router-id risks bird", scan)
	if fix := "chgrp 65534 " + b.Snippet + " && chmod g+r " + b.Snippet; all[2].Fix != fix {
		t.Errorf("got %q, want %q", all[2].Fix, fix)
	}
	os.Remove(b.Snippet)
	host.examines(b, birdRoutes(), "device-missing breaks bird", "include-missing breaks bird", "snippet-missing breaks bird", "router-id risks bird", scan)
}

func TestBIRDVersion(t *testing.T) {
	for version, old := range map[string]bool{
		"1.6.4": true, "2.0.2": true, "2.0.7": false, "2.0.12": false, "2.17.5": false, "v2.14": false, "3.0": false, "3.4.0": false, "2.0": true, "": false, "NIX": false,
	} {
		if got := len(birdVersion(version)) > 0; got != old {
			t.Errorf("%q is too old: %v, want %v", version, got, old)
		}
	}
}

func TestBIRDSlowBGP(t *testing.T) {
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
		"graceful restart": {map[string]string{address: "10.0.0.1", hold: "8.1/9", restart: "120"}, nil, []string{"bgp-graceful-restart"}},
		"nonsense":         {map[string]string{hold: "x/y"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range birdSlowBGP(birdProto{name: "up", kind: "bgp", details: tc.details}, tc.watched) {
				got = append(got, f.Name)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBIRDFiles(t *testing.T) {
	dir := t.TempDir()
	main := filepath.Join(dir, "bird.conf")
	birdWrite(t, main, "# router id 1;\n/* protocol\n device { scan time 1; } */ include \"other.conf\";\n  include \"d/*.conf\";\n")
	if _, ok := birdFiles(filepath.Join(dir, "none")); ok {
		t.Error("read a file that is not there")
	}
	if err := os.MkdirAll(filepath.Join(dir, "d", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	birdWrite(t, filepath.Join(dir, "other.conf"), "router id 10.0.0.1;")
	birdWrite(t, filepath.Join(dir, "d", "a.conf"), "protocol device {\n scan time 7; }\ninclude \"deep/b.conf\";\n")
	birdWrite(t, filepath.Join(dir, "d", "deep", "b.conf"), "include \"../a.conf\";\ndebug all;")
	got, ok := birdFiles(main)
	// The first include is not at the beginning of its line.
	if words := strings.Fields(got); !ok || cmp.Diff([]string{"include", `"other.conf";`, "include", `"d/*.conf";`, "router", "id", "10.0.0.1;", "protocol", "device", "{", "scan", "time", "7;", "}", "include", `"deep/b.conf";`, "include", `"../a.conf";`, "debug", "all;"}, words) != "" {
		t.Errorf("%v %q", ok, words)
	}
	for text, every := range map[string]string{
		"protocol device {}": "60", "": "60", "protocol device {\n scan time 7; }": "", "protocol device d1 { scan time 11; }": "11",
		"protocol device { interface \"x\"; scan time 10; }": "", "protocol kernel { scan time 5; } protocol device {}": "60", "protocol device { scan time 99999999999999999999; }": "",
	} {
		found := birdScan(text)
		if (every == "") != (len(found) == 0) || every != "" && !strings.Contains(found[0].Text, " "+every+" s ") {
			t.Errorf("%q: %v", text, found)
		}
	}
}

func TestBIRDMay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	birdWrite(t, file, "")
	own, group := uint32(os.Getuid()), uint32(os.Getgid())
	for name, tc := range map[string]struct {
		mode     os.FileMode
		uid, gid uint32
		want     bool
	}{
		"owner": {0o400, own, 1, true}, "owner may not": {0o044, own, group, false}, "group": {0o040, own + 1, group, true},
		"group may not": {0o604, own + 1, group, false}, "others": {0o604, own + 1, group + 1, true}, "others may not": {0o660, own + 1, group + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.Chmod(file, tc.mode); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := birdMay(info, tc.uid, tc.gid); got != tc.want {
				t.Errorf("%v", got)
			}
		})
	}
}

// Why BIRD can't be asked is said with what to do about it.
func TestBIRDExamineUnreachable(t *testing.T) {
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
					return birdHello
				}
				return tc.answer(command)
			})
			b := testBIRD(filepath.Dir(c.socket))
			got := birdFindings(b.Examine(t.Context(), birdRoutes()))
			matched := false
			for _, text := range got {
				matched = matched || regexp.MustCompile("^"+tc.want+"$").MatchString(text)
			}
			if !matched {
				t.Errorf("got  %q\nwant %s", got, tc.want)
			}
		})
	}
	_, b := readyBIRD(t)
	dir := filepath.Dir(b.Socket)
	for _, err := range []error{os.Chmod(dir, 0o755), os.Chmod(b.Socket, 0o660), os.Chown(b.Socket, 0, 1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		want := "socket-forbidden: bird: keepcast may not use its control socket " + b.Socket + ": add the user that keepcast runs as to group daemon (mode of the socket is 0660) and restart keepcast"
		if d := cmp.Diff([]string{want}, birdFindings(b.Examine(t.Context(), birdRoutes()))); d != "" {
			t.Error(d)
		}
	})
}

// A BIRD that hangs holds Examine up no longer than its timeouts.
func TestBIRDExamineHangs(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	_, c := newFakeBIRD(t, func(_ int, command string) string {
		if command == "" {
			return birdHello
		}
		<-release
		return ""
	})
	b := testBIRD(filepath.Dir(c.socket))
	b.Timeout = 50 * time.Millisecond
	if got := birdNamesOf(b.Examine(t.Context(), birdRoutes())); !cmp.Equal(got, []string{"daemon-unreachable breaks bird"}) {
		t.Error(got)
	}
}
