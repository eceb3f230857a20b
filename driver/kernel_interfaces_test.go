package driver

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// on is a route whose address is on another interface than the kernel's first.
func on(iface, prefix string, p Presence) Route {
	r := route(prefix, p)
	r.Interface = iface
	return r
}

// Each address is on the interface that its route names, and moves with it.
func TestKernelInterfaces(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	s.ip("link add any1 type ifb")
	s.ip("addr add 10.255.0.1/32 dev any1") // the operator's
	apply(t, k, route(v4, Announced), on("any1", v6, Announced))
	same(t, "any0", []string{v4on}, s.addrs())
	if got := s.ip("-o addr show dev any1"); !strings.Contains(got, v6) || !strings.Contains(got, "10.255.0.1/32") {
		t.Errorf("any1 has %s", got)
	}
	observed(t, k, route(v4, Announced), on("any1", v6, Announced), on("any1", "10.255.0.1/32", Announced))

	apply(t, k, on("any1", v4, Announced), route(v6, Announced))
	same(t, "any0 after the swap", []string{v6on}, s.addrs())
	same(t, "local delivery routes", nil, s.locals())
	observed(t, k, on("any1", v4, Announced), route(v6, Announced), on("any1", "10.255.0.1/32", Announced))

	// Nothing names any1 any more, and yet what is on it has to go.
	apply(t, k, route(v4, Delivered), route(v6, Announced))
	same(t, "local delivery routes", []string{v4local}, s.locals())
	if got := s.ip("-o addr show dev any1"); strings.Contains(got, "192.0.2.53") || !strings.Contains(got, "10.255.0.1/32") {
		t.Errorf("any1 has %s", got)
	}
}

// A network that only a gate opens for is none of the kernel's business.
func TestKernelGateOnly(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	network := route("203.0.113.0/24", Announced)
	network.GateOnly, network.Interface = true, "any7" // which there is not
	apply(t, k, route(v4, Announced), network)
	same(t, "addresses", []string{v4on}, s.addrs())
	network.Presence = Absent
	apply(t, k, route(v4, Announced), network)
	same(t, "addresses", []string{v4on}, s.addrs())
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	told, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() { ended <- k.Watch(ctx, func() { told <- struct{}{} }) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-told // it has started
	apply(t, k, on("any1", v4, Announced))
	observed(t, k, on("any1", v4, Announced))
	for quiet := false; !quiet; {
		select {
		case <-told:
		case <-time.After(20 * watchSettle): // what Apply itself did is told by then
			quiet = true
		}
	}
	s.ip("addr del 192.0.2.53/32 dev any1")
	select {
	case <-told:
	case <-ctx.Done():
		t.Error("the deletion on any1 was not told")
	}
}

// In a VRF the kernel looks for local routes in the table of the VRF.
func TestKernelVRF(t *testing.T) {
	s := newSpace(t)
	if out, err := s.run("ip link add red type vrf table 100"); err != nil {
		t.Skipf("this kernel has no VRFs (the VM test has them): %s", out)
	}
	k := s.kernel()
	s.ip("link set red up")
	s.ip("link set any0 master red")
	apply(t, k, route(v4, Delivered))
	if got := s.ip("route show table 100 proto 250"); !strings.Contains(got, "local 192.0.2.53 dev red") {
		t.Errorf("table 100 has %q", got)
	}
	observed(t, k, route(v4, Delivered))
	apply(t, k, route(v4, Announced))
	if got := s.ip("route show table 100 proto 250"); got != "" {
		t.Errorf("table 100 still has %q", got)
	}
}

// The table is that of the VRF the interface is in.
func TestKernelVRFTable(t *testing.T) {
	v := &view{local: localTable{table: 100, dev: 7}}
	r := v.localRoute(netip.MustParseAddr("192.0.2.53"))
	if r.Table != 100 || r.LinkIndex != 7 {
		t.Errorf("got %v", r)
	}
}
