package frr

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// While zebra is away no daemon sees an address go: a service that failed then stayed
// announced until an operator looked. The gates withdraw it, and nothing else is lost.
func TestQuaggaRealZebraAway(t *testing.T) {
	h := newQuaggaHost(t, "bgpd", "ospfd")
	h.wants(driver.Announced, driver.Attributes{})
	h.comes("announced", true)
	h.stop("zebra")
	h.comes("still announced", true)
	h.wants(driver.Delivered, driver.Attributes{})
	h.comes("withdrawn without zebra", false)
	h.start("zebra")
	h.wants(driver.Announced, driver.Attributes{})
	h.comes("announced again", true)
}

// Neighbors without keepcast's route-map were sent for ever what went while zebra was away.
func TestQuaggaRealNoOutMap(t *testing.T) {
	h := newQuaggaHost(t, "bgpd")
	h.enter("bgpd", "router bgp 65001\n no neighbor 10.99.0.2 route-map KEEPCAST-EBGP out\n address-family ipv6\n  no neighbor fd99::2 route-map KEEPCAST6-EBGP out\n")
	h.wants(driver.Announced, driver.Attributes{})
	h.comes("announced", true)
	h.stop("zebra")
	h.wants(driver.Delivered, driver.Attributes{})
	h.start("zebra")
	h.comes("withdrawn meanwhile", false)
	h.wants(driver.Announced, driver.Attributes{})
	h.comes("announced again", true)
}

// What the neighbors of bgpd are sent, and how often: a restart of zebra, or keepcast's
// mending of it, moves no route that stays.
func TestQuaggaRealQuiet(t *testing.T) {
	r := newRealQuagga(t, "bgpd")
	router := r.bird(drivertest.RouterConf)
	q := testQuagga(r.dir, "bgpd")
	defer q.Close()
	stays := quaggaRouteOf("192.0.2.54/32", driver.Announced, driver.Attributes{})
	other := func(p driver.Presence, a driver.Attributes) []driver.Route {
		return []driver.Route{quaggaRouteOf(frr4, p, a), quaggaRouteOf(frr6, p, a), stays}
	}
	until := func(what string, want ...driver.Route) {
		t.Helper()
		frrUntil(t, what, func() bool { return q.Apply(t.Context(), frrState(want...)) == nil })
	}
	until("the first Apply", other(driver.Announced, driver.Attributes{})...)
	r.addr("add", stays.Prefix.String())
	r.addr("add", frr4)
	r.addr("add", frr6+" nodad")
	frrHears(t, router, "e4", stays.Prefix.String(), "as_path=65001 med=0 local_pref=100")
	frrHears(t, router, "e4", frr4, "as_path=65001 med=0 local_pref=100")
	frrHears(t, router, "e6", frr6, "as_path=65001 med=0 local_pref=100")
	before4, before6 := router.Imports("e4"), router.Imports("e6")

	r.restart("zebra")
	until("zebra is back", other(driver.Announced, driver.Attributes{})...)
	fresh := testQuagga(r.dir, "bgpd")
	defer fresh.Close()
	if err := fresh.Apply(t.Context(), frrState(other(driver.Announced, driver.Attributes{})...)); err != nil {
		t.Fatal(err)
	}
	until("degraded", other(driver.Announced, quaggaWorse)...)
	frrHears(t, router, "e4", frr4, "as_path=65001 65001 65001 med=1000 local_pref=100 community=(65001,100) (65535,65281)")
	frrHears(t, router, "e6", frr6, "as_path=65001 65001 65001 med=1000 local_pref=100 community=(65001,100) (65535,65281)")
	r.addr("del", frr4)
	r.addr("del", frr6)
	until("withdrawn", other(driver.Delivered, driver.Attributes{})...)
	frrHears(t, router, "e4", frr4, "")
	frrHears(t, router, "e6", frr6, "")
	if got := heardFrom(router, "e4", stays.Prefix.String()); got != "as_path=65001 med=0 local_pref=100" {
		t.Errorf("the other service: heard %q", got)
	}
	// What is sent once more, as it was, moves nothing.
	for session, before := range map[string]string{"e4": before4, "e6": before6} {
		if now := router.Imports(session); !strings.HasSuffix(before, "withdraws 0") || !strings.HasSuffix(now, "withdraws 1") {
			t.Errorf("%s: from %s to %s", session, before, now)
		}
	}
}

// Real neighbors are recognised, also those of IS-IS, and doctor finds nothing that breaks.
func TestQuaggaRealNeighbors(t *testing.T) {
	h := newQuaggaHost(t, "bgpd", "ospfd", "isisd")
	h.wants(driver.Announced, driver.Attributes{})
	h.comes("announced", true)
	frrUntil(t, "all neighbors are up", func() bool {
		s, err := h.q.Observe(t.Context())
		return err == nil && len(s.Neighbors) == 4 && !slices.ContainsFunc(s.Neighbors, func(n driver.Neighbor) bool { return !n.Up })
	})
	for _, f := range h.q.Examine(t.Context(), frrState(h.want...)) {
		if f.Level == driver.LevelError {
			t.Errorf("doctor: %s", f.Error())
		}
	}
}

// The lines that keepcast init prints, and those of the page, each daemon's alone, are
// taken by that daemon: a page that had them together in one file was refused by all.
func TestQuaggaRealLines(t *testing.T) {
	prefix := quaggaPrefix(t)
	texts := map[string]string{}
	for name, part := range quaggaParts(starts(t)["quagga with all daemons"].Lines, "! ", ".conf") {
		texts["init "+name] = part
	}
	for name, part := range quaggaParts(drivertest.ReadFile(t, "../../docs/howto/quagga.md"), "`", ".conf`:") {
		_, part, _ = strings.Cut(part, "```\n")
		part, _, _ = strings.Cut(part, "```\n")
		texts["page "+name] = part
	}
	if len(texts) != 8 {
		t.Fatalf("%d texts, not 4 and 4", len(texts))
	}
	dir := drivertest.SocketDir(t)
	if err := os.Chmod(dir, 0o755); err != nil { // the daemons run as the user that Quagga was built for
		t.Fatal(err)
	}
	texts["broken bgpd"] = texts["page bgpd"] + texts["page ospfd"]
	for name, text := range texts {
		from, daemon, _ := strings.Cut(name, " ")
		path := filepath.Join(dir, from+daemon+".conf")
		drivertest.WriteFile(t, path, text)
		out, err := exec.Command(filepath.Join(prefix, "sbin", daemon), "-C", "-f", path).CombinedOutput()
		if refused := err != nil || strings.Contains(string(out), "no such command"); refused != (from == "broken") {
			t.Errorf("%s: %v: %s\n%s", name, err, out, text)
		}
	}
}

// quaggaParts cuts a text at lines that name a daemon between before and after.
func quaggaParts(text, before, after string) map[string]string {
	out, name := map[string]string{}, ""
	for line := range strings.Lines(text) {
		for _, d := range []string{"zebra", "bgpd", "ospfd", "isisd"} {
			if strings.HasPrefix(line, before+d+after) {
				name, line = d, ""
			}
		}
		if name != "" {
			out[name] += line
		}
	}
	return out
}
