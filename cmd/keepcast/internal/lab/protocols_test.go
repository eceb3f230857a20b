package lab

import "testing"

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

			if o.Daemon != FRR || o.Protocol != Babel { // which has no metric for a route
				s.good(s.Host("a"), false)
				s.routed("b")
				knows(s.ctx, t, s.Lab, "b", "a")
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
