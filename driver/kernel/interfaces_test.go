package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// routeOn is a route whose address is on another interface than the kernel's first.
func routeOn(iface, prefix string, p driver.Presence) driver.Route {
	r := drivertest.Route(prefix, p)
	r.Interface = iface
	return r
}

// Each address is on the interface that its route names, and moves with it.
func TestKernelInterfaces(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	s.ip("link add any1 type ifb")
	s.ip("addr add 10.255.0.1/32 dev any1") // the operator's
	apply(t, k, drivertest.Route(drivertest.V4, driver.Announced), routeOn("any1", drivertest.V6, driver.Announced))
	drivertest.Same(t, "any0", []string{v4on}, s.addrs())
	if got := s.ip("-o addr show dev any1"); !strings.Contains(got, drivertest.V6) || !strings.Contains(got, "10.255.0.1/32") {
		t.Errorf("any1 has %s", got)
	}
	observed(t, k, drivertest.Route(drivertest.V4, driver.Announced), routeOn("any1", drivertest.V6, driver.Announced), routeOn("any1", "10.255.0.1/32", driver.Announced))

	apply(t, k, routeOn("any1", drivertest.V4, driver.Announced), drivertest.Route(drivertest.V6, driver.Announced))
	drivertest.Same(t, "any0 after the swap", []string{v6on}, s.addrs())
	drivertest.Same(t, "local delivery routes", nil, s.locals())
	observed(t, k, routeOn("any1", drivertest.V4, driver.Announced), drivertest.Route(drivertest.V6, driver.Announced), routeOn("any1", "10.255.0.1/32", driver.Announced))

	// Nothing names any1 any more, and yet what is on it has to go.
	apply(t, k, drivertest.Route(drivertest.V4, driver.Delivered), drivertest.Route(drivertest.V6, driver.Announced))
	drivertest.Same(t, "local delivery routes", []string{v4local}, s.locals())
	if got := s.ip("-o addr show dev any1"); strings.Contains(got, "192.0.2.53") || !strings.Contains(got, "10.255.0.1/32") {
		t.Errorf("any1 has %s", got)
	}
}

// A network that only a gate opens for is none of the kernel's business.
func TestKernelPrefixOnly(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	network := drivertest.Route("203.0.113.0/24", driver.Announced)
	network.PrefixOnly, network.Interface = true, "any7" // which there is not
	apply(t, k, drivertest.Route(drivertest.V4, driver.Announced), network)
	drivertest.Same(t, "addresses", []string{v4on}, s.addrs())
	network.Presence = driver.Absent
	apply(t, k, drivertest.Route(drivertest.V4, driver.Announced), network)
	drivertest.Same(t, "addresses", []string{v4on}, s.addrs())
	if got := k.interfaces(); len(got) != 1 {
		t.Errorf("manages %v", got)
	}
}

// A change on an interface that a route named only later is told of.
func TestKernelWatchesNewInterface(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	s.ip("link add any1 type ifb")
	s.ip("link set any1 up")
	s.ip("addr add 192.0.2.53/32 dev any1")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	told, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() { ended <- k.Watch(ctx, func() { told <- struct{}{} }) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-told // it has started, and knows any0 alone
	k.Manage([]driver.Route{routeOn("any1", drivertest.V4, driver.Announced)})
	s.ip("addr del 192.0.2.53/32 dev any1")
	select {
	case <-told:
	case <-ctx.Done():
		t.Error("the deletion on any1 was not told")
	}
}

// In a VRF too a withdrawn service is served and can be probed, and an announced
// one as well.
func TestKernelVRF(t *testing.T) {
	s := newSpace(t)
	if out, err := s.run("ip link add red type vrf table 100"); err != nil {
		t.Skipf("this kernel has no VRFs (run the test under one that has: driver.test -test.run TestKernelVRF): %s", out)
	}
	if out, err := s.run("sysctl -q net.ipv6.ip_nonlocal_bind=1"); err != nil {
		t.Fatal(out)
	}
	k := s.kernel()
	s.ip("link set red up")
	s.ip("link set any0 master red")
	// The VRF's own address: without one the kernel has no source for a probe.
	s.ip("link add eth7 type ifb")
	s.ip("link set eth7 master red up")
	s.ip("addr add 2001:db8:9::1/64 dev eth7 nodad")
	for _, p := range []driver.Presence{driver.Delivered, driver.Announced, driver.Delivered, driver.Absent} {
		apply(t, k, drivertest.Route(drivertest.V4, p), drivertest.Route(drivertest.V6, p))
		observed(t, k, drivertest.Route(drivertest.V4, p), drivertest.Route(drivertest.V6, p))
		routes := s.ip("route show table 100 proto 250") + s.ip("route show table local proto 250") +
			s.ip("-6 route show table 100 proto 250") + s.ip("-6 route show table local proto 250")
		if got, want := strings.Count(routes, "dev red"), map[driver.Presence]int{driver.Delivered: 3}[p]; got != want {
			t.Errorf("%s: %d local delivery routes, want %d:\n%s", p, got, want, routes)
		}
		if p == driver.Absent {
			break
		}
		for _, addr := range []string{"192.0.2.53", "2001:db8:53::53"} {
			if err := k.Local(netip.MustParseAddr(addr)); err != nil {
				t.Error(err)
			}
			if err := s.do(func() error {
				vrf, err := k.VRF("any0")
				return errors.Join(err, served(t.Context(), vrf, addr))
			}); err != nil {
				t.Errorf("%s: %v", p, err)
			}
		}
	}
}

// served binds a service to an address in a VRF and reaches it from within, as a
// check does it.
func served(ctx context.Context, vrf, addr string) error {
	control := func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), vrf) }), err)
	}
	l, err := (&net.ListenConfig{Control: control}).Listen(ctx, "tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		return err
	}
	defer l.Close()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second, Control: control}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return err
	}
	return conn.Close()
}
