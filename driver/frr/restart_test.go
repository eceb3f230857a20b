package frr

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

const frrGraceful = "router bgp 65001\n bgp graceful-restart\n bgp graceful-restart restart-time 30\n bgp long-lived-graceful-restart stale-time 15\n neighbor 10.99.0.2 timers connect 1\n"

// frrHeld is what neighbors are observed to hold.
func frrHeld(s driver.State) []string {
	var out []string
	for _, h := range s.Held {
		out = append(out, h.Prefix.String()+" "+h.Neighbor+" "+h.Reason)
	}
	return out
}

// A bgpd with graceful restart died and its service failed: status said withdrawn while
// the router went on sending packets here for the restart time, and doctor was silent.
func TestFRRRealGracefulRestart(t *testing.T) {
	r := newRealFRR(t, "bgpd")
	r.enter("bgpd", frrGraceful)
	router := r.bird("protocol bgp e4 { local 10.99.0.2 as 65002; neighbor 10.99.0.1 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export none; }; }\n")
	f := testFRR(r.dir, "bgpd")
	defer f.Close()
	r.addr("add", frr4)
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, false))
	frrHears(t, router, "e4", frr4, "as_path=65001 med=0 local_pref=100")
	frrTells(t, f, frrExports, frr4+": 10.99.0.2")
	frrTells(t, f, frrHeld)
	want := []string{"bgpd neighbor 10.99.0.2: is asked for graceful restart: when bgpd dies, it goes on sending to this host for up to 45 s (restart time 30 s, then long-lived 15 s): " +
		"router bgp 65001\n neighbor 10.99.0.2 graceful-restart-helper\n no bgp long-lived-graceful-restart stale-time\nthen 'clear bgp 10.99.0.2': it goes on helping the neighbor, but no longer asks for it"}
	if d := cmp.Diff(want, frrNamed(f.Examine(t.Context(), f.asked), "bgp-graceful-restart")[:1]); d != "" {
		t.Errorf("doctor (-want +got):\n%s", d)
	}

	r.stop("bgpd")
	r.addr("del", frr4)
	seen, err := f.Observe(t.Context())
	if d := cmp.Diff([]string{frr4 + " 10.99.0.2 graceful restart"}, frrHeld(seen)); d != "" || !errors.Is(err, driver.ErrNotRunning) {
		t.Fatalf("without bgpd: %v (-want +got):\n%s", err, d)
	}
	if left := time.Until(seen.Held[0].Until); left > 45*time.Second || left < 10*time.Second || heardFrom(router, "e4", frr4) == "" {
		t.Errorf("held for %s more; the router has %q", left, heardFrom(router, "e4", frr4))
	}

	// Back, the router is told what is announced now: nothing.
	r.start("bgpd")
	r.load("bgpd")
	r.enter("bgpd", frrGraceful)
	frrHears(t, router, "e4", frr4, "")
	frrTells(t, f, frrHeld)
}

// frrNamed returns the findings of a name.
func frrNamed(all []driver.Finding, name string) []string {
	var out []string
	for _, f := range all {
		if f.Name == name {
			out = append(out, f.Error())
		}
	}
	return out
}

// For how long a neighbor waits, by what real daemons have said.
func TestFRRRestartSaid(t *testing.T) {
	const agreed = "advertisedAndReceived"
	for name, tc := range map[string]struct {
		mode, state, restart, longLived, sent string
		stale                                 time.Duration
		want                                  string
	}{
		"helper, as by default":     {"Helper*", established, agreed, agreed, "true", 0, "0s true"},
		"asked for":                 {"Restart*", established, agreed, agreed, "true", 0, "45s true"},
		"with a stale time":         {"Restart", established, agreed, agreed, "true", 15 * time.Second, "1m0s true"},
		"a stale time alone":        {"Helper*", established, agreed, agreed, "true", 15 * time.Second, "1m0s true"},
		"not by the neighbor":       {"Restart*", established, "advertised", "advertised", "true", 15 * time.Second, "0s true"},
		"no stale time there":       {"Restart*", established, agreed, "advertised", "true", 15 * time.Second, "45s true"},
		"it syncs":                  {"Restart*", established, agreed, agreed, "false", 0, "45s true, syncing"},
		"it syncs, without":         {"Helper*", established, agreed, agreed, "false", 0, "0s true"},
		"down":                      {"Restart*", "Active", "", "", "false", 0, "0s false"},
		"a neighbor that is closed": {"Restart*", "Idle", "", "", "false", 0, "0s true"},
	} {
		t.Run(name, func(t *testing.T) {
			peers := frrPeers(`{"10.99.0.2":{"bgpState":"` + tc.state + `","adminShutDown":` + map[bool]string{true: "true", false: "false"}[tc.state == "Idle"] +
				`,"gracefulRestartInfo":{"endOfRibSend":{"ipv4Unicast":` + tc.sent + `},"localGrMode":"` + tc.mode + `","timers":{"configuredRestartTimer":45}},` +
				`"neighborCapabilities":{"gracefulRestart":"` + tc.restart + `","longLivedGracefulRestart":"` + tc.longLived + `","multiprotocolExtensions":{"ipv4Unicast":{"advertisedAndReceived":true}}}}}`)
			s, noted := peers[0].session(tc.stale)
			got := s.IPv4.String() + map[bool]string{true: " true", false: " false"}[noted] + map[bool]string{true: ", syncing"}[s.Syncing]
			if got != tc.want || s.IPv4 != s.IPv6 {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	running := parseRunning("router bgp 65001\n bgp long-lived-graceful-restart stale-time 15\nexit\nrouter bgp 65001 vrf red\nexit\n")
	if running.longLived != 15*time.Second || running.instance("red").longLived != 0 {
		t.Errorf("stale times %s and %s", running.longLived, running.instance("red").longLived)
	}
}
