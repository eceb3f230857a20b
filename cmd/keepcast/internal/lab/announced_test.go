package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
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

// TestPrefixes is a covering network that the daemon originates itself, as the how-to
// says: it is announced as long as the service is, without an address on the host.
func TestPrefixes(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:aa::/48")}
	for name, c := range map[string]struct {
		o     Options
		shown []string // files of testdata that docs/howto/covering-prefix.md shows
	}{
		"bird bgp": {Options{Daemon: BIRD, Protocol: BGP}, nil},
		"frr bgp":  {Options{Daemon: FRR, Protocol: BGP}, []string{"covering-frr.conf"}},
		"frr ospf": {Options{Daemon: FRR, Protocol: OSPF}, []string{"covering-frr.conf", "covering-frr-ospf.conf"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Extra = map[string]string{"a": testdata(t, c.shown...)}
			s := newStand(t, c.o, func(h *Host, driver string) string {
				text := standard(driver)
				if h.Name() == "a" {
					text += fmt.Sprintf("    prefixes: [%s, \"%s\"]\n", networks[0], networks[1])
				}
				return text
			})
			for _, host := range []string{"a", "b"} {
				s.must(s.process(host, "dns").Start(s.ctx))
			}
			s.routed("a")
			s.must(s.Router().AwaitNextHops(s.ctx, networks, "a"))
			s.good(s.Host("a"), false)
			s.must(Until(s.ctx, "degraded networks", func(ctx context.Context) error {
				for _, p := range networks {
					if paths, err := s.Router().Paths(ctx, p); err != nil || len(paths) != 1 || paths[0].Metric < 1000 {
						return errors.Join(err, fmt.Errorf("the paths of %s are %+v", p, paths))
					}
				}
				return nil
			}))
			s.must(s.process("a", "dns").Kill(s.ctx))
			s.must(s.Router().AwaitNextHops(s.ctx, networks))
			s.routed("b")
		})
	}
}

// testdata returns the text of files, one after the other.
func testdata(t *testing.T, names ...string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
