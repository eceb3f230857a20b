package frr

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A daemon that is down is reported, the others get theirs, and once it is up
// again, without what it ran, Watch says so and Apply restores it.
func TestFRRRealRestart(t *testing.T) {
	r := newRealFRR(t, "bgpd", "ospfd")
	f := testFRR(r.dir, "bgpd", "ospfd")
	defer f.Close()
	r.addr("add", frr4)
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, false))
	frrObserves(t, f, frr4)

	proxy := newFRRProxy(t, r.dir, "bgpd")
	watch := testFRR(proxy.dir, "bgpd")
	var told atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := watch.Watch(ctx, func() { told.Add(1) }); err != nil {
			t.Errorf("watch: %v", err)
		}
	})
	defer wg.Wait()
	defer cancel()
	frrUntil(t, "the watch asks", func() bool { return proxy.questions() > 0 })

	r.stop("bgpd")
	frrUntil(t, "told that bgpd is gone", func() bool { return told.Load() > 0 })
	err := f.Apply(t.Context(), frrState(frrRouteOf(frr4, driver.Announced, true)))
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.HasPrefix(drivertest.ErrText(err), "bgpd is not running (socket "+r.dir+"/bgpd.vty): ") {
		t.Errorf("got %v", err)
	}
	if _, err := f.Observe(t.Context()); err == nil {
		t.Error("observed a daemon that is down")
	}
	if degraded := parseRunning(r.ask("ospfd", "show running-config")).listed()[frrRouteOf(frr4, 0, false).Prefix]; !degraded {
		t.Error("ospfd did not get its part")
	}

	told.Store(0)
	r.start("bgpd")
	frrUntil(t, "told that bgpd is back", func() bool { return told.Load() > 0 })
	if err := f.Apply(t.Context(), frrState(frrRouteOf(frr4, driver.Announced, true))); !strings.HasPrefix(drivertest.ErrText(err), "bgpd: it has no router bgp ") {
		t.Errorf("before frr.conf is loaded into the new bgpd: %v", err)
	}
	r.load("bgpd")
	if got := r.networks(frr4); got != "" {
		t.Fatalf("a new bgpd has %s", got)
	}
	told.Store(0)
	frrUntil(t, "told again, for frr.conf comes after the start", func() bool { return told.Load() > 0 })
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, true))
	frrObserves(t, f, frr4+"!")
}

// What the operator has not configured is said in words.
func TestFRRRealOperatorForgot(t *testing.T) {
	r := newRealFRR(t, frrAll...)
	f := testFRR(r.dir, frrAll...)
	defer f.Close()
	r.ask("bgpd", "configure terminal", "no router bgp 65001", "end")
	r.ask("ospfd", "configure terminal", "router ospf", "no redistribute connected", "end")
	r.ask("ospf6d", "configure terminal", "router ospf6", "no redistribute connected", "end")
	r.ask("isisd", "configure terminal", "router isis A", "no redistribute ipv6 connected level-2", "end")
	want := frrState(frrRouteOf(frr4, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false))
	text := strings.Join([]string{
		"bgpd: it has no router bgp to announce " + frr4 + " in: add 'router bgp ASN' with its neighbors to frr.conf",
		"ospfd: it does not announce " + frr4 + " by the gate KEEPCAST: add 'redistribute connected route-map KEEPCAST' under 'router ospf' to frr.conf",
		"ospf6d: it does not announce " + frr6 + " by the gate KEEPCAST6: add 'redistribute connected route-map KEEPCAST6' under 'router ospf6' to frr.conf",
		"isisd: it does not announce " + frr6 + " by the gate KEEPCAST6: add 'redistribute ipv6 connected level-2 route-map KEEPCAST6' under 'router isis NAME' to frr.conf",
	}, "\n")
	if err := f.Apply(t.Context(), want); drivertest.ErrText(err) != text {
		t.Errorf("got\n%v\nwant\n%s", err, text)
	}
	r.ask("isisd", "configure terminal", "interface anycast0", "ipv6 router isis A", "isis passive", "end")
	if err := f.Apply(t.Context(), want); strings.Contains(drivertest.ErrText(err), "isisd") {
		t.Errorf("a passive interface is as good: %v", err)
	}
	r.ask("bgpd", "configure terminal", "router bgp 65007", "end")
	if err := f.Apply(t.Context(), want); strings.Contains(drivertest.ErrText(err), "bgpd") || r.networks(frr4) == "" {
		t.Errorf("with a router bgp: %v, %s", err, r.networks(frr4))
	}
}

// A line that FRR refuses is named with FRR's words; the rest still gets through,
// and the connection is of use afterwards.
func TestFRRRealRefused(t *testing.T) {
	r := newRealFRR(t, "bgpd", "ospfd")
	f := testFRR(r.dir, "bgpd", "ospfd")
	defer f.Close()
	templates := t.TempDir()
	f.Open(driver.Options{Templates: templates})
	path := filepath.Join(templates, "frr.conf.tmpl")
	text := "! daemon: bgpd\nroute-map KEEPCAST-A permit 10\n set nonsense 7\n set metric 5\nrouter bgp\n address-family ipv4 unicast\n  network 192.0.2.53/32 route-map KEEPCAST-A\n" +
		"! daemon: ospfd\nip prefix-list KEEPCAST seq 5 permit 192.0.2.53/32\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	want := frrState(frrRouteOf(frr4, driver.Announced, false))
	for range 2 {
		err := f.Apply(t.Context(), want)
		if got := drivertest.ErrText(err); got != `bgpd refused "set nonsense 7": % [BGP] Unknown command: set nonsense 7 (status 2)` {
			t.Errorf("got %s", got)
		}
	}
	if got := r.networks(frr4); got != frr4+" route-map KEEPCAST-A" {
		t.Errorf("bgpd has %q", got)
	}
	if !parseRunning(r.ask("ospfd", "show running-config")).allows(frr4) {
		t.Error("ospfd did not get its part")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Apply(t.Context(), want); err != nil {
		t.Errorf("with a good template: %v", err)
	}
	if text := r.ask("bgpd", "show running-config"); strings.Contains(text, "KEEPCAST-A ") {
		t.Errorf("stale route-map in bgpd:\n%s", text)
	}
}

func (c config) allows(prefix string) bool {
	_, ok := c.listed()[frrRouteOf(prefix, 0, false).Prefix.Masked()]
	return ok
}

// FRR takes a route-map without its list, or no route-map at all, for a deny: a
// daemon that has lost everything of keepcast's announces nothing.
func TestFRRRealDenies(t *testing.T) {
	r := newRealFRR(t, "ospfd", "ospf6d", "isisd")
	r.addr("add", frr4)
	r.addr("add", frr6+" nodad")
	f := testFRR(r.dir, "ospfd", "ospf6d", "isisd")
	defer f.Close()
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false))
	frrObserves(t, f, frr4, frr6)
	r.ask("ospfd", "configure terminal", "no ip prefix-list KEEPCAST", "end")
	r.ask("isisd", "configure terminal", "no ip prefix-list KEEPCAST", "end")
	r.ask("ospf6d", "configure terminal", "no ipv6 prefix-list KEEPCAST6", "end")
	r.ask("isisd", "configure terminal", "no ipv6 prefix-list KEEPCAST6", "end")
	r.ask("isisd", "configure terminal", "router isis A",
		"no redistribute ipv4 connected level-2 metric 20 route-map KEEPCAST", "redistribute ipv4 connected level-2 metric 20 route-map KEEPCAST",
		"no redistribute ipv6 connected level-2 route-map KEEPCAST6", "redistribute ipv6 connected level-2 route-map KEEPCAST6", "end")
	for d, question := range map[string]string{
		"ospfd": "show ip ospf database external self-originate json", "ospf6d": "show ipv6 ospf6 database as-external self-originated json", "isisd": "show isis database detail",
	} {
		frrUntil(t, d+" announces nothing without its lists", func() bool {
			text := r.ask(d, question)
			p4, p6 := frrRouteOf(frr4, 0, false).Prefix, frrRouteOf(frr6, 0, false).Prefix
			return !ospfOriginates(text)[p4] && !ospf6Originates(text)[p6] && !isisOriginates(text)[p4] && !isisOriginates(text)[p6]
		})
	}
	// And Apply makes it good.
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false))
	frrObserves(t, f, frr4, frr6)
}

// bgpd shows that it does not look for a route in all its profiles, also where the
// file says that it is one of an FRR that did not by default.
func TestFRRRealImportCheckOff(t *testing.T) {
	r := newRealFRR(t, "bgpd")
	f := testFRR(r.dir, "bgpd")
	defer f.Close()
	for name, tc := range map[string]struct {
		lines []string
		want  bool
	}{
		"as it comes": {[]string{"frr defaults traditional"}, false},
		"off":         {[]string{"frr defaults traditional", "router bgp 65001", "no bgp network import-check"}, true},
		"datacenter":  {[]string{"frr defaults datacenter"}, false},
		"and off":     {[]string{"frr defaults datacenter", "router bgp 65001", "no bgp network import-check"}, true},
		"an old file": {[]string{"frr version 7.2", "frr defaults traditional"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r.ask("bgpd", "configure terminal", "no router bgp 65001", "frr version 8.4", "end")
			r.ask("bgpd", slices.Concat([]string{"configure terminal"}, tc.lines, []string{"router bgp 65001", "end"})...)
			frrApply(t, f, frrRouteOf(frr4, driver.Announced, false))
			seen, err := f.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if off := slices.Contains(frrFindings(seen), "warning import-check-off bgpd"); off != tc.want {
				t.Errorf("found %q", frrFindings(seen))
			}
		})
	}
}

// A daemon that hangs is given up after the timeout, and does not hold up another.
func TestFRRRealHangs(t *testing.T) {
	r := newRealFRR(t, "bgpd", "ospfd")
	f := testFRR(r.dir, "bgpd", "ospfd")
	defer f.Close()
	frrApply(t, f, frrRouteOf(frr4, driver.Delivered, false))
	f.daemons()[1].vty.Timeout = 200 * time.Millisecond
	stopped := r.procs["ospfd"].Process
	if err := stopped.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	err := f.Apply(t.Context(), frrState(frrRouteOf(frr4, driver.Announced, false)))
	if !strings.HasPrefix(drivertest.ErrText(err), `ospfd: no answer to "end" within 200ms (socket `) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if r.networks(frr4) == "" {
		t.Error("bgpd did not get its part")
	}
	if err := stopped.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	f.daemons()[1].vty.Timeout = 10 * time.Second
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, false))
}

// A second FRR beside the first, as `-N NAME` starts it: its directory is all that
// its driver needs.
func TestFRRRealPathspace(t *testing.T) {
	r := newRealFRR(t, "bgpd")
	name := fmt.Sprintf("kc-frr-%d", os.Getpid())
	dir := filepath.Join(r.root, "/run/frr", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	frrOwns(t, r.root, dir)
	cmd := exec.Command("/usr/lib/frr/bgpd", "-N", name, "-u", "frr", "-g", "frr", "-A", "127.0.0.1", "-P", "0", "-p", "1179")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.root}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	second := &realFRR{t: t, root: r.root, dir: dir}
	frrUntil(t, "the second bgpd answers", func() bool {
		_, err := second.tell("bgpd", "show version")
		return err == nil
	})
	second.enter("bgpd", "router bgp 65009\n")
	f, g := testFRR(r.dir, "bgpd"), testFRR(dir, "bgpd")
	defer f.Close()
	defer g.Close()
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, false))
	frrApply(t, g, frrRouteOf(frr4b, driver.Announced, true))
	if one, two := r.networks(frr4, "203.0.113.0/24"), second.networks(frr4, "203.0.113.0/24"); one != frr4+" route-map KEEPCAST-ANNOUNCED" || !strings.HasPrefix(two, "203.0.113.0/24 route-map KEEPCAST-") {
		t.Errorf("the first has %q, the second %q", one, two)
	}
	if text := second.ask("bgpd", "show running-config"); !strings.Contains(text, "set as-path prepend 65009 65009\n") {
		t.Errorf("the second prepends otherwise:\n%s", text)
	}
}
