package frr

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// diesOfUpdate is the first major version of FRR whose bgpd is assumed to crash
	// when a network line changes. 10.3 does, 8.4 does not; those between have not been
	// tried.
	diesOfUpdate = 9
	// retakePoll is how often bgpd is asked whether a path is gone. Its work queue
	// takes 50 ms for that.
	retakePoll = 20 * time.Millisecond
)

// spare spares bgpd two changes that would crash it.
func spare(ctx context.Context, d *daemon, run, section config) error {
	if err := forget(ctx, d, run, section); err != nil {
		return err
	}
	return retake(ctx, d, run, section)
}

// forget keeps bgpd 8.4 alive when somebody has deleted a route-map that network lines
// name. Until the delay-timer is over, bgpd holds pointers to the deleted route-map. A
// line that is entered again meanwhile corrupts its memory. So forget has the timer
// expire first.
func forget(ctx context.Context, d *daemon, run, section config) error {
	there := run.routeMaps()
	for _, bgp := range run.instances() {
		for _, rest := range bgp.networks {
			name := routeMapOf(strings.Fields(rest))
			if strings.HasPrefix(name, mark) && !slices.Contains(there, name) {
				refused, err := d.configure(ctx, expireDelay(run.delay, section.routeMaps()))
				return errors.Join(refused, err)
			}
		}
	}
	return nil
}

// retake keeps bgpd 10.3 alive when a network line is to get another route-map. Such a
// bgpd ends with a segmentation fault if the line meets a path that has ancillary data:
// bgp_static_update looks into extra->vrfleak, which is nil. A path has them if it was
// ever resolved by a route with a metric: another host's route by an IGP, or the
// kernel's for an IPv6 address, which comes a moment before the connected one.
//
// So retake takes such network lines away first, and waits until their paths are gone,
// and those of lines that were taken away just before. The new lines are then made as
// for a new prefix. This withdraws the prefix for some 60 ms. That is better than
// losing all sessions.
func retake(ctx context.Context, d *daemon, run, section config) error {
	edited := editedRouteMaps(run, section)
	for vrf, bgp := range run.instances() {
		if err := d.retakeIn(ctx, vrf, bgp, section.instance(vrf), edited); err != nil {
			return err
		}
	}
	return nil
}

// retakeIn does so in one instance. To bgpd it is the same whether a line gets another
// route-map or its route-map is edited.
func (d *daemon) retakeIn(ctx context.Context, vrf string, run, section *bgpInstance, edited map[string]bool) error {
	lines := familyLines{} // to be taken away
	var entered []netip.Prefix
	for _, p := range sortedPrefixes(section.networks) {
		old, there := run.networks[p]
		if there && old == section.networks[p] && !edited[routeMapOf(strings.Fields(old))] {
			continue
		}
		entered = append(entered, p)
		if there {
			lines.add(p, "no "+networkLine(p, old))
		}
	}
	if len(entered) == 0 || run.router == "" {
		return nil
	}
	if dies, err := d.diesOfUpdate(ctx); err != nil || !dies {
		return err
	}
	refused, err := d.configure(ctx, lines.steps(run.router))
	if err := errors.Join(refused, err); err != nil {
		return err
	}
	for _, p := range entered {
		delete(run.networks, p)
	}
	return d.gone(ctx, vrf, entered)
}

// diesOfUpdate tells whether bgpd may crash when the network line of a path changes.
func (d *daemon) diesOfUpdate(ctx context.Context) (bool, error) {
	answers, err := d.vty.Ask(ctx, "show version", "show memory")
	if err != nil {
		return false, err
	}
	major, err := majorOf(answers[0])
	return err == nil && major >= diesOfUpdate && bgpAncillary(answers[1]), err
}

// bgpAncillary tells whether any path in bgpd may have something ancillary, by its
// `show memory`, which leaves out what it has never had.
func bgpAncillary(text string) bool {
	_, own, ok := strings.Cut(text, "--- qmem bgpd ---")
	_, count, any := strings.Cut(own, "BGP ancillary route info")
	return !ok || any && firstNumber(count) > 0
}

// gone waits until bgpd has no path of its own to any of the prefixes in a VRF.
func (d *daemon) gone(ctx context.Context, vrf string, prefixes []netip.Prefix) error {
	tick := time.NewTicker(retakePoll)
	defer tick.Stop()
	for end := time.Now().Add(d.vty.Timeout); ; {
		paths, err := d.paths(ctx, vrf, prefixes)
		if err != nil {
			return err
		}
		left := slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return !paths[p].own })
		switch {
		case len(left) == 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%s still has a path to %s, %s after its network line was taken away", d.name, left[0], d.vty.Timeout)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
