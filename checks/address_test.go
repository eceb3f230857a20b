package checks

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func addr(text string) netip.Addr     { return netip.MustParseAddr(text) }
func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

func TestAddress(t *testing.T) {
	noLeaks(t)
	s := newSpace(t, "link add ifb0 type ifb", "link add ifb1 type ifb", "link set ifb0 up",
		"addr add 192.0.2.1/24 dev ifb0", "addr add 192.0.2.2/24 dev ifb0", "addr add 192.0.2.3 peer 192.0.2.4 dev ifb0",
		"addr add 2001:db8::1/64 dev ifb0 nodad", "addr add 192.0.2.9/32 dev ifb1")
	for name, tt := range map[string]struct {
		addr, on, err string
		certain       bool
	}{
		"v4":              {addr: "192.0.2.1"},
		"v4, secondary":   {addr: "192.0.2.2", on: "ifb0"},
		"v6":              {addr: "2001:db8::1"},
		"v6 on":           {addr: "2001:db8::1", on: "ifb0"},
		"v4 missing":      {addr: "192.0.2.7", err: "192.0.2.7 is not on this host", certain: true},
		"v6 missing":      {addr: "2001:db8::7", err: "2001:db8::7 is not on this host", certain: true},
		"peer's":          {addr: "192.0.2.4", err: "192.0.2.4 is not on this host", certain: true},
		"with a peer":     {addr: "192.0.2.3"},
		"other interface": {addr: "192.0.2.1", on: "ifb1", err: "192.0.2.1 is not on ifb1", certain: true},
		"no interface":    {addr: "192.0.2.1", on: "none", err: "192.0.2.1 is missing: there is no interface none", certain: true},
		"interface down":  {addr: "192.0.2.9", err: "192.0.2.9 can't be used: ifb1 is down (run ip link set ifb1 up)", certain: true},
	} {
		t.Run(name, func(t *testing.T) {
			(&space{t, s.ns}).fails(&Address{Address: addr(tt.addr), Interface: tt.on}, tt.err, tt.certain)
		})
	}
	s.sees(&Address{Address: addr("192.0.2.1")}, "address: 192.0.2.1/24 on ifb0, which is <UP,LOWER_UP>")
	s.sees(&Address{Address: addr("192.0.2.1"), Interface: "ifb1"}, "addresses: ifb1 has 192.0.2.9/32")
	s.sees(&Address{Address: addr("2001:db8::1"), Interface: "ifb1"}, "addresses: ifb1 has none")
	for i := range 30 {
		s.ip(fmt.Sprintf("addr add 192.0.2.%d/32 dev ifb1", 100+i))
	}
	const shown = "192.0.2.9/32, 192.0.2.100/32, 192.0.2.101/32, 192.0.2.102/32, 192.0.2.103/32, 192.0.2.104/32, 192.0.2.105/32, " +
		"192.0.2.106/32, 192.0.2.107/32, 192.0.2.108/32, 192.0.2.109/32, 192.0.2.110/32, 192.0.2.111/32, 192.0.2.112/32, 192.0.2.113/32, " +
		"192.0.2.114/32, 192.0.2.115/32, 192.0.2.116/32, 192.0.2.117/32, 192.0.2.118/32, 11 more"
	s.sees(&Address{Address: addr("192.0.2.1"), Interface: "ifb1"}, "addresses: ifb1 has "+shown)
}

// TestAddressTwice has a link-local address on two interfaces, one of which is down.
func TestAddressTwice(t *testing.T) {
	s := newSpace(t, "link add ifb0 type ifb", "link add ifb1 type ifb", "addr add 192.0.2.1/32 dev ifb0", "addr add 192.0.2.1/32 dev ifb1")
	a := &Address{Address: addr("192.0.2.1")}
	s.fails(a, "192.0.2.1 can't be used: ifb1 is down (run ip link set ifb1 up)", true)
	s.ip("link set ifb1 up")
	s.fails(a, "", false)
	s.ip("link set ifb1 down")
	s.ip("link set ifb0 up")
	s.fails(a, "", false)
}

// An IPv6 address is tentative until nobody has said that it has it, and fails if somebody has.
func TestAddressDAD(t *testing.T) {
	noLeaks(t)
	s := newSpace(t, "link add v0 type veth peer name v1", "link set v1 up")
	one := &Address{Address: addr("2001:db8::1")}
	s.follows(
		one,
		change{"-6 addr add 2001:db8::1/64 dev v0", "2001:db8::1 can't be used: v0 is down (run ip link set v0 up)"},
		change{"link set v0 up", ""},
		change{"link set v0 down", "2001:db8::1 is not on this host"},
	)
	s.run("echo 1000 >/proc/sys/net/ipv6/conf/v0/dad_transmits")
	s.ip("link set v0 up")
	s.ip("-6 addr add 2001:db8::2/64 dev v0")
	s.fails(&Address{Address: addr("2001:db8::2")}, "2001:db8::2 on v0 is tentative: it can't be used yet", false)
	s.sees(&Address{Address: addr("2001:db8::2")}, "address: 2001:db8::2/64 tentative on v0, which is <UP,LOWER_UP>")

	s.run("echo 1 >/proc/sys/net/ipv6/conf/v0/dad_transmits")
	s.ip("-6 addr add 2001:db8::3/64 dev v1 nodad")
	s.ip("link set v0 up")
	three := &Address{Address: addr("2001:db8::3"), Interface: "v0"}
	s.follows(three, change{"-6 addr add 2001:db8::3/64 dev v0", "2001:db8::3 on v0 can't be used: another host has it (dadfailed)"})
	s.do(func() {
		seen := new(Sight)
		drivertest.ErrText(three.Check(WithSight(within(t), seen)))
		all, _ := seen.Seen()
		if got := all[len(all)-1].Text; got != "2001:db8::3/64 dadfailed on v0, which is <UP,LOWER_UP>" {
			t.Errorf("saw %s", got)
		}
	})
}

func TestAddressWatch(t *testing.T) {
	noLeaks(t)
	s := newSpace(t)
	a := &Address{Address: addr("192.0.2.1"), Interface: "ifb0"}
	s.follows(
		a,
		change{"link add ifb0 type ifb", "192.0.2.1 is not on ifb0"},
		change{"addr add 192.0.2.1/32 dev ifb0", "192.0.2.1 can't be used: ifb0 is down (run ip link set ifb0 up)"},
		change{"link set ifb0 up", ""},
		change{"addr del 192.0.2.1/32 dev ifb0", "192.0.2.1 is not on ifb0"},
		change{"addr add 192.0.2.1/32 dev ifb0", ""},
		change{"link del ifb0", "192.0.2.1 is missing: there is no interface ifb0"},
	)
}

func TestAddressWatchOthers(t *testing.T) {
	s := newSpace(t, "link add ifb0 type ifb", "link set ifb0 up")
	s.passesOver(&Address{Address: addr("192.0.2.1")}, "addr add 192.0.2.1/32 dev ifb0",
		"addr add 192.0.2.2/32 dev ifb0", "addr del 192.0.2.2/32 dev ifb0", "addr add 2001:db8::1/128 dev ifb0 nodad")
}

func TestAddressValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		a    Address
		want string
	}{
		"v4":          {Address{Address: addr("192.0.2.1")}, ""},
		"v6":          {Address{Address: addr("fe80::1"), Interface: "eth0"}, ""},
		"none":        {Address{}, "address: invalid IP is no address that an interface can have"},
		"mapped":      {Address{Address: addr("::ffff:192.0.2.1")}, "address: ::ffff:192.0.2.1 is an IPv4 address (192.0.2.1?)"},
		"zone":        {Address{Address: addr("fe80::1%eth0")}, "address: fe80::1%eth0 has a zone (set interface instead)"},
		"unspecified": {Address{Address: addr("::")}, "address: :: is no address that an interface can have"},
		"multicast":   {Address{Address: addr("224.0.0.1")}, "address: 224.0.0.1 is no address that an interface can have"},
		"interface":   {Address{Address: addr("192.0.2.1"), Interface: "a/b"}, `interface: "a/b" is no name of an interface`},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.a.Validate(), tt.want, "") })
	}
}
