package checks

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// routerSpace has two interfaces with networks, the second of which is a veth.
func routerSpace(t *testing.T) *space {
	t.Helper()
	return newSpace(t, "link add ifb0 type ifb", "link set ifb0 up", "addr add 192.0.2.1/24 dev ifb0", "-6 addr add 2001:db8::1/64 dev ifb0 nodad",
		"link add v0 type veth peer name v1", "link set v0 up", "link set v1 up",
		"addr add 198.51.100.1/24 dev v0", "-6 addr add 2001:db8:1::1/64 dev v0 nodad")
}

// to returns a check of the main table.
func to(destination string) *Route {
	return &Route{Destination: prefix(destination), Table: unix.RT_TABLE_MAIN}
}

func TestRoute(t *testing.T) {
	noLeaks(t)
	for name, tt := range map[string]struct {
		routes string // commands of ip route, one a line
		check  Route
		err    string
	}{
		"none":         {"", *to("0.0.0.0/0"), "no route to 0.0.0.0/0 in table main"},
		"none, v6":     {"", *to("::/0"), "no route to ::/0 in table main"},
		"default":      {"add default via 192.0.2.254", *to("0.0.0.0/0"), ""},
		"default, v6":  {"add default via 2001:db8::fe", *to("::/0"), ""},
		"split":        {"add 0.0.0.0/1 via 192.0.2.254\nadd 128.0.0.0/1 via 192.0.2.254", *to("0.0.0.0/0"), "no route to 0.0.0.0/0 in table main"},
		"below":        {"add default via 192.0.2.254\nadd 0.0.0.0/8 via 192.0.2.254", *to("0.0.0.0/0"), ""},
		"below, v6":    {"add default via 2001:db8::fe\nadd unreachable ::/96\nadd unreachable 4000::/3", *to("::/0"), ""},
		"prefix":       {"add 203.0.113.0/24 via 192.0.2.254", *to("203.0.113.0/24"), ""},
		"longer":       {"add 203.0.113.0/25 via 192.0.2.254", *to("203.0.113.0/24"), "no route to 203.0.113.0/24 in table main"},
		"shorter":      {"add 203.0.0.0/16 via 192.0.2.254", *to("203.0.113.0/24"), "no route to 203.0.113.0/24 in table main"},
		"and a longer": {"add 203.0.113.0/24 via 192.0.2.254\nadd 203.0.113.0/25 dev ifb0", *to("203.0.113.0/24"), ""},
		"blackhole": {
			"add blackhole 203.0.113.0/24 proto bgp", *to("203.0.113.0/24"),
			"no route to 203.0.113.0/24 in table main that counts, only blackhole 203.0.113.0/24 proto bgp (it rejects)",
		},
		"unreachable, v6": {
			"add unreachable default proto bird metric 20", *to("::/0"),
			"no route to ::/0 in table main that counts, only unreachable default dev lo proto bird metric 20 (it rejects)",
		},
		"for some sources": {
			"add default from 2001:db8::/64 via 2001:db8::fe", *to("::/0"),
			"no route to ::/0 in table main that counts, only default via 2001:db8::fe dev ifb0 proto boot metric 1024 (for some sources only)",
		},
		"protocol": {"add default via 192.0.2.254 proto bgp", Route{Protocol: 186}, ""},
		"other protocol": {
			"add default via 192.0.2.254 proto static",
			Route{Protocol: 186},
			"no route to 0.0.0.0/0 proto bgp in table main that counts, only default via 192.0.2.254 dev ifb0 proto static (another protocol)",
		},
		"behind another protocol":     {"add default via 192.0.2.254 proto static\nadd default via 192.0.2.253 proto bgp metric 20", Route{Protocol: 186}, ""},
		"behind another protocol, v6": {"add default via 2001:db8::fe proto static metric 1\nadd default via 2001:db8::fd proto bgp metric 20", Route{Destination: prefix("::/0"), Protocol: 186}, ""},
		"interface":                   {"add default via 198.51.100.2", Route{Interface: "v0"}, ""},
		"other interface": {
			"add default via 198.51.100.2",
			Route{Interface: "ifb0"},
			"no route to 0.0.0.0/0 dev ifb0 in table main that counts, only default via 198.51.100.2 dev v0 proto boot (another interface)",
		},
		"gateway":     {"add default via 192.0.2.254", Route{Gateway: addr("192.0.2.254")}, ""},
		"gateway, v6": {"add default via 2001:db8::fe", Route{Destination: prefix("::/0"), Gateway: addr("2001:db8::fe")}, ""},
		"v6 gateway":  {"add default via inet6 2001:db8::fe dev ifb0", Route{Gateway: addr("2001:db8::fe")}, ""},
		"other gateway": {
			"add default via 192.0.2.253 metric 5",
			Route{Gateway: addr("192.0.2.254")},
			"no route to 0.0.0.0/0 via 192.0.2.254 in table main that counts, only default via 192.0.2.253 dev ifb0 proto boot metric 5 (another gateway)",
		},
		"multipath":     {"add default nexthop via 192.0.2.254 nexthop via 198.51.100.2", Route{Gateway: addr("198.51.100.2"), Interface: "v0"}, ""},
		"multipath, v6": {"add default nexthop via 2001:db8::fe nexthop via 2001:db8:1::2", Route{Destination: prefix("::/0"), Gateway: addr("2001:db8:1::2"), Interface: "v0"}, ""},
		"multipath, neither": {
			"add default proto zebra nexthop via 192.0.2.254 nexthop via 198.51.100.2",
			Route{Gateway: addr("198.51.100.2"), Interface: "ifb0"},
			"no route to 0.0.0.0/0 via 198.51.100.2 dev ifb0 in table main that counts, only default proto zebra " +
				"nexthop via 192.0.2.254 dev ifb0 nexthop via 198.51.100.2 dev v0 (none of its nexthops counts)",
		},
		"table":          {"add default via 192.0.2.254 table 1000", Route{Table: 1000}, ""},
		"table, v6":      {"add default via 2001:db8::fe table 1000", Route{Destination: prefix("::/0"), Table: 1000}, ""},
		"other table":    {"add default via 192.0.2.254", Route{Table: 1000}, "no route to 0.0.0.0/0 in table 1000"},
		"of other table": {"add default via 192.0.2.254 table 1000", Route{}, "no route to 0.0.0.0/0 in table main"},
		"local": {
			"add local 203.0.113.0/24 dev lo",
			Route{Destination: prefix("203.0.113.0/24"), Table: unix.RT_TABLE_LOCAL},
			"no route to 203.0.113.0/24 in table local that counts, only local 203.0.113.0/24 dev lo proto boot (it rejects)",
		},
		"many": {
			"add default dev v0 metric 1\nadd default dev v0 metric 2\nadd default dev v0 metric 3\nadd default dev v0 metric 4\nadd default dev v0 metric 5",
			Route{Protocol: 12},
			"no route to 0.0.0.0/0 proto bird in table main that counts, only default dev v0 proto boot metric 1 (another protocol), " +
				"default dev v0 proto boot metric 2 (another protocol), default dev v0 proto boot metric 3 (another protocol), " +
				"default dev v0 proto boot metric 4 (another protocol)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := routerSpace(t)
			if !tt.check.Destination.IsValid() {
				tt.check.Destination = prefix("0.0.0.0/0")
			}
			if tt.check.Table == 0 {
				tt.check.Table = unix.RT_TABLE_MAIN
			}
			for line := range strings.Lines(tt.routes) {
				family := "-4"
				if tt.check.Destination.Addr().Is6() {
					family = "-6"
				}
				s.ip(family + " route " + line)
			}
			s.fails(&tt.check, tt.err, false)
		})
	}
}

// A nexthop whose link is down does not count, whatever the kernel does with it.
func TestRouteLinkDown(t *testing.T) {
	s := routerSpace(t)
	s.ip("route add default via 198.51.100.2")
	s.ip("-6 route add default via 2001:db8:1::2")
	s.ip("link set v1 down")
	drivertest.Eventually(t, "both routes know it", func() bool { // the kernel looks after carriers by and by
		return strings.Count(s.says("ip route show default; ip -6 route show default"), "linkdown") == 2
	})
	s.fails(to("0.0.0.0/0"), "no route to 0.0.0.0/0 in table main that counts, only default via 198.51.100.2 dev v0 linkdown proto boot (its link is down)", false)
	s.fails(to("::/0"), "no route to ::/0 in table main that counts, only default via 2001:db8:1::2 dev v0 linkdown proto boot metric 1024 (its link is down)", false)
	s.run("echo 1 >/proc/sys/net/ipv4/conf/all/ignore_routes_with_linkdown")
	s.fails(to("0.0.0.0/0"), "no route to 0.0.0.0/0 in table main that counts, only default via 198.51.100.2 dev v0 dead linkdown proto boot (its nexthop is dead)", false)
	s.run("echo 0 >/proc/sys/net/ipv4/conf/all/ignore_routes_with_linkdown")
	s.ip("route replace default nexthop via 198.51.100.2 nexthop via 192.0.2.254")
	s.fails(to("0.0.0.0/0"), "", false)
	s.sees(to("0.0.0.0/0"), "route: default proto boot nexthop via 198.51.100.2 dev v0 linkdown nexthop via 192.0.2.254 dev ifb0")
}

func TestRouteSeen(t *testing.T) {
	s := routerSpace(t)
	s.ip("route add default via 192.0.2.254 proto bgp metric 20")
	s.sees(to("0.0.0.0/0"), "route: default via 192.0.2.254 dev ifb0 proto bgp metric 20")
	s.sees(to("203.0.113.0/24"), "route: default via 192.0.2.254 dev ifb0 proto bgp metric 20")
	s.sees(&Route{Destination: prefix("0.0.0.0/0"), Table: unix.RT_TABLE_MAIN, Protocol: 12},
		"routes: default via 192.0.2.254 dev ifb0 proto bgp metric 20 (another protocol)")
	s.ip("-6 route add default proto bird nexthop via 2001:db8::fe nexthop via 2001:db8:1::2")
	one, other := " nexthop via 2001:db8::fe dev ifb0", " nexthop via 2001:db8:1::2 dev v0"
	var got []string
	s.do(func() { got = seenBy(t, to("::/0")) })
	const want = "route: default proto bird metric 1024"
	if seen := strings.Join(got, "\n"); seen != want+one+other && seen != want+other+one { // the kernel has them in any order
		t.Errorf("got %q, want %q with%s and%s", seen, want, one, other)
	}
}

// With nexthop objects the kernel may tell their number only.
func TestRouteNexthop(t *testing.T) {
	s := routerSpace(t)
	s.ip("nexthop add id 7 via 192.0.2.254 dev ifb0")
	s.ip("route add default nhid 7")
	by := to("0.0.0.0/0")
	by.Interface = "ifb0"
	s.fails(by, "", false)
	s.run("echo 0 >/proc/sys/net/ipv4/nexthop_compat_mode")
	s.fails(by, "no route to 0.0.0.0/0 dev ifb0 in table main that counts, only default nhid 7 proto boot "+
		"(its nexthop is not told while the sysctl nexthop_compat_mode is 0)", false)
	s.fails(to("0.0.0.0/0"), "", false)
	s.follows(to("0.0.0.0/0"), change{"nexthop del id 7", "no route to 0.0.0.0/0 in table main"})
}

func TestRouteWatch(t *testing.T) {
	noLeaks(t)
	s := routerSpace(t)
	bgp := to("0.0.0.0/0")
	bgp.Protocol = 186
	const none = "no route to 0.0.0.0/0 proto bgp in table main"
	s.follows(
		bgp,
		change{"route add default via 198.51.100.2 proto bgp", ""},
		change{"route del default", none},
		change{"route add default via 198.51.100.2 proto bgp", ""},
		change{"link set v1 down", none + " that counts, only default via 198.51.100.2 dev v0 linkdown proto bgp (its link is down)"},
		change{"link set v1 up", ""},
		change{"link set v0 down", none},
		change{"link set v0 up", none},
		change{"route add default via 192.0.2.254 proto bgp src 198.51.100.1", ""},
		change{"addr del 198.51.100.1/24 dev v0", none},
	)
	s.follows(
		to("2001:db8:7::/48"),
		change{"-6 route add 2001:db8:7::/48 via 2001:db8::fe", ""},
		change{"link set ifb0 down", "no route to 2001:db8:7::/48 in table main"},
	)
}

func TestRouteWatchOthers(t *testing.T) {
	s := routerSpace(t)
	s.passesOver(to("203.0.113.0/24"), "route add 203.0.113.0/24 via 192.0.2.254", "route add default via 192.0.2.254",
		"route add 203.0.112.0/24 via 192.0.2.254", "route add 203.0.113.0/24 via 192.0.2.254 table 1000", "route add 203.0.113.0/25 via 192.0.2.254",
		"-6 route add 2001:db8:7::/48 via 2001:db8::fe")
}

func TestRouteValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		r    Route
		want string
	}{
		"default":   {*to("0.0.0.0/0"), ""},
		"v6":        {Route{Destination: prefix("::/0"), Gateway: addr("fe80::1"), Interface: "eth0"}, ""},
		"none":      {Route{}, "destination: no prefix is given"},
		"mapped":    {*to("::ffff:192.0.2.0/120"), "destination: ::ffff:192.0.2.0/120 is IPv4, written as IPv6"},
		"host bits": {*to("192.0.2.1/24"), "destination: 192.0.2.1/24 has bits beyond its length (192.0.2.0/24?)"},
		"zone":      {Route{Destination: prefix("::/0"), Gateway: addr("fe80::1%eth0")}, "gateway: fe80::1%eth0 has a zone (set interface instead)"},
		"gw mapped": {Route{Destination: prefix("0.0.0.0/0"), Gateway: addr("::ffff:192.0.2.1")}, "gateway: ::ffff:192.0.2.1 is an IPv4 address (192.0.2.1?)"},
		"gw family": {Route{Destination: prefix("::/0"), Gateway: addr("192.0.2.1")}, "gateway: an IPv6 route (::/0) has no IPv4 gateway (192.0.2.1)"},
		"interface": {Route{Destination: prefix("::/0"), Interface: "a/b"}, `interface: "a/b" is no name of an interface`},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.r.Validate(), tt.want, "") })
	}
}
