package lab

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestSecond is two routing daemons on one host: each announces the addresses of
// its own interface to its own neighbor, and one that stops does not trouble the
// other.
func TestSecond(t *testing.T) {
	for _, daemon := range []string{BIRD, FRR} {
		t.Run(daemon, func(t *testing.T) {
			t.Parallel()
			ctx, l := start(t, Options{Daemon: daemon, Protocol: BGP, Second: true})
			announce(ctx, t, l.Host("a"))
			second := l.Host("a").Second()
			v4, v6 := Anycast(0)
			others := Prefixes(v4, v6)
			if daemon == BIRD {
				if err := permitAll(ctx, second); err != nil {
					t.Fatal(err)
				}
			} else if _, err := second.Vtysh(ctx, "configure terminal",
				"route-map KEEPCAST-EBGP permit 100", "exit", "router bgp 65001",
				"address-family ipv4 unicast", fmt.Sprint("network ", others[0]), "exit-address-family",
				"address-family ipv6 unicast", fmt.Sprint("network ", others[1]), "exit-address-family"); err != nil {
				t.Fatal(err)
			}
			for _, p := range others {
				if err := second.AddAddress(p.Addr()); err != nil {
					t.Fatal(err)
				}
			}
			routed := func(prefixes []netip.Prefix, hosts ...string) {
				t.Helper()
				if err := l.Router().AwaitNextHops(ctx, prefixes, hosts...); err != nil {
					t.Fatal(err)
				}
			}
			routed(anycast, "a")
			routed(others, "a2")
			for _, p := range second.Daemons() {
				if p.Name == suffixed("bird", Second) || p.Name == suffixed("bgpd", Second) {
					if err := p.Kill(ctx); err != nil {
						t.Fatal(err)
					}
				}
			}
			routed(others)
			routed(anycast, "a")
			if err := second.StartDaemons(ctx); err != nil {
				t.Fatal(err)
			}
			if daemon == BIRD { // FRR's lines were not saved
				routed(others, "a2")
			}
		})
	}
}
