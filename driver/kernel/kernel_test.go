package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

const (
	v4on    = drivertest.V4 + " any0"
	v6on    = drivertest.V6 + " nodad deprecated"
	v4local = "local 192.0.2.53 dev lo scope host metric 4242"
	v6local = "local 2001:db8:53::53 dev lo metric 4242 pref medium"
)

func TestKernelPresences(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	for _, step := range []struct {
		name          string
		presence      driver.Presence
		addrs, locals []string
	}{
		{"delivered from nothing", driver.Delivered, nil, []string{v4local, v6local}},
		{"announced from delivered", driver.Announced, []string{v4on, v6on}, nil},
		{"delivered from announced", driver.Delivered, nil, []string{v4local, v6local}},
		{"absent from delivered", driver.Absent, nil, nil},
		{"announced from absent", driver.Announced, []string{v4on, v6on}, nil},
		{"absent from announced", driver.Absent, nil, nil},
	} {
		apply(t, k, drivertest.Route(drivertest.V4, step.presence), drivertest.Route(drivertest.V6, step.presence))
		drivertest.Same(t, step.name+": addresses", step.addrs, s.addrs())
		drivertest.Same(t, step.name+": local delivery routes", step.locals, s.locals())
		observed(t, k, drivertest.Route(drivertest.V4, step.presence), drivertest.Route(drivertest.V6, step.presence))
	}
}

// observed checks that Observe sees every route, apart from the link-local one.
func observed(t *testing.T, k *Kernel, want ...driver.Route) {
	t.Helper()
	got, err := k.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got.Routes = slices.DeleteFunc(got.Routes, func(r driver.Route) bool { return r.Prefix.Addr().IsLinkLocalUnicast() })
	want = slices.DeleteFunc(want, func(r driver.Route) bool { return r.Presence == driver.Absent })
	sortRoutes(want)
	opts := cmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(driver.Route{}, "Service")}
	if d := cmp.Diff(driver.State{Interface: "any0", Routes: want}, got, opts); d != "" {
		t.Errorf("observed (-want +got):\n%s", d)
	}
}

func TestKernelShrinkNeedsNoInterface(t *testing.T) {
	s := newSpace(t)
	k := s.bare()
	want := driver.State{Routes: []driver.Route{drivertest.Route(drivertest.V4, driver.Delivered), drivertest.Route(drivertest.V6, driver.Delivered), drivertest.Route("192.0.2.1/32", driver.Absent)}}
	s.ip("route add local 192.0.2.1 dev lo table local metric 7 proto 99") // the operator's own
	s.ip("route add local 192.0.2.2 dev lo table local metric 7 proto 250")
	if err := k.Shrink(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	drivertest.Same(t, "local delivery routes", []string{"local 192.0.2.2 dev lo scope host metric 7", v4local, v6local}, s.locals())
	observed(t, k, want.Routes...)
}

func TestKernelGrowMakesInterface(t *testing.T) {
	s := newSpace(t)
	k := s.bare()
	err := k.Grow(t.Context(), driver.State{Routes: []driver.Route{drivertest.Route(drivertest.V4, driver.Announced)}})
	if err == nil { // a kernel with dummy interfaces
		drivertest.Same(t, "addresses", []string{v4on}, s.addrs())
		return
	}
	want := "making any0: this kernel has no dummy interfaces: operation not supported" +
		" (run modprobe dummy, or make an interface of that name yourself; any type will do)"
	if err.Error() != want {
		t.Errorf("got  %q\nwant %q", err, want)
	}
}

func TestKernelLinkDown(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	announced := []driver.Route{drivertest.Route(drivertest.V4, driver.Announced), drivertest.Route(drivertest.V6, driver.Announced)}
	apply(t, k, announced...)
	s.ip("link set any0 down")
	drivertest.Same(t, "addresses while down", []string{v4on}, s.addrs())
	observed(t, k)
	apply(t, k, announced...)
	drivertest.Same(t, "addresses after", []string{v4on, v6on}, s.addrs())
	observed(t, k, announced...)
}

func TestKernelLeavesOthersAlone(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	s.ip("link set any0 up")
	s.ip("addr add 192.0.2.99/32 dev any0 label any0:mine")
	s.ip("addr add 2001:db8:99::1/64 dev any0 nodad")
	s.ip("route add local 192.0.2.77/32 dev lo table local metric 4242 proto 99")
	s.ip("route add 192.0.2.78/32 dev any0 proto 250 metric 4242")
	own := []string{"192.0.2.99/32 any0:mine", "2001:db8:99::1/64 nodad"}
	routes := func() string { return s.ip("route show table all proto 99") + s.ip("route show proto 250") }
	before := routes()
	if strings.Count(before, "\n") != 2 {
		t.Fatalf("the operator's routes are not there: %q", before)
	}
	for _, p := range []driver.Presence{driver.Announced, driver.Delivered, driver.Announced, driver.Absent} {
		apply(t, k, drivertest.Route(drivertest.V4, p), drivertest.Route(drivertest.V6, p))
		var got []string
		for _, a := range s.addrs() {
			if a != v4on && a != v6on {
				got = append(got, a)
			}
		}
		drivertest.Same(t, p.String()+": the operator's addresses", own, got)
		if got := routes(); got != before {
			t.Errorf("%s: the operator's routes were\n%sand are\n%s", p, before, got)
		}
	}
}

func TestKernelOperatorPutItThere(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	s.ip("link set any0 up")
	s.ip("addr add " + drivertest.V6 + " dev any0 nodad")
	apply(t, k, drivertest.Route(drivertest.V6, driver.Announced))
	drivertest.Same(t, "an address without the flags is left as it is", []string{drivertest.V6 + " nodad"}, s.addrs())
	apply(t, k, drivertest.Route(drivertest.V6, driver.Delivered))
	drivertest.Same(t, "but is removed", nil, s.addrs())
}

func TestKernelWrongLength(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	s.ip("link set any0 up")
	s.ip("addr add 203.0.113.1/24 dev any0")
	s.ip("addr add 203.0.113.9/24 dev any0") // a secondary, the operator's own
	s.ip("addr add 2001:db8:53::53/64 dev any0 nodad")
	apply(t, k, drivertest.Route("203.0.113.1/28", driver.Announced), drivertest.Route(drivertest.V6, driver.Announced))
	drivertest.Same(t, "addresses", []string{"203.0.113.1/28 any0", "203.0.113.9/24 any0", v6on}, s.addrs())
	drivertest.Same(t, "local delivery routes", nil, s.locals())
	observed(t, k, drivertest.Route("203.0.113.1/28", driver.Announced), drivertest.Route("203.0.113.9/24", driver.Announced), drivertest.Route(drivertest.V6, driver.Announced))
}

// An IPv4 primary takes its secondaries along when it goes, unless
// promote_secondaries is on: it is off here.
func TestKernelSecondaries(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	one, two := "203.0.113.1/24", "203.0.113.2/24"
	apply(t, k, drivertest.Route(one, driver.Announced), drivertest.Route(two, driver.Announced))
	s.ip("addr add 203.0.113.3/24 dev any0 label any0:op")
	drivertest.Same(t, "addresses before", []string{one + " any0", two + " secondary any0", "203.0.113.3/24 secondary any0:op"}, s.addrs())

	apply(t, k, drivertest.Route(one, driver.Delivered), drivertest.Route(two, driver.Announced))
	drivertest.Same(t, "the primary is gone", []string{two + " any0", "203.0.113.3/24 secondary any0:op"}, s.addrs())
	apply(t, k, drivertest.Route(one, driver.Delivered), drivertest.Route(two, driver.Delivered))
	drivertest.Same(t, "both are gone", []string{"203.0.113.3/24 any0:op"}, s.addrs())
	if routes := s.ip("route show dev any0"); !strings.HasPrefix(routes, "203.0.113.0/24") {
		t.Errorf("the subnet's route is gone: %q", routes)
	}
}

func TestKernelFaultHoldsUpNobody(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	apply(t, k, drivertest.Route(drivertest.V6, driver.Announced), drivertest.Route(drivertest.V4, driver.Announced))
	s.ip("link set lo down") // no local delivery route can be made for IPv6
	err := k.Shrink(t.Context(), driver.State{Routes: []driver.Route{drivertest.Route(drivertest.V6, driver.Delivered), drivertest.Route(drivertest.V4, driver.Delivered)}})
	want := "adding the local delivery route for 2001:db8:53::53: network is down (ip link set lo up)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	drivertest.Same(t, "a withdrawal waits for nothing", nil, s.addrs())
	drivertest.Same(t, "the other one is delivered", []string{v4local}, s.locals())
}

func TestKernelNoIPv6(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	if err := s.do(func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/any0/disable_ipv6", []byte("1"), 0)
	}); err != nil {
		t.Fatal(err)
	}
	err := k.Grow(t.Context(), driver.State{Routes: []driver.Route{drivertest.Route(drivertest.V6, driver.Announced), drivertest.Route(drivertest.V4, driver.Announced)}})
	want := "adding 2001:db8:53::53/128 to any0: permission denied (IPv6 is off there: sysctl net.ipv6.conf.any0.disable_ipv6=0)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	drivertest.Same(t, "IPv4 goes on", []string{v4on}, s.addrs())
}

func TestKernelBurst(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	all := func(p driver.Presence) []driver.Route {
		var rs []driver.Route
		for a := netip.MustParseAddr("198.51.100.0"); len(rs) < 200; a = a.Next() {
			rs = append(rs, driver.Route{Prefix: netip.PrefixFrom(a, 32), Presence: p})
		}
		return rs
	}
	apply(t, k, all(driver.Announced)...)
	observed(t, k, all(driver.Announced)...)
	apply(t, k, all(driver.Delivered)...)
	observed(t, k, all(driver.Delivered)...)
	apply(t, k, all(driver.Absent)...)
	observed(t, k)
}

func TestKernelLocal(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	s.ip("link add eth7 type ifb")
	s.ip("link set eth7 up")
	s.ip("addr add 10.9.8.1/24 dev eth7")
	s.ip("route add 192.0.2.0/24 via 10.9.8.7")
	for i, kind := range []string{"unreachable", "prohibit", "blackhole", "throw"} {
		s.ip(fmt.Sprintf("route add %s 203.0.113.%d", kind, i))
	}
	for _, p := range []driver.Presence{driver.Announced, driver.Delivered} {
		apply(t, k, drivertest.Route(drivertest.V4, p), drivertest.Route(drivertest.V6, p))
		for _, addr := range []string{"192.0.2.53", "::ffff:192.0.2.53", "2001:db8:53::53"} {
			if err := k.Local(netip.MustParseAddr(addr)); err != nil {
				t.Errorf("%s %s: %v", p, addr, err)
			}
		}
	}
	apply(t, k, drivertest.Route(drivertest.V4, driver.Absent), drivertest.Route(drivertest.V6, driver.Absent))
	for addr, want := range map[string]string{
		"192.0.2.53":      "192.0.2.53 is not on this host: it would be sent to 10.9.8.7 on eth7",
		"10.9.8.9":        "10.9.8.9 is not on this host: it would be sent to eth7",
		"198.51.100.1":    "198.51.100.1 is not on this host, and there is no route to it: network is unreachable",
		"203.0.113.0":     "203.0.113.0 is not on this host, and there is no route to it: no route to host",
		"203.0.113.1":     "203.0.113.1 is not on this host, and there is no route to it: permission denied",
		"203.0.113.2":     "203.0.113.2 is not on this host, and there is no route to it: invalid argument",
		"203.0.113.3":     "203.0.113.3 is not on this host, and there is no route to it: network is unreachable",
		"2001:db8:53::53": "2001:db8:53::53 is not on this host, and there is no route to it: network is unreachable",
	} {
		if err := k.Local(netip.MustParseAddr(addr)); !errors.Is(err, driver.ErrElsewhere) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
