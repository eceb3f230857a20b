package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestService is the main job, for every daemon and protocol: what the router
// sees and the client gets when a service dies, comes back, is drained, resumed
// and degraded.
func TestService(t *testing.T) {
	for name, o := range map[string]Options{
		"bird bgp":     {Daemon: BIRD, Protocol: BGP, Extra: birdOperator},
		"bird ospf":    {Daemon: BIRD, Protocol: OSPF},
		"frr bgp":      {Daemon: FRR, Protocol: BGP, Extra: frrOperator},
		"frr ospf":     {Daemon: FRR, Protocol: OSPF, Extra: frrOperator},
		"frr isis":     {Daemon: FRR, Protocol: ISIS},
		"one each bgp": {Daemon: BIRD, Daemons: map[string]string{"b": FRR}, Protocol: BGP},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, o, func(_ *Host, driver string) string { return standard(driver) })
			a := s.Host("a")
			_, err := a.Output(s.ctx, "ip", "address", "add", operatorAddress, "dev", Interface)
			s.must(err)
			for _, host := range []string{"a", "b"} {
				s.must(s.process(host, "dns").Start(s.ctx))
			}
			knows(s.ctx, t, s.Lab, "a", "b")
			s.routed("a")

			// The service dies: it is bound to the addresses themselves, so only the
			// local delivery lets it start again.
			s.must(s.process("a", "dns").Kill(s.ctx))
			s.routed("b")
			knows(s.ctx, t, s.Lab, "b")
			s.must(s.process("a", "dns").Start(s.ctx))
			knows(s.ctx, t, s.Lab, "a", "b")
			s.routed("a")

			s.drained(a)
			s.degraded(a)
			s.untouched(a, o)
		})
	}
}

// drained drains a host under load and resumes it: no request may be lost.
func (s *stand) drained(h *Host) {
	s.t.Helper()
	load := s.Client().Start(s.ctx, 50, Flows(Anycast4, Anycast6)...)
	s.must(Until(s.ctx, "answers on every flow", func(context.Context) error {
		for flow, tally := range load.Tallies() {
			if tally.Answered["a"] == 0 {
				return fmt.Errorf("none on %s", flow)
			}
		}
		return nil
	}))
	out := s.keepcast("a", "drain", "dns", "--for", "1h", "--reason", "CHG-1")
	if !strings.Contains(out, "dns: draining (drained by root until ") {
		s.t.Errorf("drain prints %q", out)
	}
	s.routed("b")
	knows(s.ctx, s.t, s.Lab, "b")
	s.keepcast("a", "resume", "dns")
	knows(s.ctx, s.t, s.Lab, "a", "b")
	s.routed("a")
	tallies := load.Stop()
	if n, which := lost(tallies); n > 0 {
		s.t.Errorf("%d requests lost in a drain:\n%s", n, strings.Join(which, "\n"))
	}
	for flow, tally := range tallies {
		if tally.Answered["a"] == 0 || tally.Answered["b"] == 0 {
			s.t.Errorf("%s was not served by both: %+v", flow, tally)
		}
	}
}

// degraded fails a host's degrade check: the router prefers the other one, but
// still knows this one.
func (s *stand) degraded(h *Host) {
	s.t.Helper()
	s.good(h, false)
	s.routed("b")
	for _, p := range anycast {
		paths, err := s.Router().Paths(s.ctx, p)
		s.must(err)
		if len(paths) != 2 || paths[0].Best || !paths[1].Best || paths[0].Metric <= paths[1].Metric {
			s.t.Errorf("the paths of %s are %+v, want both, b's the best", p, paths)
		}
	}
	s.good(h, true)
	s.routed("a")
}

// What an operator has on the host beside keepcast.
const operatorAddress = "10.255.0.1/32"

var (
	birdOperator = map[string]string{"a": `
protocol static operator { ipv4; route 198.51.100.0/24 blackhole; }
filter operator_filter { if net = 198.51.100.0/24 then accept; reject; }
`}
	frrOperator = map[string]string{"a": `
ip prefix-list OPERATOR seq 5 permit 198.51.100.0/24
route-map OPERATOR permit 10
 match ip address prefix-list OPERATOR
exit
`}
)

// untouched checks that what is the operator's is as it was.
func (s *stand) untouched(h *Host, o Options) {
	s.t.Helper()
	addresses, err := h.Addresses()
	s.must(err)
	if !slices.Contains(addresses, netip.MustParsePrefix(operatorAddress)) {
		s.t.Errorf("the operator's address is gone: %v", addresses)
	}
	var have, want string
	switch {
	case o.Extra == nil:
		return
	case o.Daemon == BIRD:
		have, err = h.Birdc(s.ctx, "show", "route", "protocol", "operator")
		want = "198.51.100.0/24"
	default:
		have, err = h.Vtysh(s.ctx, "show running-config")
		want = "match ip address prefix-list OPERATOR"
	}
	s.must(err)
	if !strings.Contains(have, want) {
		s.t.Errorf("%s is gone from\n%s", want, have)
	}
}
