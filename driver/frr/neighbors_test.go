package frr

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

// frrSaid returns what a real daemon answered; version is 84 or 103.
func frrSaid(t *testing.T, version, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/said", version+"-"+name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// frrShown writes neighbors as "name family... up" or "name family... detail".
func frrShown(all []neighbor) []string {
	var out []string
	for _, n := range all {
		line := n.Name
		if n.IPv4 {
			line += " IPv4"
		}
		if n.IPv6 {
			line += " IPv6"
		}
		if n.Up {
			line += " up"
		}
		out = append(out, line+strings.TrimSuffix(": "+n.Detail, ": "))
	}
	return out
}

func TestFRRNeighbors(t *testing.T) {
	bgp := func(text string) []neighbor {
		var out []neighbor
		for _, p := range frrPeers(text) {
			out = append(out, p.neighbor())
		}
		return out
	}
	noRoute := ": the session is in state Active: there is no route to it"
	for name, tc := range map[string]struct {
		read  func(string) []neighbor
		texts []string
		want  []string
	}{
		"bgp 8.4": {bgp, []string{frrSaid(t, "84", "bgpd-neighbors.json")}, []string{
			"10.99.0.2 IPv4" + noRoute,
			"10.99.3.2 IPv4 up",
			"10.99.4.2 IPv4: the session is in state Idle: its AS is not the configured one",
			"10.99.5.2 IPv4: the session is in state Connect: Waiting for peer OPEN",
			"10.99.6.2 IPv4 up",
			"10.99.7.2 IPv4: the session is in state Idle: the two have no address family in common",
			"fd99::2 IPv6 up", // IPv4 is activated here, but not there
			"nh0 IPv4 up",
		}},
		"bgp 10.3": {bgp, []string{frrSaid(t, "103", "bgpd-neighbors.json")}, []string{
			"10.99.0.2 IPv4: the session is in state Idle: BGP Notification received (Cease/Connection Collision Resolution)",
			"10.99.3.2 IPv4 up",
			"10.99.4.2 IPv4: the session is in state Idle: its AS is not the configured one",
			"10.99.5.2 IPv4: the session is in state Connect: Waiting for peer OPEN",
			"10.99.6.2 IPv4 up",
			"10.99.7.2 IPv4: the session is in state Idle: the two have no address family in common",
			"fd99::2 IPv6 up",
			"nh0 IPv4 up",
		}},
		"bgp, other": {bgp, []string{`{"a":{"bgpState":"Idle","adminShutDown":true,"addressFamilyInfo":{"ipv6Unicast":{}}},
			"b":{"bgpState":"Established","addressFamilyInfo":{"ipv4Unicast":{},"ipv6Unicast":{}},"neighborCapabilities":{"multiprotocolExtensions":{"ipv4Unicast":{"advertised":true}}}},
			"c":{"remoteAs":"not a number","bgpState":"Active","lastResetDueTo":"No path to specified Neighbor","addressFamilyInfo":{"ipv4Unicast":{}}},
			"vrfName":"default"}`, "", "{}", "% BGP instance not found"}, []string{
			"a IPv6: it is shut down in the configuration",
			"b IPv4 up", // knows nothing of RFC 4760
			"c IPv4" + noRoute,
		}},
		"ospf": {ospfNeighbors, []string{frrSaid(t, "84", "ospfd-neighbor.json"), frrSaid(t, "103", "ospfd-neighbor.json")}, []string{"ospf 10.99.0.2 on nh0 IPv4 up"}},
		"ospf states": {ospfNeighbors, []string{`{"neighbors":{
			"1.1.1.1":[{"nbrState":"Full/Backup","ifaceName":"nh0:10.0.0.1"},{"nbrState":"Init/DROther","ifaceName":"nh1:10.0.1.1"}],
			"2.2.2.2":[{"nbrState":"2-Way/DROther","ifaceName":"nh0:10.0.0.1"}],
			"3.3.3.3":[{"nbrState":"ExStart/DR","ifaceName":"nh0:10.0.0.1"}],
			"4.4.4.4":[{"state":"Down/DROther","ifaceName":"nh0:10.0.0.1"}]}}`}, []string{
			"ospf 1.1.1.1 on nh0 IPv4 up",
			"ospf 1.1.1.1 on nh1 IPv4: the adjacency is in state Init: its hellos arrive here, but ours not there",
			"ospf 3.3.3.3 on nh0 IPv4: the adjacency is in state ExStart",
			"ospf 4.4.4.4 on nh0 IPv4: the adjacency is in state Down",
		}},
		"ospf off": {ospfNeighbors, []string{"", "{}", `{"neighbors":{}}`, "% OSPF is not enabled"}, nil},
		"ospf6":    {ospf6Neighbors, []string{frrSaid(t, "84", "ospf6d-neighbor.json"), frrSaid(t, "103", "ospf6d-neighbor.json")}, []string{"ospf6 10.99.0.2 on nh0 IPv6 up"}},
		"ospf6 states": {ospf6Neighbors, []string{`{"neighbors":[{"neighborId":"1.1.1.1","state":"Twoway","interfaceName":"nh0"},{"neighborId":"2.2.2.2","state":"Loading","interfaceName":"nh0"}]}`}, []string{
			"ospf6 2.2.2.2 on nh0 IPv6: the adjacency is in state Loading",
		}},
		"isis": {isisNeighbors, []string{frrSaid(t, "84", "isisd-neighbor.txt"), frrSaid(t, "103", "isisd-neighbor.txt")}, []string{"isis vm on nh0 IPv4 IPv6 up"}},
		"isis, two levels and another": {isisNeighbors, []string{"Area A:\n" +
			" r1                  \n    Interface: nh0, Level: 1, State: Initializing, Expires in 28s\n    Circuit type: L1L2, Speaks: \n" +
			" r1                  \n    Interface: nh0, Level: 2, State: Up, Expires in 28s\n    Circuit type: L1L2, Speaks: IPv4\n" +
			" 0000.0000.0003      \n    Interface: nh0, Level: 2, State: Down, Expires in 28s\n" +
			" r4                  \n    Interface: nh0, Level: 1, State: Up, Expires in 28s\n    Circuit type: L1L2, Speaks: IPv6\n" +
			" r4                  \n    Interface: nh0, Level: 2, State: Down, Expires in 28s\n"}, []string{
			"isis 0000.0000.0003 on nh0 IPv4 IPv6: the adjacency is in state Down",
			"isis r1 on nh0 IPv4 up",
			"isis r4 on nh0 IPv6 up",
		}},
		"isis off": {isisNeighbors, []string{"", "Area A:\n"}, nil},
		"rip":      {ripNeighbors, []string{frrSaid(t, "84", "ripd-status.txt"), frrSaid(t, "103", "ripd-status.txt")}, []string{"rip 10.99.0.2 IPv4 up"}},
		"rip, silent": {ripNeighbors, []string{"  Timeout after 6 seconds, garbage\n  Gateway BadPackets BadRoutes  Distance Last Update\n" +
			" 10.0.0.2  0  0 120   00:00:06\n 10.0.0.3  0  0 120   00:00:07\n 10.0.0.4  0  0 120   1d02h03m\n  Distance: (default is 120)\n"}, []string{
			"rip 10.0.0.2 IPv4 up",
			"rip 10.0.0.3 IPv4: no update of it since 00:00:07",
			"rip 10.0.0.4 IPv4: no update of it since 1d02h03m",
		}},
		"ripng": {ripngNeighbors, []string{frrSaid(t, "84", "ripngd-status.txt")}, []string{"ripng fe80::f88b:aaff:fed7:27a1 IPv6 up"}},
		"babel": {babelNeighbors, []string{frrSaid(t, "84", "babeld-neighbor.txt")}, []string{"babel fe80::f88b:aaff:fed7:27a1 on nh0 IPv4 IPv6 up"}},
		"babel, link down": {babelNeighbors, []string{frrSaid(t, "84", "babeld-neighbor-down.txt")}, []string{
			"babel fe80::f88b:aaff:fed7:27a1 on nh0 IPv4 IPv6: reach ffff rxcost 256 txcost 256 rtt 0.000 rttcost 0 (down).",
		}},
		"babel, not heard": {babelNeighbors, []string{"Neighbour fe80::1 dev nh0 reach 0000 rxcost 65535 txcost 256 rtt 0.000 rttcost 0.\n"}, []string{
			"babel fe80::1 on nh0 IPv4 IPv6: reach 0000 rxcost 65535 txcost 256 rtt 0.000 rttcost 0.",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, text := range tc.texts {
				want := tc.want
				if name == "bgp, other" && i > 0 {
					want = nil
				}
				if d := cmp.Diff(want, frrShown(tc.read(text))); d != "" {
					t.Errorf("text %d (-want +got):\n%s", i, d)
				}
			}
		})
	}
}

func TestFRRTables(t *testing.T) {
	for name, tc := range map[string]struct {
		read func(string) map[netip.Prefix]bool
		text string
		want string
	}{
		"rip 8.4":          {ripOriginates, frrSaid(t, "84", "ripd-rip.txt"), "192.0.2.53/32 198.51.100.7/32"},
		"rip 10.3":         {ripOriginates, frrSaid(t, "103", "ripd-rip.txt"), "192.0.2.53/32 198.51.100.7/32"},
		"rip, link down":   {ripOriginates, frrSaid(t, "84", "ripd-rip-down.txt"), "192.0.2.53/32 198.51.100.7/32"},
		"rip, withdrawn":   {ripOriginates, "C(r) 192.0.2.53/32      0.0.0.0              16 self              0 01:55\nS(r) 203.0.113.0/24      0.0.0.0              8 self              0\nR(n) 192.0.2.54/32      10.0.0.2              2 10.0.0.2          0 02:55\n", "203.0.113.0/24"},
		"ripng 8.4":        {ripngOriginates, frrSaid(t, "84", "ripngd-ripng.txt"), "2001:db8:53::53/128"},
		"ripng 10.3":       {ripngOriginates, frrSaid(t, "103", "ripngd-ripng.txt"), "2001:db8:53::53/128"},
		"ripng withdrawn":  {ripngOriginates, "C(r) 2001:db8:53::53/128 \n                  ::                          self       16    0  01:55\n", ""},
		"babel 8.4":        {babelOriginates, frrSaid(t, "84", "babeld-route.txt"), "10.99.0.0/30 192.0.2.53/32 198.51.100.7/32 2001:db8:53::53/128 fd99::/64"},
		"babel 10.3":       {babelOriginates, frrSaid(t, "103", "babeld-route.txt"), "10.99.0.0/30 192.0.2.53/32 198.51.100.7/32 2001:db8:53::53/128 fd99::/64"},
		"babel, another's": {babelOriginates, "192.0.2.54/32 metric 352 refmetric 96 id b6:ec seqno 1 age 1 via nh0 neigh fe80::1 (installed)\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range sortedPrefixes(tc.read(tc.text)) {
				got = append(got, p.String())
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// What is sent to nobody, is said why of the neighbors that are up.
func TestBGPNotExported(t *testing.T) {
	said := frrPeers(frrSaid(t, "84", "bgpd-neighbors.json"))
	only := func(names ...string) []peer {
		return slices.DeleteFunc(slices.Clone(said), func(p peer) bool { return !slices.Contains(names, p.name) })
	}
	free := only("10.99.6.2")[0]
	free.name, free.active = "x", map[string]policy{"IPv4": {}}
	young := only("nh0")[0]
	young.upFor = time.Second
	d := testFRR(t.TempDir(), "bgpd").daemon("bgpd")
	for name, tc := range map[string]struct {
		peers     []peer
		text, fix string
	}{
		"no policy": {
			only("nh0", "10.99.3.2"), "is sent to no neighbor: nh0 has no outgoing policy, without which eBGP sends nothing (RFC 8212, bgp ebgp-requires-policy)",
			"router bgp 65001\n address-family ipv4 unicast\n  neighbor nh0 route-map KEEPCAST-EBGP out",
		},
		"denied": {
			only("10.99.3.2", "10.99.4.2"), "is sent to no neighbor: the outgoing route-map or list denies it (10.99.3.2 NONE)",
			"permit it there, or use the route-map KEEPCAST-EBGP",
		},
		"not activated there": {
			only("fd99::2"), "is sent to no neighbor: IPv4 is not activated on both sides of a session (fd99::2 is up)",
			"router bgp 65001\n address-family ipv4 unicast\n  neighbor fd99::2 activate\nand the same there",
		},
		"free": {
			[]peer{free},
			"is sent to no neighbor, although nothing is known to hold it back (x is up)",
			"look at 'show bgp neighbors x advertised-routes' in vtysh, and at the neighbor's advertisement-interval",
		},
		"all down":    {only("10.99.0.2", "10.99.4.2"), "", ""},
		"just up":     {[]peer{young}, "", ""},
		"no neighbor": {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var want []driver.Finding
			if tc.text != "" {
				want = []driver.Finding{{Name: "not-exported", Level: driver.LevelError, Subject: "bgpd 192.0.2.53/32", Text: tc.text, Fix: tc.fix}}
			}
			if d := cmp.Diff(want, d.notExported(netip.MustParsePrefix("192.0.2.53/32"), tc.peers)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestBGPPath(t *testing.T) {
	for _, version := range []string{"84", "103"} {
		p := frrPath(frrSaid(t, version, "bgpd-prefix.json"))
		if d := cmp.Diff([]string{"10.99.6.2"}, p.to); d != "" || !p.valid || p.since.Year() < 2020 {
			t.Errorf("%s: since %s, %t, sent to (-want +got):\n%s", version, p.since, p.valid, d)
		}
	}
}

// FuzzFRRNeighbors looks for a panic, and for neighbors without a name or twice.
func FuzzFRRNeighbors(f *testing.F) {
	names, err := filepath.Glob("testdata/said/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range frrPeers(text) {
			p.neighbor()
		}
		frrPath(text)
		for _, daemon := range []string{"ospfd", "ospf6d", "isisd", "ripd", "ripngd", "babeld"} {
			q := frrSpec(daemon)
			q.readOriginated(text)
			seen := map[string]bool{}
			for _, n := range q.readNeighbors(text) {
				if n.Name == "" || seen[n.Name] || n.Up && n.Detail != "" {
					t.Errorf("%s: neighbor %+v", daemon, n)
				}
				seen[n.Name] = true
			}
		}
	})
}
