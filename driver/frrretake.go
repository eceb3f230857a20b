package driver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

const (
	// frrDiesOfUpdate is the first version of which it is known (10.3; 8.4 does not).
	frrDiesOfUpdate = 9
	// frrRetakePoll is how often is looked whether a path is gone, which takes bgpd
	// the 50 ms of its work queue.
	frrRetakePoll = 20 * time.Millisecond
)

// retake takes the network lines away that bgpd would die of being given another
// route-map for, and waits until their paths are gone. A bgpd 10.3 ends with a
// segmentation fault (bgp_static_update) when the attributes of an IPv6 network
// change whose route is not a connected one, as that of a network without an
// address. So that is withdrawn for a moment; which is less than all sessions.
func (d *frrDaemon) retake(ctx context.Context, run, section frrConfig, on frrHost) error {
	for vrf, bgp := range run.instances() {
		if err := d.retakeIn(ctx, vrf, bgp, section.instance(vrf), on); err != nil {
			return err
		}
	}
	return nil
}

// retakeIn does so in one instance.
func (d *frrDaemon) retakeIn(ctx context.Context, vrf string, run, section *frrBGP, on frrHost) error {
	deadly := map[netip.Prefix]string{}
	for p, old := range run.networks {
		now, stays := section.networks[p]
		if stays && now != old && on.gateOnly[p] && p.Addr().Is6() {
			deadly[p] = old
		}
	}
	if len(deadly) == 0 {
		return nil
	}
	answers, err := d.vty.ask(ctx, "show version")
	if err != nil {
		return err
	}
	if major, err := frrMajor(answers[0]); err != nil || major < frrDiesOfUpdate {
		return err
	}
	lines := []string{}
	for _, p := range sortedPrefixes(deadly) {
		lines = append(lines, "no "+frrNetwork(p, deadly[p]))
		delete(run.networks, p)
	}
	refused, err := d.configure(ctx, networkSteps(run.router, map[string][]string{frrFamily(netip.IPv6Unspecified()): lines}))
	if err := errors.Join(refused, err); err != nil {
		return err
	}
	return d.gone(ctx, vrf, slices.Collect(maps.Keys(deadly)))
}

// gone waits until bgpd has no path of its own to any of the prefixes in a VRF.
func (d *frrDaemon) gone(ctx context.Context, vrf string, prefixes []netip.Prefix) error {
	tick := time.NewTicker(frrRetakePoll)
	defer tick.Stop()
	for end := time.Now().Add(d.vty.timeout); ; {
		paths, err := d.paths(ctx, vrf, prefixes)
		if err != nil {
			return err
		}
		left := slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return !paths[p].own() })
		switch {
		case len(left) == 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%s still has a path to %s, %s after its network line was taken away", d.vty.daemon, left[0], d.vty.timeout)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// own tells whether there is a path of this host, valid or not.
func (p bgpPath) own() bool {
	for _, path := range p.Paths {
		if path.Local {
			return true
		}
	}
	return false
}
