package driver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// quaggaLSA is what ospfd shows of one LSA (ospfd/ospf_vty.c and ospf_dump.c).
func quaggaLSA(age int, id string, bits int) string {
	return fmt.Sprintf(`
       OSPF Router with ID (10.0.0.11)


                AS External Link States

  LS age: %d
  Options: 0x2  : *|-|-|-|-|-|E|*
  LS Flags: 0xb  
  LS Type: AS-external-LSA
  Link State ID: %s (External Network Number)
  Advertising Router: 10.0.0.11
  LS Seq Number: 80000001
  Checksum: 0x3c1c
  Length: 36

  Network Mask: /%d
        Metric Type: 2 (Larger than any link state path)
        TOS: 0
        Metric: 20
        Forward Address: 0.0.0.0
        External Route Tag: 0

`, age, id, bits)
}

// Answers of bgpd, after route_vty_out_detail and bgp_show_peer.
const (
	quaggaOwn = `BGP routing table entry for 192.0.2.53/32
Paths: (2 available, best #2, table Default-IP-Routing-Table)
  Advertised to non peer-group peers:
  10.0.0.1 fd99::2
  65002 65009
    10.0.0.1 from 10.0.0.1 (10.0.0.1)
      Origin incomplete, metric 0, localpref 100, valid, external
      Last update: Sat Nov 21 22:00:36 2026

  Local
    0.0.0.0 from 0.0.0.0 (10.0.0.11)
      Origin incomplete, metric 0, localpref 100, weight 32768, valid, sourced, best
      Last update: Sun Nov 22 22:00:36 2026

`
	quaggaSilent = `BGP routing table entry for 2001:db8:53::53/128
Paths: (1 available, best #1, table Default-IP-Routing-Table)
  Not advertised to any peer
  Local
    :: from :: (10.0.0.11)
      Origin incomplete, metric 0, localpref 100, weight 32768, valid, sourced, best
      Last update: Sun Nov 22 22:00:36 2020

`
	quaggaForeign = `BGP routing table entry for 192.0.2.53/32
Paths: (1 available, best #1, table Default-IP-Routing-Table)
  Not advertised to any peer
  65002
    10.0.0.1 from 10.0.0.1 (10.0.0.1)
      Origin IGP, metric 0, localpref 100, valid, external, best
      Last update: Sun Nov 22 22:00:36 2026

`
	quaggaNeighbors = `BGP neighbor is 10.0.0.1, remote AS 65002, local AS 65001, external link
  BGP version 4, remote router ID 10.0.0.1
  BGP state = Established, up for 00:01:25
  Last read 00:00:25, hold time is 180, keepalive interval is 60 seconds
  Neighbor capabilities:
    4 Byte AS: advertised and received
    Route refresh: advertised and received(old & new)
    Address family IPv4 Unicast: advertised and received
    Address family IPv6 Unicast: advertised
    Graceful Restart Capabilty: advertised and received
      Remote Restart timer is 120 seconds
  Message statistics:
    Inq depth is 0
    Total:                      4          4
  Minimum time between advertisement runs is 30 seconds

 For address family: IPv4 Unicast
  Community attribute sent to this neighbor(both)
  Outbound path policy configured
  Route map for outgoing advertisements is *KEEPCAST-EBGP
  0 accepted prefixes

 For address family: IPv6 Unicast
  Community attribute sent to this neighbor(both)
  0 accepted prefixes

  Connections established 1; dropped 0
  Last reset never
Local host: 10.0.0.11, Local port: 52320
Foreign host: 10.0.0.1, Foreign port: 179
Nexthop: 10.0.0.11
BGP connection: shared network
Read thread: on  Write thread: off

BGP neighbor is 10.0.0.2, remote AS 65001, local AS 65001, internal link
  BGP version 4, remote router ID 0.0.0.0
  BGP state = Active
  Last read 00:11:25, hold time is 9, keepalive interval is 3 seconds
  Message statistics:
    Total:                      0          0
  Minimum time between advertisement runs is 1 seconds

 For address family: IPv4 Unicast
  Community attribute sent to this neighbor(both)
  0 accepted prefixes

  Connections established 1; dropped 1
  Last reset 00:11:25, due to Peer closed the session
Next connect timer due in 31 seconds
Read thread: off  Write thread: off

BGP neighbor is fd99::2, remote AS 65002, local AS 65001, external link
 Member of peer-group X for session parameters
  BGP version 4, remote router ID 10.0.0.1
  BGP state = Established, up for 00:01:25
  Last read 00:00:25, hold time is 9, keepalive interval is 3 seconds
  Neighbor capabilities:
    Address family IPv6 Unicast: advertised and received
  Minimum time between advertisement runs is 0 seconds

 For address family: IPv6 Unicast
  Community attribute sent to this neighbor(both)
  0 accepted prefixes

  Connections established 1; dropped 0
  Last reset never

BGP neighbor is 10.0.0.3, remote AS 65003, local AS 65001, external link
 Administratively shut down
  BGP version 4, remote router ID 0.0.0.0
  BGP state = Idle
  Last read never, hold time is 180, keepalive interval is 60 seconds
  Minimum time between advertisement runs is 30 seconds

 For address family: IPv4 Unicast
  Community attribute sent to this neighbor(both)
  0 accepted prefixes

  Connections established 0; dropped 0
  Last reset never
`
	quaggaAdjacencies = `
    Neighbor ID Pri State           Dead Time Address         Interface            RXmtL RqstL DBsmL
10.0.0.1          1 Full/DR           39.440s 10.0.0.1        eth0:10.0.0.11           0     0     0
10.0.0.2          1 2-Way/DROther     38.440s 10.0.0.2        eth0:10.0.0.11           0     0     0
10.0.0.3          1 Init/DROther      37.440s 10.0.1.3        eth1:10.0.1.11           0     0     0
`
	quaggaLSPs = `Area A:
IS-IS Level-2 link-state database:
LSP ID                  PduLen  SeqNumber   Chksum  Holdtime  ATT/P/OL
host-with-name.00-00 *    131   0x00000005  0x3b4d    1122    0/0/0
  Area Address: 49.0001
  NLPID       : 0xCC 0x8E
  Hostname    : host-with-name
  Router ID   : 10.0.0.11
  Metric      : 10       IPv4-Internal : 10.0.0.0 255.255.255.0
  Metric      : 10       IPv6-Internal : 2001:db8:53::53/128
  Metric      : 10       IS-Extended   : 0000.0000.0002.02
  Metric      : 10       IPv4-Extended : 192.0.2.53/32

r1.00-00                  100   0x00000003  0x6368    1156    0/0/0
  Metric      : 10       IPv4-Extended : 192.0.2.99/32

    2 LSPs
`
)

func TestQuaggaTables(t *testing.T) {
	shown := func(all map[netip.Prefix]bool) string {
		var out []string
		for _, p := range sortedPrefixes(all) {
			out = append(out, p.String())
		}
		return strings.Join(out, " ")
	}
	for name, tc := range map[string]struct{ got, want string }{
		"ospf":          {shown(quaggaOSPF(quaggaLSA(60, "192.0.2.53", 32) + quaggaLSA(3600, "192.0.2.54", 32) + quaggaLSA(1, "203.0.113.255", 24))), "192.0.2.53/32 203.0.113.0/24"},
		"ospf, none":    {shown(quaggaOSPF("\n       OSPF Router with ID (10.0.0.11)\n")), ""},
		"ospf, cut":     {shown(quaggaOSPF("  Network Mask: /24\n")), ""},
		"isis":          {shown(quaggaISIS(quaggaLSPs)), "10.0.0.0/24 192.0.2.53/32 2001:db8:53::53/128"},
		"isis, cut":     {shown(quaggaISIS("a.00-00 * 1\n  Metric      : 10       IPv4-Internal : 10.0.0.0\n  Metric : 1 IPv4-Internal : 10.0.0.0 x\n")), ""},
		"ospf adj":      {strings.Join(frrShown(quaggaOSPFNeighbours(quaggaAdjacencies)), "; "), "ospf 10.0.0.1 on eth0 IPv4 up; ospf 10.0.0.3 on eth1 IPv4: the adjacency is in state Init: its hellos arrive here, but ours not there"},
		"ospf adj none": {strings.Join(frrShown(quaggaOSPFNeighbours("")), "; "), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("got  %s\nwant %s", tc.got, tc.want)
			}
		})
	}
}

func TestQuaggaPath(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		to   []string
		date string
		ok   bool
	}{
		"own":     {quaggaOwn, []string{"10.0.0.1", "fd99::2"}, "2026-11-22", true},
		"silent":  {quaggaSilent, nil, "2020-11-22", true},
		"foreign": {quaggaForeign, nil, "0001-01-01", false},
		"none":    {"% Network not in table\n", nil, "0001-01-01", false},
	} {
		t.Run(name, func(t *testing.T) {
			to, since, ok := quaggaPath(tc.text)
			if !slices.Equal(to, tc.to) || since.Format("2006-01-02") != tc.date || ok != tc.ok {
				t.Errorf("got %q, %s, %t", to, since, ok)
			}
		})
	}
}

func TestQuaggaPeers(t *testing.T) {
	var all []frrNeighbour
	for _, p := range quaggaPeers(quaggaNeighbors) {
		all = append(all, p.neighbour())
	}
	want := []string{
		"10.0.0.1 IPv4 up", // IPv6 is activated here, but not there
		"10.0.0.2 IPv4: the session is in state Active: Peer closed the session",
		"fd99::2 IPv6 up",
		"10.0.0.3 IPv4: it is shut down in the configuration",
	}
	if d := cmp.Diff(want, frrShown(all)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What is observed: the neighbours, to whom each address goes, and what is found.
func TestQuaggaObserve(t *testing.T) {
	dir := t.TempDir()
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", "redistribute connected route-map KEEPCAST", "neighbor 10.0.0.1 remote-as 65002")
	bgpd.family6 = []string{"redistribute connected route-map KEEPCAST6"}
	bgpd.show("show ip bgp neighbors", quaggaNeighbors)
	bgpd.show("show ip bgp "+frr4, quaggaOwn)
	bgpd.show("show bgp ipv6 "+frr6, quaggaSilent)
	bgpd.show("show ip bgp 192.0.2.54/32", quaggaForeign)
	isisd := newFakeQuagga(t, dir, "isisd", "router isis A")
	isisd.blocks["interface anycast0"] = []string{"ip router isis A", "ipv6 router isis A"}
	isisd.show("show isis database detail", quaggaLSPs)
	isisd.show("show isis neighbor detail", "Area A:\n r1                  \n    Interface: eth0, Level: 2, State: Up, Expires in 28s\n    Circuit type: L2, Speaks: IPv4, IPv6\n")
	q := testQuagga(dir, "bgpd", "isisd")
	defer q.Close()
	seen, err := q.Observe(t.Context())
	if err != nil || len(seen.Routes) != 0 {
		t.Errorf("before the first Apply: %v, %v", seen.Routes, err)
	}
	quaggaApply(t, q, quaggaRouteOf(frr4, Announced, quaggaWorse), quaggaRouteOf(frr6, Announced, Attributes{}), quaggaRouteOf("192.0.2.54/32", Announced, Attributes{}))
	seen, err = q.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{frr4 + ": 10.0.0.1, fd99::2, isis r1 on eth0", frr6 + ": isis r1 on eth0"}, frrExports(seen)); d != "" {
		t.Errorf("exports (-want +got):\n%s", d)
	}
	if !seen.Routes[0].Degraded || seen.Routes[1].Degraded || len(seen.Neighbours) != 5 {
		t.Errorf("seen %+v", seen)
	}
	want := []string{
		"risks session-down bgpd neighbour 10.0.0.2", "note session-down bgpd neighbour 10.0.0.3",
		"breaks not-exported bgpd " + frr6, "risks attributes-unused bgpd KEEPCAST",
	}
	if d := cmp.Diff(want, frrFindings(seen)); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
	fresh := testQuagga(dir, "bgpd", "isisd")
	defer fresh.Close()
	seen, err = fresh.Observe(t.Context())
	if d := cmp.Diff([]string{frr4 + ": 10.0.0.1, fd99::2, isis r1 on eth0", frr6 + ": isis r1 on eth0"}, frrExports(seen)); d != "" || err != nil {
		t.Errorf("a new keepcast (-want +got):\n%s%v", d, err)
	}
	alone := testQuagga(dir, "isisd")
	defer alone.Close()
	if seen, err = alone.Observe(t.Context()); err != nil || len(seen.Routes) != 0 {
		t.Errorf("isisd alone, before the first Apply: %v, %v", seen.Routes, err)
	}
}

func TestQuaggaLacks(t *testing.T) {
	network := quaggaRouteOf("203.0.113.0/24", Announced, Attributes{})
	network.GateOnly = true
	large := quaggaRouteOf(frr4, Announced, Attributes{LargeCommunities: []LargeCommunity{{1, 2, 3}}})
	for name, tc := range map[string]struct {
		daemon, running string
		route           Route
		want            []string
	}{
		"no bgp":                {"bgpd", "!\n", quaggaRouteOf(frr4, Announced, Attributes{}), []string{"breaks router-bgp-missing bgpd"}},
		"no bgp, nothing to do": {"bgpd", "!\n", quaggaRouteOf(frr4, Absent, Attributes{}), nil},
		"bgp, unused":           {"bgpd", "router bgp 1\n redistribute connected route-map MINE\n", quaggaRouteOf(frr4, Announced, Attributes{}), []string{"breaks gate-unused bgpd KEEPCAST"}},
		"bgp, used":             {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\n", quaggaRouteOf(frr4, Announced, Attributes{}), nil},
		"bgp, IPv6 unused":      {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\n", quaggaRouteOf(frr6, Announced, Attributes{}), []string{"breaks gate-unused bgpd KEEPCAST6"}},
		"bgp, network":          {"bgpd", "router bgp 1\n", network, nil},
		"bgp, called":           {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\nroute-map MINE permit 5\n call KEEPCAST-OUT\n", quaggaRouteOf(frr4, Announced, quaggaWorse), nil},
		"bgp, no out map":       {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\n neighbor 10.0.0.1 route-map KEEPCAST-EBGP in\n", quaggaRouteOf(frr4, Announced, quaggaWorse), []string{"risks attributes-unused bgpd KEEPCAST"}},
		"bgp, large":            {"bgpd", "router bgp 1\n redistribute connected route-map KEEPCAST\n", large, []string{"risks attribute-unsupported bgpd " + frr4}},
		"ospf, network":         {"ospfd", "router ospf\n redistribute connected route-map KEEPCAST\n", network, []string{"breaks gate-unused ospfd KEEPCAST"}},
		"ospf, static":          {"ospfd", "router ospf\n redistribute static route-map KEEPCAST\n", network, nil},
		"ospf, IPv6":            {"ospfd", "router ospf\n", quaggaRouteOf(frr6, Announced, Attributes{}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := testQuagga(t.TempDir(), tc.daemon).daemon(tc.daemon)
			run, want := quaggaRunning(tc.running), frrState(tc.route)
			if d := cmp.Diff(tc.want, frrFound(slices.Concat(findingsIn(d.lacks(run, want)), d.unused(run, want)))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// What doctor says, of a daemon that runs and of those that do not.
func TestQuaggaExamine(t *testing.T) {
	dir := t.TempDir()
	newFakeQuagga(t, dir, "zebra", "")
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", "redistribute connected", "neighbor 10.0.0.1 remote-as 65002")
	bgpd.show("show version", "Quagga 1.2.4 (host).\nCopyright 1996-2005 Kunihiro Ishiguro, et al.\n")
	bgpd.show("show ip bgp summary", "BGP router identifier 192.0.2.53, local AS number 65001\nRIB entries 3\n")
	bgpd.show("show ip bgp neighbors", quaggaNeighbors)
	isisd := newFakeQuagga(t, dir, "isisd", "router isis A", "redistribute ipv4 connected level-2 route-map KEEPCAST")
	isisd.blocks["interface anycast0"] = []string{"ip router isis A"}
	isisd.show("show version", "Quagga 0.99.24.1 (host).\n")
	q := testQuagga(dir, "bgpd", "isisd", "ospfd")
	defer q.Close()
	got := frrFound(q.Examine(t.Context(), frrState(quaggaRouteOf(frr4, Announced, Attributes{}))))
	want := []string{
		"risks session-down bgpd neighbour 10.0.0.2", "note session-down bgpd neighbour 10.0.0.3", "breaks gate-unused bgpd KEEPCAST",
		"breaks router-id bgpd", "risks redistribute-unfiltered bgpd redistribute connected",
		"risks advertisement-interval bgpd neighbour 10.0.0.1", "risks no-bfd bgpd neighbour 10.0.0.1", "risks advertisement-interval bgpd neighbour fd99::2",
		"breaks no-neighbour isisd", "note version-untested isisd", "risks isis-lsp-interval isisd",
		"breaks isis-redistribute isisd redistribute ipv4 connected level-2 route-map KEEPCAST", "note isis-active isisd anycast0",
		"breaks daemon-unreachable ospfd",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if sent := slices.Concat(bgpd.taken(), isisd.taken()); len(sent) > 0 {
		t.Errorf("an examination sent %q", sent)
	}
}

func TestQuaggaCommunities(t *testing.T) {
	for in, want := range map[string]string{
		"set community no-export 65001:100 65001:9 additive":    "set community 65001:9 65001:100 65535:65281 additive",
		"set community 65001:100 65001:100":                     "set community 65001:100",
		"set community local-AS internet no-advertise additive": "set community 0:0 65535:65282 65535:65283 additive",
		"set community none":                                    "set community none",
		"set metric 5":                                          "set metric 5",
	} {
		if got := canonicalCommunities(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Different groups never share a number.
func TestQuaggaNumbers(t *testing.T) {
	groups := []*quaggaGroup{{Name: "A", Seq: 65534}, {Name: "B", Seq: 65534}, {Name: "C", Seq: 1}}
	number(groups)
	if got := []int{groups[0].Seq, groups[1].Seq, groups[2].Seq}; !slices.Equal(got, []int{65534, 1, 2}) {
		t.Errorf("got %v", got)
	}
}

// FuzzQuagga looks for a panic in whatever reads an answer, and for a configuration
// that does not come to rest.
func FuzzQuagga(f *testing.F) {
	for _, text := range []string{quaggaOwn, quaggaNeighbors, quaggaLSPs, quaggaAdjacencies, quaggaLSA(1, "10.0.0.0", 8), "router bgp 1\n!\n address-family ipv6\n network 2001:db8::/32\n exit-address-family\n!\nroute-map KEEPCAST permit 5\n set community no-export\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quaggaPath(text)
		quaggaOSPF(text)
		quaggaISIS(text)
		quaggaOSPFNeighbours(text)
		for _, p := range quaggaPeers(text) {
			p.neighbour()
		}
		frrExam{daemon: "bgpd", quagga: true, running: text, neighbours: text, state: text}.quaggaFindings()
		frrExam{daemon: "isisd", quagga: true, running: text}.quaggaFindings()
		c := quaggaRunning(text).frrConfig
		if steps := quaggaDiff(c, c, nil); len(steps) > 0 && c.router != "" {
			t.Errorf("the difference to itself is %v", steps)
		}
		if once := quaggaText(text); quaggaText(once) != once {
			t.Errorf("%q becomes %q and then %q", text, once, quaggaText(once))
		}
	})
}
