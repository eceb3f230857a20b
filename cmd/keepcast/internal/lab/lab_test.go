package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// start is a lab for one test. Without root or the daemons the test is skipped,
// unless KEEPCAST_REAL demands it.
func start(t testing.TB, o Options) (context.Context, *Lab) {
	t.Helper()
	o.Root = os.Getenv("KEEPCAST_LAB_ROOT")
	err := o.validate()
	if err == nil {
		err = o.Missing()
	}
	if err != nil {
		drivertest.Missing(t, err.Error())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	l, err := New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return ctx, l
}

var anycast = Prefixes(Anycast4, Anycast6)

// permit stands in for keepcast: the gate is open for the two addresses.
func permit(ctx context.Context, h *Host) error {
	o := h.lab.options
	if o.daemon(h.name) == BIRD {
		return gate(ctx, h, fmt.Sprintf("if net ~ [ %s ] then accept; if net ~ [ %s ] then accept; reject;", anycast[0], anycast[1]))
	}
	commands := []string{
		"configure terminal",
		"ip prefix-list KEEPCAST seq 5 permit " + anycast[0].String(), "ipv6 prefix-list KEEPCAST6 seq 5 permit " + anycast[1].String(),
		"route-map KEEPCAST permit 10", "match ip address prefix-list KEEPCAST", "exit",
		"route-map KEEPCAST6 permit 10", "match ipv6 address prefix-list KEEPCAST6", "exit",
	}
	if o.Protocol == BGP {
		commands = []string{
			"configure terminal", "route-map KEEPCAST-EBGP permit 100", "exit", "router bgp 65001",
			"address-family ipv4 unicast", "network " + anycast[0].String(), "exit-address-family",
			"address-family ipv6 unicast", "network " + anycast[1].String(), "exit-address-family",
		}
	}
	if o.Protocol == ISIS { // isisd looks at a route-map only when it is named
		commands = append(commands, "router isis A",
			"no redistribute ipv4 connected level-2", "redistribute ipv4 connected level-2 route-map KEEPCAST",
			"no redistribute ipv6 connected level-2", "redistribute ipv6 connected level-2 route-map KEEPCAST6")
	}
	_, err := h.Vtysh(ctx, commands...)
	return err
}

// permitAll opens the gate of a BIRD host for every address.
func permitAll(ctx context.Context, h *Host) error { return gate(ctx, h, "accept;") }

func gate(ctx context.Context, h *Host, body string) error {
	text, err := os.ReadFile(h.Snippet())
	if err != nil {
		return err
	}
	return h.SetSnippet(ctx, strings.Replace(string(text), "{ reject; }", "{ keepcast_announced = 1; "+body+" }", 1))
}

func announce(ctx context.Context, t testing.TB, h *Host) {
	t.Helper()
	if err := permit(ctx, h); err != nil {
		t.Fatal(err)
	}
	for _, p := range anycast {
		if err := h.AddAddress(p.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	p, err := h.AddService("dns", Anycast4, Anycast6)
	if err == nil {
		err = p.Start(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// knows waits until the router's daemon has the paths of exactly these hosts,
// the first named the best.
func knows(ctx context.Context, t testing.TB, l *Lab, hosts ...string) {
	t.Helper()
	if o := l.options; o.Protocol == RIP && o.daemon("r") == FRR {
		hosts = hosts[:1] // it knows no more
	}
	for _, p := range anycast {
		err := Until(ctx, fmt.Sprintf("paths to %s by %v", p, hosts), func(ctx context.Context) error {
			paths, err := l.Router().Paths(ctx, p)
			if err != nil {
				return err
			}
			var got []string
			for _, p := range paths {
				got = append(got, p.Host)
				if p.Best != (p.Host == hosts[0]) {
					return fmt.Errorf("paths are %+v", paths)
				}
			}
			if !slices.Equal(slices.Sorted(slices.Values(hosts)), got) {
				return fmt.Errorf("paths are %+v", paths)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLab(t *testing.T) {
	for name, o := range map[string]Options{
		"bird bgp":   {Daemon: BIRD, Protocol: BGP},
		"bird ospf":  {Daemon: BIRD, Protocol: OSPF},
		"frr bgp":    {Daemon: FRR, Protocol: BGP},
		"frr ospf":   {Daemon: FRR, Protocol: OSPF},
		"frr isis":   {Daemon: FRR, Protocol: ISIS},
		"bird rip":   {Daemon: BIRD, Protocol: RIP},
		"bird babel": {Daemon: BIRD, Protocol: Babel},
		"frr rip":    {Daemon: FRR, Protocol: RIP},
		// FRR's babeld withdraws nothing, and looks every 30 s for what has run out.
		"frr babel":   {Daemon: FRR, Daemons: map[string]string{"r": BIRD}, Protocol: Babel},
		"one of each": {Daemon: BIRD, Daemons: map[string]string{"b": FRR}, Protocol: BGP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // labs do not see each other
			ctx, l := start(t, o)
			for _, host := range []string{"a", "b"} {
				announce(ctx, t, l.Host(host))
			}
			knows(ctx, t, l, "a", "b")
			serve := func(host string) {
				t.Helper()
				if err := l.Router().AwaitNextHops(ctx, anycast, host); err != nil {
					t.Fatal(err)
				}
				if err := l.Client().AwaitServed(ctx, host, Anycast4, Anycast6); err != nil {
					t.Fatal(err)
				}
			}
			serve("a")
			for _, p := range anycast {
				if err := l.Host("a").RemoveAddress(p.Addr()); err != nil {
					t.Fatal(err)
				}
			}
			knows(ctx, t, l, "b")
			serve("b")
			gone(t, l)
		})
	}
}

// gone closes the lab and looks for anything that is left of it.
func gone(t testing.TB, l *Lab) {
	t.Helper()
	var pids []string
	for _, n := range l.nodes {
		for _, p := range n.processes {
			pids = append(pids, filepath.Join("/proc", fmt.Sprint(p.PID())))
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(namespaces, filepath.Base(l.Dir())+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(append(left, pids...), l.Dir()) {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), l.Dir()) {
		t.Errorf("mounts are left:\n%s", mounts)
	}
}
