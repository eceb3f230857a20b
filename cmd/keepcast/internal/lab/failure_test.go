package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

// crowd is a stand whose hosts have 100 services, two addresses each, behind one
// server, which is not started yet.
func crowd(t *testing.T) (s *stand, many *Process, addresses []netip.Prefix) {
	t.Helper()
	var all []netip.Addr
	var list strings.Builder
	for n := range 100 {
		v4, v6 := Anycast(n)
		all = append(all, v4, v6)
		fmt.Fprintf(&list, "  - {name: s%d, addresses: [%s, \"%s\"], checks: [{kind: dns, server: %s, query: health.example.com}]}\n", n, v4, v6, v4)
	}
	s = newStand(t, Options{Daemon: BIRD, Protocol: BGP}, func(_ *Host, driver string) string {
		return "drivers: [" + driver + "]\ndefaults: {interval: 1s, timeout: 2s, rise: 1}\nservices:\n" + list.String()
	})
	many, err := s.Host("a").AddService("many", all...)
	s.must(err)
	return s, many, Prefixes(all...)
}

// TestDeafDaemon brings up 100 services while BIRD stands still, so that its
// netlink socket overflows: it learns of all addresses nevertheless.
func TestDeafDaemon(t *testing.T) {
	s, many, prefixes := crowd(t)
	bird := s.process("a", "bird")
	s.must(bird.Signal(syscall.SIGSTOP))
	s.must(many.Start(s.ctx))
	s.onHost(s.Host("a"), prefixes...)
	s.must(bird.Signal(syscall.SIGCONT))
	s.must(s.Router().AwaitNextHops(s.ctx, prefixes, "a"))
}

// TestBurst lets 100 services of one host die at once: BIRD may be made to
// configure twice at most.
func TestBurst(t *testing.T) {
	s, many, prefixes := crowd(t)
	a := s.Host("a")
	s.must(many.Start(s.ctx))
	s.must(s.Router().AwaitNextHops(s.ctx, prefixes, "a"))

	before, err := a.BIRDReloads()
	s.must(err)
	s.must(many.Kill(s.ctx))
	s.must(s.Router().AwaitNextHops(s.ctx, prefixes))
	// The gates close a while after the addresses are gone, and are loaded after
	// they are written.
	reloads := 0
	s.must(Until(s.ctx, "a gate that lets nothing through", func(ctx context.Context) error {
		text, err := a.Output(ctx, "cat", a.Snippet())
		if err == nil && strings.Contains(text, "net ~") {
			return fmt.Errorf("still\n%s", text)
		}
		after, err2 := a.BIRDReloads()
		if reloads = after - before; reloads == 0 {
			return errors.Join(err, err2, errors.New("not loaded"))
		}
		return errors.Join(err, err2)
	}))
	if n := reloads; n > 2 {
		t.Errorf("%d reloads for one burst, want 1 or 2", n)
	}
}

// TestDaemonAway stops the routing daemon, lets the service die and come back
// meanwhile, and starts the daemon again: it announces what is right by then.
func TestDaemonAway(t *testing.T) {
	for name, o := range map[string]Options{
		"bird bgp": {Daemon: BIRD, Protocol: BGP},
		"frr bgp":  {Daemon: FRR, Protocol: BGP},
		"frr ospf": {Daemon: FRR, Protocol: OSPF},
		"frr isis": {Daemon: FRR, Protocol: ISIS},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, o, func(_ *Host, driver string) string { return standard(driver) })
			a := s.Host("a")
			for _, host := range []string{"a", "b"} {
				s.must(s.process(host, "dns").Start(s.ctx))
			}
			knows(s.ctx, t, s.Lab, "a", "b")

			// It dies while the daemon is away: the daemon comes back silent.
			s.must(a.StopDaemons(s.ctx))
			s.must(s.process("a", "dns").Kill(s.ctx))
			s.settled("a", "withdrawn")
			s.must(a.StartDaemons(s.ctx))
			s.adjacent()
			knows(s.ctx, t, s.Lab, "b")
			s.routed("b")

			// It comes back while the daemon is away: the daemon announces it.
			s.must(a.StopDaemons(s.ctx))
			s.must(s.process("a", "dns").Start(s.ctx))
			s.settled("a", "announcing") // announced is only what the daemon has
			s.must(a.StartDaemons(s.ctx))
			knows(s.ctx, t, s.Lab, "a", "b")
			s.routed("a")
		})
	}
}

// settled waits until keepcast has the service of a host in the state.
func (s *stand) settled(host, state string) {
	s.t.Helper()
	s.serviceSettled(host, "dns", state)
}

// serviceSettled is settled for a service of any name.
func (s *stand) serviceSettled(host, service, state string) {
	s.t.Helper()
	s.must(Until(s.ctx, service+" "+state+" on "+host, func(context.Context) error {
		if now := s.state(host, service); now != state {
			return fmt.Errorf("it is %s", now)
		}
		return nil
	}))
}

// adjacent waits until the router has all its sessions again: before,
// that a route is missing says nothing.
func (s *stand) adjacent() {
	s.t.Helper()
	s.must(Until(s.ctx, "sessions of the router", func(ctx context.Context) error {
		return s.Router().converged(ctx)
	}))
}

// TestSlowNetwork drains a host while the router goes on sending it everything,
// as a network does that converges slowly: not a single request is lost, and no
// open connection ends.
func TestSlowNetwork(t *testing.T) {
	s := newStand(t, Options{Daemon: BIRD, Protocol: BGP}, func(_ *Host, driver string) string {
		return strings.Replace(standard(driver), "linger: 3s", "linger: 1m", 1)
	})
	a := s.Host("a")
	s.must(s.process("a", "dns").Start(s.ctx))
	s.routed("a")
	for _, p := range anycast { // better than what BIRD makes, and there to stay
		via := a.Addr4()
		if p.Addr().Is6() {
			via = a.Addr6()
		}
		_, err := s.Router().Output(s.ctx, "ip", "route", "add", p.String(), "via", via.String(), "metric", "1")
		s.must(err)
	}
	load := s.Client().Start(s.ctx, 50, Flows(Anycast4, Anycast6)...)
	answered := func(more int) {
		t.Helper()
		goal := map[Flow]int{}
		for flow, tally := range load.Tallies() {
			goal[flow] = tally.Answered["a"] + more
		}
		s.must(Until(s.ctx, "more answers on every flow", func(context.Context) error {
			for flow, tally := range load.Tallies() {
				if tally.Answered["a"] < goal[flow] {
					return fmt.Errorf("%d of %d on %s", tally.Answered["a"], goal[flow], flow)
				}
			}
			return nil
		}))
	}
	answered(20)
	s.keepcast("a", "drain", "dns")
	s.settled("a", "draining")
	knows(s.ctx, t, s.Lab)
	answered(100)
	tallies := load.Stop()
	if n, which := lost(tallies); n > 0 {
		t.Errorf("%d requests lost:\n%s", n, strings.Join(which, "\n"))
	}
	for flow, tally := range tallies {
		if tally.Resent > 0 {
			t.Errorf("%s: %d connections ended", flow, tally.Resent)
		}
	}
}
