package frr

import (
	"context"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver/frr/vty"
)

// effect is something that has to be done so that a daemon acts on a changed list or
// route-map at once. Without it bgpd and ospfd take 5 s, isisd for ever.
type effect struct {
	// due tells whether the way from run to section asks for it. It does not for an
	// address that is not on the host: the daemon will look when the address comes.
	due func(ctx context.Context, d *daemon, run, section config, m managed) (bool, error)
	// carryOut does it, and returns what the daemon refused; the error is one of the
	// connection. Run is what ran before the section was loaded.
	carryOut func(ctx context.Context, d *daemon, run, section config) (refused, err error)
}

// delayedRouteMaps has bgpd of FRR do what it has put off for the delay-timer. Its
// network lines act by themselves.
func delayedRouteMaps() effect {
	return effect{
		due: func(_ context.Context, _ *daemon, run, section config, _ managed) (bool, error) {
			return run.cutShort || len(editRouteMaps(run, section)) > 0, nil
		},
		carryOut: func(ctx context.Context, d *daemon, run, section config) (refused, err error) {
			return d.configure(ctx, expireDelay(run.delay, section.routeMaps()))
		},
	}
}

// enteredAgain enters the operator's redistribute lines exactly as they stand, which has
// ospfd look at what they let through.
func enteredAgain() effect {
	return effect{due: changedOnHost, carryOut: reenter(nothing)}
}

// takenOutAndIn removes the redistribute lines of isisd and makes them again. To enter them
// once more is not enough: isisd merges them. A prefix that is not on the host needs
// none of it, and would suffer: isisd makes one LSP in 30 s (lsp-gen-interval), and the
// address would have to wait for the next.
func takenOutAndIn() effect {
	return effect{
		due: func(ctx context.Context, d *daemon, run, section config, m managed) (bool, error) {
			unresolved := func(l redistribution) bool { return !slices.ContainsFunc(d.resolved, l.equal) }
			if slices.ContainsFunc(run.redistribute, unresolved) {
				return true, nil
			}
			return changedOnHost(ctx, d, run, section, m)
		},
		carryOut: func(ctx context.Context, d *daemon, run, section config) (refused, err error) {
			refused, err = reenter(itself)(ctx, d, run, section)
			if refused == nil && err == nil {
				d.resolved = run.redistribute
			}
			return refused, err
		},
	}
}

// prefixesAlone removes the redistribute lines of static routes and makes them again, in
// ospf6d, ripd and ripngd. All routes of a line go from the neighbors with it, for up to
// 5 s. So it is done only if none of the service's prefixes stays announced. Where there
// is an address, its coming and going is enough.
func prefixesAlone() effect {
	return effect{
		due: func(_ context.Context, _ *daemon, run, section config, m managed) (bool, error) {
			before, after := run.permits(), section.permits()
			changed, kept := false, false
			for p := range m.prefixOnly {
				changed = changed || before[p] != after[p]
				kept = kept || before[p] != "" && after[p] != ""
			}
			return changed && !kept, nil
		},
		carryOut: func(ctx context.Context, d *daemon, run, section config) (refused, err error) {
			run.redistribute = slices.DeleteFunc(slices.Clone(run.redistribute), redistribution.connected)
			return reenter(itself)(ctx, d, run, section)
		},
	}
}

// changedOnHost tells whether anything changes for a prefix that is on the host, or in any
// route-map.
func changedOnHost(_ context.Context, _ *daemon, run, section config, m managed) (bool, error) {
	if len(editRouteMaps(run, section)) > 0 {
		return true, nil
	}
	before, after := run.permits(), section.permits()
	for p := range m.owned {
		if m.has(p) && before[p] != after[p] {
			return true, nil
		}
	}
	return false, nil
}

// reenter returns what enters the operator's redistribute lines exactly as they stand,
// each after the lines that before returns. Both are in one write, which is shorter than
// the 512 bytes that a daemon reads at once: it does nothing in between.
func reenter(before func(redistribution) []string) func(ctx context.Context, d *daemon, run, section config) (refused, err error) {
	return func(ctx context.Context, d *daemon, run, _ config) (refused, err error) {
		var steps []step
		for _, r := range run.redistribute {
			steps = append(steps, step{blocks: r.blocks, lines: append(before(r), r.line)})
		}
		return d.configure(ctx, steps)
	}
}

// nothing has to go before a redistribute line is entered again.
func nothing(redistribution) []string { return nil }

// itself is taken away before a redistribute line is entered again.
func itself(l redistribution) []string { return []string{"no " + l.line} }

// withoutRouteMap takes a redistribute line away as bgpd of Quagga wants it, which
// refuses the same line once more.
func withoutRouteMap(l redistribution) []string {
	return []string{"no " + strings.Join(strings.Fields(l.line)[:2], " ")}
}

// redistributedAgain has a daemon of Quagga look at what it redistributes. Lost tells
// whether the daemon has lost a prefix; it may be nil.
func redistributedAgain(before func(redistribution) []string, lost func(ctx context.Context, d *daemon, run, section config, m managed) (bool, error)) effect {
	return effect{
		due: func(ctx context.Context, d *daemon, run, section config, m managed) (bool, error) {
			if treatedOtherwise(run, section, m, func(name string) bool { return !leadsOut(name) }) {
				return true, nil
			}
			if lost == nil {
				return false, nil
			}
			return lost(ctx, d, run, section, m)
		},
		carryOut: reenter(before),
	}
}

// sentAgain has bgpd of Quagga look at what it sends out.
func sentAgain() effect {
	return effect{
		due: func(_ context.Context, _ *daemon, run, section config, m managed) (bool, error) {
			return treatedOtherwise(run, section, m, leadsOut), nil
		},
		carryOut: func(ctx context.Context, d *daemon, run, _ config) (refused, err error) {
			if run.router == "" {
				return nil, nil
			}
			answers, err := d.vty.Run(ctx, "clear ip bgp * soft out", "clear bgp ipv6 * soft out")
			return vty.Refusals(d.name, answers), err
		},
	}
}

// leadsOut tells whether a route-map of keepcast's leads out to a neighbor.
func leadsOut(name string) bool {
	return strings.HasSuffix(name, "-EBGP") || strings.HasSuffix(name, "-OUT")
}

// treatedOtherwise tells whether the route-maps selected by which will treat a prefix
// on the host differently.
func treatedOtherwise(run, section config, m managed, which func(routeMap string) bool) bool {
	before, after := run.treatments(which), section.treatments(which)
	for p := range m.onHost() {
		if before[p.String()] != after[p.String()] {
			return true
		}
	}
	return false
}

// treatments returns what the route-maps selected by which do with each prefix.
func (c config) treatments(which func(routeMap string) bool) map[string]string {
	permitted := map[string][]string{} // by list
	for k, e := range c.entries {
		if p, ok := strings.CutPrefix(e.head, "permit "); ok && k.kind != "route-map" {
			permitted[k.name] = append(permitted[k.name], p)
		}
	}
	out := map[string]string{}
	for _, k := range sortedKeys(c.entries) {
		if k.kind != "route-map" || !which(k.name) {
			continue
		}
		e := c.entries[k]
		matched := map[string]bool{}
		for _, line := range e.lines {
			words := strings.Fields(line)
			if words[0] != "match" {
				continue
			}
			for _, p := range permitted[words[len(words)-1]] {
				matched[p] = true
			}
		}
		does := k.command(e.head) + "\n" + strings.Join(e.lines, "\n") + "\n"
		for p := range matched {
			out[p] += does
		}
	}
	return out
}

// lostLSA tells whether ospfd of Quagga has not made an LSA of a prefix that is there and
// permitted all along: one that is announced while its old LSA is still being flushed,
// which takes up to a minute, gets lost, and ospfd does not try again.
func lostLSA(ctx context.Context, d *daemon, run, section config, m managed) (bool, error) {
	if len(run.redistribute) == 0 {
		return false, nil
	}
	texts, err := d.vty.Ask(ctx, d.originated)
	if err != nil {
		return false, err
	}
	before, originated := run.listed(), d.readOriginated(texts[0])
	for p := range section.listed() {
		if _, permitted := before[p]; permitted && m.has(p) && !originated[p] {
			return true, nil
		}
	}
	return false, nil
}

// delayMark begins the name of the list that is there while the operator's delay-timer
// is another; it goes on with the operator's value.
const delayMark = mark + "-DELAY-"

// expireDelay returns the steps that make bgpd apply changed route-maps at once, also to
// what it has announced already. bgpd delays that for the operator's delay-timer (5 s).
// When the timer is set to 0, bgpd does all that it has delayed. With an operator's timer
// of 0 it never does so by itself. Then an entry that changes nothing is made and removed
// under another timer.
//
// bgpd drops the rest of a write once keepcast is dead. So a list remembers the
// operator's value until that is back, for the next keepcast to find.
func expireDelay(delay string, routeMaps []string) []step {
	const timer = "bgp route-map delay-timer "
	marked := "ip prefix-list " + delayMark + delay + " seq 5 deny any"
	under := func(other, back string, lines ...string) step {
		return step{lines: slices.Concat([]string{marked, timer + other}, lines, []string{back, "no " + marked})}
	}
	switch delay {
	case "":
		return []step{under("0", "no "+strings.TrimSpace(timer))}
	case "0":
		var steps []step
		for some := range slices.Chunk(routeMaps, batchSize/2-2) { // so that each step is one write
			lines := []string{}
			for _, name := range some {
				last := "route-map " + name + " deny 65535"
				lines = append(lines, last, "no "+last)
			}
			steps = append(steps, under("600", timer+"0", lines...))
		}
		return steps
	}
	return []step{under("0", timer+delay)}
}
