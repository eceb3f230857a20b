package frr

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

// How long neighbors wait, by what real daemons have said: with "hello-interval 2" in OSPF,
// and 4 hellos of 2 s in IS-IS.
func TestHolds(t *testing.T) {
	frr, quagga := frrDialect(), quaggaDialect()
	for _, tc := range []struct {
		suite         *dialect
		daemon, files string // recordings of versions
		want          string
	}{
		{frr, "ospfd", "84-ospfd-interface.json 103-ospfd-interface.json", "nh0 8s"},
		{frr, "ospf6d", "84-ospf6d-interface.json 103-ospf6d-interface.json", "nh0 40s"},
		{frr, "isisd", "84-isisd-interface.txt 103-isisd-interface.txt", "nh0 8s"},
		{frr, "ripd", "84-ripd-status.txt 103-ripd-status.txt", " 3m0s"},
		{frr, "ripngd", "84-ripngd-status.txt 103-ripngd-status.txt", " 3m0s"},
		{frr, "babeld", "84-babeld-interface.txt 103-babeld-interface.txt", "nh0 3.5s"},
		{quagga, "ospfd", "124-ospfd-interface.txt", "nh0 4s"},
		{quagga, "isisd", "124-isisd-interface.txt", "nh0 10s"},
	} {
		for file := range strings.FieldsSeq(tc.files) {
			version, name, _ := strings.Cut(file, "-")
			told := tc.suite.spec(tc.daemon).hold.read(frrSaid(t, version, name))
			var got []string
			for _, iface := range slices.Sorted(maps.Keys(told)) {
				got = append(got, iface+" "+told[iface].String())
			}
			if s := strings.Join(got, ", "); s != tc.want {
				t.Errorf("%s: got %q, want %q", file, s, tc.want)
			}
		}
	}
}

// What the neighbors of a daemon do once it is gone.
func TestHoldSessions(t *testing.T) {
	up := func(name, iface string) neighbor {
		return neighbor{Neighbor: driver.Neighbor{Name: name, Up: true}, iface: iface}
	}
	down := neighbor{Neighbor: driver.Neighbor{Name: "b"}, iface: "nh0"}
	ospf, rip := frrSpec("ospfd").hold, frrSpec("ripd").hold
	said := frrSaid(t, "84", "ospfd-interface.json")
	const ripSaid = "  Timeout after 30 seconds, garbage collect after 30 seconds\n"
	for name, tc := range map[string]struct {
		hold        hold
		neighbors   []neighbor
		text        string
		grace, back time.Duration // back: for how long, 0: it never was gone
		want        string
	}{
		"nobody":                  {ospf, nil, said, 0, 0, ""},
		"up and down":             {ospf, []neighbor{up("a", "nh0"), down}, said, 0, 0, "a 10s dead interval"},
		"an interface not named":  {ospf, []neighbor{up("a", "nh7")}, said, 0, 0, "a 42s dead interval"},
		"nothing is told":         {ospf, []neighbor{up("a", "nh0")}, "% Unknown command", 0, 0, "a 42s dead interval"},
		"asked to wait":           {ospf, []neighbor{up("a", "nh0")}, said, time.Minute, 0, "a 1m0s graceful restart"},
		"asked to wait less":      {ospf, []neighbor{up("a", "nh0")}, said, time.Second, 0, "a 10s dead interval"},
		"back, it takes it back":  {ospf, []neighbor{up("a", "nh0")}, said, 0, time.Second, "a 10s dead interval"},
		"RIP":                     {rip, []neighbor{up("a", "")}, ripSaid, 0, 0, "a 32s timeout"},
		"RIP, back":               {rip, []neighbor{up("a", "")}, ripSaid, 0, time.Second, "a 32s timeout until 31s"},
		"RIP, back for a while":   {rip, []neighbor{up("a", "")}, ripSaid, 0, time.Minute, "a 32s timeout"},
		"RIP that tells no timer": {rip, []neighbor{up("a", "")}, "", 0, 0, "a 3m2s timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var back time.Time
				if tc.back > 0 {
					back = time.Now().Add(-tc.back)
				}
				var got []string
				for n, s := range tc.hold.sessions(tc.neighbors, tc.text, tc.grace, back) {
					if s.IPv4 != s.IPv6 || s.Syncing == s.Until.IsZero() {
						t.Errorf("%s: %+v", n, s)
					}
					one := fmt.Sprint(n, " ", s.IPv4, " ", s.Reason)
					if s.Syncing {
						one += fmt.Sprint(" until ", time.Until(s.Until))
					}
					got = append(got, one)
				}
				if s := strings.Join(got, ", "); s != tc.want {
					t.Errorf("got %q, want %q", s, tc.want)
				}
			})
		})
	}
}

// Bgpd of Quagga tells of each session that both can have graceful restart, whether it asks
// for that or not.
func TestQuaggaRestartSaid(t *testing.T) {
	said := quaggaSaid(t, "bgpd-neighbors.txt")
	for name, tc := range map[string]struct {
		running, said string
		want          driver.Session
	}{
		"not asked for": {"router bgp 65001\n", said, driver.Session{Reason: gracefully}},
		"asked for":     {"router bgp 65001\n bgp graceful-restart\n", said, driver.Session{IPv4: quaggaRestart, IPv6: quaggaRestart, Reason: gracefully}},
		"it syncs": {
			"router bgp 65001\n bgp graceful-restart\n", strings.ReplaceAll(said, "End-of-RIB send: IPv4 Unicast", "End-of-RIB send: "),
			driver.Session{IPv4: quaggaRestart, IPv6: quaggaRestart, Reason: gracefully, Syncing: true},
		},
		"it syncs the second family": {
			"router bgp 65001\n bgp graceful-restart\n", strings.ReplaceAll(said, "    Address family IPv4", "    Address family IPv6 Unicast: advertised and received\n    Address family IPv4"),
			driver.Session{IPv4: quaggaRestart, IPv6: quaggaRestart, Reason: gracefully, Syncing: true},
		},
		"not by the neighbor": {
			"router bgp 65001\n bgp graceful-restart\n", strings.ReplaceAll(said, "Capabilty: advertised and received", "Capabilty: advertised"),
			driver.Session{Reason: gracefully},
		},
	} {
		t.Run(name, func(t *testing.T) {
			running := parseRunning(tc.running)
			got, noted := quaggaBGP().peers(tc.said, running.instance(""))[0].session(0)
			if d := cmp.Diff(tc.want, got); d != "" || !noted {
				t.Errorf("noted %t (-want +got):\n%s", noted, d)
			}
		})
	}
}

// The grace period of OSPF, as `show running-config` shows it.
func TestHoldGrace(t *testing.T) {
	for text, want := range map[string]map[string]time.Duration{
		"router ospf\n ospf router-id 10.99.0.1\n":                                                     nil,
		"router ospf\n graceful-restart\n":                                                             {"": 2 * time.Minute},
		"router ospf6\n graceful-restart grace-period 77\n":                                            {"": 77 * time.Second},
		"router ospf vrf red\n graceful-restart grace-period 77\nexit\nrouter ospf\n":                  {"red": 77 * time.Second},
		"router ospf\n graceful-restart helper enable\n graceful-restart helper strict-lsa-checking\n": nil,
	} {
		if d := cmp.Diff(want, parseRunning(text).graces); d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
	}
}

// frrSlow has the daemons of the host and of the router give each other up after 10 s.
var frrSlow = map[string][2]string{
	"ospfd":  {"interface nh0\n ip ospf dead-interval 10\n", "interface nr0\n ip ospf dead-interval 10\n"},
	"ospf6d": {"interface nh0\n ipv6 ospf6 dead-interval 10\n", "interface nr0\n ipv6 ospf6 dead-interval 10\n"},
}

// A daemon died and then its service: status said withdrawn, though the router went on
// sending packets here until its dead interval or hold time was over.
func TestFRRRealHeld(t *testing.T) {
	for _, d := range []struct {
		name, protocol string
		want           []string
	}{
		{"ospfd", "ospf", []string{frr4 + " ospf 10.99.0.2 on nh0 dead interval"}},
		{"ospf6d", "ospf6", []string{frr6 + " ospf6 10.99.0.2 on nh0 dead interval"}},
		{"isisd", "isis", []string{frr4 + " isis vm on nh0 hold time", frr6 + " isis vm on nh0 hold time"}},
	} {
		t.Run(d.name, func(t *testing.T) {
			r := newRealFRR(t, d.name)
			far := r.router(d.name)
			r.enter(d.name, frrQuick[d.name])
			r.enter(d.name, frrSlow[d.name][0])
			far.enter(d.name, frrSlow[d.name][1])
			f := testFRR(r.dir, d.name)
			defer f.Close()
			has := func() (all, none bool) {
				all, none = true, true
				for family, p := range map[string]string{"ip": frr4, "ipv6": frr6} {
					if frrSpec(d.name).carries(frrRouteOf(p, 0, false).Prefix.Addr()) {
						text, _ := far.tell("zebra", "show "+family+" route "+p+" json") // refused if there is none
						there := strings.Contains(text, `"protocol":"`+d.protocol+`"`)
						all, none = all && there, none && !there
					}
				}
				return all, none
			}
			frrApply(t, f, frrRouteOf(frr4, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false))
			r.addr("add", frr4)
			r.addr("add", frr6+" nodad")
			frrUntil(t, "the router has it, and the driver knows", func() bool {
				s, err := f.Observe(t.Context())
				all, _ := has()
				return all && err == nil && len(frrExports(s)) == len(d.want) && !slices.ContainsFunc(frrExports(s), func(to string) bool { return strings.HasSuffix(to, ": ") })
			})
			frrTells(t, f, frrHeld)

			r.stop(d.name)
			r.addr("del", frr4)
			r.addr("del", frr6)
			seen, err := f.Observe(t.Context())
			if diff := cmp.Diff(d.want, frrHeld(seen)); diff != "" || !errors.Is(err, driver.ErrNotRunning) {
				t.Fatalf("%v (-want +got):\n%s", err, diff)
			}
			left := time.Until(seen.Held[0].Until)
			if all, _ := has(); !all || left <= 0 || left > 12*time.Second {
				t.Errorf("the router has all: %t, held for %s", all, left)
			}
			frrUntil(t, "the router gives it up", func() bool { _, none := has(); return none })
			frrUntil(t, "nobody is said to hold it", func() bool {
				s, err := f.Observe(t.Context())
				return len(s.Held) == 0 && errors.Is(err, driver.ErrNotRunning)
			})
		})
	}
}

// The same with RIP and Babel. There a daemon that is back does not take back what the one
// before it told, so the router goes on until its own timer is over: status said withdrawn
// from the moment on at which the daemon was back.
func TestFRRRealHeldByTimer(t *testing.T) {
	for daemon, tc := range map[string]struct{ conf, session, quick, prefix, want string }{
		"ripd": {
			"protocol static { ipv4; route 198.51.100.0/24 blackhole; }\nprotocol rip r { ipv4 { import all; export where source = RTS_STATIC; }; interface \"nr0\" { update time 1; timeout time 15; garbage time 15; }; }\n",
			"r", "router rip\n timers basic 5 15 15\n", frr4, frr4 + " rip 10.99.0.2 timeout",
		},
		"babeld": {
			"protocol babel b { ipv4 { import all; export none; }; ipv6 { import all; export none; }; interface \"nr0\" { type wired; hello interval 1 s; update interval 1 s; }; }\n",
			"b", "interface nh0\n babel update-interval 4000\n babel hello-interval 4000\n", frr4, frr4 + " babel ADDRESS on nh0 expiry time",
		},
	} {
		t.Run(daemon, func(t *testing.T) {
			r := newRealFRR(t, daemon)
			r.enter(r.configuredBy(daemon), tc.quick)
			router := r.bird(tc.conf)
			f := testFRR(r.dir, daemon)
			defer f.Close()
			held := func(s driver.State) []string {
				out := frrHeld(s)
				for i := range out {
					out[i] = frrLinkLocal.ReplaceAllString(out[i], "ADDRESS")
				}
				return out
			}
			frrApply(t, f, frrRouteOf(tc.prefix, driver.Announced, false))
			r.addr("add", tc.prefix)
			seenLast := "" // this has failed once, on a very busy host, and did not say what was missing
			t.Cleanup(func() {
				if t.Failed() {
					t.Log(seenLast)
				}
			})
			frrUntil(t, "the router has it, and the driver knows", func() bool {
				s, err := f.Observe(t.Context())
				heard := heardFrom(router, tc.session, tc.prefix)
				seenLast = fmt.Sprintf("the router has %q; the driver %+v, %v; the daemon %s\n%s", heard, s, err, r.ask(daemon, frrSpec(daemon).neighbors), r.ask(daemon, frrSpec(daemon).originated))
				return err == nil && heard != "" && len(s.Routes) == 1 && len(s.Routes[0].ExportedTo) == 1
			})
			d := f.daemons()[0]
			_ = d.close() // as after an answer that was late
			if _, err := f.Observe(t.Context()); err != nil || !d.vty.Connected() || !d.back.IsZero() {
				t.Errorf("connected anew to the same daemon: %v, back since %v", err, d.back)
			}
			r.stop(daemon)
			r.addr("del", tc.prefix)
			seen, err := f.Observe(t.Context())
			if diff := cmp.Diff([]string{tc.want}, held(seen)); diff != "" || !errors.Is(err, driver.ErrNotRunning) {
				t.Fatalf("%v (-want +got):\n%s", err, diff)
			}
			r.comeBack(daemon, tc.quick)
			frrApply(t, f, frrRouteOf(tc.prefix, driver.Delivered, false))
			if has := heardFrom(router, tc.session, tc.prefix); has != "" { // of Babel it may have gone by now
				frrTells(t, f, held, tc.want) // once zebra has told it that the address is gone
			} else if daemon == "ripd" {
				t.Error("the router has lost it: nothing is tried here")
			}
			frrUntil(t, "the router gives it up", func() bool { return heardFrom(router, tc.session, tc.prefix) == "" })
			frrTells(t, f, held)
		})
	}
}

// comeBack starts a daemon again, with the operator's configuration. Mgmtd has kept that.
func (r *realFRR) comeBack(daemon, more string) {
	r.t.Helper()
	r.start(daemon)
	if r.configuredBy(daemon) == daemon {
		r.load(daemon)
		r.enter(daemon, more)
	}
	spec := frrSpec(daemon)
	frrUntil(r.t, daemon+" speaks to its neighbors", func() bool { return len(spec.readNeighbors(r.ask(daemon, spec.neighbors))) > 0 })
}

var frrLinkLocal = regexp.MustCompile(`fe80::[0-9a-f:]+`)
