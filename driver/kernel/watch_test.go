package kernel

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// watching runs Watch until the test ends.
func watching(t *testing.T, k *Kernel, changed func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Watch(ctx, changed) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("watch ended: %v", err)
		}
	})
}

// Every way to break what keepcast did is repaired by the Apply that Watch asks
// for, and by nothing else.
func TestKernelRepairs(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	want := driver.State{Routes: []driver.Route{drivertest.Route(drivertest.V4, driver.Announced), drivertest.Route(drivertest.V6, driver.Announced), drivertest.Route("192.0.2.54/32", driver.Delivered), drivertest.Route("2001:db8:53::54/128", driver.Delivered)}}
	watching(t, k, func() {
		if err := k.Apply(t.Context(), want); err != nil && t.Context().Err() == nil {
			t.Log(err) // such as the interface deleted under its hands: there will be another notice
		}
	})
	addrs, locals := []string{v4on, v6on}, []string{"local 192.0.2.54 dev lo scope host metric 4242", "local 2001:db8:53::54 dev lo metric 4242 pref medium"}
	whole := func() bool {
		got, err := s.run("ip -o addr show dev any0 scope global")
		return err == nil && strings.Contains(s.ip("link show dev any0"), ",UP") && strings.Count(got, "\n") == 2 &&
			cmp.Equal(addrs, s.addrs()) && cmp.Equal(locals, s.locals())
	}
	drivertest.Eventually(t, "the first Apply", whole)
	for _, broken := range []string{
		"addr del 192.0.2.53/32 dev any0",
		"addr del 2001:db8:53::53/128 dev any0",
		"addr flush dev any0",
		"route del local 192.0.2.54 dev lo table local proto 250 metric 4242",
		"link set any0 down",
	} {
		s.ip(broken)
		drivertest.Eventually(t, "repair after ip "+broken, whole)
	}
	s.ip("link set lo down")
	drivertest.Eventually(t, "lo takes the IPv6 routes along", func() bool { return len(s.locals()) == 1 })
	s.ip("link set lo up")
	drivertest.Eventually(t, "repair after lo was down", whole)
	// Deleted and made anew, it has another index.
	s.ip("link del any0")
	s.ip("link add other type ifb")
	if out, err := s.run("ip link add any0 type ifb"); err != nil && !strings.Contains(out, "File exists") {
		t.Fatal(out) // with real dummies keepcast may have made it by now
	}
	drivertest.Eventually(t, "repair after the interface was made anew", whole)
	s.ip("addr del 192.0.2.53/32 dev any0")
	drivertest.Eventually(t, "repair on the interface made anew", whole)
}

// Other interfaces and other routes do not concern us: of the routes not even
// a notice arrives.
func TestKernelWatchConcerns(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	apply(t, k)
	own, err := k.indexes()
	if err != nil {
		t.Fatal(err)
	}
	sock, err := nl.SubscribeAt(s.ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	if err := onlyOwnRoutes(sock); err != nil {
		t.Fatal(err)
	}
	s.ip("link add eth7 type ifb")
	s.ip("link set eth7 up")
	s.ip("addr add 10.9.8.1/24 dev eth7")
	s.ip("route add 198.51.100.0/24 dev eth7 proto 12")
	s.ip("route del 198.51.100.0/24 dev eth7 proto 12")
	s.ip("route add local 198.51.100.1 dev lo table local proto 99")
	s.ip("route add local 198.51.100.2 dev lo table local proto 250 metric 4242") // the last one

	ifindex := func(n syscall.NetlinkMessage) int {
		return int(binary.NativeEndian.Uint32(n.Data[4:])) // the same place for links and addresses
	}
	foreign := 0
	for {
		notices, _, err := sock.Receive()
		if err != nil {
			t.Fatal(err)
		}
		n := notices[0]
		mine := k.concerns(n, own)
		if n.Header.Type == unix.RTM_NEWROUTE || n.Header.Type == unix.RTM_DELROUTE {
			if !mine || !bytes.Contains(n.Data, []byte{198, 51, 100, 2}) {
				t.Errorf("a notice of another route: %x", n.Data)
			}
			break
		}
		if other := !own.index[ifindex(n)]; other == mine {
			t.Errorf("notice of type %d for interface %d concerns: %t", n.Header.Type, ifindex(n), mine)
		} else if other {
			foreign++
		}
	}
	if foreign < 3 {
		t.Errorf("only %d notices of eth7", foreign)
	}
}

func TestKernelWatchGathers(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	apply(t, k)
	var calls atomic.Int64
	watching(t, k, func() { calls.Add(1) })
	drivertest.Eventually(t, "the first call", func() bool { return calls.Load() > 0 })
	var rs []driver.Route
	for a := netip.MustParseAddr("198.51.100.0"); len(rs) < 200; a = a.Next() {
		rs = append(rs, driver.Route{Prefix: netip.PrefixFrom(a, 32), Presence: driver.Announced})
	}
	apply(t, k, rs...)
	drivertest.Eventually(t, "the burst is told of", func() bool { return calls.Load() > 1 })
	if n := calls.Load(); n > 100 {
		t.Errorf("%d calls for 200 changes in a row", n)
	}
}

// A socket whose buffer is too small for what happens loses notices. Watch goes
// on, says so, and asks for a comparison.
func TestKernelWatchOverflow(t *testing.T) {
	s := newSpace(t)
	other := s.kernel()
	s.ip("link add any1 type ifb")
	var log drivertest.Buffer
	k := newAt(s.ns, "any1", slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(k.Close)
	apply(t, k)
	sock, err := nl.SubscribeAt(s.ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_IFADDR)
	if err != nil {
		t.Fatal(err)
	}
	if err := sock.SetReceiveBufferSize(1, false); err != nil {
		t.Fatal(err)
	}
	// Nobody reads yet, so this overflows; what is left in the buffer is of
	// another interface, and no reason to call.
	var rs []driver.Route
	for a := netip.MustParseAddr("198.51.100.0"); len(rs) < 100; a = a.Next() {
		rs = append(rs, driver.Route{Prefix: netip.PrefixFrom(a, 32), Presence: driver.Announced})
	}
	apply(t, other, rs...)

	var calls atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.watch(ctx, sock, func() { calls.Add(1) }) }()
	drivertest.Eventually(t, "the overflow told of", func() bool { return calls.Load() == 2 })
	if got := log.String(); !strings.Contains(got, "netlink notices lost") {
		t.Errorf("logged: %s", got)
	}
	s.ip("addr add 192.0.2.99/32 dev any1")
	drivertest.Eventually(t, "a change after the overflow", func() bool { return calls.Load() == 3 })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("watch ended: %v", err)
	}
}

func TestKernelWatchEndsWithSocket(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	sock, err := nl.SubscribeAt(s.ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		t.Fatal(err)
	}
	err = k.watch(t.Context(), sock, sock.Close)
	if err == nil || !strings.HasPrefix(err.Error(), "receiving from netlink: ") {
		t.Errorf("got %v", err)
	}
}

// A second Apply of the same state sends nothing that changes anything.
func TestKernelIdempotent(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	rs := []driver.Route{
		drivertest.Route(drivertest.V4, driver.Announced), drivertest.Route(drivertest.V6, driver.Announced), drivertest.Route("203.0.113.1/24", driver.Announced), drivertest.Route("203.0.113.2/24", driver.Announced),
		drivertest.Route("192.0.2.54/32", driver.Delivered), drivertest.Route("2001:db8:53::54/128", driver.Delivered), drivertest.Route("192.0.2.55/32", driver.Absent),
	}
	apply(t, k, rs...)
	sock, err := nl.SubscribeAt(s.ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	apply(t, k, rs...)
	s.ip("addr add 127.9.9.9/32 dev lo") // what marks the end
	notices, _, err := sock.Receive()
	if err != nil {
		t.Fatal(err)
	}
	// The address' own local route is told of first.
	n := notices[0]
	if n.Header.Type != unix.RTM_NEWROUTE && n.Header.Type != unix.RTM_NEWADDR || !bytes.Contains(n.Data, []byte{127, 9, 9, 9}) {
		t.Errorf("an Apply without need changed something: notice of type %d", n.Header.Type)
	}
}

// A reminder is a notice of an address that stays as it is.
func TestKernelRemind(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	rs := []driver.Route{drivertest.Route(drivertest.V4, driver.Announced), drivertest.Route(drivertest.V6, driver.Announced), drivertest.Route("192.0.2.54/32", driver.Delivered)}
	apply(t, k, rs...)
	s.ip("addr add 10.255.0.1/32 dev any0")
	before := s.addrs()
	sock, err := nl.SubscribeAt(s.ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	if err := k.Remind(t.Context(), driver.State{Routes: rs}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{drivertest.V4, drivertest.V6} {
		notices, _, err := sock.Receive()
		if err != nil {
			t.Fatal(err)
		}
		addr := netip.MustParsePrefix(want).Addr().AsSlice()
		if n := notices[0]; n.Header.Type != unix.RTM_NEWADDR || !bytes.Contains(n.Data, addr) {
			t.Errorf("notice of type %d, want one of %s", n.Header.Type, want)
		}
	}
	drivertest.Same(t, "addresses", before, s.addrs())
}

func TestKernelApplyAfterCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k := New("any0", slog.New(slog.DiscardHandler))
	if err := k.Apply(ctx, driver.State{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
