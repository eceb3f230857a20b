package kernel

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestSuite(t *testing.T) {
	drivertest.TestDriver(t, func(t *testing.T) drivertest.Rig {
		s := newSpace(t)
		s.ip("link add any0 type ifb")
		s.ip("link set any0 addrgenmode none") // no link-local address
		s.ip("link set any0 up")
		s.ip("addr add 192.0.2.99/32 dev any0") // the operator's own
		return drivertest.Rig{
			New:       func() driver.Driver { return s.bare() },
			Interface: "any0",
			Announces: func() map[netip.Prefix]uint32 {
				out := map[netip.Prefix]uint32{}
				for line := range strings.Lines(s.ip("-o addr show dev any0 up")) {
					out[netip.MustParsePrefix(strings.Fields(line)[3]).Masked()] = 0
				}
				return out
			},
			Dump:          func() []string { return append(s.addrs(), s.locals()...) },
			Changes:       s.changes(),
			AddressesOnly: true,
			Break: func() (string, func()) {
				s.ipv6(false)
				return "sysctl net.ipv6.conf.any0.disable_ipv6=0", func() { s.ipv6(true) }
			},
			Disturb: func(rnd *rand.Rand) string {
				words := []string{
					"link set any0 down", "addr flush dev any0 to 203.0.113.1", "-6 addr flush dev any0 scope global", "route flush table local proto 250",
					"-6 route flush table local proto 250", "addr add 192.0.2.53/24 dev any0", "route add local 192.0.2.54 dev lo table local metric 4242 proto 250",
				}[rnd.IntN(7)]
				_, _ = s.run("ip " + words) // it may be so already
				return "ip " + words
			},
		}
	})
}

// ipv6 switches IPv6 on any0 on or off.
func (s space) ipv6(on bool) {
	s.t.Helper()
	if out, err := s.run("sysctl -q net.ipv6.conf.any0.disable_ipv6=" + map[bool]string{true: "0", false: "1"}[on]); err != nil {
		s.t.Fatal(out)
	}
}

// changes returns what counts the notices of addresses and of keepcast's routes. The
// kernel sends them before it has done what it was told.
func (s space) changes() func() int {
	s.t.Helper()
	n := nl.SocketHandle{}
	var err error
	if n.Socket, err = nl.SubscribeAt(s.ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(n.Close)
	count, buffer := 0, make([]byte, 1<<16)
	return func() int {
		for {
			size, _, err := unix.Recvfrom(n.Socket.GetFd(), buffer, unix.MSG_DONTWAIT)
			if err != nil { // there are no more
				return count
			}
			notices, err := syscall.ParseNetlinkMessage(buffer[:size])
			if err != nil {
				s.t.Fatal(err)
			}
			for _, m := range notices {
				switch m.Header.Type {
				case unix.RTM_NEWADDR, unix.RTM_DELADDR:
					count++
				case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
					if nl.DeserializeRtMsg(m.Data).Protocol == LocalProtocol {
						count++
					}
				}
			}
		}
	}
}
