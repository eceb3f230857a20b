package bird

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// Doctor counted long-lived graceful restart out: it said 20 s, and the route was there
// after 55 s; with a restart time of 0 it said nothing.
func TestGraceful(t *testing.T) {
	for name, tc := range map[string]struct {
		local, neighbor string // lines below the heading
		want            driver.Session
		said            string
	}{
		"none": {"Route refresh", "Graceful restart\nLong-lived graceful restart", driver.Session{}, ""},
		"regular": {
			"Graceful restart\n  Restart time: 120\n  AF supported: ipv4 ipv6", "Graceful restart",
			driver.Session{IPv4: 2 * time.Minute, IPv6: 2 * time.Minute},
			"up to 120 s (restart time 120 s, long-lived 0 s)",
		},
		"long-lived, too": {
			"Graceful restart\n  Restart time: 20\n  AF supported: ipv4\nLong-lived graceful restart\n  LL stale time: 60", "Graceful restart\nLong-lived graceful restart",
			driver.Session{IPv4: 80 * time.Second},
			"up to 80 s (restart time 20 s, long-lived 60 s)",
		},
		"long-lived alone": {
			"Graceful restart\n  Restart time: 0\n  AF supported: ipv6\nLong-lived graceful restart\n  LL stale time: 60", "Graceful restart\nLong-lived graceful restart",
			driver.Session{IPv6: time.Minute},
			"up to 60 s (restart time 0 s, long-lived 60 s)",
		},
		"the neighbor does not": {"Graceful restart\n  Restart time: 120\n  AF supported: ipv4\nLong-lived graceful restart\n  LL stale time: 60", "Route refresh", driver.Session{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			below := func(lines string) string {
				return "1006-      " + strings.ReplaceAll(lines, "\n", "\n1006-      ") + "\n"
			}
			p := readProtocols(replyOf(t, "1002-up BGP --- up 22:21:10.767 Established\n1006-  BGP state: Established\n1006-    Neighbor address: 10.0.0.1\n"+
				"1006-    Local capabilities\n"+below(tc.local)+"1006-    Neighbor capabilities\n"+below(tc.neighbor)+"1006-    Session: external AS4\n0000 \n"))[0]
			tc.want.Reason = gracefulRestart
			if d := cmp.Diff(tc.want, p.graceful()); d != "" {
				t.Error(d)
			}
			said := ""
			for _, f := range slowBGPToNotice(p, nil) {
				said += f.Text
			}
			if !strings.Contains(said, tc.said) || tc.said == "" && said != "" {
				t.Errorf("said %q, want %q", said, tc.said)
			}
		})
	}
}

// BIRD was asked about the interfaces of a protocol for each neighbor on them, at each look.
func TestDeadTimer(t *testing.T) {
	asked := 0
	_, c := newFakeBIRD(t, func(_ int, command string) string {
		switch command {
		case "":
			return "0001 BIRD 2.0.12 ready.\n"
		case "show ospf interface 'o4'":
			asked++
			return "1015-o4:\n Interface eth0 (10.0.0.0/24)\n \tHello timer: 1\n \tDead timer: 4\n Interface eth1 (10.0.1.0/24)\n \tDead timer: 40\n" +
				" Interface eth2 (10.0.2.0/24)\n \tDead timer: unknown\n0000 \n"
		}
		return "8003 No protocols match\n"
	})
	b := &Driver{ctl: c}
	timers := deadTimers{}
	for where, want := range map[[2]string]time.Duration{{"o4", "eth0"}: 4 * time.Second, {"o4", "eth1"}: 40 * time.Second, {"o4", "eth2"}: 0, {"o4", "eth3"}: 0, {"o4", ""}: 0, {"o6", "eth0"}: 0} {
		got, err := b.deadTimer(t.Context(), neighbor{via: where[0], iface: where[1]}, timers)
		if got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", where, got, err, want)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// BIRD is killed, and then the service dies. Status said withdrawn while the router went on
// sending to this host, for as long as it waits for BIRD.
func TestRealHeld(t *testing.T) {
	const patient = "protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; graceful restart on; " +
		"graceful restart time 1; long lived graceful restart on; long lived stale time 60; ipv4 { import all; export filter keepcast_ebgp; }; }\n"
	routers := strings.Replace(drivertest.RouterConf, "neighbor 10.99.0.1 as 65001;", "neighbor 10.99.0.1 as 65001; graceful restart aware; long lived graceful restart aware;", 1)
	host, router := pairOf(t, birdStatics+patient, routers, "192.0.2.53/32")
	b := testDriver(host.Dir)
	defer b.Close()
	dns := routeOf("192.0.2.53/32", driver.Announced)
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, dns))
	host.start()
	router.start()
	applyRoutes(t, b, dns)
	drivertest.Eventually(t, "it is exported", func() bool {
		s, err := b.Observe(t.Context())
		return err == nil && len(s.Routes) == 1 && slices.Equal(s.Routes[0].ExportedTo, []string{"e4"}) && len(s.Held) == 0
	})
	host.Stop()
	host.IP("-n " + host.NS + " addr del 192.0.2.53/32 dev anycast0")
	killed := time.Now()
	s, err := b.Observe(t.Context())
	if !errors.Is(err, driver.ErrNotRunning) || len(s.Held) != 1 || len(router.learnt("e4")) != 1 {
		t.Fatalf("held %v, the router has %q: %v", s.Held, router.learnt("e4"), err)
	}
	if h := s.Held[0]; h.Prefix != dns.Prefix || h.Neighbor != "e4" || h.Reason != gracefulRestart || h.Until.Before(killed.Add(61*time.Second)) {
		t.Errorf("%+v", h)
	}
	host.start()
	drivertest.Eventually(t, "nothing is held any more", func() bool {
		s, err := b.Observe(t.Context())
		return err == nil && len(s.Held) == 0 && fmt.Sprint(router.learnt("e4")) == "[]"
	})
}
