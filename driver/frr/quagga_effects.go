package frr

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver/frr/vty"
	"github.com/keepcast/keepcast/driver/pace"
)

// strayPause is the time between the two looks that must agree on that a daemon of Quagga
// has not followed an address. bgpd takes 50 ms.
const strayPause = 200 * time.Millisecond

// redistributedAnew has bgpd of Quagga be sent all that it redistributes, as if it had
// just started. It is due whenever bgpd does not follow the addresses: when its lists
// changed for an address that is there, and when it has asked zebra for nothing. That is
// so once it has connected to zebra anew: it then forgets what it redistributes, though
// `show running-config` has the lines, and misses all that comes and goes from then on.
//
// Without zebra it is not due: everything would be withdrawn, and nothing come back.
func redistributedAnew() effect {
	return effect{
		due: func(ctx context.Context, d *daemon, run, section config, m managed) (bool, error) {
			switch {
			case len(run.redistribute) == 0 || !d.link.connected:
				return false, nil
			case d.link.routes == 0:
				return true, nil
			}
			return d.unfollowed(ctx, run, section, m)
		},
		carryOut: func(ctx context.Context, d *daemon, run, _ config) (refused, err error) {
			return d.configure(ctx, anew(run.redistribute))
		},
	}
}

// anew returns the steps that have zebra send bgpd of Quagga all routes of each source
// that it redistributes. bgpd asks zebra once for a source, for both families: as long as
// one of them is on, zebra sends nothing again. So it must be seen to that bgpd has asked,
// then both go, and both come back. Each step is one write, so that nothing is withdrawn
// in between: the routes are back before bgpd works its queue off.
func anew(lines []redistribution) []step {
	bySource := map[string][]redistribution{}
	var sources []string
	for _, l := range lines {
		source := strings.Fields(l.line)[1]
		if bySource[source] == nil {
			sources = append(sources, source)
		}
		bySource[source] = append(bySource[source], l)
	}
	var steps []step
	for _, source := range sources {
		all, off := bySource[source], "no redistribute "+source
		var said []string
		for _, l := range all[1:] {
			said = append(said, l.inside(off)...)
		}
		said = append(append(said, all[0].inside(all[0].line)...), all[0].inside(off)...)
		for _, l := range all[1:] {
			said = append(said, l.inside(l.line)...)
		}
		steps = append(steps, step{blocks: all[0].blocks[:1], lines: append(said, all[0].inside(all[0].line)...)})
	}
	return steps
}

// inside returns a line as it is entered in the router block of l, so that it is about the
// address family of l.
func (l redistribution) inside(line string) []string {
	header := quaggaHeaders(l.blocks[1:])
	if len(header) == 0 {
		return []string{line}
	}
	return append(header, line, "exit-address-family")
}

// redistributedAgain has ospfd of Quagga look at what it redistributes, by the same line
// once more. It is due, too, when it does not follow the addresses: a prefix that is
// announced while its old LSA is still being flushed, which takes up to a minute, gets
// lost, and ospfd does not try again; and it has missed what went while zebra was away.
func redistributedAgain() effect {
	return effect{
		due: func(ctx context.Context, d *daemon, run, section config, m managed) (bool, error) {
			if len(run.redistribute) == 0 {
				return false, nil
			}
			return d.unfollowed(ctx, run, section, m)
		},
		carryOut: reenter(nothing),
	}
}

// sentAgain has bgpd of Quagga look at what it sends out. That withdraws also what it has
// of an address that went while zebra was away.
func sentAgain() effect {
	return effect{
		due: func(ctx context.Context, d *daemon, run, section config, m managed) (bool, error) {
			if otherwise, err := d.treatedOtherwise(ctx, run, section, m, leadsOut); otherwise || err != nil || len(run.out) == 0 {
				return otherwise, err
			}
			gone := goneOf(section, m)
			is, err := d.originates(ctx, gone)
			return anyOf(is, gone, func(o originated) bool { return len(o.to) > 0 }), err
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

// unfollowed tells whether the daemon does not follow its lists and the addresses by
// itself.
func (d *daemon) unfollowed(ctx context.Context, run, section config, m managed) (bool, error) {
	otherwise, err := d.treatedOtherwise(ctx, run, section, m, func(name string) bool { return !leadsOut(name) })
	if otherwise || err != nil {
		return otherwise, err
	}
	return d.strays(ctx, run, section, m)
}

// strays tells whether the daemon has not followed an address: it originates one that is
// gone and denied, or lacks one that is there and permitted all along.
func (d *daemon) strays(ctx context.Context, run, section config, m managed) (bool, error) {
	before, after := run.listed(), section.listed()
	var there []netip.Prefix
	for p := range after {
		if _, permitted := before[p]; permitted && m.has(p) && d.carries(p.Addr()) && (d.bgp == nil || !m.prefixOnly[p]) {
			there = append(there, p)
		}
	}
	kept := goneOf(section, m)
	for looks := 1; ; looks++ {
		is, err := d.originates(ctx, slices.Concat(there, kept))
		if err != nil {
			return false, err
		}
		strays := func(p netip.Prefix) bool { return is[p].own == slices.Contains(kept, p) }
		there, kept = slices.DeleteFunc(there, func(p netip.Prefix) bool { return !strays(p) }), slices.DeleteFunc(kept, func(p netip.Prefix) bool { return !strays(p) })
		if found := len(there)+len(kept) > 0; !found || looks == 2 {
			return found, nil
		}
		if !pace.Wait(ctx, strayPause) {
			return false, context.Cause(ctx)
		}
	}
}

// goneOf returns the prefixes that the section denies and that no address of the host has.
func goneOf(section config, m managed) []netip.Prefix {
	permitted := section.listed()
	return slices.DeleteFunc(sortedPrefixes(m.owned), func(p netip.Prefix) bool {
		_, wanted := permitted[p]
		return wanted || m.has(p)
	})
}

// originated is what a daemon tells of a prefix.
type originated struct {
	own bool     // it originates it
	to  []string // and bgpd sends it to these
}

// originates asks the daemon which of the prefixes it originates.
func (d *daemon) originates(ctx context.Context, prefixes []netip.Prefix) (map[netip.Prefix]originated, error) {
	out := map[netip.Prefix]originated{}
	if len(prefixes) == 0 {
		return out, nil
	}
	if d.bgp != nil {
		paths, err := d.paths(ctx, "", prefixes)
		for p, path := range paths {
			out[p] = originated{own: path.valid, to: path.to}
		}
		return out, err
	}
	texts, err := d.vty.Ask(ctx, d.originated)
	if err != nil {
		return nil, err
	}
	for p := range d.readOriginated(texts[0]) {
		out[p] = originated{own: true}
	}
	return out, nil
}

// anyOf tells whether any of the prefixes is originated, and is such.
func anyOf(is map[netip.Prefix]originated, prefixes []netip.Prefix, such func(originated) bool) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return is[p].own && such(is[p]) })
}

// leadsOut tells whether a route-map of keepcast's leads out to a neighbor.
func leadsOut(name string) bool {
	return strings.HasSuffix(name, "-EBGP") || strings.HasSuffix(name, "-OUT")
}

// treatedOtherwise tells whether the route-maps selected by which will treat a prefix
// differently that is on the host, or that the daemon has all the same: it may have missed
// that the address went.
func (d *daemon) treatedOtherwise(ctx context.Context, run, section config, m managed, which func(routeMap string) bool) (bool, error) {
	same := treatedAlike(run, section, which)
	for p := range m.onHost() {
		if !same(p) {
			return true, nil
		}
	}
	others := slices.DeleteFunc(sortedPrefixes(m.owned), same)
	is, err := d.originates(ctx, others)
	return anyOf(is, others, func(originated) bool { return true }), err
}

// treatedAlike returns what tells whether the route-maps selected by which will treat a
// prefix as they do.
func treatedAlike(run, section config, which func(routeMap string) bool) func(netip.Prefix) bool {
	before, after := run.treatments(which), section.treatments(which)
	return func(p netip.Prefix) bool { return before[p.String()] == after[p.String()] }
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
