package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestReload changes the configuration of a running keepcast: a service is added
// by a drop-in, a bad file changes nothing, and a service that goes is drained.
// No other route moves.
func TestReload(t *testing.T) {
	s := newStand(t, Options{Daemon: BIRD, Protocol: BGP}, func(_ *Host, driver string) string { return standard(driver) })
	a := s.Host("a")
	s.must(s.process("a", "dns").Start(s.ctx))
	s.routed("a")
	moves := s.moves()
	other, _ := Anycast(0)
	prefixes := Prefixes(other)
	_, err := a.AddService("other", other)
	s.must(err)

	dropIn := filepath.Join(filepath.Dir(a.Config()), "conf.d", "other.yaml")
	s.must(os.MkdirAll(filepath.Dir(dropIn), 0o755))
	write := func(text string) {
		t.Helper()
		s.must(os.WriteFile(dropIn, []byte(text), 0o644))
		s.must(s.process("a", "keepcast").Signal(syscall.SIGHUP))
	}
	write(fmt.Sprintf("services:\n  - {name: other, addresses: [%s], checks: [{kind: dns, server: %s, query: health.example.com}]}\n", other, other))
	s.reports("withdrawn")
	s.must(s.process("a", "other").Start(s.ctx))
	s.must(s.Router().AwaitNextHops(s.ctx, prefixes, "a"))

	write("services:\n  - {name: other, adresses: [192.0.2.1]}\n")
	s.reports("The last reload was refused")
	s.reports(`other.yaml:2:19: services[other].adresses: no such setting (did you mean "addresses"?)`)
	s.must(s.Router().AwaitNextHops(s.ctx, prefixes, "a"))

	s.must(os.Remove(dropIn))
	s.must(s.process("a", "keepcast").Signal(syscall.SIGHUP))
	s.must(s.Router().AwaitNextHops(s.ctx, prefixes))
	if n := moves(); n > 0 {
		t.Errorf("the routes of the other service moved %d times", n)
	}
}

// reports waits until keepcast status on host a shows text.
func (s *stand) reports(text string) {
	s.t.Helper()
	s.must(Until(s.ctx, fmt.Sprintf("%q in the status", text), func(ctx context.Context) error {
		out, err := s.Host("a").Keepcast(ctx, "--config", s.Host("a").Config(), "--socket", "/run/keepcast/keepcast.sock", "status")
		if err == nil && !strings.Contains(out, text) {
			return fmt.Errorf("it says\n%s", out)
		}
		return err
	}))
}

// moves counts the moves of the standard service's routes at the router from now
// on; the returned function ends that and tells.
func (s *stand) moves() func() int {
	s.t.Helper()
	return s.movesOf(anycast)
}

func (s *stand) movesOf(prefixes []netip.Prefix) func() int {
	s.t.Helper()
	watching, stop := context.WithCancel(s.ctx)
	watched := make(chan error, 1)
	at := make(chan struct{}, len(prefixes))
	events := 0
	go func() {
		watched <- s.Router().Watch(watching, prefixes, func(RouteEvent) {
			if events++; events <= len(prefixes) { // one each for how it is at first
				at <- struct{}{}
			}
		})
	}()
	for range prefixes {
		select {
		case <-at:
		case <-s.ctx.Done():
			s.t.Error("no present routes")
		}
	}
	return func() int {
		s.t.Helper()
		stop()
		if err := <-watched; err != nil && watching.Err() == nil {
			s.t.Error(err)
		}
		return events - len(prefixes)
	}
}

// TestRestart restarts keepcast, once in good order and once by SIGKILL, while a
// client asks: no route moves.
func TestRestart(t *testing.T) {
	for name, o := range map[string]Options{
		"bird bgp": {Daemon: BIRD, Protocol: BGP},
		"frr bgp":  {Daemon: FRR, Protocol: BGP},
		"frr isis": {Daemon: FRR, Protocol: ISIS},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, o, func(_ *Host, driver string) string { return "on_stop: keep\n" + standard(driver) })
			s.must(s.process("a", "dns").Start(s.ctx))
			s.routed("a")
			moves := s.moves()
			keepcast := s.process("a", "keepcast")
			for _, end := range []func(context.Context) error{keepcast.Stop, keepcast.Kill} {
				s.must(end(s.ctx))
				s.must(keepcast.Start(s.ctx))
				s.settled("a", "announced")
				s.reports("3/3 up")
			}
			if n := moves(); n > 0 {
				t.Errorf("the routes moved %d times", n)
			}
		})
	}
}

// TestRepair undoes what somebody does to the host behind keepcast's back.
func TestRepair(t *testing.T) {
	s := newStand(t, Options{Daemon: BIRD, Protocol: BGP}, func(_ *Host, driver string) string { return standard(driver) })
	a := s.Host("a")
	s.must(s.process("a", "dns").Start(s.ctx))
	s.routed("a")
	for _, harm := range [][]string{
		{"ip", "address", "del", "192.0.2.53/32", "dev", Interface},
		{"ip", "-6", "address", "flush", "dev", Interface},
		{"ip", "link", "set", Interface, "down"},
	} {
		_, err := a.Output(s.ctx, harm...)
		s.must(err)
		s.routed("a")
		s.onHost(a, anycast...)
	}
	s.must(a.SetSnippet(s.ctx, strings.Replace(s.snippet(a), "accept;", "reject;", 1))) // BIRD loads it
	s.must(s.process("a", "bird").Restart(s.ctx))
	s.routed("a")
}

// onHost waits until the host has the addresses.
func (s *stand) onHost(h *Host, want ...netip.Prefix) {
	s.t.Helper()
	s.must(Until(s.ctx, "the addresses", func(context.Context) error {
		have, err := h.Addresses()
		if err != nil {
			return err
		}
		for _, p := range want {
			if !strings.Contains(fmt.Sprint(have), p.String()) {
				return fmt.Errorf("%s is missing in %v", p, have)
			}
		}
		return nil
	}))
}

func (s *stand) snippet(h *Host) string {
	s.t.Helper()
	text, err := os.ReadFile(h.Snippet())
	s.must(err)
	return string(text)
}

// TestLength announces the network of an address that has a length.
func TestLength(t *testing.T) {
	for name, o := range map[string]Options{
		"bird bgp": {Daemon: BIRD, Protocol: BGP},
		"frr bgp":  {Daemon: FRR, Protocol: BGP},
		"frr ospf": {Daemon: FRR, Protocol: OSPF},
	} {
		t.Run(name, func(t *testing.T) {
			address, network := netip.MustParsePrefix("203.0.113.1/24"), netip.MustParsePrefix("203.0.113.0/24")
			s := newStand(t, o, func(_ *Host, driver string) string {
				return "drivers: [" + driver + "]\nservices:\n  - {name: net, addresses: [" + address.String() +
					"], checks: [{kind: exec, command: [test, -e, " + fitFile + "]}]}\n"
			})
			a, b := s.Host("a"), s.Host("b")
			s.good(b, false)
			s.must(s.Router().AwaitNextHops(s.ctx, []netip.Prefix{network}, "a"))
			s.onHost(a, address)
			s.good(a, false)
			s.must(s.Router().AwaitNextHops(s.ctx, []netip.Prefix{network}))
		})
	}
}
