package frr

import (
	"context"
	"slices"
	"strings"
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
