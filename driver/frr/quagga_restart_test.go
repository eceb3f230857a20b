package frr

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// quaggaHost is a real Quagga with a router of FRR beside it, and a driver that does what
// a reconciler would have it do.
type quaggaHost struct {
	*realQuagga

	far  *realFRR
	q    *Quagga
	want []driver.Route
}

// quaggaHeard are the questions to the router about what each daemon of the host sends.
var quaggaHeard = map[string][2]string{
	"bgpd":  {"show bgp ipv4 unicast " + frr4, "show bgp ipv6 unicast " + frr6},
	"ospfd": {"show ip ospf database external " + strings.TrimSuffix(frr4, "/32"), ""},
	"isisd": {"show isis database detail", "show isis database detail"},
}

func newQuaggaHost(t *testing.T, daemons ...string) *quaggaHost {
	t.Helper()
	r := newRealQuagga(t, daemons...)
	h := &quaggaHost{realQuagga: r, far: r.router(daemons...), q: testQuagga(r.dir, daemons...)}
	t.Cleanup(func() { h.q.Close() })
	return h
}

// wants puts the addresses on the host, or takes them off, with the gates before or after.
func (h *quaggaHost) wants(p driver.Presence, a driver.Attributes) {
	h.t.Helper()
	was := len(h.want) > 0 && h.want[0].Presence == driver.Announced
	h.want = []driver.Route{quaggaRouteOf(frr4, p, a), quaggaRouteOf(frr6, p, a)}
	if was && p != driver.Announced {
		h.addr("del", frr4)
		h.addr("del", frr6)
	}
	_ = h.apply() // it may fail while the daemon has no zebra
	if !was && p == driver.Announced {
		h.addr("add", frr4)
		h.addr("add", frr6+" nodad")
	}
}

// apply is one Apply.
func (h *quaggaHost) apply() error {
	return h.q.Apply(h.t.Context(), frrState(h.want...))
}

// comes waits until the router has, or has no longer, what each of the daemons sends, and
// the driver observes the same.
func (h *quaggaHost) comes(what string, there bool) {
	h.t.Helper()
	last := ""
	defer func() {
		if h.t.Failed() {
			h.t.Log(what + ": " + last)
		}
	}()
	frrUntil(h.t, what, func() bool {
		err := h.apply()
		last = ""
		if err != nil {
			last = err.Error()
		}
		ok := true
		for _, d := range h.q.Daemons {
			for i, p := range []string{frr4, frr6} {
				question := quaggaHeard[d][i]
				if question != "" && h.hears(d, question, p) != there {
					ok, last = false, last+"\n"+d+" and "+p
				}
			}
		}
		s, err := h.q.Observe(h.t.Context())
		for _, p := range s.Recall { // as the kernel does it
			h.addr("add", p.String())
			h.addr("del", p.String())
		}
		want := 0
		for _, r := range h.want {
			if there && slices.ContainsFunc(h.q.daemons(), func(d *daemon) bool { return d.carries(r.Prefix.Addr()) }) {
				want++
			}
		}
		ok = ok && err == nil && len(s.Routes) == want
		last += "\nobserved " + strings.Join(append(frrExports(s), frrFindings(s)...), "; ")
		return ok
	})
}

// hears tells whether the router has a prefix.
func (h *quaggaHost) hears(daemon, question, prefix string) bool {
	h.t.Helper()
	text, err := h.far.tell(daemon, question)
	if daemon == "isisd" { // what an LSP lists goes with the LSP of a daemon that restarted
		return isisOriginates(strings.ReplaceAll(text, "q.00-00  ", "q.00-00 *"))[netip.MustParsePrefix(prefix)]
	}
	if err != nil && !strings.Contains(err.Error(), "Network not in table") {
		h.t.Fatal(err)
	}
	if daemon == "ospfd" {
		return strings.Contains(text, "Link State ID: ") && !strings.Contains(text, "LS age: 3600")
	}
	return strings.Contains(text, prefix)
}

// A restart of zebra, or of the daemon itself, at any point of an address's life. bgpd
// went on announcing what was withdrawn after zebra had restarted, and did not announce
// IPv6 after it had restarted itself; ospfd lost its redistribute line and kept its LSA;
// isisd went on announcing what was withdrawn while zebra was away.
func TestQuaggaRealRestarts(t *testing.T) {
	for _, daemon := range []string{"bgpd", "ospfd", "isisd"} {
		for _, what := range []string{"zebra", daemon} {
			t.Run(daemon+", "+what+" restarts", func(t *testing.T) {
				h := newQuaggaHost(t, daemon)
				h.wants(driver.Announced, driver.Attributes{})
				h.comes("announced", true)
				h.restart(what)
				h.comes("still announced", true)
				h.wants(driver.Delivered, driver.Attributes{})
				h.comes("withdrawn after the restart", false)
				h.wants(driver.Announced, driver.Attributes{})
				h.comes("announced again", true)
				h.stop(what)
				h.wants(driver.Delivered, driver.Attributes{})
				h.start(what)
				h.comes("withdrawn meanwhile", false)
				h.stop(what)
				h.wants(driver.Announced, driver.Attributes{})
				h.start(what)
				h.comes("announced meanwhile", true)
			})
		}
	}
}

// bgpd with graceful restart died and its service failed: status said withdrawn while the
// router went on sending packets here for two minutes. doctor did not tell.
func TestQuaggaRealGracefulRestart(t *testing.T) {
	const lines = "router bgp 65001\n bgp graceful-restart\n"
	r := newRealQuagga(t, "bgpd")
	r.enter("bgpd", lines)
	router := r.bird(drivertest.RouterConf)
	q := testQuagga(r.dir, "bgpd")
	defer q.Close()
	for _, p := range []string{frr4, frr6} {
		r.addr("add", strings.Replace(p, "/128", "/128 nodad", 1))
	}
	announced := frrState(quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}), quaggaRouteOf(frr6, driver.Announced, driver.Attributes{}))
	frrUntil(t, "announced", func() bool { return q.Apply(t.Context(), announced) == nil })
	hears := func() bool { return heardFrom(router, "e4", frr4) != "" && heardFrom(router, "e6", frr6) != "" }
	frrUntil(t, "the router has both, and the driver knows", func() bool {
		s, err := q.Observe(t.Context())
		return err == nil && hears() && slices.Equal(frrExports(s), []string{frr4 + ": 10.99.0.2", frr6 + ": fd99::2"}) && len(s.Held) == 0
	})
	const text = ": is asked for graceful restart: when bgpd dies, it goes on sending to this host for up to 120 s: router bgp 65001\n no bgp graceful-restart\nthen 'clear ip bgp "
	want := []string{"bgpd neighbor 10.99.0.2" + text + "10.99.0.2'", "bgpd neighbor fd99::2" + text + "fd99::2'"}
	if d := cmp.Diff(want, frrNamed(q.Examine(t.Context(), announced), "bgp-graceful-restart")); d != "" {
		t.Errorf("doctor (-want +got):\n%s", d)
	}

	r.stop("bgpd")
	r.addr("del", frr4)
	r.addr("del", frr6)
	seen, err := q.Observe(t.Context())
	if d := cmp.Diff([]string{frr4 + " 10.99.0.2 graceful restart", frr6 + " fd99::2 graceful restart"}, frrHeld(seen)); d != "" || !errors.Is(err, driver.ErrNotRunning) {
		t.Fatalf("without bgpd: %v (-want +got):\n%s", err, d)
	}
	if left := time.Until(seen.Held[0].Until); left > 2*time.Minute || left < time.Minute || !hears() {
		t.Errorf("held for %s more; the router has both: %t", left, hears())
	}

	// Back, the router is told what is announced now: nothing.
	r.start("bgpd")
	r.enter("bgpd", lines)
	frrHears(t, router, "e4", frr4, "")
	frrHears(t, router, "e6", frr6, "")
	frrUntil(t, "nobody is said to hold it", func() bool {
		s, err := q.Observe(t.Context())
		return err == nil && len(s.Held) == 0
	})
}
