package lab

import (
	"net/netip"
	"strconv"
	"strings"
)

// Readers of the tables of the distance-vector protocols, RIP and Babel, where
// those of the routing daemons differ. The names of the router's interfaces are
// those of the hosts.

// The metrics that stand for: not reachable (RFC 2453, RFC 8966).
const (
	ripInfinity   = 16
	babelInfinity = 65535
)

// birdBabel parses `show babel routes`.
//
//	Prefix                   Nexthop                   Interface Metric F Seqno Expires
//	192.0.2.53/32            10.99.1.1                 a             96 *     1   2.838
func birdBabel(text string, prefix netip.Prefix) []Path {
	var all []Path
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 4 && f[0] == prefix.String() {
			all = vector(all, f[2], f[3], babelInfinity)
		}
	}
	return all
}

// frrBabel parses `show babel route`.
//
//	192.0.2.53/32 metric 96 refmetric 0 id d2:19:10:ff:fe:fa:df:bf seqno 14918 age 1 via a neigh fe80::1 nexthop 10.99.1.1 (installed)
func frrBabel(text string, prefix netip.Prefix) []Path {
	var all []Path
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != prefix.String() {
			continue
		}
		if _, via, ok := strings.Cut(line, " via "); ok {
			host, _, _ := strings.Cut(via, " ")
			all = vector(all, host, f[2], babelInfinity)
		}
	}
	return all
}

// frrRIP parses `show ip rip`, a route in one line, and `show ipv6 ripng`, a
// route in two, of which the second has the interface.
//
//	R(n) 192.0.2.53/32      10.99.1.1             2 10.99.1.1         0 00:14
//	R(n) 2001:db8:53::53/128
//	                  fe80::d828:16ff:fead:ebea   a          2    0  00:11
func frrRIP(text string, prefix netip.Prefix) []Path {
	var all []Path
	f := strings.Fields(text) // the two lines are alike so
	for i := range f {
		if i+4 >= len(f) || f[i] != "R(n)" || f[i+1] != prefix.String() {
			continue
		}
		if prefix.Addr().Is4() {
			all = vector(all, hostOf(f[i+2]), f[i+3], ripInfinity)
		} else {
			all = vector(all, f[i+3], f[i+4], ripInfinity)
		}
	}
	return all
}

// vector adds the path by a host, if it is one and can be reached by it.
func vector(all []Path, host, metric string, infinity int64) []Path {
	m, err := strconv.ParseInt(metric, 10, 64)
	if err != nil || m >= infinity || (host != "a" && host != "b") {
		return all // BIRD writes a word for infinity
	}
	return append(all, Path{Host: host, Metric: m})
}
