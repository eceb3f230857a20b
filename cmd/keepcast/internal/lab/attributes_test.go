package lab

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// mark announces the IPv4 address with the attributes of marked.
func mark(ctx context.Context, h *Host) error {
	if h.lab.options.daemon(h.name) == BIRD {
		return gate(ctx, h, fmt.Sprintf(`if net ~ [ %s ] then {
    bgp_med = 100;
    bgp_local_pref = 50;
    bgp_community.add((65535, 0)); bgp_community.add((65001, 100));
    bgp_large_community.add((65001, 1, 2)); bgp_large_community.add((65001, 3, 4));
    accept;
  }
  reject;`, anycast[0]))
	}
	_, err := h.Vtysh(ctx, "configure terminal", "route-map KEEPCAST-EBGP permit 100", "exit",
		"route-map MARK permit 10", "set metric 100", "set local-preference 50",
		"set community 65001:100 graceful-shutdown", "set large-community 65001:1:2 65001:3:4", "exit",
		"router bgp 65001", "address-family ipv4 unicast", "network "+anycast[0].String()+" route-map MARK")
	return err
}

// TestAttributes is that the router shows what a prefix is announced with, over
// sessions of two ASes and of one.
func TestAttributes(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want Path
	}{
		"bird ebgp": {Options{Daemon: BIRD}, marked.with(100, "65001")},
		"bird ibgp": {Options{Daemon: BIRD, IBGP: true}, marked.with(50)},
		"frr ebgp":  {Options{Daemon: FRR}, marked.with(0, "65001")}, // by graceful-shutdown
		"frr ibgp":  {Options{Daemon: FRR, IBGP: true}, marked.with(50)},
		"of each":   {Options{Daemon: BIRD, Daemons: map[string]string{"b": FRR}, IBGP: true}, marked.with(50)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.o.Protocol = BGP
			ctx, l := start(t, c.o)
			for _, name := range []string{"a", "b"} {
				h := l.Host(name)
				if err := errors.Join(mark(ctx, h), h.AddAddress(Anycast4)); err != nil {
					t.Fatal(err)
				}
			}
			err := Until(ctx, "the marked paths", func(ctx context.Context) error {
				got, err := l.Router().Paths(ctx, anycast[0])
				if diff := cmp.Diff(both(c.want), got, cmpopts.EquateEmpty()); diff != "" {
					return errors.Join(err, errors.New(diff))
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
