package frr

import (
	"errors"
	"fmt"

	"github.com/keepcast/keepcast/driver"
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

// findingsIn returns the findings among the errors that err joins.
func findingsIn(err error) []driver.Finding {
	var out []driver.Finding
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			out = append(out, findingsIn(e)...)
		}
		return out
	}
	if f := (driver.Finding{}); errors.As(err, &f) {
		out = append(out, f)
	}
	return out
}
