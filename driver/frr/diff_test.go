package frr

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// frrOperator is what an operator has in bgpd besides keepcast's matter; each test
// has it in the running configuration, and nothing of it may ever be sent.
const frrOperator = `frr version 8.4.4
frr defaults traditional
!
hostname vm
!
router bgp 65001
 bgp router-id 10.99.0.1
 neighbor 10.99.0.2 remote-as 65002
 !
 address-family ipv4 unicast
  network 198.51.100.0/24
  network 198.51.101.0/24 route-map MINE
  NET4
 exit-address-family
 !
 address-family ipv6 unicast
  network 2001:db8:1::/48
  neighbor fd99::2 activate
  NET6
 exit-address-family
!
exit
!
router bgp 65009 vrf RED
 !
 address-family ipv4 unicast
  network 192.0.2.1/32
 exit-address-family
!
exit
!
ip prefix-list MINE seq 5 permit 198.51.100.0/24
ip prefix-list XKEEPCAST seq 5 permit any
access-list KEEPCAST seq 5 permit 198.51.100.0/24
!
route-map MINE permit 10
 match ip address prefix-list MINE
exit
!
`

func frrOperatorWith(net4, net6, top string) string {
	return strings.NewReplacer("NET4", net4, "NET6", net6).Replace(frrOperator) + top
}

func TestFRRDiff(t *testing.T) {
	owned := map[netip.Prefix]bool{netip.MustParsePrefix("192.0.2.1/32"): true, netip.MustParsePrefix("2001:db8::1/128"): true}
	for name, tc := range map[string]struct {
		run, want string
		send      []string
	}{
		"nothing to do": {frrOperatorWith("!", "!", ""), "router bgp\n", nil},
		"announce": {
			frrOperatorWith("!", "!", ""),
			"router bgp\n address-family ipv4 unicast\n  network 192.0.2.1/32 route-map KEEPCAST-A\n address-family ipv6 unicast\n  network 2001:db8::1/128\n",
			[]string{
				"router bgp 65001 / address-family ipv4 unicast: network 192.0.2.1/32 route-map KEEPCAST-A",
				"router bgp 65001 / address-family ipv6 unicast: network 2001:db8::1/128",
			},
		},
		"in force already": {
			frrOperatorWith("network 192.0.2.1/32 route-map KEEPCAST-A", "network 2001:db8::1/128", ""),
			"router bgp\n address-family ipv4 unicast\n  network 192.0.2.1/32 route-map KEEPCAST-A\n address-family ipv6 unicast\n  network 2001:db8::1/128\n", nil,
		},
		"degrade": {
			frrOperatorWith("network 192.0.2.1/32 route-map KEEPCAST-A", "!", ""),
			"router bgp\n address-family ipv4 unicast\n  network 192.0.2.1/32 route-map KEEPCAST-D\n",
			[]string{"router bgp 65001 / address-family ipv4 unicast: network 192.0.2.1/32 route-map KEEPCAST-D"},
		},
		"withdraw as it stands": {
			frrOperatorWith("network 192.0.2.1/32 label-index 7", "!", ""), "",
			[]string{"router bgp 65001 / address-family ipv4 unicast: no network 192.0.2.1/32 label-index 7"},
		},
		"an address no longer configured": {
			frrOperatorWith("network 192.0.2.99/32 route-map KEEPCAST-A", "!", ""), "",
			[]string{"router bgp 65001 / address-family ipv4 unicast: no network 192.0.2.99/32 route-map KEEPCAST-A"},
		},
		"route-map made as a deny first": {
			frrOperatorWith("!", "!", ""), "route-map KEEPCAST permit 10\n match ip address prefix-list KEEPCAST\n set metric 7\n",
			[]string{"route-map KEEPCAST deny 10: match ip address prefix-list KEEPCAST; set metric 7", "route-map KEEPCAST permit 10"},
		},
		"route-map edited, never deleted": {
			frrOperatorWith("!", "!", "route-map KEEPCAST permit 10\n set metric 8\n match ip address prefix-list KEEPCAST\nexit\n"),
			"route-map KEEPCAST permit 10\n match ip address prefix-list KEEPCAST\n set metric 7\n",
			[]string{"route-map KEEPCAST deny 10: no set metric 8; set metric 7", "route-map KEEPCAST permit 10"},
		},
		"route-map whose order alone differs": {
			frrOperatorWith("!", "!", "route-map KEEPCAST permit 10\n set metric 8\n match ip address prefix-list KEEPCAST\nexit\n"),
			"route-map KEEPCAST permit 10\n match ip address prefix-list KEEPCAST\n set metric 8\n", nil,
		},
		"one list line for one change": {
			frrOperatorWith("!", "!", "ip prefix-list KEEPCAST seq 5 permit 192.0.2.1/32\nip prefix-list KEEPCAST seq 10 permit 192.0.2.2/32\n"),
			"ip prefix-list KEEPCAST seq 5 deny 192.0.2.1/32\nip prefix-list KEEPCAST seq 10 permit 192.0.2.2/32\n",
			[]string{"ip prefix-list KEEPCAST seq 5 deny 192.0.2.1/32"},
		},
		"a list that moves up: twins go first": {
			frrOperatorWith("!", "!", "ip prefix-list KEEPCAST seq 5 permit 192.0.2.1/32\nip prefix-list KEEPCAST seq 10 permit 192.0.2.2/32\nip prefix-list KEEPCAST seq 15 deny 192.0.2.3/32\n"),
			"ip prefix-list KEEPCAST seq 5 permit 192.0.2.2/32\nip prefix-list KEEPCAST seq 10 deny 192.0.2.3/32\n",
			[]string{
				"no ip prefix-list KEEPCAST seq 10 permit 192.0.2.2/32; no ip prefix-list KEEPCAST seq 15 deny 192.0.2.3/32; " +
					"ip prefix-list KEEPCAST seq 5 permit 192.0.2.2/32; ip prefix-list KEEPCAST seq 10 deny 192.0.2.3/32",
			},
		},
		"stale, route-map before list": {
			frrOperatorWith("!", "!", "ip prefix-list KEEPCAST seq 5 permit any\nipv6 prefix-list KEEPCAST6 seq 3 permit 2001:DB8::1/128\nroute-map KEEPCAST permit 20\n match ip address prefix-list KEEPCAST\nexit\n"),
			"ipv6 prefix-list KEEPCAST6 seq 3 permit 2001:db8::1/128\n",
			[]string{"no route-map KEEPCAST permit 20; no ip prefix-list KEEPCAST seq 5 permit any"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := parseSection("bgpd", tc.want)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range frrDialect().diff(parseRunning(tc.run), want, managed{owned: owned}) {
				got = append(got, strings.Join(slices.DeleteFunc([]string{strings.Join(s.blocks, " / "), strings.Join(s.lines, "; ")}, func(s string) bool { return s == "" }), ": "))
			}
			if d := cmp.Diff(tc.send, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestFRRSectionForeign(t *testing.T) {
	for name, text := range map[string]string{
		"a neighbor":             "router bgp\n neighbor 10.0.0.1 remote-as 1\n",
		"redistribute":           "router ospf\n redistribute connected route-map KEEPCAST\n",
		"a list of another name": "ip prefix-list MINE seq 5 permit any\n",
		"a list without seq":     "ip prefix-list KEEPCAST permit any\n",
		"another route-map":      "route-map MINE permit 10\n",
		"a vrf":                  "router bgp 65001 vrf RED\n",
		"the wrong family":       "router bgp\n address-family ipv6 unicast\n  network 192.0.2.1/32\n",
		"multicast":              "router bgp\n address-family ipv4 multicast\n  network 192.0.2.1/32\n",
		"a smuggled second line": "ip prefix-list KEEPCAST seq 5 deny any\nno router bgp\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseSection("bgpd", text)
			if !strings.Contains(drivertest.ErrText(err), "is nothing keepcast can keep up to date") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFRRRunning(t *testing.T) {
	got := parseRunning(`interface anycast0
 ip router isis A
 ipv6 router isis A
 isis passive
exit
!
router ospf
 ospf router-id 10.99.0.1
 redistribute connected metric-type 1 route-map KEEPCAST

exit
router ospf vrf RED
 redistribute connected route-map MINE
exit
router isis A
 redistribute ipv6 connected level-2 route-map KEEPCAST6
exit
router bgp 65001
 neighbor 10.0.0.1 remote-as 1
exit
`)
	want := config{
		entries:     map[entryKey]entry{},
		bgpInstance: bgpInstance{router: "router bgp 65001", networks: map[netip.Prefix]string{}, out: map[string]bool{}},
		redistribute: []redistribution{
			{[]string{"router ospf"}, "redistribute connected metric-type 1 route-map KEEPCAST", "KEEPCAST"},
			{[]string{"router isis A"}, "redistribute ipv6 connected level-2 route-map KEEPCAST6", "KEEPCAST6"},
		},
		isis:     map[string][]string{"anycast0": {"ip", "ipv6"}},
		filtered: map[string]bool{}, called: map[string]bool{},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(config{}, bgpInstance{}, entryKey{}, entry{}, redistribution{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What runs, split and joined in any way, never panics, and is in sync with itself
// and with what its own parse asks for.
func FuzzFRRRunning(f *testing.F) {
	f.Add(frrOperatorWith("network 192.0.2.1/32 route-map KEEPCAST", "!", "ip prefix-list KEEPCAST seq 5 deny any\nroute-map KEEPCAST permit 10\n set metric 1\n"), "ip prefix-list KEEPCAST seq 5 permit 192.0.2.1/32\n")
	f.Add("route-map KEEPCAST permit 10\nroute-map KEEPCAST permit 10\n x\n", "  \n ! \n x\n")
	f.Fuzz(func(t *testing.T, running, wanted string) {
		if strings.Contains(running+wanted, "\x00") {
			t.Skip("readAnswer lets no zero byte through")
		}
		run, want := parseRunning(running), parseRunning(wanted)
		if steps := frrDialect().diff(run, run, managed{}); len(steps) > 0 {
			t.Errorf("in sync with itself, yet to send: %v", steps)
		}
		for _, s := range frrDialect().diff(run, want, managed{}) {
			for _, l := range s.lines {
				if strings.ContainsAny(l, "\n\x00") {
					t.Errorf("%q is more than one command", l)
				}
			}
			_ = s.String()
		}
	})
}

// A running configuration cut at any byte, as nobody sends it, asks for nothing
// that would touch the operator's lines.
func TestFRRRunningCut(t *testing.T) {
	whole := frrOperatorWith("network 192.0.2.1/32 route-map KEEPCAST-A", "!", "ip prefix-list KEEPCAST seq 5 deny any\n")
	for i := range whole {
		for _, s := range frrDialect().diff(parseRunning(whole[:i]), parseRunning(""), managed{}) {
			for _, l := range s.lines {
				if !strings.Contains(l, mark) {
					t.Errorf("cut at %d: %q", i, l)
				}
			}
		}
	}
}
