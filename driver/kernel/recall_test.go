package kernel

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A daemon that has missed that an address went kept announcing it: the kernel had no
// way to tell it again. A recall is a notice that the address came, and one that it went;
// what is announced, absent from the configuration or delivered stays as it is.
func TestKernelRecall(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	rs := []driver.Route{
		drivertest.Route(drivertest.V4, driver.Delivered), drivertest.Route(drivertest.V6, driver.Absent), drivertest.Route("192.0.2.54/32", driver.Announced),
		{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Presence: driver.Absent, PrefixOnly: true},
	}
	apply(t, k, rs...)
	s.ip("addr add 192.0.2.55/32 dev any0")
	rs = append(rs, drivertest.Route("192.0.2.55/32", driver.Delivered)) // somebody has just put it there
	before, delivered := s.addrs(), s.locals()
	sock, err := nl.SubscribeAt(s.ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	if err := sock.SetReceiveTimeout(&unix.Timeval{Sec: 20}); err != nil {
		t.Fatal(err)
	}
	if err = k.Recall(t.Context(), driver.State{Routes: rs}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < 4 {
		notices, _, err := sock.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range notices {
			for _, r := range rs {
				if bytes.Contains(n.Data, r.Prefix.Addr().AsSlice()) {
					got = append(got, fmt.Sprintf("%s %t", r.Prefix, n.Header.Type == unix.RTM_NEWADDR))
				}
			}
		}
	}
	want := []string{drivertest.V4 + " true", drivertest.V4 + " false", drivertest.V6 + " true", drivertest.V6 + " false"}
	if !slices.Equal(got, want) {
		t.Errorf("notices %q, want %q", got, want)
	}
	drivertest.Same(t, "addresses", before, s.addrs())
	if len(delivered) == 0 {
		t.Error("nothing is delivered")
	}
	drivertest.Same(t, "delivered", delivered, s.locals())
}

// Without the interface there is nothing to recall.
func TestKernelRecallWithoutInterface(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	apply(t, k, drivertest.Route(drivertest.V4, driver.Delivered))
	s.ip("link del any0")
	if err := k.Recall(t.Context(), driver.State{Routes: []driver.Route{drivertest.Route(drivertest.V4, driver.Delivered)}}); err != nil {
		t.Error(err)
	}
}
