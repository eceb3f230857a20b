package lab

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// announceBlock is what a service is announced with while it is fit, and while it
// is degraded: then with the attributes of marked.
const announceBlock = `
announce: {med: 10, communities: ["65001:100"], large_communities: ["65001:1:2"]}
degraded:
  med: 100
  local_pref: 50
  prepend: 2
  communities: ["65001:100", graceful-shutdown]
  large_communities: ["65001:1:2", "65001:3:4"]
`

// TestAnnouncedWith is what the router sees of announce and degraded, in both
// families, over sessions of two ASes and of one.
func TestAnnouncedWith(t *testing.T) {
	fit := Path{Host: "a", Metric: 10, Communities: []string{"65001:100"}, LargeCommunities: []string{"65001:1:2"}}
	for name, c := range map[string]struct {
		o             Options
		fit, degraded Path
	}{
		"bird ebgp": {Options{Daemon: BIRD}, fit.with(100, "65001"), marked.with(100, "65001", "65001", "65001")},
		"bird ibgp": {Options{Daemon: BIRD, IBGP: true}, fit.with(100), marked.with(50)},
		// FRR as a router honours graceful-shutdown of another AS (RFC 8326, 4.1).
		"frr ebgp": {Options{Daemon: FRR}, fit.with(0, "65001"), marked.with(0, "65001", "65001", "65001")},
		"frr ibgp": {Options{Daemon: FRR, IBGP: true}, fit.with(100), marked.with(50)},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Protocol = BGP
			s := newStand(t, c.o, func(_ *Host, driver string) string { return announceBlock + standard(driver) })
			s.must(s.process("a", "dns").Start(s.ctx))
			s.sees(c.fit)
			s.good(s.Host("a"), false)
			s.sees(c.degraded)
			s.good(s.Host("a"), true)
			s.sees(c.fit)
			s.must(s.process("a", "dns").Kill(s.ctx))
			s.must(s.Router().AwaitNextHops(s.ctx, anycast))
		})
	}
}

// sees waits until the router knows one path to each address, this one of host a.
func (s *stand) sees(want Path) {
	s.t.Helper()
	want.Host, want.Best = "a", true
	for _, p := range anycast {
		s.must(Until(s.ctx, fmt.Sprintf("path to %s", p), func(ctx context.Context) error {
			got, err := s.Router().Paths(ctx, p)
			if diff := cmp.Diff([]Path{want}, got, cmpopts.EquateEmpty()); diff != "" {
				return errors.Join(err, errors.New(diff))
			}
			return err
		}))
	}
}
