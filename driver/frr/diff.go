package frr

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// frrStep is a run of commands in one block of the configuration. Order matters,
// between the steps and within.
type frrStep struct {
	blocks []string // the headers to go through, none at the top level
	lines  []string
}

// String returns the first command of the step, for an error.
func (s frrStep) String() string {
	return strings.Join(slices.Concat(s.blocks, s.lines[:min(1, len(s.lines))]), " / ")
}

// frrDiff returns the steps that bring a daemon from what runs to what is wanted.
// Of the network lines those are keepcast's that name a route-map of it, or a
// prefix that it manages in that VRF.
//
// At no point between two commands is more permitted than before and after: a
// route-map entry is a deny while it is edited, and what is missing denies.
func frrDiff(run, want frrConfig, on frrHost) []frrStep {
	return slices.Concat(diffLists(run, want), diffRouteMaps(run, want), diffNetworks(run, want, on), staleEntries(run, want))
}

// diffLists makes the prefix-list entries. FRR 8.4 silently ignores an entry whose
// twin is in the list under another number, so such a twin goes first.
func diffLists(run, want frrConfig) []frrStep {
	type slot struct{ kind, name, head string }
	wanted := map[slot]bool{}
	for k, e := range want.entries {
		wanted[slot{k.kind, k.name, e.head}] = true
	}
	var twins, lines []string
	for _, k := range sortedKeys(run.entries) {
		e := run.entries[k]
		if k.kind != "route-map" && want.entries[k].head != e.head && wanted[slot{k.kind, k.name, e.head}] {
			twins = append(twins, "no "+k.command(e.head))
		}
	}
	for _, k := range sortedKeys(want.entries) {
		e := want.entries[k]
		if k.kind != "route-map" && run.entries[k].head != e.head {
			lines = append(lines, k.command(e.head))
		}
	}
	return nonEmpty(frrStep{lines: append(twins, lines...)})
}

// diffRouteMaps makes the route-map entries. An entry is edited, never deleted and
// made again: isisd keeps a pointer to the map it found by name.
func diffRouteMaps(run, want frrConfig) []frrStep {
	var steps []frrStep
	for _, k := range sortedKeys(want.entries) {
		e, old := want.entries[k], run.entries[k]
		if k.kind != "route-map" || old.equal(e) {
			continue
		}
		var lines []string
		for _, l := range old.lines {
			if !slices.Contains(e.lines, l) {
				lines = append(lines, frrNo(l))
			}
		}
		for _, l := range e.lines {
			if !slices.Contains(old.lines, l) {
				lines = append(lines, l)
			}
		}
		steps = append(steps, frrStep{blocks: []string{k.command("deny")}, lines: lines})
		if e.head != "deny" {
			steps = append(steps, frrStep{lines: []string{k.command(e.head)}})
		}
	}
	return steps
}

// editedRouteMaps returns the names of the route-maps of which an entry is to be made,
// changed or taken away.
func editedRouteMaps(run, want frrConfig) map[string]bool {
	names := map[string]bool{}
	for _, k := range append(sortedKeys(run.entries), sortedKeys(want.entries)...) {
		if k.kind == "route-map" && !run.entries[k].equal(want.entries[k]) {
			names[k.name] = true
		}
	}
	return names
}

// frrNo returns the command that takes a line of a route-map away. Of a path, FRR
// 8.4 takes no more than one number there.
func frrNo(line string) string {
	if strings.HasPrefix(line, "set as-path prepend ") {
		line = "set as-path prepend"
	}
	return "no " + line
}

// diffNetworks takes away and makes the network lines of each instance of BGP that
// the operator has.
func diffNetworks(run, want frrConfig, on frrHost) []frrStep {
	var steps []frrStep
	for vrf, bgp := range run.instances() {
		if bgp.router != "" {
			steps = append(steps, bgp.diff(want.instance(vrf).networks, on.ownedIn(vrf))...)
		}
	}
	return steps
}

// diff takes away and makes the network lines of an instance.
func (b frrBGP) diff(want map[netip.Prefix]string, owned map[netip.Prefix]bool) []frrStep {
	lines := frrFamilies{}
	for _, p := range sortedPrefixes(b.entered(owned)) {
		if _, wanted := want[p]; !wanted {
			lines.add(p, "no "+frrNetwork(p, b.networks[p]))
		}
	}
	for _, p := range sortedPrefixes(want) {
		if rest, there := b.networks[p]; !there || rest != want[p] {
			lines.add(p, frrNetwork(p, want[p]))
		}
	}
	return lines.steps(b.router)
}

// frrFamilies are lines about prefixes, by the header of their address family.
type frrFamilies map[string][]string

func (l frrFamilies) add(p netip.Prefix, line string) {
	l[frrFamily(p.Addr())] = append(l[frrFamily(p.Addr())], line)
}

func (l frrFamilies) steps(router string) []frrStep {
	var steps []frrStep
	for _, family := range slices.Sorted(maps.Keys(l)) {
		steps = append(steps, frrStep{blocks: []string{router, family}, lines: l[family]})
	}
	return steps
}

// staleEntries takes away what keepcast made once and does not want any more,
// route-maps before the lists they name.
func staleEntries(run, want frrConfig) []frrStep {
	var routeMaps, lists []string
	wanted := map[string]bool{}
	for k, e := range want.entries {
		wanted[k.kind+k.name+e.head] = true
	}
	for _, k := range sortedKeys(run.entries) {
		e := run.entries[k]
		switch _, there := want.entries[k]; {
		case there:
		case k.kind == "route-map":
			routeMaps = append(routeMaps, "no "+k.command(e.head))
		case !wanted[k.kind+k.name+e.head]: // else diffLists took it away as a twin
			lists = append(lists, "no "+k.command(e.head))
		}
	}
	return nonEmpty(frrStep{lines: append(routeMaps, lists...)})
}

func nonEmpty(s frrStep) []frrStep {
	if len(s.lines) == 0 {
		return nil
	}
	return []frrStep{s}
}

func frrNetwork(p netip.Prefix, rest string) string {
	return strings.TrimSpace("network " + p.String() + " " + rest)
}

func sortedKeys(m map[frrKey]frrEntry) []frrKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b frrKey) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name), cmp.Compare(a.seq, b.seq))
	})
}

func sortedPrefixes[V any](m map[netip.Prefix]V) []netip.Prefix {
	return slices.SortedFunc(maps.Keys(m), netip.Prefix.Compare)
}
