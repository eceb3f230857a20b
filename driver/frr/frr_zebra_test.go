package frr

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

// restartZebra kills zebra alone and starts it again, as watchfrr or an operator may.
func (r *realFRR) restartZebra() {
	r.t.Helper()
	r.stop(zebraName)
	r.start(zebraName)
	r.load(zebraName)
}

// follows applies routes whenever the watch says so, as the worker does; the test says
// what. Stop it before the driver is used otherwise.
func frrFollows(t *testing.T, f *FRR, routes ...driver.Route) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done, watched := make(chan struct{}), make(chan error, 1)
	changed := make(chan struct{}, 1)
	go func() {
		watched <- f.Watch(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				if err := f.Apply(ctx, frrState(routes...)); err != nil { // tried again at the next change
					t.Log(err)
				}
			}
		}
	}()
	return func() { cancel(); <-done; <-watched }
}

// zebra was restarted under a running bgpd: an address that went was announced on, and one
// that came in the next ten seconds was never announced, with a finding that zebra had no
// route for it. What is announced well stays so, without a message to the neighbor.
func TestFRRRealZebraRestartsUnderBGP(t *testing.T) {
	r, router := peersUp(t, "")
	f := testFRR(r.dir, "bgpd")
	defer f.Close()
	const late, net = "192.0.2.54/32", "203.0.113.0/24"
	r.addr("add", frr4)
	r.addr("add", frr6+" nodad")
	frrRun(t, "ip route add blackhole "+net)
	old := []driver.Route{frrRouteOf(frr4, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false), frrPrefixOnly(net, driver.Announced)}
	frrApply(t, f, old...)
	up := "as_path=65001 med=0 local_pref=100"
	frrHears(t, router, "e4", frr4, up)
	frrHears(t, router, "e6", frr6, up)
	frrHears(t, router, "e4", net, up)
	before := router.Imports("e4") + router.Imports("e6")

	r.restartZebra()
	all := append(old, frrRouteOf(late, driver.Announced, false))
	_ = f.Apply(t.Context(), frrState(all...)) // bgpd may not be connected yet
	r.addr("add", late)
	stop := frrFollows(t, f, all...)
	frrHears(t, router, "e4", late, up)
	d := f.daemon("bgpd")
	defer d.close()
	frrUntil(t, "zebra watches all again", func() bool {
		watched, _ := d.watched(t.Context(), "")
		return len(watched) >= 4
	})
	stop()
	if err := f.Apply(t.Context(), frrState(all...)); err != nil {
		t.Error(err)
	}
	if want := strings.Replace(before, "updates 2", "updates 3", 1); router.Imports("e4")+router.Imports("e6") != want {
		t.Errorf("the neighbor was told more than of the new one: %s, want %s", router.Imports("e4")+router.Imports("e6"), want)
	}
	for session, a := range map[string]string{"e4": frr4, "e6": frr6} {
		r.addr("del", a) // and the gate stays open
		frrHears(t, router, session, a, "")
	}
	r.addr("add", frr4)
	frrHears(t, router, "e4", frr4, up)
}

// zebra was restarted under the daemons that redistribute: no address that went was ever
// withdrawn again, not even by the gate in isisd and ripd.
func TestFRRRealZebraRestartsUnderIGP(t *testing.T) {
	for _, name := range []string{"ospfd", "ospf6d", "isisd", "ripd", "ripngd", "babeld"} {
		t.Run(name, func(t *testing.T) {
			r := newRealFRR(t, name)
			f := testFRR(r.dir, name)
			defer f.Close()
			p := frr4
			if !frrSpec(name).ipv4 {
				p = frr6
			}
			up, down := frrRouteOf(p, driver.Announced, false), frrRouteOf(p, driver.Delivered, false)
			has := func(want bool) {
				t.Helper()
				frrUntil(t, name+" and "+p, func() bool {
					got, err := testFRR(r.dir, name).daemon(name).database(t, netip.MustParsePrefix(p))
					return err == nil && got == want
				})
			}
			r.addr("add", strings.Replace(p, "/128", "/128 nodad", 1))
			frrApply(t, f, up)
			has(true)
			r.restartZebra()
			stop := frrFollows(t, f, up)
			d := f.daemon(name)
			defer d.close()
			frrUntil(t, name+" is connected to zebra", func() bool {
				to, known := d.told(t.Context())
				return known && to.connected && (to.routes > 0 || d.mute && to.lost())
			})
			stop()
			if d.mute {
				if err := f.Apply(t.Context(), frrState(up)); err == nil || !strings.Contains(err.Error(), "does not ask it again") {
					t.Errorf("got %v", err)
				}
				frrTells(t, f, func(s driver.State) []string { return frrNamed(s.Findings, "zebra-forgot") }, d.unlearned(zebraClient{connected: true}).Error())
			}
			r.addr("del", p)
			_ = f.Apply(t.Context(), frrState(down)) // which says so if it can't learn again
			if name != "babeld" {                    // which never forgets: the list decides what is sent
				has(false)
			}
			if d.mute {
				return
			}
			frrUntil(t, "the gate is open", func() bool { return f.Apply(t.Context(), frrState(up)) == nil }) // mgmtd may be busy
			r.addr("add", strings.Replace(p, "/128", "/128 nodad", 1))
			has(true)
		})
	}
}

// What real zebras have said.
func TestFRRZebraSaid(t *testing.T) {
	const client = "Client: ospf6\n------------------------ \nFD: 30 \nConnect Time: 00:00:02 \nRedist:v4   0           0           0 \nRedist:v6   2           0           0 \n\n" +
		"Client: ospf\n------------------------ \nFD: 23 \nConnect Time: 00:00:13 \nType        Add         Update      Del \nRedist:v4   0           0           0 \nRedist:v6   0           0           0 \n\n" +
		"Client: isis\nConnect Time: 01d02h03m \nRedist:v4   0           0           0 \n"
	for name, want := range map[string][3]bool{"ospf": {true, true}, "ospf6": {true, false}, "isis": {true, true}, "bgp": {}} {
		c := clientsOf(client)[name]
		if got := [3]bool{c.connected, c.lost()}; got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	const summary = "Name      Connect Time    Last Read  Last Write      IPv4 Routes           IPv6 Routes\n----\nvnc           00:00:30     00:00:30    00:00:03          0/0                   0/0         \n" +
		"bgp           00:00:30     00:00:03    00:00:03          0/0                   0/0         \nRoutes column shows (added+updated)/deleted\n"
	if d := cmp.Diff([]string{"bgp", "vnc"}, namesOf(summary)); d != "" {
		t.Error(d)
	}
	const nht = "VRF default:\n Resolve via default: on\n192.0.2.53\n resolved via connected, prefix 192.0.2.53/32\n is directly connected, anycast0 (vrf default), weight 1\n Client list: bgp(fd 27)\n" +
		"192.0.2.54(Connected)\n unresolved\n Client list: static(fd 9) bgp(fd 24)\n192.0.2.55\n resolved via connected\n Client list: static(fd 9)\n2001:db8::1\n unresolved(not connected)\n Client list: bgp(fd 28)\n"
	want := map[netip.Addr]bool{netip.MustParseAddr("192.0.2.53"): true, netip.MustParseAddr("192.0.2.54"): false, netip.MustParseAddr("2001:db8::1"): false}
	if d := cmp.Diff(want, nexthopsOf(nht, "bgp"), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Error(d)
	}
}
