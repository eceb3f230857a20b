package lab

import (
	"net/netip"
	"strings"
	"testing"
)

// TestVector is the main job for the protocols that know no more than distances,
// RIP and Babel: a service dies, comes back, is degraded, drained and resumed.
func TestVector(t *testing.T) {
	for name, o := range map[string]Options{
		"bird rip":   {Daemon: BIRD, Protocol: RIP},
		"bird babel": {Daemon: BIRD, Protocol: Babel},
		"frr rip":    {Daemon: FRR, Protocol: RIP},
		// As a router, FRR's babeld looks every 30 s for what has run out.
		"frr babel": {Daemon: FRR, Daemons: map[string]string{"r": BIRD}, Protocol: Babel},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, o, func(_ *Host, driver string) string { return standard(driver) })
			for _, host := range []string{"a", "b"} {
				s.must(s.process(host, "dns").Start(s.ctx))
			}
			knows(s.ctx, t, s.Lab, "a", "b")
			s.routed("a")

			s.must(s.process("a", "dns").Kill(s.ctx))
			knows(s.ctx, t, s.Lab, "b")
			s.routed("b")
			s.must(s.process("a", "dns").Start(s.ctx))
			s.routed("a")

			if worse := s.degradable(); len(worse) > 0 {
				s.good(s.Host("a"), false)
				s.must(s.Router().AwaitNextHops(s.ctx, worse, "b"))
				s.good(s.Host("a"), true)
				s.routed("a")
			}

			s.keepcast("a", "drain", "dns")
			knows(s.ctx, t, s.Lab, "b")
			s.routed("b")
			s.keepcast("a", "resume", "dns")
			s.routed("a")
		})
	}
}

// degradable are the prefixes that host a's daemon can announce with a worse
// metric than others: FRR's babeld none, and its ripngd none before FRR 10, which
// does not look at what a route-map matches.
func (s *stand) degradable() []netip.Prefix {
	s.t.Helper()
	o := s.options
	if o.daemon("a") == BIRD {
		return anycast
	}
	if o.Protocol == Babel {
		return nil
	}
	version, err := s.Host("a").Vtysh(s.ctx, "show version")
	s.must(err)
	if strings.Contains(version, "FRRouting 8.") {
		return anycast[:1]
	}
	return anycast
}
