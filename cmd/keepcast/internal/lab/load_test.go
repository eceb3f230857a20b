package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// drain stands in for keepcast's: a local delivery route, then the address goes.
func drain(ctx context.Context, t *testing.T, h *Host) {
	t.Helper()
	for _, p := range anycast {
		_, err := h.Output(ctx, "ip", "-"+family(p.Addr()), "route", "add", "local", p.String(), "dev", "lo", "table", "local", "metric", "4242")
		if err == nil {
			err = h.RemoveAddress(p.Addr())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// answered waits until each flow has had n more answers from host.
func answered(ctx context.Context, t *testing.T, l *Load, host string, n int) {
	t.Helper()
	before := l.Tallies()
	err := Until(ctx, fmt.Sprintf("%d answers from %s on each flow", n, host), func(context.Context) error {
		for flow, now := range l.Tallies() {
			if got := now.Answered[host] - before[flow].Answered[host]; got < n {
				return fmt.Errorf("%s: %d; losses %v", flow, got, now.Losses)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	ctx, l := start(t, Options{Daemon: BIRD, Protocol: BGP})
	a, b := l.Host("a"), l.Host("b")
	announce(ctx, t, a)
	announce(ctx, t, b)
	knows(ctx, t, l, "a", "b")
	if err := l.Client().AwaitServed(ctx, "a", Anycast4, Anycast6); err != nil {
		t.Fatal(err)
	}

	t.Run("a drain loses nothing", func(t *testing.T) {
		load := l.Client().Start(ctx, 50, Flows(Anycast4, Anycast6)...)
		answered(ctx, t, load, "a", 10)
		drain(ctx, t, a)
		answered(ctx, t, load, "b", 10)
		for flow, tally := range load.Stop() {
			if sum := tally.Answered["a"] + tally.Answered["b"]; len(tally.Losses) > 0 || sum != tally.Sent {
				t.Errorf("%s: sent %d, answered %d, losses %v", flow, tally.Sent, sum, tally.Losses)
			}
			if flow.Way == TCPOpen && tally.Resent == 0 {
				t.Errorf("%s: the connection moved to b, which does not know it, but nothing was sent again", flow)
			}
		}
	})

	t.Run("a dead service loses what is sent to it", func(t *testing.T) {
		load := l.Client().Start(ctx, 50, Flows(Anycast4, Anycast6)...)
		answered(ctx, t, load, "b", 10)
		dns, err := b.Process("dns")
		if err == nil {
			err = dns.Kill(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		err = Until(ctx, "losses on each flow", func(context.Context) error {
			for flow, tally := range load.Tallies() {
				if len(tally.Losses) == 0 {
					return errors.New(flow.String())
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := dns.Start(ctx); err != nil {
			t.Fatal(err)
		}
		answered(ctx, t, load, "b", 10)
		for flow, tally := range load.Stop() {
			if sum := tally.Answered["a"] + tally.Answered["b"] + len(tally.Losses); sum != tally.Sent {
				t.Errorf("%s: sent %d, answered or lost %d", flow, tally.Sent, sum)
			}
		}
	})
}

// A service that is bound to the anycast address cannot start without it.
func TestServiceBinds(t *testing.T) {
	ctx, l := start(t, Options{Daemon: BIRD, Protocol: BGP})
	h := l.Host("a")
	dns, err := h.AddService("dns", Anycast4, Anycast6)
	if err != nil {
		t.Fatal(err)
	}
	err = dns.Start(ctx)
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		t.Fatalf("start without the address: %v", err)
	}
	for _, p := range anycast {
		if err := h.AddAddress(p.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	if err := dns.Start(ctx); err != nil {
		t.Fatal(err)
	}
	addrs, err := h.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(anycast, addrs, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

// A hundred services of one host, and the router's events about them.
func TestMany(t *testing.T) {
	ctx, l := start(t, Options{Daemon: BIRD, Protocol: BGP})
	h := l.Host("b")
	var addrs []netip.Addr
	for n := range 50 {
		v4, v6 := Anycast(n)
		addrs = append(addrs, v4, v6)
	}
	if err := permitAll(ctx, h); err != nil {
		t.Fatal(err)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	seen := map[netip.Prefix][]string{}
	go func() {
		ended <- l.Router().Watch(watching, Prefixes(addrs...), func(e RouteEvent) { seen[e.Prefix] = e.Hosts })
	}()
	for _, a := range addrs {
		if err := h.AddAddress(a); err != nil {
			t.Fatal(err)
		}
	}
	many, err := h.AddService("many", addrs...)
	if err == nil {
		err = many.Start(ctx)
	}
	if err == nil {
		err = l.Router().AwaitNextHops(ctx, Prefixes(addrs...), "b")
	}
	if err == nil {
		err = l.Client().AwaitServed(ctx, "b", addrs...)
	}
	stop()
	if err := errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
	for _, p := range Prefixes(addrs...) {
		if diff := cmp.Diff([]string{"b"}, seen[p]); diff != "" {
			t.Errorf("last event of %s (-want +got):\n%s", p, diff)
		}
	}
	if n, err := h.BIRDReloads(); err != nil || n != 1 {
		t.Errorf("BIRD was told to configure %d times, not once: %v", n, err)
	}
}
